"""Every statement and loop kind: kernels as text, by the interpreter and compiled for every level, on awkward extents."""

import itertools
import re

import numpy as np
import pytest

from ingot.backends.cpu.levels import LEVELS
from ingot.backends.cpu.module import build
from ingot.ir.loop.interpret import run_kernel
from ingot.ir.loop.parse import ParseError, parse_kernel
from ingot.ir.loop.text import print_kernel
from ingot.ir.loop.uses import LoopVerifyError
from ingot.ir.loop.verify import verify_kernel
from tests.support.calling import HOST_LEVELS, load, program_of

W = 16
EXTENTS = (0, 1, W - 1, W, W + 1, 3 * W + 5)

# {T} is a dtype, {Z}, {O} its 0 and 1; n is the extent. Buffers by name: x y of 3n+64 elements, i of n indices below n,
# p of n bools, out of 4n+64 elements, s of 8.
KERNELS = {
    "copy": "vector v in 0..$n width 16 {\n %1 = load x[v]\n store out[v] = %1\n}",
    "offset and uniform": """
        %k = load x[3]
        vector v in 0..$n width 16 {
          %1 = load x[v + 5]
          %2 = load y[2]
          %3 = add(%1, %2) : {T}
          %4 = add(%3, %k) : {T}
          store out[v + 1] = %4 streaming
        }""",
    "reversed": "vector v in 0..$n width 16 {\n %1 = load x[$n + -1*v]\n store out[$n + -1*v] = %1\n}",
    "strided": "vector v in 0..$n width 16 {\n %1 = load x[3*v + 1]\n store out[2*v] = %1\n}",
    "lanes apart": """
        vector v in 0..$n width 16 {
          %p = load p[v]
          %1 = load x[2*v + 1]
          %2 = load y[4*v]
          %3 = load x[4*v + 3] if %p
          %4 = load y[2*v] if %p
          %5 = sub(%1, %2) : {T}
          %6 = add(%3, %5) : {T}
          %7 = sub(%4, %6) : {T}
          store out[v] = %7
        }""",
    "table": f"""
        table t: i64 {np.array([3, 0, 2, 1], np.int64).tobytes().hex()}
        vector v in 0..$n width 16 {{
          %j = load t[mod(v, 4)]
          %1 = load x[v + dyn(%j)]
          store out[v] = %1
        }}
        parallel p in 0..$n {{
          %k = load t[mod(p + 1, 4)]
          %2 = load y[p + dyn(%k)]
          store out[$n + p] = %2
        }}""",
    "stride by parameter": "vector v in 0..$n width 16 {\n %1 = load x[$m*v + 1]\n store out[$m*v] = %1\n}",
    "gather and scatter": """
        vector v in 0..$n width 16 {
          %j = load i[v]
          %1 = load x[2*dyn(%j) + 1]
          store out[dyn(%j)] = %1
        }""",
    "div and mod": """
        vector v in 0..$n width 16 {
          %1 = load x[div(3*v + 1, 7)]
          %2 = load y[mod(v + 2, 5)]
          %3 = load y[mod(v, 32) + div(v, 64)]
          %4 = sub(%1, %2) : {T}
          %5 = add(%4, %3) : {T}
          store out[v] = %5
        }""",
    "div and mod by parameters": """
        serial r in 0..2 {
          vector v in 0..$n width 16 {
            %1 = load x[div(v + r, $m)]
            %2 = load y[mod(2*v + 5, $m) + mod(r, $m)]
            %3 = sub(%1, %2) : {T}
            store out[v] = %3
          }
        }""",
    "masks": """
        vector v in 0..$n width 16 {
          %p = load p[v]
          %q = load p[0]
          %1 = load x[v] if %p
          %2 = load y[v] if %q
          %3 = load y[4] if %p
          %4 = load x[3*v] if %p
          %5 = add(%1, %2) : {T}
          %6 = add(%5, %3) : {T}
          %7 = add(%6, %4) : {T}
          store out[v] = %7 if %p
          store out[v + 2*dyn(%n)] = %7 if %q
        }""",
    "sums inside and outside": """
        acc a: {T} = {O}
        acc b: {T} = {Z}
        serial r in 0..3 {
          vector v in 0..$n width 16 {
            %1 = load x[v]
            acc c: {T} = {O}
            serial k in 0..4 {
              %2 = load y[v + $n*k]
              reduce sum c with %2
              reduce fma_or_sum
            }
            %3 = get c
            store out[v] = %3
            reduce sum a with %1
            reduce max b with %3
          }
        }
        %a = get a
        %b = get b
        store s[0] = %a
        store s[1] = %b""",
    "all kinds": """
        acc a: {T} = {Z}
        acc b: {T} = {O}
        acc c: {T} = {Z}
        acc d: {T} = {Z}
        acc m: {T} = {Z}
        acc j: i64 = 9223372036854775807:i64
        acc h: {T} = {Z}
        acc l: i64 = 9223372036854775807:i64
        vector v in 0..$n width 16 {
          %1 = load x[v]
          %i = index v + 3
          reduce sum a with %1
          reduce prod b with %1
          reduce max c with %1
          reduce min d with %1
          reduce argmax m, j with %1, %i
          reduce argmin h, l with %1, %i
        }
        %a = get a
        %b = get b
        %c = get c
        %d = get d
        %m = get m
        %j = get j
        %h = get h
        %l = get l
        store s[0] = %a
        store s[1] = %b
        store s[2] = %c
        store s[3] = %d
        store s[4] = %m
        store s[5] = %h
        store i[0] = %j
        store i[1] = %l""",
    "bools": """
        acc a: bool = true:bool
        acc b: bool = false:bool
        vector v in 0..$n width 16 {
          %1 = load p[v]
          %x = load x[v]
          %y = load y[v]
          %2 = lt(%x, %y) : bool
          %3 = xor(%1, %2) : bool
          reduce and a with %1
          reduce or b with %2
          store p[v] = %3
        }
        %a = get a
        %b = get b
        %c = select(%a, {O}, {Z}) : {T}
        %d = select(%b, {O}, {Z}) : {T}
        store s[0] = %c
        store s[1] = %d""",
    "register tile": """
        parallel t in 0..2 {
          acc a: {T}[2, 3] = {Z}
          vector v in 0..16 width 16 exact {
            acc c: {T}[2, 3] = {O}
            serial k in 0..$n {
              unroll r in 0..2 {
                unroll q in 0..3 {
                  %1 = load x[k + r]
                  %2 = load y[v + q + k]
                  %3 = mul(%1, %2) : {T}
                  reduce sum c[r, q] with %3
                  reduce sum a[r, q] with %3
                }
              }
            }
            unroll r in 0..2 {
              unroll q in 0..3 {
                %4 = get c[r, q]
                %5 = load out[v]
                %6 = add(%4, %5) : {T}
                store out[v] = %6
              }
            }
          }
          %s = get a[1, 2]
          store s[t] = %s
        }""",
    "scratch and phases": """
        alloc w: {T}[4096] kernel
        %u = load x[2]
        acc o: {T} = {O}
        %g = get o
        parallel t in 0..$n {
          alloc q: {T}[64] worker
          alloc big: {T}[3000] worker
          vector v in 0..20 width 16 {
            %1 = load x[v + t]
            store q[v] = %1
            store big[v + 100] = %1
          }
          acc a: {T} = {Z}
          serial k in 0..20 {
            %2 = load q[k]
            %3 = load big[k + 100]
            reduce sum a with %2
            reduce sum a with %3
          }
          %4 = get a
          %5 = add(%4, %u) : {T}
          %6 = add(%5, %g) : {T}
          store w[t] = %6
        }
        vector v in 0..$n width 16 {
          %7 = load w[v]
          store out[v] = %7
        }""",
    "conditions and carried state": """
        %f = load p[0]
        acc a: {T} = {O}
        if %f {
          %1 = load x[1]
          reduce sum a with %1
          if %f {
            set a = %1
          }
        }
        serial k in 0..$n {
          %2 = load x[k]
          %c = gt(%2, {Z}) : bool
          if %c {
            reduce sum a with %2
            %3 = get a
            store out[k] = %3
          }
        }
        vector v in 0..$n width 16 {
          if %f {
            acc r: {T} = {Z}
            serial k in 0..2 {
              %4 = load y[v + k]
              set r = %4
            }
            %5 = get r
            store out[v + $n] = %5
          }
        }
        %6 = get a
        store s[0] = %6""",
    "checks": """
        parallel t in 0..3 {
          vector v in 0..$n width 16 {
            %1 = load i[v]
            %2 = lt(%1, 17:i64) : bool
            check %2 code 5
            %3 = ge(%1, 0:i64) : bool
            check %3 code 3
          }
        }""",
    "the last lane stays": "vector v in 0..$n width 16 {\n %1 = load x[v]\n store s[0] = %1\n}",
    "index values": """
        vector v in 0..$n width 16 {
          %1 = index 2*v + $n
          %2 = cast(%1) : {T}
          store out[v] = %2
          store i[v] = %1
        }""",
    "empty": "serial k in 0..0 {\n store s[0] = {O}\n}",
}
BUFFERS = ("x: {T} r", "y: {T} r", "i: i64 rw", "p: bool rw", "out: {T} rw", "s: {T} rw")
HEAD = f"kernel @k({', '.join(b + ' noalias' for b in BUFFERS)}; n, m) {{\n"


