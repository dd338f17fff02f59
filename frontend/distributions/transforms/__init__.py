"""Invertible maps between sets, with the logarithm of their Jacobian's determinant."""

from ingot.distributions.transforms.base import ComposeTransform, IndependentTransform, ReshapeTransform, Transform, identity_transform
from ingot.distributions.transforms.base import _InverseTransform as _InverseTransform
from ingot.distributions.transforms.elementwise import (
    AbsTransform,
    AffineTransform,
    CumulativeDistributionTransform,
    ExpTransform,
    PowerTransform,
    SigmoidTransform,
    SoftplusTransform,
    TanhTransform,
)
from ingot.distributions.transforms.elementwise import _clipped_sigmoid as _clipped_sigmoid
from ingot.distributions.transforms.parts import CatTransform, StackTransform
from ingot.distributions.transforms.vectors import (
    CorrCholeskyTransform,
    LowerCholeskyTransform,
    PositiveDefiniteTransform,
    SoftmaxTransform,
    StickBreakingTransform,
)

__all__ = [
    "AbsTransform", "AffineTransform", "CatTransform", "ComposeTransform", "CorrCholeskyTransform", "CumulativeDistributionTransform",
    "ExpTransform", "IndependentTransform", "LowerCholeskyTransform", "PositiveDefiniteTransform", "PowerTransform", "ReshapeTransform",
    "SigmoidTransform", "SoftmaxTransform", "SoftplusTransform", "StackTransform", "StickBreakingTransform", "TanhTransform", "Transform",
    "identity_transform",
]  # fmt: skip
