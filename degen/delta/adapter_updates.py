"""The updates of an adapter, module by module, by its kind."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import cached_property, partial
from typing import TYPE_CHECKING

from degen.errors import CheckpointError
from degen.paths import natural_order
from degen.weights.peft_adapter import ADDED_BESIDE, in_module
from degen.weights.stored_tensors import EMBEDDING_KEYS, StoredTensors

from . import factored_kinds, scaling_kinds
from .adapter_tensors import AdapterTensors, sort_tensors
from .base_weights import BaseWeights, stored_matrix
from .factored_kinds import Settings
from .matrices import Matrix, Shape, Transposed
from .update import Update, Updates

if TYPE_CHECKING:
    import torch

_READ = {"LORA", "ADALORA", "LOHA", "LOKR", "VERA", "IA3", "OFT", "TRAINABLE_TOKENS", "LN_TUNING", "BEFT", "POLY",
         *ADDED_BESIDE}  # fmt: skip
_GATE = ".adaption_gate"  # of the virtual tokens of a layer, by which their attention is multiplied
# Entries that make an update something else than what the factors say.
_OTHERWISE = (
    "target_parameters",
    "layer_replication",
    "megatron_config",
    "use_qalora",
    "use_bdlora",
    "monteclora_config",
)
_RESIDUAL = ("pissa", "corda", "olora", "lora_ga", "loftq")


def is_read(settings: Settings, tensors: StoredTensors) -> bool:
    """Return whether an adapter's update can be computed from its tensors and one weight of the base at a time."""
    if settings["peft_type"] not in _READ or any(settings.get(name) for name in _OTHERWISE):
        return False
    if settings.get("use_dora") and any("lora_embedding" in key for key in tensors.keys):
        return False
    if settings["peft_type"] == "POLY" and settings.get("n_tasks", 1) != 1:
        return False
    return not any("hada_t" in key or "lokr_t" in key for key in tensors.keys)


def kind_of_adapter(settings: Settings) -> str:
    """Return the kind of an adapter by its configuration: `lora`, `rslora`, `dora`, `prefix_tuning` and so on."""
    kind: str = settings["peft_type"]
    if kind == "LORA":
        return "dora" if settings.get("use_dora") else "rslora" if settings.get("use_rslora") else "lora"
    return kind.lower()


