"""What Python code reads of the outside world, and later calls of compiled code would not read again: the clock, files, the machine."""

from __future__ import annotations

import io
import sys
from types import CodeType, FrameType, ModuleType
from typing import Any

from ingot.runtime.recorder import ours

__all__ = ["calls_for", "importing", "of_ingot", "outside_reading", "standard_library"]

_CLOCKS = {f"{clock}{unit}" for clock in ("time", "perf_counter", "monotonic", "process_time", "thread_time", "clock_gettime")
           for unit in ("", "_ns")} | {"localtime", "gmtime", "ctime", "strftime", "asctime"}  # fmt: skip
_SYSTEM = {  # of the operating system's module, what asks it for something
    "access", "cpu_count", "fstat", "get_terminal_size", "getcwd", "getcwdb", "getloadavg", "getlogin", "getrandom", "listdir", "lstat",
    "open", "read", "readlink", "readv", "pread", "scandir", "stat", "statvfs", "sched_getaffinity", "times", "uname", "urandom",
    "_path_exists", "_path_isdir", "_path_isfile", "_path_islink", "_path_lexists",
}  # fmt: skip
_OF_MODULES = {  # functions by their module: what they read
    "time": (_CLOCKS, "the clock"),
    "io": ({"open", "open_code"}, "a file"),
    "_io": ({"open", "open_code"}, "a file"),
    "builtins": ({"input"}, "its input"),
    "sys": ({"getrecursionlimit", "getswitchinterval"}, "a setting of the interpreter"),
    "gc": ({"isenabled", "get_count", "get_threshold", "get_stats", "get_objects"}, "a setting of the interpreter"),
    "decimal": ({"getcontext"}, "the decimal context"),
    "_decimal": ({"getcontext"}, "the decimal context"),
}
_READING = {"read", "read1", "readall", "readinto", "readinto1", "readline", "readlines"}
_NOW = {"now", "utcnow", "today"}
_DIRECTLY = {"sys", "gc", "decimal", "_decimal"}  # what the standard library itself asks of these decides nothing
_DEBUGGERS = ("pdb", "bdb", "cmd", "code", "codeop", "readline", "rlcompleter")
# modules of the standard library that look at the world for themselves: to find a module or a line of source, to tell or ask people
_IMPORT = ("importlib", "_frozen_importlib", "_frozen_importlib_external")
_FOR_THEMSELVES = (
    *_IMPORT, *_DEBUGGERS, "linecache", "tokenize", "traceback", "warnings", "logging", "inspect", "threading", "abc", "functools",
)  # fmt: skip


def outside_reading(f: Any) -> tuple[str, bool] | None:
    """What the built-in function `f` reads of the outside world, and whether only if it is called directly; None for all others."""
    owner = getattr(f, "__self__", None)
    if isinstance(owner, ModuleType):
        module, name = owner.__name__, f.__name__
        if module in ("posix", "nt"):
            return ("the operating system", False) if name in _SYSTEM else None
        functions, what = _OF_MODULES.get(module, ((), ""))
        return (what, module in _DIRECTLY) if name in functions else None
    if isinstance(owner, type):
        return ("the clock", False) if f.__name__ in _NOW and _is_date(owner) else None
    if isinstance(owner, io.IOBase) and f.__name__ in _READING and not isinstance(owner, (io.StringIO, io.BytesIO)):
        return "a file", False
    return None


def _is_date(cls: type) -> bool:
    dates = sys.modules.get("datetime")
    return dates is not None and issubclass(cls, dates.date)


def calls_for(f: Any, frame: FrameType) -> str | None:
    """What the user's code reads of the outside world by a call of the built-in `f` in a frame; None where nothing, or not for itself."""
    found = outside_reading(f)
    if found is None:
        return None
    what, directly = found
    at: FrameType | None = frame
    while at is not None and standard_library(at.f_globals.get("__name__")):
        name = at.f_globals.get("__name__", "")
        if directly or name.partition(".")[0] in _FOR_THEMSELVES:
            return None
        at = at.f_back
    return None if at is None or of_ingot(at.f_code) or importing(at) else what


def of_ingot(code: CodeType) -> bool:
    """Whether code is Ingot's own."""
    name = code.co_filename
    return ours(name) and not name.startswith("<frozen")  # which are Python's


def importing(frame: FrameType | None) -> bool:
    """Whether a frame runs because a module is imported, for the first time in this process."""
    while frame is not None:
        if frame.f_globals.get("__name__", "").partition(".")[0] in _IMPORT:
            return True
        frame = frame.f_back
    return False


def standard_library(name: Any) -> bool:
    """Whether a module of this name is Python's own."""
    top = name.partition(".")[0] if isinstance(name, str) else ""
    return top != "__main__" and top in sys.stdlib_module_names


