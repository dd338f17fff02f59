"""How much a kernel does: floating-point operations and bytes, counted along its loops."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod
from typing import Any

from ingot.ir.loop.expression import Div, Dyn, Index, Mod, Var
from ingot.ir.loop.fragments import COLUMNS, LANES, ROWS, SUMS, steps
from ingot.ir.loop.index import evaluate
from ingot.ir.loop.ir import Const, CopyAsync, For, If, IndexValue, Kernel, Let, Load, Mma, Reduce, Stmt, Store, Transpose, WarpgroupMma

__all__ = ["operations", "touched"]

_COUNTED = {
    "add": 1, "sub": 1, "mul": 1, "div": 1, "sqrt": 1, "neg": 1, "min": 1, "max": 1, "fma": 2, "dot": 3, "dot_bytes": 8, "dot_halves": 4,
}  # fmt: skip
_INTEGER: dict[str, Any] = {"min": min, "max": max, "add": lambda a, b: a + b, "sub": lambda a, b: a - b, "mul": lambda a, b: a * b}
_ROUNDS = 4096  # of a parallel loop that are looked at one by one


def operations(kernel: Kernel, params: Sequence[int]) -> int:
    """Floating-point operations of a launch with these parameters: elementary functions count as what they are made of, an fma as two.
    Branches count as taken; what differs between rounds of a loop, but for parallel ones, as in the first."""
    return _operations(kernel.body, dict(zip(kernel.params, params)))


def _operations(stmts: Sequence[Stmt], known: dict[str, int]) -> int:
    total = 0
    for s in stmts:
        _learn(s, known)
        if isinstance(s, For):
            extent = _extent(s.extent, known)
            if s.kind == "parallel" and extent <= _ROUNDS:
                total += sum(_operations(s.body, {**known, s.var: k}) for k in range(extent))
            else:
                total += extent * _operations(s.body, {**known, s.var: 0})
        elif isinstance(s, If):
            total += _operations(s.body, dict(known))
        elif isinstance(s, Let) and s.dtype.kind == "f":
            total += _COUNTED.get(s.op, 0)
        elif isinstance(s, Reduce):
            total += len(s.values)
        elif isinstance(s, Mma):
            total += len(s.accs) // SUMS * (2 * ROWS * COLUMNS * steps(s.dtype) // LANES)
        elif isinstance(s, WarpgroupMma):  # 64 rows, of which each thread counts for 128
            total += 2 * len(s.accs) * s.steps * (32 // s.dtype.itemsize)
    return total


def _learn(s: Stmt, known: dict[str, int]) -> None:
    """Note an integer that indices are made of."""
    try:
        if isinstance(s, IndexValue):
            known[s.dst] = evaluate(s.index, known)
        elif isinstance(s, Let) and s.dtype.kind in "iu" and s.op in _INTEGER:
            known[s.dst] = _INTEGER[s.op](*(int(a.value) if isinstance(a, Const) else known[a] for a in s.args))
    except KeyError:  # memory decides
        known.pop(s.dst, None)  # type: ignore[union-attr]


def _extent(extent: Index, known: Mapping[str, int]) -> int:
    try:
        return max(int(evaluate(extent, known)), 0)
    except KeyError:  # memory decides
        return 1


def touched(kernel: Kernel, params: Sequence[int], nbytes: Sequence[int]) -> int:
    """Bytes that a launch reads and writes, each address once: of every buffer, which are of `nbytes`, as much as its indices reach."""
    sizes = {b.name: (b.dtype.itemsize, n) for b, n in zip(kernel.buffers, nbytes)}
    found: dict[tuple[str, type], int] = {}

    def visit(stmts: Sequence[Stmt], around: Mapping[str, int], known: dict[str, int]) -> None:
        for s in stmts:
            _learn(s, known)
            if isinstance(s, For):
                visit(s.body, {**around, s.var: _extent(s.extent, known)}, {**known, s.var: 0})
            elif isinstance(s, If):
                visit(s.body, around, dict(known))
            elif isinstance(s, (Load, Store)) and s.buf in sizes:
                moving = _variables(s.index)
                itemsize, most = sizes[s.buf]
                n = itemsize * prod(extent for var, extent in around.items() if var in moving or None in moving)
                found[s.buf, type(s)] = max(found.get((s.buf, type(s)), 0), min(n, most))
            elif isinstance(s, CopyAsync):
                visit([Load("", s.src, s.at)], around, known)
            elif isinstance(s, Transpose):
                for kind, buf, index in ((Store, s.dst, s.to), (Load, s.src, s.at)):
                    if buf in sizes:
                        itemsize, most = sizes[buf]
                        n = itemsize * s.size**2 * prod(extent for var, extent in around.items() if var in _variables(index))
                        found[buf, kind] = max(found.get((buf, kind), 0), min(n, most))

    visit(kernel.body, {}, dict(zip(kernel.params, params)))
    return sum(found.values())


def _variables(i: Index) -> set[str | None]:
    """The variables in an index; None where a value decides it."""
    found: set[str | None] = set()
    for atom, _ in i.terms:
        if isinstance(atom, Var):
            found.add(atom.name)
        elif isinstance(atom, Dyn):
            found.add(None)
        elif isinstance(atom, (Div, Mod)):
            found |= _variables(atom.num)
    return found
