"""A loaded artifact: callable with NumPy arrays or Ingot tensors, without a compiler and without the model's source."""

from __future__ import annotations

import _thread
import math
import os
import sys
from typing import TYPE_CHECKING, Any

import numpy as np

from ingot.runtime import memory, threads
from ingot.runtime.artifact import host, on_gpu, tensors, tree
from ingot.runtime.artifact import manifest as manifests
from ingot.runtime.artifact.container import Container
from ingot.runtime.artifact.manifest import Manifest, Target, TensorSpec
from ingot.runtime.artifact.sizes import SizeError
from ingot.runtime.executable import CheckError, Executable

if TYPE_CHECKING:
    from ingot.runtime.artifact import golden

__all__ = ["CHECK_AT_LOAD", "Model", "TensorSpec", "load", "validate", "weight_bytes"]

CHECK_AT_LOAD = 16 << 20  # bytes of weights; larger ones are compared with their checksum before the first call


def load(path: str | os.PathLike[str], device: str | None = None) -> Model:
    """Open an artifact. Nothing is executed and nothing of a claimed size is allocated before the file is validated.

    device: "cpu", "cuda" or "cuda:1", which shall run it; without one, the first of the file's targets that runs here.

    ArtifactError with the reason in one line for a file that is damaged, foreign, too new or for another machine;
    OSError where it cannot be read.

    >>> ingot.export(nn.Linear(4, 2), ingot.zeros(1, 4), "linear.ingot")
    >>> model = load("linear.ingot")
    >>> model(np.zeros((1, 4), np.float32)).shape
    (1, 2)
    """
    with Container(path) as container:
        return Model(container, device=device)


def validate(c: Container, largest: int | None = None) -> Manifest:
    """Check all that can be checked without running anything: every byte, the manifest, and that the parts fit it.

    Parts above `largest` bytes are not compared with their checksums. ArtifactError says what is wrong. Gives the manifest.
    """
    manifest = manifests.read(c)
    for name, (_, length, _) in c.parts.items():
        if largest is None or length <= largest:
            c.check(name)
    weights = _open_weights(c)
    for target in manifest.targets:
        _check_weights(c, manifest, target, weights)
    if manifest.golden is not None:
        _golden_arrays(c, manifest)
    return manifest


