"""Complex numbers against torch: values, dtypes, gradients and second gradients, promotion, views, printing, errors."""

from __future__ import annotations

import itertools
import pickle

import numpy as np
import pytest
import torch

import ingot
from tests.torch.complex_against import array_of, close, compare, dtype_of, numbers

FUNCTIONS = """
    abs angle exp exp2 expm1 log log2 log10 log1p sqrt rsqrt sin cos tan asin acos atan sinh cosh tanh asinh acosh atanh reciprocal
    sigmoid sgn neg square conj_physical real imag isnan isinf isfinite isreal positive view_as_real
""".split()
X, Y = {"x": (3, 4)}, {"x": (3, 4), "y": (4,)}
TWO = {"x": (3, 5), "y": (5, 2)}
CASES = [
    ("m.nn.functional.softsign(x)", X), ("m.nn.functional.tanhshrink(x)", X), ("m.sinc(x)", X), ("m.sinc(x * 0.1)", X),
    ("m.logaddexp(x, y)", Y), ("m.ldexp(x, y)", Y), ("m.istft(x, 6)", {"x": (6, 5)}),
    ("m.istft(x, 6, window=y, return_complex=True)", {"x": (6, 5), "y": (6,)}),
    ("x.sum(1)", X), ("x.mean()", X), ("x.prod(1)", X), ("x.prod()", X), ("x.var(1)", X), ("m.std(x)", X), ("m.var_mean(x, 0)", X),
    ("m.linalg.vector_norm(x, 2, 1)", X), ("m.linalg.vector_norm(x, 1)", X), ("m.linalg.vector_norm(x, float('inf'), 1)", X),
    ("m.linalg.vector_norm(x, 3)", X), ("m.norm(x)", X), ("m.linalg.matrix_norm(x)", X), ("x.cumsum(1)", X), ("x.cumprod(1)", X),
    ("x @ y", TWO), ("m.bmm(x, y)", {"x": (2, 3, 5), "y": (2, 5, 2)}), ("m.dot(x, y)", {"x": (5,), "y": (5,)}),
    ("m.vdot(x, y)", {"x": (5,), "y": (5,)}), ("m.linalg.vecdot(x, y)", Y), ("m.einsum('ij,kj->ik', x, y)", {"x": (3, 5), "y": (4, 5)}),
    ("m.outer(x, y)", {"x": (3,), "y": (4,)}), ("m.kron(x, y)", {"x": (3, 2), "y": (4,)}), ("m.tensordot(x, y, 1)", TWO),
    ("m.addmm(z, x, y, alpha=1j, beta=0.5)", {"z": (3, 2), **TWO}), ("m.cross(x, y, dim=1)", {"x": (2, 3), "y": (2, 3)}),
    ("m.trace(x)", {"x": (3, 3)}), ("m.nn.functional.conv1d(x, y, padding=1, stride=2)", {"x": (2, 3, 8), "y": (4, 3, 3)}),
    ("m.nn.functional.linear(x, y)", {"x": (2, 3), "y": (4, 3)}), ("m.where(m.tensor([True, False, True, False]), x, y)", Y),
    ("m.cat([x, y])", {"x": (2, 3), "y": (1, 3)}), ("m.stack([x, y], 1)", {"x": (3,), "y": (3,)}), ("x[:, [0, 2, 2]]", X),
    ("x.gather(1, m.tensor([[0, 1], [2, 2]]))", X), ("m.roll(x, 1, 0)", X), ("m.flip(x, (0,))", X),
    ("m.nn.functional.pad(x, (1, 2))", X), ("m.tril(x)", X), ("m.diag(x)", {"x": (5,)}), ("x.mH @ x", X), ("x.H.clone().resolve_conj()", X),
    ("x.T * 2", X), ("x.adjoint() + 1j", X), ("m.addcmul(z, x, y, value=1j)", {"z": (4,), **Y}),
    ("m.addcdiv(z, x, y, value=2.0)", {"z": (4,), **Y}), ("m.lerp(x, y, 0.3)", {"x": (3,), "y": (3,)}), ("m.add(x, y, alpha=2 + 1j)", Y),
    ("m.masked_fill(x, m.tensor([True, False, True, False]), 1j)", X),
    ("(x * 1).index_put_((m.tensor([0]),), m.tensor(2 + 1j, dtype=x.dtype))", X),
    ("(x * 1).mul_(2j).add_(1)", X), ("x * 2", X), ("x - 1j", X), ("2j / x", X), ("x / (1 + 2j)", X), ("x * y * x", Y), ("x / y", Y),
    ("x.scatter_add(1, m.tensor([[0, 1, 1, 3]]).expand(3, 4), x)", X),
    ("m.zeros(3, dtype=x.dtype).index_add(0, m.tensor([0, 1, 1]), x)", {"x": (3,)}),
    ("x.repeat(2, 2)", X), ("x.expand(2, 3, 4) * 1", X), ("x.unfold(0, 3, 2)", {"x": (8,)}),
    ("m.meshgrid(x, y, indexing='ij')", {"x": (3,), "y": (2,)}),
    ("m.diff(x)", X), ("m.trapezoid(x)", X), ("m.cov(x)", X), ("m.corrcoef(x)", X),
    ("m.nn.functional.l1_loss(x, y)", {"x": (3,), "y": (3,)}),
    ("m.polar(x.abs(), x.angle())", X), ("m.complex(x.real, x.imag * 2)", X), ("m.view_as_complex(m.view_as_real(x) * 2)", X),
    ("x.real.exp() * x.imag", X), ("x.abs().sqrt()", X), ("x.to(m.complex128) * 1j", X),
]  # fmt: skip
POWERS = [2, 0, 1, -1, 3, -2, 40, 0.5, -1.5, 2 + 1j, 1j]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions(name):
    for dtype in ("complex64", "complex128"):
        x = numbers((3, 4), dtype, name) * dtype_scale(name)
        compare(f"m.{name}(x)", {"x": x.astype(dtype)}, twice=dtype == "complex128" and not name.startswith("is"), room=4)


