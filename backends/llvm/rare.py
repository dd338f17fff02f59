"""Costly code that only a select's one side needs is run where some lane takes that side.

Elementary functions are branch-free: every lane computes the path for huge arguments, say, though hardly ever one takes
it. Here the instructions that nothing but one side of the selects on a condition reads are found; the emitter puts them
behind a branch on "any lane". The results are the same bits.
"""

from __future__ import annotations

from heapq import heappop, heappush

from ingot.ir.loop.ir import Let, Stmt
from ingot.ir.loop.walk import index_names, indices, operands, statements
from ingot.ir.struct import value_type

__all__ = ["Rare", "rare_parts"]

WORTH = 20  # instructions, 64-bit ones counted twice
_COST = {"div": 6, "rem": 20, "sqrt": 6}


@value_type
class Rare:
    """Instructions that only matter where `cond` is `side`; `results`: those of them that selects read."""

    cond: str
    side: bool
    cone: list[Let]
    results: list[str]


def rare_parts(body: list[Stmt]) -> dict[int, list[Rare]]:
    """By id of a statement of this body: the parts to run before it; none for one that belongs to such a part."""
    lets = {s.dst: (k, s) for k, s in enumerate(body) if isinstance(s, Let)}
    if len(lets) < WORTH:
        return {}
    groups: dict[tuple[str, bool], list[tuple[int, Let]]] = {}
    for k, s in lets.values():
        if s.op == "select" and isinstance(s.args[0], str):
            groups.setdefault((s.args[0], True), []).append((k, s))
            groups.setdefault((s.args[0], False), []).append((k, s))
    if not groups:
        return {}
    readers: dict[str, list[Stmt]] = {}
    for reader in statements(body):
        for x in operands(reader):
            if isinstance(x, str):
                readers.setdefault(x, []).append(reader)
        for i in indices(reader):
            for name in index_names(i):
                readers.setdefault(name, []).append(reader)
    found: list[tuple[int, Rare, Let]] = []
    for (cond, side), selects in groups.items():
        part = _part(lets, readers, cond, side, selects)
        if part is not None:
            found.append((sum(map(_cost, part.cone)), part, selects[0][1]))
    found.sort(key=lambda f: -f[0])
    out: dict[int, list[Rare]] = {}
    for _, part, first in found:
        if out.get(id(first), True) and not any(id(s) in out for s in part.cone):
            out.update((id(s), []) for s in part.cone)
            out.setdefault(id(first), []).append(part)
    return out


def _part(
    lets: dict[str, tuple[int, Let]], readers: dict[str, list[Stmt]], cond: str, side: bool, selects: list[tuple[int, Let]]
) -> Rare | None:  # fmt: skip
    first = selects[0][0]
    want, other = (1, 2) if side else (2, 1)
    ours = {id(s): s for _, s in selects}
    inside: set[int] = set()
    cone: list[Let] = []
    results: list[str] = []
    todo: list[tuple[int, str]] = []  # what may be in it, the last first: all that reads it was seen before
    known: set[str] = set()

    def reach(x: object) -> None:
        if isinstance(x, str) and x not in known and x in lets:
            known.add(x)
            if lets[x][0] < first:
                heappush(todo, (-lets[x][0], x))

    for _, s in selects:
        reach(s.args[want])
    while todo:
        s = lets[heappop(todo)[1]][1]
        read_by_select = False
        for r in readers.get(s.dst, ()):
            select = ours.get(id(r))
            if select is not None and select.args[want] == s.dst != select.args[other] and select.args[0] != s.dst:
                read_by_select = True
            elif id(r) not in inside:
                break
        else:
            if s.dst in readers:
                inside.add(id(s))
                cone.append(s)
                for x in s.args:
                    reach(x)
                if read_by_select:
                    results.append(s.dst)
    if sum(map(_cost, cone)) < WORTH or 3 * len(cone) > 2 * len(lets):  # nearly all the work is not the rare path
        return None
    return Rare(cond, side, cone[::-1], results)


def _cost(s: Let) -> int:
    return _COST.get(s.op, 1) * (2 if s.dtype.bits == 64 else 1)
