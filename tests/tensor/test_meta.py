"""The device "meta": shapes and dtypes without values."""

import copy
import io

import numpy as np
import pytest

import ingot
from ingot import nn
from ingot.nn import functional as F
from ingot.runtime.recorder import here

NO_DATA = "Cannot copy out of meta tensor; no data!"


def test_makers_and_readers():
    x = ingot.empty(2, 3, device="meta", dtype=ingot.float64, requires_grad=True)
    assert x.is_meta and x.device == ingot.device("meta") and x.shape == (2, 3) and x.dtype is ingot.float64 and x.is_leaf
    assert repr(x.detach()) == "tensor(..., device='meta', size=(2, 3), dtype=ingot.float64)"
    y = x.detach()
    for read in (y.tolist, y.numpy, y.sum().item, y.cpu, lambda: y.to("cpu"), lambda: bool(y[0, 0] > 0), y.data_ptr, y.nonzero):
        with pytest.raises(NotImplementedError, match=NO_DATA):
            read()
    for made in (
        ingot.zeros(2, device="meta"), ingot.full((2,), 1.5, device="meta"), ingot.arange(2, device="meta"), ingot.eye(2, device="meta"),
        ingot.rand(2, device="meta"), ingot.randint(3, (2,), device="meta"), ingot.tensor([1, 2], device="meta"),
        ingot.as_tensor(np.ones(2), device="meta"), ingot.zeros_like(x), ingot.rand_like(x), x.new_ones(2), ingot.ones(2).to("meta"),
        ingot.ones_like(ingot.ones(2), device="meta"), ingot.hann_window(4, device="meta"), ingot.tril_indices(2, 2, device="meta"),
    ):  # fmt: skip
        assert made.is_meta
    assert not ingot.zeros_like(x, device="cpu").is_meta and not ingot.ones(2).is_meta
    assert x.to("meta") is x and x.to(ingot.float32).is_meta and x.float().dtype is ingot.float32


def test_types_follow_through_functions_and_nothing_runs():
    x = ingot.empty(1 << 20, 1 << 20, device="meta")
    ingot.ones(1).item()
    before = len(here.recorder.nodes)
    y = F.softmax((x @ x.T)[:, ::2].to(ingot.float16).relu(), -1).sum(0, keepdim=True)
    assert y.is_meta and y.shape == (1, 1 << 19) and y.dtype is ingot.float16
    v, i = x.max(1)
    assert v.is_meta and i.is_meta and i.dtype is ingot.int64
    assert len(here.recorder.nodes) == before
    with pytest.raises(RuntimeError):
        x @ ingot.empty(3, 3, device="meta")
    assert (ingot.ones(3) + ingot.empty(2, 3, device="meta")).is_meta


def test_writes_leave_a_meta_tensor_one_and_never_make_another():
    x = ingot.empty(2, 3, device="meta")
    row = x[0]
    x.add_(1.0), x.normal_(), x.copy_(ingot.ones(2, 3)), row.fill_(2.0), x.t().zero_()
    x[1] = 3.0
    assert x.is_meta and row.is_meta
    real = ingot.ones(2, 3)
    for write in (lambda: real.copy_(x), lambda: real.add_(x), lambda: real[0].copy_(row)):
        with pytest.raises(NotImplementedError, match=NO_DATA):
            write()
    assert real.tolist() == [[1.0] * 3] * 2


def test_gradients_have_types_too():
    w = ingot.empty(3, 3, device="meta", requires_grad=True)
    ((ingot.empty(2, 3, device="meta") @ w).relu().sum()).backward()
    assert w.grad.is_meta and w.grad.shape == (3, 3)


def test_blocks_and_the_default_device():
    real = ingot.ones(2)
    with ingot.device("meta"):
        assert ingot.ones(2).is_meta and ingot.tensor(1.0).is_meta and ingot.as_tensor(real).is_meta and not ingot.zeros_like(real).is_meta
        assert ingot.get_default_device() == ingot.device("meta") and not ingot.ones(2, device="cpu").is_meta
        with ingot.device("cpu"):
            assert not ingot.ones(2).is_meta
        assert ingot.randn(2).is_meta
        composite = F.gelu(real)  # what functions are made of is traced for all calls
    assert not composite.is_meta and not ingot.ones(2).is_meta and ingot.get_default_device() == ingot.device("cpu")
    with pytest.raises(RuntimeError, match="no CUDA device"), ingot.device("cuda"):
        pass
    ingot.set_default_device("meta")
    try:
        assert ingot.ones(2).is_meta
    finally:
        ingot.set_default_device(None)
    assert not ingot.ones(2).is_meta


