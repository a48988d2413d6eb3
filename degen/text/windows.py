"""Token windows: drawn from documents, put into batches, and written to and read from `sample.parquet`."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np

from degen.arrays import Ints, Mask, Tokens
from degen.bounds import check_parquet, check_regular
from degen.errors import DegenError
from degen.tables import SCHEMA_VERSION, write_parquet

from .corpus import Corpus, Document
from .tokenizer import Tokenizer
from .words import Word

SHORTEST = 16  # tokens; a shorter document gives no window
STREAMED_AT_ONCE = 4096  # documents kept of one pass over a local corpus
CHARACTERS_PER_TOKEN = 4  # the start of a window is drawn so that a full one is expected to fit behind it


@dataclass(frozen=True)
class Window:
    """Consecutive tokens of one document.

    Attributes:
        number: the window's index in the sample.
        document: the document's number in the corpus.
        domain: the document's domain, None if unknown.
        start: the character of the document where the window starts.
        bytes: UTF-8 bytes of the scored tokens (all but the first position).
        tokens: ids, with those that the tokenizer puts before a text.
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
        too_short: number of documents too short for a window.
        words: returns the words of a window's tokens, or None where the tokenizer does not tell them; None without one.
        document_slots: for each window the index of its document among those of the sample, in order of first use.
    """

    tokenizer: str
    windows: tuple[Window, ...]
    too_short: int = 0
    words: Callable[[Tokens], list[Word] | None] | None = field(default=None, compare=False, repr=False)
    document_slots: Ints = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        slots: dict[int, int] = {}
        indices = [slots.setdefault(w.document, len(slots)) for w in self.windows]
        object.__setattr__(self, "document_slots", np.asarray(indices, dtype=np.int64))

    @property
    def documents(self) -> int:
        """Number of documents that the windows come from."""
        return len(set(self.document_slots.tolist()))

    @property
    def tokens(self) -> int:
        """Number of tokens in all windows together."""
        return sum(len(w.tokens) for w in self.windows)

    @property
    def longest(self) -> int:
        """Number of tokens of the longest window; 1 where the sample has no window."""
        return max((len(w.tokens) for w in self.windows), default=1)

    @cached_property
    def in_fit_half(self) -> Mask:
        """For each window True or False: whether its document is in the first half, to which the ranks are fitted.

        The windows of the other half evaluate the ranks. All windows of a document are in the same half: documents are
        assigned in the order of their first window, each to the half that has fewer tokens so far.
        """
        tokens = np.bincount(self.document_slots, [len(w.tokens) for w in self.windows], self.documents)
        sums, first = [0.0, 0.0], np.zeros(self.documents, dtype=bool)
        for document, count in enumerate(tokens):
            half = int(sums[0] > sums[1])
            sums[half] += count
            first[document] = half == 0
        mask: Mask = first[self.document_slots]
        return mask

    @property
    def sha256(self) -> str:
        """SHA-256, in hexadecimal digits, of the tokenizer's fingerprint and of all windows."""
        digest = hashlib.sha256(self.tokenizer.encode())
        for w in self.windows:
            digest.update(f"{w.number},{w.document},{w.domain},{w.start},{w.bytes};".encode() + w.tokens.tobytes())
        return digest.hexdigest()


