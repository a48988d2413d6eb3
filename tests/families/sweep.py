"""Every causal-LM type of transformers, tiny and random, scanned and compared with the model itself in float64.

python tests/families/sweep.py docs/families.md [TYPE]...
"""

from __future__ import annotations

import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parents[2])]

LOSS, LAYER, ENTROPY = 2e-5, 5e-5, 1e-6  # the largest difference that rounding in float32 may make
# Names of the lists of blocks as the types call them, longest first: by hand, so that a guess has something to be wrong
# against.
LISTS = (
    "model.language_model.layers", "language_model.model.layers", "model.text_model.layers", "model.decoder.layers",
    "decoder.layers", "model.backbone.layers", "gpt_neox.layers", "gpt_neox_japanese.layers", "transformer.h",
    "transformer.blocks", "transformer.layers", "transformer.layer", "backbone.layers", "backbone.blocks",
    "biogpt.layers", "rwkv.blocks", "model.layers", "bert.encoder.layer", "roberta.encoder.layer",
    "data2vec_text.encoder.layer", "roberta_prelayernorm.encoder.layer", "xmod.encoder.layer",
    "electra.encoder.layer", "roc_bert.encoder.layer", "ernie.encoder.layer", "rembert.encoder.layer",
    "roformer.encoder.layer", "camembert.encoder.layer", "reformer.encoder.layers", "prophetnet.decoder.layers",
    "git.encoder.layer",
)  # fmt: skip


@dataclass(frozen=True)
class Outcome:
    """What came of one type.

    Attributes:
        kind: its model type.
        verdict: `right`, `wrong`, `refused` or `not built`.
        reason: what is wrong, or why it is refused; what could not be read where the rest is right.
        layers: sites whose states were compared, apart from the head's input.
    """

    kind: str
    verdict: str
    reason: str = ""
    layers: int = 0


class Brute:
    """States, losses and head of a model, every window alone and unpadded, in float64."""

    def __init__(self, folder: Path, sample: list[dict[str, Any]], double: bool = True) -> None:
        import torch

        from degen.model.architecture import auto_class
        from degen.model.configuration import read_config

        config = read_config(folder)
        model = auto_class(config).from_pretrained(folder, dtype=torch.float32).eval()
        model = model.double() if double else model
        if getattr(model, "_can_set_experts_implementation", lambda: False)():
            model.set_experts_implementation("eager")  # the fast ones know no float64
        model.config.use_cache = False
        head = model.get_output_embeddings()
        names = {name for name, _ in model.named_modules()}
        blocks = next((model.get_submodule(name) for name in LISTS if name in names), [])
        caught: dict[Any, Any] = {}
        self.sites: dict[Any, list[Any]] = {}
        nats, tokens = 0.0, 0
        hooks = [head.register_forward_pre_hook(lambda _m, args: caught.update(head=args[0]))]
        for i, block in enumerate(blocks, 1):
            hooks.append(block.register_forward_hook(lambda _m, _a, out, i=i: caught.update({i: first(out)})))
        if len(blocks):
            hooks.append(
                blocks[0].register_forward_pre_hook(
                    lambda _m, args, kwargs: caught.update({0: first([args, kwargs])}), with_kwargs=True
                )
            )
        with torch.no_grad():
            for window in sample:
                caught.clear()
                ids = torch.tensor([window["tokens"]])
                logits = model(input_ids=ids).logits[0].double()
                nats += float(torch.nn.functional.cross_entropy(logits[:-1], ids[0, 1:], reduction="sum"))
                tokens += ids.shape[1] - 1
                for site, states in caught.items():
                    flat = states.reshape(-1, states.shape[-1])
                    self.sites.setdefault(site, []).append(flat.double().numpy())
        self.loss = nats / tokens
        self.head = head.weight.detach().double().numpy()

    def anisotropy(self, site: Any) -> float:
        """Return the mean cosine of all pairs of states at a site."""
        states = np.concatenate(self.sites[site])
        unit = states / np.linalg.norm(states, axis=1, keepdims=True)
        cosines = unit @ unit.T
        return float(cosines[~np.eye(len(unit), dtype=bool)].mean())

    def entropy(self, used: int) -> float:
        """Return the singular entropy of the head's first rows."""
        p = np.linalg.svd(self.head[:used], compute_uv=False) ** 2
        p = p / p.sum()
        return float((p * np.log(p * len(p))).sum())


def first(value: Any) -> Any:
    """Return the first tensor in arguments or outputs."""
    if hasattr(value, "detach"):
        return value
    inner = value.values() if hasattr(value, "values") else value
    return (
        next((t for t in map(first, inner) if t is not None), None) if isinstance(value, tuple | list | dict) else None
    )


