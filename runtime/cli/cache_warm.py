"""`ingot cache warm`: building ahead what a deployment needs; and the arguments of `check` (see cache_check.py)."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import subprocess
import sys
from typing import Any, NamedTuple

from ingot.runtime import switches
from ingot.runtime.cache import bundle, deployment
from ingot.runtime.cache import warmed as names
from ingot.runtime.cache.deployment import Manifest, Needed, Needs
from ingot.runtime.cache.entry import EntryError
from ingot.runtime.cache.layer import Layer
from ingot.runtime.cli import cache_check, cache_import, call_spec, output, targets
from ingot.runtime.cli.call_spec import CallSpec
from ingot.runtime.cli.output import EXIT, CommandError
from ingot.runtime.cli.selection import any_layers, the_layer

__all__ = ["add_to"]

_PATIENCE = 30.0  # seconds for a process to end after it has answered


def add_to(verb: Any) -> None:
    """Add the verbs to the parser; `verb(name, help, example, run)` makes one."""
    p = verb("warm", "build ahead what calls need", "warm 'train:step(f32[32,784], i64[32])' --manifest needs.json", _warm)
    p.description = (
        "Build ahead all code that calls need. Each SPEC is called once on tensors of zeros, in a process of its own (for a CPU level that "
        "does not run here it is traced instead): a training step changes parameters, and what it prints or writes it does, in that "
        "process only. Functions and Modules that are not "
        "compiled are compiled with ingot.compile. The current folder is on the path, as with python -m."
    )
    p.add_argument("specs", nargs="+", metavar="SPEC", help="MODULE:ATTRIBUTE(f32[32,784], 0.5, name=i64[3]), or a file with one per line")
    _for_target(p, "build for")
    p.add_argument("--no-grad", action="store_true", help="call under ingot.no_grad(), as in serving: that is other code")
    p.add_argument("--manifest", metavar="OUT.json", help="write down what the calls need, for ingot cache check")
    p = verb("check", "whether the cache covers a deployment", "check --frozen needs.json", cache_check.run)
    p.add_argument("manifests", nargs="+", metavar="MANIFEST", help="what ingot cache warm --manifest wrote")
    p.add_argument("--frozen", action="store_true", help="nothing may be compiled: all is there, whole, and what this very Ingot asks for")
    _for_target(p, "check for")


def _for_target(p: argparse.ArgumentParser, what: str) -> None:
    help = f"{what} this CPU level (may be given again); host: every level that this CPU runs; default: the one that it uses"
    p.add_argument("--for-target", action="append", default=[], metavar="LEVEL", help=help)


class _Failed(NamedTuple):
    spec: str
    target: str
    why: str


class _Warmed(NamedTuple):
    needs: Needs
    compiled: int
    ms: float


def _warm(args: argparse.Namespace) -> int:
    specs = call_spec.read(args.specs)
    levels = targets.levels_of(args.for_target)
    own = the_layer(args)
    own.create()
    layers = any_layers(args)
    warmed: list[_Warmed] = []
    failed: list[_Failed] = []
    for spec in specs:
        for level in levels:
            answer = _asked(args, own, spec, level)
            done = answer if isinstance(answer, str) else _looked_up(layers, spec, level, args.no_grad, answer)
            if isinstance(done, str):
                failed.append(_Failed(spec.text, level, done))
                print(f"{spec.text}: {level}: {done}", file=sys.stderr)
            else:
                warmed.append(done)
                names.record(own.folder, spec.text, (k.name for k in done.needs.keys if k.name not in ("eager", "worker pool")))
    keys = [k for w in warmed for k in w.needs.keys]
    cache_import.merge_note(own, _llvm_versions(keys))
    if args.manifest and not failed:
        deployment.save(args.manifest, _manifest([w.needs for w in warmed], keys))
    _tell(args, warmed, failed)
    return EXIT["finding"] if failed else EXIT["fine"]


def _tell(args: argparse.Namespace, warmed: list[_Warmed], failed: list[_Failed]) -> None:
    if args.manifest:
        written = f"no {args.manifest} was written: {len(failed)} calls failed" if failed else f"wrote {args.manifest}"
        print(written, file=sys.stderr)
    if args.json:
        rows = [
            {
                **w.needs._asdict(),
                "keys": [{k: v for k, v in n._asdict().items() if k != "preimage"} for n in w.needs.keys],
                "compiled": w.compiled,
                "there": len(w.needs.keys) - w.compiled,
                "ms": w.ms,
            }
            for w in warmed
        ]
        output.document("cache.warm", calls=rows, failed=[f._asdict() for f in failed], manifest=None if failed else args.manifest)
        return
    titles = ("target", "keys", "compiled", "there", "time", "call")
    cells = [
        (w.needs.target, len(w.needs.keys), w.compiled, len(w.needs.keys) - w.compiled, output.duration(w.ms), w.needs.spec) for w in warmed
    ]
    output.table(titles, cells, titles[1:5])


# -- one call --------------------------------------------------------------------------------------------------------


def _asked(args: argparse.Namespace, own: Layer, spec: CallSpec, level: str) -> dict[str, Any] | str:
    """What a process that makes the call has asked for, or why it failed."""
    shared = "" if args.dir else os.pathsep.join(switches.get("INGOT_CACHE_PATH"))
    cache = {"INGOT_CACHE_DIR": own.folder, "INGOT_CACHE_PATH": shared}
    environment = {k: v for k, v in os.environ.items() if k not in ("INGOT_FROZEN", "INGOT_BACKEND", "INGOT_CPU_LEVEL")} | cache
    if targets.runs_here(level):
        return _in_a_process(spec, {"no_grad": args.no_grad, "elsewhere": None}, environment | {"INGOT_CPU_LEVEL": level})
    return _in_a_process(spec, {"no_grad": args.no_grad, "elsewhere": level}, environment)


def _in_a_process(spec: CallSpec, options: dict[str, Any], environment: dict[str, str]) -> dict[str, Any] | str:
    read, write = os.pipe()
    with open(read, "rb") as answers:
        try:
            worker = subprocess.Popen(
                [sys.executable, "-m", "ingot.runtime.cli.warm_worker", str(write)],
                stdin=subprocess.PIPE, stdout=2, pass_fds=(write,), env=environment,
            )  # fmt: skip
        finally:
            os.close(write)
        with worker:
            try:
                assert worker.stdin is not None
                with contextlib.suppress(BrokenPipeError):  # it could not even start; its exit code says so
                    with worker.stdin as request:
                        request.write(json.dumps({"spec": spec.text, "options": options}).encode())
                answer = answers.read()
                worker.wait(_PATIENCE)
            except subprocess.TimeoutExpired:  # threads of the user's that go on for ever
                worker.kill()
            except BaseException:
                worker.kill()
                raise
    try:
        told = json.loads(answer)
    except ValueError:
        return f"the process ended {_ending(worker.returncode)}"
    return told["error"] if "error" in told else told


def _ending(code: int) -> str:
    if code >= 0:
        return f"with exit code {code}"
    try:
        return f"by signal {signal.Signals(-code).name}"
    except ValueError:
        return f"by signal {-code}"


def _looked_up(layers: list[Layer], spec: CallSpec, level: str, no_grad: bool, answer: dict[str, Any]) -> _Warmed | str:
    """What the call needs, from the entries themselves; or why one of them cannot be had."""
    found: list[Needed] = []
    for key in answer["keys"]:
        why = "the cache did not keep it: too small (ingot cache info), or not writable"
        for layer in layers:
            try:
                _, entry, _ = bundle.read_entry(layer, key)
            except FileNotFoundError:
                continue
            except (EntryError, OSError) as e:
                why = str(e)
                continue
            found.append(deployment.needed(entry, answer["names"]))
            break
        else:
            return f"entry {key[:12]}: {why}"
    return _Warmed(Needs(spec.text, no_grad, level, tuple(found)), answer["compiled"], answer["ms"])


# -- the manifest ----------------------------------------------------------------------------------------------------


def _llvm_versions(keys: list[Needed]) -> dict[str, str]:
    made = [k.preimage["toolchain"] for k in keys]
    return {t["llvmlite"]: t["llvm"] for t in made}


def _manifest(functions: list[Needs], keys: list[Needed]) -> Manifest:
    made = {(k.preimage["sources"], tuple(sorted(k.preimage["toolchain"].items()))) for k in keys}
    if not made:
        raise CommandError("no call asked for code: there is nothing to write down", "finding")
    if len(made) > 1:
        raise CommandError("Ingot or llvmlite was changed while the calls were made; warm again", "finding")
    ((sources, toolchain),) = made
    return Manifest(sources, dict(toolchain), tuple(functions))