def dtype_scale(name: str) -> float:
    return 0.4 if name in ("exp", "exp2", "sinh", "cosh", "tan", "tanh") else 1.0


@pytest.mark.parametrize("expr, shapes", CASES, ids=[e for e, _ in CASES])
def test_expressions(expr, shapes):
    for dtype in ("complex64", "complex128"):
        compare(expr, {k: numbers(s, dtype, k) for k, s in shapes.items()}, room=4)


@pytest.mark.parametrize("expr", ["x * y", "x / y", "(x @ x.mH)", "x.prod(1)", "x.abs() ** 2", "m.linalg.vector_norm(x)", "x.cumprod(1)",
                                  "m.pow(x, y)", "m.polar(x.abs(), x.angle())", "m.nn.functional.conv1d(x, x[:, :, None])"])  # fmt: skip
def test_second_gradients(expr):
    compare(expr, {"x": numbers((4, 4), "complex128"), "y": numbers((4,), "complex128", "y")}, twice=True, room=10)


@pytest.mark.parametrize("power", POWERS, ids=str)
def test_powers(power):
    for dtype in ("complex64", "complex128"):
        x = numbers((5,), dtype)
        compare(f"x ** ({power})", {"x": (x / np.abs(x) * 1.1).astype(dtype)}, room=40)
        if power != 0:
            compare(f"({power}) ** x", {"x": x}, room=40)


OPERATIONS = ["m.add(x, y)", "m.mul(x, y)", "m.div(x, y)", "m.sub(x, y)", "m.eq(x, y)", "m.ne(x, y)", "x ** y", "m.where(x == x, x, y)"]


def test_promotion_of_all_kinds():
    """Tensors, 0-d tensors and numbers of every dtype on either side (float16 aside: torch has complex32 for it)."""
    dtypes = ["bool", "uint8", "int64", "bfloat16", "float32", "float64", "complex64", "complex128"]
    sides = [(d, shape) for d in dtypes for shape in ((2,), ())] + [(v, None) for v in (True, 2, 1.5, 1.5j)]
    for (a, sa), (b, sb) in itertools.product(sides, repeat=2):
        if sa is None and sb is None or "complex" not in f"{a}{b}" and not isinstance(a, complex) and not isinstance(b, complex):
            continue
        if "bfloat16" in (a, b) and (isinstance(a, complex) or isinstance(b, complex) or ((), ()) != (sa, sb) and () in (sa, sb)):
            continue
        mine, theirs = ([m.ones(s, dtype=getattr(m, d)) if s is not None else d for d, s in ((a, sa), (b, sb))] for m in (ingot, torch))
        assert dtype_of(mine[0] * mine[1]) == dtype_of(theirs[0] * theirs[1]), (a, sa, b, sb)
        if sa is not None and sb is not None:
            assert dtype_of(mine[0] + mine[1]) == dtype_of(theirs[0] + theirs[1]), (a, sa, b, sb)


