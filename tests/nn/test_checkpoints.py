"""Checkpoints as people write them: one save takes all of it, one load gives it back; where tensors shall live is obeyed or refused."""

from __future__ import annotations

import argparse
import io
import pathlib
import random
from collections import Counter, OrderedDict
from types import SimpleNamespace

import numpy as np
import pytest

import ingot
from ingot.serialization import SerializationError, dumps, loads


def again(obj):
    return loads(dumps(obj))


def test_values_of_every_kind():
    obj = {
        "path": pathlib.Path("/a/b"), "pure": pathlib.PureWindowsPath("c:/x"), "bytes": b"\x00\xff" * 3, "long": b"\x01" * 5000,
        "array": bytearray(b"xy"), "sets": [{1, "a", None}, frozenset({(1, 2.5), b"k"}), set()],
        "simple": SimpleNamespace(lr=0.1, net=SimpleNamespace(sizes=(1, 2))), "args": argparse.Namespace(lr=0.1, out=pathlib.Path("runs")),
        "ordered": OrderedDict([("b", 1), ("a", OrderedDict())]), "counter": Counter("aab"), "complex": complex(1.5, float("-inf")),
        "ints": [2**63 - 1, -(2**63), 2**64, -(2**70), 10**5000], "size": ingot.Size([2, 3]), "device": ingot.device("cuda", 1),
        ("a", 1): "tuple", b"k": 1, 2.5: 2, True: 3, None: 4, pathlib.Path("p"): 5, np.int64(7): 6,
        "scalars": [np.float64(0.1), np.float32(1.5), np.int8(-3), np.bool_(True), np.str_("text"), np.uint64(2**64 - 1), np.complex64(1j),
                    np.datetime64("2020-01-01")],
    }  # fmt: skip
    out = again(obj)
    assert out == obj and list(out) == list(obj)
    kinds = [type(v) for v in obj["scalars"]]
    assert [type(v) for v in out["scalars"]] == kinds and type(list(out)[-2]) is not int and type(out["size"]) is ingot.Size
    assert type(out["ordered"]) is OrderedDict and type(out["counter"]) is Counter and type(out["sets"][1]) is frozenset
    assert dumps({"s": set("abcdefgh")}) == dumps({"s": set("hgfedcba")})


ARRAYS = [
    np.arange(6.0).reshape(2, 3), np.arange(6, dtype=np.int16).reshape(2, 3).T, np.zeros((0, 3), np.float32), np.array(3, np.uint64),
    np.array([True, False]), np.array([1 + 2j]), np.array(["ab", "c"]), np.array([b"ab"]), np.arange(3, dtype=">i4"),
    np.array(["2020-01-01"], "M8[D]"), np.arange(4, dtype=np.float16)[::2], np.arange(3, dtype=np.uint16),
]  # fmt: skip


@pytest.mark.parametrize("a", ARRAYS, ids=lambda a: f"{a.dtype.str}{a.shape}")
def test_arrays(a):
    b = again({"x": a})["x"]
    assert type(b) is np.ndarray and b.dtype == a.dtype and b.shape == a.shape and (b == a).all()
    b[...] = b  # its own memory


@pytest.mark.parametrize("a", [np.array([print]), np.zeros(2, [("a", "f4")])])
def test_arrays_of_other_things_are_refused(a):
    with pytest.raises(SerializationError, match="cannot save a NumPy array of"):
        dumps([a])


@pytest.mark.parametrize("obj", [{frozenset({print}): 1}, {(1, ingot.ones(1)): 2}, {(1, print)}])
def test_keys_that_hash_by_identity_are_refused(obj):
    with pytest.raises(SerializationError, match="dict key or an element of a set"):
        dumps(obj)


def test_tensors_of_unsigned_integers():
    for name in ("uint16", "uint32", "uint64"):
        x = again(ingot.tensor(np.arange(3, dtype=name)))
        assert x.dtype is getattr(ingot, name) and x.tolist() == [0, 1, 2]


def test_random_states(tmp_path):
    generator = ingot.Generator()
    generator.manual_seed(3)
    local = np.random.default_rng(5)
    state = {
        "ingot": ingot.get_rng_state(), "generator": generator.get_state(), "python": random.getstate(),
        "numpy": np.random.get_state(), "legacy": np.random.RandomState(3).get_state(legacy=False), "local": local.bit_generator.state,
    }  # fmt: skip
    drawn = [ingot.rand(2).tolist(), ingot.rand(2, generator=generator).tolist(), random.random(), np.random.rand(), local.random()]
    ingot.save(state, tmp_path / "rng.safetensors")
    out = ingot.load(tmp_path / "rng.safetensors")
    ingot.set_rng_state(out["ingot"])
    generator.set_state(out["generator"])
    random.setstate(out["python"])
    np.random.set_state(out["numpy"])
    np.random.RandomState().set_state(out["legacy"])
    local.bit_generator.state = out["local"]
    assert [ingot.rand(2).tolist(), ingot.rand(2, generator=generator).tolist(), random.random(), np.random.rand(), local.random()] == drawn


