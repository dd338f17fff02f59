"""Writes what is generated: `python -m ingot._generate`.

`_names.py` is the table of lazily imported names: every module listed here says in `__all__` which it gives to `ingot`, the stubs of
PACKAGES say which of their modules gives theirs (_lazy.py), and `ingot.functions.methods` which gives which methods to Tensor.
The typing stubs `__init__.pyi` and `_tensor/methods.pyi` spell the
former out (_stubs.py). `functions/_examples.py` is what the docstrings of functions show that are made from declarations.
docs/compat.md says which of torch's names are here (_compat.py).
"""

from __future__ import annotations

import ast
import importlib
import os
import pkgutil
import textwrap

# Modules whose whole __all__ is public; all modules of ingot.functions are added.
PUBLIC = (
    "ingot._tensor", "ingot._tensor.devices", "ingot.grad_mode", "ingot.random", "ingot.capture", "ingot.serialization",
    "ingot.printing", "ingot.artifacts", "ingot.process", "ingot.amp.autocast_mode", "ingot.func.batching",
    "ingot.absent_dtypes", "ingot.control", "ingot.symbolic", "ingot.sparse.making", "ingot.sparse.named",
)  # fmt: skip
SINGLE = {"Future": "ingot.futures", "ScriptFunction": "ingot.jit.compiled", "ScriptModule": "ingot.jit.compiled"}
PRIVATE = {
    "wrap", "CPU", "META", "as_device", "beside", "choose", "chosen", "numbered", "on_cpu", "placing", "custom_bwd", "custom_fwd",
    "at_path",
    "export",  # `ingot.export` is a module
    "fork_rng", "is_autocast_available",  # names of ingot.random and ingot.amp
}  # fmt: skip
HIDDEN = ("ingot.functions.common", "ingot.functions.declared", "ingot.functions.chosen")
MODULES = (
    "fx", "array_api", "mps", "overrides", "xpu", "cpu", "masked", "nested", "profiler", "sparse", "autograd", "cache", "fft", "func",
    "debug", "nn", "optim", "utils", "random", "functions", "linalg", "special", "cuda", "backends", "accelerator", "amp", "compiler",
    "distributed", "hub", "jit", "library", "multiprocessing", "onnx", "ops", "serialization", "signal", "testing", "types", "version",
    "__config__", "_C", "_dynamo", "_tensor_str", "_utils", "ao", "futures", "quasirandom", "return_types",
    "distributions", "export", "stablehlo",
)  # fmt: skip
PACKAGES = ("ingot.nn.functional", "ingot.nn.modules", "ingot.nn", "ingot.optim")  # each after those that it takes all names of
DTYPES = {
    "bool": "bool_", "uint8": "u8", "int8": "i8", "int16": "i16", "short": "i16", "int32": "i32", "int": "i32", "int64": "i64",
    "long": "i64", "uint16": "u16", "uint32": "u32", "uint64": "u64", "float16": "f16", "half": "f16", "bfloat16": "bf16",
    "float32": "f32", "float": "f32",
    "float64": "f64", "double": "f64", "complex64": "c64", "cfloat": "c64", "complex128": "c128", "cdouble": "c128", "dtype": "DType",
}  # fmt: skip


def modules() -> list[str]:
    """The modules that give names to `ingot`."""
    import ingot.functions

    found = [m for m in PUBLIC if importlib.util.find_spec(m) is not None]
    found += sorted(f"ingot.functions.{m.name}" for m in pkgutil.iter_modules(ingot.functions.__path__))
    return [m for m in found if m not in HIDDEN and not m.rpartition(".")[2].startswith("__")]


def names() -> dict[str, str]:
    """Public name -> the module it lives in. ValueError where two modules give one name."""
    table: dict[str, str] = dict(SINGLE)
    for module in modules():
        for name in getattr(importlib.import_module(module), "__all__", ()):
            if name in PRIVATE:
                continue
            if table.setdefault(name, module) != module:
                raise ValueError(f"{name} is given by {table[name]} and by {module}")
    return table


def methods() -> dict[str, str]:
    """Module -> the methods that it gives to Tensor. ValueError where two modules give one."""
    from ingot.functions.methods import given

    table = {module: sorted(given(module)) for module in modules()}
    homes: dict[str, str] = {}
    for module, found in table.items():
        for name in found:
            if homes.setdefault(name, module) != module:
                raise ValueError(f"Tensor.{name} is given by {homes[name]} and by {module}")
    return {module: " ".join(found) for module, found in table.items() if found}


