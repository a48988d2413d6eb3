from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from degen.probes.lens import Lens
from hypothesis import given
from hypothesis import strategies as st
from tiny import FAMILIES, LAYERS, make_model

from degen.errors import DegenError
from degen.forward.head_entropy import losses_and_entropies
from degen.forward.run_pass import run_pass
from degen.model.logit_transform import LogitTransform
from degen.model.readout import Readout
from degen.probe import Batch, OutputHead, Site
from degen.text.sample_positions import draw_positions
from degen.text.windows import Sample, Window

CPU = torch.device("cpu")

# What lies between the last block and the head, and where the blocks are: written by hand.
FINAL = {
    "gpt_neox": ("gpt_neox.layers", "gpt_neox.final_layer_norm"), "gpt2": ("transformer.h", "transformer.ln_f"),
    "opt": ("model.decoder.layers", "model.decoder.final_layer_norm"),
    "opt-350m": ("model.decoder.layers", "model.decoder.project_out"), "gptj": ("transformer.h", "transformer.ln_f"),
    "phi": ("model.layers", "model.final_layernorm"), "falcon": ("transformer.h", "transformer.ln_f"),
    "bloom": ("transformer.h", "transformer.ln_f"), "mamba": ("backbone.layers", "backbone.norm_f"),
}  # fmt: skip


