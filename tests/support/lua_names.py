"""The names in a Lua source: those that it defines for others, and those that it takes from elsewhere.

It knows as much of Lua as the scripts use; a long string or a `goto` is not among it.
"""

import re
from collections.abc import Iterator
from typing import Final

GIVEN_BY_REDIS: Final = {
    *("ARGV", "KEYS", "bit", "cjson", "cmsgpack", "error", "ipairs", "math", "next", "pairs", "pcall", "redis"),
    *("rawget", "rawset", "select", "setmetatable", "string", "table", "tonumber", "tostring", "type", "unpack"),
}

_KEYWORDS: Final = {
    *("and", "break", "do", "else", "elseif", "end", "false", "for", "function", "if", "in", "local", "nil", "not"),
    *("or", "repeat", "return", "then", "true", "until", "while"),
}
_DEFINES_UNTIL: Final = {"local": {"="}, "for": {"in", "="}, "function": {")"}}
"""Behind these words come names of the file's own, up to one of these signs."""

_TOKEN = re.compile(
    r"""(?P<skip>\s+|--[^\n]*)|(?P<text>'(?:\\.|[^'\\])*'|"(?:\\.|[^"\\])*")"""
    r"""|(?P<name>[A-Za-z_]\w*)|(?P<number>\d[\w.]*)|(?P<sign>\.\.\.|\.\.|[=~<>]=|.)"""
)


def defined(source: str) -> set[str]:
    """Return the names that a piece gives to what follows it: its locals that are indented by nothing."""
    functions = re.findall(r"^local function (\w+)", source, re.MULTILINE)
    values = re.findall(r"^local (?!function\b)(\w+(?:,\s+\w+)*)", source, re.MULTILINE)
    return {*functions, *(name for names in values for name in re.split(r",\s+", names))}


def own(source: str) -> set[str]:
    """Return all names that a source defines, also within functions."""
    return {name for name, is_own in _names(source) if is_own}


def taken(source: str) -> set[str]:
    """Return the names that a source uses and does not define itself, and that Redis does not give."""
    used, own = set(), set()
    for name, is_own in _names(source):
        (own if is_own else used).add(name)
    return used - own - GIVEN_BY_REDIS


def _names(source: str) -> Iterator[tuple[str, bool]]:
    """Give each name that is not a field, and whether it is defined there."""
    tokens = [match for match in _TOKEN.finditer(source) if match.lastgroup != "skip"]
    brackets: list[str] = []
    ends: set[str] = set()  # not empty: names are defined here
    for before, token, after in zip([None, *tokens], tokens, [*tokens[1:], None], strict=False):
        text, left, right = token[0], before[0] if before else "", after[0] if after else ""
        if text in "({[":
            brackets.append(text)
        elif text in ")}]":
            brackets.pop()
        ends = set() if text in ends else _DEFINES_UNTIL.get(text, ends)
        if token.lastgroup != "name" or text in _KEYWORDS or left in {".", ":"}:
            continue
        if not (brackets[-1:] == ["{"] and right == "=" and left in {"{", ","}):
            yield text, bool(ends)
        if "=" in ends and "in" not in ends and right != ",":  # `local a, b` without values
            ends = set()
