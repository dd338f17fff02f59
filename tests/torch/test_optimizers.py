"""Optimizers over 20 steps and schedulers over 50, against torch, from the same start."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch

import ingot
from tests.torch.against import array, close

OPTIMIZERS = [
    ("SGD", {"lr": 0.1}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.01}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "nesterov": True}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "dampening": 0.4, "maximize": True}),
    ("Adam", {"lr": 0.01}),
    ("Adam", {"lr": 0.01, "amsgrad": True, "weight_decay": 0.1, "betas": (0.8, 0.9), "eps": 1e-4}),
    ("AdamW", {"lr": 0.01}),
    ("AdamW", {"lr": 0.01, "maximize": True, "amsgrad": True}),
    ("RMSprop", {"lr": 0.01}),
    ("RMSprop", {"lr": 0.01, "momentum": 0.9, "centered": True, "weight_decay": 0.1}),
    ("Adagrad", {"lr": 0.1}),
    ("Adagrad", {"lr": 0.1, "lr_decay": 0.1, "weight_decay": 0.1, "initial_accumulator_value": 0.3}),
    ("Adadelta", {}),
    ("Adamax", {"weight_decay": 0.1}),
    ("ASGD", {"lambd": 0.1, "t0": 6.0, "weight_decay": 0.1}),
    ("NAdam", {"weight_decay": 0.1}),
    ("NAdam", {"weight_decay": 0.1, "decoupled_weight_decay": True, "maximize": True}),
    ("RAdam", {"weight_decay": 0.1}),
    ("RAdam", {"weight_decay": 0.1, "decoupled_weight_decay": True, "betas": (0.8, 0.9)}),
    ("Rprop", {}),
    ("Rprop", {"etas": (0.6, 1.4), "step_sizes": (0.004, 0.02)}),
    ("Adafactor", {"weight_decay": 0.1}),
    ("Adafactor", {"eps": (1e-3, 0.1), "d": 2.0, "beta2_decay": -0.5}),
]


def pair(name: str, kwargs: dict):
    values = [array((3, 4)), array((5,), 1), array((), 2)]
    mine = [ingot.nn.Parameter(ingot.tensor(v)) for v in values]
    theirs = [torch.nn.Parameter(torch.tensor(v)) for v in values]
    groups = lambda ps: [{"params": ps[:2]}, {"params": ps[2:], "lr": 0.05}]  # noqa: E731
    return mine, theirs, getattr(ingot.optim, name)(groups(mine), **kwargs), getattr(torch.optim, name)(groups(theirs), **kwargs)


def step(mine: list, theirs: list, a, b, seed: int) -> None:
    for i, (p, q) in enumerate(zip(mine, theirs)):
        if seed == 3 and i == 1:  # a parameter without a gradient is left alone
            p.grad = q.grad = None
            continue
        g = array(tuple(q.shape), 100 * seed + i)
        p.grad, q.grad = ingot.tensor(g), torch.tensor(g)
    a.step()
    b.step()


@pytest.mark.parametrize("name, kwargs", OPTIMIZERS)
def test_twenty_steps(name: str, kwargs: dict) -> None:
    mine, theirs, a, b = pair(name, kwargs)
    for i in range(20):
        if i == 10:
            a.param_groups[0]["lr"] = b.param_groups[0]["lr"] = 0.03
        step(mine, theirs, a, b, i)
    for p, q in zip(mine, theirs):
        close(p, q, rtol=2e-5, atol=2e-6)
    same_state(a.state_dict(), b.state_dict())


def same_state(mine: dict, theirs: dict) -> None:
    assert list(mine["state"]) == list(theirs["state"])
    for i, state in theirs["state"].items():
        assert set(mine["state"][i]) == {k for k, v in state.items() if v is not None}, i
        for k, v in state.items():
            if v is not None:
                close(mine["state"][i][k], v, rtol=2e-5, atol=2e-6, what=k)
    for g, h in zip(mine["param_groups"], theirs["param_groups"], strict=True):
        assert set(g) == set(h)
        for k in h:
            assert g[k] == h[k], k


@pytest.mark.parametrize("name, kwargs", OPTIMIZERS)
def test_state_from_torch_and_back(name: str, kwargs: dict) -> None:
    mine, theirs, a, b = pair(name, kwargs)
    for i in range(3):
        step(mine, theirs, a, b, i + 5)

    def convert(value, make):
        if isinstance(value, dict):
            return {k: convert(v, make) for k, v in value.items()}
        if isinstance(value, (ingot.Tensor, torch.Tensor)):
            return make(value.detach().numpy())
        return value

    mine2, theirs2, a2, b2 = pair(name, kwargs)
    for p, q, x in zip(mine2, theirs2, theirs):
        p.data = ingot.tensor(x.detach().numpy())
        q.data = x.detach().clone()
    a2.load_state_dict(convert(b.state_dict(), ingot.tensor))
    b2.load_state_dict(convert(a.state_dict(), lambda x: torch.tensor(x)))
    for i in range(3):
        step(mine2, theirs2, a2, b2, i + 9)
    for p, q in zip(mine2, theirs2):
        close(p, q, rtol=2e-5, atol=4e-6)


def test_half_parameters() -> None:
    p, q = ingot.nn.Parameter(ingot.tensor(array((8,))).bfloat16()), torch.nn.Parameter(torch.tensor(array((8,))).bfloat16())
    a, b = ingot.optim.AdamW([p], lr=0.01), torch.optim.AdamW([q], lr=0.01)
    for i in range(5):
        g = array((8,), i)
        p.grad, q.grad = ingot.tensor(g).bfloat16(), torch.tensor(g).bfloat16()
        a.step()
        b.step()
    np.testing.assert_allclose(p.detach().float().numpy(), q.detach().float().numpy(), rtol=1.6e-2, atol=1e-2)


@pytest.mark.parametrize("kwargs", [{}, {"nesterov": False, "adjust_lr_fn": "match_rms_adamw", "ns_steps": 3, "weight_decay": 0.0}])
@pytest.mark.parametrize("shape", [(4, 6), (6, 3)])
def test_muon(kwargs: dict, shape: tuple) -> None:
    p, q = ingot.nn.Parameter(ingot.tensor(array(shape))), torch.nn.Parameter(torch.tensor(array(shape)))
    a, b = ingot.optim.Muon([p], lr=0.02, **kwargs), torch.optim.Muon([q], lr=0.02, **kwargs)
    for i in range(5):
        step([p], [q], a, b, 2 * i)
    np.testing.assert_allclose(p.detach().numpy(), q.detach().numpy(), atol=2e-3)  # the rounding of bfloat16, five times lr
    close(a.state[p]["momentum_buffer"], b.state[q]["momentum_buffer"])
    with pytest.raises(ValueError, match="2D"):
        ingot.optim.Muon([ingot.nn.Parameter(ingot.zeros(3))])


@pytest.mark.parametrize("kwargs", [{"lr": 0.1}, {"line_search_fn": "strong_wolfe"}, {"history_size": 2, "line_search_fn": "strong_wolfe"}])
def test_lbfgs(kwargs: dict) -> None:
    def run(m):
        x = m.nn.Parameter(m.tensor([-1.2, 1.0, 0.7], dtype=m.float64))
        opt = m.optim.LBFGS([x], max_iter=8, **kwargs)
        losses = []

        def closure():
            opt.zero_grad()
            loss = (100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2).sum() * (0.01 if "line_search_fn" not in kwargs else 1)
            loss.backward()
            losses.append(loss.item())
            return loss

        out = [opt.step(closure).item() for _ in range(3)]
        state = opt.state[x]
        return out + losses + [state["func_evals"], state["n_iter"], *x.detach().numpy()]

    np.testing.assert_allclose(run(ingot), run(torch), rtol=1e-6)


@pytest.mark.parametrize("average", [None, "ema", "function"])
def test_averaged_models(average: str | None) -> None:
    def run(m):
        utils = m.optim.swa_utils
        model = m.nn.Sequential(m.nn.Linear(2, 3), m.nn.BatchNorm1d(3))
        for i, p in enumerate(model.parameters()):
            p.data.copy_(m.tensor(array(tuple(p.shape), i)))
        named = {None: {}, "ema": {"multi_avg_fn": utils.get_ema_multi_avg_fn(0.9), "use_buffers": True},
                 "function": {"avg_fn": utils.get_swa_avg_fn()}}[average]  # fmt: skip
        averaged = utils.AveragedModel(model, **named)
        opt = m.optim.SGD(model.parameters(), lr=0.001)
        rates = utils.SWALR(opt, 0.0002, anneal_epochs=3)
        batches = [m.tensor(array((5, 2), i)) for i in range(4)]
        for x in batches:
            opt.zero_grad()
            (model(x) ** 3).sum().backward()
            opt.step()
            rates.step()
            averaged.update_parameters(model)
        before = [v.detach().numpy().copy() for v in averaged.state_dict().values()]
        utils.update_bn(batches, averaged)
        return list(averaged.state_dict()), before + [v.detach().numpy() for v in averaged.state_dict().values()], opt.param_groups[0]["lr"]

    mine, theirs = run(ingot), run(torch)
    assert mine[0] == theirs[0] and abs(mine[2] - theirs[2]) < 1e-9
    for x, y in zip(mine[1], theirs[1]):
        np.testing.assert_allclose(x, y, rtol=2e-5, atol=1e-6)


SCHEDULERS = [
    ("StepLR", {"step_size": 7, "gamma": 0.5}),
    ("MultiStepLR", {"milestones": [3, 10, 10, 30]}),
    ("ConstantLR", {"factor": 0.3, "total_iters": 8}),
    ("LinearLR", {"start_factor": 0.1, "end_factor": 0.7, "total_iters": 20}),
    ("ExponentialLR", {"gamma": 0.93}),
    ("PolynomialLR", {"total_iters": 30, "power": 2.0}),
    ("CosineAnnealingLR", {"T_max": 12, "eta_min": 0.001}),
    ("CosineAnnealingWarmRestarts", {"T_0": 5, "T_mult": 2, "eta_min": 0.001}),
    ("CyclicLR", {"base_lr": 0.01, "max_lr": 0.1, "step_size_up": 6, "step_size_down": 9}),
    ("CyclicLR", {"base_lr": 0.01, "max_lr": 0.1, "step_size_up": 6, "mode": "triangular2"}),
    ("CyclicLR", {"base_lr": 0.01, "max_lr": 0.1, "step_size_up": 6, "mode": "exp_range", "gamma": 0.97}),
    ("OneCycleLR", {"max_lr": 0.1, "total_steps": 60}),
    ("OneCycleLR", {"max_lr": 0.1, "epochs": 6, "steps_per_epoch": 10, "three_phase": True, "anneal_strategy": "linear"}),
    ("LambdaLR", {"lr_lambda": lambda n: 0.95**n}),
    ("MultiplicativeLR", {"lr_lambda": lambda n: 0.95}),
]


def trace(module, scheduler_of, steps: int = 50, resume_at: int | None = None) -> list:
    values = [module.nn.Parameter(module.zeros(2)), module.nn.Parameter(module.zeros(3))]
    opt = module.optim.SGD([{"params": values[:1]}, {"params": values[1:], "lr": 0.7}], lr=0.2, momentum=0.9)
    s = scheduler_of(module.optim.lr_scheduler, opt)
    out = []
    for i in range(steps):
        out.append([(g["lr"], g["momentum"]) for g in opt.param_groups] + list(s.get_last_lr()))
        opt.step()
        s.step()
        if i == resume_at:
            saved = s.state_dict()
            rates = [dict(lr=g["lr"], momentum=g["momentum"]) for g in opt.param_groups]
            s = scheduler_of(module.optim.lr_scheduler, opt)
            s.load_state_dict(saved)
            for g, r in zip(opt.param_groups, rates):
                g.update(r)
    return out


def flat(rows: list) -> np.ndarray:
    return np.array([[x for v in row for x in (v if isinstance(v, tuple) else (v,))] for row in rows])


@pytest.mark.parametrize("name, kwargs", SCHEDULERS)
@pytest.mark.parametrize("resume_at", [None, 17])
def test_fifty_steps(name: str, kwargs: dict, resume_at: int | None) -> None:
    make = lambda m, opt: getattr(m, name)(opt, **kwargs)  # noqa: E731
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        np.testing.assert_allclose(flat(trace(ingot, make, resume_at=resume_at)), flat(trace(torch, make, resume_at=None)), rtol=1e-9)


def test_sequential_and_chained() -> None:
    def sequential(m, opt):
        return m.SequentialLR(opt, [m.LinearLR(opt, 0.1, total_iters=10), m.CosineAnnealingLR(opt, 20), m.ConstantLR(opt, 0.5)], [10, 30])

    def chained(m, opt):
        return m.ChainedScheduler([m.LinearLR(opt, 0.1, total_iters=10), m.ExponentialLR(opt, 0.9)])

    def nested(m, opt):
        both = m.ChainedScheduler([m.ConstantLR(opt, 0.5, 2), m.LinearLR(opt, 0.5, total_iters=3)])
        return m.SequentialLR(opt, [both, m.CosineAnnealingWarmRestarts(opt, 3)], [9])

    def twice(m, opt):
        first = m.SequentialLR(opt, [m.LinearLR(opt, 0.5, total_iters=2), m.StepLR(opt, 2)], [2])
        return m.SequentialLR(opt, [first, m.CosineAnnealingWarmRestarts(opt, 3)], [9])

    for make in (sequential, chained, nested, twice):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            want = flat(trace(torch, make))
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            np.testing.assert_allclose(flat(trace(ingot, make)), want, rtol=1e-9)


def test_what_is_nested_starts_at_its_milestone() -> None:
    def nested(m, opt):
        inner = m.SequentialLR(opt, [m.LinearLR(opt, 0.5, total_iters=2), m.StepLR(opt, 2)], [3])
        chain = m.ChainedScheduler([m.StepLR(opt, 2, 0.5), m.ExponentialLR(opt, 0.9)])
        return m.SequentialLR(opt, [m.ConstantLR(opt, 0.3, 4), inner, chain], [5, 15])

    def flattened(m, opt):
        parts = [m.ConstantLR(opt, 0.3, 4), m.LinearLR(opt, 0.5, total_iters=2), m.StepLR(opt, 2)]
        return m.SequentialLR(opt, [*parts, m.LambdaLR(opt, lambda n: 0.5 ** (n // 2) * 0.9**n)], [5, 8, 15])

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        want = flat(trace(torch, flattened))  # torch itself has no answer to the nested one
    np.testing.assert_allclose(flat(trace(ingot, nested)), want, rtol=1e-9)


@pytest.mark.parametrize(
    "kwargs", [{}, {"mode": "max", "threshold_mode": "abs", "cooldown": 2, "min_lr": 0.01}, {"factor": 0.5, "patience": 2}]
)
def test_plateau(kwargs: dict) -> None:
    metrics = np.abs(np.sin(np.arange(50) * 0.7)) + 1 / (1 + np.arange(50))

    def run(module):
        opt = module.optim.SGD([module.nn.Parameter(module.zeros(2))], lr=0.2)
        s = module.optim.lr_scheduler.ReduceLROnPlateau(opt, **{"patience": 3, **kwargs})
        out = []
        for m in metrics:
            opt.step()
            s.step(float(m))
            out.append([opt.param_groups[0]["lr"], s.num_bad_epochs, s.best])
        return np.array(out)

    np.testing.assert_allclose(run(ingot), run(torch), rtol=1e-9)
