"""Executes loop IR on NumPy arrays: the oracle for the backends' tests. Slow, and checks every index.

    code = run_kernel(kernel, [x, y, out], params=[n])      # arrays are changed in place
    code = run_program(program, slots)                      # one array per argument slot (rank 0: by value), symbols' values included

Lanes of a vector loop are NumPy arrays. The threads of a block run one after the other, from barrier to barrier. Copies that are on
their way land when a thread waits for them, and no sooner.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from ingot.ir import dtypes
from ingot.ir.loop import copies, together
from ingot.ir.loop.expression import Index
from ingot.ir.loop.folds import FOLDS, Fold
from ingot.ir.loop.frame import EMITTER, Frame
from ingot.ir.loop.ir import (
    Acc,
    Alloc,
    Barrier,
    Check,
    Commit,
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
    Reduce,
    SetAcc,
    Shuffle,
    Stmt,
    Store,
    Table,
    Transpose,
    Wait,
    WarpgroupMma,
    WarpgroupWait,
)
from ingot.ir.loop.program import Branch, Copy, Launch, Program, Ref, Repeat, Step
from ingot.ir.loop.races import Races
from ingot.ir.loop.together import Together
from ingot.ir.loop.walk import statements
from ingot.ir.size import ShapeError, evaluate
from ingot.ir.types import Dim

__all__ = ["run_kernel", "run_program"]

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
    frame = Frame(bufs, dict(zip(kernel.params, params)))
    if races:
        shared = (s.name for s in statements(kernel.body) if isinstance(s, Alloc) and s.scope == "shared")
        frame.races = Races(kernel.name, frozenset(shared))
    with np.errstate(all="ignore"):
        for _ in _run(frame, kernel.body):
            raise ValueError(f"kernel {kernel.name}: a barrier outside a block")
    return min(frame.failed, default=0)


def _run(f: Frame, body: list[Stmt]) -> Iterator[Together | None]:
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


def _serial(f: Frame, s: For) -> Iterator[Together | None]:
    extent = f.index(s.extent)
    if np.ndim(extent):
        raise ValueError(f"the extent of loop {s.var} differs between lanes")
    for k in range(int(extent)):
        f.vars[s.var] = k
        yield from _run(f, s.body)


def _vector(f: Frame, s: For) -> Iterator[Together | None]:
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
                parts = fold.combine(EMITTER, tuple(p[:half] for p in parts), tuple(p[half:] for p in parts))
            folded = fold.combine(EMITTER, tuple(saved[name][at] for name in accs), tuple(p[0] for p in parts))
            for name, v in zip(accs, folded):
                f.accs[name][at] = np.asarray(v)


def _folds(body: list[Stmt]) -> Iterator[tuple[tuple[str, ...], Fold]]:
    """What is folded, and how partial results of it are combined."""
    for s in body:
        if isinstance(s, Reduce):
            yield s.accs, FOLDS[s.kind]
        elif isinstance(s, (For, If)):
            yield from _folds(s.body)


def _block(f: Frame, s: For) -> Iterator[Together | None]:
    """All threads of nested block loops, from barrier to barrier."""
    threads = [f.copy()]
    body = [s]
    while len(body) == 1 and isinstance(body[0], For) and body[0].kind == "block":
        loop = body[0]
        spread: list[Frame] = []
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
            together.mma(threads, waits[0])
        elif waits and isinstance(waits[0], Shuffle):
            together.shuffle(threads, waits[0])
        elif waits and isinstance(waits[0], LoadMatrix):
            together.load_matrix(threads, waits[0])
        elif waits and isinstance(waits[0], WarpgroupMma):
            together.warpgroup(threads, waits[0])
        elif waits and isinstance(waits[0], WarpgroupWait):
            if f.races is not None:
                f.races.settle(waits[0].groups)
        elif f.races is not None:
            f.races.barrier()
        running = at_barrier
    return
    yield


_DONE: Any = object()
_LOOPS = {"serial": _serial, "parallel": _serial, "unroll": _serial, "grid": _serial, "vector": _vector, "block": _block}


# -- statements ------------------------------------------------------------------------------------------------------


def _load(f: Frame, s: Load) -> None:
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


def _store(f: Frame, s: Store) -> None:
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


def _transpose(f: Frame, s: Transpose) -> None:
    lines = np.arange(s.size)
    to = f.index(s.to) + lines[:, None] * f.coef(s.to_step) + lines
    at = f.index(s.at) + lines * f.coef(s.at_step) + lines[:, None]
    for where, buf in ((to, f.bufs[s.dst]), (at, f.bufs[s.src])):
        _bounds(s, where, buf)
    f.bufs[s.dst][to] = f.bufs[s.src][at]


def _bounds(s: Load | Store | Transpose, at: Any, buf: np.ndarray) -> None:
    if not 0 <= at < buf.size if isinstance(at, int) else np.size(at) and (np.min(at) < 0 or np.max(at) >= buf.size):
        raise IndexError(f"{s} is outside the buffer's {buf.size} elements: {at}")


def _let(f: Frame, s: Let) -> None:
    args = [f.operand(a) for a in s.args]
    if s.op in ("cast", "bitcast"):
        out = getattr(EMITTER, s.op)(args[0], s.dtype)
    else:
        out = getattr(EMITTER, _TRAILING.get(s.op, s.op))(*args)
    f.names[s.dst] = np.asarray(out)


def _index_value(f: Frame, s: IndexValue) -> None:
    f.names[s.dst] = np.asarray(f.index(s.index), np.int64)


def _acc(f: Frame, s: Acc) -> None:
    v = np.asarray(f.operand(s.init))
    if f.lanes:
        v = np.broadcast_to(v, (f.lanes,))
    f.accs[s.name] = {at: v for at in np.ndindex(*s.shape)}


def _at(f: Frame, at: tuple[Index, ...]) -> tuple[int, ...]:
    return tuple(int(f.index(i)) for i in at)


def _reduce(f: Frame, s: Reduce) -> None:
    at = _at(f, s.at)
    old = tuple(f.accs[a][at] for a in s.accs)
    new = FOLDS[s.kind].fold_in(EMITTER, old, tuple(map(f.operand, s.values)))
    for a, o, n in zip(s.accs, old, new):
        f.accs[a][at] = np.where(f.mask, n, o) if f.mask is not None and np.ndim(o) else np.asarray(n)


def _set_acc(f: Frame, s: SetAcc) -> None:
    old = f.accs[s.acc][_at(f, s.at)]
    f.accs[s.acc][_at(f, s.at)] = np.broadcast_to(f.operand(s.value), np.shape(old))


def _get_acc(f: Frame, s: GetAcc) -> None:
    f.names[s.dst] = f.accs[s.acc][_at(f, s.at)]


def _alloc(f: Frame, s: Alloc) -> None:
    garbage = np.full(f.coef(s.size) * s.dtype.itemsize, 0x5A if s.dtype.kind != "b" else 1, np.uint8)
    f.bufs[s.name] = garbage.view(s.dtype.numpy)


def _table(f: Frame, s: Table) -> None:
    f.bufs[s.name] = np.frombuffer(s.data, s.dtype.numpy)


def _check(f: Frame, s: Check) -> None:
    cond = np.asarray(f.operand(s.cond))
    if not np.all(cond | ~np.asarray(f.present(None))):
        f.failed.append(f.coef(s.code))


_SIMPLE: dict[type, Any] = {
    Load: _load, Store: _store, Transpose: _transpose, Let: _let, IndexValue: _index_value, Acc: _acc, Reduce: _reduce, SetAcc: _set_acc,
    GetAcc: _get_acc, Alloc: _alloc, Table: _table, Check: _check, CopyAsync: copies.copy_async, Commit: copies.commit, Wait: copies.wait,
}  # fmt: skip


# -- programs --------------------------------------------------------------------------------------------------------


def run_program(program: Program, slots: Sequence[np.ndarray], races: bool = False) -> int:
    """Run a program's steps on its argument slots, to the first kernel whose checks fail. Returns 0 or the smallest code of those.

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
    loops: dict[str, int] = {}

    def bytes_at(ref: Ref) -> np.ndarray:
        base = arena if ref.arg is None else raw[ref.arg]
        return base[value(ref.offset) + sum(loops[v] * value(stride) for v, stride in ref.strides) :]

    def steps(todo: tuple[Step, ...]) -> int:
        for s in todo:
            if isinstance(s, Launch):
                kernel = program.kernels[s.kernel]
                arrays = []
                for b, ref in zip(kernel.buffers, s.bufs):
                    data = bytes_at(ref)
                    arrays.append(data[: data.size // b.dtype.itemsize * b.dtype.itemsize].view(b.dtype.numpy))
                if code := run_kernel(kernel, arrays, tuple(map(value, s.params)), races):
                    return code
            elif isinstance(s, Copy):
                n = value(s.nbytes)
                bytes_at(s.dst)[:n] = bytes_at(s.src)[:n].copy()
            elif isinstance(s, Repeat):
                for k in range(value(s.count)):
                    loops[s.var] = k
                    if code := steps(s.steps):
                        return code
            elif isinstance(s, Branch):
                if code := steps(s.steps if bytes_at(s.flag)[0] else s.otherwise):
                    return code
            else:
                if code := steps(s.test):
                    return code
                while bytes_at(s.flag)[0]:
                    if code := steps((*s.steps, *s.test)):
                        return code
        return 0

    return steps(program.steps)
