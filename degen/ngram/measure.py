"""Measure corpora: tokens written to a file, contexts sampled, next tokens counted, W-error of their matrix."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from degen.errors import DegenError
from degen.runs.run import Run
from degen.scanning.progress import Progress
from degen.scanning.sampling import open_scanned_corpus, report_corpus
from degen.scanning.settings import Settings
from degen.text.corpus import Corpus
from degen.text.tokenizer import Tokenizer
from degen.text.windows import SHORTEST, every_window

from .counting import ContextSample, NextTokens, NgramKeys, count_next_tokens, sample_contexts
from .estimate import estimated_curve
from .heads import heads_of
from .matrix import split
from .result import NgramMeasurement, NgramResult
from .settings import NgramSettings
from .token_file import TokenFile
from .w_error import exact_curve

DEMO = "demo"
EXACT_SIDE = 8_000  # of the smaller side of a matrix of which all singular values are computed

OnAmount = Callable[[str, int, int], None]  # what is done now, how much of it is done, and how much there is


def measure_ngrams(
    corpora: Sequence[str] = (DEMO,),
    tokenizers: Sequence[str | Path] = (),
    settings: NgramSettings | None = None,
    *,
    run: Run | None = None,
    progress: Progress | None = None,
    on_amount: OnAmount = lambda text, done, total: None,
) -> NgramResult:
    """Return the W-error of the next-token distributions of every corpus, tokenizer and order.

    Args:
        corpora: names, as `--corpus` of a scan takes them.
        tokenizers: folders, `.gguf` files, names on the hub, or `demo`; empty for the demo's, of its own text alone.
        settings: all else; None for the defaults.
        run: whose heads are compared with the data.
        progress: gets notes and warnings.
        on_amount: called while something long is done.

    Raises:
        DegenError: a setting is out of range, a corpus or tokenizer cannot be read, or no context is seen often enough.
    """
    settings, progress = settings or NgramSettings(), progress or Progress()
    if not tokenizers and set(corpora) != {DEMO}:
        raise DegenError("name the tokenizer that the text is counted with: --tokenizer FOLDER or a name on the hub")
    heads = heads_of(run) if run is not None else []
    named = {str(name): _open_tokenizer(name) for name in (tokenizers or [DEMO])}
    opened = {name: open_scanned_corpus(Settings((), corpus=name)) for name in corpora}
    measurements = [
        measurement
        for corpus in opened.values()
        for name, tokenizer in named.items()
        for measurement in _measure(corpus, name, tokenizer, settings, progress, on_amount)
    ]
    return NgramResult(measurements, settings, heads)


def _open_tokenizer(name: str | Path) -> Tokenizer:
    from degen.demo import series_paths

    return Tokenizer(series_paths()[0] if name == DEMO and not Path(name).exists() else name)


def _measure(
    corpus: Corpus,
    name: str,
    tokenizer: Tokenizer,
    settings: NgramSettings,
    progress: Progress,
    on_amount: OnAmount,
) -> list[NgramMeasurement]:
    """Return the measurements of one corpus with one tokenizer, for each order."""
    with TokenFile() as file:
        _write_tokens(file, corpus, tokenizer, settings, progress, on_amount)
        vocabulary = max(tokenizer.ids) + 1
        measurements = []
        for order in dict.fromkeys(settings.orders):
            ngrams = NgramKeys(order, vocabulary, settings.seed)

            show = partial(_show, on_amount, f"{corpus.name}, order {order}")
            sample = sample_contexts(
                file, ngrams, settings.contexts, settings.least_count, partial(show, "counting contexts")
            )
            if not len(sample.keys):
                raise DegenError(
                    f"{corpus.name}: no context of {order - 1} tokens is seen {settings.least_count} times in "
                    f"{file.tokens} tokens; lower --least-count or --order, or read more --tokens"
                )
            show("counting next tokens")
            counts = count_next_tokens(file, ngrams, sample)
            show("singular values")
            measurements.append(_measurement(corpus.name, name, order, file, sample, counts, settings))
    return measurements


def _show(on_amount: OnAmount, of: str, text: str) -> None:
    on_amount(f"{of}: {text}", 0, 0)


def _write_tokens(
    file: TokenFile,
    corpus: Corpus,
    tokenizer: Tokenizer,
    settings: NgramSettings,
    progress: Progress,
    on_amount: OnAmount,
) -> None:
    """Write the tokens of a corpus into a file, and report what was left out, as a scan does.

    Raises:
        DegenError: the corpus has no document, or none that is long enough.
    """
    too_short = 0

    def count_short() -> None:
        nonlocal too_short
        too_short += 1

    windows = every_window(corpus, tokenizer, settings.tokens, settings.longest_window, settings.seed, count_short)
    file.write(windows, lambda done: on_amount(f"{corpus.name}: reading tokens", done, settings.tokens))
    report_corpus(corpus, progress)
    if not file.tokens:
        raise DegenError(
            f"{corpus.name}: no document has the {SHORTEST} tokens of a window ({too_short} were too short); name a "
            "corpus of longer documents"
        )
    if too_short:
        progress.note(f"{corpus.name}: {too_short} documents under {SHORTEST} tokens passed over")
    if file.tokens < settings.tokens:
        progress.note(f"{corpus.name}: all {file.tokens:,} tokens were read, fewer than --tokens {settings.tokens:,}")


def _measurement(
    corpus: str,
    tokenizer: str,
    order: int,
    file: TokenFile,
    sample: ContextSample,
    counts: NextTokens,
    settings: NgramSettings,
) -> NgramMeasurement:
    parts = split(counts, settings.weighted)
    exact = parts.smaller_side <= EXACT_SIDE
    curve = exact_curve(parts) if exact else estimated_curve(parts, EXACT_SIDE, settings.seed)
    return NgramMeasurement(
        corpus=corpus, tokenizer=tokenizer, order=order, curve=curve, exact=exact,
        contexts=counts.contexts, contexts_eligible=sample.eligible, contexts_eligible_exact=sample.eligible_is_exact,
        contexts_once=int((sample.counts == 1).sum()), next_tokens=len(np.unique(counts.token)),
        vocabulary=counts.vocabulary, tokens=file.tokens, documents=file.documents,
    )  # fmt: skip
