"""What reads bytes of unknown origin: on damaged input it raises what it says it raises, soon, and in bounded memory.

Each target runs in a process of its own that may take two more gigabytes of address space and ten seconds for one input. With
`--long` the seeds are new ones, which are printed, and it takes ten minutes in all.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import io
import json
import multiprocessing
import os
import random
import resource
import signal
import time
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pytest

from tests.support.generate import generate
from tests.support.mutate import mutate

MEMORY = 2 << 30
PATIENCE = 10.0  # seconds for one input


class Target(NamedTuple):
    """Valid inputs, what reads them, and what it may raise."""

    seeds: list[bytes]
    read: Callable[[bytes], object]
    errors: tuple[type[BaseException], ...]


# -- texts -----------------------------------------------------------------------------------------------------------


@functools.cache
def graphs() -> list:
    return [generate(seed, 12)[0] for seed in range(12)]


def ir_text() -> Target:
    from ingot.ir.parse import ParseError, parse
    from ingot.ir.text import print_graph
    from ingot.ir.verify import VerifyError, verify

    seeds = [text.encode() for g in graphs() for text in (print_graph(g), g.text)]
    return Target(seeds, lambda data: verify(parse(data.decode("utf-8", "replace"))).text, (ParseError, VerifyError))


def loop_text() -> Target:
    from ingot.ir.loop.parse import ParseError, parse_kernel
    from ingot.ir.loop.text import print_kernel
    from ingot.ir.loop.uses import LoopVerifyError
    from ingot.ir.loop.verify import verify_kernel
    from ingot.ir.lower import lower
    from ingot.ir.lower.cpu import cpu
    from ingot.ir.machine import Machine

    seeds = [print_kernel(k).encode() for g in graphs()[:6] for k in lower(g, cpu(Machine(64))).kernels.values()]
    seeds = [s for s in seeds if len(s) < 20_000]
    return Target(seeds, lambda data: verify_kernel(parse_kernel(data.decode("utf-8", "replace"))), (ParseError, LoopVerifyError))


def people() -> Target:
    """Sizes, ages, filters, calls: what people type."""
    from ingot.runtime import switches
    from ingot.runtime.cli import call_spec, filters, output
    from ingot.runtime.cli.output import CommandError

    def read(data: bytes) -> None:
        text = data.decode("utf-8", "replace")
        errors = []
        for parse in (output.parse_age, output.size_argument, filters.parse_filter, call_spec.parse, switches.parse_size):
            try:
                parse(text)
            except (CommandError, ValueError) as e:
                errors.append(e)
        if len(errors) == 5:
            raise errors[0]

    seeds = [b"3d", b"12h", b"1.5GB", b"64MiB", b"fn=train*", b"age>3d", b"size<1MiB", b"compile>=100"]
    seeds += [b"pkg.mod:attr.f(f32[32,784], i64[32], 0.5, name=bool[3])", b"m:f([f32[2], (1, 'x', None)], {'k': i8[]})"]
    return Target(seeds, read, (CommandError, ValueError))


# -- the cache -------------------------------------------------------------------------------------------------------


@functools.cache
def stored() -> tuple[str, bytes, object]:
    """A real entry: its key, its bytes, and what they hold."""
    from ingot.runtime import compiler
    from ingot.runtime.cache import the_cache

    graph = generate(1, 6)[0]
    key = compiler.code_of(graph).key
    with open(the_cache().own.path(key), "rb") as f:
        data = f.read()
    from ingot.runtime.cache import entry

    return key, data, entry.parse(data, key)


def check_entry(data: bytes) -> None:
    from ingot.runtime.cache import entry

    entry.parse(data).check_deep()


def entry_file() -> Target:
    from ingot.runtime.cache.entry import EntryError

    def read(data: bytes) -> None:
        from ingot.runtime.cache import entry

        path = os.path.join(os.environ["INGOT_CACHE_DIR"], "fuzzed")
        with open(path, "wb") as f:
            f.write(data)
        try:
            entry.peek(path)
        except EntryError:
            pass
        check_entry(data)

    return Target([stored()[1]], read, (EntryError,))


def entry_parts() -> Target:
    """Parts of an entry, its checksums made right again."""
    import zlib

    from ingot.runtime.cache import entry
    from ingot.runtime.cache.entry import EntryError

    key, data, found = stored()
    bounds = entry._FOOTER.unpack(data[-entry._FOOTER.size :])[3:8]
    parts, at = [], 0
    for n in bounds:
        parts.append(data[at : at + n])
        at += n
    plain = [parts[0], parts[1], parts[2], zlib.decompress(parts[3]), zlib.decompress(parts[4])]

    def read(mutated: bytes) -> None:
        which, body = (mutated[0] if mutated else 0) % 5, mutated[1:]
        some = list(parts)
        some[which] = zlib.compress(body, 1) if which > 2 else body
        for digest in (key, hashlib.sha256(body).hexdigest() if which == 3 else key):
            joined = b"".join(some)
            head = entry._FOOTER.pack(
                entry._MAGIC, entry.FORMAT, bytes.fromhex(digest), *map(len, some), hashlib.sha256(joined).digest(), b""
            )[:-32]
            check_entry(joined + head + hashlib.sha256(head).digest())

    return Target([bytes([i]) + p for i, p in enumerate(plain)], read, (EntryError,))


def preimages() -> Target:
    """What an entry is compiled from again, up to the compiler itself."""
    from ingot.runtime import reproduce
    from ingot.runtime.cache import entry

    key, data, found = stored()
    doc = json.dumps(found.preimage, sort_keys=True, separators=(",", ":")).encode()

    def read(mutated: bytes) -> None:
        packed = entry.pack(hashlib.sha256(mutated).hexdigest(), bytes(found.code), found.manifest, found.record, mutated, {})
        reproduce.parts(entry.parse(packed))

    return Target([doc], read, (reproduce.ReproduceError, entry.EntryError))


def journals() -> Target:
    """Records of misses and statistics: what makes no sense is skipped."""
    from ingot.runtime.cache import explain, journal, misses

    folder = os.path.join(os.environ["INGOT_CACHE_DIR"], "journals")
    os.makedirs(folder, exist_ok=True)
    key, _, found = stored()
    misses.record(folder, key, "absent", {"name": "f", "signature": "(x: f32[2]) -> (f32[2])"}, found.preimage_bytes)
    with open(os.path.join(folder, "misses.jsonl"), "rb") as f:
        seed = f.read()

    def read(data: bytes) -> None:
        with open(os.path.join(folder, "misses.jsonl"), "wb") as f:
            f.write(data)
        for miss in misses.read(folder):
            doc = misses.preimage_of(miss)
            if doc is not None:
                explain.differences(found.preimage, doc)
        journal.read(os.path.join(folder, "misses.jsonl"))

    return Target([seed, seed * 3], read, ())


def bundles() -> Target:
    from ingot.runtime.cache import bundle, entry, ownership, trust
    from ingot.runtime.cache.bundle_reader import BundleError, Offer, Reader, read_tar
    from ingot.runtime.cache.layer import Layer

    shipped = [bundle.prepare(Layer(os.environ["INGOT_CACHE_DIR"], True), stored()[0])]
    out = io.BytesIO()
    bundle.write_tar(out, bundle.members(shipped))

    def read(data: bytes) -> None:
        for offer in Reader(read_tar(io.BytesIO(data))):
            if isinstance(offer, Offer):
                try:
                    bundle.verified(offer.key, offer.data, offer.signature, trust.policy())
                except (entry.EntryError, ownership.TrustError):
                    pass

    return Target([out.getvalue()], read, (BundleError,))


# -- artifacts -------------------------------------------------------------------------------------------------------


@functools.cache
def artifact() -> bytes:
    with open(os.path.join(os.path.dirname(os.path.dirname(__file__)), "artifact", "data", "schema1.ingot"), "rb") as f:
        return f.read()


def open_artifact(data: bytes) -> None:
    """Load it as far as may be done without running its code, and show it."""
    import contextlib

    from ingot.runtime.artifact import load
    from ingot.runtime.cli import artifact_verbs

    path = os.path.join(os.environ["INGOT_CACHE_DIR"], "fuzzed.ingot")
    with open(path, "wb") as f:
        f.write(data)
    with contextlib.redirect_stdout(io.StringIO()):
        artifact_verbs.inspect(path, True)
    load(path)


def artifact_file() -> Target:
    from ingot.runtime.artifact import ArtifactError

    return Target([artifact()], open_artifact, (ArtifactError,))


def artifact_manifest() -> Target:
    """The manifest, its checksum made right again; the parts stay where they are."""
    from ingot.runtime.artifact import ArtifactError, container

    whole = artifact()
    _, schema, size, length, _, _ = container._HEADER.unpack(whole[: container._HEADER.size])
    manifest = whole[container._HEADER.size : container._HEADER.size + length]
    first = min(p["offset"] for p in json.loads(manifest)["parts"])

    def read(text: bytes) -> None:
        if container._HEADER.size + len(text) > first:
            text = text[: first - container._HEADER.size]
        head = container._HEADER.pack(container._MAGIC, schema, size, len(text), hashlib.sha256(text).digest(), b"")[:-32]
        front = head + hashlib.sha256(head).digest() + text
        open_artifact(front + bytes(first - len(front)) + whole[first:])

    return Target([manifest], read, (ArtifactError,))


def tensor_sections() -> Target:
    from ingot.runtime.artifact import tensors

    arrays = {"a": np.arange(6, dtype=np.float32).reshape(2, 3), "b.c": np.zeros((0, 4), np.int64), "d": np.ones((), np.bool_)}
    return Target([b"".join(map(bytes, tensors.pack(arrays)))], lambda data: tensors.unpack(memoryview(data)), (tensors.TensorsError,))


def state_dicts() -> Target:
    import ingot
    from ingot import serialization

    out = io.BytesIO()
    ingot.save({"w": ingot.ones(2, 3), "n": [1, {"x": ingot.zeros(4)}], "t": (True, None, "s")}, out)
    return Target([out.getvalue()], lambda data: ingot.load(io.BytesIO(data)), (serialization.SerializationError,))


TARGETS = (
    ir_text, loop_text, people, entry_file, entry_parts, preimages, journals, bundles, artifact_file, artifact_manifest, tensor_sections,
    state_dicts,
)  # fmt: skip


# -- running them ----------------------------------------------------------------------------------------------------


class Hang(BaseException):
    """One input took too long."""


def _hang(*_: object) -> None:
    raise Hang


def fuzz(make: Callable[[], Target], seed: int, seconds: float, folder: str, answer: object) -> None:
    """Feed a target until the time is over; tell how often, and the first input that it did not take well."""
    os.environ["INGOT_CACHE_DIR"] = folder
    target = make()
    for good in target.seeds:
        target.read(good)  # everything is imported, and what is valid is taken
    with open("/proc/self/statm") as f:
        used = int(f.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, resource.getrlimit(resource.RLIMIT_AS)[1]))
    signal.signal(signal.SIGALRM, _hang)
    rng, end, runs, taken = random.Random(seed), time.monotonic() + seconds, 0, 0
    while time.monotonic() < end:
        data = mutate(rng, target.seeds)
        runs += 1
        signal.setitimer(signal.ITIMER_REAL, PATIENCE)
        try:
            target.read(data)
            taken += 1
        except target.errors:
            pass
        except BaseException as e:
            signal.setitimer(signal.ITIMER_REAL, 0)
            import traceback

            answer.send((runs, taken, "".join(traceback.format_exception(e))[-3000:], base64.b85encode(data[:100_000]).decode()))
            return
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
    answer.send((runs, taken, "", ""))


@pytest.mark.parametrize("make", TARGETS, ids=lambda t: t.__name__)
def test_damaged_input_is_refused(make, long, tmp_path):
    seed = random.randrange(1 << 32) if long else 0
    seconds = float(os.environ.get("FUZZ_SECONDS", 600 / len(TARGETS) if long else 0.7))
    print(f"seed {seed}")
    ours, theirs = multiprocessing.Pipe()
    child = multiprocessing.get_context("fork").Process(target=fuzz, args=(make, seed, seconds, str(tmp_path / "cache"), theirs))
    (tmp_path / "cache").mkdir(mode=0o700)
    child.start()
    theirs.close()
    try:
        assert ours.poll(seconds + 120), f"seed {seed}: it hangs"
        try:
            runs, taken, error, data = ours.recv()
        except EOFError:
            child.join()
            pytest.fail(f"seed {seed}: the process ended with {child.exitcode}")
    finally:
        child.kill()
        child.join()
    print(f"{runs} inputs, {taken} taken")
    assert not error, f"seed {seed}, input {runs}:\n{error}\n{data[:2000]}"
    assert runs > 3