@pytest.mark.parametrize("expr", OPERATIONS)
def test_real_and_complex_operands(expr):
    """The gradient of a real operand is real."""
    for dx, dy in itertools.product(("complex64", "complex128", "float32", "float64"), repeat=2):
        if "complex" in dx + dy:
            x = np.abs(numbers((3, 4), dx)) + 0.2 if dx.startswith("float") else numbers((3, 4), dx)
            compare(expr, {"x": x.astype(dx), "y": numbers((4,), dy, "y")}, grad="where" not in expr, room=20)


def test_casts():
    for target in ("complex64", "complex128", "float32", "int64", "bool"):
        compare(f"x.to(m.{target})", {"x": numbers((3, 2), "complex64")}, grad=target not in ("int64", "bool"))
    compare("x.to(m.complex64) * 2j", {"x": numbers((3, 2), "float32")})
    compare("x.cfloat() + x.cdouble()", {"x": numbers((3, 2), "float64")})
    compare("x.view(m.float32)", {"x": numbers((3, 2), "complex64")}, grad=False)
    compare("x.view(m.complex64)", {"x": numbers((3, 4), "float32")}, grad=False)
    compare("x.view(m.complex128)", {"x": numbers((3, 4), "complex64")}, grad=False)


def test_creation():
    for expr in ("m.zeros(2, dtype=m.cfloat)", "m.full((2,), 1 + 1j)", "m.eye(2, dtype=m.complex128)", "m.tensor([1 + 2j, 3])",
                 "m.tensor(1j)", "m.ones(2, dtype=m.cdouble)", "m.linspace(0, 1 + 2j, 5)", "m.tensor([1, 2], dtype=m.complex64)",
                 "m.full_like(m.zeros(2, dtype=m.cfloat), 2j)", "m.tensor(np.array([1j, 2], np.complex64))"):  # fmt: skip
        close(eval(expr, {"m": ingot, "np": np}), eval(expr, {"m": torch, "np": np}), 1e-6, expr)
    x = ingot.randn(20000, dtype=ingot.complex64)
    assert x.dtype is ingot.complex64 and abs(float(x.abs().square().mean()) - 1) < 0.05
    assert abs(float(x.real.square().mean()) - 0.5) < 0.03 and abs(float((x.real * x.imag).mean())) < 0.02
    y = ingot.rand_like(x)
    assert 0 <= float(y.real.min()) and float(y.imag.max()) < 1 and abs(float(y.imag.mean()) - 0.5) < 0.02


VIEWS = [
    "z.real[0] = 7", "z.imag = 5.0", "z.imag.mul_(3)", "m.view_as_real(z)[1, 1] = -1", "z.real.copy_(z.imag)", "z[1:].imag.zero_()",
    "z.reshape(2, 2).T.real.add_(1)", "z[::2] = 1j", "z.view(m.float64).mul_(2)", "z.real += 2", "z.fill_(1 - 1j)",
]  # fmt: skip


@pytest.mark.parametrize("statement", VIEWS)
def test_parts_are_views(statement):
    found = []
    for m in (ingot, torch):
        z = m.tensor(numbers((4,), "complex128"))
        exec(statement, {"m": m, "z": z})
        found.append((z, z.real, z.imag, m.view_as_real(z)))
    for mine, theirs in zip(*found):
        close(mine, theirs, 0, statement)
        assert mine.stride() == theirs.stride() and mine.storage_offset() == theirs.storage_offset()


def test_memory_shared_with_numpy():
    z = ingot.tensor([1 + 2j, 3j])
    array = z.numpy()
    array[0] = 9
    assert z.tolist() == [9, 3j] and z.real.tolist() == [9, 0] and z.imag.numpy().tolist() == [0, 3]
    z.imag.numpy()[1] = -1
    assert array[1] == -1j and z[1].item() == -1j
    shared = ingot.from_numpy(array)
    shared.mul_(2)
    assert array.tolist() == [18, -2j]
    assert np.asarray(torch.from_dlpack(z)).tolist() == [18, -2j] and ingot.from_dlpack(torch.tensor([1j])).tolist() == [1j]
    assert pickle.loads(pickle.dumps(z)).tolist() == z.tolist()


def test_gradients_through_writes_to_parts():
    found = []
    for m in (ingot, torch):
        x = m.tensor(numbers((3,), "complex128")).requires_grad_()
        r = m.tensor(numbers((3,), "float64", "r")).requires_grad_()
        z = x * 2j
        z.real.mul_(r)
        z.imag[1:] = r[1:] * 3
        (z.abs() * r).sum().backward()
        found.append((z, x.grad, r.grad))
    for mine, theirs in zip(*found):
        close(mine, theirs, 1e-12, "")


