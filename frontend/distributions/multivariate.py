"""Distributions of vectors and matrices, and of angles."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import ingot
from ingot import _draws
from ingot._tensor import Tensor
from ingot.distributions import constraints
from ingot.distributions.distribution import Distribution, ExponentialFamily
from ingot.distributions.gammas import Beta, Chi2
from ingot.distributions.utils import broadcast_all, lazy_property, matmul_vector, stream

__all__ = ["LKJCholesky", "LowRankMultivariateNormal", "MultivariateNormal", "VonMises", "Wishart"]

_LOG_2PI = math.log(2 * math.pi)


def mahalanobis(low: Tensor, x: Tensor) -> Tensor:
    """x^T (L L^T)^-1 x, for (batches of) a lower triangular L and a vector x; infinite where an element of x is."""
    shape = ingot.broadcast_shapes(tuple(low.shape[:-2]), tuple(x.shape[:-1]))
    n = x.shape[-1]
    low = low.expand((*shape, n, n))
    infinite = x.isinf()
    x = x.masked_fill(infinite, 0.0)  # its products with zeros above the diagonal would be NaN
    solved = ingot.linalg.solve_triangular(low, x.expand((*shape, n)).unsqueeze(-1), upper=False)
    return solved.squeeze(-1).pow(2).sum(-1).masked_fill(infinite.any(-1).expand(shape), math.inf)


def _half_log_det(low: Tensor) -> Tensor:
    return low.diagonal(0, -2, -1).log().sum(-1)


def _precision_to_scale_tril(precision: Tensor) -> Tensor:
    """The Cholesky factor of the inverse."""
    flipped = ingot.linalg.cholesky(precision.flip(-2, -1)).flip(-2, -1).mT
    one = ingot.eye(precision.shape[-1], dtype=precision.dtype)
    return ingot.linalg.solve_triangular(flipped, one.expand(flipped.shape), upper=False)


class _Matrices(Distribution):
    """What is given by a covariance, a precision, or the covariance's Cholesky factor `scale_tril`."""

    def _given(self, covariance: Any, precision: Any, scale_tril: Any) -> tuple[str, Tensor]:
        given = {"covariance_matrix": covariance, "precision_matrix": precision, "scale_tril": scale_tril}
        named = [(k, v) for k, v in given.items() if v is not None]
        if len(named) != 1:
            raise ValueError("Exactly one of covariance_matrix or precision_matrix or scale_tril may be specified.")
        name, matrix = named[0]
        if matrix.ndim < 2:
            raise ValueError(f"{name} must be at least two-dimensional, with optional leading batch dimensions")
        return name, matrix

    def _factor(self, name: str, matrix: Tensor) -> Tensor:
        if name == "scale_tril":
            return matrix
        return ingot.linalg.cholesky(matrix) if name == "covariance_matrix" else _precision_to_scale_tril(matrix)

    @lazy_property
    def scale_tril(self) -> Tensor:
        """The covariance's Cholesky factor."""
        return self._unbroadcasted_scale_tril.expand((*self._batch_shape, *self._unbroadcasted_scale_tril.shape[-2:]))

    @lazy_property
    def covariance_matrix(self) -> Tensor:
        """The covariance."""
        low = self._unbroadcasted_scale_tril
        return (low @ low.mT).expand((*self._batch_shape, *low.shape[-2:]))

    @lazy_property
    def precision_matrix(self) -> Tensor:
        """The covariance's inverse."""
        low = self._unbroadcasted_scale_tril
        return ingot.cholesky_inverse(low).expand((*self._batch_shape, *low.shape[-2:]))

    _unbroadcasted_scale_tril: Tensor


