"""`FlopCounterMode`: how many floating-point operations the products and convolutions in a block are, by module and by operator."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Any

from ingot import ops
from ingot._tensor.intercept import Emit, intercepted, operator_of
from ingot.ir.ops.flops import flops_of
from ingot.nn import Module
from ingot.runtime.array import Array
from ingot.runtime.recorder import here
from ingot.runtime.tape import Signature

__all__ = ["FlopCounterMode", "NAMES"]

NAMES = {"mm": "aten::mm", "bmm": "aten::bmm", "convolution": "aten::convolution", "convolution_backward": "aten::convolution_backward"}


class FlopCounterMode:
    """A block in which the operations of products and convolutions are counted, two for each product that is added.

    mods            accepted, as in torch: modules are found when they are called
    depth           how many levels of modules the table shows
    display         print the table at the end of the block
    custom_mapping  operator (`ingot.ops.aten.softmax`) -> function of its arguments' shapes, and of `out_shape`, that gives its count

    What runs is what is recorded: in eager code, and where a compiled function is traced. A backward counts for "Global", not for the
    modules of its forward. Semantics: torch.utils.flop_counter.FlopCounterMode.

    >>> from ingot.utils.flop_counter import FlopCounterMode
    >>> with FlopCounterMode(display=False) as counter:
    ...     y = ingot.nn.Linear(3, 5)(ingot.ones(2, 3))
    >>> counter.get_total_flops()
    60
    """

    def __init__(
        self, mods: Any = None, depth: int = 2, display: bool = True, custom_mapping: dict[Any, Callable] | None = None
    ):
        self.depth, self.display = depth, display
        self._counts = {getattr(op, "default", op): f for op, f in (custom_mapping or {}).items()}
        self.flop_counts: dict[str, Counter[Any]] = {}
        self._path: list[str] = ["Global"]
        self._names: dict[int, str] = {}
        self._stack = ExitStack()

    def __enter__(self) -> FlopCounterMode:
        self.flop_counts = {}
        self._names = {}
        self._stack.enter_context(intercepted(self._seen))
        call = Module.__call__
        counter = self

        def called(module: Module, *args: Any, **kwargs: Any) -> Any:
            counter._enter(module)
            try:
                return call(module, *args, **kwargs)
            finally:
                counter._path.pop()

        setattr(Module, "__call__", called)  # noqa: B010  (what mypy says of the assignment differs between versions)
        self._stack.callback(setattr, Module, "__call__", call)
        return self

    def __exit__(self, *exc: Any) -> None:
        self._stack.close()
        if self.display and exc[0] is None:
            print(self.get_table(self.depth))

    def _enter(self, module: Module) -> None:
        if id(module) not in self._names:
            self._names[id(module)] = type(module).__name__
            for name, child in module.named_modules():
                if name:
                    self._names[id(child)] = f"{type(module).__name__}.{name}"
        self._path.append(self._names[id(module)])

    def _seen(self, sig: Signature, arrays: Sequence[Array], emit: Emit) -> list[Array]:
        for op, n in self._counted(sig):
            where = ["Global"] if here.recorder.backward_depth else self._path
            for name in dict.fromkeys(where):
                self.flop_counts.setdefault(name, Counter())[op] += n
        return emit()

    def _counted(self, sig: Signature) -> list[tuple[Any, int]]:
        op = operator_of(sig) if self._counts else None
        if op in self._counts:
            return [(op, self._counts[op](*(t.shape for t in sig.in_types), out_shape=sig.out_types[0].shape))]
        return [(ops.declare(NAMES[kind]), n) for kind, n in flops_of(sig.op, sig.attrs, sig.in_types, sig.out_types).items()]

    def get_total_flops(self) -> int:
        """The count of all."""
        return sum(self.flop_counts.get("Global", Counter()).values())

    def get_flop_counts(self) -> dict[str, dict[Any, int]]:
        """By module, "Global" for all, then by operator (`ingot.ops.aten.…`)."""
        return {name: dict(counts) for name, counts in self.flop_counts.items()}

    def get_table(self, depth: int | None = None) -> str:
        """The counts as text, down to that many levels of modules."""
        depth = self.depth if depth is None else depth
        total = max(self.get_total_flops(), 1)
        rows: list[tuple[str, str, str]] = []
        for name in sorted(self.flop_counts, key=lambda n: (n != "Global", n)):
            level = 0 if name == "Global" else name.count(".") + 1
            if level > depth:
                continue
            counts = self.flop_counts[name]
            all_of_it = sum(counts.values())
            rows.append((" " * level + name, _number(all_of_it), f"{100 * all_of_it / total:.2f}%"))
            rows += [(f"{' ' * level} - {op.name.replace('::', '.')}", _number(n), f"{100 * n / total:.2f}%") for op, n in counts.items()]
        width = max([len(r[0]) for r in rows] + [6])
        head = f"{'Module':<{width}}  {'FLOP':>10}  {'% Total':>8}"
        return "\n".join([head, "-" * len(head), *(f"{a:<{width}}  {b:>10}  {c:>8}" for a, b, c in rows)])


def _number(n: int) -> str:
    for scale, unit in ((10**12, "T"), (10**9, "B"), (10**6, "M"), (10**3, "K")):
        if n >= scale:
            return f"{n / scale:.3f}{unit}"
    return str(n)
