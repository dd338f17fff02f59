"""`ingot.distributions`: probability distributions by torch's names: samples with gradients, densities, moments, divergences.

    normal = ingot.distributions.Normal(mean, std)
    action = normal.rsample()
    loss = -normal.log_prob(action).sum() + ingot.distributions.kl_divergence(normal, prior).sum()
"""

from __future__ import annotations

from ingot._paths import below
from ingot.distributions import constraints, transforms
from ingot.distributions.constraint_registry import biject_to, transform_to
from ingot.distributions.continuous import ContinuousBernoulli, Exponential, GeneralizedPareto, Uniform
from ingot.distributions.derived import (
    Gumbel,
    Kumaraswamy,
    LogisticNormal,
    LogNormal,
    MixtureSameFamily,
    Pareto,
    Weibull,
)
from ingot.distributions.discrete import (
    Bernoulli,
    Binomial,
    Categorical,
    Geometric,
    Multinomial,
    NegativeBinomial,
    OneHotCategorical,
    OneHotCategoricalStraightThrough,
    Poisson,
)
from ingot.distributions.distribution import Distribution, ExponentialFamily
from ingot.distributions.gammas import Beta, Chi2, Dirichlet, FisherSnedecor, Gamma, InverseGamma
from ingot.distributions.kl import kl_divergence, register_kl
from ingot.distributions.locations import Cauchy, HalfCauchy, HalfNormal, Laplace, Normal, StudentT
from ingot.distributions.multivariate import LKJCholesky, LowRankMultivariateNormal, MultivariateNormal, VonMises, Wishart
from ingot.distributions.relaxed import RelaxedBernoulli, RelaxedOneHotCategorical
from ingot.distributions.transformed import Independent, TransformedDistribution
from ingot.distributions.transforms import *  # noqa: F403
from ingot.distributions.transforms import __all__ as _transforms

__all__ = [
    "Bernoulli", "Beta", "Binomial", "Categorical", "Cauchy", "Chi2", "ContinuousBernoulli", "Dirichlet", "Distribution", "Exponential",
    "ExponentialFamily", "FisherSnedecor", "Gamma", "GeneralizedPareto", "Geometric", "Gumbel", "HalfCauchy", "HalfNormal", "Independent",
    "InverseGamma", "Kumaraswamy", "LKJCholesky", "Laplace", "LogNormal", "LogisticNormal", "LowRankMultivariateNormal",
    "MixtureSameFamily", "Multinomial", "MultivariateNormal", "NegativeBinomial", "Normal", "OneHotCategorical",
    "OneHotCategoricalStraightThrough", "Pareto", "Poisson", "RelaxedBernoulli", "RelaxedOneHotCategorical", "StudentT",
    "TransformedDistribution", "Uniform", "VonMises", "Weibull", "Wishart", "biject_to", "constraints", "kl_divergence", "register_kl",
    "transform_to", "transforms", *_transforms,
]  # fmt: skip

__getattr__ = below(__name__)
