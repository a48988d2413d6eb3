"""The forms that names of checkpoints have in public, and what each form says: step, tokens, stage, seed and run."""

from __future__ import annotations

import re
from dataclasses import dataclass

_STEP = r"(?P<step>\d+)(?P<step_unit>[KM])?"
_TOKENS = r"(?P<tokens>\d+(?:\.\d+)?)(?P<unit>[KMBT]?)"


@dataclass(frozen=True)
class NameGrammar:
    """A form of names.

    Attributes:
        pattern: of the whole name, in upper or lower case. Its groups: `step` with `step_unit` (K or M), `tokens` with
            `unit` (K, M, B or T), `stage`, `seed`, `run`.
        examples: public names of this form, each with where it is used.
        needs_whole_name: whether the form is told from a word of a longer name only by standing alone, as `500` is.
    """

    pattern: str
    examples: tuple[tuple[str, str], ...]
    needs_whole_name: bool = False

    def match(self, name: str) -> re.Match[str] | None:
        """Return the match of a name, None where it is not of this form."""
        return re.fullmatch(self.pattern, name, re.IGNORECASE)


GRAMMARS = (
    NameGrammar(
        r"(?:hf_)?(?:(?P<stage>stage\d+)-)?(?:(?P<run>ingredient\d+)-)?"
        rf"(?:global_step|checkpoint|step|ckpt|iter)[-_]?{_STEP}"
        rf"(?:-tokens{_TOKENS})?(?:-seed-?(?P<seed>[a-z0-9]+(?:-[a-z0-9]+)*?))?(?:-unsharded|_hf)?",
        (
            ("step143000", "Pythia"),
            ("checkpoint-1164", "transformers' Trainer"),
            ("global_step1000", "BLOOM"),
            ("iter_0480000", "OpenEuroLLM"),
            ("iter_0005000_hf", "Megatron, converted"),
            ("step-125000", "SmolLM2"),
            ("ckpt_358", "Amber, whose number counts chunks of data"),
            ("step1000-tokens2B", "OLMo"),
            ("stage1-step-40000", "SmolLM3"),
            ("stage2-ingredient1-step23852-tokens51B", "OLMo 2"),
            ("step5000-seed-small-aux-2", "DataDecide"),
            ("step1000-unsharded", "OLMo"),
        ),
    ),
    NameGrammar(rf"step[-_]{_STEP}-{_TOKENS}T?", (("step-001000-2BT", "FineWeb"), ("step-50K-105b", "TinyLlama"))),
    NameGrammar(
        rf"\w[\w.-]*-intermediate-step-{_STEP}-(?:token-)?{_TOKENS}",
        (("TinyLlama-1.1B-intermediate-step-955k-token-2T", "TinyLlama, a repository for each checkpoint"),),
    ),
    NameGrammar(
        rf"(?P<stage>lc-\d+k-to-\d+k|longctx|extension)[-_]step[-_]?{_STEP}(?:-tokens{_TOKENS})?",
        (("lc-4k-to-32k-step-4000", "SmolLM3"), ("longctx-step1000", "Apertus"), ("extension_step1220", "Lucie")),
    ),
    NameGrammar(
        rf"[a-z]\w*?_(?P<stage>phase\d+)_checkpoint_{_STEP}",
        (("CrystalCoder_phase1_checkpoint_004000", "CrystalCoder"),),
    ),
    NameGrammar(
        rf"epoch=\d+(?:-[a-z]\w*=[\d.]+)*?-step={_STEP}(?:-[a-z]\w*=[\d.]+)*?(?:\.ckpt)?",
        (("epoch=0-step=500", "Lightning"), ("epoch=3-step=12000.ckpt", "Lightning")),
    ),
    NameGrammar(rf"ep\d+-ba{_STEP}(?:-rank\d+)?(?:\.pt)?", (("ep0-ba1000", "MosaicML, whose batches are steps"),)),
    NameGrammar(r"model_(?P<step>\d{6})(?:\.pt)?", (("model_001000.pt", "nanochat"),)),
    NameGrammar(
        r"train_(?P<tokens>\d+)(?P<unit>B)|(?P<tokens_>\d+(?:\.\d+)?)(?P<unit_>[KMBT])_tokens",
        (("train_00220B", "Baichuan 2"), ("240b_tokens", "RedPajama")),
    ),
    NameGrammar(
        r"(?-i:(?P<tokens>\d+(?:\.\d+)?)(?P<unit>[BT]))",
        (("593B", "FuxiTranyu"), ("16.78B", "MAP-Neo")),
        needs_whole_name=True,
    ),
    NameGrammar(r"(?P<step>\d{1,12})", (("10000", "nanotron"),), needs_whole_name=True),
)
