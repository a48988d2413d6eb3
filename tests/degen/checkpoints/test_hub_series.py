"""Series on the hub: which revisions a spec names, in what order, and what is said where there are none."""

from __future__ import annotations

from pathlib import Path

import pytest
from hub_scans import Scans, add_odd, marked

from degen import DegenError
from degen.checkpoints.find_series import find_series
from degen.checkpoints.hub_source import HubSource
from degen.checkpoints.series import Grammar


@pytest.fixture
def repo(scans: Scans) -> Scans:
    return add_odd(scans)


def named(scans: Scans, spec: str, **more: str | int) -> list[str]:
    return [c.revision for c in scans.find(spec, **more).checkpoints]  # type: ignore[arg-type]


def test_a_name_alone_is_its_main_branch(repo: Scans) -> None:
    series = repo.find("org/m")
    (checkpoint,) = series.checkpoints
    assert (series.model, series.root, checkpoint.revision, checkpoint.step) == ("m", None, "main", None)
    assert checkpoint.source == HubSource("org/m", "main", repo.hub.repos["org/m"].commit("main"))
    assert len(repo.hub.requests) == 1


@pytest.mark.parametrize(
    ("at", "revisions"),
    [
        ("step512", ["step512"]),
        ("v1", ["v1"]),
        ("draft/step7", ["draft/step7"]),
        ("step*", ["step0", "step64", "step512", "step1000", "step2000-tokens4B"]),
        ("step?", ["step0"]),
        ("step[0-5]*", ["step0", "step512", "step1000", "step2000-tokens4B"]),
        ("*step*", ["step0", "step64", "step512", "step1000", "step2000-tokens4B", "draft/step7"]),
        ("*", ["step0", "step64", "step512", "step1000", "step2000-tokens4B", "draft/step7", "main", "v1"]),
        ("step1000,step0", ["step0", "step1000"]),
        ("main,step0,v1,step0", ["step0", "main", "v1"]),
        ("step5*,step1*,main", ["step512", "step1000", "main"]),
    ],
)
def test_names_and_patterns_after_an_at_sign_choose_revisions(repo: Scans, at: str, revisions: list[str]) -> None:
    assert named(repo, f"org/m@{at}") == revisions


def test_a_branch_wins_over_a_tag_of_its_name(repo: Scans) -> None:
    repo.hub.repos["org/m"].tags["step0"] = marked("another")
    assert repo.find("org/m@step0").checkpoints[0].source.version() == (
        f"commit {repo.hub.repos['org/m'].commit('step0')}"
    )


def test_commits_are_named_by_their_hash(repo: Scans) -> None:
    step0, past = (repo.hub.repos["org/m"].commit(name) for name in ("step0", "main"))
    repo.hub.repos["org/m"].push("main", marked("newer"))
    series = repo.find(f"org/m@{step0},{past},step512")
    sources = {c.revision: c.source for c in series.checkpoints}
    assert sources[step0] == HubSource("org/m", step0, step0)
    assert sources[past] == HubSource("org/m", past, past)
    with pytest.raises(DegenError, match=r"org/m@0{40}: no such revision on the hub"):
        repo.find(f"org/m@{'0' * 40}")


def test_a_shortened_commit_is_resolved_by_the_hub(repo: Scans, monkeypatch: pytest.MonkeyPatch) -> None:
    commit = repo.hub.repos["org/m"].commit("main")
    find = repo.hub.repos["org/m"].find
    monkeypatch.setattr(
        type(repo.hub.repos["org/m"]), "find", lambda _, name: find(commit if name == commit[:8] else name)
    )
    assert repo.find(f"org/m@{commit[:8]}").checkpoints[0].source == HubSource("org/m", commit[:8], commit)


