"""Corpora: documents drawn by seed without replacement, and those of local files."""

from __future__ import annotations

import gzip
import hashlib
import heapq
import json
import zlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from degen.bounds import MAX_LINE, check_expansion, check_parquet
from degen.errors import DegenError
from degen.stores.filesystem import store_errors
from degen.stores.remote_file import RemoteFile, open_binary, size_of

FORMATS = (".jsonl", ".jsonl.zst", ".jsonl.gz", ".parquet", ".txt")
PIECE = 1 << 17  # bytes read at a time
KEPT = 1 << 26  # bytes of records kept in memory by a later pass over local files
OF_RECORD = 500  # bytes that a record takes beside its text


@dataclass(frozen=True)
class Document:
    """One document.

    Attributes:
        number: its number in the corpus, counted from 0.
        text: the whole of it.
        domain: as in Pile's `meta.pile_set_name`; None if unknown.
    """

    number: int
    text: str
    domain: str | None


class Corpus(ABC):
    """Documents in an order drawn by seed, each once.

    Attributes:
        name: as the user wrote it.
        provenance: how documents are drawn, for run.json; whole once the first document is drawn.
        notice: one line on what stands behind the name; None where the name says it.
        passed_over: file and line of the documents that were drawn and left out, as their text is no valid Unicode.
    """

    name: str
    provenance: dict[str, Any]
    notice: str | None = None

    def __init__(self) -> None:
        self.passed_over: dict[str, None] = {}

    def _sound(self, number: int, source: str, raw: Any) -> Iterator[Document]:
        """Yield the document that a record holds, or nothing where its text cannot be encoded as UTF-8.

        That is so where the text holds half of a surrogate pair; `source` is then added to `passed_over`. The arguments
        are those of `_parse`.
        """
        document = _parse(number, source, raw)
        try:
            document.text.encode()
        except UnicodeEncodeError:
            self.passed_over[source] = None
        else:
            yield document

    @abstractmethod
    def draw(self, seed: int, at_least: int) -> Iterator[Document]:
        """Yield every document once.

        Args:
            seed: sets the order of the documents.
            at_least: a guess of how many documents the caller will take; it changes the speed and nothing else.

        Raises:
            DegenError: a file or the stream cannot be read, or a record is not a document.
        """


def file_format(path: Path | RemoteFile) -> str | None:
    """Return which of `FORMATS` the name of a file ends in; None for other files."""
    return next((f for f in sorted(FORMATS, key=len, reverse=True) if path.name.lower().endswith(f)), None)