class Model:
    """A compiled function with its weights: call it as the one that was exported.

    Arrays in, arrays out; if an argument is an Ingot tensor, the results are tensors. Calls may run in several
    threads at once.
    """

    def __init__(self, container: Container, target: Target | None = None, device: str | None = None):
        """`target`: which of the manifest's targets to run; where None, the first that this machine can, on `device` if that is given."""
        self._container = container
        self._manifest = manifest = manifests.read(container)
        self._target = target = target or _choose(container, manifest, device)
        self.name, self.producer, self.level = manifest.name, manifest.producer, target.level
        self.inputs, self.outputs = manifest.inputs, manifest.outputs
        self._in_tree, self._out_tree = manifest.in_tree, manifest.out_tree
        machine_code, pool = container.read(target.code), container.read(target.pool)
        self._unchecked = [(n, container.map(n)) for n in ("weights", target.kept) if n in container.parts]  # parts, until they are checked
        if sum(len(data) for _, data in self._unchecked) <= CHECK_AT_LOAD:
            self._check_mapped_weights()
        self._weights = _open_weights(container)
        self._told = self._weights if target.kept is None else None  # all of them, as far as they are known
        _check_weights(container, manifest, target, self._weights)
        if manifest.golden is not None:
            container.map("golden")  # so that `verify` reads this file, whatever has its name by then
        self._gpu: on_gpu.OnGpu | None = None
        try:
            self._dtypes = tuple(tensors.numpy_dtype(i.dtype) for i in self.inputs)
            self._results = tuple(tensors.numpy_dtype(o.dtype) for o in self.outputs)
            if target.device is not None:
                index = (device or "").partition(":")[2]
                cubin = None if target.cubin is None else bytes(container.read(target.cubin))
                self._gpu = on_gpu.OnGpu(machine_code, target.executable, int(index) if index else None, cubin)
                self._execute = self._gpu.run
            else:
                self._execute = Executable(machine_code, target.executable).run
                threads.start_pool(pool)
            self._feed, self._scalars = self._resolve()
            nbytes = target.executable.get("kept", 0)
            # what follows from the weights alone: it is in the file, or the first call fills it, by itself
            self._first = _thread.allocate_lock() if nbytes and target.kept is None else None
            self._kept = None
            if nbytes:
                self._kept = memory.unfilled(nbytes) if target.kept is None else _memory(_filled(container, target.kept))
        except (OSError, AttributeError, KeyError, TypeError, ValueError) as e:
            raise container.fail(f"its code cannot be loaded ({e})") from None
        self._shapes = tuple(o.shape for o in self.outputs)
        self._sizes = manifest.sizes if manifest.sizes.symbols else None
        self._flat = self._in_tree == {"tuple": ["*"] * len(self.inputs)}

    # -- what people ask --------------------------------------------------------------------------------------------

    @property
    def signature(self) -> str:
        """Inputs and outputs as text.

        >>> ingot.export(nn.Linear(4, 2), ingot.zeros(1, 4), "linear.ingot")
        >>> load("linear.ingot").signature
        '(input: float32[1, 4]) -> (output: float32[1, 2])'
        """
        return self._manifest.signature

    @property
    def weights(self) -> dict[str, np.ndarray]:
        """The weights by name, read-only. Large ones are shown before they were compared with their checksum.

        Those that the file holds only as the code reads them are told by running it once, when this is first asked for, and take memory of
        their own.
        """
        if self._told is None:
            from ingot.runtime.artifact import prepared

            self._check_mapped_weights()
            c, m, t = self._container, self._manifest, self._target
            extents = {s.name: s.min for s in m.sizes.symbols}
            types = [(tensors.numpy_dtype(manifests.NUMPY[d]), m.sizes.shape(s, extents)) for d, s in t.types]
            code = prepared.Code(self._execute, t.executable["slots"], m.feed, types, list(extents.values()), t.executable["kept"])
            found = prepared.plain(_filled(c, str(t.kept)), t.prepared, code, self._weights)
            if found is None:
                raise c.fail("its code does not tell all of its weights")
            self._told = {**self._weights, **found}
        return self._told

    @property
    def peak_bytes(self) -> int | None:
        """Memory of one call with the present number of threads: weights, inputs, outputs and working memory.

        Where the sizes of a call are not fixed it is that of the largest; None where there is none. The manifest has the number, or
        the formula, for one thread and what each further one adds; `ingot inspect` shows both.
        """
        largest = self._manifest.sizes.largest()
        return None if largest is None else self.bytes_for(**largest)

    def bytes_for(self, **sizes: int) -> int:
        """`peak_bytes` for these values of the symbols, all of which are named.

        TypeError where one is missing, or is none of the model's.
        """
        s = self._manifest.sizes
        if sizes.keys() != set(s.names):
            raise TypeError(f"{self.name} has the sizes {', '.join(s.names) or '(none)'}, got {', '.join(sizes) or '(none)'}")
        extents = {name: sizes[name] for name in s.names}
        one = s.value(self._manifest.peak_bytes(self._target, _size(self._weights)), extents)
        return one + (threads.get_num_threads() - 1) * s.value(self._target.worker_bytes, extents)

    def __repr__(self) -> str:
        peak = self.peak_bytes
        return f"<ingot.Model {self.name}{self.signature}, {self.level}, peak {'unknown' if peak is None else f'{peak} bytes'}>"

    @property
    def image(self) -> str | None:
        """What the GPU runs: "cubin", machine code that came with the artifact, or "ptx", which its driver translates; None on a CPU."""
        return None if self._gpu is None else self._gpu.image

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
            results = [_tensor_from(tensor, r) if isinstance(r, np.ndarray) else r for r in results]
        return results[0] if self._out_tree == "*" else tree.unflatten(iter(results), self._out_tree)

    def _run(self, args: tuple) -> tuple[list, Any]:
        if self._unchecked:
            self._check_mapped_weights()
        slots: list[Any] = list(self._feed)
        keep, tensor = [], None
        given: list[tuple[int, ...]] = []
        for i, (spec, dtype, scalar) in enumerate(zip(self.inputs, self._dtypes, self._scalars)):
            value, given_tensor = args[i], None
            if type(value) is not np.ndarray:
                if self._gpu is not None and getattr(value, "is_cuda", False):
                    given_tensor = tensor = value
                    value = _Described(value)
                else:
                    value, tensor = _to_array(value, spec, dtype, tensor)
            if value.dtype != dtype:
                raise TypeError(f"{self.name}: input {spec.name} must be {spec.dtype}, got {value.dtype}")
            if self._sizes is not None:
                given.append(value.shape)
            elif value.shape != spec.shape:
                raise RuntimeError(f"{self.name}: input {spec.name} must have shape {spec.shape}, got {value.shape}")
            if scalar is None:
                continue
            for at, by_value in scalar:
                if by_value:
                    slots[at] = value.item()
                else:
                    buffer = _memory(value) if self._gpu is None else self._gpu.there(given_tensor) or self._gpu.uploaded(value)
                    keep.append(buffer)
                    slots[at] = buffer.address
        results = []
        shapes: Any = self._shapes
        extents: dict[str, int] = {}
        if self._sizes is not None:
            try:
                extents = self._sizes.extents(given)
            except SizeError as e:
                raise RuntimeError(f"{self.name}: {e}") from None
            shapes = [self._sizes.shape(s, extents) for s in shapes]
        if self._gpu is not None:
            made = self._gpu.results(shapes, self._results)
            self._call([*slots, *(b.address for b in made), *extents.values()])
            if tensor is not None and tensor.is_cuda:
                return [self._gpu.tensor(b, s, d) for b, s, d in zip(made, shapes, self._results)], tensor
            try:
                return [b.array(d, s) for b, s, d in zip(made, shapes, self._results)], tensor
            except CheckError as e:
                raise self._error(e) from None
        for dtype, shape in zip(self._results, shapes):
            buffer = memory.allocate(math.prod(shape) * dtype.itemsize)
            slots.append(buffer.address)
            results.append(buffer.array(dtype, shape))
        if self._kept is not None:
            slots.append(self._kept.address)
        slots += extents.values()
        self._call(slots)
        return results, tensor

    def _call(self, slots: list[Any]) -> None:
        first = self._first
        if first is not None:
            with first:
                if self._first is not None:
                    self._run_code(slots)
                    self._first = None
                    return
        self._run_code(slots)

    def _run_code(self, slots: list[Any]) -> None:
        try:
            self._execute(*slots)
        except CheckError as e:
            raise self._error(e) from None

    def _error(self, e: CheckError) -> Exception:
        return (IndexError if "index out of range" in e.message else RuntimeError)(f"{self.name}: {e}")

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

    def verify(self) -> list[golden.Agreement]:
        """Run the golden inputs and compare: (output, error, what is allowed) for each output; see golden.py.

        ArtifactError where an output is off, or where the artifact holds no golden samples.
        """
        from ingot.runtime.artifact import golden

        c, samples = self._container, self._manifest.golden
        if samples is None:
            raise c.fail("it holds no golden samples")
        c.check_mapped("golden", c.map("golden"))
        inputs, wanted = _golden_arrays(c, self._manifest)
        exact = samples.level == self.level
        report = []
        for spec, want, got in zip(self.outputs, wanted, self._run(tuple(inputs))[0]):
            a = golden.compare(spec.name, got, want, samples.rtol, samples.atol, exact)
            if a.error > a.allowed:
                if a.allowed:
                    why = f"is off by {a.error:.3g} times what is allowed (rtol {samples.rtol}, atol {samples.atol})"
                else:
                    why = f"is off in {a.error:.0f} of {want.size} elements, which must agree to the bit"
                raise c.fail(f"output {spec.name} {why}, at {self.level}")
            report.append(a)
        return report

    # -- weights ----------------------------------------------------------------------------------------------------

    def _check_mapped_weights(self) -> None:
        for name, data in self._unchecked:
            self._container.check_mapped(name, data, threads.get_num_threads())
        self._unchecked = []

    def _resolve(self) -> tuple[list[Any], list[list[tuple[int, bool]]]]:
        """What to put in each input's slots: weights' addresses and fixed values now, arguments at each call."""
        out: list[Any] = []
        scalars: list[list[tuple[int, bool]]] = [[] for _ in self.inputs]
        self._keep = []
        for at, ((kind, which), slot) in enumerate(zip(self._manifest.feed, self._target.executable["slots"])):
            if kind == "input":
                scalars[int(which)].append((at, slot != "address"))
                out.append(0)
            elif which in self._target.prepared:
                out.append(0)  # the code does not read it
            elif slot == "address":
                array = self._weights[str(which)]
                buffer = _memory(array) if self._gpu is None else self._gpu.uploaded(array)
                self._keep.append(buffer)
                out.append(buffer.address)
            else:
                out.append(self._weights[str(which)].item())
        return out, scalars


