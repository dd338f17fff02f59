"""More samples of test_functions.py: what torch's own database of operators asks for beyond the plain uses in function_cases.py."""

from __future__ import annotations

from tests.torch.function_cases import ERROR_CASES, INTS, REAL, add, each

# --- several writes to one place: each takes the gradient, as in torch
add("""
    x.scatter(1, i, y); x.index_copy(1, i[0], y); x.index_put((i[0], i[1]), y[0]); x.put(i, y);
    x.index_put((i[0],), y, accumulate=True)
""", REAL, x="[3,3]", y="[3,3]", i="idx3[3,3]")  # fmt: skip
add("x.index_put((i,), y); x.scatter(0, i, y); x.index_copy(0, i, y)", REAL, x="[4]", y="[6]", i="idx4[6]")
add("x.index_fill(1, i, v); x.index_fill(0, i, v); x.index_fill(-1, i - 3, 2.5)", REAL, x="[3,3]", i="idx3[5]", v="[]")
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

# --- functions of gamma, and other special ones
add("m.digamma(x); x.lgamma()", REAL, x=("pos[5]", "big[5]", "unit[5]"), tol=50)
add("m.polygamma(0, x); m.polygamma(1, x); m.polygamma(2, x); x.polygamma(4)", REAL, x=("pos[5]", "unit[5]"), tol=200)
add("m.mvlgamma(x + 2, 2); m.special.multigammaln(x + 3, 3)", REAL, x="pos[5]", tol=50)
add("m.i0(x); m.special.i0e(x); m.special.i1(x); m.special.i1e(x)", REAL, x=("[7]", "unit[7]"), tol=20)
add("m.special.i0e(x); m.special.i1e(x)", REAL, x="big[9]", tol=20)
add("m.special.ndtr(x); m.special.log_ndtr(x); m.special.erfcx(x)", REAL, x=("[7]", "unit[7]"), tol=20)
add("m.special.log_ndtr(x)", ("f64",), x="big[9]", tol=20)
add("m.special.entr(x)", REAL, x="pos[7]", tol=20)
add("m.special.ndtri(x); m.special.ndtri(x * 0.01); m.special.ndtri(x * 1e-20)", REAL, x="prob[7]", tol=20)
add("m.special.ndtri(x); m.special.entr(x); m.special.ndtr(x); m.special.log_ndtr(x); m.special.i0e(x)", REAL, x="special[10]", grad=False)
add("m.special.xlog1py(x, y); m.special.xlog1py(2, y); m.special.xlogy(x, y)", REAL, x="[2,3]", y="pos[3]", tol=4)
add("m.special.expit(x); m.special.gammaln(x); m.special.psi(x); m.special.softmax(x, 0)", REAL, x="pos[3]", tol=50)
add("m.i0(x); m.special.ndtr(x); m.special.i1e(x); m.polygamma(1, x)", ("i64", "u8"), x="pos[4]", grad=False, tol=20)

# --- integers and bits
add("m.gcd(x, y); m.lcm(x, y); x.gcd(y); m.gcd(x, y[0])", INTS, x="[2,12]", y="[2,12]", grad=False)
add("m.gcd(x * 987654321, y * 123456); m.lcm(x * 1001, y * 77)", ("i64",), x="[12]", y="[12]", grad=False)
add("m.unravel_index(i, (2, 3)); m.unravel_index(i, 7)", i="idx6[5]", grad=False)
add("m.frexp(x); x.frexp()", ("f32", "f64", "f16", "bf16"), x="big[7]", grad=False)
add("m.frexp(x * 1e-40); m.frexp(x * 1e-310)", REAL, x="big[7]", grad=False)
add("m.frexp(x); m.nextafter(x, y)", REAL, x="special[10]", y="special[10]", grad=False)
add("m.frexp(x)[0]; m.nextafter(x, y)", REAL, x="[6]", y="[6]")

