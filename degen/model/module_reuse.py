"""One module for a series: built by transformers once, then filled with the tensors of one checkpoint after another.

A filled module is the freshly loaded one, bit for bit, or none at all. It is filled only with a checkpoint whose
configuration, stored keys and shapes are those of one that transformers loaded and that was compared with its files
(`key_map`), and only where the last pass left everything but the weights as it was. Whatever else there is transformers
loads, and it loads what failed to be filled, so that messages are the same.

The first checkpoint is filled, too, once it is known how: kernels round otherwise where memory is not aligned, and what
transformers maps lies as the length of the file's header has it. A run that is continued loads another checkpoint first
than one that was not cut, and gives the same figures.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from degen.device import is_out_of_memory
from degen.weights.checkpoint_files import Files
from degen.weights.open_weights import LoadedTensors
from degen.weights.stored_tensors import StoredTensors

from .loading import load_model
from .stored_keys import find_keys, holds, state_of

if TYPE_CHECKING:
    import torch

Kind = tuple[str, frozenset[tuple[str, tuple[int, ...]]]]  # configuration; keys and shapes

# What in a config.json lets transformers read other files than the weights, or do more with them than to cast.
_NOT_PLAIN = frozenset(
    {"quantization_config", "compression_config", "fusion_config", "transformers_weights", "configuration_files"}
)


class SeriesModule:
    """Loads the checkpoints of a series, into one module where that can be."""

    def __init__(self) -> None:
        self._filling: _Filling | None = None
        self._keys: dict[Kind, dict[str, str] | None] = {}  # what `find_keys` said of each kind

    def load(
        self, files: Files, config: Any, tensors: StoredTensors, device: torch.device, dtype: Any, trust: bool = False
    ) -> Any:
        """Load a checkpoint as a causal LM, ready to be run; the one that was loaded before is gone.

        Args:
            files: the checkpoint's own.
            config: as `read_config` gives it.
            tensors: what the files hold.
            device: where it goes, like those before it.
            dtype: as transformers takes it, like those before it.
            trust: whether Python code among the files may run.

        Raises:
            CheckpointError: as `load_model` does.
        """
        kind = _kind(files, config, tensors, dtype, trust)
        if (model := self._filled(kind, tensors)) is not None:
            return model
        model = load_model(files, config, device, dtype, trust)
        if kind is None or not self._adopt(kind, model, tensors):
            return model
        filled = self._filled(kind, tensors)  # if that failed, the files are not what they were a moment ago
        return filled if filled is not None else load_model(files, config, device, dtype, trust)

    def release(self) -> None:
        """Let go of the module and its memory."""
        if self._filling is not None:
            self._filling.empty()
        self._filling = None

    def _adopt(self, kind: Kind, model: Any, tensors: StoredTensors) -> bool:
        """Make a module that was just loaded the one to be filled, if it can be."""
        try:
            if kind not in self._keys:
                self._keys[kind] = find_keys(model, tensors)
            keys, state = self._keys[kind], state_of(model)
            if keys is None or state is None or keys.keys() != state.keys():
                return False
            self._filling = _Filling(kind, model, state, keys)
        except Exception as error:  # whatever is odd about it, transformers has loaded it
            if is_out_of_memory(error):
                raise
            self._keys[kind] = None
            return False
        self._filling.empty()
        return True

    def _filled(self, kind: Kind | None, tensors: StoredTensors) -> Any:
        """Return the module with these tensors in it; None, with its memory freed, where that cannot be."""
        if self._filling is None:
            return None
        done = False
        try:
            done = self._filling.kind == kind and self._filling.fill(tensors)
        except Exception as error:  # a file that cannot be read: transformers will say so
            if is_out_of_memory(error):
                raise
        finally:
            if not done:
                self._filling.empty()
        return self._filling.model if done else None


class _Filling:
    """A module whose weights come and go.

    Args:
        kind: of the checkpoints that it can hold.
        model: as transformers loaded it, not run yet.
        state: its parameters and persistent buffers by name.
        keys: the stored tensor of each.
    """

    def __init__(self, kind: Kind, model: Any, state: Mapping[str, torch.Tensor], keys: Mapping[str, str]) -> None:
        self.kind = kind
        self.model = model
        self._shapes = {name: tensor.shape for name, tensor in state.items()}
        self._parts: dict[int, tuple[torch.Tensor, list[str]]] = {}  # a tied tensor has several names
        for name, tensor in state.items():
            self._parts.setdefault(id(tensor), (tensor, []))[1].append(name)
        self._keys = keys
        self._rest = self._all_but_weights()

    def fill(self, tensors: StoredTensors) -> bool:
        """Copy stored tensors into the module, each cast to the dtype that is there.

        Returns:
            Whether the module is now what transformers would load. It is not where a pass left something behind in it,
            and where what is tied in it is stored twice, in two versions.

        Raises:
            CheckpointError: a file changed meanwhile.
            OSError: a file cannot be read.
        """
        if self._all_but_weights() != self._rest:
            return False
        return all(self._fill(tensor, names, tensors) for tensor, names in self._parts.values())

    def _fill(self, tensor: torch.Tensor, names: list[str], tensors: StoredTensors) -> bool:
        import torch

        if tensor.shape != (shape := self._shapes[names[0]]):
            tensor.data = torch.empty(shape, dtype=tensor.dtype, device=tensor.device)
        key, *others = dict.fromkeys(self._keys[name] for name in names)
        flat, at = tensor.detach().view(-1), 0
        for piece in tensors.pieces(key):
            flat[at : at + len(piece)].copy_(piece)
            at += len(piece)
        return at == len(flat) and all(holds(tensor, tensors, other) for other in others)

    def empty(self) -> None:
        """Give the memory of the weights back; what forgot to be filled could not be run either."""
        for tensor, _ in self._parts.values():
            tensor.data = tensor.data.new_empty(0)

    def _all_but_weights(self) -> list[Any]:
        """Return buffers and plain attributes of all modules, such as RoPE tables that grew with a window."""
        return [(name, self._seen(vars(module))) for name, module in self.model.named_modules()]

    def _seen(self, value: Any) -> Any:
        import torch

        if isinstance(value, torch.Tensor):
            held = id(value) if id(value) in self._parts else (value.shape, LoadedTensors({"": value}).sha256(""))
            return held, value.dtype, value.device, value.requires_grad
        if isinstance(value, dict):
            return [(str(name), self._seen(item)) for name, item in value.items()]
        if isinstance(value, list | tuple):
            return [self._seen(item) for item in value]
        return value


def _kind(files: Files, config: Any, tensors: StoredTensors, dtype: Any, trust: bool) -> Kind | None:
    """Return what checkpoints must share to be held by one module; None where loading is more than copying tensors.

    The configuration is compared as its file has it: some of what it says is not in what transformers makes of it.
    """
    if files.is_gguf or files.adapter is not None or any(files.path.glob("shard-*.safetensors")):
        return None
    if dtype == "auto" and getattr(config, "dtype", None) is None:
        return None  # the files' own dtype then is the model's
    try:
        said = json.loads((files.path / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    if not said.keys().isdisjoint(_NOT_PLAIN) or (trust and "auto_map" in said):
        return None
    said.pop("_name_or_path", None)
    return json.dumps(said, sort_keys=True), frozenset((key, tensors.shape(key)) for key in tensors.keys)
