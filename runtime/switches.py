"""Every environment switch of Ingot, in one table: `docs/switches.md` is generated from it.

    >>> from ingot.runtime import switches
    >>> switches.get("INGOT_TIME")
    False

Imports the standard library only. A value that does not parse raises SwitchError once it is read, with what was
expected. Switches are read from `os.environ` each time, so a test or a notebook may change them between calls.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

__all__ = ["Switch", "SwitchError", "SWITCHES", "LOG_CHANNELS", "get", "code_options", "markdown", "parse_size"]


class SwitchError(ValueError):
    """An environment switch holds a value that means nothing. A ValueError."""


LOG_CHANNELS = ("cache", "compile", "recompiles", "passes", "fusion")
CHECKS = ("nan", "capture")
BACKENDS = ("cpu", "interpreter")
TRUST = ("own", "digest-list", "signed")
_UNITS = {"": 1, "b": 1, "k": 10**3, "kb": 10**3, "kib": 2**10, "m": 10**6, "mb": 10**6, "mib": 2**20,
          "g": 10**9, "gb": 10**9, "gib": 2**30, "t": 10**12, "tb": 10**12, "tib": 2**40}  # fmt: skip


def parse_size(text: str) -> int:
    """Bytes from a size as people write it: `500`, `64MiB`, `1.5 GB`. ValueError if it is none.

    >>> parse_size("64MiB")
    67108864
    """
    t = text.strip().lower()
    digits = t.rstrip("abcdefghijklmnopqrstuvwxyz ")
    unit = t[len(digits) :].strip()
    try:
        n = float(digits) * _UNITS[unit]
        size = int(n)
    except (ValueError, KeyError, OverflowError):
        raise ValueError(f"a size such as 500, 64MiB or 1.5GB, not {text!r}") from None
    if size < 0:
        raise ValueError(f"a size of at least 0, not {text!r}")
    return size


def _flag(text: str) -> bool:
    t = text.strip().lower()
    if t in ("1", "true", "yes", "on"):
        return True
    if t in ("0", "false", "no", "off", ""):
        return False
    raise ValueError(f"1 or 0, not {text!r}")


def _count(text: str) -> int:
    try:
        n = int(text)
    except ValueError:
        n = 0
    if n < 1:
        raise ValueError(f"an integer of at least 1, not {text!r}")
    return n


def _seconds(text: str) -> float:
    try:
        n = float(text)
    except ValueError:
        n = -1.0
    if not 0 <= n < 1e9:
        raise ValueError(f"a number of seconds of at least 0, not {text!r}")
    return n


def _path(text: str) -> str | None:
    return text or None


def _paths(text: str) -> tuple[str, ...]:
    return tuple(p for p in text.split(os.pathsep) if p)


def _name(text: str) -> str | None:
    return text.strip() or None


def _one_of(*choices: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text.strip() not in choices:
            raise ValueError(f"one of {', '.join(choices)}, not {text!r}")
        return text.strip()

    return parse


def _cuda(text: str) -> Any:
    t = text.strip().lower()
    if t in ("", "1", "real"):
        return None
    if t == "0":
        return 0
    kind, _, rest = t.partition(":")
    count, _, limit = rest.partition(":")
    try:
        devices = int(count or 1)
        found = devices, parse_size(limit or "8GiB")
    except ValueError:
        devices = 0
    if kind != "emulated" or not 1 <= devices <= 16:
        raise ValueError(f"0, real, emulated, emulated:DEVICES or emulated:DEVICES:MEMORY, not {text!r}")
    return found


def _some_of(*choices: str) -> Callable[[str], frozenset[str]]:
    def parse(text: str) -> frozenset[str]:
        found = frozenset(t for t in (p.strip() for p in text.split(",")) if t)
        unknown = sorted(found - set(choices) - {"all"})
        if unknown:
            raise ValueError(f"a comma-separated list of {', '.join(choices)} (or all), not {', '.join(map(repr, unknown))}")
        return frozenset(choices) if "all" in found else found

    return parse


class Switch:
    """One environment switch. `type`, `doc` and `default_text` are for people;  `changes_code`: it is part of the cache key."""

    def __init__(
        self, name: str, type: str, parse: Callable[[str], Any], default: Any, changes_code: bool, doc: str, default_text: str = ""
    ):
        self.name, self.type, self.parse, self.default = name, type, parse, default
        self.changes_code, self.doc, self.default_text = changes_code, doc, default_text


SWITCHES: tuple[Switch, ...] = (
    Switch("INGOT_LOG", "list of " + ", ".join(LOG_CHANNELS), _some_of(*LOG_CHANNELS), frozenset(), False,
           "What to tell on stderr while running; `all` means every channel.", "nothing"),
    Switch("INGOT_DUMP", "folder", _path, None, False,
           "Write what the compiler makes there, one folder per graph and one numbered file per stage, down to the shared object.", "off"),
    Switch("INGOT_VERIFY", "flag", _flag, False, False,
           "Verify graphs between passes and kernels before code is made from them.", "0"),
    Switch("INGOT_TIME", "flag", _flag, False, False, "Print on stderr how long each stage of a compilation took.", "0"),
    Switch("INGOT_BACKEND", "one of " + ", ".join(BACKENDS), _one_of(*BACKENDS), "cpu", False,
           "What runs a graph: machine code, or the NumPy interpreter (slow, the oracle of the tests).", "cpu"),
    Switch("INGOT_CHECK", "list of " + ", ".join(CHECKS), _some_of(*CHECKS), frozenset(), False,
           "`nan`: fail when a graph computes a NaN; `capture`: retrace each call of a compiled function and compare.", "nothing"),
    Switch("INGOT_COMPILE", "flag", _flag, True, False,
           "0: what `ingot.compile` makes runs the function as it is, operation by operation, so that prints, `breakpoint()` and errors "
           "are Python's own. Set it before the first call.", "1"),
    Switch("INGOT_FROZEN", "flag", _flag, False, False, "Refuse to compile: what the cache does not hold is an error.", "0"),
    Switch("INGOT_CPU_LEVEL", "name of a CPU level", _name, None, True,
           "Make code for this level instead of the best one that this CPU has (`ingot doctor` lists the levels).", "this CPU's"),
    Switch("INGOT_CUDA", "0, real or emulated[:DEVICES[:MEMORY]]", _cuda, None, False,
           "CUDA devices: none, those of the machine, or so many emulated ones, which run the kernels of GPUs on the CPU, slowly, for "
           "tests. Set it before CUDA is used.", "real"),
    Switch("INGOT_NUM_THREADS", "integer from 1", _count, None, False,
           "Threads that run a graph.", "the CPUs of the affinity mask, within the cgroup's quota"),
    Switch("INGOT_MAX_CALL_BYTES", "size", parse_size, None, False,
           "Refuse, before anything runs, a call whose working memory (inputs and outputs aside) would be more than this.", "no limit"),
    Switch("INGOT_CACHE_DIR", "folder", _path, None, False,
           "The writable layer of the cache.", "`$XDG_CACHE_HOME/ingot` or `~/.cache/ingot`"),
    Switch("INGOT_CACHE_PATH", f"folders, separated by {os.pathsep!r}", _paths, (), False,
           "Layers that are only read, in order, after the writable one: stores of an image or a team.", "none"),
    Switch("INGOT_CACHE_PACKAGED", "flag", _flag, True, False,
           "Use the code that comes with the package, for what most sessions at a prompt begin with.", "1"),
    Switch("INGOT_CACHE_TRUST", "one of " + ", ".join(TRUST), _one_of(*TRUST), "own", False,
           "What makes an entry of a read-only layer trusted: who can write it, a list of digests, or a signature (docs/trust.md).", "own"),
    Switch("INGOT_CACHE_DIGESTS", "file", _path, None, False,
           "For `digest-list`: the SHA-256 of the trusted entries, as sha256sum writes it.", "none"),
    Switch("INGOT_CACHE_KEYS", "file or folder", _path, None, False,
           "For `signed`: the Ed25519 public keys (PEM) of those whose entries are trusted.", "none"),
    Switch("INGOT_CACHE_MAX_BYTES", "size", parse_size, 2 * 2**30, False,
           "The writable layer is kept below this many bytes.", "2GiB"),
    Switch("INGOT_CACHE_MAX_ENTRIES", "integer from 1", _count, 100_000, False,
           "The writable layer is kept below this many entries.", "100000"),
    Switch("INGOT_CACHE_WAIT", "seconds", _seconds, 10.0, False,
           "How long at most to wait for another process that compiles the same code, before compiling it too.", "10"),
)  # fmt: skip

_BY_NAME = {s.name: s for s in SWITCHES}
_PARSED: dict[str, tuple[str, Any]] = {}  # the last text of each switch, and what it means


def get(name: str) -> Any:
    """The value of switch `name`: parsed from the environment, else its default.

    KeyError if there is no such switch; SwitchError if its text does not parse.
    """
    switch = _BY_NAME[name]
    text = os.environ.get(name)
    if text is None:
        return switch.default
    seen = _PARSED.get(name)
    if seen is not None and seen[0] == text:
        return seen[1]
    try:
        value = switch.parse(text)
    except ValueError as e:
        raise SwitchError(f"{name}: expected {e}") from None
    _PARSED[name] = (text, value)
    return value


def code_options() -> dict[str, Any]:
    """The switches that change code and are set, for the cache key. The CPU level is in the key by its own name."""
    return {s.name: get(s.name) for s in SWITCHES if s.changes_code and s.name != "INGOT_CPU_LEVEL" and get(s.name) != s.default}


def markdown() -> str:
    """The text of docs/switches.md."""
    out = [
        "# Switches",
        "",
        "Environment variables that Ingot reads. This page is generated: `python -m ingot.runtime.switches > docs/switches.md`.",
        "A value that means nothing raises `SwitchError` and says what was expected. *Code* marks the switches that change",
        "the machine code, and so the cache key.",
        "",
        "| Switch | Value | Default | Code | What it does |",
        "|---|---|---|---|---|",
    ]
    for s in SWITCHES:
        out.append(f"| `{s.name}` | {s.type} | {s.default_text} | {'yes' if s.changes_code else ''} | {s.doc} |")
    return "\n".join(out) + "\n"


if __name__ == "__main__":
    print(markdown(), end="")
