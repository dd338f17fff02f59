"""save and load: what goes in comes out; what is damaged or foreign is one clear error; nothing is lost on the way."""

from __future__ import annotations

import io
import os
import pickle
from collections import OrderedDict

import numpy as np
import pytest

import ingot
from ingot import serialization
from ingot.serialization import SerializationError, dumps, loads

DTYPES = ["float16", "bfloat16", "float32", "float64", "int8", "int16", "int32", "int64", "uint8", "bool"]


@pytest.mark.parametrize("name", DTYPES)
@pytest.mark.parametrize("shape", [(), (3,), (2, 0, 3), (2, 3)])
def test_every_dtype(name: str, shape: tuple) -> None:
    t = ingot.tensor(np.arange(int(np.prod(shape))).reshape(shape) % 2).to(getattr(ingot, name))
    out = loads(dumps(t))
    assert out.dtype is t.dtype and out.shape == t.shape
    np.testing.assert_array_equal(out.float().numpy(), t.float().numpy())


def test_structures(tmp_path) -> None:
    shared = ingot.ones(2)
    obj = {
        "a": [1, 2.5, True, None, "text", (ingot.zeros(2), -0.0)],
        "numbers": {"inf": float("inf"), "nan": float("nan"), "tiny": 5e-324, "big": 2**80},
        3: OrderedDict(x=ingot.tensor([1, 2]), y=[]),
        "shared": [shared, shared],
        "dtype": ingot.bfloat16,
        "p": ingot.nn.Parameter(ingot.ones(1)),
        "grad": ingot.ones(1, requires_grad=True),
    }
    path = tmp_path / "x.safetensors"
    ingot.save(obj, path)
    out = ingot.load(path)
    assert list(out) == list(obj) and out["a"][:5] == obj["a"][:5] and isinstance(out["a"][5], tuple) and str(out["a"][5][1]) == "-0.0"
    assert out["numbers"]["inf"] == float("inf") and out["numbers"]["nan"] != out["numbers"]["nan"]
    assert out["numbers"]["tiny"] == 5e-324 and out["numbers"]["big"] == 2**80
    assert isinstance(out[3], OrderedDict) and out[3]["x"].tolist() == [1, 2] and out["dtype"] is ingot.bfloat16
    assert out["shared"][0] is out["shared"][1]
    assert isinstance(out["p"], ingot.nn.Parameter) and out["grad"].requires_grad
    buffer = io.BytesIO()
    ingot.save(obj["a"], buffer)
    buffer.seek(0)
    assert ingot.load(buffer)[:5] == obj["a"][:5]


def test_files_are_plain_safetensors(tmp_path) -> None:
    from safetensors.numpy import load_file, save_file

    m = ingot.nn.Linear(2, 3)
    ingot.save(m.state_dict(), tmp_path / "m.safetensors")
    arrays = load_file(tmp_path / "m.safetensors")
    assert set(arrays) == {"weight", "bias"}
    np.testing.assert_array_equal(arrays["weight"], m.weight.detach().numpy())
    save_file({"w": np.ones((2, 2), np.float32)}, tmp_path / "foreign.safetensors")
    assert ingot.load(tmp_path / "foreign.safetensors")["w"].shape == (2, 2)


class Odd:
    pass


@pytest.mark.parametrize("obj", [Odd(), {"a": [Odd()]}, {len: 3}, {"f": len}, ingot.nn.Linear(1, 1)])
def test_what_cannot_be_saved(obj, tmp_path) -> None:
    path = tmp_path / "x"
    ingot.save([1], path)
    with pytest.raises(SerializationError, match="cannot save"):
        ingot.save(obj, path)
    assert ingot.load(path) == [1] and os.listdir(tmp_path) == ["x"]


def test_cycles_end() -> None:
    loop: list = []
    loop.append(loop)
    with pytest.raises(SerializationError, match="nested deeper"):
        dumps(loop)


def test_missing_folders_and_files(tmp_path) -> None:
    with pytest.raises(FileNotFoundError):
        ingot.save([1], tmp_path / "nowhere" / "x")
    with pytest.raises(FileNotFoundError):
        ingot.load(tmp_path / "nowhere")


def test_a_failed_write_keeps_the_old_file(tmp_path, monkeypatch) -> None:
    path = tmp_path / "x"
    ingot.save([1], path)

    def full(fd):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        ingot.save([2], path)
    assert ingot.load(path) == [1] and os.listdir(tmp_path) == ["x"]


@pytest.mark.parametrize("data", [b"", b"abc", b"PK\x03\x04rest", pickle.dumps([1]), b"\xff" * 64, b"{}" * 10])
def test_foreign_files(data: bytes, tmp_path) -> None:
    path = tmp_path / "x"
    path.write_bytes(data)
    with pytest.raises(SerializationError) as e:
        ingot.load(path)
    assert "\n" not in str(e.value) and "x" in str(e.value)


def test_truncation_at_every_length() -> None:
    data = dumps({"a": ingot.ones(3), "b": [1, 2.0]})
    for n in range(len(data)):
        with pytest.raises(SerializationError):
            loads(data[:n])


