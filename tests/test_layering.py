"""Who may import whom, and that there are no circles, read from the sources. Imports for type checkers alone do not count."""

from __future__ import annotations

import ast
import functools
import importlib
import os
import sys
import types

import pytest

from ingot._names import DTYPES, NAMES
from tests.support.processes import ROOT

STANDARD = sys.stdlib_module_names

# room -> packages of ours, and foreign ones, that its modules may import (at the top, or inside functions)
OURS = {
    "ir": {"ingot.ir"},
    "backends": {"ingot.ir", "ingot.backends"},
    "runtime": {"ingot.ir", "ingot.backends", "ingot.runtime", "ingot"},
    "frontend": {"ingot"},
}
FOREIGN = {
    "ir": {"numpy", "ml_dtypes"},
    "backends": {"numpy", "ml_dtypes", "llvmlite", "pycuda"},
    "runtime": {"numpy", "ml_dtypes", "llvmlite", "rich", "sklearn", "pycuda", "cryptography", "shtab"},
    "frontend": {"numpy", "ml_dtypes", "safetensors", "scipy", "tensorboard", "tqdm"},
}
# never at the top of a module, outside of those that come next
LAZY = {"llvmlite", "pycuda", "rich", "safetensors", "scipy", "sklearn", "cryptography", "shtab", "tensorboard", "tqdm"}
LAZY_ELSEWHERE = {"backends": {"llvmlite", "pycuda"}}  # a backend's own modules are imported when first needed

# the half that a process with nothing but an artifact runs: numpy and the standard library at the top, nothing of
# ours but itself; inside functions it may reach for the compiling half, which is then missing or not
LOADING = [
    "runtime/__init__.py", "runtime/switches.py", "runtime/log.py", "runtime/memory.py", "runtime/library.py", "runtime/threads.py",
    "runtime/executable.py", "runtime/digest.py", "runtime/timing.py", "runtime/formula.py",
    "runtime/cache/", "runtime/cli/", "runtime/artifact/",
]  # fmt: skip
USERS = {  # of `ingot` itself
    "runtime/cli/__init__.py", "runtime/cli/doctor_machine.py", "runtime/cli/demo.py", "runtime/cli/warm_worker.py",
    "runtime/cli/models.py",
    "runtime/artifact/export.py",
}  # fmt: skip
TOOLS = {"ir/__main__.py": {"ingot.backends"}}  # commands that nobody imports, and what they may import beyond their room
COMPILING = {"runtime/artifact/export.py", "runtime/cli/demo.py"}  # the exceptions in those folders

# the imports that close a circle, and why they may; without them there is none
CIRCLES = {
    ("ingot.ir.graph", "ingot.ir.text"): "a graph's identity is its text, and the text form is a subject of its own",
    ("ingot.nn.modules.module", "ingot.capture"): "compiling knows Modules, and is a method of theirs too",
}


# what a backend is made of is imported there, and by what tests or measures just that; all others come by the door
BEHIND_THE_DOOR = (
    "backends/", "tests/backends/", "tests/cuda/", "tests/loop/", "tests/support/", "tests/cache/test_structure.py",
    "benchmarks/limits.py",
)  # fmt: skip


def modules(rooms=tuple(OURS)):
    for room in rooms:
        for folder, _, names in os.walk(os.path.join(ROOT, room)):
            for name in sorted(names):
                if name.endswith(".py"):
                    yield os.path.relpath(os.path.join(folder, name), ROOT)


