"""`ingot.optim`: optimizers and learning-rate schedulers, by torch's names."""

from ingot.optim import lr_scheduler
from ingot.optim.optimizer import Optimizer
from ingot.optim.rules import SGD, Adadelta, Adagrad, Adam, Adamax, AdamW, RMSprop

__all__ = ["Adadelta", "Adagrad", "Adam", "AdamW", "Adamax", "Optimizer", "RMSprop", "SGD", "lr_scheduler"]
