"""A few types of the sweep, those that single parts of the engine are for; `make sweep` runs all."""

from __future__ import annotations

from pathlib import Path

import pytest
from families.sweep import Outcome, check, make
from tiny import make_tokenizer

RIGHT = {
    "mpt": "a scale that the configuration names in words",
    "recurrent_gemma": "a cap under a name of its own",
    "hyperclovax": "a multiplier under a name of its own",
    "minicpm3": "states divided before the head",
    "openai-gpt": "blocks that put out lists",
    "longcat_flash": "half as many blocks as num_hidden_layers says",
    "moss_transcribe_diarize": "an encoder's list of blocks beside the decoder's",
    "bert-generation": "an encoder that is_decoder makes causal",
}
UNREAD = {
    "gemma3n_text": "its states are 2 × ",
    "hrm_text": "are called again and again, on more than one stream of states",
    "xlm": "no modules of a list were seen to pass the residual stream on",
}
REFUSED = {
    "cpmant": "sees what follows: its logits change by",
    "xlnet": "sees what follows: its logits change by",
    "prophetnet": "puts its logits together from several heads or positions",
}


def outcome_of(kind: str, texts: Path, folder: Path) -> Outcome:
    assert make(kind, folder / kind) is None
    return check(kind, folder / kind, texts, make_tokenizer(folder / "tokenizer"))


@pytest.mark.parametrize("kind", RIGHT)
def test_a_type_is_right_at_every_site(kind: str, texts: Path, tmp_path: Path) -> None:
    outcome = outcome_of(kind, texts, tmp_path)
    assert (outcome.verdict, outcome.reason, outcome.layers) == ("right", "", 4)


@pytest.mark.parametrize("kind", UNREAD)
def test_where_blocks_cannot_be_read_the_rest_is_right_and_rows_have_a_reason(
    kind: str, texts: Path, tmp_path: Path
) -> None:
    outcome = outcome_of(kind, texts, tmp_path)
    assert outcome.verdict == "right"
    assert UNREAD[kind] in outcome.reason


@pytest.mark.parametrize("kind", REFUSED)
def test_what_is_no_causal_lm_is_refused_with_the_cause(kind: str, texts: Path, tmp_path: Path) -> None:
    outcome = outcome_of(kind, texts, tmp_path)
    assert outcome.verdict == "refused"
    assert REFUSED[kind] in outcome.reason
    assert "--probes spectrum" in outcome.reason
