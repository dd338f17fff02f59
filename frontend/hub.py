"""`hub`: models whose repository is a folder here. Nothing is downloaded."""

from __future__ import annotations

import importlib.util
import os
import re
import sys
from types import ModuleType
from typing import Any, NoReturn
from urllib.parse import urlparse as urlparse  # where libraries take it from

__all__ = ["download_url_to_file", "get_dir", "help", "list", "load", "load_state_dict_from_url", "set_dir"]

HASH_REGEX = re.compile(r"-([a-f0-9]*)\.")  # the digest in names of files of weights: resnet18-f37072fd.pth

_set: str | None = None


def load(repo_or_dir: str, model: str, *args: Any, source: str = "github", **kwargs: Any) -> Any:
    """What the function `model` of a repository's hubconf.py makes of the arguments. source="local": `repo_or_dir` is its folder.

    RuntimeError for any other source, since nothing is downloaded, where there is no such function, or what hubconf.py needs is missing.
    """
    kwargs = {k: v for k, v in kwargs.items() if k not in ("trust_repo", "force_reload", "verbose", "skip_validation")}
    return _entry(_hubconf(repo_or_dir, source), model)(*args, **kwargs)


def list(github: str, force_reload: bool = False, *, source: str = "github", **options: Any) -> Any:
    """The names of the functions of a repository's hubconf.py; see `load`."""
    found = _hubconf(github, source)
    return [n for n, v in vars(found).items() if callable(v) and not n.startswith("_")]


def help(github: str, model: str, force_reload: bool = False, *, source: str = "github", **options: Any) -> str | None:
    """What a function of a repository's hubconf.py says of itself; see `load`."""
    return _entry(_hubconf(github, source), model).__doc__


def _entry(found: ModuleType, model: str) -> Any:
    fn = getattr(found, model, None)
    if not callable(fn) or model.startswith("_"):
        raise RuntimeError(f"Cannot find callable {model} in hubconf")
    return fn


def _hubconf(folder: str, source: str) -> ModuleType:
    if source != "local":
        raise RuntimeError(f"hub: nothing is downloaded: clone {folder}, and load it with source='local' and the path of its folder")
    path = os.path.join(os.path.expanduser(folder), "hubconf.py")
    if not os.path.isfile(path):
        raise RuntimeError(f"hub: there is no {path}")
    sys.path.insert(0, os.path.dirname(path))
    try:
        spec = importlib.util.spec_from_file_location("hubconf", path)
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(os.path.dirname(path))
    missing = [n for n in getattr(module, "dependencies", ()) if importlib.util.find_spec(n) is None]
    if missing:
        raise RuntimeError(f"Missing dependencies: {', '.join(missing)}")
    return module


def _get_torch_home() -> str:
    """The folder of Ingot's files below the user's cache folder. By this name libraries ask for it."""
    home = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return os.path.join(home, "ingot")


def get_dir() -> str:
    """The folder that files for hub are looked for in: `set_dir`'s, or below the user's cache folder."""
    return _set or os.path.join(_get_torch_home(), "hub")


def set_dir(d: str | os.PathLike[str]) -> None:
    """Set what `get_dir` gives."""
    global _set
    _set = os.path.expanduser(os.fspath(d))


def load_state_dict_from_url(
    url: str,
    model_dir: str | None = None,
    map_location: Any = None,
    progress: bool = True,
    check_hash: bool = False,
    file_name: str | None = None,
    weights_only: bool = True,
) -> Any:
    """What `ingot.load` reads from the file of that name in `model_dir`, or in `checkpoints` of `get_dir()`: it must be there.

    RuntimeError where it is not, for nothing is downloaded.
    """
    from ingot.artifacts import load as load_file

    name = file_name or os.path.basename(url.partition("?")[0])
    path = os.path.join(model_dir or os.path.join(get_dir(), "checkpoints"), name)
    if not os.path.isfile(path):
        raise RuntimeError(f"hub: nothing is downloaded: get {url} and put it to {path}")
    return load_file(path, map_location, weights_only=weights_only)


def download_url_to_file(url: str, dst: str, hash_prefix: str | None = None, progress: bool = True) -> NoReturn:
    """RuntimeError: nothing is downloaded."""
    raise RuntimeError(f"hub: nothing is downloaded: get {url} and put it to {dst}")


def __getattr__(name: str) -> Any:
    if name == "tqdm":  # where libraries take it from; of the package of that name
        from tqdm import tqdm

        return tqdm
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
