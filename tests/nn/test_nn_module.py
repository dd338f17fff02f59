"""What Module itself promises: registration, walking, state, hooks, modes, text."""

from __future__ import annotations

import copy
import subprocess
import sys
from collections import OrderedDict

import numpy as np
import pytest

import ingot
from ingot import nn
from ingot.runtime.recorder import here


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(3, 4)
        self.body = nn.Sequential(nn.Linear(4, 4), nn.ReLU())
        self.register_buffer("steps", ingot.zeros(2))
        self.register_buffer("scratch", ingot.zeros(2), persistent=False)
        self.gain = nn.Parameter(ingot.ones(1))
        self.label = "net"

    def forward(self, x):
        return self.body(self.fc(x)) * self.gain


def test_registration_and_walking() -> None:
    m = Net()
    assert [n for n, _ in m.named_parameters()] == ["gain", "fc.weight", "fc.bias", "body.0.weight", "body.0.bias"]
    assert [n for n, _ in m.named_parameters(recurse=False)] == ["gain"]
    assert [n for n, _ in m.named_buffers()] == ["steps", "scratch"]
    assert [n for n, _ in m.named_children()] == ["fc", "body"]
    assert [n for n, _ in m.named_modules()] == ["", "fc", "body", "body.0", "body.1"]
    assert list(m.state_dict()) == ["gain", "steps", "fc.weight", "fc.bias", "body.0.weight", "body.0.bias"]
    assert m.get_submodule("body.0") is m.body[0]
    assert m.get_parameter("fc.weight") is m.fc.weight and m.get_buffer("steps") is m.steps
    for bad in ("nope", "fc.nope", "gain"):
        with pytest.raises(AttributeError):
            m.get_submodule(bad)
    assert "fc" in dir(m) and "gain" in dir(m) and "steps" in dir(m)


def test_shared_parameters_are_listed_once() -> None:
    m = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    m[1].weight = m[0].weight
    assert [n for n, _ in m.named_parameters()] == ["0.weight", "0.bias", "1.bias"]
    assert len(list(m.named_parameters(remove_duplicate=False))) == 4
    assert len(m.state_dict()) == 4
    m = nn.Sequential(m, m)
    assert len(list(m.modules())) == 4


@pytest.mark.parametrize(
    "name, value, error",
    [("fc", 3, "cannot assign 'int' as child module 'fc'"), ("gain", ingot.float32, "as parameter 'gain'"),
     ("steps", "x", "cannot assign 'str' as buffer 'steps'")],
)  # fmt: skip
def test_assignment_rules(name: str, value: object, error: str) -> None:
    with pytest.raises(TypeError, match=error):
        setattr(Net(), name, value)


def test_more_assignment_rules() -> None:
    m = Net()
    with pytest.raises(TypeError, match="as parameter 'gain'"):
        m.gain = ingot.zeros(1)
    m.gain = None
    assert [n for n, _ in m.named_parameters(recurse=False)] == [] and m.gain is None
    m.gain = nn.Parameter(ingot.ones(2))
    m.fc = nn.Identity()
    m.fc = None
    assert m.fc is None
    m.label = nn.Linear(1, 1)  # a plain attribute becomes a submodule
    assert "label" in m._modules and "label" not in m.__dict__
    m.steps = ingot.ones(3)
    assert "steps" in dict(m.named_buffers())
    del m.steps
    with pytest.raises(AttributeError, match="'Net' object has no attribute 'steps'"):
        _ = m.steps
    m.cache = nn.Buffer(ingot.zeros(2), persistent=False)
    assert "cache" in dict(m.named_buffers()) and "cache" not in m.state_dict()

    class Early(nn.Module):
        def __init__(self) -> None:
            self.fc = nn.Linear(1, 1)

    with pytest.raises(AttributeError, match=r"before Module.__init__\(\) call"):
        Early()
    with pytest.raises(KeyError, match="already exists"):
        m.register_buffer("forward", ingot.zeros(1))
    with pytest.raises(KeyError, match="must not contain"):
        m.register_parameter("a.b", None)
    with pytest.raises(KeyError, match="must not be empty"):
        m.add_module("", nn.Identity())
    with pytest.raises(TypeError, match="is not a Module subclass"):
        m.add_module("x", 3)  # type: ignore[arg-type]
    with pytest.raises(NotImplementedError, match='missing the required "forward"'):
        nn.Module()(1)


