"""A cache serves wherever it is carried: another home, user, folder, host and day, every file touched; and nothing is compiled."""

import os
import shutil
import subprocess
import sys

from tests.support.processes import FROM_PATH, copy_package

SCRIPT = """{from_path}
import json, os
{shift}
import ingot
from ingot import nn
from ingot.nn import functional as F
assert os.path.dirname(ingot.__file__) == os.path.join(os.environ["PYTHONPATH"], "ingot"), ingot.__file__
ingot.manual_seed(7)
model = nn.Sequential(nn.Linear(6, 8), nn.GELU(), nn.Dropout(0.1), nn.Linear(8, 3))
optimizer = ingot.optim.AdamW(model.parameters(), lr=1e-2)

@ingot.compile
def step(x, y):
    optimizer.zero_grad()
    loss = F.cross_entropy(model(x), y)
    loss.backward()
    optimizer.step()
    return loss

losses = [step(ingot.ones(4, 6), ingot.zeros(4, dtype=ingot.int64)).item() for _ in range(3)]
print(json.dumps([losses, ingot.cache.stats(), "llvmlite" in sys.modules, ingot.cache.folder(), os.uname().nodename]))
"""
# a clock that is ten years ahead, for everything that asks Python
TEN_YEARS = """
import time
real = time.time
time.time = lambda: real() + 10 * 365 * 86400
"""


def place(folder, shift=""):
    """A copy of the package, and the script, in `folder`."""
    copy_package(folder)
    (folder / "script.py").write_text(SCRIPT.format(from_path=FROM_PATH, shift=shift))


def run(folder, home, user, prefix=(), **more):
    import json

    env = {k: v for k, v in os.environ.items() if not k.startswith(("INGOT_", "XDG_"))}
    env.update(HOME=str(home), USER=user, LOGNAME=user, HOSTNAME=user, PYTHONPATH=str(folder), **more)
    done = subprocess.run([*prefix, sys.executable, "script.py"], env=env, cwd=folder, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def another_host():
    """What runs a command under another host name, where that is permitted."""
    command = ["unshare", "--uts", "sh", "-c", 'hostname elsewhere && exec "$@"', "sh"]
    try:
        permitted = subprocess.run([*command, "true"], capture_output=True).returncode == 0
    except OSError:
        permitted = False
    return command if permitted else []


def test_a_moved_cache_compiles_nothing(tmp_path):
    here, there = tmp_path / "here", tmp_path / "over" / "there"
    for folder in (here, there):
        folder.mkdir(parents=True)
    (here / "home").mkdir(mode=0o700)
    (there / "dwelling").mkdir(mode=0o700)
    place(here)
    losses, stats, compiler, folder, host = run(here, here / "home", "ann")
    assert compiler and stats["executables"]["compiled"] > 0 and folder == str(here / "home" / ".cache" / "ingot")

    place(there, TEN_YEARS)
    shutil.copytree(here / "home" / ".cache", there / "dwelling" / ".cache")
    shutil.rmtree(here)
    for path in there.rglob("*"):
        os.utime(path, (1_000_000_000, 1_000_000_000))
    prefix = another_host()
    moved, stats, compiler, folder, name = run(there, there / "dwelling", "bob", prefix, INGOT_FROZEN="1", TZ="Asia/Tokyo", LANG="C")
    assert folder == str(there / "dwelling" / ".cache" / "ingot") and (name != host or not prefix)
    assert moved == losses and not compiler
    assert stats["misses"] == {} and set(stats["executables"]) <= {"cache", "memory"} and stats["hits"]["disk"] > 0
