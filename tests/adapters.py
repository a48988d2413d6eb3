"""Adapters of tiny models, made and trained to something by PEFT itself, and what PEFT makes of them."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tiny import VOCABULARY

from degen.text.windows import read_samples


@contextmanager
def quiet() -> Iterator[None]:
    """PEFT warns of much that these tests do on purpose."""
    from transformers.utils import logging

    logging.disable_progress_bar()
    logging.set_verbosity_error()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def load_base(folder: Path, rows: int | None = None) -> Any:
    """Make a base as PEFT's users load it, its vocabulary resized by hand where the adapter has another one."""
    import torch
    from transformers import AutoModelForCausalLM

    with quiet(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
        if rows is not None:
            model.resize_token_embeddings(rows)
    return model


def make_adapter(
    folder: Path, base: Path, config: Any = None, seed: int = 0, rows: int | None = None, legacy: bool = False
) -> Path:
    """Make an adapter with no tensor left as it began; LoRA by default.

    Args:
        folder: where it is saved.
        base: of which model.
        config: PEFT's.
        seed: of what it was trained to.
        rows: of the vocabulary it was trained with; None for the base's.
        legacy: save `adapter_model.bin`.
    """
    import torch
    from peft import LoraConfig, get_peft_model

    with quiet(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = get_peft_model(load_base(base, rows), config or LoraConfig(task_type="CAUSAL_LM"))
        with torch.no_grad():
            for parameter in model.parameters():
                if parameter.requires_grad:
                    parameter.add_(0.2 * torch.randn_like(parameter))
        model.save_pretrained(folder, safe_serialization=not legacy)
    return folder


def adapted(base: Path, adapter: Path, rows: int | None = None) -> Any:
    """Return the adapted model, not merged."""
    from peft import PeftModel

    with quiet():
        return PeftModel.from_pretrained(load_base(base, rows), adapter).eval()


def save_merged(folder: Path, base: Path, adapter: Path) -> Path:
    """Make a checkpoint of the model merged by PEFT, with the base's tokenizer."""
    with quiet():
        adapted(base, adapter).merge_and_unload(safe_merge=True).save_pretrained(folder)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (folder / name).write_bytes((base / name).read_bytes())
    return folder


def loss_of(model: Any, sample: Path) -> float:
    """Return the mean cross-entropy of a model on the windows of a run, one after the other."""
    import torch

    (windows,) = (s.windows for s in read_samples(sample).values())
    nats, count = 0.0, 0
    for window in windows:
        ids = torch.tensor(window.tokens).long().unsqueeze(0)
        with torch.no_grad():
            logits = model(input_ids=ids).logits[0, :-1].double()
        nats += torch.nn.functional.cross_entropy(logits, ids[0, 1:], reduction="sum").item()
        count += ids.shape[1] - 1
    return nats / count


def singular_entropy_of(model: Any, width: int) -> float:
    """Return ln d − H(σ² / Σσ²) of a function from states to logits, from its values at the unit vectors."""
    import torch

    head = model.get_output_embeddings()
    with torch.no_grad():
        weight = (head(torch.eye(width)) - head(torch.zeros(1, width))).T[:VOCABULARY].double()
    p = torch.linalg.svdvals(weight) ** 2
    p = p / p.sum()
    return math.log(width) + (p * p.log()).sum().item()
