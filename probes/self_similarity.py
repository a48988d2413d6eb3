"""Self-similarity: how alike the states of one token are in different contexts, and those of one window."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np
from degen.probes.anisotropy import mean_cosine

from degen.arrays import Floats, Ints
from degen.probe import Batch, Site
from degen.states.directions import Directions
from degen.states.shared_states import Accumulator, StateProbe
from degen.states.state_rows import StateRows
from degen.states.word_directions import FREQUENT, WordDirections, WordSums
from degen.tables import Column, Metric, Row
from degen.text.windows import Sample, Window

if TYPE_CHECKING:
    import torch


def frequent_tokens(windows: Iterable[Window], first: int = 0) -> Ints:
    """Return the ids of the 200 most frequent tokens that occur twice or more, the smaller id first among equals.

    Args:
        windows: that are counted.
        first: the first position of a window that counts.
    """
    tokens = np.concatenate([np.zeros(0, dtype=np.int64), *(w.tokens[first:] for w in windows)])
    ids, counts = np.unique(tokens, return_counts=True)
    order = np.argsort(-counts, kind="stable")[:FREQUENT]
    kept: Ints = ids[order[counts[order] > 1]].astype(np.int64)
    return kept


@dataclass(frozen=True)
class TokenSums:
    """Of the states of one site, of the whole sample or of one domain.

    Attributes:
        sums: the sum of unit vectors of each frequent token, k × d.
        counts: how many, k.
        similarity: Σ over windows of their similarity.
        windows: how many windows that is of.
    """

    sums: Floats
    counts: Floats
    similarity: float
    windows: float


class _SiteSums:
    """Of one site: sums of unit vectors and counts by slot of a token; similarities and their number by part."""

    def __init__(self, slots: int, parts: int, width: int, device: torch.device) -> None:
        import torch

        self.sums = torch.zeros((slots, width), dtype=torch.float64, device=device)
        self.counts = torch.zeros(slots, dtype=torch.float64, device=device)
        self.windows = torch.zeros((parts, 2), dtype=torch.float64, device=device)

    def merge(self, other: _SiteSums) -> None:
        for name in ("sums", "counts", "windows"):
            getattr(self, name).add_(getattr(other, name).to(self.sums.device))


class TokenDirections(Accumulator):
    """The sums of directions of the most frequent tokens of the sample and of its domains; similarities of windows."""

    def __init__(self, sample: Sample, first: int = 0) -> None:
        super().__init__(sample, first)
        domains = len(self.domains.names) if len(self.domains.names) > 1 else 0
        of_domains = [[w for w, k in zip(sample.windows, self.domains.of_window, strict=True) if k == domain]
                      for domain in range(min(domains, self.most_domains))]  # fmt: skip
        self.tokens = [frequent_tokens(sample.windows, first), *(frequent_tokens(w, first) for w in of_domains)]
        self._starts = np.cumsum([0, *map(len, self.tokens)])
        largest = max((int(w.tokens.max()) for w in sample.windows), default=0)
        self._slots = np.full((len(self.tokens), largest + 1), -1, dtype=np.int64)
        for i, tokens in enumerate(self.tokens):
            self._slots[i, tokens] = self._starts[i] + np.arange(len(tokens))
        self.sites: dict[Site, _SiteSums] = {}

    @classmethod
    def numbers(cls, width: int) -> int:
        """Return how many numbers are kept of one domain at a site."""
        return FREQUENT * width

    def add(self, batch: Batch, site: Site, rows: StateRows) -> None:
        """Add the states of a batch at one site."""
        import torch

        values, inverse, device = rows.values, rows.inverse_norms, rows.values.device
        kept = self.kept(values.shape[1])
        if site not in self.sites:
            self.sites[site] = _SiteSums(int(self._starts[-1]), kept + 1, values.shape[1], device)
        sums = self.sites[site]
        nonzero = (rows.norms != 0).double()
        parts = self.domains.parts(batch.windows, kept)
        similarity, measured = self._window_similarities(rows, nonzero)
        of_windows = torch.stack([similarity, measured], dim=1)
        sums.windows.index_add_(0, torch.from_numpy(parts).to(device), of_windows)
        tokens = np.concatenate([self._tokens(batch, row) for row in range(len(batch.windows))])
        of_tokens = parts[rows.window_rows]
        own = np.where(of_tokens + 1 < len(self._slots), of_tokens + 1, 0)  # row of its domain, or of the whole
        slots = np.concatenate([self._slots[0, tokens], np.where(own > 0, self._slots[own, tokens], -1)])
        kept_slots = np.flatnonzero(slots >= 0)
        at = torch.from_numpy(kept_slots % len(tokens)).to(device)
        slot = torch.from_numpy(slots[kept_slots]).to(device)
        sums.sums.index_add_(0, slot, values[at] * inverse[at].unsqueeze(1))
        sums.counts.index_add_(0, slot, nonzero[at])

    @staticmethod
    def _window_similarities(rows: StateRows, nonzero: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return for each window the mean of cos(s, h), s the mean of its states, and 1; or 0 and 0 without one.

        It is ⟨s/‖s‖, Σ ĥ⟩ / n.
        """
        import torch

        values = rows.values
        window_of = torch.from_numpy(rows.window_rows).to(values.device)
        among = values.new_zeros((2, len(rows.batch.windows), len(values)))
        at = window_of, torch.arange(len(values), device=values.device)
        among[0][at], among[1][at] = 1.0, rows.inverse_norms
        window_sums, unit_sums = (among.flatten(0, 1) @ values).view(*among.shape[:2], -1)
        counts = among[0] @ nonzero
        norms = window_sums.norm(dim=1)
        measured = (norms > 0) & (counts > 0)
        similarity = (window_sums * unit_sums).sum(dim=1) / (norms * counts).masked_fill(~measured, 1.0)
        return similarity.masked_fill(~measured, 0.0), measured.double()

    def _tokens(self, batch: Batch, row: int) -> Ints:
        """Return the ids of the states of one row, from the sample, so that no device is read from."""
        tokens = self.sample.windows[int(batch.windows[row])].tokens
        return tokens[batch.first : batch.first + int(batch.row_lengths[row])].astype(np.int64)

    def of(self, site: Site, domain: int | None = None) -> TokenSums:
        """Return the sums over the states of one site.

        Args:
            site: where the states were taken.
            domain: index of a domain that is kept apart; None for the states of all.
        """
        sums = self.sites[site]
        index = 0 if domain is None else domain + 1
        slots = slice(int(self._starts[index]), int(self._starts[index + 1]))
        windows = sums.windows.sum(dim=0) if domain is None else sums.windows[domain]
        similarity, count = windows.tolist()
        return TokenSums(sums.sums[slots].cpu().numpy(), sums.counts[slots].cpu().numpy(), similarity, count)

    def merge(self, other: Self) -> None:
        """Add the sums of another instance."""
        for site, sums in other.sites.items():
            if site not in self.sites:
                self.sites[site] = _SiteSums(len(sums.sums), len(sums.windows), sums.sums.shape[1], sums.sums.device)
            self.sites[site].merge(sums)


