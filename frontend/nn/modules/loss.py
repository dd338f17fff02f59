"""Loss modules. Every one takes `reduction` ("none", "mean", "sum") and the two older flags it replaces."""

from __future__ import annotations

from typing import Any

from ingot._paths import also
from ingot._tensor import Tensor
from ingot.nn import functional as F
from ingot.nn.functional.reduction import reduction_mode
from ingot.nn.modules.module import Module

__all__ = [
    "L1Loss", "MSELoss", "SmoothL1Loss", "HuberLoss", "NLLLoss", "CrossEntropyLoss", "BCELoss", "BCEWithLogitsLoss", "KLDivLoss",
    "PoissonNLLLoss", "GaussianNLLLoss", "CosineEmbeddingLoss", "MarginRankingLoss", "TripletMarginLoss", "TripletMarginWithDistanceLoss",
    "HingeEmbeddingLoss", "SoftMarginLoss", "MultiMarginLoss", "MultiLabelSoftMarginLoss",
    "MultiLabelMarginLoss", "CTCLoss",
]  # fmt: skip

__getattr__ = also(__name__, "ingot.nn.modules.older")


class _Loss(Module):
    def __init__(self, size_average: bool | None = None, reduce: bool | None = None, reduction: str = "mean"):
        super().__init__()
        self.reduction = reduction if size_average is None and reduce is None else reduction_mode(reduction, size_average, reduce)


class _WeightedLoss(_Loss):
    def __init__(self, weight: Tensor | None = None, size_average: Any = None, reduce: Any = None, reduction: str = "mean"):
        super().__init__(size_average, reduce, reduction)
        self.register_buffer("weight", weight)


class L1Loss(_Loss):
    """|x - t|, reduced: `F.l1_loss` as a module.

    >>> nn.L1Loss()(ingot.tensor([1.0, 3.0]), ingot.tensor([1.0, 1.0]))
    tensor(1.)
    """

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return F.l1_loss(input, target, reduction=self.reduction)


class MSELoss(_Loss):
    """(x - t) ** 2, reduced: `F.mse_loss` as a module.

    >>> nn.MSELoss(reduction="sum")(ingot.tensor([1.0, 3.0]), ingot.tensor([1.0, 1.0]))
    tensor(4.)
    """

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return F.mse_loss(input, target, reduction=self.reduction)


class SmoothL1Loss(_Loss):
    """Quadratic where |x - t| < beta, linear above, reduced: `F.smooth_l1_loss` as a module.

    >>> nn.SmoothL1Loss(reduction="none")(ingot.tensor([0.5, 3.0]), ingot.zeros(2))
    tensor([0.1250, 2.5000])
    """

    def __init__(self, size_average: Any = None, reduce: Any = None, reduction: str = "mean", beta: float = 1.0):
        super().__init__(size_average, reduce, reduction)
        self.beta = beta

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return F.smooth_l1_loss(input, target, reduction=self.reduction, beta=self.beta)


class HuberLoss(_Loss):
    """Quadratic where |x - t| <= delta, linear above, reduced: `F.huber_loss` as a module.

    >>> nn.HuberLoss(reduction="none", delta=2.0)(ingot.tensor([0.5, 3.0]), ingot.zeros(2))
    tensor([0.1250, 4.0000])
    """

    def __init__(self, reduction: str = "mean", delta: float = 1.0):
        super().__init__(reduction=reduction)
        self.delta = delta

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return F.huber_loss(input, target, reduction=self.reduction, delta=self.delta)


class NLLLoss(_WeightedLoss):
    """-x[class] of log-probabilities (N, C, *) and int64 classes (N, *), reduced: `F.nll_loss` as a module.

    weight (C): of each class, a buffer. ignore_index: a class that counts nothing.

    >>> nn.NLLLoss()(ingot.tensor([[0.25, 0.75]]).log(), ingot.tensor([1]))
    tensor(0.2877)
    """

    def __init__(
        self, weight: Tensor | None = None, size_average: Any = None, ignore_index: int = -100, reduce: Any = None, reduction: str = "mean"
    ):
        super().__init__(weight, size_average, reduce, reduction)
        self.ignore_index = ignore_index

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return F.nll_loss(input, target, self.weight, ignore_index=self.ignore_index, reduction=self.reduction)