# --- statistics
add("x.mode(); x.mode(0); x.mode(1, keepdim=True); m.mode(x, -1)[0]", ("f32", "f64", "i64", "bool"), x="ties[4,5]")
add("x.mode(0)", ("f32",), x="[]")
add("m.mode(x, 1)", ("f32",), x="special[2,10]", grad=False)
add("""
    m.cov(x); m.cov(x[0]); m.cov(x, correction=0); m.corrcoef(x); m.cov(x, fweights=w); m.cov(x, aweights=a);
    m.cov(x, correction=2, fweights=w, aweights=a); m.corrcoef(x[0])
""", REAL, x="[3,5]", w="idx4[5]", a="pos[5]", tol=20)  # fmt: skip
add("""
    m.histogram(x, 5); m.histogram(x, 4, range=(-2.0, 3.0)); m.histogram(x, m.tensor([-2.0, 0.0, 1.0, 5.0], dtype=x.dtype));
    m.histogram(x, 3, weight=y, density=True)
""", REAL, x="[4,5]", y="pos[4,5]", grad=False, tol=4)  # fmt: skip
add("""
    m.nanquantile(x, 0.3); m.nanquantile(x, 0.5, dim=1); m.nanquantile(x, m.tensor([0.1, 0.9], dtype=x.dtype), dim=0, keepdim=True);
    m.nanquantile(x, 0.4, dim=1, interpolation='nearest')
""", REAL, x="special[3,4]", grad=False)  # fmt: skip

# --- calculus
add("""
    m.gradient(x); m.gradient(x, dim=1); m.gradient(x, spacing=0.5, dim=(0,)); m.gradient(x, spacing=[2.0, 0.25], edge_order=2);
    m.gradient(x, spacing=(s,), dim=1); m.gradient(x, spacing=(s,), dim=1, edge_order=2)
""", REAL, x="[4,5]", s="sorted[5]", tol=40)  # fmt: skip
add("m.cumulative_trapezoid(x); m.cumulative_trapezoid(x, dx=0.5, dim=0); m.cumulative_trapezoid(x, x * x)", REAL, x="[3,4]", tol=4)

# --- indexing and rearranging
add("""
    x.index_reduce(0, i[0], y, 'prod'); x.index_reduce(1, i[0], y, 'mean'); x.index_reduce(0, i[0], y, 'amax', include_self=False);
    x.clone().index_reduce_(1, i[0], y, 'amin')
""", REAL, x="[3,3]", y="[3,3]", i="idx3[3,3]", tol=4)  # fmt: skip
add("m.as_strided_scatter(x, y, (2, 2), (1, 2)); m.as_strided_scatter(x, y, (2, 2), (3, 1), 1)", REAL, x="[3,3]", y="[2,2]", grad=False)
add("""
    m.combinations(x); m.combinations(x, 3); m.combinations(x, 2, with_replacement=True); m.combinations(x, 0); m.combinations(x, 9)
""", ("f32", "i64"), x="[4]")
add("m.nonzero_static(x, size=3); m.nonzero_static(x, size=30, fill_value=7)", ("i64", "bool"), x="[3,4]", grad=False)
add("m.renorm(x, 2, 0, 1.5); m.renorm(x, 1, 1, 2.0); m.pdist(x) if 0 else m.nn.functional.pdist(x)", REAL, x="[3,4]", tol=6)
add("""
    m.diagonal_copy(x); m.expand_copy(x, (2, 3, 4)); m.permute_copy(x, (1, 0)); m.t_copy(x); m.unbind_copy(x, 1); m.view_copy(x, (4, 3));
    m.split_copy(x, 2, 1); m.unfold_copy(x, 1, 2, 1); m.squeeze_copy(x[:1]); m.narrow_copy(x, 1, 1, 2); m.select_copy(x, 0, 1)
""", ("f32", "i64"), x="[3,4]")  # fmt: skip
add("m.kaiser_window(6); m.kaiser_window(7, periodic=False, beta=4.0); m.kaiser_window(1)", grad=False, tol=4)

ERROR_CASES += [
    f"m.nn.functional.max_unpool1d({a})" for a in (
        "x, x[:, :1].long(), 2", "x, x.int(), 2", "x, x.long(), 2, output_size=(20,)", "x, x.long(), 2, output_size=(6, 6)",
    )
]  # fmt: skip

