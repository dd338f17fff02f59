"""`python -m ingot`: the command `ingot` where its script is not on the path."""

import sys

from ingot.runtime.cli import main

if __name__ == "__main__":
    sys.exit(main())