class CrossEntropyLoss(_WeightedLoss):
    """Cross-entropy of logits (N, C, *) and classes (N, *) or probabilities (N, C, *), reduced: `F.cross_entropy` as a module.

    weight (C): of each class, a buffer. ignore_index: a class that counts nothing. label_smoothing: in [0, 1].

    >>> nn.CrossEntropyLoss()(ingot.zeros(2, 4), ingot.tensor([0, 3]))
    tensor(1.3863)
    """

    def __init__(
        self,
        weight: Tensor | None = None,
        size_average: Any = None,
        ignore_index: int = -100,
        reduce: Any = None,
        reduction: str = "mean",
        label_smoothing: float = 0.0,
    ):
        super().__init__(weight, size_average, reduce, reduction)
        self.ignore_index = ignore_index
        self.label_smoothing = label_smoothing

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return F.cross_entropy(
            input, target, self.weight, ignore_index=self.ignore_index, reduction=self.reduction, label_smoothing=self.label_smoothing
        )


class BCELoss(_WeightedLoss):
    """Binary cross-entropy of probabilities, reduced: `F.binary_cross_entropy` as a module.

    >>> nn.BCELoss()(ingot.tensor([0.9, 0.5]), ingot.tensor([1.0, 0.0]))
    tensor(0.3993)
    """

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return F.binary_cross_entropy(input, target, self.weight, reduction=self.reduction)


class BCEWithLogitsLoss(_Loss):
    """Binary cross-entropy of sigmoid(x), without overflow, reduced: `F.binary_cross_entropy_with_logits` as a module.

    >>> nn.BCEWithLogitsLoss()(ingot.tensor([2.0, 0.0]), ingot.tensor([1.0, 0.0]))
    tensor(0.4100)
    """

    def __init__(
        self,
        weight: Tensor | None = None,
        size_average: Any = None,
        reduce: Any = None,
        reduction: str = "mean",
        pos_weight: Tensor | None = None,
    ):
        super().__init__(size_average, reduce, reduction)
        self.register_buffer("weight", weight)
        self.register_buffer("pos_weight", pos_weight)

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return F.binary_cross_entropy_with_logits(input, target, self.weight, pos_weight=self.pos_weight, reduction=self.reduction)


class KLDivLoss(_Loss):
    """t * (log(t) - x) of log-probabilities x and probabilities t, reduced: `F.kl_div` as a module.

    "batchmean" is the divergence per sample. log_target: t is given as log-probabilities.

    >>> nn.KLDivLoss(reduction="batchmean")(ingot.tensor([[0.5, 0.5]]).log(), ingot.tensor([[0.25, 0.75]]))
    tensor(0.1308)
    """

    def __init__(self, size_average: Any = None, reduce: Any = None, reduction: str = "mean", log_target: bool = False):
        super().__init__(size_average, reduce, reduction)
        self.log_target = log_target

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return F.kl_div(input, target, reduction=self.reduction, log_target=self.log_target)


class PoissonNLLLoss(_Loss):
    """Negative log-likelihood of counts under Poisson(exp(x)), reduced: `F.poisson_nll_loss` as a module.

    >>> nn.PoissonNLLLoss()(ingot.tensor([0.0, 1.0]), ingot.tensor([1.0, 2.0]))
    tensor(0.8591)
    """

    def __init__(
        self,
        log_input: bool = True,
        full: bool = False,
        size_average: Any = None,
        eps: float = 1e-8,
        reduce: Any = None,
        reduction: str = "mean",
    ):
        super().__init__(size_average, reduce, reduction)
        self.log_input = log_input
        self.full = full
        self.eps = eps

    def forward(self, log_input: Tensor, target: Tensor) -> Tensor:
        return F.poisson_nll_loss(log_input, target, self.log_input, self.full, eps=self.eps, reduction=self.reduction)