@pytest.mark.parametrize(
    ("names", "steps", "tokens"),
    [
        (["step1000", "step0"], [0, 1000], [None, None]),
        (["checkpoint-1000", "checkpoint-200"], [200, 1000], [None, None]),
        (["global_step1000", "global_step20"], [20, 1000], [None, None]),
        (["step9-tokens1M", "step1000-tokens4.5B"], [9, 1000], [1_000_000, 4_500_000_000]),
        (
            ["stage2-step10-tokens1B", "stage1-step1000-tokens4B", "stage1-step20-tokens84M"],
            [20, 1000, 10],
            [84_000_000, 4_000_000_000, 5_000_000_000],
        ),
    ],
)
def test_revision_names_of_published_series_are_read(
    scans: Scans, names: list[str], steps: list[int], tokens: list[int | None]
) -> None:
    scans.add("org/m", {name: marked(name) for name in (*names, "main")})
    glob = "*step*" if "step" in names[0] else "checkpoint-*"
    checkpoints = scans.find(f"org/m@{glob}").checkpoints
    assert [c.step for c in checkpoints] == steps
    assert [c.tokens_seen for c in checkpoints] == tokens


def test_two_revisions_of_one_step_are_refused(scans: Scans) -> None:
    scans.add("org/m", {"step10": marked(1), "step10-tokens2M": marked(2)}, tags={"step010": marked(3)})
    with pytest.raises(DegenError, match=r"org/m: .*step0?10.* are both step 10; .*name only one"):
        scans.find("org/m@step*")
    assert named(scans, "org/m@step10-tokens2M") == ["step10-tokens2M"]


PATTERN = r"(?:phase(?P<stage>\d+)-)?it(?P<step>\d+)(?:-(?P<tokens>[\d.]+)(?P<unit>[KMBT]?))?"


@pytest.fixture
def odd(scans: Scans, tmp_path: Path) -> Scans:
    """Return a series of names that degen does not know by itself, on the hub and in a folder."""
    names = ("phase2-it5-1.5M", "it100", "it20-3K", "main", "step3", "phase1-it7-8")
    scans.add("org/odd", {name: marked(name) for name in names})
    for name in names:
        (tmp_path / "odd" / name).mkdir(parents=True)
        (tmp_path / "odd" / name / "config.json").write_text("{}")
    return scans


def test_revision_names_are_read_by_a_pattern_of_the_user(odd: Scans, tmp_path: Path) -> None:
    order = ["it20-3K", "it100", "phase1-it7-8", "phase2-it5-1.5M"]
    for spec in ("org/odd", "org/odd@*"):
        checkpoints = odd.find(spec, pattern=PATTERN).checkpoints
        assert [c.revision for c in checkpoints] == order
        assert [(c.step, c.tokens_seen) for c in checkpoints] == [(20, 3000), (100, None), (7, 8), (5, 1_500_008)]
    assert named(odd, "org/odd@it*", pattern=PATTERN) == ["it20-3K", "it100"]
    assert named(odd, "org/odd@main,it100", pattern=PATTERN) == ["it100", "main"]
    assert named(odd, str(tmp_path / "odd"), pattern=PATTERN) == [*order, "main", "step3"]  # they hold a model
    assert named(odd, "org/odd", pattern=PATTERN, steps="90") == ["it100"]


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("it(?P<step>", "must be a regular expression"),
        (r"it\d+", "a group must match the step"),
        (r"it(?P<step>\d+)x", "no revision that matches"),
        (r"(?P<step>it)\d+.*", "in 'it1?[02]0.*' a group of the pattern matches a text that is not a number"),
        (r"it(?P<step>\d+)-(?P<tokens>\d+)(?P<unit>.)x?", None),
        (r"it(?P<step>\d*).*|main", "in 'main' a group of the pattern matches a text that is not a number"),
        (
            r"it(?P<step>\d+)(?P<unit>-)?(?P<tokens>\d+)?.?",
            "in 'it20-3K' a group of the pattern matches a text that is not a number",
        ),
    ],
)
def test_patterns_that_do_not_fit_the_names_are_refused(odd: Scans, pattern: str, message: str | None) -> None:
    if message is None:
        assert [(c.revision, c.tokens_seen) for c in odd.find("org/odd", pattern=pattern).checkpoints] == [
            ("it20-3K", 3000)
        ]
        return
    with pytest.raises(DegenError, match=message):
        odd.find("org/odd", pattern=pattern)


