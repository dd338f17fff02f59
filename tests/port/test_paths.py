"""torch's paths of modules lead to Ingot's names."""

import importlib

import pytest

import ingot
from ingot._paths import PATHS, homes_of


@pytest.mark.parametrize("path", PATHS)
def test_a_path_has_the_names_of_the_other(path):
    here = importlib.import_module(path)
    seen = set()
    for there in map(importlib.import_module, homes_of(path)):
        names = [n for n in dir(there) if not n.startswith("__") and f"{path}.{n}" not in PATHS and n not in seen]
        assert names and all(getattr(here, n) is getattr(there, n) for n in names)
        seen |= set(names)
    parent = ingot
    for part in path.split(".")[1:]:
        parent = getattr(parent, part)
    assert parent is here
    with pytest.raises(AttributeError):
        getattr(here, "no_such_name")  # noqa: B009  (it is the access that is tested)


@pytest.mark.parametrize("path", ["ingot.no_such", "ingot.nn.modules.no_such", "ingot.utils.data._utils.no_such"])
def test_other_paths_are_not_found(path):
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module(path)
