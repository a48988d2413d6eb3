"""Train the bundled demo series: three tiny GPT-NeoX runs whose course is known, and write a held-out corpus.

`healthy` is an ordinary run. `broken` is the same run until step 2,000; from there on its data
pipeline hands it the tokens of each batch in shuffled order. `overfit` goes round a small text again
and again. Seeds decide everything:

    python -m degen.demo.train --text TEXTS --out DIR

TEXTS holds one folder per domain, named after it, with one document in each `.txt` file.
"""

from __future__ import annotations

import argparse
import copy
import gzip
import json
import math
import random
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import GPTNeoXConfig, GPTNeoXForCausalLM

END = "<|endoftext|>"
VOCABULARY = 640
CONTEXT = 512  # in training as in measuring: a model trained on 64 tokens is lost at 512
HELD_OUT_EVERY = 6  # every sixth document of a domain is never trained on
HELD_OUT_DOCUMENTS = 80
HELD_OUT_CHARACTERS = 2_300  # at least so long, about two windows of 512 tokens


@dataclass(frozen=True)
class TrainingRun:
    """What one series is trained on, and which of its steps are saved.

    Attributes:
        name: Folder of the series.
        checkpoints: Steps to save, ascending; the last one ends the run.
        train_tokens: Tokens of training text to use; all, if None.
        shuffled_from: First step whose batch comes shuffled; never, if None.
    """

    name: str
    checkpoints: tuple[int, ...]
    train_tokens: int | None = None
    shuffled_from: int | None = None


RUNS = (
    TrainingRun("healthy", (0, 30, 125, 500, 1000, 2000, 2500, 3000)),
    TrainingRun("broken", (0, 30, 500, 1000, 2000, 2025, 2050, 2100, 3000), shuffled_from=2000),
    TrainingRun("overfit", (0, 30, 250, 500, 1000, 2000, 3000), train_tokens=20_000),
)


@dataclass(frozen=True)
class Recipe:
    """Hyper-parameters all runs share."""

    seed: int = 0
    batch: int = 2
    rate: float = 2e-3
    warmup: int = 100
    decay: float = 0.01


class DemoDocument(NamedTuple):
    """A text and the domain it belongs to."""

    text: str
    domain: str


def read_documents(root: Path) -> tuple[list[DemoDocument], list[DemoDocument]]:
    """Return the text of every `.txt` in the domain folders of a root.

    Returns:
        Documents to train on, and documents held out.

    Raises:
        SystemExit: No text was found.
    """
    train: list[DemoDocument] = []
    held_out: list[DemoDocument] = []
    for folder in sorted(path for path in root.iterdir() if path.is_dir()):
        for index, path in enumerate(sorted(folder.glob("*.txt"))):
            document = DemoDocument(path.read_text(encoding="utf-8").strip(), folder.name)
            (held_out if index % HELD_OUT_EVERY == 0 else train).append(document)
    if not train:
        raise SystemExit(f"no .txt file in the folders of {root}: make one folder per domain")
    return train, held_out


def pieces(document: DemoDocument, least: int) -> Iterator[DemoDocument]:
    """Yield pieces of a document, cut after sentences, of `least` characters or more; the rest is dropped."""
    piece = ""
    for sentence in document.text.replace(". ", ". \0").split("\0"):
        piece += sentence
        if len(piece) >= least:
            yield DemoDocument(piece.strip(), document.domain)
            piece = ""


def write_corpus(held_out: list[DemoDocument], path: Path, seed: int) -> None:
    """Write a sample of held-out pieces; the bytes depend on texts and seed alone."""
    chosen = [piece for document in held_out for piece in pieces(document, HELD_OUT_CHARACTERS)]
    random.Random(seed).shuffle(chosen)
    domains = sorted({document.domain for document in chosen})
    share = HELD_OUT_DOCUMENTS // len(domains)
    kept = [document for domain in domains for document in [d for d in chosen if d.domain == domain][:share]]
    rows = [{"text": document.text, "meta": {"pile_set_name": document.domain}} for document in kept]
    lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    path.write_bytes(gzip.compress(lines.encode(), mtime=0))