def test_load_state_dict() -> None:
    a, b = Net(), Net()
    assert str(b.load_state_dict(a.state_dict())) == "<All keys matched successfully>"
    np.testing.assert_array_equal(a.fc.weight.detach().numpy(), b.fc.weight.detach().numpy())
    before = b.fc.bias.detach().numpy().copy()
    state = a.state_dict()
    state["fc.bias"] = ingot.full((4,), 7.0)
    state["fc.weight"] = ingot.zeros(4, 5)
    del state["gain"]
    state["other"] = ingot.zeros(1)
    with pytest.raises(RuntimeError) as e:
        b.load_state_dict(state)
    text = str(e.value)
    assert text.startswith("Error(s) in loading state_dict for Net:\n\t")
    assert 'Missing key(s) in state_dict: "gain"' in text and 'Unexpected key(s) in state_dict: "other"' in text
    assert "size mismatch for fc.weight: copying a param with shape [4, 5] from checkpoint" in text
    np.testing.assert_array_equal(b.fc.bias.detach().numpy(), before)  # nothing was loaded
    state["fc.weight"] = ingot.zeros(4, 3)
    keys = b.load_state_dict(state, strict=False)
    assert keys.missing_keys == ["gain"] and keys.unexpected_keys == ["other"]
    assert b.fc.bias[0].item() == 7.0
    with pytest.raises(TypeError, match="dict-like"):
        b.load_state_dict([1])  # type: ignore[arg-type]


def test_load_with_assign() -> None:
    a, b = Net(), Net()
    state = a.state_dict()
    b.load_state_dict(state, assign=True)
    assert isinstance(b.fc.weight, nn.Parameter) and b.fc.weight.requires_grad
    with ingot.no_grad():
        a.gain.add_(1.0)
    assert b.gain.item() == 2.0  # the memory is shared now


def test_extra_state() -> None:
    class Counter(nn.Module):
        n = 0

        def get_extra_state(self):
            return {"n": self.n}

        def set_extra_state(self, state):
            self.n = state["n"]

    a, b = nn.Sequential(Counter()), nn.Sequential(Counter())
    a[0].n = 5
    assert list(a.state_dict()) == ["0._extra_state"]
    b.load_state_dict(a.state_dict())
    assert b[0].n == 5


def test_modes_and_conversion() -> None:
    m = Net()
    assert m.training and not m.eval().training and not m.body[0].training
    assert m.train() is m and m.body[0].training
    with pytest.raises(ValueError):
        m.train("yes")  # type: ignore[arg-type]
    weight = m.fc.weight
    m.double()
    assert m.fc.weight is weight and weight.dtype is ingot.float64 and m.steps.dtype is ingot.float64
    m.to(ingot.float32)
    m.register_buffer("count", ingot.tensor(3))
    assert m.half().count.dtype is ingot.int64 and m.fc.weight.dtype is ingot.float16
    m.bfloat16().float()
    m.to("cpu", ingot.float64).to(ingot.zeros(1))
    assert m.fc.weight.dtype is ingot.float32
    with pytest.raises(TypeError, match="floating point"):
        m.to(ingot.int64)
    if not (hasattr(ingot, "cuda") and ingot.cuda.is_available()):
        with pytest.raises(RuntimeError):
            m.cuda()
    m.requires_grad_(False)
    assert not any(p.requires_grad for p in m.parameters())
    seen = []
    m.apply(lambda x: seen.append(type(x).__name__))
    assert seen == ["Linear", "Linear", "ReLU", "Sequential", "Net"]


