"""A twin in float64 on the CPU, the slow way: each window alone and unpadded, each pair of vectors, the head whole."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import AutoModelForCausalLM

from .tiny_models import LAYERS, VOCABULARY, Family

Array = np.ndarray[Any, np.dtype[np.float64]]
Site = tuple[int, str]


class Twin:
    """What a checkpoint's figures are.

    Attributes:
        losses: of every scored token, by window.
        states: of all tokens, at every site.
        documents: of every token.
        head: the rows that the tokenizer has.
    """

    def __init__(self, folder: Path, family: Family, windows: Sequence[dict[str, Any]]) -> None:
        options = {"experts_implementation": "eager"} if "num_local_experts" in family.settings else {}
        model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, **options).double().eval()
        self._caught: dict[Site, list[torch.Tensor]] = {}
        handles = self._listen(model, family)
        self.losses: list[Array] = []
        with torch.no_grad():
            for window in windows:
                ids = torch.tensor([window["tokens"]])
                logits = model(input_ids=ids, use_cache=False).logits[0].double()
                chosen = logits[:-1].gather(1, ids[0, 1:, None])[:, 0]
                self.losses.append((logits[:-1].exp().sum(dim=1).log() - chosen).numpy())
        for handle in handles:
            handle.remove()
        self.states = {site: torch.cat(pieces).double().numpy() for site, pieces in self._caught.items()}
        self.documents = np.concatenate([[w["document"]] * len(w["tokens"]) for w in windows])
        self.head: Array = model.get_output_embeddings().weight[:VOCABULARY].detach().numpy()

    def _listen(self, model: Any, family: Family) -> list[Any]:
        """Return hooks that keep the states of every site."""
        blocks = model.get_submodule(family.blocks)

        def keep(site: Site, value: Any) -> None:
            self._caught.setdefault(site, []).append((value[0] if isinstance(value, tuple) else value)[0])

        def entering(site: Site) -> Any:
            return lambda _m, args, kwargs: keep(site, args[0] if args else kwargs["hidden_states"])

        def leaving(site: Site) -> Any:
            return lambda _m, _args, output: keep(site, output)

        first = blocks[0].register_forward_pre_hook(entering((0, "embedding")), with_kwargs=True)
        last = model.lm_head.register_forward_pre_hook(entering((LAYERS, "head_input")), with_kwargs=True)
        between = [block.register_forward_hook(leaving((i, "block"))) for i, block in enumerate(blocks, 1)]
        return [first, *between, last]

    @property
    def loss(self) -> float:
        """Return the mean over all scored tokens."""
        return float(np.concatenate(self.losses).mean())

    def anisotropy(self, site: Site) -> tuple[float, float, float]:
        """Return the mean cosine over all pairs, over pairs within a document, and over pairs across documents."""
        states = self.states[site]
        unit = states / np.linalg.norm(states, axis=1, keepdims=True)
        cosines, apart = unit @ unit.T, ~np.eye(len(unit), dtype=bool)
        same = self.documents[:, None] == self.documents
        return tuple(float(cosines[pairs].mean()) for pairs in (apart, same & apart, ~same))

    def mean_norm(self, site: Site) -> float:
        """Return the mean length of the vectors."""
        return float(np.linalg.norm(self.states[site], axis=1).mean())

    @property
    def singular_values(self) -> Array:
        """Return the singular values of the head, by numpy."""
        return np.linalg.svd(self.head, compute_uv=False)
