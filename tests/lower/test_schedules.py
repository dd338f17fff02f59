"""Schedules: their text, and that code is steered by them alone: any schedule that fits gives the same numbers."""

from __future__ import annotations

import pytest

from ingot.ir import dtypes as D
from ingot.ir.lower import STAGES, run
from ingot.ir.lower.cumulative import Cumulative
from ingot.ir.lower.nest.schedule import Nest, Split
from ingot.ir.lower.nest.turn import Across
from ingot.ir.lower.scatter import Fill, IndexPut, Scatter, WindowScatter
from ingot.ir.lower.schedule import ScheduleError, parse_schedule, print_schedule
from ingot.ir.lower.scheduling import Scheduled, verify_scheduled
from ingot.ir.lower.sort import Sort
from ingot.ir.lower.tiles.schedule import Lines, Pack, Tiles
from ingot.ir.lower.top import Top
from ingot.ir.op import OPS as O
from ingot.ir.struct import replace
from tests.support.calling import WIDE, compare, run_loops
from tests.support.graphs import arrays_for, graph_of
from tests.support.programs import CASES as GRAPHS
from tests.support.programs import conv, dot, layer_norm, softmax

AT = [s.name for s in STAGES].index("schedule") + 1


def scheduled(graph) -> Scheduled:
    return run(graph, WIDE, STAGES[:AT])


def window_max(x):
    return O["window_max"](x, window=(2, 2), stride=(2, 2), padding=((0, 0), (1, 0)), dilation=(1, 1))


INDEX = ((5, 12), D.i64)
CASES = {
    **{name: GRAPHS[name] for name in (
        "product", "product, transposed, bias, relu", "product of one row", "batched product", "bfloat16 product",
        "batch_norm", "column sums", "a long sum", "adam", "transposed sum", "concatenation", "nothing",
    )},
    "transposed": ([(3, 40, 21)], lambda x: O["transpose"](x, perm=(0, 2, 1))),
    "rows across k": ([(8, 136), (8, 40), (136, 1)], lambda a, b, c: dot(a, b, 0, 0) + c),
    "columns in two dims, apart": ([(24, 40), (4, 24, 40)], lambda a, b: dot(a, b, 1, 2)),
    "columns and steps in two dims": (
        [(24, 4, 10), (4, 24, 4, 10)], lambda a, b: O["dot"](a, b, batch=((), ()), contract=((1, 2), (2, 3))),
    ),
    "convolution": ([(1, 3, 6, 6), (5, 3, 3, 3), (5, 1, 1)], lambda x, w, b: conv(x, w, padding=((1, 1), (1, 1))) + b),
    "softmax, then layer_norm": ([(6, 40), (40,), (40,)], lambda x, g, b: layer_norm(softmax(x), g, b)),
    "argmax both ways": ([(9, 40)], lambda x: (O["argmax"](x, axis=1), O["argmax"](x, axis=0))),
    "window": ([(2, 3, 7, 9)], window_max),
    "scatter": ([(9, 12), INDEX, (5, 12)], lambda x, i, s: O["scatter"](x, i, s, axis=0, mode="add")),
    "index_put": ([(9, 12), (4, 12), ((4,), D.i64)], lambda x, s, i: O["index_put"](x, s, i, axes=(0,), mode="add")),
    "window_scatter": ([(2, 3, 4), ((2, 3, 4), D.i64)], lambda g, i: O["window_scatter"](g, i, spatial=(9,))),
    "sort": ([(6, 17)], lambda x: O["sort"](x, axis=1, descending=False)),
    "sort of one line": ([(70,)], lambda x: O["sort"](x, axis=0, descending=True)),
    "top": ([(3, 300)], lambda x: O["top"](x, axis=1, descending=True, count=5)),
    "cumsum": ([(6, 17)], lambda x: (O["cumsum"](x, axis=0, reverse=True), O["cumsum"](x, axis=1, reverse=False))),
}  # fmt: skip


