"""How often a rule on anisotropy fails by chance, with few documents and with many.

    python bench/gate_documents.py [--draws 2000] [--seed 0]

The demo's windows go through some of its checkpoints, and each layer is a pool of documents; those whose anisotropy is
nearest to the asked ones are taken. The truth is the anisotropy of all pairs of the pool. Then documents are drawn with
replacement, as many as a column says, and a gate at 95 % judges the rule whose bound is the truth (how often it fails:
false alarms; how often it is undecidable), and one whose bound is two standard errors on the wrong side (how often it
fails: power; the standard error is that of the figure over all draws). Both sides, `<` and `>`.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import torch
from degen.probes.anisotropy import document_figures
from transformers import AutoModelForCausalLM

import degen
from degen.arrays import Floats
from degen.demo import series_paths
from degen.gate import Rule, parse_rule
from degen.gate.judge import judge_value
from degen.gate.metric_values import MetricValue
from degen.stats.document_interval import JackknifeRange

STEPS = ("step30", "step500", "step1000", "step3000")
ANISOTROPIES = (0.1, 0.5, 0.82, 0.92, 0.97)
DOCUMENTS = (5, 10, 30, 100)
Pool = tuple[str, Floats, Floats]  # name, s_w, n_w


def pools() -> list[Pool]:
    """Return the sums of unit vectors of every document, for every layer of some checkpoints of the demo."""
    found = []
    with tempfile.TemporaryDirectory() as folder:
        run = degen.scan(series_paths()[0], out=folder, tokens=50_000, steps="3000", probes=("loss",)).path
        windows = pq.read_table(Path(run) / "sample.parquet").to_pylist()
    documents = sorted({w["document"] for w in windows})
    for series in series_paths():
        for step in STEPS:
            if not (series / step).is_dir():
                continue
            model = AutoModelForCausalLM.from_pretrained(series / step, dtype=torch.float32).eval()
            sums: dict[int, Floats] = {}
            counts = np.zeros(len(documents))
            for window in windows:
                with torch.inference_mode():
                    states = model(torch.tensor([window["tokens"]]), output_hidden_states=True).hidden_states
                slot = documents.index(window["document"])
                counts[slot] += len(window["tokens"])
                for layer, h in enumerate(states):
                    unit = torch.nn.functional.normalize(h[0].double(), dim=-1).sum(0).numpy()
                    sums.setdefault(layer, np.zeros((len(documents), len(unit))))[slot] += unit
            found += [(f"{series.name} {step} layer {layer}", s, counts) for layer, s in sums.items()]
    return found


def measured(s: Floats, n: Floats) -> MetricValue:
    """Return the anisotropy of documents as a gate reads it from a run."""
    row = document_figures(s, n)
    spread = JackknifeRange(row["anisotropy_jackknife_min"], row["anisotropy_jackknife_max"], row["anisotropy_across"])
    error, freedom = row["anisotropy_se"], len(n) - 1
    return MetricValue("m", None, None, None, row["anisotropy"], error, freedom=freedom, spread=spread)


def verdicts(rule: Rule, values: list[MetricValue]) -> dict[str, float]:
    """Return how often each verdict is given."""
    given = [judge_value(rule, value, 0.95).verdict for value in values]
    return {name: given.count(name) / len(given) for name in ("failed", "undecidable")}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draws", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    generator = np.random.default_rng(options.seed)
    candidates = pools()
    truths = [document_figures(s, n)["anisotropy"] for _, s, n in candidates]
    print(f"{'pool':26} {'truth':>6} {'documents':>9} {'false alarms':>12} {'undecidable':>11} {'power':>6}  rule")
    for wanted in ANISOTROPIES:
        index = int(np.argmin(np.abs(np.array(truths) - wanted)))
        name, s, n = candidates[index]
        for count in DOCUMENTS:
            drawn = [generator.integers(0, len(n), count) for _ in range(options.draws)]
            values = [measured(s[d], n[d]) for d in drawn]
            error = float(np.std([v.value for v in values]))
            for comparison, side in (("<", 1), (">", -1)):
                at_truth = verdicts(parse_rule(f"anisotropy {comparison} {truths[index]!r}"), values)
                bound = truths[index] - side * 2 * error
                power = verdicts(parse_rule(f"anisotropy {comparison} {bound!r}"), values)["failed"]
                print(
                    f"{name:26} {truths[index]:6.3f} {count:9} {at_truth['failed']:12.1%} "
                    f"{at_truth['undecidable']:11.1%} {power:6.0%}  {comparison}"
                )


if __name__ == "__main__":
    main()
