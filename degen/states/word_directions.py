"""The sums of directions of the states of words: of the most frequent ones, and of all."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np

from degen.arrays import Floats, Ints
from degen.probe import Batch, Site
from degen.text.windows import Sample
from degen.text.words import Word

from .shared_states import Accumulator
from .state_rows import StateRows

if TYPE_CHECKING:
    import torch

FREQUENT = 200  # the most frequent words, and tokens, whose directions are summed


@dataclass(frozen=True)
class WordSums:
    """Of the words of one site, of the whole sample or of one domain.

    Attributes:
        sums: the sum of unit vectors of each frequent word, k × d.
        counts: how many, k.
        total: the sum of unit vectors of all words, d.
        total_count: how many.
    """

    sums: Floats
    counts: Floats
    total: Floats
    total_count: float


def frequent_words(words: list[list[Word]], first: int = 0) -> list[str]:
    """Return the 200 most frequent words that occur twice or more, in the order of the alphabet among equals.

    Args:
        words: of each window.
        first: the first position that counts.
    """
    counts = Counter(word.text for own in words for word in own if word.first >= first)
    ordered = sorted(counts, key=lambda text: (-counts[text], text))[:FREQUENT]
    return [text for text in ordered if counts[text] > 1]


class _SiteSums:
    """Of one site: sums of unit vectors and their counts, by slot; the slots of the totals come last."""

    def __init__(self, slots: int, width: int, device: torch.device) -> None:
        import torch

        self.sums = torch.zeros((slots, width), dtype=torch.float64, device=device)
        self.counts = torch.zeros(slots, dtype=torch.float64, device=device)

    def merge(self, other: _SiteSums) -> None:
        self.sums += other.sums.to(self.sums.device)
        self.counts += other.counts.to(self.sums.device)


class WordDirections(Accumulator):
    """The sums of directions of the words of the sample and of its domains; a word's state is the mean of its tokens'.

    Attributes:
        tells_words: whether the tokenizer says where words begin.
    """

    def __init__(self, sample: Sample, first: int = 0) -> None:
        super().__init__(sample, first)
        found = [sample.words(window.tokens) if sample.words is not None else None for window in sample.windows]
        self.tells_words = all(words is not None for words in found)
        self._words = [[word for word in words or [] if word.first >= first] for words in found]
        domains = min(self.most_domains, len(self.domains.names)) if len(self.domains.names) > 1 else 0
        of_domains = [[w for w, k in zip(self._words, self.domains.of_window, strict=True) if k == domain]
                      for domain in range(domains)]  # fmt: skip
        self._slots: list[dict[str, int]] = []
        self._starts = [0]
        for words in (self._words, *of_domains):
            frequent = frequent_words(words)
            self._slots.append({text: self._starts[-1] + i for i, text in enumerate(frequent)})
            self._starts.append(self._starts[-1] + len(frequent))
        self.sites: dict[Site, _SiteSums] = {}
        self._latest: tuple[Batch, tuple[Ints, ...]] | None = None

    @classmethod
    def numbers(cls, width: int) -> int:
        """Return how many numbers are kept of one domain at a site."""
        return FREQUENT * width

    def add(self, batch: Batch, site: Site, rows: StateRows) -> None:
        """Add the states of a batch at one site."""
        import torch

        values, device = rows.values, rows.values.device
        if site not in self.sites:
            self.sites[site] = _SiteSums(self._starts[-1] + len(self._slots), values.shape[1], device)
        if self._latest is None or self._latest[0] is not batch:
            self._latest = batch, self._indices(batch)
        tokens, word_of, words, slots_of, parts = (torch.from_numpy(index).to(device) for index in self._latest[1])
        if not len(tokens):
            return
        count = int(self._latest[1][1][-1]) + 1
        states = values.new_zeros((count, values.shape[1])).index_add_(0, word_of, values[tokens])  # n·mean
        norms = states.norm(dim=1)
        inverse, nonzero = norms.reciprocal().masked_fill(norms == 0, 0.0), (norms != 0).double()
        sums, totals = self.sites[site], slice(self._starts[-1], None)
        of_parts = values.new_zeros((len(sums.sums[totals]), count))
        of_parts[parts, torch.arange(count, device=device)] = inverse
        sums.sums[totals] += of_parts @ states
        sums.counts[totals].index_add_(0, parts, nonzero)
        sums.sums.index_add_(0, slots_of, states[words] * inverse[words].unsqueeze(1))
        sums.counts.index_add_(0, slots_of, nonzero[words])

    def _indices(self, batch: Batch) -> tuple[Ints, ...]:
        """Return the rows of the tokens of words, and the word of each; frequent words, and their slots; all parts."""
        tokens: list[int] = []
        word_of: list[int] = []
        words: list[int] = []
        slots: list[int] = []
        parts: list[int] = []
        count = start = 0
        for row, window in enumerate(batch.windows.tolist()):
            part = min(int(self.domains.parts(np.asarray([window]), len(self._slots) - 1)[0]), len(self._slots) - 1)
            own = self._slots[part + 1] if part + 1 < len(self._slots) else {}
            for word in self._words[window]:
                tokens += range(start + word.first - batch.first, start + word.last - batch.first)
                word_of += [count] * (word.last - word.first)
                at = [slot for slot in (self._slots[0].get(word.text), own.get(word.text)) if slot is not None]
                slots += at
                words += [count] * len(at)
                parts.append(part)
                count += 1
            start += int(batch.row_lengths[row])
        return tuple(np.asarray(x, dtype=np.int64) for x in (tokens, word_of, words, slots, parts))

    def of(self, site: Site, domain: int | None = None) -> WordSums:
        """Return the sums over the states of one site.

        Args:
            site: where the states were taken.
            domain: index of a domain that is kept apart; None for the states of all.
        """
        sums = self.sites[site]
        index = 0 if domain is None else domain + 1
        own = slice(self._starts[index], self._starts[index + 1])
        totals = (
            slice(self._starts[-1], None) if domain is None else slice(*(self._starts[-1] + domain + i for i in (0, 1)))
        )
        return WordSums(
            sums.sums[own].cpu().numpy(),
            sums.counts[own].cpu().numpy(),
            sums.sums[totals].sum(dim=0).cpu().numpy(),
            float(sums.counts[totals].sum()),
        )

    def merge(self, other: Self) -> None:
        """Add the sums of another instance."""
        for site, sums in other.sites.items():
            if site not in self.sites:
                self.sites[site] = _SiteSums(len(sums.counts), sums.sums.shape[1], sums.sums.device)
            self.sites[site].merge(sums)
