"""What an end user reads when something goes wrong: plain sentences, in a file for each language.

    sentence(error)  # "Please write the phone number with its country code, for example +1 415 555 0123."
    sentence(error, "es")  # "Escriba el número de teléfono con el prefijo de su país, …"

An error's own text is for the developer and the operator: it names arguments, settings and addresses. These sentences
do not, nor do they have a number or a code.
"""

import math
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Final

from ringproof import errors
from ringproof.words import catalogue as catalogues
from ringproof.words.catalogue import OTHERWISE, WAIT, Catalogue, load

__all__ = ["Catalogue", "load", "sentence"]

_NONE: Catalogue = MappingProxyType({})

_UNITS: Final = (("second", 1, 90), ("minute", 60, 90 * 60), ("hour", 3600, math.inf))
"""A unit, its seconds, and the most seconds that are shown in it."""


def sentence(error: BaseException, language: str = "en", catalogue: Catalogue | None = None) -> str:
    """Return what to tell an end user about an error of Ringproof's, or about any other one: a text without markup.

        sentence(CoolingDown(until))  # "We have just sent you a code. You can have another one in 45 seconds."

    `language` is `en`, `es`, one of their variants, such as `es-MX`, or a browser's `Accept-Language`: the first one
    there that Ringproof has. Any other one gets English. `catalogue` has an application's own sentences, from `load`,
    which take the place of these. It never raises.
    """
    sources = (catalogue or _NONE, catalogues.of(language), catalogues.english())
    until = _until(error)
    wait = _duration(until, [source.get(WAIT, {}) for source in sources]) if until else ""
    found = next(_sentences(error, sources))
    return found.format(wait=wait, tries_left=getattr(error, "tries_left", None))


def _sentences(error: BaseException, sources: tuple[Catalogue, ...]) -> Iterator[str]:
    """Yield the sentences that fit an error, the best first: by its own class, and then by those above it."""
    reason = _reason(error)
    for kind in type(error).__mro__:
        for source in sources:
            sentences = source.get(kind.__name__, {})
            yield from (sentences[key] for key in (reason, OTHERWISE) if key in sentences)
    yield from (source["Exception"][OTHERWISE] for source in sources if "Exception" in source)


def _reason(error: BaseException) -> str:
    """Return the key of an error's sentence in the table of its class."""
    match error:
        case errors.InvalidNumber(reason=key) | errors.InvalidRequest(field=key) | errors.Capped(limit=key):
            return key
        case errors.WrongCode(locked_until=datetime()):
            return "locked"
        case errors.WrongCode(tries_left=int(left)):
            return "tries_left" if left else "no_tries_left"
    return OTHERWISE


def _until(error: BaseException) -> datetime | None:
    until = getattr(error, "until", None) or getattr(error, "locked_until", None)
    return until if isinstance(until, datetime) else None


def _duration(until: datetime, words: list[Mapping[str, str]]) -> str:
    """Return the time from now until then in words, rounded up to one unit: `3 minutes`."""
    seconds = max(1, math.ceil((until - datetime.now(UTC)).total_seconds()))
    unit, length = next((unit, length) for unit, length, most in _UNITS if seconds <= most)
    count = math.ceil(seconds / length)
    key = unit if count == 1 else f"{unit}s"
    return next(table[key] for table in words if key in table).format(n=count)