class GaussianNLLLoss(_Loss):
    """Negative log-likelihood of t under Normal(x, var), reduced: `F.gaussian_nll_loss` as a module; a call takes (x, t, var).

    >>> nn.GaussianNLLLoss()(ingot.tensor([1.0, 2.0]), ingot.tensor([1.0, 1.0]), ingot.tensor([1.0, 4.0]))
    tensor(0.4091)
    """

    def __init__(self, *, full: bool = False, eps: float = 1e-6, reduction: str = "mean"):
        super().__init__(reduction=reduction)
        self.full = full
        self.eps = eps

    def forward(self, input: Tensor, target: Tensor, var: Any) -> Tensor:
        return F.gaussian_nll_loss(input, target, var, self.full, self.eps, self.reduction)


class CosineEmbeddingLoss(_Loss):
    """1 - cos(x1, x2) where the label is 1, max(0, cos(x1, x2) - margin) where it is -1, reduced.

    >>> nn.CosineEmbeddingLoss(reduction="none")(ingot.eye(2), ingot.ones(2, 2), ingot.tensor([1, -1]))
    tensor([0.2929, 0.7071])
    """

    def __init__(self, margin: float = 0.0, size_average: Any = None, reduce: Any = None, reduction: str = "mean"):
        super().__init__(size_average, reduce, reduction)
        self.margin = margin

    def forward(self, input1: Tensor, input2: Tensor, target: Tensor) -> Tensor:
        return F.cosine_embedding_loss(input1, input2, target, self.margin, reduction=self.reduction)


class MarginRankingLoss(_Loss):
    """max(0, -t * (x1 - x2) + margin), reduced: x1 should rank above x2 where t is 1, below it where t is -1.

    >>> nn.MarginRankingLoss()(ingot.tensor([1.0, 2.0]), ingot.tensor([0.5, 3.0]), ingot.tensor([1.0, 1.0]))
    tensor(0.5000)
    """

    def __init__(self, margin: float = 0.0, size_average: Any = None, reduce: Any = None, reduction: str = "mean"):
        super().__init__(size_average, reduce, reduction)
        self.margin = margin

    def forward(self, input1: Tensor, input2: Tensor, target: Tensor) -> Tensor:
        return F.margin_ranking_loss(input1, input2, target, self.margin, reduction=self.reduction)


class TripletMarginLoss(_Loss):
    """max(0, |a - p| - |a - n| + margin), reduced: `F.triplet_margin_loss` as a module; a call takes (a, p, n).

    >>> nn.TripletMarginLoss()(ingot.zeros(1, 2), ingot.ones(1, 2), ingot.full((1, 2), 2.0))
    tensor(0.)
    """

    def __init__(
        self,
        margin: float = 1.0,
        p: float = 2.0,
        eps: float = 1e-6,
        swap: bool = False,
        size_average: Any = None,
        reduce: Any = None,
        reduction: str = "mean",
    ):
        super().__init__(size_average, reduce, reduction)
        self.margin = margin
        self.p = p
        self.eps = eps
        self.swap = swap

    def forward(self, anchor: Tensor, positive: Tensor, negative: Tensor) -> Tensor:
        return F.triplet_margin_loss(anchor, positive, negative, self.margin, self.p, self.eps, self.swap, reduction=self.reduction)


class TripletMarginWithDistanceLoss(_Loss):
    """`nn.TripletMarginLoss` with any distance: a function of two tensors; `nn.PairwiseDistance` where None.

    >>> loss = nn.TripletMarginWithDistanceLoss(distance_function=lambda a, b: (a - b).abs().sum(-1))
    >>> loss(ingot.zeros(1, 2), ingot.ones(1, 2), ingot.full((1, 2), 1.25))
    tensor(0.5000)
    """

    def __init__(self, *, distance_function: Any = None, margin: float = 1.0, swap: bool = False, reduction: str = "mean"):
        super().__init__(reduction=reduction)
        self.distance_function = distance_function
        self.margin = margin
        self.swap = swap

    def forward(self, anchor: Tensor, positive: Tensor, negative: Tensor) -> Tensor:
        return F.triplet_margin_with_distance_loss(
            anchor,
            positive,
            negative,
            distance_function=self.distance_function,
            margin=self.margin,
            swap=self.swap,
            reduction=self.reduction,
        )


