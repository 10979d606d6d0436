"""The Lua scripts as they are sent to Redis: each with the shared pieces in front of it."""

from collections.abc import Mapping
from importlib.resources import files
from typing import Final

PREAMBLE: Final = (
    *("lib/settings", "lib/record", "lib/batch_rows", "lib/reverification", "lib/transition"),
    *("lib/tombstone", "lib/limits", "lib/pace", "lib/pauses", "lib/request"),
)
"""What is put in front of every script: each needs those before it."""


def lua_table(letters: Mapping[str, str]) -> str:
    """Write a table of Lua's."""
    return "{" + ", ".join(f"['{name}'] = '{letter}'" for name, letter in letters.items()) + "}"


def lua_source(name: str) -> str:
    """Read one of `ringproof/ledger/lua`, by its path below it and without `.lua`."""
    return files("ringproof.ledger").joinpath("lua", f"{name}.lua").read_text(encoding="utf-8") + "\n"
