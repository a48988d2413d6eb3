"""A model in the middle of its training: unwrapped, checked, and kept as it is while it is measured."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from degen.errors import CheckpointError, NotFiniteError
from degen.placement.shards import (
    compute_device,
    has_flat_parameters,
    is_divided_by_rows,
    is_sharded,
    is_wrapper,
    local_parameters,
    reshard,
)

from .processes import first_of_any

if TYPE_CHECKING:
    import torch


def unwrapped(model: Any) -> Any:
    """Return the causal LM inside what training wraps it in: torch.compile, data parallelism, DeepSpeed, PEFT.

    A model under FSDP in its first version stays wrapped, because only the wrapper gathers parameters.

    Raises:
        CheckpointError: the model is none of transformers, its weights are not in this process nor gathered here, PEFT
            puts learned prompts in front of the text, or an adapter changes its LM head.
    """
    from torch.nn import DataParallel
    from torch.nn.parallel import DistributedDataParallel

    while not is_wrapper(model):
        if hasattr(model, "_orig_mod"):
            model = model._orig_mod
        elif isinstance(model, DataParallel | DistributedDataParallel) or type(model).__name__ == "DeepSpeedEngine":
            model = model.module
        elif hasattr(model, "get_base_model") and hasattr(model, "active_peft_config"):
            if model.active_peft_config.is_prompt_learning:
                raise CheckpointError(
                    "a model with learned prompts (prompt or prefix tuning of PEFT) cannot be measured; train without "
                    "the callback"
                )
            if is_sharded(model):
                raise CheckpointError(
                    "a model with adapters of PEFT cannot be measured while it is divided among processes; scan the "
                    "adapters that training saves instead"
                )
            model = model.get_base_model()
        else:
            break
    if not (hasattr(model, "get_output_embeddings") and hasattr(model, "config") and hasattr(model, "named_modules")):
        raise CheckpointError(
            f"{type(model).__name__} is no causal LM of transformers; give the model itself, a PreTrainedModel with "
            "`config` and `get_output_embeddings()`, perhaps wrapped by torch.compile, data parallelism or PEFT"
        )
    if (name := _unreadable_parameter(model)) is not None:
        raise CheckpointError(
            f"the parameter {name} is not whole in this process (tensor parallelism or offloading) and cannot be "
            "gathered, so that the model cannot be measured here; scan the checkpoints that training saves instead"
        )
    if not is_wrapper(model) and model.get_output_embeddings().weight.dim() == 1:
        raise CheckpointError(
            "the model is a part of what FSDP wraps, which alone gathers its parameters; give the wrapped model "
            "itself, or divide it by fully_shard (in Lightning: ModelParallelStrategy)"
        )
    if has_flat_parameters(model):
        raise CheckpointError(
            "under FSDP with use_orig_params=False the LM head cannot be told from other parameters; set "
            "use_orig_params=True"
        )
    if _is_adapted(model.get_output_embeddings()):
        raise CheckpointError(
            "a model with an adapter on its LM head cannot be measured while it trains; scan the adapters that "
            "training saves, or train the whole head (modules_to_save)"
        )
    return model


def _is_adapted(head: Any) -> bool:
    """Return whether a head has an adapter of PEFT that is not merged into its weight."""
    return hasattr(head, "get_base_layer") and not head.merged


def _unreadable_parameter(model: Any) -> str | None:
    """Return the name of a parameter that can be neither read here nor gathered; None where all of them can."""
    for name, parameter in model.named_parameters():
        if parameter.is_meta or (hasattr(parameter, "device_mesh") and not is_divided_by_rows(parameter)):
            return str(name)
    return None


def check_finite(model: Any) -> None:
    """Refuse a model that holds NaN or infinity in any parameter, also in those that no probe reads.

    The least and the largest value show both, and take one pass without a copy: 0.2 s for 10⁹ parameters on one core.
    A shared parameter is read once; integers, as of quantised weights, are never NaN.

    Args:
        model: unwrapped. Where processes hold parts of the parameters each, all of them call this at once.

    Raises:
        NotFiniteError: a parameter holds NaN or infinity; the message names the first.
    """
    bad = next((name for name, values in local_parameters(model) if not _is_finite(values)), None)
    if is_sharded(model):
        bad = first_of_any(bad)
    if bad is not None:
        raise NotFiniteError(f"the parameter {bad} holds NaN or infinity")


def _is_finite(values: torch.Tensor) -> bool:
    """Return whether all values of a tensor are finite; integers are."""
    if not values.is_floating_point() or not values.numel():
        return True
    if values.element_size() == 1:  # float8 can be stored and cast, and no more
        values = values.float()
    return all(bool(extreme.isfinite()) for extreme in values.aminmax())


@contextmanager
def preserve_state(model: Any) -> Iterator[None]:
    """Put a model into the state in which a scan would load it, for the `with` block, and restore its state afterwards.

    During the block every module is in evaluation mode, nothing is cached, mixed precision is off, and compiled modules
    run without compilation. Restored are: every attribute of every module (`training` among them), the buffers and
    their values, `use_cache`, and the random states of Python, numpy and torch on every device. Parameters and
    gradients are not restored, because nothing here writes to them.

    Args:
        model: a causal LM, unwrapped.
    """
    import torch

    with ExitStack() as stack:
        stack.enter_context(_random_states())
        stack.enter_context(_no_cache(model.config))
        for module in model.modules():
            stack.enter_context(_as_loaded(module) if not is_wrapper(module) else _in_evaluation(module))
        stack.enter_context(torch.autocast(compute_device(model).type, enabled=False))
        stack.enter_context(_resharded(model))
        yield


@contextmanager
def _as_loaded(module: Any) -> Iterator[None]:
    """Put a single module into evaluation mode for the `with` block, and restore its attributes afterwards.

    `__dict__` is written to, because a module's own `train` method may do more than set a flag.
    """
    attributes = vars(module)
    before = dict(attributes)
    buffers = {name: (tensor, _copied(tensor)) for name, tensor in module._buffers.items()}
    attributes["training"] = False
    if attributes.get("_compiled_call_impl") is not None:
        attributes["_compiled_call_impl"] = None
    if "_original_forward" in attributes:  # accelerate's, beneath its mixed precision
        attributes["forward"] = attributes["_original_forward"]
    try:
        yield
    finally:
        for name in attributes.keys() - before.keys():
            del attributes[name]
        attributes.update(before)
        module._buffers.clear()
        for name, (tensor, content) in buffers.items():
            if tensor is not None and content is not None and not _same(tensor, content):
                tensor.copy_(content)
            module._buffers[name] = tensor


@contextmanager
def _in_evaluation(wrapper: Any) -> Iterator[None]:
    """Put FSDP's wrapper into evaluation mode for the `with` block; its other attributes are its own to change."""
    before = wrapper.training
    vars(wrapper)["training"] = False
    try:
        yield
    finally:
        vars(wrapper)["training"] = before