def test_gradients_follow_conversion() -> None:
    m = nn.Linear(2, 2)
    m(ingot.ones(1, 2)).sum().backward()
    m.double()
    assert m.weight.grad.dtype is ingot.float64
    m.zero_grad()
    assert m.weight.grad is None
    m(ingot.ones(1, 2, dtype=ingot.float64)).sum().backward()
    m.zero_grad(set_to_none=False)
    assert m.weight.grad.sum().item() == 0.0


def test_forward_hooks() -> None:
    m, log = nn.Linear(2, 2), []
    h1 = m.register_forward_pre_hook(lambda mod, args: (args[0] * 2,))
    h2 = m.register_forward_hook(lambda mod, args, out: log.append(args[0]) or out + 1)
    x = ingot.ones(1, 2)
    y = m(x)
    h1.remove()
    h2.remove()
    np.testing.assert_allclose(y.detach().numpy(), (m(x * 2) + 1).detach().numpy())
    assert len(log) == 1
    order = []
    m.register_forward_hook(lambda *a: order.append("a"))
    m.register_forward_hook(lambda *a: order.append("b"), prepend=True)
    with m.register_forward_pre_hook(lambda mod, args, kw: ((), {"input": args[0]}), with_kwargs=True):
        m(x)
    assert order == ["b", "a"]

    class Fails(nn.Module):
        def forward(self):
            raise KeyError("x")

    f = Fails()
    f.register_forward_hook(lambda *a: order.append("ran"), always_call=True)
    with pytest.raises(KeyError):
        f()
    assert order[-1] == "ran"


def test_backward_hooks() -> None:
    m, seen = nn.Linear(3, 2), {}
    m.register_full_backward_hook(lambda mod, gi, go: seen.update(gi=gi, go=go))
    x = ingot.ones(4, 3, requires_grad=True)
    m(x).sum().backward()
    np.testing.assert_allclose(seen["go"][0].numpy(), np.ones((4, 2)))
    np.testing.assert_allclose(seen["gi"][0].numpy(), x.grad.numpy())
    h = m.register_full_backward_hook(lambda mod, gi, go: (gi[0] * 0,))
    x.grad = None
    m(x).sum().backward()
    assert not x.grad.numpy().any()
    h.remove()
    m.register_full_backward_pre_hook(lambda mod, go: (go[0] * 3,))
    x.grad = None
    m(x).sum().backward()
    np.testing.assert_allclose(seen["go"][0].numpy(), 3 * np.ones((4, 2)))
    m(ingot.ones(1, 3)).sum().backward()  # no input needs a gradient
    assert seen["gi"] == (None,)


def test_containers() -> None:
    s = nn.Sequential(OrderedDict(a=nn.Linear(2, 3), b=nn.ReLU()))
    assert len(s) == 2 and s.a is s[0] and isinstance(s[:1], nn.Sequential) and list(s[:1]._modules) == ["a"]
    s = nn.Sequential(nn.Linear(2, 3), nn.ReLU())
    s.append(nn.Linear(3, 1)).insert(1, nn.Identity())
    assert [type(m).__name__ for m in s] == ["Linear", "Identity", "ReLU", "Linear"]
    del s[1]
    assert list(s._modules) == ["0", "1", "2"] and s(ingot.ones(1, 2)).shape == (1, 1)
    with pytest.raises(IndexError):
        s[5]
    ml = nn.ModuleList([nn.Linear(1, 1)])
    ml += [nn.ReLU()]
    ml.extend(nn.ModuleList([nn.Tanh()]))
    assert len(ml) == 3 and isinstance(ml[-1], nn.Tanh) and isinstance(ml[1:], nn.ModuleList) and isinstance(ml.pop(0), nn.Linear)
    md = nn.ModuleDict({"x": nn.ReLU()})
    md["y"] = nn.Tanh()
    md.update([("z", nn.Identity())])
    assert list(md) == ["x", "y", "z"] and "y" in md and isinstance(md.pop("y"), nn.Tanh) and len(md) == 2
    pl = nn.ParameterList([ingot.ones(2), nn.Parameter(ingot.zeros(3))])
    pl.append(ingot.ones(1))
    assert len(pl) == 3 and len(list(pl.parameters())) == 3 and pl[-1].shape == (1,)
    pd = nn.ParameterDict({"a": ingot.ones(2)})
    pd["b"] = ingot.zeros(1)
    assert list(pd.state_dict()) == ["a", "b"] and pd.get("c") is None


