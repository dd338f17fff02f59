"""Random programs that add to lists, deques, dicts and sets outside, and may look at them: for what compiled functions leave there.

A program is text that defines `f(x)`, `event(k)`, what users do in between, and `look()`, all that there is.
"""

from __future__ import annotations

import random

__all__ = ["EVENTS", "program"]

PRELUDE = """
import collections, types
import ingot
class Log:
    shared = []
    def __init__(self): self.items, self.n = [], 0
    def add(self, x):
        self.items.append(x)
        self.n += 1
log = Log()
net = ingot.nn.Identity()
net.history = []
table = {"a": [], "b": collections.deque(maxlen=3)}
losses, many, last = [], [[], []], collections.deque(maxlen=2)
extra = {}
seen = set()
push = losses.append
state = types.SimpleNamespace(n=0)
w = ingot.full((2,), 3.0)
def look(): return [log.items, log.n, Log.shared, net.history, table, losses, many, last, extra, seen, state.n]
def closed():
    inner = []
    def add(x): inner.append(x)
    def held(): return inner
    return add, held
add, held = closed()
"""

LISTS = ("log.items", "Log.shared", "net.history", "table['a']", "table['b']", "losses", "many[0]", "many[1]", "last")
VALUES = ("y", "x", "y.sum()", "y.sum().item()", "1", "2.5", "'s'", "w", "(y, 1)", "[y]", "{{'y': y}}", "state.n", "len(x)", "y.detach()",
          "x.shape[0]", "None", "float(y.mean())")  # fmt: skip
ADDS = ("{l}.append({v})", "{l}.append({v}); {l}.append({u})", "{l}.extend([{v}, {u}])", "{l} += [{v}]", "log.add({v})", "push({v})",
        "add({v})", "{l}.extend(({v}, {u}))", "extra['k'] = {v}", "seen.add(3)", "state.n += 1")  # fmt: skip
LOOKS = ("y = y + len({l})", "y = y + (1.0 if {l} else 0.0)", "y = y * 2", "y = y + sum(len(i) for i in many)", "y = y + log.n",
         "{l}.clear()", "y = y + (0.5 if 's' in {l} else 0.0)", "z = {l}; z.append({v})", "y = y + w", "extra['l'] = {l}")  # fmt: skip
EVENTS = ("pass", "losses.append(1)", "log.items = []", "many[0] = []", "table['a'] = [5]", "last.clear()",
          "net.history.clear()", "many.append([])", "Log.shared = []", "state.n += 2", "log.items.append('s')", "del losses[:]",
          "table['b'].append(1)")  # fmt: skip


def program(seed: int) -> str:
    """The program of a seed."""
    rng = random.Random(seed)
    lines = [PRELUDE, "def f(x):", "    global losses, last", "    y = x * 2"]
    own = rng.sample(LISTS, 1 + rng.randrange(3))
    for _ in range(rng.randrange(1, 5)):
        line = rng.choice(ADDS if rng.random() < 0.75 else LOOKS)
        lines.append("    " + line.format(l=rng.choice(own), v=rng.choice(VALUES).format(), u=rng.choice(VALUES).format()))
    lines += ["    return y", "def event(k):", "    global losses, last"]
    for k, text in enumerate(EVENTS):
        lines.append(f"    if k == {k}: {text}")
    return "\n".join(lines)
