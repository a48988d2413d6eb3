from __future__ import annotations

import gc
import logging
import os
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("DISABLE_SAFETENSORS_CONVERSION", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("OMP_NUM_THREADS", "1")  # tiny matrices: a second thread only waits for the first

from hub_scans import Scans, scanned_hub
from tiny import make_corpus, make_series, pile

if TYPE_CHECKING:
    import degen

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # a shell starts `make test &` so, and processes inherit it
    signal.signal(signal.SIGINT, signal.default_int_handler)


def _refuse_deprecations(logger: logging.Logger, message: object, *args: object, **keywords: object) -> None:
    """Raise what transformers logs of things it is to drop; pyproject.toml makes errors of what it warns of."""
    if logger.name.startswith("transformers") and "deprecated" in str(message):
        raise DeprecationWarning(str(message) % args if args else str(message))
    _warning(logger, message, *args, **keywords)


_warning: Callable[..., None] = logging.Logger.warning
logging.Logger.warning = _refuse_deprecations  # type: ignore[method-assign]

# The same examples every time, however busy the machine is.
settings.register_profile("degen", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("degen")


@pytest.fixture(scope="session")
def series(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return three GPT-NeoX checkpoints, step0, step100 and step1000, with a tokenizer; not to be written to."""
    return make_series(tmp_path_factory.mktemp("series") / "tiny")


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return two dozen documents in three domains, long ones and short ones, as JSON Lines; not to be written to."""
    return make_corpus(tmp_path_factory.mktemp("corpus") / "corpus.jsonl", pile(24, ragged=True))


@pytest.fixture(scope="session")
def run(series: Path, corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> degen.Run:
    """Return a run of the series and the corpus, with windows; not to be written to."""
    import degen

    return degen.scan(
        series, corpus=corpus, out=tmp_path_factory.mktemp("scanned") / "run", tokens=512, context=32, threads=1
    )


@pytest.fixture
def run_copy(run: degen.Run, tmp_path: Path) -> Path:
    """Return the folder of the same run, to be written to."""
    return Path(shutil.copytree(run.path, tmp_path / "run"))


@pytest.fixture
def scans(tmp_path: Path) -> Iterator[Scans]:
    """Yield an empty hub that this process is sent to."""
    with scanned_hub(tmp_path) as made:
        yield made


@pytest.fixture
def own_modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Yield the folder where transformers keeps the code of checkpoints: one of this test's, forgotten after it.

    The package that transformers makes of it is imported once in a process; a second test would look in the folder
    of the first.
    """
    from transformers import dynamic_module_utils

    folder = tmp_path / "modules"
    monkeypatch.setattr(dynamic_module_utils, "HF_MODULES_CACHE", str(folder))
    path = list(sys.path)
    yield folder
    sys.path[:] = path
    package = dynamic_module_utils.TRANSFORMERS_DYNAMIC_MODULE_NAME
    for name in [n for n in sys.modules if n.partition(".")[0] == package]:
        del sys.modules[name]


def pytest_runtest_setup() -> None:
    """Keep the garbage collector from walking over all that libraries have loaded, a quarter of a second a time."""
    global _modules_frozen
    if len(sys.modules) > _modules_frozen + 200:
        gc.collect()
        gc.freeze()
        _modules_frozen = len(sys.modules)


_modules_frozen = 0


def pytest_unconfigure() -> None:
    """Let libraries end as they would, some of which report what is not freed."""
    gc.unfreeze()


@pytest.fixture
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work in an empty folder, where there is no `degen-run` that `make demo` left."""
    monkeypatch.chdir(tmp_path)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Sort the folders with the slowest files first, so that no core waits for one of them at the end."""
    slow = ("real", "docs", "faults")
    items.sort(key=lambda item: next((i for i, name in enumerate(slow) if item.path.parent.name == name), len(slow)))