LOCATIONS = [None, "cpu", ingot.device("cpu"), {"cuda:0": "cpu"}, {"cpu": "cpu"}, lambda s, place: s, lambda s, place: s.cpu(),
             lambda s, place: None, lambda s, place: place]  # fmt: skip


@pytest.mark.parametrize("place", LOCATIONS)
def test_map_location_is_obeyed(place):
    assert ingot.load(io.BytesIO(dumps([ingot.ones(2)])), map_location=place)[0].tolist() == [1, 1]


ELSEWHERE = ["cuda", "cuda:1", ingot.device("cuda"), {"cpu": "cuda:0"}, lambda s, place: s.cuda(1), lambda s, place: "cuda"]


@pytest.mark.parametrize("place", ELSEWHERE)
def test_or_refused(place):
    with pytest.raises(RuntimeError, match="map_location.*no CUDA device is available"):
        ingot.load(io.BytesIO(dumps([ingot.ones(2)])), map_location=place)
    with pytest.raises(TypeError, match="map_location is a device"):
        ingot.load(io.BytesIO(dumps([ingot.ones(2)])), map_location=3)


def test_an_artifact_obeys_too(tmp_path):
    ingot.export(ingot.tanh, ingot.zeros(3), tmp_path / "x.ingot")
    assert ingot.load(tmp_path / "x.ingot", map_location="cpu").signature
    with pytest.raises(RuntimeError, match="map_location"):
        ingot.load(tmp_path / "x.ingot", map_location="cuda")


def test_other_files_are_named(tmp_path):
    np.savez(tmp_path / "x.npz", a=np.ones(2))
    np.save(tmp_path / "x.npy", np.ones(2))
    (tmp_path / "x.h5").write_bytes(b"\x89HDF\r\n\x1a\n" + b"\0" * 100)
    (tmp_path / "x.gguf").write_bytes(b"GGUF" + b"\0" * 100)
    for name, words in {"x.npz": "NumPy archive", "x.npy": "NumPy array", "x.h5": "HDF5", "x.gguf": "GGUF"}.items():
        with pytest.raises(SerializationError, match=words):
            ingot.load(tmp_path / name)


def test_files_of_the_first_format_are_read():
    import json

    from safetensors.numpy import save

    document = {"version": 1, "tree": ["dict", [["a", ["tensor", "a", False]], ["b", ["tuple", [1, ["float", "0x1.0p+0"]]]]]]}
    out = loads(save({"a": np.ones(2, np.float32)}, {"ingot": json.dumps(document)}))
    assert out["a"].tolist() == [1, 1] and out["b"] == (1, 1.0)


def test_versions_of_entries_reach_the_modules_that_load_them(tmp_path):
    seen = []

    class Renamed(ingot.nn.Module):
        _version = 2

        def __init__(self):
            super().__init__()
            self.weight = ingot.nn.Parameter(ingot.ones(2))

        def _load_from_state_dict(self, state_dict, prefix, local_metadata, *rest):
            seen.append((prefix, local_metadata.get("version")))
            if (local_metadata.get("version") or 1) < 2:
                state_dict[prefix + "weight"] = state_dict.pop(prefix + "kernel")
            super()._load_from_state_dict(state_dict, prefix, local_metadata, *rest)

    net = ingot.nn.Sequential(Renamed(), ingot.nn.Linear(1, 1))
    state = net.state_dict()
    assert dict(state._metadata) == {"": {"version": 1}, "0": {"version": 2}, "1": {"version": 1}}
    net.load_state_dict(state)
    old = {("0.kernel" if k == "0.weight" else k): v for k, v in state.items()}  # a plain dict knows no versions
    net.load_state_dict(old)
    assert seen == [("0.", 2), ("0.", None)]


def test_hooks_by_their_private_names():
    layer = ingot.nn.Linear(1, 1)
    layer._register_load_state_dict_pre_hook(lambda state, prefix, *_: state.update({prefix + "weight": state.pop(prefix + "kernel")}))
    layer.load_state_dict({"kernel": ingot.full((1, 1), 3.0), "bias": ingot.zeros(1)})
    assert layer.weight.item() == 3
    layer._register_load_state_dict_pre_hook(lambda m, state, *_: m.register_buffer("seen", ingot.ones(1), False), with_module=True)
    layer.load_state_dict({"kernel": ingot.full((1, 1), 4.0), "bias": ingot.zeros(1)})
    assert layer.weight.item() == 4 and layer.seen.item() == 1
    handle = layer._register_state_dict_hook(lambda module, state, prefix, local: {k: v for k, v in state.items() if k != "bias"})
    assert list(layer.state_dict()) == ["weight"]
    handle.remove()
    assert list(layer.state_dict()) == ["weight", "bias"]
