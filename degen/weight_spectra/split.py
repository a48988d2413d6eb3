"""Tensors that hold several matrices: fused queries, keys and values, fused gates, and experts, as models lay them out.

A tensor whose layout the configuration does not give is one matrix.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from degen.model.config_entries import config_entry

if TYPE_CHECKING:
    import torch

# Families that lay the heads of a group out together: q of each of its heads, then its k, then its v.
_GROUPED = ("gpt_neox", "gpt_neox_japanese", "bloom", "falcon")
_CONTIGUOUS = ("gpt2", "openai-gpt", "imagegpt", "gpt_bigcode", "phi3", "mpt", "dbrx", "glm4")  # all of q, then k, v
_EXPERTS = ("num_local_experts", "num_experts", "n_routed_experts", "moe_num_experts")
_INNER = ("moe_intermediate_size", "intermediate_size", "ffn_hidden_size", "expert_ffn_hidden_size")
_INTERLEAVED_GATES = ("gpt_oss",)  # rows of gate and up in turn
_QKV = ("attention_q", "attention_k", "attention_v")
_GATES = ("mlp_gate", "mlp_up")


@dataclass(frozen=True)
class Part:
    """One matrix of a tensor.

    Attributes:
        name: that tells it from the others of its tensor: `q`, `expert 3`; empty for the whole tensor.
        kind: of the matrix.
        take: returns it, given the tensor or the expert's slice of it.
        expert: whose slice it is taken from; None for the whole tensor.
    """

    name: str
    kind: str
    take: Callable[[torch.Tensor], torch.Tensor]
    expert: int | None = None


def parts_of(shape: tuple[int, ...], kind: str, key: str, text: Any) -> Iterator[Part]:
    """Yield the matrices of a tensor.

    Args:
        shape: of the tensor, with two dimensions or more.
        kind: by its name.
        key: its name.
        text: the configuration of the text model; None without one.
    """
    experts = _experts(shape, key, text)
    inner = shape[1:] if experts else shape
    for expert in range(experts) if experts else (None,):
        front = "" if expert is None else f"expert {expert}"
        for name, own_kind, take in _pieces(inner, kind, text):
            yield Part(" ".join(filter(None, (front, name))), own_kind, take, expert)


def _experts(shape: tuple[int, ...], key: str, text: Any) -> int:
    """Return how many experts a tensor holds, one behind the other in its first dimension; 0 where it holds none."""
    counts = [config_entry(text, name) for name in _EXPERTS]
    stacked = len(shape) == 3 and ("expert" in key or "_exps" in key)
    return shape[0] if stacked and shape[0] in counts else 0


def _pieces(
    shape: tuple[int, ...], kind: str, text: Any
) -> list[tuple[str, str, Callable[[torch.Tensor], torch.Tensor]]]:
    """Return name, kind and cut of each matrix of a tensor of one expert, or of none."""
    cuts = None
    if len(shape) == 2 and kind == "attention_qkv":
        cuts = _cut_qkv(shape, text)
    elif len(shape) == 2 and kind == "mlp_gate_up":
        cuts = _cut_gates(shape, text)
    if cuts is None:
        return [("", kind, lambda tensor: tensor.flatten(1))]
    kinds = _QKV if kind == "attention_qkv" else _GATES
    return [(own.rpartition("_")[2], own, cut) for own, cut in zip(kinds, cuts, strict=True)]


def _cut_qkv(shape: tuple[int, ...], text: Any) -> list[Callable[[torch.Tensor], torch.Tensor]] | None:
    """Return how q, k and v are cut out of a tensor; None where the configuration does not say."""
    family = config_entry(text, "model_type")
    heads, width = config_entry(text, "num_attention_heads"), config_entry(text, "hidden_size")
    if not (isinstance(heads, int) and isinstance(width, int)) or family not in (*_GROUPED, *_CONTIGUOUS):
        return None
    pairs = _key_value_heads(text, family, heads)
    size = config_entry(text, "head_dim") or width // heads
    total = (heads + 2 * pairs) * size
    if pairs < 1 or heads % pairs or total not in shape:
        return None
    axis = 1 if shape[0] == width and shape[1] == total and family in ("gpt2", "openai-gpt", "imagegpt") else 0
    if shape[axis] != total:
        return None
    if family in _GROUPED:
        return [_grouped(pairs, heads // pairs, size, which) for which in range(3)]
    ends = (0, heads * size, (heads + pairs) * size, total)
    return [_slice(axis, ends[i], ends[i + 1]) for i in range(3)]


def _key_value_heads(text: Any, family: str, heads: int) -> int:
    """Return how many heads of keys and values there are."""
    if family == "falcon":
        if config_entry(text, "new_decoder_architecture"):
            return int(config_entry(text, "num_kv_heads") or heads)
        return 1 if config_entry(text, "multi_query") else heads
    if family == "gpt_bigcode":  # with several of them its heads lie otherwise, and the tensor is one matrix
        return 1 if config_entry(text, "multi_query") else 0
    attention = config_entry(text, "attn_config")
    own = config_entry(attention, "kv_n_heads") if attention is not None else None
    return int(own or config_entry(text, "num_key_value_heads") or heads)


def _grouped(groups: int, queries: int, size: int, which: int) -> Callable[[torch.Tensor], torch.Tensor]:
    """Return the cut of q, k or v out of rows laid out by group: q of each head of a group, its k, its v."""
    chosen = (slice(0, queries), slice(queries, queries + 1), slice(queries + 1, queries + 2))[which]
    return lambda tensor: tensor.view(groups, queries + 2, size, -1)[:, chosen].reshape(-1, tensor.shape[1])


def _slice(axis: int, first: int, last: int) -> Callable[[torch.Tensor], torch.Tensor]:
    return lambda tensor: tensor.narrow(axis, first, last - first)


def _cut_gates(shape: tuple[int, ...], text: Any) -> list[Callable[[torch.Tensor], torch.Tensor]] | None:
    """Return how gate and up are cut out of a tensor; None where the configuration does not say."""
    sizes = [2 * size for size in (config_entry(text, name) for name in _INNER) if isinstance(size, int)]
    width = config_entry(text, "hidden_size")
    axes = [axis for axis in (0, 1) if shape[axis] in sizes and shape[1 - axis] == width]
    if len(axes) != 1:
        return None
    axis, half = axes[0], shape[axes[0]] // 2
    if config_entry(text, "model_type") in _INTERLEAVED_GATES:
        return [_every_second(axis, 0), _every_second(axis, 1)]
    return [_slice(axis, 0, half), _slice(axis, half, 2 * half)]


def _every_second(axis: int, first: int) -> Callable[[torch.Tensor], torch.Tensor]:
    return lambda tensor: tensor[first::2] if axis == 0 else tensor[:, first::2]
