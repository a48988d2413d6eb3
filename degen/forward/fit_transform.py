"""What a model does to logits after its head, measured: in a call of its own the head is handed known states."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from degen.device import as_float64, copied_ahead, is_out_of_memory
from degen.errors import CheckpointError, one_line
from degen.model.architecture import text_config
from degen.model.logit_transform import LogitTransform
from degen.placement.output_layer import OutputLayer, output_layer, readable
from degen.placement.shards import whole_shape
from degen.probe import OutputHead

if TYPE_CHECKING:
    import torch

# The largest logit of each state that is handed to the head: from where a cap bends nothing to where it cuts all.
_SMALLEST, _LARGEST = 0.25, {"float16": 2e4}
_LARGEST_OTHERS = 1e6
_BENT = 0.9  # of the cap: what lies above is too flat to tell a scale by
# How near a measured scale or cap is to a number of the configuration that is then taken in its place.
_SNAP = {"float32": 1e-5, "float64": 1e-9}
_SNAP_HALF = 4e-3
_ORTHOGONAL = 0.05  # the largest cosine with a row of the head, below which cancellation leaves too few digits
_ROWS = 4096  # of the head, evenly spread, that are looked at


def measure_head(model: Any, head: Any, ids: torch.Tensor, tolerances: Mapping[str, float]) -> OutputHead:
    """Return the LM head of a model with what the model does to its logits.

    In a call of the model the head is handed zeros, and states scaled so that their largest logits grow from 0.25 to
    10⁶. Formula: z = cap · tanh(s·(h Wᵀ + b) / cap), or z = s·(h Wᵀ + b) + β; β comes from the zeros, the cap from the
    largest states, s from those that no cap bends much.

    Args:
        model: a causal LM on its device.
        head: its linear head.
        ids: token ids of the call, 1 × T.
        tolerances: largest difference allowed, relative to the largest logit, by dtype.

    Raises:
        CheckpointError: the head is not called, or something else is done to the logits.
    """
    given, own = _call_with_ladder(model, head, ids)
    if given.shape[:-1] != own.shape[:-1]:
        raise CheckpointError(_unlike(model, "it puts its logits together from several heads or positions"))
    layer = output_layer(model, given.dtype)
    fitted = fit_products(model, compare_products(layer, given[0], own[0]).cpu(), given.dtype, tolerances)
    if fitted is None:
        raise CheckpointError(_unlike(model, "what it does to the logits after its head is no scale, cap or bias"))
    transform, is_biased = fitted
    bias = layer.bias
    if is_biased:  # at states of zero the model's logits are f(b) and what is added: s·(b + what is added / s)
        bias = (own[0, 0].float() / transform.scale).to(layer.weight.dtype)
    return OutputHead(layer.weight, bias, transform)


def compare_products(head: OutputLayer, given: torch.Tensor, own: torch.Tensor) -> torch.Tensor:
    """Return a head's products h Wᵀ + b beside the logits of the model, for some of its rows: 2 × T × rows, float64.

    Args:
        head: weight and bias of the linear head.
        given: h, T × d.
        own: the logits that the model gave, T × V.
    """
    import torch

    bias, some = head.bias, slice(None, None, math.ceil(len(head.weight) / _ROWS))
    columns = as_float64(head.weight[some]), None if bias is None else as_float64(bias[some])
    u = torch.nn.functional.linear(as_float64(given).to(columns[0].device), *columns)
    return torch.stack([u, as_float64(own[:, some]).to(u.device)])


def fit_products(
    model: Any, products: torch.Tensor, dtype: torch.dtype, tolerances: Mapping[str, float]
) -> tuple[LogitTransform, bool] | None:
    """Return what `fit_transform` does for the products that `compare_products` returns, on the CPU.

    Args:
        model: the causal LM, for the numbers of its configuration.
        products: 2 × T × rows, the first row of zero states.
        dtype: in which they were computed.
        tolerances: largest difference allowed, relative to the largest logit, by dtype.
    """
    name = str(dtype).removeprefix("torch.")
    numbers = sorted(set(_numbers(text_config(model.config))))
    return fit_transform(products[0], products[1], numbers, tolerances[name], _SNAP.get(name, _SNAP_HALF))


def _unlike(model: Any, problem: str) -> str:
    return (
        f"model type {model.config.model_type!r}: {problem}; no loss is computed, as it would be wrong. "
        "--probes spectrum measures its head alone"
    )


def _call_with_ladder(model: Any, head: Any, ids: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the states that the head was handed in place of its own, and the logits that the model returned."""
    import torch

    handed: list[torch.Tensor] = []

    def hand_over(_module: Any, args: tuple[Any, ...]) -> tuple[Any, ...]:
        handed.append(ladder(args[0], readable(model, head, "weight")))
        return (handed[-1], *args[1:])

    hook = head.register_forward_pre_hook(hand_over)
    try:
        own = call_for_logits(model, ids)
    finally:
        hook.remove()
    if not handed:
        raise CheckpointError(
            f"model type {model.config.model_type!r} does not call its LM head module, so what enters it is unknown; "
            "--probes spectrum measures its head alone"
        )
    rows = whole_shape(head)[0]
    if own.dim() != 3 or own.shape[-1] != rows or not isinstance(own, torch.Tensor):
        raise CheckpointError(_unlike(model, f"its logits are not one row of {rows} a token"))
    return handed[-1], own


