"""Is a scan right on this accelerator, how busy does it keep it, and what does it take?

    python bench/accelerator.py -o results.json            # six minutes at most, any device that torch has
    python bench/accelerator.py --tiny                   # the same steps on a CPU, cut down to a minute
    python bench/accelerator.py --only right,busy        # or parts: right.models.float32, head
    python bench/accelerator.py --table results.json       # the results, as Markdown

Nothing is fetched: models have random weights, texts are the demo's. Parts run in order of importance; each is printed
as it ends, and the file is whole at every moment. A part that fails stops no other. Exit code 1: a check of `right`
failed.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from pathlib import Path

from accelerator_steps.record import Record
from accelerator_steps.report import markdown, said_of

SECONDS = 300.0  # the last part may take most of a minute


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
    parser.add_argument(
        "--threads", type=int, help="CPU threads of torch; by default its own choice, and 1 with --tiny"
    )
    return parser.parse_args()


def main() -> int:
    started, options = time.perf_counter(), arguments()
    if options.table is not None:
        print(markdown(json.loads(options.table.read_text(encoding="utf-8"))), end="")
        return 0
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    from accelerator_steps.order import machine_for, parts_for  # torch and transformers take a while

    machine = machine_for(options)
    record = Record(machine.about(), options.out, options.seconds, machine.free, begun=started)
    for part in parts_for(machine, options):
        print(said_of(record.run(part)), flush=True)
    print(f"\n{markdown(record.document)}", end="")
    return 1 if record.has_failed else 0


if __name__ == "__main__":
    sys.exit(main())
