"""`out=` beside torch: which dtypes and shapes a function writes into, and what it refuses."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

import ingot

torch = pytest.importorskip("torch")

DTYPES = ("float32", "float64", "float16", "int64", "int32", "bool", "complex64")
RNG = np.random.default_rng(5)
VALUES = {
    "a": RNG.random((3, 3), "f") + 0.1, "b": RNG.random((3, 3), "f") + 0.1, "v": RNG.random(3, "f"), "w": RNG.random(3, "f"),
    "s": (3 * np.eye(3) + np.ones((3, 3))).astype("f"), "i": np.arange(1, 10).reshape(3, 3),
    "at": np.array([[0, 1, 2], [1, 2, 0], [0, 0, 1]]),
    "m": np.eye(3) > 0,
}  # fmt: skip
CALLS = """
add(a, b) mul(a, b) div(a, b) pow(a, b) atan2(a, b) maximum(a, b) fmod(a, b) eq(a, b) logical_and(a, b) bitwise_and(i, i) gcd(i, i)
float_power(a, b) hypot(a, b) lerp(a, b, 0.5) addcmul(a, a, b) addcdiv(a, a, b) xlogy(a, b) heaviside(a, b) copysign(a, b)
exp(a) exp(i) sqrt(a) tanh(a) erf(a) lgamma(a) square(a) sinc(a) logit(a) rad2deg(a) abs(a) neg(a) sign(a) floor(a) round(a) trunc(a)
frac(a) bitwise_not(i) logical_not(a) signbit(a) isposinf(a) nan_to_num(a) clamp(a, 0.0, 1.0) where(m, a, b)
sum(a, 0) sum(i, 0) mean(a, 0) prod(a, 0) amax(a, 0) argmax(a, 0) any(m, 0) logsumexp(a, 0) norm(a, 2, 0) quantile(a, 0.5, 0)
cumsum(a, 0) cumprod(a, 0) logcumsumexp(a, 0) diff(a) max(a, b)
matmul(a, b) mm(a, b) bmm(a[None], b[None]) mv(a, v) dot(v, w) inner(a, b) outer(v, w) addmm(a, a, b) addmv(v, a, w) addr(a, v, w)
tensordot(a, b, 1) kron(a, b) cross(a, b, dim=1) linalg.inv(s) linalg.det(s) linalg.cholesky(s) linalg.solve(s, a) linalg.vector_norm(a)
linalg.matrix_power(a, 2) linalg.eigvalsh(s) gather(a, 0, at) take(a, at) take_along_dim(a, at, 0) index_select(a, 0, at[0])
masked_select(a, m) nonzero(m) scatter(a, 0, at, b) scatter_add(a, 0, at, b) index_add(a, 0, at[0], b) tril(a) diag(a) msort(a)
searchsorted(v, w) isin(i, i) histc(a) renorm(a, 2, 0, 1.0) softmax(a, 0) fft.fft(a) multinomial(v, 2)
sort(a, 0) topk(a, 2, 0) max(a, 0) median(a, 0) mode(a, 0) kthvalue(a, 1, 0) cummax(a, 0) aminmax(a, dim=0) frexp(a) linalg.qr(a)
linalg.slogdet(s) clamp(a, 0.2) clamp_min(a, 0.2) clip(a, max=a) clamp(a, min=b) cholesky(s)
linalg.matrix_power(s, 0) linalg.matrix_power(a, 1)
linalg.householder_product(a, v) orgqr(a, v) linalg.tensorinv(s, 1) linalg.tensorsolve(s, v) cat((a, b)) stack((a, b)) hstack((a, b))
fft.irfft(a) fft.hfft(a) nn.functional.gelu(a) nn.functional.linear(a, b) nn.functional.avg_pool2d(a[None], 2) nn.functional.softplus(a)
nn.functional.hardshrink(a) nn.functional.softshrink(a) nn.functional.logsigmoid(a)
"""
CASES = CALLS.replace("\n", " ").strip().replace(") ", ")\n").split("\n")


def call(lib, text, out):
    """The outcome of a call with `out=`: the name of its error, or of which shapes `out` is then, and its values."""
    name, _, arguments = text.partition("(")
    f = lib
    for part in name.split("."):
        f = getattr(f, part)
    scope = {k: lib.tensor(v) for k, v in VALUES.items()}
    args = eval(f"(lambda *a, **k: (a, k))({arguments}", scope)
    results = out if isinstance(out, tuple) else (out,)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            f(*args[0], **args[1], **({} if out is None else {"out": out}))
    except (RuntimeError, TypeError) as e:
        return "refused" if isinstance(e, RuntimeError) else "TypeError"
    return [tuple(r.shape) for r in results], [np.asarray(r.tolist()) for r in results if text[:5] != "multi"]


def shown(text):
    """Shapes and dtypes of the results."""
    name, _, arguments = text.partition("(")
    f = torch
    for part in name.split("."):
        f = getattr(f, part)
    found = eval(f"f({arguments}", {"f": f, **{k: torch.tensor(v) for k, v in VALUES.items()}})
    return [(tuple(t.shape), str(t.dtype)[6:]) for t in (found if isinstance(found, tuple) else (found,))]


def compare(text, outs):
    found = [call(lib, text, made if len(made) > 1 else made[0]) for lib, made in outs]
    if isinstance(found[0], str) or isinstance(found[1], str):
        assert found[0] == found[1], (text, found)
    else:
        assert found[0][0] == found[1][0]
        for x, y in zip(found[0][1], found[1][1]):
            np.testing.assert_allclose(y, x, rtol=2e-3, atol=1e-4)


@pytest.mark.parametrize("text", CASES)
def test_dtypes(text):
    results = shown(text)
    for k in range(len(results)):
        for dtype in DTYPES:
            kinds = [(shape, dtype if i == k else own) for i, (shape, own) in enumerate(results)]
            compare(text, [(lib, tuple(lib.zeros(s, dtype=getattr(lib, d)) for s, d in kinds)) for lib in (torch, ingot)])


@pytest.mark.parametrize("text", CASES)
def test_shapes(text):
    for shape in ((0,), (7,), (5, 2)):
        compare(text, [(lib, tuple(lib.zeros(shape, dtype=getattr(lib, d)) for _, d in shown(text))) for lib in (torch, ingot)])


@pytest.mark.parametrize("lib", [torch, ingot])
def test_gradients_are_refused(lib):
    x, out = lib.ones(3, requires_grad=True), lib.zeros(3)
    for f in (lib.exp, lib.neg, lambda x, out: lib.add(x, x, out=out), lambda x, out: lib.gather(x, 0, lib.tensor([0, 1, 2]), out=out)):
        with pytest.raises(RuntimeError, match="automatic differentiation"):
            f(x, out=out)
        with pytest.raises(RuntimeError, match="automatic differentiation"):
            f(out, out=x)
        with pytest.raises(RuntimeError, match="automatic differentiation"):
            f(out, out=x * 1)
        with lib.no_grad():
            f(x, out=out)
    assert out.tolist() == [1, 1, 1] and not out.requires_grad


@pytest.mark.parametrize("name", ["zeros", "ones", "eye", "rand", "randn"])
def test_makers_take_the_dtype_of_out(name):
    for dtype in ("float64", "float16", "int64", "bool"):
        size = (2,) if name == "eye" else (2, 2)
        found = []
        for lib in (torch, ingot):
            out = lib.full((2, 2), 1, dtype=getattr(lib, dtype))
            try:
                getattr(lib, name)(*size, out=out)
            except (RuntimeError, NotImplementedError):
                out = None
            found.append(None if out is None else out.tolist() if name[0] != "r" else True)
        assert found[0] == found[1]
        with pytest.raises(RuntimeError, match="does not match dtype of out parameter"):
            getattr(ingot, name)(*size, out=ingot.zeros(2, 2), dtype=ingot.float64)


@pytest.mark.parametrize("text", ["ii->i", "ij->ji", "...ij->...ji", "iij->ji", "abc->cab", "ij", "ba"])
def test_einsum_of_one_operand_is_a_view(text):
    rank = 2 if text in ("ii->i", "ij->ji", "ij", "ba") else 3
    found = []
    for lib in (torch, ingot):
        x = lib.arange(3.0**rank).reshape((3,) * rank).clone()
        lib.einsum(text, x).add_(100)
        found.append(x.tolist())
    assert found[0] == found[1]


def test_the_first_power_of_matrices_is_a_copy():
    x = ingot.ones(2, 2)
    ingot.linalg.matrix_power(x, 1).zero_()
    assert x.tolist() == [[1, 1], [1, 1]]


def test_compiled_functions_make_room_for_results_too():
    def f(x):
        out = ingot.empty(0)
        ingot.exp(x, out=out)
        return out * 2

    assert ingot.compile(f)(ingot.zeros(2)).tolist() == f(ingot.zeros(2)).tolist() == [2, 2]
