"""The compile cache: content-addressed shared objects, in folders that anyone can look into. See docs/cache.md.

Imports numpy and the standard library only.
"""

from ingot.runtime.cache.store import Cache, the_cache

__all__ = ["Cache", "the_cache"]
