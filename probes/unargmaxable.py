"""Unargmaxable tokens: those that no state of the model can make the most likely one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from degen.errors import DegenError
from degen.model.lm_head import Head
from degen.probe import HeadProbe
from degen.rank.argmaxable import prove, without_direction
from degen.rank.cloud import cloud_of, nearest
from degen.tables import Column, Metric, Row, Rows

CHECKED = 256  # tokens, those nearest to the mean row
OPTIONS = ("exact", "checked")


class Unargmaxable(HeadProbe):
    """Tokens that cannot be the argmax, among those nearest to the mean row in Mahalanobis's metric.

    Args:
        exact: whether a linear program decides about every candidate.
        checked: how many tokens are checked.
    """

    measures = "tokens that no state can make the most likely one: candidates, and proofs on request"
    cost = (
        "2Vd(256 + d) FLOPs in float32, more where many are candidates; a QR decomposition of the head, shared "
        "with the other probes of it; option `exact`: some linear programs of d variables for every candidate"
    )
    metrics = (
        Metric(
            ("unargmaxable_candidates", "unargmaxable_checked", "distance"),
            formula="of the 256 tokens nearest to the mean (Mahalanobis), those that no x tried makes the argmax",
            source="Demeter et al. 2020 (arXiv 2005.02433); Grivas et al. 2022 (arXiv 2203.06462) for the directions",
            range="0 to 256; an upper bound for the tokens checked",
            high="many rows lie inside the hull of the others",
            low="every checked token can be predicted",
            clashes="tokens that are never predicted on a corpus; under-trained tokens (Land and Bartolo 2024)",
        ),
        Metric(
            ("unargmaxable",),
            formula="candidates i for which no x has (wᵢ − wⱼ)·x + bᵢ − bⱼ > 0 for all j, by linear programs (HiGHS)",
            source="Grivas et al. 2022 (arXiv 2203.06462), section 3",
            range="0 to unargmaxable_candidates; a lower bound for the whole vocabulary",
            high="tokens that greedy decoding can never give",
            low="every checked token can be predicted",
            clashes="bounded tokens, whose probability has a bound below 1",
        ),
    )
    columns = {
        "checkpoints": (
            Column(
                "unargmaxable_candidates", "int64", "tokens", "of those checked, the ones not shown to be argmaxable"
            ),
            Column(
                "unargmaxable",
                "int64",
                "tokens",
                "of these, the proven ones; null without option exact",
            ),
            Column("unargmaxable_checked", "int64", "tokens", "tokens checked, those nearest to the mean row"),
        ),
        "unargmaxable": (
            Column("token", "int64", "", "id of a candidate", key=True),
            Column("distance", "float64", "", "its distance from the mean row, in Mahalanobis's metric"),
            Column("verdict", "string", "", "candidate; with option exact unargmaxable, argmaxable or undecided"),
        ),
    }

    @classmethod
    def check(cls, options: Mapping[str, Any]) -> None:
        """Check the options: whether it is `exact`, and how many tokens are `checked`.

        Raises:
            DegenError: an option is unknown, or has a value that it cannot have.
        """
        super().check({name: value for name, value in options.items() if name not in OPTIONS})
        checked = options.get("checked", CHECKED)
        if not isinstance(checked, int) or isinstance(checked, bool) or checked < 1:
            raise DegenError(f"probe unargmaxable: checked is {checked!r}; it must be a number of tokens, 1 or more")
        if not isinstance(exact := options.get("exact", False), bool):
            raise DegenError(f"probe unargmaxable: exact is {exact!r}; it must be true or false")

    def __init__(self, exact: bool = False, checked: int = CHECKED) -> None:
        super().__init__()
        self._exact, self._checked = exact, checked

    def measure(self, head: Head) -> Rows:
        """Return rows by table: counts in `checkpoints`, a row for every candidate in `unargmaxable`.

        Formulas: `degen.rank.argmaxable`.
        """
        if head.rows_used < 2:
            return {"checkpoints": [{"reason": "no unargmaxable tokens: the LM head has fewer than two used rows"}]}
        cloud = cloud_of(head)
        if cloud is None:
            return {"checkpoints": [{"reason": "no unargmaxable tokens: all used rows of the LM head are equal"}]}
        checked = nearest(cloud, self._checked)
        left = without_direction(cloud, checked)
        tokens = checked.rows if head.used is None else head.used[checked.rows]
        found: list[Row] = []
        for i in np.flatnonzero(left):
            verdict = "candidate"
            if self._exact:
                can = prove(cloud, checked, int(i))
                verdict = "undecided" if can is None else "argmaxable" if can else "unargmaxable"
            found.append({"token": int(tokens[i]), "distance": float(checked.distances[i]), "verdict": verdict})
        found.sort(key=lambda row: row["token"])
        proven = sum(row["verdict"] == "unargmaxable" for row in found)
        row: Row = {
            "unargmaxable_candidates": len(found),
            "unargmaxable": proven if self._exact else None,
            "unargmaxable_checked": len(checked.rows),
        }
        return {"checkpoints": [row], "unargmaxable": found}