def check(kind: str, folder: Path, corpus: Path, tokenizer: Path) -> Outcome:
    """Scan a saved model and compare every figure with brute force."""
    import pyarrow.parquet as pq

    import degen

    with tempfile.TemporaryDirectory() as out:
        run = degen.scan(folder, corpus=corpus, tokenizer=str(tokenizer), tokens=700, context=64, batch_size=4,
                         threads=1, out=out)  # fmt: skip
        (row,) = run.checkpoints()
        layers = {(r["layer"], r["site"]): r for r in run.table("layers").to_pylist()}
        sample = pq.read_table(Path(out) / "sample.parquet").to_pylist() if row["status"] == "ok" else []
    if row["status"] != "ok":
        return Outcome(kind, "refused", row["reason"])
    try:
        brute = Brute(folder, sample)
    except RuntimeError:  # some parts of a few types compute in float32 whatever the model is in
        brute = Brute(folder, sample, double=False)
    wrong = []
    if row["loss"] is None:
        return Outcome(kind, "refused", row["reason"])
    if not abs(row["loss"] - brute.loss) <= LOSS:
        wrong.append(f"loss {row['loss']:.6f}, and it is {brute.loss:.6f}")
    if not abs(row["singular_entropy"] - brute.entropy(row["vocab_used"])) <= ENTROPY:
        wrong.append(f"singular entropy {row['singular_entropy']}")
    promised = [(0, "embedding"), *((i, "block") for i in range(1, row["layers"] + 1)), (row["layers"], "head_input")]
    if set(promised) != set(layers):
        wrong.append(f"sites {sorted(set(promised) ^ set(layers))}")
    compared = 0
    for site, found in layers.items():
        key = "head" if site[1] == "head_input" else site[0]
        if found["reason"] is not None:
            continue
        if key not in brute.sites:
            wrong.append(f"{site} is no site by hand")
            continue
        compared += key != "head"
        if not abs(found["anisotropy"] - brute.anisotropy(key)) <= LAYER:
            wrong.append(f"anisotropy of {site} {found['anisotropy']:.6f}, and it is {brute.anisotropy(key):.6f}")
    unread = sorted({str(r["reason"]) for r in layers.values() if r["reason"] is not None})
    return Outcome(kind, "wrong" if wrong else "right", "; ".join(wrong or unread), compared)


def make(kind: str, folder: Path) -> Outcome | None:
    """Save a tiny model of a type in a folder; return why it cannot be built, where it cannot."""
    import torch
    from families.tiny_types import make_model

    try:
        model = make_model(kind)
        model.save_pretrained(folder)
        model.config.use_cache = False
        with torch.no_grad():
            model(input_ids=torch.arange(3, 11).unsqueeze(0))
    except Exception as error:
        return Outcome(kind, "not built", f"{type(error).__name__}: {' '.join(str(error).split())[:150]}")
    return None


def sweep(kinds: list[str]) -> list[Outcome]:
    """Return what came of every type."""
    import os

    os.environ["HF_HUB_OFFLINE"] = "1"
    import logging

    import torch
    from tiny import make_corpus, make_tokenizer, pile
    from transformers.utils import logging as theirs

    torch.set_num_threads(1)
    logging.disable(logging.WARNING)
    theirs.set_verbosity_error()
    theirs.disable_progress_bar()
    outcomes = []
    with tempfile.TemporaryDirectory() as root:
        corpus = make_corpus(Path(root) / "texts.jsonl", pile(9, ragged=True))
        tokenizer = make_tokenizer(Path(root) / "tokenizer")
        for kind in kinds:
            folder = Path(root) / kind
            try:
                outcome = make(kind, folder) or check(kind, folder, corpus, tokenizer)
            except Exception as error:  # of the brute force: it says nothing of ours, and must be seen
                outcome = Outcome(kind, "wrong", f"brute force: {type(error).__name__}: {error}")
            print(outcome.verdict, kind, outcome.layers, outcome.reason, flush=True)
            outcomes.append(outcome)
    return outcomes


def page(outcomes: list[Outcome]) -> str:
    """Return the page of the documents that lists every type."""
    import transformers

    count = {v: sum(o.verdict == v for o in outcomes) for v in ("right", "wrong", "refused", "not built")}
    version = ".".join(transformers.__version__.split(".")[:2])
    lines = [
        "# Model families",
        "",
        "Made by `make sweep`: every causal-LM type of transformers "
        f"{version}, tiny and random, is scanned and compared with the model",
        f"itself in float64, each window alone: loss within {LOSS:g}, anisotropy of every site within {LAYER:g}, "
        f"singular entropy within {ENTROPY:g}.",
        "",
        f"Of {len(outcomes)} types {count['right']} are right, {count['wrong']} wrong, {count['refused']} refused; "
        f"{count['not built']} could not be built small.",
        "Encoders such as BERT count as causal LMs with `is_decoder`; as configured by default they are refused.",
        "A type that is refused still has its head measured (`--probes spectrum`).",
    ]
    titles = {
        "right": "Right", "wrong": "Wrong", "refused": "Refused", "not built": "Not built small",
    }  # fmt: skip
    for verdict, title in titles.items():
        chosen = [o for o in outcomes if o.verdict == verdict]
        if not chosen:
            continue
        lines += ["", f"## {title}", ""]
        plain = [f"`{o.kind}`" for o in chosen if not o.reason]
        lines += [", ".join(plain), ""] if plain else []
        told = [o for o in chosen if o.reason]
        if told:
            lines += ["| type | reason |", "| --- | --- |"]
            lines += [f"| `{o.kind}` | {o.reason.replace('|', chr(92) + '|')} |" for o in told]
    return "\n".join(lines).replace("\n\n\n", "\n\n").rstrip() + "\n"


if __name__ == "__main__":
    from families.tiny_types import causal_types

    done = sweep(sys.argv[2:] or causal_types())
    if not sys.argv[2:]:
        Path(sys.argv[1]).write_text(page(done), encoding="utf-8")
    raise SystemExit(any(o.verdict == "wrong" for o in done))
