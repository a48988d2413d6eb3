"""A full fine-tune, or one of biases alone, as the difference of two checkpoints, streamed tensor by tensor."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

from degen.errors import CheckpointError, NotFiniteError
from degen.paths import natural_order
from degen.weights.stored_tensors import StoredTensors
from degen.weights.tensor_kinds import is_harmless, is_quantised_part

from .adapter_tensors import FEW_BYTES
from .base_weights import FLOATS, BaseWeights, stored_matrix
from .scaling_kinds import replaced
from .update import Update, Updates


class FullDifference(Updates):
    """The difference θ − θ₀ of a checkpoint and its base; parameters of which no byte is changed are left out.

    Its kind is `bias` where biases alone are changed (as in BitFit, Zaken et al. 2021, arXiv 2106.10199), `partial`
    where only some parameters are, and `full` where all are.

    Args:
        tuned: the tensors of the checkpoint.
        base: θ₀.
        location: of the checkpoint, for messages.

    Raises:
        CheckpointError: the two have no parameter in common, one that is of other shapes, or are quantised.
    """

    def __init__(self, tuned: StoredTensors, base: BaseWeights, location: str) -> None:
        self.tuned, self.base, self._location = tuned, base, location
        common = [(key, other) for key in tuned.keys if _is_weight(tuned, key) and (other := base.key_of(key))]
        if not common:
            raise CheckpointError(f"{location} has no tensor in common with {base.location}; is it of that model?")
        for key, other in common:
            self._check_shapes(key, other)
        self._keys = dict(common)
        self.names: Sequence[str] = sorted((key for key in self._keys if self._changed(key)), key=natural_order)
        left = set(self._keys) - set(self.names)
        biases = bool(self.names) and all(name.endswith("bias") for name in self.names)
        self.kind = "bias" if biases else "partial" if left else "full"

    def _check_shapes(self, key: str, other: str) -> None:
        tuned, base = self.tuned.shape(key), self.base.tensors.shape(other)
        if tuned != base:
            sizes = [" × ".join(map(str, shape)) for shape in (tuned, base)]
            raise CheckpointError(
                f"{key} is {sizes[0]} in {self._location}, and {sizes[1]} in {self.base.location}; are they of one "
                "model?"
            )

    def _changed(self, key: str) -> bool:
        """Return whether a parameter has other values than the base's; NaN in it counts as another."""
        tuned, base = stored_matrix(self.tuned, key), stored_matrix(self.base.tensors, self._keys[key])
        try:
            pairs = zip(tuned.blocks(), base.blocks(), strict=True)
            return any(not new.equal(old) for (_, _, new), (_, _, old) in pairs)
        except NotFiniteError:
            return True

    @cached_property
    def trained(self) -> int:
        """How many values the changed parameters have."""
        return sum(rows * columns for rows, columns in (stored_matrix(self.tuned, name).shape for name in self.names))

    @property
    def parameters(self) -> int:
        """How many parameters the base has."""
        return self.base.parameters

    @property
    def tied(self) -> bool:
        """Whether the head of the base is its input embedding."""
        return self.base.tied

    @property
    def notes(self) -> Sequence[str]:
        """Remarks on parameters that only one of the two has, which are left out."""
        weights = [key for key in self.tuned.keys if _is_weight(self.tuned, key)]
        lost = sorted(key for key in weights if key not in self._keys)
        return [f"{len(lost)} tensors that the base has not are left out, such as {lost[0]}"] if lost else []

    def update(self, name: str) -> Update:
        """Return the update of one parameter."""
        new, old = stored_matrix(self.tuned, name), stored_matrix(self.base.tensors, self._keys[name])
        types = (self.tuned.dtype(name), self.base.tensors.dtype(self._keys[name]))
        rounding = max(FEW_BYTES.get(dtype, FEW_BYTES["F32"]) for dtype in types)
        trained = new.shape[0] * new.shape[1]
        return Update(name, self.kind, trained, replaced(old, new), old, None, rounding, True)


def _is_weight(tensors: StoredTensors, key: str) -> bool:
    """Return whether a stored tensor is a parameter of plain floats."""
    plain = tensors.dtype(key) in FLOATS or tensors.shard(key).endswith(".gguf")
    return plain and bool(tensors.shape(key)) and not is_harmless(key) and not is_quantised_part(key)
