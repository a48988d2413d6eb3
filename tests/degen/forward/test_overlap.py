"""The pass as an accelerator makes it, on a CPU: results read later, a known head, windows that transformers trusts."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from degen.probes.anisotropy import Anisotropy
from degen.probes.loss import Loss
from degen.probes.rank import Rank
from tiny import make_model

from degen.errors import CheckpointError, NotFiniteError
from degen.forward import known_heads
from degen.forward.batches import padded_batches
from degen.forward.head_inputs import ModelHeadInputs
from degen.forward.hooks import ModelHooks
from degen.forward.known_heads import HeadChangedError
from degen.forward.one_sequence import one_sequence_a_row
from degen.forward.run_pass import run_pass
from degen.model.logit_transform import LogitTransform
from degen.probe import StreamProbe
from degen.tables import Rows
from degen.text.windows import Sample, Window

CPU = torch.device("cpu")
LENGTHS = {"full": [24] * 11, "ragged": [24, 24, 17, 24, 9, 24, 20, 24, 24, 11, 24]}


def a_sample(lengths: list[int]) -> Sample:
    draw = np.random.default_rng(1)
    windows = (Window(i, i // 2, None, 0, 9, draw.integers(400, size=n, dtype=np.int32)) for i, n in enumerate(lengths))
    return Sample("t", tuple(windows))


def new_probes(sample: Sample) -> dict[str, StreamProbe]:
    rank = Rank(sample, ranks=[2, 8], methods=["svd", "whitened"], gradient=True)
    return {"anisotropy": Anisotropy(sample), "loss": Loss(sample), "rank": rank}


def measured(model: Any, sample: Sample, overlaps: bool) -> dict[str, Rows]:
    probes = new_probes(sample)
    with torch.no_grad():
        run_pass(model, sample, probes, 100, CPU, lambda _: None, overlaps=overlaps)
    return {name: probe.finish() for name, probe in probes.items()}


@pytest.fixture(autouse=True)
def nothing_known() -> Iterator[None]:
    """Forget the heads of models that other tests ran."""
    known_heads._known.clear()
    known_heads._changing.clear()
    yield
    known_heads._known.clear()
    known_heads._changing.clear()


@pytest.mark.parametrize("lengths", LENGTHS)
@pytest.mark.parametrize("family", ["gpt_neox", "gemma2", "granite", "gpt2", "opt-350m", "mixtral", "mamba"])
def test_a_pass_that_overlaps_gives_the_same_bits_first_and_with_a_known_head(family: str, lengths: str) -> None:
    model, sample = make_model(family, scale=4.0).eval(), a_sample(LENGTHS[lengths])
    expected = measured(model, sample, overlaps=False)
    assert not known_heads._known
    assert measured(model, sample, overlaps=True) == expected
    assert len(known_heads._known) == 1
    assert measured(model, sample, overlaps=True) == expected


def test_a_known_head_spares_the_small_calls_of_a_model() -> None:
    model, sample = make_model("llama").eval(), a_sample(LENGTHS["full"])
    calls: list[int] = []
    handle = model.register_forward_pre_hook(lambda *_, **options: calls.append(1), with_kwargs=False)
    counts = []
    for _ in range(3):
        measured(model, sample, overlaps=True)
        counts.append(len(calls))
        calls.clear()
    handle.remove()
    assert counts[0] > counts[1] == counts[2] == 4  # batches: two of either half


class Tempered(torch.nn.Module):
    """A causal LM with a temperature among its weights: what it does to logits differs between its checkpoints."""

    def __init__(self, inner: Any, temperature: float) -> None:
        super().__init__()
        self.inner, self.config, self.dtype, self.device = inner, inner.config, inner.dtype, inner.device
        self.temperature = temperature

    def get_output_embeddings(self) -> Any:
        return self.inner.get_output_embeddings()

    def get_input_embeddings(self) -> Any:
        return self.inner.get_input_embeddings()

    def forward(self, input_ids: torch.Tensor, **options: Any) -> Any:
        given = self.inner(input_ids=input_ids, **options)
        given.logits = given.logits * self.temperature
        return given


def test_a_checkpoint_whose_head_is_not_the_known_one_is_told_and_measured_anew() -> None:
    sample, inner = a_sample(LENGTHS["full"]), make_model("llama", scale=4.0).eval()
    plain, warm = Tempered(inner, 1.0), Tempered(inner, 0.5)
    expected = measured(warm, sample, overlaps=False)
    first = measured(plain, sample, overlaps=True)
    assert first["loss"] != expected["loss"]
    with pytest.raises(HeadChangedError, match="does something else to its logits"):
        measured(warm, sample, overlaps=True)
    assert measured(warm, sample, overlaps=True) == expected
    assert measured(plain, sample, overlaps=True) == first  # nothing is taken for granted any more
    assert not known_heads._known


def test_a_stream_whose_head_has_changed_is_measured_in_a_second_pass(
    series: Path, corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import degen
    from degen.scanning import measure_stream

    options: dict[str, Any] = {"corpus": corpus, "tokens": 300, "context": 64, "steps": "0", "threads": 1}
    expected = degen.scan(series, out=tmp_path / "expected", **options).checkpoints()
    passes = []

    def overlapping(*arguments: Any, **more: Any) -> Any:
        passes.append(arguments)
        return run_pass(*arguments, overlaps=True, **more)

    monkeypatch.setattr(measure_stream, "run_pass", overlapping)
    assert degen.scan(series, out=tmp_path / "first", **options).checkpoints() == expected
    (key,) = known_heads._known
    known_heads._known[key] = LogitTransform(scale=3.0)
    assert degen.scan(series, out=tmp_path / "second", **options).checkpoints() == expected
    assert len(passes) == 3


@pytest.mark.parametrize("lengths", LENGTHS)
def test_states_that_are_not_finite_are_told_in_the_same_words(lengths: str) -> None:
    sample, model = a_sample(LENGTHS[lengths]), make_model("gpt_neox").eval()
    with torch.no_grad():
        for window in (3, 5, 7):
            model.gpt_neox.embed_in.weight[int(sample.windows[window].tokens[2])] = torch.nan
    messages = []
    for overlaps in (False, True):
        with pytest.raises(NotFiniteError) as caught:
            measured(model, sample, overlaps)
        messages.append(str(caught.value))
    assert messages[0] == messages[1]
    assert "the parameter gpt_neox.embed_in.weight holds" in messages[0]


def test_a_model_that_sees_what_follows_is_told_so_in_a_pass_that_overlaps() -> None:
    model = make_model("llama", is_causal=False).eval()
    with pytest.raises(CheckpointError, match="sees what follows"):
        measured(model, a_sample(LENGTHS["full"]), overlaps=True)
    assert not known_heads._known


@pytest.mark.parametrize("family", ["gpt_neox", "gemma2", "llama", "opt"])
def test_windows_are_what_transformers_finds_where_it_looks(family: str) -> None:
    from transformers import masking_utils

    looks = masking_utils.find_packed_sequence_indices
    assert looks(torch.arange(24).expand(3, 24)) is None
    model, ids = make_model(family, scale=4.0).eval(), torch.arange(48).view(2, 24)
    with torch.no_grad():
        expected = model(ids).logits
        with one_sequence_a_row():
            assert masking_utils.find_packed_sequence_indices is not looks
            assert torch.equal(model(ids).logits, expected)
    assert masking_utils.find_packed_sequence_indices is looks


@pytest.mark.parametrize("family", ["gpt_neox", "gemma2", "llama", "opt"])
def test_a_mask_is_as_little_left_out_as_where_transformers_looks_at_it(family: str) -> None:
    from transformers import masking_utils

    looks = masking_utils._ignore_causal_mask_sdpa
    offsets = {name: 0 for name in inspect.signature(looks).parameters if name.endswith("_offset")}  # one or two
    mask = (torch.arange(24) < torch.tensor([[24], [9]])).long()
    assert looks(mask.bool(), 24, 24, **offsets) is False
    assert looks(None, 24, 24, **offsets) is True
    model, ids = make_model(family, scale=4.0).eval(), torch.arange(48).view(2, 24)
    with torch.no_grad():
        expected = model(ids, attention_mask=mask).logits
        with one_sequence_a_row():
            assert masking_utils._ignore_causal_mask_sdpa(mask.bool(), 24, 24, **offsets) is False
            assert masking_utils._ignore_causal_mask_sdpa(None, 24, 24, **offsets) is True
            assert torch.equal(model(ids, attention_mask=mask).logits, expected)
    assert masking_utils._ignore_causal_mask_sdpa is looks


@pytest.mark.parametrize("family", ["gpt_neox", "gemma2", "llama", "opt"])
def test_the_states_that_are_trained_on_are_the_same_where_transformers_is_told_what_a_batch_holds(family: str) -> None:
    model, windows = make_model(family, scale=4.0).eval(), a_sample(LENGTHS["ragged"]).windows
    inputs = ModelHeadInputs(model, 100, CPU)
    expected = list(inputs.of(windows))
    with one_sequence_a_row():
        told = list(inputs.of(windows))
    assert len(told) == len(expected) > 1
    for one, other in zip(told, expected, strict=True):
        assert torch.equal(one.states, other.states)
        assert torch.equal(one.targets, other.targets)


@pytest.mark.parametrize("lengths", LENGTHS)
def test_indices_made_on_the_host_select_what_masks_do(lengths: str) -> None:
    sample = a_sample(LENGTHS[lengths])
    for batch in padded_batches(sample, 100, CPU, halves=False):
        mask = torch.ones_like(batch.ids, dtype=torch.bool) if batch.mask is None else batch.mask
        values = torch.randn(*batch.ids.shape, 3)
        assert torch.equal(values[batch.at], values[mask])
        assert torch.equal(values[batch.scored_at], values[:, :-1][mask[:, 1:]])
        assert torch.equal(batch.scored, mask[:, 1:])
        assert batch.token_count == int(mask.sum())
        with_mask_alone = type(batch)(batch.ids, batch.mask, batch.windows, batch.documents)
        assert torch.equal(values[with_mask_alone.at], values[mask])
        assert torch.equal(values[with_mask_alone.scored_at], values[:, :-1][mask[:, 1:]])
        assert with_mask_alone.token_count == batch.token_count


def test_the_states_of_a_batch_are_not_kept_for_what_is_read_later() -> None:
    import gc
    import weakref

    sample, model = a_sample(LENGTHS["full"]), make_model("llama").eval()
    alive: list[weakref.ref[Any]] = []
    run = ModelHooks.run

    def watched(self: ModelHooks, batch: Any) -> Any:
        gc.collect()
        assert sum(reference() is not None for reference in alive) <= 1
        states, own = run(self, batch)
        alive.append(weakref.ref(states))
        return states, own

    with pytest.MonkeyPatch.context() as patch, torch.no_grad():
        patch.setattr(ModelHooks, "run", watched)
        probes = {"anisotropy": Anisotropy(sample), "loss": Loss(sample)}
        run_pass(model, sample, probes, 48, CPU, lambda _: None, overlaps=True)
    assert len(alive) == 6
