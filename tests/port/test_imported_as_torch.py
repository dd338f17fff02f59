"""Ingot under the name of torch: modules below it, versions, and programs that are run by `python -m ingot.port`."""

import subprocess
import sys
import textwrap

import pytest

import ingot
from ingot.torch_version import TorchVersion


def _run(code, *args, cwd=None):
    args = (*args, "-c", textwrap.dedent(code)) if code else args
    return subprocess.run([sys.executable, *args], capture_output=True, text=True, timeout=300, cwd=cwd)


def test_a_name_in_sys_modules_is_enough():
    ran = _run("""
        import sys, ingot
        assert ingot.__version__ == ingot.version.__version__ == ingot._VERSION
        sys.modules["torch"] = ingot
        import torch, torch.nn as nn, torch.nn.functional as F, torch.optim.lr_scheduler
        from torch.utils.data import DataLoader
        from torch.nn.modules.batchnorm import BatchNorm2d
        from torch._C import _nn
        import torch.distributed.fsdp
        assert nn is ingot.nn and F is ingot.nn.functional and nn.__spec__.name == nn.__name__ == "ingot.nn"
        assert DataLoader is ingot.utils.data.DataLoader and BatchNorm2d is nn.BatchNorm2d
        assert torch.optim.lr_scheduler is ingot.optim.lr_scheduler
        assert torch.__version__ >= (2, 2) and torch.version.__version__ == torch.__version__ and ingot._VERSION in torch.__version__
        assert [str(t) for t in (torch.float32, torch.strided, torch.Size([1]), torch.preserve_format)] == [
            "torch.float32", "torch.strided", "torch.Size([1])", "torch.preserve_format"]
        assert torch.ones(1).type() == "torch.FloatTensor" and repr(torch.ones(1).double()) == "tensor([1.], dtype=torch.float64)"
        for missing in ("torch.no_such", "torch.nn.no_such"):
            try:
                __import__(missing)
            except ModuleNotFoundError as e:
                assert e.name == missing, e
            else:
                raise AssertionError(missing)
    """)
    assert not ran.returncode, ran.stderr


def test_install_answers_for_the_distribution():
    ran = _run("""
        import importlib.metadata, importlib.util, sys
        import ingot.port
        ingot.port.install()
        ingot.port.install()
        from torch import nn
        assert importlib.metadata.version("torch") == "2.13.0" and importlib.util.find_spec("torch") is not None
        assert [d.metadata["Name"] for d in importlib.metadata.distributions(name="torch")][0] == "torch"
        assert importlib.metadata.version("numpy") and importlib.metadata.distribution("torch").files is None
        sys.modules["torch"] = sys
        try:
            ingot.port.install()
        except RuntimeError as e:
            assert "before the first import" in str(e)
        else:
            raise AssertionError
    """)
    assert not ran.returncode, ran.stderr


def test_programs_run(tmp_path):
    (tmp_path / "beside.py").write_text("from torch import ones\n")
    program = "import sys, torch, beside\nprint(__name__, sys.argv[1:], torch.cat([beside.ones(1)] * 2).tolist())\n"
    (tmp_path / "program.py").write_text(program)
    ran = _run("", "-m", "ingot.port", str(tmp_path / "program.py"), "--lr", "1")
    assert ran.stdout.strip() == "__main__ ['--lr', '1'] [1.0, 1.0]", ran.stderr
    ran = _run("", "-m", "ingot.port", "-m", "program", "x", cwd=tmp_path)
    assert ran.stdout.strip() == "__main__ ['x'] [1.0, 1.0]", ran.stderr
    assert "usage" in _run("", "-m", "ingot.port", "-m").stderr


def test_versions_compare_by_their_numbers():
    v = TorchVersion("2.13.0+ingot.0.1.0")
    assert v > "2.9" and v >= (2, 13) and not v < "2.10.1" and v <= (3,) and "2.2" < v and v != "2.13.0" and v > "2.13.0"
    assert TorchVersion("2.13.0") == (2, 13) and TorchVersion("2.13.0a0+git1") < "2.13" and TorchVersion("2.13") == "2.13.0"
    assert v == TorchVersion(v) and hash(v) == hash(str(v)) and v.split("+")[0] == "2.13.0" and v != "no version"
    with pytest.raises(ValueError, match="expected a version"):
        _ = v < "new"


def test_the_dicts_of_packages_have_their_names():
    ran = _run("""
        import sys
        from ingot import nn, optim
        assert "ingot.optim.muon" not in sys.modules and "Muon" in dir(optim) and "ingot.optim.muon" not in sys.modules
        found = {name for name, value in optim.__dict__.items() if isinstance(value, type) and issubclass(value, optim.Optimizer)}
        assert {"Adam", "LBFGS", "Muon", "SGD"} <= found, found
        assert nn.__dict__["ReLU"] is nn.ReLU and vars(nn.modules)["Linear"] is nn.Linear
        optim.mine = 3
        assert vars(optim)["mine"] == 3 and "mine" in dir(optim) and "__name__" in dir(optim)
    """)
    assert not ran.returncode, ran.stderr


def test_names_that_only_answer():
    with pytest.raises(RuntimeError, match="no storages of one dtype"):
        ingot.serialization.normalize_storage_type(type)