def kernel_text(body, dtype):
    one, zero = ("0x1.0p+0", "0x0.0p+0") if dtype[0] == "f" else ("1", "0")
    text = HEAD + body + "\n}"
    fma = "reduce fma c with %1, %2" if dtype[0] == "f" else "reduce sum c with %1"
    text = text.replace("reduce fma_or_sum", fma).replace("2*dyn(%n)", "$n")
    return re.sub(r"\{Z\}", f"{zero}:{dtype}", re.sub(r"\{O\}", f"{one}:{dtype}", text)).replace("{T}", dtype)


def arrays(n, np_dtype, seed):
    rng = np.random.default_rng(seed)

    def some(size):
        out = rng.integers(-50, 50, size)
        return (out / 8).astype(np_dtype) if np.dtype(np_dtype).kind == "f" else out.astype(np_dtype)

    order = np.concatenate([rng.permutation(n), [0, 0]])
    bools = rng.integers(0, 2, n + 2).astype(bool)
    return [some(4 * n + 100), some(4 * n + 100), order, bools, some(4 * n + 100), some(8)]


@pytest.mark.parametrize("dtype", ["f32", "f64", "i32", "i64", "u8", "i16"])
@pytest.mark.parametrize("name", KERNELS)
def test_kernel(name, dtype):
    kernel = parse_kernel(kernel_text(KERNELS[name], dtype))
    verify_kernel(kernel)
    text = print_kernel(kernel)
    assert parse_kernel(text) == kernel and print_kernel(parse_kernel(text)) == text
    np_dtype = kernel.buffers[0].dtype.numpy
    runs = []
    for n in EXTENTS:
        before = arrays(n, np_dtype, n)
        want = [a.copy() for a in before]
        runs.append((n, before, want, run_kernel(kernel, want, [n, 3])))
    for level, code in itertools.product(HOST_LEVELS[:3], {code for *_, code in runs}):
        same = [run for run in runs if run[3] == code]
        got = [[a.copy() for a in before] for _, before, _, _ in same]
        assert load(program_of(kernel, *((n, 3) for n, *_ in same)), level)(sum(got, [])) == code
        for (n, _, want, _), arrays_after in zip(same, got):
            for b, g, w in zip(kernel.buffers, arrays_after, want):
                np.testing.assert_array_equal(g, w, err_msg=f"{level.name}, n={n}, {b.name}")


