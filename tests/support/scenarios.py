"""What a cache does, one thing at a time, for the tests that stop or fail it in the middle: a state of the folder, and a step."""

from __future__ import annotations

import atexit
import functools
import itertools
import os
import shutil
import tempfile
from collections.abc import Callable
from unittest import mock

from ingot.runtime.cache import Cache, account, journal
from tests.support import prebuilt

Step = tuple[Callable[[str], None], Callable[[str], None]]

STEPS: dict[str, Step] = {}


def step(prepare: Callable[[str], None]) -> Callable[[Callable[[str], None]], Callable[[str], None]]:
    def enter(work: Callable[[str], None]) -> Callable[[str], None]:
        STEPS[work.__name__] = (prepare, work)
        return work

    return enter


_unique = itertools.count()


@functools.cache
def _template(name: str) -> str:
    folder = tempfile.mkdtemp(prefix="ingot-scenario-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    STEPS[name][0](os.path.join(folder, "cache"))
    return os.path.join(folder, "cache")


def prepared(name: str, home: str) -> str:
    """A new folder in `home` in the state that the step `name` expects; earlier ones are removed."""
    for old in os.listdir(home):
        shutil.rmtree(os.path.join(home, old))
    folder = os.path.join(home, f"cache{next(_unique)}")
    if os.path.exists(_template(name)):
        shutil.copytree(_template(name), folder)
    return folder


def put(folder: str, *which: int) -> None:
    cache = Cache(folder)
    for i in which:
        e = prebuilt.entries()[i]
        cache.put(e.key, e.data, 5.0)


def nothing(folder: str) -> None:
    pass


def some(folder: str) -> None:
    put(folder, 1, 2)


def many(folder: str) -> None:
    put(folder, 1, 2, 3, 4, 5, 6)


def old(folder: str) -> None:
    put(folder, 0)
    os.utime(Cache(folder).own.path(prebuilt.entries()[0].key), (1, 1))  # type: ignore[union-attr]


def bad(folder: str) -> None:
    put(folder, 0, 1)
    with open(Cache(folder).own.path(prebuilt.entries()[0].key), "r+b") as f:  # type: ignore[union-attr]
        f.seek(5000)
        f.write(b"damage")


def no_account(folder: str) -> None:
    some(folder)
    os.unlink(os.path.join(folder, "account"))


def full_journal(folder: str) -> None:
    some(folder)
    with open(os.path.join(folder, "misses.jsonl"), "w") as f:
        f.writelines(f'{{"key":"{i}"}}\n' for i in range(40))


def full_statistics(folder: str) -> None:
    some(folder)
    with open(os.path.join(folder, "stats.jsonl"), "w") as f:
        f.write('{"put":1}\n' * 14_000)


def use(folder: str) -> None:
    prebuilt.use(Cache(folder), prebuilt.entries()[0])


@step(nothing)
def first_put(folder: str) -> None:
    put(folder, 0)


@step(some)
def next_put(folder: str) -> None:
    put(folder, 0)


@step(some)
def put_again(folder: str) -> None:
    put(folder, 1)


@step(old)
def hit(folder: str) -> None:
    use(folder)


@step(bad)
def set_aside_and_rebuild(folder: str) -> None:
    use(folder)


@step(many)
def eviction(folder: str) -> None:
    e = prebuilt.entries()[0]
    with mock.patch.object(account, "mapped_in", lambda layer: {}):  # what the machine's processes have mapped changes from run to run
        Cache(folder, max_entries=5).put(e.key, e.data, 5.0)


@step(no_account)
def account_rewritten(folder: str) -> None:
    put(folder, 0)


@step(full_journal)
def journal_halved(folder: str) -> None:
    journal.append(os.path.join(folder, "misses.jsonl"), {"key": "new"}, bound=500)


@step(some)
def miss_recorded(folder: str) -> None:
    Cache(folder).record_miss(prebuilt.entries()[0].key, {"name": "f"}, b'{"text":"t"}')


@step(full_statistics)
def statistics_folded(folder: str) -> None:
    cache = Cache(folder)
    cache.counts["put"] += 1
    cache.save_counts()


@step(some)
def note(folder: str) -> None:
    cache = Cache(folder)
    cache.set_note("toolchain", {**cache.note("toolchain"), "1.0": "22"})


@step(some)
def claim(folder: str) -> None:
    e = prebuilt.entries()[0]
    cache = Cache(folder)
    with cache.claimed(e.key):
        cache.put(e.key, e.data, 5.0)
