"""A graph that grows by steps drawn at random.

Values are computed while it grows, so that every graph is well defined (indices in range, no division by zero) and
numerically tame (no overflow, no cancellation that magnifies rounding): compiled code can be compared with the interpreter.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

import ingot.ir.ops  # noqa: F401
from ingot.ir.builder import Builder
from ingot.ir.dtypes import DType, bool_, by_numpy
from ingot.ir.graph import Graph, Value
from ingot.ir.op import OPS, infer
from ingot.ir.size import ShapeError
from ingot.ir.types import broadcast_shapes, tensor_type

EXTENTS = (1, 1, 2, 3, 3, 4, 5, 7, 8, 16, 17, 33)
LIMIT = 1e3  # magnitudes beyond this are not kept
MAX_NUMEL = 4096


class Rejected(Exception):
    """A step that would give a value outside the tame range."""


class Grower:
    """A graph, its inputs' arrays, and every value so far, computed."""

    def __init__(self, rng: np.random.Generator, dtypes: list[DType], name: str):
        self.rng = rng
        self.dtypes = dtypes
        self.b = Builder(name)
        self.arrays: list[np.ndarray] = []
        self.value: dict[Value, np.ndarray] = {}  # every value so far, computed
        self.exact: set[Value] = set()
        self.read: set[Value] = set()
        self.pool: list[Value] = []  # what steps choose from

    def run(self, size: int, steps: Sequence[Callable[[Grower], Value]]) -> tuple[Graph, list[np.ndarray]]:
        """Grow by `size` of the steps, drawn at random."""
        for _ in range(int(self.rng.integers(1, 4))):
            self.pool.append(self.input(self.shape(), self.pick(self.dtypes)))
        done = tries = 0
        while done < size and tries < size * 10:
            tries += 1
            step = self.pick(steps)
            mark = len(self.b.nodes)
            try:
                out = step(self)
            except Rejected:
                dropped = {v for n in self.b.nodes[mark:] for v in n.outputs}
                del self.b.nodes[mark:]
                self.b._constants = {c: v for c, v in self.b._constants.items() if v not in dropped}
                continue
            if out is not None:
                self.pool.append(out)
                done += 1
        made = {v for n in self.b.nodes for v in n.outputs}
        read = {v for n in self.b.nodes for v in n.inputs}
        outputs = [v for v in self.pool if v in made and v not in read]
        outputs += [v for v in self.pool if v in made and v in read and self.rng.random() < 0.15]
        if not outputs:
            outputs = [self.pool[-1]]
        return self.b.freeze(tuple(outputs)), self.arrays

    # -- choices --

    def pick(self, options: Sequence) -> Any:
        return options[int(self.rng.integers(len(options)))]

    def chance(self, p: float) -> bool:
        return bool(self.rng.random() < p)

    def shape(self) -> tuple[int, ...]:
        rank = int(self.rng.choice([0, 1, 2, 2, 3, 4]))
        shape = tuple(0 if self.chance(0.02) else self.pick(EXTENTS[: 12 - 2 * rank]) for _ in range(rank))
        return shape if np.prod(shape) <= MAX_NUMEL else shape[:2]

    def choose(self, ok: Callable[[Value], bool]) -> Value:
        """A value of the pool for which `ok` holds, or a fresh input of a random shape that does."""
        found = [v for v in self.pool if ok(v)]
        if not found:
            raise Rejected
        # the latest are likelier: chains grow long
        return found[-1 - min(int(self.rng.exponential(3)), len(found) - 1)]

    def input(self, shape: tuple[int, ...], dtype: DType, data: np.ndarray | None = None, scalar: bool = False) -> Value:
        v = self.b.input(tensor_type(dtype, shape), f"x{len(self.arrays)}", scalar and not shape)
        if data is None:
            if dtype is bool_:
                data = self.rng.integers(0, 2, shape)
            elif dtype.kind == "f":
                data = self.rng.uniform(-3, 3, shape)
                data = np.where(self.rng.random(shape) < 0.1, np.round(data), data)
            else:
                data = self.rng.integers(0 if dtype.kind == "u" else -9, 10, shape)
        array = np.asarray(data).astype(np.float32 if dtype.bits == 16 and dtype.kind == "f" else dtype.numpy).astype(dtype.numpy)
        self.arrays.append(array)
        self.value[v] = array
        self.exact.add(v)
        return v

    def constant(self, data: Any, dtype: DType) -> Value:
        v = self.b.constant(data, dtype)
        self.value[v] = self.b.nodes[-1].attrs[0].array() if v not in self.value else self.value[v]
        self.exact.add(v)
        return v

    def emit(self, name: str, *inputs: Value, exact: bool = False, **attrs: Any) -> Any:
        """One op, computed at once; Rejected where the result is not tame."""
        op = OPS[name]
        given = op.attr_tuple(attrs)
        try:
            infer(op, tuple(v.type for v in inputs), given)
        except ShapeError:
            raise Rejected from None
        with np.errstate(all="ignore"):
            out = op.ref(*(self.value[v] for v in inputs), *given)
        out = out if isinstance(out, tuple) else (out,)
        for a in out:
            if a.size > 4 * MAX_NUMEL or (by_numpy(a.dtype).kind == "f" and not (np.abs(a.astype(np.float64)) <= LIMIT).all()):
                raise Rejected
        values = self.b.emit(op, inputs, given)
        for v, a in zip(values, out):
            self.value[v] = np.asarray(a)
            if exact and all(i in self.exact for i in inputs):
                self.exact.add(v)
        return values if len(values) > 1 else values[0]

    def partner(self, v: Value) -> Value:
        """A value of the same dtype that broadcasts with v: one of the pool, or fresh."""

        def fits(w: Value) -> bool:
            if w.type.dtype is not v.type.dtype:
                return False
            try:
                return int(np.prod(broadcast_shapes(v.type.shape, w.type.shape))) <= MAX_NUMEL
            except RuntimeError:
                return False

        found = [w for w in self.pool if fits(w)]
        if found and self.chance(0.7):
            return self.pick(found)
        shape = tuple(1 if self.chance(0.3) else d for d in v.type.shape)[int(self.rng.integers(0, v.type.rank + 1)) :]
        if self.chance(0.25):
            d = v.type.dtype
            return self.constant(self.pick([True, False]) if d is bool_ else self.pick([0, 1, 2, -1 if d.kind == "i" else 3]), d)
        if self.chance(0.3):
            return self.input((), v.type.dtype, scalar=self.chance(0.5))
        return self.input(shape, v.type.dtype)
