"""`ingot.nn.utils`: gradient clipping, parameters as one vector, sequences, parametrizations."""

from ingot.nn.utils import parametrizations, parametrize, rnn, stateless
from ingot.nn.utils.clip import clip_grad_norm_, clip_grad_value_, clip_grads_with_norm_, get_total_norm
from ingot.nn.utils.vector import parameters_to_vector, vector_to_parameters
from ingot.nn.utils.weight_normalization import remove_weight_norm, weight_norm

__all__ = [
    "clip_grad_norm_", "clip_grad_value_", "clip_grads_with_norm_", "get_total_norm", "parameters_to_vector", "parametrizations",
    "parametrize", "remove_weight_norm", "rnn", "stateless", "vector_to_parameters", "weight_norm",
]  # fmt: skip
