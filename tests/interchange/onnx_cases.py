"""The cases of the `onnx` package: models of one node each, with inputs and outputs, and which of them are left out, and why."""

from __future__ import annotations

import contextlib
import importlib
import os
import pkgutil
import re
import warnings

import ml_dtypes
import numpy as np

# pattern of a case's name -> why it is left out
EXCLUDED = {
    r"test_bernoulli.*|test_training_dropout_(default|default_mask|mask)|test_training_dropout": "random numbers are of Ingot's streams",
    r"test_image_decoder.*": "decodes files of images, which is no computation on tensors",
    r"test_gradient_of.*": "Gradient, an op of a preview that no version of the standard keeps; Tensors have backward()",
}

# what halves round differently: relative to what is stored
ROUNDING = {"bfloat16": 2e-2, "float16": 2e-3}


def excluded(name: str) -> str | None:
    return next((why for pattern, why in EXCLUDED.items() if re.fullmatch(pattern, name)), None)


def modules() -> list[str]:
    """The package's modules of node cases."""
    import onnx.backend.test.case.node as node

    return sorted(m.name for m in pkgutil.iter_modules(node.__path__) if not m.name.startswith("_"))


def node_cases(module: str):
    """The cases of one module. It makes them when it is imported, once in a process."""
    import onnx.backend.test.case.node as node

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        importlib.import_module(f"{node.__name__}.{module}")
    return [c for c in node._NodeTestCases if c.name in _names(module)]


_SEEN: dict[str, set[str]] = {}


def _names(module: str) -> set[str]:
    import onnx.backend.test.case.node as node

    if module not in _SEEN:
        before = set().union(*_SEEN.values()) if _SEEN else set()
        _SEEN[module] = {c.name for c in node._NodeTestCases} - before
    return _SEEN[module]


def folders(kind: str) -> list[str]:
    """Folders with a model and its data."""
    import onnx.backend.test

    root = os.path.join(os.path.dirname(onnx.backend.test.__file__), "data", kind)
    return sorted(os.path.join(root, name) for name in os.listdir(root))


def stored(folder: str):
    """The sets of inputs and outputs beside a model."""
    import onnx

    def read(path: str):
        with open(path, "rb") as f:
            data = f.read()
        for proto, to in ((onnx.TensorProto, onnx.numpy_helper.to_array), (onnx.SequenceProto, onnx.numpy_helper.to_list)):
            with contextlib.suppress(Exception):
                value = proto.FromString(data)
                if value.SerializeToString() == data:
                    return to(value)
        raise AssertionError(path)

    for name in sorted(os.listdir(folder)):
        if name.startswith("test_data_set"):
            at = os.path.join(folder, name)
            files = os.listdir(at)
            yield [
                [read(os.path.join(at, f"{what}_{i}.pb")) for i in range(sum(f.startswith(what) for f in files))]
                for what in ("input", "output")
            ]


def array(x):
    """What a case has for a value, as `run` takes and gives it."""
    import onnx

    if isinstance(x, onnx.TensorProto):
        return onnx.numpy_helper.to_array(x)
    return [array(v) for v in x] if isinstance(x, list) else x


def difference(got, expected, rtol: float, atol: float) -> str | None:
    """How an output differs from what it should be; None where it does not."""
    if expected is None or isinstance(expected, list):
        if expected is None or not isinstance(got, list) or len(got) != len(expected):
            return None if got is expected else f"{got!r}, not {expected!r}"
        return next((d for d in (difference(g, e, rtol, atol) for g, e in zip(got, expected)) if d), None)
    expected = np.asarray(expected)
    if not isinstance(got, np.ndarray) or got.shape != expected.shape:
        return f"{getattr(got, 'shape', got)!r} where {expected.shape} is expected"
    if expected.dtype.kind in "OSU":
        return None if got.tolist() == expected.tolist() else f"{got.tolist()}, not {expected.tolist()}"
    if got.dtype != expected.dtype:
        return f"{got.dtype}, not {expected.dtype}"
    rtol = max(rtol, ROUNDING.get(got.dtype.name, 0))
    if got.dtype.kind not in "biuf":
        bits = np.uint8 if got.dtype.itemsize == 1 else np.uint16
        if got.dtype != ml_dtypes.bfloat16:
            return None if (got.view(bits) == expected.view(bits)).all() else f"{got}, not {expected}"
        got, expected = got.astype(np.float32), expected.astype(np.float32)
    if np.allclose(got, expected, rtol, atol, equal_nan=True):
        return None
    return f"differs by up to {np.nanmax(np.abs(got.astype(np.float64) - expected.astype(np.float64)))}"
