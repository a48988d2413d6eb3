"""Datasets of the hub, streamed as a corpus."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from degen.errors import DegenError, one_line

from .corpus import Corpus, Document
from .named_corpora import NamedCorpus

STREAM_BUFFER = 10_000  # documents of the shuffle buffer


class StreamedCorpus(Corpus):
    """A dataset of the hub, streamed: shards in seeded order, then a seeded shuffle buffer.

    Args:
        name: `hf://org/dataset` or `hf://org/dataset:split`, or the name of a named corpus, perhaps with a split too.
        known: the named corpus; None for a dataset that the user named in full.

    Raises:
        DegenError: the name has another form.
    """

    def __init__(self, name: str, known: NamedCorpus | None = None) -> None:
        super().__init__()
        self.name = name
        self._known = known
        dataset, _, split = name.removeprefix("hf://").partition(":")
        if known is None and dataset.count("/") != 1:
            raise DegenError(
                f"{name}: the name of a streamed corpus must have the form hf://org/dataset or hf://org/dataset:split"
            )
        self._dataset = dataset if known is None else known.dataset
        self._config = None if known is None else known.config
        self._split = split or ("train" if known is None else known.split)
        self.provenance = {"dataset": self._dataset, "split": self._split, "shuffle_buffer": STREAM_BUFFER}
        if known is not None:
            config = "" if known.config is None else f" ({known.config})"
            self.provenance |= {"config": known.config, "licence": known.licence, "about": known.about}
            self.notice = (
                f"{name}: {known.about}; streamed from {known.dataset}{config}, split {self._split}, licence "
                f"{known.licence}"
            )

    @property
    def _data_files(self) -> dict[str, str] | None:
        """The files of the split, where `datasets` does not find them by their names; else None."""
        named = {} if self._known is None else self._known.data_files
        return {self._split: named[self._split]} if self._split in named else None

    def draw(self, seed: int, at_least: int) -> Iterator[Document]:
        """Yield the documents of the stream, shuffled with `seed` and numbered from 0 as they come.

        The seed and the commit of the dataset are added to `provenance`.

        Raises:
            DegenError: the package `datasets` is not installed, or the dataset cannot be streamed.
        """
        try:
            import datasets
            import huggingface_hub
        except ImportError as error:
            raise DegenError(
                f"{self.name}: streaming needs the package datasets, which is not installed: "
                "pip install 'degen-lm[hub]'"
            ) from error
        text_field = "text" if self._known is None else self._known.text_field
        try:
            timeout = huggingface_hub.constants.HF_HUB_DOWNLOAD_TIMEOUT
            commit = huggingface_hub.HfApi().dataset_info(self._dataset, timeout=timeout).sha
            self.provenance |= {"revision": commit, "seed": seed}
            stream = datasets.load_dataset(
                self._dataset,
                self._config,
                data_files=self._data_files,
                split=self._split,
                revision=commit,
                streaming=True,
            )
            shuffled = stream.shuffle(seed=seed, buffer_size=STREAM_BUFFER)
            for number, record in enumerate(shuffled):
                yield from self._sound(number, f"{self.name}, document {number}", _with_text(record, text_field))
        except DegenError:
            raise
        except Exception as error:  # network and dataset raise errors of many classes
            hint = "" if self._known is None else f"; {self._known.download_hint}"
            raise DegenError(
                f"{self.name}: the dataset cannot be streamed ({one_line(error)}); "
                f"check its name, its split and the network{hint}"
            ) from error


def _with_text(record: dict[str, Any], text_field: str) -> dict[str, Any]:
    """Return a record with the text of its document in the field `text`."""
    return record if text_field == "text" else {**record, "text": record.get(text_field)}
