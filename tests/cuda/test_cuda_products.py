"""Products in tiles: every tile of the table, odd sizes, parts of k, convolutions and their gradients; and no register goes to memory."""

from __future__ import annotations

import re
import subprocess

import numpy as np
import pytest

from ingot.backends.cuda.product_choices import TILES, TILES_F64, TILES_HALF, TILES_TF32
from ingot.ir.dtypes import by_name
from ingot.ir.loop.parse import parse_kernel
from ingot.ir.loop.text import print_kernel
from ingot.ir.lower import STAGES, run
from ingot.ir.op import OPS
from ingot.ir.passes.rounded import rounded
from ingot.ir.struct import replace
from tests.support.calling import compare
from tests.support.cuda import CUDA, check, emulated, needs_ptxas, ptx, raced, scheduled
from tests.support.graphs import arrays_for, graph_of

AT = [s.name for s in STAGES].index("schedule") + 1
TARGET = CUDA.target(CUDA.levels["sm_80"])


def dot(a, b, left=1, right=0):
    return OPS["dot"](a, b, batch=((), ()), contract=((left,), (right,)))


def rounded_dot(a, b):
    return dot(OPS["round_tf32"](a), OPS["round_tf32"](b))


def array(*shape, seed=0, dtype="f32"):
    return np.random.default_rng(seed).standard_normal(shape).astype(by_name(dtype).numpy)


def with_schedule(graph, **change):
    """The program of a graph of one product, whose schedule is changed."""
    found = run(graph, TARGET, STAGES[:AT])
    (s,) = found.schedules
    s = replace(s, **change)
    s.verify(found.fused.groups[0])
    return run(replace(found, schedules=(s,)), TARGET, STAGES[AT:])


@pytest.mark.parametrize("tile, each, dtype", [(*t[:2], d) for table, d in ((TILES, "f32"), (TILES_F64, "f64")) for t in table], ids=str)
def test_every_tile(tile, each, dtype):
    a, b = array(137, 50, dtype=dtype), array(50, 131, dtype=dtype)
    graph = graph_of([a, b], lambda a, b: OPS["tanh"](dot(a, b)))
    for change in ({}, {"parts": 3, "left_k": False, "right_k": True}):
        program = with_schedule(graph, tile=tile, each=each, **change)
        code, got = emulated(program, graph, [a, b], backwards=bool(change))
        assert code == 0
        compare(graph, [a, b], got)


@pytest.mark.parametrize("tile, warps, parts", [((128, 64, 32), (4, 2), 1), ((64, 32, 32), (2, 2), 3), ((16, 64, 32), (1, 4), 1)], ids=str)
def test_halves_are_multiplied_by_warps(tile, warps, parts):
    assert any((tile, warps) == known[:2] for known in TILES_HALF)
    for dtype, left, right in (("bf16", True, False), ("f16", False, True)):
        a, b = array(137, 50, dtype=dtype), array(50, 70, dtype=dtype)
        graph = graph_of([a, b], lambda a, b: OPS["maximum"](dot(a, b), a.const(0.0)))
        program = with_schedule(graph, tile=tile, warps=warps, parts=parts, left_k=left, right_k=right)
        code, got = emulated(program, graph, [a, b], backwards=left)
        assert code == 0
        compare(graph, [a, b], got)
    for kernel in program.kernels.values():
        text = print_kernel(kernel)
        assert print_kernel(parse_kernel(text)) == text


@pytest.mark.parametrize("tile, warps, parts", [((128, 64, 16), (4, 2), 1), ((32, 32, 16), (2, 2), 3)], ids=str)
def test_what_is_rounded_is_multiplied_by_warps(tile, warps, parts):
    assert any((tile, warps) == known[:2] for known in TILES_TF32)
    a, b = array(137, 50), array(50, 70)
    a[3, 4], b[7, 9] = np.inf, np.nan
    graph = graph_of([a, b], rounded_dot)
    program = with_schedule(graph, tile=tile, warps=warps, parts=parts, left_k=parts == 1, right_k=parts > 1)
    code, got = emulated(program, graph, [a, b], backwards=parts == 1)
    assert code == 0
    compare(graph, [a, b], got)
    whole = rounded(graph_of([a, b], dot))  # as it is asked for
    assert [n.op.name for n in whole.nodes] == ["round_tf32", "round_tf32", "dot"] and rounded(graph_of([a], lambda a: a + 1.0)).nodes


@pytest.mark.parametrize("left", [0, 1])
@pytest.mark.parametrize("right", [0, 1])
def test_transposed_operands_are_read_along_memory(left, right):
    a, b = array(*((70, 90) if left else (90, 70))), array(*((90, 65) if not right else (65, 90)))
    program, _ = check(lambda a, b: dot(a, b, left, right) * 2.0, a, b, rtol=1e-4, atol=1e-4)
    (kernel,) = program.kernels.values()
    assert ("left_k" in kernel.schedule, "right_k" in kernel.schedule) == (left == 1, right == 1)


