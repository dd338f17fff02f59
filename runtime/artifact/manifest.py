"""The manifest of an artifact as its reader wants it: every field checked, for all targets, before anything is done with it.

    manifest = read(container)          # ArtifactError names the field that is wrong
    manifest.targets[0].peak_bytes

Fields that are not known here are left alone: a later Ingot may add some without a new schema. `peak_bytes` and
`worker_bytes` of a target, and `level` of the golden samples, came later than the schema and may be missing. So may `symbols`:
where they are, dims and numbers of bytes may be texts over them, see sizes.py.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from ingot.runtime.artifact import host, on_gpu, strict, tree
from ingot.runtime.artifact.container import Container
from ingot.runtime.artifact.sizes import Dim, Shape, Sizes, Symbol
from ingot.runtime.formula import FormulaError, is_name, names_in
from ingot.runtime.formula import parts as parts_of

__all__ = ["Golden", "Manifest", "Target", "TensorSpec", "read"]

NUMPY = {
    "bool": "bool", "u8": "uint8", "i8": "int8", "i16": "int16", "i32": "int32", "i64": "int64", "u16": "uint16", "u32": "uint32",
    "u64": "uint64", "f16": "float16", "bf16": "bfloat16", "f32": "float32", "f64": "float64",
    "c64": "complex64", "c128": "complex128",
}  # fmt: skip
_ITEM = {
    "bool": 1, "u8": 1, "i8": 1, "i16": 2, "i32": 4, "i64": 8, "u16": 2, "u32": 4, "u64": 8, "f16": 2, "bf16": 2, "f32": 4, "f64": 8,
    "c64": 8, "c128": 16,
}  # fmt: skip
_IR = {v: k for k, v in NUMPY.items()}
_SANE = 1 << 46  # bytes; nothing in an artifact is larger
_RANK = 64
_DIGITS = frozenset("0123456789")
_SMALL = _DIGITS | frozenset("abcdefghijklmnopqrstuvwxyz_")
_IN_DIMS = _SMALL | frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZ,()+*/-")
_ALIGNMENT = 64  # what follows the arena begins on a multiple of it


class TensorSpec(NamedTuple):
    """An input or output of an artifact."""

    name: str
    dtype: str  # NumPy's name
    shape: Shape

    def __str__(self) -> str:
        return f"{self.name}: {self.dtype}[{', '.join(map(str, self.shape))}]"


class Target:
    """Code for one level of CPUs, or of GPUs.

    features            what the CPU must have, in /proc/cpuinfo's words
    code, pool          the parts with the machine code, and with the worker pool
    executable          how to call it: see runtime/executable.py
    types               dtype and shape of the code's inputs, then of its outputs
    peak_bytes          memory of one call with one thread: weights, what is kept, inputs, outputs, arena, scratch
    worker_bytes        what each further thread adds
    cubin, assembler    the part with the kernels as machine code of a GPU, beside the PTX in its code; and who made it
    kept, prepared      the part with what is kept of the weights, and those of which the file has nothing else, see prepared.py
    """

    def __init__(
        self, arch: str, level: str, features: tuple[str, ...], code: str, pool: str, executable: dict[str, Any],
        types: tuple[tuple[str, Shape], ...], peak_bytes: Dim | None, worker_bytes: Dim, cubin: str | None, assembler: str | None,
        kept: str | None, prepared: dict[str, tuple[str, Shape]],
    ):  # fmt: skip
        self.arch, self.level, self.features = arch, level, features
        self.code, self.pool, self.cubin, self.assembler = code, pool, cubin, assembler
        self.executable, self.types, self.kept, self.prepared = executable, types, kept, prepared
        self.peak_bytes, self.worker_bytes = peak_bytes, worker_bytes

    def lacks(self) -> list[str]:
        """What this machine lacks to run it: features, the architecture, or a GPU; nothing where it runs."""
        if self.device is not None and self.arch == host.architecture():
            return on_gpu.lacks(self.level)
        return host.missing(list(self.features)) if self.arch == host.architecture() else [self.arch]

    @property
    def device(self) -> str | None:
        """The kind of device that its slots are addresses of: "cuda", or None for the host."""
        return self.executable.get("device")


class Golden:
    """How golden outputs are compared: exactly at the level that made them, within the tolerances elsewhere."""

    def __init__(self, rtol: float, atol: float, level: str | None):
        self.rtol, self.atol, self.level = rtol, atol, level


class Manifest:
    """What an artifact says of itself. See docs/artifact.md. `targets` stand best first."""

    def __init__(
        self, name: str, producer: str, inputs: tuple[TensorSpec, ...], outputs: tuple[TensorSpec, ...], in_tree: Any, out_tree: Any,
        feed: tuple[tuple[str, int | str], ...], targets: tuple[Target, ...], golden: Golden | None, sizes: Sizes,
    ):  # fmt: skip
        self.name, self.producer, self.inputs, self.outputs = name, producer, inputs, outputs
        self.in_tree, self.out_tree, self.feed, self.targets = in_tree, out_tree, feed, targets
        self.golden, self.sizes = golden, sizes

    @property
    def signature(self) -> str:
        """Inputs and outputs as text."""
        where = f" where {', '.join(map(str, self.sizes.symbols))}" if self.sizes.symbols else ""
        return f"({', '.join(map(str, self.inputs))}) -> ({', '.join(map(str, self.outputs))}){where}"

    def peak_bytes(self, target: Target, weights: int) -> Dim:
        """Memory of one call with one thread; `weights` are their bytes, for files that do not say it themselves."""
        return self.least_bytes(target, weights, {}) if target.peak_bytes is None else target.peak_bytes

    def least_bytes(self, target: Target, weights: int, extents: Mapping[str, int]) -> int:
        """What such a call takes by the sum of its parts, for these values of the symbols."""
        given = weights + target.executable.get("kept", 0) + sum(self.nbytes(s, extents) for s in (*self.inputs, *self.outputs))
        return given + self.working_bytes(target, extents)

    def nbytes(self, spec: TensorSpec, extents: Mapping[str, int]) -> int:
        """The size of an input or output."""
        return _ITEM[_IR[spec.dtype]] * _numel(self.sizes.shape(spec.shape, extents))

    def working_bytes(self, target: Target, extents: Mapping[str, int]) -> int:
        """The arena of one call, and the scratch of the one thread that runs it."""
        arena, scratch = (self.sizes.value(target.executable[f], extents) for f in ("arena_bytes", "scratch_bytes"))
        return -(-arena // _ALIGNMENT) * _ALIGNMENT + scratch


def read(c: Container) -> Manifest:
    """The manifest of an open artifact. ArtifactError where it is malformed, or does not fit the file's parts."""
    try:
        return _manifest(c.manifest, c.parts)
    except _Malformed as e:
        raise c.fail(f"the manifest is malformed: {e}") from None


