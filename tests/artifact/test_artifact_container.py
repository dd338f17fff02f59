"""The file of an artifact: what is damaged, foreign or absurd is refused in one line, before anything is allocated."""

import json
import os
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingot.runtime.artifact import container, tensors, tree
from ingot.runtime.artifact.container import ArtifactError, Container
from tests.support.forging import forge


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / "m.ingot")


def small(path):
    container.write(path, {"name": "m"}, {"a": b"hello", "b": [b"wor", b"ld" * 20], "empty": b""})


def read_all(path):
    with Container(path) as c:
        for name in c.parts:
            c.read(name)
        return c.manifest["name"]


def test_round_trip(path):
    small(path)
    with Container(path) as c:
        assert c.read("a") == b"hello" and c.read("b") == b"wor" + b"ld" * 20 and c.read("empty") == b""
        assert all(offset % 4096 == 0 for offset, _, _ in c.parts.values())
        assert bytes(c.map("a")) == b"hello"
        with pytest.raises(ArtifactError, match="no part 'c'"):
            c.read("c")
    assert os.listdir(os.path.dirname(path)) == ["m.ingot"]


def test_same_content_same_bytes(path):
    small(path)
    first = open(path, "rb").read()
    small(path)
    assert open(path, "rb").read() == first


def part(name="a", offset=4096, length=1, digest="0" * 64):
    return {"name": name, "offset": offset, "length": length, "sha256": digest}


@pytest.mark.parametrize(
    "manifest, match",
    [
        (b"[]", "no JSON object"),
        (b"{", "no JSON"),
        (b"[" * 100_000, "no JSON"),
        ({}, "lists no parts"),
        ({"parts": 3}, "lists no parts"),
        ({"parts": [3]}, "malformed"),
        ({"parts": [{"name": "a"}]}, "malformed"),
        ({"parts": [part(offset=-4096)]}, "overlaps"),
        ({"parts": [part(offset=4097)]}, "overlaps"),
        ({"parts": [part(length=10**30)]}, "overlaps its neighbour or leaves the file"),
        ({"parts": [part(length=-1)]}, "malformed"),
        ({"parts": [part(length=True)]}, "malformed"),
        ({"parts": [part(name=7)]}, "malformed"),
        ({"parts": [part(), part(offset=4096)]}, "two parts"),
        ({"parts": [part(), part("b", 4096)]}, "overlaps"),
        ({"parts": [part()] * 5000}, "lists no parts"),
        ({"parts": []}, "follow the last part"),
    ],
)
def test_absurd_manifests(path, manifest, match):
    forge(path, manifest, tail=b"\0" * 9000)
    with pytest.raises(ArtifactError, match=match):
        read_all(path)


def test_foreign_newer_and_missing_files(path):
    with pytest.raises(FileNotFoundError):
        Container(path)
    for content in (b"", b"PK\x03\x04", b"hello world" * 50):
        with open(path, "wb") as f:
            f.write(content)
        with pytest.raises(ArtifactError, match="no Ingot artifact"):
            Container(path)
    forge(path, {"parts": []}, schema=4)
    with pytest.raises(ArtifactError, match="schema 4 is newer"):
        Container(path)
    forge(path, {"parts": []}, size=2**63)
    with pytest.raises(ArtifactError, match="truncated"):
        Container(path)
    with pytest.raises(IsADirectoryError):
        Container(os.path.dirname(path))


def test_a_failed_write_keeps_the_old_file(path):
    small(path)
    before = open(path, "rb").read()
    with pytest.raises(TypeError):
        container.write(path, {"name": object()}, {})
    assert open(path, "rb").read() == before and os.listdir(os.path.dirname(path)) == ["m.ingot"]
    with pytest.raises(FileNotFoundError):
        container.write(os.path.join(path + "-no", "x.ingot"), {}, {})


# -- tensors -----------------------------------------------------------------------------------------------------------


def join(pieces):
    return memoryview(b"".join(bytes(p) for p in pieces))


def test_tensors_round_trip_and_agree_with_safetensors():
    from safetensors.numpy import load, save

    arrays = {
        "w": np.arange(6, dtype=np.float32).reshape(2, 3),
        "half": np.ones(3, np.float16),
        "i": np.array(7, np.int64),
        "none": np.empty((0, 4), np.float64),
        "mask": np.array([True, False]),
    }
    section = join(tensors.pack(arrays))
    for got in (tensors.unpack(section), load(bytes(section)), tensors.unpack(memoryview(save(arrays)))):
        assert got.keys() == arrays.keys()
        for k, a in arrays.items():
            np.testing.assert_array_equal(got[k], a)
            assert got[k].dtype == a.dtype and got[k].shape == a.shape
    mapped = tensors.unpack(section)
    assert not mapped["w"].flags.writeable and all(a.flags.aligned for a in mapped.values())


