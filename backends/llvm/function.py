"""From statements of the loop IR to one LLVM function."""

from __future__ import annotations

from ingot.backends.llvm.accumulators import Accumulator
from ingot.backends.llvm.instructions import instruction
from ingot.backends.llvm.loops import Loops
from ingot.backends.llvm.rare import Rare, rare_parts
from ingot.backends.llvm.values import Value, constant, literal, type_of
from ingot.backends.llvm.writer import Module
from ingot.ir import dtypes
from ingot.ir.dtypes import DType
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
    Table,
    Transpose,
    Wait,
    WarpgroupMma,
    WarpgroupWait,
)

__all__ = ["FunctionEmitter"]


class FunctionEmitter(Loops):
    """Emits statements into one function. What differs between targets is a method that they override (the last ones here)."""

    tables = "private"  # what tables of elements are, for LLVM

    def __init__(self, module: Module, kernel: Kernel):
        super().__init__(module)
        self.kernel = kernel
        self.names: dict[str, Value] = {}
        self.vars: dict[str, tuple[str, int] | int] = {}
        self.accs: dict[str, Accumulator] = {}
        self.buffers: dict[str, tuple[str, DType]] = {}
        self.lanes = 0
        self.lane_var: str | None = None
        self.mask: str | None = None  # the lanes that are there, in a partial group
        self.last_lane = ""  # in a partial group: the last lane that is there
        self.streams = False
        self.local_dtypes: dict[str, DType] = {}  # of scratch seen ahead of its declaration
        self._rare: dict[int, tuple[list[Stmt], dict[int, list[Rare]]]] = {}
        self._changes: dict[int, frozenset[str]] = {}

    # -- names -------------------------------------------------------------------------------------------------------

    def scalar(self, name: str) -> Value:
        """The value of a scalar."""
        v = self.names.get(name)
        if v is None:
            v = self.names[name] = self.outer_scalar(name)
        return v

    def variable(self, name: str) -> tuple[str, int] | int:
        """A loop variable: a number where its loop is unrolled, else text and the depth that defines it."""
        v = self.vars.get(name)
        if v is None:
            v = self.vars[name] = self.outer_variable(name)
        return v

    def buffer(self, name: str) -> tuple[str, DType]:
        """A buffer's address and dtype."""
        found = self.buffers.get(name)
        if found is None:
            found = self.buffers[name] = self.outer_buffer(name)
        return found

    def operand(self, x: Operand) -> Value:
        """The value of an operand."""
        return constant(x) if isinstance(x, Const) else self.scalar(x)

    # -- statements --------------------------------------------------------------------------------------------------

    def body(self, stmts: list[Stmt]) -> None:
        """Emit statements, one after the other."""
        known = self._rare.get(id(stmts))
        if known is None:
            known = self._rare[id(stmts)] = (stmts, self.rare(stmts))  # the list is kept, so that its id stays its own
        rare = known[1]
        done: Stmt | None = None  # with the one before
        for s, behind in zip(stmts, (*stmts[1:], None)):
            if s is done:
                continue
            if isinstance(s, Store) and isinstance(behind, Store) and self.store_pairs(s, behind):
                done = behind
                continue
            if id(s) in rare:
                parts = rare[id(s)]
                if not parts:
                    continue
                for part in parts:
                    self.rarely(part)
            getattr(self, _STATEMENTS[type(s)])(s)

    def rarely(self, part: Rare) -> None:
        """Run these instructions where some lane needs them; elsewhere their results are 0, which nobody reads."""
        cond = self.operand(part.cond)
        if not part.side:
            cond = instruction(self, "not", [cond], dtypes.bool_)
        start, then, after = self.block, self.label(), self.label()
        some = self._any(cond.text, cond.lanes) if cond.lanes else cond.text
        self.push()
        self.block = then
        for s in part.cone:
            self.let(s)
        end = self.block
        lines = self.pop()
        self.line(f"br i1 {some}, label %{then}, label %{after}")
        self.lines.append(f"{then}:")
        self.lines += lines
        self.line(f"br label %{after}")
        self.start_block(after)
        for name in part.results:
            v = self.names[name]
            nothing = "zeroinitializer" if v.lanes else literal(0, v.dtype)
            text = self.new(f"phi {type_of(v.dtype, v.lanes)} [ {nothing}, %{start} ], [ {v.text}, %{end} ]")
            self.names[name] = Value(text, v.dtype, v.lanes, self.depth)

    def let(self, s: Let) -> None:
        """A scalar instruction."""
        v = instruction(self, s.op, [self.operand(a) for a in s.args], s.dtype)
        v.depth = min(v.depth, len(self.scopes) - 1)
        self.names[s.dst] = v

    def index_value(self, s: IndexValue) -> None:
        """An index as a scalar."""
        if self.varies(s.index):
            self.names[s.dst] = Value(self.lane_values(s.index), dtypes.i64, self.lanes)
        else:
            text, depth = self.uniform(s.index)
            self.names[s.dst] = Value(str(text), dtypes.i64, 0, depth)

    def check(self, s: Check) -> None:
        """Lower the status where a condition does not hold."""
        cond = self.operand(s.cond)
        bad = instruction(self, "not", [cond], dtypes.bool_)
        text = bad.text
        if bad.lanes:
            if self.mask:
                text = self.new(f"and <{bad.lanes} x i1> {text}, {self.mask}")
            text = self._any(text, bad.lanes)
        code = str(s.code) if isinstance(s.code, int) else self.parameter(s.code.name)[0]
        branch = self.branch_where(text)
        self.line(f"call void @ingot.fail(ptr {self.status()}, i64 {code})")
        self.module.helper("fail")
        self.join(branch)

    def table(self, s: Table) -> None:
        """Elements that are part of the code."""
        self.buffers[s.name] = (self.table_address(self.module.table(s.data, self.tables)), s.dtype)

    # -- what targets decide -----------------------------------------------------------------------------------------

    def rare(self, stmts: list[Stmt]) -> dict[int, list[Rare]]:
        """The parts of a body to run behind a branch."""
        return rare_parts(stmts)

    def table_address(self, name: str) -> str:
        """How the place of a table is written."""
        return name

    def parameter(self, name: str) -> tuple[str, int]:
        """A parameter's value and the depth that defines it."""
        return f"%p.{name}", 0

    def status(self) -> str:
        """The address of the word that a failed check lowers."""
        return "%status"

    def outer_scalar(self, name: str) -> Value:
        """A scalar that this function does not define. KeyError where no other does."""
        raise self.undefined(name)

    def outer_variable(self, name: str) -> tuple[str, int] | int:
        """A loop variable that this function does not define. KeyError where no other does."""
        raise self.undefined(f"loop variable {name}")

    def outer_buffer(self, name: str) -> tuple[str, DType]:
        """A buffer that this function does not declare. KeyError where no other does."""
        raise self.undefined(f"buffer {name}")

    def outer_accumulator(self, s: GetAcc) -> Value:
        """The value of an accumulator that this function does not declare. KeyError where no other does."""
        raise self.undefined(f"accumulator {s.acc}")

    def undefined(self, what: str) -> KeyError:
        """The error for a name that nobody defines."""
        return KeyError(f"kernel {self.kernel.name}: {what} is not defined")

    def alloc(self, s: Alloc) -> None:
        """Scratch: its place goes to `buffers`."""
        raise ValueError(f"kernel {self.kernel.name}: scratch {s.name} of scope {s.scope!r} has no place here")

    def phase(self, s: For) -> None:
        """A parallel loop."""
        raise ValueError(f"kernel {self.kernel.name}: a parallel loop stands inside another")

    def hardware_loop(self, s: For) -> None:
        """A loop over the blocks of a grid or the threads of a block."""
        raise ValueError(f"kernel {self.kernel.name}: a {s.kind} loop is for a GPU; see backends.cuda.emulate")

    def mma(self, s: Mma) -> None:
        """Products of small matrices by a warp."""
        raise ValueError(f"kernel {self.kernel.name}: matrices of a warp are for a GPU; see backends.cuda.emulate")

    def load_matrix(self, s: LoadMatrix) -> None:
        """Matrices into the registers of a warp."""
        raise ValueError(f"kernel {self.kernel.name}: matrices of a warp are for a GPU; see backends.cuda.emulate")

    def shuffle(self, s: Shuffle) -> None:
        """What the threads of a warp give each other."""
        raise ValueError(f"kernel {self.kernel.name}: threads of a warp are for a GPU; see backends.cuda.emulate")

    def warpgroup(self, s: WarpgroupMma) -> None:
        """Products of matrices in shared memory by four warps."""
        raise ValueError(f"kernel {self.kernel.name}: products of a warpgroup are for a GPU; see backends.cuda.emulate")

    def settle(self, s: WarpgroupWait) -> None:
        """Where products of a warpgroup are done."""
        raise ValueError(f"kernel {self.kernel.name}: products of a warpgroup are for a GPU; see backends.cuda.emulate")

    def copy_async(self, s: CopyAsync) -> None:
        """A copy into shared memory that is on its way."""
        raise ValueError(f"kernel {self.kernel.name}: copies on their way are for a GPU; see backends.cuda.emulate")

    def commit(self, s: Commit) -> None:
        """The end of a group of copies."""
        raise ValueError(f"kernel {self.kernel.name}: copies on their way are for a GPU; see backends.cuda.emulate")

    def wait(self, s: Wait) -> None:
        """Where copies have landed."""
        raise ValueError(f"kernel {self.kernel.name}: copies on their way are for a GPU; see backends.cuda.emulate")

    def barrier(self, s: Barrier) -> None:
        """Where the threads of a block wait for each other."""
        raise ValueError(f"kernel {self.kernel.name}: a barrier needs a block of threads; see backends.cuda.emulate")


_STATEMENTS: dict[type, str] = {
    Load: "load", Store: "store", Transpose: "transpose", Let: "let", IndexValue: "index_value", Acc: "declare", Reduce: "reduce",
    SetAcc: "set_acc", GetAcc: "get_acc", For: "loop_statement", If: "where", Alloc: "alloc", Table: "table", Barrier: "barrier",
    Mma: "mma", Shuffle: "shuffle", LoadMatrix: "load_matrix", Check: "check", CopyAsync: "copy_async", Commit: "commit",
    Wait: "wait", WarpgroupMma: "warpgroup", WarpgroupWait: "settle",
}  # fmt: skip
