"""RNN, GRU and LSTM: torch's layers where the cell is torch's, steps written out where it is not."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import ingot
from ingot._tensor import Tensor
from ingot.interchange.onnx.rules import op
from ingot.nn import functional as F
from ingot.nn.functional.recurrent import layer

__all__ = ["directions_of", "run_directions", "stepped"]

_ACTIVATIONS: dict[str, Callable[[Tensor, float | None, float | None], Tensor]] = {
    "relu": lambda x, a, b: ingot.relu(x),
    "tanh": lambda x, a, b: ingot.tanh(x),
    "sigmoid": lambda x, a, b: ingot.sigmoid(x),
    "affine": lambda x, a, b: x * (1.0 if a is None else a) + (0.0 if b is None else b),
    "leakyrelu": lambda x, a, b: F.leaky_relu(x, 0.01 if a is None else a),
    "thresholdedrelu": lambda x, a, b: ingot.where(x > (1.0 if a is None else a), x, 0),
    "scaledtanh": lambda x, a, b: ingot.tanh(x * (1.0 if b is None else b)) * (1.0 if a is None else a),
    "hardsigmoid": lambda x, a, b: ingot.clamp(x * (0.2 if a is None else a) + (0.5 if b is None else b), 0, 1),
    "elu": lambda x, a, b: F.elu(x, 1.0 if a is None else a),
    "softsign": lambda x, a, b: F.softsign(x),
    "softplus": lambda x, a, b: F.softplus(x),
}


def _applied(f: Callable, a: float | None, b: float | None, x: Tensor) -> Tensor:
    return f(x, a, b)


class _Cell:
    """What all three have in common: directions, lengths, layouts, and the activations with their numbers.

    A step takes the gates' share of the input, the states and the weights, and gives the states.
    """

    def __init__(self, gates: int, defaults: list[str], activations: Any, alpha: Any, beta: Any, clip: float | None):
        self.gates, self.clip, self.defaults = gates, clip, defaults
        self.names = [n.lower() for n in (activations or [])]
        self.alpha, self.beta = list(alpha or []), list(beta or [])

    def functions(self, direction: int) -> list[Callable[[Tensor], Tensor]]:
        k = len(self.defaults)
        names = self.names[direction * k : direction * k + k] or self.defaults
        out: list[Callable[[Tensor], Tensor]] = []
        for i, name in enumerate(names):
            if name not in _ACTIVATIONS:
                raise ValueError(f"the activation {name!r}")
            place = direction * k + i
            a = self.alpha[place] if place < len(self.alpha) else None
            b = self.beta[place] if place < len(self.beta) else None
            out.append(partial(_applied, _ACTIVATIONS[name], a, b))
        return out

    def plain(self, direction: int) -> bool:
        """Whether its activations are the usual ones, and nothing is clipped."""
        k = len(self.defaults)
        own = self.names[direction * k : direction * k + k] or self.defaults
        return own == self.defaults and not self.clip

    def clipped(self, x: Tensor) -> Tensor:
        return ingot.clamp(x, -self.clip, self.clip) if self.clip else x


def run_directions(
    x: Tensor, states: list[Tensor | None], hidden: int, directions: int, reverse: bool, layout: int, lengths: Tensor | None,
    one: Callable[[int, Tensor, tuple[Tensor, ...], Tensor | None, bool], tuple[Tensor, ...]],
) -> tuple[Tensor, ...]:  # fmt: skip
    """All directions: the outputs, then the final states."""
    if layout:
        x = x.transpose(0, 1)
        states = [None if s is None else s.transpose(0, 1) for s in states]
    steps, n = x.shape[0], x.shape[1]
    live = None
    if lengths is not None:
        live = (ingot.arange(steps).unsqueeze(1) < lengths.to(ingot.int64)).unsqueeze(-1)
    ys, finals = [], []
    for d in range(directions):
        first = tuple(ingot.zeros((n, hidden), dtype=x.dtype) if s is None else s[d] for s in states)
        y, *final = one(d, x, first, live, d == 1 or reverse)
        ys.append(y)
        finals.append(final)
    out = ingot.stack(ys, 1)
    ends = [ingot.stack(list(f), 0) for f in zip(*finals)]
    if layout:
        return (out.permute((2, 0, 1, 3)), *[e.transpose(0, 1) for e in ends])
    return (out, *ends)


def stepped(
    gx: Tensor, states: tuple[Tensor, ...], live: Tensor | None, reverse: bool, step: Callable[..., tuple[Tensor, ...]]
) -> tuple[Tensor, ...]:
    """One direction, a step at a time: the outputs and the final states."""

    def body(carry: tuple[Tensor, ...], slices: Any) -> tuple[tuple[Tensor, ...], Tensor]:
        if live is None:
            new = step(slices, *carry)
            return new, new[0]
        part, on = slices
        new = step(part, *carry)
        return tuple(ingot.where(on, a, b) for a, b in zip(new, carry)), ingot.where(on, new[0], 0).to(new[0].dtype)

    ends, ys = ingot.scan(body, states, gx if live is None else (gx, live), reverse=reverse)
    return (ys, *ends)


def _reordered(w: Tensor, hidden: int, order: tuple[int, ...]) -> Tensor:
    """The gates' rows in torch's order."""
    return ingot.cat([w[k * hidden : (k + 1) * hidden] for k in order], 0)


def _halves(b: Tensor | None, d: int, n: int) -> tuple[Tensor | None, Tensor | None]:
    return (None, None) if b is None else (b[d][:n], b[d][n:])


def directions_of(direction: str) -> tuple[int, bool]:
    if direction not in ("forward", "reverse", "bidirectional"):
        raise ValueError(f"the direction {direction!r}")
    return 2 if direction == "bidirectional" else 1, direction == "reverse"


def _torch(
    mode: str, x: Tensor, states: tuple[Tensor, ...], w: list[Tensor], b: list[Tensor | None], live: Any, back: bool
) -> tuple[Tensor, ...]:
    weights = {"w_ih": w[0], "w_hh": w[1], "b_ih": b[0], "b_hh": b[1], "w_hr": None}
    return layer(mode, x, states, weights, live, back)


@op("LSTM")
def lstm(
    x: Tensor, w: Tensor, r: Tensor, b: Tensor | None = None, lengths: Tensor | None = None, h: Tensor | None = None,
    c: Tensor | None = None, p: Tensor | None = None, *, activation_alpha: Any = None, activation_beta: Any = None, activations: Any = None,
    clip: float | None = None, direction: str = "forward", hidden_size: int | None = None, input_forget: int = 0, layout: int = 0,
    output_sequence: int = 0,
) -> tuple[Tensor, ...]:  # fmt: skip
    hidden = r.shape[-1]
    cell = _Cell(4, ["sigmoid", "tanh", "tanh"], activations, activation_alpha, activation_beta, clip)
    order = (0, 2, 3, 1)  # ONNX has input, output, forget, cell

    def one(d: int, x: Tensor, states: tuple[Tensor, ...], live: Tensor | None, back: bool) -> tuple[Tensor, ...]:
        bi, bh = _halves(b, d, 4 * hidden)
        if cell.plain(d) and p is None and not input_forget:
            both = [_reordered(v, hidden, order) for v in (w[d], r[d])]
            return _torch("LSTM", x, states, both, [None if v is None else _reordered(v, hidden, order) for v in (bi, bh)], live, back)
        f, g, out = cell.functions(d)
        gx = ingot.matmul(x, w[d].mT)
        if bi is not None and bh is not None:
            gx = gx + bi + bh
        peep = ingot.zeros(3 * hidden, dtype=x.dtype) if p is None else p[d]
        pi, po, pf = ingot.split(peep, hidden, 0)

        def step(gx: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, ...]:
            i, o, forget, new = ingot.split(cell.clipped(gx + ingot.matmul(h, r[d].mT)), hidden, -1)
            i = f(i + pi * c)
            forget = 1 - i if input_forget else f(forget + pf * c)
            c = forget * c + i * g(new)
            return f(o + po * c) * out(c), c

        return stepped(gx, states, live, back, step)

    return run_directions(x, [h, c], hidden, *directions_of(direction), layout, lengths, one)


@op("GRU")
def gru(
    x: Tensor, w: Tensor, r: Tensor, b: Tensor | None = None, lengths: Tensor | None = None, h: Tensor | None = None, *,
    activation_alpha: Any = None, activation_beta: Any = None, activations: Any = None, clip: float | None = None,
    direction: str = "forward", hidden_size: int | None = None, layout: int = 0, linear_before_reset: int = 0, output_sequence: int = 0,
) -> tuple[Tensor, ...]:  # fmt: skip
    hidden = r.shape[-1]
    cell = _Cell(3, ["sigmoid", "tanh"], activations, activation_alpha, activation_beta, clip)
    order = (1, 0, 2)  # ONNX has update, reset, hidden

    def one(d: int, x: Tensor, states: tuple[Tensor, ...], live: Tensor | None, back: bool) -> tuple[Tensor, ...]:
        bi, bh = _halves(b, d, 3 * hidden)
        if cell.plain(d) and linear_before_reset:
            both = [_reordered(v, hidden, order) for v in (w[d], r[d])]
            return _torch("GRU", x, states, both, [None if v is None else _reordered(v, hidden, order) for v in (bi, bh)], live, back)
        f, g = cell.functions(d)
        gx = ingot.matmul(x, w[d].mT)
        if bi is not None:
            gx = gx + bi
        bz, br, bn = ingot.split(ingot.zeros(3 * hidden, dtype=x.dtype) if bh is None else bh, hidden, 0)
        rz, rr, rn = (v.mT for v in ingot.split(r[d], hidden, 0))

        def step(gx: Tensor, h: Tensor) -> tuple[Tensor, ...]:
            xz, xr, xn = ingot.split(gx, hidden, -1)
            z = f(cell.clipped(xz + ingot.matmul(h, rz) + bz))
            reset = f(cell.clipped(xr + ingot.matmul(h, rr) + br))
            inner = reset * (ingot.matmul(h, rn) + bn) if linear_before_reset else ingot.matmul(reset * h, rn) + bn
            n = g(cell.clipped(xn + inner))
            return ((1 - z) * n + z * h,)

        return stepped(gx, states, live, back, step)

    return run_directions(x, [h], hidden, *directions_of(direction), layout, lengths, one)


@op("RNN")
def rnn(
    x: Tensor, w: Tensor, r: Tensor, b: Tensor | None = None, lengths: Tensor | None = None, h: Tensor | None = None, *,
    activation_alpha: Any = None, activation_beta: Any = None, activations: Any = None, clip: float | None = None,
    direction: str = "forward", hidden_size: int | None = None, layout: int = 0, output_sequence: int = 0,
) -> tuple[Tensor, ...]:  # fmt: skip
    hidden = r.shape[-1]
    cell = _Cell(1, ["tanh"], activations, activation_alpha, activation_beta, clip)

    def one(d: int, x: Tensor, states: tuple[Tensor, ...], live: Tensor | None, back: bool) -> tuple[Tensor, ...]:
        bi, bh = _halves(b, d, hidden)
        relu = cell.names[d : d + 1] == ["relu"] and not clip
        if cell.plain(d) or relu:
            return _torch("RNN_RELU" if relu else "RNN_TANH", x, states, [w[d], r[d]], [bi, bh], live, back)
        (f,) = cell.functions(d)
        gx = ingot.matmul(x, w[d].mT)
        if bi is not None and bh is not None:
            gx = gx + bi + bh
        return stepped(gx, states, live, back, lambda gx, h: (f(cell.clipped(gx + ingot.matmul(h, r[d].mT))),))

    return run_directions(x, [h], hidden, *directions_of(direction), layout, lengths, one)
