"""What runs in a DataLoader's worker process.

A worker has two pipes: tasks come in, batches go out. A thread reads the tasks, so the parent never waits to send one;
it also ends the process when the parent is gone.
"""

from __future__ import annotations

import os
import queue
import random
import threading
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

import numpy as np

from ingot.utils.data.collate import default_collate

__all__ = ["WorkerInfo", "get_worker_info", "Failure", "Fetcher", "EXHAUSTED", "worker_main"]

EXHAUSTED = "exhausted"  # a worker's IterableDataset has no more samples
_PARENT_CHECK_SECONDS = 2.0


@dataclass
class WorkerInfo:
    """What `get_worker_info()` returns in a worker: its number, how many there are, its seed, its copy of the dataset."""

    id: int
    num_workers: int
    seed: int
    dataset: Any


_info: WorkerInfo | None = None


def get_worker_info() -> WorkerInfo | None:
    """In a worker process: which worker this is; None in the main process."""
    return _info


class Failure:
    """An exception of a worker, with its traceback as text, to be raised again in the parent."""

    def __init__(self, error: BaseException, where: str):
        self.kind = type(error)
        self.text = "".join(traceback.format_exception(type(error), error, error.__traceback__))
        self.where = where

    def reraise(self) -> None:
        """Raise the exception again, with the worker's traceback in its message; RuntimeError if its type cannot be made so."""
        message = f"Caught {self.kind.__name__} {self.where}.\nOriginal {self.text}"
        try:
            error = self.kind(_Message(message)) if issubclass(self.kind, KeyError) else self.kind(message)
        except Exception:
            error = RuntimeError(message)
        raise error


class _Message(str):
    """A string whose repr is itself: KeyError shows the repr of its argument."""

    def __repr__(self) -> str:
        return str(self)


class Fetcher:
    """Makes one batch after the other, in the main process or in a worker."""

    def __init__(self, dataset: Any, collate_fn: Callable, batched: bool, iterable: bool, drop_last: bool):
        self.dataset = dataset
        self.collate_fn = collate_fn
        self.batched = batched
        self.drop_last = drop_last
        self.stream = iter(dataset) if iterable else None

    def fetch(self, indices: Any) -> Any:
        """The batch at `indices`; StopIteration when a stream has ended."""
        if self.stream is not None:
            return self._next(indices)
        if not self.batched:
            return self.collate_fn(self.dataset[indices])
        if self.collate_fn is default_collate:
            whole = getattr(self.dataset, "_batch", None)
            batch = whole(indices) if whole is not None else None
            if batch is not None:
                return batch
        many = getattr(self.dataset, "__getitems__", None)
        return self.collate_fn(many(indices) if callable(many) else [self.dataset[i] for i in indices])

    def _next(self, indices: Any) -> Any:
        assert self.stream is not None
        if not self.batched:
            return self.collate_fn(next(self.stream))
        samples = []
        for _ in indices:
            try:
                samples.append(next(self.stream))
            except StopIteration:
                break
        if not samples or (self.drop_last and len(samples) < len(indices)):
            raise StopIteration
        return self.collate_fn(samples)


def _read_tasks(tasks: Connection, inbox: queue.SimpleQueue, parent: int) -> None:
    """Hand tasks on; end the process when the parent has gone."""
    try:
        while True:
            while not tasks.poll(_PARENT_CHECK_SECONDS):
                if os.getppid() != parent:
                    os._exit(1)
            inbox.put(tasks.recv())
    except (EOFError, OSError):
        os._exit(1)


def worker_main(
    tasks: Connection, results: Connection, unused: list[Connection], make_fetcher: Callable[[], Fetcher], worker_id: int,
    num_workers: int, seed: int, dataset: Any, init_fn: Callable | None,
) -> None:  # fmt: skip
    """Serve tasks (number, indices) until None comes. Answers are (number, batch), (number, Failure) or (number, EXHAUSTED)."""
    global _info
    import ingot
    from ingot.runtime import threads

    for c in unused:  # the parent's ends, which a fork inherits
        c.close()
    threads.set_num_threads(1)
    random.seed(seed)
    np.random.seed(seed % 2**32)
    ingot.manual_seed(seed)
    _info = WorkerInfo(worker_id, num_workers, seed, dataset)
    inbox: queue.SimpleQueue = queue.SimpleQueue()
    threading.Thread(target=_read_tasks, args=(tasks, inbox, os.getppid()), daemon=True).start()
    fetcher: Fetcher | None = None
    broken: Failure | None = None
    where = f"in DataLoader worker process {worker_id}"
    try:
        if init_fn is not None:
            init_fn(worker_id)
    except Exception as e:
        broken = Failure(e, where)
    try:
        while (task := inbox.get()) is not None:
            number, indices = task
            if indices == "start":  # a new pass over the data
                fetcher = None
                continue
            answer: Any = broken
            if answer is None:
                try:
                    fetcher = fetcher or make_fetcher()
                    answer = fetcher.fetch(indices)
                except StopIteration:
                    answer = EXHAUSTED
                except Exception as e:
                    answer = Failure(e, where)
            _send(results, number, answer, where)
    except (BrokenPipeError, ConnectionResetError, KeyboardInterrupt):
        pass  # the parent has gone, or is being interrupted itself


def _send(results: Connection, number: int, answer: Any, where: str) -> None:
    from multiprocessing.reduction import ForkingPickler

    try:
        data = ForkingPickler.dumps((number, answer))
    except Exception as e:  # a batch (or the type of an exception) that cannot be sent
        if isinstance(answer, Failure):
            answer.kind = RuntimeError
        else:
            answer = Failure(e, where)
        data = ForkingPickler.dumps((number, answer))
    results.send_bytes(data)
