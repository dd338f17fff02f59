"""`ingot inspect` and `ingot verify`: what an artifact holds, and whether it is whole and computes what it should."""

from __future__ import annotations

import sys
from typing import Any

from ingot.runtime.artifact import host
from ingot.runtime.artifact.container import ArtifactError, Container
from ingot.runtime.artifact.model import load
from ingot.runtime.cli import output
from ingot.runtime.cli.output import EXIT

__all__ = ["inspect", "verify"]


def inspect(path: str, as_json: bool) -> int:
    """Print the manifest; nothing of the file is executed."""
    with Container(path) as c:
        m = c.manifest
        parts: list[dict[str, Any]] = [{"name": n, "bytes": length, "sha256": digest} for n, (_, length, digest) in c.parts.items()]
        if as_json:
            output.document("artifact", file=path, bytes=c.size, manifest={k: v for k, v in m.items() if k != "parts"}, parts=parts)
            return EXIT["fine"]
        print(f"{path}: {m.get('name')}, {output.size(c.size)}, by {m.get('producer')}")
        for title, rows in (("input", m.get("inputs", [])), ("output", m.get("outputs", []))):
            for r in rows:
                print(f"  {title:<7} {r['name']}: {r['dtype']}{r['shape']}")
        for t in m.get("targets", []):
            lacks = host.missing(t["features"]) if t["arch"] == host.architecture() else [t["arch"]]
            print(f"  target  {t['level']} ({t['arch']}): {'runs here' if not lacks else 'this machine lacks ' + ', '.join(lacks)}")
            memory = t["executable"]
            print(f"          {output.size(memory['arena_bytes'])} per call, {output.size(memory['scratch_bytes'])} per worker")
        if "golden" in m:
            print(f"  golden  samples, rtol {m['golden']['rtol']}, atol {m['golden']['atol']}")
        output.table(("part", "size", "sha256"), [(p["name"], output.size(p["bytes"]), p["sha256"][:16]) for p in parts], ("size",))
    return EXIT["fine"]


def verify(path: str, golden: bool, as_json: bool) -> int:
    """Check every part's checksum, and with `golden` run the golden inputs. Exit code 1 with the reason if it fails."""
    report = []
    try:
        with Container(path) as c:
            for name in c.parts:
                c.check(name, c.map(name))
            n = len(c.parts)
        if golden:
            report = load(path).verify()
    except ArtifactError as e:
        if as_json:
            output.document("artifact.verify", file=path, ok=False, why=str(e))
        print(f"ingot: {e}", file=sys.stderr)
        return EXIT["finding"]
    if as_json:
        output.document("artifact.verify", file=path, ok=True, parts=n, outputs=[{"name": r[0], "error": r[1]} for r in report])
    else:
        print(f"{path}: {n} parts, every checksum right")
        for name, error, _ in report:
            print(f"  {name}: at {error:.2f} of what is allowed")
    return EXIT["fine"]