class _Malformed(Exception):
    """Which field is wrong, and what was expected."""


def _require(ok: Any, why: str) -> None:
    if not ok:
        raise _Malformed(why)


def _shown(value: Any) -> str:
    text = repr(value) if isinstance(value, (str, int, float, bool, type(None))) else f"a {type(value).__name__}"
    return text if len(text) <= 60 else text[:57] + "..."


# -- single fields: a rule says what it expects, and whether a value is that -------------------------------------------

_Rule = tuple[str, Callable[[Any], bool]]


def _number(low: float, high: float) -> Callable[[Any], bool]:
    return lambda v: type(v) in (int, float) and low <= v <= high


TEXT: _Rule = ("printable text", strict.printable)
NAME: _Rule = ("a plain name", strict.plain_name)
LIST: _Rule = ("a list", lambda v: isinstance(v, list))
OBJECT: _Rule = ("an object", lambda v: isinstance(v, dict))
BYTES: _Rule = (f"a number of bytes below {_SANE}", lambda v: isinstance(v, str) and _size(v) or type(v) is int and 0 <= v < _SANE)
KEPT: _Rule = (f"a number of bytes from 2 to {_SANE}", lambda v: type(v) is int and 2 <= v < _SANE)
FLAG: _Rule = ("true or false", lambda v: isinstance(v, bool))
SYMBOL: _Rule = ("a symbol of Ingot's", lambda v: isinstance(v, str) and v[:6] == "ingot_" and 6 < len(v) <= 56 and _of(v, _SMALL))
SYMBOL_NAME: _Rule = ("a name", lambda v: isinstance(v, str) and len(v) <= 100 and is_name(v))
EXTENT: _Rule = (f"an extent below {_SANE}", lambda v: type(v) is int and 0 <= v < _SANE)
MOST: _Rule = ("an extent or null", lambda v: v is None or type(v) is int and v >= 0)
TOLERANCE: _Rule = ("a number from 0 to 1", _number(0, 1))
KIND: _Rule = ("'cuda'", lambda v: v == "cuda")
PREPARED: _Rule = (
    "a part and names of weights",
    lambda v: isinstance(v, dict) and strict.plain_name(v.get("part")) and isinstance(v.get("weights"), list)
    and all(isinstance(n, str) for n in v["weights"]),
)
COUNT: _Rule = ("a count or null", lambda v: v is None or type(v) is int and 0 <= v < _SANE)
TREE: _Rule = ("a tree of tensors", tree.valid)
DTYPE: _Rule = ("a dtype", lambda v: isinstance(v, str) and v in NUMPY)
SLOT: _Rule = ("a dtype or 'address'", lambda v: isinstance(v, str) and (v in NUMPY or v == "address"))
SHAPE: _Rule = (
    "a shape of a sane size",
    lambda v: isinstance(v, list) and len(v) <= _RANK and all(isinstance(n, str) and _size(n) or type(n) is int and n >= 0 for n in v)
    and _sane([n for n in v if not isinstance(n, str)]),
)
CHECK: _Rule = (
    "checks by their codes",
    lambda v: isinstance(v, dict) and all(len(k) in range(1, 10) and _of(k, _DIGITS) and _message(c) for k, c in v.items()),
)

