"""Compiled functions and modules on a GPU: whole training steps, gradients through compiled calls, devices that change."""

import numpy as np
import pytest

import ingot
import ingot.nn.functional as F
from ingot import nn

pytestmark = pytest.mark.usefixtures("cuda")


def mlp():
    return nn.Sequential(nn.Linear(6, 8), nn.GELU(), nn.Dropout(0.2), nn.Linear(8, 3))


def cnn():
    first = nn.Conv2d(1, 3, 3, padding=1, bias=False), nn.BatchNorm2d(3), nn.ReLU()
    return nn.Sequential(*first, nn.MaxPool2d(2), nn.Flatten(), nn.Linear(27, 3))


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(11, 8)
        self.layer = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True)
        self.head = nn.Linear(8, 3)

    def forward(self, x):
        return self.head(self.layer(self.embed(x)).mean(1))


def inputs(kind):
    r = np.random.default_rng(0)
    if kind == "mlp":
        return ingot.tensor(r.standard_normal((5, 6)).astype("f"))
    if kind == "cnn":
        return ingot.tensor(r.standard_normal((4, 1, 6, 6)).astype("f"))
    return ingot.tensor(r.integers(0, 11, (4, 5)))


def trained(kind, device, compiled, steps=3):
    ingot.manual_seed(0)
    model = {"mlp": mlp, "cnn": cnn, "transformer": Block}[kind]().to(device)
    optimizer = ingot.optim.SGD(model.parameters(), lr=1e-1, momentum=0.9)
    if kind == "mlp":
        optimizer = ingot.optim.AdamW(model.parameters(), lr=1e-2)

    def step(x, y):
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        return loss

    step = ingot.compile(step) if compiled else step
    x = inputs(kind)
    y = ingot.arange(x.shape[0]) % 3
    ingot.manual_seed(1)
    losses = [step(x.to(device), y.to(device)) for _ in range(steps)]
    assert all(t.device == ingot.device("cuda:0") for t in (*losses, *model.parameters())) or device == "cpu"
    return [t.item() for t in losses], {k: v.cpu().numpy() for k, v in model.state_dict().items()}


@pytest.mark.parametrize("kind", ["mlp", "cnn", "transformer"])
def test_training_is_that_of_the_cpu(kind):
    want = trained(kind, "cpu", True)
    eager, compiled = trained(kind, "cuda", False), trained(kind, "cuda", True)
    for got in (eager, compiled):
        np.testing.assert_allclose(got[0], want[0], rtol=2e-5)
        for name, value in got[1].items():
            np.testing.assert_allclose(value, want[1][name], rtol=2e-3, atol=2e-4, err_msg=name)


def test_a_hit_takes_the_fast_way_and_is_replayed_as_a_graph(standin):
    @ingot.compile
    def f(x, w):
        h = (x @ w).softmax(1)
        return (h @ w.T).softmax(1) @ w

    x, w = ingot.randn(4, 5, device="cuda"), ingot.randn(5, 3, device="cuda")
    want = f(x, w).cpu().numpy()
    for _ in range(3):
        got = f(x, w)
        np.testing.assert_array_equal(got.cpu().numpy(), want)
    before = standin.calls["cuGraphLaunch"]
    other = ingot.randn(4, 5, device="cuda")
    there = f(other, w)
    h = (other.cpu() @ w.cpu()).softmax(1)
    np.testing.assert_allclose(there.cpu().numpy(), ((h @ w.cpu().T).softmax(1) @ w.cpu()).numpy(), rtol=1e-5)
    assert standin.calls["cuGraphLaunch"] == before + 1 and standin.calls["cuGraphExecKernelNodeSetParams_v2"] > 0


def test_moves_inside_a_compiled_function():
    w = ingot.ones(3, device="cuda")

    @ingot.compile
    def f(x):
        y = x.to("cuda") * w
        return y.cpu(), y + ingot.arange(3.0, device="cuda"), x

    for _ in range(3):
        a, b, c = f(ingot.tensor([1.0, 2.0, 3.0]))
        assert (a.device.type, b.device.type, c.device.type) == ("cpu", "cuda", "cpu")
        assert a.tolist() == [1.0, 2.0, 3.0] and b.tolist() == [1.0, 3.0, 5.0] and c.tolist() == [1.0, 2.0, 3.0]


def test_a_compiled_function_serves_each_device_by_its_own_code(other):
    @ingot.compile
    def f(x):
        return x * 2 + 1

    for device in ("cpu", "cuda:0", "cuda:1", "cpu", "cuda:0"):
        y = f(ingot.arange(3.0, device=device))
        assert y.device == ingot.device(device) and y.tolist() == [1.0, 3.0, 5.0]


def test_two_devices_in_a_compiled_function():
    with pytest.raises(RuntimeError, match="found at least two devices, cuda:0 and cpu!"):
        ingot.compile(lambda x, y: x + y)(ingot.ones(3, device="cuda"), ingot.ones(3))
    with pytest.raises(RuntimeError, match="found at least two devices, cuda:0 and cpu!"):
        ingot.compile(lambda x: x + ingot.ones(3))(ingot.ones(3, device="cuda"))


def test_two_gpus_in_a_compiled_function(other):
    with pytest.raises(ingot.capture.CaptureError, match="computes on one device, and this one on cuda:0, cuda:1"):
        ingot.compile(lambda x, y: (x + 1, y + 1))(ingot.ones(3, device="cuda:0"), ingot.ones(3, device="cuda:1"))


