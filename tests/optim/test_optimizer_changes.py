"""A compiled step follows every change of its optimizer: groups, parameters, state and settings."""

import copy
from collections import defaultdict

import numpy as np
import pytest

import ingot
from ingot import nn, optim


def add_group(opt, model):
    opt.add_param_group({"params": list(model[1].parameters()), "lr": 0.05})


def append_group(opt, model):
    opt.param_groups.append({**opt.param_groups[0], "params": list(model[1].parameters())})


def append_parameter(opt, model):
    opt.param_groups[0]["params"].append(model[1].weight)


def fewer_parameters(opt, model):
    opt.param_groups[0]["params"] = opt.param_groups[0]["params"][:1]


def pop_parameter(opt, model):
    opt.param_groups[0]["params"].pop()


def clear_state(opt, model):
    opt.state.clear()


def new_state(opt, model):
    opt.state = defaultdict(dict)


def drop_state_of_one(opt, model):
    del opt.state[model[0].weight]


def exchange_state(opt, model):
    opt.state[model[0].weight]["momentum_buffer"] = ingot.ones(3, 3)


def drop_entry(opt, model):
    opt.state[model[0].weight].pop("momentum_buffer")


def other_groups(opt, model):
    opt.param_groups = [{**opt.param_groups[0], "params": [model[0].weight]}]


def pop_setting(opt, model):
    opt.param_groups[0]["nesterov"] = True


def loaded(opt, model):
    state = copy.deepcopy(opt.state_dict())
    state["param_groups"][0]["momentum"] = 0.5
    for entry in state["state"].values():
        entry["momentum_buffer"].mul_(0.1)
    opt.load_state_dict(state)


CHANGES = [
    add_group, append_group, append_parameter, fewer_parameters, pop_parameter, clear_state, new_state, drop_state_of_one, exchange_state,
    drop_entry, other_groups, pop_setting, loaded,
]  # fmt: skip


def history(change, compile):
    ingot.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 1))
    opt = optim.SGD(list(model[0].parameters()), lr=0.1, momentum=0.9)

    def step(x):
        opt.zero_grad()
        loss = model(x).pow(2).sum()
        loss.backward()
        opt.step()
        return loss

    step = compile(step)
    seen = []
    for i in range(9):
        if i == 5:
            change(opt, model)
        seen.append(step(ingot.linspace(-1, 1, 6).reshape(2, 3) + i / 10).item())
        seen += [p.detach().numpy().copy() for p in model.parameters()] + [p.grad.numpy().copy() for p in model.parameters()]
    return seen


@pytest.mark.parametrize("change", CHANGES, ids=[c.__name__ for c in CHANGES])
def test_compiled_as_uncompiled(change):
    for a, b in zip(history(change, lambda f: f), history(change, ingot.compile)):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


def test_copies_and_kinds():
    p = nn.Parameter(ingot.ones(2))
    opt = optim.Adam([p], lr=0.1)
    p.grad = ingot.ones(2)
    opt.step()
    assert isinstance(opt.state, defaultdict) and isinstance(opt.param_groups, list) and isinstance(opt.state[p], dict)
    twin = copy.deepcopy(opt)
    (q,) = twin.param_groups[0]["params"]
    assert q is not p and list(twin.state) == [q] and twin.state[q]["step"].item() == 1
    assert type(opt.state_dict()["state"][0]) is dict and type(opt.state_dict()["param_groups"]) is list
    assert opt.state["anything"] == {}  # like any defaultdict