_MANIFEST = {
    "name": TEXT, "producer": TEXT, "inputs": LIST, "outputs": LIST, "in_tree": TREE, "out_tree": TREE, "feed": LIST, "targets": LIST,
}  # fmt: skip
_SPEC = {"name": TEXT, "dtype": DTYPE, "shape": SHAPE}
_TARGET = {"arch": TEXT, "level": TEXT, "features": LIST, "code": NAME, "pool": NAME, "executable": OBJECT}
_EXECUTABLE = {"entry": SYMBOL, "slots": LIST, "inputs": LIST, "outputs": LIST, "arena_bytes": BYTES, "scratch_bytes": BYTES}
_DEVICE = {"device": KIND, "kernels": LIST, "launches": COUNT}  # of code for GPUs
_GOLDEN = {"rtol": TOLERANCE, "atol": TOLERANCE}


def _of(text: str, letters: frozenset[str]) -> bool:
    """Whether no other characters are in a text."""
    return letters.issuperset(text)


def _sane(shape: list[int]) -> bool:
    """Whether an array of that shape would have a sane size, also where a dimension is 0."""
    return 8 * _numel(d or 1 for d in shape) < _SANE


def _size(text: str) -> bool:
    try:
        return bool(names_in(text))
    except FormulaError:
        return False


def _message(check: Any) -> bool:
    if not isinstance(check, dict) or not isinstance(check.get("message"), str):
        return False
    return all(isinstance(check.get(k), (str, type(None))) for k in ("location", "symbol"))


def _fields(value: Any, rules: dict[str, _Rule], where: str, optional: bool = False) -> dict[str, Any]:
    """The fields of an object that `rules` name, each checked. Missing ones are an error unless they are optional."""
    if not isinstance(value, dict):
        raise _Malformed(f"{where}: expected an object, got {_shown(value)}")
    dot = f"{where}." if where else ""
    out = {}
    for name, rule in rules.items():
        if name in value:
            out[name] = _one(value[name], rule, dot + name)
        elif not optional:
            raise _Malformed(f"{dot}{name} is missing")
    return out


def _one(value: Any, rule: _Rule, where: str) -> Any:
    if not rule[1](value):
        raise _Malformed(f"{where}: expected {rule[0]}, got {_shown(value)}")
    return value


def _each(values: list, rule: _Rule, where: str) -> list:
    return [_one(v, rule, f"{where}[{i}]") for i, v in enumerate(values)]


# -- the whole ---------------------------------------------------------------------------------------------------------


