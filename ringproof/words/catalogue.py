"""The files with end users' sentences: one for each language, and those of an application's own."""

import re
import tomllib
from collections.abc import Mapping
from functools import cache
from importlib import resources
from os import PathLike
from pathlib import Path
from string import Formatter
from typing import Any, Final, cast

from ringproof import errors

Catalogue = Mapping[str, Mapping[str, str]]
"""Sentences by the class of an error, and by its reason: `catalogue["InvalidNumber"]["no_country"]`."""

OTHERWISE: Final = "otherwise"
"""The key of the sentence for all reasons of a class that have none of their own."""

WAIT: Final = "wait"
"""The table with the words for durations."""

LANGUAGES: Final = ("en", "es")
"""The languages that have a file here."""

LONGEST_LANGUAGE: Final = 256
"""Characters of a browser's languages: a stranger may send more."""

_ENGLISH: Final = "en"
_TAG = re.compile(r"[A-Za-z]{2}(?![A-Za-z])")


def load(path: str | PathLike[str]) -> Catalogue:
    """Read an application's own sentences: a file with the tables of `ringproof/words/en.toml`, or some of them.

        GERMAN = load("locale/ringproof-de.toml")
        sentence(error, catalogue=GERMAN)

    What it leaves out stays as it is. Raises `InvalidRequest` for a file that is none, for an unknown table, and for
    a {name} in braces that the English sentence does not have: an error that is shown to a user raises no other one.
    """
    file = Path(path)
    try:
        tables = tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise errors.InvalidRequest("catalogue", file.name, f"a TOML file of sentences ({error})") from None
    return checked(tables, file.name)


def of(language: str) -> Catalogue:
    """Return the sentences of the first language that Ringproof has: of `es`, `es-MX`, or a browser's Accept-Language.

    They are English if it has none of them.
    """
    names = (tag.strip()[:2].lower() for tag in language[:LONGEST_LANGUAGE].split(",") if _TAG.match(tag.strip()))
    return _read(next((name for name in names if name in LANGUAGES), _ENGLISH))


@cache
def _read(name: str) -> Catalogue:
    file = resources.files(__package__) / f"{name}.toml"
    return cast("Catalogue", tomllib.loads(file.read_text(encoding="utf-8")))


def english() -> Catalogue:
    """Return the English sentences: there is one for each error."""
    return _read(_ENGLISH)


def checked(tables: Mapping[str, Any], file: str) -> Catalogue:
    """Return the tables of a file. Raises `InvalidRequest` with the table and the key that are wrong."""
    for table, sentences in tables.items():
        if table not in english() and not _is_error(table):
            raise errors.InvalidRequest("catalogue", f"{file}: [{table}]", "a table is named for a class of errors")
        if not isinstance(sentences, Mapping):
            raise errors.InvalidRequest("catalogue", f"{file}: {table}", f"a table: [{table}]")
        for key, sentence in sentences.items():
            if remedy := _wrong_in(table, key, sentence):
                raise errors.InvalidRequest("catalogue", f"{file}: {table}.{key}", remedy)
    return tables


def _wrong_in(table: str, key: str, sentence: object) -> str:
    """Return what a sentence of a file has to be in the place of what it is; nothing if it is right."""
    if not isinstance(sentence, str) or not sentence.strip():
        return "a sentence in quotes"
    try:
        unknown = sorted(_names_in(sentence) - _names_of(table, key))
    except ValueError as error:
        return f"a sentence with names in its braces, such as {{wait}} ({error})"
    shown = ", ".join(f"{{{name}}}" for name in unknown)
    return f"leave {shown} out: the English sentence has no such value" if unknown else ""


def _is_error(name: str) -> bool:
    error = getattr(errors, name, None)
    return isinstance(error, type) and issubclass(error, errors.RingproofError)


def _names_of(table: str, key: str) -> set[str]:
    sentences = english().get(table, {})
    if table == WAIT:
        return {"n"}
    return _names_in(sentences.get(key) or sentences.get(OTHERWISE, ""))


def _names_in(sentence: str) -> set[str]:
    """Return the names in braces. Raises ValueError for a brace alone, or for more than a name."""
    names = set()
    for _, name, form, conversion in Formatter().parse(sentence):
        if name is not None:
            if form or conversion or not name.isidentifier():
                raise ValueError("these have more than a name")
            names.add(name)
    return names
