"""`ingot.optim`: optimizers and learning-rate schedulers, by torch's names. Each optimizer's update rule stands beside its class."""

from ingot.optim import lr_scheduler
from ingot.optim.adadelta import Adadelta
from ingot.optim.adagrad import Adagrad
from ingot.optim.adam import Adam, AdamW
from ingot.optim.adamax import Adamax
from ingot.optim.optimizer import Optimizer
from ingot.optim.rmsprop import RMSprop
from ingot.optim.sgd import SGD

__all__ = ["Adadelta", "Adagrad", "Adam", "AdamW", "Adamax", "Optimizer", "RMSprop", "SGD", "lr_scheduler"]
