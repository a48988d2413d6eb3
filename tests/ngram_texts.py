"""Random texts of token ids, their n-grams counted with dictionaries, and a file of their tokens."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence

import numpy as np

from degen.ngram.token_file import TokenFile
from degen.text.windows import Window

Texts = Sequence[Sequence[int]]


def window(number: int, tokens: Sequence[int]) -> Window:
    return Window(number, number, None, 0, 0, np.asarray(tokens, dtype=np.int32))


def written(texts: Texts) -> TokenFile:
    file = TokenFile()
    file.write(window(i, text) for i, text in enumerate(texts))
    return file


def brute_force(texts: Texts, order: int) -> dict[tuple[int, ...], Counter[int]]:
    counts: dict[tuple[int, ...], Counter[int]] = defaultdict(Counter)
    for text in texts:
        for i in range(len(text) - order + 1):
            counts[tuple(text[i : i + order - 1])][text[i + order - 1]] += 1
    return counts


def random_texts(seed: int, vocabulary: int, documents: int = 12, longest: int = 90) -> list[list[int]]:
    rng = np.random.default_rng(seed)
    return [
        (rng.zipf(1.4, size=rng.integers(1, longest)) % vocabulary).tolist() for _ in range(documents)
    ]  # fmt: skip
