"""Executes loop IR on NumPy arrays: the oracle for the backends' tests. Slow, and checks every index.

    code = run_kernel(kernel, [x, y, out], params=[n])      # arrays are changed in place
    code = run_program(program, slots)                      # one array per argument slot (rank 0: by value), symbols' values included

Lanes of a vector loop are NumPy arrays. The threads of a block run one after the other, from barrier to barrier. Copies that are on
their way land when a thread waits for them, and no sooner.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from ingot.ir import dtypes
from ingot.ir.loop.expression import Coef, Div, Dyn, Index, Param, Var
from ingot.ir.loop.folds import FOLDS, Fold
from ingot.ir.loop.fragments import GROUP, GROUP_ROWS, LANES, LEFT, LINE, RIGHT, SUMS, apart, multiplied, multiplied_shared
from ingot.ir.loop.ir import (
    Acc,
    Alloc,
    Barrier,
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
    Transpose,
    Wait,
    WarpgroupMma,
    WarpgroupWait,
)
from ingot.ir.loop.program import Branch, Copy, Launch, Program, Ref, Repeat, Step
from ingot.ir.loop.races import Races
from ingot.ir.loop.walk import statements
from ingot.ir.numpy_emitter import NumpyEmitter
from ingot.ir.size import ShapeError, evaluate
from ingot.ir.types import Dim

__all__ = ["run_kernel", "run_program"]

_E = NumpyEmitter()
_TRAILING = {"and": "and_", "or": "or_", "not": "not_"}


def run_kernel(kernel: Kernel, arrays: Sequence[np.ndarray], params: Sequence[int] = (), races: bool = False) -> int:
    """Run a kernel on flat or contiguous arrays, in place. Returns 0 or the smallest code of the failed checks.

    IndexError where the kernel reads or writes outside a buffer; with `races`, Race where the threads of a grid depend on their order.
    """
    if len(arrays) != len(kernel.buffers) or len(params) != len(kernel.params):
        raise ValueError(f"kernel {kernel.name} takes {len(kernel.buffers)} buffers and {len(kernel.params)} parameters, "
                         f"not {len(arrays)} and {len(params)}")  # fmt: skip
    bufs = {b.name: np.reshape(a, -1) for b, a in zip(kernel.buffers, arrays)}
    for b, flat in zip(kernel.buffers, bufs.values()):
        if flat.dtype != b.dtype.numpy:
            raise TypeError(f"kernel {kernel.name}: buffer {b.name} is {b.dtype}, not {flat.dtype}")
    frame = _Frame(bufs, dict(zip(kernel.params, params)))
    if races:
        shared = (s.name for s in statements(kernel.body) if isinstance(s, Alloc) and s.scope == "shared")
        frame.races = Races(kernel.name, frozenset(shared))
    with np.errstate(all="ignore"):
        for _ in _run(frame, kernel.body):
            raise ValueError(f"kernel {kernel.name}: a barrier outside a block")
    return min(frame.failed, default=0)


Together = Mma | Shuffle | LoadMatrix | WarpgroupMma | WarpgroupWait  # what threads do together


class _Frame:
    """What one thread of execution sees."""

    def __init__(self, bufs: dict[str, np.ndarray], params: dict[str, int]):
        self.bufs = bufs
        self.params = params
        self.vars: dict[str, Any] = {}
        self.names: dict[str, Any] = {}
        self.accs: dict[str, dict[tuple[int, ...], Any]] = {}
        self.failed: list[int] = []
        self.lanes = 0
        self.mask: np.ndarray | None = None
        self.races: Races | None = None
        self.copies: list[list[Callable[[], None]]] = [[]]  # on their way, by group; the last group is open

    def copy(self) -> _Frame:
        out = _Frame(dict(self.bufs), self.params)
        out.vars, out.names = dict(self.vars), dict(self.names)
        out.accs = {k: dict(v) for k, v in self.accs.items()}
        out.failed, out.races = self.failed, self.races
        return out

    def operand(self, x: Operand) -> Any:
        return _E.const(x.value, x.dtype) if isinstance(x, Const) else self.names[x]

    def coef(self, c: Coef) -> int:
        return c if isinstance(c, int) else self.params[c.name]

    def divisor(self, c: Coef) -> int:
        found = self.coef(c)
        if found < 1:
            raise ValueError(f"a division by {c}, which is {found}")
        return found

    def index(self, i: Index) -> Any:
        total: Any = self.coef(i.const)
        for atom, c in i.terms:
            if isinstance(atom, Var):
                v = self.vars[atom.name]
            elif isinstance(atom, Param):
                v = self.params[atom.name]
            elif isinstance(atom, Dyn):
                v = self.names[atom.name]
                v = v if np.ndim(v) else int(v)
            elif isinstance(atom, Div):
                v = self.index(atom.num) // self.divisor(atom.den)
            else:
                v = self.index(atom.num) % self.divisor(atom.den)
            total = total + v * self.coef(c)
        return total

    def present(self, mask: Operand | None) -> Any:
        """Which lanes take part: True, a bool, or one bool per lane."""
        out: Any = True if mask is None else self.operand(mask)
        return out if self.mask is None else np.logical_and(out, self.mask)


def _run(f: _Frame, body: list[Stmt]) -> Iterator[Together | None]:
    for s in body:
        simple = _SIMPLE.get(type(s))
        if simple is not None:
            simple(f, s)
        elif isinstance(s, For):
            yield from _LOOPS[s.kind](f, s)
        elif isinstance(s, If):
            cond = np.asarray(f.operand(s.cond))
            if cond.ndim:
                raise ValueError("the condition of an If differs between lanes")
            if cond:
                yield from _run(f, s.body)
        else:
            assert isinstance(s, (Barrier, LoadMatrix, Mma, Shuffle, WarpgroupMma, WarpgroupWait))
            yield None if isinstance(s, Barrier) else s


# -- loops -----------------------------------------------------------------------------------------------------------


def _serial(f: _Frame, s: For) -> Iterator[Together | None]:
    extent = f.index(s.extent)
    if np.ndim(extent):
        raise ValueError(f"the extent of loop {s.var} differs between lanes")
    for k in range(int(extent)):
        f.vars[s.var] = k
        yield from _run(f, s.body)


def _vector(f: _Frame, s: For) -> Iterator[Together | None]:
    extent = int(f.index(s.extent))
    if f.lanes:
        raise ValueError(f"vector loop {s.var} stands inside another")
    if s.width == 1:
        yield from _serial(f, s)
        return
    if s.exact and extent % s.width:
        raise ValueError(f"vector loop {s.var} is exact, but {s.width} does not divide {extent}")
    groups = {accs: fold for accs, fold in _folds(s.body) if accs[0] in f.accs}
    saved = {name: dict(f.accs[name]) for accs in groups for name in accs}
    for accs, fold in groups.items():
        for at, first in f.accs[accs[0]].items():
            for name, neutral in zip(accs, fold.neutral(dtypes.by_numpy(first.dtype))):
                f.accs[name][at] = np.full(s.width, neutral, saved[name][at].dtype)
    f.lanes = s.width
    for first in range(0, extent, s.width):
        lanes = np.arange(first, first + s.width)
        f.vars[s.var] = lanes
        f.mask = None if first + s.width <= extent else lanes < extent
        yield from _run(f, s.body)
    f.lanes, f.mask = 0, None
    for accs, fold in groups.items():
        for at in f.accs[accs[0]]:
            parts = tuple(f.accs[name][at] for name in accs)
            while len(parts[0]) > 1:
                half = len(parts[0]) // 2
                parts = fold.combine(_E, tuple(p[:half] for p in parts), tuple(p[half:] for p in parts))
            folded = fold.combine(_E, tuple(saved[name][at] for name in accs), tuple(p[0] for p in parts))
            for name, v in zip(accs, folded):
                f.accs[name][at] = np.asarray(v)


def _folds(body: list[Stmt]) -> Iterator[tuple[tuple[str, ...], Fold]]:
    """What is folded, and how partial results of it are combined."""
    for s in body:
        if isinstance(s, Reduce):
            yield s.accs, FOLDS[s.kind]
        elif isinstance(s, (For, If)):
            yield from _folds(s.body)


def _block(f: _Frame, s: For) -> Iterator[Together | None]:
    """All threads of nested block loops, from barrier to barrier."""
    threads = [f.copy()]
    body = [s]
    while len(body) == 1 and isinstance(body[0], For) and body[0].kind == "block":
        loop = body[0]
        spread: list[_Frame] = []
        for t in threads:
            for k in range(int(t.index(loop.extent))):
                spread.append(t.copy())
                spread[-1].vars[loop.var] = k
        threads, body = spread, loop.body  # type: ignore[assignment]
    running = [_run(t, body) for t in threads]  # type: ignore[arg-type]
    if f.races is not None:
        f.races.begin()
    while running:
        at_barrier, waits = [], []
        for k, r in enumerate(running):
            if f.races is not None:
                f.races.thread = k
            found = next(r, _DONE)
            if found is not _DONE:
                at_barrier.append(r)
                waits.append(found)
        if at_barrier and (len(at_barrier) != len(running) or any(x is not waits[0] for x in waits)):
            raise ValueError("some threads of a block end before a barrier that others wait at")
        if waits and isinstance(waits[0], Mma):
            _mma(threads, waits[0])
        elif waits and isinstance(waits[0], Shuffle):
            _shuffle(threads, waits[0])
        elif waits and isinstance(waits[0], LoadMatrix):
            _load_matrix(threads, waits[0])
        elif waits and isinstance(waits[0], WarpgroupMma):
            _warpgroup(threads, waits[0])
        elif waits and isinstance(waits[0], WarpgroupWait):
            if f.races is not None:
                f.races.settle(waits[0].groups)
        elif f.races is not None:
            f.races.barrier()
        running = at_barrier
    return
    yield


def _mma(threads: list[_Frame], s: Mma) -> None:
    """The products of each warp."""
    for first in range(0, len(threads), LANES):
        warp = threads[first : first + LANES]
        left, right = ([np.array([t.operand(x) for t in warp]) for x in side] for side in (s.left, s.right))
        each = len(s.right) // RIGHT
        for k in range(len(s.accs) // SUMS):
            accs, a, b = s.accs[SUMS * k : SUMS * k + SUMS], left[k // each * LEFT :][:LEFT], right[k % each * RIGHT :][:RIGHT]
            new = multiplied(s.dtype, [np.array([t.accs[name][()] for t in warp]) for name in accs], a, b)
            for name, values in zip(accs, new):
                for t, x in zip(warp, values):
                    t.accs[name][()] = np.asarray(x)


def _warpgroup(threads: list[_Frame], s: WarpgroupMma) -> None:
    """The products of each warpgroup, which reads what it multiplies until it is waited for."""
    reads: list[tuple[int, str, Sequence[int]]] = []
    for first in range(0, len(threads), GROUP):
        group = threads[first : first + GROUP]
        n = 2 * len(s.accs)
        operands = []
        for name, at, rows, turned in ((s.left, s.left_at, GROUP_ROWS, s.turned[0]), (s.right, s.right_at, n, s.turned[1])):
            begin, size = int(group[0].operand(at)), rows // GROUP_ROWS * apart(s.steps) if turned else rows * LINE
            buf = group[0].bufs[name]
            if any(int(t.operand(at)) != begin for t in group) or begin % 256 or not 0 <= begin <= buf.size - size:
                raise IndexError(f"{s} reads {size} words from {begin} on of the {buf.size} words of {name}")
            operands.append(buf[begin : begin + size])
            reads.append((first, name, range(begin, begin + size)))
        lane, k = np.arange(GROUP)[:, None], np.arange(len(s.accs))
        row = 16 * (lane // LANES) + lane % LANES // 4 + 8 * (k % SUMS // 2)
        column = 8 * (k // SUMS) + 2 * (lane % 4) + k % 2
        sums = np.zeros((GROUP_ROWS, n), np.float32)
        sums[row, column] = [[t.accs[name][()] for name in s.accs] for t in group]
        sums = multiplied_shared(s.dtype, sums, operands[0], operands[1], s.steps, s.turned)
        for t, values in zip(group, sums[row, column]):
            for name, x in zip(s.accs, values):
                t.accs[name][()] = np.asarray(x)
    races = threads[0].races
    if races is not None:
        races.begin_products(reads)


def _shuffle(threads: list[_Frame], s: Shuffle) -> None:
    """What each thread gets of another one of its warp."""
    values = [t.operand(s.src) for t in threads]
    for k, t in enumerate(threads):
        t.names[s.dst] = values[k ^ s.lanes]


def _load_matrix(threads: list[_Frame], s: LoadMatrix) -> None:
    """The words that each thread gets, of the lines that threads of its warp name."""
    for k, thread in enumerate(threads):
        buf, races = thread.bufs[s.buf], thread.races
        for r, name in enumerate(s.dsts):
            begin = int(threads[k - k % LANES + 8 * r + k % LANES // 4].operand(s.at))
            at = begin + k % 4
            if begin % 4 or not 0 <= at < buf.size:
                raise IndexError(f"{s} begins a line at {begin} of the buffer's {buf.size} words")
            if races is not None:
                races.thread = k
                races.touch(s.buf, [at], False)
            thread.names[name] = np.array(buf[at])
            if s.turned:
                lines = [int(threads[k - k % LANES + 8 * r + 2 * (k % 4) + i].operand(s.at)) for i in (0, 1)]
                halves = [buf[line + k % LANES // 8] >> (k % LANES // 4 % 2 * 16) & 0xFFFF for line in lines]
                thread.names[name] = np.array(halves[0] | halves[1] << 16, np.uint32)


_DONE: Any = object()
_LOOPS = {"serial": _serial, "parallel": _serial, "unroll": _serial, "grid": _serial, "vector": _vector, "block": _block}


# -- statements ------------------------------------------------------------------------------------------------------


def _load(f: _Frame, s: Load) -> None:
    buf = f.bufs[s.buf]
    at, present = f.index(s.index), f.present(s.mask)
    if f.races is not None and np.all(present):
        f.races.touch(s.buf, np.ravel(at).tolist(), False)
    if s.word is not None:
        every = at + np.arange(s.word.itemsize // buf.itemsize)
        _bounds(s, every, buf)
        f.names[s.dst] = buf[every].view(s.word.numpy)[0]
        return
    if present is True and isinstance(at, int):
        _bounds(s, at, buf)
        f.names[s.dst] = np.array(buf[at])
        return
    if np.ndim(at) == 0:
        if not np.any(present):
            f.names[s.dst] = np.zeros(np.shape(present), buf.dtype)
            return
        _bounds(s, at, buf)
        mask = True if s.mask is None else f.operand(s.mask)
        f.names[s.dst] = np.where(mask, buf[at], buf.dtype.type(0)).astype(buf.dtype)
        return
    present = np.broadcast_to(present, at.shape)
    _bounds(s, at[present], buf)
    out = np.zeros(at.shape, buf.dtype)
    out[present] = buf[at[present]]
    f.names[s.dst] = out


def _store(f: _Frame, s: Store) -> None:
    buf = f.bufs[s.buf]
    at, src, present = f.index(s.index), f.operand(s.src), f.present(s.mask)
    if f.lanes:
        at, src, present = (np.broadcast_to(x, (f.lanes,)) for x in (at, src, present))
        at, src = at[present], src[present]
    elif not present:
        return
    if f.races is not None:
        f.races.touch(s.buf, np.ravel(at).tolist(), True)
    _bounds(s, at, buf)
    if isinstance(at, int) and not f.lanes:
        buf[at] = src
        return
    for a, v in zip(np.reshape(at, -1), np.reshape(src, -1)):  # in lane order: the last of equal indices stays
        buf[a] = v


def _copy_async(f: _Frame, s: CopyAsync) -> None:
    dst, src = f.bufs[s.dst], f.bufs[s.src]
    to, at, mask = int(f.index(s.to)), int(f.index(s.at)), s.mask is None or bool(f.operand(s.mask))
    n, count = s.nbytes // src.itemsize, s.nbytes // dst.itemsize
    if to % count or at % n or not 0 <= to <= dst.size - count or mask and not 0 <= at <= src.size - n:
        raise IndexError(f"{s} is outside or not aligned: from {at} to {to}")
    there = range(to, to + count)
    if f.races is not None:
        if mask:
            f.races.touch(s.src, range(at, at + n), False)
        f.races.begin_copy(s.dst, there)

    def land() -> None:
        dst[to : to + count] = src[at : at + n].view(dst.dtype) if mask else 0
        if f.races is not None:
            f.races.end_copy(s.dst, there)

    f.copies[-1].append(land)


def _commit(f: _Frame, s: Commit) -> None:
    f.copies.append([])


def _wait(f: _Frame, s: Wait) -> None:
    while len(f.copies) > s.groups + 1:
        for land in f.copies.pop(0):
            land()


def _transpose(f: _Frame, s: Transpose) -> None:
    lines = np.arange(s.size)
    to = f.index(s.to) + lines[:, None] * f.coef(s.to_step) + lines
    at = f.index(s.at) + lines * f.coef(s.at_step) + lines[:, None]
    for where, buf in ((to, f.bufs[s.dst]), (at, f.bufs[s.src])):
        _bounds(s, where, buf)
    f.bufs[s.dst][to] = f.bufs[s.src][at]


def _bounds(s: Load | Store | Transpose, at: Any, buf: np.ndarray) -> None:
    if not 0 <= at < buf.size if isinstance(at, int) else np.size(at) and (np.min(at) < 0 or np.max(at) >= buf.size):
        raise IndexError(f"{s} is outside the buffer's {buf.size} elements: {at}")


def _let(f: _Frame, s: Let) -> None:
    args = [f.operand(a) for a in s.args]
    if s.op in ("cast", "bitcast"):
        out = getattr(_E, s.op)(args[0], s.dtype)
    else:
        out = getattr(_E, _TRAILING.get(s.op, s.op))(*args)
    f.names[s.dst] = np.asarray(out)


def _index_value(f: _Frame, s: IndexValue) -> None:
    f.names[s.dst] = np.asarray(f.index(s.index), np.int64)


def _acc(f: _Frame, s: Acc) -> None:
    v = np.asarray(f.operand(s.init))
    if f.lanes:
        v = np.broadcast_to(v, (f.lanes,))
    f.accs[s.name] = {at: v for at in np.ndindex(*s.shape)}


def _at(f: _Frame, at: tuple[Index, ...]) -> tuple[int, ...]:
    return tuple(int(f.index(i)) for i in at)


def _reduce(f: _Frame, s: Reduce) -> None:
    at = _at(f, s.at)
    old = tuple(f.accs[a][at] for a in s.accs)
    new = FOLDS[s.kind].fold_in(_E, old, tuple(map(f.operand, s.values)))
    for a, o, n in zip(s.accs, old, new):
        f.accs[a][at] = np.where(f.mask, n, o) if f.mask is not None and np.ndim(o) else np.asarray(n)


def _set_acc(f: _Frame, s: SetAcc) -> None:
    old = f.accs[s.acc][_at(f, s.at)]
    f.accs[s.acc][_at(f, s.at)] = np.broadcast_to(f.operand(s.value), np.shape(old))


def _get_acc(f: _Frame, s: GetAcc) -> None:
    f.names[s.dst] = f.accs[s.acc][_at(f, s.at)]


def _alloc(f: _Frame, s: Alloc) -> None:
    garbage = np.full(f.coef(s.size) * s.dtype.itemsize, 0x5A if s.dtype.kind != "b" else 1, np.uint8)
    f.bufs[s.name] = garbage.view(s.dtype.numpy)


def _check(f: _Frame, s: Check) -> None:
    cond = np.asarray(f.operand(s.cond))
    if not np.all(cond | ~np.asarray(f.present(None))):
        f.failed.append(f.coef(s.code))


_SIMPLE: dict[type, Any] = {
    Load: _load, Store: _store, Transpose: _transpose, Let: _let, IndexValue: _index_value, Acc: _acc, Reduce: _reduce, SetAcc: _set_acc,
    GetAcc: _get_acc, Alloc: _alloc, Check: _check, CopyAsync: _copy_async, Commit: _commit, Wait: _wait,
}  # fmt: skip


# -- programs --------------------------------------------------------------------------------------------------------


def run_program(program: Program, slots: Sequence[np.ndarray], races: bool = False) -> int:
    """Run a program's steps on its argument slots. Returns 0 or the smallest code of the failed checks.

    ShapeError where a symbol's value is outside its bounds; `races`: see `run_kernel`.
    """
    extents: dict[str, int] = {}
    for symbol, given in zip(program.symbols, slots[len(program.in_types) + len(program.out_types) :], strict=True):
        extents[symbol.name] = int(given)
        if not symbol.min <= int(given) <= symbol.max:
            raise ShapeError(f"program {program.name} runs for {symbol.bounds_text}, not for {int(given)}")

    def value(x: Dim) -> int:
        return evaluate(x, extents)

    arena = np.full(value(program.arena_bytes), 0x5A, np.uint8)
    raw = [np.reshape(a, -1).view(np.uint8) for a in slots]
    failed: list[int] = []
    loops: dict[str, int] = {}

    def bytes_at(ref: Ref) -> np.ndarray:
        base = arena if ref.arg is None else raw[ref.arg]
        return base[value(ref.offset) + sum(loops[v] * value(stride) for v, stride in ref.strides) :]

    def steps(todo: tuple[Step, ...]) -> None:
        for s in todo:
            if isinstance(s, Launch):
                kernel = program.kernels[s.kernel]
                arrays = []
                for b, ref in zip(kernel.buffers, s.bufs):
                    data = bytes_at(ref)
                    arrays.append(data[: data.size // b.dtype.itemsize * b.dtype.itemsize].view(b.dtype.numpy))
                code = run_kernel(kernel, arrays, tuple(map(value, s.params)), races)
                if code:
                    failed.append(code)
            elif isinstance(s, Copy):
                n = value(s.nbytes)
                bytes_at(s.dst)[:n] = bytes_at(s.src)[:n].copy()
            elif isinstance(s, Repeat):
                for k in range(value(s.count)):
                    loops[s.var] = k
                    steps(s.steps)
            elif isinstance(s, Branch):
                steps(s.steps if bytes_at(s.flag)[0] else s.otherwise)
            else:
                steps(s.test)
                while bytes_at(s.flag)[0]:
                    steps(s.steps)
                    if failed:
                        break
                    steps(s.test)

    steps(program.steps)
    return min(failed, default=0)
