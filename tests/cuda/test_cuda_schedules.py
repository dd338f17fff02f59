"""Schedules of blocks and threads: what is chosen for which sizes, and that any that fits gives the same numbers."""

from __future__ import annotations

import pytest

from ingot.backends.cuda.points import Points
from ingot.backends.cuda.rows import Rows, Team
from ingot.backends.cuda.scans import Scan
from ingot.backends.cuda.turned import Turned
from ingot.ir import dtypes as D
from ingot.ir.lower import STAGES, run
from ingot.ir.lower.schedule import ScheduleError, parse_schedule, print_schedule
from ingot.ir.lower.scheduling import Scheduled, verify_scheduled
from ingot.ir.op import OPS as O
from ingot.ir.struct import replace
from tests.support.calling import compare
from tests.support.cuda import CUDA, interpreted, scheduled, waits
from tests.support.graphs import arrays_for, graph_of

TARGET = CUDA.target(CUDA.levels["sm_90a"])
AT = [s.name for s in STAGES].index("schedule") + 1


def chosen(function, *inputs) -> list:
    return list(run(graph_of(inputs, function), TARGET, STAGES[:AT]).schedules)


def softmax(x):
    e = O["exp"](x - O["reduce_max"](x, axes=(1,)))
    return e / O["reduce_sum"](e, axes=(1,))


def total(*axes):
    return lambda x: x.sum(axes)


@pytest.mark.parametrize(
    "function, shape, text",
    [
        (lambda x: x * x, (300, 500), "Points(axes=((0, 1),), threads=256, each=4)"),
        (lambda x: x * x, (7,), "Points(axes=((0,),), threads=32)"),
        (lambda x: x * x, (1001,), "Points(axes=((0,),), threads=256, each=4)"),
        (lambda x: O["transpose"](x, perm=(1, 0)) + 1.0, (512, 2048), "Turned(axes=((0,), (1,)), side=32, threads=256)"),
        (lambda x: O["transpose"](x, perm=(1, 0)) + 1.0, (8, 2048), "Points(axes=((0,), (1,)), threads=256)"),
        (lambda x: O["cumsum"](x, axis=1, reverse=False), (64, 5000), "Scan(threads=256, each=4)"),
        (lambda x: O["cumsum"](x, axis=0, reverse=False), (64, 50000), "LinePerThread(threads=256)"),
        (softmax, (16384, 4096), "Rows(axes=((0,),), over=((1,),), team=Team(threads=256, rows=1), kept=((2, 1),), each=4, beside=True)"),
        (softmax, (100000, 8), "Rows(axes=((0,),), over=((1,),), team=Team(threads=1, rows=256), kept=((2, 1),), each=4, beside=True)"),
        (total(1), (16384, 100), "Rows(axes=((0,),), over=((1,),), team=Team(threads=32, rows=8))"),
        (total(0), (100, 100000), "Rows(axes=((1,),), over=((0,),), team=Team(threads=1, rows=256, columns=True), "
                                   "step=52, combine=Team(threads=1, rows=256, columns=True), each=4)"),
        (total(0), (1000, 4096), "Rows(axes=((1,),), over=((0,),), team=Team(threads=8, rows=32, columns=True), step=160, "
                                 "combine=Team(threads=1, rows=256, columns=True), each=4)"),
        (total(0, 1), (4096, 4096), "Rows(axes=(), over=((0, 1),), team=Team(threads=256, rows=1), step=16384, "
                                    "combine=Team(threads=256, rows=1, columns=True), each=4, beside=True)"),
    ],
)  # fmt: skip
def test_what_is_chosen(function, shape, text):
    (s,) = chosen(function, shape)
    assert print_schedule(s) == text
    assert parse_schedule(text) == s


def points(s):
    yield replace(s, axes=s.axes[::-1])
    yield replace(s, axes=tuple((a,) for run in s.axes for a in run))
    yield replace(s, threads=64)
    yield replace(s, run=1)
    yield replace(s, each=2)
    yield replace(s, each=4)
    if s.axes:
        yield replace(s, lines=not s.lines)