PRINTED = [
    "m.tensor([1 + 2j, 3.5 - 4e-3j])", "m.tensor(1j)", "m.tensor([1 + 2j, 3])", "m.tensor([[1e10 + 1j, complex('nan')]])",
    "m.zeros(0, dtype=m.complex64)", "m.tensor([1e-6 + 1j, 1e6])", "m.tensor([1 + 0j], dtype=m.complex128)",
    "m.tensor([complex('inf'), -1 - 0.5j])", "m.arange(1200).to(m.complex64)", "m.tensor([[1 + 2j, -1.5 + 100j]]).requires_grad_()",
    "m.tensor([-0.0 - 0.0j])",
]  # fmt: skip


@pytest.mark.parametrize("expr", PRINTED)
def test_printing(expr):
    scope = {"complex": complex}
    assert repr(eval(expr, {"m": ingot, **scope})) == repr(eval(expr, {"m": torch, **scope})).replace("torch.", "ingot.")


ERRORS = [
    "x < x", "m.sort(x)", "x.argmax()", "x.max()", "m.maximum(x, x)", "m.clamp(x, 0, 1)", "m.floor(x)", "m.erf(x)", "m.sign(x)",
    "x // x", "x % x", "m.atan2(x, x)", "x.softmax(0)", "m.relu(x)", "m.complex(x.real, x.real.double())", "m.complex(x, x)",
    "m.view_as_complex(x.real[:1])", "m.view_as_real(x.real)", "m.imag(x.real)", "float(x[0])", "x.real.clone().add_(1j)",
    "x.real.clone().copy_(x).fill_(1j)", "(x * x).sum().backward()", "m.bitwise_and(x, x)", "m.linspace(0, 1j, 3, dtype=m.float32)",
    "m.polar(x, x)", "m.nn.functional.mse_loss(x, x)", "m.add(x.real, x.real, alpha=1j)", "m.isclose(x, x.cdouble())", "int(x[0])",
]  # fmt: skip


@pytest.mark.parametrize("expr", ERRORS)
def test_errors(expr):
    for m in (torch, ingot):
        x = m.tensor(numbers((4,), "complex64")).requires_grad_("backward" in expr)
        with pytest.raises(RuntimeError):
            eval(expr, {"m": m, "x": x})


def test_numbers_of_tensors():
    x = ingot.tensor([2 + 1j])
    assert x.item() == 2 + 1j and complex(x) == 2 + 1j and type(x.item()) is complex and float(ingot.tensor(2 + 0j)) == 2.0
    assert x.is_complex() and not x.is_floating_point() and ingot.is_complex(x) and x.dtype.is_complex and x.element_size() == 8
    assert repr(ingot.cdouble) == "ingot.complex128" and ingot.finfo(ingot.complex64).eps == torch.finfo(torch.complex64).eps


SPECIAL = [0, -0.0, 1, -1, 0.5, np.inf, -np.inf, np.nan]


def test_special_values():
    """Zeros, infinities and NaN in both parts: arithmetic as torch, and roots, logarithms, magnitudes and angles as C99."""
    grid = np.array([complex(a, b) for a in SPECIAL for b in SPECIAL])
    for dtype in ("complex64", "complex128"):
        x, y = ingot.tensor(grid.astype(dtype)), torch.tensor(grid.astype(dtype))
        for name in ("abs", "angle", "isnan", "isinf", "isfinite", "sqrt", "log"):
            a, b = array_of(getattr(ingot, name)(x)), array_of(getattr(torch, name)(y))
            with np.errstate(all="ignore"):
                if name in ("sqrt", "log"):
                    b = getattr(np, name)(grid.astype(np.complex128)).astype(dtype)
            for k, z in enumerate(grid):
                for p, q in ((a[k].real, b[k].real), (a[k].imag, b[k].imag)):
                    assert p == q or np.isnan(p) and np.isnan(q) or abs(p - q) < 1e-6, (name, z, a[k], b[k])
    assert array_of(ingot.tensor([3e38 + 3e38j]).abs())[0] == np.float32(np.abs(np.complex64(3e38 + 3e38j)))
    assert array_of(ingot.tensor([3e30 + 3e30j]) / ingot.tensor([3e30 + 3e30j]))[0] == 1
    np.testing.assert_allclose(array_of(ingot.tensor([1 + 1e-4j]).log()), np.log(np.array([1 + 1e-4j])), rtol=1e-6)
    near = np.array([90 + 1.57j], np.complex64)  # e**90 is more than float32 holds, its real part is not
    assert abs(array_of(ingot.tensor(near).exp())[0].real / np.exp(near.astype(np.complex128))[0].real - 1) < 1e-5
    zero = ingot.tensor([0j]).requires_grad_()
    zero.abs().sum().backward()
    assert zero.grad.tolist() == [0]


