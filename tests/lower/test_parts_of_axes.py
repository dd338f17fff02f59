"""Where an axis falls into parts that read different elements, vectors run along each of them without asking."""

from __future__ import annotations

import numpy as np
import pytest

from ingot.ir import dtypes as D
from ingot.ir.loop.text import print_program
from ingot.ir.lower import STAGES, lower, run
from ingot.ir.lower.cpu import cpu
from ingot.ir.lower.schedule import ScheduleError
from ingot.ir.machine import Machine
from ingot.ir.op import OPS as O
from ingot.ir.struct import replace
from tests.support.calling import HOST_LEVELS, compare, load, outputs, run_loops
from tests.support.graphs import arrays_for, graph_of

AT = [s.name for s in STAGES].index("schedule") + 1


def pad(x, low, high):
    return O["pad"](x, 2.0, low=(0, low), high=(0, high), interior=(0, 0))


def rolled(x):
    n = x.shape[1]
    return O["concatenate"](O["slice"](x, starts=(0, n - 5), stops=(x.shape[0], n), steps=(1, 1)),
                            O["slice"](x, starts=(0, 0), stops=(x.shape[0], n - 5), steps=(1, 1)), axis=1)  # fmt: skip


GRAPHS = {
    "joined": ([(9, 33), (9, 1), (9, 40)], lambda a, b, c: O["concatenate"](a, b * 2.0, c, axis=1)),
    "joined and reversed": ([(9, 33), (9, 20)], lambda a, b: O["reverse"](O["concatenate"](a, b, axis=1), axes=(1,)) + 1.0),
    "padded": ([(7, 32)], lambda x: pad(x, 1, 1)),
    "padded, cropped": ([(7, 50)], lambda x: O["slice"](pad(x, 0, 17), starts=(0, 3), stops=(7, 67), steps=(1, 1))),
    "padding behind a sum": ([(7, 50), (7, 61)], lambda x, y: pad(x, 4, 7) + y),
    "rolled": ([(6, 70)], rolled),
    "joined, then padded": ([(5, 21), (5, 11)], lambda a, b: pad(O["concatenate"](a, b, axis=1), 3, 2)),
}


@pytest.mark.parametrize("name", GRAPHS)
def test_parts_give_what_the_whole_gives(name: str) -> None:
    shapes, f = GRAPHS[name]
    g = graph_of([(s, D.f32) for s in shapes], f)
    arrays = arrays_for(g)
    for lanes in (16, 32, 64):
        program = lower(g, cpu(Machine(lanes)))
        assert any("cuts=" in k.schedule for k in program.kernels.values())
        compare(g, arrays, run_loops(g, arrays, program))
    for level in HOST_LEVELS:
        outs = outputs(g)
        assert load(lower(g, cpu(level.machine)), level)([*arrays, *outs]) == 0
        compare(g, arrays, outs)


def test_no_parts_of_what_has_too_many() -> None:
    g = graph_of([((4, 9), D.f32)] * 8, lambda *xs: O["concatenate"](*xs, axis=1))
    found = run(g, cpu(Machine(32)), STAGES[:AT])
    assert not any(s.cuts for s in found.schedules)
    (s,), (group,) = found.schedules, found.fused.groups
    for wrong in ((72,), (0,), (9, 9), (18, 9)):
        with pytest.raises(ScheduleError, match="part"):
            replace(s, cuts=wrong).verify(group)


TABLES = [[*range(20, 0, -1), *range(30), *range(28, 8, -1)], [5] * 30 + [7] * 30, [*range(0, 120, 2), 3], [0, 1, 5, 2]]


@pytest.mark.parametrize("numbers", TABLES)
def test_places_in_runs_are_calculated(numbers: list[int]) -> None:
    """A table of places is no chain of comparisons where they follow each other."""

    def read(x):
        return O["index_get"](x, x.builder.expr(x.builder.constant(np.array(numbers), D.i64)), axes=(1,))

    g = graph_of([((3, 130), D.f32)], read)
    arrays = arrays_for(g)
    program = lower(g, cpu(Machine(32)))
    compare(g, arrays, run_loops(g, arrays, program))
    if len(numbers) > 8:
        assert print_program(program).count("select") < 12