# --- functionals
add("""
    m.nn.functional.multilabel_margin_loss(x, t); m.nn.functional.multilabel_margin_loss(x, t, reduction='none');
    m.nn.functional.multilabel_margin_loss(x[0], t[0]); m.nn.MultiLabelMarginLoss(reduction='sum')(x, t)
""", REAL, x="[3,4]", t="targets[3,4]", tol=4)  # fmt: skip
add("m.nn.functional.multi_margin_loss(x, i[0]); m.nn.functional.multi_margin_loss(x[0], i[0] * 0)", REAL, x="[3]", i="idx3[2]", tol=4)
add("""
    m.nn.functional.upsample_nearest(x, scale_factor=2); m.nn.functional.upsample_bilinear(x, (5, 7));
    m.nn.functional.lp_pool2d(x, 2, 2); m.nn.functional.adaptive_max_pool2d_with_indices(x, (2, 3))
""", REAL, x="pos[1,2,4,4]", tol=20)  # fmt: skip
add("m.nn.functional.lp_pool3d(x, 2, 2); m.nn.LPPool3d(3, 2, 1)(x)", REAL, x="pos[1,2,3,4,4]", tol=20)
GRID = ";".join(
    f"m.nn.functional.grid_sample(x, g, mode='{mode}', padding_mode='{pad}', align_corners={corners})"
    for mode in ("bilinear", "nearest", "bicubic") for pad in ("zeros", "border", "reflection") for corners in (True, False)
)  # fmt: skip
add(GRID, ("f64",), x="[2,3,4,5]", g="[2,3,2,2]", tol=100)
add(";".join(c for c in GRID.split(";") if "bicubic" not in c), ("f64",), x="[2,2,3,4,5]", g="[2,2,3,2,3]", tol=100)
add("""
    m.nn.functional.embedding(i, x, scale_grad_by_freq=True); m.nn.functional.embedding(i, x, padding_idx=1, scale_grad_by_freq=True)
""", ("f32", "f64"), x="[4,3]", i="idx4[3,5]", tol=4)  # fmt: skip
add(each("none mean sum", "m.nn.functional.ctc_loss(x.log_softmax(-1), t, (7, 6), (3, 2), reduction='F')") + """;
    m.nn.functional.ctc_loss(x.log_softmax(-1), t, m.tensor([7, 5]), m.tensor([3, 0]), blank=3);
    m.nn.functional.ctc_loss(x, t, (7, 6), (3, 3)); m.nn.functional.ctc_loss(x[:, 0].log_softmax(-1), t[0], (7,), (3,));
    m.nn.functional.ctc_loss(x[:3].log_softmax(-1), t * 0 + 1, (3, 3), (3, 1), zero_infinity=True);
    m.nn.CTCLoss(blank=3, zero_infinity=True)(x.log_softmax(-1), t[:, 0].contiguous(), (7, 7), (1, 1))
""", REAL, x="[7,2,5]", t="labels[2,3]", tol=20)  # fmt: skip

# --- linear algebra
LINALG = """
    m.linalg.inv(A); m.inverse(A); m.linalg.solve(A, B); m.linalg.solve(A, B[..., 0]); m.linalg.solve(A, B.mT, left=False); m.linalg.det(A);
    m.linalg.slogdet(A); m.logdet(A @ A.mT); m.linalg.svdvals(A); m.linalg.cond(A); m.linalg.cond(A.detach(), 1); m.linalg.pinv(A);
    m.linalg.matrix_rank(A); m.linalg.matrix_norm(A, 'nuc'); m.linalg.matrix_norm(A, 2); m.linalg.matrix_norm(A, -2, keepdim=True);
    m.linalg.matrix_power(A, -2); m.linalg.cholesky(A @ A.mT); m.linalg.cholesky(A @ A.mT, upper=True);
    m.linalg.solve_triangular(A, B, upper=True); m.linalg.solve_triangular(A, B, upper=False, unitriangular=True);
    m.linalg.solve_triangular(A, B.mT, upper=True, left=False); m.linalg.eigvalsh(A + A.mT); m.linalg.lstsq(A, B)[0]
"""
add(LINALG, ("f64",), A="solid[3,3]", B="[3,2]", tol=500)
add(LINALG, ("f64",), A="solid[2,4,4]", B="[2,4,3]", tol=500)
add(LINALG, ("f32",), A="solid[3,3]", B="[3,2]", grad=False, tol=100)
# columns of U and V, and eigenvectors, are compared where their sign does not show
add("""
    (lambda u, s, v: (u * u, s, v * v))(*m.linalg.svd(A, full_matrices=False)); (lambda u, s, v: u * s @ v.mT)(*m.svd(A));
    (lambda l, v: (l, v * v))(*m.linalg.eigh(A @ A.mT)); m.linalg.svd(A)[1]; m.linalg.qr(A); m.qr(A)[0]
""", ("f64",), A=("solid[3,3]", "[2,4,3]", "[3,4]"), tol=5000)  # fmt: skip
add("m.linalg.qr(A, 'complete'); m.linalg.qr(A, 'r')[1]", REAL, A=("[4,3]", "[2,3,3]"), grad=False, tol=20)
add("m.linalg.pinv(A); m.linalg.matrix_rank(A); m.pinverse(A); m.linalg.lstsq(A, A)[0]", ("f64",), A=("[2,4,3]", "[3,4]"), tol=500)
add("m.linalg.pinv(A @ A.mT, hermitian=True); m.linalg.pinv(A @ A.mT); m.linalg.matrix_rank(A @ A.mT)", ("f64",), A="[4,2]",
    grad=False, tol=500)
