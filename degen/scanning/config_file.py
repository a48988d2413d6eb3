"""A repository's own configuration: `degen.toml`, or `[tool.degen]` of `pyproject.toml`.

series = ["runs/my-model"]              # in pyproject.toml: under [tool.degen]
corpus = "val.jsonl"                    # paths are relative to this file
out = "degen-run"
steps = "log:20"
tokens = 20000
probes = ["loss", "anisotropy"]
rules = ["anisotropy[layer=last] < 0.6"]
[gate]                                  # see degen.gate.settings; in pyproject.toml: [tool.degen.gate]
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from degen.errors import DegenError
from degen.hints import did_you_mean
from degen.paths import expand_user, resolve_spec
from degen.stores.urls import url_of

OWN, PROJECT = "degen.toml", "pyproject.toml"
KEYS = ("series", "corpus", "out", "steps", "tokens", "probes", "rules", "gate")


@dataclass(frozen=True)
class ConfigFile:
    """What a configuration file says, with its paths made absolute. None: the file does not say it.

    Attributes:
        file: its path.
        series: what to measure, or for a gate to judge; may be empty.
        corpus: the text to stream.
        out: the run folder.
        steps: which checkpoints of each series.
        tokens: to stream through each checkpoint.
        probes: names with commas.
        rules: of a gate, as text; may be empty.
        gate: the table `gate`, unchecked.
    """

    file: Path
    series: tuple[str, ...] = ()
    corpus: str | None = None
    out: str | None = None
    steps: str | None = None
    tokens: int | None = None
    probes: str | None = None
    rules: tuple[str, ...] = ()
    gate: Mapping[str, Any] = field(default_factory=dict)

    def scan_options(self) -> dict[str, Any]:
        """Return the options of a scan that the file sets, by name."""
        values = {name: getattr(self, name) for name in ("corpus", "out", "steps", "tokens", "probes")}
        return {name: value for name, value in values.items() if value is not None}


def find_config(folder: Path) -> ConfigFile | None:
    """Return the configuration of the file nearest to `folder`: in it, or in its parents up to the repository's root.

    In each folder `degen.toml` is read before `pyproject.toml`; files without settings of degen are skipped. Outside of
    a repository only the folder itself is searched.

    Returns:
        The configuration of the first such file; None where there is none.

    Raises:
        DegenError: the file cannot be read, is not TOML, or has an unknown key or a wrong value.
    """
    for parent in _up_to_repository(folder.resolve()):
        for name in (OWN, PROJECT):
            file = parent / name
            if file.is_file() and (table := read_toml(file)) is not None:
                return _parse(table, file)
    return None


def config_above(folder: Path) -> Path | None:
    """Return a degen.toml in a parent of `folder` that `find_config` does not look into; None without one."""
    folder = folder.resolve()
    searched = _up_to_repository(folder)
    return next((f / OWN for f in folder.parents if f not in searched and (f / OWN).is_file()), None)


def read_config(file: Path) -> ConfigFile:
    """Return the configuration of a given file: `pyproject.toml`, or any other in the form of `degen.toml`.

    Raises:
        DegenError: the file cannot be read, is not TOML or has no settings of degen, or has an unknown key or a wrong
            value.
    """
    file = expand_user(file)
    table = read_toml(file)
    if table is None:
        head = "[tool.degen.gate]" if file.name == PROJECT else "[gate]"
        raise DegenError(f"{file}: this file has no settings of degen; add {head} with rules = [...]")
    return _parse(table, file)


def table_name(file: Path, name: str = "") -> str:
    """Return a table of degen's in a file as its head is written there: `[gate]`, `[tool.degen.gate]`, `[tool.degen]`.

    Args:
        file: the configuration file.
        name: of the table; empty for that which holds the others.
    """
    head = "tool.degen" if file.name == PROJECT else ""
    return f"[{'.'.join(filter(None, (head, name)))}]" if head or name else "the file"


def _up_to_repository(folder: Path) -> Sequence[Path]:
    """Return a folder and its parents, up to the root of the repository; the folder alone outside of one."""
    folders = (folder, *folder.parents)
    root = next((i for i, f in enumerate(folders) if (f / ".git").exists()), 0)
    return folders[: root + 1]


def read_toml(file: Path) -> dict[str, Any] | None:
    """Return the settings of degen in a file, unchecked, as a dict; None where it has none.

    Raises:
        DegenError: the file cannot be read, or is not TOML.
    """
    try:
        content = tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise DegenError(
            f"{file}: the settings cannot be read ({error.strerror or error}); check the path and its permissions"
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise DegenError(f"{file}: the file is not valid TOML ({error}); correct it there") from error
    if file.name != PROJECT:
        return content or None
    tool = content.get("tool")
    table = tool.get("degen") if isinstance(tool, dict) else None
    settings: dict[str, Any] | None = checked(table, dict, file, "[tool.degen]", "a table")
    return settings


def _parse(table: Mapping[str, Any], file: Path) -> ConfigFile:
    check_keys(table, KEYS, file, table_name(file))
    folder = file.resolve().parent
    corpus: str | None = checked(table.get("corpus"), str, file, "corpus", 'a path or a name, as in "val.jsonl"')
    out: str | None = checked(table.get("out"), str, file, "out", 'a path or a URL, as in "degen-run"')
    tokens = table.get("tokens")
    if tokens is not None and type(tokens) is not int:
        raise DegenError(f"{file}: tokens = {tokens!r}: must be a whole number, as in tokens = 20000")
    probes = ",".join(texts(table.get("probes"), file, "probes", '["loss", "anisotropy"]'))
    series = texts(table.get("series"), file, "series", '["runs/my-model"]')
    return ConfigFile(
        file=file,
        series=tuple(resolve_spec(name, folder) for name in series),
        corpus=resolve_spec(corpus, folder) if corpus is not None else None,
        out=_run_folder(out, folder) if out is not None else None,
        steps=checked(table.get("steps"), str, file, "steps", 'a text, as in "log:20"'),
        tokens=tokens,
        probes=probes or None,
        rules=tuple(rule_texts(table.get("rules", []), file)),
        gate=checked(table.get("gate", {}), dict, file, table_name(file, "gate"), "a table"),
    )


def _run_folder(out: str, folder: Path) -> str:
    """Return the run folder that a file names: a path beside the file, or a URL as it is."""
    return out if url_of(out) is not None else str(folder / expand_user(out))


def texts(value: object, file: Path, name: str, example: str) -> list[str]:
    """Return the texts of a key that is one text or a list of texts; none where it is None.

    Raises:
        DegenError: it is something else.
    """
    listed = [value] if isinstance(value, str) else [] if value is None else value
    if not isinstance(listed, list) or not all(isinstance(text, str) and text for text in listed):
        raise DegenError(f"{file}: {name} = {value!r}: must be a list of texts, as in {name} = {example}")
    return listed


def rule_texts(value: object, file: Path) -> list[str]:
    """Return the rules of a key `rules` as texts, not parsed.

    Raises:
        DegenError: it is no list of texts.
    """
    if not isinstance(value, list) or not all(isinstance(text, str) for text in value):
        raise DegenError(f'{file}: rules must be a list of texts, as in rules = ["loss.rise < 0.02"]')
    return value


def check_keys(table: Mapping[str, Any], known: Sequence[str], file: Path, where: str) -> None:
    """Refuse a key that is unknown, with the nearest of those that are known.

    Raises:
        DegenError: there is such a key.
    """
    for key in table:
        if key not in known:
            raise DegenError(f"{file}: {where} has an unknown key {key!r}; {did_you_mean(key, known)}")


def checked(value: Any, kind: type, file: Path, name: str, expected: str) -> Any:
    """Return `value` as it is, after checking that it is None or of the type `kind`.

    Args:
        value: the value of a key in the file.
        kind: the type that it must have.
        file: the file, for the error.
        name: the key, for the error.
        expected: what the value must be, in words, for the error.

    Raises:
        DegenError: the value is of another type.
    """
    if value is not None and not isinstance(value, kind):
        raise DegenError(f"{file}: {name} = {value!r}: must be {expected}")
    return value
