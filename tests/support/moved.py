"""Random programs that move tensors between places: attributes, items, names, buffers; with reads and writes in place between the moves.

A program is text that defines `f(x)`, `look()`, which gives what stands in each place, and `put(i, t)`, by which users change one.
"""

from __future__ import annotations

import random

__all__ = ["program"]

PRELUDE = """
sizes = {sizes}; width = 2 if sizes == [2] else 1
import ingot
from collections import deque
from ingot import nn
class Plain: pass
class Slotted: __slots__ = ("a", "b")
class Kept: pass
class Inner(nn.Module):
    def __init__(self, t):
        super().__init__()
        self.register_buffer("held", t)
class Holder(nn.Module):
    def __init__(self, p, q, r):
        super().__init__()
        self.register_buffer("p", p)
        self.q = q
        self.inner = Inner(r)
def new(i):
    return ingot.arange(sizes[i % len(sizes)] + 0.0) + 10 * i
n = 0
o, s, d, l, g, h, c = Plain(), Slotted(), {}, [None, None], None, Holder(new(90), new(91), new(92)), None
dq, deep, k = deque([None]), {"in": [None]}, Plain()
pair, both, two = (new(80), new(81)), [new(82), new(83)], [new(84), new(85)]
"""
# how what stands in a place is read and assigned
PLACES = (
    "o.a", "o.b", "o.c", "s.a", "s.b", "d['a']", "d['b']", "l[0]", "l[1]", "g", "c", "h.p", "h.q", "h.inner.held", "dq[0]",
    "deep['in'][0]", "Kept.t", "k.it",
)  # fmt: skip
# moves into tuples and lists, out of them, and of the lists
HELD = (
    "pair = ({p}, pair[0])", "pair = pair[1], pair[0]", "{p} = pair[1]", "{p}, pair = pair[0], (pair[1], {p})", "both = [both[1], {p}]",
    "both, two = two, both", "{p}, both[0] = both[0], {p}", "both[0], both[1] = both[1], both[0]", "two[0], both[1] = both[1], two[0]",
    "{p} = both[0]; both = [{q}, {q}]", "two.reverse()", "out = out + both[0].sum() * 3", "out = out + pair[1].sum() * 7",
)  # fmt: skip


def _moves(rng: random.Random, places: list[str], alike: bool) -> list[str]:
    """A few statements. alike: whether all tensors are of one size."""
    found = []
    for _ in range(rng.randint(1, 4)):
        p, q = rng.sample(places, 2)
        kind = rng.random()
        if kind < 0.4:
            n = rng.choice([2, 2, 3]) if len(places) > 2 else 2
            to = rng.sample(places, n)
            found.append(f"{', '.join(to)} = {', '.join([*to[1:], to[0]])}")
        elif kind < 0.5:
            found += [f"t = {p}", f"{p} = {q}", *([f"out = out + t.sum() * {rng.randint(1, 5)}"] * rng.randint(0, 1)), f"{q} = t"]
        elif kind < 0.57:
            found.append(f"{p} = {q}")
        elif kind < 0.64:
            found.append(f"{p} = x")
        elif kind < 0.71:
            found.append(f"{p} = {q} * 0.5 + x")
        elif kind < 0.81:
            found.append(rng.choice([f"{p}.add_(x)", f"{p}.mul_(0.5)", *([f"{p}.copy_({q})", f"{p}.copy_({q} + 1)"] if alike else [])]))
        elif kind < 0.86:
            found.append(rng.choice(HELD).format(p=p, q=q))
        else:
            found.append(f"out = out + {p}.sum() * {rng.randint(1, 9)}")
    return found


def program(seed: int) -> str:
    """The text for a seed."""
    rng = random.Random(seed)
    places = rng.sample(PLACES, rng.randint(2, 4))
    if rng.random() < 0.3:
        places = rng.sample(PLACES[:3], rng.randint(2, 3))
    sizes = rng.choice([[2], [2], [2], [2, 3], [3, 2, 4]])
    lines = [PRELUDE.replace("{sizes}", repr(sizes))]
    views = rng.random() < 0.15
    if views:
        lines.append("base = ingot.arange(8.0).reshape(4, 2)")
    lines += ["def outer():", "    c = None"]
    first = [f"    {p} = {f'base[{i}]' if views else f'new({i})'}" for i, p in enumerate(places)]
    lines += ["    global g, n", *first]
    if len(places) > 2 and rng.random() < 0.2:
        lines.append(f"    {places[0]} = {places[1]}")
    lines += ["    def f(x):", "        global g, n, pair, both, two", "        nonlocal c", "        n += 1"]
    body = ["out = x.sum() * 1.0"]
    body += _moves(rng, places, sizes == [2])
    if rng.random() < 0.25:
        body += ["if n % 2:", *(f"    {line}" for line in _moves(rng, places, sizes == [2]))]
        if rng.random() < 0.5:
            body += ["else:", *(f"    {line}" for line in _moves(rng, places, sizes == [2]))]
    if rng.random() < 0.6:
        body.append(f"out = out + {rng.choice(places)}.sum() * 11")
    lines += [f"        {line}" for line in body]
    lines += ["        return out", "    def look():", f"        return [{', '.join(places)}, *pair, *both, *two]"]
    lines += ["    def put(i, t):", "        global g"]
    lines += ["        nonlocal c", *(f"        if i == {i}: {p} = t" for i, p in enumerate(places)), "    return f, look, put"]
    return "\n".join([*lines, "f, look, put = outer()"])
