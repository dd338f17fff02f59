"""`jvp` and `linearize`: tangents that go along with values, by the forward rules of the operations."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ingot._tensor import Tensor, wrap
from ingot.capture import flatten, unflatten
from ingot.func.levels import Level
from ingot.func.pulling import Pulled
from ingot.ir.builder import op_graph
from ingot.ir.facts import Inline
from ingot.ir.op import Op
from ingot.ir.transforms.jvp import Pushforward
from ingot.ir.transforms.jvp import jvp as graph_jvp
from ingot.ir.types import TensorType
from ingot.runtime import tape
from ingot.runtime.array import Array
from ingot.runtime.tape import Pair

__all__ = ["checked_tangents", "jvp", "linearize", "pushed"]


def op_pushforward(op: Op, attrs: tuple, types: tuple[TensorType, ...], which: tuple[bool, ...]) -> Pushforward:
    """The pushforward of one op; of a call, that of what it calls."""
    return graph_jvp(attrs[0] if isinstance(op.lowering, Inline) else op_graph(op, attrs, types), which)


class ForwardLevel(Level):
    """What stands for a value: a pair outside, and the pair of its tangent, or None where that is zero."""

    name = "jvp"

    def array(self, pair: Pair, tangent: Pair | None) -> Array:
        """An array of that value and tangent."""
        return Array(pair[0].type, None, (pair, tangent), self)

    def constant(self, pair: Pair) -> Array:
        return self.array(pair, None)

    def changed(self, a: Array, pair: Pair) -> Array:
        return self.array(pair, a.value[1])

    def with_edge(self, a: Array, edge: Any) -> Array:
        a = super().with_edge(a, edge)
        return a if edge is not None or a.value[1] is None else self.array(a.value[0], None)  # detach() drops the tangent too

    def apply_rule(self, op: Op, arrays: Sequence[Array], attrs: tuple, out_types: tuple[TensorType, ...], loc: Any) -> list[Array]:
        pairs = [a.value[0] for a in arrays]
        which = tuple([a.value[1] is not None for a in arrays])
        if not any(which) or not any(t.dtype.kind in "fc" for t in out_types):
            return [self.array(p, None) for p in tape.emit(op, pairs, attrs, loc)]
        push = op_pushforward(op, attrs, tuple([a.type for a in arrays]), which)
        made = tape.emit_graph(push.graph, [*pairs, *(a.value[1] for a in arrays if a.value[1] is not None)], loc)
        n = len(out_types)
        tangents = dict(zip(push.tangents, made[n:]))
        return [self.array(p, tangents.get(i)) for i, p in enumerate(made[:n])]

    def given_back(self, a: Array) -> Pair:
        pair, tangent = a.value
        if tangent is not None:
            raise RuntimeError(
                "jvp: a tensor from outside is written in place with a value that has a tangent, which it cannot hold; use the operation "
                "without the underscore, or return the value"
            )
        return pair

    def dual(self, primal: Tensor, tangent: Tensor) -> Tensor:
        """A tensor here with that tangent."""
        return wrap((self.array(primal._owned(), tangent._owned()), primal._pair()[1]))

    def parts(self, t: Tensor) -> tuple[Tensor, Tensor | None]:
        """A tensor here as two outside: its value, and its tangent if it has one."""
        with self.entered():
            pair, tangent = self.lift(t._pair())[0].value
        return self.result(pair), None if tangent is None else self.result(tangent)

    def apply_function(self, cls: Any, args: tuple, kwargs: dict) -> tuple[Any, Any, tuple]:
        from ingot.func.functions import apply_dual

        return apply_dual(self, cls, args, kwargs)


def _zeros(t: Tensor) -> Tensor:
    return wrap(tape.zeros(t._array.type))


def checked_tangents(name: str, primals: Any, tangents: Any) -> tuple[list[Any], list[Any], Any]:
    """Leaves of both, and their structure. RuntimeError where they do not fit."""
    values: list[Any] = []
    given: list[Any] = []
    structure = flatten(primals, values)
    if flatten(tangents, given) != structure:
        raise RuntimeError(f"{name}: expected primals and tangents to have the same python structure")
    for x, t in zip(values, given):
        if not isinstance(x, Tensor) or not isinstance(t, Tensor):
            raise RuntimeError(f"{name}: expected primals and tangents to be Tensors, got {type(x).__name__} and {type(t).__name__}")
        if tuple(x.shape) != tuple(t.shape) or x.dtype is not t.dtype:
            raise RuntimeError(f"{name}: a tangent of {t.dtype} {list(t.shape)} does not fit a primal of {x.dtype} {list(x.shape)}")
        if x.dtype.kind not in "fc":
            raise RuntimeError(f"{name}: only Tensors of floating point or complex dtype have tangents, got {x.dtype}")
    return values, given, structure


def jvp(func: Callable, primals: Any, tangents: Any, *, strict: bool = False, has_aux: bool = False) -> tuple[Any, ...]:
    """(func(*primals), J tangents): `primals` and `tangents` are tuples of the same structure.

    strict: RuntimeError if an output does not depend on the primals. With `has_aux`, func gives (output, aux), and aux comes third.

    >>> ingot.func.jvp(ingot.sin, (ingot.zeros(2),), (ingot.tensor([1.0, 2.0]),))
    (tensor([0., 0.]), tensor([1., 2.]))
    """
    if not isinstance(primals, tuple) or not primals:
        raise RuntimeError(f"jvp: expected primals to be a tuple that is not empty, got {type(primals).__name__}")
    values, given, structure = checked_tangents("jvp", primals, tangents)
    return pushed(func, unflatten(structure, values), values, given, structure, strict, has_aux)


def pushed(
    func: Callable, primals: Any, values: list[Any], given: list[Any], structure: Any, strict: bool, has_aux: bool, kwargs: Any = None,
    around: Callable[[Any], Sequence[Any]] = tuple,
) -> tuple[Any, ...]:  # fmt: skip
    """`jvp` of leaves; `around` makes the arguments of `func` of the primals with their tangents."""
    level = ForwardLevel()
    duals = [level.dual(x, t) for x, t in zip(values, given)]
    try:
        with level.entered():
            result = func(*around(unflatten(structure, duals)), **(kwargs or {}))
            aux = None
            if has_aux:
                if not (isinstance(result, tuple) and len(result) == 2):
                    raise RuntimeError("jvp: output of function f should be a tuple: (output, aux) if has_aux is True")
                result, aux = result
        outs: list[Any] = []
        out_structure = flatten(result, outs)
        primal_outs, tangent_outs = [], []
        for o in outs:
            if not isinstance(o, Tensor):
                raise RuntimeError(f"jvp: expected f to return only Tensors, got {type(o).__name__}")
            value, tangent = level.parts(o)
            if tangent is None and strict:
                raise RuntimeError("jvp: in strict mode, an output of f is independent of the primals")
            primal_outs.append(value)
            tangent_outs.append(_zeros(value) if tangent is None else tangent)
        if has_aux:
            kept: list[Any] = []
            aux_structure = flatten(aux, kept)
            aux = unflatten(aux_structure, [level.parts(x)[0] if isinstance(x, Tensor) else x for x in kept])
        level.write_back()
    finally:
        level.forget()
    both = unflatten(out_structure, primal_outs), unflatten(out_structure, tangent_outs)
    return (*both, aux) if has_aux else both


def linearize(func: Callable, *primals: Any) -> tuple[Any, Callable[..., Any]]:
    """(func(*primals), jvp_fn): jvp_fn(*tangents) is J tangents, and does not call `func` again.

    It is the tape's own transpose: vᵀ J is linear in v, and its derivative by v along the tangents is J tangents.

    >>> y, push = ingot.func.linearize(ingot.sin, ingot.zeros(2))
    >>> push(ingot.ones(2))
    tensor([1., 1.])
    """
    pulled = Pulled("linearize", func, primals, range(len(primals)))
    out_kind = pulled.out_structure

    def back(*seeds: Tensor) -> tuple[Tensor, ...]:
        return tuple(pulled.back(seeds))

    transposed = Pulled("linearize", back, tuple(_zeros(o) for o in pulled.outs), range(len(pulled.outs)))

    def jvp_fn(*tangents: Any) -> Any:
        given: list[Any] = []
        if flatten(tangents, given) != pulled.structure:
            raise RuntimeError("linearize: expected the tangents to have the same python structure as the primals")
        checked_tangents("linearize", pulled.leaves, given)
        return unflatten(out_kind, transposed.back(given))

    return pulled.output(), jvp_fn