class AdapterUpdates(Updates):
    """The updates of an adapter whose kind `is_read`.

    Args:
        settings: its configuration.
        stored: its tensors.
        base: None where it is not known.
    """

    def __init__(self, settings: Settings, stored: StoredTensors, base: BaseWeights | None) -> None:
        self.settings, self.base = settings, base
        self.tensors: AdapterTensors = sort_tensors(stored, settings.get("bias", "none") != "none")
        self.kind = kind_of_adapter(settings)
        if settings["peft_type"] == "ADAPTION_PROMPT":  # its virtual tokens are named by the layers they are beside
            self.tensors.others += self.tensors.replaced.values()
            self.tensors.replaced.clear()
        self._builders = dict(self._parameters())
        self.names: Sequence[str] = sorted(self._builders, key=natural_order)
        if not self.names:
            raise CheckpointError(
                "the adapter's files hold no tensor of its kind; are they those of its configuration?"
            )

    @property
    def trained(self) -> int:
        """How many parameters are stored as trained."""
        keys = [key for parts in self.tensors.modules.values() for key in parts.values()]
        return sum(map(self.tensors.count, [*keys, *self.tensors.replaced.values(), *self.tensors.others]))

    @property
    def parameters(self) -> int | None:
        """How many parameters the base has."""
        return self.base.parameters if self.base is not None else None

    @property
    def tied(self) -> bool:
        """Whether the head of the base is its input embedding."""
        return self.base is not None and self.base.tied

    @property
    def notes(self) -> Sequence[str]:
        """Remarks on the whole adapter."""
        begin = str(self.settings.get("init_lora_weights", "")).lower()
        if begin.startswith(_RESIDUAL):
            return [f"the adapter began with {begin[:20]}, which took its beginning out of W: ΔW is relative to that W"]
        if self.kind in ("p_tuning", "prefix_tuning") and (
            self.kind == "p_tuning" or self.settings.get("prefix_projection")
        ):
            return ["the network that made its virtual tokens is trained, too, but not stored and not counted"]
        return []

    def update(self, name: str) -> Update:
        """Return the update of one parameter."""
        return self._builders[name]()

    def _parameters(self) -> Iterable[tuple[str, Callable[[], Update]]]:
        """Yield the name of every parameter that is changed, and what returns its update."""
        for module, parts in self.tensors.modules.items():
            if "beft_bias" in parts:
                yield f"{module}.bias", partial(self._added_bias, module)
                continue
            yield f"{module}.weight", partial(self._of_module, module)
            if "lora_B.bias" in parts or (self.kind == "ia3" and self._has_scaled_bias(module)):
                yield f"{module}.bias", partial(self._bias, module)
        for name in self.tensors.replaced:
            yield name, partial(self._replaced, name)
        for key in self.tensors.others:
            if not key.endswith(_GATE):
                yield in_module(key), partial(self._added, key)

    def _of_module(self, module: str) -> Update:
        """Return the update of the weight of a module."""
        tensors, parts = self.tensors, self.tensors.modules[module]
        keys = [key for part, key in parts.items() if part != "lora_B.bias"]
        trained, name = sum(map(tensors.count, keys)), f"{module}.weight"
        kind = "trainable_tokens" if "trainable_tokens_delta" in parts else self.kind
        if kind == "trainable_tokens" and len(parts) > 1:
            raise CheckpointError(f"{module}: has both trained tokens and other factors, which are not read together")
        matrix, base, reason = self._matrix(module, kind)
        return Update(
            name, kind, trained, matrix, base, self._rank_given(module, kind), tensors.rounding(*keys),
            reason=reason,
        )  # fmt: skip

    def _matrix(self, module: str, kind: str) -> tuple[Matrix | None, Matrix | None, str | None]:
        """Return ΔW and W of the weight of a module, and why one of them is missing."""
        factored = self._factored(module, kind)
        shape = factored.shape if factored is not None else None
        base, reason = self._weight(f"{module}.weight", shape)
        if factored is not None and "lora_magnitude_vector" not in self.tensors.modules[module]:
            return factored, base, reason
        if base is None:
            return None, None, reason
        part = self.tensors.part
        if factored is not None:
            return scaling_kinds.dora(base, factored, part(module, "lora_magnitude_vector"), module), base, None
        if kind == "vera":
            return self._vera(module, base), base, None
        if kind == "ia3":
            return scaling_kinds.ia3(base, part(module, "ia3_l"), module), base, None
        if kind == "oft":
            return scaling_kinds.oft(base, part(module, "oft_R"), self.settings, module), base, None
        rows = part(module, "trainable_tokens_delta")
        return scaling_kinds.tokens(base, rows, self._token_ids(module)), base, None

    def _factored(self, module: str, kind: str) -> Matrix | None:
        """Return the product of the factors of a module; None where the update is not a product of stored ones."""
        if kind in ("lora", "rslora", "dora"):
            return factored_kinds.lora(self.tensors, module, self.settings)
        if kind == "adalora":
            return factored_kinds.adalora(self.tensors, module, self.settings)
        if kind == "loha":
            return factored_kinds.loha(self.tensors, module, self.settings)
        if kind == "poly":
            return factored_kinds.poly(self.tensors, module, self.settings)
        return factored_kinds.lokr(self.tensors, module, self.settings) if kind == "lokr" else None

    def _weight(self, name: str, shape: Shape | None) -> tuple[Matrix | None, str | None]:
        """Return W of a parameter, oriented as the update, and why it is missing.

        Raises:
            CheckpointError: it is of another shape than the update.
        """
        if name in self.tensors.base_layers:  # the adapter brings the base's own values, perhaps of a larger vocabulary
            return stored_matrix(self.tensors.stored, self.tensors.base_layers[name]), None
        if self.base is None:
            return None, "its base is not known"
        if self.base.key_of(name) is None:
            return None, f"the base has no tensor {name}"
        flipped = bool(self.settings.get("fan_in_fan_out"))
        weight = self.base.matrix(name, shape, flipped)
        return (Transposed(weight) if flipped and shape is None and weight.shape[1] > 1 else weight), None

    def _rank_given(self, module: str, kind: str) -> int | None:
        parts, shape = self.tensors.modules[module], self.tensors.stored.shape
        if kind in ("lora", "rslora", "dora", "adalora"):
            return shape(parts.get("lora_A") or parts["lora_embedding_A"])[0]
        if kind == "loha":
            return shape(parts["hada_w1_a"])[1] ** 2
        if kind == "lokr":
            return factored_kinds.lokr_rank(self.tensors, module)
        if kind == "vera":
            return shape(parts["vera_lambda_d"])[0] if "vera_lambda_d" in parts else None
        if kind == "poly":
            return shape(parts["poly_lora_A"])[3]
        return len(self._token_ids(module)) if kind == "trainable_tokens" else None

    def _vera(self, module: str, base: Matrix) -> Matrix:
        return factored_kinds.vera(self.tensors, module, self._projections, base.shape[1])

    @cached_property
    def _projections(self) -> tuple[torch.Tensor, torch.Tensor]:
        """A and B of VeRA, stored or drawn again."""
        shared = self.tensors.shared
        if {"vera_A", "vera_B"} <= shared.keys():
            return self.tensors.load(shared["vera_A"]), self.tensors.load(shared["vera_B"])
        assert self.base is not None
        weights = [self._weight(f"{module}.weight", None) for module in self.tensors.modules]
        if any(weight is None for weight, _ in weights):
            raise CheckpointError("the projections of VeRA are not stored, and the base lacks a module of the adapter")
        shapes = [weight.shape for weight, _ in weights if weight is not None]
        return factored_kinds.vera_projections(self.settings, max(s[1] for s in shapes), max(s[0] for s in shapes))

    def _token_ids(self, module: str) -> list[int]:
        """Return the ids of the tokens whose rows of an embedding are trained.

        Raises:
            CheckpointError: the configuration does not say them.
        """
        name = "token_indices" if self.settings["peft_type"] == "TRAINABLE_TOKENS" else "trainable_token_indices"
        ids = self.settings.get(name)
        if isinstance(ids, dict):
            ids = next((value for key, value in ids.items() if module.endswith(str(key))), None)
        if not isinstance(ids, list) or not all(isinstance(i, int) and not isinstance(i, bool) for i in ids):
            raise CheckpointError(f"{name} of the adapter's configuration names no tokens of {module}")
        return ids

    def _has_scaled_bias(self, module: str) -> bool:
        """Return whether IA³ scales a bias with the rows of its weight."""
        key = self.tensors.modules[module].get("ia3_l")
        return (
            key is not None and self.base is not None and self.base.key_of(f"{module}.bias") is not None
            and self.tensors.stored.shape(key)[1:] == (1,)
        )  # fmt: skip

    def _bias(self, module: str) -> Update:
        """Return the update of the bias of a module, that of the rows of IA³ or of `lora_bias`."""
        name, parts = f"{module}.bias", self.tensors.modules[module]
        base, reason = self._weight(name, None)
        if "lora_B.bias" not in parts:
            assert base is not None
            return Update(name, self.kind, 0, scaling_kinds.ia3(base, self.tensors.part(module, "ia3_l"), module), base)
        key = parts["lora_B.bias"]
        weights = {p: k for p, k in parts.items() if p == "lora_B"}
        rank = self.tensors.stored.shape(weights["lora_B"])[1] if weights else 0
        change = self.tensors.load(key)[:, None] * factored_kinds.scale_of(self.settings, module, rank, "lora_alpha")
        matrix = factored_kinds.column(change)
        return Update(
            name, self.kind, self.tensors.count(key), matrix, base, None, self.tensors.rounding(key), reason=reason
        )

    def _added_bias(self, module: str) -> Update:
        """Return the update of a bias that BEFT adds to, perhaps of a module that has none."""
        key = self.tensors.modules[module]["beft_bias"]
        base, reason = self._weight(f"{module}.bias", None)
        if reason is not None and self.base is not None:
            reason = None  # a bias where there was none
        change = factored_kinds.column(self.tensors.load(key).reshape(-1, 1))
        count, rounding = self.tensors.count(key), self.tensors.rounding(key)
        return Update(f"{module}.bias", self.kind, count, change, base, None, rounding, reason=reason)

    def _replaced(self, name: str) -> Update:
        """Return the update of a parameter that is stored whole."""
        key = self.tensors.replaced[name]
        new = stored_matrix(self.tensors.stored, key)
        trained, rounding = self.tensors.count(key), self.tensors.rounding(key)
        kind = self.kind if self.kind == "ln_tuning" else "bias" if name.endswith(".bias") else "modules_to_save"
        try:
            base, reason = self._weight(name, new.shape)
        except CheckpointError as error:
            if name not in EMBEDDING_KEYS and "lm_head" not in name:
                raise
            base, reason = None, f"{error}"  # a vocabulary that training made larger
        matrix = scaling_kinds.replaced(base, new) if base is not None else None
        return Update(name, kind, trained, matrix, base, None, rounding, base is not None, reason)

    def _added(self, key: str) -> Update:
        """Return what an adapter adds beside the weights, such as virtual tokens, as a matrix of its own."""
        if self.settings["peft_type"] not in ADDED_BESIDE:
            raise CheckpointError(f"{key[:200]} is no tensor of an adapter of the kind {self.kind}")
        gates = [gate for gate in self.tensors.others if gate == f"{key.rpartition('.')[0]}{_GATE}"]
        trained = sum(map(self.tensors.count, [key, *gates]))
        matrix = stored_matrix(self.tensors.stored, key)
        return Update(in_module(key), self.kind, trained, matrix, None, None, self.tensors.rounding(key))
