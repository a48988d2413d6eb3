"""Three stages of one training on the hub, from the scan to the verdict: one curve, by tokens."""

from __future__ import annotations

from pathlib import Path

from faults.command import degen as command
from hub_scans import Scans, revisions

from degen.metrics.find_curves import find_curves

NAMES = ("stage1-step100", "stage1-step200", "stage2-step100", "stage2-step150", "stage3-step10")
ONE, TWO = 4_194_304, 2_097_152
TOKENS = [100 * ONE, 200 * ONE, 200 * ONE + 100 * TWO, 200 * ONE + 150 * TWO, 210 * ONE + 150 * TWO]


def test_three_stages_of_olmo3_are_one_curve_of_rising_tokens(scans: Scans, series: Path, tmp_path: Path) -> None:
    step0, step100, step1000 = (revisions(series)[name] for name in ("step0", "step100", "step1000"))
    files = (step1000, step100, step0, step1000, step0)  # the last two are copies
    branches = {name: content | {"README.md": name.encode()} for name, content in zip(NAMES, files, strict=True)}
    scans.add("allenai/Olmo-3-1025-7B", branches)
    run = scans.heads("olmo3:7b")
    rows = run.checkpoints()
    assert [(r["revision"], r["stage"], r["seed"], r["tokens_seen"]) for r in rows] == [
        (name, name[:6], None, tokens) for name, tokens in zip(NAMES, TOKENS, strict=True)
    ]
    assert [r["step"] for r in rows] == [100, 200, 100, 150, 10]
    assert {r["model"] for r in run.table("spectrum").to_pylist()} == {"Olmo-3-1025-7B"}
    assert list(dict.fromkeys(run.table("spectrum")["revision"].to_pylist())) == list(NAMES)

    (curve,) = find_curves(run.path, metrics=["effective_rank"], warn=lambda line: None)
    assert curve.by_tokens
    assert curve.axis.tolist() == TOKENS[:3]  # copies are left out
    last, first = rows[-1]["effective_rank"], rows[0]["effective_rank"]
    assert last != first

    exported = tmp_path / "checkpoints.csv"
    assert command("export", run.path, "--table", "checkpoints", "--to", exported).code == 0
    for target in (run.path, exported):
        rules = ["effective_rank > 0", f"effective_rank[step=all] > {min(r['effective_rank'] for r in rows) - 1e-9}"]
        result = command("gate", target, "--rule", rules[0], "--json")
        assert result.code == 0
        (value,) = result.json()["rows"]
        assert (value["step"], value["value"]) == (10, last)
        assert command("gate", target, "--rule", rules[1]).code == 0
        assert command("saturation", target, "--metric", "effective_rank", "--json").code == 0
    shown = command("show", run.path)
    assert shown.code == 0
    assert "stage2" in shown.out