def packages() -> dict[str, dict[str, str]]:
    """Package -> public name -> the module it lives in (the name's own, for a module), as the packages' stubs say."""
    here = os.path.dirname(os.path.abspath(__file__))
    found: dict[str, dict[str, str]] = {}
    for package in PACKAGES:
        with open(os.path.join(here, *package.split(".")[1:], "__init__.pyi"), encoding="utf-8") as f:
            tree = ast.parse(f.read())
        found[package] = {}
        for node in tree.body:
            if not isinstance(node, ast.ImportFrom) or node.module == "__future__":
                continue
            for a in node.names:
                if a.name == "*":
                    found[package] |= found[str(node.module)]
                else:
                    found[package][a.name] = f"{package}.{a.name}" if node.module == package else str(node.module)
    return found


def _lines(homes: dict[str, str], indent: str = "    ") -> list[str]:
    """The rows of a dict: a module, and the names that it gives, divided by spaces."""
    lines = []
    for home, names in sorted(homes.items()):
        head, *more = textwrap.wrap(names, 120 - len(home) - len(indent)) or [""]
        text = [head, *textwrap.wrap(" ".join(more), 130 - len(indent))]
        lines.append(f'{indent}"{home}": "{" ".join(text[:1])}' + "".join(f' "\n{indent}"{t}' for t in text[1:]) + '",')
    return lines


def _by_home(homes: dict[str, str]) -> dict[str, str]:
    """Module -> the names that live there, of a table from name to module."""
    found: dict[str, list[str]] = {}
    for name, home in sorted(homes.items()):
        found.setdefault(home, []).append(name)
    return {home: " ".join(names) for home, names in found.items()}


def table(names: dict[str, str]) -> str:
    """The text of `_names.py`."""
    found = [m for m in MODULES if importlib.util.find_spec(f"ingot.{m}") is not None]
    lines = ['"""Generated by `python -m ingot._generate`: where the public names live."""', "", "# fmt: off"]
    lines += ["", "", "def _homes(rows: dict[str, str]) -> dict[str, str]:"]
    lines += ["    return {name: home for home, names in rows.items() for name in names.split()}", "", ""]
    lines += ["MODULES = (", *(f'    "{m}",' for m in found), ")"]
    lines.append("DTYPES = {")
    lines += [f'    "{k}": "{v}",' for k, v in DTYPES.items()]
    lines += ["}", "NAMES = _homes({", *_lines(_by_home(names)), "})"]
    lines.append("PACKAGES = {")
    for package, homes in packages().items():
        lines += [f'    "{package}": _homes({{', *_lines(_by_home(homes), " " * 8), "    }),"]
    lines += ["}", "METHODS = {", *_lines(methods()), "}", ""]
    return "\n".join(lines)


def examples() -> str:
    """The text of `functions/_examples.py`."""
    from ingot.functions.declared import CALLS, printed

    lines = ['"""Generated by `python -m ingot._generate`: what the examples of declared functions print."""', "", "# fmt: off"]
    lines.append("PRINTED: dict[str, str] = {")
    return "\n".join([*lines, *(f"    {call!r}: {printed(call)!r}," for call in sorted(CALLS)), "}", ""])


def files() -> dict[str, str]:
    """Path -> text of everything that is generated."""
    from ingot import _stubs

    found = names()
    texts = {"_names.py": table(found), "__init__.pyi": _stubs.public(found, MODULES, DTYPES), "_tensor/methods.pyi": _stubs.methods()}
    texts["functions/_examples.py"] = examples()
    here = os.path.dirname(os.path.abspath(__file__))
    return {os.path.join(here, *name.split("/")): text for name, text in texts.items()}


if __name__ == "__main__":
    from ingot import _compat

    def write(texts: dict[str, str]) -> None:
        for path, text in texts.items():
            with open(path, "w") as f:
                f.write(text)
            print(path)

    write(files())
    for module in ("ingot._names", "ingot._lazy", "ingot", *PACKAGES):  # the page is made by the new tables
        importlib.reload(importlib.import_module(module))
    docs = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "docs")
    if os.path.exists(os.path.join(docs, _compat.NAMES)):  # not in an installed package
        write({os.path.join(docs, "compat.md"): _compat.page(docs)})
