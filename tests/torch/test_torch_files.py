"""Files that torch.save wrote come out of `ingot.load` as they went in, and nothing of them is executed."""

from __future__ import annotations

import argparse
import collections
import io
import os
import pathlib
import random
import types
import zipfile

import numpy as np
import pytest

import ingot

torch = pytest.importorskip("torch")

DTYPES = ["float64", "float32", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint8", "uint16", "uint32", "uint64", "bool"]


def saved(obj, **options) -> io.BytesIO:
    out = io.BytesIO()
    torch.save(obj, out, **options)
    out.seek(0)
    return out


def again(obj, **options):
    return ingot.load(saved(obj, **options))


@pytest.mark.parametrize("name", DTYPES)
@pytest.mark.parametrize("shape", [(), (0,), (5,), (2, 0, 3), (2, 3, 4)])
def test_every_dtype(name, shape):
    x = torch.arange(int(np.prod(shape))).reshape(shape).to(getattr(torch, name))
    y = again(x)
    assert y.dtype is getattr(ingot, name) and tuple(y.shape) == shape and y.stride() == x.stride()
    assert y.tolist() == x.tolist()


@pytest.mark.parametrize(
    "view",
    [
        lambda x: x.t(), lambda x: x[1:, ::2], lambda x: x[2], lambda x: x[:, 1].expand(3, 4), lambda x: x[4:],
        lambda x: x[0, 0], lambda x: x.reshape(2, 2, 6).permute(2, 0, 1),
    ],
)  # fmt: skip
def test_strides(view):
    x = view(torch.arange(24.0).reshape(4, 6))
    y = again(x)
    assert y.stride() == x.stride() and y.tolist() == x.tolist()


@pytest.mark.parametrize("view", [lambda x: x.diagonal(), lambda x: x.flatten()[:20].unfold(0, 5, 2)])
def test_strides_that_no_view_of_ours_has(view):
    x = view(torch.arange(24.0).reshape(4, 6))
    assert again(x).tolist() == x.tolist()


def test_what_shares_memory_shares_it_again():
    x = torch.arange(12.0).reshape(3, 4)
    out = again({"whole": x, "row": x[1], "same": x, "column": x[:, 2]})
    assert out["same"] is out["whole"]
    out["whole"][1, 2] = 99
    assert out["row"].tolist() == [4, 5, 99, 7] and out["column"].tolist() == [2, 99, 10]
    model = torch.nn.Linear(2, 2)
    tied = again({"a": model.weight.detach(), "b": model.weight.detach()})
    tied["a"].zero_()
    assert tied["b"].tolist() == [[0, 0], [0, 0]]


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_values(protocol):
    obj = {
        "numbers": [1, -1, 2**40, 2**100, 1.5, float("inf"), 1 + 2j, True, None],
        "text": ["", "a\nb", "ä", "x" * 300], "bytes": [b"", b"\x00\xff", bytearray(b"12")],
        "sets": [{1, 2}, frozenset({(1, "a")}), set()], ("a", 1): (1, (2,), ()), 3: [[], {}],
        "ordered": collections.OrderedDict([("b", 1), ("a", 2)]), "counter": collections.Counter("aab"),
        "namespace": argparse.Namespace(lr=0.1, sizes=[1, 2]), "simple": types.SimpleNamespace(a={"b": 1}), "path": pathlib.Path("/x/y"),
        "scalar": np.float64(2.5), "flag": np.bool_(True),
    }  # fmt: skip
    out = again(obj, pickle_protocol=protocol)
    assert out == obj and list(out) == list(obj) and type(out["ordered"]) is collections.OrderedDict
    assert type(out["scalar"]) is np.float64 and isinstance(out["bytes"][2], bytearray)
    arrays = [np.arange(6.0).reshape(2, 3), np.arange(6).reshape(2, 3).T, np.array(["ab", "c"]), np.zeros((0, 2), np.float16), np.array(3)]
    for a, b in zip(arrays, again(arrays, pickle_protocol=protocol)):
        assert a.dtype == b.dtype and a.shape == b.shape and (a == b).all()
        b[...] = b  # its own memory
    size, device, dtype, gpu = again([torch.Size([2, 3]), torch.device("cpu"), torch.bfloat16, torch.device("cuda:1")])
    assert size == ingot.Size([2, 3]) and isinstance(size, ingot.Size)
    assert device == ingot.device("cpu") and dtype is ingot.bfloat16 and gpu == ingot.device("cuda", 1)


def test_paths_that_another_python_wrote():
    source, out = zipfile.ZipFile(saved({"at": pathlib.PurePosixPath("/x")})), io.BytesIO()
    with zipfile.ZipFile(out, "w") as z:
        for name in source.namelist():
            z.writestr(name, source.read(name).replace(b"cpathlib\n", b"cpathlib._local\n"))
    out.seek(0)
    assert ingot.load(out) == {"at": pathlib.PurePosixPath("/x")}


def test_parameters_and_gradients():
    p, frozen, x, tagged = again([
        torch.nn.Parameter(torch.ones(2)), torch.nn.Parameter(torch.ones(2), requires_grad=False), torch.ones(2, requires_grad=True),
        tag(torch.nn.Parameter(torch.ones(3))),
    ])  # fmt: skip
    assert isinstance(p, ingot.nn.Parameter) and p.requires_grad and isinstance(frozen, ingot.nn.Parameter) and not frozen.requires_grad
    assert x.requires_grad and not isinstance(x, ingot.nn.Parameter) and isinstance(tagged, ingot.nn.Parameter)
    p.sum().backward()
    assert p.grad.tolist() == [1, 1]


def tag(x):
    x.tag = "attribute"
    return x


def test_a_checkpoint():
    model, ours = torch.nn.LSTM(3, 4, num_layers=2), ingot.nn.LSTM(3, 4, num_layers=2)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    x = torch.randn(5, 2, 3)
    model(x)[0].sum().backward()
    optimizer.step()
    state = {
        "model": model.state_dict(), "optimizer": optimizer.state_dict(), "epoch": 3, "best": np.float32(0.5),
        "scheduler": torch.optim.lr_scheduler.MultiStepLR(optimizer, [1, 2]).state_dict(),
        "rng": torch.get_rng_state(), "numpy": np.random.get_state(), "python": random.getstate(),
    }  # fmt: skip
    out = again(state)
    ours.load_state_dict(out["model"])
    np.testing.assert_allclose(ours(ingot.tensor(x.numpy()))[0].detach().numpy(), model(x)[0].detach().numpy(), rtol=1e-5, atol=1e-6)
    theirs = ingot.optim.AdamW(ours.parameters(), lr=0.5)
    theirs.load_state_dict(out["optimizer"])
    assert theirs.param_groups[0]["lr"] == 0.01 and out["scheduler"]["milestones"] == {1: 1, 2: 1}
    before = np.random.get_state(), random.getstate()
    np.random.set_state(out["numpy"]), random.setstate(out["python"])
    assert (np.random.get_state()[1] == before[0][1]).all() and random.getstate() == before[1]


class Foo:
    pass


class Evil:
    def __reduce__(self):
        return os.system, ("echo executed; exit 1",)


REFUSED = {
    "a class": (Foo, "Foo"),
    "a call": (Evil, "posix.system"),
    "a model": (lambda: torch.nn.Linear(1, 1), "torch.nn.modules.linear.Linear"),
    "sparse": (lambda: torch.eye(2).to_sparse(), "_rebuild_sparse_tensor"),
    "float8": (lambda: torch.ones(2).to(torch.float8_e4m3fn), "torch.float8_e4m3fn"),
    "objects": (lambda: np.array([Foo()]), "object"),
    "a function": (lambda: os.getcwd, "getcwd"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_everything_else_is_refused_by_name(what, capfd):
    make, name = REFUSED[what]
    with pytest.raises(ingot.SerializationError, match=name) as e:
        again({"x": torch.ones(1), "bad": [make()]})
    assert "\n" not in str(e.value) and "executed" not in capfd.readouterr().out


class Net(torch.nn.Module):
    def forward(self, x):
        return x + 1


def test_other_archives_are_named(tmp_path):
    path = tmp_path / "file"
    torch.jit.save(torch.jit.trace(Net(), torch.ones(1)), path)
    with pytest.raises(ingot.SerializationError, match="TorchScript"):
        ingot.load(path)
    torch.export.save(torch.export.export(Net(), (torch.ones(2),)), tmp_path / "file.pt2")
    with pytest.raises(ingot.SerializationError, match="exported program"):
        ingot.load(tmp_path / "file.pt2")
    with pytest.raises(ingot.SerializationError, match="before 1.6"):
        ingot.load(saved(torch.ones(1), _use_new_zipfile_serialization=False))


def test_damage_is_one_error():
    data = saved({"a": torch.arange(6.0).reshape(2, 3).t(), "b": [1, 2.0, "x"], "c": np.arange(3)}).getvalue()
    for i in range(0, len(data), 3):
        changed = data[:i] + bytes([data[i] ^ 0x15]) + data[i + 1 :]
        for bad in (changed, data[:i]):
            try:
                ingot.load(io.BytesIO(bad))
            except (ingot.SerializationError, RuntimeError):  # RuntimeError: a device that there is not
                pass


def archive(pickle: bytes, **members: bytes) -> io.BytesIO:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as z:
        z.writestr("x/data.pkl", pickle)
        for name, data in members.items():
            z.writestr(f"x/data/{name}", data)
    out.seek(0)
    return out


@pytest.mark.parametrize(
    "pickle",
    [
        b"cbuiltins\neval\n(S'1'\ntR.", b"cos\nsystem\n(S'echo'\ntR.", b"c__builtin__\nbytearray\n(I1000000000000\ntR.",
        b"(i__main__\nFoo\n.",
        b"\x80\x02]q\x00h\x07.", b"(((.", b"]].", b"N", b"", b"cbuiltins\nset\ncbuiltins\nset\nb.", b"ctorch\nfloat32\n)R.",
    ],
)  # fmt: skip
def test_hostile_pickles(pickle):
    with pytest.raises(ingot.SerializationError):
        ingot.load(archive(pickle))


def test_encrypted_members():
    data = bytearray(archive(b"N.").getvalue())
    for header, flags in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        data[data.index(header) + flags] |= 1
    with pytest.raises(ingot.SerializationError, match="data.pkl is encrypted"):
        ingot.load(io.BytesIO(data))


def test_a_tensor_beyond_its_storage_is_refused():
    good = saved(torch.ones(4)).getvalue()
    pickle = zipfile.ZipFile(io.BytesIO(good)).read("archive/data.pkl")
    assert ingot.load(archive(pickle, **{"0": b"\0" * 16})).tolist() == [0] * 4
    for short in (b"", b"\0" * 15):
        with pytest.raises(ingot.SerializationError, match="beyond its storage"):
            ingot.load(archive(pickle, **{"0": short}))
    with pytest.raises(ingot.SerializationError, match="no data/0"):
        ingot.load(archive(pickle))


def test_big_endian_files():
    good = saved(torch.tensor([1.5, -2.0])).getvalue()
    z = zipfile.ZipFile(io.BytesIO(good))
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as w:
        w.writestr("x/data.pkl", z.read("archive/data.pkl"))
        w.writestr("x/byteorder", "big")
        w.writestr("x/data/0", np.array([1.5, -2.0], ">f4").tobytes())
    out.seek(0)
    assert ingot.load(out).tolist() == [1.5, -2.0]
