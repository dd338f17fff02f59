"""`ingot.nn.utils`: gradient clipping, parameters as one vector, sequences, parametrizations, pruning, fusion."""

from ingot._paths import below
from ingot.nn.utils import parametrizations, parametrize, prune, rnn, stateless
from ingot.nn.utils.clip import clip_grad_norm, clip_grad_norm_, clip_grad_value_, clip_grads_with_norm_, get_total_norm
from ingot.nn.utils.fusion import fuse_conv_bn_eval, fuse_conv_bn_weights, fuse_linear_bn_eval, fuse_linear_bn_weights
from ingot.nn.utils.initializing import skip_init
from ingot.nn.utils.memory_format import convert_conv2d_weight_memory_format, convert_conv3d_weight_memory_format
from ingot.nn.utils.spectral_normalization import remove_spectral_norm, spectral_norm
from ingot.nn.utils.vector import parameters_to_vector, vector_to_parameters
from ingot.nn.utils.weight_normalization import remove_weight_norm, weight_norm

__all__ = [
    "clip_grad_norm", "clip_grad_norm_", "clip_grad_value_", "clip_grads_with_norm_", "convert_conv2d_weight_memory_format",
    "convert_conv3d_weight_memory_format", "fuse_conv_bn_eval", "fuse_conv_bn_weights", "fuse_linear_bn_eval", "fuse_linear_bn_weights",
    "get_total_norm", "parameters_to_vector", "parametrizations", "parametrize", "prune", "remove_spectral_norm", "remove_weight_norm",
    "rnn", "skip_init", "spectral_norm", "stateless", "vector_to_parameters", "weight_norm",
]  # fmt: skip

__getattr__ = below(__name__)
