"""`ingot inspect` and `ingot verify`: what an artifact holds, and whether it is whole and computes what it should."""

from __future__ import annotations

import io
import sys
from collections.abc import Sequence
from typing import Any

from ingot.runtime.artifact.container import ArtifactError, Container
from ingot.runtime.artifact.manifest import Manifest, Target, TensorSpec
from ingot.runtime.artifact.model import CHECK_AT_LOAD, Model, validate, weight_bytes
from ingot.runtime.artifact.sizes import Dim
from ingot.runtime.cli import output
from ingot.runtime.cli.output import EXIT

__all__ = ["inspect", "verify"]


def inspect(path: str, as_json: bool) -> int:
    """Print what a file says of itself; nothing of it is executed. Checksums are compared as when it is loaded: of all but large parts.

    ArtifactError with the reason in one line where it is no whole artifact; one for another CPU is shown like any other.
    """
    _print_anything()
    with Container(path) as c:
        m = validate(c, CHECK_AT_LOAD)
        weights = weight_bytes(c)
        if as_json:
            output.document("artifact", **_facts(c, m, weights))
        else:
            _show(c, m, weights)
    return EXIT["fine"]


def _facts(c: Container, m: Manifest, weights: int) -> dict[str, Any]:
    return {
        "file": c.path, "bytes": c.size, "schema": c.schema, "name": m.name, "producer": m.producer, "signature": m.signature,
        "inputs": [{"name": s.name, "dtype": s.dtype, "shape": list(s.shape), "bytes": _bytes(m, s)} for s in m.inputs],
        "outputs": [{"name": s.name, "dtype": s.dtype, "shape": list(s.shape), "bytes": _bytes(m, s)} for s in m.outputs],
        "symbols": [vars(s) for s in m.sizes.symbols],
        "weight_bytes": weights,
        "targets": [
            {
                "arch": t.arch, "level": t.level, "features": list(t.features), "lacks": t.lacks(), "runs_here": not t.lacks(),
                "peak_bytes": m.peak_bytes(t, weights), "worker_bytes": t.worker_bytes, "code": t.code, "pool": t.pool,
                "cubin": t.cubin, "assembler": t.assembler, "kept": t.kept,
                "prepared": [{"name": n, "dtype": d, "shape": list(s)} for n, (d, s) in t.prepared.items()],
            }
            for t in m.targets
        ],
        "golden": vars(m.golden) if m.golden is not None else None,
        "parts": [
            {"name": n, "offset": at, "bytes": length, "sha256": digest, "checked": length <= CHECK_AT_LOAD}
            for n, (at, length, digest) in c.parts.items()
        ],
        "manifest": {k: v for k, v in c.manifest.items() if k != "parts"},
    }  # fmt: skip


def _bytes(m: Manifest, spec: TensorSpec) -> int | None:
    """The bytes of an input or output; at the largest sizes where a call decides them, None where there are no largest."""
    largest = m.sizes.largest()
    return None if largest is None else m.nbytes(spec, largest)


def _memory(m: Manifest, nbytes: Dim) -> str:
    if isinstance(nbytes, int):
        return output.size(nbytes)
    largest = m.sizes.largest()
    return f"{output.plain(nbytes)} bytes" + ("" if largest is None else f" (at most {output.size(m.sizes.value(nbytes, largest))})")


def _show(c: Container, m: Manifest, weights: int) -> None:
    print(f"{c.path}: {m.name}, {output.size(c.size)}, schema {c.schema}, by {m.producer}")
    for title, specs in (("input", m.inputs), ("output", m.outputs)):
        for spec in specs:
            print(f"  {title:<7} {spec}")
    for s in m.sizes.symbols:
        print(f"  size    {s}")
    print(f"  weights {output.size(weights)}")
    for t in m.targets:
        lacks = t.lacks()
        print(f"  target  {t.level} ({t.arch}): {'runs here' if not lacks else 'this machine lacks ' + ', '.join(lacks)}")
        if t.cubin is not None:
            print(f"          machine code by {t.assembler}, and PTX for what does not take it")
        if t.kept is not None:
            print(f"          {len(t.prepared)} weights ready for it, {output.size(c.extent(t.kept)[1])}: {', '.join(t.prepared)}")
        print(f"          needs {', '.join(t.features) or 'no features'}")
        print(f"          peak {_memory(m, m.peak_bytes(t, weights))}, {_memory(m, t.worker_bytes)} for each further thread")
    if m.golden is not None:
        made = f", made at {m.golden.level}" if m.golden.level else ""
        print(f"  golden  samples, rtol {m.golden.rtol:g}, atol {m.golden.atol:g}{made}")
    rows = [(n, output.size(length), digest[:16]) for n, (_, length, digest) in c.parts.items()]
    output.table(("part", "size", "sha256"), rows, ("size",))


def verify(files: str | Sequence[str], golden: bool, as_json: bool) -> int:
    """Check every byte of each file; with `golden` run the golden inputs, for each target that runs here.

    Exit code 1 if one fails, with its reason in one line; 5 if one cannot be read.
    """
    _print_anything()
    reports, code = [], EXIT["fine"]
    for path in [files] if isinstance(files, str) else files:
        try:
            report = _verify(path, golden)
        except (ArtifactError, OSError) as e:
            code = max(code, EXIT["finding" if isinstance(e, ArtifactError) else "io"])
            report = {"file": path, "ok": False, "why": str(e)}
            print(f"ingot: {e}", file=sys.stderr)
        reports.append(report)
        if not as_json and report["ok"]:
            print(f"{path}: {report['parts']} parts, every checksum right")
            for t in report["targets"]:
                for o in t["outputs"]:
                    agreement = f"at {o['error']:.2f} of what is allowed" if o["allowed"] else "the same bits"
                    print(f"  {t['level']}{' (cubin)' if t['image'] == 'cubin' else ''} {o['name']}: {agreement}")
    if as_json:
        output.document("artifact.verify", ok=code == EXIT["fine"], files=reports)
    return code


def _verify(path: str, golden: bool) -> dict[str, Any]:
    with Container(path) as c:
        m = validate(c)
        if golden and not any(not t.lacks() for t in m.targets):
            Model(c)  # says what this machine lacks
        targets = [_run(c, t) for t in m.targets if golden and not t.lacks()]
        return {"file": path, "ok": True, "parts": len(c.parts), "targets": targets}


def _run(c: Container, target: Target) -> dict[str, Any]:
    model = Model(c, target)
    return {"level": target.level, "image": model.image, "outputs": [a._asdict() for a in model.verify()]}


def _print_anything() -> None:
    """Names of files need not be text, nor need a terminal have every letter: what it has not is escaped, as on stderr."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
