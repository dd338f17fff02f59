"""What people begin with at a prompt, whose kernels come with the package: `python -m ingot._prompt` writes them.

Each line is computed on small arrays of a few shapes, and every CPU level's kernels of its graphs, as eager code asks for them first, go
into `backends/cpu/prebuilt_kernels.bin`. Kernels take sizes as parameters, so most serve any small shape. A test says when the file is
no longer what these lines ask for: after a change of what LLVM IR they become, or of the lines.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from ingot.backends import backend

if TYPE_CHECKING:
    from ingot.backends import Level
    from ingot.ir.graph import Graph
    from ingot.ir.loop.ir import Kernel

__all__ = ["LINES", "SHAPES", "graphs", "kernels"]

LINES = (
    "randn(n, m)", "rand(n, m)", "ones(n, m)", "randint(0, 10, (n, m))", "arange(n)", "arange(0.0, n)", "eye(n)", "linspace(0, 1, n)",
    "x + 1", "x - 1", "x * 2", "x / 2", "2 * x + 1", "x + x", "x - y", "x * y", "x / y", "x + b", "x > 0", "i + 1",
    "x.exp()", "x.tanh()", "x.sigmoid()", "x.relu()", "x.sum()", "x.sum(0)", "x.sum(1)", "x.mean()", "x.mean(1)", "x.max()", "x.argmax(1)",
    "x.softmax(-1)", "x @ w", "x @ x.T", "(x @ x.T).softmax(-1).sum()", "x.double()", "x.long()", "i.float()",
)  # fmt: skip
# those in a group one after the other: what comes back with other sizes is compiled for all of them
SHAPES = (((3, 4, 5), (20, 16, 8)), ((20, 16, 8),), ((6, 9, 2),))


def graphs() -> Iterator[Graph]:
    """What the lines record, as it is compiled when they are new to a process."""
    from ingot.runtime import plans

    for line in LINES:
        for shapes in SHAPES:
            plans.clear()
            for n, m, k in shapes:
                eval(line, _names(line, n, m, k)).numpy()
            yield from {bound.plan.graph: None for bound in plans._PLANS.values()}


def _names(line: str, n: int, m: int, k: int) -> dict[str, Any]:
    """What the names in a line stand for."""
    import ingot

    ones = np.ones((n, m), np.float32)
    arrays = {"x": ones, "y": ones, "b": ones[0], "w": ones.T[:, :k].copy(), "i": ones.astype(np.int64)}
    functions = {name: getattr(ingot, name) for name in dir(ingot) if f"{name}(" in line}
    return {"n": n, "m": m, "k": k, **{name: ingot.tensor(a) for name, a in arrays.items()}, **functions}


def kernels() -> Iterator[tuple[Kernel, Level]]:
    """The kernels of each level that are made quickly first."""
    cpu = backend("cpu")
    for graph in graphs():
        for level in cpu.levels.values():
            if cpu.has_quick(level):
                for kernel in cpu.lower(graph, level, quick=True).kernels.values():
                    yield kernel, level


if __name__ == "__main__":
    backend("cpu").prebuild(kernels())