class MultivariateNormal(_Matrices):
    """Normal vectors of mean `loc`, by one of a covariance, a precision and the covariance's Cholesky factor.

    >>> normal = ingot.distributions.MultivariateNormal(ingot.zeros(2), ingot.eye(2))
    >>> normal.log_prob(ingot.zeros(2))
    tensor(-1.8379)
    """

    arg_constraints = {
        "loc": constraints.real_vector, "covariance_matrix": constraints.positive_definite,
        "precision_matrix": constraints.positive_definite, "scale_tril": constraints.lower_cholesky,
    }  # fmt: skip
    support = constraints.real_vector
    has_rsample = True

    def __init__(
        self, loc: Tensor, covariance_matrix: Tensor | None = None, precision_matrix: Tensor | None = None,
        scale_tril: Tensor | None = None, validate_args: bool | None = None,
    ):  # fmt: skip
        if loc.ndim < 1:
            raise ValueError("loc must be at least one-dimensional.")
        name, matrix = self._given(covariance_matrix, precision_matrix, scale_tril)
        batch = ingot.broadcast_shapes(tuple(matrix.shape[:-2]), tuple(loc.shape[:-1]))
        self.loc = loc.expand((*batch, loc.shape[-1]))
        setattr(self, name, matrix.expand((*batch, *matrix.shape[-2:])))
        super().__init__(batch, tuple(self.loc.shape[-1:]), validate_args=validate_args)
        self._unbroadcasted_scale_tril = self._factor(name, matrix)

    @property
    def mean(self) -> Tensor:
        return self.loc

    @property
    def mode(self) -> Tensor:
        return self.loc

    @property
    def variance(self) -> Tensor:
        return self._unbroadcasted_scale_tril.pow(2).sum(-1).expand((*self._batch_shape, *self._event_shape))

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        z = ingot.randn(self._extended_shape(sample_shape), dtype=self.loc.dtype)
        return self.loc + matmul_vector(self._unbroadcasted_scale_tril, z)

    def log_prob(self, value: Tensor) -> Tensor:
        self._validate_sample(value)
        low = self._unbroadcasted_scale_tril
        return -0.5 * (self._event_shape[0] * _LOG_2PI + mahalanobis(low, value - self.loc)) - _half_log_det(low)

    def entropy(self) -> Tensor:
        h = 0.5 * self._event_shape[0] * (1.0 + _LOG_2PI) + _half_log_det(self._unbroadcasted_scale_tril)
        return h.expand(tuple(self._batch_shape))


class LowRankMultivariateNormal(Distribution):
    """Normal vectors of mean `loc`, whose covariance is cov_factor @ cov_factor.T + diag(cov_diag)."""

    arg_constraints = {
        "loc": constraints.real_vector, "cov_factor": constraints.independent(constraints.real, 2),
        "cov_diag": constraints.independent(constraints.positive, 1),
    }  # fmt: skip
    support = constraints.real_vector
    has_rsample = True

    def __init__(self, loc: Tensor, cov_factor: Tensor, cov_diag: Tensor, validate_args: bool | None = None):
        if loc.ndim < 1:
            raise ValueError("loc must be at least one-dimensional.")
        n = tuple(loc.shape[-1:])
        if cov_factor.ndim < 2:
            raise ValueError("cov_factor must be at least two-dimensional, with optional leading batch dimensions")
        if tuple(cov_factor.shape[-2:-1]) != n:
            raise ValueError(f"cov_factor must be a batch of matrices with shape {n[0]} x m")
        if tuple(cov_diag.shape[-1:]) != n:
            raise ValueError(f"cov_diag must be a batch of vectors with shape {n}")
        batch = ingot.broadcast_shapes(tuple(loc.shape[:-1]), tuple(cov_factor.shape[:-2]), tuple(cov_diag.shape[:-1]))
        self.loc, self.cov_diag = loc.expand((*batch, *n)), cov_diag.expand((*batch, *n))
        self.cov_factor = cov_factor.expand((*batch, *cov_factor.shape[-2:]))
        super().__init__(batch, n, validate_args=validate_args)

    def _capacitance(self) -> Tensor:
        """The Cholesky factor of I + W^T D^-1 W."""
        w = self.cov_factor
        scaled = w.mT / self.cov_diag.unsqueeze(-2)
        return ingot.linalg.cholesky(scaled @ w + ingot.eye(w.shape[-1], dtype=w.dtype))

    @property
    def mean(self) -> Tensor:
        return self.loc

    @property
    def mode(self) -> Tensor:
        return self.loc

    @lazy_property
    def variance(self) -> Tensor:  # type: ignore[override]
        """The variances."""
        return self.cov_factor.pow(2).sum(-1) + self.cov_diag

    @lazy_property
    def covariance_matrix(self) -> Tensor:
        """The covariance."""
        return self.cov_factor @ self.cov_factor.mT + ingot.diag_embed(self.cov_diag)

    @lazy_property
    def scale_tril(self) -> Tensor:
        """The covariance's Cholesky factor."""
        return ingot.linalg.cholesky(self.covariance_matrix)

    @lazy_property
    def precision_matrix(self) -> Tensor:
        """The covariance's inverse, by Woodbury's formula."""
        scaled = self.cov_factor.mT / self.cov_diag.unsqueeze(-2)
        a = ingot.linalg.solve_triangular(self._capacitance(), scaled, upper=False)
        return ingot.diag_embed(self.cov_diag.reciprocal()) - a.mT @ a

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        shape = self._extended_shape(sample_shape)
        w = ingot.randn((*shape[:-1], self.cov_factor.shape[-1]), dtype=self.loc.dtype)
        return self.loc + matmul_vector(self.cov_factor, w) + self.cov_diag.sqrt() * ingot.randn(shape, dtype=self.loc.dtype)

    def _log_det(self) -> Tensor:
        return 2 * _half_log_det(self._capacitance()) + self.cov_diag.log().sum(-1)

    def log_prob(self, value: Tensor) -> Tensor:
        self._validate_sample(value)
        difference = value - self.loc
        scaled = self.cov_factor.mT / self.cov_diag.unsqueeze(-2)
        plain = (difference.pow(2) / self.cov_diag).sum(-1)
        distance = plain - mahalanobis(self._capacitance(), matmul_vector(scaled, difference))
        return -0.5 * (self._event_shape[0] * _LOG_2PI + self._log_det() + distance)

    def entropy(self) -> Tensor:
        return (0.5 * (self._event_shape[0] * (1.0 + _LOG_2PI) + self._log_det())).expand(tuple(self._batch_shape))


