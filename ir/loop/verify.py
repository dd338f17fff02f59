"""Checks that a kernel is well formed: what every pass and lowering may rely on, and every backend does."""

from __future__ import annotations

from ingot.ir import dtypes
from ingot.ir.dtypes import Half
from ingot.ir.instructions import INSTRUCTIONS
from ingot.ir.loop.expression import Param
from ingot.ir.loop.folds import FOLDS
from ingot.ir.loop.fragments import LEFT, RIGHT, SUMS
from ingot.ir.loop.ir import (
    KINDS,
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
from ingot.ir.loop.program import Launch, Program, Repeat, Step, nested, refs
from ingot.ir.loop.uses import LoopVerifyError, Uses
from ingot.ir.size import symbols

__all__ = ["verify_kernel", "verify_program"]

_COMPARE = {"eq", "ne", "lt", "le", "gt", "ge"}
_FLOAT_ONLY = {"fma", "sqrt", "rint", "floor", "ceil", "trunc"}
_INT_ONLY = {"shl", "shr"}


def verify_kernel(kernel: Kernel) -> None:
    """Raise LoopVerifyError where something is used that is not defined, or is not legal where it stands."""
    _Verifier(kernel).run()


def verify_program(program: Program) -> None:
    """Verify every kernel, and that every step fits the kernel it launches."""
    for k in program.kernels.values():
        verify_kernel(k)
    slots = len(program.in_types) + len(program.out_types)
    names = [s.name for s in program.symbols]
    if names != sorted(set(names)):
        raise LoopVerifyError(f"program {program.name}: symbols {', '.join(names)} are not one of each name, in the order of names")
    for size in program.sizes():
        unknown = [s.name for s in symbols(size) if s not in program.symbols]
        if unknown:
            raise LoopVerifyError(f"program {program.name}: {size} needs {', '.join(unknown)}, which is no symbol of it")

    def check(steps: tuple[Step, ...], loops: frozenset[str]) -> None:
        for s in steps:
            if isinstance(s, Launch):
                k = program.kernels.get(s.kernel)
                if k is None:
                    raise LoopVerifyError(f"program {program.name} launches {s.kernel}, which it has not")
                if len(s.bufs) != len(k.buffers) or len(s.params) != len(k.params):
                    raise LoopVerifyError(f"launch of {s.kernel}: {len(s.bufs)} buffers and {len(s.params)} parameters, "
                                          f"but it takes {len(k.buffers)} and {len(k.params)}")  # fmt: skip
            for r in refs(s):
                if r.arg is not None and not 0 <= r.arg < slots:
                    raise LoopVerifyError(f"program {program.name}: argument slot {r.arg} of {slots}")
                if any(var not in loops for var, _ in r.strides):
                    raise LoopVerifyError(f"program {program.name}: {r} moves with a loop that is not around it")
            for inside in nested(s):
                check(inside, loops | {s.var} if isinstance(s, Repeat) else loops)

    check(program.steps, frozenset())


class _Verifier(Uses):
    def run(self) -> None:
        for b in self.kernel.buffers:
            if b.name in self.buffers:
                raise self.error(f"buffer {b.name} is declared twice")
            if b.access not in ("r", "w", "rw"):
                raise self.error(f"buffer {b.name} has access {b.access!r}")
            self.buffers[b.name] = (b.dtype, b.access)
        self.body(self.kernel.body)

    # -- statements ------------------------------------------------------------------------------------------------

    def body(self, stmts: list[Stmt]) -> None:
        saved = dict(self.names), set(self.varying), dict(self.accs), dict(self.buffers)
        for s in stmts:
            self.statement(s)
        self.names, self.varying, self.accs, self.buffers = saved

    def statement(self, s: Stmt) -> None:
        if isinstance(s, Load):
            dtype = self.memory(s.buf, "r")
            varies = self.index(s.index)
            if s.word is not None and (varies or s.mask is not None or s.word.itemsize % dtype.itemsize or s.word is dtypes.bool_):
                raise self.error(f"a word of {s.word.name} from {s.buf}, which holds {dtype.name}, where lanes differ or a mask stands")
            self.define(s.dst, s.word or dtype, self.mask(s.mask) or varies)
        elif isinstance(s, Store):
            dtype = self.memory(s.buf, "w")
            self.index(s.index)
            self.mask(s.mask)
            if self.operand(s.src) is not dtype:
                raise self.error(f"{s.src} is stored to {s.buf}, which holds {dtype.name}")
        elif isinstance(s, Transpose):
            self.transpose(s)
        elif isinstance(s, Let):
            self.let(s)
        elif isinstance(s, IndexValue):
            self.define(s.dst, dtypes.i64, self.index(s.index))
        elif isinstance(s, Acc):
            if self.operand(s.init) is not s.dtype:
                raise self.error(f"accumulator {s.name} of {s.dtype.name} begins with {s.init}")
            self.accs[s.name] = (s.dtype, s.shape, len(self.loops))
        elif isinstance(s, Reduce):
            self.reduce(s)
        elif isinstance(s, SetAcc):
            dtype, depth = self.acc(s.acc, s.at)
            self.crossed(s.acc, depth, ("parallel", "grid", "block", "vector"))
            if self.operand(s.value) is not dtype:
                raise self.error(f"{s.value} is put into accumulator {s.acc} of {dtype.name}")
        elif isinstance(s, GetAcc):
            dtype, depth = self.acc(s.acc, s.at)
            self.define(s.dst, dtype, "vector" in self.loops[:depth])
        elif isinstance(s, Table):
            if not s.data or len(s.data) % s.dtype.itemsize:
                raise self.error(f"table {s.name} of {s.dtype.name} holds {len(s.data)} bytes")
            self.buffers[s.name] = (s.dtype, "r")
        elif isinstance(s, Alloc):
            if s.scope not in ("kernel", "worker", "shared"):
                raise self.error(f"scratch {s.name} has scope {s.scope!r}")
            if s.scope == "kernel" and self.loops:
                raise self.error(f"scratch {s.name} of the kernel is declared inside a loop")
            self.coef(s.size)
            self.buffers[s.name] = (s.dtype, "rw")
            if s.scope == "shared":
                self.shared.add(s.name)
        elif isinstance(s, Check):
            if self.operand(s.cond) is not dtypes.bool_:
                raise self.error(f"check of {s.cond}, which is no bool")
            if isinstance(s.code, Param):
                self.param(s.code)
            elif s.code < 1:
                raise self.error(f"check with code {s.code}")
        elif isinstance(s, (Barrier, Commit, Wait)):
            if "block" not in self.loops:
                raise self.error(f"a {type(s).__name__.lower()} outside a block")
            if isinstance(s, Wait) and s.groups < 0:
                raise self.error(f"a wait for all but {s.groups} groups")
        elif isinstance(s, CopyAsync):
            self.copy_async(s)
        elif isinstance(s, Mma):
            self.mma(s)
        elif isinstance(s, WarpgroupMma):
            self.warpgroup(s)
        elif isinstance(s, WarpgroupWait):
            for a in s.accs:
                self.acc(a, ())
            if s.groups < 0 or "block" not in self.loops or s.accs and s.groups:
                raise self.error(f"a wait for all products but {s.groups}")
        elif isinstance(s, LoadMatrix):
            if self.memory(s.buf, "r") is not dtypes.u32 or self.operand(s.at) is not dtypes.i64 or "block" not in self.loops:
                raise self.error(f"matrices from {s.buf} at {s.at}: words at an i64 are loaded, by the threads of a block")
            for name in s.dsts:
                self.define(name, dtypes.u32, False)
        elif isinstance(s, Shuffle):
            dtype = self.operand(s.src)
            if s.lanes not in (1, 2, 4, 8, 16) or dtype.bits != 32 or "block" not in self.loops:
                raise self.error(f"a shuffle of {s.src} of {dtype.name} between threads {s.lanes} apart")
            self.define(s.dst, dtype, False)
        elif isinstance(s, If):
            if self.operand(s.cond) is not dtypes.bool_ or self.varies(s.cond):
                raise self.error(f"the condition {s.cond} of an If is no bool or differs between lanes")
            self.body(s.body)
        elif isinstance(s, For):
            self.loop(s)
        else:
            raise self.error(f"{s!r} is no statement")

    def transpose(self, s: Transpose) -> None:
        if self.memory(s.dst, "w") is not self.memory(s.src, "r"):
            raise self.error(f"{s.src} is transposed into {s.dst}, which holds another dtype")
        if s.size < 1 or s.size & (s.size - 1):
            raise self.error(f"a square of {s.size} elements, which is no power of two, is transposed")
        if any(kind in ("vector", "grid", "block") for kind in self.loops):
            raise self.error(f"a square of {s.src} is transposed inside a {self.loops[-1]} loop")
        for i, c in ((s.to, s.to_step), (s.at, s.at_step)):
            self.index(i)
            self.coef(c)

    def copy_async(self, s: CopyAsync) -> None:
        to, of = self.memory(s.dst, "w"), self.memory(s.src, "r")
        if s.nbytes not in (4, 8, 16) or s.nbytes % to.itemsize or s.nbytes % of.itemsize or to is not of and to is not dtypes.u32:
            raise self.error(f"a copy of {s.nbytes} bytes of {of.name} to {to.name}")
        if "block" not in self.loops or s.dst not in self.shared or s.src in self.shared:
            raise self.error(f"a copy from {s.src} to {s.dst}: the threads of a block copy from memory to what they share")
        self.index(s.to)
        self.index(s.at)
        self.mask(s.mask)

    def loop(self, s: For) -> None:
        if s.kind not in KINDS:
            raise self.error(f"loop {s.var} is of no kind: {s.kind!r}")
        if s.var in self.vars:
            raise self.error(f"loop variable {s.var} is used by a loop around")
        if self.index(s.extent):
            raise self.error(f"the extent of loop {s.var} differs between lanes")
        around = self.loops
        if s.kind in ("parallel", "grid") and any(k != s.kind or k == "parallel" for k in around):
            raise self.error(f"{s.kind} loop {s.var} stands inside another loop")
        if s.kind == "block" and "grid" not in around:
            raise self.error(f"block loop {s.var} stands outside a grid")
        if s.kind == "vector":
            if "vector" in around or "block" in around:
                raise self.error(f"vector loop {s.var} stands inside a {'vector' if 'vector' in around else 'block'} loop")
            if s.width < 1 or s.width & (s.width - 1):
                raise self.error(f"vector loop {s.var} has width {s.width}, which is no power of two")
        if s.kind == "unroll" and (s.extent.terms or not isinstance(s.extent.const, int)):
            raise self.error(f"unrolled loop {s.var} has no constant extent")
        self.vars[s.var] = s.kind
        self.loops.append(s.kind if s.width > 1 or s.kind != "vector" else "serial")
        if self.loops[-1] == "vector":
            self.varying.add(s.var)
        self.body(s.body)
        self.varying.discard(s.var)
        self.loops.pop()
        del self.vars[s.var]

    def reduce(self, s: Reduce) -> None:
        fold = FOLDS.get(s.kind)
        if fold is None:
            raise self.error(f"{s.kind!r} is no fold")
        n_accs = 1 + len(fold.more)
        if len(s.accs) != n_accs or len(s.values) != fold.values:
            raise self.error(f"reduction {s.kind} takes {n_accs} accumulators and {fold.values} values")
        found = []
        for a in s.accs:
            dtype, depth = self.acc(a, s.at)
            self.crossed(a, depth, ("parallel", "grid", "block"))
            found.append(dtype)
        want = found * fold.values if n_accs == 1 else found
        have = [self.operand(v) for v in s.values]
        if have != want or tuple(found[1:]) != fold.more or found[0] in Half:
            raise self.error(f"reduction {s.kind} of {', '.join(map(str, have))} into {', '.join(map(str, found))}")

    def mma(self, s: Mma) -> None:
        rows, columns = len(s.left) // LEFT, len(s.right) // RIGHT
        if s.dtype not in Half and s.dtype is not dtypes.f32 or "block" not in self.loops or (len(s.left), len(s.right), len(s.accs)) != (
            LEFT * rows, RIGHT * columns, SUMS * rows * columns,
        ):  # fmt: skip
            raise self.error(f"a product of {len(s.left)} by {len(s.right)} registers of {s.dtype.name} into {len(s.accs)} sums")
        for a in s.accs:
            dtype, depth = self.acc(a, ())
            self.crossed(a, depth, ("grid", "block", "vector"))
            if dtype is not dtypes.f32:
                raise self.error(f"a product into accumulator {a} of {dtype.name}")
        for x in (*s.left, *s.right):
            if self.operand(x) is not dtypes.u32:
                raise self.error(f"a product of {x}, which is no u32")

    def warpgroup(self, s: WarpgroupMma) -> None:
        n, whole = 2 * len(s.accs), s.dtype is dtypes.f32
        if s.dtype not in Half and not whole or "block" not in self.loops or not 8 <= n <= 256 or n % 8 or not 1 <= s.steps <= 4 or (
            any(s.turned) and (whole or s.turned[1] and n % 64)
        ):  # fmt: skip
            raise self.error(f"a product of {s.steps} steps of {s.dtype.name} into {n} columns")
        for a in s.accs:
            dtype, depth = self.acc(a, ())
            self.crossed(a, depth, ("grid", "block", "vector"))
            if dtype is not dtypes.f32:
                raise self.error(f"a product into accumulator {a} of {dtype.name}")
        for buf, at in ((s.left, s.left_at), (s.right, s.right_at)):
            if self.memory(buf, "r") is not dtypes.u32 or buf not in self.shared or self.operand(at) is not dtypes.i64:
                raise self.error(f"a product of what lies in {buf} at {at}: of words at an i64, which the threads of a block share")

    def let(self, s: Let) -> None:
        if INSTRUCTIONS.get(s.op) != len(s.args):
            raise self.error(f"{s.op} of {len(s.args)} operands is no instruction")
        types = [self.operand(a) for a in s.args]
        d = types[-1]
        result = s.dtype
        if s.op == "select":
            ok = types[0] is dtypes.bool_ and types[1] is d and result is d
        elif s.op == "cast":
            ok = True
        elif s.op == "bitcast":
            ok = result.bits == d.bits
        elif s.op in _COMPARE:
            ok = types[0] is d and result is dtypes.bool_
        else:
            ok = all(t is d for t in types) and result is d and d not in Half
            if s.op in ("and", "or", "xor", "not"):
                ok = ok and d.kind != "f"
            elif s.op in _FLOAT_ONLY:
                ok = ok and d.kind == "f"
            elif s.op in _INT_ONLY:
                ok = ok and d.is_integer
            elif s.op in ("dot", "dot_bytes"):
                ok = ok and d is dtypes.i32
            elif s.op == "dot_halves":
                ok = ok and d is dtypes.f32
            else:
                ok = ok and d.kind != "b"
        if not ok:
            raise self.error(f"{s.op} takes no {', '.join(map(str, types))} to {result}")
        self.define(s.dst, result, any(map(self.varies, s.args)))
