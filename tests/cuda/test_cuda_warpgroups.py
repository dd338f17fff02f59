"""Products of warpgroups: all ways operands lie, in two orders of time; what a missing wait or barrier does; what is refused."""

from __future__ import annotations

import numpy as np
import pytest

from ingot.backends.cuda.lying import lies
from ingot.backends.cuda.product_choices import TILES_WARPGROUP, TILES_WARPGROUP_TF32
from ingot.backends.cuda.products import Warpgroups
from ingot.ir import dtypes as D
from ingot.ir.loop import index as ix
from ingot.ir.loop.ir import Acc, Alloc, Barrier, Const, For, If, Kernel, WarpgroupMma, WarpgroupWait
from ingot.ir.loop.parse import parse_kernel
from ingot.ir.loop.races import Race
from ingot.ir.loop.text import print_kernel
from ingot.ir.loop.uses import LoopVerifyError
from ingot.ir.loop.verify import verify_kernel
from ingot.ir.lower import STAGES, run
from ingot.ir.lower.schedule import ScheduleError
from ingot.ir.op import OPS
from ingot.ir.struct import replace
from tests.support.calling import compare
from tests.support.cuda import CUDA, assemble, emulated, ptx, raced
from tests.support.graphs import graph_of

AT = [s.name for s in STAGES].index("schedule") + 1
TARGET = CUDA.target(CUDA.levels["sm_90a"])


def array(*shape, dtype="bf16"):
    return np.random.default_rng(sum(shape)).standard_normal(shape).astype(D.by_name(dtype).numpy)


def product(left, right, tf32=False):
    def f(a, b):
        if tf32:
            a, b = OPS["round_tf32"](a), OPS["round_tf32"](b)
        return OPS["dot"](a, b, batch=((), ()), contract=((int(left),), (int(right),)))

    return f


def by_warpgroups(graph, **change):
    """The program of a graph of one product, by warpgroups."""
    found = run(graph, TARGET, STAGES[:AT])
    ((group,), (s,)) = found.fused.groups, found.schedules
    s = Warpgroups(**{"left_k": s.left_k, "right_k": s.right_k, "stages": 4, "copied": s.copied, **change})
    s.verify(group)
    return run(replace(found, schedules=(s,)), TARGET, STAGES[AT:])


def both_ways(program, graph, arrays):
    """The results with the earliest and the latest time of all that goes on by itself, which are the same."""
    results = []
    for backwards in (False, True):
        code, got = emulated(program, graph, arrays, backwards)
        assert code == 0
        compare(graph, arrays, got)
        results.append(got[0].tobytes())
    assert results[0] == results[1]


@pytest.mark.parametrize("left", [False, True])
@pytest.mark.parametrize("right", [False, True])
def test_halves_lie_along_k_or_across(left, right):
    dtype = "f16" if left else "bf16"
    m, n, k = 72, 136, 200
    arrays = [array(*((m, k) if left else (k, m)), dtype=dtype), array(*((n, k) if right else (k, n)), dtype=dtype)]
    graph = graph_of(arrays, product(left, right))
    change = {"tile": (128, 128, 64), "groups": 2} if left == right else {"tile": (64, 64, 64), "parts": 2, "stages": 3}
    program = by_warpgroups(graph, **change)
    (kernel, *_) = program.kernels.values()
    text = print_kernel(kernel)
    assert print_kernel(parse_kernel(text)) == text and text.count(" turned") == (not left) + (not right)
    both_ways(program, graph, arrays)
    made = assemble(program)
    assert made.count("wgmma.mma_async.sync.aligned.m64n") == 2 * 4 and "fence.proxy.async" in made  # for aligned buffers, and others


def test_what_is_calculated_on_its_way_passes_registers():
    arrays = [array(70, 77, dtype="f32"), array(77, 66, dtype="f32")]
    arrays[0][3, 4], arrays[1][7, 9] = np.inf, np.nan
    graph = graph_of(arrays, product(True, False, tf32=True))
    program = by_warpgroups(graph, tile=(64, 64, 32))
    both_ways(program, graph, arrays)
    assert "k8.f32.tf32.tf32" in assemble(program)
    halves = [array(70, 80), array(64, 80)]
    graph = graph_of(halves, lambda a, b: product(True, True)(OPS["neg"](a), b))
    program = by_warpgroups(graph, tile=(64, 64, 64))
    assert "copied=(False, True)" in next(iter(program.kernels.values())).schedule
    both_ways(program, graph, halves)


def test_batches_and_what_follows():
    arrays = [array(3, 64, 64), array(3, 64, 72), array(72)]
    graph = graph_of(arrays, lambda a, b, c: OPS["maximum"](
        OPS["dot"](a, b, batch=((0,), (0,)), contract=((2,), (1,))) + c, c.const(0.0)))  # fmt: skip
    both_ways(by_warpgroups(graph, tile=(64, 128, 64)), graph, arrays)


