"""Find result files of evaluation harnesses, and parse them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from degen.errors import DegenError

from .content import ResultContent
from .lighteval import parse_lighteval
from .lm_eval import parse_lm_eval
from .olmes import OWN_NAMES, parse_olmes
from .olmes import PROGRAM as OLMES

_PARSERS = (parse_olmes, parse_lighteval, parse_lm_eval)  # the last accepts any file with `results` of tasks
_WORDS = {".json": (b'"results"', b'"task_config"'), ".jsonl": (b'"task_config"',)}  # one stands in every result file
_MAX_FIRST_LINE = 1 << 22  # bytes of the first line of a file of lines; that of `metrics-all.jsonl` holds its settings

Warn = Callable[[str], None]


@dataclass(frozen=True)
class ResultFile:
    """A result file.

    Attributes:
        path: its path.
        folders: the names of the folders around it, the outermost first.
        content: its content, or that of a line of it.
    """

    path: Path
    folders: tuple[str, ...]
    content: ResultContent

    @property
    def stem(self) -> str:
        """The name of the file without its ending; empty where OLMES gave it, which names it by the task."""
        return "" if self.content.program == OLMES and OWN_NAMES.match(self.path.stem) else self.path.stem


def has_results(path: Path) -> bool:
    """Return whether a file is a result file, or a folder holds one, at any depth.

    Raises:
        DegenError: a file cannot be read.
    """
    return any(True for _ in _parsed(_files(path), path, None))


def find_result_files(path: Path, warn: Warn) -> list[ResultFile]:
    """Return the result files in a folder, at any depth, or the one that a path names.

    Args:
        path: the folder or file.
        warn: called with a line of text for each file that looks like one and is not valid JSON.

    Raises:
        DegenError: a file cannot be read.
    """
    return list(_parsed(_files(path), path, warn))


def _files(path: Path) -> list[Path]:
    """Return the path itself if it is a file, else the files in the folder that may be results, sorted."""
    found = [path] if path.is_file() else path.rglob("*")
    return sorted(p for p in found if p.suffix.lower() in _WORDS and p.is_file())


def _parsed(files: Iterable[Path], path: Path, warn: Warn | None) -> Iterator[ResultFile]:
    for file in files:
        for record in _records(file, warn):
            content = next(filter(None, (parse(record) for parse in _PARSERS)), None)
            if content is not None:
                yield ResultFile(file, _folders(file, path), content)


def _folders(file: Path, path: Path) -> tuple[str, ...]:
    """Return the names of the folders around a file: from the folder that the user named on, or of a file's two."""
    if path == file:
        return tuple(p.name for p in (file.resolve().parent.parent, file.resolve().parent) if p.name) or (file.stem,)
    return (path.resolve().name, *file.relative_to(path).parts[:-1])


def _records(file: Path, warn: Warn | None) -> Iterator[dict[str, Any]]:
    """Yield the records of a file that can be results: its content, or each of its lines; none where it holds none.

    Args:
        file: the file.
        warn: called with a line of text where the file is not JSON; None for no warning.

    Raises:
        DegenError: the file cannot be read.
    """
    words = _WORDS[file.suffix.lower()]
    try:
        if file.suffix.lower() == ".jsonl":
            with file.open("rb") as lines:  # the predictions beside may be large
                first = lines.readline(_MAX_FIRST_LINE)
                parts = [first, *lines] if any(word in first for word in words) else []
        else:
            parts = [file.read_bytes()]
        contents = [json.loads(part) for part in parts if any(word in part for word in words)]
    except OSError as error:
        raise DegenError(
            f"{file}: this file cannot be read ({error.strerror or error}); check its permissions, or remove it"
        ) from error
    except (ValueError, RecursionError) as error:
        if warn is not None:
            warn(f"{file}: this file is left out, because it is not valid JSON ({error})")
        return
    yield from (content for content in contents if isinstance(content, dict))
