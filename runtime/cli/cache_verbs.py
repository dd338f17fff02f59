"""`ingot cache …`: the arguments of its verbs."""

from __future__ import annotations

import argparse
from typing import Any

from ingot.runtime.cli.filters import FILTERS

__all__ = ["add_to"]


def add_to(verbs: Any) -> None:
    """Add `cache` and its verbs to the parser."""
    from ingot.runtime.cli import cache_changes, cache_listing, cache_ship, cache_state, cache_verify, cache_warm, explain, signing_verbs

    what = "what was compiled, what it costs, and why"
    cache = verbs.add_parser("cache", help=what, description=what, epilog="example: ingot cache ls --sort cost", allow_abbrev=False)
    cache.set_defaults(run=None, parser=cache)
    sub = cache.add_subparsers(metavar="VERB")

    def verb(name: str, help: str, example: str, run: Any) -> argparse.ArgumentParser:
        p = sub.add_parser(name, help=help, description=help, epilog=f"example: ingot cache {example}", allow_abbrev=False)
        p.add_argument("--json", action="store_true", help="one JSON document on stdout")
        p.add_argument("--dir", help="another cache folder than the environment's")
        p.set_defaults(run=run)
        return p

    def layers(p: argparse.ArgumentParser) -> None:
        p.add_argument("--layers", choices=("all", "own"), default="all", help="the folders of INGOT_CACHE_PATH too, or the own one (all)")

    def removal(p: argparse.ArgumentParser) -> None:
        p.add_argument("--dry-run", action="store_true", help="only tell what would be removed")
        p.add_argument("--yes", action="store_true", help="do not ask")
        p.add_argument("--force", action="store_true", help="remove what living processes have mapped, too (their code stays valid)")

    verb("dir", "the folder of the writable layer", "dir", cache_state.folder)
    verb("info", "layers, sizes and bounds, and what is mapped now", "info", cache_state.info)
    verb("config", "each setting with its origin", "config", cache_state.config)
    p = verb("ls", "the entries", "ls --sort cost --filter 'fn=train*'", cache_listing.ls)
    p.add_argument("--packaged", action="store_true", help="those that come with the package instead")
    p.add_argument("--filter", action="append", default=[], metavar="F", help=f"{FILTERS} (may be given again)")
    p.add_argument("--sort", choices=("cost", "size", "used", "age", "name"), default="used", help="default: %(default)s")
    p.add_argument("-q", "--quiet", action="store_true", help="only the keys")
    layers(p)
    p = verb("show", "one entry", "show 3fa9c1 --asm", cache_listing.show)
    p.add_argument("key", metavar="KEY", help="a key, or the beginning of one")
    part = p.add_mutually_exclusive_group()
    part.add_argument("--ir", action="store_true", help="the graph and the loops it became")
    part.add_argument("--asm", action="store_true", help="the machine code as assembly: compiled again, and the same bytes")
    part.add_argument("--preimage", action="store_true", help="what the key was made of")
    p = verb("explain", "why something was compiled", "explain train_step", explain.run)
    p.add_argument("what", metavar="KEY|FUNCTION", help="an entry or a recorded miss, by its key or the function's name")
    p = verb("stats", "hits, misses by reason, compile time saved and spent", "stats", cache_state.stats)
    p.add_argument("--reset", action="store_true", help="start to count anew")
    p = verb("verify", "check entries; what is damaged is set aside", "verify --deep", cache_verify.verify)
    p.add_argument("keys", nargs="*", metavar="KEY", help="only these entries (default: all)")
    p.add_argument("--deep", action="store_true", help="also the structure of every part, and that the preimage gives the key")
    p.add_argument("--rebuild", action="store_true", help="also compile again and compare every byte")
    layers(p)
    p = verb("prune", "remove what is worth least", "prune --max-size 500MiB", cache_changes.prune)
    p.add_argument("--max-size", metavar="SIZE", help="go down to so many bytes, as 1.5GB")
    p.add_argument("--max-entries", type=int, metavar="N", help="go down to so many entries")
    p.add_argument("--older-than", metavar="AGE", help="not used for this long, as 30d or 3d12h")
    p.add_argument("--stale", action="store_true", help="made by another Ingot or llvmlite than this one")
    removal(p)
    p = verb("rm", "remove entries", "rm 3fa9c1", cache_changes.remove)
    p.add_argument("keys", nargs="+", metavar="KEY", help="a key, or the beginning of one")
    removal(p)
    p = verb("clear", "remove all entries of the writable layer", "clear --yes", cache_changes.clear)
    removal(p)
    cache_ship.add_to(verb)
    cache_warm.add_to(verb)
    signing_verbs.add_to(verb)
