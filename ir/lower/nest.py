"""Loop nests: one kernel for a group of elementwise ops and reductions.

The space of the group is walked as *items* (points of the kept axes; when the vector runs along a kept axis, blocks of
it) that parallel chunks are made of. Within an item each *pass* runs over the reduced axes: pass k folds the
reductions that need k reductions before them. What is dear and needed in a later pass is kept in a row of scratch.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

from ingot.ir import dtypes
from ingot.ir.dtypes import DType
from ingot.ir.facts import Contraction, Reduction, Window
from ingot.ir.graph import Graph, Node, Value
from ingot.ir.loop import index as ix
from ingot.ir.loop.folds import Fold
from ingot.ir.loop.ir import Alloc, Div, For, If, Index, IndexValue, Kernel, Load, Mod, Stmt, Var
from ingot.ir.loop.points import ZERO, Point, linear
from ingot.ir.lower.group import Group
from ingot.ir.lower.kernel import KernelWriter, Scalar
from ingot.ir.lower.local import at_a_point
from ingot.ir.lower.pull import Pull
from ingot.ir.machine import Machine
from ingot.ir.ops.scalars import convert

__all__ = ["lower_nest"]


def fold_of(node: Node) -> Fold:
    """The fold of a reduction node."""
    kind = node.op.lowering
    assert isinstance(kind, Reduction)
    return kind.fold


def accumulators(node: Node) -> tuple[tuple[DType, bool | int | float], ...]:
    """The accumulators of a reduction node: (dtype, initial value) each."""
    fold = fold_of(node)
    types = fold.accumulators(node.inputs[0].type.dtype)
    return tuple(zip(types, fold.initial(types[0])))


class _Axis:
    __slots__ = ("extent", "members", "reduced")

    def __init__(self, extent: int, members: list[int], reduced: bool):
        self.extent = extent
        self.members = members  # group axes, merged: all but the last are 0, the last runs
        self.reduced = reduced


class _Nest:
    def __init__(
        self,
        graph: Graph,
        group: Group,
        name: str,
        buffer_of: Callable[[Value], str | None],
        check: Callable[[Node], int],
        machine: Machine,
    ):
        self.graph = graph
        self.group = group
        self.name = name
        self.buffer_of = buffer_of
        self.check = check
        self.machine = machine
        self.lanes = machine.lanes(32)
        self.members = set(group.maps)
        self.along_k = 0
        self.levels = self._levels()
        self.reductions = [n for n in group.nodes if isinstance(n.op.lowering, Reduction)]
        self.passes = 1 + max((self.levels[n.inputs[0]] if n.inputs[0] in self.levels else 0 for n in self.reductions), default=-1)
        self.full = {v for v in group.maps if group.is_full(v)}
        if any(v in self.full for v in group.outputs):
            self.passes = max(self.passes, 1 + max(self.levels[v] for v in group.outputs if v in self.full))
        if not self.reductions:
            self.passes = 1

    def _levels(self) -> dict[Value, int]:
        out: dict[Value, int] = {}
        for n in self.group.nodes:
            level = max((out[v] for v in n.inputs if v in out), default=0)
            for v in n.outputs:
                out[v] = level + isinstance(n.op.lowering, Reduction)
        return out

    # -- setting up a kernel

    def start(self) -> None:
        self.w = KernelWriter(self.name)
        self.pull = Pull(self.graph, self.w, self._source, self.check)
        self.pull.along_k = self.along_k
        for n in self.group.nodes:
            if isinstance(n.op.lowering, (Window, Contraction)):
                self.pull.known[n.outputs[0]] = partial(at_a_point, self.pull, n)

    def _source(self, v: Value) -> str | None:
        if v in self.members:
            return None
        name = self.buffer_of(v)
        if name is not None and name not in self.w.buffers:
            self.w.buffer(name, v.type.dtype, "r")
        return name

    def point(self, v: Value, at: list[Index], shape: tuple[int, ...] | None = None) -> Point:
        m = self.group.maps[v]
        return tuple(ZERO if a is None else at[a] for a in m)

    def input_point(self, node: Node, at: list[Index]) -> Point:
        """The point of a reduction's input: its kept dims are the output's, the reduced ones the group's."""
        (v,) = node.inputs
        if v in self.group.maps:
            return self.point(v, at)
        return tuple(ZERO if a is None else at[a] for a in self.group.opened[node])

    # -- the trial: which axes merge, which one the vector runs along

    def trial(self) -> None:
        self.start()
        w, g = self.w, self.group
        at = []
        for a, d in enumerate(g.shape):
            w.ranges[f"a{a}"] = d
            at.append(ix.var(f"a{a}") if d != 1 else ZERO)
        for n in self.reductions:
            self.pull.known[n.outputs[0]] = partial(_stand_in, w, n.outputs[0].type.dtype)
        for n in self.reductions:
            self.pull.at(n.inputs[0], self.input_point(n, at))
        stores: list[Index] = []
        for v in g.outputs:
            idx = self.point(v, at)
            self.pull.at(v, idx)
            stores.append(linear(idx, v.type.shape))
        loads: list[Index] = []
        others: list[Index] = []
        self.instructions = 0
        self._collect(w.finish().body, loads, others)
        self._choose(stores, loads, others)

    def _collect(self, body: list[Stmt], loads: list[Index], others: list[Index]) -> None:
        for s in body:
            self.instructions += 1
            if isinstance(s, Load):
                loads.append(s.index)
            elif isinstance(s, IndexValue):
                others.append(s.index)
            elif isinstance(s, (For, If)):
                before = self.instructions
                self._collect(s.body, loads, others)
                if isinstance(s, For) and not s.extent.terms and isinstance(s.extent.const, int):
                    self.instructions = before + (self.instructions - before) * max(1, s.extent.const)

    def _choose(self, stores: list[Index], loads: list[Index], others: list[Index]) -> None:
        g = self.group
        every = stores + loads + others
        axes = [_Axis(d, [a], a in g.reduced) for a, d in enumerate(g.shape) if d != 1]
        merged: list[_Axis] = []
        for axis in axes:
            if merged and merged[-1].reduced == axis.reduced and axis.extent != 0:
                outer, inner = merged[-1].members[-1], axis.members[0]
                # a position is the coordinate of one axis, which must stay itself
                fixed = any(fold_of(n).positions for n in self.reductions) and axis.reduced
                if not fixed and all(_merges(i, f"a{outer}", f"a{inner}", axis.extent) for i in every):
                    merged[-1] = _Axis(merged[-1].extent * axis.extent, merged[-1].members + axis.members, axis.reduced)
                    continue
            merged.append(axis)
        self.axes = merged
        best, score = None, -math.inf
        for k, axis in enumerate(merged):
            var = f"a{axis.members[-1]}"
            s = 0.0
            for group_of, weight in ((stores, 4), (loads, 2)):
                for i in group_of:
                    c = _stride(i, var)
                    s += weight if c == 1 else 0.25 * weight if c == 0 else -weight
            for i in others:
                s -= _stride(i, var) is None
            s += 0.5 * k - (4 if axis.extent < self.lanes // 2 else 0)
            if s > score:
                best, score = k, s
        self.vector = best
        if best is not None and self._inner_products():
            self.vector = None
            self.along_k = self.lanes * 4 if self.group.nodes[0].inputs[0].type.dtype.bits < 64 else self.lanes * 2

    def _inner_products(self) -> bool:
        """Whether the group is a product of few rows whose contracted dim is contiguous in both operands: then the
        vector runs along it, and each result is one sum over lanes."""
        n = self.group.nodes[0]
        if n.op.name != "dot" or self.reductions:
            return False
        a, b = n.inputs
        _, (contract_a, contract_b) = n.attrs
        if not contract_a or contract_a[-1] != a.type.rank - 1 or contract_b[-1] != b.type.rank - 1:
            return False
        return a.type.shape[-1] >= 2 * self.lanes and all(self.buffer_of(v) is not None for v in (a, b))

    # -- emission

    def emit(self) -> Kernel:
        self.trial()
        self.start()
        w, g = self.w, self.group
        kept = [a for k, a in enumerate(self.axes) if not a.reduced and k != self.vector]
        self.inner = [a for k, a in enumerate(self.axes) if a.reduced and k != self.vector]
        vec = self.axes[self.vector] if self.vector is not None else None
        self.vec = vec
        self.width, self.exact = self._width(vec)
        rows = math.prod(a.extent for a in kept)
        inner = math.prod(a.extent for a in self.axes if a.reduced)
        across = vec.extent if vec is not None and not vec.reduced else 1

        per_point = max(1, self.instructions)
        block = across
        if across > 1:
            target = max(self.width, self.machine.chunk_work // (per_point * max(1, inner)) // self.width * self.width)
            block = min(across, target)
        blocks = -(-across // block) if block else 0
        items = rows * blocks
        item_work = per_point * block * inner

        w.schedule += [
            ("rows", rows),
            ("block", block),
            ("blocks", blocks),
            ("inner", inner),
            ("width", self.width),
            ("passes", self.passes),
        ]
        self.kept = kept
        self.block = block
        self.blocks = blocks
        if g.split:
            self._split(items, inner, per_point)
            return w.finish()
        self.cached = self._row_cache()
        per_chunk = max(1, self.machine.chunk_work // max(1, item_work))
        chunks = -(-items // per_chunk)
        w.schedule += [("items", items), ("chunk", per_chunk)]
        if chunks <= 1:
            self._items(ix.const(items), None)
        else:
            with w.loop("parallel", chunks) as p:
                if per_chunk == 1:
                    self._item(p)
                else:
                    self._items(self._rest(p, per_chunk, items), ix.mul(p, per_chunk))
        return w.finish()

    def _rest(self, p: Index, per: int, total: int) -> Index:
        """min(per, total - p * per): how many of `total` the p-th chunk of `per` holds."""
        if total % per == 0:
            return ix.const(per)
        w = self.w
        left = w.index_value(ix.add(ix.const(total), ix.mul(p, -per)))
        return w.as_index(w.min(left, w.const(per, dtypes.i64)))

    def _width(self, vec: _Axis | None) -> tuple[int, bool]:
        if vec is None:
            return 1, True
        bits = [v.type.dtype.bits for n in self.group.nodes for v in (*n.inputs, *n.outputs) if v.type.dtype.bits > 8]
        lanes = self.lanes // 2 if bits and min(bits) >= 64 else self.lanes
        times = 4 if self.instructions < 24 and self.reductions else 2 if self.instructions < 60 else 1
        width = lanes * times
        while width > lanes and width > vec.extent:
            width //= 2
        while width > 4 and width // 2 >= vec.extent:
            width //= 2
        return width, vec.extent % width == 0 and vec.reduced

    def _items(self, count: Index, base: Index | None) -> None:
        w = self.w
        if not count.terms and count.const == 1:
            self._item(base if base is not None else ix.const(0))
            return
        extent = int(count.const) if not count.terms and isinstance(count.const, int) else count
        with w.loop("serial", extent) as i:
            self._item(i if base is None else ix.add(base, i))

    def _place(self, item: Index) -> tuple[list[Index], Index | None]:
        """The kept coordinates of an item, and the block of the vector axis it stands for."""
        at = [ZERO] * len(self.group.shape)
        rows = item
        block = None
        # the ranges that the divisions below can count on
        if self.blocks > 1:
            block = self._mod(item, self.blocks)
            rows = self._div(item, self.blocks)
        for k in range(len(self.kept) - 1, -1, -1):
            axis = self.kept[k]
            at[axis.members[-1]] = rows if k == 0 else self._mod(rows, axis.extent)
            if k:
                rows = self._div(rows, axis.extent)
        return at, block

    def _div(self, i: Index, by: int) -> Index:
        """A quotient as a scalar computed once per item: an opaque index from here on."""
        return ix.div(i, max(1, by), self.w.ranges)

    def _mod(self, i: Index, by: int) -> Index:
        return ix.mod(i, max(1, by), self.w.ranges)

    def _item(self, item: Index) -> None:
        w = self.w
        at, block = self._place(item)
        vec = self.vec
        if vec is None or vec.reduced:
            self._row(at)
            return
        extent: Index | int = self.block
        base: Index | None = None
        if block is not None:
            base = ix.mul(block, self.block)
            extent = self._rest(block, self.block, vec.extent)
            if not extent.terms:
                extent = self.block
        exact = isinstance(extent, int) and extent % self.width == 0
        with w.loop("vector", extent, self.width, exact) as v:
            at = list(at)
            at[vec.members[-1]] = v if base is None else ix.add(base, v)
            self._row(at)

    def _row(self, at: list[Index]) -> None:
        """All passes for one point of the kept axes."""
        w, g = self.w, self.group
        for v, (name, _) in self.cached.items():
            assert self.vec is not None
            w.append(Alloc(name, v.type.dtype, self.vec.extent, "worker"))
        for k in range(self.passes):
            here = [n for n in self.reductions if self.levels.get(n.inputs[0], 0) == k]
            outputs = [v for v in g.outputs if v in self.full and self.levels[v] == k] if self.reductions else []
            accs = {n: self._declare(n) for n in here}
            if here or outputs or any(c[1] == k for c in self.cached.values()):
                self._inner_loops(at, list(self.inner), partial(self._fold, k, accs, outputs))
            for n in here:
                self._finish(n, at, tuple(w.get_acc(a, d) for a, (d, _) in zip(accs[n], accumulators(n))))
        for v in g.outputs:
            if v not in self.full or not self.reductions:
                self._store(v, at)

    def _declare(self, n: Node) -> tuple[str, ...]:
        return tuple(self.w.acc(d, init) for d, init in accumulators(n))

    def _finish(self, n: Node, at: list[Index], accs: tuple[Scalar, ...]) -> None:
        out = n.outputs[0]
        result = convert(self.w, accs[fold_of(n).result], out.type.dtype)
        point = self.point(out, at)
        self.pull.known[out] = partial(_only_at, point, result)

    def _inner_loops(self, at: list[Index], axes: list[_Axis], body: Callable[[list[Index]], None]) -> None:
        w = self.w
        if axes:
            with w.loop("serial", axes[0].extent) as i:
                at = list(at)
                at[axes[0].members[-1]] = i
                self._inner_loops(at, axes[1:], body)
        elif self.vec is not None and self.vec.reduced:
            with w.loop("vector", self.vec.extent, self.width, self.exact) as v:
                at = list(at)
                at[self.vec.members[-1]] = v
                body(at)
        else:
            body(at)

    def _fold(self, k: int, accs: dict[Node, tuple[str, ...]], outputs: list[Value], at: list[Index]) -> None:
        w = self.w
        for v, (buf, first) in self.cached.items():
            assert self.vec is not None
            i = at[self.vec.members[-1]]
            if first == k:
                self.pull.known.pop(v, None)
                x = self.pull.at(v, self.point(v, at))
                w.store(buf, i, x)
            elif first < k:
                x = w.load(buf, i, v.type.dtype, pinned=True)
                point = self.point(v, at)
                self.pull.known[v] = partial(_only_at, point, x)
        for n, names in accs.items():
            self._accumulate(n, names, at)
        for v in outputs:
            self._store(v, at)

    def _accumulate(self, n: Node, names: tuple[str, ...], at: list[Index]) -> None:
        w = self.w
        fold = fold_of(n)
        idx = self.input_point(n, at)
        x = w.cast(self.pull.at(n.inputs[0], idx), accumulators(n)[0][0])
        w.reduce(names, fold.name, (x, w.index_value(idx[n.attrs[0]])) if fold.positions else (x,))

    def _store(self, v: Value, at: list[Index]) -> None:
        name = self.buffer_of(v)
        assert name is not None
        self.w.buffer(name, v.type.dtype, "w")
        idx = self.point(v, at)
        streaming = v.type.nbytes >= self.machine.cache_bytes[2]  # it will have left the caches before it is read
        self.w.store(name, linear(idx, v.type.shape), self.pull.at(v, idx), streaming=streaming)

    # -- rows of scratch

    def _row_cache(self) -> dict[Value, tuple[str, int]]:
        """Dear full members that several passes need: value -> (scratch, the pass that fills it)."""
        vec = self.vec
        if self.passes < 2 or vec is None or not vec.reduced or self.inner:
            return {}
        makers = {v: n for n in self.group.nodes for v in n.outputs}
        chosen: dict[Value, int] = {}
        for k in range(self.passes):
            stack = [n.inputs[0] for n in self.reductions if self.levels.get(n.inputs[0], 0) == k]
            stack += [v for v in self.group.outputs if v in self.full and self.levels[v] == k]
            seen: set[Value] = set()
            while stack:
                v = stack.pop()
                if v in seen or v not in makers or v not in self.full:
                    continue
                seen.add(v)
                n = makers[v]
                if n.op.cost.keep:
                    if v in chosen:
                        continue
                    if self._needed_after(v, k, makers):
                        chosen[v] = k
                stack.extend(n.inputs)
        size = vec.extent
        budget = self.machine.cache_bytes[1] // 4
        out: dict[Value, tuple[str, int]] = {}
        for v, k in chosen.items():
            budget -= size * v.type.dtype.itemsize
            if budget >= 0:
                out[v] = ("", k)
        return {v: (self.w.fresh("row"), k) for v, (_, k) in out.items()}

    def _needed_after(self, v: Value, k: int, makers: dict[Value, Node]) -> bool:
        for later in range(k + 1, self.passes):
            stack = [n.inputs[0] for n in self.reductions if self.levels.get(n.inputs[0], 0) == later]
            stack += [u for u in self.group.outputs if u in self.full and self.levels[u] == later]
            seen = set(stack)
            while stack:
                u = stack.pop()
                if u is v:
                    return True
                if u in makers and not isinstance(makers[u].op.lowering, Reduction):
                    fresh = [x for x in makers[u].inputs if x not in seen]
                    seen.update(fresh)
                    stack.extend(fresh)
        return False

    # -- long reductions: partial results per chunk, then their combination

    def _split(self, items: int, inner: int, per_point: int) -> None:
        w = self.w
        self.cached = {}
        reduced = [a for a in self.axes if a.reduced]
        long = max(reduced, key=lambda a: a.extent) if reduced else None
        assert long is not None
        along_vector = long is self.vec
        rows = math.prod(a.extent for a in self.axes if not a.reduced)
        want = max(1, min(64, rows * inner // 8192))
        step = -(-long.extent // want)
        if along_vector:
            step = -(-step // self.width) * self.width
        parts = -(-long.extent // step)
        w.schedule += [("split", parts), ("step", step)]
        scratch = {n: tuple(w.scratch(d, max(1, parts * rows), "kernel") for d, _ in accumulators(n)) for n in self.reductions}

        def fold_part(item: Index, part: Index) -> None:
            at, block = self._place(item)
            base = ix.mul(part, step)
            count = self._rest(part, step, long.extent)

            def row(at: list[Index]) -> None:
                accs = {n: self._declare(n) for n in self.reductions}

                def loops(at: list[Index], axes: list[_Axis]) -> None:
                    if not axes:
                        for n, names in accs.items():
                            self._accumulate(n, names, at)
                        return
                    axis = axes[0]
                    extent: Index | int = axis.extent
                    if axis is long:
                        extent = count if count.terms else int(count.const)  # type: ignore[arg-type]
                    vector = axis is self.vec
                    exact = vector and isinstance(extent, int) and extent % self.width == 0
                    with w.loop("vector" if vector else "serial", extent, self.width if vector else 1, exact) as i:
                        at = list(at)
                        at[axis.members[-1]] = ix.add(base, i) if axis is long else i
                        loops(at, axes[1:])

                order = [a for a in reduced if a is not self.vec] + [a for a in reduced if a is self.vec]
                loops(at, order)
                slot = ix.add(ix.mul(part, rows), self._row_number(at))
                for n, names in accs.items():
                    for s, a, (d, _) in zip(scratch[n], names, accumulators(n)):
                        w.store(s, slot, w.get_acc(a, d))

            self._across(at, block, row)

        def combine(item: Index) -> None:
            at, block = self._place(item)

            def row(at: list[Index]) -> None:
                accs = {n: self._declare(n) for n in self.reductions}
                with w.loop("serial", parts) as part:
                    slot = ix.add(ix.mul(part, rows), self._row_number(at))
                    for n, names in accs.items():
                        values = tuple(w.load(s, slot, d, pinned=True) for s, (d, _) in zip(scratch[n], accumulators(n)))
                        w.reduce(names, fold_of(n).across.name, values)
                for n, names in accs.items():
                    self._finish(n, at, tuple(w.get_acc(a, d) for a, (d, _) in zip(names, accumulators(n))))
                for v in self.group.outputs:
                    self._store(v, at)

            self._across(at, block, row)

        with w.loop("parallel", items * parts) as p:
            fold_part(self._div(p, parts) if items > 1 else ix.const(0), self._mod(p, parts) if items > 1 else p)
        if items == 1:
            combine(ix.const(0))
        else:
            with w.loop("serial", items) as i:
                combine(i)

    def _across(self, at: list[Index], block: Index | None, row: Callable[[list[Index]], None]) -> None:
        """`row` for every lane of the vector axis where it is kept, else once."""
        vec = self.vec
        if vec is None or vec.reduced:
            row(at)
            return
        extent: Index | int = self.block
        if block is not None:
            rest = self._rest(block, self.block, vec.extent)
            extent = rest if rest.terms else self.block
        exact = isinstance(extent, int) and extent % self.width == 0
        with self.w.loop("vector", extent, self.width, exact) as v:
            at = list(at)
            at[vec.members[-1]] = v if block is None else ix.add(ix.mul(block, self.block), v)
            row(at)

    def _row_number(self, at: list[Index]) -> Index:
        out = ZERO
        for axis in self.axes:
            if not axis.reduced:
                out = ix.add(ix.mul(out, axis.extent), at[axis.members[-1]])
        return out


def _only_at(point: Point, x: Scalar, idx: Point) -> Scalar | None:
    """x at its own point; what is asked for elsewhere is unknown."""
    return x if idx == point else None


def _stand_in(w: KernelWriter, dtype: DType, idx: Point) -> Scalar:
    """Something of the right dtype, while only indices matter."""
    return convert(w, w.const(0, dtypes.f32), dtype)


def _stride(i: Index, var: str) -> int | None:
    """Coefficient of a variable in an index; None where it stands inside a division."""
    out: int | None = 0
    for atom, c in i.terms:
        if isinstance(atom, Var):
            if atom.name == var:
                out = c  # type: ignore[assignment]
        elif isinstance(atom, (Div, Mod)) and _stride(atom.num, var) != 0:
            return None
    return out


def _merges(i: Index, outer: str, inner: str, extent: int) -> bool:
    """Whether an index depends on two axes only as outer * extent + inner."""
    a = b = 0
    for atom, c in i.terms:
        if isinstance(atom, Var):
            if atom.name == outer:
                a = c  # type: ignore[assignment]
            elif atom.name == inner:
                b = c  # type: ignore[assignment]
        elif isinstance(atom, (Div, Mod)) and not _merges(atom.num, outer, inner, extent):
            return False
    return a == b * extent


def lower_nest(
    graph: Graph, group: Group, name: str, buffer_of: Callable[[Value], str | None], check: Callable[[Node], int], machine: Machine
) -> Kernel:
    """The kernel of a nest group. `buffer_of` names the buffer of a value in memory."""
    return _Nest(graph, group, name, buffer_of, check, machine).emit()
