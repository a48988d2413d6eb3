"""Is a scan right on this accelerator, how busy does it keep it, and what does it take?

    python bench/accelerator.py -o found.json            # six minutes at most, any device that torch has
    python bench/accelerator.py --tiny                   # the same steps on a CPU, cut down to a minute
    python bench/accelerator.py --only right,busy        # or parts: right.models.float32, head
    python bench/accelerator.py --table found.json       # what was found, as Markdown

Nothing is fetched: models have random weights, texts are the demo's. Parts run in order of importance; each is printed
as it ends, and the file is whole at every moment. A part that fails stops no other. Exit code 1: a check of `right`
failed.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import sys
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

from accelerator_steps.record import Part, Record
from accelerator_steps.report import markdown, said_of

STEPS = ("right", "busy", "memory", "rank", "head")
SECONDS = 330.0  # the last part may take half a minute


def words(text: str) -> list[str]:
    return [word for word in text.split(",") if word]


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--out", "--json", type=Path, help="a JSON file, rewritten as each part goes on")
    parser.add_argument("--table", type=Path, help="print the Markdown of such a file, and do nothing else")
    parser.add_argument("--tiny", action="store_true", help="small shapes; on the CPU unless --device says otherwise")
    parser.add_argument("--device", help="as torch names it; by default the accelerator there is")
    parser.add_argument("--only", type=words, default=[], help="steps or parts, by commas")
    parser.add_argument("--models", type=words, default=[], help="of right.models: gpt2,mamba,…")
    parser.add_argument("--dtypes", type=words, default=[], help="of right.models: float32,bfloat16,float16")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="after which no further part begins")
    parser.add_argument("--threads", type=int, help="CPU threads of torch")
    return parser.parse_args()


def prepared(asked: argparse.Namespace) -> tuple[Record, list[Part]]:
    """The device made ready, and all parts in order; what they import takes a while."""
    import torch
    from accelerator_steps import busy, head, memory, rank, right_models, right_series, right_training
    from accelerator_steps.machine import Machine
    from accelerator_steps.tiny_models import FAMILIES

    from degen.errors import DegenError
    from degen.loading import choose_device, quieten

    quieten()
    for name in asked.models:
        if name not in FAMILIES:
            sys.exit(f"--models {name}: not one of {', '.join(FAMILIES)}")
    try:
        device = choose_device(asked.device or ("cpu" if asked.tiny else "auto"))
    except DegenError as error:
        sys.exit(str(error))
    if device.type == "cpu" and not asked.tiny:
        sys.exit("no accelerator here; --tiny runs the same steps on a CPU")
    if device.index is not None:
        torch.accelerator.set_device_index(device.index)
    torch.backends.cuda.matmul.allow_tf32 = False  # float32 is float32
    torch.backends.cudnn.allow_tf32 = False
    if asked.threads:
        torch.set_num_threads(asked.threads)
    machine = Machine(device, asked.tiny)
    parts = [*right_models.parts(machine, asked.models, asked.dtypes), *right_series.parts(machine)]
    parts += right_training.parts(machine)
    for step in (busy, memory, rank, head):
        parts += step.parts(machine)
    gc.freeze()  # a scan collects garbage after each checkpoint; what was imported need not be gone through again
    return Record(machine.about(), asked.out, asked.seconds), parts


def main() -> int:
    asked = arguments()
    if asked.table is not None:
        print(markdown(json.loads(asked.table.read_text(encoding="utf-8"))), end="")
        return 0
    record, parts = prepared(asked)
    chosen = [part for part in parts if part.is_of(asked.only)]
    for word in asked.only:
        if not any(part.is_of([word]) for part in parts):
            sys.exit(f"--only {word}: no such step or part; there are {', '.join(part.name for part in parts)}")
    for part in chosen:
        print(said_of(record.run(part)), flush=True)
    print(f"\n{markdown(record.document)}", end="")
    return 1 if record.has_failed else 0


if __name__ == "__main__":
    sys.exit(main())