def _mvdigamma(a: Tensor, n: int) -> Tensor:
    return ingot.digamma(a.unsqueeze(-1) - 0.5 * ingot.arange(n, dtype=a.dtype)).sum(-1)


class Wishart(_Matrices, ExponentialFamily):
    """Positive definite matrices: of sums of `df` squares of normal vectors with a covariance, a precision, or a Cholesky factor."""

    arg_constraints = {
        "covariance_matrix": constraints.positive_definite, "precision_matrix": constraints.positive_definite,
        "scale_tril": constraints.lower_cholesky, "df": constraints.greater_than(0),
    }  # fmt: skip
    support = constraints.positive_definite
    has_rsample = True
    _mean_carrier_measure = 0

    def __init__(
        self, df: Any, covariance_matrix: Tensor | None = None, precision_matrix: Tensor | None = None,
        scale_tril: Tensor | None = None, validate_args: bool | None = None,
    ):  # fmt: skip
        name, matrix = self._given(covariance_matrix, precision_matrix, scale_tril)
        df = df if isinstance(df, Tensor) else ingot.tensor(float(df), dtype=matrix.dtype)
        batch = ingot.broadcast_shapes(tuple(matrix.shape[:-2]), tuple(df.shape))
        n = matrix.shape[-1]
        self.df = df.expand(batch)
        self._n = n
        setattr(self, name, matrix.expand((*batch, n, n)))
        from ingot.runtime.recorder import here

        if not here.recorder.tracing and bool((self.df <= n - 1).any()):
            raise ValueError(f"Value of df={df} expected to be greater than ndim - 1 = {n - 1}.")
        super().__init__(batch, (n, n), validate_args=validate_args)
        self._unbroadcasted_scale_tril = self._factor(name, matrix)

    def _parameters(self) -> dict[str, int]:
        return {"covariance_matrix": 2, "precision_matrix": 2, "scale_tril": 2, "df": 0}

    @property
    def mean(self) -> Tensor:
        return self.df.reshape((*self._batch_shape, 1, 1)) * self.covariance_matrix

    @property
    def mode(self) -> Tensor:
        factor = self.df - self._n - 1
        factor = ingot.where(factor <= 0, math.nan, factor)
        return factor.reshape((*self._batch_shape, 1, 1)) * self.covariance_matrix

    @property
    def variance(self) -> Tensor:
        v = self.covariance_matrix
        diagonal = v.diagonal(0, -2, -1)
        return self.df.reshape((*self._batch_shape, 1, 1)) * (v.pow(2) + diagonal.unsqueeze(-1) * diagonal.unsqueeze(-2))

    def rsample(self, sample_shape: Sequence[int] = (), max_try_correction: Any = None) -> Tensor:
        """By Bartlett's decomposition."""
        n = self._n
        shape = (*sample_shape, *self._batch_shape)
        freedom = self.df.unsqueeze(-1) - ingot.arange(n, dtype=self.df.dtype)
        roots = Chi2(freedom, validate_args=False).rsample(tuple(sample_shape)).clamp(min=ingot.finfo(self.df.dtype).tiny).sqrt()
        noise = ingot.randn((*shape, n, n), dtype=self.df.dtype).tril(-1)
        factor = self._unbroadcasted_scale_tril @ (noise + ingot.diag_embed(roots))
        return factor @ factor.mT

    def log_prob(self, value: Tensor) -> Tensor:
        self._validate_sample(value)
        nu, n, low = self.df, self._n, self._unbroadcasted_scale_tril
        within = ingot.cholesky_solve(value, low).diagonal(0, -2, -1).sum(-1)
        log_det = ingot.linalg.slogdet(value).logabsdet
        head = -nu * (n * math.log(2) / 2 + _half_log_det(low)) - ingot.mvlgamma(nu / 2, n)
        return head + (nu - n - 1) / 2 * log_det - within / 2

    def entropy(self) -> Tensor:
        nu, n, low = self.df, self._n, self._unbroadcasted_scale_tril
        head = (n + 1) * (n * math.log(2) / 2 + _half_log_det(low)) + ingot.mvlgamma(nu / 2, n)
        return head - (nu - n - 1) / 2 * _mvdigamma(nu / 2, n) + nu * n / 2

    @property
    def _natural_params(self) -> tuple[Tensor, ...]:
        return -self.precision_matrix / 2, (self.df - self._n - 1) / 2

    def _log_normalizer(self, x: Tensor, y: Tensor) -> Tensor:  # type: ignore[override]
        n = self._n
        a = y + (n + 1) / 2
        return a * (-ingot.linalg.slogdet(-2 * x).logabsdet + math.log(2) * n) + ingot.mvlgamma(a, n)


