"""What Ingot's own code calls warns of nothing: optimizers and schedulers run, save and load with warnings as errors."""

import copy
import warnings

import pytest

import ingot
from ingot import nn
from ingot.optim import lr_scheduler as s

OPTIMIZERS = sorted(
    n for n in dir(ingot.optim) if isinstance(getattr(ingot.optim, n), type) and issubclass(getattr(ingot.optim, n), ingot.optim.Optimizer)
)
SCHEDULERS = {
    "ChainedScheduler": lambda o: s.ChainedScheduler([s.ConstantLR(o), s.ExponentialLR(o, 0.9)]),
    "ConstantLR": s.ConstantLR,
    "CosineAnnealingLR": lambda o: s.CosineAnnealingLR(o, 5),
    "CosineAnnealingWarmRestarts": lambda o: s.CosineAnnealingWarmRestarts(o, 3),
    "CyclicLR": lambda o: s.CyclicLR(o, 0.1, 0.2, 2),
    "ExponentialLR": lambda o: s.ExponentialLR(o, 0.9),
    "LambdaLR": lambda o: s.LambdaLR(o, lambda epoch: 0.9**epoch),
    "LinearLR": s.LinearLR,
    "MultiStepLR": lambda o: s.MultiStepLR(o, [2, 4]),
    "MultiplicativeLR": lambda o: s.MultiplicativeLR(o, lambda epoch: 0.9),
    "OneCycleLR": lambda o: s.OneCycleLR(o, 0.2, total_steps=20),
    "PolynomialLR": s.PolynomialLR,
    "ReduceLROnPlateau": lambda o: s.ReduceLROnPlateau(o, patience=1),
    "SequentialLR": lambda o: s.SequentialLR(o, [s.LinearLR(o), s.StepLR(o, 1), s.CosineAnnealingLR(o, 4)], [2, 5]),
    "StepLR": lambda o: s.StepLR(o, 2),
}


def train(optimizer, scheduler=None, steps=8):
    for _ in range(steps):
        for group in optimizer.param_groups:
            for p in group["params"]:
                p.grad = ingot.ones(2, 2).to_sparse(1) if isinstance(optimizer, ingot.optim.SparseAdam) else ingot.ones(2, 2)
        optimizer.step()
        if scheduler is not None:
            scheduler.step(*((1.0,) if isinstance(scheduler, s.ReduceLROnPlateau) else ()))


def parameters():
    return [nn.Parameter(ingot.ones(2, 2)), nn.Parameter(ingot.ones(2, 2))]


@pytest.mark.parametrize("name", [n for n in OPTIMIZERS if n not in ("Optimizer", "LBFGS")])
def test_optimizers(name):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        make = getattr(ingot.optim, name)
        optimizer = make(parameters())
        train(optimizer)
        other = make(parameters())
        other.load_state_dict(copy.deepcopy(optimizer.state_dict()))
        train(other, steps=1)


def test_all_schedulers_are_here():
    named = {n for n, v in ((n, getattr(s, n)) for n in s.__all__) if isinstance(v, type) and n[0].isupper()}
    assert named - {"LRScheduler", "_LRScheduler"} <= SCHEDULERS.keys()


@pytest.mark.parametrize("name", SCHEDULERS)
def test_schedulers(name):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        optimizer = ingot.optim.SGD(parameters(), lr=0.1, momentum=0.9)
        scheduler = SCHEDULERS[name](optimizer)
        train(optimizer, scheduler)
        other = SCHEDULERS[name](ingot.optim.SGD(parameters(), lr=0.1, momentum=0.9))
        other.load_state_dict(scheduler.state_dict())
        train(other.optimizer, other, 4)
