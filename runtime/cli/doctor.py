"""`ingot doctor`: what goes wrong in the field, each finding with its remedy. Nothing is changed."""

from __future__ import annotations

import shutil
import sys
import textwrap
from collections.abc import Callable, Iterator

from ingot.runtime.cli import doctor_cache, doctor_machine, output
from ingot.runtime.cli.findings import Finding
from ingot.runtime.cli.output import EXIT

__all__ = ["Finding", "examine", "run"]

STATES = ("ok", "note", "warn", "fail")


def run(as_json: bool, folder: str | None = None) -> int:
    """Print all findings; exit code 1 if anything fails. `folder`: another cache than the environment's."""
    found = list(examine(folder))
    counts = {state: sum(f.state == state for f in found) for state in STATES}
    if as_json:
        output.document("doctor", ok=not counts["fail"], counts=counts, findings=[f._asdict() for f in found])
    else:
        width = max(shutil.get_terminal_size().columns, 40) if sys.stdout.isatty() else 0
        for f in found:
            print("\n".join(_lines(f, width)))
        sys.stdout.flush()
        print(", ".join(f"{n} {state}" for state, n in counts.items()), file=sys.stderr)
    return EXIT["finding"] if counts["fail"] else EXIT["fine"]


def _lines(f: Finding, width: int) -> list[str]:
    """A finding and its remedy, broken to the width where there is one."""
    head, indent = f"{f.state:<5} {f.subject:<13} ", " " * 20
    out = []
    for first, text in ((head, f.text), (indent + "-> ", f.remedy)):
        whole = first + output.plain(text)
        if text:
            out += textwrap.wrap(whole, width, subsequent_indent=" " * len(first), break_on_hyphens=False) if width else [whole]
    return out


def examine(folder: str | None = None) -> Iterator[Finding]:
    """All findings, in a fixed order. A check that fails to run is a finding too."""
    checks: tuple[tuple[str, Callable[[], Iterator[Finding]]], ...] = (
        ("versions", doctor_machine.versions),
        ("switches", doctor_machine.environment),
        ("cache", lambda: doctor_cache.own(folder)),
        ("file system", lambda: doctor_cache.file_system(folder)),
        ("entries", lambda: doctor_cache.entries(folder)),
        ("shared caches", doctor_cache.shared),
        ("memory files", doctor_machine.memory_files),
        ("CPU", doctor_machine.cpu),
        ("threads", doctor_machine.processors),
        ("memory", doctor_machine.memory),
        ("limits", doctor_machine.limits),
        ("huge pages", doctor_machine.huge_pages),
        ("extras", doctor_machine.extras),
        ("GPU", doctor_machine.gpu),
    )
    for name, check in checks:
        try:
            yield from check()
        except Exception as e:  # a doctor must not die of what it finds
            yield Finding(name, "fail", f"the check itself failed: {type(e).__name__}: {e}", "please report this")
