"""Modules against torch: state_dict keys, outputs, gradients of inputs and parameters, buffers, text."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch

import ingot
from tests.torch.against import array, close, compare_modules, copy_weights, numpy_of

IDX = np.array([[0, 3, 3], [5, 1, 0]])
LAYERS = [
    ("Linear", (4, 5), {}, [(2, 3, 4)]),
    ("Linear", (4, 5), {"bias": False}, [(4,)]),
    ("Bilinear", (3, 4, 5), {}, [(2, 3), (2, 4)]),
    ("Identity", (), {}, [(2, 3)]),
    ("Flatten", (), {}, [(2, 3, 4)]),
    ("Unflatten", (1, (2, 3)), {}, [(2, 6)]),
    ("Conv1d", (3, 4, 3), {"padding": 1, "stride": 2}, [(2, 3, 9)]),
    ("Conv2d", (4, 6, 3), {"padding": 1, "groups": 2}, [(2, 4, 6, 6)]),
    ("Conv2d", (4, 6, 3), {"padding": "same", "padding_mode": "reflect", "bias": False}, [(2, 4, 6, 6)]),
    ("Conv2d", (2, 3, (3, 2)), {"padding": (2, 1), "padding_mode": "circular", "dilation": (1, 2)}, [(2, 2, 6, 6)]),
    ("Conv2d", (2, 3, 3), {"padding": 1, "padding_mode": "replicate", "stride": 2}, [(2, 6, 6)]),
    ("Conv3d", (2, 3, 2), {}, [(1, 2, 3, 4, 3)]),
    ("ConvTranspose1d", (3, 4, 3), {"stride": 2}, [(2, 3, 5)]),
    ("ConvTranspose2d", (4, 2, 3), {"stride": 2, "padding": 1, "output_padding": 1, "groups": 2}, [(2, 4, 5, 4)]),
    ("BatchNorm1d", (3,), {}, [(5, 3)]),
    ("BatchNorm1d", (3,), {"momentum": None}, [(5, 3, 4)]),
    ("BatchNorm2d", (3,), {"momentum": 0.3, "eps": 1e-3}, [(2, 3, 4, 4)]),
    ("BatchNorm2d", (3,), {"affine": False, "track_running_stats": False}, [(2, 3, 4, 4)]),
    ("BatchNorm3d", (2,), {}, [(2, 2, 3, 2, 3)]),
    ("LayerNorm", (4,), {}, [(2, 3, 4)]),
    ("LayerNorm", ((3, 4),), {"bias": False}, [(2, 3, 4)]),
    ("LayerNorm", (4,), {"elementwise_affine": False}, [(2, 3, 4)]),
    ("RMSNorm", (4,), {}, [(2, 3, 4)]),
    ("GroupNorm", (2, 6), {}, [(2, 6, 5)]),
    ("InstanceNorm1d", (3,), {"affine": True}, [(2, 3, 5)]),
    ("InstanceNorm2d", (3,), {}, [(2, 3, 4, 4)]),
    ("InstanceNorm2d", (3,), {"track_running_stats": True, "affine": True}, [(2, 3, 4, 4)]),
    ("LocalResponseNorm", (3,), {}, [(2, 5, 4)]),
    ("PReLU", (3,), {}, [(2, 3, 4)]),
    ("Upsample", (), {"scale_factor": 2, "mode": "bilinear"}, [(1, 2, 3, 4)]),
    ("UpsamplingBilinear2d", (), {"scale_factor": 2}, [(1, 2, 3, 4)]),
    ("PixelShuffle", (2,), {}, [(1, 8, 3, 4)]),
    ("ZeroPad2d", ((1, 2, 0, 1),), {}, [(1, 2, 3, 4)]),
    ("ReflectionPad2d", (1,), {}, [(1, 2, 3, 4)]),
    ("ConstantPad1d", (2, 3.5), {}, [(1, 2, 3)]),
    ("MaxPool2d", (2,), {}, [(1, 2, 4, 4)]),
    ("AvgPool2d", (2,), {"stride": 1, "padding": 1}, [(1, 2, 4, 4)]),
    ("AdaptiveAvgPool2d", ((2, 3),), {}, [(1, 2, 5, 5)]),
    ("AdaptiveMaxPool1d", (3,), {}, [(1, 2, 7)]),
    ("CosineSimilarity", (), {}, [(4, 5), (4, 5)]),
    ("PairwiseDistance", (), {}, [(4, 5), (4, 5)]),
    ("Unfold", (2,), {}, [(1, 2, 4, 4)]),
    ("GLU", (), {}, [(2, 4)]),
    ("Softmax2d", (), {}, [(1, 3, 2, 2)]),
    ("Softmax", (-1,), {}, [(2, 4)]),
    ("Threshold", (0.1, 3.0), {}, [(2, 4)]),
]


def make(name: str, args: tuple, kwargs: dict):
    torch.manual_seed(0)
    theirs = getattr(torch.nn, name)(*args, **kwargs)
    with torch.no_grad():
        for i, p in enumerate(theirs.parameters()):  # norms start at 1 and 0: give them something to do
            if p.ndim == 1:
                p.copy_(torch.tensor(array(tuple(p.shape), 50 + i)))
    return getattr(ingot.nn, name)(*args, **kwargs), theirs


@pytest.mark.parametrize("name, args, kwargs, shapes", LAYERS)
def test_layer(name: str, args: tuple, kwargs: dict, shapes: list) -> None:
    mine, theirs = make(name, args, kwargs)
    assert repr(mine) == repr(theirs)
    inputs = tuple(array(s, i) for i, s in enumerate(shapes))
    compare_modules(mine, theirs, inputs, atol=4e-5)
    mine.eval()
    theirs.eval()
    mine.zero_grad()
    theirs.zero_grad()
    compare_modules(mine, theirs, inputs, atol=4e-5)


@pytest.mark.parametrize(
    "name",
    ["ReLU", "ReLU6", "LeakyReLU", "ELU", "SELU", "CELU", "GELU", "SiLU", "Mish", "Sigmoid", "Tanh", "Softplus", "Softsign", "Hardtanh",
     "Hardswish", "Hardsigmoid", "Hardshrink", "Softshrink", "Tanhshrink", "LogSigmoid", "Dropout", "Dropout2d"],
)  # fmt: skip
def test_plain_module(name: str) -> None:
    mine, theirs = getattr(ingot.nn, name)().eval(), getattr(torch.nn, name)().eval()
    assert repr(mine) == repr(theirs)
    compare_modules(mine, theirs, (array((2, 3, 4, 4)),))


@pytest.mark.parametrize(
    "name, args",
    [("CrossEntropyLoss", ()), ("NLLLoss", ()), ("MSELoss", ()), ("L1Loss", ()), ("SmoothL1Loss", ()), ("HuberLoss", ()), ("BCELoss", ()),
     ("BCEWithLogitsLoss", ()), ("KLDivLoss", ()), ("PoissonNLLLoss", ()), ("SoftMarginLoss", ()), ("HingeEmbeddingLoss", ())],
)  # fmt: skip
def test_loss_module(name: str, args: tuple) -> None:
    x = 1 / (1 + np.exp(-array((3, 4))))
    t = np.array([0, 3, 1]) if name in ("CrossEntropyLoss", "NLLLoss") else 1 / (1 + np.exp(-array((3, 4), 1)))
    mine = getattr(ingot.nn, name)(*args)(ingot.tensor(x), ingot.tensor(t))
    close(mine, getattr(torch.nn, name)(*args)(torch.tensor(x), torch.tensor(t)))


@pytest.mark.parametrize("kwargs", [{}, {"padding_idx": 3}])
def test_embedding(kwargs: dict) -> None:
    mine, theirs = make("Embedding", (6, 4), kwargs)
    assert repr(mine) == repr(theirs)
    compare_modules(mine, theirs, (IDX,))
    fresh = ingot.nn.Embedding(6, 4, **kwargs)
    if kwargs:
        assert not np.any(numpy_of(fresh.weight)[3])


def test_embedding_max_norm() -> None:
    mine, theirs = make("Embedding", (6, 4), {"max_norm": 0.8})
    copy_weights(theirs, mine)
    close(mine(ingot.tensor(IDX)), theirs(torch.tensor(IDX)))
    close(mine.weight, theirs.weight)


RECURRENT = [
    ("RNN", {}),
    ("RNN", {"nonlinearity": "relu", "num_layers": 2}),
    ("LSTM", {}),
    ("LSTM", {"num_layers": 2, "bidirectional": True, "batch_first": True}),
    ("LSTM", {"bias": False}),
    ("LSTM", {"proj_size": 3, "num_layers": 2}),
    ("GRU", {}),
    ("GRU", {"num_layers": 2, "bidirectional": True}),
    ("GRU", {"bias": False, "batch_first": True}),
]


@pytest.mark.parametrize("name, kwargs", RECURRENT)
def test_recurrent(name: str, kwargs: dict) -> None:
    mine, theirs = make(name, (4, 5), kwargs)
    assert repr(mine) == repr(theirs)
    compare_modules(mine, theirs, (array((3, 2, 4)),), atol=4e-5)
    rows = kwargs.get("num_layers", 1) * (2 if kwargs.get("bidirectional") else 1)
    batch = 3 if kwargs.get("batch_first") else 2
    h = array((rows, batch, kwargs.get("proj_size", 5)), 7)
    hx = (h, array((rows, batch, 5), 8)) if name == "LSTM" else h
    mine.zero_grad()
    theirs.zero_grad()
    compare_modules(mine, theirs, (array((3, 2, 4)), hx), atol=4e-5)
    close(mine(ingot.tensor(array((3, 4))))[0], theirs(torch.tensor(array((3, 4))))[0], atol=4e-5)


@pytest.mark.parametrize("name", ["LSTM", "GRU", "RNN"])
@pytest.mark.parametrize("enforce", [True, False])
def test_packed(name: str, enforce: bool) -> None:
    mine, theirs = make(name, (4, 5), {"bidirectional": True})
    copy_weights(theirs, mine)
    x, lengths = array((5, 3, 4)), [5, 3, 2] if enforce else [2, 5, 3]

    def run(m, model, x):
        rnn = m.nn.utils.rnn
        packed = rnn.pack_padded_sequence(x, m.tensor(lengths), enforce_sorted=enforce)
        out, last = model(packed)
        padded, n = rnn.pad_packed_sequence(out, total_length=6, padding_value=-1.0)
        last = last[0] if name == "LSTM" else last
        (padded.sum() + (last * last).sum()).backward()
        return padded, n, last, x.grad

    a = run(ingot, mine, ingot.tensor(x).requires_grad_())
    b = run(torch, theirs, torch.tensor(x).requires_grad_())
    for i, (p, q) in enumerate(zip(a, b)):
        close(p, q, atol=4e-5, what=str(i))


def test_pad_sequence() -> None:
    items = [array((n, 2), n) for n in (3, 1, 4)]
    for kw in ({}, {"batch_first": True, "padding_value": 2.0}, {"padding_side": "left"}):
        close(
            ingot.nn.utils.rnn.pad_sequence([ingot.tensor(i) for i in items], **kw),
            torch.nn.utils.rnn.pad_sequence([torch.tensor(i) for i in items], **kw),
        )


@pytest.mark.parametrize("name", ["RNNCell", "LSTMCell", "GRUCell"])
def test_cells(name: str) -> None:
    mine, theirs = make(name, (4, 5), {})
    assert repr(mine) == repr(theirs)
    compare_modules(mine, theirs, (array((3, 4)),), atol=2e-5)
    h = array((3, 5), 1)
    compare_modules(mine, theirs, (array((3, 4)), (h, array((3, 5), 2)) if name == "LSTMCell" else h), atol=4e-5)


ATTENTION = [{}, {"batch_first": True}, {"bias": False}, {"kdim": 6, "vdim": 4}, {"add_bias_kv": True, "add_zero_attn": True}]


@pytest.mark.parametrize("kwargs", ATTENTION)
def test_multihead_attention(kwargs: dict) -> None:
    mine, theirs = make("MultiheadAttention", (8, 2), kwargs)
    q, k, v = array((3, 2, 8)), array((4, 2, kwargs.get("kdim", 8)), 1), array((4, 2, kwargs.get("vdim", 8)), 2)
    if kwargs.get("batch_first"):
        q, k, v = (x.swapaxes(0, 1).copy() for x in (q, k, v))
    compare_modules(mine, theirs, (q, k, v), atol=4e-5)
    pad = np.array([[False, False, True, True], [False, False, False, False]])
    a = mine(*(ingot.tensor(x) for x in (q, k, v)), key_padding_mask=ingot.tensor(pad), need_weights=False)[0]
    b = theirs(*(torch.tensor(x) for x in (q, k, v)), key_padding_mask=torch.tensor(pad), need_weights=False)[0]
    close(a, b, atol=4e-5)
    mask = np.triu(np.ones((3, 4), bool), 2)
    a = mine(*(ingot.tensor(x) for x in (q, k, v)), attn_mask=ingot.tensor(mask), average_attn_weights=False)
    b = theirs(*(torch.tensor(x) for x in (q, k, v)), attn_mask=torch.tensor(mask), average_attn_weights=False)
    for x, y in zip(a, b):
        close(x, y, atol=4e-5)


@pytest.mark.parametrize("kwargs", [{}, {"norm_first": True, "batch_first": True, "activation": "gelu"}])
def test_transformer_layers(kwargs: dict) -> None:
    kwargs = {"dropout": 0.0, "dim_feedforward": 12, **kwargs}
    mine, theirs = make("TransformerEncoderLayer", (8, 2), kwargs)
    compare_modules(mine, theirs, (array((3, 2, 8)),), rtol=1e-4, atol=1e-4)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        stack = torch.nn.TransformerEncoder(theirs, 2)
    compare_modules(ingot.nn.TransformerEncoder(mine, 2), stack, (array((3, 2, 8)),), rtol=1e-4, atol=1e-4)
    mine, theirs = make("TransformerDecoderLayer", (8, 2), kwargs)
    compare_modules(mine, theirs, (array((3, 2, 8)), array((3, 2, 8), 1)), rtol=1e-4, atol=1e-4)


def test_transformer() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        mine, theirs = make("Transformer", (8, 2, 1, 1, 12), {"dropout": 0.0})
    compare_modules(mine, theirs, (array((3, 2, 8)), array((4, 2, 8), 1)), rtol=1e-4, atol=1e-4)
    close(mine.generate_square_subsequent_mask(4), theirs.generate_square_subsequent_mask(4))


def test_text_of_nested_modules() -> None:
    def build(nn):
        return nn.Sequential(
            nn.Conv2d(1, 4, 3), nn.Sequential(nn.ReLU(inplace=True), nn.Dropout(0.1)), nn.ModuleList([nn.Linear(2, 2)] * 3),
            nn.ModuleDict({"a": nn.Identity(), "b": nn.LSTM(2, 3, 2, dropout=0.5)}),
        )  # fmt: skip

    assert repr(build(ingot.nn)) == repr(build(torch.nn))


@pytest.mark.parametrize(
    "name, kwargs",
    [("uniform_", {"a": -1.0, "b": 3.0}), ("normal_", {"mean": 1.0, "std": 2.0}), ("trunc_normal_", {"std": 1.5, "a": -1.0, "b": 2.0}),
     ("xavier_uniform_", {"gain": 1.5}), ("xavier_normal_", {}), ("kaiming_uniform_", {"a": 1.0, "mode": "fan_out"}),
     ("kaiming_normal_", {"nonlinearity": "relu"}), ("sparse_", {"sparsity": 0.3})],
)  # fmt: skip
def test_init_statistics(name: str, kwargs: dict) -> None:
    shape = (120, 200)
    torch.manual_seed(0)
    ingot.manual_seed(0)
    a = getattr(ingot.nn.init, name)(ingot.empty(shape), **kwargs).numpy()
    b = getattr(torch.nn.init, name)(torch.empty(shape), **kwargs).numpy()
    scale = b.std()
    assert abs(a.mean() - b.mean()) < 0.03 * scale and abs(a.std() - b.std()) < 0.02 * scale
    assert abs(a.min() - b.min()) < 0.6 * scale and abs(a.max() - b.max()) < 0.6 * scale
    np.testing.assert_allclose(np.quantile(a, [0.1, 0.5, 0.9]), np.quantile(b, [0.1, 0.5, 0.9]), atol=0.04 * scale)


def test_exact_init() -> None:
    for name, args, shape in [("constant_", (2.5,), (3, 4)), ("ones_", (), (3,)), ("zeros_", (), (3,)), ("eye_", (), (3, 4)),
                              ("dirac_", (), (4, 3, 3)), ("dirac_", (2,), (4, 3, 3, 3))]:  # fmt: skip
        close(getattr(ingot.nn.init, name)(ingot.empty(shape), *args), getattr(torch.nn.init, name)(torch.empty(shape), *args))
    q = ingot.nn.init.orthogonal_(ingot.empty(4, 6), gain=2.0).numpy()
    np.testing.assert_allclose(q @ q.T, 4 * np.eye(4), atol=1e-5)
    for f in ("linear", "relu", "tanh", "leaky_relu", "selu"):
        assert ingot.nn.init.calculate_gain(f) == pytest.approx(torch.nn.init.calculate_gain(f))


def test_default_initialisation_has_torchs_spread() -> None:
    for name, args in [("Linear", (64, 128)), ("Conv2d", (16, 32, 3)), ("LSTM", (32, 32)), ("Embedding", (100, 64)),
                       ("MultiheadAttention", (32, 4)), ("ConvTranspose2d", (16, 32, 3))]:  # fmt: skip
        a, b = getattr(ingot.nn, name)(*args), getattr(torch.nn, name)(*args)
        for (n, p), q in zip(a.named_parameters(), b.parameters()):
            if p.numel() >= 1000:
                assert numpy_of(p).std() == pytest.approx(numpy_of(q).std(), rel=0.1), (name, n)


def test_clipping() -> None:
    from torch.nn.utils import clip_grad_norm_, clip_grad_value_

    for norm in (2.0, 1.0, float("inf"), 3.0):
        for bound in (0.5, 1e3):
            ps = [ingot.nn.Parameter(ingot.zeros(3)) for _ in range(2)]
            qs = [torch.nn.Parameter(torch.zeros(3)) for _ in range(2)]
            for i, (p, q) in enumerate(zip(ps, qs)):
                p.grad, q.grad = ingot.tensor(array((3,), i)), torch.tensor(array((3,), i))
            close(ingot.nn.utils.clip_grad_norm_(ps, bound, norm), clip_grad_norm_(qs, bound, norm))
            ingot.nn.utils.clip_grad_value_(ps, 0.2)
            clip_grad_value_(qs, 0.2)
            for p, q in zip(ps, qs):
                close(p.grad, q.grad)
