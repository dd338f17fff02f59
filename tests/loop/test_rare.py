"""Code behind one side of a select runs only where some lane takes it, and never changes a result."""

import numpy as np
import pytest

from ingot.backends.cpu.levels import LEVELS
from ingot.backends.cpu.module import llvm_texts
from ingot.backends.llvm.rare import rare_parts
from ingot.ir.loop.interpret import run_kernel
from ingot.ir.loop.parse import parse_kernel
from tests.support.calling import HOST_LEVELS, load, program_of


def chain(name, start, n=15):
    lines = [f"%{name}0 = mul({start}, 0x1.8p+0:f32) : f32"]
    for k in range(1, n):
        lines.append(f"%{name}{k} = fma(%{name}{k - 1}, {start}, -0x1.0p-3:f32) : f32")
    return lines, f"%{name}{n - 1}"


def kernel(kind, also_stored=False):
    far, a = chain("a", "%x", 25)
    other, b = chain("b", a, 3)
    near, c = chain("c", "%x", 40)
    lines = ["%x = load x[v]", "%k = gt(%x, 0x1p+1:f32) : bool", *far, *other, *near]
    lines += [f"%s = select(%k, {a}, {c}) : f32", f"%t = select(%k, {b}, %s) : f32", "%u = add(%s, %t) : f32", "store y[v] = %u"]
    if also_stored:
        lines.append(f"store z[v] = {a}")
    body = "\n".join(lines)
    width = "width 16" if kind == "vector" else ""
    return parse_kernel(f"kernel @k(x: f32 r, y: f32 w, z: f32 w; n) {{\n{kind} v in 0..$n {width} {{\n{body}\n}}\n}}")


@pytest.mark.parametrize("also_stored", [False, True])
@pytest.mark.parametrize("kind", ["serial", "vector"])
def test_results_are_the_same(kind, also_stored):
    k = kernel(kind, also_stored)
    sides = [p.side for parts in rare_parts(k.body[0].body).values() for p in parts]
    assert sides == ([False] if also_stored else [False, True])  # what is stored as well is computed for all
    if kind == "vector":
        assert "llvm.vector.reduce.or" in "".join(llvm_texts(program_of(k, (3,)), LEVELS["x86-64-v3"]).values())
    rng = np.random.default_rng(0)
    # no lane, few lanes, many lanes on the far side
    cases = [(n, rng.uniform(-1, high, n + 1).astype(np.float32)) for n in (0, 1, 16, 100) for high in (1.0, 2.1, 4.0)]
    want = [[x.copy(), np.zeros_like(x), np.zeros_like(x)] for _, x in cases]
    for (n, _), arrays in zip(cases, want):
        run_kernel(k, arrays, [n])
    for level in HOST_LEVELS[:3]:
        got = [[x.copy(), np.zeros_like(x), np.zeros_like(x)] for _, x in cases]
        load(program_of(k, *((n,) for n, _ in cases)), level)(sum(got, []))
        for g, w in zip(got, want):
            np.testing.assert_array_equal(g[1], w[1])
            np.testing.assert_array_equal(g[2], w[2])
