"""Names of tensors as training leaves them, turned into those of the model itself.

Wrappers put something before a name (`_orig_mod.`, `module.`), a module of Lightning the name of its attribute
(`model.`), an optimiser keeps states under the names of what it optimises.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from degen.errors import CheckpointError
from degen.weights.stored_tensors import EMBEDDING_KEYS, HEAD_KEYS

# Of torch.compile, FSDP, activation checkpointing and Lightning's strategies; they may stand within a name, too.
_WRAPPERS = re.compile(r"(?:^|(?<=\.))(?:_orig_mod|_forward_module|_fsdp_wrapped_module|_checkpoint_wrapped_module)\.")
_PREFIX = re.compile(r"((module|model|net|lm|llm|gpt)\.)+")
_NOT_WEIGHTS = re.compile(
    r"^(optim|optimizers?|optimizer_states?|lr_schedulers?|scheduler|train_state|dataloader|rng|rng_state|sampler)(\.|$)"
)

# Names of embeddings before which no prefix is looked for: `language_model.` is part of the name, and those of training
# libraries are known to `_own_names`.
_NO_PREFIX_BEFORE = ("language_model.", "tok_embeddings.", "model.tok_embeddings.")


def model_names(location: str, keys: Iterable[str]) -> dict[str, str]:
    """Return the stored name of every tensor of the model, by the name that it has within the model.

    The model's prefix is what stands before the known name of its input embedding. Tensors of an optimiser are left
    out, and so are those beside the model's prefix, as the states of metrics. Where the names are those of a training
    library's own models, head and embedding get the names that they have in transformers.

    Args:
        location: the checkpoint, for messages.
        keys: names as they are stored.

    Raises:
        CheckpointError: there are several models, or two tensors would have one name.
    """
    plain: dict[str, str] = {}
    for key in keys:
        name = _WRAPPERS.sub("", key)
        if _NOT_WEIGHTS.match(name):
            continue
        if plain.setdefault(name, key) != key:
            raise CheckpointError(f"{location}: {key[:200]} and {plain[name][:200]} are one tensor by their names")
    if (own := _own_names(plain)) is not None:
        trainer, prefix = own
        as_here = {trainer.head: HEAD_KEYS[0], trainer.embedding: EMBEDDING_KEYS[0]}
        inside = {name.removeprefix(prefix): key for name, key in plain.items() if name.startswith(prefix)}
        return {as_here.get(name, name): key for name, key in inside.items()}
    prefix = _prefix_of_model(location, plain)
    return {name[len(prefix) :]: key for name, key in plain.items() if name.startswith(prefix)}


@dataclass(frozen=True)
class _Trainer:
    """A library that names tensors in its own way.

    Attributes:
        name: of the library.
        embedding: its name for the input embedding.
        head: its name for the LM head.
    """

    name: str
    embedding: str
    head: str


_TRAINERS = (
    _Trainer("torchtitan and Meta's Llama", "tok_embeddings.weight", "output.weight"),
    _Trainer("OLMo-core", "embeddings.weight", "lm_head.w_out.weight"),
    _Trainer("Megatron-LM", "embedding.word_embeddings.weight", "output_layer.weight"),
)


def explain_head_alone(keys: Iterable[str]) -> str | None:
    """Return why no more than the head of a model is read, by the names of its tensors; None where all is."""
    names = [_WRAPPERS.sub("", key) for key in keys]
    found = _own_names([name for name in names if not _NOT_WEIGHTS.match(name)])
    if found is None:
        return None
    return f"its tensors have the names of {found[0].name}, of which only the head is read; convert it for the rest"


def _own_names(names: Iterable[str]) -> tuple[_Trainer, str] | None:
    """Return the library whose own names these are, and the prefix before them."""
    stored = set(names)
    for trainer in _TRAINERS:
        for name in stored:
            prefix = name.removesuffix(trainer.embedding)
            if prefix != name and (not prefix or _PREFIX.fullmatch(prefix)):
                others = any(
                    key.startswith((f"{prefix}layers.", f"{prefix}blocks.", f"{prefix}decoder.")) for key in stored
                )
                if f"{prefix}{trainer.head}" in stored or others:
                    return trainer, prefix
    return None


def _prefix_of_model(location: str, names: Iterable[str]) -> str:
    stored = list(names)
    embeddings = [key for key in EMBEDDING_KEYS if not key.startswith(_NO_PREFIX_BEFORE)]
    found = {p for name in stored for p in [_before_known(name, embeddings)] if p is not None}
    found = found or {p for name in stored for p in [_before_known(name, HEAD_KEYS)] if p is not None}
    # `language_model.` belongs to the name of a model of text and images; a wrapper's stands before all
    fitting = {p for p in found if not p or _PREFIX.fullmatch(p) or all(name.startswith(p) for name in stored)}
    if "" in fitting or not fitting:
        return ""
    if len(fitting) > 1:
        raise CheckpointError(
            f"{location}: several models in it, under {', '.join(sorted(p[:80] for p in fitting))}; save the one "
            "that is meant by itself, as torch.save(model.state_dict(), 'model.pt') does"
        )
    return fitting.pop()


def _before_known(name: str, known: Iterable[str]) -> str | None:
    """Return what stands before a known name, the shortest; None where it is no such name."""
    before = [name[: -len(end)] for end in known if name == end or name.endswith(f".{end}")]
    return min(before, key=len, default=None)