def test_tokens_seen_are_counted_by_steps_where_names_hold_no_tokens(scans: Scans) -> None:
    for name in ("EleutherAI/pythia-70m", "org/m"):
        scans.add(name, {"step0": marked(0), "step3": marked(3), "step4-tokens5K": marked(4)})
    tokens = {
        (spec, per_step): [c.tokens_seen for c in scans.find(f"{spec}@step*", per_step=per_step).checkpoints]
        for spec in ("EleutherAI/pythia-70m", "org/m")
        for per_step in (None, 10)
    }
    assert tokens == {
        ("EleutherAI/pythia-70m", None): [0, 3 * 2_097_152, 5000],
        ("EleutherAI/pythia-70m", 10): [0, 30, 5000],
        ("org/m", None): [None, None, 5000],
        ("org/m", 10): [0, 30, 5000],
    }


def test_steps_select_from_a_series_and_missing_ones_are_replaced_by_the_nearest(repo: Scans) -> None:
    notes: list[str] = []
    (series,) = find_series(["org/m@*"], "0,500,999:2001:500", notes.append)
    rest = ["draft/step7", "main", "v1"]  # that are no steps
    assert [c.revision for c in series.checkpoints] == ["step0", "step512", "step1000", "step2000-tokens4B", *rest]
    assert notes[0] == "m: there is no step 500; step 512 is the nearest"
    assert [note.split(":")[:2] for note in notes[1:]] == [["m", " draft/step7, main, v1"]]
    assert named(repo, "org/m@step*", steps="log:3") == ["step64", "step512", "step2000-tokens4B"]


def test_a_label_names_the_series_and_two_of_one_name_are_refused(repo: Scans) -> None:
    repo.add("other/m", {"main": marked("main")})
    assert repo.find("mine=org/m@step0").model == "mine"
    with pytest.raises(DegenError, match=r"org/m@step0 and other/m would both be called 'm'.*other=other/m"):
        find_series(["org/m@step0", "other/m"])
    assert [s.model for s in find_series(["org/m@step0", "b=other/m"])] == ["m", "b"]


def test_a_path_wins_over_a_suite_and_a_suite_over_the_hub(
    repo: Scans, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("org/m", "org/m@step0", "gpt2", "gpt2:124m"):
        Path(name, "step5").mkdir(parents=True)
        assert [c.source.version() for c in repo.find(name).checkpoints] == [None]
    assert not repo.hub.requests
    for name in ("gpt2", "gpt2:124m"):
        Path(name, "step5").rmdir()
        Path(name).rmdir()
    repo.add("openai-community/gpt2", {"main": marked("gpt2")})
    assert str(repo.find("gpt2:124m").checkpoints[0].source) == "openai-community/gpt2@main"


def test_the_tokens_per_step_of_a_suite_are_not_used_for_other_repositories(scans: Scans) -> None:
    assert Grammar().tokens_per_step is None
    scans.add("stranger/pythia-70m", {"step5": marked(5)})
    assert scans.find("stranger/pythia-70m@step*").checkpoints[0].tokens_seen is None


def test_a_list_of_revisions_may_be_longer_than_a_name_of_a_file(scans: Scans) -> None:
    steps = [1000 * i for i in range(60)]
    scans.add("org/long", {f"step{step}": marked(step) for step in steps} | {"main": marked("main")})
    spec = "org/long@" + ",".join(f"step{step}" for step in steps)
    assert len(spec) > 500
    assert [c.step for c in scans.find(spec).checkpoints] == steps
    assert [c.step for c in scans.find(f"label={spec}").checkpoints] == steps
