"""The revisions of a series against each other: whose weights a copy holds, and which shards are out of place."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Sequence

from .continuity import ON_PATH, THRESHOLD, ShardPath
from .evidence import Charge, Facts, count


class Case:
    """The sound revisions of a series in their order, and what speaks against them."""

    def __init__(self, along: Sequence[Facts], last: Facts | None, final: Facts | None) -> None:
        self.along = along
        self.paths = [ShardPath(shard, along) for shard in sorted({s for f in along for s in (*f.hashes, *f.samples)})]
        self.final = final or next((f for f in along if f is last), None)
        ends = {f.revision for f in (final, last) if f is not None}
        self.anchor = next((i for i, f in enumerate(along) if f.revision in ends), None)  # where final weights belong
        self._holders: dict[Hashable, list[int]] = defaultdict(list)  # of the same weights
        for i, f in enumerate(along):
            self._holders[_identity(f)].append(i)

    def charges(self) -> dict[str, Charge]:
        """What every revision is charged with. Copies are nobody's neighbours until their owner is found."""
        copies = [m for m in self._holders.values() if len(m) > 1 or (self._is_final(m[0]) and self.anchor not in m)]
        singles = {m[0] for m in self._holders.values() if m not in copies}
        shared = {p.shard: _shared(p, sorted(m[0] for m in self._holders.values())) for p in self.paths}
        found: dict[int, Charge] = {}
        genuine = set(singles)

        def believe(i: int) -> None:
            for path in self.paths:
                if path.contents[i] not in shared[path.shard]:
                    path.believe(i)

        for i in singles:
            believe(i)
        for path in self.paths:
            path.weed(singles)
        for members in sorted(copies, key=lambda m: (self.anchor not in m, m)):
            owner = _owner(self.paths, members, self.anchor)
            found |= {i: self._copy(i, owner, members) for i in members if i != owner}
            if owner is not None:
                genuine.add(owner)
                believe(owner)
        for path in self.paths:
            _settle_shards(path, sorted(genuine))
            path.weed(singles)
        found |= {i: charge for i in genuine if (charge := self._by_shard(i))}
        return {self.along[i].revision: charge for i, charge in found.items()}

    def alike(self, facts: Facts) -> str | None:
        """Which other revisions hold the weights of one that is in order."""
        same = [self.along[i].revision for i in self._holders.get(_identity(facts), ()) if self.along[i] is not facts]
        if self.final and self.final.step is None and _identity(self.final) == _identity(facts):
            same += [self.final.revision] * (self.final.revision != facts.revision)
        return f"identical to {_and_others(same[::-1])}" if same else None

    def _is_final(self, i: int) -> bool:
        return self.final is not None and _identity(self.final) == _identity(self.along[i])

    def _copy(self, i: int, owner: int | None, members: Sequence[int]) -> Charge:
        """What a revision is charged with that holds what belongs to another, or to none."""
        others = [self.along[m].revision for m in (members if owner is None else [owner]) if m != i]
        final = self._is_final(i) and i != self.anchor and (owner == self.anchor or self.anchor not in members)
        if final and self.final is not None and owner is None:
            others = [self.final.revision]
        reason = f"identical to {_and_others(others)}" + ", the final one" * final
        path = max(self.paths, key=lambda p: p.doubt(i) or 0.0)
        if far := path.explain(i):
            reason += f", and {far}"
        elif path.doubt(i) is not None and not final:
            reason += ", where the weights fit no worse"
        return "equals_final" if final else "duplicate", reason

    def _by_shard(self, i: int) -> Charge | None:
        """What a revision is charged with that is no copy as a whole."""
        own = [p for p in self.paths if p.contents[i] is not None]
        wrong = sorted((p for p in own if i in p.copy_of), key=lambda p: -(p.doubt(i) or 0.0))
        if not wrong:
            return None
        copied, far = wrong[0].copy_of[i], wrong[0].explain(i)
        said = [f"identical to that of {self.along[copied].revision}"] if copied is not None else []
        said += [far] if far else []
        if all(p in wrong or (p.detour(i) or 0.0) > ON_PATH for p in own):
            where = ", and no other shard is in place for certain" if len(own) > 1 else ""
            return "discontinuous", f"{wrong[0].shard} is {' and '.join(said)}{where}"
        more = f"; {count(len(wrong) - 1, 'more shard')} out of place" if len(wrong) > 1 else ""
        return "wrong_shard", f"{wrong[0].shard} is {' and '.join(said)}{more}"


def _identity(facts: Facts) -> Hashable:
    return frozenset(facts.hashes.items()) or facts.revision


def _and_others(names: Sequence[str]) -> str:
    return names[0] + (f" and {count(len(names) - 1, 'other')}" if len(names) > 1 else "")


def _owner(paths: Sequence[ShardPath], members: Sequence[int], anchor: int | None = None) -> int | None:
    """Which of the steps that hold the same weights is genuine; None where they fit nowhere.

    Of several that fit, the one that fits best; of equals the earliest, as where nothing was read. The anchor, where
    the final weights belong, comes before all, unless they do not fit there and do fit elsewhere.
    """
    doubts = {i: max((d for p in paths if (d := p.doubt(i)) is not None), default=None) for i in members}
    fitting = [i for i in members if (doubts[i] or 0.0) <= THRESHOLD]
    if anchor in members and (anchor in fitting or all(doubts[i] is None for i in fitting)):
        return anchor
    return min(fitting, key=lambda i: ([sum(f) for f in zip(*(p.fit(i) for p in paths), strict=True)], i), default=None)


def _shared(path: ShardPath, genuine: Sequence[int]) -> dict[str, list[int]]:
    """The contents that several different revisions hold, unless the shard is frozen.

    Frozen is what more than half of the revisions hold; or for a phase of training three of them at least, and more
    than half of those in between.
    """
    held = [i for i in genuine if path.contents[i] is not None]
    groups: dict[str, list[int]] = defaultdict(list)
    for k, i in enumerate(held):
        groups[path.contents[i] or ""].append(k)
    return {
        content: [held[k] for k in ks]
        for content, ks in groups.items()
        if 1 < len(ks) <= len(held) / 2 and not (len(ks) >= 3 and 2 * len(ks) > ks[-1] - ks[0] + 1)
    }


def _settle_shards(path: ShardPath, genuine: Sequence[int]) -> None:
    """Find the owner of every shard that several revisions hold, accuse the others, and believe the rest."""
    for members in _shared(path, genuine).values():
        owner = _owner([path], members)
        for i in members:
            if i != owner:
                path.accuse(i, owner if owner is not None else next(m for m in members if m != i))
    for i in genuine:
        if i not in path.copy_of:
            path.believe(i)
