"""The tape itself: its nodes, edges and what they save, hooks on many gradients, and versions of tensors."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

from ingot._tensor import Tensor
from ingot.runtime import backward, tape
from ingot.runtime.hooks import Handle
from ingot.runtime.tape import Node, SavedHooks

__all__ = [
    "GradientEdge", "Node", "allow_mutation_on_saved_tensors", "disable_saved_tensors_hooks", "get_gradient_edge", "increment_version",
    "register_multi_grad_hook", "save_on_cpu", "saved_tensors_hooks",
]  # fmt: skip


class GradientEdge(NamedTuple):
    """Where a tensor's gradient goes: `autograd.grad` and `backward` take it in place of the tensor."""

    node: Node
    output_nr: int
    ownership_token: Any = None


def get_gradient_edge(tensor: Tensor) -> GradientEdge:
    """The edge of a tensor that requires gradients. RuntimeError for any other.

    >>> x = ingot.ones(2, requires_grad=True)
    >>> ingot.autograd.graph.get_gradient_edge(x * 2).node.name()
    'MulBackward0'
    """
    edge = tensor._pair()[1]
    if edge is None:
        raise RuntimeError("It is not possible to get the gradient edge for a Tensor that does not require gradients")
    return GradientEdge(*edge)


def increment_version(tensor: Tensor | Sequence[Tensor]) -> None:
    """Count one more write to each tensor, as if it had been changed in place: a backward that has saved it is then refused."""
    for t in (tensor,) if isinstance(tensor, Tensor) else tuple(tensor):
        t._here()._writes().n += 1


class saved_tensors_hooks:
    """Within the block, what a node saves for backward goes through `pack`, and comes back through `unpack` when it is needed.

    `pack(tensor)` gives any object, and `unpack` of that a tensor with the same values. What a node saves is what its rule reads, once per
    operation that the user calls.

    >>> with ingot.autograd.graph.saved_tensors_hooks(lambda t: t.half(), lambda t: t.float()):
    ...     y = ingot.tensor([2.0], requires_grad=True).exp()
    """

    def __init__(self, pack_hook: Callable[[Tensor], Any], unpack_hook: Callable[[Any], Tensor]):
        self._hooks = SavedHooks(pack_hook, unpack_hook)

    def __enter__(self) -> None:
        if tape.saving.refused:
            raise RuntimeError(tape.saving.refused)
        tape.saving.hooks = (*tape.saving.hooks, self._hooks)

    def __exit__(self, *exc: Any) -> None:
        tape.saving.hooks = tape.saving.hooks[:-1]


class save_on_cpu(saved_tensors_hooks):
    """Within the block, what is saved for backward is kept in the CPU's memory. `pin_memory` is accepted."""

    def __init__(self, pin_memory: bool = False, device_type: str = "cuda"):
        super().__init__(lambda t: (t.device, t.cpu()), lambda kept: kept[1].to(kept[0]))


@contextmanager
def disable_saved_tensors_hooks(error_message: str) -> Iterator[None]:
    """A block in which `saved_tensors_hooks` is a RuntimeError with this message."""
    before = tape.saving.refused
    tape.saving.refused = error_message
    try:
        yield
    finally:
        tape.saving.refused = before


@contextmanager
def allow_mutation_on_saved_tensors() -> Iterator[None]:
    """A block in which tensors may be written in place although a backward has saved them: it goes on with what was saved.

    >>> x = ingot.ones(2, requires_grad=True)
    >>> with ingot.autograd.graph.allow_mutation_on_saved_tensors():
    ...     y = x * 2
    ...     z = y * y
    ...     _ = y.add_(1)
    ...     z.sum().backward()
    >>> x.grad
    tensor([8., 8.])
    """
    before = tape.saving.checked
    tape.saving.checked = False
    try:
        yield
    finally:
        tape.saving.checked = before


class _Handles:
    def __init__(self, handles: Sequence[Handle]):
        self.handles = tuple(handles)

    def remove(self) -> None:
        """Take the hooks away."""
        for h in self.handles:
            h.remove()

    def __enter__(self) -> _Handles:
        return self

    def __exit__(self, *exc: Any) -> None:
        self.remove()


def register_multi_grad_hook(tensors: Sequence[Tensor], fn: Callable[[Any], None], *, mode: str = "all") -> Any:
    """Call `fn` once per backward: with "all", on the list of all gradients (None for those that have none) when the last of them is there;
    with "any", on the first.

    ValueError for another mode, RuntimeError for a tensor that requires no gradient.

    >>> a, b = ingot.ones(2, requires_grad=True), ingot.ones(2, requires_grad=True)
    >>> handle = ingot.autograd.graph.register_multi_grad_hook((a, b), print)
    >>> (a * 2 + b).sum().backward()
    [tensor([2., 2.]), tensor([1., 1.])]
    >>> handle.remove()
    """
    if mode not in ("all", "any"):
        raise ValueError(f"Expects mode to be one of ('all', 'any') but got {mode}")
    edges = [get_gradient_edge(t) for t in tensors]
    lock = threading.Lock()
    held: dict[Any, list[Any]] = {}  # run -> its gradients so far

    def hook(i: int) -> Callable[[Tensor], None]:
        def got(grad: Tensor) -> None:
            run = backward.running()
            with lock:
                for old in [r for r in held if r is not run and r.over]:
                    del held[old]
                first = run not in held
                found = held.setdefault(run, [None] * len(edges))
                found[i] = grad
                last = sum(g is not None for g in found) == sum(run.reaches(e.node) for e in edges)
            if mode == "any" and first:
                fn(grad)
            if mode == "all" and last:
                fn(list(found))

        return got

    return _Handles([t.register_hook(hook(i)) for i, t in enumerate(tensors)])
