"""More samples of test_functions.py: what torch's own database of operators asks for beyond the plain uses in function_cases.py."""

from __future__ import annotations

from function_cases import ERROR_CASES, REAL, add, each

# --- several writes to one place: each takes the gradient, as in torch
add("""
    x.scatter(1, i, y); x.index_copy(1, i[0], y); x.index_put((i[0], i[1]), y[0]); x.put(i, y);
    x.index_put((i[0],), y, accumulate=True)
""", REAL, x="[3,3]", y="[3,3]", i="idx3[3,3]")  # fmt: skip
add("x.index_put((i,), y); x.scatter(0, i, y); x.index_copy(0, i, y)", REAL, x="[4]", y="[6]", i="idx4[6]")
add("m.nn.functional.max_unpool1d(x, i, 2, output_size=(7,)); m.nn.functional.max_unpool1d(x, i, 2, 3, 1)", REAL, x="[2,3,4]",
    i="idx6[2,3,4]")
add("m.nn.functional.max_unpool3d(x, i, 2)", REAL, x="[1,2,1,3,2]", i="idx48[1,2,1,3,2]")

# --- bools add by `or` and multiply by `and`
add("""
    x.scatter(1, i, y, reduce='add'); x.scatter(1, i, y, reduce='multiply'); x.scatter_add(1, i, y); x.index_add(0, i[0], y);
    x.index_add(0, i[0], y, alpha=False); x.put(i, y, accumulate=True); x.index_put((i[0],), y, accumulate=True);
    x.scatter_reduce(1, i, y, 'sum'); x.scatter_reduce(1, i, y, 'prod', include_self=False);
    x.scatter_reduce(1, i, y, 'amax'); x.scatter_reduce(1, i, y, 'amin', include_self=False); m.clamp_min(x, y); m.clamp_max(x, y);
    m.addr(x, y[0], x[1], beta=3, alpha=2); m.addr(x, y[0], x[1], alpha=0); x.sum_to_size(());
    x.sum_to_size(3, 3); x.prod(1, dtype=m.bool); x.sum(1, dtype=m.bool)
""", ("bool",), x="[3,3]", y="[3,3]", i="idx3[3,3]", grad=False)  # fmt: skip

# --- integers where floats are usual
add(each("hardtanh relu6 softsign tanhshrink", "m.nn.functional.F(x)")
    + "; m.nn.functional.hardtanh(x, -2.7, 3.9); m.nn.functional.threshold(x, 0.9, 3.7)",
    ("i64", "i32", "i8"), x="[12]", grad=False)  # fmt: skip
add("""
    m.nn.functional.avg_pool1d(x, 2); m.nn.functional.avg_pool1d(x, 3, 1, 1); m.nn.functional.avg_pool1d(x, 3, 2, 1, True, False);
    m.nn.functional.local_response_norm(x, 2, beta=0.5, k=1.25)
""", ("i64",), x="[2,3,7]", grad=False)  # fmt: skip
add("m.nn.functional.avg_pool2d(x, 2); m.nn.functional.avg_pool2d(x, 2, divisor_override=3)", ("i64",), x="[1,2,5,4]", grad=False)
add("m.nn.functional.avg_pool3d(x, 2)", ("i64",), x="[1,2,3,4,4]", grad=False)
add("m.addmv(x[0], x, x[0], beta=0.2, alpha=1.6); m.addbmm(x, x[None], x[None], beta=1.6)", ("i64",), x="[3,3]", grad=False)
add("""
    m.linspace(4.3, 50, 7, dtype=m.int64); m.linspace(4.9, -3.9, 7, dtype=m.int32); m.logspace(4.3, 0, 4, 3.0, dtype=m.int64);
    m.logspace(1, 3, 3, base=2.5, dtype=m.int64)
""", grad=False)  # fmt: skip

# --- shapes at the edge
add("m.nn.functional.local_response_norm(x, 1)", ("f32",), x="[0,1,2]", grad=False)
add("m.gather(x, 0, i)", REAL, x="[5]", i=("u8[0]", "u8[2,0]"), grad=False)
add("m.tensordot(x, y, ((0, 1), (2, 0)))", REAL, x="[1,1,1]", y="[2,1,2]")
add("m.linalg.matrix_power(x, 0); m.linalg.matrix_power(x, 1)", REAL, x="[2,3,3]")

# --- functions of gamma
add("m.digamma(x); x.lgamma()", REAL, x=("pos[5]", "big[5]", "unit[5]"), tol=50)

ERROR_CASES += [
    f"m.nn.functional.max_unpool1d({a})" for a in (
        "x, x[:, :1].long(), 2", "x, x.int(), 2", "x, x.long(), 2, output_size=(20,)", "x, x.long(), 2, output_size=(6, 6)",
    )
]  # fmt: skip

# --- numbers where torch insists on a Tensor
ERROR_CASES += [
    f"m.{name}({a})" for name in ("maximum", "fmin", "atan2", "logical_or", "logaddexp", "ldexp", "hypot") for a in ("x, 2", "2, x", "2, 3")
]  # fmt: skip
ERROR_CASES += [f"m.{name}({a})" for name in ("eq", "lt", "copysign", "fmod") for a in ("2, x", "2, 3")]
ERROR_CASES += [f"m.{name}(2, 3)" for name in ("bitwise_and", "bitwise_left_shift", "pow", "remainder", "float_power", "xlogy")]