def token_similarities(sums: Floats, counts: Floats) -> Floats:
    """Return for each token the mean cosine over all pairs of its occurrences, NaN for fewer than two.

    Args:
        sums: the sum of unit vectors of each token, k × d.
        counts: how many, k.

    Source: Ethayarajh 2019 (arXiv 1909.00512), definition 1.
    """
    values: Floats = mean_cosine((sums**2).sum(axis=1), counts)
    return values


class SelfSimilarity(StateProbe):
    """Self-similarity of frequent tokens and similarity within windows, and both less the mean cosine of all pairs."""

    measures = "how alike the states of one token are in all its contexts, and those of one window, at every layer"
    accumulators = (Directions, TokenDirections, WordDirections)
    cost = "few sums over the states; memory: 400·d numbers a site and domain"
    metrics = (
        Metric(
            ("self_similarity", "self_similarity_adjusted", "self_similarity_tokens"),
            formula="mean over tokens of the mean cosine of pairs of occurrences; less the mean cosine of all pairs",
            source="Ethayarajh 2019 (arXiv 1909.00512), definition 1 and section 3.4",
            range="−1 to 1, adjusted −2 to 2",
            high="a token has about the same state in all contexts",
            low="states depend on the context; adjusted near 0, no more alike than any two states",
            clashes="word_self_similarity, of words; frequent tokens are the least alike",
        ),
        Metric(
            ("word_self_similarity", "word_self_similarity_adjusted", "self_similarity_words"),
            formula="the same of words, the state of a word the mean of its tokens'; less the mean cosine of all words",
            source="Ethayarajh 2019 (arXiv 1909.00512), definition 1 and section 3.4",
            range="−1 to 1, adjusted −2 to 2",
            high="a word has about the same state in all contexts",
            low="states depend on the context; adjusted near 0, no more alike than any two words",
            clashes="of tokens (self_similarity); the state of a word's last token; words of one sentence each",
        ),
        Metric(
            ("intra_similarity", "intra_similarity_adjusted"),
            formula="mean over windows of mean cos(s, h), s the window's mean state; less the mean cosine of all pairs",
            source="Ethayarajh 2019 (arXiv 1909.00512), definition 2 and section 3.4",
            range="0 to 1, adjusted −1 to 2",
            high="the states of a window are alike",
            low="they point in all directions; short windows raise it, for s holds each h",
            clashes="anisotropy_within, the mean cosine of pairs of a document",
        ),
    )
    columns = {
        "layers": (
            Column("self_similarity", "float64", "cosine",
                   "mean over the 200 most frequent tokens of the mean cosine of pairs of their occurrences"),
            Column("self_similarity_adjusted", "float64", "cosine", "the same less the mean cosine of all pairs"),
            Column("self_similarity_tokens", "int64", "tokens", "how many tokens that is the mean of"),
            Column("word_self_similarity", "float64", "cosine",
                   "mean over the 200 most frequent words of the mean cosine of pairs of their occurrences"),
            Column("word_self_similarity_adjusted", "float64", "cosine", "the same less the mean cosine of all words"),
            Column("self_similarity_words", "int64", "words", "how many words that is the mean of"),
            Column("intra_similarity", "float64", "cosine",
                   "mean over windows of mean cos(s, h), s the mean state of the window"),
            Column("intra_similarity_adjusted", "float64", "cosine", "the same less the mean cosine of all pairs"),
        )
    }  # fmt: skip

    def layer_row(self, site: Site, domain: int | None = None) -> Row:
        """Return the columns of table `layers` for one site, of the states of all or of one domain."""
        unit_sum, _, count = self.shared.get(Directions).of(site, domain).arrays()
        sums = self.shared.get(TokenDirections).of(site, domain)
        if not np.isfinite(unit_sum).all():
            return {"reason": "its states are not finite, or too large for their squares"}
        baseline = float(mean_cosine(float(unit_sum @ unit_sum), float(count)))
        if np.isnan(baseline):
            return {"reason": "no similarity: it has no two states other than zero"}
        of_tokens = token_similarities(sums.sums, sums.counts)
        of_tokens = of_tokens[~np.isnan(of_tokens)]
        row: Row = {"self_similarity_tokens": len(of_tokens), "reason": None}
        if len(of_tokens):
            row["self_similarity"] = float(of_tokens.mean())
            row["self_similarity_adjusted"] = row["self_similarity"] - baseline
        else:
            row["reason"] = "no self_similarity: no token occurs twice"
        row |= self._of_words(site, domain, row["reason"])
        if sums.windows and np.isfinite(sums.similarity):
            row["intra_similarity"] = sums.similarity / sums.windows
            row["intra_similarity_adjusted"] = row["intra_similarity"] - baseline
        return row

    def _of_words(self, site: Site, domain: int | None, reason: str | None) -> Row:
        """Return the columns of words, and the reason of the row with theirs added."""
        words = self.shared.get(WordDirections)
        if not words.tells_words:
            lacking = "the tokenizer does not tell where words begin"
            return {"reason": "; ".join(filter(None, (reason, f"no word_self_similarity: {lacking}")))}
        return word_figures(words.of(site, domain), reason)


def word_figures(sums: WordSums, reason: str | None = None) -> Row:
    """Return the columns of words.

    Formulas: for each word the mean cosine over pairs of its occurrences (`mean_cosine`), its mean over words, and that
    less the mean cosine over all pairs of words.

    Args:
        sums: of unit vectors of the frequent words, and of all words.
        reason: of other columns, which is kept.
    """
    of_words = token_similarities(sums.sums, sums.counts)
    of_words = of_words[~np.isnan(of_words)]
    row: Row = {"self_similarity_words": len(of_words), "reason": reason}
    if not len(of_words):
        return row | {"reason": "; ".join(filter(None, (reason, "no word_self_similarity: no word occurs twice")))}
    similarity = float(of_words.mean())
    baseline = float(mean_cosine(float(sums.total @ sums.total), sums.total_count))
    return row | {"word_self_similarity": similarity, "word_self_similarity_adjusted": similarity - baseline}
