"""Everything that run.json keeps of a run, known before the first checkpoint: versions, device, dtype, columns."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from degen.errors import DegenError
from degen.hashing import fingerprint
from degen.probe import Probe
from degen.runs.run_file import PROBES_BY_CONFIG
from degen.runs.run_writer import RunWriter
from degen.tables import SCHEMA_VERSION, Tables
from degen.version import __version__

from .plan import tables_of
from .sampling import Samples

if TYPE_CHECKING:
    import torch


def complete_info(
    writer: RunWriter,
    models: Sequence[str],
    probes: Mapping[str, type[Probe]],
    tables: Tables,
    samples: Samples,
    device: torch.device,
    dtype: Any,
) -> None:
    """Complete run.json in memory.

    Args:
        writer: of the run.
        models: labels of the series, in order.
        probes: those that will measure.
        tables: what they fill.
        samples: the windows.
        device: of the pass.
        dtype: of the pass, as transformers takes it.

    Raises:
        DegenError: in a continued run the settings meant something else before.
    """
    import torch

    info = writer.info
    info["degen_version"] = __version__
    info["versions"] = {"python": platform.python_version()} | {
        name: version(name) for name in ("torch", "transformers", "safetensors", "pyarrow", "numpy")
    }
    info["models"] = list(models)
    info["tables"] = tables.names
    info["threads"] = torch.get_num_threads()
    info["sample"] = samples.info
    same = {"device": device.type, "dtype": str(dtype).removeprefix("torch.")}
    before = info.get("resolved")
    if before is not None:
        kept = {name: probe for name, probe in probes.items() if name in before["probes"]}
        _check_meaning(writer, before, _resolve_probes(kept, tables_of(kept)) | same)
    info["resolved"] = _resolve_probes(probes, tables) | same
    hash_before = info.get("config_hash")
    info["config_hash"] = fingerprint(
        {name: info["asked"][name] for name in ("tokens", "context", "seed", "options")}
        | ({"skip_first": skipped} if (skipped := info["asked"].get("skip_first")) else {})
        | {"resolved": info["resolved"], "schema_version": SCHEMA_VERSION}
        | {"sample": sorted(s.sha256 for s in samples.samples.values())}
    )
    if before is not None and list(probes) != before["probes"]:
        by_config = info.setdefault(PROBES_BY_CONFIG, {hash_before: before["probes"]})
        by_config[info["config_hash"]] = list(probes)
    info.setdefault("batch_tokens", {})


def _check_meaning(writer: RunWriter, before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """Refuse to continue a run in which the same settings meant something else.

    Args:
        writer: of the run.
        before: what `resolved` of run.json says.
        now: what it would say, of the probes that the run has.

    Raises:
        DegenError: they differ.
    """
    if changed := [name for name in now if now[name] != before.get(name)]:
        problem = f"{changed[0]} would be {now[changed[0]]} here, and was {before.get(changed[0])} when the run began"
        if changed[0] == "columns":
            problem = (
                f"its tables have other columns than this degen writes (schema version {writer.info['schema_version']})"
            )
        raise DegenError(f"{writer.path}: {problem}; choose another --out, or start over with --fresh")


def _resolve_probes(probes: Mapping[str, type[Probe]], tables: Tables) -> dict[str, Any]:
    """Return what run.json keeps of probes: their names, and a hash of the columns of their tables."""
    columns = fingerprint({name: tables.schema(name).to_string() for name in tables.names})
    return {"probes": list(probes), "columns": columns}
