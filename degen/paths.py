"""Paths that users name, names of files that come from others, and files that are written whole or not at all."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .errors import CheckpointError, DegenError

NO_PATH = Path("\0")  # that no file system has
MAX_NAME, MAX_PATH = 255, 3000  # characters, or bytes, of a name and of a path that file systems allow


def is_inside(name: str) -> bool:
    """Return whether a file's name, which may have slashes, stays inside the folder that it is joined to."""
    parts = name.split("/")
    return (
        bool(name) and len(name) <= MAX_NAME and name.isprintable() and "\\" not in name
        and not any(part in ("", ".", "..") for part in parts)
    )  # fmt: skip


def expand_user(path: str | Path) -> Path:
    """Return a path that a user named, with `~` and `~name` replaced by the home folder.

    Raises:
        DegenError: there is no such user, or the name is none that a file system could have.
    """
    try:
        expanded = Path(path).expanduser()
        os.fsencode(expanded)
    except (RuntimeError, UnicodeError) as error:
        raise DegenError(f"{path}: no such folder or file ({error})") from error
    if "\0" in str(expanded):
        raise DegenError(f"{path!s}: no such folder or file (a name cannot hold a null character)")
    if len(os.fsencode(expanded)) > MAX_PATH or any(len(os.fsencode(part)) > MAX_NAME for part in expanded.parts):
        raise DegenError(f"{str(path)[:80]}…: no such folder or file (the name is too long)")
    return expanded


def path_of_spec(spec: str) -> Path:
    """Return the path that a spec is if there is one; for a spec too long for a name, as a list of steps, no path.

    Raises:
        DegenError: as `expand_user`, but not for its length.
    """
    if any(len(part.encode(errors="surrogatepass")) > MAX_NAME for part in spec.split("/")) or len(spec) > MAX_PATH:
        return NO_PATH
    return expand_user(spec)


def resolve_spec(spec: str, folder: Path | None = None) -> str:
    """Return an existing path as absolute, also behind a label or among adapter and base; any other name as it is.

    Args:
        spec: a path, perhaps `label=PATH` or `PATH+PATH`, or a name of something else.
        folder: from which a relative path starts; None for the working folder. What begins with a dot is a path even
            where there is none.

    Raises:
        DegenError: as `expand_user`.
    """
    path = (folder or Path()) / expand_user(spec)
    if "://" in spec.partition("=")[0] and not path.exists():
        return spec  # a URL, in which "=" and "+" are no separators
    if path.exists():
        # a link keeps its name where it is going to name a model
        return str(path.resolve()) if folder is None else os.path.abspath(path)
    for separator in "=+":
        front, _, rest = spec.partition(separator)
        if front and rest:
            first = front if separator == "=" else resolve_spec(front, folder)
            return f"{first}{separator}{resolve_spec(rest, folder)}"
    return os.path.abspath(path) if folder is not None and spec.startswith((".", "~")) else spec


def is_file(path: Path) -> bool:
    """Return whether a checkpoint has a file.

    Raises:
        CheckpointError: nobody can tell, as where its folder may not be read.
    """
    try:
        return path.is_file()
    except OSError as error:
        raise CheckpointError(f"{path.parent}: cannot be read ({error.strerror or error})") from error


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`, and move the file there if the block ends without an error.

    The temporary file is new, under a name that nobody can know and plant a link at. The name starts with a dot, so
    that readers of the folder ignore what a killed process leaves behind. Where `path` is a link, the file that it
    leads to is replaced.
    """
    target = path.resolve()
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.parent / f".{secrets.token_hex(8)}.partial"
    try:
        os.close(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666))
        yield temporary
        with temporary.open("rb") as written:
            os.fsync(written.fileno())
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


def create_once(path: Path, text: str) -> bool:
    """Write a new file whole, unless there is one already.

    Of several processes that do so at once one succeeds, on machines that share a file system, too: a file gets its
    name as a hard link, which NFS gives to one of them even where its locks are not kept. Where there are no hard links
    the name is taken first, and the file is incomplete for a moment.

    Args:
        path: the file; its folder is there.
        text: its content.

    Returns:
        Whether this process wrote it.
    """
    temporary = path.parent / f".{secrets.token_hex(8)}.partial"
    try:
        _write_new(temporary, text)
        try:
            os.link(temporary, path)
        except FileExistsError:
            return temporary.stat().st_nlink > 1  # linked after all, and the server's reply was lost
        except OSError:
            return _take_name(path, text)
        return True
    finally:
        temporary.unlink(missing_ok=True)


def _take_name(path: Path, text: str) -> bool:
    try:
        _write_new(path, text)
    except FileExistsError:
        return False
    return True


def _write_new(path: Path, text: str) -> None:
    """Write a file under a name that no file has, and wait until it is on the disk.

    Raises:
        FileExistsError: one has it.
    """
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666), "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def natural_order(name: str) -> list[tuple[int, str]]:
    """Return a key by which names with dots are sorted with the numbers between the dots as numbers."""
    return [(int(word), "") if word.isdecimal() and len(word) < 12 else (-1, word) for word in name.split(".")]