def test_large_products_are_chosen_so_and_others_not():
    def chosen(level, dtype, function, m=4096):
        program = CUDA.lower(graph_of([((m, 4096), D.by_name(dtype)), ((4096, 4096), D.by_name(dtype))], function), CUDA.levels[level])
        return [k.schedule.partition("(")[0] for k in program.kernels.values()][0]

    assert chosen("sm_90a", "bf16", product(True, False)) == chosen("emulated", "bf16", product(True, True)) == "Warpgroups"
    assert chosen("sm_90a", "f32", product(True, False, tf32=True)) == "Warpgroups"
    assert chosen("sm_80", "bf16", product(True, False)) == "Fragments" and chosen("sm_90a", "f32", product(True, False)) == "Product"


@pytest.mark.parametrize("tile, groups, _", [*TILES_WARPGROUP, *TILES_WARPGROUP_TF32], ids=str)
def test_every_tile_of_the_table_fits(tile, groups, _):
    tf32 = tile[2] == 32
    dtype = D.f32 if tf32 else D.bf16
    graph = graph_of([((4096, 4096), dtype)] * 2, product(True, True, tf32))
    found = run(graph, TARGET, STAGES[:AT])
    (group,) = found.fused.groups
    s = Warpgroups(tile=tile, groups=groups, left_k=True, right_k=True, stages=4, copied=(not tf32,) * 2)
    s.verify(group)
    assert s.nbytes <= TARGET.machine.shared_bytes and lies(group, True) is not None or tf32
    for change in ({"tile": (96, *tile[1:])}, {"tile": (*tile[:2], 16)}, {"tile": (tile[0], 96, tile[2])}, {"stages": 2}, {"groups": 4}):
        with pytest.raises(ScheduleError):
            replace(s, **change).verify(group)


def without(body, kind, keep=lambda s: False):
    inside = [replace(s, body=without(s.body, kind, keep)) if isinstance(s, (For, If)) else s for s in body]
    return [s for s in inside if not isinstance(s, kind) or keep(s)]


def test_a_missing_wait_gives_other_numbers_and_races():
    arrays = [array(64, 256), array(256, 64)]
    graph = graph_of(arrays, product(True, False))
    program = by_warpgroups(graph, tile=(64, 64, 64), stages=3)
    compare(graph, arrays, raced(program, graph, arrays))
    ((name, kernel),) = program.kernels.items()
    hasty = replace(program, kernels={name: replace(kernel, body=without(kernel.body, WarpgroupWait, lambda s: s.groups == 0))})
    with pytest.raises(AssertionError):
        compare(graph, arrays, emulated(hasty, graph, arrays, backwards=True)[1])
    for kind in (WarpgroupWait, Barrier):
        with pytest.raises(Race):
            raced(replace(program, kernels={name: replace(kernel, body=without(kernel.body, kind))}), graph, arrays)


PRODUCT = WarpgroupMma(D.bf16, ("a0", "a1", "a2", "a3"), "s", Const(0, D.i64), "s", Const(2048, D.i64), 4)


@pytest.mark.parametrize(
    "change",
    [
        {"accs": ("a0", "a1")}, {"accs": ("a0", "a1", "a2", "b")}, {"dtype": D.f64}, {"dtype": D.f32, "turned": (True, False)},
        {"steps": 5}, {"turned": (False, True)}, {"left": "nobody"}, {"right_at": "%nobody"}, {"left_at": Const(0, D.i32)},
    ],
    ids=str,
)  # fmt: skip
def test_what_is_no_product_is_refused(change):
    def kernel(*body):
        block = For("t", ix.const(128), "block", [*(Acc(f"a{k}", D.f32, Const(0.0, D.f32)) for k in range(4)), *body])
        return Kernel("k", (), (), [For("g", ix.const(1), "grid", [Alloc("s", D.u32, 4096, "shared"), block])])

    verify_kernel(kernel(PRODUCT, WarpgroupWait(0, PRODUCT.accs)))
    with pytest.raises(LoopVerifyError):
        verify_kernel(kernel(replace(PRODUCT, **change)))
    for wait in (WarpgroupWait(-1), WarpgroupWait(1, PRODUCT.accs), WarpgroupWait(0, ("b",))):
        with pytest.raises(LoopVerifyError):
            verify_kernel(kernel(PRODUCT, wait))


def test_the_image_asks_for_aligned_memory():
    graph = graph_of([((4096, 4096), D.bf16)] * 2, product(True, True))
    text = ptx(CUDA.lower(graph, CUDA.levels["sm_90a"]))
    assert ".extern .shared .align 1024" in text
