"""Sequences of points that fill the unit cube evenly, by the names of torch.quasirandom."""

from __future__ import annotations

import warnings
from typing import Any

import ingot
from ingot._tensor import Tensor
from ingot.ir.dtypes import DType

__all__ = ["SobolEngine"]


class SobolEngine:
    """Sobol's sequence in `dimension` dims (up to 21201, ValueError), with Joe and Kuo's direction numbers: SciPy makes it.

    scramble: permute its digits at random, by `seed` (an int) or by Ingot's own random numbers. ImportError without SciPy.

    >>> ingot.quasirandom.SobolEngine(2).draw(3)
    tensor([[0.0000, 0.0000],
            [0.5000, 0.5000],
            [0.7500, 0.2500]])
    """

    MAXBIT = 30
    MAXDIM = 21201

    def __init__(self, dimension: int, scramble: bool = False, seed: int | None = None):
        if not 1 <= dimension <= self.MAXDIM:
            raise ValueError(f"Supported range of dimensionality for SobolEngine is [1, {self.MAXDIM}]")
        self.dimension, self.scramble, self.seed = dimension, scramble, seed
        self.num_generated = 0
        self._start = seed if seed is not None else int(ingot.randint(0, 2**31, (1,)).item()) if scramble else None
        self.reset()

    def reset(self) -> SobolEngine:
        """Begin again. Gives itself."""
        try:
            from scipy.stats import qmc
        except ImportError as e:
            raise ImportError("SobolEngine needs SciPy: pip install 'ingot[quasirandom]'") from e
        self._points = qmc.Sobol(self.dimension, scramble=self.scramble, seed=self._start, bits=self.MAXBIT)
        self.num_generated = 0
        return self

    def fast_forward(self, n: int) -> SobolEngine:
        """Leave out the next `n` points. Gives itself."""
        if n:
            self._points.fast_forward(n)
        self.num_generated += n
        return self

    def draw(self, n: int = 1, out: Tensor | None = None, dtype: DType | None = None) -> Tensor:
        """The next `n` points, (n, dimension), of `dtype` (the default dtype)."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # of numbers of points that are no powers of two
            points = self._points.random(n)
        self.num_generated += n
        drawn = ingot.from_numpy(points).to(dtype or ingot.get_default_dtype())
        return drawn if out is None else out.resize_(drawn.shape).copy_(drawn)

    def draw_base2(self, m: int, out: Tensor | None = None, dtype: DType | None = None) -> Tensor:
        """The next 2 ** m points. ValueError where as many as there are then is no power of two."""
        total = self.num_generated + 2**m
        if total & (total - 1):
            raise ValueError(
                f"The balance properties of Sobol' points require n to be a power of 2. {self.num_generated} points have been previously "
                f"generated, then: n={self.num_generated}+2**{m}={total}. If you still want to do this, please use 'SobolEngine.draw()' "
                "instead."
            )
        return self.draw(2**m, out, dtype)

    def __repr__(self) -> str:
        said = [f"dimension={self.dimension}", *(["scramble=True"] if self.scramble else [])]
        return f"SobolEngine({', '.join(said + ([f'seed={self.seed}'] if self.seed is not None else []))})"

    def __getstate__(self) -> dict[str, Any]:
        return {k: v for k, v in self.__dict__.items() if k != "_points"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        drawn = state["num_generated"]
        self.__dict__.update(state)
        self.reset().fast_forward(drawn)
