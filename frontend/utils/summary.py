"""`summary`: what a model is made of: modules, shapes of results, parameters, operations."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ingot._tensor import Tensor
from ingot.capture import flatten
from ingot.grad_mode import no_grad
from ingot.nn import Module
from ingot.utils.flop_counter import FlopCounterMode

__all__ = ["ModelSummary", "Row", "summary"]


@dataclass(frozen=True)
class Row:
    """A call of a module: its name in the model, its class, the shapes of its results, its own parameters, and the operations of its
    products and convolutions, those of the modules in it included."""

    name: str
    kind: str
    shapes: tuple[tuple[int, ...], ...]
    parameters: int
    flops: int

    @property
    def depth(self) -> int:
        """How many modules it is within."""
        return self.name.count(".") + 1 if self.name else 0


@dataclass(frozen=True)
class ModelSummary:
    """The rows of a model in the order of the calls, and what all have together. As text it is a table."""

    rows: tuple[Row, ...]
    parameters: int
    trainable: int
    nbytes: int
    flops: int

    def __str__(self) -> str:
        names = ["  " * r.depth + (r.name.rpartition(".")[2] or r.kind) + (f" ({r.kind})" if r.name else "") for r in self.rows]
        shapes = [" ".join(str(list(s)) for s in r.shapes) for r in self.rows]
        wide, wider = max([len(n) for n in names] + [6]), max([len(s) for s in shapes] + [6])
        head = f"{'Module':<{wide}}  {'Result':<{wider}}  {'Parameters':>12}  {'FLOP':>15}"
        lines = [head, "-" * len(head)]
        for name, shape, r in zip(names, shapes, self.rows):
            own, flops = (f"{n:,}" if n else "-" for n in (r.parameters, r.flops))
            lines.append(f"{name:<{wide}}  {shape:<{wider}}  {own:>12}  {flops:>15}")
        lines += ["-" * len(head), f"parameters: {self.parameters:,} ({self.nbytes:,} bytes), trainable: {self.trainable:,}"]
        lines.append(f"FLOP: {self.flops:,}")
        return "\n".join(lines)


def summary(model: Module, *args: Any, **kwargs: Any) -> ModelSummary:
    """Run `model(*args, **kwargs)` without gradients, and tell of every module that was called.

    The model stays as it is but for what its forward itself changes (buffers in training mode). TypeError for what is no Module.

    >>> from ingot.utils import summary
    >>> print(summary.summary(ingot.nn.Sequential(ingot.nn.Linear(3, 4), ingot.nn.ReLU()), ingot.ones(2, 3)))
    Module        Result    Parameters             FLOP
    ---------------------------------------------------
    Sequential    [2, 4]             -               48
      0 (Linear)  [2, 4]            16               48
      1 (ReLU)    [2, 4]             -                -
    ---------------------------------------------------
    parameters: 16 (64 bytes), trainable: 16
    FLOP: 48
    """
    if not isinstance(model, Module):
        raise TypeError(f"summary: expected a Module, got {type(model).__name__}")
    names = {id(m): name for name, m in model.named_modules()}
    rows: list[Any] = []
    handles = []
    counter = FlopCounterMode(display=False)

    def before(module: Module, *_: Any) -> None:
        rows.append((module, counter.get_total_flops(), None))
        open_rows.append(len(rows) - 1)

    def after(module: Module, _: Any, output: Any) -> None:
        k = open_rows.pop()
        leaves: list[Any] = []
        flatten(output, leaves)
        shapes = tuple(tuple(x.shape) for x in leaves if isinstance(x, Tensor))
        own = sum(p.numel() for p in module.parameters(recurse=False))
        rows[k] = Row(names[id(module)], type(module).__name__, shapes, own, counter.get_total_flops() - rows[k][1])

    open_rows: list[int] = []
    for m in model.modules():
        handles += [m.register_forward_pre_hook(before), m.register_forward_hook(after)]
    try:
        with no_grad(), counter:
            model(*args, **kwargs)
    finally:
        for h in handles:
            h.remove()
    every = list(model.parameters())
    return ModelSummary(
        tuple(rows), sum(p.numel() for p in every), sum(p.numel() for p in every if p.requires_grad),
        sum(p.numel() * p.element_size() for p in every), counter.get_total_flops(),
    )  # fmt: skip
