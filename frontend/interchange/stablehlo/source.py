"""A text that is read from left to right: tokens, and errors that say the line and the column."""

from __future__ import annotations

import re
from typing import NoReturn

from ingot.interchange.stablehlo.module import StablehloError

__all__ = ["Source"]

_SPACE = re.compile(r"(?:[ \t\r\n]+|//[^\n]*)*")
_NAME = re.compile(r"[A-Za-z_][\w$.]*")
_INT = re.compile(r"-?\d+")
_STRING = re.compile(r'"((?:[^"\\\n]|\\.)*)"')
_ESCAPE = re.compile(r'\\(?:([nt"\\])|([0-9A-Fa-f]{2}))')
_ESCAPES = {"n": b"\n", "t": b"\t", '"': b'"', "\\": b"\\"}
DEPTH = 64  # of what is nested in what is read
_OPEN, _CLOSE = {"<": ">", "(": ")", "[": "]", "{": "}"}, frozenset(">)]}")
_BRACKET = re.compile(r'->|"(?:[^"\\\n]|\\.)*"|[<>()\[\]{}]')


class Source:
    """A text, and how far it is read. What is asked for is looked for behind space and comments."""

    def __init__(self, text: str):
        self.text = text
        self.at = 0
        self.depth = 0
        self.line = (0, 1)  # a place, and its line
        self.space()

    def space(self) -> None:
        m = _SPACE.match(self.text, self.at)
        assert m is not None
        self.at = m.end()

    def place(self, at: int | None = None) -> str:
        """Line and column, for messages."""
        at = self.at if at is None else at
        known, line = self.line if self.line[0] <= at else (0, 1)
        line += self.text.count("\n", known, at)
        self.line = (at, line)
        return f"line {line}, column {at - self.text.rfind(chr(10), 0, at)}"

    def fail(self, message: str, at: int | None = None) -> NoReturn:
        raise StablehloError(f"{self.place(at)}: {message}")

    def expected(self, what: str) -> NoReturn:
        found = self.text[self.at : self.at + 20].split("\n")[0]
        self.fail(f"expected {what}, found {found!r}" if found else f"expected {what}, and the text ends")

    def done(self) -> bool:
        return self.at >= len(self.text)

    def is_next(self, literal: str) -> bool:
        return self.text.startswith(literal, self.at)

    def match(self, pattern: re.Pattern[str]) -> re.Match[str] | None:
        """What matches a pattern, and is read then."""
        m = pattern.match(self.text, self.at)
        if m is not None:
            self.at = m.end()
            self.space()
        return m

    def ahead(self, pattern: re.Pattern[str]) -> re.Match[str] | None:
        """What matches a pattern, and is not read."""
        return pattern.match(self.text, self.at)

    def take(self, literal: str) -> bool:
        """Read a literal if it is next."""
        if not self.text.startswith(literal, self.at):
            return False
        self.at += len(literal)
        self.space()
        return True

    def need(self, literal: str) -> None:
        if not self.take(literal):
            self.expected(repr(literal))

    def word(self, what: str = "a name") -> str:
        m = self.match(_NAME)
        return m.group() if m is not None else self.expected(what)

    def take_word(self, word: str) -> bool:
        """Read a word if it is next, and ends there."""
        m = self.ahead(_NAME)
        if m is None or m.group() != word:
            return False
        self.match(_NAME)
        return True

    def integer(self) -> int:
        m = self.match(_INT)
        if m is None or len(m.group()) > 40:
            self.expected("an integer")
        return int(m.group())

    def string(self) -> str:
        return self.octets().decode("utf-8", "replace")

    def octets(self) -> bytes:
        """A string in quotes, as bytes."""
        m = self.match(_STRING)
        if m is None:
            self.expected("a string in quotes")
        raw, out, at = m.group(1), [], 0
        for e in _ESCAPE.finditer(raw):
            out += [raw[at : e.start()].encode(), _ESCAPES[e[1]] if e[1] else bytes.fromhex(e[2])]
            at = e.end()
        return b"".join([*out, raw[at:].encode("utf-8", "replace")])

    def nested(self, step: int) -> None:
        """One level more, or less, of what is nested."""
        self.depth += step
        if self.depth > DEPTH:
            self.fail(f"more than {DEPTH} levels within each other")

    def balanced(self) -> str:
        """What stands between a bracket that is next and the one that closes it, with both."""
        start, stack = self.at, []
        if not self.text[start : start + 1] or self.text[start] not in _OPEN:
            self.expected("a bracket")
        at = start
        while True:
            m = _BRACKET.search(self.text, at)
            if m is None:
                self.fail("a bracket is not closed", start)
            at, token = m.end(), m.group()
            if token in _OPEN:
                stack.append(_OPEN[token])
                if len(stack) > DEPTH:
                    self.fail(f"more than {DEPTH} levels within each other")
            elif token in _CLOSE:
                if stack.pop() != token:
                    self.fail(f"{token!r} closes nothing", m.start())
                if not stack:
                    break
        self.at = at
        self.space()
        return self.text[start:at]
