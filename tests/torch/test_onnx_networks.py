"""Networks that torch's exporters write, read by Ingot: torch's numbers, also for batches of another size; and their training."""

from __future__ import annotations

import io
import logging
import warnings

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnxscript")

import ingot  # noqa: E402

nn, F = torch.nn, torch.nn.functional


class Residual(nn.Module):
    def __init__(self, a, b, stride):
        super().__init__()
        self.conv1, self.norm1 = nn.Conv2d(a, b, 3, stride, 1, bias=False), nn.BatchNorm2d(b)
        self.conv2, self.norm2 = nn.Conv2d(b, b, 3, 1, 1, bias=False), nn.BatchNorm2d(b)
        self.down = nn.Conv2d(a, b, 1, stride)

    def forward(self, x):
        return F.relu(self.norm2(self.conv2(F.relu(self.norm1(self.conv1(x))))) + self.down(x))


def resnet():
    return nn.Sequential(
        nn.Conv2d(3, 8, 7, 2, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(3, 2, 1), Residual(8, 8, 1), Residual(8, 16, 2),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 5),
    )  # fmt: skip


def mobilenet():
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, 2, 1), nn.Conv2d(8, 32, 1), nn.BatchNorm2d(32), nn.Hardswish(), nn.Conv2d(32, 32, 3, 1, 1, groups=32),
        nn.ReLU6(), nn.Conv2d(32, 8, 1), nn.Hardsigmoid(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.2), nn.Linear(8, 5),
    )  # fmt: skip


class ViT(nn.Module):
    def __init__(self):
        super().__init__()
        self.patches, self.head = nn.Conv2d(3, 16, 4, 4), nn.Linear(16, 5)
        self.token, self.places = nn.Parameter(torch.randn(1, 1, 16)), nn.Parameter(torch.randn(1, 17, 16))
        layer = nn.TransformerEncoderLayer(16, 2, 32, activation="gelu", batch_first=True, norm_first=True)
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)

    def forward(self, x):
        y = self.patches(x).flatten(2).transpose(1, 2)
        return self.head(self.encoder(torch.cat([self.token.expand(x.shape[0], -1, -1), y], 1) + self.places)[:, 0])


class Bert(nn.Module):
    def __init__(self):
        super().__init__()
        self.words, self.places, self.norm = nn.Embedding(50, 16), nn.Embedding(32, 16), nn.LayerNorm(16)
        self.q, self.k, self.v, self.out = (nn.Linear(16, 16) for _ in range(4))
        self.up, self.down, self.last = nn.Linear(16, 32), nn.Linear(32, 16), nn.LayerNorm(16)

    def forward(self, ids, mask):
        x = self.norm(self.words(ids) + self.places(torch.arange(ids.shape[1], device=ids.device)))
        b, t, _ = x.shape
        q, k, v = (f(x).view(b, t, 2, 8).transpose(1, 2) for f in (self.q, self.k, self.v))
        scores = q @ k.transpose(-1, -2) / 8**0.5 + (1.0 - mask[:, None, None, :].float()) * -1e4
        x = self.last(x + self.out((scores.softmax(-1) @ v).transpose(1, 2).reshape(b, t, 16)))
        return x + self.down(F.gelu(self.up(x))), torch.tanh(x[:, 0])


class Llama(nn.Module):
    def __init__(self):
        super().__init__()
        self.words, self.norm = nn.Embedding(50, 16), nn.RMSNorm(16)
        self.q, self.kv, self.out = (nn.Linear(16, 16, bias=False) for _ in range(3))
        self.gate, self.up, self.down = nn.Linear(16, 32, bias=False), nn.Linear(16, 32, bias=False), nn.Linear(32, 16, bias=False)
        angles = torch.outer(torch.arange(32.0), 1 / 10000 ** (torch.arange(0, 4, 2) / 4)).repeat(1, 2)
        self.register_buffer("cos", angles.cos())
        self.register_buffer("sin", angles.sin())

    def turn(self, x):
        a, b = x.chunk(2, -1)
        return x * self.cos[: x.shape[2]] + torch.cat([-b, a], -1) * self.sin[: x.shape[2]]

    def forward(self, ids):
        x = self.words(ids)
        b, t, _ = x.shape
        y = self.norm(x)
        q = self.turn(self.q(y).view(b, t, 4, 4).transpose(1, 2))
        k, v = self.kv(y).view(b, t, 2, 2, 4).unbind(2)
        k, v = self.turn(k.transpose(1, 2)).repeat_interleave(2, 1), v.transpose(1, 2).repeat_interleave(2, 1)
        x = x + self.out(F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).reshape(b, t, 16))
        y = self.norm(x)
        return x + self.down(F.silu(self.gate(y)) * self.up(y))


class Recurrent(nn.Module):
    def __init__(self):
        super().__init__()
        self.words, self.lstm = nn.Embedding(50, 8), nn.LSTM(8, 6, 2, bidirectional=True, batch_first=True)
        self.gru, self.head = nn.GRU(12, 5, batch_first=True), nn.Linear(5, 3)

    def forward(self, ids):
        y, h = self.gru(self.lstm(self.words(ids))[0])
        return self.head(y[:, -1]), h


class UNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.GroupNorm(2, 8), nn.SiLU())
        self.down, self.up, self.last = nn.Conv2d(8, 16, 3, 2, 1), nn.ConvTranspose2d(16, 8, 2, 2), nn.Conv2d(16, 2, 1)

    def forward(self, x):
        a = self.first(x)
        d = F.leaky_relu(self.down(a), 0.1)
        big = F.interpolate(d, scale_factor=2, mode="bilinear", align_corners=False)
        return self.last(torch.cat([a, self.up(d)], 1)) + big[:, :2], F.interpolate(x, size=(7, 9)), F.pad(x, (1, 2, 3, 4), mode="reflect")


class Speech(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1, self.conv2, self.norm = nn.Conv1d(8, 16, 3, padding=1), nn.Conv1d(16, 16, 3, 2, 1), nn.LayerNorm(16)
        self.layer = nn.TransformerEncoderLayer(16, 2, 32, activation="gelu", batch_first=True, norm_first=True)

    def forward(self, x):
        return self.norm(self.layer(F.gelu(self.conv2(F.gelu(self.conv1(x)))).permute(0, 2, 1)))


class Detector(nn.Module):
    """What is selected depends on the values: it runs in parts."""

    def __init__(self):
        super().__init__()
        self.body, self.scores, self.boxes = nn.Conv2d(3, 8, 3, 2, 1), nn.Conv2d(8, 4, 1), nn.Conv2d(8, 4, 1)

    def forward(self, x):
        f = F.silu(self.body(x))
        best = self.scores(f).flatten(2).sigmoid().max(1).values
        places = (best[0] > 0.5).nonzero()[:, 0]
        return self.boxes(f).flatten(2).transpose(1, 2)[0][places], best.topk(5, -1).values


def ids():
    return (torch.randint(0, 50, (2, 7), generator=torch.Generator().manual_seed(0)),)


def image():
    return (torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(0)),)


NETWORKS = {
    "resnet": (resnet, image), "mobilenet": (mobilenet, image), "vit": (ViT, image), "llama": (Llama, ids), "recurrent": (Recurrent, ids),
    "bert": (Bert, lambda: (*ids(), torch.tensor([[1] * 7, [1] * 4 + [0] * 3]))), "unet": (UNet, image),
    "speech": (Speech, lambda: (torch.randn(2, 8, 20, generator=torch.Generator().manual_seed(0)),)), "detector": (Detector, image),
}  # fmt: skip
SHORT = {("bert", "dynamo"), ("resnet", "legacy"), ("llama", "dynamic"), ("detector", "dynamo")}


def exported(model, args, how):
    logging.disable(logging.WARNING)
    data = io.BytesIO()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if how == "legacy":
                torch.onnx.export(model, args, data, dynamo=False, opset_version=17)
            else:
                batch = torch.export.Dim("batch", min=1, max=64)
                shapes = tuple({0: batch} for _ in args) if how == "dynamic" else None
                program = torch.onnx.export(model, args, dynamo=True, verbose=False, dynamic_shapes=shapes)
                data.write(program.model_proto.SerializeToString())
    finally:
        logging.disable(logging.NOTSET)
    return data.getvalue()


@pytest.mark.parametrize("how", ["dynamo", "dynamic", "legacy"])
@pytest.mark.parametrize("name", NETWORKS)
def test_networks(name, how, long):
    if not long and (name, how) not in SHORT:
        pytest.skip("a sample")
    if (name, how) == ("llama", "legacy"):
        pytest.skip("torch's older exporter has no RMS norm")
    torch.manual_seed(0)
    make, inputs = NETWORKS[name]
    model, args = make().eval(), inputs()
    ours = ingot.onnx.load(exported(model, args, how))
    batches = [args, tuple(torch.cat([a, a[:1]]) for a in args)] if how == "dynamic" else [args]
    for given in batches:
        expected = model(*given)
        got = ours.run({n: a.numpy() for n, a in zip(ours.input_names, given)})
        for e, g in zip(expected if isinstance(expected, tuple) else (expected,), got.values()):
            np.testing.assert_allclose(g, e.detach().numpy(), rtol=1e-4, atol=1e-4)
    assert ours.parts is None


def test_training_goes_on():
    """Gradients of the loaded model are torch's, under torch's names."""
    torch.manual_seed(0)
    model, args = Bert().eval(), NETWORKS["bert"][1]()
    for p in model.parameters():  # the exporter writes equal parameters once
        p.data.normal_(0, 0.3)
    ours = ingot.onnx.load(exported(model, args, "dynamo"))
    model(*args)[0].pow(2).mean().backward()
    (ours(*(ingot.from_numpy(a.numpy()) for a in args))[0] ** 2).mean().backward()
    theirs = {n: p.grad for n, p in model.named_parameters() if p.grad is not None}
    found = {n: p.grad for n, p in ours.named_parameters() if p.grad is not None}
    for name, grad in found.items():
        t = theirs.get(name)
        if t is not None and tuple(t.shape) == tuple(grad.shape):
            np.testing.assert_allclose(grad.numpy(), t.numpy(), rtol=1e-3, atol=1e-5, err_msg=name)
    assert len(found.keys() & theirs.keys()) >= 10
