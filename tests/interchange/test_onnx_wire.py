"""The reader and writer of ONNX's files: round trips, damage, tensors of every type, external data that tries to leave its folder."""

from __future__ import annotations

import os
import random

import numpy as np
import pytest

from ingot.interchange.onnx.messages import (
    AttributeProto,
    GraphProto,
    ModelProto,
    NodeProto,
    OperatorSetId,
    StringPair,
    TensorProto,
)
from ingot.interchange.onnx.tensors import TYPES, Folder, TensorError, array_of, proto_of
from ingot.interchange.onnx.wire import WireError, decode, encode


def model() -> ModelProto:
    ints = AttributeProto(name="axes", type=7, ints=[0, -1, 1 << 62])
    zero = AttributeProto(name="beta", type=1, f=0.0)
    inner = GraphProto(name="inner", node=[NodeProto(op_type="Abs", input=["a"], output=["b"])])
    body = AttributeProto(name="body", type=5, g=inner)
    node = NodeProto(op_type="Some", domain="x", input=["", "a"], output=["c"], attribute=[ints, zero, body])
    graph = GraphProto(name="g", node=[node], initializer=[proto_of("w", np.arange(6, dtype=np.float32).reshape(2, 3))])
    return ModelProto(ir_version=10, opset_import=[OperatorSetId(version=20)], graph=graph)


def test_round_trip():
    data = encode(model())
    again = decode(ModelProto, data)
    assert encode(again) == data
    attributes = again.graph.node[0].attribute
    assert attributes[0].ints == [0, -1, 1 << 62] and attributes[1].f == 0.0 and attributes[2].g.node[0].op_type == "Abs"
    assert again.graph.node[0].input == ["", "a"]


@pytest.mark.parametrize(
    ("data", "match"),
    [
        (b"\x08", "cut off"),
        (b"\x08" + b"\xff" * 10 + b"\x01", "ten bytes"),
        (b"\x3a\x05\x00", "beyond its message"),
        (b"\x3b", "wire type 3"),
        (b"\x00", "number 0"),
        (b"\x0d\x00\x00\x00\x00", "wire type 5"),
        (b"\x12\x01\xff", "UTF-8"),
    ],
)
def test_refused(data, match):
    with pytest.raises(WireError, match=match):
        decode(ModelProto, data)


def test_nested_too_deep():
    data = b""
    for _ in range(300):  # graphs within attributes of nodes
        for tag in (b"\x32", b"\x2a", b"\x0a"):
            n = len(data)
            data = tag + (bytes([n]) if n < 128 else bytes([n & 127 | 128, n >> 7])) + data
    with pytest.raises(WireError, match="deep"):
        decode(GraphProto, data)


def test_damage(long):
    """Whatever a byte becomes: a model, or one error of ours."""
    seed = 11
    rng, data = random.Random(seed), encode(model())
    for _ in range(200_000 if long else 3000):
        bad = bytearray(data)
        for _ in range(rng.randint(1, 4)):
            what = rng.random()
            at = rng.randrange(len(bad))
            if what < 0.6:
                bad[at] = rng.randrange(256)
            elif what < 0.8:
                del bad[at : at + rng.randint(1, 9)]
            else:
                bad[at:at] = rng.randbytes(rng.randint(1, 9))
            if not bad:
                break
        try:
            m = decode(ModelProto, bytes(bad))
            for t in m.graph.initializer if m.graph else ():
                array_of(t, Folder(None))
        except (WireError, TensorError):
            pass


@pytest.mark.parametrize("code", TYPES)
def test_tensors(code):
    dtype = TYPES[code]
    a = np.array(["a", "ü"], object) if code == 8 else np.array([0, 1, 1, 0, 1]).astype(np.float32).astype(dtype)
    again = array_of(decode(TensorProto, encode(proto_of("t", a))), Folder(None))
    assert again.dtype == a.dtype
    np.testing.assert_array_equal(again.view(np.uint8) if code != 8 else again, a.view(np.uint8) if code != 8 else a)


def test_typed_data_of_the_onnx_package():
    onnx = pytest.importorskip("onnx")
    for code, dtype in TYPES.items():
        a = np.array(["a", "b"], object) if code == 8 else np.array([0, 1, 1, 0, 1]).astype(np.float32).astype(dtype)
        t = onnx.helper.make_tensor("t", code, a.shape, a)
        again = array_of(decode(TensorProto, t.SerializeToString()), Folder(None))
        np.testing.assert_array_equal(again.view(np.uint8) if code != 8 else again, a.view(np.uint8) if code != 8 else a)


def test_tensors_that_make_no_sense():
    for t, match in [
        (TensorProto(name="t", data_type=1, dims=[2], raw_data=b"1234567"), "7 bytes"),
        (TensorProto(name="t", data_type=99), "element type 99"),
        (TensorProto(name="t", data_type=1, dims=[-1]), "shape"),
        (TensorProto(name="t", data_type=1, dims=[1 << 40, 1 << 40]), "0 elements"),
        (TensorProto(name="t", data_type=7, dims=[3], int64_data=[1]), "1 elements"),
    ]:
        with pytest.raises(TensorError, match=match):
            array_of(t, Folder(None))


def external(**entries: str) -> TensorProto:
    pairs = [StringPair(key=k, value=v) for k, v in entries.items()]
    return TensorProto(name="w", data_type=1, dims=[2], data_location=1, external_data=pairs)


def test_external_data(tmp_path):
    folder = tmp_path / "model"
    (folder / "sub").mkdir(parents=True)
    np.arange(4, dtype=np.float32).tofile(folder / "w.bin")
    np.arange(4, dtype=np.float32).tofile(folder / "sub" / "w.bin")
    np.arange(4, dtype=np.float32).tofile(tmp_path / "secret")
    os.symlink(tmp_path / "secret", folder / "link")
    os.symlink(tmp_path, folder / "up")
    os.mkfifo(folder / "pipe")
    where = Folder(str(folder))
    assert array_of(external(location="w.bin", offset="4", length="8"), where).tolist() == [1, 2]
    assert array_of(external(location="./sub/w.bin", offset="8"), where).tolist() == [2, 3]
    for entries, match in [
        (dict(location="../secret", length="8"), "no name of a file"),
        (dict(location=str(tmp_path / "secret"), length="8"), "no name of a file"),
        (dict(location="link", length="8"), "without links"),
        (dict(location="up/secret", length="8"), "without links"),
        (dict(location="pipe", length="8"), "no file"),
        (dict(location="sub", length="8"), "no file|without links"),
        (dict(location="none", length="8"), "cannot be opened"),
        (dict(location="w.bin", offset="12", length="8"), "which has 16"),
        (dict(location="w.bin", offset="-1", length="8"), "offset"),
        (dict(location="w.bin", offset="9" * 30), "offset"),
        (dict(location="w.bin", length="4"), "4 bytes"),
        (dict(length="4"), "does not say where"),
    ]:
        with pytest.raises(TensorError, match=match):
            array_of(external(**entries), where)
    with pytest.raises(TensorError, match="without a folder"):
        array_of(external(location="w.bin"), Folder(None))
