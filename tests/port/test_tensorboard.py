"""What `SummaryWriter` writes, TensorBoard's own reader reads; without the package the import says what to install."""

import importlib
import importlib.util
import os
import sys
import zlib

import numpy as np
import pytest

import ingot


def test_without_the_package_it_says_what_to_install(monkeypatch):
    for name in [n for n in sys.modules if n.startswith(("tensorboard", "ingot.utils.tensorboard"))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    with pytest.raises(ImportError, match=r"pip install ingot\[tensorboard\]") as e:
        importlib.import_module("ingot.utils.tensorboard").SummaryWriter  # noqa: B018  (as `from … import` does)
    assert "\n" not in str(e.value)


@pytest.mark.skipif(importlib.util.find_spec("tensorboard") is None, reason="tensorboard is not installed")
def test_what_is_written_is_read(tmp_path):
    from tensorboard.backend.event_processing.event_file_loader import LegacyEventFileLoader

    from ingot.utils.tensorboard import SummaryWriter

    with SummaryWriter(tmp_path) as writer:
        for i in range(3):
            writer.add_scalar("loss", ingot.tensor(1.0 / (i + 1), requires_grad=True), i)
        writer.add_histogram("weights", ingot.arange(10.0), 1)
        writer.add_text("note", "**text**", 2)
        writer.add_image("image", ingot.ones(3, 4, 5) / 2, 3)
        writer.add_image("gray", np.zeros((4, 5), np.uint8), dataformats="HW")
        writer.add_scalars("both", {"train": 1.0, "test": 2.0}, 4)
        with pytest.raises(ValueError, match="channels"):
            writer.add_image("bad", ingot.ones(2, 4, 5))
    files = [f for f in os.listdir(tmp_path) if os.path.isfile(tmp_path / f)]
    events = [e for f in files for e in LegacyEventFileLoader(str(tmp_path / f)).Load()]
    values = [(e.step, v) for e in events for v in e.summary.value]
    assert [(s, round(v.simple_value, 4)) for s, v in values if v.tag == "loss"] == [(0, 1.0), (1, 0.5), (2, 0.3333)]
    (histogram,) = [v.histo for _, v in values if v.tag == "weights"]
    assert histogram.num == 10 and histogram.sum == 45 and sum(histogram.bucket) == 10
    (image,) = [v.image for _, v in values if v.tag == "image"]
    assert (image.height, image.width, image.colorspace) == (4, 5, 3)
    png = image.encoded_image_string
    length = int.from_bytes(png[33:37], "big")  # after the signature and the header
    rows = np.frombuffer(zlib.decompress(png[41 : 41 + length]), np.uint8).reshape(4, 1 + 5 * 3)
    assert png.startswith(b"\x89PNG") and (rows[:, 0] == 0).all() and (rows[:, 1:] == 128).all()
    assert sorted(f for f in os.listdir(tmp_path) if os.path.isdir(tmp_path / f)) == ["both_test", "both_train"]
