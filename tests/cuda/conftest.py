"""The harness that runs compiled programs, and the generator of random graphs, live beside the tests they were made for."""

import sys
from pathlib import Path

for folder in ("loop", "fuzz"):
    sys.path.insert(0, str(Path(__file__).parents[1] / folder))
