"""DataLoader: batches of a dataset, made here or by worker processes, in an order pinned by the seed."""

from __future__ import annotations

import multiprocessing
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from multiprocessing.connection import Connection, wait
from multiprocessing.reduction import ForkingPickler
from typing import Any, Generic, TypeVar

from ingot._tensor import Tensor
from ingot.runtime.recorder import flush, here
from ingot.utils.data.collate import default_collate, default_convert
from ingot.utils.data.dataset import Dataset, IterableDataset
from ingot.utils.data.sampler import BatchSampler, RandomSampler, Sampler, SequentialSampler, draw_seed
from ingot.utils.data.worker import EXHAUSTED, Failure, Fetcher, worker_main

__all__ = ["DataLoader"]

T = TypeVar("T", covariant=True)
_collate_fn_t = Callable[[list[T]], Any]  # libraries take it from here
_STOP_SECONDS = 5.0


class DataLoader(Generic[T]):
    """Iterates over batches of `dataset`.

    batch_size=None turns batching off. With num_workers > 0 batches are made in that many processes, `prefetch_factor`
    ahead each, and come in the same order as without. An exception in a worker is raised here with the worker's
    traceback; a worker that dies raises RuntimeError; with `timeout` > 0 so does a batch that takes longer.

    >>> from ingot.utils.data import DataLoader, TensorDataset
    >>> for x, y in DataLoader(TensorDataset(ingot.ones(5, 3), ingot.arange(5)), batch_size=2):
    ...     print(x.shape, y)
    ingot.Size([2, 3]) tensor([0, 1])
    ingot.Size([2, 3]) tensor([2, 3])
    ingot.Size([1, 3]) tensor([4])
    """

    def __init__(
        self,
        dataset: Dataset[T],
        batch_size: int | None = 1,
        shuffle: bool | None = None,
        sampler: Sampler | Iterable | None = None,
        batch_sampler: Sampler | Iterable | None = None,
        num_workers: int = 0,
        collate_fn: Callable[[list], Any] | None = None,
        pin_memory: bool = False,
        drop_last: bool = False,
        timeout: float = 0,
        worker_init_fn: Callable[[int], None] | None = None,
        multiprocessing_context: Any = None,
        generator: Any = None,
        *,
        prefetch_factor: int | None = None,
        persistent_workers: bool = False,
        pin_memory_device: str = "",
        in_order: bool = True,
    ):
        if num_workers < 0:
            raise ValueError("num_workers option should be non-negative; use num_workers=0 to disable multiprocessing.")
        if timeout < 0:
            raise ValueError("timeout option should be non-negative")
        if num_workers == 0 and prefetch_factor is not None:
            raise ValueError("prefetch_factor option could only be specified in multiprocessing. Set num_workers > 0 for that.")
        if prefetch_factor is not None and prefetch_factor < 1:
            raise ValueError("prefetch_factor option should be positive")
        if persistent_workers and num_workers == 0:
            raise ValueError("persistent_workers option needs num_workers > 0")
        self._iterable = isinstance(dataset, IterableDataset)
        if self._iterable and (shuffle or sampler is not None or batch_sampler is not None):
            raise ValueError("DataLoader with IterableDataset: expected unspecified shuffle, sampler and batch_sampler options")
        if sampler is not None and shuffle:
            raise ValueError("sampler option is mutually exclusive with shuffle")
        if batch_sampler is not None:
            if batch_size != 1 or shuffle or sampler is not None or drop_last:
                raise ValueError("batch_sampler option is mutually exclusive with batch_size, shuffle, sampler, and drop_last")
            batch_size, drop_last = None, False
        elif batch_size is None and drop_last:
            raise ValueError("batch_size=None option disables auto-batching and is mutually exclusive with drop_last")
        if sampler is None:
            if self._iterable:
                sampler = _Forever()
            else:
                sampler = RandomSampler(dataset, generator=generator) if shuffle else SequentialSampler(dataset)  # type: ignore[arg-type]
        if batch_size is not None and batch_sampler is None:
            batch_sampler = BatchSampler(sampler, batch_size, drop_last)  # type: ignore[arg-type]
        self.dataset = dataset
        self.batch_size = batch_size
        self.drop_last = drop_last
        self.sampler = sampler
        self.batch_sampler = batch_sampler
        self.num_workers = num_workers
        self.collate_fn = collate_fn or (default_convert if batch_sampler is None else default_collate)
        self.pin_memory = pin_memory
        self.pin_memory_device = pin_memory_device
        self.timeout = timeout
        self.worker_init_fn = worker_init_fn
        self.multiprocessing_context = multiprocessing_context
        self.generator = generator
        self.prefetch_factor = 2 if num_workers and prefetch_factor is None else prefetch_factor
        self.persistent_workers = persistent_workers
        self.in_order = in_order
        self._workers: _Workers | None = None

    def __len__(self) -> int:
        if self._iterable:
            n = len(self.dataset)  # type: ignore[arg-type]
            if self.batch_size is None:
                return n
            return n // self.batch_size if self.drop_last else -(-n // self.batch_size)
        return len(self.sampler if self.batch_sampler is None else self.batch_sampler)  # type: ignore[arg-type]

    def _fetcher(self) -> Callable[[], Fetcher]:
        return partial(Fetcher, self.dataset, self.collate_fn, self.batch_sampler is not None, self._iterable, self.drop_last)

    def __iter__(self) -> _BaseDataLoaderIter:
        batches = self._batches()
        if self.pin_memory:
            from ingot.runtime.cuda import driver

            if not driver.reason():
                batches = _pinned(batches)
        return (_MultiProcessingDataLoaderIter if self.num_workers else _SingleProcessDataLoaderIter)(self, batches)

    def _batches(self) -> Iterator[Any]:
        here.recorder.only_outside(
            "a compiled function cannot go through a DataLoader: each call would use the batches of the first one",
            "go through it outside, and pass each batch as an argument",
        )
        seed = draw_seed(self.generator)
        order = iter(self.sampler if self.batch_sampler is None else self.batch_sampler)
        if self.num_workers == 0:
            return self._here(order)
        if not self.persistent_workers:
            return self._from_workers(_Workers(self, seed), order)
        if self._workers is None or self._workers.closed:
            self._workers = _Workers(self, seed)
        return self._from_workers(self._workers, order)

    def _here(self, order: Iterator) -> Iterator[Any]:
        fetcher = self._fetcher()()
        for indices in order:
            try:
                batch = fetcher.fetch(indices)
            except StopIteration:
                return
            yield batch

    def _from_workers(self, workers: _Workers, order: Iterator) -> Iterator[Any]:
        workers.start_pass()
        try:
            yield from workers.batches(order)
        except GeneratorExit:
            workers.abandon(keep=self.persistent_workers)
            raise
        except BaseException:
            workers.close()
            raise
        if not self.persistent_workers:
            workers.close()


