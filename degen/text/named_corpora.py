"""Named corpora: `pile`, `c4`. The corpora themselves are data, in `corpora.toml`."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from importlib.resources import files


@dataclass(frozen=True)
class NamedCorpus:
    """A dataset of the hub under a short name.

    Attributes:
        name: as a user writes it.
        about: what it is, in one line.
        dataset: `org/dataset` on the hub.
        split: the split that is read where the user names none.
        licence: as the dataset's card states it.
        file: one file of the dataset that holds enough text for a scan without network.
        config: the configuration of the dataset; None for its default.
        data_files: split -> the dataset's files of it, where `datasets` does not find them by their names.
        text_field: the field with the text of a document.
    """

    name: str
    about: str
    dataset: str
    split: str
    licence: str
    file: str
    config: str | None = None
    data_files: Mapping[str, str] = field(default_factory=dict)
    text_field: str = "text"

    @property
    def download_hint(self) -> str:
        """What to do where the dataset cannot be streamed: the file to fetch, and how to name it."""
        saved = self.file.rpartition("/")[2].replace(".json.gz", ".jsonl.gz")
        renamed = "" if self.file.endswith(saved) else f", renamed to {saved},"
        return (
            "where there is no network, bring one file from elsewhere: "
            f"`hf download {self.dataset} {self.file} --repo-type dataset`, and name it{renamed} with --corpus"
        )


@lru_cache(maxsize=1)
def named_corpora() -> dict[str, NamedCorpus]:
    """Return all named corpora, as a dict: name -> corpus, in the order of `corpora.toml`."""
    tables = tomllib.loads(files("degen.text").joinpath("corpora.toml").read_text(encoding="utf-8"))
    return {name: NamedCorpus(name=name, **table) for name, table in tables.items()}
