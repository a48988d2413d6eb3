"""Compare the revisions of a series: whose weights a copy holds, and which shards are out of place."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Sequence

from .continuity import ShardPath
from .evidence import Facts, Finding, count
from .thresholds import FROZEN_SHARE, MAX_RATIO, MIN_FROZEN, ON_PATH


class Comparison:
    """The sound revisions of a series, compared with each other.

    Args:
        revisions: the revisions, in the order of training. A step `i` is an index into them.
        last: the last revision whose name gives a step; None where there is none.
        final: the revision that holds the final weights, such as `main`; None where nobody knows one.
    """

    def __init__(self, revisions: Sequence[Facts], last: Facts | None, final: Facts | None) -> None:
        self.revisions = revisions
        shards = sorted({shard for f in revisions for shard in (*f.hashes, *f.samples)})
        self.paths = [ShardPath(shard, revisions) for shard in shards]
        self.final = final or next((f for f in revisions if f is last), None)
        ends = {f.revision for f in (final, last) if f is not None}
        self.anchor = next((i for i, f in enumerate(revisions) if f.revision in ends), None)  # of the final weights
        self._holders: dict[Hashable, list[int]] = defaultdict(list)  # of the same weights
        for i, f in enumerate(revisions):
            self._holders[_identity(f)].append(i)

    def findings(self) -> dict[str, Finding]:
        """Return the faulty revisions, as a dict: name -> verdict and reason.

        Revisions with equal weights are not compared with others until it is known which of them is genuine.
        """
        copies = [m for m in self._holders.values() if len(m) > 1 or (self._is_final(m[0]) and self.anchor not in m)]
        singles = {m[0] for m in self._holders.values() if m not in copies}
        shared = {p.shard: _shared_contents(p, sorted(m[0] for m in self._holders.values())) for p in self.paths}
        findings: dict[int, Finding] = {}
        genuine = set(singles)

        def trust(i: int) -> None:
            for path in self.paths:
                if path.contents[i] not in shared[path.shard]:
                    path.trust(i)

        for i in singles:
            trust(i)
        for path in self.paths:
            path.drop_outliers(singles)
        for members in sorted(copies, key=lambda m: (self.anchor not in m, m)):
            owner = _owner(self.paths, members, self.anchor)
            findings |= {i: self._copy_finding(i, owner, members) for i in members if i != owner}
            if owner is not None:
                genuine.add(owner)
                trust(owner)
        for path in self.paths:
            _judge_shards(path, sorted(genuine))
            path.drop_outliers(singles)
        findings |= {i: finding for i in genuine if (finding := self._shard_finding(i))}
        return {self.revisions[i].revision: finding for i, finding in findings.items()}

    def note_of_equals(self, facts: Facts) -> str | None:
        """Return a note that names the other revisions with the same weights as a faultless one; None without any.

        Args:
            facts: the faultless revision.
        """
        equal = [
            self.revisions[i].revision
            for i in self._holders.get(_identity(facts), ())
            if self.revisions[i] is not facts
        ]
        if self.final and self.final.step is None and _identity(self.final) == _identity(facts):
            equal += [self.final.revision] * (self.final.revision != facts.revision)
        return f"identical to {_and_others(equal[::-1])}" if equal else None

    def _is_final(self, i: int) -> bool:
        return self.final is not None and _identity(self.final) == _identity(self.revisions[i])

    def _copy_finding(self, i: int, owner: int | None, members: Sequence[int]) -> Finding:
        """Return verdict and reason of the revision `i`, whose weights are also those of another revision.

        Args:
            i: the revision.
            owner: the revision that is genuine among those with these weights; None where none is.
            members: all revisions with these weights.
        """
        others = [self.revisions[m].revision for m in (members if owner is None else [owner]) if m != i]
        final = self._is_final(i) and i != self.anchor and (owner == self.anchor or self.anchor not in members)
        if final and self.final is not None and owner is None:
            others = [self.final.revision]
        reason = f"identical to {_and_others(others)}" + ", the final one" * final
        path = max(self.paths, key=lambda p: p.misfit(i) or 0.0)
        if far := path.explain(i):
            reason += f", and {far}"
        elif path.misfit(i) is not None and not final:
            reason += ", where the weights fit no worse"
        return "equals_final" if final else "duplicate", reason

    def _shard_finding(self, i: int) -> Finding | None:
        """Return verdict and reason of the revision `i`, which is no copy as a whole, if any shard of it is wrong.

        None where every shard is right.
        """
        shards = [p for p in self.paths if p.contents[i] is not None]
        wrong = sorted((p for p in shards if i in p.copy_of), key=lambda p: -(p.misfit(i) or 0.0))
        if not wrong:
            return None
        copied, far = wrong[0].copy_of[i], wrong[0].explain(i)
        reasons = [f"identical to that of {self.revisions[copied].revision}"] if copied is not None else []
        reasons += [far] if far else []
        if all(p in wrong or (p.path_ratio(i) or 0.0) > ON_PATH for p in shards):
            where = ", and no other shard is in place for certain" if len(shards) > 1 else ""
            return "discontinuous", f"{wrong[0].shard} is {' and '.join(reasons)}{where}"
        more = f"; {count(len(wrong) - 1, 'more shard')} out of place" if len(wrong) > 1 else ""
        return "wrong_shard", f"{wrong[0].shard} is {' and '.join(reasons)}{more}"


def _identity(facts: Facts) -> Hashable:
    return frozenset(facts.hashes.items()) or facts.revision


def _and_others(names: Sequence[str]) -> str:
    return names[0] + (f" and {count(len(names) - 1, 'other')}" if len(names) > 1 else "")


def _owner(paths: Sequence[ShardPath], members: Sequence[int], anchor: int | None = None) -> int | None:
    """Return which of the revisions that hold the same weights is the genuine one; None where the weights fit at none.

    Where they fit at several it is the one where they fit best, and of equally good ones the earliest.

    Args:
        paths: the shards to compare.
        members: indices of the revisions that hold the same weights.
        anchor: index of the revision where the final weights belong. If it is a member, it is the genuine one, unless
            the weights do not fit there and do fit at another member.
    """
    misfits = {i: max((m for p in paths if (m := p.misfit(i)) is not None), default=None) for i in members}
    fitting = [i for i in members if (misfits[i] or 0.0) <= MAX_RATIO]
    if anchor in members and (anchor in fitting or all(misfits[i] is None for i in fitting)):
        return anchor

    def fit(i: int) -> tuple[list[float], int]:
        return [sum(f) for f in zip(*(p.fit(i) for p in paths), strict=True)], i

    return min(fitting, key=fit, default=None)


def _shared_contents(path: ShardPath, genuine: Sequence[int]) -> dict[str, list[int]]:
    """Return the contents that several revisions hold though they should differ: hash -> indices of these revisions.

    A shard may be frozen, so that it rightly has one content at many revisions. A content counts as frozen, and is
    left out, where more than half of all revisions hold it; or where three revisions at least hold it, and these are
    more than half of the revisions from the first of them to the last.

    Args:
        path: the shard.
        genuine: indices of the revisions that are no copies of others.
    """
    held = [i for i in genuine if path.contents[i] is not None]
    groups: dict[str, list[int]] = defaultdict(list)
    for k, i in enumerate(held):
        groups[path.contents[i] or ""].append(k)

    def is_frozen(ks: Sequence[int]) -> bool:
        phase = ks[-1] - ks[0] + 1
        return len(ks) > FROZEN_SHARE * len(held) or (len(ks) >= MIN_FROZEN and len(ks) > FROZEN_SHARE * phase)

    return {content: [held[k] for k in ks] for content, ks in groups.items() if len(ks) > 1 and not is_frozen(ks)}


def _judge_shards(path: ShardPath, genuine: Sequence[int]) -> None:
    """Decide for one shard which revisions to trust, and mark the others suspect.

    Where several revisions hold the same content, only the one to which it belongs is trusted.

    Args:
        path: the shard.
        genuine: indices of the revisions that are no copies of others.
    """
    for members in _shared_contents(path, genuine).values():
        owner = _owner([path], members)
        for i in members:
            if i != owner:
                path.mark_suspect(i, owner if owner is not None else next(m for m in members if m != i))
    for i in genuine:
        if i not in path.copy_of:
            path.trust(i)
