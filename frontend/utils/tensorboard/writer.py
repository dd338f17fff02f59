"""The writer of events."""

from __future__ import annotations

import functools
import os
import socket
import struct
import time
import zlib
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import numpy as np

from ingot._tensor import Tensor

__all__ = ["SummaryWriter", "protocol"]


@functools.cache
def protocol() -> Any:
    """The classes of TensorBoard's package that are used. ImportError says what to install."""
    try:
        from tensorboard.compat.proto import event_pb2, summary_pb2, tensor_pb2, tensor_shape_pb2
        from tensorboard.summary.writer.event_file_writer import EventFileWriter
    except ImportError as e:
        raise ImportError(f"ingot.utils.tensorboard needs the package tensorboard: pip install ingot[tensorboard] ({e})") from None
    return SimpleNamespace(
        Event=event_pb2.Event, HistogramProto=summary_pb2.HistogramProto, Summary=summary_pb2.Summary,
        SummaryMetadata=summary_pb2.SummaryMetadata, TensorProto=tensor_pb2.TensorProto,
        TensorShapeProto=tensor_shape_pb2.TensorShapeProto, EventFileWriter=EventFileWriter,
    )  # fmt: skip


class SummaryWriter:
    """Writes what is added to a file in `log_dir` (below `runs` where None) for TensorBoard to show. A block closes it.

    with SummaryWriter("runs/first") as writer:
        writer.add_scalar("loss", loss, step)
    """

    def __init__(
        self,
        log_dir: str | os.PathLike[str] | None = None,
        comment: str = "",
        purge_step: int | None = None,
        max_queue: int = 10,
        flush_secs: int = 120,
        filename_suffix: str = "",
    ):
        if log_dir is None:
            log_dir = os.path.join("runs", f"{time.strftime('%b%d_%H-%M-%S')}_{socket.gethostname()}{comment}")
        self.log_dir = os.fspath(log_dir)
        self._options = max_queue, flush_secs, filename_suffix
        self._writers: dict[str, Any] = {}
        if purge_step is not None:
            self._writer(self.log_dir).add_event(protocol().Event(wall_time=time.time(), step=purge_step, file_version="brain.Event:2"))

    def _writer(self, folder: str) -> Any:
        if folder not in self._writers:
            self._writers[folder] = protocol().EventFileWriter(folder, *self._options)
        return self._writers[folder]

    def _add(self, value: Any, step: Any, walltime: float | None, folder: str | None = None) -> None:
        event = protocol().Event(wall_time=time.time() if walltime is None else walltime, summary=protocol().Summary(value=[value]))
        if step is not None:
            event.step = int(_array(step))
        self._writer(folder or self.log_dir).add_event(event)

    def get_logdir(self) -> str:
        """The folder that is written to."""
        return self.log_dir

    def add_scalar(self, tag: str, scalar_value: Any, global_step: Any = None, walltime: float | None = None, **options: Any) -> None:
        """A number, or a tensor of one element."""
        self._add(protocol().Summary.Value(tag=tag, simple_value=float(_array(scalar_value).reshape(()))), global_step, walltime)

    def add_scalars(
        self, main_tag: str, tag_scalar_dict: Mapping[str, Any], global_step: Any = None, walltime: float | None = None
    ) -> None:
        """Several numbers in one chart: each in a run of its own, in a folder below."""
        for tag, value in tag_scalar_dict.items():
            folder = os.path.join(self.log_dir, f"{main_tag.replace('/', '_')}_{tag}")
            self._add(protocol().Summary.Value(tag=main_tag, simple_value=float(_array(value).reshape(()))), global_step, walltime, folder)

    def add_histogram(
        self, tag: str, values: Any, global_step: Any = None, bins: Any = "auto", walltime: float | None = None, **options: Any
    ) -> None:
        """How the elements of a tensor are distributed. `bins` as of numpy.histogram. ValueError for no elements."""
        x = _array(values).astype(np.float64).ravel()
        if not x.size:
            raise ValueError("add_histogram: the input has no element")
        counts, edges = np.histogram(x, 64 if bins in ("auto", "tensorflow", "fd") else bins)
        made = protocol().HistogramProto(
            min=np.min(x), max=np.max(x), num=x.size, sum=x.sum(), sum_squares=(x * x).sum(),
            bucket_limit=edges[1:].tolist(), bucket=counts.tolist(),
        )  # fmt: skip
        self._add(protocol().Summary.Value(tag=tag, histo=made), global_step, walltime)

    def add_text(self, tag: str, text_string: str, global_step: Any = None, walltime: float | None = None) -> None:
        """A text in Markdown."""
        about = protocol().SummaryMetadata(plugin_data=protocol().SummaryMetadata.PluginData(plugin_name="text"))
        shape = protocol().TensorShapeProto(dim=[protocol().TensorShapeProto.Dim(size=1)])
        tensor = protocol().TensorProto(dtype="DT_STRING", string_val=[text_string.encode()], tensor_shape=shape)
        self._add(protocol().Summary.Value(tag=f"{tag}/text_summary", metadata=about, tensor=tensor), global_step, walltime)

    def add_image(
        self, tag: str, img_tensor: Any, global_step: Any = None, walltime: float | None = None, dataformats: str = "CHW"
    ) -> None:
        """An image: bytes, or floats from 0 to 1; `dataformats` says its dims, "CHW", "HWC" or "HW". ValueError for other shapes."""
        x = _array(img_tensor)
        if x.ndim != len(dataformats) or sorted(dataformats) not in (sorted("CHW"), sorted("HW")):
            raise ValueError(f"add_image: an image of {x.ndim} dims is not {dataformats}")
        x = x.transpose([dataformats.index(d) for d in ("HWC" if "C" in dataformats else "HW")]).reshape(*_size(x, dataformats), -1)
        if x.shape[-1] not in (1, 3, 4):
            raise ValueError(f"add_image: an image has 1, 3 or 4 channels, not {x.shape[-1]}")
        pixels = x if x.dtype == np.uint8 else (np.clip(x.astype(np.float64), 0, 1) * 255 + 0.5).astype(np.uint8)
        h, w, c = pixels.shape
        image = protocol().Summary.Image(height=h, width=w, colorspace=c, encoded_image_string=_png(pixels))
        self._add(protocol().Summary.Value(tag=tag, image=image), global_step, walltime)

    def flush(self) -> None:
        """Write what was added to the disk."""
        for w in self._writers.values():
            w.flush()

    def close(self) -> None:
        """Write all and close the files; adding more opens new ones."""
        for w in self._writers.values():
            w.close()
        self._writers.clear()

    def __enter__(self) -> SummaryWriter:
        return self

    def __exit__(self, *exc: Any) -> None:
        self.close()


def _array(x: Any) -> np.ndarray:
    return x.detach().numpy() if isinstance(x, Tensor) else np.asarray(x)


def _size(x: np.ndarray, dataformats: str) -> tuple[int, int]:
    return x.shape[dataformats.index("H")], x.shape[dataformats.index("W")]


def _png(pixels: np.ndarray) -> bytes:
    """A PNG file of bytes (height, width, channels)."""
    h, w, c = pixels.shape
    rows = b"".join(b"\0" + row.tobytes() for row in np.ascontiguousarray(pixels))

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", w, h, 8, {1: 0, 3: 2, 4: 6}[c], 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