def a_sample(lengths: tuple[int, ...] = (24, 24, 17, 24, 9)) -> Sample:
    draw = np.random.default_rng(1)
    windows = (Window(i, i // 2, None, 0, 9, draw.integers(400, size=n, dtype=np.int32)) for i, n in enumerate(lengths))
    return Sample("t", tuple(windows))


def layers_of(model: Any, sample: Sample, batch_tokens: int = 60, **options: Any) -> dict[tuple[int, str], Any]:
    probe = Lens(sample, **options)
    run_pass(model, sample, {"lens": probe}, batch_tokens, CPU, lambda _: None)
    rows = probe.finish()
    assert rows["checkpoints"] == []
    return {(row["layer"], row["site"]): row for row in rows["layers"]}


def logits_of(model: Any, family: str, states: torch.Tensor) -> torch.Tensor:
    """Return what the head makes of states, caps and scales by hand."""
    head = model.get_output_embeddings()
    z = states @ head.weight.T + (head.bias if getattr(head, "bias", None) is not None else 0)
    if family == "gemma2":
        return 5.0 * torch.tanh(z / 5.0)
    return z * 0.25 if family == "cohere" else z / 3.0 if family == "granite" else z


@torch.no_grad()
def twin(model: Any, family: str, sample: Sample) -> dict[tuple[int, str], tuple[float, float]]:
    """Return loss and entropy of each layer by the model's own norm and head, one window at a time."""
    list_of_blocks, final = FINAL.get(family, ("model.layers", "model.norm"))
    blocks, norm = model.get_submodule(list_of_blocks), model.get_submodule(final)
    caught: dict[tuple[int, str], torch.Tensor] = {}

    def keep(site: tuple[int, str], value: Any) -> None:
        caught[site] = (value[0] if isinstance(value, tuple) else value).clone()

    handles = [
        blocks[0].register_forward_pre_hook(
            lambda _m, args, kwargs: keep((0, "embedding"), args[0] if args else kwargs["hidden_states"]),
            with_kwargs=True,
        ),
        *(
            block.register_forward_hook(lambda _m, _a, out, i=i: keep((i, "block"), out))
            for i, block in enumerate(blocks, 1)
        ),
    ]
    sums: dict[tuple[int, str], list[float]] = {}
    for window in sample.windows:
        ids = torch.from_numpy(window.tokens.astype(np.int64))
        own = model(input_ids=ids[None], use_cache=False).logits[0]
        of_site = {site: logits_of(model, family, norm(states)[0]) for site, states in caught.items()}
        of_site[LAYERS, "head_input"] = own
        for site, z in of_site.items():
            p = z[:-1].double().softmax(-1)
            losses = -p[torch.arange(len(ids) - 1), ids[1:]].log()
            into = sums.setdefault(site, [0.0, 0.0, 0.0])
            for k, value in enumerate((losses.sum(), -(p * p.log()).sum(), len(ids) - 1)):
                into[k] += float(value)
    for handle in handles:
        handle.remove()
    return {site: (loss / n, entropy / n) for site, (loss, entropy, n) in sums.items()}


@pytest.mark.parametrize("family", list(FAMILIES))
def test_each_layer_is_what_the_models_own_norm_and_head_make_of_it(family: str) -> None:
    model, sample = make_model(family, seed=3).double(), a_sample()
    if family == "mixtral":
        model.set_experts_implementation("eager")  # the others have no float64
    rows, expected = layers_of(model, sample), twin(model, family, sample)
    assert rows.keys() == expected.keys()
    rounding = 1e-6 if family == "mamba" else 1e-8  # Mamba computes in float32 within
    for site, (loss, entropy) in expected.items():
        assert rows[site]["lens_loss"] == pytest.approx(loss, abs=rounding), site
        assert rows[site]["lens_entropy"] == pytest.approx(entropy, abs=rounding), site
    assert rows[LAYERS, "block"]["lens_loss"] == pytest.approx(rows[LAYERS, "head_input"]["lens_loss"], abs=rounding)
    assert abs(rows[1, "block"]["lens_loss"] - rows[LAYERS, "block"]["lens_loss"]) > 1e-4


def test_fewer_positions_are_some_of_all_and_the_same_again() -> None:
    model, sample = make_model("llama").double(), a_sample()
    few, again = (layers_of(model, sample, positions=20), layers_of(model, sample, 24, positions=20))
    for site, row in few.items():
        for name in ("lens_loss", "lens_loss_se", "lens_entropy"):
            assert row[name] == pytest.approx(again[site][name], abs=1e-9)
    assert few != layers_of(model, sample, positions=21)


def test_positions_that_are_left_out_have_no_part_in_it() -> None:
    model, sample, skipped = make_model("llama", seed=3).double(), a_sample(), 3
    probe = Lens(sample)
    run_pass(model, sample, {"lens": probe}, 60, CPU, lambda _: None, skip_first=skipped)
    losses: list[torch.Tensor] = []
    with torch.no_grad():
        for window in sample.windows:
            ids = torch.from_numpy(window.tokens.astype(np.int64))
            logits = model(input_ids=ids[None], use_cache=False).logits[0, :-1]
            losses.append(torch.nn.functional.cross_entropy(logits, ids[1:], reduction="none")[skipped:])
    (row,) = (row for row in probe.finish()["layers"] if row["site"] == "head_input")
    assert row["lens_loss"] == pytest.approx(float(torch.cat(losses).mean()), abs=1e-8)


def fed(sample: Sample, states: torch.Tensor, rows: list[int]) -> Lens:
    """Return a probe that was fed some windows of a sample, all of one length."""
    probe = Lens(sample, positions=40)
    draw = torch.Generator().manual_seed(0)
    W = torch.randn(400, states.shape[-1], generator=draw, dtype=states.dtype)
    probe.begin(OutputHead(W, None, LogitTransform(), Readout((torch.tanh,))))
    ids = torch.from_numpy(np.stack([sample.windows[i].tokens for i in rows]).astype(np.int64))
    index = np.asarray(rows)
    probe.update_states(Batch(ids, None, index, sample.document_slots[index]), Site(1, "block"), states[rows])
    return probe


def test_halves_merged_are_the_whole() -> None:
    sample = a_sample((12, 12, 12, 12))
    states = torch.randn(4, 12, 5, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    (whole,) = fed(sample, states, [0, 1, 2, 3]).finish()["layers"]
    half = fed(sample, states, [2, 0])
    half.merge(fed(sample, states, [1, 3]))
    (merged,) = half.finish()["layers"]
    assert merged == {name: pytest.approx(value, abs=1e-12) for name, value in whole.items()}


@given(st.integers(0, 2**32 - 1), st.floats(-50, 50), st.integers(2, 40))
def test_a_shift_of_all_logits_changes_nothing_and_flat_logits_have_entropy_ln_v(
    seed: int, shift: float, rows: int
) -> None:
    draw = torch.Generator().manual_seed(seed)
    W, h = (torch.randn(n, 4, generator=draw, dtype=torch.float64) for n in (rows, 6))
    y = torch.randint(rows, (6,), generator=draw)
    plain = losses_and_entropies(h, y, OutputHead(W, None, LogitTransform()))
    moved = losses_and_entropies(h, y, OutputHead(W, torch.full((rows,), shift, dtype=W.dtype), LogitTransform()))
    for one, other in zip(plain, moved, strict=True):
        assert torch.allclose(one, other, atol=1e-10)
    flat = losses_and_entropies(h, y, OutputHead(torch.zeros_like(W), None, LogitTransform()))
    for values in flat:
        assert torch.allclose(values, torch.full((6,), float(np.log(rows)), dtype=W.dtype))
    assert (plain[1] <= np.log(rows) + 1e-12).all()


@given(st.lists(st.integers(1, 9), min_size=1, max_size=6), st.integers(1, 60), st.integers(0, 5))
def test_positions_are_drawn_once_each_and_have_a_next_token(lengths: list[int], count: int, seed: int) -> None:
    sample = a_sample(tuple(lengths))
    drawn = draw_positions(sample, count, seed)
    pairs = list(zip(drawn.windows.tolist(), drawn.tokens.tolist(), strict=True))
    assert pairs == sorted(set(pairs))
    assert len(drawn) == min(count, sum(n - 1 for n in lengths))
    assert all(0 <= t < lengths[w] - 1 for w, t in pairs)
    order = np.asarray(list(range(len(lengths)))[::-1])
    rows, columns, numbers = drawn.in_rows(order)
    assert sorted(numbers.tolist()) == list(range(len(drawn)))
    assert [(int(order[r]), c) for r, c in zip(rows, columns.tolist(), strict=True)] == [pairs[k] for k in numbers]


def test_a_model_whose_end_is_no_chain_of_modules_has_a_reason_and_its_head_input(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model, sample = make_model("llama"), a_sample()
    norm = model.model.norm.forward
    monkeypatch.setattr(model.lm_head, "forward", lambda h: torch.nn.functional.linear(h, model.lm_head.weight))
    monkeypatch.setattr(model.model.norm, "forward", lambda h: norm(h))
    forward = type(model.model).forward

    def doubled(self: Any, *args: Any, **kwargs: Any) -> Any:
        out = forward(self, *args, **kwargs)
        out.last_hidden_state = out.last_hidden_state * 2
        return out

    monkeypatch.setattr(type(model.model), "forward", doubled)
    probe = Lens(sample)
    run_pass(model, sample, {"lens": probe}, 60, CPU, lambda _: None)
    rows = probe.finish()
    assert [row["site"] for row in rows["layers"]] == ["head_input"]
    assert "no chain of modules" in rows["checkpoints"][0]["reason"]


@pytest.mark.parametrize("options", [{"positions": 0}, {"positions": True}, {"positions": 1.5}, {"places": 3}])
def test_wrong_options_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(DegenError, match="positions"):
        Lens.check(options)


@torch.no_grad()
def test_left_out_positions_have_no_part_in_it() -> None:
    model, sample = make_model("gpt_neox"), a_sample()
    probe = Lens(sample)
    run_pass(model, sample, {"lens": probe}, 60, CPU, lambda _: None, skip_first=5)
    losses = []
    for window in sample.windows:
        ids = torch.from_numpy(window.tokens.astype(np.int64))
        logits = model(input_ids=ids.unsqueeze(0)).logits[0]
        losses.append(torch.nn.functional.cross_entropy(logits[5:-1], ids[6:], reduction="none"))
    head_input = probe.finish()["layers"][-1]
    assert head_input["site"] == "head_input"
    assert head_input["lens_loss"] == pytest.approx(float(torch.cat(losses).mean()), abs=1e-5)
