from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from degen import DegenError
from degen.metrics.metric_kinds import Floor, is_loss, kind_of, parse_floor, parse_floors

SHARE, LOG, WIDTH = Floor(0.005, "share"), Floor(0.005, "log share"), Floor(0.1, "ln width")


@pytest.mark.parametrize(
    ("names", "better", "floor"),
    [
        ("loss val_loss loss_nats eval/loss nll bits_per_byte loss2 anisotropy_loss", "min", SHARE),
        ("val-cross-entropy Train.Loss", "min", SHARE),
        ("perplexity ppl wikitext_word_ppl word_perplexity perplexity,none lambada_openai/ppl", "min", LOG),
        ("anisotropy last_layer_anisotropy anisotropy_within", "min", Floor(0.1)),
        ("singular_entropy singular_entropy_sigma head_singular_entropy kl_sigma2_nats", "min", WIDTH),
        ("top_singular_share", "min", Floor(0.0)),
        ("acc acc_norm accuracy piqa/acc f1 macro_f1 exact_match exact_match,strict-match em mcc", "max", Floor(0.0)),
        ("bleu rouge1 rougeL_max pass@1 pass@10 effective_rank stable_rank", "max", Floor(0.0)),
    ],
)  # fmt: skip
def test_known_names_have_a_direction_and_a_floor(names: str, better: str, floor: Floor) -> None:
    for name in names.split():
        kind = kind_of(name)
        assert kind is not None, name
        assert (kind.better, kind.floor) == (better, floor), name


OTHERS = """
gloss embedding lossless accent dippl memory stepper kl nkl_x entropy rank passing loss_se acc_stderr loss_scale
brier_score step tokens
"""


@pytest.mark.parametrize("name", OTHERS.split())
def test_unknown_names_have_no_kind(name: str) -> None:
    assert kind_of(name) is None


def test_floors_of_known_values() -> None:
    assert SHARE.of(4.0) == pytest.approx(0.02)
    assert SHARE.of(-4.0) == pytest.approx(0.02)
    assert WIDTH.of(3.0, 512) == pytest.approx(0.1 * math.log(512))
    assert WIDTH.of(3.0) == pytest.approx(0.1 * math.log(1024))
    assert Floor(0.1).of(0.7, 512) == 0.1
    assert LOG.of(130.0) == pytest.approx(130**1.005 - 130)
    assert LOG.of(1.5) == pytest.approx(1.5 * math.expm1(0.005))
    assert LOG.of(0.0) == 0.0


@given(st.floats(1.0, 1e6))
def test_a_perplexity_has_the_floor_of_its_loss(ppl: float) -> None:
    loss = math.log(ppl)
    floor = LOG.of(ppl)
    assert math.log(ppl + floor) - loss == pytest.approx(0.005 * max(loss, 1.0), rel=1e-6)
    assert LOG.of(ppl * (1 + 1e-9)) == pytest.approx(floor, rel=1e-6)


@pytest.mark.parametrize(
    ("text", "floor"),
    [
        ("0.02", Floor(0.02)),
        (" 1e-3 ", Floor(0.001)),
        ("0", Floor(0.0)),
        ("0.5%", Floor(0.005, "share")),
        ("2 %", Floor(0.02, "share")),
        ("0.1lnd", WIDTH),
        ("0.1 ln d", WIDTH),
        ("0.1*ln(d)", WIDTH),
        ("1E-1LND", WIDTH),
    ],
)
def test_floors_are_read_as_they_are_written(text: str, floor: Floor) -> None:
    parsed = parse_floor(text)
    assert parsed.unit == floor.unit
    assert parsed.amount == pytest.approx(floor.amount)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "must be a number, as 0.02"),
        ("%", "must be a number"),
        ("lnd", "must be a number"),
        ("small", "must be a number"),
        ("nan", "must be a number"),
        ("inf", "must be a number"),
        ("1e999", "must be a number"),
        ("0.5%%", "must be a number"),
        ("0.1 lnx", "must be a number"),
        ("0,5%", "must be a number"),
        ("-0.1", "the least change that matters must be 0 or more"),
        ("-1%", "the least change that matters must be 0 or more"),
    ],
)
def test_a_malformed_floor_is_refused(text: str, message: str) -> None:
    with pytest.raises(DegenError, match="--floor") as caught:
        parse_floor(text)
    assert message in str(caught.value)


def test_floors_by_name() -> None:
    assert parse_floors(["ppl=0.5%", "0.02", "seed=0/acc = 1%"]) == {
        "ppl": Floor(0.005, "share"),
        None: Floor(0.02),
        "seed=0/acc": Floor(0.01, "share"),
    }
    assert parse_floors([]) == {}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["=0.5%"], "--floor =0.5%: there is no metric before the =; write it as ppl=0.5%"),
        (["ppl="], "--floor ppl=: must be a number"),
        (["ppl=x"], "--floor ppl=x: must be a number"),
        (["ppl=-1"], "--floor ppl=-1: the least change that matters must be 0 or more"),
        (["ppl=1", "ppl=2"], "--floor ppl=2: the floor of ppl is given twice"),
        (["1", "2"], "--floor 2: the floor of all other metrics is given twice"),
    ],
)
def test_malformed_floor_options_are_refused(options: list[str], message: str) -> None:
    with pytest.raises(DegenError) as caught:
        parse_floors(options)
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize(
    "name",
    ["CrossEntropyLoss", "valLoss", "eval/c4/CrossEntropyLoss", "CELoss", "NLLLoss", "trainLoss2", "train/CE loss"],
)
def test_camel_case_has_words(name: str) -> None:
    assert is_loss(name)


@pytest.mark.parametrize(
    ("name", "better"),
    [
        ("BLEU", "max"), ("ROUGE", "max"), ("rouge-Lsum", "max"), ("ROUGE-L", "max"), ("rougeLsum", "max"),
        ("F1", "max"), ("evalAcc", "max"), ("PPL", "min"), ("MCC", "max"),
    ],
)  # fmt: skip
def test_names_in_capitals_are_one_word(name: str, better: str) -> None:
    kind = kind_of(name)
    assert kind is not None
    assert kind.better == better


@pytest.mark.parametrize(
    ("name", "better", "floor"),
    [
        ("lm loss validation ppl", "min", LOG), ("lm loss vs samples", "min", SHARE), ("loss/acc", "max", Floor(0.0)),
        ("acc/loss", "min", SHARE), ("val_loss_bpb", "min", SHARE), ("anisotropy_loss", "min", SHARE),
        ("hellaswag (length-normalized accuracy)", "max", Floor(0.0)), ("arc_easy (BPB v2)", "min", SHARE),
        ("val loss (nats)", "min", SHARE), ("Perplexity [val]", "min", LOG),
    ],
)  # fmt: skip
def test_the_end_of_a_name_goes_before_what_stands_in_it(name: str, better: str, floor: Floor) -> None:
    kind = kind_of(name)
    assert kind is not None
    assert (kind.better, kind.floor) == (better, floor)
    assert is_loss(name) is (floor == SHARE and "bpb" not in name.lower())


@pytest.mark.parametrize("name", ["gloss", "Gloss", "GLOSS", "lossScale", "LossScale", "glossLength"])
def test_camel_case_makes_no_loss_of_what_is_none(name: str) -> None:
    assert not is_loss(name)