def test_compiled_like_eager():
    def step(z, w, r):
        y = (z @ w) * r
        y.imag.mul_(0.5)
        return y.exp().sum(0), (y * y.conj()).real, y.cumsum(0)

    args = [ingot.tensor(numbers(s, d) * 0.3) for s, d in (((4, 3), "complex64"), ((3, 2), "complex64"), ((2,), "float32"))]
    for a, b in zip(ingot.compile(step)(*args), step(*args)):
        np.testing.assert_allclose(array_of(a), array_of(b), rtol=1e-5, atol=1e-5)


def test_gradcheck():
    z = ingot.tensor(numbers((3,), "complex128")).requires_grad_()
    w = ingot.tensor(numbers((3,), "float64")).requires_grad_()
    assert ingot.autograd.gradcheck(lambda z, w: (z * w).exp() / z, (z, w))
    assert ingot.autograd.gradgradcheck(lambda z, w: (z * w).sin(), (z, w))
    assert not ingot.autograd.gradcheck(lambda z: z.conj().detach() * z, (z,), raise_exception=False)


def test_training_a_complex_parameter():
    target = numbers((4, 4), "complex64")
    found = []
    for m in (ingot, torch):
        w = m.nn.Parameter(m.tensor(numbers((4, 4), "complex64", "w")))
        optimizer = m.optim.SGD([w], lr=0.1)
        for _ in range(5):
            optimizer.zero_grad()
            (w - m.tensor(target)).abs().square().sum().backward()
            optimizer.step()
        found.append(w.detach())
    close(*found, 1e-5, "")


def test_transforms():
    z, w = (ingot.tensor(numbers((3,), "complex128", s)) for s in "zw")

    def size(x):
        return (x * x.conj()).real.sum()

    close(ingot.func.grad(size)(z), torch.func.grad(size)(torch.tensor(z.numpy())), 1e-12, "grad")
    value, tangent = ingot.func.jvp(lambda x: x.exp() * w, (z,), (w,))
    np.testing.assert_allclose(tangent.numpy(), (z.exp() * w * w).numpy(), rtol=1e-12)
    rows = ingot.stack([z, w])
    assert ingot.func.vmap(size)(rows).allclose(ingot.stack([size(z), size(w)]))
    assert ingot.func.vmap(ingot.fft.fft)(rows).allclose(ingot.fft.fft(rows))


class Product(ingot.nn.Module):
    def __init__(self):
        super().__init__()
        self.w = ingot.nn.Parameter(ingot.tensor(numbers((8, 4), "complex64", "w")))

    def forward(self, x):
        return x @ self.w, ingot.fft.irfft(x)


def test_files(tmp_path):
    model, x = Product(), ingot.tensor(numbers((2, 8), "complex64"))
    ingot.export(model, (x,), tmp_path / "model.ingot")
    for a, b in zip(ingot.load(tmp_path / "model.ingot")(x.numpy()), model(x)):
        np.testing.assert_allclose(np.asarray(a), array_of(b), rtol=1e-6)
    ingot.save(model.state_dict(), tmp_path / "weights.safetensors")
    assert ingot.load(tmp_path / "weights.safetensors")["w"].equal(model.w.detach())
    torch.save({"a": torch.tensor([1j, 2], dtype=torch.complex128)}, tmp_path / "torch.pt")
    assert ingot.load(tmp_path / "torch.pt")["a"].tolist() == [1j, 2]


def test_powers_between_complex_ends() -> None:
    for args in ((1 + 1j, 4, 3), (0.5, 2.7, 4, 2.0)):
        mine, theirs = (m.logspace(*args, dtype=m.complex64) for m in (ingot, torch))
        close(mine, theirs, 4e-5, str(args))
    x = numbers((3, 4), "complex64")
    with torch.no_grad():  # torch has no gradient of it
        close(ingot.nn.functional.silu(ingot.tensor(x)), torch.nn.functional.silu(torch.tensor(x)), 4e-5, "silu")