def test_gradients_through_a_compiled_call():
    m = nn.Linear(4, 3).cuda()
    c = ingot.compile(m)
    x = ingot.randn(2, 4)
    for _ in range(3):
        a = x.cuda().requires_grad_()
        (c(a) ** 2).sum().backward()
        b = x.clone().requires_grad_()
        host = nn.Linear(4, 3)
        host.load_state_dict(m.state_dict())
        (host(b) ** 2).sum().backward()
        np.testing.assert_allclose(a.grad.cpu().numpy(), b.grad.numpy(), rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(m.weight.grad.cpu().numpy(), host.weight.grad.numpy(), rtol=1e-5, atol=1e-6)
        m.zero_grad()


def test_sizes_that_change():
    @ingot.compile
    def f(x):
        return (x - x.mean(0)).sum(1)

    for n in (3, 5, 8, 2):
        x = ingot.randn(n, 4)
        np.testing.assert_allclose(f(x.cuda()).cpu().numpy(), f(x).numpy(), rtol=1e-5, atol=1e-6)


def test_eager_plans_for_all_sizes():
    from ingot.runtime import plans

    def g(x):
        return ((x * 3).sum(0) - x.amax(0)).cpu()

    inputs = [ingot.randn(n, 4) for n in (7, 2, 11, 4, 3)]
    there = [x.cuda() for x in inputs]
    ingot.cuda.synchronize()
    g(there[0]), g(there[1])
    before = plans.stats["plans"]
    found = [g(x) for x in there]
    assert plans.stats["plans"] == before
    for x, got in zip(inputs, found):
        np.testing.assert_allclose(got.numpy(), g(x).numpy(), rtol=1e-5, atol=1e-5)


def test_an_index_out_of_range_is_raised_when_something_waits():
    table = ingot.randn(5, 2, device="cuda")

    @ingot.compile
    def f(i):
        return F.embedding(i, table)

    assert f(ingot.tensor([1, 4], device="cuda")).shape == (2, 2)
    f(ingot.tensor([1, 9], device="cuda"))
    with pytest.raises(IndexError, match="embedding"):
        ingot.cuda.synchronize()
    ingot.cuda.synchronize()
    assert f(ingot.tensor([1, 4], device="cuda")).tolist() == table[[1, 4]].tolist()


def test_modules_move_and_convert():
    m = mlp()
    weight = m[0].weight
    want = m[0].weight.detach().numpy().copy()
    m.cuda()
    assert m[0].weight is weight and weight.is_cuda and weight.requires_grad and weight.is_leaf
    m(ingot.ones(2, 6, device="cuda")).sum().backward()
    assert weight.grad.is_cuda
    m.half()
    assert weight.dtype is ingot.float16 and weight.grad.dtype is ingot.float16 and weight.is_cuda
    m.float().cpu()
    np.testing.assert_allclose(weight.detach().numpy(), want, rtol=1e-3)
    assert not weight.is_cuda and not weight.grad.is_cuda


def test_checkpoints_go_to_the_device_that_is_asked_for(tmp_path):
    m = mlp().cuda()
    optimizer = ingot.optim.Adam(m.parameters())
    m(ingot.ones(1, 6, device="cuda")).sum().backward()
    optimizer.step()
    path = tmp_path / "m.pt"
    ingot.save({"model": m.state_dict(), "optimizer": optimizer.state_dict()}, path)
    last = f"cuda:{ingot.cuda.device_count() - 1}"
    for where, kind in ((None, "cuda"), ("cuda", "cuda"), ("cpu", "cpu"), ({"cuda:0": last}, "cuda"), (lambda s, at: s, "cuda")):
        found = ingot.load(path, map_location=where)["model"]
        assert {t.device.type for t in found.values()} == {kind}, where
        np.testing.assert_array_equal(found["0.weight"].cpu().numpy(), m[0].weight.detach().cpu().numpy())
    other = mlp()
    other.load_state_dict(found)
    assert not other[0].weight.is_cuda
    again = ingot.optim.Adam(m.parameters())
    again.load_state_dict(ingot.load(path, map_location="cpu")["optimizer"])
    assert all(v.is_cuda for v in again.state[m[0].weight].values())


def test_loops_branches_and_transforms():
    x = ingot.randn(4, 3)

    def scanned(x):
        return ingot.scan(lambda c, r: (c + r, c * r), ingot.zeros(3, device=x.device), x)[1]

    def looped(x):
        count = ingot.zeros((), dtype=ingot.int64, device=x.device)
        return ingot.while_loop(lambda i, v: i < 3, lambda i, v: (i + 1, v * 2), (count, x))[1]

    def chosen(x):
        return ingot.cond(x.sum() > 0, lambda v: v + 1, lambda v: v - 1, (x,))

    for f in (scanned, looped, chosen, ingot.func.jacrev(ingot.tanh), ingot.func.vmap(lambda r: r.softmax(0))):
        got = f(x.cuda())
        assert got.is_cuda
        np.testing.assert_allclose(got.cpu().numpy(), f(x).numpy(), rtol=1e-5, atol=1e-6)


def test_launches_ask_for_much_shared_memory():
    x = np.random.default_rng(0).standard_normal((17, 15000)).astype("f")
    got = ingot.tensor(x).cuda().softmax(-1).cpu()
    assert ingot.allclose(got, ingot.tensor(x).softmax(-1), atol=1e-6)
    f = ingot.compile(lambda x: x.softmax(-1))
    for _ in range(3):
        assert ingot.allclose(f(ingot.tensor(x).cuda()).cpu(), got)