class HingeEmbeddingLoss(_Loss):
    """x where the label is 1, max(0, margin - x) where it is -1, reduced.

    >>> nn.HingeEmbeddingLoss()(ingot.tensor([0.5, 0.25]), ingot.tensor([1.0, -1.0]))
    tensor(0.6250)
    """

    def __init__(self, margin: float = 1.0, size_average: Any = None, reduce: Any = None, reduction: str = "mean"):
        super().__init__(size_average, reduce, reduction)
        self.margin = margin

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return F.hinge_embedding_loss(input, target, self.margin, reduction=self.reduction)


class SoftMarginLoss(_Loss):
    """log(1 + exp(-t * x)) for labels t of -1 and 1, reduced.

    >>> nn.SoftMarginLoss()(ingot.tensor([2.0, -1.0]), ingot.tensor([1.0, -1.0]))
    tensor(0.2201)
    """

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return F.soft_margin_loss(input, target, reduction=self.reduction)


class MultiMarginLoss(_WeightedLoss):
    """Hinge loss over all wrong classes, reduced: `F.multi_margin_loss` as a module. ValueError unless p is 1 or 2.

    >>> nn.MultiMarginLoss()(ingot.tensor([[0.1, 0.2, 0.4, 0.8]]), ingot.tensor([3]))
    tensor(0.3250)
    """

    def __init__(
        self,
        p: int = 1,
        margin: float = 1.0,
        weight: Tensor | None = None,
        size_average: Any = None,
        reduce: Any = None,
        reduction: str = "mean",
    ):
        super().__init__(weight, size_average, reduce, reduction)
        if p not in (1, 2):
            raise ValueError("only p == 1 and p == 2 supported")
        self.p = p
        self.margin = margin

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return F.multi_margin_loss(input, target, self.p, self.margin, self.weight, reduction=self.reduction)


class MultiLabelSoftMarginLoss(_WeightedLoss):
    """The mean over classes of the binary cross-entropy of logits (N, C), reduced over samples.

    >>> nn.MultiLabelSoftMarginLoss()(ingot.tensor([[2.0, -1.0]]), ingot.tensor([[1.0, 0.0]]))
    tensor(0.2201)
    """

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return F.multilabel_soft_margin_loss(input, target, self.weight, reduction=self.reduction)


class MultiLabelMarginLoss(_Loss):
    """Hinge loss of every target class against every other class: `F.multilabel_margin_loss` as a module.

    >>> nn.MultiLabelMarginLoss()(ingot.tensor([0.1, 0.2, 0.4, 0.8]), ingot.tensor([3, 0, -1, 1]))
    tensor(0.8500)
    """

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return F.multilabel_margin_loss(input, target, reduction=self.reduction)


class CTCLoss(_Loss):
    """Connectionist temporal classification: `F.ctc_loss` as a module; a call takes log-probabilities, targets and the lengths of both.

    >>> nn.CTCLoss()(ingot.zeros(5, 1, 3).log_softmax(-1), ingot.tensor([[1, 2]]), [5], [2])
    tensor(0.9689)
    """

    def __init__(self, blank: int = 0, reduction: str = "mean", zero_infinity: bool = False):
        super().__init__(reduction=reduction)
        self.blank = blank
        self.zero_infinity = zero_infinity

    def forward(self, log_probs: Tensor, targets: Tensor, input_lengths: Any, target_lengths: Any) -> Tensor:
        return F.ctc_loss(log_probs, targets, input_lengths, target_lengths, self.blank, self.reduction, self.zero_infinity)
