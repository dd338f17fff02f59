"""`backward` and `grad`: the engine on Tensors."""

from __future__ import annotations

import importlib
from typing import Any

from ingot._tensor import Tensor, wrap
from ingot._tensor.metadata import Size
from ingot._tensor.recording import inplace
from ingot.autograd.graph import GradientEdge
from ingot.ir.op import OPS
from ingot.ir.types import TensorType
from ingot.runtime import tape
from ingot.runtime.backward import backpropagate
from ingot.runtime.recorder import here
from ingot.runtime.tape import Edge, GradSlot, Leaf, Pair

__all__ = ["backward", "grad"]


def _sequence(x: Any) -> tuple:
    return (x,) if isinstance(x, (Tensor, GradientEdge)) or x is None else tuple(x)


def _type(t: Tensor | GradientEdge) -> TensorType:
    return t.node.out_types[t.output_nr] if isinstance(t, GradientEdge) else t._array.type


def _edge(t: Any, what: str) -> Edge | None:
    if isinstance(t, GradientEdge):
        return t.node, t.output_nr
    if not isinstance(t, Tensor):
        raise TypeError(f"{what}, got {type(t).__name__}")
    return t._pair()[1]


def _roots(tensors: tuple, gradients: tuple, create_graph: bool) -> list[tuple[Edge, Pair]]:
    if len(gradients) != len(tensors):
        raise RuntimeError(f"got {len(tensors)} tensors and {len(gradients)} gradients")
    roots = []
    for i, (t, g) in enumerate(zip(tensors, gradients)):
        edge = _edge(t, "expected a Tensor to differentiate")
        if edge is None:
            raise RuntimeError(f"element {i} of tensors does not require grad and does not have a grad_fn")
        type_ = _type(t)
        if g is None:
            if type_.numel != 1:
                raise RuntimeError("grad can be implicitly created only for scalar outputs")
            if type_.dtype.kind == "c":
                raise RuntimeError(f"grad can be implicitly created only for real scalar outputs but got {type_.dtype}")
            roots.append((edge, tape.ones(type_)))
            continue
        if not isinstance(g, Tensor):
            raise TypeError(f"gradients can be either Tensors or None, but got {type(g).__name__}")
        if g._array.type.shape != type_.shape:
            raise RuntimeError(
                f"Mismatch in shape: grad_output[{i}] has a shape of {g.shape} and output[{i}] has a shape of {Size(type_.shape)}."
            )
        if g.dtype is not type_.dtype:
            if "c" in (g.dtype.kind, type_.dtype.kind):
                raise RuntimeError(f"Mismatch in dtype: grad_output[{i}] has {g.dtype} and output[{i}] has {type_.dtype}.")
            g = g.to(type_.dtype)
        pair = g._owned()
        roots.append((edge, pair if create_graph else (pair[0], None)))
    return roots


def backward(
    tensors: Any, grad_tensors: Any = None, retain_graph: bool | None = None, create_graph: bool = False, inputs: Any = None
) -> None:
    """Add the gradients of `tensors` to the `.grad` of the leaves, or of `inputs` only.

    `grad_tensors` are the gradients to start from; None (alone or in the sequence) means 1 for tensors of one element.
    RuntimeError if a tensor requires no gradient, or if the graph was freed by an earlier backward.

    >>> x = ingot.tensor([1.0, 2.0], requires_grad=True)
    >>> ingot.autograd.backward((x * x).sum())
    >>> x.grad
    tensor([2., 4.])
    """
    outs = _sequence(tensors)
    given = _sequence(grad_tensors) if grad_tensors is not None else (None,) * len(outs)
    keep = create_graph if retain_graph is None else retain_graph
    roots = _roots(outs, given, create_graph)
    if inputs is None:
        backpropagate(roots, retain_graph=keep, create_graph=create_graph)
    else:
        leaves = _sequence(inputs)
        if not leaves:
            raise RuntimeError("`inputs` argument to `backward` cannot be empty.")
        edges = _targets(leaves)
        found = backpropagate(roots, retain_graph=keep, create_graph=create_graph, targets=edges)
        for t, edge, g in zip(leaves, edges, found):
            if g is not None:
                slot = edge[0].slot if isinstance(edge[0], Leaf) else t._grad_slot()
                _accumulate(slot, g, create_graph)
    rec = here.recorder
    if rec.backward_depth == 0 and not rec.tracing:
        rec.flush()


