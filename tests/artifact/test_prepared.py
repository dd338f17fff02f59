"""Weights that a file holds as its code reads them: nothing is packed at load, the plain ones can be told, and the file does not grow."""

import ctypes
import os

import numpy as np
import pytest

import ingot
from ingot import nn
from ingot.runtime.artifact import ArtifactError, load, prepared
from ingot.runtime.artifact.container import Container
from ingot.runtime.cli import main
from tests.support.cli import json_of
from tests.support.forging import contents, rewrite

LEVEL = "x86-64-v2"
pytestmark = pytest.mark.skipif(os.uname().machine != "x86_64", reason="exports for levels of x86-64")


def exported(model, x, path, **more):
    ingot.export(model.eval(), (x,), str(path), **more)
    return str(path)


@pytest.fixture(scope="module")
def net():
    ingot.manual_seed(3)
    return nn.Sequential(nn.Linear(48, 32), nn.ReLU(), nn.Linear(32, 16)).eval()


@pytest.fixture(scope="module")
def path(net, tmp_path_factory):
    return exported(net, ingot.randn(24, 48), tmp_path_factory.mktemp("prepared") / "net.ingot", targets=(LEVEL,))


def test_they_take_the_place_of_the_plain_ones(net, path, tmp_path):
    both = exported(net, ingot.randn(24, 48), tmp_path / "both.ingot", targets=(LEVEL, "x86-64-v3"))  # for two levels they are plain
    with Container(path) as c, Container(both) as other:
        assert c.schema == 3 and other.schema == 1
        taken, of = c.extent(f"kept/{LEVEL}")[1] + c.extent("weights")[1], other.extent("weights")[1]
        assert taken <= of + 256 and not any(n.startswith("kept") for n in other.parts)
    x = ingot.randn(24, 48)
    np.testing.assert_allclose(load(path)(x.numpy()), net(x).detach().numpy(), rtol=1e-4, atol=1e-5)
    assert load(path).bytes_for() < load(both).bytes_for()


def test_nothing_is_made_of_them_again(path, net):
    m = load(path)
    assert m._kept.owner is not None and not m._kept.writable  # the file's own memory
    x = np.ones((24, 48), np.float32)
    np.testing.assert_array_equal(m(x), m(x))


def test_the_plain_ones_can_be_told(net, path):
    told = load(path).weights
    assert told.keys() == net.state_dict().keys()
    for name, t in net.state_dict().items():
        assert told[name].tobytes() == t.numpy().tobytes() and not told[name].flags.writeable
    assert ingot.equal(ingot.export.load(path).state_dict["0.weight"], net[0].weight)


@pytest.mark.parametrize("dtype", (np.float64, np.uint16, np.uint8))
def test_numbers_that_elements_do_not_hold(dtype):
    """More elements than an element has values, beside those of another size: reversed, in panels, with what is no element between."""
    rng = np.random.default_rng(0)
    weights = {"a": rng.integers(0, 200, (70, 1000)).astype(dtype), "b": rng.standard_normal(300).astype(np.float32)}

    def at(address, n):
        return np.ctypeslib.as_array((ctypes.c_uint8 * n).from_address(address))

    def run(a, b, out, kept):
        memory, a, b = at(kept, nbytes), at(a, weights["a"].nbytes), at(b, weights["b"].nbytes)
        end = 64 + -(-a.nbytes // 64) * 64
        memory[64 : 64 + a.nbytes] = a.view(dtype)[::-1].copy().view(np.uint8)
        memory[end : end + 4] = np.frombuffer(np.float32(7.25).tobytes(), np.uint8)
        memory[end + 64 : end + 64 + b.nbytes] = b
        memory[0] = 1

    nbytes = 64 + -(-weights["a"].nbytes // 64) * 64 + 64 + weights["b"].nbytes
    types = [(weights[n].dtype, weights[n].shape) for n in "ab"] + [(np.dtype(np.float32), (2,))]
    code = prepared.Code(run, ["address"] * 3, [("weight", "a"), ("weight", "b")], types, [], nbytes)
    kept, names = prepared.prepare(code, weights, [0, 1])
    assert names == ["a", "b"]
    for name, found in prepared.plain(kept, names, code, {}).items():
        np.testing.assert_array_equal(found, weights[name])


def test_what_cannot_be_told_is_stored_as_it_is(tmp_path):
    """Weights of which something else is made: 3 x 3 filters by minimal filtering; and those that are read as they are, too."""
    filters = exported(nn.Conv2d(32, 32, 3, padding=1), ingot.randn(1, 32, 32, 32), tmp_path / "a.ingot", targets=(LEVEL,))

    class Tied(nn.Linear):
        def forward(self, x):
            return super().forward(x) + x * self.weight[0]

    tied = exported(Tied(48, 48), ingot.randn(24, 48), tmp_path / "b.ingot", targets=(LEVEL,))
    for path in (filters, tied):
        with Container(path) as c:
            assert not any(n.startswith("kept") for n in c.parts) and c.schema == 1


def test_every_flip_is_refused(path, tmp_path):
    with Container(path) as c:
        start, n = c.extent(f"kept/{LEVEL}")
    with open(path, "rb") as f:
        data = f.read()
    copy = tmp_path / "copy.ingot"
    for at in range(start, start + n, 37):
        copy.write_bytes(data[:at] + bytes([data[at] ^ 1 << at % 8]) + data[at + 1 :])
        with pytest.raises(ArtifactError, match=f"part 'kept/{LEVEL}' is damaged"):
            load(copy)


LIES = {
    "no part": lambda t, parts: t["prepared"].update(part="weights"),
    "no name": lambda t, parts: t["prepared"].update(part=7),
    "no list": lambda t, parts: t["prepared"].update(weights="0.weight"),
    "no weight": lambda t, parts: t["prepared"].update(weights=["input"]),
    "twice": lambda t, parts: t["prepared"].update(weights=["0.weight", "0.weight"]),
    "not there": lambda t, parts: t["prepared"].update(weights=["0.weight"]),
    "nothing kept": lambda t, parts: t["executable"].pop("kept"),
    "too short": lambda t, parts: parts.update({f"kept/{LEVEL}": parts[f"kept/{LEVEL}"][:-64]}),
    "not filled": lambda t, parts: parts.update({f"kept/{LEVEL}": b"\0" + parts[f"kept/{LEVEL}"][1:]}),
    "none": lambda t, parts: t.pop("prepared"),
}


@pytest.mark.parametrize("lie", LIES)
def test_lies(path, tmp_path, lie):
    manifest, parts = contents(path)
    LIES[lie](manifest["targets"][0], parts)
    rewrite(str(tmp_path / "lie.ingot"), manifest, parts)
    with pytest.raises(ArtifactError):
        load(tmp_path / "lie.ingot")


def test_it_is_shown(path, capsys):
    assert main(["inspect", path]) == 0 and "2 weights ready for it, 8.1 KiB: 0.weight, 2.weight" in capsys.readouterr().out
    target = json_of(capsys, "inspect", path)["targets"][0]
    assert target["kept"] == f"kept/{LEVEL}" and target["prepared"][0] == {"name": "0.weight", "dtype": "f32", "shape": [32, 48]}
    assert main(["verify", "--run", path]) == 0
