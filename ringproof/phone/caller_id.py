"""Check the two values that Plivo stores with a verified number: its alias and its subaccount."""

import re
from typing import Final

from ringproof.errors import InvalidRequest
from ringproof.phone.masking import mask_value

ALIAS_LENGTH: Final = 255
"""Most characters of an alias. Plivo documents no limit; its console accepts 255."""

_LONGEST: Final = 4 * ALIAS_LENGTH
"""Characters of a value as it is given, with all blanks and marks at its ends: a bound for the work on it."""

SUBACCOUNT = re.compile(r"SA[A-Za-z0-9]{18}", re.ASCII)

_BLANK = re.compile(r"[\u00a0\u1680\u2000-\u200a\u202f\u205f\u3000]")
_EDGE: Final = " \u00ad\u034f\u061c\u180e\u200b\u200c\u200d\u200e\u200f\u2060\ufeff"
"""Joiners and direction marks mean something between two letters, and nothing at the ends of an alias."""

_NOTHING: Final = (
    _EDGE + "\t\n\r\v\f\u1680\u2028\u2029\u202f\u205f\u3000\u00a0" + "".join(map(chr, range(0x2000, 0x200B)))
)
"""The signs of a field in which a person sees nothing."""

_BREAK = re.compile(r"[\t-\r\x1c-\x1f\x85\u2028\u2029]+")
_FORBIDDEN = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202d\u202e\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff]")
"""Line breaks, control characters, halves of a character, and overrides, with which a text reads backwards."""

_CLOSES: Final = dict.fromkeys("\u202a\u202b", "\u202c") | dict.fromkeys("\u2066\u2067\u2068", "\u2069")
"""Embeddings and isolates: the direction of a part of a text, from an opening sign to a closing one."""

_DIRECTION = re.compile(r"[\u202a-\u202c\u2066-\u2069]")


def is_empty(field: object) -> bool:
    """Whether a field of a form is empty: None, or a text in which a person sees nothing."""
    return field is None or (isinstance(field, str) and not field.strip(_NOTHING))


def check_alias(alias: object) -> str | None:
    """Return the alias as Plivo gets it; None if it is empty.

    Every blank becomes a space. Invisible marks are dropped at the ends and kept between letters. Raises
    `InvalidRequest` for line breaks, control characters and more than 255 characters.

    >>> check_alias("Ada\N{NO-BREAK SPACE}Lovelace "), check_alias("")
    ('Ada Lovelace', None)
    """
    if isinstance(alias, str) and len(alias) <= ALIAS_LENGTH and alias.isprintable():
        return alias.strip(" ") or None  # nearly all rows of a roster
    if is_empty(alias):
        return None
    if isinstance(alias, str) and len(alias) <= _LONGEST and not _FORBIDDEN.search(alias):
        trimmed = _trimmed(alias)
        if len(trimmed) <= ALIAS_LENGTH:
            return trimmed or None
    raise InvalidRequest("alias", mask_value(alias), f"1 to {ALIAS_LENGTH} printable characters, or leave it out")


def clean_alias(alias: object) -> str | None:
    r"""Return the nearest alias that `check_alias` accepts; None if nothing is left.

    >>> clean_alias("Ada\r\nLovelace\a"), clean_alias(["Ada"])
    ('Ada Lovelace', None)
    """
    if not isinstance(alias, str):
        return None
    trimmed = _trimmed(_FORBIDDEN.sub("", _BREAK.sub(" ", alias.strip(_NOTHING)[:_LONGEST])))
    return _trimmed(trimmed[:ALIAS_LENGTH]) or None


def check_subaccount(subaccount: object) -> str | None:
    """Return the subaccount's auth id, without the blanks around it; None if it is empty.

    Raises `InvalidRequest` for any other value.
    """
    if subaccount is None or is_empty(subaccount):
        return None
    if isinstance(subaccount, str) and len(subaccount) <= _LONGEST:
        trimmed = _trimmed(subaccount)
        if SUBACCOUNT.fullmatch(trimmed):
            return trimmed
    raise InvalidRequest("subaccount", mask_value(subaccount), "a subaccount's auth id, 20 characters: SA…")


def _trimmed(value: str) -> str:
    """Return a value with plain spaces, without the blanks and invisible marks at its ends."""
    if value.isprintable():
        return value.strip(" ")
    text = _BLANK.sub(" ", value).strip(_EDGE)
    if not _is_balanced(text):
        text = _DIRECTION.sub("", text).strip(_EDGE)
    if text[:1] in _CLOSES and text[-1] == _CLOSES[text[0]] and _is_balanced(text[1:-1]):
        return text[1:-1].strip(_EDGE)  # a phone's contacts put such a pair around a name
    return text


def _is_balanced(text: str) -> bool:
    """Whether each embedding and isolate of a text ends in it. If not, it would turn the text after it, too."""
    waiting = []
    for sign in _DIRECTION.findall(text):
        if sign in _CLOSES:
            waiting.append(_CLOSES[sign])
        elif not waiting or waiting.pop() != sign:
            return False
    return not waiting
