"""The samples of test_functions.py: expressions over `m` (torch or ingot) and named inputs, run with both and compared."""

from __future__ import annotations

import re
import zlib
from dataclasses import dataclass, field
from typing import Any

import numpy as np

FLOATS = ("f32", "f64", "f16", "bf16")
REAL = ("f32", "f64")
INTS = ("i64", "i32", "i16", "i8", "u8")
NUMBERS = FLOATS + INTS
ALL = NUMBERS + ("bool",)


@dataclass(frozen=True)
class Case:
    expr: str
    inputs: dict[str, str] = field(hash=False)  # name -> "kind[shape]", the dtype swept unless the kind names one
    dtypes: tuple[str, ...]
    grad: bool
    tol: float  # multiplies the tolerance

    def __str__(self) -> str:
        return self.expr + "-" + ",".join(f"{k}={v}" for k, v in self.inputs.items())


def case(expr: str, dtypes: tuple[str, ...] = ("f32",), grad: bool = True, tol: float = 1.0, **inputs: str) -> Case:
    return Case(expr, inputs, dtypes, grad, tol)


_SPEC = re.compile(r"(\w+)?\[([\d,]*)\](\.T)?")


def make(spec: str, dtype: str, seed: str) -> tuple[np.ndarray, str, bool]:
    """The values of an input, its dtype name, and whether it is to be passed as a transposed view.

    Kinds: (none) normal numbers; pos > 0; unit in (-1, 1); big with large values; special with NaN and infinities; infinite with
    the latter alone; distinct;
    mask; solid (well-conditioned matrices); labels, targets (for losses); idxN in [0, N); widxN in [-N, N); or a dtype name.
    """
    kind, dims, flip = _SPEC.fullmatch(spec).groups()
    shape = tuple(int(d) for d in dims.split(",") if d)
    rng = np.random.default_rng(zlib.crc32(f"{seed}{spec}".encode()))
    if kind in ALL:
        dtype, kind = kind, None
    if kind == "mask":
        return rng.random(shape) < 0.5, "bool", bool(flip)
    if kind == "labels":  # never 0 and never 3, the blanks of the cases
        return rng.choice([1, 2, 4], shape), "i64", False
    if kind == "targets":  # the classes of each row, then -1
        rows = [np.append(rng.permutation(shape[-1])[:k], [-1] * (shape[-1] - k)) for k in rng.integers(0, shape[-1] + 1, shape[0])]
        return np.array(rows), "i64", False
    if kind == "perm":
        return np.array([[0, 1, 2], [1, 2, 0], [2, 0, 1]]), "i64", False
    if kind and (found := re.fullmatch(r"(w?)idx(\d+)", kind)):
        n = int(found[2])
        return rng.integers(-n if found[1] else 0, max(n, 1), shape), "i64", bool(flip)
    if dtype == "bool":
        return rng.random(shape) < 0.5, dtype, bool(flip)
    if dtype in INTS and kind == "distinct":
        return rng.permutation(int(np.prod(shape))).reshape(shape), dtype, bool(flip)
    if dtype in INTS:
        low = 1 if kind == "pos" or dtype == "u8" else -6
        return rng.integers(low, 7, shape), dtype, bool(flip)
    x = rng.normal(size=shape) * 2
    if kind == "solid":  # a matrix far from singular
        x = x + 5 * np.eye(shape[-1])
    if kind == "pos":
        x = np.abs(x) + 0.1
    elif kind == "unit":
        x = np.tanh(x) * 0.95
    elif kind == "prob":
        x = 1 / (1 + np.exp(-x)) * 0.9 + 0.05
    elif kind == "big":
        x = x * 100
    elif kind == "distinct":
        x = rng.permutation(int(np.prod(shape))).reshape(shape) * 0.5 - 3
    elif kind in ("special", "infinite"):
        flat = x.reshape(-1)
        for i, v in enumerate((np.nan if kind == "special" else 0.5, np.inf, -np.inf, 0.0, -0.0)):
            if i < flat.size:
                flat[i * max(1, flat.size // 5) % flat.size] = v
    elif kind == "ties":
        x = np.round(x)
    return x, dtype, bool(flip)


SHAPES = ("[]", "[0]", "[5]", "[2,3]", "[3,2].T", "[2,0,3]")
C: list[Case] = []


def add(exprs: str, dtypes: tuple[str, ...] = ("f32",), grad: bool = True, tol: float = 1.0, **inputs: Any) -> None:
    """One case for each of `exprs` (between semicolons) and per choice of inputs (a tuple lists several)."""
    names = list(inputs)
    choices: list[dict[str, str]] = [{}]
    for n in names:
        options = inputs[n] if isinstance(inputs[n], tuple) else (inputs[n],)
        choices = [{**c, n: o} for c in choices for o in options]
    for expr in filter(None, map(str.strip, exprs.replace("\n", " ").split(";"))):
        for c in choices:
            used = {k: v for k, v in c.items() if re.search(rf"\b{k}\b", expr)}
            made = case(expr, dtypes, grad, tol, **used)
            if made not in C or all(str(made) != str(o) for o in C):
                C.append(made)


def each(names: str, template: str) -> str:
    return ";".join(template.replace("F", n, 1) for n in names.split())


# --- elementwise, one operand
add(each("exp expm1 sin cos atan sinh cosh tanh asinh sigmoid erf erfc abs floor ceil trunc round neg square exp2 relu sign frac",
    "m.F(x)"), FLOATS, x=SHAPES)
add(each("log log2 log10 log1p sqrt rsqrt reciprocal lgamma", "m.F(x)"), FLOATS, x=tuple("pos" + s for s in SHAPES), tol=4)
add("m.logit(x)", FLOATS, x=tuple("prob" + s for s in SHAPES), tol=4)
add(each("tan asin acos atanh erfinv", "m.F(x)"), FLOATS, x=tuple("unit" + s for s in SHAPES), tol=4)
add("m.acosh(x + 1); m.digamma(x)", REAL, x="pos[5]", grad=False, tol=4)
add(each("exp log sqrt sin tanh sigmoid erf reciprocal rsqrt abs neg sign square exp2 floor ceil trunc round relu deg2rad "
         "rad2deg sinc logical_not signbit isnan isinf isfinite isposinf isneginf positive", "m.F(x)"),
    ALL, x="[2,3]", grad=False, tol=4)  # fmt: skip
add(each("exp log sqrt abs neg sign floor isnan isinf isfinite relu nan_to_num signbit isposinf square sigmoid tanh log1p erf isneginf",
    "m.F(x)"), FLOATS,
    x="special[10]", grad=False, tol=4)  # fmt: skip
add("m.bitwise_not(x); ~x", INTS + ("bool",), x="[4]", grad=False)
add("m.nan_to_num(x, nan=1.5, posinf=3, neginf=-2)", REAL, x="special[10]")
# the gradient at NaN is torch's vectors' (0) or its rest's (NaN): tests/functions/test_special_values.py says what is right
add("m.logit(x, eps=0.1)", REAL, x=("infinite[10]", "infinite[37]"))
add("m.round(x, decimals=2); m.round(x, decimals=-1)", REAL, x="big[6]", grad=False)
add("""
    x.exp_(); x.tanh_(); x.neg_(); x.clamp_(min=0); x.mul_(2).add_(1); x.sqrt_(); x.zero_(); x.fill_(3); x.sigmoid_()
""", REAL, x="[2,3]", grad=False)

# --- two operands
PAIRS = dict(x=("[2,3]", "[3]", "[]"), y=("[2,3]", "[2,1]", "[]"))
add(each("add sub mul maximum minimum fmax fmin eq ne lt le gt ge", "m.F(x, y)"), FLOATS, **PAIRS)
add(each("div atan2 copysign hypot logaddexp logaddexp2 xlogy remainder fmod",
    "m.F(x, y)"), REAL, x=("pos[2,3]", "pos[]"), y=("pos[3]", "pos[2,1]"), tol=4)
add(each("add sub mul div maximum minimum eq ne lt le gt ge logical_and logical_or logical_xor atan2 copysign pow",
    "m.F(x, y)"), NUMBERS, grad=False, x="pos[2,3]",
    y=("pos[3]", "i64[3]", "f32[3]", "bool[3]", "f16[]", "u8[]"), tol=4)  # fmt: skip
add(each("add mul maximum minimum eq lt logical_xor bitwise_and bitwise_or bitwise_xor div",
    "m.F(x, y)"), ("bool",), grad=False, x="[6]", y="bool[6]")
add(each("bitwise_and bitwise_or bitwise_xor", "m.F(x, y)"), INTS, grad=False, x="[6]", y="[6]")
add("m.bitwise_left_shift(x, 2); x >> 1; x << 1; x & 3; 3 | x; x ^ True", INTS, grad=False, x="[6]")
add("""
    x + 1; 1 + x; x - 2; 2 - x; x * 3; 3 * x; x / 2; 2 / x; x % 3; x ** 2; x == 1; x != 1; x < 2; x >= 2; 2 > x; -x; abs(x); x + True
""",
    NUMBERS, x="pos[2,3]", tol=2)  # fmt: skip
add("""
    x + 1.5; 1.5 - x; x * 0.5; x / 0.5; x % 1.5; x ** 2.5; 2.5 ** x; x < 1.5; x == 0.5; m.add(x, x, alpha=2); m.sub(x, 1, alpha=3)
""", NUMBERS,
    x=("pos[2,3]", "pos[]"), tol=4)  # fmt: skip
add("""
    x // 2; 7 // x; 7 % x; x // 0.5; m.floor_divide(x, x[:1]); x % -2; x + 1000; x * 300; x < 2**40 if x.dtype == m.int64 else x < 5
""", NUMBERS, x="pos[2,3]", grad=False)
add("x + 1; x * 2; x * 1.5; x + True; x / 2; x ** 2; x == 1", ("bool",), x="[4]", grad=False)
add("""
    x ** 0; x ** 1; x ** 3; x ** -1; x ** -2; m.pow(x, 2); m.pow(2, x); m.float_power(x, 2); m.rsub(x, 2)
""", REAL, x="pos[4]", tol=4)
add("""
    x // y; x % y; m.fmod(x, y); m.div(x, y, rounding_mode='trunc'); m.div(x, y, rounding_mode='floor')
""", ("i64", "i32", "i8"), x="[12]", y="pos[12]", grad=False)
add("""
    x // y; x % y; m.fmod(x, y); m.div(x, y, rounding_mode='trunc'); m.div(x, y, rounding_mode='floor')
""", FLOATS, x="big[12]", y="[12]", grad=False, tol=4)
add("""
    m.maximum(x, y); m.fmax(x, y); m.minimum(x, y); m.fmin(x, y); x == y; x < y; m.logaddexp(x, y); m.hypot(x, y); m.copysign(x, y);
    m.heaviside(x, y)
""", REAL,
    x="special[10]", y="[10]", grad=False)  # fmt: skip
add("m.ldexp(x, y)", REAL, x="[3]", y="i32[3]", grad=False)
add("x.add_(y); x.mul_(y); x.sub_(1); x.copy_(y); x.eq_(y); x.pow_(2); x.clamp_(0, 1)", REAL, x="[2,3]", y="[3]", grad=False)
add("x.add_(2); x.mul_(y); x.sub_(1); x.bitwise_and_(3); x.floor_divide_(2); x.remainder_(3)", ("i64", "u8"),
    x="pos[2,3]", y="[3]", grad=False)

# --- three operands
add("m.where(c, x, y); m.where(c, x, 0.0); m.where(c, 1, x); x.where(c, y)", ("f32", "f16", "i64", "bool"),
    c="mask[2,3]", x="[2,3]", y=("[3]", "f64[]"))
add("""
    m.clamp(x, 0); m.clamp(x, max=1); m.clamp(x, -1, 1); m.clamp(x, 2, 1); x.clip(0.5, 1); m.clamp_min(x, 0); m.clamp_max(x, 1)
""", NUMBERS, x="[2,3]")
add("m.clamp(x, y); m.clamp(x, y, z); m.clamp(x, max=z)", REAL, x="[2,3]", y="unit[3]", z="pos[2,1]")
add("m.clamp(x, 0, 1); m.clamp(x, y)", REAL, x="special[10]", y="special[10]", grad=False)
add("m.lerp(x, y, 0.3); m.lerp(x, y, 0.8); m.lerp(x, y, z)", FLOATS, x="[2,3]", y="[3]", z="[2,1]", tol=2)
add("""
    m.addcmul(x, y, z); m.addcmul(x, y, z, value=0.5); m.addcdiv(x, y, z); m.addcdiv(x, y, z, value=-2)
""", FLOATS, x="[2,3]", y="[3]", z="pos[2,1]", tol=2)
add("m.addcmul(x, y, y, value=2)", ("i64",), x="[3]", y="[3]", grad=False)
add("""
    m.isclose(x, y); m.isclose(x, x); m.isclose(x, x, equal_nan=True); m.isclose(x, y, rtol=0.5)
""", ("f32", "f64", "i64"), x=("special[10]", "[10]"), y="[10]", grad=False)
add("m.allclose(x, x); m.equal(x, x); m.equal(x, x[:1]); m.allclose(x, x + 1)", REAL, x="[3]", grad=False)

# --- reductions
RED = ("[]", "[5]", "[2,3]", "[3,2].T", "[2,3,4]")
add("""
    x.sum(); x.sum(-1); x.sum(0, keepdim=True); x.mean(); x.mean(-1); m.sum(x, dim=(0, -1)) if x.dim() > 1 else x.sum();
    x.logsumexp(-1); x.norm()
""", FLOATS, x=RED, tol=4)
add("""
    x.sum(); x.sum(0); x.prod(); x.prod(-1); x.sum(dtype=m.float32); x.cumsum(-1); x.cumprod(-1); x.any(); x.all(); x.any(-1);
    x.all(0, keepdim=True); m.count_nonzero(x); m.count_nonzero(x, 0)
""", ALL, x=("[2,3]", "[]", "[0]"), grad=False)  # fmt: skip
add("x.prod(); x.prod(1); x.prod(0, keepdim=True)", REAL, x=("[2,3]", "ties[3,4]"), tol=4)
add("""
    x.max(); x.min(); x.max(0); x.min(-1); x.max(1, keepdim=True); x.amax(); x.amin(1); x.amax((0, 1), keepdim=True); x.argmax();
    x.argmin(0); x.argmax(1, keepdim=True); m.aminmax(x)
""",
    FLOATS + ("i64", "u8"), x=("distinct[3,4]", "distinct[4,3].T"))  # fmt: skip
add("x.amax(); x.amin(0); x.max(); x.argmax(1); x.argmin()", REAL, x="ties[4,5]")
add("""
    x.max(); x.min(1); x.argmax(1); x.amax(0); x.sort(1); x.sort(1, descending=True); x.median(); x.median(1); x.nanmedian();
    x.nanmedian(0); x.nansum(); x.nanmean(); x.nanmean(0); x.topk(2, 1)[0]; x.cummax(1); x.cummin(0); x.nansum(1); x.kthvalue(2, 1)[0]
""", REAL, x="special[3,4]", grad=False)  # fmt: skip
add("""
    x.max(0); x.argmax(); x.max(); x.sum(0); x.sort(); x.cumsum(0); x.softmax(0); x.median(); x.var() if 0 else x.sum(); x.norm();
    x.cummax(0)
""", REAL, x="[]")
add("x.max(); x.min(); x.amax(0); x.max(0); x.sort(0); x.cummax(0)", ("bool",), x="[3,2]", grad=False)
add("""
    x.var(); x.std(); x.var(1); x.std(0, keepdim=True); x.var(1, unbiased=False); x.var(dim=(0, 1), correction=2); x.var(False);
    m.var_mean(x, 1); m.std_mean(x)
""", FLOATS, x="[3,4]", tol=6)
add("x.var(1)", ("f32",), x="[3,1]", grad=False)
add("x.softmax(-1); x.log_softmax(0); m.softmax(x, 1, dtype=m.float64); m.logsumexp(x, (0, 1))", FLOATS, x=("[3,4]", "big[3,4]"), tol=4)
add("m.logsumexp(x, 0); x.softmax(0)", REAL, x="special[10]", grad=False)
add("""
    x.sum(0); x.mean(0); x.prod(0); x.sum(); x.logsumexp(0); x.softmax(0); x.any(0); x.all(0); x.norm(dim=0); x.argmax(1); x.amax(1);
    x.mean()
""", REAL, x="[0,3]", grad=False)
add("""
    x.norm(1); x.norm(float('inf'), 1); x.norm(-float('inf')); x.norm(0); x.norm(3, 0); x.norm(0.5); m.norm(x, dim=(0, 1));
    x.norm(2, 1, keepdim=True); m.linalg.vector_norm(x, 3); m.dist(x, x + 1)
""",
    REAL, x="[3,4]", tol=4)  # fmt: skip
add("x.norm(); x.norm(dim=1); x.norm(3)", REAL, x="ties[2,2]")
add("m.cdist(x, y); m.cdist(x, y, p=1); m.cdist(x, y, p=3)", REAL, x="[2,3,4]", y="[2,5,4]", tol=8)

# --- sorting, running
add("""
    x.sort(); x.sort(0, descending=True); x.argsort(1); m.msort(x); x.topk(2); x.topk(2, 0, largest=False); x.kthvalue(2);
    x.kthvalue(1, 0, keepdim=True); x.median(); x.median(0); x.median(1, keepdim=True)
""",
    FLOATS + ("i64",), x=("distinct[3,4]", "distinct[4,3].T"))  # fmt: skip
add("""
    m.quantile(x, 0.3); m.quantile(x, 0.5, dim=1); m.quantile(x, 0.7, dim=0, keepdim=True);
    m.quantile(x, m.tensor([0.1, 0.9], dtype=x.dtype), dim=1); m.quantile(x, 0.35, interpolation='nearest');
    m.quantile(x, 0.35, interpolation='lower'); m.quantile(x, 0.35, interpolation='midpoint')
""", REAL, x="[3,5]")  # fmt: skip
add("""
    x.cumsum(0); x.cumsum(-1); x.cumprod(1); x.cummax(1); x.cummin(0); x.logcumsumexp(1); x.diff(); x.diff(n=2); x.diff(dim=0);
    x.diff(n=0, prepend=x);
    m.trapezoid(x); m.trapezoid(x, dx=0.5, dim=0)
""", FLOATS,
    x="distinct[3,4]", tol=6)  # fmt: skip
add("m.diff(x, prepend=x[:1], dim=0); x.diff()", ("f32", "i64", "bool"), x="[3,4]")

# --- movement
add("""
    x.reshape(3, 2); x.reshape(-1); x.reshape((2, -1)); m.reshape(x, (6,)); x.flatten(); x.unsqueeze(1); x.unsqueeze(-1); x.T; x.t();
    x.mT; x.transpose(0, -1); x.permute(1, 0); m.permute(x, (-1, 0)); x.movedim(0, 1); x.expand(4, 2, 3); x.broadcast_to(4, 2, 3);
    x.expand(-1, 3);
    x.broadcast_to((2, 2, 3)); x.repeat(2, 1); x.repeat(2, 1, 2); x.tile(2); x.tile((2, 1, 1)); x.flip(0); x.flip((0, 1)); x.roll(1);
    x.roll((1, -1), (0, 1)); x.roll(5, 1); x.rot90(); x.rot90(3); x.rot90(2, (1, 0)); x.fliplr(); x.flipud(); x.narrow(1, 1, 2);
    x.narrow(1, -2, 1); x.select(1, -1); x.unbind(1); x.split(2, 1); x.split([1, 2], 1); x.chunk(2, 1); x.tensor_split(2, 1);
    x.tensor_split((1, 2), 1); x.hsplit([1]); x.vsplit(2); x.diagonal(); x.diagonal(1); x.diagonal(-1); x.diagonal(5); x.diag();
    m.diag(x, 1); x.tril(); x.triu(1); x.tril(-1); m.diag_embed(x); m.diag_embed(x, 1); m.diag_embed(x, -1, 0, 2); m.diagflat(x, 1);
    x.repeat_interleave(2); x.repeat_interleave(2, 1); x.repeat_interleave(m.tensor([1, 0, 2]), 1); x.unflatten(1, (1, 3));
    x.view(-1) if x.is_contiguous() else x.reshape(-1); x.swapaxes(0, 1); x.ravel(); x.unfold(1, 2, 1); x.unfold(1, 1, 1);
    x.unfold(0, 2, 2); x.squeeze(); x.trace() if 0 else x.sum(); x.contiguous(); x.clone(); m.atleast_3d(x); m.block_diag(x, x);
    m.broadcast_tensors(x, x[:1]); x.expand_as(m.zeros(4, 2, 3)); x.sum_to_size(1, 3); x.adjoint()
""", ("f32", "i64", "bool", "bf16"),
    x=("[2,3]", "[3,2].T"))  # fmt: skip
add("""
    x.squeeze(); x.squeeze(0); x.squeeze(1); x.squeeze((0, 2)); x.squeeze(0, 2); x.flatten(1); x.flatten(0, 1); x.movedim((0, 1), (2, 0));
    x.permute(2, 0, 1); x.diagonal(0, 0, 2); x.diagonal(1, 2, 1); x.transpose(0, 2).flatten(); x.mT; x.unflatten(-1, (2, -1));
    x.rot90(1, (0, 2)); x.sum_to_size(3, 1); x.swapdims(0, 2); x.dsplit(2); x.unfold(2, 3, 1); x.unfold(2, 2, 2)
""", ("f32",), x=("[1,3,4]", "[1,2,4]"))  # fmt: skip
add("""
    x.reshape(-1); x.unsqueeze(0); x.expand(3); x.repeat(2); x.flatten(); x.squeeze(); x.T; x.view(1, 1); x.roll(1, 0) if 0 else x;
    m.atleast_1d(x); m.atleast_2d(x); x.t(); x.repeat_interleave(3); x.transpose(0, 0); x.flip(0) if 0 else x
""",
    ("f32",), x="[]")  # fmt: skip
add("""
    x.reshape(0, 5); x.flatten(); x.T; x.sum(1); x.repeat(2, 1); x.flip(0); x.roll(1, 0); x.split(2); x.chunk(3); x.tril();
    x.diagonal(); m.cat([x, x]); m.stack([x, x]); x.unbind(1); x.diag_embed(); x.tile(2); x.expand(2, 0, 3)
""",
    ("f32",), x="[0,3]")  # fmt: skip
add("""
    m.cat([x, y]); m.cat((x, y), dim=-1) if x.shape[0] == y.shape[0] else m.cat([x, y]); m.stack([x, x], 1); m.stack([x, x], -1);
    m.hstack([x, x]); m.vstack([x, y]); m.dstack([x, x]); m.column_stack([x, x]); m.concat([x, y], 0)
""",
    ("f32", "i64", "bool", "f16"), x="[2,3]", y=("[2,3]", "f64[1,3]"))  # fmt: skip
add("""
    m.cat([x, m.tensor([])]); m.hstack([x[0], x[1]]); m.vstack([x[0], x[1]]); m.dstack([x[0], x[1]]); m.column_stack([x[0], x[1]]);
    m.meshgrid(x[0], x[:, 0], indexing='ij'); m.meshgrid(x[0], x[:, 0], indexing='xy'); m.cartesian_prod(x[0], x[:, 0]);
    m.constant_pad_nd(x, (1, 2), 3.0); m.constant_pad_nd(x, (1, 0, -1, 2))
""", ("f32",), x="[2,3]")  # fmt: skip

# --- indexing
INDEX = ("""
    x[0]; x[-1]; x[1, 2]; x[:, 1]; x[..., 1]; x[1:]; x[:-1, 1:3]; x[::2]; x[1::2, ::3]; x[None]; x[:, None]; x[..., None];
    x[None, ..., 1:2]; x[...]; x[()]; x[5:2]; x[-2:]; x[i]; x[i, 1]; x[:, i]; x[..., i]; x[i, i]; x[i, :, i]; x[i, i, :]; x[:, i, i];
    x[0, :, i]; x[i[:, None], i]; x[i[:, None], :, i]; x[None, i, :, None, i]; x[[0, 1]]; x[[0, 1], None, [0, 1]]; x[[[0, 1], [1, 0]]];
    x[[-1, 0], 1:]; x[c]; x[c, 0]; x[c[0], 1]; x[:, c[0]] if x.shape[1] == c.shape[1] else x; x[c[:, 0]]; x[c[:, 0], :, i[:1]];
    x[x > 0]; x[True]; x[False]; x[i.to(m.int32)]; x[m.tensor(1)]; x[m.tensor(1), 2]; x[np.array([0, 1])]; x[np.int64(1)];
    x[m.tensor(1):]; x[[True, False, True]]; x[[]]; x[i[:0]]; x[0][1]; x[1:][::2]; x.T[0] if x.dim() == 2 else x; x[range(2)];
    x[i, None]; x[(0, 1)]; x[[0, slice(0, 1)]]; x[1, None, 2]
""")  # fmt: skip
add(INDEX, ("f32", "i64", "bool"), x="[3,4,3]", i="widx3[2]", c="mask[3,4]")
SET = ("""
    x[0] = 5; x[1, 2] = 7; x[:, 1] = y; x[..., 1] = 2; x[1:] = -1; x[::2, ::3] = 4; x[None, 0] = y; x[...] = y; x[:] = 1; x[i] = 3;
    x[i, 1] = 4; x[:, i] = y[0]; x[i, i] = y[0]; x[i[:, None], i] = 1; x[c] = 2; x[c] = y[0]; x[x > 0] = 0; x[c] = x[c] * 2;
    x[c[:, 0]] = 3; x[c[:, 0], 1] = 6; x[:, c[0]] = 1 if x.shape[1] == c.shape[1] else 1; x[True] = 3; x[[0, 2]] = y; x[1:, i] = 5;
    x[0, :, i] = 3; x[x == x] = 1; x[..., 0] = x[..., 1]; x[1] += 2; x[:, 1] *= y; x[i] += 1; x[c] -= 1; x[1:2][0, 0] = 9;
    x.T.T[0] = 1 if x.dim() == 2 else 1; x[0].fill_(3); x[:, 1].zero_(); x[0].add_(y[0]); x[0, 0] = m.tensor(8, dtype=x.dtype);
    x.view(-1)[5] = 3; x.diagonal(0, 0, 2).fill_(7); x.permute(2, 0, 1)[0] = 1; x.select(1, 0).mul_(3); x.narrow(0, 1, 2)[:] = 4;
    x.masked_fill_(c[..., None], 6); x.index_fill_(0, i % 3, 2); x[[]] = 1; x.expand(2, 3, 4, 3)[0].sum()
""")  # fmt: skip
for line in SET.replace("\n", " ").split(";"):
    add(f"exec:{line.strip()}", ("f32", "i64"), x="[3,4,3]", y="[1,3]", i="idx3[2]", c="mask[3,4]")
add("""
    x.gather(1, i); m.gather(x, 0, i[:, :2]); x.take(i); x.take_along_dim(i, 1); m.take_along_dim(x, i[:1], 1); x.index_select(1, i[0]);
    m.index_select(x, 0, i[0, :1]); x.scatter(1, p, y); x.scatter(1, i, 2.0); x.scatter_add(1, i, y); x.scatter_reduce(1, i, y, 'sum');
    x.scatter_reduce(1, i, y, 'amax'); x.scatter_reduce(1, i, y, 'amin', include_self=False); x.scatter_reduce(1, i, y, 'mean');
    x.scatter_reduce(1, i, y, 'mean', include_self=False); x.scatter_reduce(1, i, y, 'prod'); x.index_add(1, i[0], y);
    x.index_add(1, i[0], y, alpha=2); x.index_copy(1, m.tensor([2, 0, 1]), y); x.index_fill(1, i[0], 3); x.masked_fill(c, 2);
    x.masked_fill(c[:1], 0); x.masked_select(c); x.masked_scatter(c, y); x.index_put((i[0], i[1]), y[0]);
    x.index_put((i[0],), y[0, 0], accumulate=True); x.put(i, y, accumulate=True); x.clone().scatter_(0, p, y);
    x.clone().index_add_(0, i[0], y); x.clone().index_put_((i[0], i[1]), y[0]); x.clone().masked_scatter_(c, y)
""",
    ("f32", "f64", "i64", "f16"), x="distinct[3,3]", y="[3,3]", i="idx3[3,3]", p="perm[3,3]", c="mask[3,3]", tol=2)  # fmt: skip
add("""
    x.scatter_add(1, i[:2, :1], y); x.scatter(1, i, y, reduce='add'); x.scatter(1, i, 2, reduce='multiply')
""", ("f32", "i64"), grad=False, x="[3,3]", y="[3,3]", i="idx3[3,3]")
add("""
    m.nonzero(x); x.nonzero(as_tuple=True); m.argwhere(x); m.where(x); m.unique(x);
    m.unique(x, return_inverse=True, return_counts=True); m.unique(x, dim=0); m.unique_consecutive(x);
    m.unique_consecutive(x, return_counts=True); m.unique(x, return_counts=True, dim=1);
    m.unique_consecutive(x, dim=0, return_inverse=True)
""" , ("i64", "bool", "f32"), x=("ties[3,4]", "[0]") , grad=False)  # fmt: skip
C[:] = [c for c in C if not (c.inputs == {"x": "[0]"} and "dim=" in c.expr)]
add("m.nonzero(x); x.nonzero(as_tuple=True)", ("f32",), x="[]", grad=False)
add("""
    m.searchsorted(s, x); m.searchsorted(s, x, right=True); m.searchsorted(s, 0.5); m.bucketize(x, s);
    m.bucketize(x, s, right=True, out_int32=True); m.searchsorted(s, x, side='right'); m.isin(x, s); m.isin(x, 1.0);
    m.isin(x, s, invert=True)
""",
    ("f32", "f64"), s="sorted[7]", x=("ties[2,5]", "ties[]"), grad=False)  # fmt: skip
add("m.searchsorted(x.sort()[0], y)", ("f32", "i64"), x="[2,5]", y="[2,3]", grad=False)
add("m.bincount(i); m.bincount(i, minlength=9); m.bincount(i, weights=x); m.bincount(i[:0])", ("f32", "f64", "i64"),
    i="idx6[10]", x="[10]", grad=False)
add("m.histc(x); m.histc(x, bins=5); m.histc(x, bins=4, min=-1, max=2)", REAL, x="[20]", grad=False)

# --- products
add("""
    x @ y; m.matmul(x, y); m.mm(x, y); m.addmm(m.ones(5, dtype=x.dtype), x, y);
    m.addmm(m.ones(2, 5, dtype=x.dtype), x, y, beta=2, alpha=3); x @ y[:, 0]; x[0] @ y; x[0] @ y[:, 1]; m.mv(x, y[:, 0]);
    m.dot(x[0], x[1]); m.inner(x, y.T); m.outer(x[0], y[0]); m.kron(x, y.contiguous()); m.tensordot(x, y, 1);
    m.tensordot(x, y, ([1], [0])); m.einsum('ij,jk->ik', x, y); m.einsum('ij,jk', x, y); m.einsum('ij->', x); m.einsum('ij->ji', x);
    m.einsum('ij,jk->', x, y); m.einsum('i,j->ij', x[0], y[0]); m.einsum('ij,ij->i', x, x); m.einsum('ij,ij->ij', x, x);
    m.addmv(m.ones(2, dtype=x.dtype), x, y[:, 0]); m.addr(m.ones(3, 5, dtype=x.dtype), x[0], y[0]); m.chain_matmul(x, y, y.T);
    m.vdot(x[0], x[1])
""",
    ("f32", "f64", "f16", "bf16", "i64"), x="[2,3]", y=("[3,5]", "[5,3].T"), tol=6)  # fmt: skip
C[:] = [c for c in C if not ("dot" in c.expr and 0)]
add("""
    x @ y; m.bmm(x, y); x @ y[0]; x[0] @ y; x[0, 0] @ y; x @ y[0, :, 0]; m.baddbmm(m.ones(5), x, y);
    m.addbmm(m.ones(3, 5), x, y, beta=0.5); m.einsum('bij,bjk->bik', x, y); m.einsum('...ij,...jk->...ik', x, y);
    m.einsum('...ij,jk', x, y[0]); m.einsum('bij,bkj->bik', x, y.transpose(1, 2)); m.einsum('bij->bj', x); m.einsum('b...->...b', x);
    m.einsum('bij,cjk,bl->ckl', x, y, x[:, 0]); x[:, None] @ y; m.tensordot(x, y, ([0, 2], [0, 1])); x[:1] @ y;
    m.einsum('bij,bjk->ik', x, y)
""",
    ("f32", "f64"), x="[2,3,4]", y="[2,4,5]", tol=6)  # fmt: skip
add("""
    m.einsum('ii->i', x); m.einsum('ii', x); m.einsum('ii,i->i', x, x[0]); x.trace(); m.matrix_power(x, 3); m.cross(x, x + 1);
    m.cross(x, x * x, dim=0); m.einsum('ij,ik,il->jkl', x, x, x); m.einsum(' i j , j k -> i k ', x, x);
    m.einsum('iij->j', m.stack([x, x], 2)); m.einsum('a,a', x[0], x[1]); m.linalg.norm(x); m.linalg.norm(x, 1);
    m.linalg.norm(x, float('inf'), keepdim=True); m.linalg.matrix_norm(x); m.linalg.vecdot(x, x); m.linalg.cross(x, x + 1);
    m.linalg.diagonal(x, offset=1)
""", REAL, x="[3,3]", tol=6)  # fmt: skip
add("x @ y; x.T @ x; m.einsum('ij,jk->ik', x, y); y @ x", ("f32",), x="[0,3]", y="[3,0]")

# --- creation
add("""
    m.zeros(2, 3); m.ones((2,)); m.full((2,), 1); m.full((2, 2), 1.5); m.full((2,), True); m.full((), 3); m.arange(5);
    m.arange(1, 9, 2); m.arange(0, 1, 0.3); m.arange(5, 0, -2); m.arange(3.); m.arange(3, dtype=m.float16); m.linspace(0, 1, 5);
    m.linspace(-2, 3, 7, dtype=m.float64); m.linspace(0, 1, 1); m.linspace(0, 1, 0); m.linspace(3, -3, 4); m.logspace(0, 2, 3);
    m.eye(3); m.eye(2, 4); m.eye(3, dtype=m.int64); m.tril_indices(3, 4); m.triu_indices(3, 3, 1); m.scalar_tensor(3);
    m.tensor([1, 2.5]); m.tensor([True, 2]); m.tensor([[1], [2]]); m.tensor([]); m.tensor([[]]); m.tensor(1e40); m.tensor(3);
    m.tensor(True); m.tensor([m.tensor(1), m.tensor(2.)]); m.tensor([1.7], dtype=m.int32); m.tensor(range(3));
    m.tensor(np.ones((2, 2))); m.tensor(np.float64(1.5)); m.tensor([np.float64(1.5)]); m.tensor([np.int32(1)]);
    m.tensor([np.ones(2), np.zeros(2)]); m.tensor([-1], dtype=m.uint8); m.as_tensor([1, 2]); m.as_tensor(np.arange(3));
    m.from_numpy(np.arange(3.0)); m.empty(2, 0); m.zeros(()); m.zeros_like(m.ones(2, dtype=m.int8));
    m.ones_like(m.zeros(2), dtype=m.bool); m.full_like(m.zeros(2), 3); m.ones(2).new_zeros(3); m.tensor(3).new_ones((2,));
    m.ones(2).new_full((2,), 1); m.ones(2).new_tensor([1, 2]); m.zeros(2, 3, dtype=m.bfloat16);
    m.result_type(m.ones(1, dtype=m.float16), 1.5).itemsize; m.result_type(m.tensor(1), 1.5).itemsize;
    m.promote_types(m.int32, m.float16).itemsize; m.can_cast(m.float32, m.int64); m.finfo(m.float32).eps; m.finfo(m.bfloat16).max;
    m.finfo(m.float16).tiny; m.iinfo(m.int8).min; m.is_tensor(m.ones(1)); m.is_floating_point(m.ones(1)); m.numel(m.ones(2, 3));
    m.broadcast_shapes((2, 1), (3,)); m.range(1, 4); m.vander(m.tensor([1., 2, 3])); m.vander(m.tensor([1, 2, 3]), 2, increasing=True);
    m.frombuffer(bytearray(8), dtype=m.int32); m.arange(10, dtype=m.float32) / 3; m.arange(1.5, 4);
    m.arange(-1, 1, 0.25, dtype=m.float64); m.arange(2.1, -2.9, -1.0, dtype=m.int64); m.block_diag(m.ones(1, 2), m.ones(2, 1))
""", grad=False)  # fmt: skip

# --- the rest
add("m.hann_window(6); m.hann_window(5, periodic=False); m.hamming_window(6); m.blackman_window(7); m.bartlett_window(6); "
    "m.hann_window(1); m.hann_window(0); m.pi; m.inf; m.FloatTensor([1, 2]); m.LongTensor(2).shape; isinstance(m.ones(1), m.FloatTensor); "
    "isinstance(m.ones(1), m.LongTensor); m.BoolTensor([True])", grad=False)
add("m.clone(x); m.detach(x); m.fill(x, 3); m.real(x); x.real; x.conj(); m.exp_(x.clone()); m.relu_(x.clone()); m.clamp_(x.clone(), 0, 1); "
    "m.zero_(x.clone()); m.slice_scatter(x, x[:1] * 2, 0, 1, 2); m.select_scatter(x, x[:, 0] * 2, 1, 2); "
    "m.diagonal_scatter(x, x[0, :2] * 2); m.is_same_size(x, x); x.layout == m.strided; m.unsafe_chunk(x, 2, 1)",
    REAL, x="[2,3]")  # fmt: skip

# --- errors: the type that torch raises is the type (or a base of it) that Ingot raises
ERRORS = """
    x + m.ones(4); x @ x; x.view(5); x.view(-1, -1); x.reshape(7); x.sum(2); x.sum((0, 0)); x.sum(-3); m.exp(1.0); m.add(x, 'a');
    x + 'a'; x + None; m.cat(x); m.cat([x, 1]); m.cat([x, m.ones(3, 3, 3)]); m.cat([x, m.ones(1, 4)]); m.stack([x, x[0]]); m.stack([]);
    x[2]; x[0, 0, 0]; x[::-1]; x['a']; x[1.5]; x[m.tensor([1.0])]; x[m.tensor([True])]; x[[0, 1], [0, 1, 2]]; x[[5]]; m.tensor(5)[0];
    x.T.view(6); x.permute(0); x.permute(0, 0); x.expand(3, 3); x.expand(2); x.expand(-1, 2, 3); x.repeat(2); x.squeeze(3);
    x.unsqueeze(4); x.transpose(0, 2); x.split(-1); x.split([1, 2]); x.chunk(0); x.narrow(0, 1, 3); x.select(0, 2); x.diagonal(0, 1, 1);
    x[0].tril(); x.t().t().unsqueeze(0).t(); x.unbind(2); m.tensor(1).unbind(); x.unflatten(1, (2, 2)); x.to(m.int64).mean();
    x.to(m.int64).var(); x.to(m.int64).add_(1.5); x.to(m.bool).add_(1); x.add_(m.ones(3, 2, 3)); -(x > 0); (x > 0) - (x > 0);
    1 - (x > 0); x & x; x << 1; x.to(m.int64) ** -1; x.to(m.int64) // 0; x.to(m.int64).softmax(0); (x > 0).argmax(); m.tensor([]).max();
    m.tensor([]).argmax(); m.zeros(0, 3).max(0); m.zeros(0, 3).amax(0); m.clamp(x); m.where(x, x, x);
    m.lerp(x.to(m.int64), x.to(m.int64), 0.5); m.add(x.to(m.int64), 1, alpha=1.5); m.div(x, 2, rounding_mode='x'); x.topk(9);
    x.kthvalue(9); x.gather(0, m.zeros(3, 5, dtype=m.int64)); x.gather(0, x); x.gather(0, m.zeros(2, dtype=m.int64));
    x.index_select(0, m.zeros(2, 2, dtype=m.int64)); x.index_select(0, x[0]); x.scatter(0, m.zeros(5, 5, dtype=m.int64), x);
    x.scatter(0, m.zeros(1, 1, dtype=m.int64), x.double()); x.masked_fill(x, 1); x.masked_fill(x > 0, m.ones(2)); x.masked_select(x);
    m.mm(x, x); m.mm(x, x[0]); m.bmm(x, x); m.mv(x, x[0, :2]); m.dot(x, x); m.dot(x[0], x[0, :2]); x @ x.T.double();
    m.einsum('ij,jk->ik', x, x); m.einsum('ijk->i', x); m.einsum('ij->k', x); m.einsum('ij,jk', x); m.einsum('i1->i', x);
    m.einsum('ij->ii', x); m.tensordot(x, x, 1); m.outer(x, x); m.trace(x[0]); m.cross(x[:, :2], x[:, :2], dim=1); m.zeros(-1);
    m.zeros(2.5); m.arange(5, 0); m.arange(0, 5, 0); m.linspace(0, 1, -1); m.eye(-1); m.tensor([[1], [2, 3]]); m.tensor('a');
    m.tensor(None); m.tensor(2**63); m.tensor([300], dtype=m.uint8); m.tensor([m.ones(2)]); m.tensor([1], requires_grad=True);
    m.from_numpy([1]); m.from_numpy(np.ones(2)[::-1]); m.from_numpy(np.array(['a'])); m.finfo(m.int64); m.iinfo(m.float32);
    m.meshgrid(x, x); m.bincount(m.tensor([-1])); m.bincount(x); m.histc(x, bins=0); m.searchsorted(m.ones(3, 2), x);
    m.quantile(x, 2.0); m.quantile(x.to(m.int64), 0.5); x.cumsum(2); x.flip(3); m.roll(x, (1, 2), 0); x.norm('nuc2');
    m.cdist(x, m.ones(2, 2)); bool(x); x.item(); len(m.tensor(1)); exec:x[0] = m.ones(4); exec:x[m.tensor([0, 1])] = m.ones(5);
    exec:x[[0, 1]] = m.ones(2, 3).double(); exec:x[5] = 1; exec:x['a'] = 1; exec:x.requires_grad_().add_(1);
    exec:x.requires_grad_()[0] = 1; exec:x[:, None].expand(2, 4, 3).add_(1); x.copy_(m.ones(4)); x.fill_(m.ones(2)); x.exp(3);
    x.diff(n=-1); m.isclose(x, x.double()); m.is_nonzero(x); x.unfold(0, 5, 1); x.index_add(0, m.tensor([0]), x);
    x.index_copy(0, m.tensor([0]), x.double()); x.scatter_reduce(0, m.zeros(2, 3, dtype=m.int64), x, 'bad'); x.repeat_interleave(-1);
    x.take_along_dim(m.zeros(2, dtype=m.int64), 0); m.block_diag(m.ones(1, 1, 1)); x.matmul(1); m.logsumexp(x, 3); m.clamp(x, 'a');
    m.broadcast_shapes((2,), (3,)); x.masked_scatter(x > 9, x.double())
"""
ERROR_CASES = [e.strip() for e in ERRORS.replace("\n", " ").split(";") if e.strip()]