def draw_sample(corpus: Corpus, tokenizer: Tokenizer, tokens: int, context: int, seed: int) -> Sample:
    """Return windows drawn from a corpus, until their lengths add up to `tokens`.

    Each document, in seeded order, gives one window of up to `context` tokens. It starts at a random character, uniform
    over those with at least 4·context characters behind them, or at the first character of a shorter document. When the
    documents run out, further disjoint windows of them follow: from behind the first window, then from before it.

    Args:
        corpus: the documents.
        tokenizer: turns text into tokens; the starting character does not depend on it.
        tokens: the sum of the windows' lengths; the last window is cut to meet it.
        context: the longest window, in tokens.
        seed: of the draw.

    Returns:
        The sample; it has fewer than `tokens` tokens where the corpus is too small.

    Raises:
        DegenError: the corpus has no document, or none that gives a window of 16 tokens.
    """
    windows: list[Window] = []
    rest = tokens
    documents: list[_DocumentWindows] = []
    too_short = 0

    def add_window(document: _DocumentWindows) -> bool:
        nonlocal rest
        window = document.next(len(windows), rest)
        if window is not None:
            windows.append(window)
            rest -= len(window.tokens)
        return window is not None

    for drawn in corpus.draw(seed, at_least=2 * tokens // context + 16):
        document = _DocumentWindows(drawn, tokenizer, context, seed)
        if add_window(document):
            documents.append(document)
        else:
            too_short += 1
        if rest == 0:
            break
    while rest and documents:
        documents = [document for document in documents if rest and add_window(document)]
    if not windows and not too_short:
        if not corpus.passed_over:
            raise DegenError(f"{corpus.name}: the corpus is empty; name one that has documents")
        raise DegenError(f"{corpus.name}: no document has a sound text; correct them, or name another corpus")
    if not windows:
        raise DegenError(
            f"{corpus.name}: no document is long enough for a window, which needs {SHORTEST} tokens "
            f"({too_short} documents were too short); name a corpus of longer documents"
        )
    return Sample(tokenizer.fingerprint, tuple(windows), too_short, tokenizer.words)


def stream_windows(
    corpus: Corpus, tokenizer: Tokenizer, context: int, seed: int, without: Collection[int]
) -> Iterator[Window]:
    """Yield windows without end: one of each document in seeded order, then another of each, again and again.

    Args:
        corpus: the documents.
        tokenizer: turns text into tokens.
        context: the longest window, in tokens.
        seed: of the documents' order, and of where windows start.
        without: numbers of documents to leave out.

    Raises:
        DegenError: none of the documents outside `without` gives a window of 16 tokens.
    """
    number, rounds = 0, 0
    while True:
        before = number
        for document in corpus.draw(seed, at_least=STREAMED_AT_ONCE):
            if document.number in without:
                continue
            window = _DocumentWindows(document, tokenizer, context, seed + rounds).next(number, context)
            if window is not None:
                yield window
                number += 1
        if number == before:
            raise DegenError(
                f"{corpus.name}: the evaluated windows use every document that is long enough, and none is left to "
                "train on; name a larger corpus or evaluate fewer tokens"
            )
        rounds += 1


def every_window(
    corpus: Corpus, tokenizer: Tokenizer, tokens: int, context: int, seed: int, on_short: Callable[[], None]
) -> Iterator[Window]:
    """Yield all disjoint windows of each document in seeded order, until their lengths add up to `tokens`.

    None of them is kept, so that a corpus of any size can be read. In each document the first window is that of
    `draw_sample`.

    Args:
        corpus: the documents.
        tokenizer: turns text into tokens.
        tokens: the sum of the windows' lengths; the last window is cut to meet it.
        context: the longest window, in tokens.
        seed: of the documents' order, and of where windows start.
        on_short: called for each document that is too short for a window.

    Raises:
        DegenError: a file or the stream cannot be read, or a record is not a document.
    """
    number, rest = 0, tokens
    for drawn in corpus.draw(seed, at_least=STREAMED_AT_ONCE):
        document, before = _DocumentWindows(drawn, tokenizer, context, seed), number
        while rest and (window := document.next(number, rest)) is not None:
            yield window
            number += 1
            rest -= len(window.tokens)
        if rest == 0:
            return
        if number == before:
            on_short()


class _DocumentWindows:
    """The disjoint windows of one document, in order."""

    def __init__(self, document: Document, tokenizer: Tokenizer, context: int, seed: int) -> None:
        self._document = document
        self._tokenizer = tokenizer
        self._context = context
        last_start = max(len(document.text) - CHARACTERS_PER_TOKEN * context, 0)
        start = int(np.random.default_rng([seed, document.number]).integers(last_start + 1))
        self._free = [(start, len(document.text)), (0, start)]

    def next(self, number: int, rest: int) -> Window | None:
        """Return the next window of the document; None where no part of it has 16 tokens left.

        Args:
            number: the index that the window gets in its sample.
            rest: the largest number of tokens; a longer window is cut.
        """
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
    """Write the windows of all samples of a run, one sample per tokenizer, into the Parquet file `path`."""
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
    too_short = ",".join(f"{s.tokenizer}:{s.too_short}" for s in samples)
    metadata = {"degen.schema_version": str(SCHEMA_VERSION), "degen.passed_over": too_short}
    rows = [
        (s.tokenizer, w.number, w.document, w.domain, w.start, w.bytes, w.tokens) for s in samples for w in s.windows
    ]
    arrays = [pa.array([row[i] for row in rows], type=f.type) for i, f in enumerate(fields)]
    table = pa.Table.from_arrays(arrays, schema=pa.schema(fields, metadata=metadata))
    write_parquet(table, path)


def read_samples(path: Path) -> dict[str, Sample]:
    """Return the samples in a `sample.parquet` of an earlier run, as a dict: fingerprint of the tokenizer -> sample.

    Raises:
        DegenError: the file does not exist, cannot be read, or is not a `sample.parquet`.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    if path.is_dir():
        raise DegenError(f"{path}: this is a folder; name the file sample.parquet in a run folder")
    check_regular(path)
    try:
        with pq.ParquetFile(path) as file:
            check_parquet(path, file.metadata, path.stat().st_size)
            table = file.read()
        names = ("tokenizer", "window", "document", "domain", "start", "bytes", "tokens")
        rows = zip(*(table[name].to_pylist() for name in names), strict=True)
    except OSError as error:
        raise DegenError(
            f"{path}: cannot be read ({error}); check the path and that you may read the file, or name the "
            "sample.parquet of another run"
        ) from error
    except (KeyError, pa.ArrowException) as error:
        raise DegenError(
            f"{path}: not a sample of an earlier run ({error}); name the sample.parquet of a run"
        ) from error
    counts = (table.schema.metadata or {}).get(b"degen.passed_over", b"").decode()
    too_short = dict(part.split(":") for part in counts.split(",") if part)
    windows: dict[str, list[Window]] = {}
    for tokenizer, number, document, domain, start, size, tokens in rows:
        window = Window(number, document, domain, start, size, np.asarray(tokens, dtype=np.int32))
        windows.setdefault(tokenizer, []).append(window)
    return {t: Sample(t, tuple(w), int(too_short.get(t, 0))) for t, w in windows.items()}


def batches(sample: Sample, batch_tokens: int, halves: bool = False, padded: bool = True) -> Iterator[list[int]]:
    """Yield batches, each a list of indices of windows in the sample; every window is in one batch.

    Args:
        sample: the windows; the longest come first, so that there is little padding.
        batch_tokens: the most tokens of a batch, padding included. A longer window makes a batch alone.
        halves: whether windows of the fit half come before all others, with no batch of windows of both halves.
        padded: whether windows of different lengths may be in one batch.
    """
    if not halves:
        yield from _batches(sample, batch_tokens, range(len(sample.windows)), padded)
        return
    for half in (sample.in_fit_half, ~sample.in_fit_half):
        yield from _batches(sample, batch_tokens, np.flatnonzero(half).tolist(), padded)


def _batches(sample: Sample, batch_tokens: int, chosen: Iterable[int], padded: bool) -> Iterator[list[int]]:
    order = sorted(chosen, key=lambda i: (-len(sample.windows[i].tokens), i))
    batch: list[int] = []
    for i in order:
        longest = len(sample.windows[batch[0]].tokens) if batch else 0
        too_many = (len(batch) + 1) * longest > batch_tokens
        if batch and (too_many or not (padded or len(sample.windows[i].tokens) == longest)):
            yield batch
            batch = []
        batch.append(i)
    if batch:
        yield batch
