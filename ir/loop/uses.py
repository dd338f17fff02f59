"""What a kernel's statements use, and whether it is there: the part of verify.py that knows names, buffers and accumulators."""

from __future__ import annotations

from ingot.ir import dtypes
from ingot.ir.dtypes import DType
from ingot.ir.loop.expression import Coef, Div, Dyn, Index, Mod, Param, Var
from ingot.ir.loop.ir import Const, Kernel, Operand, Stmt
from ingot.ir.loop.text import print_kernel

__all__ = ["LoopVerifyError", "Uses"]


class LoopVerifyError(ValueError):
    """A kernel that is not well formed."""


class Uses:
    """The names of a kernel where a statement stands. Raises LoopVerifyError for what is not there."""

    def __init__(self, kernel: Kernel):
        self.kernel = kernel
        self.buffers: dict[str, tuple[DType, str]] = {}
        self.params = frozenset(kernel.params)
        self.vars: dict[str, str] = {}  # -> kind of the loop
        self.names: dict[str, DType] = {}
        self.varying: set[str] = set()  # names and variables that differ between lanes
        self.accs: dict[str, tuple[DType, tuple[int, ...], int]] = {}  # dtype, shape, number of loops around
        self.loops: list[str] = []  # kinds of the loops around
        self.inside: Stmt | None = None
        self.shared: set[str] = set()  # memory that the threads of a block share

    def error(self, what: str) -> LoopVerifyError:
        return LoopVerifyError(f"kernel {self.kernel.name}: {what}\n{print_kernel(self.kernel)}")

    def operand(self, x: Operand) -> DType:
        if isinstance(x, Const):
            return x.dtype
        if x not in self.names:
            raise self.error(f"{x} is used before it is defined")
        return self.names[x]

    def varies(self, x: Operand | None) -> bool:
        return isinstance(x, str) and x in self.varying

    def index(self, i: Index) -> bool:
        """Check an index; whether it differs between lanes."""
        varies = False
        self.coef(i.const)
        for atom, c in i.terms:
            self.coef(c)
            if isinstance(atom, Var):
                if atom.name not in self.vars:
                    raise self.error(f"loop variable {atom.name} is used outside its loop")
                varies |= atom.name in self.varying
            elif isinstance(atom, Param):
                self.param(atom)
            elif isinstance(atom, Dyn):
                if self.operand(atom.name) is not dtypes.i64:
                    raise self.error(f"{atom.name} is used as an index and is no i64")
                varies |= atom.name in self.varying
            else:
                if not isinstance(atom, (Div, Mod)) or isinstance(atom.den, int) and atom.den <= 0:
                    raise self.error(f"{atom} is no index")
                self.coef(atom.den)
                varies |= self.index(atom.num)
        return varies

    def coef(self, c: Coef) -> None:
        if isinstance(c, Param):
            self.param(c)
        elif not isinstance(c, int):
            raise self.error(f"{c} is known only at run time, and no parameter")

    def param(self, p: Param) -> None:
        if p.name not in self.params:
            raise self.error(f"parameter {p.name} is not declared")

    def mask(self, m: Operand | None) -> bool:
        if m is None:
            return False
        if self.operand(m) is not dtypes.bool_:
            raise self.error(f"mask {m} is no bool")
        return self.varies(m)

    def memory(self, name: str, need: str) -> DType:
        if name not in self.buffers:
            raise self.error(f"buffer {name} is not declared")
        dtype, access = self.buffers[name]
        if need not in access:
            raise self.error(f"buffer {name} of access {access!r} is {'written' if need == 'w' else 'read'}")
        return dtype

    def define(self, name: str, dtype: DType, varies: bool) -> None:
        self.names[name] = dtype
        (self.varying.add if varies else self.varying.discard)(name)

    def acc(self, name: str, at: tuple[Index, ...]) -> tuple[DType, int]:
        if name not in self.accs:
            raise self.error(f"accumulator {name} is not declared")
        dtype, shape, depth = self.accs[name]
        if len(at) != len(shape):
            raise self.error(f"accumulator {name} of shape {shape} is indexed by {len(at)} indices")
        for i in at:
            self.index(i)
            if not isinstance(i.const, int) or any(not isinstance(a, Var) or self.vars[a.name] != "unroll" for a, _ in i.terms):
                raise self.error(f"accumulator {name} is indexed by something other than unrolled loops")
        return dtype, depth

    def crossed(self, name: str, depth: int, forbidden: tuple[str, ...]) -> None:
        for kind in self.loops[depth:]:
            if kind in forbidden:
                raise self.error(f"accumulator {name} from outside a {kind} loop is changed inside it")
