"""Ready-made parametrizations: `weight_norm`, `spectral_norm` and `orthogonal`."""

from __future__ import annotations

import ingot
from ingot._tensor import Tensor
from ingot._tensor.composites import composite
from ingot.nn.modules.module import Module
from ingot.nn.utils.parametrize import register_parametrization

__all__ = ["orthogonal", "spectral_norm", "weight_norm"]


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
                self.register_buffer("_u", self._unit(ingot.randn(matrix.shape[0], dtype=weight.dtype, device=weight.device)))
                self.register_buffer("_v", self._unit(ingot.randn(matrix.shape[1], dtype=weight.dtype, device=weight.device)))
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


class _Orthogonal(Module):
    """A matrix with orthonormal columns (rows, where it is wide), as a function of a matrix without constraint."""

    base: Tensor | None

    def __init__(self, weight: Tensor, orthogonal_map: str, use_trivialization: bool):
        super().__init__()
        self.orthogonal_map = orthogonal_map
        self.register_buffer("base", None)
        self._trivial = use_trivialization  # relative to the present value

    def forward(self, weight: Tensor) -> Tensor:
        wide = weight.shape[-2] < weight.shape[-1]
        x = weight.mT if wide else weight
        n, k = x.shape[-2:]
        if self.orthogonal_map == "householder":
            a = x.tril(-1)
            tau = 2.0 / (1.0 + (a * a).sum(-2))
            q = ingot.linalg.householder_product(a, tau) * ingot.diagonal(x, dim1=-2, dim2=-1).int().to(x.dtype).unsqueeze(-2)
        else:
            x = x.tril()
            if n != k:
                x = ingot.cat([x, x.new_zeros((*x.shape[:-2], n, n - k))], -1)
            skew = x - x.mT
            if self.orthogonal_map == "matrix_exp":
                q = ingot.linalg.matrix_exp(skew)
            else:
                one = ingot.eye(n, dtype=x.dtype)
                q = ingot.linalg.solve(one - skew * 0.5, one + skew * 0.5)
            q = q[..., :k]
        if self.base is not None:
            q = self.base @ q
        return q.mT if wide else q

    def right_inverse(self, weight: Tensor) -> Tensor:
        q = weight.mT if weight.shape[-2] < weight.shape[-1] else weight
        n, k = q.shape[-2:]
        if not self._trivial:
            if self.orthogonal_map != "householder":
                raise NotImplementedError(
                    "It is not possible to assign to the matrix exponential or the Cayley parametrizations when use_trivialization=False."
                )
            a, tau = ingot.geqrf(q)
            signs = ingot.sign(ingot.diagonal(a, dim1=-2, dim2=-1))
            signs = ingot.where(tau == 0, -signs, signs)
            a = _with_diagonal(a, signs)
            return a.mT if weight.shape[-2] < weight.shape[-1] else a
        if n == k:
            gram = q.mT @ q
            near = bool(ingot.allclose(gram, ingot.eye(n, dtype=q.dtype).expand(gram.shape), atol=n * ingot.finfo(q.dtype).eps * 10))
            base = q.clone() if near else _orthonormal(q)
        else:
            base = _orthonormal(ingot.cat([q, ingot.randn((*q.shape[:-1], n - k), dtype=q.dtype, device=q.device)], -1))
        self.base = base.detach()
        if self.orthogonal_map == "householder":  # the reflections of zero make the identity up to the signs on the diagonal
            return -ingot.eye(*weight.shape[-2:], dtype=q.dtype).expand(weight.shape).clone()
        return ingot.zeros_like(weight)


def _with_diagonal(a: Tensor, values: Tensor) -> Tensor:
    n, k = a.shape[-2:]
    on = ingot.eye(n, k, dtype=ingot.bool)
    return ingot.where(on, ingot.cat([ingot.diag_embed(values), a.new_zeros((*a.shape[:-2], n - k, k))], -2), a)


def _orthonormal(a: Tensor) -> Tensor:
    """Q of a QR factorization whose R has a positive diagonal."""
    q, r = ingot.linalg.qr(a)
    return q * ingot.sign(ingot.diagonal(r, dim1=-2, dim2=-1)).unsqueeze(-2)


def orthogonal(module: Module, name: str = "weight", orthogonal_map: str | None = None, *, use_trivialization: bool = True) -> Module:
    """Make the parameter `name` a matrix (or batch of them) with orthonormal columns, or rows where it is wide. Returns `module`.

    orthogonal_map: how it is computed from a matrix without constraint: "matrix_exp" (default for square ones), "cayley", or
    "householder" (default for others). use_trivialization: relative to the value that it has at first, made orthogonal.

    ValueError where there is no such parameter, it has fewer than two dims, or for another map.
    Source: https://arxiv.org/abs/1909.09501.

    >>> layer = nn.utils.parametrizations.orthogonal(nn.Linear(4, 2))
    >>> ingot.allclose(layer.weight @ layer.weight.T, ingot.eye(2), atol=1e-6)
    True
    """
    weight = getattr(module, name, None)
    if not isinstance(weight, Tensor):
        raise ValueError(f"Module '{module}' has no parameter or buffer with name '{name}'")
    if weight.ndim < 2:
        raise ValueError(f"Expected a matrix or batch of matrices. Got a tensor of {weight.ndim} dimensions.")
    if orthogonal_map is None:
        orthogonal_map = "matrix_exp" if weight.shape[-2] == weight.shape[-1] else "householder"
    if orthogonal_map not in ("matrix_exp", "cayley", "householder"):
        raise ValueError(f'orthogonal_map has to be one of "matrix_exp", "cayley", "householder". Got: {orthogonal_map}')
    return register_parametrization(module, name, _Orthogonal(weight, orthogonal_map, use_trivialization), unsafe=True)
