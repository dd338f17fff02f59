"""Random tensors. The streams are Ingot's own, not torch's: the same seed gives the same numbers everywhere Ingot runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ingot._streams import below, gauss, integers, permutation, race, search, transform, uniform_numbers, unit_numbers
from ingot._tensor import Tensor, get_default_dtype, wrap
from ingot._tensor.composites import composite
from ingot._tensor.devices import beside, placing
from ingot._tensor.recording import broadcast, cast, from_array, inplace, placed, scalar
from ingot.functions.checks import checked
from ingot.functions.common import apply, as_index, broadcast_shapes, emit_out, shape_arg, size_arg, static_int
from ingot.functions.creation import dtype_of
from ingot.ir.dtypes import Complex, DType, bf16, f16, f32, f64, i64, u64
from ingot.ir.types import Shape, numel
from ingot.runtime.random import Generator, default_generator, of_device, of_devices
from ingot.runtime.recorder import here

__all__ = [
    "Generator", "default_generator", "manual_seed", "seed", "initial_seed", "get_rng_state", "set_rng_state", "fork_rng", "rand", "randn",
    "randint", "randperm", "rand_like", "randn_like", "randint_like", "normal", "bernoulli", "multinomial",
]  # fmt: skip


# ---- state


def manual_seed(seed: int) -> Generator:
    """Seed the default generators of all devices, and return the CPU's."""
    for g in of_devices.values():
        g.manual_seed(seed)
    return default_generator.manual_seed(seed)


def seed() -> int:
    """Seed the default generators of all devices with a number that nobody can foretell, and return it."""
    found = default_generator.seed()
    for g in of_devices.values():
        g.manual_seed(found)
    return found


def initial_seed() -> int:
    """The default generator's seed."""
    return default_generator.initial_seed()


def get_rng_state() -> Tensor:
    """The default generator's state, a uint8 tensor."""
    return from_array(default_generator.get_state())


def set_rng_state(new_state: Tensor) -> None:
    """Go back to a state that `get_rng_state` gave."""
    default_generator.set_state(new_state._value() if isinstance(new_state, Tensor) else new_state)


class fork_rng:
    """A block after which the default generators are as they were before."""

    def __init__(self, devices: Any = None, enabled: bool = True):
        self._enabled = enabled

    def __enter__(self) -> None:
        self._state = default_generator.get_state()
        self._others = {g: g.get_state() for g in of_devices.values()}

    def __exit__(self, *exc: Any) -> None:
        if self._enabled:
            default_generator.set_state(self._state)
            for g, state in self._others.items():
                g.set_state(state)


# ---- arguments


def _stream(generator: Generator | None, words: int) -> tuple[Tensor, Tensor]:
    g = default_generator if generator is None else generator
    if not isinstance(g, Generator):
        raise TypeError(f"generator must be an ingot.Generator, not {type(g).__name__}")
    s, at = g.reserve(words)
    return wrap((s, None)), wrap((at, None))


def _of(generator: Generator | None, device: Any) -> Generator | None:
    """The generator for what is made on a device: the one that is given, else the device's own. RuntimeError for one of another kind."""
    where = placing(device)
    if generator is None:
        return of_device(where.index or 0) if where.type == "cuda" else None
    if isinstance(generator, Generator) and generator.device.type != where.type and where.type != "meta":
        raise RuntimeError(f"Expected a '{where.type}' device type for generator but found '{generator.device.type}'")
    return generator


def _words(n: int, d: DType) -> int:
    return 2 * n if d is f64 else n


def _shape(size: Sequence[Any]) -> tuple[int, ...]:
    shape = shape_arg(size)
    for n in shape:
        if n < 0:
            raise RuntimeError(f"Trying to create tensor with negative dimension {n}: {list(shape)}")
    return shape


def _float(name: str, dtype: DType | None) -> DType:
    d = get_default_dtype() if dtype is None else dtype
    if not isinstance(d, DType):
        raise TypeError(f"{name}(): argument 'dtype' must be ingot.dtype, not {type(d).__name__}")
    if d.kind != "f":
        raise RuntimeError(f'"{name}" not implemented for \'{d.torch_name}\'')
    return d


