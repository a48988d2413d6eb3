"""Real trainings of tiny models: seeded, on a CPU, with dropout, so that a random number drawn between shows."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from tiny import library_texts, make_model

LENGTH = 32  # tokens of an example
MEASURED = {"tokens": 2_000, "context": 64, "seed": 3, "batch_size": 8}  # settings that callbacks and scans share


def load_tokenizer(folder: Path) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(folder)


def warnings_of(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return the warnings that degen logged."""
    return [r.getMessage() for r in caplog.records if r.name == "degen" and r.levelname == "WARNING"]


def make_trainee(**changes: Any) -> Any:
    """Make a fresh tiny NeoX with dropout, in training mode."""
    return make_model("gpt_neox", scale=1.0, hidden_dropout=0.1, attention_dropout=0.1, **changes).train()


def make_examples(tokenizer: Any, count: int = 256) -> list[dict[str, list[int]]]:
    """Return pieces of the library's sources, as a causal LM is trained on them."""
    ids = tokenizer("".join(library_texts())[:60_000])["input_ids"]
    pieces = [ids[i * LENGTH : (i + 1) * LENGTH] for i in range(count)]
    return [{"input_ids": piece, "labels": piece} for piece in pieces]


def make_trainer(tokenizer: Any, out: Path, callbacks: Sequence[Any] = (), model: Any = None, **arguments: Any) -> Any:
    """Make a Trainer of transformers that has not trained yet."""
    from transformers import Trainer, TrainingArguments, default_data_collator

    settings = {
        "max_steps": 200, "per_device_train_batch_size": 4, "learning_rate": 3e-3, "use_cpu": True, "report_to": [],
        "disable_tqdm": True, "dataloader_pin_memory": False, "logging_steps": 50, "save_strategy": "no", "seed": 0,
    } | arguments  # fmt: skip
    return Trainer(
        model=model if model is not None else make_trainee(),
        args=TrainingArguments(output_dir=str(out), **settings),
        train_dataset=make_examples(tokenizer),
        eval_dataset=make_examples(tokenizer, 8),
        data_collator=default_data_collator,
        processing_class=tokenizer,
        callbacks=list(callbacks),
    )


def module_class(library: str, tokenizer: Any) -> Any:
    """Make a module of Lightning, of either name, with a fresh model and loaders of its examples."""
    import torch

    class Module(import_module(library).LightningModule):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.model = make_trainee()
            self.tokenizer = tokenizer

        def training_step(self, batch: Any, _index: int) -> Any:
            loss = self.model(input_ids=batch, labels=batch).loss
            self.log("train_loss", loss)
            return loss

        def validation_step(self, batch: Any, _index: int) -> None:
            self.log("validation_loss", self.model(input_ids=batch, labels=batch).loss)

        def configure_optimizers(self) -> Any:
            return torch.optim.AdamW(self.parameters(), lr=3e-3)

        def loader(self, shuffle: bool) -> Any:
            examples = torch.tensor([example["input_ids"] for example in make_examples(tokenizer, 64)])
            return torch.utils.data.DataLoader(examples, batch_size=4, shuffle=shuffle)  # type: ignore[arg-type]

    return Module
