"""Scheduling a graph, and running it without a GPU."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "loop"))  # its harness runs compiled programs