def test_copies_are_independent() -> None:
    a = Net()
    b = copy.deepcopy(a)
    with ingot.no_grad():
        b.fc.weight.zero_()
    assert a.fc.weight.abs().sum().item() > 0 and b.fc.weight.requires_grad and isinstance(b.fc.weight, nn.Parameter)
    tied = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    tied[1].weight = tied[0].weight
    again = copy.deepcopy(tied)
    assert again[1].weight is again[0].weight and again[0].weight is not tied[0].weight


def test_parameter() -> None:
    data = ingot.zeros(2)
    p = nn.Parameter(data)
    assert p.is_leaf and p.requires_grad and isinstance(p, ingot.Tensor)
    with ingot.no_grad():
        p.add_(1.0)
    np.testing.assert_array_equal(data.numpy(), [1, 1])  # shared memory
    assert repr(p).startswith("Parameter containing:\ntensor([1., 1.], requires_grad=True)")
    assert not nn.Parameter(ingot.tensor([1, 2]), requires_grad=False).requires_grad
    with pytest.raises(TypeError):
        nn.Parameter([1.0])  # type: ignore[arg-type]


def test_epoch_counts_writes() -> None:
    from ingot.runtime import epoch

    m = Net()
    for write in (lambda: setattr(m, "label", "x"), lambda: m.eval(), lambda: setattr(m, "gain", None), lambda: m.add_module("z", None)):
        before = epoch.EPOCH[0]
        write()
        assert epoch.EPOCH[0] > before


def test_dropout() -> None:
    ingot.manual_seed(0)
    x = ingot.ones(10000)
    y = nn.functional.dropout(x, 0.3).numpy()
    assert abs((y == 0).mean() - 0.3) < 0.02
    np.testing.assert_allclose(y[y != 0], 1 / 0.7, rtol=1e-6)
    d = nn.Dropout(0.5)
    assert not np.array_equal(d(x).numpy(), d(x).numpy())
    assert d.eval()(x) is x
    ingot.manual_seed(1)
    a = d.train()(x).numpy()
    ingot.manual_seed(1)
    np.testing.assert_array_equal(a, d(x).numpy())
    z = nn.functional.dropout2d(ingot.ones(4, 8, 3, 3), 0.5).numpy()
    assert all(len(np.unique(c)) == 1 for c in z.reshape(32, 9))
    assert not nn.functional.dropout(x, 1.0).numpy().any()
    leaf = ingot.ones(100, requires_grad=True)
    out = nn.functional.dropout(leaf, 0.5)
    out.sum().backward()
    np.testing.assert_allclose(leaf.grad.numpy(), out.detach().numpy())
    a = nn.functional.alpha_dropout(ingot.randn(20000), 0.2, training=True).numpy()
    assert abs(a.mean()) < 0.05 and abs(a.std() - 1) < 0.05
    for bad in (-0.1, 1.5):
        with pytest.raises(ValueError, match="between 0 and 1"):
            nn.Dropout(bad)