class _Described:
    """A tensor on a GPU, by the shape and dtype that it has."""

    def __init__(self, t: Any):
        self.shape, self.dtype = tuple(t.shape), t.dtype.numpy


def _memory(array: np.ndarray) -> Any:
    return memory.from_numpy(array)


def _choose(c: Container, manifest: Manifest, device: str | None) -> Target:
    """The first target that this machine can run, on a device where that is given: they are listed best first."""
    lacks = []
    kind = None if device is None else device.partition(":")[0]
    for t in manifest.targets:
        if kind is not None and kind != (t.device or "cpu"):
            lacks.append(f"{t.level} is not for {kind}")
            continue
        missing = t.lacks()
        if not missing:
            return t
        lacks.append(f"{t.level} is for {t.arch}" if t.arch != host.architecture() else f"{t.level} needs {', '.join(missing[:8])}")
    here = f"this CPU ({host.architecture()})" if kind in (None, "cpu") else f"device {device!r}"
    raise c.fail(f"it has no code for {here}: {'; '.join(lacks) or 'no targets'}")


def _filled(c: Container, part: str) -> np.ndarray:
    """What is kept of the weights, as it is in the file."""
    found = np.frombuffer(c.map(part), np.uint8)
    if found[0] != 1:  # the code would write there
        raise c.fail(f"part {part!r} holds nothing of the weights")
    return found


