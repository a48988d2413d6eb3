"""The real client, made fit for the stand-in hub: on line, nobody's token, and no pause between its attempts."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import SimpleNamespace

import pytest
from huggingface_hub import close_session, constants, file_download
from huggingface_hub.utils import _http


@contextmanager
def online(cache: Path) -> Iterator[list[float]]:
    """Let this process talk to the hub, though conftest.py says HF_HUB_OFFLINE; yields the pauses as they come.

    The client's constants were read at its import, so they are patched, not the environment. The endpoint is not among
    them: pass it, or set HF_ENDPOINT for a process of its own.

    Args:
        cache: what stands for ~/.cache/huggingface/hub.
    """
    pauses: list[float] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(constants, "HF_HUB_OFFLINE", False)
        patch.setattr(constants, "HF_HUB_DISABLE_IMPLICIT_TOKEN", True)
        patch.setattr(constants, "HF_HUB_CACHE", str(cache))
        patch.setattr(
            constants, "HF_HUB_DISABLE_XET", True
        )  # the other way to send large files, LFS, is the stand-in's
        with suppress(ImportError):  # of newer clients
            from huggingface_hub.utils import _detect_agent

            # a list that the client would fetch from huggingface.co, where no test goes
            patch.setattr(_detect_agent, "_registry", _detect_agent._EMPTY_REGISTRY)
        # the modules' own `time`, and not `time.sleep`, on which other threads may be
        patch.setattr(_http, "time", SimpleNamespace(sleep=pauses.append))
        patch.setattr(file_download, "time", SimpleNamespace(sleep=pauses.append))
        try:
            yield pauses
        finally:
            close_session()  # its connections would outlive the server they lead to
