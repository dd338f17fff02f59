"""A line search to the strong Wolfe conditions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import sqrt

from ingot._tensor import Tensor

__all__ = ["strong_wolfe"]

_DECREASE, _CURVATURE = 1e-4, 0.9
_TRIES = 25


@dataclass(frozen=True)
class _Point:
    """A place on the line: its distance, the function's value, gradient and slope there."""

    t: float
    value: float
    grad: Tensor
    slope: float


def _cubic(a: _Point, b: _Point, bounds: tuple[float, float] | None = None) -> float:
    """The minimum, within the bounds, of the cubic through two points with these slopes (Nocedal and Wright, 3.59)."""
    low, high = bounds or (min(a.t, b.t), max(a.t, b.t))
    left, right = (a, b) if a.t <= b.t else (b, a)
    d = left.slope + right.slope - 3 * (left.value - right.value) / (left.t - right.t)
    inside = d * d - left.slope * right.slope
    if inside < 0:
        return (low + high) / 2
    root = sqrt(inside)
    found = right.t - (right.t - left.t) * ((right.slope + root - d) / (right.slope - left.slope + 2 * root))
    return min(max(found, low), high)


def strong_wolfe(
    at: Callable[[float], tuple[float, Tensor]], t: float, direction: Tensor, value: float, grad: Tensor, slope: float, tolerance: float
) -> tuple[float, Tensor, float, int]:
    """A step along `direction` that decreases the function enough and flattens it enough: (value, gradient, distance, evaluations).

    at: the function's value and gradient at a distance. t: the first distance to try. value, grad, slope: those at the start.
    Source: Nocedal and Wright, Numerical Optimization, algorithms 3.5 and 3.6.
    """
    largest = float(direction.abs().max())
    used = 0

    def point(t: float) -> _Point:
        nonlocal used
        used += 1
        v, g = at(t)
        return _Point(t, v, g, float(g.dot(direction)))

    def too_high(p: _Point) -> bool:
        return p.value > value + _DECREASE * p.t * slope

    start = before = _Point(0.0, value, grad, slope)
    now = point(t)
    ends = (start, now)
    found = False
    for tried in range(_TRIES):  # walk on until the end of an interval with a good place in it
        ends = (before, now)
        if too_high(now) or (tried > 1 and now.value >= before.value):
            break
        found = abs(now.slope) <= -_CURVATURE * slope
        if found or now.slope >= 0:
            break
        following = _cubic(before, now, (now.t + 0.01 * (now.t - before.t), now.t * 10))
        before, now = now, point(following)
    else:
        ends = (start, now)
    if found:
        return now.value, now.grad, now.t, used
    low, high = ends if ends[0].value <= ends[1].value else ends[::-1]
    slow = False
    while not found and used <= _TRIES and abs(high.t - low.t) * largest >= tolerance:
        left, right = min(low.t, high.t), max(low.t, high.t)
        t = _cubic(low, high)
        margin = 0.1 * (right - left)
        if min(right - t, t - left) < margin:  # too near an end, twice: move inwards
            inwards = slow or t >= right or t <= left
            if inwards:
                t = right - margin if abs(t - right) < abs(t - left) else left + margin
            slow = not inwards
        else:
            slow = False
        now = point(t)
        if too_high(now) or now.value >= low.value:
            high = now
            if high.value < low.value:
                low, high = high, low
            continue
        found = abs(now.slope) <= -_CURVATURE * slope
        if not found and now.slope * (high.t - low.t) >= 0:
            high = low
        low = now
    return low.value, low.grad, low.t, used
