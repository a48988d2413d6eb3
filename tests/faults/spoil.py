"""How things are spoiled: checkpoints, corpora, run folders, each for real."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import zstandard
from faults.command import SMALL, degen
from hub_scans import sharded
from safetensors.torch import load_file, save_file
from tiny import make_checkpoint, make_series, make_tokenizer, pile

Args = tuple[object, ...]


class Workspace:
    """A folder of one's own: a series, a corpus and a run folder to be."""

    def __init__(self, folder: Path, healthy: Path, corpus: Path) -> None:
        self.folder = folder
        self._healthy = healthy
        self.corpus = corpus
        self.run = folder / "run"

    @property
    def series(self) -> Path:
        """Make a copy of the healthy series (step0, step100, step1000) that may be spoiled."""
        copy = self.folder / "tiny"
        return copy if copy.exists() else Path(shutil.copytree(self._healthy, copy))

    def file(self, name: str, content: str | bytes = "x") -> Path:
        """Make a file of that content."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    def folder_with(self, name: str) -> Path:
        """Make a folder with one file of no use in it."""
        return self.file(name).parent

    def scan(self, *args: object) -> Args:
        """Return the command of a small scan, of the series and the corpus unless others are named."""
        named = args if args and not str(args[0]).startswith("-") else (self.series, *args)
        corpus = () if "--corpus" in named else ("--corpus", self.corpus)
        out = () if "--out" in named else ("--out", self.run)
        return ("scan", *SMALL, *corpus, *out, *named)

    def spectra(self, *args: object) -> Args:
        """Return the command of a quick scan: head weights alone."""
        return self.scan(*args, "--probes", "spectrum")

    def measured(self) -> Path:
        """Make a run folder that is done."""
        assert degen(*self.spectra()).code == 0
        return self.run

    def export(self, table: str, to: str | Path) -> Args:
        """Return the command `degen export` of a run that is done."""
        return ("export", self.measured(), "--table", table, "--to", self.folder / to)


# --- checkpoints, each a folder ------------------------------------------------------------------------------------


def weights(checkpoint: Path) -> Path:
    return checkpoint / "model.safetensors"


def write(checkpoint: Path, name: str, content: str | bytes) -> None:
    (checkpoint / name).write_bytes(content.encode() if isinstance(content, str) else content)


def edit_config(checkpoint: Path, **changes: Any) -> None:
    """Change the configuration; None takes a key out."""
    file = checkpoint / "config.json"
    config = json.loads(file.read_text()) | changes
    file.write_text(json.dumps({key: value for key, value in config.items() if value is not None}))


def edit_weights(checkpoint: Path, edit: Callable[[dict[str, Any]], object]) -> None:
    """Change the tensors."""
    tensors = load_file(weights(checkpoint))
    edit(tensors)
    weights(checkpoint).unlink()
    save_file(tensors, weights(checkpoint), metadata={"format": "pt"})


def poison(checkpoint: Path, key: str, value: str) -> None:
    """Put one bad value into a tensor."""
    edit_weights(checkpoint, lambda tensors: tensors[key].view(-1)[3].fill_(float(value)))


def drop(checkpoint: Path, key: str) -> None:
    """Take a tensor out."""
    edit_weights(checkpoint, lambda tensors: tensors.pop(key))


def flatten(checkpoint: Path) -> Path:
    """Set matrices and biases to zeros and norms to ones, which tells tensors apart even less than at step 0."""

    def flat(tensors: dict[str, Any]) -> None:
        for key, tensor in tensors.items():
            tensor.fill_(1.0 if tensor.dim() == 1 and not key.endswith("bias") else 0.0)

    edit_weights(checkpoint, flat)
    return checkpoint


def crop_vocabulary(checkpoint: Path) -> None:
    """Make the model one of a hundred tokens: the tokenizer's ids are too large for it."""

    def crop(tensors: dict[str, Any]) -> None:
        for key in ("gpt_neox.embed_in.weight", "embed_out.weight"):
            tensors[key] = tensors[key][:100].clone()

    edit_weights(checkpoint, crop)
    edit_config(checkpoint, vocab_size=100)


