"""Windows that neither train nor evaluate heads: by them the best step of a training is chosen."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

from degen.text.windows import Sample, Window

SHARE = 4  # one in so many of the documents that could train is held out
MAX_TOKENS = 16_384  # held out at most
MIN_TOKENS = 1_024  # held out at least, where there are as many
PER_TRAINED = 32  # one token is held out for so many that train


def hold_out(windows: Iterator[Window], sample: Sample, tokens: int) -> tuple[list[Window], Iterator[Window]]:
    """Return windows that are held out of a training, and the windows that are left to train on.

    They are of documents outside the sample, a quarter of those at most. Where there are none, as with a corpus that
    is used up, they are of a quarter of the documents of the fit half: the closed form has seen these, so that they
    favour it, and a training from there may end as it began.

    Args:
        windows: to train on, without end: one of each document, then another of each, again and again.
        sample: of which none of the evaluated documents is among `windows`.
        tokens: to train on; some thirtieth of it is held out, between 1,024 and 16,384.

    Returns:
        The windows held out, none where there is one document alone to train on, and those left, without end; no
        document is among both.
    """
    wanted = min(max(tokens // PER_TRAINED, MIN_TOKENS), MAX_TOKENS)
    sampled = {window.document for window in sample.windows}
    taken: list[Window] = []  # the first of each document
    repeated: list[Window] = []
    seen: set[int] = set()
    others = 0  # tokens outside the sample
    for window in windows:
        if window.document in seen:
            repeated.append(window)
            break
        seen.add(window.document)
        taken.append(window)
        others += len(window.tokens) if window.document not in sampled else 0
        if others >= SHARE * wanted:
            break
    outside = [window for window in taken if window.document not in sampled]
    candidates = outside if len(outside) >= SHARE else [w for w in taken if w.document in sampled]
    held: list[Window] = []
    for window in candidates[: max(len(candidates) // SHARE, min(len(taken) - 1, 1))]:
        if sum(len(w.tokens) for w in held) < wanted:
            held.append(window)
    documents = {window.document for window in held}
    return held, (w for w in chain(taken, repeated, windows) if w.document not in documents)