add("m.linalg.det(A); m.linalg.inv(A); m.linalg.svdvals(A); m.linalg.qr(A)", REAL, A=("[0,0]", "[0,2,2]"), grad=False)

# --- numbers where torch insists on a Tensor
ERROR_CASES += [
    f"m.{name}({a})" for name in ("maximum", "fmin", "atan2", "logical_or", "logaddexp", "ldexp", "hypot") for a in ("x, 2", "2, x", "2, 3")
]  # fmt: skip
ERROR_CASES += [f"m.{name}({a})" for name in ("eq", "lt", "copysign", "fmod") for a in ("2, x", "2, 3")]
ERROR_CASES += [f"m.{name}(2, 3)" for name in ("bitwise_and", "bitwise_left_shift", "pow", "remainder", "float_power", "xlogy")]
ERROR_CASES += [
    "m.gcd(x, x)", "m.lcm(x.long(), 2)", "m.unravel_index(x, (2,))", "m.frexp(x.long())", "m.mode(x, 3)", "m.cov(x[None])",
    "m.cov(x, fweights=x[0])", "m.cov(x, aweights=x[0, :2])", "m.histogram(x.long(), 3)", "m.histogram(x, 0)",
    "m.gradient(x, edge_order=3)", "m.gradient(x, spacing=[1.0, 2.0, 3.0])", "m.gradient(x[:, :1])",
    "m.gradient(x, dim=(0, 0))", "m.polygamma(-1, x)", "m.mvlgamma(x, 0)",
    "x.index_reduce(0, x[0].long(), x, 'sum')", "m.combinations(x)", "m.renorm(x, -1, 0, 1.0)", "m.renorm(x[0], 1, 0, 1.0)",
    "m.nn.functional.ctc_loss(x, x.long(), (2,), (3,), blank=9)", "m.nn.functional.ctc_loss(x, x, (2,), (3,))",
    "m.nn.functional.ctc_loss(x, x.long(), (2, 2), (3,))", "m.nn.functional.multilabel_margin_loss(x, x.long()[0])",
    "m.nn.functional.grid_sample(x, x)", "m.nn.functional.grid_sample(x[None, None], x[None, :, :2, None], 'x')",
    "m.linalg.inv(x)", "m.linalg.inv(m.zeros(2, 2))", "m.linalg.solve(m.ones(2, 2), x)", "m.linalg.cholesky(-m.eye(2))",
    "m.linalg.det(x[0])", "m.linalg.solve(m.eye(3), x)", "m.linalg.qr(x, 'x')", "m.linalg.svd(x.long())", "m.linalg.eigh(m.eye(2), 'X')",
    "m.linalg.solve_triangular(m.eye(3), x, upper=True)", "m.linalg.matrix_norm(x, 5)", "m.linalg.lstsq(x, m.ones(3, 2))",
    "m.nn.functional.pdist(x[0])", "m.kaiser_window(-1)", "m.as_strided_scatter(x, x, (2, 2), (1, 1))", "m.nonzero_static(x, size=-1)",
]  # fmt: skip
