"""Transforms of short stretches of a signal, one after the other: stft and istft."""

from __future__ import annotations

import warnings

from ingot._tensor.composites import composite
from ingot.functions.common import Tensor, apply, check_tensor, dtype_name, dtypes, scalar
from ingot.functions.fourier import complex_transform, part, real_inverse, real_transform
from ingot.runtime.recorder import here

__all__ = ["istft", "stft"]


def _window(name: str, window: Tensor | None, n_fft: int, win_length: int, dtype: dtypes.DType) -> Tensor:
    """The window in the middle of `n_fft` places, ones if there is none."""
    if window is None:
        window = apply("broadcast", scalar(1, dtype), attrs=((win_length,),))
    if window.ndim != 1 or window.shape[0] != win_length:
        raise RuntimeError(
            f"{name}: expected a 1D window tensor of size equal to win_length={win_length}, but got window with size {list(window.shape)}"
        )
    left = (n_fft - win_length) // 2
    if win_length == n_fft:
        return window
    return apply("pad", window, scalar(0, window.dtype), attrs=((left,), (n_fft - win_length - left,), (0,)))


def _lengths(name: str, n_fft: int, hop_length: int | None, win_length: int | None) -> tuple[int, int]:
    hop, win = n_fft // 4 if hop_length is None else hop_length, n_fft if win_length is None else win_length
    if hop <= 0:
        raise RuntimeError(f"{name}: expected hop_length > 0, but got hop_length={hop}")
    if not 0 < win <= n_fft:
        raise RuntimeError(f"{name}: expected 0 < win_length <= n_fft, but got win_length={win}")
    return hop, win


@composite
def _padded(x: Tensor, low: int, high: int, mode: str) -> Tensor:
    """(batch, samples) with more samples on both sides."""
    n = x.shape[1]
    if mode == "constant":
        return apply("pad", x, scalar(0, x.dtype), attrs=((0, low), (0, high), (0, 0)))
    if mode == "reflect":
        if max(low, high) >= n:
            raise RuntimeError(f"stft: padding by {max(low, high)} samples should be less than the signal's {n}")
        ends = [apply("reverse", part(x, 1, a, b), attrs=((1,),)) for a, b in ((1, low + 1), (n - 1 - high, n - 1))]
    elif mode == "replicate":
        ends = [apply("broadcast", part(x, 1, a, a + 1), attrs=((x.shape[0], k),)) for a, k in ((0, low), (n - 1, high))]
    elif mode == "circular":
        ends = [part(x, 1, n - low, n), part(x, 1, 0, high)]
    else:
        raise NotImplementedError(f"Unrecognised padding mode {mode}")
    return apply("concatenate", ends[0], x, ends[1], attrs=(1,))


def stft(
    input: Tensor, n_fft: int, hop_length: int | None = None, win_length: int | None = None, window: Tensor | None = None,
    center: bool = True, pad_mode: str = "reflect", normalized: bool = False, onesided: bool | None = None,
    return_complex: bool | None = None, align_to_window: bool | None = None,
) -> Tensor:  # fmt: skip
    """The transforms of stretches of `n_fft` samples, `hop_length` (n_fft // 4) apart, each times `window`: (..., frequencies, stretches).

    input: (samples,) or (batch, samples), real or complex. center: stretches are centred at their place, the signal padded by
    `pad_mode`. onesided: only the first n_fft // 2 + 1 frequencies, the default for real numbers. normalized: divided by the root of
    n_fft. return_complex: must be given for real signals; False gives the parts in one more dim.
    RuntimeError for other shapes and lengths.

        >>> ingot.stft(ingot.ones(16), 8, window=ingot.hann_window(8), return_complex=True).shape
        ingot.Size([5, 9])
    """
    check_tensor("stft", input)
    complex_signal = input.dtype.kind == "c" or window is not None and window.dtype.kind == "c"
    if return_complex is None and not complex_signal:
        raise RuntimeError("stft requires the return_complex parameter be given for real inputs, and will further require that "
                           "return_complex=True in a future release.")  # fmt: skip
    return_complex = True if return_complex is None else return_complex
    if input.dtype.kind not in "fc" or input.dtype in dtypes.Half or not 1 <= input.ndim <= 2:
        raise RuntimeError(f"stft: expected a 1D or 2D tensor of floating types, but got {dtype_name(input.dtype)}{list(input.shape)}")
    if align_to_window is not None and center:
        raise RuntimeError("stft: align_to_window should only be set when center = false.")
    x = input if input.ndim == 2 else input.reshape(1, -1)
    hop, win = _lengths("stft", n_fft, hop_length, win_length)
    if center:
        half = n_fft // 2
        x = _padded(x, half, half, pad_mode)
    elif align_to_window and win < n_fft:
        left = (n_fft - win) // 2
        x = _padded(x, left, left, "constant")
    length = x.shape[-1]
    if not 0 < n_fft <= length:
        raise RuntimeError(f"stft: expected 0 < n_fft <= {length}, but got n_fft={n_fft}")
    if onesided is None:
        onesided = not complex_signal
    if onesided and complex_signal:
        raise RuntimeError("Cannot have onesided output if window or input is complex")
    w = _window("stft", window, n_fft, win, input.dtype.to_real())
    frames = x.unfold(-1, n_fft, hop) * w
    scale = n_fft**-0.5 if normalized else 1.0
    if onesided:
        y = real_transform(frames, 2, n_fft, scale)
    else:
        y = complex_transform(frames.to(frames.dtype.to_complex()), (2,), (n_fft,), False, scale)
    y = y.transpose(1, 2)
    y = y.reshape(y.shape[1:]) if input.ndim == 1 else y
    return y if return_complex else apply("view_as_real", y)


