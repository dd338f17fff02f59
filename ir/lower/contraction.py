"""Tiled contractions: matrix products and convolutions on packed register tiles.

Both are out[b, m, n] = sum over k of A[b, m, k] * B[b, k, n], where b, m, k (and n) may be several dims. Rows of A are
broadcast from where they lie (to pack them as well cost more than it gained), but for rows that lie across k: an item
gathers those of a tile first. B is packed into panels [k][NR] of whole vectors; a tile of MR rows times NR columns stays
in registers over all of k, and the elementwise ops that follow are applied before it is stored. A convolution is the same
thing on its input, padded once: the offset of a tap is part of k. Nothing of the size of im2col exists.

Tiles at the end of a dim start early and overlap their neighbour instead of being masked: both write the same values.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from ingot.ir import dtypes
from ingot.ir.graph import Graph, Node, Value
from ingot.ir.loop import index as ix
from ingot.ir.loop.ir import Index, Kernel, Load
from ingot.ir.loop.points import ZERO, Point, delinear, linear
from ingot.ir.lower.group import Group
from ingot.ir.lower.kernel import KernelWriter, Scalar
from ingot.ir.lower.pull import Pull
from ingot.ir.machine import Machine
from ingot.ir.ops.contraction import dot
from ingot.ir.ops.form import form_of
from ingot.ir.ops.scalars import convert
from ingot.ir.types import tensor_type

__all__ = ["tiles", "lower_contraction"]

MIN_WORK = 1 << 12
ROWS = {16: 4, 32: 6}  # of a tile, by the bytes of a vector register; 14 where there are 64 and more
ACROSS = 128  # elements between two steps of k from which on rows are gathered first
PACKED = "packed"  # the buffer of B's panels


def tiles(node: Node) -> bool:
    """Whether a contraction is lowered to register tiles (else to a small loop at each point)."""
    if node.outputs[0].type.dtype.kind != "f":
        return False
    f = form_of(node)
    m, n, k = math.prod(f.m), math.prod(f.n), math.prod(f.k)
    return min(m, n) >= 4 and k >= 1 and m * n * k >= MIN_WORK


# -- the kernel ------------------------------------------------------------------------------------------------------


def _tile(m: tuple[int, ...], most: int) -> tuple[int, ...]:
    """Extents of a tile of at most `most` rows, filled from the last dim, with little overlap at the ends."""
    out = []
    for d in reversed(m):
        best = min(range(1, min(d, most) + 1), key=lambda t: (-(-d // t) * (t + 1.5), -t))
        out.append(best)
        most //= best
    return tuple(reversed(out))


class _Contraction:
    def __init__(
        self, graph: Graph, group: Group, buffer_of: Callable[[Value], str | None], check: Callable[[Node], int], machine: Machine
    ):
        self.graph = graph
        self.group = group
        self.node = group.nodes[0]
        self.buffer_of = buffer_of
        self.check = check
        self.form = f = form_of(self.node)
        self.dtype = dtypes.f64 if self.node.outputs[0].type.dtype is dtypes.f64 else dtypes.f32
        self.machine = machine
        base = machine.lanes(self.dtype.bits)
        self.n_total = math.prod(f.n)
        self.k_total = math.prod(f.k)
        self.nr = 2 * base if self.n_total > base else base
        # 32 vector registers hold 14 rows of two; 12 rows of a product still find room in one set of the first cache
        # where their distance is a multiple of 4 KB
        rows = ROWS.get(machine.vector_bytes, 12 if self.node.op is dot else 14)
        self.tile = _tile(f.m, rows)
        self.panels = -(-self.n_total // self.nr)
        self.members = set(group.maps)
        self.b_batch = math.prod(f.batch[d] for d in f.b_batch)
        self.packed_type = tensor_type(self.dtype, (self.b_batch * self.panels * self.k_total * self.nr,))

    def _source(self, v: Value) -> str | None:
        if v in self.members:
            return None
        name = self.buffer_of(v)
        if name is not None and name not in self.w.buffers:
            self.w.buffer(name, v.type.dtype, "r")
        return name

    def _pull(self) -> Pull:
        return Pull(self.graph, self.w, self._source, self.check)

    def pack(self) -> Kernel:
        """The kernel that packs B: apart, so that a loop whose B stays the same packs it once."""
        self.w = KernelWriter("pack")
        self.w.buffer(PACKED, self.dtype, "w", noalias=True)
        self._pack(self.b_batch)
        return self.w.finish()

    def multiply(self) -> Kernel:
        f = self.form
        self.w = w = KernelWriter("contraction")
        w.buffer(PACKED, self.dtype, "r")
        batch = math.prod(f.batch)
        panel = self.k_total * self.nr
        counts = [-(-d // t) for d, t in zip(f.m, self.tile)]
        m_tiles = math.prod(counts)
        self.a_load = self._rows()
        work, wanted = self.machine.chunk_flops, self.machine.workers
        columns = self.machine.cache_bytes[1] // 2  # packed columns stay in the second cache while rows stream past
        block = max(1, min(self.panels, columns // max(1, panel * self.dtype.itemsize)))
        flops = 2 * math.prod(self.tile) * self.nr * self.k_total
        while block > 1 and batch * -(-self.panels // block) * m_tiles < wanted:
            block = -(-block // 2)
        group = max(1, min(m_tiles, work // max(1, flops * block)))
        while group > 1 and batch * -(-self.panels // block) * -(-m_tiles // group) < wanted and group * flops * block > work // 8:
            group = -(-group // 2)
        n_blocks, m_groups = -(-self.panels // block), -(-m_tiles // group)
        items = batch * n_blocks * m_groups
        parts, step = 1, f.k[0] if f.k else 1
        if f.k and items < wanted and flops * m_tiles * self.panels * batch > 4 * work:
            want = min(f.k[0], 16)
            step = -(-f.k[0] // want)
            parts = -(-f.k[0] // step)
        total = 2 * batch * math.prod(f.m) * self.n_total * self.k_total
        w.schedule += [
            ("tile", self.tile),
            ("NR", self.nr),
            ("block", block),
            ("group", group),
            ("items", items),
            ("parts", parts),
            ("overlap", True),
        ]
        self.parts, self.step = parts, step
        self.m_flat = math.prod(f.m)
        self.pitch = self.panels * self.nr
        self.partial = w.scratch(self.dtype, max(1, parts * batch * self.m_flat * self.pitch), "kernel") if parts > 1 else ""
        tile_bytes = math.prod(self.tile) * self.k_total * self.dtype.itemsize
        gather = self.across and parts == 1 and block > 1 and math.prod(self.tile[:-1]) == 1 and tile_bytes <= columns // 2

        def item(i: Index) -> None:
            part = ix.mod(i, parts, w.ranges) if parts > 1 else ZERO
            i = ix.div(i, parts, w.ranges) if parts > 1 else i
            m_group = ix.mod(i, m_groups, w.ranges) if m_groups > 1 else ZERO
            i = ix.div(i, m_groups, w.ranges) if m_groups > 1 else i
            n_block = ix.mod(i, n_blocks, w.ranges) if n_blocks > 1 else ZERO
            q_flat = ix.div(i, n_blocks, w.ranges) if n_blocks > 1 else i
            q = delinear(q_flat, f.batch, w.ranges) if batch > 1 else (ZERO,) * len(f.batch)
            with w.loop("serial", self._count(m_group, group, m_tiles)) as t:
                tile = ix.add(ix.mul(m_group, group), t)
                corner = self._corner(tile, counts)
                if gather:
                    self._gather_rows(q, corner)
                with w.loop("serial", self._count(n_block, block, self.panels)) as j:
                    self._micro(q, corner, ix.add(ix.mul(n_block, block), j), part)

        self._parallel(items * parts, item, total)
        if parts > 1:
            self._combine(batch)
        return w.finish()

    def _count(self, i: Index, per: int, total: int) -> Index | int:
        """How many of `total` the i-th group of `per` holds."""
        if total % per == 0:
            return per
        w = self.w
        left = w.index_value(ix.add(ix.const(total), ix.mul(i, -per)))
        return w.as_index(w.min(left, w.const(per, dtypes.i64)))

    def _parallel(self, items: int, body: Callable[[Index], None], flops: int) -> None:
        w = self.w
        with w.loop("parallel" if flops >= self.machine.chunk_flops // 4 and items > 1 else "serial", items) as i:
            body(i)

    def _corner(self, tile: Index, counts: list[int]) -> list[Index]:
        """The first row of a tile in each dim of m: the last tile of a dim starts early."""
        w = self.w
        out: list[Index] = []
        for t, d, size in zip(delinear(tile, tuple(counts), w.ranges), self.form.m, self.tile):
            start = ix.mul(t, size)
            if d % size:
                start = w.as_index(w.min(w.index_value(start), w.const(d - size, dtypes.i64)))
            out.append(start)
        return out

    # -- A: rows in memory

    def _rows(self) -> Callable[[Point, Point, Point], Scalar]:
        """How an element of A is loaded: in place where it lies in memory as it is, else from a staged copy."""
        f, w = self.form, self.w
        self.across = False
        if f.zeros is None and self._in_place():
            pull = self._pull()
            return lambda q, m, k: f.a(pull, q, m, k)
        if f.zeros is not None:
            shape, at, where = f.left_shape, f.among_zeros, f.at_left
        else:
            nb, nm = len(f.batch), len(f.m)
            shape = (*f.batch, *f.m, *f.k)

            def at(p: Pull, point: Point) -> Scalar:
                return f.a(p, point[:nb], point[nb : nb + nm], point[nb + nm :])

            def where(q: Point, m: Point, k: Point) -> Point:
                return (*q, *m, *k)

        size = math.prod(shape)
        stage = w.scratch(self.dtype, max(1, size), "kernel")
        last = shape[-1] if shape else 1
        lines = math.prod(shape[:-1])
        per = max(1, 8192 // max(1, last))
        width = min(self.nr, 16)

        def line(i: Index) -> None:
            pull = self._pull()
            lead = delinear(i, shape[:-1], w.ranges)
            with w.loop("vector", last, width, last % width == 0) as v:
                w.store(stage, ix.add(ix.mul(i, last), v), convert(w, at(pull, (*lead, v)), self.dtype))

        chunks = -(-lines // per)
        if chunks <= 1:
            with w.loop("serial", lines) as i:
                line(i)
        else:
            with w.loop("parallel", chunks) as c:
                with w.loop("serial", self._count(c, per, lines)) as i:
                    line(ix.add(ix.mul(c, per), i))
        return lambda q, m, k: w.load(stage, linear(where(q, m, k), shape), self.dtype, pinned=True)

    def _in_place(self) -> bool:
        """Whether A's elements are plain loads of the right dtype at affine offsets."""
        f = self.form
        keep, self.w = self.w, KernelWriter("trial")
        try:
            points = []
            for name, dims in (("q", f.batch), ("m", f.m), ("k", f.k)):
                for j, d in enumerate(dims):
                    self.w.ranges[f"{name}{j}"] = d
                points.append(tuple(ix.var(f"{name}{j}") for j in range(len(dims))))
            out = f.a(self._pull(), *points)
            body = self.w.finish().body
        finally:
            self.w = keep
        if out.dtype is not self.dtype or len(body) != 1 or not isinstance(body[0], Load) or body[0].mask is not None:
            return False
        index = body[0].index
        if any(type(atom).__name__ in ("Div", "Mod", "Dyn") for atom, _ in index.terms):
            return False
        if f.m and f.k:
            step_m, step_k = (ix.coefficient(index, f"{name}{len(dims) - 1}") for name, dims in (("m", f.m), ("k", f.k)))
            self.across = step_m == 1 and isinstance(step_k, int) and step_k >= ACROSS
        return True

    def _gather_rows(self, q: Point, corner: list[Index]) -> None:
        """Copy a tile's rows, which lie across k in memory, to where the item's panels find them together.

        A step of k is a line of memory apart, at worst a page and in one set of the caches: each is read once then, not once
        for every panel.
        """
        f, w = self.form, self.w
        count = self.tile[-1]
        rows = w.scratch(self.dtype, count * self.k_total, "worker")
        width = 1 << (count - 1).bit_length()
        pull = self._pull()

        def step(k: Point) -> None:
            with w.loop("vector", count, width, count == width) as v:
                x = f.a(pull, q, (*corner[:-1], ix.add(corner[-1], v)), k)
                w.store(rows, ix.add(ix.mul(linear(k, f.k), count), v), x)

        self._over(f.k, (), step)

        def load(q: Point, m: Point, k: Point) -> Scalar:
            row = ix.sub(m[-1], corner[-1])
            return w.load(rows, ix.add(ix.mul(linear(k, f.k), count), row), self.dtype, pinned=True)

        self.a_load = load

    # -- B: packed panels

    def _pack(self, b_batch: int) -> None:
        f, w = self.form, self.w
        outer = f.k[0] if f.k else 1
        inner = f.k[1:]
        work = b_batch * self.panels * self.k_total * self.nr

        def item(i: Index) -> None:
            pull = self._pull()
            k0 = ix.mod(i, outer, w.ranges) if outer > 1 else ZERO
            i = ix.div(i, outer, w.ranges) if outer > 1 else i
            panel = ix.mod(i, self.panels, w.ranges) if self.panels > 1 else ZERO
            q_flat = ix.div(i, self.panels, w.ranges) if self.panels > 1 else i
            q_b = delinear(q_flat, tuple(f.batch[d] for d in f.b_batch), w.ranges) if b_batch > 1 else (ZERO,) * len(f.b_batch)
            q = [ZERO] * len(f.batch)
            for d, x in zip(f.b_batch, q_b):
                q[d] = x
            base = ix.mul(ix.add(ix.mul(q_flat if b_batch > 1 else ZERO, self.panels), panel), self.k_total * self.nr)
            with w.loop("vector", self.nr, self.nr, True) as v:
                n_flat, mask = self._column(panel, v)
                n = delinear(n_flat, f.n, w.ranges)
                self._over(inner, (k0,) if f.k else (), lambda k: self._pack_one(pull, tuple(q), k, n, mask, base, v))

        per = max(1, 16384 // max(1, self.nr * math.prod(inner)))
        items = b_batch * self.panels * outer
        chunks = -(-items // per)
        if chunks <= 1 or work < 65536:
            with w.loop("serial", items) as i:
                item(i)
        else:
            with w.loop("parallel", chunks) as c:
                with w.loop("serial", self._count(c, per, items)) as i:
                    item(ix.add(ix.mul(c, per), i))

    def _pack_one(self, pull: Pull, q: Point, k: Point, n: Point, mask: Scalar | None, base: Index, v: Index) -> None:
        w = self.w
        x = convert(w, self.form.b(pull, q, k, n, mask), self.dtype)
        w.store(PACKED, ix.add(ix.add(base, ix.mul(linear(k, self.form.k), self.nr)), v), x)

    def _column(self, panel: Index, v: Index) -> tuple[Index, Scalar | None]:
        """The column of a lane, and the mask of lanes that are columns (None: all are)."""
        w = self.w
        n = ix.add(ix.mul(panel, self.nr), v)
        if self.n_total % self.nr == 0:
            return n, None
        return n, w.lt(w.index_value(n), self.n_total)

    def _over(self, extents: tuple[int, ...], at: Point, body: Callable[[Point], None]) -> None:
        if not extents:
            body(at)
            return
        with self.w.loop("serial", extents[0]) as i:
            self._over(extents[1:], (*at, i), body)

    # -- the tile

    def _micro(self, q: Point, corner: list[Index], panel: Index, part: Index) -> None:
        f, w = self.form, self.w
        offsets = [delinear(ix.const(r), self.tile, {}) for r in range(math.prod(self.tile))]
        rows = [tuple(ix.add(c, o) for c, o in zip(corner, off)) for off in offsets]
        q_b = linear(tuple(q[d] for d in f.b_batch), tuple(f.batch[d] for d in f.b_batch))
        base = ix.mul(ix.add(ix.mul(q_b, self.panels), panel), self.k_total * self.nr)
        with w.loop("vector", self.nr, self.nr, True) as v:
            accs = [w.acc(self.dtype, 0) for _ in rows]

            def step(k: Point) -> None:
                b = w.load(PACKED, ix.add(ix.add(base, ix.mul(linear(k, f.k), self.nr)), v), self.dtype)
                for acc, m in zip(accs, rows):
                    w.reduce((acc,), "fma", (self.a_load(q, m, k), b))

            if self.parts > 1:
                first = ix.mul(part, self.step)
                with w.loop("serial", self._count(part, self.step, f.k[0])) as i:
                    self._over(f.k[1:], (ix.add(first, i),), step)
            else:
                self._over(f.k, (), step)
            n_flat, mask = self._column(panel, v)
            for acc, m in zip(accs, rows):
                x = w.get_acc(acc, self.dtype)
                if self.parts > 1:
                    w.store(self.partial, self._partial_at(part, q, m, n_flat), x)
                else:
                    self._finish(x, q, m, n_flat, mask)

    def _partial_at(self, part: Index, q: Point, m: Point, n: Index) -> Index:
        f = self.form
        row = linear((part, *q, *m), (self.parts, *f.batch, *f.m)) if self.parts > 1 else linear((*q, *m), (*f.batch, *f.m))
        return ix.add(ix.mul(row, self.pitch), n)

    def _finish(self, x: Scalar, q: Point, m: Point, n_flat: Index, mask: Scalar | None) -> None:
        """Apply what follows the contraction in its group, and store."""
        w, f = self.w, self.form
        pull = self._pull()
        out = self.node.outputs[0]
        point = f.out(q, m, delinear(n_flat, f.n, w.ranges))
        result = convert(w, x, out.type.dtype)
        pull.known[out] = lambda idx: result
        for v in self.group.outputs:
            name = self.buffer_of(v)
            assert name is not None
            w.buffer(name, v.type.dtype, "w")
            idx = tuple(ZERO if a is None else point[a] for a in self.group.maps[v])
            w.store(name, linear(idx, v.type.shape), pull.at(v, idx, mask), mask)

    def _combine(self, batch: int) -> None:
        """Sum the parts of a long k, then finish."""
        f, w = self.form, self.w
        rows = batch * self.m_flat

        def row(i: Index) -> None:
            point = delinear(i, (*f.batch, *f.m), w.ranges)
            q, m = point[: len(f.batch)], point[len(f.batch) :]
            with w.loop("vector", self.n_total, min(self.nr, 16), self.n_total % min(self.nr, 16) == 0) as v:
                acc = w.acc(self.dtype, 0)
                with w.loop("serial", self.parts) as part:
                    w.reduce((acc,), "sum", (w.load(self.partial, self._partial_at(part, q, m, v), self.dtype, pinned=True),))
                self._finish(w.get_acc(acc, self.dtype), q, m, v, None)

        per = max(1, 4096 // max(1, self.n_total * self.parts // 4))
        chunks = -(-rows // per)
        if chunks <= 1:
            with w.loop("serial", rows) as i:
                row(i)
        else:
            with w.loop("parallel", chunks) as c:
                with w.loop("serial", self._count(c, per, rows)) as i:
                    row(ix.add(ix.mul(c, per), i))


def lower_contraction(
    graph: Graph,
    group: Group,
    buffer_of: Callable[[Value], str | None],
    check: Callable[[Node], int],
    machine: Machine,
    extra: dict[str, Value],
) -> list[Kernel]:
    """The kernels of a contraction and the elementwise ops that follow it: packing, then the product.

    What passes between them is entered in `extra`: buffer name -> a value of its own.
    """
    c = _Contraction(graph, group, buffer_of, check, machine)
    extra[PACKED] = Value(c.packed_type)
    return [c.pack(), c.multiply()]
