"""The file system that a URL is of, through fsspec, and its errors as messages for the user."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from degen.errors import DegenError, one_line

EXTRAS = {"s3": "'degen-lm[s3]'", "s3a": "'degen-lm[s3]'", "gs": "gcsfs", "gcs": "gcsfs", "http": "aiohttp",
          "https": "aiohttp", "az": "adlfs", "abfs": "adlfs", "abfss": "adlfs"}  # fmt: skip
_LOGINS = {
    "s3": "set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, and AWS_ENDPOINT_URL for a store elsewhere",
    "gs": "log in with `gcloud auth application-default login`",
}
_PASSWORD = re.compile(r"://[^/\s]*@")


class StoreError(DegenError):
    """A file at a URL that cannot be read or written."""


def open_filesystem(url: str) -> tuple[Any, str]:
    """Return the file system of a URL, as fsspec has it, and the path in it.

    Raises:
        StoreError: fsspec knows no such scheme, lacks the package for it, or the URL holds a password.
    """
    scheme = url.partition("://")[0]
    if _PASSWORD.search(url):
        raise StoreError(f"{scheme}://…: holds a user's name or password, which run.json would keep; leave it out")
    import fsspec.core

    try:
        with store_errors(url):
            filesystem, path = fsspec.core.url_to_fs(url)
            return filesystem, path.rstrip("/")
    except StoreError as error:
        if isinstance(error.__cause__, ImportError):
            package = EXTRAS.get(scheme)
            install = f"pip install {package}" if package else one_line(error.__cause__, 200)
            raise StoreError(f"{url}: needs a package that is not installed: {install}") from error
        if isinstance(error.__cause__, ValueError):
            raise StoreError(
                f"{url}: no such kind of URL; known are s3://, gs://, https:// and others of fsspec"
            ) from None
        raise


@contextmanager
def store_errors(url: str) -> Iterator[None]:
    """Turn every error of a file system in the `with` block into one that names the URL and says what to do.

    Raises:
        StoreError: the block raised an error.
    """
    try:
        yield
    except DegenError:
        raise
    except Exception as error:  # every file system has classes of its own
        raise StoreError(f"{url}: {_explain(url.partition('://')[0], error)}") from error


def _explain(scheme: str, error: Exception) -> str:
    name = type(error).__name__
    if isinstance(error, FileNotFoundError):
        return "there is no such file or folder; check its name"
    if isinstance(error, PermissionError) or "Credentials" in name or "Unauthorized" in name or "Forbidden" in name:
        return f"access is refused ({one_line(error, 120)}); {_LOGINS.get(scheme, 'check your permissions')}"
    return f"cannot be reached or used ({one_line(error, 200)}); check the URL and the network, and try again"
