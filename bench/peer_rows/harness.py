"""Rows of the loss of documents, beside lm-eval's rolling log-likelihood of the same ones."""

from __future__ import annotations

import shutil
from pathlib import Path

from .costs import Cost, Row, compare, in_turn, last_line, process_cost
from .environments import PEERS, peer_python
from .inputs import checkpoint, corpus, gemma_folder
from .options import RUNS, Options, scan_command, script

CONTEXT, BATCH = 512, 8


def rolling(options: Options, of_gemma: bool = False) -> Row:
    """Return the row of the loss of ten documents that are shorter than a window.

    Both give each token of a document the probability that it has behind a BOS and all tokens before it. The whole
    processes are compared, so that loading is on either side.

    Raises:
        MissingPeerError: lm-eval cannot be installed here.
    """
    python = peer_python("lm-eval")
    model = gemma_folder() if of_gemma else checkpoint(options.shape)
    texts, out = corpus(documents=10, words=160), RUNS / f"rolling-{model.name}"
    documents: list[Row] = []

    def scan() -> Cost:
        shutil.rmtree(out, ignore_errors=True)
        command = scan_command(
            model, "--probes", "loss", "--corpus", texts, "--context", CONTEXT, "--threads", options.threads, "-o", out
        )
        return process_cost(command, options.threads)[0]

    def harness() -> Cost:
        command = script("rolling", model, texts, CONTEXT, BATCH, python=python)
        cost, output = process_cost(command, options.threads, apart=True)
        documents.append(last_line(output))
        return cost

    costs = in_turn({"scan": scan, "harness": harness}, options.at_most(3))
    difference, tokens = _difference(out, documents[-1])
    return compare(costs["scan"], costs["harness"]) | {
        "what": f"loss of {len(documents[-1]['sums'])} documents, {tokens:,} tokens, {model.name}",
        "peer": f"`{PEERS['lm-eval'].requirement.replace('==', ' ')}`, `loglikelihood_rolling`",
        "unit": "s",
        "bar": None,
        "notes": [f"the loss of a document differs by {difference:.0e} nats a token at most"],
        "differences": {"nats_a_token": difference},
    }


def _difference(run: Path, document: Row) -> tuple[float, int]:
    """Return the largest difference of a document's loss, in nats a token, and the tokens scored."""
    import degen

    rows = degen.read_run(run).table("windows").to_pylist()
    if sorted(row["document"] for row in rows) != list(range(len(document["sums"]))):
        raise SystemExit(f"{run}: a document is not one window; lm-eval's is then not the same")
    losses = {row["document"]: row for row in rows}
    differences = []
    for i, (total, tokens) in enumerate(zip(document["sums"], document["tokens"], strict=True)):
        if losses[i]["tokens"] != tokens:
            raise SystemExit(f"document {i}: {losses[i]['tokens']} tokens are scored here, {tokens} by lm-eval")
        differences.append(abs(losses[i]["loss"] + total / tokens))
    return max(differences), sum(document["tokens"])
