"""Programs that change state: what a call returns and leaves behind must be the same, compiled or not."""

import numpy as np

import ingot
from ingot import nn

X = [1.0, 2.0, 3.0]


def tensor(requires_grad=False, values=X):
    """A tensor of its own."""
    return ingot.tensor(values, requires_grad=requires_grad)


def said(x):
    """Everything that can be seen of a value."""
    if isinstance(x, ingot.Tensor):
        values = np.array(x.detach().tolist()).round(4).tolist()
        return type(x).__name__, values, x.requires_grad, x.grad_fn is None, x.is_leaf, said(x.grad)
    if isinstance(x, nn.Module):
        plain = {k: said(v) for k, v in vars(x).items() if k[:1] != "_" and k != "training"}
        return {**{k: said(v) for k, v in x.named_parameters()}, **{k: said(v) for k, v in x.named_buffers()}, **plain}
    if isinstance(x, ingot.optim.Optimizer):
        return [said(s) for s in x.state.values()]
    if isinstance(x, dict):
        return {k: said(v) for k, v in x.items()}
    if isinstance(x, (list, tuple)):
        return [said(v) for v in x]
    return x if isinstance(x, (int, float, str, bool, type(None))) else type(x).__name__


def history(make, compile, rounds):
    """What each call gives, and the state after it; the name of an error that it raises."""
    ingot.manual_seed(0)
    call, *state = make(compile)
    seen = []
    for _ in range(rounds):
        try:
            result = said(call())
        except ingot.CaptureError:
            raise
        except Exception as e:
            result = type(e).__name__
        seen.append((result, [said(s) for s in state]))
    return seen


class Counting(nn.Module):
    """A module whose calls change its numbers, lists, dicts and strings."""

    def __init__(self):
        super().__init__()
        self.n, self.log, self.seen, self.last = 0, [], {"calls": 0}, "none"
        self.w = nn.Parameter(tensor())

    def forward(self, x):
        self.n += 1
        self.log.append(self.n)
        self.seen["calls"] += 2
        self.seen[str(self.n)] = self.n
        self.last = f"call {self.n}"
        return x * self.w * self.n


def check(make, rounds=3):
    """Compare `rounds` calls of a program, uncompiled and compiled.

    `make(compile)` gives a call without arguments, and what it changes; `compile` is what the function goes through.
    """
    want = history(make, lambda f: f, rounds)
    for n, (a, b) in enumerate(zip(history(make, ingot.compile, rounds), want)):
        assert a == b, f"call {n}"
