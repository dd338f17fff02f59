"""`ingot.optim`: optimizers and learning-rate schedulers, by torch's names. Each optimizer's update rule stands beside its class."""

from ingot import _lazy

__all__, __getattr__, __dir__ = _lazy.names(__name__)
