"""Random graphs through passes and code, random bytes through parsers."""
