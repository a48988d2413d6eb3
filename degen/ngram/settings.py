"""The settings of a measurement of n-grams."""

from __future__ import annotations

from dataclasses import dataclass

from degen.errors import DegenError, shorten_number
from degen.scanning.settings import MAX_INT, Settings

LONGEST_WINDOW = 1 << 14  # tokens; a longer document becomes several windows
MOST_CONTEXTS = 1_000_000
HIGHEST_ORDER = 64


@dataclass(frozen=True)
class NgramSettings:
    """The settings of a measurement of n-grams, except for corpus and tokenizer.

    Attributes:
        orders: n of the n-grams: n − 1 tokens are a context.
        tokens: the most tokens to read of each corpus.
        context: the longest window, in tokens, as in a scan; None for whole documents.
        contexts: the most contexts, rows of the matrix; more are sampled.
        least_count: how often a context must be seen.
        weighted: whether rows are weighted by how often their contexts are seen.
        seed: of the order of documents and of the sample of contexts.

    Raises:
        DegenError: a value is out of range.
    """

    orders: tuple[int, ...] = (5,)
    tokens: int = 1_000_000
    context: int | None = None
    contexts: int = 8_000
    least_count: int = 1
    weighted: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        Settings((), tokens=self.tokens, context=self.context, seed=self.seed)  # checks the settings of a scan
        if not self.orders:
            raise DegenError("--order: name one, as in --order 5")
        ranges = [("order", order, 2, HIGHEST_ORDER) for order in self.orders]
        ranges += [("contexts", self.contexts, 1, MOST_CONTEXTS), ("least-count", self.least_count, 1, MAX_INT)]
        for name, value, least, most in ranges:
            if not least <= value <= most:
                raise DegenError(f"--{name} {shorten_number(value)}: must be from {least} to {most:,}")

    @property
    def longest_window(self) -> int:
        """The longest window, in tokens."""
        return self.context if self.context is not None else LONGEST_WINDOW