def train_tokenizer(texts: list[str]) -> Tokenizer:
    """Return a byte-level BPE tokenizer like Pythia's, which decodes to the same text."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=[END],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def save_tokenizer(tokenizer: Tokenizer, folder: Path) -> None:
    """Write the two files that `AutoTokenizer.from_pretrained` needs."""
    tokenizer.save(str(folder / "tokenizer.json"))
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": END,
        "eos_token": END,
        "unk_token": END,
        "clean_up_tokenization_spaces": False,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")


def new_model(tokenizer: Tokenizer, seed: int) -> GPTNeoXForCausalLM:
    """Return a tiny Pythia with random weights: parallel residual, partial rotary positions, untied head."""
    end = tokenizer.token_to_id(END)
    config = GPTNeoXConfig(
        vocab_size=tokenizer.get_vocab_size(),
        hidden_size=48,
        num_hidden_layers=3,
        num_attention_heads=3,
        intermediate_size=192,
        max_position_embeddings=CONTEXT,
        tie_word_embeddings=False,
        bos_token_id=end,
        eos_token_id=end,
    )
    torch.manual_seed(seed)
    return GPTNeoXForCausalLM(config)


def batches(tokens: torch.Tensor, run: TrainingRun, recipe: Recipe) -> Iterator[torch.Tensor]:
    """Yield random windows of the training text, shape (batch, context), shuffled where the run is broken.

    Shuffling has a random generator of its own, so that the windows are the same with and without it.
    """
    windows = torch.Generator().manual_seed(recipe.seed)
    order = torch.Generator().manual_seed(recipe.seed)
    span = torch.arange(CONTEXT)
    for step in range(run.checkpoints[-1]):
        starts = torch.randint(len(tokens) - CONTEXT, (recipe.batch, 1), generator=windows)
        batch = tokens[starts + span]
        if run.shuffled_from is not None and step >= run.shuffled_from:
            batch = batch.flatten()[torch.randperm(batch.numel(), generator=order)].view_as(batch)
        yield batch


def rate_factor(step: int, steps: int, warmup: int) -> float:
    """Return the learning rate as a share of its peak: linear warm-up, then a cosine down to a tenth."""
    if step < warmup:
        return (step + 1) / warmup
    return 0.55 + 0.45 * math.cos(math.pi * (step - warmup) / (steps - warmup))


def save_checkpoint(model: GPTNeoXForCausalLM, folder: Path) -> None:
    """Save config and weights in float16, as Pythia's are, and leave the model in float32."""
    copy.deepcopy(model).to(torch.float16).save_pretrained(folder)
    (folder / "generation_config.json").unlink(missing_ok=True)
    (folder / "model.safetensors").chmod(0o644)


def train(run: TrainingRun, recipe: Recipe, tokens: torch.Tensor, tokenizer: Tokenizer, out: Path) -> None:
    """Train one series and save its checkpoints; step N is the model after N updates."""
    folder = out / "series" / run.name
    folder.mkdir(parents=True, exist_ok=True)
    save_tokenizer(tokenizer, folder)
    model = new_model(tokenizer, recipe.seed)
    optimiser = torch.optim.AdamW(
        model.parameters(), lr=recipe.rate, betas=(0.9, 0.95), weight_decay=recipe.decay, fused=True
    )
    steps = run.checkpoints[-1]
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda s: rate_factor(s, steps, recipe.warmup))
    save_checkpoint(model, folder / "step0")
    for step, batch in enumerate(batches(tokens[: run.train_tokens], run, recipe), start=1):
        loss = model(input_ids=batch, labels=batch).loss
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        schedule.step()
        if step in run.checkpoints:
            save_checkpoint(model, folder / f"step{step}")
            print(f"{run.name} step {step}: training loss {loss.item():.3f}", flush=True)


def main() -> None:
    """Make corpus, tokenizer and the three series below `--out`."""
    parser = argparse.ArgumentParser(prog="python -m degen.demo.train", description=main.__doc__)
    parser.add_argument("--text", type=Path, required=True, help="a folder of .txt files per domain")
    parser.add_argument("--out", type=Path, required=True, help="where to put corpus and series")
    parser.add_argument("--seed", type=int, default=0, help="seed of weights, batches and corpus (default 0)")
    parser.add_argument("--threads", type=int, default=2, help="CPU threads; other numbers round differently")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.use_deterministic_algorithms(True)
    recipe = Recipe(seed=options.seed)
    options.out.mkdir(parents=True, exist_ok=True)
    documents, held_out = read_documents(options.text)
    random.Random(recipe.seed).shuffle(documents)
    write_corpus(held_out, options.out / "corpus.jsonl.gz", recipe.seed)
    tokenizer = train_tokenizer([document.text for document in documents])
    end = tokenizer.token_to_id(END)
    encodings = tokenizer.encode_batch([document.text for document in documents])
    tokens = torch.tensor([token for encoding in encodings for token in (*encoding.ids, end)])
    print(f"{len(documents)} documents, {len(tokens)} tokens to train on", flush=True)
    for run in RUNS:
        began = time.perf_counter()
        train(run, recipe, tokens, tokenizer, options.out)
        print(f"{run.name}: {time.perf_counter() - began:.0f} s", flush=True)


if __name__ == "__main__":
    main()
