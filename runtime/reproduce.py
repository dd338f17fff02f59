"""Compiling a stored entry again, from the document its key was made of, and comparing bytes: same preimage, same bytes.

    outcome = compare(entry)         # Outcome("same"), or "different" and where, or "impossible" and why
    assembly(entry)                  # the machine code as text

A preimage is data of unknown origin: whatever it says, only ReproduceError comes out of reading it. Nothing is loaded or run.
"""

from __future__ import annotations

import functools
import json
from typing import TYPE_CHECKING, Any, NamedTuple

from ingot.runtime import switches
from ingot.runtime.cache import key as keys
from ingot.runtime.cache import structure
from ingot.runtime.cache.entry import Entry, EntryError

if TYPE_CHECKING:
    from ingot.backends import Built, Cpu, Level
    from ingot.ir.graph import Graph

__all__ = ["Outcome", "ReproduceError", "assembly", "compare", "parts", "reproduce"]


class ReproduceError(ValueError):
    """An entry that cannot be compiled again here; the message says why."""


class Outcome(NamedTuple):
    """What a comparison gave: "same", "different" or "impossible", and where or why."""

    state: str
    why: str = ""


def compare(entry: Entry) -> Outcome:
    """Compile what `entry` holds once more and compare code and manifest."""
    try:
        made = reproduce(entry)
    except ReproduceError as e:
        return Outcome("impossible", str(e))
    at = _first_difference(entry.code, made.code)
    if at is not None:
        where = _cpu().section_at(entry.code, at)
        sizes = "" if len(entry.code) == len(made.code) else f"; {len(entry.code)} bytes, rebuilt {len(made.code)}"
        return Outcome("different", f"the code differs from byte {at:#x} on{where and ', in ' + where}{sizes}")
    stored = {k: v for k, v in entry.manifest.items() if k != "compile_ms"}
    manifest = json.loads(json.dumps(made.manifest))  # as it comes out of a file
    for name in sorted(stored.keys() | manifest.keys()):
        a, b = stored.get(name), manifest.get(name)
        if a != b:
            return Outcome("different", f"the manifest's {name} is {a!r:.100}, rebuilt {b!r:.100}")
    return Outcome("same")


def reproduce(entry: Entry) -> Built:
    """Compile what `entry` holds once more. ReproduceError where that is impossible here."""
    return _compile(parts(entry))


def assembly(entry: Entry) -> str:
    """The machine code as assembly, with the symbols that the object file does not keep.

    ReproduceError where the entry cannot be compiled again here, or where that gives other code than is stored.
    """
    graph, level, arch, quick = found = parts(entry)
    made = _compile(found)
    if made.code != entry.code:
        raise ReproduceError("compiled again, it gives other code than is stored (see: ingot cache verify --rebuild)")
    if graph is None or level is None:
        return _cpu().pool_assembly(arch)
    texts = {name: _cpu().assembly(text, level, quick) for name, text in _cpu().llvm(_cpu().lower(graph, level), level).items()}
    texts["the driver, which calls them"] = _cpu().driver_assembly(arch, bool(graph.symbols))
    return "\n".join(f"# {name}\n{text}" for name, text in texts.items())


def parts(entry: Entry) -> tuple[Graph | None, Level | None, str, bool]:
    """(graph, level, architecture, whether it is quick) that an entry's preimage describes; graph and level are None for the worker pool.

    ReproduceError where it was made by another compiler than this one, or is nothing that this one can read.
    """
    try:
        data = entry.preimage_bytes
        doc = structure.check_preimage(data)
    except ValueError as e:
        raise ReproduceError(str(e)) from None
    _same_compiler(doc)
    if doc["kind"] == "pool":
        if doc["text"] or doc["target"].keys() != {"arch"}:
            raise ReproduceError("its preimage is not that of a worker pool")
        return None, None, structure.architecture(doc), False
    level = _level(doc["target"])
    quick = doc["kind"] == "quick"
    if quick and not _cpu().has_quick(level):
        raise ReproduceError(f"there is no quick code for the level {level.name}")
    return _graph(entry, doc["text"]), level, structure.architecture(doc), quick


def _same_compiler(doc: dict[str, Any]) -> None:
    """ReproduceError unless this very Ingot, llvmlite and LLVM made the entry."""
    if doc["sources"] != keys.sources_digest():
        here = keys.sources_digest()
        raise ReproduceError(f"made by another version of Ingot's compiler ({doc['sources'][:12]}, this one is {here[:12]})")
    for name, here in _toolchain().items():
        if doc["toolchain"][name] != here:
            raise ReproduceError(f"made with {name} {doc['toolchain'][name]}, here is {here}")
    if doc["options"] != switches.code_options():
        raise ReproduceError(f"made with the options {doc['options']!r:.200}, here are {switches.code_options()!r:.200}")


@functools.cache
def _toolchain() -> dict[str, str]:
    try:
        import llvmlite
        import llvmlite.binding as llvm
    except ImportError as e:
        raise ReproduceError(f"llvmlite cannot be imported ({e}); pip install llvmlite") from None
    return {"llvmlite": llvmlite.__version__, "llvm": ".".join(map(str, llvm.llvm_version_info))}


def _level(target: dict[str, Any]) -> Level:
    level = _cpu().levels.get(target["name"])
    if level is None or json.dumps(level.assumptions(), sort_keys=True) != json.dumps(target, sort_keys=True):
        raise ReproduceError(f"made for the level {target['name']:.60}, which is not one of this Ingot's")
    return level


def _graph(entry: Entry, text: str) -> Graph:
    """The graph of a preimage; where its constants stand there by their digests, from the text that is kept with them."""
    import ingot.ir.ops  # noqa: F401  (fills the table of ops)
    from ingot.ir.parse import ParseError, parse
    from ingot.ir.verify import VerifyError, verify

    try:
        whole = entry.texts.get("payloads") if "sha256:" in text else None
        graph = verify(parse(whole if isinstance(whole, str) else text))
        again = graph.text
    except (EntryError, ParseError, VerifyError) as e:
        raise ReproduceError(f"its graph cannot be read: {_line(e)}") from None
    except Exception as e:  # the rule of an op may trip over nonsense in any way
        raise ReproduceError(f"its graph cannot be read: {type(e).__name__}: {_line(e)}") from None
    if again != text:
        raise ReproduceError("its graph does not print as it stands in the preimage")
    return graph


def _compile(found: tuple[Graph | None, Level | None, str, bool]) -> Built:
    graph, level, arch, quick = found
    try:
        if graph is None or level is None:
            return _cpu().build_pool(arch)
        return _cpu().build(_cpu().lower(graph, level), level, quick=quick)
    except Exception as e:  # a graph that a compiler never made may trip it in any way
        raise ReproduceError(f"it does not compile: {type(e).__name__}: {_line(e)}") from None


def _cpu() -> Cpu:
    from ingot.backends import backend

    return backend("cpu")


def _line(e: Exception) -> str:
    return f"{(str(e).splitlines() or [''])[0]:.300}"


def _first_difference(a: bytes | memoryview, b: bytes) -> int | None:
    """The place of the first byte that differs; None where there is none."""
    if a == b:
        return None
    n = min(len(a), len(b))
    at = 0
    for step in (1 << 16, 1 << 8, 1):
        while at + step <= n and a[at : at + step] == b[at : at + step]:
            at += step
    return at
