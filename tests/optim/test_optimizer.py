"""What Optimizer itself promises: groups, state, hooks, closures, and steps that happen whole or not at all."""

from __future__ import annotations

import copy

import numpy as np
import pytest

import ingot
from ingot import nn, optim


def model():
    ingot.manual_seed(0)
    return nn.Linear(3, 2)


def backward(m) -> None:
    m(ingot.ones(4, 3)).sum().backward()


@pytest.mark.parametrize(
    "args, error",
    [(lambda: ingot.zeros(2), TypeError), (lambda: [], ValueError), (lambda: [3], TypeError),
     (lambda: [{"params": {ingot.zeros(1)}}], TypeError),
     (lambda: [ingot.zeros(2, requires_grad=True) * 2], ValueError)],
)  # fmt: skip
def test_what_cannot_be_optimized(args, error) -> None:
    with pytest.raises(error):
        optim.SGD(args(), lr=0.1)


@pytest.mark.parametrize(
    "make",
    [lambda p: optim.SGD(p, lr=-1), lambda p: optim.Adam(p, betas=(0.9, 1.0)), lambda p: optim.SGD(p, lr=0.1, nesterov=True),
     lambda p: optim.AdamW(p, eps=-1), lambda p: optim.RMSprop(p, weight_decay=-1), lambda p: optim.Adam(p, differentiable=True),
     lambda p: optim.SGD(p, lr=float("nan"))],
)  # fmt: skip
def test_bad_options(make) -> None:
    with pytest.raises(ValueError):
        make([nn.Parameter(ingot.zeros(2))])


def test_groups() -> None:
    m = model()
    opt = optim.SGD([{"params": [m.weight], "lr": 0.5}, {"params": [m.bias]}], lr=0.1)
    assert [g["lr"] for g in opt.param_groups] == [0.5, 0.1]
    with pytest.raises(ValueError, match="more than one parameter group"):
        opt.add_param_group({"params": [m.bias]})
    with pytest.warns(UserWarning, match="duplicate"):
        optim.SGD([m.bias, m.bias], lr=0.1)
    named = optim.SGD(m.named_parameters(), lr=0.1)
    assert named.param_groups[0]["param_names"] == ["weight", "bias"]
    assert repr(optim.SGD(m.parameters(), lr=0.1)).startswith("SGD (\nParameter Group 0\n    dampening: 0\n")


def test_step_and_zero_grad() -> None:
    m = model()
    opt = optim.SGD(m.parameters(), lr=0.5)
    before = m.bias.detach().numpy().copy()
    backward(m)
    opt.step()
    np.testing.assert_allclose(m.bias.detach().numpy(), before - 0.5 * 4)
    opt.zero_grad(set_to_none=False)
    assert m.bias.grad.sum().item() == 0
    opt.zero_grad()
    assert m.bias.grad is None
    opt.step()  # nothing to do
    assert m.bias.requires_grad and m.bias.is_leaf


def test_parameters_keep_identity_and_views() -> None:
    m = model()
    view = m.weight.detach()
    opt = optim.Adam(m.parameters())
    backward(m)
    opt.step()
    np.testing.assert_array_equal(view.numpy(), m.weight.detach().numpy())


def test_closure_and_hooks() -> None:
    m, log = model(), []
    opt = optim.SGD(m.parameters(), lr=0.1)
    h = opt.register_step_pre_hook(lambda o, a, k: log.append("pre"))
    opt.register_step_post_hook(lambda o, a, k: log.append("post"))

    def closure():
        opt.zero_grad()
        loss = (m(ingot.ones(1, 3)) ** 2).sum()
        loss.backward()
        log.append("closure")
        return loss

    with ingot.no_grad():
        first = opt.step(closure).item()
    h.remove()
    assert opt.step(closure).item() < first and log == ["pre", "closure", "post", "closure", "post"]


def test_saved_tensors_notice_a_step() -> None:
    m = model()
    opt = optim.SGD(m.parameters(), lr=0.1)
    loss = (m(ingot.ones(1, 3, requires_grad=True)) ** 2).sum()
    loss.backward(retain_graph=True)
    opt.step()
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