def test_bad_input_says_what_is_wrong() -> None:
    with pytest.raises(RuntimeError, match="linear: input .* does not fit weight"):
        nn.Linear(3, 4)(ingot.zeros(2, 5))
    with pytest.raises(RuntimeError, match="expects 3 input channels"):
        nn.Conv2d(3, 4, 3)(ingot.zeros(1, 2, 5, 5))
    with pytest.raises(RuntimeError, match="kernel reaches over 3 elements"):
        nn.Conv2d(1, 1, 3)(ingot.zeros(1, 1, 2, 5))
    with pytest.raises(RuntimeError, match="indices must be an integer Tensor"):
        nn.Embedding(3, 2)(ingot.zeros(2))
    with pytest.raises(IndexError):
        nn.Embedding(3, 2)(ingot.tensor([3])).tolist()
    with pytest.raises(IndexError):
        nn.Embedding(3, 2)(ingot.tensor([-1])).tolist()
    with pytest.raises(IndexError):
        nn.functional.cross_entropy(ingot.zeros(2, 3), ingot.tensor([0, -1])).item()
    with pytest.raises(ValueError, match="expected a target of shape"):
        nn.functional.cross_entropy(ingot.zeros(2, 3), ingot.tensor([0, 1, 2]))
    with pytest.raises(ValueError, match="more than 1 value per channel"):
        nn.BatchNorm1d(3)(ingot.zeros(1, 3))
    with pytest.raises(ValueError, match="expected 4D input"):
        nn.BatchNorm2d(3)(ingot.zeros(2, 3))
    with pytest.raises(ValueError, match="not a valid value for reduction"):
        nn.functional.mse_loss(ingot.zeros(1), ingot.zeros(1), reduction="all")
    with pytest.raises(RuntimeError, match="input.size"):
        nn.LSTM(3, 4)(ingot.zeros(5, 2, 7))
    with pytest.raises(RuntimeError, match="expected an input of shape"):
        nn.LayerNorm(4)(ingot.zeros(2, 3))


MODULES = ["nn.parameter.Parameter", "nn.modules.module.Module", "nn.modules.conv.Conv2d", "optim.optimizer.Optimizer"]


@pytest.mark.parametrize("name", MODULES)
def test_modules_of_packages_are_their_attributes(name: str) -> None:
    """In a fresh process, by `import ingot` alone, as torch's are."""
    seen = subprocess.run([sys.executable, "-c", f"import ingot; ingot.{name}"], capture_output=True, text=True)
    assert seen.returncode == 0, seen.stderr
    with pytest.raises(AttributeError, match="has no attribute 'nonsense'"):
        _ = nn.nonsense


@pytest.mark.parametrize("bias_kv", [False, True])
@pytest.mark.parametrize("weights", [False, True])
@pytest.mark.parametrize("masks", [{}, {"attn_mask": True, "key_padding_mask": True}], ids=["plain", "masked"])
def test_attention_is_one_node_where_nothing_needs_a_gradient(bias_kv, weights, masks):
    ingot.manual_seed(0)
    m = nn.MultiheadAttention(8, 2, add_bias_kv=bias_kv, add_zero_attn=bias_kv, batch_first=True)
    for n in (3, 5, 4, 1):
        x, y = ingot.randn(2, n, 8), ingot.randn(2, n + 1, 8)
        given = {}
        if masks:
            given = {"attn_mask": ingot.ones(n, n + 1).triu(1).bool(), "key_padding_mask": ingot.arange(n + 1).expand(2, n + 1) > n - 1}
        expected = m(x, y, y, need_weights=weights, **given)
        with ingot.no_grad():
            here.recorder.flush()
            found = m(x, y, y, need_weights=weights, **given)
            assert sum(op.name == "call" for op, _, _ in here.recorder.nodes) == 1
            assert len(here.recorder.nodes) < 8
        assert not found[0].requires_grad and expected[0].requires_grad
        for a, b in zip(found, expected):
            assert (a is None) == (b is None)
            if a is not None:
                np.testing.assert_allclose(a.numpy(), b.detach().numpy(), rtol=1e-5, atol=1e-6)


