"""Environments of the peers under build/peers: each is installed there once, from what pip reaches."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "build" / "peers"
OLD = "c2c881c"  # the commit that `degen scan` of the demo is compared with


class MissingPeerError(Exception):
    """A peer cannot be installed here; the message is the reason."""


@dataclass(frozen=True)
class Peer:
    """A package to be compared with.

    Attributes:
        requirement: as pip takes it.
        least: the oldest Python that it takes.
        shares: whether it sees the packages of this environment, torch with its libraries among them.
    """

    requirement: str
    least: tuple[int, int] = (3, 11)
    shares: bool = True


PEERS = {
    "weightwatcher": Peer("weightwatcher==0.7.7"),
    "lm-eval": Peer("lm-eval==0.4.13"),
    "diffract": Peer("diffract-core==0.3.1", least=(3, 12), shares=False),
}


def peer_python(name: str) -> Path:
    """Return the interpreter of a peer's environment, made where it is not there yet.

    Raises:
        MissingPeerError: it cannot be installed here.
    """
    peer = PEERS[name]
    return _environment(name, peer, [peer.requirement])


def old_degen() -> Path:
    """Return the interpreter of an environment with degen as it was at the commit `OLD`.

    Raises:
        MissingPeerError: this is no repository, or one without that commit.
    """
    source = FOLDER / "old-degen"
    if not source.exists():
        source.mkdir(parents=True)
        packed = subprocess.run(["git", "-C", str(ROOT), "archive", OLD], capture_output=True, check=False)
        if packed.returncode or subprocess.run(["tar", "-x", "-C", str(source)], input=packed.stdout).returncode:
            shutil.rmtree(source)
            raise MissingPeerError(f"the repository has no commit {OLD}")
    return _environment(f"degen-{OLD}", Peer(OLD), ["--no-deps", str(source)])


def _environment(name: str, peer: Peer, requirements: list[str]) -> Path:
    folder = FOLDER / name
    python, ready = folder / "bin" / "python", folder / "ready"
    if ready.exists():
        return python
    shutil.rmtree(folder, ignore_errors=True)
    subprocess.run([_interpreter(peer.least), "-m", "venv", str(folder)], check=True)
    if peer.shares:
        (site,) = folder.glob("lib/python*/site-packages")
        (site / "shared.pth").write_text("\n".join(_shared()) + "\n")  # behind its own packages
    done = subprocess.run(
        [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *requirements],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        errors = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
        raise MissingPeerError(f"pip cannot install {peer.requirement}: {(errors or ['ERROR: no reason'])[-1][7:]}")
    ready.touch()
    return python


def _shared() -> Iterator[str]:
    """Return the folders of packages that this interpreter sees, those of its .pth files included."""
    own = sysconfig.get_paths()["purelib"]
    return (path for path in sys.path if path == own or path.endswith("site-packages"))


def _interpreter(least: tuple[int, int]) -> str:
    """Return a Python of that version or later: this one, or one on the path or of pyenv.

    Raises:
        MissingPeerError: there is none.
    """
    if sys.version_info[:2] >= least:
        return sys.executable
    names = [f"python3.{minor}" for minor in range(least[1], least[1] + 4)]
    found = [path for name in names if (path := shutil.which(name))]
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    found += [str(path) for name in names for path in sorted(pyenv.glob(f"*/bin/{name}"))]
    for path in found:  # pyenv lays names on the path that run nothing
        if subprocess.run([path, "-c", "import venv"], capture_output=True, check=False).returncode == 0:
            return path
    raise MissingPeerError(f"needs Python {least[0]}.{least[1]} or later, and none is on the path")
