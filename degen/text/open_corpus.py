"""From the name of a corpus to the corpus."""

from __future__ import annotations

from pathlib import Path

from degen.bounds import check_regular
from degen.errors import DegenError
from degen.hints import closest
from degen.paths import expand_user
from degen.stores.remote_file import remote_files
from degen.stores.urls import url_of

from .corpus import FORMATS, Corpus, FileCorpus, file_format
from .named_corpora import named_corpora
from .streamed_corpus import StreamedCorpus

_FORMAT_NAMES = f"{', '.join(FORMATS[:-1])} or {FORMATS[-1]}"


def open_corpus(name: str) -> Corpus:
    """Return the corpus that a user named; nothing is read of it yet.

    Args:
        name: a file, a folder of files, a URL of one such as `s3://bucket/val.jsonl.zst`, `hf://org/dataset[:split]`,
            or a named corpus as `pile` or `pile:train`. An existing path wins over a named corpus.

    Raises:
        DegenError: the file or folder does not exist, or holds no file of a format in `FORMATS`.
    """
    if name.startswith("hf://"):
        return StreamedCorpus(name)
    if (url := url_of(name)) is not None:
        return _remote_corpus(name, url)
    path = expand_user(name)
    known = named_corpora().get(name.partition(":")[0])
    if known is not None and not path.exists():
        return StreamedCorpus(name, known)
    check_regular(path)
    if path.is_dir():
        files = sorted(p for p in path.rglob("*") if p.is_file() and file_format(p))
        if not files:
            raise DegenError(f"{path}: this folder holds no corpus file; the name of one must end in {_FORMAT_NAMES}")
        return FileCorpus(name, files)
    if not path.exists():
        alike = closest(name, named_corpora())
        named = "name a file, a folder, hf://org/dataset, demo, or one of `degen corpora`"
        hint = f"did you mean the corpus {alike!r}?" if alike is not None else named
        raise DegenError(f"{path}: no such file or folder; {hint}")
    if not file_format(path):
        raise DegenError(f"{path}: not a corpus file; its name must end in {_FORMAT_NAMES}")
    return FileCorpus(name, [path])


def _remote_corpus(name: str, url: str) -> Corpus:
    """Return the corpus of a file, or of the files of a folder, at a URL; they are streamed anew in each pass.

    Raises:
        DegenError: it cannot be reached, or is no file of a format in `FORMATS`.
    """
    files = remote_files(url, lambda file: file_format(Path(file)))
    if not files:
        raise DegenError(f"{url}: this folder holds no corpus file; the name of one must end in {_FORMAT_NAMES}")
    if len(files) == 1 and not file_format(files[0]):
        raise DegenError(f"{url}: not a corpus file; its name must end in {_FORMAT_NAMES}")
    return FileCorpus(name, files)
