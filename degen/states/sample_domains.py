"""The domains whose states are kept apart: those of a sample with the most tokens, in bounded memory."""

from __future__ import annotations

import numpy as np

from degen.arrays import Ints
from degen.text.domains import documents_by_domain, windows_by_domain
from degen.text.windows import Sample

MOST_DOMAINS = 3  # the spectra and distances of each cost as much as those of all text
MOST_NUMBERS = 2**25  # of a site, for all its domains: 256 MiB in float64


def kept_domains(numbers: int, most: int = MOST_DOMAINS) -> int:
    """Return how many domains are kept apart at a site: `most`, or fewer where that takes more than 2²⁵ numbers.

    Args:
        numbers: that are kept of one domain at the site; d² for sums of products of states of width d.
        most: the most domains.
    """
    return min(most, MOST_NUMBERS // max(numbers, 1))


class SampleDomains:
    """The domains of a sample, those with more tokens first, in the order of their first windows among equals.

    Args:
        sample: the windows.
        first: the first position of a window that counts.

    Attributes:
        names: of the domains; None for documents of unknown domain.
        documents: how many documents each has.
        of_window: for each window of the sample the index of its domain in `names`.
    """

    def __init__(self, sample: Sample, first: int = 0) -> None:
        windows = windows_by_domain(sample)
        documents = documents_by_domain(sample)
        lengths = np.asarray([max(len(w.tokens) - first, 0) for w in sample.windows], dtype=np.int64)
        self.names = sorted(windows, key=lambda name: -int(lengths[windows[name]].sum()))
        self.documents = [len(documents[name]) for name in self.names]
        self.of_window: Ints = np.zeros(len(lengths), dtype=np.int64)
        for index, name in enumerate(self.names):
            self.of_window[windows[name]] = index

    def parts(self, windows: Ints, kept: int) -> Ints:
        """Return the part of the sample that each window adds to: the index of its domain, or `kept` for all others.

        Args:
            windows: indices in the sample.
            kept: how many domains are kept apart.

        Returns:
            As many numbers of 0 … `kept`; zeros where the sample has one domain, which is the whole.
        """
        if len(self.names) <= 1:
            return np.zeros(len(windows), dtype=np.int64)
        parts: Ints = self.of_window[windows].clip(max=kept)
        return parts
