"""What an op is: one declaration with all its rules. The families in `ir/ops/` build these."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from ingot.ir.facts import Cost, Foldable, Lowering
from ingot.ir.public import Public
from ingot.ir.types import TensorType

__all__ = ["Op", "Rule", "NO_GRAD", "NO_INPUTS", "LATER", "OPS", "register", "infer"]


class Rule:
    """A rule that is absent on purpose. `NO_GRAD`: no derivative exists. `LATER`: a derivative that is owed, and listed by a test.
    `NO_INPUTS`: the op reads nothing, so nothing comes in batched."""

    def __init__(self, name: str):
        self.name = name

    def __repr__(self) -> str:
        return self.name


NO_GRAD = Rule("NO_GRAD")
NO_INPUTS = Rule("NO_INPUTS")
LATER = Rule("LATER")


@dataclass(frozen=True, eq=False)
class Op:
    """A primitive tensor operation, compared by identity.

    infer(in_types, *attrs) -> tuple of TensorType      raises ShapeError or TypeError
    ref(*arrays, *attrs) -> array or tuple of arrays    NumPy; the oracle of the tests
    vjp(cts, ins, outs, *attrs) -> list of Expr | None  one entry per input
    jvp(tangents, ins, outs, *attrs) -> list of Expr    one entry per output; a zero tangent comes as None
    batch(ins, batched, *attrs) -> (outs, batched)      Expr with the batch dim leading where `batched` says so

    lowering, cost, foldable                            facts, see ir/facts.py
    commutative                                         its two inputs may be exchanged
    can_fail                                            it checks values (indices), and fails the call where one is wrong
    public                                              the function that it is made into, see ir/public.py

    `attrs` always travel as a tuple in the order of `attr_names`; every value in it is hashable.
    """

    name: str
    family: str
    doc: str
    attr_names: tuple[str, ...]
    infer: Callable[..., tuple[TensorType, ...]]
    ref: Callable[..., Any]
    vjp: Callable[..., Any] | Rule
    jvp: Callable[..., Any] | Rule = LATER
    # `register` refuses an op without these four
    batch: Callable[..., Any] | Rule = None  # type: ignore[assignment]
    lowering: Lowering = None  # type: ignore[assignment]
    cost: Cost = None  # type: ignore[assignment]
    foldable: Foldable = None  # type: ignore[assignment]
    commutative: bool = False
    can_fail: bool = False
    public: Public | None = None
    samples: Any = None  # inputs for the generated tests
    source: str = ""  # paper or definition

    def __repr__(self) -> str:
        return self.name

    def __call__(self, *inputs: Any, **attrs: Any) -> Any:
        """Emit this op on Exprs, and Python numbers beside them: an Expr, or a tuple of them when the op has several outputs."""
        for i in inputs:
            if hasattr(i, "apply"):
                return i.apply(self, inputs, attrs)
        raise TypeError(f"{self.name}: none of the inputs is an Expr; use Builder.emit for an op without inputs")

    def attr_tuple(self, attrs: dict[str, Any]) -> tuple[Any, ...]:
        """`attrs` by name, in declared order. TypeError names what is missing or unknown."""
        try:
            out = tuple(attrs[n] for n in self.attr_names)
        except KeyError as e:
            raise TypeError(f"{self.name}: attribute {e} is missing; it takes {', '.join(self.attr_names)}") from None
        if len(attrs) != len(out):
            unknown = sorted(set(attrs) - set(self.attr_names))
            raise TypeError(f"{self.name}: unknown attribute {', '.join(unknown)}; it takes {', '.join(self.attr_names) or 'none'}")
        return out


OPS: dict[str, Op] = {}
_FACTS = {"lowering": Lowering, "cost": Cost, "foldable": Foldable}


def register(op: Op) -> Op:
    """Enter `op` in the table of all ops. ValueError if its name is taken, TypeError if it lacks a fact or a batching rule."""
    missing = [name for name, kind in _FACTS.items() if not isinstance(getattr(op, name), kind)]
    if missing:
        raise TypeError(f"op {op.name} is declared without {' and '.join(missing)}: ir/facts.py has what each may be")
    if not callable(op.batch) and op.batch is not NO_INPUTS:
        raise TypeError(f"op {op.name} is declared without a batching rule: a function, or NO_INPUTS if it reads nothing")
    if op.name in OPS:
        raise ValueError(f"op {op.name} is declared twice")
    OPS[op.name] = op
    return op


_INFERRED: dict[Any, tuple[TensorType, ...]] = {}


def infer(op: Op, types: Sequence[TensorType], attrs: tuple[Any, ...]) -> tuple[TensorType, ...]:
    """Output types of `op`, remembered per signature."""
    key = (op, tuple(types), attrs)
    found = _INFERRED.get(key)
    if found is None:
        found = op.infer(key[1], *attrs)
        if len(_INFERRED) > 65536:
            _INFERRED.clear()
        _INFERRED[key] = found
    return found