@contextmanager
def _resharded(model: Any) -> Iterator[None]:
    """Show each process its part of sharded parameters, before and after the `with` block."""
    reshard(model)
    try:
        yield
    finally:
        reshard(model)


def _copied(tensor: torch.Tensor | None) -> torch.Tensor | None:
    return None if tensor is None else tensor.detach().clone()


def _same(one: torch.Tensor, other: torch.Tensor) -> bool:
    import torch

    return one.shape == other.shape and torch.equal(one, other)


@contextmanager
def _no_cache(config: Any) -> Iterator[None]:
    """Set `use_cache` of a configuration to False for the `with` block, as in a scan, and restore it afterwards."""
    before = {name: value for name, value in vars(config).items() if name == "use_cache"}
    config.use_cache = False
    try:
        yield
    finally:
        del config.use_cache
        vars(config).update(before)


@contextmanager
def _random_states() -> Iterator[None]:
    """Restore the random states of Python, numpy and torch after the `with` block."""
    import torch

    python, legacy, cpu = random.getstate(), np.random.get_state(), torch.get_rng_state()
    on_cuda = torch.cuda.is_available() and torch.cuda.is_initialized()  # type: ignore[no-untyped-call]
    cuda = torch.cuda.get_rng_state_all() if on_cuda else None
    mps = torch.mps.get_rng_state() if torch.backends.mps.is_available() else None
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(legacy)
        torch.set_rng_state(cpu)
        if cuda is not None:
            torch.cuda.set_rng_state_all(cuda)
        if mps is not None:
            torch.mps.set_rng_state(mps)
