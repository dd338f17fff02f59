"""Programs: fourier."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import jax
import jax.numpy as jnp

from tests.interchange.programs.program import Program, draw

__all__ = ["fourier"]


def fourier() -> Iterator[Program]:
    x, z = draw("fft", (3, 8), ("c64", (3, 6)))
    f = jnp.fft
    for n in "fft ifft rfft fft2 ifft2 rfft2 fftn ifftn rfftn hfft ihfft irfft".split():
        yield Program("fourier", n, getattr(f, n), (z if n in ("ifft", "irfft", "hfft", "ifft2", "ifftn") else x,), tol=1e-4)
    cases: dict[str, Callable] = {
        "fft_axis": lambda x: f.fft(x, axis=0),
        "fft_n": lambda x: f.fft(x, n=5),
        "irfft_odd": lambda x: f.irfft(f.rfft(x), n=7),
        "fftshift": lambda x: f.fftshift(f.fft(x)),
        "convolve": lambda x: jnp.convolve(x[0], x[1]),
        "correlate": lambda x: jnp.correlate(x[0], x[1], "same"),
        "fftconvolve": lambda x: jax.scipy.signal.fftconvolve(x[0], x[1]),
        "grad_fft": lambda x: jax.grad(lambda v: jnp.abs(f.fft(v)).sum())(x),
        "spectrum": lambda x: jnp.abs(f.rfft(x)) ** 2,
        "stft": lambda x: jax.scipy.signal.stft(x[0], nperseg=4)[2],
        "dct": lambda x: jax.scipy.fft.dct(x),
        "fftfreq": lambda x: x[0] * f.fftfreq(8),
    }
    for n, fn in cases.items():
        yield Program("fourier", n, fn, (x,), tol=1e-4)