def _finish(t: Tensor, out: Tensor | None, requires_grad: bool, device: Any = None) -> Tensor:
    t = placed(t, placing(device, t))
    if out is not None:
        return emit_out(t, out)
    return t.requires_grad_() if requires_grad else t


# ---- creation


def rand(
    *size: Any, generator: Generator | None = None, out: Tensor | None = None, dtype: DType | None = None, layout: Any = None,
    device: Any = None, requires_grad: bool = False, pin_memory: bool = False, **named: Any,
) -> Tensor:  # fmt: skip
    """Uniform numbers in [0, 1) of shape `size`, in `dtype` (floating or complex; the default float dtype if None).

    >>> ingot.rand(2, 3).shape
    ingot.Size([2, 3])
    """
    size = tuple(size_arg("rand", size, named))
    generator = _of(generator, device)
    shape = _shape(size)
    dtype = dtype_of(dtype, out)
    if dtype in Complex:
        return _finish(_in_parts(rand, shape, generator, dtype), out, requires_grad, device)
    d = _float("rand", dtype)
    return _finish(unit_numbers(*_stream(generator, _words(numel(shape), d)), shape, d), out, requires_grad, device)


def randn(
    *size: Any, generator: Generator | None = None, out: Tensor | None = None, dtype: DType | None = None, layout: Any = None,
    device: Any = None, requires_grad: bool = False, pin_memory: bool = False, **named: Any,
) -> Tensor:  # fmt: skip
    """Standard normal numbers of shape `size`, in `dtype` (floating or complex; the default float dtype if None).

    >>> ingot.randn(2, 3).shape
    ingot.Size([2, 3])
    """
    size = tuple(size_arg("randn", size, named))
    generator = _of(generator, device)
    dtype = dtype_of(dtype, out)
    if dtype in Complex:  # of variance 1: each part has a half of it
        return _finish(_in_parts(randn, _shape(size), generator, dtype) * 0.5**0.5, out, requires_grad, device)
    d = _float("randn", dtype)
    return _finish(_normal(_shape(size), 0.0, 1.0, d, generator), out, requires_grad, device)


def _in_parts(draw: Callable[..., Tensor], shape: Shape, generator: Generator | None, dtype: DType) -> Tensor:
    return apply("complex", *(draw(shape, generator=generator, dtype=dtype.to_real()) for _ in "ri"))


def _normal(shape: Shape, mean: Any, std: Any, d: DType, generator: Generator | None) -> Tensor:
    wide = f64 if d is f64 else f32
    m, s = [x if isinstance(x, Tensor) else scalar(x, wide) for x in (mean, std)]
    return gauss(*_stream(generator, _words(2 * numel(shape), d)), cast(m, wide), cast(s, wide), tuple(shape), d)


def randint(
    low: Any = None, high: Any = None, size: Any = None, *, generator: Generator | None = None, out: Tensor | None = None,
    dtype: DType | None = None, layout: Any = None, device: Any = None, requires_grad: bool = False, pin_memory: bool = False,
) -> Tensor:  # fmt: skip
    """Integers from [low, high) of shape `size`, int64 unless `dtype` is given; `randint(high, size)` starts at 0.

    RuntimeError unless low < high. High enough ranges of small dtypes are checked too.

    >>> x = ingot.randint(10, (3,))
    >>> x.dtype, bool(((x >= 0) & (x < 10)).all())
    (ingot.int64, True)
    """
    generator = _of(generator, device)
    if size is None:
        if high is None or isinstance(high, int):
            raise TypeError("randint(): missing the size: randint(high, size) or randint(low, high, size)")
        low, high, size = 0, low, high
    if high is None or low is None:
        low, high = 0, low if high is None else high
    d = dtype_of(dtype, out) or i64
    shape = _shape((size,) if isinstance(size, int) else (tuple(size),))
    return _finish(_randint(int(low), int(high), shape, d, generator), out, requires_grad, device)


