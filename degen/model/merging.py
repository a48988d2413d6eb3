"""Merging an adapter into its base; the merged model must give the logits of the adapted one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from degen.errors import CheckpointError
from degen.weights.peft_adapter import Adapter, in_module, open_adapter, peft_errors

if TYPE_CHECKING:
    import torch

_NAME = "degen"  # of the adapter within the model; PEFT makes it a part of its tensors' names
_TEST_TOKENS = 16  # on which the merged model is compared with the adapted one


def merge(model: Any, folder: Path) -> Any:
    """Return the base with an adapter merged into its weights: a plain module of transformers.

    Args:
        model: the base, which is changed.
        folder: of the adapter.

    Raises:
        CheckpointError: the files are damaged, do not fit the base, or cannot be merged without changing the logits.
    """
    import torch

    adapter = open_adapter(folder)
    with peft_errors(f"{folder}: cannot be merged into this base"), torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)  # some kinds of adapters begin with random numbers, which the files then replace
        _resize(model, adapter)
        return _merged(model, adapter)


def _resize(model: Any, adapter: Adapter) -> None:
    """Give embedding and head as many rows as those in the adapter's files, if they have others."""
    rows, embedding, head = adapter.vocabulary, model.get_input_embeddings(), model.get_output_embeddings()
    if rows is None or rows == embedding.weight.shape[0]:
        return
    resized = [embedding] if head.weight is embedding.weight else [embedding, head]
    stored = {in_module(key) for key in adapter.tensors.keys}
    for name, module in model.named_modules():
        if any(module is other for other in resized) and f"{name}.weight" not in stored:
            raise CheckpointError(
                f"{adapter.folder}: has a vocabulary of {rows} and its base one of {embedding.weight.shape[0]}, "
                f"and {name}.weight is not in its files"
            )
    model.resize_token_embeddings(rows, mean_resizing=False)


def _merged(model: Any, adapter: Adapter) -> Any:
    import torch
    from peft import PeftModel, set_peft_model_state_dict

    embedding, head = model.get_input_embeddings(), model.get_output_embeddings()
    tied = head.weight is embedding.weight
    wrapped = PeftModel(model, adapter.config, _NAME)
    _check_keys(adapter, wrapped, set_peft_model_state_dict(wrapped, adapter.loaded(), _NAME))
    if tied and adapter.may_change_head:  # merging into one of them must not change the other
        head.weight = torch.nn.Parameter(head.weight.detach().clone())
    with torch.inference_mode():
        adapted = _logits(wrapped.eval())
    merged = wrapped.merge_and_unload().eval()
    embedding, head = merged.get_input_embeddings(), merged.get_output_embeddings()
    if tied and torch.equal(head.weight, embedding.weight):
        head.weight = embedding.weight
        merged.config.tie_word_embeddings = True
    with torch.inference_mode():
        _check_merged(adapter, _logits(merged), adapted, merged.dtype)
    return merged


def _check_keys(adapter: Adapter, wrapped: Any, result: Any) -> None:
    """Check that every tensor of the files has a parameter in the model, and that no parameter lacks its tensor."""
    surplus = sorted(k for k in result.unexpected_keys if ".modules_to_save." not in k)  # PEFT stores these twice
    if surplus:
        raise CheckpointError(f"{adapter.folder}: holds {_some(surplus)}, for which this base has no parameter")
    state, missing = wrapped.state_dict(), set(result.missing_keys)
    filled = {tensor.data_ptr() for key, tensor in state.items() if key not in missing}  # layers may share one
    prefix = wrapped.base_model.prefix
    lost = sorted(
        key for key in missing
        if prefix in key and _NAME in key.split(".") and "ranknum" not in key and state[key].data_ptr() not in filled
    )  # fmt: skip
    if lost:
        raise CheckpointError(f"{adapter.folder}: does not hold {_some(lost)}, which its configuration asks for")


def _logits(model: Any) -> torch.Tensor:
    import torch

    rows = model.get_input_embeddings().weight.shape[0]
    ids = torch.arange(_TEST_TOKENS, device=model.device).remainder(rows).unsqueeze(0)
    logits: torch.Tensor = model(input_ids=ids).logits.float()
    return logits


def _check_merged(adapter: Adapter, merged: torch.Tensor, adapted: torch.Tensor, dtype: Any) -> None:
    """Check that merging changed no logit by more than rounding; values that are not finite are reported later."""
    from .logit_tolerances import OTHER_CALL

    finite = adapted.isfinite() & merged.isfinite()
    if not finite.any():
        return
    apart = (merged - adapted)[finite].abs().max().item()
    tolerance = OTHER_CALL[str(dtype).removeprefix("torch.")] * adapted[finite].abs().max().item()
    if apart > tolerance:
        raise CheckpointError(
            f"{adapter.folder}: the merged model is not the adapted one: their logits differ by {apart:.3g}, "
            f"and rounding explains {tolerance:.3g}; no figures are given, as they would be wrong"
        )


def _some(keys: list[str]) -> str:
    return keys[0].replace(f".{_NAME}", "") + (f" and {len(keys) - 1} more" if len(keys) > 1 else "")