def test_long_sums_fall_into_parts():
    program, _ = check(lambda a, b: dot(a, b) + 1.0, array(9, 9000) / 50, array(9000, 17), rtol=1e-3, atol=1e-3)
    assert len(program.kernels) == 2 and program.arena_bytes > 0
    large = scheduled(graph_of([(4096, 1 << 20), (1 << 20, 4096)], dot))
    assert large.arena_bytes <= 1 << 28  # however long the sums are


def test_half_types_sum_in_single_precision():
    a, b = array(70, 300, dtype="bf16"), array(300, 65, dtype="bf16")
    check(dot, a, b, rtol=1e-2, atol=1e-1)


@pytest.mark.parametrize("stride", [1, 2])
def test_gradients_of_convolutions_leave_out_what_is_not_there(stride):
    geometry = dict(stride=(stride, stride), padding=((1, 1), (1, 0)), dilation=(1, 1), groups=1)
    x, w = array(2, 8, 9, 8), array(16, 8, 3, 3)
    w[3, 2, 1, 1] = np.inf  # zeros between elements are no terms, so that no infinity meets them
    g = array(*shape_of_result(x, w, geometry))
    check(lambda g, w: OPS["conv_input_grad"](g, w, input_shape=x.shape, **geometry), g, w, rtol=1e-3, atol=1e-3)
    check(lambda x, g: OPS["conv_weight_grad"](x, g, weight_shape=w.shape, **geometry), x, g, rtol=1e-3, atol=1e-3)


def shape_of_result(x, w, geometry):
    return graph_of([x, w], lambda x, w: OPS["conv"](x, w, **geometry)).out_types[0].shape


@pytest.mark.parametrize("dtype", ["f32", "bf16"])
def test_no_thread_depends_on_another_but_through_barriers(dtype):
    graph = graph_of([((20, 20), by_name(dtype)), ((20, 20), by_name(dtype))], dot)
    arrays = arrays_for(graph)
    compare(graph, arrays, raced(scheduled(graph), graph, arrays))


@pytest.mark.parametrize("rows", [1, 3])
@pytest.mark.parametrize("right", [0, 1])
def test_threads_share_the_sums_of_few_rows(rows, right):
    a, b, c = array(rows, 333), array(*((70, 333) if right else (333, 70)), seed=1), array(70, seed=2)
    program, _ = check(lambda a, b, c: OPS["tanh"](dot(a, b, 1, right) / 20 + c), a, b, c, rtol=1e-4, atol=1e-4)
    (kernel,) = program.kernels.values()
    assert kernel.schedule.startswith("Dots(") and ("columns" in kernel.schedule) == (right == 0)
    x, y = (np.random.default_rng(0).integers(-9, 9, shape) for shape in ((rows, 100), (100, 7)))
    check(dot, x, y)


def softmax(x):
    e = OPS["exp"](x - OPS["reduce_max"](x, axes=(1,)))
    return e / OPS["reduce_sum"](e, axes=(1,))


def attend(q, k, v):
    e = OPS["exp"]((s := batched(q, k, 2)) - OPS["reduce_max"](s, axes=(2,)))
    return batched((e / e.sum((2,))).cast(q.dtype), v, 1)


def rounded_attend(q, k, v):
    r = OPS["round_tf32"]
    e = OPS["exp"]((s := batched(r(q), r(k), 2)) - OPS["reduce_max"](s, axes=(2,)))
    return batched(r(e / e.sum((2,))), r(v), 1)


def batched(a, b, right):
    out = OPS["dot"](a, b, batch=((0,), (0,)), contract=((2,), (right,)))
    return out.cast(by_name("f32")) if right == 2 else out


def gradients(q, k, v, g):
    s = batched(q, k, 2)
    e = OPS["exp"](s - OPS["reduce_max"](s, axes=(2,)))
    total = e.sum((2,))
    weights, d = (e / total).cast(q.dtype), batched(g, v, 2)
    ds = ((d / total - (d * (e / total / total)).sum((2,))) * e).cast(q.dtype)
    columns = (OPS["dot"](x, y, batch=((0,), (0,)), contract=((1,), (1,))) for x, y in ((ds, q), (weights, g)))
    return batched(weights, v, 1), batched(ds, k, 1), *columns


