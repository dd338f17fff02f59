"""From PTX to machine code of a GPU, by CUDA's assembler `ptxas` where that is installed. Nothing depends on it: drivers translate PTX."""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from pathlib import Path

__all__ = ["cubin"]

SECONDS = 300  # that it may take


def cubin(image: bytes, level: str) -> tuple[bytes, str] | None:
    """The machine code of a PTX image, and who made it ("ptxas 13.0.48"); None where there is no assembler, or one that is too old."""
    program = shutil.which("ptxas")
    if program is None:
        return None
    version = re.search(r"\bV(\d+(?:\.\d+)+)", subprocess.run([program, "--version"], capture_output=True, text=True, check=False).stdout)
    with tempfile.TemporaryDirectory(prefix="ingot-") as folder:
        source, made = Path(folder, "image.ptx"), Path(folder, "image.cubin")
        source.write_bytes(image.rstrip(b"\0"))
        command = [program, f"-arch={level}", "-o", str(made), str(source)]
        try:
            done = subprocess.run(command, capture_output=True, check=False, timeout=SECONDS)
        except subprocess.TimeoutExpired:
            return None
        if done.returncode != 0 or version is None:
            return None
        return made.read_bytes(), f"ptxas {version[1]}"