def nest(s: Nest):
    """Schedules like this one."""
    yield replace(s, chunk=1)
    yield replace(s, chunk=3)
    yield replace(s, kept=())
    yield replace(s, streaming=(0,))
    yield apart(s)
    yield replace(apart(s), run=2)
    yield replace(s, run=1)
    yield replace(s, run=7)
    if s.vector is not None:
        yield replace(s, width=2 if s.width != 2 else 4)
        yield replace(s, width=64)
    if s.block > 1:
        yield replace(s, block=s.width)
        yield replace(s, block=s.block // 2 + 1, chunk=2)
    if s.split is not None:
        yield replace(s, split=replace(s.split, step=5 * s.width))
    if s.along_k:
        yield replace(s, along_k=0)
        yield replace(s, along_k=8)
    yield replace(s, unroll=not s.unroll)


def apart(s: Nest) -> Nest:
    """Every axis on its own, without vectors."""
    split = s.split and Split(sum(len(run) for run in s.axes[: s.split.axis]), s.split.step)
    axes = tuple((a,) for run in s.axes for a in run)
    return replace(s, axes=axes, vector=None, width=1, block=1, kept=(), split=split)


def tiles(s: Tiles):
    yield replace(s, tile=tuple(max(1, t - 1) for t in s.tile))
    yield replace(s, tile=(1,) * len(s.tile), gather=False)
    yield replace(s, pack=Pack(4))
    yield replace(s, pack=Pack(8, direct=True))
    yield replace(s, pack=Pack(8, turn=4))
    yield replace(s, pack=Pack(16, chunk=3, turn=16))
    yield replace(s, pack=Pack(8, depth=1 << 20), block=3, group=1 << 20)
    yield replace(s, pack=Pack(4, depth=3), block=2, group=1 << 20, parallel=True)
    yield replace(s, block=1, group=1, parallel=True)
    yield replace(s, block=3, group=2, parallel=False)
    yield replace(s, run=1)
    yield replace(s, run=7)
    yield replace(s, gather=not s.gather)
    yield replace(s, copy=None if s.copy else Lines(8, 3))
    yield replace(s, step=1, combine=Lines(8, 2))
    yield replace(s, step=1 << 20, combine=None)


def others(s):
    if isinstance(s, Across):
        yield replace(s, size=2, tile=3, chunk=2)
        yield replace(s, size=8, tile=1, streaming=True)
        yield replace(s, size=32)
    if isinstance(s, (Scatter, WindowScatter, Sort, Cumulative, Top)):
        yield replace(s, chunk=1)
        yield replace(s, chunk=4)
    if isinstance(s, (Scatter, IndexPut)):
        yield replace(s, fill=Fill(4, 7))
    if isinstance(s, IndexPut):
        yield replace(s, block=5, width=2)
    if isinstance(s, Sort):
        s = replace(s, lines=0)
        yield s
        yield replace(s, digit=3, width=4)
        yield replace(s, digit=8)
        yield replace(s, digit=6, parts=3, width=4)
    if isinstance(s, Top):
        s = replace(s, lines=0)
        yield replace(s, block=0, width=1)
        yield replace(s, block=0, width=4, digit=8)
        yield replace(s, block=1, width=1)
        yield replace(s, block=24, width=8)
    if isinstance(s, Cumulative):
        yield replace(s, width=8 if s.width == 1 else 1)


def variants(s):
    return nest(s) if isinstance(s, Nest) else tiles(s) if isinstance(s, Tiles) else others(s)


@pytest.mark.parametrize("name", CASES)
def test_any_schedule_gives_the_same_numbers(name):
    graph = graph_of(*CASES[name])
    arrays = arrays_for(graph)
    whole = scheduled(graph)
    verify_scheduled(whole)
    tried = 0
    for at, s in enumerate(whole.schedules):
        for other in variants(s):
            if other == s:
                continue
            try:
                other.verify(whole.fused.groups[at])
            except ScheduleError:
                continue
            tried += 1
            changed = replace(whole, schedules=(*whole.schedules[:at], other, *whole.schedules[at + 1 :]))
            program = run(changed, WIDE, STAGES[AT:])
            assert any(print_schedule(other) == k.schedule for k in program.kernels.values())
            compare(graph, arrays, run_loops(graph, arrays, program))
    assert tried >= len(whole.schedules)


def schedules(s: Scheduled):
    for x in s.schedules:
        yield from schedules(x) if isinstance(x, Scheduled) else [x]


@pytest.mark.parametrize("name", CASES)
def test_text(name):
    for s in schedules(scheduled(graph_of(*CASES[name]))):
        for each in (s, *variants(s)):
            assert parse_schedule(print_schedule(each)) == each


@pytest.mark.parametrize("text", [
    "", "Nest", "Nest()", "Nest(1)", "Nest(axes=(), vector=None, width=1, wings=2)", "Sort(chunk=__import__('os'))", "Sort(chunk=1)(2)",
    "os.Sort(chunk=1)", "Sort(**{'chunk': 1})", "{'chunk': 1}", "3", "Sort(chunk=" + "(" * 4000, "Sort(chunk=" + "1" * 5000 + ")",
])  # fmt: skip
def test_text_that_is_no_schedule(text):
    with pytest.raises(ScheduleError):
        parse_schedule(text)


@pytest.mark.parametrize("name, wrong", [
    ("adam", dict(axes=())), ("adam", dict(width=3)), ("adam", dict(chunk=0)), ("adam", dict(vector=5)), ("adam", dict(block=0)),
    ("adam", dict(kept=((0, 0),))), ("adam", dict(split=Split(0, 4))), ("adam", dict(along_k=4)), ("adam", dict(unroll=True)),
    ("transposed sum", dict(axes=((0, 1),), vector=0)), ("softmax, then layer_norm", dict(kept=((0, 0),))),
    ("a long sum", dict(split=None)), ("product", dict(tile=(31,))), ("product", dict(combine=Lines(4, 4))), ("product", dict(block=0)),
    ("product", dict(pack=Pack(256, direct=True))), ("product, transposed, bias, relu", dict(pack=Pack(4, direct=True))),
    ("bfloat16 product", dict(gather=True)), ("sort", dict(chunk=0)),
    ("sort", dict(digit=17)), ("sort", dict(digit=8, parts=2)), ("sort of one line", dict(parts=2)),
    ("product", dict(pack=Pack(8, depth=3), group=1)), ("product", dict(pack=Pack(8, direct=True, depth=3))),
    ("top", dict(digit=8)),
    ("product", dict(pack=Pack(8, turn=4))), ("product, transposed, bias, relu", dict(pack=Pack(8, turn=32))),
    ("transposed", dict(along=0)), ("transposed", dict(axes=((0,), (1, 2)))), ("transposed", dict(size=3)),
    ("top", dict(block=3, width=2)), ("scatter", dict(fill=Fill(3, 1))),
])  # fmt: skip
def test_schedules_that_do_not_fit_are_refused(name, wrong):
    whole = scheduled(graph_of(*CASES[name]))
    s = replace(whole.schedules[0], **wrong)
    with pytest.raises(ScheduleError):
        verify_scheduled(replace(whole, schedules=(s, *whole.schedules[1:])))


def test_statistics_of_rows_run_along_them():
    """However many results there are of a row: it is read element by element."""

    def statistics(x):
        m = O["reduce_sum"](x, axes=(1,)) * (1 / 700)
        return m, O["reduce_sum"]((x - m) * (x - m), axes=(1,))

    (s,) = scheduled(graph_of([((300, 700), D.f32)], statistics)).schedules
    assert s.axes[s.vector] == (1,)
