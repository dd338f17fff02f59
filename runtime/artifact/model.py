"""A loaded artifact: callable with NumPy arrays or Ingot tensors, without a compiler and without the model's source."""

from __future__ import annotations

import os
import sys
from typing import Any, NamedTuple

import numpy as np

from ingot.runtime import memory, threads
from ingot.runtime.artifact import host, tensors, tree
from ingot.runtime.artifact.container import Container
from ingot.runtime.executable import CheckError, Executable

__all__ = ["Model", "TensorSpec", "load"]

_NUMPY = {
    "bool": "bool", "u8": "uint8", "i8": "int8", "i16": "int16", "i32": "int32", "i64": "int64", "u16": "uint16", "u32": "uint32",
    "u64": "uint64", "f16": "float16", "bf16": "bfloat16", "f32": "float32", "f64": "float64",
}  # fmt: skip
_CHECK_AT_LOAD = 16 << 20  # bytes of weights; larger ones are compared with their checksum before the first call
_SANE = 1 << 46  # bytes; nothing in an artifact is larger


class TensorSpec(NamedTuple):
    """An input or output of an artifact."""

    name: str
    dtype: str  # NumPy's name
    shape: tuple[int, ...]

    def __str__(self) -> str:
        return f"{self.name}: {self.dtype}[{', '.join(map(str, self.shape))}]"


def load(path: str | os.PathLike[str]) -> Model:
    """Open an artifact. Nothing is executed and nothing of a claimed size is allocated before the file is validated.

    ArtifactError with the reason in one line for a file that is damaged, foreign, too new or for another CPU;
    OSError where it cannot be read.

    >>> model = load("digits.ingot")
    >>> model(np.zeros((1, 1, 8, 8), np.float32)).shape
    (1, 10)
    """
    with Container(path) as container:
        return Model(container)