def test_initialisers_leave_it_alone():
    with ingot.device("meta"):
        w = ingot.empty(4, 3)
        for fill in ("uniform_", "trunc_normal_", "ones_", "eye_", "xavier_normal_", "kaiming_uniform_", "orthogonal_"):
            assert getattr(nn.init, fill)(w) is w and w.is_meta
        nn.init.sparse_(w, 0.5), nn.init.dirac_(w[..., None])
    made = nn.utils.skip_init(nn.Linear, 3, 2, bias=False)
    assert not made.weight.is_meta and made.weight.shape == (2, 3) and made.bias is None
    assert nn.utils.skip_init(nn.Linear, 3, 2, device="meta").weight.is_meta


def _block():
    return nn.Sequential(
        nn.Conv1d(4, 8, 3, padding=1), nn.BatchNorm1d(8), nn.Flatten(), nn.Linear(40, 16), nn.LayerNorm(16), nn.Dropout(), nn.Linear(16, 2),
    )  # fmt: skip


def test_a_module_without_memory_gets_its_weights_later():
    ingot.manual_seed(0)
    real = _block()
    with ingot.device("meta"):
        empty = _block()
    assert all(t.is_meta for t in (*empty.parameters(), *empty.buffers())) and all(isinstance(p, nn.Parameter) for p in empty.parameters())
    assert empty(ingot.empty(7, 4, 5, device="meta")).shape == (7, 2)
    with pytest.raises(NotImplementedError, match="to_empty"):
        empty.to("cpu")
    state = real.state_dict()
    with pytest.warns(UserWarning, match="no-op"):
        empty.load_state_dict(state)
    assert empty[0].weight.is_meta
    with pytest.raises(RuntimeError, match=NO_DATA):
        real.load_state_dict(empty.state_dict())
    empty.load_state_dict(state, assign=True)
    x = ingot.randn(3, 4, 5)
    assert empty.eval()(x).tolist() == real.eval()(x).tolist() and empty[0].weight.requires_grad

    model = real.to("meta")
    kept = model[0].weight
    assert model.to_empty(device="cpu") is model and model[0].weight is kept and not kept.is_meta and kept.requires_grad
    model.load_state_dict(empty.state_dict())
    assert model(x).tolist() == empty(x).tolist()
    assert nn.Linear(2, 2, device="meta").weight.is_meta


def test_parameters_become_meta_as_they_are_registered(monkeypatch):
    """What accelerate's init_empty_weights does."""
    register = nn.Module.register_parameter

    def and_move(module, name, param):
        register(module, name, param)
        if param is not None:
            own = module._parameters[name]
            module._parameters[name] = type(own)(own.to(ingot.device("meta")), requires_grad=own.requires_grad, **own.__dict__)

    monkeypatch.setattr(nn.Module, "register_parameter", and_move)
    model = nn.Sequential(nn.Embedding(5, 4), nn.TransformerEncoderLayer(4, 2, 8))
    monkeypatch.undo()
    assert all(type(p) is nn.Parameter and p.is_meta and p.requires_grad for p in model.parameters())
    assert copy.deepcopy(model)[0].weight.is_meta
    held = io.BytesIO()
    ingot.save({"w": ingot.ones(2)}, held)
    held.seek(0)
    with pytest.raises(RuntimeError, match="what is loaded has its values"):
        ingot.load(held, map_location="meta")


def test_what_has_no_values_is_neither_saved_nor_compiled():
    x = ingot.empty(3, device="meta")
    with pytest.raises(NotImplementedError, match=NO_DATA):
        ingot.save({"x": x}, io.BytesIO())
    with pytest.raises(NotImplementedError, match=NO_DATA):
        ingot.compile(lambda t: t + 1)(x)
    with pytest.raises(RuntimeError, match="cannot be made while a function is traced"):
        ingot.compile(lambda t: t + ingot.empty(3, device="meta"))(ingot.ones(3))