def _randint(low: int, high: int, shape: Shape, d: DType, generator: Generator | None) -> Tensor:
    if low >= high:
        raise RuntimeError(f"random_ expects 'from' to be less than 'to', but got from={low} >= to={high}")
    if d.kind != "f":
        bottom, top = (0, 1) if d.kind == "b" else (-(1 << d.bits - 1) if d.kind == "i" else 0, (1 << d.bits - (d.kind == "i")) - 1)
        if low < bottom or high - 1 > top:
            raise RuntimeError(f"from={low}, to={high} is out of bounds for {d.torch_name}")
    wide = high - low > 1 << 32
    n = numel(shape)
    stream = _stream(generator, 2 * n if wide else n)
    return integers(*stream, scalar(low, i64), scalar(high - low, u64), tuple(shape), wide, d)


def randperm(
    n: int, *, generator: Generator | None = None, out: Tensor | None = None, dtype: DType | None = None, layout: Any = None,
    device: Any = None, requires_grad: bool = False, pin_memory: bool = False,
) -> Tensor:  # fmt: skip
    """The numbers 0 to n - 1 in random order. RuntimeError for a negative n.

    >>> ingot.randperm(4).sort().values
    tensor([0, 1, 2, 3])
    """
    generator = _of(generator, device)
    n = static_int(n, "randperm(): argument 'n'")
    if n < 0:
        raise RuntimeError(f"n must be non-negative, but got {n}")
    return _finish(permutation(*_stream(generator, 2 * n), n, dtype_of(dtype, out) or i64), out, requires_grad, device)


def rand_like(
    input: Tensor, *, dtype: DType | None = None, layout: Any = None, device: Any = None, requires_grad: bool = False,
    memory_format: Any = None, generator: Generator | None = None,
) -> Tensor:  # fmt: skip
    """`rand` in the shape (and dtype) of `input`."""
    where = beside(device, input)
    return rand(tuple(input.shape), dtype=dtype or input.dtype, device=where, requires_grad=requires_grad, generator=generator)


def randn_like(
    input: Tensor, *, dtype: DType | None = None, layout: Any = None, device: Any = None, requires_grad: bool = False,
    memory_format: Any = None, generator: Generator | None = None,
) -> Tensor:  # fmt: skip
    """`randn` in the shape (and dtype) of `input`."""
    where = beside(device, input)
    return randn(tuple(input.shape), dtype=dtype or input.dtype, device=where, requires_grad=requires_grad, generator=generator)


def randint_like(
    input: Tensor, low: int, high: int | None = None, *, dtype: DType | None = None, layout: Any = None, device: Any = None,
    requires_grad: bool = False, memory_format: Any = None, generator: Generator | None = None,
) -> Tensor:  # fmt: skip
    """`randint` in the shape (and dtype) of `input`."""
    low, high = (0, low) if high is None else (low, high)
    d = dtype or input.dtype
    return randint(low, high, tuple(input.shape), dtype=d, device=beside(device, input), requires_grad=requires_grad, generator=generator)


def normal(
    mean: Any = 0.0, std: Any = 1.0, size: Any = None, *, generator: Generator | None = None, out: Tensor | None = None,
    dtype: DType | None = None, device: Any = None, requires_grad: bool = False, layout: Any = None, pin_memory: bool = False,
) -> Tensor:  # fmt: skip
    """Normal numbers: `mean` and `std` are numbers or tensors; `size` is needed when both are numbers.

    RuntimeError for a negative std.
    """
    tensors = [t for t in (mean, std) if isinstance(t, Tensor)]
    generator = _of(generator, beside(device, tensors[0]) if tensors else device)
    if not isinstance(std, Tensor) and std < 0:
        raise RuntimeError(f"normal expects std >= 0.0, but found std {std}")
    if tensors and size is None:
        shape: Shape = broadcast_shapes(*(tuple(t.shape) for t in tensors))
        d = _float("normal", dtype_of(dtype, out) or tensors[0].dtype)
    elif size is None:
        raise TypeError("normal(): size is needed when mean and std are numbers")
    else:
        shape, d = _shape((size,) if isinstance(size, int) else (tuple(size),)), _float("normal", dtype_of(dtype, out))
    made = _normal(shape, mean, std, d, generator)
    return _finish(made, out, requires_grad, beside(device, made) if tensors else device)


def _bernoulli(p: Tensor, shape: Shape, d: DType, generator: Generator | None) -> Tensor:
    return below(*_stream(generator, _words(numel(shape), p.dtype)), p, tuple(shape), d)


