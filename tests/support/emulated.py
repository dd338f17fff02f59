"""CUDA devices in tests: two emulated ones, or those of the machine where INGOT_TEST_CUDA=real says so."""

import os

import pytest

from ingot.runtime.cuda import device, driver
from ingot.runtime.recorder import here

_kept, _devices = [], {}  # the driver, between tests, and the devices that plans belong to


@pytest.fixture
def cuda(monkeypatch):
    """The driver's table, with which there are devices for as long as the test runs."""
    if os.environ.get("INGOT_TEST_CUDA") != "real":
        monkeypatch.setenv("INGOT_CUDA", "emulated:2")
    driver._opened.extend(_kept)
    device._devices.update(_devices)
    _kept.clear()
    yield driver.the_driver()
    here.recorder.flush()
    _kept.extend(driver._opened)
    _devices.update(device._devices)
    driver._opened.clear()
    device._devices.clear()


@pytest.fixture
def other(cuda):
    """The name of a second device. Skips where there is one card."""
    import ingot

    if ingot.cuda.device_count() < 2:
        pytest.skip("this needs two devices")
    return "cuda:1"


@pytest.fixture
def standin(cuda):
    """The stand-in that runs what is called. Skips where there is a card."""
    if not cuda.emulated:
        pytest.skip("this looks into the emulation")
    return cuda.devices
