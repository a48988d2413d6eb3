"""Contexts of n − 1 tokens: a uniform sample of those seen often enough, and the tokens that follow each of them.

A context is known by a key of 64 bits, in the order of which contexts are sampled: the smallest keys of a hash are a
uniform sample. The counts of the keys below a bound take bounded memory, and are exact: a key below the bound at the
end has been below it all the time.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from degen.arrays import Ints, Tokens

from .token_file import END, TokenFile

Keys = npt.NDArray[np.uint64]
K = TypeVar("K", np.uint64, np.int64)

MOST_KEYS = 1 << 20  # contexts counted at a time, 16 bytes each, and a few times that while lists are merged
LARGEST_KEY = 2**64 - 1


@dataclass(frozen=True)
class ContextSample:
    """The contexts that were chosen.

    Attributes:
        keys: of the contexts, ascending.
        counts: how often each is followed by a token.
        eligible: how many contexts were seen often enough, those that were not chosen included.
        eligible_is_exact: False where `eligible` is estimated from the share of all keys that were counted.
    """

    keys: Keys
    counts: Ints
    eligible: int
    eligible_is_exact: bool


@dataclass(frozen=True)
class NextTokens:
    """How often which token follows which context.

    Attributes:
        row: index of the context.
        token: id of the token that follows.
        count: how often it does; 1 or more.
        contexts: number of contexts.
        vocabulary: number of ids.
    """

    row: Ints
    token: Ints
    count: Ints
    contexts: int
    vocabulary: int


@dataclass(frozen=True)
class NgramKeys:
    """The keys of the contexts in a piece of text.

    Attributes:
        order: n, tokens of an n-gram; its context has n − 1.
        vocabulary: number of ids.
        seed: other seeds give other keys, and so another sample.
    """

    order: int
    vocabulary: int
    seed: int

    def keys_and_next(self, tokens: Tokens) -> tuple[Keys, Ints]:
        """Return the key of each context and the token behind it, n-grams across the end of a window left out.

        Where all ids of a context fit into 64 bits (four ids of a vocabulary of 65,536) different contexts have
        different keys. Otherwise two of them share one with a probability of 2⁻⁶⁴.
        """
        width = len(tokens) - self.order + 1
        if width <= 0:
            return np.empty(0, dtype=np.uint64), np.empty(0, dtype=np.int64)
        ends = np.concatenate([[0], np.cumsum(tokens == END)])
        whole = ends[self.order :] == ends[:width]
        columns = [tokens[i : i + width][whole].astype(np.uint64) for i in range(self.order - 1)]
        bits = max((self.vocabulary - 1).bit_length(), 1)
        key = np.zeros(len(columns[0]), dtype=np.uint64)
        packed = bits * (self.order - 1) <= 64
        for column in columns:
            key = (key << np.uint64(bits)) | column if packed else _mixed(key + column + np.uint64(1))
        start = _mixed(np.asarray([self.seed], dtype=np.uint64))
        return _mixed(key ^ start), tokens[self.order - 1 :][whole].astype(np.int64)


def _mixed(keys: Keys) -> Keys:
    """Return keys with their bits mixed, different ones for different keys (the finaliser of SplitMix64)."""
    keys = keys + np.uint64(0x9E3779B97F4A7C15)
    keys = (keys ^ (keys >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    keys = (keys ^ (keys >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed: Keys = keys ^ (keys >> np.uint64(31))
    return mixed


def sample_contexts(
    file: TokenFile,
    ngrams: NgramKeys,
    contexts: int,
    least_count: int,
    on_pass: Callable[[], None] = lambda: None,
    most_keys: int = MOST_KEYS,
) -> ContextSample:
    """Return a uniform sample of the contexts seen at least `least_count` times.

    The text is read once for each `most_keys` different contexts that have to be counted until there are enough.

    Args:
        file: the text.
        ngrams: makes the keys.
        contexts: the most contexts to choose; all where there are fewer.
        least_count: how often a context must be seen.
        on_pass: called before each pass over the text.
        most_keys: contexts counted at a time.
    """
    chosen: list[Keys] = []
    chosen_counts: list[Ints] = []
    number, after = 0, -1
    while number < contexts and after < LARGEST_KEY:
        on_pass()
        keys, counts, last = _count_smallest(file, ngrams, after, most_keys)
        often = counts >= least_count
        chosen.append(keys[often])
        chosen_counts.append(counts[often])
        number += int(often.sum())
        after = last
    exact = after == LARGEST_KEY
    eligible = number if exact else round(number / ((after + 1) / 2**64))
    empty = np.empty(0, dtype=np.uint64), np.empty(0, dtype=np.int64)
    every, every_count = np.concatenate([empty[0], *chosen]), np.concatenate([empty[1], *chosen_counts])
    return ContextSample(every[:contexts], every_count[:contexts], eligible, exact)


def _count_smallest(file: TokenFile, ngrams: NgramKeys, after: int, most: int) -> tuple[Keys, Ints, int]:
    """Return the `most` smallest keys above `after`, ascending, with their counts, and the largest key counted.

    That is `LARGEST_KEY` where no key was left out.
    """
    kept: Keys = np.empty(0, dtype=np.uint64)
    counts: Ints = np.empty(0, dtype=np.int64)
    bound = LARGEST_KEY
    for piece in file.pieces(ngrams.order - 1):
        keys, _ = ngrams.keys_and_next(piece)
        inside = keys <= np.uint64(bound)
        if after >= 0:
            inside &= keys > np.uint64(after)
        new, new_counts = np.unique(keys[inside], return_counts=True)
        kept, counts = _merged(np.concatenate([kept, new]), np.concatenate([counts, new_counts]))
        if len(kept) > most:
            kept, counts = kept[:most], counts[:most]
            bound = int(kept[-1])
    return kept, counts, bound


def _merged(keys: npt.NDArray[K], counts: Ints) -> tuple[npt.NDArray[K], Ints]:
    """Return the different keys, ascending, and the sum of the counts of each."""
    if not len(keys):
        return keys, counts
    order = np.argsort(keys, kind="stable")  # merges two sorted lists in linear time
    keys, counts = keys[order], counts[order]
    first = np.flatnonzero(np.concatenate([[True], keys[1:] != keys[:-1]]))
    return keys[first], np.add.reduceat(counts, first)


def count_next_tokens(file: TokenFile, ngrams: NgramKeys, sample: ContextSample) -> NextTokens:
    """Return how often each token follows each context of a sample; the text is read once.

    Memory grows with the number of different pairs of context and token.
    """
    pairs: Ints = np.empty(0, dtype=np.int64)
    counts: Ints = np.empty(0, dtype=np.int64)
    if len(sample.keys):
        for piece in file.pieces(ngrams.order - 1):
            keys, following = ngrams.keys_and_next(piece)
            row = np.minimum(np.searchsorted(sample.keys, keys), len(sample.keys) - 1)
            chosen = sample.keys[row] == keys
            new, new_counts = np.unique(row[chosen] * ngrams.vocabulary + following[chosen], return_counts=True)
            pairs, counts = _merged(np.concatenate([pairs, new]), np.concatenate([counts, new_counts]))
    row, token = np.divmod(pairs, ngrams.vocabulary)
    return NextTokens(row, token, counts, len(sample.keys), ngrams.vocabulary)