class FileCorpus(Corpus):
    """Documents of local files, drawn over the whole of them.

    Their order is that of a hash of (seed, document number). One pass over the files finds the documents that come
    first, and the text of the others is not parsed.
    """

    def __init__(self, name: str, files: Sequence[Path | RemoteFile]) -> None:
        super().__init__()
        self.name = name
        self._files = files
        sizes = [size_of(file) for file in files]
        known = [size for size in sizes if size is not None]
        self.provenance = {"files": len(files), "bytes": sum(known) if len(known) == len(sizes) else None}

    def draw(self, seed: int, at_least: int) -> Iterator[Document]:
        """Yield every document once, in the order of the hashes of (seed, document number).

        Each pass over the files keeps twice as many records in memory as the pass before, up to about `KEPT` bytes of
        them; `at_least` is the number for the first. Of lines of `.jsonl` and of text files it keeps where they are,
        so that memory does not grow with the text that is drawn; of the other formats it keeps the text.
        """
        after, keep = b"", max(at_least, 16)
        while True:
            first = self._first(seed, after, keep)
            for _, number, source, raw in first:
                yield from self._sound(number, source, raw)
            if len(first) < keep:
                return
            size = sum(map(_size, first)) // len(first)
            after, keep = first[-1][0], max(min(2 * keep, KEPT // size), keep)

    def _first(self, seed: int, after: bytes, keep: int) -> list[tuple[bytes, int, str, Any]]:
        """Return the next `keep` documents by hash, as tuples of hash, number, source and record as `_parse` takes it.

        Args:
            seed: of the hashes.
            after: a hash; only documents with a larger one are returned.
            keep: the largest number of documents to return.
        """

        def keyed() -> Iterator[tuple[bytes, int, str, Any]]:
            for number, (source, raw) in enumerate(self._records()):
                key = hashlib.blake2b(f"{seed}:{number}".encode(), digest_size=16).digest()
                if key > after:
                    yield key, number, source, raw

        return heapq.nsmallest(keep, keyed(), key=lambda record: record[0])

    def _records(self) -> Iterator[tuple[str, Any]]:
        for path in self._files:
            records = _RECORDS[file_format(path) or ""](path)
            with store_errors(str(path)) if isinstance(path, RemoteFile) else nullcontext():
                yield from _readable(path, records)


def _readable(path: Path | RemoteFile, records: Iterator[tuple[str, Any]]) -> Iterator[tuple[str, Any]]:
    """Yield the records of a file.

    Raises:
        DegenError: it is damaged, or a local file cannot be read.
        OSError: a file at a URL cannot be read.
    """
    try:
        yield from records
    except (gzip.BadGzipFile, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise _unreadable(path, error) from error
    except OSError as error:
        if isinstance(path, RemoteFile):
            raise
        raise _unreadable(path, error) from error


@dataclass(frozen=True, slots=True)
class _LineOfFile:
    """A line of a file that is not compressed, not kept itself: `length` bytes from `start`."""

    path: Path | RemoteFile
    start: int
    length: int

    def read(self) -> bytes:
        """Return the line.

        Raises:
            DegenError: the file can no longer be read.
        """
        if isinstance(self.path, RemoteFile):
            return self.path.read_range(self.start, self.length)
        try:
            with self.path.open("rb") as file:
                file.seek(self.start)
                return file.read(self.length)
        except OSError as error:
            raise _unreadable(self.path, error) from error


def _unreadable(path: Path | RemoteFile, error: Exception) -> DegenError:
    return DegenError(
        f"{path}: this corpus file cannot be read to its end ({error}); "
        "check that it is complete and that you may read it"
    )


def _plain_line_records(path: Path | RemoteFile) -> Iterator[tuple[str, Any]]:
    """Yield the lines of a file that is not compressed, as `_LineOfFile`."""
    start = 0
    with open_binary(path) as raw:
        for number, line in enumerate(_lines(path, iter(lambda: raw.read(PIECE), b"")), 1):
            if line.strip():
                yield f"{path}, line {number}", _LineOfFile(path, start, len(line))
            start += len(line) + 1


def _line_records(path: Path | RemoteFile) -> Iterator[tuple[str, Any]]:
    """Yield the lines of a compressed file, as bytes."""
    with _open_lines(path) as lines:
        for number, line in enumerate(lines, 1):
            if line.strip():
                yield f"{path}, line {number}", line


@contextmanager
def _open_lines(path: Path | RemoteFile) -> Iterator[Iterable[bytes]]:
    if path.name.lower().endswith(".zst"):
        yield _lines(path, _zstandard_pieces(path))
    else:
        with open_binary(path) as raw, gzip.open(raw, "rb") as opened:
            yield _lines(path, _gzip_pieces(path, raw, opened))


def _gzip_pieces(path: Path | RemoteFile, raw: IO[bytes], opened: gzip.GzipFile) -> Iterator[bytes]:
    made = 0
    while piece := opened.read(PIECE):
        made += len(piece)
        check_expansion(path, raw.tell(), made)
        yield piece


def _zstandard_pieces(path: Path | RemoteFile) -> Iterator[bytes]:
    """Yield the decompressed bytes of a zstandard file, all of its frames.

    The stream reader of the library is not used, because it ends without an error where the file is truncated.

    Raises:
        DegenError: the file is damaged or truncated.
    """
    import zstandard

    frame: Any = None
    made = 0
    try:
        with open_binary(path) as raw:
            while piece := raw.read(1 << 10):  # a piece may become many thousand times as long
                while piece:
                    frame = frame or zstandard.ZstdDecompressor().decompressobj()
                    unpacked = frame.decompress(piece)
                    made += len(unpacked)
                    check_expansion(path, raw.tell(), made)
                    yield unpacked
                    piece, frame = (frame.unused_data, None) if frame.eof else (b"", frame)
    except zstandard.ZstdError as error:
        raise DegenError(f"{path}: damaged, or not a zstandard file ({error}); get or write it again") from error
    if frame is not None:
        raise DegenError(f"{path}: the zstandard file ends too early (it is truncated); get or write it again")


def _lines(path: Path | RemoteFile, pieces: Iterable[bytes]) -> Iterator[bytes]:
    rest: list[bytes] = []
    number, length = 1, 0
    for piece in pieces:
        first, *others = piece.split(b"\n")
        rest.append(first)
        length += len(first)
        for line in others:
            yield b"".join(rest)
            rest, length, number = [line], len(line), number + 1
        if length > MAX_LINE:
            raise DegenError(f"{path}, line {number}: a line must not be longer than {MAX_LINE:,} bytes")
    yield b"".join(rest)


def _parquet_records(path: Path | RemoteFile) -> Iterator[tuple[str, Any]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(path if isinstance(path, Path) else path.open())
        check_parquet(path, file.metadata, size_of(path))
        names = file.schema_arrow.names
        if "text" not in names:
            raise DegenError(f"{path}: a Parquet corpus must have a column 'text'; it has {', '.join(names)}")
        row = 0
        for batch in file.iter_batches(1024, columns=[n for n in ("text", "meta") if n in names]):
            for record in batch.to_pylist():
                yield f"{path}, row {row}", record
                row += 1
    except pa.ArrowException as error:
        raise DegenError(f"{path}: damaged, or not a Parquet file ({error}); get or write it again") from error


# Format -> function that yields the records of a file: file and line or row, for messages, and what `_parse` takes.
_RECORDS: dict[str, Callable[[Path | RemoteFile], Iterator[tuple[str, Any]]]] = {
    ".txt": lambda path: iter([(str(path), path)]),
    ".jsonl": _plain_line_records,
    ".jsonl.zst": _line_records,
    ".jsonl.gz": _line_records,
    ".parquet": _parquet_records,
}


def _size(record: tuple[bytes, int, str, Any]) -> int:
    """Return about how many bytes a record takes in memory, in a tuple as `FileCorpus._first` returns it."""
    raw = record[-1]
    text = raw.get("text") if isinstance(raw, dict) else raw
    return OF_RECORD + (len(text) if isinstance(text, str | bytes) else 0)


def _parse(number: int, source: str, raw: Any) -> Document:
    """Return the document that a record holds.

    Args:
        number: the number of the document in the corpus.
        source: the file of the record, and its line or row, for errors.
        raw: the path of a text file; or a line of JSON, as bytes or as where it is; or a row as a dict. A line and a
            row hold `text`, and perhaps the domain as `meta.pile_set_name`.

    Raises:
        DegenError: the record is not UTF-8 or not JSON, has no `text`, or a domain that cannot be printed.
    """
    if isinstance(raw, Path | RemoteFile):
        try:
            return Document(number, raw.read_bytes().decode("utf-8-sig"), None)  # with its own ends of lines
        except UnicodeDecodeError as error:
            raise DegenError(
                f"{source}: the text is not UTF-8 ({error.reason} at byte {error.start}); save it as UTF-8"
            ) from error
        except OSError as error:
            raise _unreadable(raw, error) from error
    if isinstance(raw, bytes | _LineOfFile):
        try:
            raw = json.loads(raw if isinstance(raw, bytes) else raw.read())
        except (ValueError, RecursionError) as error:
            raise DegenError(f"{source}: the line is not JSON ({error}); every line must be a JSON object") from error
    if not isinstance(raw, dict) or not isinstance(raw.get("text"), str):
        raise DegenError(f"{source}: every document must have a field 'text' with text in it, and this one has none")
    meta = raw.get("meta")
    domain = meta.get("pile_set_name") if isinstance(meta, dict) else None
    if domain is not None and (not isinstance(domain, str) or not domain.isprintable()):
        raise DegenError(
            f"{source}: the field meta.pile_set_name, the domain, must be printable text on one line; "
            "correct it or leave it out"
        )
    return Document(number, raw["text"], domain)