def test_flipped_bytes_never_crash() -> None:
    data = dumps({"a": ingot.ones(3), "b": [1, 2.0], "c": "x"})
    for i in range(len(data)):
        changed = data[:i] + bytes([data[i] ^ 0x15]) + data[i + 1 :]
        try:
            loads(changed)
        except SerializationError:
            pass


def test_deep_structures_are_refused() -> None:
    import json

    from safetensors.numpy import save

    tree: object = 1
    for _ in range(5000):
        tree = ["list", [tree]]
    text = '["list",[' * 5000 + "1" + "]]" * 5000
    document = '{"version":1,"tree":' + text + "}"
    with pytest.raises(SerializationError):
        loads(save({"a": np.zeros(1)}, {"ingot": document}))
    with pytest.raises(SerializationError, match="format 9"):
        loads(save({"a": np.zeros(1)}, {"ingot": json.dumps({"version": 9, "tree": 1})}))
    with pytest.raises(SerializationError, match="does not fit"):
        loads(save({"a": np.zeros(1)}, {"ingot": json.dumps({"version": 1, "tree": ["tensor", "b", False]})}))


@pytest.mark.parametrize("length", [0x80, 0x280, 0x380, 0x8B18, 0x8B1F, 0x9380])
def test_a_header_whose_length_reads_as_another_kind_of_file(length: int, tmp_path) -> None:
    """0x80 is what pickles begin with, 0x1f 0x8b what gzip does."""
    head = b'{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}'.ljust(length)
    (tmp_path / "x").write_bytes(length.to_bytes(8, "little") + head + np.float32([1, 2]).tobytes())
    assert ingot.load(tmp_path / "x")["a"].tolist() == [1, 2]


@pytest.fixture
def large(monkeypatch) -> None:
    """Every file counts as a large one, whose tensors are read one by one."""
    monkeypatch.setattr(serialization, "_LARGE", 0)


@pytest.mark.parametrize("name", DTYPES)
@pytest.mark.parametrize("shape", [(), (3,), (2, 0, 3), (2, 3)])
def test_every_dtype_in_a_large_file(large, name: str, shape: tuple, tmp_path) -> None:
    t = ingot.tensor(np.arange(int(np.prod(shape))).reshape(shape) % 2).to(getattr(ingot, name))
    ingot.save({"t": t, "again": [t], "before": ingot.ones(1)}, tmp_path / "x")
    out = ingot.load(tmp_path / "x")
    assert out["t"].dtype is t.dtype and out["t"].shape == t.shape and out["again"][0] is out["t"]
    np.testing.assert_array_equal(out["t"].float().numpy(), t.float().numpy())


def test_a_large_file_gives_what_is_its_own(tmp_path) -> None:
    a = np.random.default_rng(0).standard_normal((700, 900))
    ingot.save({"t": ingot.tensor(a), "a": a, "text": a.astype(str)[:2], "bytes": a.tobytes()}, tmp_path / "x")
    assert os.path.getsize(tmp_path / "x") > serialization._LARGE
    out = ingot.load(tmp_path / "x")
    np.testing.assert_array_equal(out["t"].numpy(), a)
    np.testing.assert_array_equal(out["a"], a)
    assert out["bytes"] == a.tobytes() and out["text"].tolist() == a.astype(str)[:2].tolist()
    out["t"].zero_()
    out["a"][:] = 1
    again = ingot.load(tmp_path / "x")
    np.testing.assert_array_equal(again["t"].numpy(), a)
    np.testing.assert_array_equal(again["a"], a)


def test_a_large_file_of_another_library(tmp_path) -> None:
    from safetensors.numpy import save_file

    arrays = {"w": np.random.default_rng(1).standard_normal((600, 700), dtype=np.float32), "i": np.arange(5)}
    save_file(arrays, tmp_path / "x")
    out = ingot.load(tmp_path / "x")
    assert out.keys() == arrays.keys()
    for name, a in arrays.items():
        np.testing.assert_array_equal(out[name].numpy(), a)


def test_a_large_file_that_is_damaged_or_foreign(large, tmp_path) -> None:
    data, path = dumps({"a": ingot.ones(3), "b": [1, 2.0]}), tmp_path / "x"
    for n in range(len(data)):
        path.write_bytes(data[:n])
        with pytest.raises(SerializationError, match="x: "):
            ingot.load(path)
    for i in range(len(data)):
        path.write_bytes(data[:i] + bytes([data[i] ^ 0x15]) + data[i + 1 :])
        try:
            ingot.load(path)
        except SerializationError:
            pass
    path.write_bytes(pickle.dumps([1]))
    with pytest.raises(SerializationError, match="a pickle"):
        ingot.load(path)


def test_a_large_file_that_becomes_shorter(large, tmp_path, monkeypatch) -> None:
    ingot.save(ingot.ones(3), tmp_path / "x")
    monkeypatch.setattr(os, "preadv", lambda *a: 0)
    with pytest.raises(SerializationError, match="shorter"):
        ingot.load(tmp_path / "x")
