"""`ingot.fft`, `stft` and `istft` against torch: values, gradients, second gradients, shapes, norms, errors; and how precise they are."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import ingot
from tests.torch.complex_against import array_of, close, compare, numbers

LENGTHS = [1, 2, 3, 4, 5, 8, 12, 17, 30, 45, 64, 100, 131]
COMPLEX, REAL, HALF = ("fft", "ifft"), ("rfft", "ihfft"), ("irfft", "hfft")


@pytest.mark.parametrize("n", LENGTHS)
def test_lengths(n):
    for name in (*COMPLEX, *REAL, *HALF):
        dtype = "float64" if name in REAL else "complex128"
        compare(f"m.fft.{name}(x)" if n > 1 or name not in HALF else f"m.fft.{name}(x, 1)", {"x": numbers((2, n), dtype)}, room=10)


@pytest.mark.parametrize("name", [*COMPLEX, *REAL, *HALF])
def test_arguments(name):
    for dtype in ("float32", "float64") if name in REAL else ("complex64", "complex128", "float32"):
        x = {"x": numbers((3, 6, 4), dtype)}
        for call in ("x, 4", "x, 9, 1", "x, dim=0", "x, norm='ortho'", "x, norm='forward'", "x, 5, -2, 'backward'", "x, 1"):
            compare(f"m.fft.{name}({call})", x)
    if name not in HALF:
        compare(f"m.fft.{name}(x)", {"x": np.arange(6)}, grad=False)


@pytest.mark.parametrize("kind", [*COMPLEX, *REAL, *HALF])
@pytest.mark.parametrize("many", ["2", "n"])
def test_several_dims(kind, many):
    name = kind + many
    dtype = "float64" if name.startswith(("rfft", "ihfft")) else "complex128"
    x = {"x": numbers((3, 4, 6), dtype)}
    calls = ["x", "x, (5, 4)", "x, dim=(0, 2)", "x, norm='ortho'", "x, (2, 3), (1, 0), 'forward'", "x, (-1, 4)", "x, dim=(2, 0)"]
    for call in calls + (["x, dim=(0, 1, 2)", "x, (3, 4, 5)"] if name.endswith("n") else []):
        compare(f"m.fft.{name}({call})", x)


def test_second_gradients():
    for expr, dtype in (("m.fft.fft(x).abs() ** 2", "complex128"), ("m.fft.rfft(x) ** 2", "float64"),
                        ("m.fft.irfft(x) ** 2", "complex128"), ("m.fft.fftn(x) ** 2", "complex128"), ("m.fft.rfft(x, 7) ** 3", "float64"),
                        ("m.fft.irfft(x, 7) ** 2", "complex128")):  # fmt: skip
        compare(expr, {"x": numbers((2, 6), dtype)}, twice=True, room=100)


def test_frequencies_and_shifts():
    for expr in ("m.fft.fftfreq(5)", "m.fft.fftfreq(6, 0.5)", "m.fft.rfftfreq(5)", "m.fft.rfftfreq(6, d=2.0, dtype=m.float64)",
                 "m.fft.fftshift(m.arange(24).reshape(4, 6))", "m.fft.ifftshift(m.arange(15).reshape(3, 5), dim=1)",
                 "m.fft.fftshift(m.arange(5), 0)", "m.fft.fftfreq(1)",
                 "m.fft.fftshift(m.arange(24).reshape(2, 3, 4), (0, 2))"):  # fmt: skip
        close(eval(expr, {"m": ingot}), eval(expr, {"m": torch}), 1e-7, expr)


def test_empty_batches_and_out():
    assert ingot.fft.fft(ingot.zeros(0, 4)).shape == (0, 4) and ingot.fft.rfft(ingot.zeros(2, 0, 6)).shape == (2, 0, 4)
    out = ingot.empty(4, dtype=ingot.complex64)
    assert ingot.fft.fft(ingot.ones(4), out=out) is out and out.tolist() == [4, 0, 0, 0]


ERRORS = [
    "m.fft.fft(x, 0)", "m.fft.fft(x, norm='best')", "m.fft.fftn(x, dim=(0, 0))", "m.fft.fftn(x, (2, 2), (0,))", "m.fft.fftn(x, (1, 2, 3))",
    "m.fft.rfft(x * 1j)", "m.fft.ihfft(x * 1j)", "m.fft.fft(x.bfloat16())", "m.fft.irfft(x[:, :1])", "m.fft.rfftn(x, dim=())",
    "m.stft(x, 4)", "m.stft(x, 40, return_complex=True)", "m.stft(x[None], 4, return_complex=True)", "m.istft(x, 4)",
    "m.stft(x, 4, 0, return_complex=True)", "m.stft(x, 4, win_length=5, return_complex=True)", "m.istft(x * 1j, 4, 4)",
    "m.stft(x, 4, window=m.ones(3), return_complex=True)", "m.stft(x * 1j, 4, onesided=True)", "m.stft(x.long(), 4, return_complex=True)",
]  # fmt: skip


@pytest.mark.parametrize("expr", ERRORS)
def test_errors(expr):
    for m in (torch, ingot):
        with pytest.raises(RuntimeError):
            eval(expr, {"m": m, "x": m.ones(2, 8)})


def test_a_dim_that_is_not_there():
    for m in (torch, ingot):
        with pytest.raises(IndexError):
            m.fft.fft(m.ones(2), dim=1)


@pytest.mark.parametrize("dtype", ["complex64", "complex128"])
def test_errors_of_rounding_grow_with_the_logarithm(dtype):
    """In units of the last place, relative to the whole, and on machine code: of smooth lengths, primes and those between."""
    eps = np.finfo(dtype).eps
    for n in (64, 1000, 1009, 4096, 30030, 65536):
        x = numbers((1, n), dtype, f"{n}")
        want = np.fft.fft(x.astype(np.complex128)) if dtype == "complex64" else None
        got = array_of(ingot.fft.fft(ingot.tensor(x)))
        back = array_of(ingot.fft.ifft(ingot.tensor(got)))
        if want is not None:
            assert np.linalg.norm(got - want) < 0.6 * eps * np.log2(n) * np.linalg.norm(want), n
        assert np.linalg.norm(back - x) < 1.2 * eps * np.log2(n) * np.linalg.norm(x), n


STFT = [
    "m.stft(x, 8, return_complex=True)", "m.stft(x, 8, 3, window=m.hann_window(8, dtype=x.dtype), return_complex=True)",
    "m.stft(x[0], 8, 2, 6, m.hann_window(6, dtype=x.dtype), return_complex=True)", "m.stft(x, 8, center=False, return_complex=True)",
    "m.stft(x, 8, normalized=True, return_complex=False)", "m.stft(x, 8, onesided=False, return_complex=True)",
    "m.stft(x, 7, pad_mode='constant', return_complex=True)", "x.stft(8, pad_mode='replicate', return_complex=True)",
    "m.stft(x + 1j, 8, 2)", "m.stft(x, 8, pad_mode='circular', return_complex=True)",
    "m.stft(x, 8, 2, 6, m.hann_window(6, dtype=x.dtype), center=False, align_to_window=True, return_complex=True)",
]  # fmt: skip
ISTFT = [
    "m.istft(z, 8, window=w)", "m.istft(z[0], 8, 2, window=w)", "m.istft(z, 8, length=13, window=w)", "z.istft(8, 3, normalized=True)",
    "m.istft(z, 8, 2, 6, w[1:7], center=True)", "m.istft(z, 8, 2, center=False)",
    "m.istft(m.cat([z, z[:, 1:4].flip(1).conj()], 1), 8, onesided=False)",
    "m.istft(m.cat([z, z[:, 1:4]], 1), 8, onesided=False, return_complex=True)", "m.istft(m.cat([z, z[:, 1:4]], 1), 8, onesided=False)",
]  # fmt: skip


@pytest.mark.parametrize("expr", STFT)
def test_stft(expr):
    for dtype in ("float32", "float64"):
        compare(expr, {"x": numbers((2, 20), dtype)})


@pytest.mark.parametrize("expr", ISTFT)
def test_istft(expr):
    for dtype, real in (("complex64", "float32"), ("complex128", "float64")):
        arrays = {"z": numbers((2, 5, 6), dtype), "w": np.hanning(10)[1:-1].astype(real)}
        compare(expr, arrays, room=4)


def test_there_and_back():
    x, w = ingot.randn(2, 100), ingot.hann_window(16)
    z = ingot.stft(x, 16, 4, window=w, return_complex=True)
    assert ingot.istft(z, 16, 4, window=w, length=100).allclose(x, atol=1e-5)
    with pytest.raises(RuntimeError, match="windows do not cover"):
        ingot.istft(z, 16, 4, window=ingot.zeros(16))


def test_compiled_and_batched():
    def f(x):
        return ingot.fft.irfft(ingot.fft.rfft(x) * 2j), ingot.stft(x, 8, window=ingot.hann_window(8), return_complex=True)

    x = ingot.randn(3, 20)
    for a, b in zip(ingot.compile(f)(x), f(x)):
        np.testing.assert_allclose(array_of(a), array_of(b), rtol=1e-5, atol=1e-5)
