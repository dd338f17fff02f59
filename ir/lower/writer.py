"""Writing one kernel: scopes, names, hoisting, and the Emitter that appends loop IR.

Every statement goes to the outermost scope in which all it depends on is defined, so that what does not change in a
loop is computed before it: a scope's loop is attached to its parent only when it closes, after everything hoisted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

from ingot.ir import dtypes
from ingot.ir.dtypes import DType
from ingot.ir.instructions import Instructions
from ingot.ir.loop import index as ix
from ingot.ir.loop.expression import Div, Dyn, Index, Mod, Var
from ingot.ir.loop.ir import (
    Acc,
    Alloc,
    Buffer,
    Check,
    Commit,
    Const,
    CopyAsync,
    For,
    GetAcc,
    If,
    IndexValue,
    Kernel,
    Let,
    Load,
    LoadMatrix,
    Mma,
    Operand,
    Reduce,
    SetAcc,
    Shuffle,
    Stmt,
    Store,
    Table,
    Wait,
    WarpgroupMma,
    WarpgroupWait,
)
from ingot.ir.size import Size, at_most, ceil_div, exactly
from ingot.ir.types import Dim, Shape

__all__ = ["KernelWriter", "Lanes", "Scalar"]


class Scalar:
    """A scalar of the kernel being written: a name or a literal, with its dtype."""

    __slots__ = ("operand", "dtype")

    def __init__(self, operand: Operand, dtype: DType):
        self.operand = operand
        self.dtype = dtype


class Lanes(NamedTuple):
    """A loop that vectors run in: its variable and extent, how many elements that is at most (None: unknown), and the scope around it."""

    var: str
    extent: Index
    most: int | None
    around: int


class _Scope:
    __slots__ = ("body", "memo", "extent")

    def __init__(self) -> None:
        self.body: list[Stmt] = []
        self.memo: dict[Any, Any] = {}
        self.extent: Index | None = None  # of a loop that may run nothing


class KernelWriter(Instructions):
    """Builds a Kernel. It is also the Emitter (ir/instructions.py) that elementwise ops write their code with."""

    def __init__(self, name: str):
        self.name = name
        self.buffers: dict[str, Buffer] = {}
        self.ranges: dict[str, Dim] = {}  # loop variable -> extent, where it is known
        self.parts: set[str] = set()  # variables of loops over a part of an axis: what they are compared with is decided there
        self._indices: dict[str, Index] = {}  # of scalars that depend on those
        self._scopes = [_Scope()]
        self._depth: dict[str, int] = {}  # scalar name or variable -> the scope that defines it
        self._count = 0
        self._empty = 0  # open loops that run nothing: loads and checks must not leave them
        self._floor = 0  # the innermost open branch: loads and checks must not leave it
        self.lanes: Lanes | None = None  # the open loop that vectors run in

    # -- names and scopes ---------------------------------------------------------------------------------------

    def fresh(self, prefix: str = "%") -> str:
        """A name that nothing in the kernel has."""
        self._count += 1
        return f"{prefix}{self._count}"

    def buffer(self, name: str, dtype: DType, access: str, noalias: bool = False) -> str:
        """Declare a buffer parameter, or widen the access of one declared before."""
        old = self.buffers.get(name)
        if old is not None and old.access != access:
            access = "rw"
        self.buffers[name] = Buffer(name, dtype, access, noalias)
        return name

    @contextmanager
    def loop(
        self, kind: str, extent: Index | Dim, width: int = 1, exact: bool = False, most: Dim | None = None, span: int | None = None
    ) -> Iterator[Index]:
        """A loop around what is written inside; yields its variable as an Index. `most`: what a computed extent is at most; `span`: the
        same, for what is made ahead for a vector loop."""
        var = self.fresh({"parallel": "p", "vector": "v", "unroll": "u", "grid": "g", "block": "t"}.get(kind, "i"))
        if not isinstance(extent, Index):
            most, extent = extent, ix.const(extent)
        if most is not None:
            self.ranges[var] = most
        self._empty += most == 0
        self._scopes.append(_Scope())
        self._depth[var] = len(self._scopes) - 1
        lanes = self.lanes
        if kind == "vector":
            known = extent.const if not extent.terms and isinstance(extent.const, int) else span
            self.lanes = Lanes(var, extent, known, len(self._scopes) - 2)
        if kind != "unroll" and isinstance(most, Size) and not at_most(1, most):
            self._scopes[-1].extent = extent
        try:
            yield ix.var(var)
        finally:
            scope = self._scopes.pop()
            self._empty -= most == 0
            self.lanes = lanes
        if scope.body:
            self._scopes[-1].body.append(For(var, extent, kind, scope.body, width, exact))

    @contextmanager
    def when(self, cond: Scalar) -> Iterator[None]:
        """A branch around what is written inside, taken where `cond` holds."""
        self._scopes.append(_Scope())
        around, self._floor = self._floor, self.depth
        try:
            yield
        finally:
            scope = self._scopes.pop()
            self._floor = around
        if scope.body:
            self._scopes[-1].body.append(If(cond.operand, scope.body))

    @contextmanager
    def ahead(self, depth: int) -> Iterator[None]:
        """What is written inside stands in the scope of this depth, before the loops that are open in it."""
        inner = self._scopes[depth + 1 :]
        del self._scopes[depth + 1 :]
        floor, lanes, self._floor, self.lanes = self._floor, self.lanes, min(self._floor, depth), None
        try:
            yield
        finally:
            self._scopes += inner
            self._floor, self.lanes = floor, lanes

    def rest(self, i: Index, per: Dim, total: Index | Dim) -> Index | Dim:
        """min(per, total - i * per): how many of `total` the i-th chunk of `per` holds; of a computed total that ends before: none
        or less."""
        if not isinstance(total, Index):
            if exactly(total, per) is not None:
                return per
            total = ix.const(total)
        left = self.index_value(ix.add(total, ix.mul(i, -per)))
        return self.as_index(self.min(left, self.index_value(ix.const(per))))

    def chunks(self, n: Dim, per: Dim, body: Callable[[Index], None]) -> None:
        """`body` for each of n items, `per` of them to a parallel chunk; one after the other where that is all of them."""
        if at_most(n, per):
            with self.loop("serial", n) as i:
                body(i)
            return
        with self.loop("parallel", ceil_div(n, per)) as c:
            with self.loop("serial", self.rest(c, per, n)) as i:
                body(ix.add(ix.mul(c, per), i))

    def over(self, extents: Shape, at: tuple[Index, ...], body: Callable[[tuple[Index, ...]], None]) -> None:
        """`body` at every point of some extents, after the coordinates `at`."""
        if not extents:
            body(at)
            return
        with self.loop("serial", extents[0]) as i:
            self.over(extents[1:], (*at, i), body)

    def depth_of(self, x: Any) -> int:
        """The scope that defines an operand, Scalar or Index (0: the kernel's top)."""
        if isinstance(x, Scalar):
            x = x.operand
        if isinstance(x, str):
            return self._depth.get(x, 0)
        if isinstance(x, Index):
            return self._scope_of_index(x)
        return 0

    def _scope_of_index(self, index: Index) -> int:
        deepest = 0
        for atom, _ in index.terms:
            if isinstance(atom, (Var, Dyn)):
                d = self._depth.get(atom.name, 0)
            elif isinstance(atom, (Div, Mod)):
                d = self._scope_of_index(atom.num)
            else:
                d = 0
            if d > deepest:
                deepest = d
        return deepest

    @property
    def depth(self) -> int:
        """How many loops and branches are open."""
        return len(self._scopes) - 1

    def remembered(self, key: Any) -> Any:
        """What was remembered under a key in a scope that is still open; None where nothing was."""
        for scope in reversed(self._scopes):
            found = scope.memo.get(key)
            if found is not None:
                return found
        return None

    def remember(self, key: Any, value: Any, depth: int) -> None:
        """Remember a value under a key for as long as the scope at this depth is open."""
        self._scopes[depth].memo[key] = value

    def append(self, stmt: Stmt) -> None:
        """A statement with an effect: it stays where it is written."""
        self._scopes[-1].body.append(stmt)

    # -- memory and accumulators --------------------------------------------------------------------------------

    def load(self, buf: str, index: Index, dtype: DType, mask: Scalar | None = None, pinned: bool = False) -> Scalar:
        """Load; `pinned` where the buffer is written inside this kernel, so that the load must not move."""
        if mask is not None and isinstance(mask.operand, Const):
            if not mask.operand.value:
                return self.const(0, dtype)
            mask = None
        depth = self.depth if pinned or self._empty else max(self._floor, self._scope_of_index(index), self.depth_of(mask) if mask else 0)
        key = ("load", buf, index, mask.operand if mask else None)
        found = None if pinned else self.remembered(key)
        if found is None:
            name = self._new(depth)
            self._scopes[depth].body.append(Load(name, buf, index, mask.operand if mask else None))
            found = Scalar(name, dtype)
            if not pinned:
                self.remember(key, found, depth)
        return found

    def load_word(self, buf: str, index: Index, dtype: DType, pinned: bool = False) -> Scalar:
        """The elements from an index on that fill a scalar of `dtype`; see `Load` and `load`."""
        depth = self.depth if pinned or self._empty else max(self._floor, self._scope_of_index(index))
        key = ("word", buf, index, dtype)
        found = None if pinned else self.remembered(key)
        if found is None:
            found = Scalar(self._new(depth), dtype)
            self._scopes[depth].body.append(Load(found.operand, buf, index, None, dtype))  # type: ignore[arg-type]
            if not pinned:
                self.remember(key, found, depth)
        return found

    def store(self, buf: str, index: Index, src: Scalar, mask: Scalar | None = None, streaming: bool = False) -> None:
        """Store a scalar; `streaming`: past the caches."""
        self.append(Store(buf, index, src.operand, mask.operand if mask else None, streaming))

    def scratch(self, dtype: DType, size: Dim, scope: str) -> str:
        """Scratch memory; that of the whole kernel is declared at its top. See `Alloc`."""
        name = self.fresh("s")
        self._scopes[0 if scope == "kernel" else self.depth].body.append(Alloc(name, dtype, size, scope))
        return name

    def table(self, dtype: DType, data: bytes) -> str:
        """Elements that are part of the code, declared at the kernel's top once."""
        found = self.remembered(("table", dtype, data))
        if found is None:
            found = self.fresh("t")
            self._scopes[0].body.append(Table(found, dtype, data))
            self.remember(("table", dtype, data), found, 0)
        return found

    def acc(self, dtype: DType, init: bool | int | float, shape: tuple[int, ...] = ()) -> str:
        """Declare an accumulator."""
        name = self.fresh("acc")
        self.append(Acc(name, dtype, Const(init, dtype), shape))
        self._depth[name] = self.depth
        return name

    def reduce(self, accs: tuple[str, ...], kind: str, values: tuple[Scalar, ...], at: tuple[Index, ...] = ()) -> None:
        """Fold values into accumulators."""
        self.append(Reduce(accs, kind, tuple(v.operand for v in values), at))

    def mma(self, dtype: DType, accs: Sequence[str], left: Sequence[Scalar], right: Sequence[Scalar]) -> None:
        """Small matrices, of which the threads of a warp hold parts, multiplied into accumulators; see `Mma`."""
        self.append(Mma(dtype, tuple(accs), tuple(x.operand for x in left), tuple(x.operand for x in right)))

    def copy_async(self, dst: str, to: Index, src: str, at: Index, nbytes: int, mask: Scalar | None = None) -> None:
        """A copy into shared memory that is on its way until `wait`; see `CopyAsync`."""
        self.append(CopyAsync(dst, to, src, at, nbytes, mask.operand if mask else None))

    def commit(self) -> None:
        """The copies since the last commit are a group."""
        self.append(Commit())

    def wait(self, groups: int) -> None:
        """Wait for all groups of copies but the last `groups`."""
        self.append(Wait(groups))

    def load_matrix(self, buf: str, at: Index, turned: bool = False) -> list[Scalar]:
        """Registers of four matrices in shared memory, of which the thread names a line; see `LoadMatrix`."""
        begin = self.index_value(at)
        a, b, c, d = (self._new(self.depth) for _ in range(4))
        self.append(LoadMatrix((a, b, c, d), buf, begin.operand, turned))
        return [Scalar(name, dtypes.u32) for name in (a, b, c, d)]

    def warpgroup(
        self, dtype: DType, accs: Sequence[str], left: tuple[str, Index], right: tuple[str, Index], steps: int, turned: tuple[bool, bool]
    ) -> None:
        """Matrices in shared memory, multiplied into accumulators by four warps together; see `WarpgroupMma`."""
        (a, a_at), (b, b_at) = ((buf, self.index_value(at).operand) for buf, at in (left, right))
        self.append(WarpgroupMma(dtype, tuple(accs), a, a_at, b, b_at, steps, turned))

    def settle(self, groups: int, accs: Sequence[str] = ()) -> None:
        """Wait for all products of a warpgroup but the last `groups`; see `WarpgroupWait`."""
        self.append(WarpgroupWait(groups, tuple(accs)))

    def shuffle(self, x: Scalar, lanes: int) -> Scalar:
        """What the thread of the warp has whose number differs in the bit `lanes`; see `Shuffle`."""
        name = self._new(self.depth)
        self.append(Shuffle(name, x.operand, lanes))
        return Scalar(name, x.dtype)

    def set_acc(self, acc: str, value: Scalar) -> None:
        """Give an accumulator another value."""
        self.append(SetAcc(acc, value.operand))

    def get_acc(self, acc: str, dtype: DType, at: tuple[Index, ...] = ()) -> Scalar:
        """The present value of an accumulator."""
        name = self._new(self.depth)
        self.append(GetAcc(name, acc, at))
        return Scalar(name, dtype)

    def check(self, cond: Scalar, code: int) -> int:
        """Fail with `code` unless `cond` holds. The scope it stands in: the outermost that knows `cond`, where that runs at all."""
        depth = self.depth if self._empty else max(self._floor, self.depth_of(cond))
        for scope in self._scopes[depth + 1 :]:
            if scope.extent is not None:  # what does not run does not fail
                cond = self.or_(cond, self.le(self.index_value(scope.extent), 0))
                depth = max(depth, self.depth_of(cond))
        self._scopes[depth].body.append(Check(cond.operand, code))
        return depth

    def index_value(self, index: Index) -> Scalar:
        """An index expression as an i64 scalar."""
        if not index.terms and isinstance(index.const, int):
            return Scalar(Const(index.const, dtypes.i64), dtypes.i64)
        found = self.remembered(("ix", index))
        if found is None:
            depth = self._scope_of_index(index)
            name = self._new(depth)
            self._scopes[depth].body.append(IndexValue(name, index))
            found = Scalar(name, dtypes.i64)
            if self.parts and ix.depends_on(index, self.parts):
                self._indices[name] = index
            self.remember(("ix", index), found, depth)
        return found

    def as_index(self, x: Scalar) -> Index:
        """An i64 scalar as an index expression."""
        if isinstance(x.operand, Const):
            return ix.const(int(x.operand.value))
        return ix.dyn(x.operand)

    def _new(self, depth: int) -> str:
        name = self.fresh()
        self._depth[name] = depth
        return name

    # -- the Emitter --------------------------------------------------------------------------------------------

    def dtype(self, x: Scalar) -> DType:
        """The dtype of a scalar."""
        return x.dtype

    def const(self, value: bool | int | float, dtype: DType) -> Scalar:
        """A literal."""
        if dtype.kind == "f":
            value = float(value)
        elif dtype.kind == "b":
            value = bool(value)
        else:
            value = int(value)
        return Scalar(Const(value, dtype), dtype)

    def instruction(self, op: str, args: tuple[Any, ...], dtype: DType | None = None) -> Scalar:
        """One instruction, computed once where all its operands are known; plain numbers take the dtype of the others."""
        like = next((a.dtype for a in args if isinstance(a, Scalar) and not (op == "select" and a is args[0])), None)
        scalars = tuple(a if isinstance(a, Scalar) else self._number(a, like) for a in args)
        out = dtype or like
        assert out is not None
        if self._indices and (known := self._decided(op, scalars)) is not None:
            return known
        operands = tuple(s.operand for s in scalars)
        key = (op, operands, out)
        found = self.remembered(key)
        if found is None:
            depth = max(map(self.depth_of, scalars))
            name = self._new(depth)
            self._scopes[depth].body.append(Let(name, op, operands, out))
            found = Scalar(name, out)
            self.remember(key, found, depth)
        return found

    def _decided(self, op: str, args: tuple[Scalar, ...]) -> Scalar | None:
        """What an instruction gives in the whole part of an axis that a loop goes over; None where that is not known."""
        a = args[0].operand
        if op in ("lt", "ge") and isinstance(a, str) and a in self._indices and isinstance(args[1].operand, Const):
            low, high = ix.bounds(self._indices[a], self.ranges)
            below, c = op == "lt", args[1].operand.value
            if isinstance(high, int) and high < c:
                return self.const(below, dtypes.bool_)
            return self.const(not below, dtypes.bool_) if isinstance(low, int) and low >= c else None
        consts = [x.operand.value if isinstance(x.operand, Const) else None for x in args]
        if op == "select" and consts[0] is not None:
            return args[1] if consts[0] else args[2]
        if op in ("and", "or") and args[0].dtype is dtypes.bool_:
            for mine, other in ((0, 1), (1, 0)):
                if consts[mine] is not None:
                    return args[other] if consts[mine] is (op == "and") else args[mine]
        return None

    def _number(self, x: Any, like: DType | None) -> Scalar:
        assert like is not None
        return self.cast(self.index_value(ix.const(x)), like) if isinstance(x, Size) else self.const(x, like)

    # -- the result ---------------------------------------------------------------------------------------------

    def finish(self) -> Kernel:
        """The kernel, once every loop is closed."""
        assert len(self._scopes) == 1, "a loop is still open"
        return Kernel(self.name, tuple(self.buffers.values()), (), self._scopes[0].body)