@functools.cache
def imports(path):
    """(module, whether at the top, line) of every import that runs. A name of the public package stands for the module it lives in."""
    with open(os.path.join(ROOT, path), encoding="utf-8") as f:
        tree = ast.parse(f.read(), path)
    found = []

    def visit(node, top):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            for child in node.orelse:
                visit(child, top)
            return
        if isinstance(node, ast.Import):
            found.extend((a.name, top, node.lineno) for a in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: imports are absolute here"
            if node.module != "__future__":
                # `from ingot.ir import text` imports ingot.ir.text where that is a module
                for a in node.names:
                    name = f"{node.module}.{a.name}"
                    home = _home(a.name) if node.module == "ingot" else node.module
                    found.append((name if _is_module(name) else home, top, node.lineno))
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "ingot":
            found.append((_home(node.attr), top, node.lineno))
        inner = top and not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
        for child in ast.iter_child_nodes(node):
            visit(child, inner)

    visit(tree, True)
    return found


def _home(name):
    """Where a name of the public package lives."""
    if name in NAMES or name in DTYPES:
        return NAMES.get(name, "ingot.ir.dtypes")
    return f"ingot.{name}" if _is_module(f"ingot.{name}") else "ingot"


def _is_module(name):
    first, *rest = name.split(".")
    if first != "ingot":
        return False
    room = rest[0] if rest and rest[0] in ("ir", "backends", "runtime") else "frontend"
    path = os.path.join(ROOT, room, *(rest[1:] if room != "frontend" else rest))
    return os.path.isdir(path) or os.path.exists(path + ".py")


def within(module, packages):
    return any(module == p or module.startswith(p + ".") for p in packages)


@pytest.mark.parametrize("path", list(modules()))
def test_imports(path):
    room = path.split(os.sep)[0]
    wrong = []
    for module, top, line in imports(path):
        first = module.split(".")[0]
        if first in STANDARD:
            continue
        if first == "ingot":
            ok = within(module, OURS[room] | TOOLS.get(path, set())) and not (room == "runtime" and not _runtime_may(module, path))
        else:
            ok = first in FOREIGN[room] and not (top and first in LAZY - LAZY_ELSEWHERE.get(room, set()))
        if not ok:
            wrong.append(f"{path}:{line}: {module}" + (" at the top" if top else ""))
    assert not wrong, "not allowed: " + "; ".join(wrong)


def _runtime_may(module, path):
    """The runtime never imports the frontend, which is wrapped around it. Its commands are users like any other."""
    return within(module, {"ingot.ir", "ingot.backends", "ingot.runtime"}) or path in USERS


def test_capture_is_used_by_its_surface():
    """What other rooms need of it stands in its `__init__`; but for `export`, which is a room's work by itself."""
    outside = [p for p in modules() if not p.startswith("frontend/capture/")]
    inner = [f"{p}:{line}: {m}" for p in outside for m, _, line in imports(p) if within(m, {"ingot.capture"}) and m != "ingot.capture"]
    assert [x for x in inner if not x.endswith("ingot.capture.export")] == []


@pytest.mark.parametrize("path", [p for p in modules() if any(p.startswith(x) for x in LOADING) and p not in COMPILING])
def test_the_loading_half_needs_numpy_alone(path):
    wrong = []
    for module, top, line in imports(path):
        first = module.split(".")[0]
        if not top or first in STANDARD or first == "numpy":
            continue
        file = module.removeprefix("ingot.").replace(".", "/")
        if first != "ingot" or not any((file + ".py").startswith(x) or (file + "/").startswith(x) for x in LOADING):
            wrong.append(f"{path}:{line}: {module}")
    assert not wrong, "the loading half imports numpy, the standard library and itself: " + "; ".join(wrong)


def test_backends_are_reached_by_their_door():
    wrong = []
    for path in modules((*OURS, "tests", "benchmarks", "examples")):
        if not path.startswith(BEHIND_THE_DOOR):
            wrong += [f"{path}:{line}: {m}" for m, _, line in imports(path) if m != "ingot.backends" and within(m, {"ingot.backends"})]
    assert not wrong, "only `ingot.backends` itself is imported outside of it: " + "; ".join(wrong)


@functools.cache
def edges():
    """importer -> {imported: where}, of all our files. With a module its packages' `__init__` run; that of `ingot` does not count."""
    found = {}
    for path in modules():
        room, *rest = os.path.splitext(path)[0].split(os.sep)
        here = ".".join(["ingot", *([] if room == "frontend" else [room]), *rest]).removesuffix(".__init__")
        found[here] = {}
        for module, top, line in imports(path):
            parts = module.split(".")
            for n in range(2, len(parts) + 1):
                package = ".".join(parts[:n])
                if _is_module(package) and (n == len(parts) or not within(here, {package})) and package != here:
                    found[here].setdefault(package, f"{path}:{line}" + ("" if top else ", in a function"))
    del found["ingot"]
    return found


def way(start, end, without):
    """The shortest chain of imports from one module to another, or back to itself, that does without some; None where there is none."""
    ways, seen = [[start]], set()
    for path in ways:
        for b in edges().get(path[-1], ()):
            if b not in seen and (path[-1], b) not in without:
                if b == end:
                    return [*path, b]
                seen.add(b)
                ways.append([*path, b])
    return None


def test_no_circles_of_imports():
    found = min(filter(None, (way(m, m, CIRCLES) for m in edges())), key=len, default=[])
    assert not found, "a circle of imports: " + "; ".join(f"{a} -> {b} ({edges()[a][b]})" for a, b in zip(found, found[1:]))


@pytest.mark.parametrize("edge", sorted(CIRCLES), ids=" -> ".join)
def test_named_circles_are_there(edge):
    importer, imported = edge
    assert imported in edges().get(importer, ()), "no such import: take it off the list"
    assert way(imported, importer, CIRCLES), "closes no circle: take it off the list"


@pytest.mark.parametrize("room", ["ir", "backends", "runtime"])
def test_rooms_refuse_to_be_imported_under_another_name(room):
    with open(os.path.join(ROOT, room, "__init__.py"), encoding="utf-8") as f:
        assert f'__name__ != "ingot.{room}"' in f.read()


def test_what_tests_share_is_in_support():
    """They are packages of the tree: no file changes the path to find another, and none imports another's tests."""
    wrong = ("sys." + "path", "syspath" + "_prepend", "import test" + "_", ".test" + "_")
    for path in (ROOT / "tests").rglob("*.py"):
        for line in path.read_text(encoding="utf-8").splitlines():
            assert not (any(w in line for w in wrong[:2]) or "import" in line and any(w in line for w in wrong[2:])), f"{path}: {line}"


def test_no_module_hides_a_public_name():
    """Importing `ingot.x` would put the module in the place of the function `ingot.x`."""
    from ingot._names import DTYPES, NAMES

    modules = {f.removesuffix(".py") for f in os.listdir(os.path.join(ROOT, "frontend"))}
    assert not modules & {*NAMES, *DTYPES}


@pytest.mark.parametrize("path", [p for p in modules() if p.endswith("__init__.py") and os.path.dirname(p) != "frontend"])
def test_no_name_of_a_package_hides_a_module(path):
    """`from package.choose import choose` in its `__init__` would make `package.choose` a function."""
    room, *rest = os.path.dirname(path).split(os.sep)
    package = importlib.import_module(".".join(["ingot", *([] if room == "frontend" else [room]), *rest]))
    files = [f.removesuffix(".py") for f in os.listdir(os.path.join(ROOT, os.path.dirname(path))) if f.endswith(".py")]
    hidden = [f for f in files if not isinstance(vars(package).get(f, package), types.ModuleType)]
    assert not hidden, f"{path}: {', '.join(hidden)}"