def bernoulli(input: Tensor, p: float | None = None, *, generator: Generator | None = None, out: Tensor | None = None) -> Tensor:
    """1 with the probability that `input` gives for each element, else 0, in the dtype of `input`.

    With `p`, that probability for all elements. RuntimeError for probabilities outside [0, 1].
    """
    generator = _of(generator, input.device)
    d = input.dtype if out is None else out.dtype
    if p is not None:
        _check_p(p)
        return _finish(_bernoulli(scalar(p, f32), tuple(input.shape), d, generator), out, False, input.device)
    if input.dtype.kind != "f":
        raise RuntimeError(f'"bernoulli_tensor_cpu_p_" not implemented for \'{input.dtype.torch_name}\'')
    if not here.recorder.tracing:
        v = input._value()
        if not ((v >= 0) & (v <= 1)).all():
            raise RuntimeError("Expected p_in >= 0 && p_in <= 1 to be true, but got false.")
    p_in = _probabilities(input.detach()) if here.recorder.tracing else input.detach()
    return _finish(_bernoulli(p_in, tuple(input.shape), d, generator), out, False, input.device)


@composite
def _probabilities(p: Tensor) -> Tensor:
    return checked(p, apply("logical_and", p >= 0, p <= 1).all())


@composite
def _weights(w: Tensor, nonzero: int) -> Tensor:
    some = apply("sub", w, w) == 0  # neither infinite nor NaN
    enough = apply("logical_and", w.sum(-1) > 0, cast(w > 0, i64).sum(-1) >= nonzero)
    return checked(w, apply("logical_and", apply("logical_and", some, w >= 0).all(), enough.all()))


def _check_p(p: float) -> None:
    if not 0 <= p <= 1:
        raise RuntimeError(f"bernoulli_ expects p to be in [0, 1], but got p={p}")


# ---- drawing by weight


def multinomial(
    input: Tensor, num_samples: int, replacement: bool = False, *, generator: Generator | None = None, out: Tensor | None = None
) -> Tensor:
    """Indices (int64) drawn with the weights in each row of `input` (1-d or 2-d; need not sum to 1).

    RuntimeError for weights that are negative or not finite, rows that sum to 0, or more draws without replacement than weights.
    """
    if input.dtype.kind != "f":
        raise RuntimeError(f"multinomial only supports floating-point dtypes for input, got: {input.dtype.torch_name}")
    if input.ndim not in (1, 2):
        raise RuntimeError("prob_dist must be 1 or 2 dim")
    num_samples = as_index(num_samples)
    if num_samples <= 0:
        raise RuntimeError("cannot sample n_sample <= 0 samples")
    k = input.shape[-1]
    if not replacement and num_samples > k:
        raise RuntimeError("cannot sample n_sample > prob_dist.size(-1) samples without replacement")
    if not here.recorder.tracing:
        v = input._value().astype(np.float64)
        if not (np.isfinite(v).all() and (v >= 0).all()):
            raise RuntimeError("probability tensor contains either `inf`, `nan` or element < 0")
        if not (v.sum(-1) > 0).all():
            raise RuntimeError("invalid multinomial distribution (sum of probabilities <= 0)")
        if not replacement and ((v > 0).sum(-1) < num_samples).any():
            raise RuntimeError("invalid multinomial distribution (with replacement=False, not enough non-negative category to sample)")
    weights = cast(input.detach(), f64)
    if here.recorder.tracing:
        weights = _weights(weights, 1 if replacement else num_samples)
    rows = numel(tuple(input.shape[:-1]))
    words = 2 * rows * (num_samples if replacement else k)
    generator = _of(generator, input.device)
    return _finish((search if replacement else race)(*_stream(generator, words), weights, num_samples), out, False, input.device)


# ---- in place


def _fill(t: Tensor, value: Tensor) -> Tensor:
    return inplace(t, value, "RandomBackward0")


