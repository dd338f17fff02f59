"""Differentiation: `backward`, `grad`, custom `Function`s, checks against finite differences."""

from ingot.autograd.engine import backward, grad
from ingot.grad_mode import enable_grad, inference_mode, no_grad, set_grad_enabled

__all__ = ["backward", "grad", "no_grad", "enable_grad", "set_grad_enabled", "inference_mode"]
