"""The repositories that the documents name, on the stand-in hub: tiny models and short texts under the real names."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from hub_repo import Files
from hub_scans import Scans, packed
from tiny import make_checkpoint, make_tokenizer

from degen.text.named_corpora import named_corpora

PYTHIA = ("14m", "31m", "70m", "160m", "410m", "1b", "1.4b", "2.8b", "6.9b", "12b")
STEPS = ("step1000", "step143000")
# repository -> branches beside main
OTHERS = {
    "allenai/OLMo-2-1124-7B": ("stage1-step1000-tokens5B", "stage1-step2000-tokens9B"),
    "allenai/OLMo-2-1124-13B": ("stage1-step1000-tokens9B", "stage2-ingredient1-step1000-tokens9B"),
    "org/name": ("ckpt_1000_4B", "ckpt_2000_8B"),
}
CONFIG_OF_WIKITEXT = """---
configs:
- config_name: wikitext-103-raw-v1
  data_files:
  - split: validation
    path: wikitext-103-raw-v1/validation-*
---
"""


def add_models(scans: Scans, folder: Path) -> None:
    """Serve Pythia, each size wider than the one before, and other models that the documents name.

    Args:
        scans: where.
        folder: an empty folder to make checkpoints in.
    """
    tokenizer = make_tokenizer(folder / "tokenizer")
    sizes = {f"EleutherAI/pythia-{size}": STEPS for size in PYTHIA}
    for i, (name, branches) in enumerate((sizes | OTHERS).items()):
        width = 32 + 8 * i
        for seed, branch in enumerate(branches):
            shape = {"hidden_size": width, "num_attention_heads": width // 8, "intermediate_size": 2 * width}
            make_checkpoint(folder / name / branch, seed=seed + 2 * i, **shape)
        revisions = {branch: packed(tokenizer, folder / name / branch) for branch in branches}
        scans.add(name, revisions | {"main": revisions[branches[-1]]})
    scans.add("google/gemma-2b", {"main": packed(make_tokenizer(folder / "other-tokenizer", vocabulary=500))})


def add_model(scans: Scans, name: str, checkpoint: Path, tokenizer: Path) -> None:
    """Serve a checkpoint as the main branch of a repository."""
    beside = {f.name: f.read_bytes() for f in tokenizer.iterdir() if f.is_file()}
    scans.add(name, {"main": beside | packed(checkpoint)})


def add_corpora(scans: Scans, lines: bytes) -> None:
    """Serve the corpora `pile` and `wikitext` with the same documents, which are JSON Lines."""
    known = named_corpora()
    pile: Files = {
        name: zstandard.compress(lines) for name in (known["pile"].file, "train/00.jsonl.zst", "test.jsonl.zst")
    }
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table({"text": [json.loads(line)["text"] for line in lines.splitlines()]}), sink)
    wikitext: Files = {"README.md": CONFIG_OF_WIKITEXT.encode(), known["wikitext"].file: sink.getvalue().to_pybytes()}
    for name, files in (("pile", pile), ("wikitext", wikitext)):
        scans.add(known[name].dataset, {"main": files}, kind="dataset")


@contextmanager
def datasets_sent_to(scans: Scans, folder: Path) -> Iterator[None]:
    """Send the package `datasets` in this process to a stand-in hub, until the end of the block."""
    import datasets
    from huggingface_hub import HfFileSystem

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(datasets.config, "HF_ENDPOINT", scans.hub.endpoint)
        patch.setattr(datasets.config, "HF_HUB_OFFLINE", False)
        patch.setattr(datasets.config, "SLEEP_TIME_ON_THREADS_SHUTDOWN", 0)  # else 5 s of every stream of Parquet
        patch.setattr(datasets.config, "HF_DATASETS_CACHE", folder / "datasets")
        patch.setattr(datasets.config, "HF_MODULES_CACHE", folder / "modules")
        HfFileSystem.clear_instance_cache()  # they lead to the hubs of other tests
        yield
        HfFileSystem.clear_instance_cache()
