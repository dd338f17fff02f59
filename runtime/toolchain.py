"""Which llvmlite and which LLVM make the code: part of every key, and known without importing llvmlite.

Only llvmlite itself knows its LLVM's version, and to import it costs more than all the rest of a warm start. So the cache
folder notes which LLVM each llvmlite had, and the package knows that of the llvmlite that its own objects were made with. A note that is
wrong is harmless: entries are stored under the version that made them, so what is found under another one was made by that one. Where
llvmlite is not installed, code is looked for that the latest one noted has made.
"""

from __future__ import annotations

from ingot.runtime.cache import key as keys
from ingot.runtime.cache import the_cache

__all__ = ["correct", "versions"]

_NOTE = "toolchain"
_llvm: dict[str, str] = {}  # LLVM's version by llvmlite's


def versions() -> dict[str, str]:
    """The versions of llvmlite and LLVM, as keys name them.

    >>> versions()
    {'llvmlite': '0...', 'llvm': '...'}
    """
    version = keys.llvmlite_version()
    if version is None:
        noted = [(k, v) for k, v in the_cache().note(_NOTE).items() if isinstance(v, str)]
        version, llvm = max(noted, key=lambda n: _ordered(n[0]), default=("none", "none"))
        return {"llvmlite": version, "llvm": llvm}
    found = _llvm.get(version)
    if found is None:
        found = the_cache().note(_NOTE).get(version)
        if not isinstance(found, str):
            from ingot.backends import backend

            found = backend("cpu").llvm_of(version) or _imported()
            the_cache().set_note(_NOTE, {**the_cache().note(_NOTE), version: found})
        _llvm[version] = found
    return {"llvmlite": version, "llvm": found}


def correct() -> bool:
    """Before anything is compiled: whether the noted LLVM was not the real one (and is corrected now).

    RuntimeError where llvmlite cannot be imported.
    """
    version, actual = keys.llvmlite_version() or "none", _imported()
    if _llvm.get(version) == actual:
        return False
    _llvm[version] = actual
    the_cache().set_note(_NOTE, {**the_cache().note(_NOTE), version: actual})
    return True


def _ordered(version: str) -> tuple:
    return tuple((int(p), "") if p.isdigit() else (-1, p) for p in version.split("."))


def _imported() -> str:
    try:
        import llvmlite.binding as llvm
    except ImportError as e:
        raise RuntimeError(f"this must be compiled, and llvmlite cannot be imported ({e}); pip install llvmlite") from None
    return ".".join(map(str, llvm.llvm_version_info))
