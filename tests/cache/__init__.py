"""The cache: entries, the store, races, damage, trust, and the compiler in front of it."""