def call_for_logits(model: Any, ids: torch.Tensor, **options: Any) -> torch.Tensor:
    """Return the logits of a call of a model.

    Raises:
        CheckpointError: it cannot be called with token ids alone.
    """
    try:
        logits: torch.Tensor = model(input_ids=ids, **options).logits
    except Exception as error:
        if is_out_of_memory(error):
            raise
        failed = f"model type {model.config.model_type!r} cannot be run on text alone"
        if getattr(model, "hf_device_map", None):
            raise CheckpointError(
                f"{failed} as --device-map spreads it ({one_line(error)}); give modules that share weights, as a tied "
                "embedding and head, one device"
            ) from error
        raise CheckpointError(
            f"{failed} ({one_line(error)}); is its config.json sound? --probes spectrum measures its head alone"
        ) from error
    return logits


def ladder(states: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """Return states of the same shape: zeros first, then the given ones scaled to logits of growing size.

    A state that every row of the head is nearly orthogonal to, whose logits would be rounding, gives way to the longest
    row of the head.
    """
    import torch

    flat = states.flatten(0, -2)
    lengths = torch.linalg.vector_norm(weight, dim=1).float().nan_to_num(nan=0.0, posinf=0.0)
    longest = lengths.argmax().unsqueeze(0)  # as one index of a list: a number would be read from the device
    unit = (flat @ weight.T).float().nan_to_num(nan=0.0, posinf=0.0, neginf=0.0).abs().amax(dim=-1)
    orthogonal = unit < _ORTHOGONAL * torch.linalg.vector_norm(flat, dim=1).float() * lengths[longest]
    flat = torch.where(orthogonal.unsqueeze(1), weight[longest].to(flat.dtype), flat)
    unit = torch.where(orthogonal, lengths[longest].square(), unit).clamp(min=1e-6)
    largest = _LARGEST.get(str(states.dtype).removeprefix("torch."), _LARGEST_OTHERS)
    steps = max(len(flat) - 2, 1)
    sizes = [0.0, *(_SMALLEST * (largest / _SMALLEST) ** (k / steps) for k in range(len(flat) - 1))]
    factors = copied_ahead(torch.tensor(sizes, dtype=unit.dtype), unit.device) / unit
    return (flat.float() * factors.unsqueeze(1)).to(states.dtype).view_as(states)


def fit_transform(
    u: torch.Tensor, z: torch.Tensor, numbers: list[float], tolerance: float, snap: float
) -> tuple[LogitTransform, bool] | None:
    """Return the transform that makes logits z of a head's products u, and whether a bias is added; None without one.

    Args:
        u: h Wᵀ + b, T × V float64, the first row of zero states.
        z: the model's logits at these states.
        numbers: of the configuration; a scale or cap within `snap` of one of them, or of what is usually made of it, is
            that number.
        tolerance: largest difference allowed, relative to the largest logit of each row.
        snap: relative.
    """
    finite = z.isfinite() & u.isfinite()
    if not finite.any():
        return LogitTransform(), False
    u, z = u.where(finite, 0), z.where(finite, 0)

    def fits(transform: LogitTransform, beta: torch.Tensor | None) -> bool:
        ours = transform(u.clone()) if beta is None else transform(u.clone()) + beta
        apart = (ours - z).where(finite, 0).abs().amax(dim=1)
        before, after = transform.scale * u.abs().amax(dim=1), z.abs().amax(dim=1)
        return bool((apart <= tolerance * before.maximum(after).maximum(after[1])).all())

    for scale in _scales(u, z, finite, None, numbers, snap):
        transform = LogitTransform(scale)
        if fits(transform, None):
            return transform, False
        added = z[0] - transform(u[0].clone())
        if bool(added.isfinite().all()) and fits(transform, added):
            return transform, True
    cap = float(z[-1].abs().max())
    for height in _snapped(cap, numbers, snap, lambda x: (x,)):
        for scale in _scales(u, z, finite, height, numbers, snap):
            if fits(transform := LogitTransform(scale, height), None):
                return transform, False
    return None


def _scales(u: Any, z: Any, finite: Any, cap: float | None, numbers: list[float], snap: float) -> Iterator[float]:
    """Yield the scale that a regression gives, first the numbers of the configuration near to it."""
    import torch

    bent = z if cap is None else cap * torch.atanh((z / cap).clamp(-_BENT, _BENT))
    chosen = finite if cap is None else finite & (z.abs() < _BENT * cap)
    if cap is None:  # what is added to all states alike drops out
        x, y = (u - u[:1]).where(chosen, 0), (bent - bent[:1]).where(chosen, 0)
    else:
        x, y = u.where(chosen, 0), bent.where(chosen, 0)
    rounding = u.abs().amax(dim=1, keepdim=True).clamp(min=1e-30)  # of a row's products, up to a factor
    x, y = x / rounding, y / rounding
    if float(x.square().sum()) > 0:
        yield from _snapped(float((x * y).sum() / x.square().sum()), numbers, snap, _made_of)
    else:  # a head of zeros: no scale changes anything
        yield 1.0


def _made_of(number: float) -> tuple[float, ...]:
    """Return the scales that models make of a number of their configuration."""
    return number, 1 / number, 1 / math.sqrt(number), math.sqrt(number)


def _snapped(
    value: float, numbers: list[float], snap: float, made_of: Callable[[float], tuple[float, ...]]
) -> Iterator[float]:
    """Yield the numbers of the configuration, or made of them, that a measured value may be; then the value itself."""
    if not value > 0:
        return
    near = {made for x in (1.0, *numbers) for made in made_of(x) if abs(made / value - 1) <= snap}
    yield from sorted(near, key=lambda made: abs(made / value - 1))
    yield value


def _numbers(config: Any) -> Iterator[float]:
    for value in config.to_dict().values():
        if isinstance(value, int | float) and not isinstance(value, bool) and 1e-6 < value < 1e6:
            yield float(value)
