"""The thresholds of an audit, and where each comes from. None was fitted to published checkpoints.

Together they are held by `tests/degen/audit/test_verdicts.py`: nothing is found in 220 simulated trainings (four kinds
of noise, drift and pull) nor in the bundled series, and all that is planted in them is. The largest path ratio in those
220 trainings is 0.95, the largest end ratio 0.63.
"""

from __future__ import annotations

from fractions import Fraction

# Ratios of distances, see `degen.audit.continuity`.
# Derived: of independent draws about a mean, one with variance v·σ² among others with σ² comes to √((v + 1)/2). So a
# genuine step reaches 2 where it is √7 times as noisy as both its neighbours, whatever the path.
MAX_RATIO = 2.0
# Derived: the same formula with v = 1, the most that a path comes to which goes nowhere; a straight path comes to ½.
ON_PATH = 1.0

# Derived by counting: three wrong steps in a row that resemble each other leave the middle one two right neighbours on
# either side, and so 2 · 2 of 3 · 3 pairs to find it by. A right step is cleared by as many.
NEIGHBOURS = 3  # on either side
PAIRS_NEEDED = Fraction(4, 9)  # of all pairs of neighbours
# Derived: of one pair and the step between nobody can tell which of the three is wrong.
MIN_PAIRS = 2

# Derived from the format: bfloat16 has 8 significant bits, so it may change a value by 2⁻⁸ of itself.
ROUNDING = 2.0**-8
# A convention: a single value counts up to so many times the largest trusted one. An outlier then says little, while
# garbage stays far off in most values.
MAX_VALUE_RATIO = 4.0
# A convention, about one false finding in 2¹⁶ comparisons. The chance that n values reach a ratio r is about r⁻ⁿ, that
# is n·log₂ r bits; a value counts for two at most. So 16 values are needed at a ratio of 2, 8 from a ratio of 4 on.
MIN_BITS = 16.0
MAX_BITS_OF_A_VALUE = 2.0

# A shard counts as frozen, and its equal copies as right, where more than this share of the revisions hold it. A
# convention: a majority, as for the usual shapes. For a phase of training, of the revisions in that phase.
FROZEN_SHARE = 0.5
MIN_FROZEN = 3  # in a phase: a convention; two equal neighbours may be a copy and its owner

# Gaps between steps. Conventions, held by tests on the steps of Pythia: they double, then are even, and a change of
# stride is no hole.
GAPS_COMPARED = 3  # on either side of a hole
EVEN_GAPS = 2  # of those compared, that have the stride
WIDE_GAP = 2  # times both neighbouring gaps: worth a note

# Initialisations. The rank correlation of n unrelated values is about ±1/√n, so 0.1 lies three standard errors out for
# the 1,000 values that are asked for at least. That a run keeps more than half of its weights' order while its steps
# double, yet loses all of it before, is no training: a convention, held by tests on the bundled series.
UNRELATED = 0.1
RELATED = 0.5
EARLY = 0.1  # of all steps: a convention; later than that, step 0 may be forgotten and a norm have moved
# A convention: the standard deviation of n draws lies within 2/√(2n) of the true one, which is 2 % for 5,000.
NEAR_INITIAL = 0.05
