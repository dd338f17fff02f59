"""Ready-made parametrizations: `weight_norm` and `spectral_norm`."""

from __future__ import annotations

import ingot
from ingot._tensor import Tensor
from ingot._tensor.composites import composite
from ingot.nn.modules.module import Module
from ingot.nn.utils.parametrize import register_parametrization

__all__ = ["spectral_norm", "weight_norm"]


@composite
def norm_except(v: Tensor, dim: int) -> Tensor:
    """The norms of the slices of `v` along `dim` (of all of it for -1), with extents of 1 elsewhere."""
    if dim == -1:
        return ingot.linalg.vector_norm(v)
    return ingot.linalg.vector_norm(v, dim=tuple(d for d in range(v.ndim) if d != dim % v.ndim), keepdim=True)


@composite
def scaled(g: Tensor, v: Tensor, dim: int) -> Tensor:
    """v * g / |v|, the norm of each slice along `dim`."""
    return v * (g / norm_except(v, dim))


class _WeightNorm(Module):
    def __init__(self, dim: int | None = 0):
        super().__init__()
        self.dim = -1 if dim is None else dim

    def forward(self, weight_g: Tensor, weight_v: Tensor) -> Tensor:
        return scaled(weight_g, weight_v, self.dim)

    def right_inverse(self, weight: Tensor) -> tuple[Tensor, Tensor]:
        return norm_except(weight, self.dim), weight


def weight_norm(module: Module, name: str = "weight", dim: int = 0) -> Module:
    """Split the parameter `name` into a magnitude (`original0`) and a direction (`original1`): w = g v / |v|. Returns `module`.

    The norm is that of each slice along `dim`, of the whole for None. ValueError where there is no such parameter.
    Source: https://arxiv.org/abs/1602.07868.

    >>> layer = nn.utils.parametrizations.weight_norm(nn.Linear(20, 40))
    >>> [(name, tuple(p.shape)) for name, p in layer.named_parameters()]
    [('bias', (40,)), ('parametrizations.weight.original0', (40, 1)), ('parametrizations.weight.original1', (40, 20))]
    """
    return register_parametrization(module, name, _WeightNorm(dim), unsafe=True)


class _SpectralNorm(Module):
    def __init__(self, weight: Tensor, n_power_iterations: int = 1, dim: int = 0, eps: float = 1e-12):
        super().__init__()
        if n_power_iterations <= 0:
            raise ValueError(f"Expected n_power_iterations to be positive, but got n_power_iterations={n_power_iterations}")
        self.dim, self.eps, self.n_power_iterations = dim % max(weight.ndim, 1), eps, n_power_iterations
        if weight.ndim > 1:
            with ingot.no_grad():
                matrix = self._matrix(weight)
                self.register_buffer("_u", self._unit(ingot.randn(matrix.shape[0], dtype=weight.dtype)))
                self.register_buffer("_v", self._unit(ingot.randn(matrix.shape[1], dtype=weight.dtype)))
                self._iterate(matrix, 15)

    def _unit(self, x: Tensor) -> Tensor:
        return x / ingot.linalg.vector_norm(x).clamp(min=self.eps)

    def _matrix(self, weight: Tensor) -> Tensor:
        return weight.movedim(self.dim, 0).flatten(1)

    def _iterate(self, matrix: Tensor, steps: int) -> None:
        u, v = self._u, self._v
        for _ in range(steps):
            u = self._unit(matrix @ v)
            v = self._unit(matrix.mT @ u)
        self._u.copy_(u)
        self._v.copy_(v)

    def forward(self, weight: Tensor) -> Tensor:
        if weight.ndim == 1:
            return self._unit(weight)
        matrix = self._matrix(weight)
        if self.training:
            with ingot.no_grad():
                self._iterate(matrix, self.n_power_iterations)
        u, v = self._u.clone(), self._v.clone()
        return weight / (u @ (matrix @ v))

    def right_inverse(self, value: Tensor) -> Tensor:
        return value


def spectral_norm(module: Module, name: str = "weight", n_power_iterations: int = 1, eps: float = 1e-12, dim: int | None = None) -> Module:
    """Divide the parameter `name` by its largest singular value, estimated by power iteration in training. Returns `module`.

    ValueError where there is no such parameter. Source: https://arxiv.org/abs/1802.05957.

    >>> layer = nn.utils.parametrizations.spectral_norm(nn.Linear(3, 2))
    >>> [name for name, p in layer.named_parameters()]
    ['bias', 'parametrizations.weight.original']
    """
    weight = getattr(module, name, None)
    if not isinstance(weight, Tensor):
        raise ValueError(f"Module '{module}' has no parameter or buffer with name '{name}'")
    if dim is None:
        dim = 1 if type(module).__name__.startswith("ConvTranspose") else 0
    return register_parametrization(module, name, _SpectralNorm(weight.detach(), n_power_iterations, dim, eps))