def _manifest(m: dict[str, Any], parts: dict[str, Any]) -> Manifest:
    f = _fields(m, _MANIFEST, "")
    inputs = tuple(_spec(r, f"inputs[{i}]") for i, r in enumerate(f["inputs"]))
    outputs = tuple(_spec(r, f"outputs[{i}]") for i, r in enumerate(f["outputs"]))
    _require(f["in_tree"] != "*" and "tuple" in f["in_tree"], "in_tree is no tuple of arguments")
    for tree_name, specs in (("in_tree", inputs), ("out_tree", outputs)):
        n = tree.count(f[tree_name])
        _require(n == len(specs), f"{tree_name} holds {n} tensors, {len(specs)} are described")
    feed = tuple(_source(row, f"feed[{i}]", len(inputs)) for i, row in enumerate(f["feed"]))
    sizes = _sizes(_fields(m, {"symbols": LIST}, "", optional=True).get("symbols", []), inputs)
    for s in (*inputs, *outputs):
        _require(all(map(sizes.fits, s.shape)), f"the shape of {s} has symbols that are not described")
    targets = tuple(_target(t, f"targets[{i}]", feed, inputs, outputs, parts, sizes) for i, t in enumerate(f["targets"]))
    golden = None
    if m.get("golden") is not None:
        g = _fields(m["golden"], _GOLDEN, "golden")
        level = _fields(m["golden"], {"level": TEXT}, "golden", optional=True)
        _require("golden" in parts, "golden: the part 'golden' is missing")
        golden = Golden(float(g["rtol"]), float(g["atol"]), level.get("level"))
    return Manifest(f["name"], f["producer"], inputs, outputs, f["in_tree"], f["out_tree"], feed, targets, golden, sizes)


def _sizes(rows: list, inputs: tuple[TensorSpec, ...]) -> Sizes:
    symbols = []
    for i, row in enumerate(rows):
        f = _fields(row, {"name": SYMBOL_NAME, "min": EXTENT, "max": MOST}, f"symbols[{i}]")
        _require(f["max"] is None or f["min"] <= f["max"], f"symbols[{i}]: no extent is at least {f['min']} and at most {f['max']}")
        symbols.append(Symbol(f["name"], f["min"], f["max"]))
    _require(len({s.name for s in symbols}) == len(symbols), "symbols: a name is there twice")
    try:
        return Sizes(symbols, [(s.name, s.shape) for s in inputs])
    except ValueError as e:
        raise _Malformed(f"symbols: {e}") from None


def _spec(row: Any, where: str) -> TensorSpec:
    f = _fields(row, _SPEC, where)
    return TensorSpec(f["name"], NUMPY[f["dtype"]], tuple(f["shape"]))


def _source(row: Any, where: str, n_inputs: int) -> tuple[str, int | str]:
    ok = isinstance(row, list) and len(row) == 2
    ok = ok and (row[0] == "input" and type(row[1]) is int and 0 <= row[1] < n_inputs or row[0] == "weight" and strict.plain_name(row[1]))
    if not ok:
        raise _Malformed(f"{where}: expected ['input', number] or ['weight', name], got {_shown(row)}")
    return row[0], row[1]


