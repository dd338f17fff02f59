"""`python -m ingot.runtime.cli`: the command `ingot` where its script is not on the path."""

import sys

from ingot.runtime.cli import main

sys.exit(main())
