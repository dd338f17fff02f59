"""Concatenations of many operands."""

import numpy as np
import pytest

import ingot.ir.ops  # noqa: F401
from ingot.ir.builder import Builder
from ingot.ir.dtypes import f32
from ingot.ir.lower import lower
from ingot.ir.op import OPS
from ingot.ir.passes.wide import SHORT, wide
from ingot.ir.size import symbol
from ingot.ir.types import tensor_type
from ingot.ir.verify import verify
from tests.support.calling import CPU, check, load
from tests.support.symbolic import check_at


def concatenated(shapes, axis):
    b = Builder("many")
    inputs = [b.input(tensor_type(f32, s), f"x{i}") for i, s in enumerate(shapes)]
    made = b.emit(OPS["concatenate"], tuple(inputs), (axis,))[0]
    return b.freeze((b.emit(OPS["exp"], (made,))[0], made))


@pytest.mark.parametrize(
    ("shapes", "axis"),
    [([(k % 4,) for k in range(50)], 0), ([(2, 3)] * 17, 1), ([(3, 1 + k % 2, 2) for k in range(300)], 1), ([(1,)] * 257, 0)],
)  # fmt: skip
def test_many_operands(shapes, axis):
    rng = np.random.default_rng(0)
    check(concatenated(shapes, axis), [rng.standard_normal(s).astype(np.float32) for s in shapes])


def test_sizes_that_are_not_known():
    graph = concatenated([(symbol("n"), 2)] * 40, 0)
    level = CPU.host_level()
    run = load(lower(graph, CPU.target(level)), level)
    for n in (0, 1, 3):
        check_at(graph, run, [np.full((n, 2), i, np.float32) for i in range(40)], {"n": n})


def test_no_concatenation_has_more_operands():
    graph = verify(wide(concatenated([(1,)] * 1000, 0)))
    counts = [len(n.inputs) for n in graph.nodes if n.op.name == "concatenate"]
    assert max(counts) == SHORT and len(counts) == 63 + 4 + 1