def test_what_others_have_written_may_have_any_names_and_metadata():
    from safetensors.numpy import save

    a = {"../a": np.arange(3, dtype=np.int16), "\n": np.ones((), np.float64), "x.y": np.zeros((0, 2), np.uint8)}
    got, metadata = tensors.read(memoryview(save(a, {"who": "others"})))
    assert metadata == {"who": "others"} and got.keys() == a.keys()
    for k in a:
        np.testing.assert_array_equal(got[k], a[k])
    with pytest.raises(tensors.TensorsError, match="no plain name"):
        tensors.unpack(memoryview(save(a)))


@pytest.mark.parametrize("metadata", [[], "x", {"a": 1}, {"a": None}])
def test_metadata_is_texts(metadata):
    bad = section({"__metadata__": metadata, "a": row()}, b"1234")
    if metadata:
        with pytest.raises(tensors.TensorsError, match="metadata"):
            tensors.read(bad)
    else:
        assert tensors.read(bad)[1] == {}


def test_bfloat16():
    import ml_dtypes

    a = np.array([1.5, -2.0], ml_dtypes.bfloat16)
    np.testing.assert_array_equal(tensors.unpack(join(tensors.pack({"a": a})))["a"], a)


def test_complex_tensors():
    a = np.array([1 + 2j, -3j], np.complex64)
    np.testing.assert_array_equal(tensors.unpack(join(tensors.pack({"a": a})))["a"], a)
    with pytest.raises(TypeError, match="no dtype for 'c'"):
        tensors.pack({"c": np.zeros(2, np.complex128)})


def section(header, data=b""):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return memoryview(struct.pack("<Q", len(text)) + text + data)


def row(dtype="F32", shape=(1,), begin=0, end=4):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": [begin, end]}


@pytest.mark.parametrize(
    "bad",
    [
        memoryview(b""),
        memoryview(struct.pack("<Q", 2**63) + b"{}"),
        section(b"{"),
        section(b"[" * 100_000),
        section(b"[]"),
        section(b'{"a":1}'),
        section(b'{"a":%b,"a":%b}' % ((json.dumps(row()).encode(),) * 2), b"1234"),
        section({"a": row("Z9")}, b"1234"),
        section({"a": row(end=5)}, b"12345"),
        section({"a": row(end=4)}, b"123"),
        section({"a": row(shape=(-1,))}, b"1234"),
        section({"a": row(shape=(1.0,))}, b"1234"),
        section({"a": row(shape=(2**40, 2**40))}, b"1234"),
        section({"a": row(shape=(0, 2**63), end=0)}),
        section({"a": row(shape=(1,) * 65)}, b"1234"),
        section({"a": row(), "b": row()}, b"1234"),
        section({"a": row(), "b": row(begin=8, end=12)}, b"123456789012"),
        section({"a": row()}, b"12345678"),
        section({"a": {**row(), "data_offsets": [0]}}, b"1234"),
    ],
)
def test_malformed_tensors(bad):
    with pytest.raises(tensors.TensorsError):
        tensors.unpack(bad)


words = st.sampled_from(["a", "F32", "dtype", "shape", "data_offsets"])
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=4) | words,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=300, deadline=None)
@given(json_values, st.binary(max_size=20))
def test_any_json_is_refused_or_read(header, data):
    try:
        tensors.unpack(section(header if isinstance(header, dict) else {"a": header}, data))
    except tensors.TensorsError:
        pass
    tree.valid(header)


# -- trees -------------------------------------------------------------------------------------------------------------


def test_trees():
    value = {"x": np.ones(2), "rest": [np.zeros(1), (None, 3, "s")]}
    t = tree.describe(value, lambda v: isinstance(v, np.ndarray))
    assert json.loads(json.dumps(t)) == t and tree.valid(t) and tree.count(t) == 2
    leaves = list(tree.flatten(value, t))
    assert leaves[0] is value["x"] and len(leaves) == 2
    again = tree.unflatten(iter(leaves), t)
    assert again["rest"][1] == (None, 3, "s") and again["x"] is value["x"]
    with pytest.raises(TypeError, match="keys x, rest"):
        list(tree.flatten({"x": 1}, t))
    with pytest.raises(ValueError, match="exported for 3 only, not 4"):
        list(tree.flatten({"x": 1, "rest": [1, (None, 4, "s")]}, t))
    with pytest.raises(TypeError, match="list of 2, got a list of 1"):
        list(tree.flatten({"x": 1, "rest": [1]}, t))
    with pytest.raises(TypeError, match="not object"):
        tree.describe(object(), lambda v: False)
    assert not tree.valid({"tuple": 3}) and not tree.valid({}) and not tree.valid({"dict": [[1, "*"]]}) and not tree.valid({"value": []})