class _BaseDataLoaderIter:
    """One pass of a loader: its batches, and how many there are."""

    __slots__ = ("_loader", "_batches", "__weakref__")

    def __init__(self, loader: DataLoader, batches: Iterator[Any]):
        self._loader, self._batches = loader, batches

    def __iter__(self) -> _BaseDataLoaderIter:
        return self

    def __next__(self) -> Any:
        return next(self._batches)

    def __len__(self) -> int:
        return len(self._loader)

    def over(self) -> Iterator[Any]:
        """The iterator whose items these are: how far it has come tells how far this has."""
        return self._batches

    def close(self) -> None:
        """End the pass here."""
        self._batches.close()  # type: ignore[attr-defined]


class _SingleProcessDataLoaderIter(_BaseDataLoaderIter):
    __slots__ = ()


class _MultiProcessingDataLoaderIter(_BaseDataLoaderIter):
    __slots__ = ()


class _Forever(Sampler):
    """The sampler of a stream, whose indices mean nothing."""

    def __iter__(self) -> Iterator[None]:
        while True:
            yield None


class _Workers:
    """The worker processes of one loader, and the tasks they have."""

    def __init__(self, loader: DataLoader, seed: int):
        flush()  # a forked child drops what is pending
        _register_tensors()
        self.loader = loader
        self.closed = False
        context = loader.multiprocessing_context
        if context is None or isinstance(context, str):
            methods = multiprocessing.get_all_start_methods()
            context = multiprocessing.get_context(context or ("fork" if "fork" in methods else "spawn"))
        forks = context.get_start_method() == "fork"
        self.processes: list[Any] = []
        self.tasks: list[Connection] = []
        self.results: list[Connection] = []
        make = loader._fetcher()
        try:
            for w in range(loader.num_workers):
                task_read, task_write = context.Pipe(duplex=False)
                result_read, result_write = context.Pipe(duplex=False)
                unused = [*self.tasks, *self.results, task_write, result_read] if forks else []
                process = context.Process(
                    target=worker_main,
                    args=(
                        task_read, result_write, unused, make, w, loader.num_workers, (seed + w) % 2**63, loader.dataset,
                        loader.worker_init_fn,
                    ),
                    daemon=True,
                )  # fmt: skip
                with warnings.catch_warnings():
                    # Python 3.12 warns of any fork beside threads; ours (the native pool) are made anew in the child
                    warnings.filterwarnings("ignore", message=".*multi-threaded.*fork.*", category=DeprecationWarning)
                    process.start()
                task_read.close()
                result_write.close()
                self.processes.append(process)
                self.tasks.append(task_write)
                self.results.append(result_read)
        except BaseException:
            self.close()
            raise

    def start_pass(self) -> None:
        """Forget the pass before, whose last batches may still be under way."""
        if self.closed:
            raise RuntimeError("this DataLoader's workers have ended")
        self.first = getattr(self, "sent", 0)  # task numbers go on counting: older answers are dropped
        self.sent = self.first
        self.taken = self.first
        self.arrived: dict[int, Any] = {}
        self.owner: dict[int, int] = {}
        self.exhausted = [False] * len(self.processes)
        self.next_worker = 0
        for w in range(len(self.processes)):
            self._give(w, (-1, "start"))

    def batches(self, order: Iterator) -> Iterator[Any]:
        depth = (self.loader.prefetch_factor or 2) * len(self.processes)
        more = True
        while True:
            while more and self.sent - self.taken < depth and not all(self.exhausted):
                try:
                    indices = next(order)
                except StopIteration:
                    more = False
                    break
                self._assign(indices)
            if self.taken == self.sent:
                return
            answer = self._answer(self.taken)
            worker = self.owner.pop(self.taken)
            self.taken += 1
            if isinstance(answer, str) and answer == EXHAUSTED:
                self.exhausted[worker] = True
                continue
            if isinstance(answer, Failure):
                answer.reraise()
            yield answer

    def _assign(self, indices: Any) -> None:
        while self.exhausted[self.next_worker]:
            self.next_worker = (self.next_worker + 1) % len(self.processes)
        w = self.next_worker
        self.next_worker = (w + 1) % len(self.processes)
        self.owner[self.sent] = w
        self._give(w, (self.sent, indices))
        self.sent += 1

    def _give(self, w: int, task: Any) -> None:
        try:
            self.tasks[w].send(task)
        except (BrokenPipeError, ConnectionResetError):
            self._report_death(w)

    def _answer(self, number: int) -> Any:
        """The answer to task `number`; meanwhile other answers are kept."""
        deadline = time.monotonic() + self.loader.timeout if self.loader.timeout > 0 else None
        while number not in self.arrived:
            left = None if deadline is None else max(deadline - time.monotonic(), 0.0)
            alive = {p.sentinel: w for w, p in enumerate(self.processes)}
            ready = wait([*self.results, *alive], left)
            if not ready:
                raise RuntimeError(f"DataLoader timed out after {self.loader.timeout} seconds")
            for w, connection in enumerate(self.results):
                if connection in ready:
                    try:
                        n, answer = connection.recv()
                    except (EOFError, ConnectionResetError):
                        self._report_death(w)
                    if n >= self.first:
                        self.arrived[n] = answer
            if number not in self.arrived:
                for sentinel, w in alive.items():
                    if sentinel in ready and not self.results[w].poll():
                        self._report_death(w)
        return self.arrived.pop(number)

    def _report_death(self, w: int) -> None:
        process = self.processes[w]
        process.join(_STOP_SECONDS)
        code, pid = process.exitcode, process.pid
        how = f"was killed by signal {-code}" if code is not None and code < 0 else f"exited with code {code}"
        self.close()
        raise RuntimeError(f"DataLoader worker {w} (pid {pid}) {how} before it had made its batch")

    def abandon(self, keep: bool) -> None:
        """The consumer stopped early."""
        if not keep:
            self.close()

    def close(self) -> None:
        """End all workers; the stubborn ones are killed."""
        if self.closed:
            return
        self.closed = True
        for c in self.tasks:
            try:
                c.send(None)
            except OSError:
                pass
        for c in [*self.results, *self.tasks]:  # a worker that is sending a batch fails on its pipe instead of waiting
            c.close()
        deadline = time.monotonic() + _STOP_SECONDS
        for p in self.processes:
            p.join(max(deadline - time.monotonic(), 0.1))
            if p.is_alive():
                p.terminate()
                p.join(1.0)
            if p.is_alive():
                p.kill()
                p.join()

    def __del__(self) -> None:
        try:
            self.close()
        except Exception:
            pass  # the interpreter is shutting down


def _tensor_from(array: Any) -> Any:
    import ingot

    return ingot.tensor(array)


def _reduce_tensor(t: Any) -> tuple:
    return _tensor_from, (t.detach().numpy(),)


def _register_tensors() -> None:
    """Tensors cross between processes as arrays."""
    import ingot

    ForkingPickler.register(ingot.Tensor, _reduce_tensor)


def _pinned(batches: Iterator[Any]) -> Iterator[Any]:
    """Batches with their tensors in memory that GPUs copy from by themselves."""
    for batch in batches:
        yield _in_pinned_memory(batch)


def _in_pinned_memory(x: Any) -> Any:
    if isinstance(x, Tensor):
        return x if x.is_cuda else x.pin_memory()
    if isinstance(x, dict):
        return {k: _in_pinned_memory(v) for k, v in x.items()}
    if isinstance(x, (tuple, list)):
        items = [_in_pinned_memory(v) for v in x]
        return type(x)(*items) if hasattr(x, "_fields") else type(x)(items)
    return x.pin_memory() if hasattr(x, "pin_memory") else x