def uniform_(self: Tensor, from_: float = 0.0, to: float = 1.0, *, generator: Generator | None = None, **named: float) -> Tensor:
    """Fill with uniform numbers from [from, to)."""
    low = named.pop("from", from_)
    d, shape = _float("uniform_", self.dtype), tuple(self.shape)
    if low > to:
        raise RuntimeError(f"uniform_ expects to return a [from, to) range, but found from={low} > to={to}")
    wide = f64 if d is f64 else f32
    stream = _stream(_of(generator, self.device), _words(numel(shape), d))
    return _fill(self, uniform_numbers(*stream, scalar(low, wide), scalar(to, wide), shape, d))


def normal_(self: Tensor, mean: float = 0.0, std: float = 1.0, *, generator: Generator | None = None) -> Tensor:
    """Fill with normal numbers."""
    if std < 0:
        raise RuntimeError(f"normal_ expects std >= 0.0, but found std {std}")
    return _fill(self, _normal(tuple(self.shape), mean, std, _float("normal_", self.dtype), _of(generator, self.device)))


def bernoulli_(self: Tensor, p: Any = 0.5, *, generator: Generator | None = None) -> Tensor:
    """Fill with 1 with probability `p` (a number or a tensor), else 0."""
    if isinstance(p, Tensor):
        prob = broadcast(p.detach(), tuple(self.shape))
    else:
        _check_p(p)
        prob = scalar(p, f32)
    return _fill(self, _bernoulli(prob, tuple(self.shape), self.dtype, _of(generator, self.device)))


def random_(self: Tensor, from_: int | None = None, to: int | None = None, *, generator: Generator | None = None, **named: int) -> Tensor:
    """Fill with integers from [from, to): `random_(to)` starts at 0; without bounds, all values that the dtype holds exactly."""
    low = named.pop("from", from_)
    if to is None and low is not None:
        low, to = 0, low
    d = self.dtype
    if to is None:
        to = 2 if d.kind == "b" else 1 << ({f16: 11, bf16: 8, f32: 24, f64: 53}[d] if d.kind == "f" else d.bits - (d.kind == "i"))
        to = min(to, (1 << 63) - 1)
    return _fill(self, _randint(int(low or 0), int(to), tuple(self.shape), d, _of(generator, self.device)))


def _from_unit(self: Tensor, kind: str, a: float, b: float, generator: Generator | None) -> Tensor:
    shape = tuple(self.shape)
    u = unit_numbers(*_stream(_of(generator, self.device), 2 * numel(shape)), shape, f64)
    return _fill(self, transform(u, scalar(a, f64), scalar(b, f64), kind, self.dtype))


def exponential_(self: Tensor, lambd: float = 1.0, *, generator: Generator | None = None) -> Tensor:
    """Fill with exponential numbers of rate `lambd`."""
    if lambd <= 0:
        raise RuntimeError(f"exponential_ expects lambda > 0.0, but found lambda={lambd}")
    _float("exponential_", self.dtype)
    return _from_unit(self, "exponential", lambd, 0.0, generator)


def cauchy_(self: Tensor, median: float = 0.0, sigma: float = 1.0, *, generator: Generator | None = None) -> Tensor:
    """Fill with Cauchy numbers."""
    if sigma <= 0:
        raise RuntimeError(f"cauchy_ expects sigma > 0.0, but found sigma={sigma}")
    _float("cauchy_", self.dtype)
    return _from_unit(self, "cauchy", median, sigma, generator)


def geometric_(self: Tensor, p: float, *, generator: Generator | None = None) -> Tensor:
    """Fill with the number of trials until the first success of probability `p`."""
    if not 0 < p < 1:
        raise RuntimeError(f"geometric_ expects p to be in (0, 1), but got p={p}")
    return _from_unit(self, "geometric", p, 0.0, generator)


def log_normal_(self: Tensor, mean: float = 1.0, std: float = 2.0, *, generator: Generator | None = None) -> Tensor:
    """Fill with numbers whose logarithms are normal."""
    if std <= 0:
        raise RuntimeError(f"log_normal_ expects std > 0.0, but found std={std}")
    d = _float("log_normal_", self.dtype)
    wide = f64 if d is f64 else f32
    return _fill(self, cast(apply("exp", _normal(tuple(self.shape), mean, std, wide, _of(generator, self.device))), d))


METHODS = {
    method.__name__: method
    for method in (uniform_, normal_, bernoulli_, random_, exponential_, cauchy_, geometric_, log_normal_, bernoulli, multinomial)
}
