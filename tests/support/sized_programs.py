"""Random programs whose sizes are parameters: the same steps on tensors and on NumPy arrays, at any sizes.

A dim of a value is the name of what its extent is: a parameter ("n", "m"), a sum ("n+m", "n+2"), a product ("n*m") or a number ("4").
Steps are chosen by the names alone, so that one seed is one structure.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import ingot

__all__ = ["SizedProgram"]

Names = tuple[str, ...]


def extent(name: str, sizes: dict[str, int]) -> int:
    """What a dim is at these sizes."""
    return eval(name, {}, sizes)


class SizedProgram:
    """The program of one seed. `run(sizes, ingot=True)` gives what it computes as arrays, `run(sizes, False)` what NumPy does."""

    def __init__(self, seed: int, steps: int = 8):
        self.rng = np.random.default_rng(seed)
        self.inputs: list[Names] = [("n", "4"), ("m", "n"), ("n",)]
        self.pool: list[Names] = list(self.inputs)
        self.steps: list[tuple[str, tuple[int, ...], Callable[..., Any], Callable[..., Any]]] = []
        self.texts: list[str] = []
        while len(self.steps) < steps:
            getattr(self, str(self.rng.choice(KINDS)))()

    def run(self, sizes: dict[str, int], with_ingot: bool) -> list[np.ndarray]:
        """All values that the program makes, the inputs aside."""
        rng = np.random.default_rng(sum(v * 31**i for i, v in enumerate(sizes.values())))
        values: list[Any] = [rng.integers(-3, 4, [extent(d, sizes) for d in names]).astype(np.float32) for names in self.inputs]
        if with_ingot:
            values = [ingot.tensor(v) for v in values]
        for _, reads, by_ingot, by_numpy in self.steps:
            values.append((by_ingot if with_ingot else by_numpy)(sizes, *[values[i] for i in reads]))
        return [v.numpy() if with_ingot else v for v in values[len(self.inputs) :]]

    def __str__(self) -> str:
        steps = (f"{name}{reads}: {names}" for (name, reads, *_), names in zip(self.steps, self.texts))
        return "\n".join([f"inputs {self.inputs}", *steps])

    # ---- steps

    def _pick(self, fits: Callable[[Names], bool] = lambda names: True) -> int | None:
        found = [i for i, names in enumerate(self.pool) if fits(names)]
        return int(self.rng.choice(found)) if found else None

    def _add(self, name: str, reads: tuple[int, ...], names: Names, by_ingot: Callable[..., Any], by_numpy: Callable[..., Any]) -> None:
        if len(names) > 4 or sum(len(d) for d in names) > 40:
            return
        self.steps.append((name, reads, by_ingot, by_numpy))
        self.pool.append(names)
        self.texts.append(str(names))

    def _same(self, name: str, by_ingot: Callable[..., Any], by_numpy: Callable[..., Any]) -> None:
        i = self._pick()
        self._add(name, (i,), self.pool[i], lambda s, x: by_ingot(x), lambda s, x: by_numpy(x))

    def add(self) -> None:
        i = self._pick()
        j = self._pick(lambda names: names and names == self.pool[i][-len(names) :])
        if j is not None and self.pool[i]:
            self._add("add", (i, j), self.pool[i], lambda s, x, y: x + y, lambda s, x, y: x + y)

    def scaled(self) -> None:
        k = float(self.rng.integers(1, 4))
        self._same("scaled", lambda x: x * k - 1, lambda x: x * np.float32(k) - 1)

    def relu(self) -> None:
        self._same("relu", ingot.relu, lambda x: np.maximum(x, 0))

    def square_rooted(self) -> None:
        self._same("square_rooted", lambda x: ingot.sqrt(x.abs()), lambda x: np.sqrt(np.abs(x)))

    def outer(self) -> None:
        i, j = self._pick(lambda names: len(names) == 1), self._pick(lambda names: len(names) == 1)
        names = (*self.pool[i], *self.pool[j])
        self._add("outer", (i, j), names, lambda s, x, y: x[:, None] * y, lambda s, x, y: x[:, None] * y)

    def product(self) -> None:
        i = self._pick(lambda names: len(names) == 2)
        j = self._pick(lambda names: len(names) == 2 and names[0] == self.pool[i][1])
        if j is not None:
            self._add("product", (i, j), (self.pool[i][0], self.pool[j][1]), lambda s, x, y: x @ y, lambda s, x, y: x @ y)

    def transposed(self) -> None:
        i = self._pick(lambda names: len(names) >= 2)
        names = self.pool[i]
        self._add(
            "transposed", (i,), (*names[:-2], names[-1], names[-2]), lambda s, x: x.transpose(-1, -2), lambda s, x: np.swapaxes(x, -1, -2)
        )

    def flat(self) -> None:
        i = self._pick(lambda names: len(names) >= 2)
        self._add("flat", (i,), ("*".join(f"({d})" for d in self.pool[i]),), lambda s, x: x.reshape(-1), lambda s, x: x.reshape(-1))

    def folded(self) -> None:
        i = self._pick(lambda names: len(names) >= 2)
        a, *rest = self.pool[i]
        merged = f"({a})*({rest[0]})"
        self._add(
            "folded", (i,), (merged, *rest[1:]), lambda s, x: x.flatten(0, 1), lambda s, x: x.reshape(x.shape[0] * x.shape[1], *x.shape[2:])
        )

    def summed(self) -> None:
        i = self._pick(lambda names: len(names) >= 1)
        axis = int(self.rng.integers(len(self.pool[i])))
        names = self.pool[i]
        self._add("summed", (i,), names[:axis] + names[axis + 1 :], lambda s, x: x.sum(axis), lambda s, x: x.sum(axis, dtype=np.float32))

    def centred(self) -> None:
        i = self._pick(lambda names: len(names) >= 1)

        def by_numpy(s: Any, x: np.ndarray) -> np.ndarray:
            with np.errstate(all="ignore"):
                return x - (x.sum(0, keepdims=True) / np.float32(x.shape[0]))

        self._add("centred", (i,), self.pool[i], lambda s, x: x - x.mean(0, keepdim=True), by_numpy)

    def softmax(self) -> None:
        i = self._pick(lambda names: len(names) >= 1)

        def by_numpy(s: Any, x: np.ndarray) -> np.ndarray:
            if not x.size:
                return x
            e = np.exp(x - x.max(-1, keepdims=True))
            return e / e.sum(-1, keepdims=True)

        self._add("softmax", (i,), self.pool[i], lambda s, x: ingot.softmax(x, -1), by_numpy)

    def running(self) -> None:
        i = self._pick(lambda names: len(names) >= 1)
        self._add("running", (i,), self.pool[i], lambda s, x: x.cumsum(0), lambda s, x: x.cumsum(0, dtype=np.float32))

    def ordered(self) -> None:
        i = self._pick(lambda names: len(names) >= 1)
        self._add("ordered", (i,), self.pool[i], lambda s, x: x.sort(0)[0], lambda s, x: np.sort(x, 0))

    def turned(self) -> None:
        i = self._pick(lambda names: len(names) >= 1)
        self._add("turned", (i,), self.pool[i], lambda s, x: x.flip(0), lambda s, x: np.flip(x, 0))

    def joined(self) -> None:
        i = self._pick(lambda names: len(names) >= 1)
        j = self._pick(lambda names: len(names) == len(self.pool[i]) and names[1:] == self.pool[i][1:])
        a, b = self.pool[i], self.pool[j]
        self._add(
            "joined", (i, j), (f"({a[0]})+({b[0]})", *a[1:]), lambda s, x, y: ingot.cat([x, y]), lambda s, x, y: np.concatenate([x, y])
        )

    def padded(self) -> None:
        i = self._pick(lambda names: len(names) >= 1)
        *lead, d = self.pool[i]

        def by_numpy(s: Any, x: np.ndarray) -> np.ndarray:
            return np.pad(x, [(0, 0)] * (x.ndim - 1) + [(1, 2)])

        self._add("padded", (i,), (*lead, f"({d})+3"), lambda s, x: ingot.nn.functional.pad(x, (1, 2)), by_numpy)

    def cut(self) -> None:
        """The first half, or what is behind a third."""
        i = self._pick(lambda names: len(names) >= 1)
        d, *rest = self.pool[i]
        if self.rng.integers(2):
            self._add("head", (i,), (f"({d})//2", *rest), lambda s, x: x[: len(x) // 2], lambda s, x: x[: len(x) // 2])
        else:
            self._add("tail", (i,), (f"({d})-({d})//3", *rest), lambda s, x: x[len(x) // 3 :], lambda s, x: x[len(x) // 3 :])

    def every_other(self) -> None:
        i = self._pick(lambda names: len(names) >= 1)
        d, *rest = self.pool[i]
        self._add("every_other", (i,), (f"(({d})+1)//2", *rest), lambda s, x: x[::2], lambda s, x: x[::2])

    def counted(self) -> None:
        self._add("counted", (), ("n",), lambda s: ingot.arange(s["n"]).float(), lambda s: np.arange(s["n"], dtype=np.float32))

    def filled(self) -> None:
        self._add("filled", (), ("m", "n"), lambda s: ingot.full((s["m"], s["n"]), 2.0), lambda s: np.full((s["m"], s["n"]), 2, np.float32))

    def written(self) -> None:
        """A row is written in place, at a place that moves with the sizes."""
        i = self._pick(lambda names: len(names) >= 1 and names[0] == "n")
        if i is None:
            return

        def by_ingot(s: dict[str, int], x: Any) -> Any:
            y = x.clone()
            if len(y):
                y[s["m"] % len(y)] = 7.0
            return y

        def by_numpy(s: dict[str, int], x: np.ndarray) -> np.ndarray:
            y = x.copy()
            if len(y):
                y[s["m"] % len(y)] = 7.0
            return y

        self._add("written", (i,), self.pool[i], by_ingot, by_numpy)

    def picked(self) -> None:
        i = self._pick(lambda names: len(names) >= 1 and names[0] == "n")
        if i is not None:
            names = ("n", *self.pool[i][1:])

            def by_numpy(s: dict[str, int], x: np.ndarray) -> np.ndarray:
                return x[np.arange(s["n"])[::-1] // 2]

            self._add("picked", (i,), names, lambda s, x: x[ingot.arange(s["n"]).flip(0) // 2], by_numpy)

    def triangle(self) -> None:
        i = self._pick(lambda names: len(names) >= 2)
        self._add("triangle", (i,), self.pool[i], lambda s, x: x.tril(), lambda s, x: np.tril(x))


KINDS = [
    "add", "scaled", "relu", "square_rooted", "outer", "product", "transposed", "flat", "folded", "summed", "centred", "softmax", "running",
    "ordered", "turned", "joined", "padded", "cut", "every_other", "counted", "filled", "written", "picked", "triangle",
]  # fmt: skip
