"""What this version can read of Redis, and by what it knows that a newer version has written something.

Several versions may work on one Redis: an upgrade takes a worker at a time, and may go back. A newer version may write
words that an older one does not know: states, reasons, lanes. The older one keeps them and leaves the number to a newer
worker. A change that words do not show raises SCHEMA: then records have it in the field `v`, and messages in a header.

A newer version's word differs from damage by its look: no version writes `Junk!` for a state.
"""

import re
from collections.abc import Mapping
from typing import Any, Final

SCHEMA: Final = 1
"""The schema of the records, batches and messages that this version writes and reads. It also reads all lower ones.

What names no schema has the first one.
"""

HEADER: Final = "ringproof_schema"
"""The header of a message that needs a worker with a higher schema than the first. No message of ours has it yet."""

WORD: Final = re.compile(r"[a-z][a-z0-9_]{0,31}")
"""The names of states, reasons, lanes and channels, in all versions."""


def is_word(text: str) -> bool:
    """Whether a text may be a name of a newer version's.

    >>> is_word("opted_out"), is_word("Junk!")
    (True, False)
    """
    return WORD.fullmatch(text) is not None


def is_newer_schema(text: str | None) -> bool:
    """Whether a field `v` names a schema that this version does not know.

    >>> is_newer_schema("2"), is_newer_schema("1"), is_newer_schema(None)
    (True, False, False)
    """
    return text is not None and text.isascii() and text.isdecimal() and int(text[:9]) > SCHEMA


def needs_newer(headers: Mapping[str, Any]) -> bool:
    """Whether a message with these headers needs a worker of a newer version.

    >>> needs_newer({"ringproof_schema": 2}), needs_newer({"ringproof_schema": 1}), needs_newer({})
    (True, False, False)
    """
    schema = headers.get(HEADER)
    return type(schema) is int and schema > SCHEMA
