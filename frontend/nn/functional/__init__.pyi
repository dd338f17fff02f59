"""`ingot.nn.functional`: torch's functionals, by torch's names and signatures."""

# ruff: noqa: I001  (tables of names, packed)

from ingot.nn.functional.rectifier import (
    celu, celu_, elu, elu_, hardtanh, hardtanh_, leaky_relu, leaky_relu_, prelu, relu, relu6, relu_, rrelu, rrelu_, selu, selu_,
    threshold, threshold_,
)  # fmt: skip
from ingot.nn.functional.activation import (
    gelu, hardshrink, hardsigmoid, hardswish, logsigmoid, mish, sigmoid, silu, softplus, softshrink, softsign, tanh, tanhshrink,
)  # fmt: skip
from ingot.nn.functional.softmaxes import glu, gumbel_softmax, log_softmax, softmax, softmin
from ingot.nn.functional.attention import multi_head_attention_forward, scaled_dot_product_attention
from ingot.nn.functional.fractional import (
    fractional_max_pool2d, fractional_max_pool2d_with_indices, fractional_max_pool3d, fractional_max_pool3d_with_indices,
)  # fmt: skip
from ingot.nn.functional.grouped import grouped_mm, linear_cross_entropy, scaled_grouped_mm, scaled_mm
from ingot.nn.functional.conv import conv1d, conv2d, conv3d, conv_transpose1d, conv_transpose2d, conv_transpose3d, conv_tbc
from ingot.nn.functional.stochastic import alpha_dropout, dropout, dropout1d, dropout2d, dropout3d, feature_alpha_dropout
from ingot.nn.functional.dense import bilinear, embedding, embedding_bag, linear, one_hot
from ingot.nn.functional.distances import cosine_similarity, normalize, pairwise_distance, pdist
from ingot.nn.functional.regression import huber_loss, l1_loss, mse_loss, smooth_l1_loss
from ingot.nn.functional.likelihood import (
    binary_cross_entropy, binary_cross_entropy_with_logits, gaussian_nll_loss, kl_div, poisson_nll_loss,
)  # fmt: skip
from ingot.nn.functional.classification import (
    cross_entropy, multi_margin_loss, multilabel_margin_loss, multilabel_soft_margin_loss, nll_loss,
)  # fmt: skip
from ingot.nn.functional.similarity import (
    cosine_embedding_loss, hinge_embedding_loss, margin_ranking_loss, soft_margin_loss, triplet_margin_loss,
    triplet_margin_with_distance_loss,
)  # fmt: skip
from ingot.nn.functional.normalization import batch_norm, group_norm, instance_norm, layer_norm, local_response_norm, rms_norm
from ingot.nn.functional.padding import channel_shuffle, native_channel_shuffle, fold, pad, pixel_shuffle, pixel_unshuffle, unfold
from ingot.nn.functional.pooling import (
    avg_pool1d, avg_pool2d, avg_pool3d, lp_pool1d, lp_pool2d, lp_pool3d, max_pool1d, max_pool1d_with_indices, max_pool2d,
    max_pool2d_with_indices, max_pool3d, max_pool3d_with_indices,
)  # fmt: skip
from ingot.nn.functional.adaptive_pooling import (
    adaptive_avg_pool1d, adaptive_avg_pool2d, adaptive_avg_pool3d, adaptive_max_pool1d, adaptive_max_pool1d_with_indices,
    adaptive_max_pool2d, adaptive_max_pool2d_with_indices, adaptive_max_pool3d, adaptive_max_pool3d_with_indices,
)  # fmt: skip
from ingot.nn.functional.unpooling import max_unpool1d, max_unpool2d, max_unpool3d
from ingot.nn.functional.sampling import affine_grid, grid_sample, interpolate, upsample, upsample_bilinear, upsample_nearest
from ingot.nn.functional.ctc import ctc_loss

__all__ = [
    "adaptive_avg_pool1d", "adaptive_avg_pool2d", "adaptive_avg_pool3d", "adaptive_max_pool1d", "adaptive_max_pool1d_with_indices",
    "adaptive_max_pool2d", "adaptive_max_pool2d_with_indices", "adaptive_max_pool3d", "adaptive_max_pool3d_with_indices", "affine_grid",
    "alpha_dropout", "avg_pool1d", "avg_pool2d", "avg_pool3d", "batch_norm", "bilinear", "binary_cross_entropy",
    "binary_cross_entropy_with_logits", "celu", "celu_", "channel_shuffle", "conv1d", "conv2d", "conv3d", "conv_tbc",
    "conv_transpose1d", "conv_transpose2d", "conv_transpose3d", "cosine_embedding_loss", "cosine_similarity", "cross_entropy",
    "ctc_loss", "dropout", "dropout1d", "dropout2d", "dropout3d", "elu", "elu_", "embedding", "embedding_bag", "feature_alpha_dropout",
    "fold", "fractional_max_pool2d", "fractional_max_pool2d_with_indices", "fractional_max_pool3d",
    "fractional_max_pool3d_with_indices", "gaussian_nll_loss", "gelu", "glu", "grid_sample", "group_norm", "grouped_mm",
    "gumbel_softmax", "hardshrink", "hardsigmoid", "hardswish", "hardtanh", "hardtanh_", "hinge_embedding_loss", "huber_loss",
    "instance_norm", "interpolate", "kl_div", "l1_loss", "layer_norm", "leaky_relu", "leaky_relu_", "linear", "linear_cross_entropy",
    "local_response_norm", "log_softmax", "logsigmoid", "lp_pool1d", "lp_pool2d", "lp_pool3d", "margin_ranking_loss", "max_pool1d",
    "max_pool1d_with_indices", "max_pool2d", "max_pool2d_with_indices", "max_pool3d", "max_pool3d_with_indices", "max_unpool1d",
    "max_unpool2d", "max_unpool3d", "mish", "mse_loss", "multi_head_attention_forward", "multi_margin_loss", "multilabel_margin_loss",
    "multilabel_soft_margin_loss", "native_channel_shuffle", "nll_loss", "normalize", "one_hot", "pad", "pairwise_distance", "pdist",
    "pixel_shuffle", "pixel_unshuffle", "poisson_nll_loss", "prelu", "relu", "relu6", "relu_", "rms_norm", "rrelu", "rrelu_",
    "scaled_dot_product_attention", "scaled_grouped_mm", "scaled_mm", "selu", "selu_", "sigmoid", "silu", "smooth_l1_loss",
    "soft_margin_loss", "softmax", "softmin", "softplus", "softshrink", "softsign", "tanh", "tanhshrink", "threshold", "threshold_",
    "triplet_margin_loss", "triplet_margin_with_distance_loss", "unfold", "upsample", "upsample_bilinear", "upsample_nearest",
]  # fmt: skip
