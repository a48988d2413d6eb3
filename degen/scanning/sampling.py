"""The windows of a run: drawn once per tokenizer, kept with the run, or taken from an earlier one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING, Any

from degen.checkpoints.series import Series
from degen.errors import DegenError
from degen.paths import expand_user
from degen.probe_registry import needs_text, sends_text
from degen.runs.ownership import check_part
from degen.runs.parts import owner_of
from degen.runs.run import SAMPLE
from degen.runs.run_writer import RunWriter, write_errors
from degen.text.corpus import Corpus
from degen.text.open_corpus import open_corpus
from degen.text.windows import SHORTEST, Sample, Window, draw_sample, read_samples, stream_windows, write_samples

from .progress import Progress
from .settings import Settings

if TYPE_CHECKING:
    from degen.text.tokenizer import Tokenizer

    from .plan import Plan


@dataclass(frozen=True)
class Samples:
    """The windows of a run.

    Attributes:
        tokenizers: by model label; None for a series without one.
        samples: by the tokenizer's fingerprint.
        info: what run.json keeps of them.
        saved: whether they lie in the run folder already.
    """

    tokenizers: dict[str, Tokenizer | None]
    samples: dict[str, Sample]
    info: dict[str, Any]
    saved: bool = False

    def save(self, writer: RunWriter) -> None:
        """Write the windows to `sample.parquet`, unless they are there or there are none."""
        if self.samples and not self.saved:
            check_part(writer.path / SAMPLE)
            with write_errors(writer.path):
                write_samples(writer.path / SAMPLE, list(self.samples.values()))

    def with_info(self, more: dict[str, Any]) -> Samples:
        """Return the windows with more for run.json, which says anew how many there are."""
        return replace(self, info=self.info | {"windows": _summaries(self.samples)} | more)

    def sample_of(self, series: Series) -> Sample | None:
        """Return the windows of a series; None where it has no tokenizer or no probe needs text."""
        tokenizer = self.tokenizers[series.model]
        return self.samples.get(tokenizer.fingerprint) if tokenizer is not None else None


def prepare_samples(settings: Settings, plan: Plan, writer: RunWriter, progress: Progress) -> Samples:
    """Return the windows of a run: those of the run that is continued, of another one, or new ones.

    Raises:
        DegenError: text is asked for and no series has a tokenizer, there are no windows, or a continued run was
            scanned with others.
    """
    of_series = {series.model: load_tokenizer(settings, series) for series in plan.series}
    streamed = [name for name, probe in plan.probes.items() if sends_text([probe])]
    known = {t.fingerprint: t for t in of_series.values() if t is not None}
    tokenizers = known.values() if needs_text(plan.probes.values()) else ()
    if not tokenizers:
        if streamed and settings.probes is not None:
            raise DegenError(
                f"{', '.join(streamed)} need text, and no series has a tokenizer; name one with --tokenizer"
            )
        return Samples(of_series, {}, {})
    file, before = writer.path / SAMPLE, writer.info.get("sample")
    if saved := owner_of(file) == "degen" and before is not None:  # a damaged one is drawn anew
        samples = _read_samples(file, tokenizers, str(file))
        info = before | {"windows": _summaries(samples)}
    else:
        if settings.sample is None:
            _warn_of_demo(settings, plan, progress)
        samples, info = find_samples(settings, tokenizers, progress)
        if settings.sample is None:
            _warn_of_few_documents(plan, samples, info["corpus"], progress)
        if before and settings.target_se:  # a pilot has said how many, when the run began
            kept = {f: entry.get("windows", 0) for f, entry in before.get("windows", {}).items()}
            samples = {f: first_windows(sample, kept.get(f, len(sample.windows))) for f, sample in samples.items()}
            info = before | info | {"windows": _summaries(samples)}
    if before and before.get("windows") != info["windows"]:  # none where no probe needed text
        raise DegenError(
            f"{writer.path}: was scanned with other windows than {SAMPLE} or the corpus gives now; bring the file "
            "back, or start over with --fresh"
        )
    return Samples(of_series, samples, info, saved)


def first_windows(sample: Sample, count: int) -> Sample:
    """Return the first windows of a sample, all of them where there are no more; each is drawn like the others."""
    return replace(sample, windows=sample.windows[:count])


def find_samples(
    settings: Settings, tokenizers: Iterable[Tokenizer], progress: Progress
) -> tuple[dict[str, Sample], dict[str, Any]]:
    """Return the windows of each tokenizer: those of an earlier run that the settings name, or new ones.

    Returns:
        The windows by the tokenizer's fingerprint, and what run.json keeps of them.

    Raises:
        DegenError: there are none.
    """
    info: dict[str, Any]
    if settings.sample is not None:
        samples = _read_samples(expand_user(settings.sample), tokenizers, settings.sample)
        name, info = settings.sample, {"taken_from": settings.sample}
    else:
        corpus = open_scanned_corpus(settings)
        samples = {t.fingerprint: _draw_sample(settings, corpus, t, progress) for t in tokenizers}
        name, info = corpus.name, {"corpus": corpus.name, **corpus.provenance}
        report_corpus(corpus, progress)
        if corpus.passed_over:
            info["passed_over"] = len(corpus.passed_over)
    if any(sample.documents == 1 for sample in samples.values()):
        progress.warn(
            f"{name}: one document, so no metric has a standard error, for which documents are "
            "left out one by one; give the text as several documents, a file or a line of .jsonl each"
        )
    return samples, info | {"windows": _summaries(samples)}


def report_corpus(corpus: Corpus, progress: Progress) -> None:
    """Tell what is to be known of a corpus that was read, and warn of documents that were passed over."""
    if corpus.notice is not None:
        progress.note(corpus.notice)
    if corpus.passed_over:
        progress.warn(
            f"{corpus.name}: {len(corpus.passed_over)} documents passed over, whose text holds half a character (a "
            f"lone surrogate); the first is {next(iter(corpus.passed_over))}"
        )


def _read_samples(file: Path, tokenizers: Iterable[Tokenizer], name: str) -> dict[str, Sample]:
    stored = read_samples(file)
    samples = {}
    for tokenizer in tokenizers:
        if tokenizer.fingerprint not in stored:
            raise DegenError(
                f"{name}: its windows were made by another tokenizer than {tokenizer.source} "
                f"({', '.join(stored)}, not {tokenizer.fingerprint})"
            )
        samples[tokenizer.fingerprint] = stored[tokenizer.fingerprint]
    return samples


def _draw_sample(settings: Settings, corpus: Corpus, tokenizer: Tokenizer, progress: Progress) -> Sample:
    sample = draw_sample(corpus, tokenizer, settings.tokens, settings.longest_window, settings.seed)
    if sample.tokens < settings.tokens:
        progress.warn(f"{corpus.name}: ends after {sample.tokens} of {settings.tokens} tokens; the scan goes on")
    if sample.too_short:
        progress.note(f"{corpus.name}: {sample.too_short} documents under {SHORTEST} tokens passed over")
    return sample


def _summaries(samples: dict[str, Sample]) -> dict[str, Any]:
    return {
        fingerprint: {
            "windows": len(s.windows), "documents": s.documents, "tokens": s.tokens, "too_short": s.too_short,
            "sha256": s.sha256,
        }
        for fingerprint, s in samples.items()
    }  # fmt: skip


def training_windows(settings: Settings, series: Series, sample: Sample) -> Iterator[Window]:
    """Yield windows to train on, without end: of the corpus, except for the documents that are evaluated.

    Where the windows were taken from an earlier run those of the first half come again and again.

    Raises:
        DegenError: the corpus has no other documents.
    """
    evaluated = {w.document for w, first in zip(sample.windows, sample.in_fit_half, strict=True) if not first}
    if settings.sample is not None:
        return cycle([w for w in sample.windows if w.document not in evaluated])
    tokenizer = load_tokenizer(settings, series)
    assert tokenizer is not None
    return stream_windows(open_scanned_corpus(settings), tokenizer, settings.longest_window, settings.seed, evaluated)


def load_tokenizer(settings: Settings, series: Series) -> Tokenizer | None:
    """Return the tokenizer of a series: the one that the settings name, or its own; None where it has none.

    Raises:
        DegenError: it cannot be loaded.
    """
    from degen.checkpoints.series_tokenizer import tokenizer_of
    from degen.text.tokenizer import Tokenizer

    trust = settings.trust_remote_code
    return Tokenizer(settings.tokenizer, trust) if settings.tokenizer is not None else tokenizer_of(series, trust)


def _warn_of_few_documents(plan: Plan, samples: dict[str, Sample], name: str, progress: Progress) -> None:
    """Warn of what few documents do to the figures of a probe; one document has a warning of its own."""
    documents = min((sample.documents for sample in samples.values()), default=0)
    for probe in plan.probes.values():
        if probe.few_documents is not None and 1 < documents < probe.few_documents[0]:
            fewest, consequence = probe.few_documents
            progress.warn(f"{name}: {documents} documents, fewer than {fewest}: {consequence}, or give more --tokens")


def _warn_of_demo(settings: Settings, plan: Plan, progress: Progress) -> None:
    if settings.corpus == "demo":
        from degen.demo import series_paths

        demo = series_paths()[0].parent
        if any(s.root is None or demo not in s.root.resolve().parents for s in plan.series):
            progress.warn("the demo's text is scanned; name a corpus of your model's kind, as --corpus pile")


def open_scanned_corpus(settings: Settings) -> Corpus:
    """Return the corpus of a scan; nothing is read of it yet.

    Raises:
        DegenError: there is no such corpus.
    """
    from degen.demo import corpus_path

    if settings.corpus != "demo":
        return open_corpus(settings.corpus)
    corpus = open_corpus(str(corpus_path()))
    corpus.name = "demo"
    return corpus