GEOMETRY = dict(stride=(1, 1), padding=((1, 1), (1, 1)), dilation=(1, 1), groups=1)
IMAGE, FILTER = (64, 64, 56, 56), (64, 64, 3, 3)
BIG = [(4096, 4096), (4096, 4096)]
HEADS = (128, 2048, 64)
HOT = {
    "Product": (BIG, dot),
    "Fragments of rounded operands": (BIG, rounded_dot),
    "Fragments": ([(s, by_name("bf16")) for s in BIG], dot),
    "Attention of singles": ([HEADS] * 3, attend),
    "Attention of rounded operands": ([HEADS] * 3, rounded_attend),
    "Attention of halves": ([(HEADS, by_name("bf16"))] * 3, attend),
    "Attention of wide heads": ([((128, 2048, 128), by_name("bf16"))] * 4, gradients),
    "Attention of the widest heads": ([((64, 2048, 256), by_name("bf16"))] * 4, gradients),
    "Attention and its gradients": ([(HEADS, by_name("bf16"))] * 4, gradients),
    "Dots": ([(1, 4096), (4096, 4096)], lambda x, w: dot(x, w, 1, 1)),
    "Points": (BIG, lambda x, y: OPS["sigmoid"](x * 0.5 * (OPS["erf"](x * 0.7) + 1.0) * y + x)),
    "Turned": (BIG[:1], lambda x: OPS["transpose"](x, perm=(1, 0)) + 1.0),
    "Rows": (BIG[:1], lambda x: (softmax(x), x.sum((0,)), x.sum((0, 1)))),
    "Scan": (BIG[:1], lambda x: OPS["cumsum"](x, axis=1, reverse=False)),
    "MergeSort": (BIG[:1], lambda x: OPS["sort"](x, axis=1, descending=False)),
    "conv": ([IMAGE, FILTER], lambda x, w: OPS["conv"](x, w, **GEOMETRY)),
    "conv_input_grad": ([IMAGE, FILTER], lambda g, w: OPS["conv_input_grad"](g, w, input_shape=IMAGE, **GEOMETRY)),
    "conv_weight_grad": ([IMAGE, IMAGE], lambda x, g: OPS["conv_weight_grad"](x, g, weight_shape=FILTER, **GEOMETRY)),
}  # by the schedule, or the op


@needs_ptxas
@pytest.mark.parametrize("name", HOT)
@pytest.mark.parametrize("target", [name for name, level in CUDA.levels.items() if level.arch == "nvptx64"])
def test_hot_kernels_stay_in_registers(target, name):
    inputs, function = HOT[name]
    program = CUDA.lower(graph_of(inputs, function), CUDA.levels[target])
    attends, main = name.startswith("Attention"), name.partition(" ")[0]
    if main == "Fragments" and target == "sm_90a":
        main = "Warpgroups"
    assert any(k.schedule.startswith(main if main[0].isupper() else "Product") for k in program.kernels.values())
    text = ptx(program, target)
    if attends or main in ("Product", "Points", "Rows"):
        assert re.search(r"ld\.global\S*v4", text)
    halves = name == "Fragments" or attends and "singles" not in name and "rounded" not in name
    assert ("cp.async.cg.shared.global" in text) == halves
    assert ("wgmma.mma_async" in text) == (main == "Warpgroups")
    assert ("mma.sync" in text) == (main == "Fragments" or attends and "singles" not in name)
    assert ("ldmatrix.sync.aligned.m8n8.x4" in text) == ("mma.sync" in text)
    assert not re.search(r"\b(ld|st)\.(v[24]\.)?[bfsu]\d+\s", text), "generic addresses"
    said = subprocess.run(["ptxas", "-v", f"-arch={target}", "-o", "/dev/null", "/dev/stdin"], input=text, text=True, capture_output=True)
    spilled = [int(n) for n in re.findall(r"(\d+) bytes spill", said.stderr)]
    assert said.returncode == 0 and spilled and max(spilled) == 0 and not re.search(r"C7[56]\d\d", said.stderr), said.stderr
    for kernel, registers in zip(re.findall(r"entry function '(\w+)'", said.stderr), re.findall(r"Used (\d+) registers", said.stderr)):
        print(f"{kernel} for {target}: {registers} registers")
        most = 255 if main == "Warpgroups" else 255 if name.endswith("widest heads") else 168 if attends else 128
        assert int(registers) <= most, "three blocks of 128 threads must fit, and two of 256, or one that multiplies by warpgroups"


HALVES = [(s, by_name("bf16")) for s in (IMAGE, FILTER)]
ON_THEIR_WAY = {
    "convolution": (HALVES, lambda x, w: OPS["conv"](x, w, **GEOMETRY)),
    "gradient": (HALVES[:1] * 2, lambda x, g: OPS["conv_weight_grad"](x, g, weight_shape=FILTER, **GEOMETRY)),
    "cast": (BIG, lambda a, b: dot(a.cast(by_name("bf16")), b.cast(by_name("bf16")))),
    "activation": ([(s, by_name("bf16")) for s in BIG], lambda a, b: dot(OPS["relu"](a), b, 0, 0)),
}


@needs_ptxas
@pytest.mark.parametrize("name", ON_THEIR_WAY)
def test_what_passes_registers_leaves_room_for_the_sums_of_warpgroups(name):
    program = CUDA.lower(graph_of(*ON_THEIR_WAY[name]), CUDA.levels["sm_90a"])
    assert any(k.schedule.startswith("Warpgroups(") for k in program.kernels.values())
    command = ["ptxas", "-v", "-arch=sm_90a", "-o", "/dev/null", "/dev/stdin"]
    said = subprocess.run(command, input=ptx(program), text=True, capture_output=True)
    spilled = [int(n) for n in re.findall(r"(\d+) bytes spill", said.stderr)]
    assert said.returncode == 0 and spilled and max(spilled) == 0 and not re.search(r"C7[56]\d\d", said.stderr), said.stderr
