"""ingot.export with dynamic_shapes: one artifact for every size within its bounds."""

import numpy as np
import pytest

import ingot
from ingot import Dim, nn

pytestmark = pytest.mark.compiled


class Pooled(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner, self.out = nn.Linear(4, 6), nn.Linear(6, 2)

    def forward(self, x):
        h = self.inner(x).tanh()
        return self.out(h.mean(1)), h.sum() / x.numel()


def test_an_artifact_serves_every_size_within_its_bounds(tmp_path):
    m = Pooled().eval()
    batch, time = Dim("B", min=1, max=64), Dim("T", min=1, max=512)
    ingot.export(m, (ingot.ones(2, 5, 4),), tmp_path / "m.ingot", dynamic_shapes={"x": {0: batch, 1: time}})
    loaded = ingot.load(tmp_path / "m.ingot")
    assert "where 1 <= B <= 64, 1 <= T <= 512" in loaded.signature
    for b, t in ((2, 5), (1, 1), (64, 3), (7, 512)):
        x = np.random.default_rng(b).random((b, t, 4), np.float32)
        for got, want in zip(loaded(x), m(ingot.tensor(x))):
            np.testing.assert_allclose(got, want.detach().numpy(), rtol=1e-4, atol=1e-5)
    with pytest.raises(RuntimeError, match="input x: dim 0, B, must be at least 1 and at most 64, got 65"):
        loaded(np.zeros((65, 5, 4), np.float32))


def test_forms_of_dynamic_shapes(tmp_path):
    n = Dim("n", min=0)
    for spec in ({"x": {0: n}, "y": {0: n}}, ({0: n}, [n, None]), [{0: n}, {0: n, 1: Dim.STATIC}], {"x": (n, 3), "y": (n,  None)}):
        ingot.export(lambda x, y: x + y.sum(1, keepdim=True), (ingot.ones(2, 3), ingot.ones(2, 4)), tmp_path / "f", dynamic_shapes=spec)
        f = ingot.load(tmp_path / "f")
        for k in (0, 1, 9):
            assert f(np.ones((k, 3), np.float32), np.ones((k, 4), np.float32)).tolist() == [[5.0] * 3] * k
        with pytest.raises(RuntimeError, match="dim 0 must be n = 2, got 3"):
            f(np.ones((2, 3), np.float32), np.ones((3, 4), np.float32))
    nested = {"xs": [{0: n}, None]}
    ingot.export(lambda xs: xs[0] * xs[1], ([ingot.ones(2), ingot.ones(1)],), tmp_path / "g", dynamic_shapes=nested)
    assert ingot.load(tmp_path / "g")([np.ones(5, np.float32), np.ones(1, np.float32)]).tolist() == [1] * 5


def test_what_is_not_for_all_sizes_is_refused(tmp_path):
    n = {"x": {0: Dim("n")}}
    for f, words in (
        (lambda x: x[: x.shape[0] - 2].sum(), r"needs 1 <= x.shape\[0\]-1 \(.*test_export_sizes.py.*give n such bounds"),
        (lambda x: x if x.shape[0] > 3 else x * 2, "needs 4 <= x.shape"),
        (lambda x: ingot.stack([x[i] for i in range(x.shape[0])]), r"x.shape\[0\] was declared to be dynamic \(n\), but .* is 5 for good"),
        (lambda x: x * {5: 1}.get(x.shape[0], 2), "declared to be dynamic"),
    ):
        with pytest.raises(ingot.CaptureError, match=words):
            ingot.export(f, (ingot.ones(5),), tmp_path / "f", dynamic_shapes=n)
        assert not (tmp_path / "f").exists()
    for spec, words in (({"z": {0: Dim("n")}}, "no argument"), ({"x": {1: Dim("n")}}, "dim 1 of x"), ({"x": {0: Dim("n", max=4)}}, "is 5")):
        with pytest.raises(ValueError, match=words):
            ingot.export(lambda x: x * 2, (ingot.ones(5),), tmp_path / "f", dynamic_shapes=spec)


@pytest.mark.parametrize("spec", [({0: ingot.Dim("n", max=9)}, None), {"xs": ({0: ingot.Dim("n", max=9)}, None)}])
def test_arguments_that_one_parameter_takes(spec, tmp_path):
    """By place, or as torch has it, as a tuple under the parameter's name."""

    def scaled(*xs):
        return xs[0] * xs[1]

    path = str(tmp_path / "scaled.ingot")
    ingot.export(scaled, (ingot.ones(3, 2), ingot.ones(2)), path, dynamic_shapes=spec)
    for n in (1, 9):
        assert ingot.load(path)(np.ones((n, 2), np.float32), np.ones(2, np.float32)).shape == (n, 2)
    with pytest.raises(ValueError, match="there are 2|for 3 arguments|no argument"):
        ingot.export(lambda x, y: x + y, (ingot.ones(3), ingot.ones(3)), path, dynamic_shapes=(None, None, None))