@pytest.mark.parametrize("dtype", ["f32", "f64", "u8"])
def test_kernels_build_for_other_processors(dtype):
    """No library call and no relocation that the linker refuses, where the code can't be run."""
    for level in LEVELS.values():
        if level not in HOST_LEVELS:
            for body in KERNELS.values():
                build(program_of(parse_kernel(kernel_text(body, dtype)), (5, 3)), level)


def test_extremes_in_reductions():
    text = kernel_text(KERNELS["all kinds"], "f32")
    kernel = parse_kernel(text.replace("acc c: f32 = 0x0.0p+0:f32", "acc c: f32 = -inf:f32"))
    for special in ([np.nan, 5.0], [np.inf, np.inf], [-np.inf, -np.inf], [-0.0, 0.0], [np.nan, np.nan]):
        x = np.zeros(40, np.float32)
        x[[17, 33]] = special
        before = [x, x, np.zeros(40, np.int64), np.zeros(40, bool), x, np.zeros(8, np.float32)]
        want = [a.copy() for a in before]
        run_kernel(kernel, want, [37, 3])
        for level in HOST_LEVELS[:3]:
            got = [a.copy() for a in before]
            load(program_of(kernel, (37, 3)), level)(got)
            np.testing.assert_array_equal(got[5], want[5])
            np.testing.assert_array_equal(got[2], want[2])


WRONG = {
    "used before it is defined": "store out[0] = %1",
    "is not declared": "%1 = load nothing[0]",
    "is used outside its loop": "%1 = load x[v]",
    "stands inside another": "parallel t in 0..2 {\n parallel u in 0..2 {\n store s[u] = {O}\n }\n}",
    "no power of two": "vector v in 0..8 width 6 {\n store out[v] = {O}\n}",
    "is changed inside it": "acc a: {T} = {Z}\nparallel t in 0..2 {\n reduce sum a with {O}\n}",
    "is no fold": "acc a: {T} = {Z}\nreduce mean a with {O}",
    "has no constant extent": "unroll u in 0..$n {\n store s[u] = {O}\n}",
    "differs between lanes": "vector v in 0..16 width 16 {\n %1 = load p[v]\n if %1 {\n store s[0] = {O}\n }\n}",
    "a barrier outside a block": "barrier",
    "is stored to": "store p[0] = {O}",
    "parameter k": "store s[$k] = {O}",
    "takes no": "%1 = shl({O}, {O}) : {T}",
    "no instruction": "%1 = tanh({O}) : {T}",
}


@pytest.mark.parametrize("message", WRONG)
def test_verifier_refuses(message):
    with pytest.raises(LoopVerifyError, match=re.escape(message)):
        verify_kernel(parse_kernel(kernel_text(WRONG[message], "f32")))


NO_KERNELS = ("", "kernel k() {\n}", "kernel @k() {", "kernel @k(x: f99 r) {\n}", "kernel @k() {\n store\n}", "kernel @k() {\n}\n}",
              "kernel @k() {\n ?\n}")  # fmt: skip


@pytest.mark.parametrize("text", NO_KERNELS)
def test_parser_refuses(text):
    with pytest.raises(ParseError):
        parse_kernel(text)