class Model:
    """A compiled function with its weights: call it as the one that was exported.

    Arrays in, arrays out; if an argument is an Ingot tensor, the results are tensors. Calls may run in several
    threads at once.
    """

    def __init__(self, container: Container):
        self._container = container
        manifest = container.manifest
        try:
            self.name = str(manifest["name"])
            self.producer = str(manifest["producer"])
            self.inputs = tuple(_spec(container, r) for r in manifest["inputs"])
            self.outputs = tuple(_spec(container, r) for r in manifest["outputs"])
            self._in_tree, self._out_tree = manifest["in_tree"], manifest["out_tree"]
            feed = manifest["feed"]
            target = _choose(container)
            code = target["executable"]
            self.level = str(target["level"])
            slots = [*code["slots"]]
            types = [_type(container, t) for t in (*code["inputs"], *code["outputs"])]
            sizes = [code["arena_bytes"], code["scratch_bytes"]]
            parts = str(target["code"]), str(target["pool"])
            fed = [(str(kind), which) for kind, which in feed]
        except (KeyError, TypeError, ValueError) as e:
            raise container.fail(f"the manifest is malformed ({type(e).__name__}: {e})") from None
        ok = all(tree.valid(t) for t in (self._in_tree, self._out_tree))
        ok = ok and tree.count(self._in_tree) == len(self.inputs) and tree.count(self._out_tree) == len(self.outputs)
        ok = ok and all(type(n) is int and 0 <= n < _SANE for n in sizes)
        ok = ok and len(types) == len(slots) == len(fed) + len(self.outputs) and isinstance(code.get("entry"), str)
        ok = ok and all(s == "address" or (i < len(fed) and s == types[i][0] and not types[i][1]) for i, s in enumerate(slots))
        ok = ok and types[len(fed) :] == [(_ir_name(o.dtype), o.shape) for o in self.outputs]
        if not ok:
            raise container.fail("the manifest is malformed (its fields do not fit together)")
        self._weights_part: memoryview | None = None
        self.weights = self._map_weights()
        self._feed, self._scalars = self._resolve(fed, slots, types)
        machine_code, pool = container.read(parts[0]), container.read(parts[1])
        try:
            self._executable = Executable(machine_code, code)
            threads.start_pool(pool)
        except (OSError, AttributeError, KeyError, TypeError, ValueError) as e:
            raise container.fail(f"its code cannot be loaded ({e})") from None
        self._dtypes = tuple(tensors.numpy_dtype(i.dtype) for i in self.inputs)
        self._results = tuple((tensors.numpy_dtype(o.dtype), o.shape) for o in self.outputs)
        self._nbytes = tuple(d.itemsize * _numel(s) for d, s in self._results)
        self._flat = self._in_tree == {"tuple": ["*"] * len(self.inputs)}

    # -- what people ask --------------------------------------------------------------------------------------------

    @property
    def signature(self) -> str:
        """Inputs and outputs as text.

        >>> model.signature
        '(x: float32[1, 784]) -> (out: float32[1, 10])'
        """
        return f"({', '.join(map(str, self.inputs))}) -> ({', '.join(map(str, self.outputs))})"

    @property
    def peak_bytes(self) -> int:
        """Memory of one call with the present number of threads: weights, working memory and results."""
        return sum(a.nbytes for a in self.weights.values()) + self._executable.peak_bytes + sum(self._nbytes)

    def __repr__(self) -> str:
        return f"<ingot.Model {self.name}{self.signature}, {self.level}, peak {self.peak_bytes} bytes>"

    # -- calling ----------------------------------------------------------------------------------------------------

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the model. Inputs may also be given by name.

        TypeError for arguments of another number, kind or dtype, RuntimeError for another shape, IndexError where an
        index is out of range.
        """
        if kwargs:
            args = self._positional(args, kwargs)
        if not self._flat:
            args = tuple(tree.flatten(args, self._in_tree))
        if len(args) != len(self.inputs):
            raise TypeError(f"{self.name} takes {len(self.inputs)} inputs ({', '.join(map(str, self.inputs))}), got {len(args)}")
        results, tensor = self._run(args)
        if tensor is not None:
            results = [_tensor_from(tensor, r) for r in results]
        return results[0] if self._out_tree == "*" else tree.unflatten(iter(results), self._out_tree)

    def _run(self, args: tuple) -> tuple[list, Any]:
        if self._weights_part is not None:
            self._check_weights()
        slots: list[Any] = list(self._feed)
        keep, tensor = [], None
        for i, (spec, dtype, scalar) in enumerate(zip(self.inputs, self._dtypes, self._scalars)):
            value = args[i]
            if type(value) is not np.ndarray:
                value, tensor = _to_array(value, spec, dtype, tensor)
            if value.dtype != dtype:
                raise TypeError(f"{self.name}: input {spec.name} must be {spec.dtype}, got {value.dtype}")
            if value.shape != spec.shape:
                raise RuntimeError(f"{self.name}: input {spec.name} must have shape {spec.shape}, got {value.shape}")
            if scalar is None:
                continue
            for at, by_value in scalar:
                if by_value:
                    slots[at] = value.item()
                else:
                    buffer = memory.from_numpy(value)
                    keep.append(buffer)
                    slots[at] = buffer.address
        results = []
        for nbytes, (dtype, shape) in zip(self._nbytes, self._results):
            buffer = memory.allocate(nbytes)
            slots.append(buffer.address)
            results.append(buffer.array(dtype, shape))
        try:
            self._executable.run(*slots)
        except CheckError as e:
            raise (IndexError if "index out of range" in e.message else RuntimeError)(f"{self.name}: {e}") from None
        return results, tensor

    def _positional(self, args: tuple, kwargs: dict[str, Any]) -> tuple:
        names = [i.name for i in self.inputs]
        if not self._flat:
            raise TypeError(f"{self.name} takes nested inputs, which cannot be given by name")
        out = dict(zip(names, args))
        for name, value in kwargs.items():
            if name not in names:
                raise TypeError(f"{self.name} has no input {name!r}; it takes {', '.join(names)}")
            if name in out:
                raise TypeError(f"{self.name}: input {name} is given twice")
            out[name] = value
        missing = [n for n in names if n not in out]
        if missing:
            raise TypeError(f"{self.name}: input {', '.join(missing)} is missing")
        return tuple(out[n] for n in names)

    # -- golden samples ---------------------------------------------------------------------------------------------

    def verify(self) -> list[tuple[str, float, float]]:
        """Run the golden inputs and compare: (output, largest error, what is allowed) for each output.

        ArtifactError where an output is off, or where the artifact holds no golden samples.
        """
        c = self._container
        golden = c.manifest.get("golden")
        if not isinstance(golden, dict):
            raise c.fail("it holds no golden samples")
        with Container(c.path) as again:
            arrays = _unpack(c, memoryview(again.read("golden")))
        try:
            inputs = [arrays[f"in.{i}"].reshape(s.shape) for i, s in enumerate(self.inputs)]
            wanted = [arrays[f"out.{i}"].reshape(s.shape) for i, s in enumerate(self.outputs)]
            rtol, atol = float(golden["rtol"]), float(golden["atol"])
        except (KeyError, TypeError, ValueError) as e:
            raise c.fail(f"its golden samples are malformed ({e})") from None
        report = []
        for spec, want, got in zip(self.outputs, wanted, self._run(tuple(inputs))[0]):
            a, b = got.astype(np.float64), want.astype(np.float64)
            with np.errstate(invalid="ignore"):
                same = (a == b) | (np.isnan(a) & np.isnan(b))
                error = float(np.max(np.where(same, 0.0, np.abs(a - b) / (atol + rtol * np.abs(b))), initial=0.0))
            if not error <= 1.0:
                raise c.fail(f"output {spec.name} is off by {error:.3g} times what is allowed (rtol {rtol}, atol {atol})")
            report.append((spec.name, error, 1.0))
        return report

    # -- weights ----------------------------------------------------------------------------------------------------

    def _map_weights(self) -> dict[str, np.ndarray]:
        c = self._container
        if "weights" not in c.parts:
            return {}
        section = c.map("weights")
        if len(section) <= _CHECK_AT_LOAD:
            c.check("weights", section)
        else:
            self._weights_part = section
        return _unpack(c, section)

    def _check_weights(self) -> None:
        assert self._weights_part is not None
        self._container.check("weights", self._weights_part)
        self._weights_part = None

    def _resolve(self, fed: list[tuple[str, Any]], slots: list[str], types: list) -> tuple[list[Any], list]:
        """What to put in each input's slots: weights' addresses and fixed values now, arguments at each call."""
        c, out = self._container, []
        scalars: list[list[tuple[int, bool]]] = [[] for _ in self.inputs]
        self._keep = []
        for at, ((kind, which), slot, (dtype, shape)) in enumerate(zip(fed, slots, types)):
            if kind == "input" and type(which) is int and 0 <= which < len(self.inputs):
                spec = self.inputs[which]
                if (_ir_name(spec.dtype), spec.shape) != (dtype, shape):
                    raise c.fail(f"input {spec.name} does not have the type that the code expects")
                scalars[which].append((at, slot != "address"))
                out.append(0)
            elif kind == "weight" and which in self.weights:
                array = self.weights[which]
                if (_ir_name(array.dtype.name), array.shape) != (dtype, shape):
                    raise c.fail(f"weight {which!r} does not have the type that the code expects")
                if slot == "address":
                    buffer = memory.from_numpy(array)
                    self._keep.append(buffer)
                    out.append(buffer.address)
                else:
                    out.append(array.item())
            else:
                raise c.fail(f"the code's input {at} comes from nowhere ({kind} {which!r})")
        return out, scalars


def _choose(c: Container) -> dict[str, Any]:
    """The first target that this CPU can run: they are listed best first."""
    targets = c.manifest["targets"]
    lacks = []
    for t in targets:
        if t["arch"] != host.architecture():
            lacks.append(f"{t['level']} is for {t['arch']}")
            continue
        missing = host.missing([str(f) for f in t["features"]])
        if not missing:
            return t
        lacks.append(f"{t['level']} needs {', '.join(missing[:8])}")
    raise c.fail(f"it has no code for this CPU ({host.architecture()}): {'; '.join(lacks) or 'no targets'}")


def _spec(c: Container, row: dict[str, Any]) -> TensorSpec:
    dtype, shape = row["dtype"], row["shape"]
    _check_shape(c, dtype, shape)
    return TensorSpec(str(row["name"]), _NUMPY[dtype], tuple(shape))


def _type(c: Container, text: str) -> tuple[str, tuple[int, ...]]:
    """("f32", (2, 3)) from f32[2,3]."""
    dtype, _, rest = text.partition("[")
    shape = [int(n) for n in rest.rstrip("]").split(",") if n]
    _check_shape(c, dtype, shape)
    return dtype, tuple(shape)


def _check_shape(c: Container, dtype: str, shape: list) -> None:
    if dtype not in _NUMPY or not isinstance(shape, list) or len(shape) > 64 or not all(type(n) is int and n >= 0 for n in shape):
        raise c.fail(f"the manifest is malformed ({dtype}{shape} is no type)")
    if 8 * _numel(shape) >= _SANE:
        raise c.fail(f"the manifest is malformed (a shape of {dtype}{shape} is absurd)")


def _numel(shape: Any) -> int:
    n = 1
    for d in shape:
        n *= d
    return n


def _ir_name(numpy_name: str) -> str:
    return next((k for k, v in _NUMPY.items() if v == numpy_name), numpy_name)


def _unpack(c: Container, section: memoryview) -> dict[str, np.ndarray]:
    try:
        return tensors.unpack(section)
    except tensors.TensorsError as e:
        raise c.fail(f"its tensors are malformed: {e}") from None


def _to_array(value: Any, spec: TensorSpec, dtype: np.dtype, tensor: Any) -> tuple[np.ndarray, Any]:
    """An argument that is not plainly an array: a tensor, an array of a subclass, or a number for a rank-0 input."""
    if isinstance(value, np.ndarray):
        return value.view(np.ndarray), tensor
    if isinstance(value, np.generic) or (isinstance(value, (bool, int, float)) and not spec.shape):
        return np.asarray(value, None if isinstance(value, np.generic) else dtype), tensor
    if type(value).__module__.split(".")[0] == "ingot" and hasattr(value, "detach"):
        return value.detach().numpy(), value
    raise TypeError(f"input {spec.name} must be a NumPy array or an Ingot tensor, got {type(value).__name__}")


def _tensor_from(like: Any, array: np.ndarray) -> Any:
    return sys.modules["ingot"].from_numpy(array)  # there is one, since an argument was a tensor
