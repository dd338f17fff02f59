"""One process of `benchmarks.sizes`: `python -m benchmarks.sizes_child SCENARIO CONTENDER`. Prints a line of JSON.

Times are in seconds. `compiled` counts what the compiler made; it is left out for torch, which does not tell.
"""

from __future__ import annotations

import json
import random
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks import models

Line = dict[str, Any]
LENGTHS = random.Random(7).sample(range(1, 513), 100)
KNOWN_FROM = 3  # the first lengths may be compiled
SOON = 3  # so many lengths later one is run once more


def _load(contender: str) -> tuple[Any, Callable[[Any], Any]]:
    """The framework, and what it makes of a function."""
    import importlib

    name, _, how = contender.partition(" ")
    T = importlib.import_module(name.partition(".")[0])
    if contender == "torch.compile":
        return T, lambda f: T.compile(f, dynamic=True)
    return T, (lambda f: f) if how == "eager" else T.compile


def _compiled(T: Any) -> int | None:
    if T.__name__ != "ingot":
        return None
    from ingot.runtime.compiler import counts

    return counts["compiled"]


def _timed(run: Callable[[], Any]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def _encoder(T: Any) -> Any:
    model = T.nn.TransformerEncoderLayer(64, 4, 128, dropout=0.0, batch_first=True)
    return models.initialise(T, model).eval()


def _over_lengths(contender: str, make: Callable[[Any], Any], given: Callable[[int], np.ndarray]) -> Line:
    """A network at 100 lengths, each of them soon once more, and then all of them again."""
    T, compiled = _load(contender)
    run = compiled(make(T))
    inputs = [T.tensor(given(n)) for n in LENGTHS]
    before = _compiled(T)
    with T.no_grad():
        fresh, again = [], []
        for i, x in enumerate(inputs):
            fresh.append(_timed(lambda x=x: run(x).numpy()))
            if i >= SOON:
                again.append(_timed(lambda x=inputs[i - SOON]: run(x).numpy()))
        rounds = [[_timed(lambda x=x: run(x).numpy()) for x in inputs] for _ in range(3)]
    known = [min(r[i] for r in rounds) for i in range(len(inputs))]
    made = _compiled(T)
    return {
        "whole": sum(fresh),
        "known": sum(known),
        "more": statistics.median(f - k for f, k in list(zip(fresh, again))[KNOWN_FROM:]),  # what happens on the machine meets both
        **({} if made is None else {"compiled": made - (before or 0)}),
    }


def _ids(n: int) -> np.ndarray:
    return np.arange(n, dtype=np.int64)[None] % 4096


def _states(n: int) -> np.ndarray:
    return np.random.default_rng(n).standard_normal((1, n, 64), dtype=np.float32)


def _generate(contender: str, held: bool = False) -> Line:
    """256 tokens, one after the other, keys and values joined to those before as users write it: passed in and out, or `held`."""
    T, compiled = _load(contender)
    width, heads, layers = 128, 4, 2
    F, nn = T.nn.functional, T.nn

    class Step(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.tokens, self.head = nn.Embedding(512, width), nn.Linear(width, 512)
            self.qkv = nn.ModuleList([nn.Linear(width, 3 * width) for _ in range(layers)])
            self.out = nn.ModuleList([nn.Linear(width, width) for _ in range(layers)])

            self.cache = None

        def forward(self, token: Any, cache: Any) -> Any:
            x, kept = self.tokens(token), []
            cache = self.cache if held else cache
            for i in range(layers):
                q, k, v = (p.view(1, 1, heads, width // heads).transpose(1, 2) for p in self.qkv[i](x).chunk(3, dim=-1))
                if cache is not None:
                    k, v = T.cat([cache[i][0], k], dim=2), T.cat([cache[i][1], v], dim=2)
                kept.append((k, v))
                y = F.scaled_dot_product_attention(q, k, v)
                x = x + self.out[i](y.transpose(1, 2).reshape(1, 1, width))
            if held:
                self.cache = kept
            return self.head(x)[:, -1].argmax(-1), None if held else kept

    model = models.initialise(T, Step()).eval()
    run = compiled(model)
    before = _compiled(T)

    def generate() -> list[int]:
        token, cache, out = T.tensor([[1]]), None, []
        model.cache = None
        for _ in range(256):
            found, cache = run(token, cache)
            out.append(int(found))
            token = found.reshape(1, 1)
        return out

    with T.no_grad():
        first = _timed(generate)
        again = min(_timed(generate) for _ in range(3))
    made = _compiled(T)
    return {"whole": first, "known": again, **({} if made is None else {"compiled": made - (before or 0)})}


def _short_batch(contender: str) -> Line:
    """Two epochs of an MLP whose last batch is short."""
    T, compiled = _load(contender)
    model = models.initialise(T, models.mlp(T))
    optimizer = T.optim.SGD(model.parameters(), lr=0.01)
    rng = np.random.default_rng(0)
    batches = [(T.tensor(rng.standard_normal((n, 784), dtype=np.float32)), T.tensor(rng.integers(0, 10, n))) for n in [64] * 9 + [23]]
    before = _compiled(T)

    def step(x: Any, y: Any) -> Any:
        optimizer.zero_grad()
        loss = T.nn.functional.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        return loss

    run = compiled(step)

    def epoch() -> list[float]:
        return [_timed(lambda x=x, y=y: run(x, y).item()) for x, y in batches]

    whole = _timed(epoch)
    later = [epoch() for _ in range(5)]
    made = _compiled(T)
    return {
        "whole": whole,
        "known": min(map(sum, later)),
        "full": statistics.median(t for e in later for t in e[:-1]),
        "short": statistics.median(e[-1] for e in later),
        **({} if made is None else {"compiled": made - (before or 0)}),
    }


_UNARY = ("exp", "tanh", "relu", "sigmoid", "abs", "sqrt", "sin", "cos", "neg", "square")


def _notebook(contender: str) -> Line:
    """200 distinct small expressions over changing shapes, each shown as it is typed."""
    T, _ = _load(contender)
    rng = random.Random(3)

    def line() -> None:
        rows, columns = rng.randint(1, 40), rng.choice((3, 4, 8, 10))
        x = T.tensor(np.full((rows, columns), 0.5, np.float32))
        for _ in range(rng.randint(1, 4)):
            kind = rng.randrange(5)
            if kind == 0:
                x = getattr(T, rng.choice(_UNARY))(x)
            elif kind == 1:
                x = x * rng.random() + x.mean(dim=rng.randrange(2), keepdim=True)
            elif kind == 2:
                x = (x @ x.T).softmax(-1)[:, :3]
            elif kind == 3:
                x = T.cat([x, x[: rng.randint(1, rows)]]) - x.max()
            else:
                x = x[x.shape[0] // 3 :].cumsum(0)
        x.sum().item()

    return {"whole": _timed(lambda: [line() for _ in range(200)])}


def _prompt(contender: str) -> Line:
    """What is typed at the prompt: an expression, the like of it at another shape, random numbers."""
    T, _ = _load(contender)
    if T.__name__ == "ingot":
        import llvmlite.binding  # noqa: F401  # the compiler is imported once in the life of a process
    arrays = [T.tensor(np.full((n, 16), 0.1, np.float32)) for n in (20, 21, 22, 23, 24)]
    first, second, *more = [_timed(lambda a=a: (a @ a.T).softmax(-1).sum().item()) for a in arrays]
    known = _timed(lambda: (arrays[0] @ arrays[0].T).softmax(-1).sum().item())
    random_first, _, *random_more = [_timed(lambda n=n: T.randn(n, 7).numpy()) for n in range(30, 40)]
    return {
        "first": first, "second": second, "fresh": statistics.median(more), "known": known, "random": random_first,
        "fresh random": statistics.median(random_more),
    }  # fmt: skip


_BATCHES: dict[str, tuple[Callable[[Any], Any], Callable[[int], np.ndarray], int]] = {
    "mlp": (models.mlp, lambda n: np.ones((n, 784), np.float32), 64),
    "lenet": (models.lenet, lambda n: np.ones((n, 1, 28, 28), np.float32), 16),
    "gpt": (models.gpt, lambda n: np.ones((n, 128), np.int64), 4),
    "lstm": (models.lstm, lambda n: np.ones((64, n, 128), np.float32), 16),
}


def _static(contender: str) -> Line:
    """Inference with a symbolic batch, over static code at the same size: ratios of the best of many calls that take turns."""
    T, _ = _load(contender)
    out: Line = {}
    for name, (make, given, size) in _BATCHES.items():
        model = models.initialise(T, make(T)).eval()
        axis = 1 if name == "lstm" else 0
        x, other = T.tensor(given(size)), T.tensor(given(size + 1))
        with T.no_grad():
            static, symbolic = T.compile(model, dynamic=False), T.compile(model)
            T.mark_dynamic(x, axis)
            for run in (static, symbolic):
                run(x)
            symbolic(other)
            times: dict[Any, list[float]] = {static: [], symbolic: []}
            end = time.perf_counter() + 2
            while time.perf_counter() < end:
                for run, found in times.items():
                    found.append(_timed(lambda run=run, x=x: run(x)))
        out[name] = statistics.median(times[symbolic]) / statistics.median(times[static])
    return out


SCENARIOS: dict[str, Callable[[str], Line]] = {
    "encoder": lambda c: _over_lengths(c, _encoder, _states),
    "gpt": lambda c: _over_lengths(c, lambda T: models.initialise(T, models.gpt(T, length=512)).eval(), _ids),
    "generate": _generate,
    "held": lambda c: _generate(c, held=True),
    "short_batch": _short_batch,
    "notebook": _notebook,
    "prompt": _prompt,
    "static": _static,
}


def main() -> None:
    """Run what the command line says."""
    print(json.dumps(SCENARIOS[sys.argv[1]](sys.argv[2])), flush=True)


if __name__ == "__main__":
    main()
