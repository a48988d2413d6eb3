"""Packages with a probe of their own, sound ones and others, installed each into a folder of its own."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

PYPROJECT = """
[build-system]
requires = ["setuptools>=77"]
build-backend = "setuptools.build_meta"

[project]
name = "{name}"
version = "1.2.3"
dependencies = ["degen-lm"]

[project.entry-points."degen.probes"]
{probe} = "{name}:{attribute}"

[tool.setuptools]
py-modules = ["{name}"]
"""

NORMS = '''
"""How long states and rows are."""

from degen.probe import HeadProbe, StreamProbe
from degen.tables import Column


class Norms(StreamProbe):
    """The longest state at every site, and of every window where the head stands."""

    measures = "largest length of a hidden state, by layer and by window"
    needs = frozenset({"states"})
    columns = {
        "checkpoints": (Column("longest_state", "float64", "", "largest length at the head", summary=True),),
        "layers": (Column("longest", "float64", "", "largest length of a state at this site"),),
        "longest_by_window": (
            Column("window", "int64", "", "window of sample.parquet", key=True),
            Column("longest", "float64", "", "largest length of what the head receives in this window"),
            Column("where", "string", "", "the site it was taken at"),
            Column("beyond_ten", "bool", "", "whether it is above ten"),
        ),
    }

    def __init__(self, sample):
        super().__init__(sample)
        self.longest = {}
        self.windows = {}

    def update_states(self, batch, site, states):
        lengths = states.double().norm(dim=-1)
        if batch.mask is not None:
            lengths = lengths * batch.mask
        self.longest[site] = max(self.longest.get(site, 0.0), lengths.max().item())
        if site.name == "head_input":
            self.windows.update(zip(batch.windows.tolist(), lengths.amax(dim=1).tolist()))

    def merge(self, other):
        for site, value in other.longest.items():
            self.longest[site] = max(self.longest.get(site, 0.0), value)
        self.windows.update(other.windows)

    def finish(self):
        layers = [{"layer": p.layer, "site": p.name, "longest": v} for p, v in self.longest.items()]
        windows = [
            {"window": self.sample.windows[i].number, "longest": v, "where": "head_input", "beyond_ten": v > 10}
            for i, v in sorted(self.windows.items())
        ]
        return {
            "checkpoints": [{"longest_state": max(self.windows.values())}],
            "layers": layers,
            "longest_by_window": windows,
        }


class Clash(HeadProbe):
    """Fills a column that is there."""

    measures = "nothing new"
    columns = {"checkpoints": (Column("loss", "float64", "", "another loss"),)}

    def measure(self, head):
        return {"checkpoints": [{"loss": 1.0}]}


class Engine(Clash):
    """Fills a column of the engine's."""

    columns = {"layers": (Column("site", "string", "", "another site"),)}


class Undeclared(HeadProbe):
    """Fills what it has not declared."""

    measures = "more than it says"
    columns = {"checkpoints": (Column("rows", "int64", "rows", "rows"),)}

    def measure(self, head):
        return {"checkpoints": [{"rows": head.shape[0], "secret": 1}]}


class Fails(HeadProbe):
    """Cannot measure."""

    measures = "nothing"
    columns = {"checkpoints": (Column("rows", "int64", "rows", "rows"),)}

    def measure(self, head):
        raise ZeroDivisionError("a stranger's bug\\nin two lines")


class Text(Fails):
    """Returns a text where a whole number belongs."""

    def measure(self, head):
        return {"checkpoints": [{"rows": "many"}]}


class TextOfStates(Norms):
    """Returns a text where a number belongs."""

    def finish(self):
        return {"layers": [{"layer": p.layer, "site": p.name, "longest": "far"} for p in self.longest]}


class NoProbe:
    """Not a probe."""
'''

ATTRIBUTES = ("Norms", "Clash", "Engine", "Undeclared", "Fails", "Text", "TextOfStates", "NoProbe", "Broken")
BUILD = """
import os, sys
from setuptools import build_meta
for folder in sys.argv[1:]:
    os.chdir(folder)
    build_meta.build_wheel("dist")
"""


def write_source(folder: Path, attribute: str) -> None:
    """Write a package with one entry point."""
    folder.mkdir()
    name = f"third_party_{attribute.lower()}"
    text = PYPROJECT.format(name=name, attribute=attribute, probe=attribute.lower())
    (folder / "pyproject.toml").write_text(text)
    (folder / f"{name}.py").write_text("raise RuntimeError('no luck')" if attribute == "Broken" else NORMS)


def install_packages(sources: Path, installed: Path) -> dict[str, Path]:
    """Return the folder of each package: the first is installed by pip, the others are built at once and unpacked."""
    folders = {attribute: sources / attribute for attribute in ATTRIBUTES}
    for attribute, folder in folders.items():
        write_source(folder, attribute)
    first, *others = ATTRIBUTES
    by_pip = [
        sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps",
        "--no-build-isolation", "--no-index", "--target", installed / first, folders[first],
    ]  # fmt: skip
    subprocess.run(by_pip, check=True, capture_output=True)
    subprocess.run([sys.executable, "-c", BUILD, *(folders[a] for a in others)], check=True, capture_output=True)
    for attribute in others:
        (wheel,) = (folders[attribute] / "dist").glob("*.whl")
        shutil.unpack_archive(wheel, installed / attribute, "zip")
    return {attribute: installed / attribute for attribute in ATTRIBUTES}