def istft(
    input: Tensor, n_fft: int, hop_length: int | None = None, win_length: int | None = None, window: Tensor | None = None,
    center: bool = True, normalized: bool = False, onesided: bool | None = None, length: int | None = None, return_complex: bool = False,
) -> Tensor:  # fmt: skip
    """The signal whose `stft` with these arguments is nearest to `input`: (..., frequencies, stretches) to (..., samples).

    length: of the signal; by default as long as the stretches tell. RuntimeError for other shapes, and where the windows do not cover
    the signal. Source: Griffin and Lim, Signal estimation from modified short-time Fourier transform (1984).

        >>> x, w = ingot.arange(16.0), ingot.hann_window(8)
        >>> ingot.istft(ingot.stft(x, 8, window=w, return_complex=True), 8, window=w).allclose(x, atol=1e-5)
        True
    """
    check_tensor("istft", input)
    if input.dtype.kind != "c":
        raise RuntimeError("istft requires a complex-valued input tensor matching the output from stft with return_complex=True.")
    if not 2 <= input.ndim <= 3:
        raise RuntimeError(f"istft: expected a tensor with 2 or 3 dimensions, but got {input.ndim}")
    if not input.numel():
        raise RuntimeError("istft: input tensor cannot be empty.")
    hop, win = _lengths("istft", n_fft, hop_length, win_length)
    if hop > win:
        raise RuntimeError(f"istft: expected 0 < hop_length <= win_length, but got hop_length={hop} and win_length={win}")
    x = input if input.ndim == 3 else input.reshape(1, *input.shape)
    frequencies, count = x.shape[1], x.shape[2]
    if onesided is None:
        onesided = frequencies != n_fft
    if onesided and return_complex:
        raise RuntimeError("cannot have onesided output if window or input is complex")
    expected = n_fft // 2 + 1 if onesided else n_fft
    if frequencies != expected:
        raise RuntimeError(
            f"istft: expected the frequency dimension (3rd to the last) of the input tensor to match {expected}, but got {frequencies}"
        )
    w = _window("istft", window, n_fft, win, x.dtype.to_real())
    scale = n_fft**0.5 / n_fft if normalized else 1 / n_fft
    frames = x.transpose(1, 2)
    if return_complex:
        y = complex_transform(frames, (2,), (n_fft,), True, scale)
    else:  # of a real signal, half of the frequencies say all
        y = real_inverse(part(frames, 2, 0, n_fft // 2 + 1), 2, n_fft, scale)
    total, weight = _overlapped(y * w, hop), _overlapped((w * w).expand(1, count, n_fft), hop)
    start = n_fft // 2 if center else 0
    whole = total.shape[1]
    end = start + length if length is not None else whole - (n_fft // 2 if center else 0)
    stop = min(end, whole)
    total, weight = part(total, 1, start, stop), part(weight, 1, start, stop)
    if not here.recorder.tracing and weight.numel() and float(weight.abs().min()) <= 1e-11:
        raise RuntimeError("window overlap add min: 0: the windows do not cover the signal")
    y = total / weight
    if end > whole:
        warnings.warn("The length of signal is shorter than the length parameter. Result is being padded with zeros in the tail. "
                      "Please check your center, hop_length and length parameters.", stacklevel=2)  # fmt: skip
        y = _padded(y, 0, end - whole, "constant")
    return y.reshape(-1) if input.ndim == 2 else y


@composite
def _overlapped(frames: Tensor, hop: int) -> Tensor:
    """Stretches (batch, count, n) added up, each `hop` after the one before."""
    batch, count, n = frames.shape
    rows, columns = apply("iota", attrs=(dtypes.i64, (count, n), 0)), apply("iota", attrs=(dtypes.i64, (count, n), 1))
    place = apply("broadcast", apply("reshape", rows * hop + columns, attrs=((1, count * n),)), attrs=((batch, count * n),))
    into = apply("broadcast", scalar(0, frames.dtype), attrs=((batch, n + hop * (count - 1)),))
    return apply("scatter", into, place, apply("reshape", frames, attrs=((batch, count * n),)), attrs=(1, "add"))
