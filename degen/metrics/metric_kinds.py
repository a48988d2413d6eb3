"""Metrics by their names: which way is better, and the least change that matters."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from degen.errors import DegenError
from degen.readers.name_words import words_of

from .curve import Better

WIDTH_UNKNOWN = 1024  # the width a head is taken to have where it is unknown
Unit = Literal["absolute", "share", "log share", "ln width"]


@dataclass(frozen=True)
class Floor:
    """The least change of a metric that matters, as a rule for any value of it.

    Attributes:
        amount: how much of the unit, 0 or more.
        unit: `absolute`, in the metric's own; `share` of the best value; `log share`, of the logarithm of the best
            value; `ln width`, of the logarithm of the width of the head.
    """

    amount: float
    unit: Unit = "absolute"

    def of(self, best: float, width: int | None = None) -> float:
        """Return the floor in the metric's unit.

        Formulas: `share` a·|b|; `log share` b·(exp(a·max(ln b, 1)) − 1), that is b^(1+a) − b for a perplexity b
        above e and a share a of b below it, where ln b goes to nothing; `ln width` a·ln d.

        Args:
            best: the best value b of the metric.
            width: d, dimensions that the LM head sees; 1024 where unknown.
        """
        if self.unit == "share":
            return self.amount * abs(best)
        if self.unit == "log share":
            return best * math.expm1(self.amount * max(math.log(best), 1.0)) if best > 0 else 0.0
        if self.unit == "ln width":
            return self.amount * math.log(width or WIDTH_UNKNOWN)
        return self.amount

    @property
    def needs_width(self) -> bool:
        """Whether the floor depends on the width of the head."""
        return self.unit == "ln width"


@dataclass(frozen=True)
class Kind:
    """The properties of a metric that its name tells.

    Attributes:
        better: whether lower (`min`) or higher (`max`) values are better.
        floor: the default of the least change that matters.
        logarithmic: whether the metric is judged on its logarithm, as a perplexity, whose logarithm is a loss.
    """

    better: Better
    floor: Floor
    logarithmic: bool = False


NO_FLOOR = Floor(0.0)
# ends of the names of values that accompany a metric
_NO_METRIC = r"se|std|stderr|scale|weight|weights|coef|steps?|count|counts|jackknife_min|jackknife_max"

# Tried in this order, on whole words: an `anisotropy_loss` is a loss.
_OF_LOSS = Kind("min", Floor(0.005, "share"))
_KINDS: tuple[tuple[str, Kind], ...] = (
    (r"loss|losses|nll|cross_entropy|crossentropy|xent", _OF_LOSS),
    (r"bits_per_byte|bits_per_character|bits_per_char|bpb|bpc", Kind("min", Floor(0.005, "share"))),
    (r"perplexity|perplexities|ppl", Kind("min", Floor(0.005, "log share"), logarithmic=True)),
    (r"anisotropy", Kind("min", Floor(0.1))),
    (r"singular_entropy|^kl_[a-z0-9_]+", Kind("min", Floor(0.1, "ln width"))),
    (r"top_singular_share", Kind("min", NO_FLOOR)),
    (
        r"acc|acc_norm|accuracy|f1|exact_match|em|mcc|bleu|rouge[a-z0-9]*|pass@|effective_rank|stable_rank"
        r"|glue|super_?glue|squad|downstream",
        Kind("max", NO_FLOOR),
    ),
)


def kind_of(name: str) -> Kind | None:
    """Return what is known of a metric by its name; None for an unknown name.

    The name is split into words at `_`, `/`, `,`, `-`, `.`, `:`, brackets, spaces, and before a capital in camel case;
    case and numbers at the end of a word make no difference: `val_loss2` and `valLoss` are losses, `gloss` and
    `loss_scale` are not. The end of a name goes before what stands in it: `loss validation ppl` is a perplexity.

    Args:
        name: of the metric, such as `val_loss`, `acc_norm` or `exact_match,strict-match`.
    """
    words = _metric_words(name)
    if words is None:
        return None
    found = (kind for at_end in (True, False) for pattern, kind in _KINDS if _has(words, pattern, at_end))
    return next(found, None)


def better_of_unknown(name: str, warn: Callable[[str], None]) -> Better:
    """Return `min` for a metric of which nothing says whether lower or higher is better, with a warning.

    Args:
        name: of the metric.
        warn: called with the warning, which names the option that says otherwise.
    """
    warn(
        f"{name}: the name does not tell whether lower or higher is better; lower is assumed, "
        f"use --better {name}=max if higher is"
    )
    return "min"


def is_loss(name: str) -> bool:
    """Return whether the name of a metric is that of a loss in nats; only to losses can a loss law be fitted."""
    return kind_of(name) is _OF_LOSS


def _metric_words(name: str) -> str | None:
    """Return the words of a name, or None where it is that of an error or scale of a metric, such as `loss_se`."""
    words = words_of(name)
    return None if re.search(rf"_(?:{_NO_METRIC})$", words) else words


def _has(words: str, pattern: str, at_end: bool) -> bool:
    return re.search(rf"(?:^|_)(?:{pattern})\d*(?:{'' if at_end else '_|'}$)", words) is not None


def parse_floor(text: str, option: str | None = None) -> Floor:
    """Return the floor that a text stands for.

    The text is `0.02`, in the metric's unit; `0.5%`, of the best value; or `0.1lnd`, 0.1 times ln of the head's width.

    Args:
        text: the text.
        option: the whole value of the option --floor, for the error; None where it is `text` alone.

    Raises:
        DegenError: the text has another form, or the number is negative or not finite.
    """
    option = text if option is None else option
    match = re.fullmatch(r"(?P<amount>.*?)\s*(?P<unit>%|\*?\s*ln\s*\(?d\)?)?", text.strip(), re.IGNORECASE | re.DOTALL)
    unit = match["unit"] if match else None
    try:
        amount = float(match["amount"]) if match else math.nan
    except ValueError:
        amount = math.nan
    if not math.isfinite(amount):
        raise DegenError(
            f"--floor {option}: must be a number, as 0.02 (in the metric's unit), 0.5% (of the best value) or 0.1lnd "
            "(times ln of the head's width)"
        )
    if amount < 0:
        raise DegenError(f"--floor {option}: the least change that matters must be 0 or more")
    if unit is None:
        return Floor(amount)
    return Floor(amount / 100, "share") if unit == "%" else Floor(amount, "ln width")


def parse_floors(options: Sequence[str]) -> dict[str | None, Floor]:
    """Return a dict: name of the metric -> its floor; the key None stands for all other metrics.

    Args:
        options: the values of the option --floor: `NAME=0.5%`, or `0.5%` for all other metrics.

    Raises:
        DegenError: a value is no floor, lacks the name before the `=`, or names a metric twice.
    """
    floors: dict[str | None, Floor] = {}
    for option in options:
        name, equals, amount = option.rpartition("=")
        key = name.strip() if equals else None
        if key == "":
            raise DegenError(f"--floor {option}: there is no metric before the =; write it as ppl=0.5%")
        if key in floors:
            of = "all other metrics" if key is None else key
            raise DegenError(f"--floor {option}: the floor of {of} is given twice; keep one")
        floors[key] = parse_floor(amount, option)
    return floors