def truncate(file: Path, share: float) -> None:
    """Cut a file short."""
    os.truncate(file, int(file.stat().st_size * share))


def endless_header(checkpoint: Path) -> None:
    """Write a header said to be longer than the file."""
    write(checkpoint, "model.safetensors", struct.pack("<Q", 2**40) + weights(checkpoint).read_bytes()[8:])


def lying_header(checkpoint: Path, **lie: Any) -> None:
    """Write a header that speaks of bytes that are not there."""
    raw = weights(checkpoint).read_bytes()
    size = int.from_bytes(raw[:8], "little")
    header = json.loads(raw[8 : 8 + size])
    header["embed_out.weight"] |= lie
    text = json.dumps(header).encode()
    write(checkpoint, "model.safetensors", struct.pack("<Q", len(text)) + text + raw[8 + size :])


def shard(checkpoint: Path, index: str | None = None) -> None:
    """Spread the weights over two shards, with an index or a text in its place."""
    sharded(checkpoint, shards=2)
    if index is not None:
        write(checkpoint, "model.safetensors.index.json", index)


def lose_shard(checkpoint: Path) -> None:
    shard(checkpoint)
    (checkpoint / "model-00002-of-00002.safetensors").unlink()


class Hostile:
    """Makes a folder when it is unpickled, as a stranger's pickle may call any function."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[Any, ...]:
        return (os.mkdir, (str(self.folder),))


def hostile_zip(checkpoint: Path) -> None:
    """Write weights as torch saves them, with a call to make the folder `executed` beside the series."""
    import torch

    weights(checkpoint).unlink()
    torch.save({"embed_out.weight": Hostile(checkpoint.parent.parent / "executed")}, checkpoint / "pytorch_model.bin")


def hostile_pickle(checkpoint: Path) -> None:
    """Write the same as a bare pickle of the kind torch once wrote."""
    weights(checkpoint).unlink()
    evil = {"embed_out.weight": Hostile(checkpoint.parent.parent / "executed")}
    write(checkpoint, "pytorch_model.bin", pickle.dumps(evil, protocol=2))


def brings_code(checkpoint: Path) -> None:
    """Write a configuration that names a module of its own, which makes the folder `executed` when it is imported."""
    edit_config(checkpoint, model_type="mine", auto_map={
        "AutoConfig": "modeling_mine.MineConfig", "AutoModelForCausalLM": "modeling_mine.MineForCausalLM",
    })  # fmt: skip
    write(checkpoint, "modeling_mine.py", f"import os\nos.mkdir({str(checkpoint.parent.parent / 'executed')!r})\n")


def truncated_bin(checkpoint: Path) -> None:
    import torch

    torch.save(load_file(weights(checkpoint)), checkpoint / "pytorch_model.bin")
    weights(checkpoint).unlink()
    truncate(checkpoint / "pytorch_model.bin", 0.5)


def bin_of_no_table(checkpoint: Path) -> None:
    import torch

    weights(checkpoint).unlink()
    torch.save([1, 2, 3], checkpoint / "pytorch_model.bin")


def weights_folder(checkpoint: Path) -> None:
    weights(checkpoint).unlink()
    weights(checkpoint).mkdir()


def few_positions(checkpoint: Path) -> None:
    """Make the checkpoint a GPT-2 with fewer learned positions than the windows are long."""
    shutil.rmtree(checkpoint)
    make_checkpoint(checkpoint, "gpt2", n_positions=24)


def gpt2(workspace: Workspace) -> Path:
    """Make a series of a family with learned positions, 24 of them."""
    return make_series(workspace.folder / "gpt2", steps=(1,), family="gpt2", n_positions=24)


def gguf_junk(checkpoint: Path) -> None:
    shutil.rmtree(checkpoint)
    checkpoint.with_suffix(".gguf").write_bytes(b"junk" * 500)


def gguf_truncated(checkpoint: Path) -> None:
    shutil.rmtree(checkpoint)
    truncate(make_gguf(checkpoint.with_suffix(".gguf")), 0.7)


def make_gguf(file: Path) -> Path:
    """Make a tiny Llama as a GGUF file, tokenizer included."""
    import gguf
    import numpy as np

    rng, width, rows = np.random.default_rng(0), 32, 256
    writer = gguf.GGUFWriter(file, "llama")
    writer.add_context_length(128)
    writer.add_embedding_length(width)
    writer.add_block_count(1)
    writer.add_feed_forward_length(64)
    writer.add_head_count(4)
    writer.add_head_count_kv(4)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(rows)
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(["ab", *(chr(33 + i) if i < 94 else f"t{i}" for i in range(rows - 1))])
    writer.add_token_types([1] * rows)
    writer.add_token_merges(["a b"])
    shapes = {
        "token_embd.weight": (rows, width), "output.weight": (rows, width), "output_norm.weight": (width,),
        "blk.0.attn_norm.weight": (width,), "blk.0.ffn_norm.weight": (width,), "blk.0.attn_q.weight": (width, width),
        "blk.0.attn_k.weight": (width, width), "blk.0.attn_v.weight": (width, width),
        "blk.0.attn_output.weight": (width, width), "blk.0.ffn_gate.weight": (64, width),
        "blk.0.ffn_up.weight": (64, width), "blk.0.ffn_down.weight": (width, 64),
    }  # fmt: skip
    for name, shape in shapes.items():
        writer.add_tensor(name, rng.standard_normal(shape).astype(np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return file


# --- corpora and compressed bytes ----------------------------------------------------------------------------------


def lines(count: int = 40) -> bytes:
    """Return JSON Lines of documents long enough."""
    return "".join(json.dumps(record) + "\n" for record in pile(count)).encode()


def zst(data: bytes) -> bytes:
    return zstandard.ZstdCompressor().compress(data)


def garbled(data: bytes) -> bytes:
    """Return the same with a stretch in the middle overwritten."""
    middle = len(data) // 2
    return data[:middle] + b"\x5a" * 200 + data[middle + 200 :]


def parquet(workspace: Workspace, **columns: list[Any]) -> Path:
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = workspace.folder / "corpus.parquet"
    pq.write_table(pa.table(columns), path)
    return path


# --- series and run folders ----------------------------------------------------------------------------------------


def without_tokenizer(workspace: Workspace) -> Path:
    """Make the series with no tokenizer."""
    for file in workspace.series.glob("tokenizer*"):
        file.unlink()
    return workspace.series


def corrupt_tokenizer(workspace: Workspace) -> Path:
    write(workspace.series, "tokenizer.json", '{"model": ')
    return workspace.series


def single(workspace: Workspace) -> Path:
    """Make a checkpoint whose folder says nothing of a step."""
    return Path((workspace.series / "step100").rename(workspace.folder / "single"))


def namesake(workspace: Workspace) -> Path:
    """Make another series of the same name."""
    return Path(shutil.copytree(workspace.series, workspace.folder / "b" / "tiny"))


def twins(workspace: Workspace) -> Path:
    """Make two folders of one step."""
    shutil.copytree(workspace.series / "step100", workspace.series / "checkpoint-100")
    return workspace.series


def damaged_gguf_alone(workspace: Workspace) -> Path:
    file = make_gguf(workspace.folder / "model.gguf")
    truncate(file, 0.7)
    return file


def foreign_sample(workspace: Workspace) -> Path:
    """Return the sample of a run with another tokenizer."""
    other, first = make_tokenizer(workspace.folder / "other", vocabulary=300), workspace.folder / "first"
    assert degen(*workspace.scan("--tokenizer", other, "--probes", "loss", "--steps", "0", "--out", first)).code == 0
    return first / "sample.parquet"


def run_json(workspace: Workspace, text: str) -> Path:
    """Make a run folder whose run.json is that text."""
    workspace.measured()
    write(workspace.run, "run.json", text)
    return workspace.run


def truncated_part(workspace: Workspace) -> Path:
    truncate(workspace.measured() / "checkpoints" / "tiny" / "step100.parquet", 0.5)
    return workspace.run
