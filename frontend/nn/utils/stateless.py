"""`ingot.nn.utils.stateless`: the older place of `ingot.func.functional_call`."""

from ingot.func import functional_call

__all__ = ["functional_call"]
