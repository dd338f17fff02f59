"""What an op is: one declaration with all its rules. The families in `ir/ops/` build these."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ingot.ir.facts import Foldable, Kept, Lowering, OverComplex
from ingot.ir.public import Public
from ingot.ir.size import decisions
from ingot.ir.struct import frozen, struct
from ingot.ir.types import TensorType

__all__ = ["Op", "Rule", "NO_GRAD", "NO_INPUTS", "INLINED", "LATER", "OPS", "register", "infer"]


class Rule:
    """A rule that is absent on purpose, compared by identity.

    NO_GRAD      no derivative exists
    NO_INPUTS    the op reads nothing, so nothing comes in batched
    INLINED      transforms put the nodes of its graph in its place first
    LATER        a derivative that is owed, and listed by a test
    """

    def __init__(self, name: str):
        self.name = name

    def __repr__(self) -> str:
        return self.name


NO_GRAD = Rule("NO_GRAD")
NO_INPUTS = Rule("NO_INPUTS")
INLINED = Rule("INLINED")
LATER = Rule("LATER")


@frozen
@struct
class Op:
    """A primitive tensor operation, compared by identity.

    infer(in_types, *attrs) -> tuple of TensorType      raises ShapeError or TypeError
    ref(*arrays, *attrs) -> array or tuple of arrays    NumPy; the oracle of the tests
    vjp(cts, ins, outs, *attrs) -> list of Expr | None  one entry per input
    jvp(tangents, ins, outs, *attrs) -> list of Expr    one entry per output; a zero tangent comes as None
    batch(ins, batched, *attrs) -> (outs, batched)      Expr with the batch dim leading where `batched` says so

    lowering, foldable                                  facts, see ir/facts.py
    commutative                                         its two inputs may be exchanged
    sizes                                               names of attributes that hold extents and offsets: they may be Sizes
    can_fail                                            it checks values (indices), and fails the call where one is wrong
    indices                                             the first of its inputs that are indices along the dims of its first attribute
    kept                                                what backward must find unwritten, see ir/facts.py
    over_complex                                        whether it takes complex values, see ir/facts.py
    public                                              the function that it is made into, see ir/public.py
    samples                                             inputs for the generated tests, see ir/ops/samples.py
    source                                              paper or definition

    `attrs` always travel as a tuple in the order of `attr_names`; every value in it is hashable.
    """

    name: str
    doc: str
    attr_names: tuple[str, ...]
    infer: Callable[..., tuple[TensorType, ...]]
    ref: Callable[..., Any]
    vjp: Callable[..., Any] | Rule
    jvp: Callable[..., Any] | Rule
    batch: Callable[..., Any] | Rule
    lowering: Lowering
    foldable: Foldable
    samples: Any
    commutative: bool = False
    sizes: tuple[str, ...] = ()
    can_fail: bool = False
    indices: int | None = None
    over_complex: OverComplex = OverComplex.NONE
    public: Public | None = None
    source: str = ""
    kept: Kept = Kept.READ

    def __repr__(self) -> str:
        return self.name

    def __call__(self, *inputs: Any, **attrs: Any) -> Any:
        """Emit this op on Exprs, and Python numbers beside them: an Expr, or a tuple of them when the op has several outputs."""
        for i in inputs:
            if hasattr(i, "apply"):
                return i.apply(self, inputs, attrs)
        raise TypeError(f"{self.name}: none of the inputs is an Expr; use Builder.emit for an op without inputs")

    def may_fail(self, types: Sequence[TensorType], attrs: tuple[Any, ...] = ()) -> bool:
        """Whether it can fail on inputs of these types, with these attributes."""
        if not self.can_fail:
            return False
        if self.lowering.graphs:
            return any(g.may_fail for g in attrs[: self.lowering.graphs])
        check = getattr(self.lowering, "check", None)
        return check is None or types[check.operand].dtype.kind in check.kinds

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


def register(op: Op) -> Op:
    """Enter `op` in the table of all ops. ValueError if its name is taken."""
    if op.name in OPS:
        raise ValueError(f"op {op.name} is declared twice")
    OPS[op.name] = op
    return op


_INFERRED: dict[Any, tuple[TensorType, ...]] = {}


def infer(op: Op, types: Sequence[TensorType], attrs: tuple[Any, ...]) -> tuple[TensorType, ...]:
    """Output types of `op`, remembered per signature, if they hold whatever the symbols are."""
    key = (op, tuple(types), attrs)
    found = _INFERRED.get(key)
    if found is None:
        before = decisions()
        found = op.infer(key[1], *attrs)
        if op.over_complex is OverComplex.NONE:
            for t in (*key[1], *found):
                if t.dtype.kind == "c":
                    raise TypeError(f"{op.name}: takes no complex values, got {t}")
        if len(_INFERRED) > 65536:
            _INFERRED.clear()
        if decisions() == before:
            _INFERRED[key] = found
    return found
