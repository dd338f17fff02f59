"""func.functional_call and utils.checkpoint, against torch."""

import pytest
import torch
from torch.func import functional_call as torch_call
from torch.utils import checkpoint as torch_checkpoint

import ingot
from ingot.func import functional_call
from ingot.utils import checkpoint
from tests.torch.against import array, close


def build(lib):
    nn = lib.nn
    m = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Tanh(), nn.Linear(4, 4, bias=False), nn.Linear(4, 4, bias=False))
    m[4].weight = m[3].weight
    with lib.no_grad():
        for i, p in enumerate(m.parameters()):
            p.copy_(lib.tensor(array(tuple(p.shape), i)))
    return m


def inner_step(lib, call, compile=lambda f: f):
    m = build(lib)
    x = lib.tensor(array((5, 3), 9))

    def f(x):
        params = dict(m.named_parameters())
        loss = call(m, params, (x,)).pow(2).mean()
        grads = lib.autograd.grad(loss, list(params.values()), create_graph=True)
        fast = {k: p - 0.1 * g for (k, p), g in zip(params.items(), grads)}
        return loss, call(m, fast, x).pow(2).mean()

    a, b = compile(f)(x)
    b.backward()
    assert all(isinstance(p, lib.nn.Parameter) for p in m.parameters()) and m[4].weight is m[3].weight
    return [a, b, *(p.grad for p in m.parameters()), m[1].running_mean, m[1].num_batches_tracked]


@pytest.mark.parametrize("compile", [False, True])
def test_functional_call(compile):
    mine = inner_step(ingot, functional_call, ingot.compile if compile else lambda f: f)
    for a, b in zip(mine, inner_step(torch, torch_call)):
        close(a, b, 1e-5, 2e-5)


def test_buffers_and_several_dicts():
    for lib, call in ((ingot, functional_call), (torch, torch_call)):
        m = build(lib).eval()
        mean = {"1.running_mean": lib.ones(4), "1.running_var": lib.full((4,), 2.0)}
        out = call(m, (mean, {"3.weight": lib.eye(4)}), (lib.ones(2, 3),), {})
        assert m[1].running_mean.tolist() == [0.0] * 4
        results = (out,) if lib is ingot else (*results, out)  # noqa: F821
    close(*results, 1e-5, 1e-5)


@pytest.mark.parametrize(
    "params, options, error",
    [({"nope": 1.0}, {"strict": True}, RuntimeError), ({"0.weight": None}, {}, TypeError), ({"a.b": 1.0}, {}, AttributeError),
     ({"3.weight": 1.0, "4.weight": 2.0}, {}, ValueError), (({"nope": 1.0}, {"nope": 1.0}), {}, ValueError)],
)  # fmt: skip
def test_what_functional_call_refuses(params, options, error):
    for lib, call in ((ingot, functional_call), (torch, torch_call)):
        def tensors(d, lib=lib):
            return {k: v if v is None else lib.tensor(v) for k, v in d.items()}

        given = tensors(params) if isinstance(params, dict) else tuple(map(tensors, params))
        with pytest.raises(error):
            call(build(lib), given, (lib.ones(2, 3),), **options)


def test_a_failing_call_puts_everything_back():
    m = build(ingot)
    before = m[0].weight
    with pytest.raises(RuntimeError):
        functional_call(m, {"0.weight": ingot.ones(4, 7)}, (ingot.ones(2, 3),))
    assert m[0].weight is before


def checkpointed(lib, module, mode="plain"):
    m = build(lib)
    x = lib.tensor(array((5, 3), 9)).requires_grad_()

    def block(x, scale, extra=None):
        h = m[3](m[2](m[0](x))) * scale
        return h, {"twice": h * 2 if extra is None else h + extra["e"]}, "text", x.argmax(1)

    e = lib.tensor(array((5, 4), 3)).requires_grad_()
    h, d, text, index = module.checkpoint(block, x, 2.0, extra={"e": e}, use_reentrant=False)
    assert text == "text" and not index.requires_grad
    y = (h * d["twice"]).sum()
    if mode == "double":
        (g,) = lib.autograd.grad(y, x, create_graph=True)
        y = y + g.pow(2).sum()
    y.backward()
    return [y, x.grad, e.grad, m[0].weight.grad, m[3].weight.grad]


@pytest.mark.parametrize("mode", ["plain", "double"])
def test_checkpoint(mode):
    for a, b in zip(checkpointed(ingot, checkpoint, mode), checkpointed(torch, torch_checkpoint, mode)):
        close(a, b, 1e-5, 1e-4)


def test_checkpoint_recomputes_with_the_same_random_numbers():
    calls = []
    w = ingot.ones(100, requires_grad=True)

    def f(x):
        calls.append(1)
        return ingot.nn.functional.dropout(x * w, 0.5)

    x = ingot.ones(100, requires_grad=True)
    y = checkpoint.checkpoint(f, x, use_reentrant=False)
    after = ingot.rand(1).item()
    assert len(calls) == 1
    state = ingot.get_rng_state()
    y.sum().backward()
    assert len(calls) == 2 and x.grad.tolist() == y.tolist() == w.grad.tolist()
    ingot.set_rng_state(state)
    assert after != ingot.rand(1).item()
    with ingot.no_grad():
        checkpoint.checkpoint(f, x)
    assert len(calls) == 3


def test_checkpoint_sequential_and_compiled():
    def steps(lib, module, compile=lambda f: f):
        m = build(lib)
        x = lib.tensor(array((5, 3), 9)).requires_grad_()
        f = compile(lambda x: module.checkpoint_sequential(m, 2, x, use_reentrant=False).pow(2).sum())
        y = f(x)
        y.backward()
        return [y, x.grad, *(p.grad for p in m.parameters())]

    for compile in (lambda f: f, ingot.compile):
        for a, b in zip(steps(ingot, checkpoint, compile), steps(torch, torch_checkpoint)):
            close(a, b, 1e-5, 1e-4)
    with pytest.raises(ValueError, match="segments"):
        checkpoint.checkpoint_sequential([ingot.relu], 2, ingot.ones(1))
