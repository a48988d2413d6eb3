"""A default scan whose peak memory above that of the loaded model is measured (Linux).

python bench/peer_rows/scan_script.py SERIES CORPUS TOKENS THREADS OUT

Prints JSON: the tokens, the figures, seconds by phase, and bytes.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import degen.scanning.measure_stream
from degen import scan
from peer_rows.resident import forget_peak, read_weights, resident

PASS = degen.scanning.measure_stream.run_pass


def main() -> None:
    series, corpus, tokens, threads, out = sys.argv[1:]
    above = []

    def watched(model: Any, *arguments: Any, **keywords: Any) -> Any:
        read_weights(model)
        forget_peak()
        loaded = resident("VmRSS")
        passed = PASS(model, *arguments, **keywords)
        above.append(resident("VmHWM") - loaded)
        return passed

    degen.scanning.measure_stream.run_pass = watched
    run = scan(series, corpus=corpus, tokens=int(tokens), context=512, threads=int(threads), out=out, fresh=True)
    (row,) = run.checkpoints()
    assert row["status"] == "ok", row["reason"]
    layers = [r for r in run.table("layers").to_pylist() if r["site"] != "block" or r["layer"] < row["layers"]]
    figures = {
        "loss": row["loss"], "loss_se": row["loss_se"], "anisotropy_se": row["anisotropy_se"],
        "anisotropy": [r["anisotropy"] for r in sorted(layers, key=lambda r: r["layer"])],
        "largest": run.table("spectrum")["singular_value"][0].as_py(),
    }  # fmt: skip
    seconds = {r["phase"]: r["seconds"] for r in run.table("timing").to_pylist()}
    sample = next(iter(run.info["sample"]["windows"].values()))
    print(json.dumps({"tokens": sample["tokens"], "figures": figures, "seconds": seconds, "memory": max(above)}))


if __name__ == "__main__":
    main()