def rows(s):
    for team in (Team(1, 4), Team(8, 2), Team(4, 1, True), Team(2, 8, True)):
        yield replace(s, team=team, kept=())
        yield replace(s, team=team, kept=(), run=1)
    yield replace(s, team=Team(4, 2, not s.team.columns), over=tuple((a,) for run in s.over for a in run))
    yield replace(s, team=Team(4, 2), step=7, combine=Team(2, 2))
    yield replace(s, team=Team(1, 2), step=5, combine=Team(1, 2), run=2)
    for each in (2, 3):
        yield replace(s, team=Team(2, 2), kept=(), each=each)
        yield replace(s, each=each, beside=True)
        yield replace(s, team=Team(2, 2), step=6 * each, combine=Team(1, 1), each=each, beside=True)
    yield replace(s, team=Team(1, 4, True), step=1 << 20, combine=Team(1, 1))


def turned(s):
    yield replace(s, side=16)
    yield replace(s, side=8, threads=32)
    yield replace(s, axes=(*s.axes[:-2], s.axes[-1], s.axes[-2]))


def scans(s):
    yield replace(s, each=3)
    yield replace(s, threads=4)
    yield replace(s, threads=1, each=1)


OTHERS = {Points: points, Rows: rows, Turned: turned, Scan: scans}
CASES = {
    "chain": ([(5, 7, 3), (7, 1)], lambda x, y: O["tanh"](x) * y),
    "transposed sum": ([(9, 20, 3)], lambda x: O["transpose"](x, perm=(2, 0, 1)).sum((2,))),
    "softmax": ([(5, 19)], softmax),
    "softmax of columns": ([(11, 4)], lambda x: O["transpose"](softmax(O["transpose"](x, perm=(1, 0))), perm=(1, 0))),
    "batch_norm": ([(4, 3, 10)], lambda x: x - x.sum((0, 2)) * (1 / 40)),
    "argmax both ways": ([(5, 11)], lambda x: (O["argmax"](x, axis=0), O["argmin"](x, axis=1))),
    "sums": ([(3, 50)], lambda x: (x.sum((1,)), x.sum((0, 1)))),
    "booleans": ([((6, 13), D.bool_)], lambda x: (O["reduce_and"](x, axes=(0,)), O["reduce_or"](x, axes=(1,)))),
    "transposes": ([(20, 33), (33, 20)], lambda x, y: O["transpose"](x, perm=(1, 0)) * y + O["transpose"](x, perm=(1, 0))),
    "transposes of three": ([(18, 3, 40)], lambda x: O["exp"](O["transpose"](x, perm=(2, 0, 1)))),
    "running sums": ([(2, 70)], lambda x: O["cumsum"](x, axis=1, reverse=True)),
    "running extrema": ([(70,)], lambda x: O["cummax"](x, axis=0)),
    "product": ([(5, 8), (8, 7)], lambda a, b: O["dot"](a, b, batch=((), ()), contract=((1,), (0,)))),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_any_schedule_gives_the_same_numbers(name):
    graph = graph_of(*CASES[name])
    arrays = arrays_for(graph)
    found: Scheduled = run(graph, TARGET, STAGES[:AT])
    tried = 0
    for i, s in enumerate(found.schedules):
        for other in OTHERS.get(type(s), lambda s: ())(s):
            changed = replace(found, schedules=(*found.schedules[:i], other, *found.schedules[i + 1 :]))
            try:
                verify_scheduled(changed)
            except ScheduleError:
                continue
            tried += 1
            program = run(changed, TARGET, STAGES[AT:])
            got = interpreted(program, graph, arrays)
            compare(graph, arrays, got)
            if waits(program):
                again = interpreted(program, graph, arrays, backwards=True)
                assert [a.tobytes() for a in got] == [a.tobytes() for a in again], other
    assert tried >= 3


@pytest.mark.parametrize(
    "change",
    [
        {"team": Team(3, 1)}, {"team": Team(1024, 2)}, {"axes": ((1,),)}, {"over": ()}, {"kept": ((0, 5),)}, {"step": 8},
        {"step": 8, "combine": Team(1, 1)},
    ],
    ids=str,
)  # fmt: skip
def test_what_does_not_fit_is_refused(change):
    graph = graph_of(*CASES["softmax"])
    found = run(graph, TARGET, STAGES[:AT])
    (s,) = found.schedules
    with pytest.raises(ScheduleError):
        verify_scheduled(replace(found, schedules=(replace(s, **change),)))


def test_kernels_of_one_form_serve_many_sizes():
    kernels = [list(scheduled(graph_of([(n, 63), (63,)], lambda x, y: x * y + 1.0)).kernels.values()) for n in (101, 333)]
    assert [repr(k.body) for k in kernels[0]] == [repr(k.body) for k in kernels[1]]