def test_submodules_have_a_train_of_their_own() -> None:
    class Frozen(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm = nn.BatchNorm1d(2)

        def train(self, mode: bool = True) -> nn.Module:
            super().train(mode)
            self.norm.eval()
            return self

    net = nn.Sequential(Frozen(), nn.Dropout())
    assert net.train() is net and net[1].training and net[0].training and not net[0].norm.training
    assert not net.eval()[0].training


def test_what_layers_call_may_be_overridden() -> None:
    said: list[str] = []

    def saying(base: type, *names: str) -> type:
        def method(name: str):
            def call(self, *args, **kwargs):
                said.append(name)
                return getattr(super(made, self), name)(*args, **kwargs)

            return call

        made = type(base.__name__, (base,), {name: method(name) for name in names})
        return made

    x = ingot.ones(1, 2, 4, 4)
    saying(nn.Conv2d, "_conv_forward")(2, 2, 1)(x)
    saying(nn.ConvTranspose2d, "_output_padding")(2, 2, 1)(x, output_size=(4, 4))
    saying(nn.BatchNorm2d, "reset_running_stats", "reset_parameters", "_check_input_dim")(2)(x)
    for layer, args in ((nn.LayerNorm, (4,)), (nn.GroupNorm, (1, 2)), (nn.RMSNorm, (4,)), (nn.PReLU, ())):
        saying(layer, "reset_parameters")(*args)
    saying(nn.Embedding, "_fill_padding_idx_with_zero")(2, 2, 0)
    y = ingot.ones(3, 1, 4)
    saying(nn.TransformerEncoderLayer, "_sa_block", "_ff_block")(4, 2, 4)(y)
    saying(nn.TransformerDecoderLayer, "_sa_block", "_mha_block", "_ff_block")(4, 2, 4, norm_first=True)(y, y)
    assert said == [
        "_conv_forward", "_output_padding", "reset_parameters", "reset_running_stats", "_check_input_dim", *["reset_parameters"] * 4,
        "_fill_padding_idx_with_zero", "_sa_block", "_ff_block", "_sa_block", "_mha_block", "_ff_block",
    ]  # fmt: skip


def test_bases_of_layers_are_those_of_other_peoples_layers() -> None:
    class Any4(nn.modules.batchnorm._BatchNorm):
        def _check_input_dim(self, input: ingot.Tensor) -> None:
            assert input.ndim == 4

    class Plain(nn.modules.conv._ConvNd):
        norm = ingot.nn.functional.normalize

        def __init__(self) -> None:
            super().__init__(2, 3, (1, 1), (1, 1), (0, 0), (1, 1), False, (0, 0), 1, True, "zeros")

        def forward(self, x: ingot.Tensor) -> ingot.Tensor:
            return self.norm(self._conv_forward(x, self.weight * 2, None))

    x = ingot.ones(2, 2, 3, 3)
    assert Any4(2)(x).shape == x.shape and Plain()(x).shape == (2, 3, 3, 3)
    with pytest.raises(NotImplementedError, match="_check_input_dim"):
        nn.modules.batchnorm._BatchNorm(2)(x)
    lstm = nn.LSTM(2, 3, bidirectional=True)
    assert lstm._flat_weights_names[4] == "weight_ih_l0_reverse" and lstm._flat_weights[4] is lstm.weight_ih_l0_reverse
    states = lstm.permute_hidden((ingot.arange(2.0).reshape(1, 2, 1),) * 2, ingot.tensor([1, 0]))
    assert [h.flatten().tolist() for h in states] == [[1, 0]] * 2
    assert issubclass(nn.ReLU6, nn.Hardtanh) and repr(nn.ReLU6()) == "ReLU6()" and nn.ReLU6().max_val == 6
    assert issubclass(nn.ZeroPad2d, nn.ConstantPad2d) and repr(nn.ZeroPad2d(1)) == "ZeroPad2d((1, 1, 1, 1))" and nn.ZeroPad2d(1).value == 0

    class Decoder(nn.Module):  # whose arguments are in another order
        def forward(self, tgt, memory, memory_key_padding_mask=None, tgt_mask=None, **masks):
            assert tgt_mask is not None and memory_key_padding_mask is None
            return tgt

    nn.TransformerDecoder(Decoder(), 1)(x, x, ingot.ones(1))
