"""`python -m tests.replay`: see the package."""

from __future__ import annotations

import argparse
import subprocess
import sys

from tests.replay import digests
from tests.replay.corpus import groups

GROUPS = groups()


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.replay", description="Compare the machine code of a fixed corpus of graphs.")
    parser.add_argument("--against", metavar="COMMIT", help="compare with the digests that this commit holds, not with the file's")
    parser.add_argument("--level", action="append", choices=digests.LEVELS, help="compile for this level only (may be repeated)")
    parser.add_argument("--only", metavar="TEXT", help="groups whose name contains TEXT")
    parser.add_argument("--bless", action="store_true", help="rewrite the file, or its rows of --only")
    args = parser.parse_args()
    if args.bless and (args.level or args.against):
        parser.error("--bless rewrites whole rows of the file: of options it takes --only alone")
    if args.against:
        path = f"{args.against}:./{digests.FILE.name}"
        text = subprocess.run(["git", "show", path], cwd=digests.FILE.parent, check=True, capture_output=True, text=True).stdout
    else:
        text = digests.FILE.read_text() if digests.FILE.exists() else "#\n#\n"
    toolchain, was = digests.parse(text)
    if was and toolchain != digests.versions() and (args.only is not None or not args.bless):
        nothing = "only all of them can be blessed" if args.bless else "nothing can be compared"
        print(f"the digests were made with {toolchain}, here is {digests.versions()}: {nothing}")
        return 2
    now = {}
    for name, graphs in GROUPS.items():
        if args.only is None or args.only in name:
            now[name] = digests.measure(graphs(), args.level or digests.LEVELS)
            for line in digests.compare(was, {name: now[name]}):
                print(line, flush=True)
    gone = [name for name in was if name not in now] if args.only is None else []
    for name in gone:
        print(f"{name}: gone")
    if args.bless:
        digests.FILE.write_text(digests.dump({name: now.get(name) or was[name] for name in GROUPS if name in now or name in was}))
    changed = len(digests.compare(was, now)) + len(gone)
    print(f"{sum(r.graphs for r in now.values())} graphs in {len(now)} groups: {changed or 'none'} changed")
    return 1 if changed and not args.bless else 0


if __name__ == "__main__":
    sys.exit(main())