def test_a_failed_step_changes_nothing() -> None:
    m = nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 2))
    opt = optim.Adam(m.parameters())
    x = ingot.ones(4, 3)
    m(x).sum().backward()
    opt.step()
    opt.zero_grad()
    before = [p.detach().numpy().copy() for p in m.parameters()]
    steps = [s["step"].item() for s in opt.state.values()]
    bad = ingot.tensor([0, 7])
    m[1].bias.grad = ingot.ones(2).gather(0, bad)  # fails when it is computed
    m[0].weight.grad = ingot.ones(2, 3)
    with pytest.raises(RuntimeError, match="gather: index 7 is out of bounds"):
        opt.step()
    for p, b in zip(m.parameters(), before):
        np.testing.assert_array_equal(p.detach().numpy(), b)
    assert [s["step"].item() for s in opt.state.values()] == steps
    opt.zero_grad()
    m(x).sum().backward()
    opt.step()
    assert [s["step"].item() for s in opt.state.values()] == [s + 1 for s in steps]


def test_state_dict_round_trip(tmp_path) -> None:
    a, b = model(), model()
    oa, ob = optim.AdamW(a.parameters(), lr=0.1), optim.AdamW(b.parameters(), lr=0.3)
    backward(a)
    oa.step()
    ingot.save({"model": a.state_dict(), "optimizer": oa.state_dict()}, tmp_path / "run.safetensors")
    saved = ingot.load(tmp_path / "run.safetensors")
    b.load_state_dict(saved["model"])
    ob.load_state_dict(saved["optimizer"])
    assert ob.param_groups[0]["lr"] == 0.1 and ob.param_groups[0]["betas"] == (0.9, 0.999)
    for m, o in ((a, oa), (b, ob)):
        o.zero_grad()
        backward(m)
        o.step()
    np.testing.assert_array_equal(a.weight.detach().numpy(), b.weight.detach().numpy())
    bad = oa.state_dict()
    bad["param_groups"].append({"params": []})
    with pytest.raises(ValueError, match="different number of parameter groups"):
        ob.load_state_dict(bad)
    with pytest.raises(ValueError, match="doesn't match the size"):
        optim.AdamW([a.weight]).load_state_dict(oa.state_dict())


def test_loading_keeps_groups_and_state_tensors() -> None:
    m = model()
    opt = optim.Adam(m.parameters())
    backward(m)
    opt.step()
    group, moment = opt.param_groups[0], opt.state[m.weight]["exp_avg"]
    saved = copy.deepcopy(opt.state_dict())
    opt.step()
    opt.load_state_dict(saved)
    assert opt.param_groups[0] is group and opt.state[m.weight]["exp_avg"] is moment
    np.testing.assert_array_equal(moment.numpy(), saved["state"][0]["exp_avg"].numpy())


def test_only_writes_that_matter_bump_the_epoch() -> None:
    from ingot.runtime import epoch

    opt = optim.SGD(model().parameters(), lr=0.1, momentum=0.9)
    group = opt.param_groups[0]
    before = epoch.EPOCH[0]
    group["lr"] = 0.2
    group["momentum"] = 0.8
    assert epoch.EPOCH[0] == before
    group["nesterov"] = True
    assert epoch.EPOCH[0] > before
    before = epoch.EPOCH[0]
    group["momentum"] = 0.0
    assert epoch.EPOCH[0] > before


def test_schedulers_check_their_arguments() -> None:
    m = model()
    opt = optim.SGD(m.parameters(), lr=0.1)
    s = optim.lr_scheduler
    for make in (
        lambda: s.LinearLR(opt, start_factor=0), lambda: s.ConstantLR(opt, factor=2), lambda: s.LambdaLR(opt, [abs, abs]),
        lambda: s.OneCycleLR(opt, 0.1), lambda: s.CosineAnnealingWarmRestarts(opt, 0), lambda: s.ReduceLROnPlateau(opt, factor=2.0),
        lambda: s.SequentialLR(opt, [s.ConstantLR(opt)], [1]), lambda: s.CyclicLR(opt, 0.1, 0.2, mode="x"),
    ):  # fmt: skip
        with pytest.raises(ValueError):
            make()
    with pytest.raises(TypeError):
        s.StepLR(m, 3)


def test_learning_rate_as_a_tensor() -> None:
    p = nn.Parameter(ingot.zeros(1))
    opt = optim.SGD([p], lr=ingot.tensor(0.5))
    p.grad = ingot.ones(1)
    opt.step()
    s = optim.lr_scheduler.ExponentialLR(opt, 0.5)
    s.step()
    opt.step()
    assert p.item() == pytest.approx(-0.75)
