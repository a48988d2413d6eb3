"""Two processes of torch.distributed on a CPU, forked from one that has imported what both need.

    python tests/two_processes.py SCRIPT [ARGUMENT …]

Each finds the other by the variables that `torchrun` sets and through a store that this process keeps, as that of
`torchrun` does; but it takes the imports of one process, and not of three. Where one fails, the other is ended.
"""

from __future__ import annotations

import importlib
import os
import runpy
import signal
import sys
import traceback
from collections.abc import Mapping
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # before this folder, whose `degen` holds tests

MODULES = (
    "torch.distributed.checkpoint.state_dict", "torch.distributed.fsdp", "torch.distributed.tensor", "accelerate",
    "transformers.models.gpt_neox.modeling_gpt_neox", "transformers.models.llama.modeling_llama",
    "transformers.trainer_callback", "transformers.training_args", "tokenizers", "pyarrow.parquet",
    "degen.callbacks.trainer", "degen.scanning.measure", "degen.probes.anisotropy",
)  # fmt: skip
SHARED = {
    "WORLD_SIZE": "2",
    "LOCAL_WORLD_SIZE": "2",
    "MASTER_ADDR": "localhost",
    "TORCHELASTIC_USE_AGENT_STORE": "True",
}


def run_as(rank: int, told: int, words: list[str]) -> None:
    """Become process `rank`: run a script when the port of the store is told."""
    code = 1
    try:
        port = os.read(told, 16).decode()
        os.environ.update(SHARED, RANK=str(rank), LOCAL_RANK=str(rank), MASTER_PORT=port)
        sys.argv = words
        runpy.run_path(words[0], run_name="__main__")
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def start(words: list[str]) -> dict[int, int]:
    """Return by pid the end of a pipe through which each process is told the port."""
    pipes: dict[int, int] = {}
    for rank in range(2):
        reading, writing = os.pipe()
        pid = os.fork()  # before there is a thread that a child would lack
        if not pid:
            run_as(rank, reading, words)
        pipes[pid] = writing
    return pipes


def wait_for(pipes: Mapping[int, int]) -> int:
    """Return 0, or the exit code of the process that failed first, once all have ended."""
    left, code = set(pipes), 0
    while left:
        pid, status = os.wait()
        left.discard(pid)
        if status and not code:
            code = abs(os.waitstatus_to_exitcode(status))
            for other in left:
                os.kill(other, signal.SIGTERM)
    return code


def main(words: list[str]) -> int:
    """Run a script with its arguments in two processes; return the exit code."""
    for name in MODULES:
        importlib.import_module(name)
    pipes = start(words)
    from torch.distributed import TCPStore

    store = TCPStore("localhost", 0, is_master=True, wait_for_workers=False)
    for pipe in pipes.values():
        os.write(pipe, str(store.port).encode())
    return wait_for(pipes)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
