"""`ingot.optim`: optimizers and learning-rate schedulers, by torch's names. Each optimizer's update rule stands beside its class."""

from ingot.optim import lr_scheduler, swa_utils
from ingot.optim.adadelta import Adadelta
from ingot.optim.adafactor import Adafactor
from ingot.optim.adagrad import Adagrad
from ingot.optim.adam import Adam, AdamW
from ingot.optim.adamax import Adamax
from ingot.optim.asgd import ASGD
from ingot.optim.lbfgs import LBFGS
from ingot.optim.muon import Muon
from ingot.optim.nadam import NAdam
from ingot.optim.optimizer import Optimizer
from ingot.optim.radam import RAdam
from ingot.optim.rmsprop import RMSprop
from ingot.optim.rprop import Rprop
from ingot.optim.sgd import SGD
from ingot.optim.sparse_adam import SparseAdam

__all__ = [
    "ASGD", "Adadelta", "Adafactor", "Adagrad", "Adam", "AdamW", "Adamax", "LBFGS", "Muon", "NAdam", "Optimizer", "RAdam", "RMSprop",
    "Rprop", "SGD", "SparseAdam", "lr_scheduler", "swa_utils",
]  # fmt: skip