def _target(row: Any, where: str, feed: tuple, inputs: tuple, outputs: tuple, parts: dict[str, Any], sizes: Sizes) -> Target:
    f = _fields(row, _TARGET, where)
    features = tuple(_each(f["features"], TEXT, f"{where}.features"))
    for part in (f["code"], f["pool"]):
        _require(part in parts, f"{where}: there is no part {part!r}")
    at = f"{where}.executable"
    e = _fields(f["executable"], _EXECUTABLE, at)
    e |= _fields(f["executable"], {"checks": CHECK, "tiny": FLAG, "kept": KEPT, **_DEVICE}, at, optional=True)
    if "device" in e:
        e |= _fields(f["executable"], _DEVICE, at)
        _each(e["kernels"], TEXT, f"{at}.kernels")
    types = tuple(_type(t, f"{at}.{k}[{i}]") for k in ("inputs", "outputs") for i, t in enumerate(e[k]))
    slots = _each(e["slots"], SLOT, f"{at}.slots")
    _require(len(e["inputs"]) == len(feed), f"{at}: the code takes {len(e['inputs'])} inputs, {len(feed)} are fed")
    if sizes.symbols:
        e |= _fields(f["executable"], {"symbols": LIST}, at)
    _require(e.get("symbols", []) == [vars(s) for s in sizes.symbols], f"{at}.symbols are not those that are described")
    kept = ["address"] if "kept" in e else []
    n = len(types) + len(kept) + len(sizes.symbols)
    _require(len(slots) == n, f"{at}: {len(slots)} slots for {n} inputs, outputs{', what is kept' * len(kept)} and symbols")
    _require(slots[len(types) :] == kept + ["i64"] * len(sizes.symbols), f"{at}.slots: a symbol's is no i64, or what is kept no address")
    _require(not kept or "device" not in e, f"{at}.kept: nothing is kept on a device")
    for i, (slot, (dtype, shape)) in enumerate(zip(slots, types)):
        by_value = i < len(feed) and slot == dtype and not shape
        _require(slot == "address" or by_value, f"{at}.slots[{i}]: a {slot} cannot hold {dtype}{list(shape)}")
    for i, (kind, which) in enumerate(feed):
        if kind == "input" and types[i] != _ir_type(inputs[which]):
            raise _Malformed(f"{at}.inputs[{i}]: the code expects {_shown(e['inputs'][i])}, the input is {inputs[which]}")
    _require(types[len(feed) :] == tuple(map(_ir_type, outputs)), f"{at}.outputs: the code does not give what is described")
    memory = _fields(row, {"peak_bytes": BYTES, "worker_bytes": BYTES}, where, optional=True)
    peak, worker = memory.get("peak_bytes"), memory.get("worker_bytes", e["scratch_bytes"])
    told = {"peak_bytes": peak, "worker_bytes": worker, "executable.arena_bytes": e["arena_bytes"]}
    for name, size in {**told, "executable.scratch_bytes": e["scratch_bytes"]}.items():
        _require(size is None or sizes.fits(size), f"{where}.{name} has symbols that are not described")
    if sizes.symbols:
        _require(peak is not None, f"{where}.peak_bytes is missing")
        _require(worker == e["scratch_bytes"], f"{where}.worker_bytes is not a worker's scratch")
    else:
        _require(worker >= e["scratch_bytes"], f"{where}.worker_bytes: {worker} are fewer than a worker's scratch ({e['scratch_bytes']})")
    cubin = _fields(row, {"cubin": NAME, "assembler": TEXT}, where, optional=True)
    _require(len(cubin) != 1 and ("device" in e or not cubin), f"{where}: machine code of a GPU for none, or nobody says by whom")
    _require(not cubin or cubin["cubin"] in parts, f"{where}: there is no part {cubin.get('cubin')!r}")
    of_gpu = cubin.get("cubin"), cubin.get("assembler")
    stored = _fields(row, {"prepared": PREPARED}, where, optional=True).get("prepared")
    part, names = (None, []) if stored is None else (stored["part"], stored["weights"])
    _require(part is None or kept and part in parts and parts[part][1] == e["kept"], f"{where}.prepared: there is no part of what is kept")
    prepared = {which: types[i] for i, (kind, which) in enumerate(feed) if kind == "weight" and which in names}
    _require(len(prepared) == len(names), f"{where}.prepared: a weight is named twice, or is none that is fed")
    _require(all(s == "address" for s, (_, which) in zip(slots, feed) if which in prepared), f"{where}.prepared: a weight is a number")
    return Target(f["arch"], f["level"], features, f["code"], f["pool"], e, types, peak, worker, *of_gpu, part, prepared)


def _type(text: Any, where: str) -> tuple[str, Shape]:
    """("f32", (2, 3)) from f32[2,3]."""
    dtype, bracket, dims = text.partition("[") if isinstance(text, str) else ("", "", "")
    ok = 2 <= len(dtype) <= 4 and _of(dtype, _SMALL) and "_" not in dtype and bracket and dims[-1:] == "]" and len(dims) <= 9001
    if not ok or not _of(dims[:-1], _IN_DIMS):
        raise _Malformed(f"{where}: expected a type such as f32[2,3], got {_shown(text)}")
    shape = [int(n) if n.isdigit() else n for n in parts_of(dims[:-1]) if n]
    return _one(dtype, DTYPE, where), tuple(_one(shape, SHAPE, where))


def _ir_type(spec: TensorSpec) -> tuple[str, Shape]:
    return _IR[spec.dtype], spec.shape


def _numel(shape: Any) -> int:
    n = 1
    for d in shape:
        n *= d
    return n