class LKJCholesky(Distribution):
    """Cholesky factors of correlation matrices of size `dim`, nearer to the identity the larger `concentration` is.

    Source: Lewandowski, Kurowicka and Joe, https://doi.org/10.1016/j.jmva.2009.04.008.
    """

    arg_constraints = {"concentration": constraints.positive}
    support = constraints.corr_cholesky

    def __init__(self, dim: int, concentration: Any = 1.0, validate_args: bool | None = None):
        if dim < 2:
            raise ValueError(f"Expected dim to be an integer greater than or equal to 2. Found dim={dim}.")
        self.dim = dim
        (self.concentration,) = broadcast_all(concentration)
        super().__init__(tuple(self.concentration.shape), (dim, dim), validate_args=validate_args)

    def sample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        with ingot.no_grad():
            dim, dtype = self.dim, self.concentration.dtype
            marginal = self.concentration + 0.5 * (dim - 2)
            offset = ingot.cat([ingot.zeros(1, dtype=dtype), ingot.arange(dim - 1, dtype=dtype)])
            beta = Beta(offset + 0.5, marginal.unsqueeze(-1) - 0.5 * offset, validate_args=False)
            y = beta.sample(tuple(sample_shape)).unsqueeze(-1)
            noise = ingot.randn(self._extended_shape(sample_shape), dtype=dtype).tril(-1)
            rows = noise / noise.norm(dim=-1, keepdim=True)
            first = ingot.arange(dim).unsqueeze(-1) == 0
            rows = ingot.where(first, 0.0, rows)
            w = y.sqrt() * rows
            diagonal = (1 - (w**2).sum(-1)).clamp(min=ingot.finfo(dtype).tiny).sqrt()
            return w + ingot.diag_embed(diagonal)

    def log_prob(self, value: Tensor) -> Tensor:
        self._validate_sample(value)
        dim, eta = self.dim, self.concentration
        diagonal = value.diagonal(0, -2, -1)[..., 1:]
        order = ingot.arange(2, dim + 1, dtype=eta.dtype)
        order = 2 * (eta - 1).unsqueeze(-1) + dim - order
        weighted = (order * diagonal.log()).sum(-1)
        n = dim - 1
        alpha = eta + 0.5 * n
        normal = 0.5 * n * math.log(math.pi) + ingot.mvlgamma(alpha - 0.5, n) - ingot.lgamma(alpha) * n
        return weighted - normal


class VonMises(Distribution):
    """Angles around `loc`, the nearer the larger `concentration` is: exp(concentration * cos(x - loc)), normalized."""

    arg_constraints = {"loc": constraints.real, "concentration": constraints.positive}
    support = constraints.real

    def __init__(self, loc: Any, concentration: Any, validate_args: bool | None = None):
        self.loc, self.concentration = broadcast_all(loc, concentration)
        super().__init__(tuple(self.loc.shape), validate_args=validate_args)

    def _log_bessel(self) -> Tensor:
        """log I0, which does not overflow."""
        return ingot.special.i0e(self.concentration).log() + self.concentration

    @property
    def mean(self) -> Tensor:
        return self.loc

    @property
    def mode(self) -> Tensor:
        return self.loc

    @lazy_property
    def variance(self) -> Tensor:  # type: ignore[override]
        """The circular variance."""
        return 1 - ingot.special.i1e(self.concentration) / ingot.special.i0e(self.concentration)

    def sample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        with ingot.no_grad():
            shape = self._extended_shape(sample_shape)
            angle = _draws.von_mises(self.concentration.expand(shape), stream).to(self.loc.dtype)
            return (angle + math.pi + self.loc) % (2 * math.pi) - math.pi

    def log_prob(self, value: Tensor) -> Tensor:
        self._validate_sample(value)
        return self.concentration * ingot.cos(value - self.loc) - _LOG_2PI - self._log_bessel()
