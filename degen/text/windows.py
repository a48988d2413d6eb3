"""Token windows: where they lie in the documents, what they hold, and the file that keeps them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from degen.errors import DegenError
from degen.tables import SCHEMA_VERSION, write_parquet

from .corpus import Corpus, Document
from .tokenizer import Tokenizer

SHORTEST = 16  # tokens; a document under this gives no window
STREAMED_AT_ONCE = 4096  # documents kept of a pass over a local corpus
CHARACTERS_PER_TOKEN = 4  # the start of a window is drawn so that a full one is expected to fit behind it

Tokens = np.ndarray[Any, np.dtype[np.int32]]


@dataclass(frozen=True)
class Window:
    """Consecutive tokens of one document.

    Attributes:
        number: the window's place in the sample.
        document: the document's number in the corpus.
        domain: the document's domain, None if unknown.
        start: the character of the document where the window starts.
        bytes: UTF-8 bytes of the scored tokens (all but the first position).
        tokens: ids, what the tokenizer puts before a text included.
    """

    number: int
    document: int
    domain: str | None
    start: int
    bytes: int
    tokens: Tokens


@dataclass(frozen=True)
class Sample:
    """The windows of one tokenizer, the same for every checkpoint that shares it.

    Attributes:
        tokenizer: the tokenizer's fingerprint.
        windows: in the order they were drawn.
        passed_over: documents too short for a window.
    """

    tokenizer: str
    windows: tuple[Window, ...]
    passed_over: int = 0
    document_slots: np.ndarray[Any, np.dtype[np.int64]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        slots: dict[int, int] = {}
        found = [slots.setdefault(w.document, len(slots)) for w in self.windows]
        object.__setattr__(self, "document_slots", np.asarray(found, dtype=np.int64))

    @property
    def documents(self) -> int:
        """How many different documents the windows come from."""
        return len(set(self.document_slots.tolist()))

    @property
    def tokens(self) -> int:
        """Tokens in all windows together."""
        return sum(len(w.tokens) for w in self.windows)

    @property
    def longest(self) -> int:
        """Tokens of the longest window; 1 without any."""
        return max((len(w.tokens) for w in self.windows), default=1)

    @cached_property
    def first_half(self) -> np.ndarray[Any, np.dtype[np.bool_]]:
        """For each window whether it is of the first half: half of the tokens, by whole documents.

        Documents come in the order of their first window, each to the half that has fewer tokens by then.
        """
        tokens = np.bincount(self.document_slots, [len(w.tokens) for w in self.windows], self.documents)
        sums, first = [0.0, 0.0], np.zeros(self.documents, dtype=bool)
        for document, count in enumerate(tokens):
            half = int(sums[0] > sums[1])
            sums[half] += count
            first[document] = half == 0
        found: np.ndarray[Any, np.dtype[np.bool_]] = first[self.document_slots]
        return found

    @property
    def sha256(self) -> str:
        """Hash of all that a figure can depend on."""
        digest = hashlib.sha256(self.tokenizer.encode())
        for w in self.windows:
            digest.update(f"{w.number},{w.document},{w.domain},{w.start},{w.bytes};".encode() + w.tokens.tobytes())
        return digest.hexdigest()


def draw_sample(corpus: Corpus, tokenizer: Tokenizer, tokens: int, context: int, seed: int) -> Sample:
    """Draw windows until their lengths add up to `tokens`.

    Each document, in seeded order, gives one window of up to `context` tokens from a random character: uniform over
    the characters that leave 4·context of them behind, the first one in a document shorter than that. Then come
    further disjoint windows of the same documents: what lies behind the first window, then what lies before it.

    Args:
        corpus: where documents come from.
        tokenizer: makes tokens; the starting character does not depend on it.
        tokens: the sum of the windows' lengths; the last window is cut to meet it.
        context: the longest window, in tokens.
        seed: of the draw.

    Returns:
        The sample; shorter than asked where the corpus ends.

    Raises:
        DegenError: no document gives a window of 16 tokens.
    """
    windows: list[Window] = []
    rest = tokens
    cutters: list[_Cutter] = []
    passed_over = 0

    def take(cutter: _Cutter) -> bool:
        nonlocal rest
        window = cutter.next(len(windows), rest)
        if window is not None:
            windows.append(window)
            rest -= len(window.tokens)
        return window is not None

    for document in corpus.draw(seed, at_least=2 * tokens // context + 16):
        cutter = _Cutter(document, tokenizer, context, seed)
        if take(cutter):
            cutters.append(cutter)
        else:
            passed_over += 1
        if rest == 0:
            break
    while rest and cutters:
        cutters = [c for c in cutters if rest and take(c)]
    if not windows and not passed_over:
        raise DegenError(f"{corpus.name}: no document in it")
    if not windows:
        raise DegenError(
            f"{corpus.name}: no document gives a window of {SHORTEST} tokens ({passed_over} documents were too short)"
        )
    return Sample(tokenizer.fingerprint, tuple(windows), passed_over)


def stream_windows(
    corpus: Corpus, tokenizer: Tokenizer, context: int, seed: int, without: Collection[int]
) -> Iterator[Window]:
    """Yield windows without end, one of each document in seeded order, from other places in each round.

    Args:
        corpus: where documents come from.
        tokenizer: makes tokens.
        context: the longest window, in tokens.
        seed: of the order and of the places.
        without: documents that are left out.

    Raises:
        DegenError: no other document gives a window of 16 tokens.
    """
    number, rounds = 0, 0
    while True:
        before = number
        for document in corpus.draw(seed, at_least=STREAMED_AT_ONCE):
            if document.number in without:
                continue
            window = _Cutter(document, tokenizer, context, seed + rounds).next(number, context)
            if window is not None:
                yield window
                number += 1
        if number == before:
            raise DegenError(f"{corpus.name}: no document is left to train on, besides those that are evaluated")
        rounds += 1


class _Cutter:
    """Cuts disjoint windows out of one document."""

    def __init__(self, document: Document, tokenizer: Tokenizer, context: int, seed: int) -> None:
        self._document = document
        self._tokenizer = tokenizer
        self._context = context
        room = max(len(document.text) - CHARACTERS_PER_TOKEN * context, 0)
        start = int(np.random.default_rng([seed, document.number]).integers(room + 1))
        self._free = [(start, len(document.text)), (0, start)]

    def next(self, number: int, rest: int) -> Window | None:
        """Return the next window, cut to `rest` tokens; None once nothing of 16 tokens is left."""
        while self._free:
            start, end = self._free.pop(0)
            piece = self._tokenizer.tokenize(self._document.text[start:end], self._context)
            if len(piece.tokens) < SHORTEST:
                continue
            after = start + int(piece.ends[-1])
            if after < end:
                self._free.insert(0, (after, end))
            kept, ends = piece.tokens[:rest], piece.ends[:rest]
            scored = self._document.text[start + int(ends[0]) : start + int(ends[-1])]
            size = len(scored.encode("utf-8", "surrogatepass"))
            return Window(number, self._document.number, self._document.domain, start, size, kept)
        return None


def write_samples(path: Path, samples: list[Sample]) -> None:
    """Write the exact windows of every tokenizer of a run."""
    import pyarrow as pa

    fields = [
        pa.field("tokenizer", pa.string(), metadata={"definition": "fingerprint of the tokenizer"}),
        pa.field("window", pa.int64(), metadata={"definition": "place of the window in the sample"}),
        pa.field("document", pa.int64(), metadata={"definition": "document of the corpus, counted from 0"}),
        pa.field("domain", pa.string(), metadata={"definition": "domain of the document; null if unknown"}),
        pa.field("start", pa.int64(), metadata={"unit": "characters", "definition": "where the window starts"}),
        pa.field("bytes", pa.int64(), metadata={"unit": "bytes", "definition": "UTF-8 bytes of the scored tokens"}),
        pa.field("tokens", pa.list_(pa.int32()), metadata={"definition": "token ids, scored from the second on"}),
    ]
    passed_over = ",".join(f"{s.tokenizer}:{s.passed_over}" for s in samples)
    metadata = {"degen.schema_version": str(SCHEMA_VERSION), "degen.passed_over": passed_over}
    rows = [(s.tokenizer, w) for s in samples for w in s.windows]
    columns: list[Callable[[str, Window], Any]] = [
        lambda t, w: t, lambda t, w: w.number, lambda t, w: w.document, lambda t, w: w.domain,
        lambda t, w: w.start, lambda t, w: w.bytes, lambda t, w: w.tokens,
    ]  # fmt: skip
    arrays = [pa.array([get(*row) for row in rows], type=f.type) for get, f in zip(columns, fields, strict=True)]
    table = pa.Table.from_arrays(arrays, schema=pa.schema(fields, metadata=metadata))
    write_parquet(table, path)


def read_samples(path: Path) -> dict[str, Sample]:
    """Read the windows of an earlier run, by tokenizer fingerprint.

    Raises:
        DegenError: no such file, or not a sample.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    if path.is_dir():
        raise DegenError(f"{path}: is a folder; name the sample.parquet of a run")
    try:
        table = pq.read_table(path)
        rows = zip(*(table[name].to_pylist() for name in ("tokenizer", "window", "document", "domain", "start",
                                                          "bytes", "tokens")), strict=True)  # fmt: skip
    except (OSError, KeyError, pa.ArrowException) as error:
        raise DegenError(f"{path}: not a sample of an earlier run ({error})") from error
    notes = (table.schema.metadata or {}).get(b"degen.passed_over", b"").decode()
    passed_over = dict(part.split(":") for part in notes.split(",") if part)
    windows: dict[str, list[Window]] = {}
    for tokenizer, number, document, domain, start, size, tokens in rows:
        window = Window(number, document, domain, start, size, np.asarray(tokens, dtype=np.int32))
        windows.setdefault(tokenizer, []).append(window)
    return {t: Sample(t, tuple(w), int(passed_over.get(t, 0))) for t, w in windows.items()}


def batches(sample: Sample, batch_tokens: int, halves: bool = False) -> Iterator[list[int]]:
    """Yield windows in batches of up to `batch_tokens` padded tokens, longest first, so that little is padding.

    With `halves` all of the first half comes before any of the second, and no batch holds windows of both.
    """
    everything = range(len(sample.windows))
    if halves:
        first = sample.first_half
        yield from _batches(sample, batch_tokens, [i for i in everything if first[i]])
        yield from _batches(sample, batch_tokens, [i for i in everything if not first[i]])
    else:
        yield from _batches(sample, batch_tokens, everything)


def _batches(sample: Sample, batch_tokens: int, chosen: Iterable[int]) -> Iterator[list[int]]:
    order = sorted(chosen, key=lambda i: (-len(sample.windows[i].tokens), i))
    batch: list[int] = []
    for i in order:
        if batch and (len(batch) + 1) * len(sample.windows[batch[0]].tokens) > batch_tokens:
            yield batch
            batch = []
        batch.append(i)
    if batch:
        yield batch
