"""Random programs that keep tensors between calls: where, in what, how calls renew them, and what users do to them in between.

A program is text that defines `f(x)`, `look()`, which gives what is kept, and `events`, functions that change it as users do.
"""

from __future__ import annotations

import random

__all__ = ["program"]

PRELUDE = """
import ingot
from ingot import nn
W = ingot.arange(16).reshape(4, 4) / 10 - 0.7
class Plain: pass
class Holder(nn.Module):
    def __init__(self):
        super().__init__()
        self.kept = None
"""

# where what is kept stands: how that is made, read and assigned
HOLDERS = (
    ("h = Holder()", "h.kept", "h.kept = {}"),
    ("h = Plain(); h.kept = None", "h.kept", "h.kept = {}"),
    ("kept = None", "kept", "global kept; kept = {}"),
    ("h = {'kept': None}", "h['kept']", "h['kept'] = {}"),
    ("h = [None]", "h[0]", "h[0] = {}"),
    ("h = Holder(); h.inner = Holder()", "h.inner.kept", "h.inner.kept = {}"),
)
# what it is, of tensors {0}, {1}, …; how each of them is read of {e}; how one is assigned, where that can be
STRUCTURES = (
    ("{0}", ("{e}",), ()),
    ("[{0}, {1}]", ("{e}[0]", "{e}[1]"), ("{e}[0]", "{e}[1]")),
    ("({0}, {1})", ("{e}[0]", "{e}[1]"), ()),
    ("[({0}, {1}), ({2}, {3})]", ("{e}[0][0]", "{e}[0][1]", "{e}[1][0]", "{e}[-1][1]"), ()),
    ("[[{0}, {1}], [{2}, {3}]]", ("{e}[0][0]", "{e}[0][1]", "{e}[1][0]", "{e}[1][1]"),
     ("{e}[0][0]", "{e}[0][1]", "{e}[1][0]", "{e}[1][1]")),
    ("{{'a': {0}, 'b': {1}}}", ("{e}['a']", "{e}['b']"), ("{e}['a']", "{e}['b']")),
    ("{{'a': ({0}, {1}), 'b': [{2}]}}", ("{e}['a'][0]", "{e}['a'][1]", "{e}['b'][0]"), ()),
    ("({0}, [{1}, {2}])", ("{e}[0]", "{e}[1][0]", "{e}[1][1]"), ()),
)  # fmt: skip
# what calls make, of x [1, 4]: tensors of their own, or views of one memory
MADE = (
    ("p = [x * (i + 1) for i in range(4)]",),
    ("p = [*(x @ W).reshape(1, 4, 1).expand(1, 4, 4).contiguous().unbind(1)]",),
    ("q = ingot.cat([x, x + 1, x * 2, x - 1])", "p = [q[i : i + 1] for i in range(4)]"),
    ("a, b = ingot.cat([x, x * 3]).split(1)", "p = [a, b, x + 1, a]"),
)
OLD = ("ingot.cat([{old}, {new}])", "{old}[-1:] * 0.5 + {new}", "ingot.cat([{old}, {new}])[-3:]")
EVENTS = (
    "pass",
    "{reset}",
    "it = {read}; it = copy.copy(it)",
    "it = again({read}, lambda t: t)",
    "it = again({read}, lambda t: t * 2)",
    "it = again({read}, lambda t: t.clone())",
    "it = again({read}, lambda t: ingot.cat([t, t]))",
    "it = earlier[-1]",
    "it = earlier[0]",
)
SUPPORT = """
import copy
earlier = []
def again(it, f):
    if isinstance(it, (list, tuple)): return type(it)(again(v, f) for v in it)
    if isinstance(it, dict): return {k: again(v, f) for k, v in it.items()}
    return f(it)
"""


def program(seed: int) -> str:
    """The text for a seed."""
    rng = random.Random(seed)
    holder, read, assign = rng.choice(HOLDERS)
    whole, parts, places = rng.choice(STRUCTURES)
    old = rng.choice(OLD)
    in_place = bool(places) and rng.random() < 0.4
    made = rng.choice(MADE)
    lines = [PRELUDE, SUPPORT, holder, "def f(x):"]
    if assign.startswith("global"):
        lines.append("    global kept")
        assign = "kept = {}"
    lines += [f"    {line}" for line in made]
    new = [f"p[{i}]" for i in range(len(parts))]
    lines += [f"    e = {read}", "    if e is None:", f"        {assign.format(whole.format(*new))}", "    else:"]
    joined = [old.format(old=p.format(e="e"), new=n) for p, n in zip(parts, new)]
    if in_place:
        lines += [f"        {p.format(e='e')} = {j}" for p, j in zip(places, joined)]
    else:
        lines.append(f"        {assign.format(whole.format(*joined))}")
    lines += [f"    e = {read}", f"    return {' + '.join(f'{i + 1} * {p}.sum()' for i, p in enumerate(p.format(e='e') for p in parts))}"]
    lines += ["def look():", f"    return {read}", "def event(k):"]
    if "global" in dict(enumerate(HOLDERS)) or read == "kept":
        lines.append("    global kept")
    lines += ["    it = look()", "    if it is None: return", "    earlier.append(again(it, lambda t: t))"]
    for k, event in enumerate(EVENTS):
        text = event.format(read=read, reset="it = None")
        lines.append(f"    if k == {k}: {text}")
    lines.append(f"    {assign.format('it')}")
    return "\n".join(lines)
