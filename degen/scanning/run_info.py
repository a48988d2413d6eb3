"""Everything that run.json keeps of a run, known before the first checkpoint: versions, device, dtype, columns."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from degen.errors import DegenError
from degen.hashing import fingerprint
from degen.probe import Probe
from degen.runs.run_writer import RunWriter
from degen.tables import SCHEMA_VERSION, Tables
from degen.version import __version__

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
    resolved = {
        "probes": list(probes),
        "columns": fingerprint({name: tables.schema(name).to_string() for name in tables.names}),
        "device": device.type,
        "dtype": str(dtype).removeprefix("torch."),
    }
    before = info.setdefault("resolved", resolved)
    if changed := [name for name in resolved if resolved[name] != before.get(name)]:
        problem = (
            f"{changed[0]} would be {resolved[changed[0]]} here, and was {before.get(changed[0])} when the run began"
        )
        if changed[0] == "columns":
            problem = f"its tables have other columns than this degen writes (schema version {info['schema_version']})"
        raise DegenError(f"{writer.path}: {problem}; choose another --out, or start over with --fresh")
    info["config_hash"] = fingerprint(
        {name: info["asked"][name] for name in ("tokens", "context", "seed", "options")}
        | {"resolved": resolved, "schema_version": SCHEMA_VERSION}
        | {"sample": sorted(s.sha256 for s in samples.samples.values())}
    )
    info.setdefault("batch_tokens", {})
