"""What is said of a series on the hub that cannot be had: one message, and what to do about it."""

from __future__ import annotations

from pathlib import Path

import pytest
from faults.command import degen
from hub import Fault
from hub_scans import Scans, add_odd, marked

TOKEN = "hf_mine"


@pytest.fixture
def repo(scans: Scans) -> Scans:
    return add_odd(scans)


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        (
            "org/nosuch",
            (
                "org/nosuch: no such repository on the hub",
                "private",
                "hf auth login",
                "a folder of that name does not exist here",
            ),
        ),
        ("org/m@step1001", ("org/m has no revision 'step1001'; did you mean 'step1000'?",)),
        ("org/m@step600", ("did you mean 'step512'?",)),
        ("org/m@mian", ("did you mean 'main'?",)),
        ("org/m@xyzzy", ("has no revision 'xyzzy'; there are", "draft/step7")),
        ("org/m@iter*", ("has no revision that matches iter*; there are",)),
        ("org/m@", ("a revision must follow the @", "org/m@step1000")),
        ("org/m@step0,,main", ("has no revision ''",)),
        ("org/m@1234567", ("org/m@1234567: no such revision on the hub",)),
        (
            "org/na..me",
            ("org/na..me: not a valid name of a repository on the hub", "a folder of that name does not exist here"),
        ),
        ("org/private", ("org/private: no such repository on the hub; check the name",)),
        ("org/empty", ("org/empty has no revision 'main'; there are none",)),
        ("org/m@step0 org/m@step512", ("would both be called 'm'", "other=org/m@step512")),
        ("org/gated", ("org/gated", "only to users who have asked for it", "hf auth login")),
    ],
)
def test_a_missing_series_on_the_hub_gives_one_message(
    repo: Scans, tmp_path: Path, spec: str, words: tuple[str, ...]
) -> None:
    repo.add("org/private", {"main": marked("main")}, token=TOKEN)
    repo.add("org/gated", {"main": marked("main") | {"tokenizer.json": b"{}"}}, token=TOKEN, gated=True)
    repo.add("org/empty", {})
    result = degen("scan", *spec.split(), "-o", tmp_path / "run")
    assert result.code == 2
    for word in words:
        assert word in result.message


def test_a_token_opens_what_is_private_and_a_wrong_one_does_not(repo: Scans, tmp_path: Path) -> None:
    repo.add("org/private", {"main": marked("main")}, token=TOKEN)
    repo.token("hf_else")
    result = degen("scan", "org/private", "-o", tmp_path / "run")
    assert (result.code, "the hub refuses access (401); log in with `hf auth login`" in result.message) == (2, True)
    repo.token(TOKEN)
    assert [c.revision for c in repo.find("org/private").checkpoints] == ["main"]
    assert {r.token for r in repo.hub.requests_for("/refs")} == {"hf_else", TOKEN}


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (
            Fault("/refs", status=500, times=None),
            "the hub failed with status 500; run the same command again to continue",
        ),
        (Fault("/refs", status=429, times=None), "too many requests (429)"),
        (Fault("/refs", status=403, times=None), "the hub refuses access (403)"),
        (Fault("/refs", times=None), "the hub cannot be reached"),
        (Fault("/refs", cut=5, times=None), "the hub cannot be reached"),
    ],
)
def test_a_failing_hub_gives_one_message(repo: Scans, tmp_path: Path, fault: Fault, words: str) -> None:
    repo.hub.faults.append(fault)
    result = degen("scan", "org/m", "-o", tmp_path / "run")
    assert (result.code, words in result.message) == (2, True)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "fault", [Fault("/refs", status=500), Fault("/refs", status=429), Fault("/refs"), Fault("/refs", cut=5)]
)
def test_a_request_that_fails_once_is_sent_again(repo: Scans, fault: Fault) -> None:
    repo.hub.faults.append(fault)
    assert [c.revision for c in repo.find("org/m").checkpoints] == ["main"]
    assert len(repo.hub.requests) == 2


def test_the_pause_before_an_attempt_follows_retry_after_up_to_300_seconds(
    repo: Scans, monkeypatch: pytest.MonkeyPatch
) -> None:
    waited: list[float] = []
    monkeypatch.setattr("degen.checkpoints.hub_client.time.sleep", waited.append)
    monkeypatch.setattr("degen.checkpoints.hub_client.FIRST_WAIT", 1.0)
    repo.hub.faults += [Fault("/refs", status=429, retry_after=s) for s in (None, 0, 30, 10_000)]
    assert [c.revision for c in repo.find("org/m").checkpoints] == ["main"]
    for pause, least in zip(waited, (1, 2, 30, 300), strict=True):  # and up to a quarter more, by chance
        assert least <= pause <= 1.25 * least