def _accumulate(slot: GradSlot, grad: Pair, create_graph: bool) -> None:
    """Add `grad` to a slot: in place, so that aliases of `.grad` see it, unless the sum itself must be differentiable."""
    rec = here.recorder
    held = rec.read_grad(slot)
    if held is None:
        rec.write_grad(slot, wrap(grad if create_graph else (grad[0], None)))
    elif held._sparse:  # a leaf that is read whole, too
        rec.write_grad(slot, held.to_dense() + wrap(grad if create_graph else (grad[0], None)))
    else:
        total = tape.emit(OPS["add"], (held._pair(), grad), ())[0]
        if create_graph:
            rec.write_grad(slot, wrap(total))
        else:
            inplace(held, wrap((total[0], None)))
    if slot.post_hooks and slot.owner is not None:
        owner = slot.owner()
        for hook in list(slot.post_hooks.values()) if owner is not None else ():
            hook(owner)


tape.frontend.accumulate = _accumulate


def _targets(tensors: tuple) -> list[Edge]:
    edges = []
    for t in tensors:
        edge = _edge(t, "inputs must be Tensors")
        if edge is None:
            raise RuntimeError("One of the differentiated Tensors does not require grad")
        edges.append(edge)
    return edges


def grad(
    outputs: Any,
    inputs: Any,
    grad_outputs: Any = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    only_inputs: bool = True,
    allow_unused: bool | None = None,
    is_grads_batched: bool = False,
    materialize_grads: bool = False,
) -> tuple[Tensor | None, ...]:
    """The gradients of `outputs` with respect to `inputs`; no `.grad` changes.

    `create_graph`: they can be differentiated again. `is_grads_batched`: the first dim of each of `grad_outputs` is a batch dim, and the
    gradients have one, computed at once by `func.vmap`. `allow_unused`: None for an input that the outputs do not depend on
    (otherwise a RuntimeError); `materialize_grads`: zeros instead.

    >>> x = ingot.tensor([1.0, 2.0], requires_grad=True)
    >>> (g,) = ingot.autograd.grad((x**3).sum(), x, create_graph=True)
    >>> ingot.autograd.grad(g.sum(), x)
    (tensor([ 6., 12.]),)
    """
    if is_grads_batched:
        return _batched(outputs, inputs, grad_outputs, create_graph, bool(allow_unused or materialize_grads), materialize_grads)
    outs, ins = _sequence(outputs), _sequence(inputs)
    given = _sequence(grad_outputs) if grad_outputs is not None else (None,) * len(outs)
    if materialize_grads and allow_unused is False:
        raise ValueError("Expected allow_unused to be True or not passed when materialize_grads=True")
    keep = create_graph if retain_graph is None else retain_graph
    edges = _targets(ins)
    found = backpropagate(_roots(outs, given, create_graph), retain_graph=keep, create_graph=create_graph, targets=edges)
    results: list[Tensor | None] = []
    for t, g in zip(ins, found):
        if g is None and not (allow_unused or materialize_grads):
            raise RuntimeError(
                "One of the differentiated Tensors appears to not have been used in the graph. Set allow_unused=True if this is the "
                "desired behavior."
            )
        if g is None:
            results.append(wrap(tape.zeros(_type(t))) if materialize_grads else None)
        else:
            results.append(wrap(g if create_graph else (g[0], None)))
    return tuple(results)


def _batched(outputs: Any, inputs: Any, grad_outputs: Any, create: bool, allow: bool, materialize: bool) -> tuple[Tensor | None, ...]:
    vmap = importlib.import_module("ingot.func").vmap  # by its name: it knows custom Functions, and what records knows this module

    if grad_outputs is None:
        raise RuntimeError("grad: is_grads_batched needs grad_outputs, each with a leading batch dim")
    unused: list[bool] = []

    def one(*seeds: Tensor) -> tuple[Tensor, ...]:
        rec = here.recorder
        rec.tape_off += not create
        try:
            found = grad(outputs, inputs, seeds, retain_graph=True, create_graph=create, allow_unused=allow)
        finally:
            rec.tape_off -= not create
        unused[:] = [g is None for g in found]
        return tuple(g for g in found if g is not None)

    seeds = _sequence(grad_outputs)
    found = iter(vmap(one)(*seeds))
    size = seeds[0].shape[0]
    results: list[Tensor | None] = []
    for t, none in zip(_sequence(inputs), unused):
        if not none:
            results.append(next(found))
        elif materialize:
            zero = wrap(tape.zeros(_type(t)))
            results.append(zero.expand(size, *zero.shape))
        else:
            results.append(None)
    return tuple(results)
