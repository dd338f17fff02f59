"""Mixed precision on a GPU, batches in pinned memory, and the check for NaN."""

import warnings

import numpy as np
import pytest

import ingot
import ingot.nn.functional as F
from ingot import nn

pytestmark = pytest.mark.usefixtures("cuda")


def test_autocast_is_of_one_device():
    w, x = ingot.randn(4, 3), ingot.randn(2, 4)
    with ingot.autocast("cuda", dtype=ingot.bfloat16):
        assert (x.cuda() @ w.cuda()).dtype is ingot.bfloat16 and (x @ w).dtype is ingot.float32
        assert ingot.is_autocast_enabled("cuda") and ingot.is_autocast_enabled() and not ingot.is_autocast_enabled("cpu")
        with ingot.autocast("cpu"):
            assert (x @ w).dtype is ingot.bfloat16 and (x.cuda() @ w.cuda()).dtype is ingot.bfloat16
        with ingot.autocast("cuda", enabled=False):
            assert (x.cuda() @ w.cuda()).dtype is ingot.float32
        assert F.mse_loss(x.cuda() @ w.cuda(), ingot.zeros(2, 3, device="cuda")).dtype is ingot.float32
    with ingot.autocast("cuda"):
        assert (x.cuda() @ w.cuda()).dtype is ingot.float16 and ingot.get_autocast_dtype("cuda") is ingot.float16
    with ingot.autocast("cpu"):
        assert (x.cuda() @ w.cuda()).dtype is ingot.float32
    assert ingot.get_autocast_gpu_dtype() is ingot.float16 and ingot.amp.is_autocast_available("cuda")
    with pytest.warns(UserWarning, match="In CUDA autocast, but the target dtype"):
        ingot.autocast("cuda", dtype=ingot.float32)


@pytest.mark.parametrize("compiled", [False, True])
def test_a_scaled_step_in_float16(compiled):
    def losses(device):
        ingot.manual_seed(0)
        model = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 3)).to(device)
        optimizer = ingot.optim.SGD(model.parameters(), lr=0.1)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            scaler = ingot.amp.GradScaler(device, init_scale=1024.0, growth_interval=2)

        def step(x, y):
            optimizer.zero_grad()
            with ingot.autocast(device, dtype=ingot.float16):
                loss = F.cross_entropy(model(x), y)
            scaler.scale(loss).backward()
            scaler.step(optimizer)
            scaler.update()
            return loss

        step = ingot.compile(step) if compiled else step
        r = np.random.default_rng(0)
        x, y = ingot.tensor(r.standard_normal((5, 6)).astype("f")).to(device), (ingot.arange(5) % 3).to(device)
        return [step(x, y).item() for _ in range(4)], scaler.get_scale(), scaler._scale.device.type

    want, got = losses("cpu"), losses("cuda")
    np.testing.assert_allclose(got[0], want[0], rtol=1e-2)
    assert got[1] == want[1] and got[2] == "cuda"


def test_batches_come_in_pinned_memory():
    data = ingot.utils.data.TensorDataset(ingot.arange(8.0), ingot.arange(8))
    for x, y in ingot.utils.data.DataLoader(data, batch_size=4, pin_memory=True):
        assert x.is_pinned() and y.is_pinned()
        assert x.to("cuda", non_blocking=True).tolist() == x.tolist()


def test_nan_is_found_there(monkeypatch):
    monkeypatch.setenv("INGOT_CHECK", "nan")
    x = ingot.tensor([1.0, -1.0], device="cuda")
    with pytest.raises(RuntimeError, match="are NaN"):
        x.log().tolist()


def test_where_a_tensor_is():
    x = ingot.ones(2, device="cuda")
    assert x.get_device() == ingot.get_device(x) == 0 and not x.is_cpu and ingot.ones(1).is_cpu
    assert x.share_memory_() is x and x.type() == "ingot.cuda.FloatTensor" and isinstance(x, ingot.cuda.FloatTensor)
    assert not isinstance(x, ingot.FloatTensor) and ingot.cuda.LongTensor([1, 2]).is_cuda
