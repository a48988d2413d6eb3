"""Options that more than one command shares."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

RunFolder = Annotated[Path, typer.Argument(metavar="RUN", help="A run folder that `degen scan` wrote.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of a table; its list is `rows`.")]

SeriesArgument = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[SERIES]...",
        help="A checkpoint folder, a folder of checkpoints (step1000, checkpoint-1000, …), a .gguf file, "
        "base+adapter, a suite (pythia:70m,160m; see `degen suites`), or revisions on the hub (org/name, "
        "org/name@step*, org/name@step0,step512); label=SERIES names the model in the tables. None: the bundled demo.",
        show_default=False,
    ),
]
SeriesRequired = Annotated[
    list[str],
    typer.Argument(metavar="SERIES...", help="As `degen scan` takes them.", show_default=False),
]
Steps = Annotated[
    str,
    typer.Option(
        help="Thin each series: all, log:20, or a list as in 0,1000:143000:4000 (end included); "
        "a step that is not there becomes its nearest."
    ),
]
CorpusOption = Annotated[
    str,
    typer.Option(
        help="Text to stream: .jsonl, .jsonl.zst, .jsonl.gz, .parquet, .txt, a folder of those, "
        "hf://org/dataset[:split], or demo."
    ),
]
Tokens = Annotated[int, typer.Option(help="Tokens to stream through each checkpoint.")]
Context = Annotated[int, typer.Option(help="Longest window, in tokens.")]
Seed = Annotated[int, typer.Option(help="Seed of the draw of windows.")]
SampleOption = Annotated[
    Path | None,
    typer.Option(
        help="sample.parquet of an earlier run: scan the very same windows; "
        "corpus, tokens, context and seed are then its own.",
        show_default=False,
    ),
]
TokenizerOption = Annotated[
    str | None, typer.Option(help="Tokenizer folder or name, instead of the series' own.", show_default=False)
]
Device = Annotated[str, typer.Option(help="Device of the pass, as torch names it; auto takes an accelerator.")]
Dtype = Annotated[
    str,
    typer.Option(help="auto, float32, bfloat16 or float16; auto is float32 on a CPU, the checkpoint's own elsewhere."),
]
BatchSize = Annotated[str, typer.Option(help="Full windows in a batch, or auto.")]
Threads = Annotated[int | None, typer.Option(help="CPU threads.", show_default="torch's own choice")]
Out = Annotated[Path, typer.Option("--out", "-o", help="The run folder; a run that stopped goes on where it was.")]
Probes = Annotated[
    str | None,
    typer.Option(help="Comma list of probes; `degen probes` lists them.", show_default="the default ones"),
]
RevisionPattern = Annotated[
    str | None,
    typer.Option(
        help=r"How names of revisions are read, where it is not as step1000: a regular expression with a group "
        r"(?P<step>\d+), perhaps also stage, tokens and unit (K, M, B, T).",
        show_default=False,
    ),
]
TokensPerStep = Annotated[
    int | None,
    typer.Option(
        help="Training tokens of a step, for tokens_seen where names say nothing of tokens.",
        show_default="known for Pythia",
    ),
]
Read = Annotated[
    str,
    typer.Option(
        help="Values to read of each checkpoint, besides published hashes: a number such as 4M, all, or none."
    ),
]
Keep = Annotated[
    str,
    typer.Option(
        help="Weights of the hub: all leaves them in its cache; none deletes what this command downloaded, "
        "and never what was there."
    ),
]
TrustRemoteCode = Annotated[
    bool,
    typer.Option(
        "--trust-remote-code",
        help="DANGER: run Python code that a checkpoint brings, with all you may do on this machine. "
        "Only for repositories whose code you have read.",
    ),
]
Ranks = Annotated[
    str | None,
    typer.Option(help="Ranks to measure, as in 64,256.", show_default="powers of two up to the width, and the width"),
]
Method = Annotated[
    str,
    typer.Option(help="Comma list of svd (truncate W), whitened (the best head for the states it sees) and trained."),
]
Within = Annotated[float, typer.Option(help="Nats per token of the full head within which a rank is no bottleneck.")]
Init = Annotated[str, typer.Option(help="Where trained starts: normal, A and B from N(0, 1), or whitened.")]
TrainTokens = Annotated[
    int | None,
    typer.Option(help="Tokens to train on.", show_default="150 million on an accelerator, 1 million on a CPU"),
]
TrainWindows = Annotated[int, typer.Option(help="Windows of a batch, that is of one step of Adam.")]
Cache = Annotated[
    int,
    typer.Option(help="Keep the states of so many tokens in a file, and train on them again and again; 0: new ones."),
]
Gradient = Annotated[
    bool,
    typer.Option("--gradient", help="Measure the share of the logit gradient that the head cannot pass back, too."),
]
Plot = Annotated[
    Path | None, typer.Option(help="Draw loss against rank into this file (.png, .pdf, .svg).", show_default=False)
]
Fresh = Annotated[bool, typer.Option("--fresh", help="Start over in a folder that holds a run.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show what would be done and what it costs, and do nothing.")]
