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

    Kinds: (none) normal numbers; pos > 0; unit in (-1, 1); big with large values; special with NaN and infinities; distinct;
    mask; idxN in [0, N); widxN in [-N, N); or a dtype name.
    """
    kind, dims, flip = _SPEC.fullmatch(spec).groups()
    shape = tuple(int(d) for d in dims.split(",") if d)
    rng = np.random.default_rng(zlib.crc32(f"{seed}{spec}".encode()))
    if kind in ALL:
        dtype, kind = kind, None
    if kind == "mask":
        return rng.random(shape) < 0.5, "bool", bool(flip)
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
    elif kind == "special":
        flat = x.reshape(-1)
        for i, v in enumerate((np.nan, np.inf, -np.inf, 0.0, -0.0)):
            if i < flat.size:
                flat[i * max(1, flat.size // 5) % flat.size] = v
    elif kind == "ties":
        x = np.round(x)
    return x, dtype, bool(flip)


SHAPES = ("[]", "[0]", "[5]", "[2,3]", "[3,2].T", "[2,0,3]")
C: list[Case] = []


def add(exprs: str, dtypes: tuple[str, ...] = ("f32",), grad: bool = True, tol: float = 1.0, **inputs: Any) -> None:
    """One case per line of `exprs` and per choice of inputs (a tuple lists several)."""
    names = list(inputs)
    choices: list[dict[str, str]] = [{}]
    for n in names:
        options = inputs[n] if isinstance(inputs[n], tuple) else (inputs[n],)
        choices = [{**c, n: o} for c in choices for o in options]
    for line in exprs.strip().splitlines():
        expr = line.strip()
        for c in choices:
            used = {k: v for k, v in c.items() if re.search(rf"\b{k}\b", expr)}
            made = case(expr, dtypes, grad, tol, **used)
            if made not in C or all(str(made) != str(o) for o in C):
                C.append(made)


def each(names: str, template: str) -> str:
    return "\n".join(template.replace("F", n, 1) for n in names.split())


# --- elementwise, one operand
add(each("exp expm1 sin cos atan sinh cosh tanh asinh sigmoid erf erfc abs floor ceil trunc round neg square exp2 relu sign frac", "m.F(x)"), FLOATS, x=SHAPES)
add(each("log log2 log10 log1p sqrt rsqrt reciprocal lgamma", "m.F(x)"), FLOATS, x=tuple("pos" + s for s in SHAPES), tol=4)
add("m.logit(x)", FLOATS, x=tuple("prob" + s for s in SHAPES), tol=4)
add(each("tan asin acos atanh erfinv", "m.F(x)"), FLOATS, x=tuple("unit" + s for s in SHAPES), tol=4)
add("m.acosh(x + 1)\nm.digamma(x)", REAL, x="pos[5]", grad=False, tol=4)
add(each("exp log sqrt sin tanh sigmoid erf reciprocal rsqrt abs neg sign square exp2 floor ceil trunc round relu deg2rad rad2deg sinc logical_not signbit "
         "isnan isinf isfinite isposinf isneginf positive", "m.F(x)"), ALL, x="[2,3]", grad=False, tol=4)  # fmt: skip
add(each("exp log sqrt abs neg sign floor isnan isinf isfinite relu nan_to_num signbit isposinf square sigmoid tanh log1p erf isneginf", "m.F(x)"), FLOATS,
    x="special[10]", grad=False, tol=4)  # fmt: skip
add("m.bitwise_not(x)\n~x", INTS + ("bool",), x="[4]", grad=False)
add("m.nan_to_num(x, nan=1.5, posinf=3, neginf=-2)\nm.logit(x, eps=0.1)", REAL, x="special[10]")
add("m.round(x, decimals=2)\nm.round(x, decimals=-1)", REAL, x="big[6]", grad=False)
add("x.exp_()\nx.tanh_()\nx.neg_()\nx.clamp_(min=0)\nx.mul_(2).add_(1)\nx.sqrt_()\nx.zero_()\nx.fill_(3)\nx.sigmoid_()", REAL, x="[2,3]", grad=False)

# --- two operands
PAIRS = dict(x=("[2,3]", "[3]", "[]"), y=("[2,3]", "[2,1]", "[]"))
add(each("add sub mul maximum minimum fmax fmin eq ne lt le gt ge", "m.F(x, y)"), FLOATS, **PAIRS)
add(each("div atan2 copysign hypot logaddexp logaddexp2 xlogy remainder fmod", "m.F(x, y)"), REAL, x=("pos[2,3]", "pos[]"), y=("pos[3]", "pos[2,1]"), tol=4)
add(each("add sub mul div maximum minimum eq ne lt le gt ge logical_and logical_or logical_xor atan2 copysign pow", "m.F(x, y)"), NUMBERS, grad=False, x="pos[2,3]",
    y=("pos[3]", "i64[3]", "f32[3]", "bool[3]", "f16[]", "u8[]"), tol=4)  # fmt: skip
add(each("add mul maximum minimum eq lt logical_xor bitwise_and bitwise_or bitwise_xor div", "m.F(x, y)"), ("bool",), grad=False, x="[6]", y="bool[6]")
add(each("bitwise_and bitwise_or bitwise_xor", "m.F(x, y)"), INTS, grad=False, x="[6]", y="[6]")
add("m.bitwise_left_shift(x, 2)\nx >> 1\nx << 1\nx & 3\n3 | x\nx ^ True", INTS, grad=False, x="[6]")
add("x + 1\n1 + x\nx - 2\n2 - x\nx * 3\n3 * x\nx / 2\n2 / x\nx % 3\nx ** 2\nx == 1\nx != 1\nx < 2\nx >= 2\n2 > x\n-x\nabs(x)\nx + True",
    NUMBERS, x="pos[2,3]", tol=2)  # fmt: skip
add("x + 1.5\n1.5 - x\nx * 0.5\nx / 0.5\nx % 1.5\nx ** 2.5\n2.5 ** x\nx < 1.5\nx == 0.5\nm.add(x, x, alpha=2)\nm.sub(x, 1, alpha=3)", NUMBERS,
    x=("pos[2,3]", "pos[]"), tol=4)  # fmt: skip
add("x // 2\n7 // x\n7 % x\nx // 0.5\nm.floor_divide(x, x[:1])\nx % -2\nx + 1000\nx * 300\nx < 2**40 if x.dtype == m.int64 else x < 5", NUMBERS, x="pos[2,3]", grad=False)
add("x + 1\nx * 2\nx * 1.5\nx + True\nx / 2\nx ** 2\nx == 1", ("bool",), x="[4]", grad=False)
add("x ** 0\nx ** 1\nx ** 3\nx ** -1\nx ** -2\nm.pow(x, 2)\nm.pow(2, x)\nm.float_power(x, 2)\nm.rsub(x, 2)", REAL, x="pos[4]", tol=4)
add("x // y\nx % y\nm.fmod(x, y)\nm.div(x, y, rounding_mode='trunc')\nm.div(x, y, rounding_mode='floor')", ("i64", "i32", "i8"), x="[12]", y="pos[12]", grad=False)
add("x // y\nx % y\nm.fmod(x, y)\nm.div(x, y, rounding_mode='trunc')\nm.div(x, y, rounding_mode='floor')", FLOATS, x="big[12]", y="[12]", grad=False, tol=4)
add("m.maximum(x, y)\nm.fmax(x, y)\nm.minimum(x, y)\nm.fmin(x, y)\nx == y\nx < y\nm.logaddexp(x, y)\nm.hypot(x, y)\nm.copysign(x, y)\nm.heaviside(x, y)", REAL,
    x="special[10]", y="[10]", grad=False)  # fmt: skip
add("m.ldexp(x, y)", REAL, x="[3]", y="i32[3]", grad=False)
add("x.add_(y)\nx.mul_(y)\nx.sub_(1)\nx.copy_(y)\nx.eq_(y)\nx.pow_(2)\nx.clamp_(0, 1)", REAL, x="[2,3]", y="[3]", grad=False)
add("x.add_(2)\nx.mul_(y)\nx.sub_(1)\nx.bitwise_and_(3)\nx.floor_divide_(2)\nx.remainder_(3)", ("i64", "u8"), x="pos[2,3]", y="[3]", grad=False)

# --- three operands
add("m.where(c, x, y)\nm.where(c, x, 0.0)\nm.where(c, 1, x)\nx.where(c, y)", ("f32", "f16", "i64", "bool"), c="mask[2,3]", x="[2,3]", y=("[3]", "f64[]"))
add("m.clamp(x, 0)\nm.clamp(x, max=1)\nm.clamp(x, -1, 1)\nm.clamp(x, 2, 1)\nx.clip(0.5, 1)\nm.clamp_min(x, 0)\nm.clamp_max(x, 1)", NUMBERS, x="[2,3]")
add("m.clamp(x, y)\nm.clamp(x, y, z)\nm.clamp(x, max=z)", REAL, x="[2,3]", y="unit[3]", z="pos[2,1]")
add("m.clamp(x, 0, 1)\nm.clamp(x, y)", REAL, x="special[10]", y="special[10]", grad=False)
add("m.lerp(x, y, 0.3)\nm.lerp(x, y, 0.8)\nm.lerp(x, y, z)", FLOATS, x="[2,3]", y="[3]", z="[2,1]", tol=2)
add("m.addcmul(x, y, z)\nm.addcmul(x, y, z, value=0.5)\nm.addcdiv(x, y, z)\nm.addcdiv(x, y, z, value=-2)", FLOATS, x="[2,3]", y="[3]", z="pos[2,1]", tol=2)
add("m.addcmul(x, y, y, value=2)", ("i64",), x="[3]", y="[3]", grad=False)
add("m.isclose(x, y)\nm.isclose(x, x)\nm.isclose(x, x, equal_nan=True)\nm.isclose(x, y, rtol=0.5)", ("f32", "f64", "i64"), x=("special[10]", "[10]"), y="[10]", grad=False)
add("m.allclose(x, x)\nm.equal(x, x)\nm.equal(x, x[:1])\nm.allclose(x, x + 1)", REAL, x="[3]", grad=False)

# --- reductions
RED = ("[]", "[5]", "[2,3]", "[3,2].T", "[2,3,4]")
add("x.sum()\nx.sum(-1)\nx.sum(0, keepdim=True)\nx.mean()\nx.mean(-1)\nm.sum(x, dim=(0, -1)) if x.dim() > 1 else x.sum()\nx.logsumexp(-1)\nx.norm()", FLOATS, x=RED, tol=4)
add("x.sum()\nx.sum(0)\nx.prod()\nx.prod(-1)\nx.sum(dtype=m.float32)\nx.cumsum(-1)\nx.cumprod(-1)\nx.any()\nx.all()\nx.any(-1)\nx.all(0, keepdim=True)\n"
    "m.count_nonzero(x)\nm.count_nonzero(x, 0)", ALL, x=("[2,3]", "[]", "[0]"), grad=False)  # fmt: skip
add("x.prod()\nx.prod(1)\nx.prod(0, keepdim=True)", REAL, x=("[2,3]", "ties[3,4]"), tol=4)
add("x.max()\nx.min()\nx.max(0)\nx.min(-1)\nx.max(1, keepdim=True)\nx.amax()\nx.amin(1)\nx.amax((0, 1), keepdim=True)\nx.argmax()\nx.argmin(0)\nx.argmax(1, keepdim=True)\nm.aminmax(x)",
    FLOATS + ("i64", "u8"), x=("distinct[3,4]", "distinct[4,3].T"))  # fmt: skip
add("x.amax()\nx.amin(0)\nx.max()\nx.argmax(1)\nx.argmin()", REAL, x="ties[4,5]")
add("x.max()\nx.min(1)\nx.argmax(1)\nx.amax(0)\nx.sort(1)\nx.sort(1, descending=True)\nx.median()\nx.median(1)\nx.nanmedian()\nx.nanmedian(0)\nx.nansum()\nx.nanmean()\nx.nanmean(0)\n"
    "x.topk(2, 1)[0]\nx.cummax(1)\nx.cummin(0)\nx.nansum(1)\nx.kthvalue(2, 1)[0]", REAL, x="special[3,4]", grad=False)  # fmt: skip
add("x.max(0)\nx.argmax()\nx.max()\nx.sum(0)\nx.sort()\nx.cumsum(0)\nx.softmax(0)\nx.median()\nx.var() if 0 else x.sum()\nx.norm()\nx.cummax(0)", REAL, x="[]")
add("x.max()\nx.min()\nx.amax(0)\nx.max(0)\nx.sort(0)\nx.cummax(0)", ("bool",), x="[3,2]", grad=False)
add("x.var()\nx.std()\nx.var(1)\nx.std(0, keepdim=True)\nx.var(1, unbiased=False)\nx.var(dim=(0, 1), correction=2)\nx.var(False)\nm.var_mean(x, 1)\nm.std_mean(x)", FLOATS, x="[3,4]", tol=6)
add("x.var(1)", ("f32",), x="[3,1]", grad=False)
add("x.softmax(-1)\nx.log_softmax(0)\nm.softmax(x, 1, dtype=m.float64)\nm.logsumexp(x, (0, 1))", FLOATS, x=("[3,4]", "big[3,4]"), tol=4)
add("m.logsumexp(x, 0)\nx.softmax(0)", REAL, x="special[10]", grad=False)
add("x.sum(0)\nx.mean(0)\nx.prod(0)\nx.sum()\nx.logsumexp(0)\nx.softmax(0)\nx.any(0)\nx.all(0)\nx.norm(dim=0)\nx.argmax(1)\nx.amax(1)\nx.mean()", REAL, x="[0,3]", grad=False)
add("x.norm(1)\nx.norm(float('inf'), 1)\nx.norm(-float('inf'))\nx.norm(0)\nx.norm(3, 0)\nx.norm(0.5)\nm.norm(x, dim=(0, 1))\nx.norm(2, 1, keepdim=True)\nm.linalg.vector_norm(x, 3)\nm.dist(x, x + 1)",
    REAL, x="[3,4]", tol=4)  # fmt: skip
add("x.norm()\nx.norm(dim=1)\nx.norm(3)", REAL, x="ties[2,2]")
add("m.cdist(x, y)\nm.cdist(x, y, p=1)\nm.cdist(x, y, p=3)", REAL, x="[2,3,4]", y="[2,5,4]", tol=8)

# --- sorting, running
add("x.sort()\nx.sort(0, descending=True)\nx.argsort(1)\nm.msort(x)\nx.topk(2)\nx.topk(2, 0, largest=False)\nx.kthvalue(2)\nx.kthvalue(1, 0, keepdim=True)\nx.median()\nx.median(0)\nx.median(1, keepdim=True)",
    FLOATS + ("i64",), x=("distinct[3,4]", "distinct[4,3].T"))  # fmt: skip
add("m.quantile(x, 0.3)\nm.quantile(x, 0.5, dim=1)\nm.quantile(x, 0.7, dim=0, keepdim=True)\nm.quantile(x, m.tensor([0.1, 0.9], dtype=x.dtype), dim=1)\nm.quantile(x, 0.35, interpolation='nearest')\n"
    "m.quantile(x, 0.35, interpolation='lower')\nm.quantile(x, 0.35, interpolation='midpoint')", REAL, x="[3,5]")  # fmt: skip
add("x.cumsum(0)\nx.cumsum(-1)\nx.cumprod(1)\nx.cummax(1)\nx.cummin(0)\nx.logcumsumexp(1)\nx.diff()\nx.diff(n=2)\nx.diff(dim=0)\nm.trapezoid(x)\nm.trapezoid(x, dx=0.5, dim=0)", FLOATS,
    x="distinct[3,4]", tol=6)  # fmt: skip
add("m.diff(x, prepend=x[:1], dim=0)\nx.diff()", ("f32", "i64", "bool"), x="[3,4]")

# --- movement
add("x.reshape(3, 2)\nx.reshape(-1)\nx.reshape((2, -1))\nm.reshape(x, (6,))\nx.flatten()\nx.unsqueeze(1)\nx.unsqueeze(-1)\nx.T\nx.t()\nx.mT\nx.transpose(0, -1)\nx.permute(1, 0)\nm.permute(x, (-1, 0))\n"
    "x.movedim(0, 1)\nx.expand(4, 2, 3)\nx.expand(-1, 3)\nx.broadcast_to((2, 2, 3))\nx.repeat(2, 1)\nx.repeat(2, 1, 2)\nx.tile(2)\nx.tile((2, 1, 1))\nx.flip(0)\nx.flip((0, 1))\nx.roll(1)\nx.roll((1, -1), (0, 1))\n"
    "x.roll(5, 1)\nx.rot90()\nx.rot90(3)\nx.rot90(2, (1, 0))\nx.fliplr()\nx.flipud()\nx.narrow(1, 1, 2)\nx.narrow(1, -2, 1)\nx.select(1, -1)\nx.unbind(1)\nx.split(2, 1)\nx.split([1, 2], 1)\nx.chunk(2, 1)\n"
    "x.tensor_split(2, 1)\nx.tensor_split((1, 2), 1)\nx.hsplit([1])\nx.vsplit(2)\nx.diagonal()\nx.diagonal(1)\nx.diagonal(-1)\nx.diagonal(5)\nx.diag()\nm.diag(x, 1)\nx.tril()\nx.triu(1)\nx.tril(-1)\n"
    "m.diag_embed(x)\nm.diag_embed(x, 1)\nm.diag_embed(x, -1, 0, 2)\nm.diagflat(x, 1)\nx.repeat_interleave(2)\nx.repeat_interleave(2, 1)\nx.repeat_interleave(m.tensor([1, 0, 2]), 1)\nx.unflatten(1, (1, 3))\n"
    "x.view(-1) if x.is_contiguous() else x.reshape(-1)\nx.swapaxes(0, 1)\nx.ravel()\nx.unfold(1, 2, 1)\nx.unfold(1, 1, 1)\nx.unfold(0, 2, 2)\nx.squeeze()\nx.trace() if 0 else x.sum()\nx.contiguous()\nx.clone()\n"
    "m.atleast_3d(x)\nm.block_diag(x, x)\nm.broadcast_tensors(x, x[:1])\nx.expand_as(m.zeros(4, 2, 3))\nx.sum_to_size(1, 3)\nx.adjoint()", ("f32", "i64", "bool", "bf16"),
    x=("[2,3]", "[3,2].T"))  # fmt: skip
add("x.squeeze()\nx.squeeze(0)\nx.squeeze(1)\nx.squeeze((0, 2))\nx.flatten(1)\nx.flatten(0, 1)\nx.movedim((0, 1), (2, 0))\nx.permute(2, 0, 1)\nx.diagonal(0, 0, 2)\nx.diagonal(1, 2, 1)\nx.transpose(0, 2).flatten()\n"
    "x.mT\nx.unflatten(-1, (2, -1))\nx.rot90(1, (0, 2))\nx.sum_to_size(3, 1)\nx.swapdims(0, 2)\nx.dsplit(2)\nx.unfold(2, 3, 1)\nx.unfold(2, 2, 2)", ("f32",), x=("[1,3,4]", "[1,2,4]"))  # fmt: skip
add("x.reshape(-1)\nx.unsqueeze(0)\nx.expand(3)\nx.repeat(2)\nx.flatten()\nx.squeeze()\nx.T\nx.view(1, 1)\nx.roll(1, 0) if 0 else x\nm.atleast_1d(x)\nm.atleast_2d(x)\nx.t()\nx.repeat_interleave(3)\nx.transpose(0, 0)\nx.flip(0) if 0 else x",
    ("f32",), x="[]")  # fmt: skip
add("x.reshape(0, 5)\nx.flatten()\nx.T\nx.sum(1)\nx.repeat(2, 1)\nx.flip(0)\nx.roll(1, 0)\nx.split(2)\nx.chunk(3)\nx.tril()\nx.diagonal()\nm.cat([x, x])\nm.stack([x, x])\nx.unbind(1)\nx.diag_embed()\nx.tile(2)\nx.expand(2, 0, 3)",
    ("f32",), x="[0,3]")  # fmt: skip
add("m.cat([x, y])\nm.cat((x, y), dim=-1) if x.shape[0] == y.shape[0] else m.cat([x, y])\nm.stack([x, x], 1)\nm.stack([x, x], -1)\nm.hstack([x, x])\nm.vstack([x, y])\nm.dstack([x, x])\nm.column_stack([x, x])\nm.concat([x, y], 0)",
    ("f32", "i64", "bool", "f16"), x="[2,3]", y=("[2,3]", "f64[1,3]"))  # fmt: skip
add("m.cat([x, m.tensor([])])\nm.hstack([x[0], x[1]])\nm.vstack([x[0], x[1]])\nm.dstack([x[0], x[1]])\nm.column_stack([x[0], x[1]])\nm.meshgrid(x[0], x[:, 0], indexing='ij')\nm.meshgrid(x[0], x[:, 0], indexing='xy')\n"
    "m.cartesian_prod(x[0], x[:, 0])\nm.constant_pad_nd(x, (1, 2), 3.0)\nm.constant_pad_nd(x, (1, 0, -1, 2))", ("f32",), x="[2,3]")  # fmt: skip

# --- indexing
INDEX = ("x[0]\nx[-1]\nx[1, 2]\nx[:, 1]\nx[..., 1]\nx[1:]\nx[:-1, 1:3]\nx[::2]\nx[1::2, ::3]\nx[None]\nx[:, None]\nx[..., None]\nx[None, ..., 1:2]\nx[...]\nx[()]\nx[5:2]\nx[-2:]\nx[i]\nx[i, 1]\nx[:, i]\nx[..., i]\nx[i, i]\n"
         "x[i, :, i]\nx[i, i, :]\nx[:, i, i]\nx[0, :, i]\nx[i[:, None], i]\nx[i[:, None], :, i]\nx[None, i, :, None, i]\nx[[0, 1]]\nx[[0, 1], None, [0, 1]]\nx[[[0, 1], [1, 0]]]\nx[[-1, 0], 1:]\nx[c]\nx[c, 0]\nx[c[0], 1]\n"
         "x[:, c[0]] if x.shape[1] == c.shape[1] else x\nx[c[:, 0]]\nx[c[:, 0], :, i[:1]]\nx[x > 0]\nx[True]\nx[False]\nx[i.to(m.int32)]\nx[m.tensor(1)]\nx[m.tensor(1), 2]\nx[np.array([0, 1])]\nx[np.int64(1)]\nx[m.tensor(1):]\nx[[True, False, True]]\n"
         "x[[]]\nx[i[:0]]\nx[0][1]\nx[1:][::2]\nx.T[0] if x.dim() == 2 else x\nx[range(2)]\nx[i, None]\nx[(0, 1)]\nx[[0, slice(0, 1)]]\nx[1, None, 2]")  # fmt: skip
add(INDEX, ("f32", "i64", "bool"), x="[3,4,3]", i="widx3[2]", c="mask[3,4]")
SET = ("x[0] = 5\nx[1, 2] = 7\nx[:, 1] = y\nx[..., 1] = 2\nx[1:] = -1\nx[::2, ::3] = 4\nx[None, 0] = y\nx[...] = y\nx[:] = 1\nx[i] = 3\nx[i, 1] = 4\nx[:, i] = y[0]\nx[i, i] = y[0]\nx[i[:, None], i] = 1\nx[c] = 2\n"
       "x[c] = y[0]\nx[x > 0] = 0\nx[c] = x[c] * 2\nx[c[:, 0]] = 3\nx[c[:, 0], 1] = 6\nx[:, c[0]] = 1 if x.shape[1] == c.shape[1] else 1\nx[True] = 3\nx[[0, 2]] = y\nx[1:, i] = 5\nx[0, :, i] = 3\nx[x == x] = 1\nx[..., 0] = x[..., 1]\n"
       "x[1] += 2\nx[:, 1] *= y\nx[i] += 1\nx[c] -= 1\nx[1:2][0, 0] = 9\nx.T.T[0] = 1 if x.dim() == 2 else 1\nx[0].fill_(3)\nx[:, 1].zero_()\nx[0].add_(y[0])\nx[0, 0] = m.tensor(8, dtype=x.dtype)\n"
       "x.view(-1)[5] = 3\nx.diagonal(0, 0, 2).fill_(7)\nx.permute(2, 0, 1)[0] = 1\nx.select(1, 0).mul_(3)\nx.narrow(0, 1, 2)[:] = 4\nx.masked_fill_(c[..., None], 6)\nx.index_fill_(0, i % 3, 2)\nx[[]] = 1\nx.expand(2, 3, 4, 3)[0].sum()")  # fmt: skip
for line in SET.splitlines():
    add(f"exec:{line}", ("f32", "i64"), x="[3,4,3]", y="[1,3]", i="idx3[2]", c="mask[3,4]")
add("x.gather(1, i)\nm.gather(x, 0, i[:, :2])\nx.take(i)\nx.take_along_dim(i, 1)\nm.take_along_dim(x, i[:1], 1)\nx.index_select(1, i[0])\nm.index_select(x, 0, i[0, :1])\nx.scatter(1, p, y)\nx.scatter(1, i, 2.0)\n"
    "x.scatter_add(1, i, y)\nx.scatter_reduce(1, i, y, 'sum')\nx.scatter_reduce(1, i, y, 'amax')\nx.scatter_reduce(1, i, y, 'amin', include_self=False)\nx.scatter_reduce(1, i, y, 'mean')\n"
    "x.scatter_reduce(1, i, y, 'mean', include_self=False)\nx.scatter_reduce(1, i, y, 'prod')\nx.index_add(1, i[0], y)\nx.index_add(1, i[0], y, alpha=2)\nx.index_copy(1, m.tensor([2, 0, 1]), y)\nx.index_fill(1, i[0], 3)\n"
    "x.masked_fill(c, 2)\nx.masked_fill(c[:1], 0)\nx.masked_select(c)\nx.masked_scatter(c, y)\nx.index_put((i[0], i[1]), y[0])\nx.index_put((i[0],), y[0, 0], accumulate=True)\nx.put(i, y, accumulate=True)\n"
    "x.clone().scatter_(0, p, y)\nx.clone().index_add_(0, i[0], y)\nx.clone().index_put_((i[0], i[1]), y[0])\nx.clone().masked_scatter_(c, y)",
    ("f32", "f64", "i64", "f16"), x="distinct[3,3]", y="[3,3]", i="idx3[3,3]", p="perm[3,3]", c="mask[3,3]", tol=2)  # fmt: skip
add("x.scatter_add(1, i[:2, :1], y)\nx.scatter(1, i, y, reduce='add')\nx.scatter(1, i, 2, reduce='multiply')", ("f32", "i64"), grad=False, x="[3,3]", y="[3,3]", i="idx3[3,3]")
add("m.nonzero(x)\nx.nonzero(as_tuple=True)\nm.argwhere(x)\nm.where(x)\nm.unique(x)\nm.unique(x, return_inverse=True, return_counts=True)\nm.unique(x, dim=0)\nm.unique_consecutive(x)\nm.unique_consecutive(x, return_counts=True)\n"
    "m.unique(x, return_counts=True, dim=1)\nm.unique_consecutive(x, dim=0, return_inverse=True)" , ("i64", "bool", "f32"), x=("ties[3,4]", "[0]") , grad=False)  # fmt: skip
C[:] = [c for c in C if not (c.inputs == {"x": "[0]"} and "dim=" in c.expr)]
add("m.nonzero(x)\nx.nonzero(as_tuple=True)", ("f32",), x="[]", grad=False)
add("m.searchsorted(s, x)\nm.searchsorted(s, x, right=True)\nm.searchsorted(s, 0.5)\nm.bucketize(x, s)\nm.bucketize(x, s, right=True, out_int32=True)\nm.searchsorted(s, x, side='right')\nm.isin(x, s)\nm.isin(x, 1.0)\nm.isin(x, s, invert=True)",
    ("f32", "f64"), s="sorted[7]", x=("ties[2,5]", "ties[]"), grad=False)  # fmt: skip
add("m.searchsorted(x.sort()[0], y)", ("f32", "i64"), x="[2,5]", y="[2,3]", grad=False)
add("m.bincount(i)\nm.bincount(i, minlength=9)\nm.bincount(i, weights=x)\nm.bincount(i[:0])", ("f32", "f64", "i64"), i="idx6[10]", x="[10]", grad=False)
add("m.histc(x)\nm.histc(x, bins=5)\nm.histc(x, bins=4, min=-1, max=2)", REAL, x="[20]", grad=False)

# --- products
add("x @ y\nm.matmul(x, y)\nm.mm(x, y)\nm.addmm(m.ones(5, dtype=x.dtype), x, y)\nm.addmm(m.ones(2, 5, dtype=x.dtype), x, y, beta=2, alpha=3)\nx @ y[:, 0]\nx[0] @ y\nx[0] @ y[:, 1]\nm.mv(x, y[:, 0])\nm.dot(x[0], x[1])\nm.inner(x, y.T)\n"
    "m.outer(x[0], y[0])\nm.kron(x, y.contiguous())\nm.tensordot(x, y, 1)\nm.tensordot(x, y, ([1], [0]))\nm.einsum('ij,jk->ik', x, y)\nm.einsum('ij,jk', x, y)\nm.einsum('ij->', x)\nm.einsum('ij->ji', x)\nm.einsum('ij,jk->', x, y)\n"
    "m.einsum('i,j->ij', x[0], y[0])\nm.einsum('ij,ij->i', x, x)\nm.einsum('ij,ij->ij', x, x)\nm.addmv(m.ones(2, dtype=x.dtype), x, y[:, 0])\nm.addr(m.ones(3, 5, dtype=x.dtype), x[0], y[0])\nm.chain_matmul(x, y, y.T)\nm.vdot(x[0], x[1])",
    ("f32", "f64", "f16", "bf16", "i64"), x="[2,3]", y=("[3,5]", "[5,3].T"), tol=6)  # fmt: skip
C[:] = [c for c in C if not ("dot" in c.expr and 0)]
add("x @ y\nm.bmm(x, y)\nx @ y[0]\nx[0] @ y\nx[0, 0] @ y\nx @ y[0, :, 0]\nm.baddbmm(m.ones(5), x, y)\nm.addbmm(m.ones(3, 5), x, y, beta=0.5)\nm.einsum('bij,bjk->bik', x, y)\nm.einsum('...ij,...jk->...ik', x, y)\nm.einsum('...ij,jk', x, y[0])\n"
    "m.einsum('bij,bkj->bik', x, y.transpose(1, 2))\nm.einsum('bij->bj', x)\nm.einsum('b...->...b', x)\nm.einsum('bij,cjk,bl->ckl', x, y, x[:, 0])\nx[:, None] @ y\nm.tensordot(x, y, ([0, 2], [0, 1]))\nx[:1] @ y\nm.einsum('bij,bjk->ik', x, y)",
    ("f32", "f64"), x="[2,3,4]", y="[2,4,5]", tol=6)  # fmt: skip
add("m.einsum('ii->i', x)\nm.einsum('ii', x)\nm.einsum('ii,i->i', x, x[0])\nx.trace()\nm.matrix_power(x, 3)\nm.cross(x, x + 1)\nm.cross(x, x * x, dim=0)\nm.einsum('ij,ik,il->jkl', x, x, x)\nm.einsum(' i j , j k -> i k ', x, x)\n"
    "m.einsum('iij->j', m.stack([x, x], 2))\nm.einsum('a,a', x[0], x[1])\nm.linalg.norm(x)\nm.linalg.norm(x, 1)\nm.linalg.norm(x, float('inf'), keepdim=True)\nm.linalg.matrix_norm(x)\nm.linalg.vecdot(x, x)\nm.linalg.cross(x, x + 1)\nm.linalg.diagonal(x, offset=1)", REAL, x="[3,3]", tol=6)  # fmt: skip
add("x @ y\nx.T @ x\nm.einsum('ij,jk->ik', x, y)\ny @ x", ("f32",), x="[0,3]", y="[3,0]")

# --- creation
add("m.zeros(2, 3)\nm.ones((2,))\nm.full((2,), 1)\nm.full((2, 2), 1.5)\nm.full((2,), True)\nm.full((), 3)\nm.arange(5)\nm.arange(1, 9, 2)\nm.arange(0, 1, 0.3)\nm.arange(5, 0, -2)\nm.arange(3.)\nm.arange(3, dtype=m.float16)\nm.linspace(0, 1, 5)\n"
    "m.linspace(-2, 3, 7, dtype=m.float64)\nm.linspace(0, 1, 1)\nm.linspace(0, 1, 0)\nm.linspace(3, -3, 4)\nm.logspace(0, 2, 3)\nm.eye(3)\nm.eye(2, 4)\nm.eye(3, dtype=m.int64)\nm.tril_indices(3, 4)\nm.triu_indices(3, 3, 1)\nm.scalar_tensor(3)\n"
    "m.tensor([1, 2.5])\nm.tensor([True, 2])\nm.tensor([[1], [2]])\nm.tensor([])\nm.tensor([[]])\nm.tensor(1e40)\nm.tensor(3)\nm.tensor(True)\nm.tensor([m.tensor(1), m.tensor(2.)])\nm.tensor([1.7], dtype=m.int32)\nm.tensor(range(3))\n"
    "m.tensor(np.ones((2, 2)))\nm.tensor(np.float64(1.5))\nm.tensor([np.float64(1.5)])\nm.tensor([np.int32(1)])\nm.tensor([np.ones(2), np.zeros(2)])\nm.tensor([-1], dtype=m.uint8)\nm.as_tensor([1, 2])\nm.as_tensor(np.arange(3))\n"
    "m.from_numpy(np.arange(3.0))\nm.empty(2, 0)\nm.zeros(())\nm.zeros_like(m.ones(2, dtype=m.int8))\nm.ones_like(m.zeros(2), dtype=m.bool)\nm.full_like(m.zeros(2), 3)\nm.ones(2).new_zeros(3)\nm.tensor(3).new_ones((2,))\n"
    "m.ones(2).new_full((2,), 1)\nm.ones(2).new_tensor([1, 2])\nm.zeros(2, 3, dtype=m.bfloat16)\nm.result_type(m.ones(1, dtype=m.float16), 1.5).itemsize\nm.result_type(m.tensor(1), 1.5).itemsize\nm.promote_types(m.int32, m.float16).itemsize\n"
    "m.can_cast(m.float32, m.int64)\nm.finfo(m.float32).eps\nm.finfo(m.bfloat16).max\nm.finfo(m.float16).tiny\nm.iinfo(m.int8).min\nm.is_tensor(m.ones(1))\nm.is_floating_point(m.ones(1))\nm.numel(m.ones(2, 3))\nm.broadcast_shapes((2, 1), (3,))\n"
    "m.range(1, 4)\nm.vander(m.tensor([1., 2, 3]))\nm.vander(m.tensor([1, 2, 3]), 2, increasing=True)\nm.frombuffer(bytearray(8), dtype=m.int32)\nm.arange(10, dtype=m.float32) / 3\nm.arange(1.5, 4)\nm.arange(-1, 1, 0.25, dtype=m.float64)\nm.block_diag(m.ones(1, 2), m.ones(2, 1))", grad=False)  # fmt: skip

# --- errors: the type that torch raises is the type (or a base of it) that Ingot raises
ERRORS = """
x + m.ones(4)|x @ x|x.view(5)|x.view(-1, -1)|x.reshape(7)|x.sum(2)|x.sum((0, 0))|x.sum(-3)|m.exp(1.0)|m.add(x, 'a')|x + 'a'|x + None|m.cat(x)|m.cat([x, 1])|m.cat([x, m.ones(3, 3, 3)])|m.cat([x, m.ones(1, 4)])
m.stack([x, x[0]])|m.stack([])|x[2]|x[0, 0, 0]|x[::-1]|x['a']|x[1.5]|x[m.tensor([1.0])]|x[m.tensor([True])]|x[[0, 1], [0, 1, 2]]|x[[5]]|m.tensor(5)[0]|x.T.view(6)|x.permute(0)|x.permute(0, 0)|x.expand(3, 3)|x.expand(2)|x.expand(-1, 2, 3)
x.repeat(2)|x.squeeze(3)|x.unsqueeze(4)|x.transpose(0, 2)|x.split(-1)|x.split([1, 2])|x.chunk(0)|x.narrow(0, 1, 3)|x.select(0, 2)|x.diagonal(0, 1, 1)|x[0].tril()|x.t().t().unsqueeze(0).t()|x.unbind(2)|m.tensor(1).unbind()|x.unflatten(1, (2, 2))
x.to(m.int64).mean()|x.to(m.int64).var()|x.to(m.int64).add_(1.5)|x.to(m.bool).add_(1)|x.add_(m.ones(3, 2, 3))|-(x > 0)|(x > 0) - (x > 0)|1 - (x > 0)|x & x|x << 1|x.to(m.int64) ** -1|x.to(m.int64) // 0|x.to(m.int64).softmax(0)|(x > 0).argmax()
m.tensor([]).max()|m.tensor([]).argmax()|m.zeros(0, 3).max(0)|m.zeros(0, 3).amax(0)|m.clamp(x)|m.where(x, x, x)|m.lerp(x.to(m.int64), x.to(m.int64), 0.5)|m.add(x.to(m.int64), 1, alpha=1.5)|m.div(x, 2, rounding_mode='x')|x.topk(9)|x.kthvalue(9)|x.gather(0, m.zeros(3, 5, dtype=m.int64))
x.gather(0, x)|x.gather(0, m.zeros(2, dtype=m.int64))|x.index_select(0, m.zeros(2, 2, dtype=m.int64))|x.index_select(0, x[0])|x.scatter(0, m.zeros(5, 5, dtype=m.int64), x)|x.scatter(0, m.zeros(1, 1, dtype=m.int64), x.double())|x.masked_fill(x, 1)|x.masked_fill(x > 0, m.ones(2))|x.masked_select(x)
m.mm(x, x)|m.mm(x, x[0])|m.bmm(x, x)|m.mv(x, x[0, :2])|m.dot(x, x)|m.dot(x[0], x[0, :2])|x @ x.T.double()|m.einsum('ij,jk->ik', x, x)|m.einsum('ijk->i', x)|m.einsum('ij->k', x)|m.einsum('ij,jk', x)|m.einsum('i1->i', x)|m.einsum('ij->ii', x)|m.tensordot(x, x, 1)|m.outer(x, x)|m.trace(x[0])|m.cross(x[:, :2], x[:, :2], dim=1)
m.zeros(-1)|m.zeros(2.5)|m.arange(5, 0)|m.arange(0, 5, 0)|m.linspace(0, 1, -1)|m.eye(-1)|m.tensor([[1], [2, 3]])|m.tensor('a')|m.tensor(None)|m.tensor(2**63)|m.tensor([300], dtype=m.uint8)|m.tensor([m.ones(2)])|m.tensor([1], requires_grad=True)|m.from_numpy([1])|m.from_numpy(np.ones(2)[::-1])|m.from_numpy(np.array(['a']))
m.finfo(m.int64)|m.iinfo(m.float32)|m.meshgrid(x, x)|m.bincount(m.tensor([-1]))|m.bincount(x)|m.histc(x, bins=0)|m.searchsorted(m.ones(3, 2), x)|m.quantile(x, 2.0)|m.quantile(x.to(m.int64), 0.5)|x.cumsum(2)|x.flip(3)|m.roll(x, (1, 2), 0)|x.norm('nuc2')|m.cdist(x, m.ones(2, 2))|bool(x)|x.item()|len(m.tensor(1))
exec:x[0] = m.ones(4)|exec:x[m.tensor([0, 1])] = m.ones(5)|exec:x[[0, 1]] = m.ones(2, 3).double()|exec:x[5] = 1|exec:x['a'] = 1|exec:x.requires_grad_().add_(1)|exec:x.requires_grad_()[0] = 1|exec:x[:, None].expand(2, 4, 3).add_(1)|x.copy_(m.ones(4))|x.fill_(m.ones(2))|x.exp(3)|x.diff(n=-1)|m.isclose(x, x.double())|m.is_nonzero(x)|x.unfold(0, 5, 1)
x.index_add(0, m.tensor([0]), x)|x.index_copy(0, m.tensor([0]), x.double())|x.scatter_reduce(0, m.zeros(2, 3, dtype=m.int64), x, 'bad')|x.repeat_interleave(-1)|x.take_along_dim(m.zeros(2, dtype=m.int64), 0)|m.block_diag(m.ones(1, 1, 1))|x.matmul(1)|m.logsumexp(x, 3)|m.clamp(x, 'a')|m.broadcast_shapes((2,), (3,))|x.masked_scatter(x > 9, x.double())
""".replace("\n", "|")
ERROR_CASES = [e for e in ERRORS.split("|") if e]