def weight_bytes(c: Container) -> int:
    """Bytes of all weights that the file has as they are, by the header of their section. ArtifactError where it is malformed."""
    return _size(_open_weights(c))


def _open_weights(c: Container) -> dict[str, np.ndarray]:
    return _unpack(c, c.map("weights")) if "weights" in c.parts else {}


def _check_weights(c: Container, manifest: Manifest, target: Target, weights: dict[str, np.ndarray]) -> None:
    """The code must get what it was compiled for: a name, dtype or shape that differs is refused."""
    for (kind, which), (dtype, shape) in zip(manifest.feed, target.types):
        if kind != "weight" or which in target.prepared:
            continue
        array = weights.get(str(which))
        if array is None:
            raise c.fail(f"the code at {target.level} needs weight {which!r}, which the file does not hold")
        if (array.dtype.name, array.shape) != (manifests.NUMPY[dtype], shape):
            expected = f"{dtype}{list(shape)} for weight {which!r}"
            raise c.fail(f"the code at {target.level} expects {expected}, the file holds {array.dtype.name}{list(array.shape)}")
    extents = {s.name: s.min for s in manifest.sizes.symbols}
    peak, least = target.peak_bytes, manifest.least_bytes(target, _size(weights), extents)
    if peak is not None and manifest.sizes.value(peak, extents) < least:
        raise c.fail(f"the manifest is malformed: at {target.level} peak_bytes is {peak}, fewer than its parts take ({least})")


def _golden_arrays(c: Container, manifest: Manifest) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """The golden inputs and outputs, not compared with their checksum; each of the dtype and shape that the manifest describes."""
    arrays = _unpack(c, c.map("golden"))
    out = []
    inputs = [arrays.get(f"in.{i}") for i in range(len(manifest.inputs))]
    try:
        extents = manifest.sizes.extents([() if a is None else a.shape for a in inputs]) if manifest.sizes.symbols else {}
    except SizeError as e:
        raise c.fail(f"its golden samples are malformed: {e}") from None
    for prefix, specs in (("in", manifest.inputs), ("out", manifest.outputs)):
        for i, s in enumerate(specs):
            a = arrays.get(f"{prefix}.{i}")
            if a is None or (a.dtype.name, a.shape) != (s.dtype, manifest.sizes.shape(s.shape, extents)):
                got = "missing" if a is None else f"{a.dtype.name}{list(a.shape)}"
                raise c.fail(f"its golden samples are malformed: {prefix}.{i} is {got}, not {s.dtype}{list(s.shape)}")
            out.append(a)
    return out[: len(manifest.inputs)], out[len(manifest.inputs) :]


def _size(weights: dict[str, np.ndarray]) -> int:
    return sum(a.nbytes for a in weights.values())


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
