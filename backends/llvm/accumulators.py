"""Accumulators: mutable scalars of the loop IR as values in SSA form.

`values` holds the present value of each register of an accumulator; loops make phis of those that they change.
"""

from __future__ import annotations

from ingot.backends.llvm.emitter import Emitter
from ingot.backends.llvm.memory import Memory
from ingot.backends.llvm.values import Value, type_of
from ingot.ir.dtypes import DType
from ingot.ir.loop.expression import Index
from ingot.ir.loop.folds import FOLDS
from ingot.ir.loop.ir import Acc, For, GetAcc, If, Kernel, Mma, Reduce, SetAcc, Stmt, WarpgroupMma, WarpgroupWait

__all__ = ["Accumulator", "Accumulators"]


class Accumulator:
    """An accumulator's present values; `lanes` where it has one per lane."""

    __slots__ = ("dtype", "shape", "values", "lanes")

    def __init__(self, dtype: DType, shape: tuple[int, ...], values: list[str], lanes: int):
        self.dtype = dtype
        self.shape = shape
        self.values = values
        self.lanes = lanes


class Accumulators(Memory):
    """A writer that keeps accumulators."""

    kernel: Kernel
    accs: dict[str, Accumulator]
    _changes: dict[int, frozenset[str]]

    def outer_accumulator(self, s: GetAcc) -> Value: ...  # type: ignore[empty-body]

    def declare(self, s: Acc) -> None:
        """An accumulator, with its first value in all its registers."""
        count = 1
        for d in s.shape:
            count *= d
        v = self.operand(s.init)
        lanes = self.lanes
        self.accs[s.name] = Accumulator(s.dtype, s.shape, [self.wide(v, lanes) if lanes else v.text] * count, lanes)

    def slot(self, acc: Accumulator, at: tuple[Index, ...]) -> int:
        """Which of an accumulator's registers an index means."""
        slot = 0
        for d, index in zip(acc.shape, at):
            value, _ = self.uniform(index)
            if not isinstance(value, int) or not 0 <= value < d:
                raise ValueError(f"kernel {self.kernel.name}: an accumulator is indexed by {value}, which is no constant in 0..{d - 1}")
            slot = slot * d + value
        return slot

    def _put(self, acc: Accumulator, slot: int, v: Value) -> None:
        text = self.wide(v, acc.lanes) if acc.lanes else v.text
        acc.values[slot] = text

    def _get(self, acc: Accumulator, slot: int) -> Value:
        return Value(acc.values[slot], acc.dtype, acc.lanes, self.depth)

    def reduce(self, s: Reduce) -> None:
        """Fold elements into accumulators."""
        accs = [self.accs[a] for a in s.accs]
        slot = self.slot(accs[0], s.at)
        old = tuple(self._get(a, slot) for a in accs)
        new = FOLDS[s.kind].fold_in(Emitter(self), old, tuple(self.operand(v) for v in s.values))
        for acc, before, after in zip(accs, old, new):
            if self.mask and acc.lanes:  # lanes that are not there fold nothing
                t = type_of(acc.dtype, acc.lanes)
                text = self.wide(after, acc.lanes)
                after = Value(self.new(f"select <{acc.lanes} x i1> {self.mask}, {t} {text}, {t} {before.text}"), acc.dtype, acc.lanes)
            self._put(acc, slot, after)

    def set_acc(self, s: SetAcc) -> None:
        """Give a register of an accumulator a value."""
        acc = self.accs[s.acc]
        self._put(acc, self.slot(acc, s.at), self.operand(s.value))

    def get_acc(self, s: GetAcc) -> None:
        """Read a register of an accumulator."""
        acc = self.accs.get(s.acc)
        self.names[s.dst] = self.outer_accumulator(s) if acc is None else self._get(acc, self.slot(acc, s.at))

    def changed(self, body: list[Stmt]) -> frozenset[str]:
        """The accumulators from outside that a body changes."""
        found = self._changes.get(id(body))
        if found is None:
            out: set[str] = set()
            own: set[str] = set()
            for s in body:
                if isinstance(s, Reduce):
                    out.update(s.accs)
                elif isinstance(s, SetAcc):
                    out.add(s.acc)
                elif isinstance(s, (Mma, WarpgroupMma, WarpgroupWait)):
                    out.update(s.accs)
                elif isinstance(s, Acc):
                    own.add(s.name)
                elif isinstance(s, (For, If)):
                    out |= self.changed(s.body)
            found = self._changes[id(body)] = frozenset(out - own)
        return found

    def _carried(self, body: list[Stmt]) -> list[Accumulator]:
        changed = self.changed(body)
        return [acc for name, acc in self.accs.items() if name in changed]
