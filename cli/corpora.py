"""`degen corpora`: every named corpus."""

from __future__ import annotations

from dataclasses import asdict

from . import options, output


def corpora(json: options.Json = False) -> None:
    """List every named corpus.

    `degen scan MODEL --corpus pile` streams one from the hub, `--corpus pile:train` another of its splits.
    """
    from degen.text.named_corpora import named_corpora

    if json:
        rows = [
            {"corpus" if key == "name" else key: v for key, v in asdict(c).items()} for c in named_corpora().values()
        ]
        output.result_json({"rows": rows})
        return
    output.result_table(
        ["corpus", "dataset", "config", "split", "licence", "about"],
        [[c.name, c.dataset, c.config, c.split, c.licence, c.about] for c in named_corpora().values()],
    )
