"""The Lua scripts as Redis gets them: each with the shared pieces that it needs in front of it.

The first line of a Lua file names these pieces: `-- needs: record, pace`. A piece is a file of `lua/lib`, or one of
`TABLES`, which are written from Python's own values. A piece may need others in turn.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from importlib.resources import files
from typing import Final

from ringproof.ledger.connection import DAMAGE_SIGNS
from ringproof.ledger.durations import ms
from ringproof.ledger.heartbeats import ALIVE
from ringproof.ledger.keys import Keys
from ringproof.ledger.locks import COUNT_FOR, LOCKS
from ringproof.ledger.pauses import FORGOTTEN_AFTER, PAUSE_KINDS
from ringproof.ledger.record import FIELDS, FINAL, LETTERS, UNBEGUN, UNFINISHED, Lane
from ringproof.ledger.row_outcomes import BYTES, LISTS, RATE_SECONDS, UNFINISHED_BYTES
from ringproof.ledger.schema import SCHEMA


def _lua_text(text: str) -> str:
    return "'" + text.replace("\0", "\\0") + "'"


def _lua_list(texts: Iterable[str]) -> str:
    return "{" + ", ".join(map(_lua_text, texts)) + "}"


def _lua_table(values: Mapping[str, str]) -> str:
    return "{" + ", ".join(f"[{_lua_text(name)}] = {_lua_text(value)}" for name, value in values.items()) + "}"


def _lua_set(texts: Iterable[str]) -> str:
    return "{" + ", ".join(f"{text} = true" for text in sorted(texts)) + "}"


def _batch_key_templates() -> list[str]:
    return Keys("").batch("NAME").content


def _networks() -> str:
    from ringproof.phone.number_plan import NETWORKS  # noqa: PLC0415  # it loads phonenumbers, and few scripts need it

    return f"""
-- The calling codes that belong to no country.
local NETWORKS = {{{", ".join(f"[{_lua_text(code)}] = true" for code in sorted(NETWORKS))}}}
"""


def _senders() -> str:
    from ringproof.ledger.queues import LANES  # noqa: PLC0415  # it needs the ledger, which needs the scripts

    return f"""
-- How old (ms) the last heartbeat of a worker may be, and the queues from which workers send.
local ALIVE_MS, LANE_QUEUES = {ms(ALIVE)}, {_lua_table({name: name for name in LANES})}
"""


TABLES: Final[Mapping[str, Callable[[], str]]] = {
    "damage_signs": lambda: f"local DAMAGE_SIGNS = {_lua_list(DAMAGE_SIGNS)}\n",
    "lanes": lambda: f"local LANES = {_lua_list(Lane)}\n",
    "words": lambda: (
        f"""
-- The schema of this version, and the lanes and channels that it knows.
local SCHEMA, KNOWN_LANES, KNOWN_CHANNELS = {SCHEMA}, {_lua_set(Lane)}, {_lua_set(LISTS)}
"""
    ),
    "record_fields": lambda: (
        f"""
-- The fields of a record that this version knows, beside the further ones of a long alias.
local KNOWN_FIELDS = {_lua_set(FIELDS)}
"""
    ),
    "pause_kinds": lambda: (
        f"""
-- The pauses whose probe is a send, and for each pause the field with the time of its next probe.
local SENDING_PROBES = {_lua_list(field for field, kind in PAUSE_KINDS.items() if kind.sends_probes)}
local NEXT_PROBES = {_lua_list(kind.next_probe for kind in PAUSE_KINDS.values())}
"""
    ),
    "senders": _senders,
    "forgetting": lambda: (
        f"""
-- The refusal of a destination is forgotten once its next try has been due for so long.
local FORGET_MS = {FORGOTTEN_AFTER.total_seconds() * 1000:.0f}
"""
    ),
    "networks": _networks,
    "locks": lambda: (
        f"""
-- The lengths of a number's first lock, of its second one, and so on; and for how long wrong codes count.
local LOCKS_MS, WRONG_CODES_COUNT_MS = {{{", ".join(str(ms(one)) for one in LOCKS)}}}, {ms(COUNT_FOR)}
"""
    ),
    "states": lambda: (
        f"""
-- The states of a request that no worker has begun, those without an outcome, and those that time does not change.
local UNBEGUN, UNFINISHED, FINAL = {_lua_set(UNBEGUN)}, {_lua_set(UNFINISHED)}, {_lua_set(FINAL)}
"""
    ),
    "history_letters": lambda: (
        f"""
-- Returns the letter of a state or a reason in a record's history; nil if it has none.
local LETTERS = {_lua_table(LETTERS)}
local function letter_of(word)
  return LETTERS[word]
end
"""
    ),
    "batch_tables": lambda: (
        f"""
-- The byte of each outcome, and the outcome of each byte; the bytes of rows without an outcome; a batch's keys (NAME:
-- its name); and the time in which the weight of a code falls to 37 %.
local BYTES = {_lua_table(BYTES)}
local OUTCOMES = {_lua_table({byte: outcome for outcome, byte in BYTES.items()})}
local UNFINISHED_BYTES = {_lua_text(UNFINISHED_BYTES)}
local BATCH_KEYS = {_lua_text(" ".join(_batch_key_templates()))}
local RATE_MS = {RATE_SECONDS * 1000:.0f}
local function byte_of_outcome(outcome)
  return BYTES[outcome]
end
local function outcome_of_byte(byte)
  return OUTCOMES[byte]
end
"""
    ),
}
"""The pieces that are written from Python's values when a script needs them, so that each list has one place."""

AT_ONCE: Final = ("arguments", "clock")
"""The pieces that every script runs first. The others are made when a script first uses a name of theirs."""

AT_THE_END: Final = ("write_batches", "write_spent", "write_changes", "write_events", "write_metrics")
"""The functions that write what a script has collected, in this order. They are not called if their piece was not made.
"""

_NEEDS = re.compile(r"-- needs: (\w+(?:, \w+)*)\n")
_GIVEN = re.compile(r"^local (?:function )?(\w+(?:,\s+\w+)*)", re.MULTILINE)
_NAME = re.compile(r"--[^\n]*|'(?:\\.|[^'\\])*'|[.:]?\b[A-Za-z_]\w*")


def lua_source(name: str) -> str:
    """Read a file of `ringproof/ledger/lua`; `number/accept` is `lua/number/accept.lua`."""
    return files("ringproof.ledger").joinpath("lua", f"{name}.lua").read_text(encoding="utf-8")


def all_sources() -> Iterator[str]:
    """Yield the text of every file of `ringproof/ledger/lua`."""
    waiting = [files("ringproof.ledger").joinpath("lua")]
    while waiting:
        for entry in waiting.pop().iterdir():
            if entry.is_dir():
                waiting.append(entry)
            elif entry.name.endswith(".lua"):
                yield entry.read_text(encoding="utf-8")


def needs(source: str) -> tuple[str, ...]:
    """Return the pieces that the first line of a Lua source names."""
    first_line = _NEEDS.match(source)
    return tuple(first_line[1].split(", ")) if first_line else ()


def pieces_of(name: str, clock: str | None = None) -> dict[str, str]:
    """Return the pieces that a script needs by name, each after those that it needs itself.

    `clock` takes the place of `lib/clock`. Raises `ValueError` if pieces need each other in a circle.
    """
    texts: dict[str, str] = {}

    def add(piece: str, on_the_way: tuple[str, ...]) -> None:
        if piece in on_the_way:
            raise ValueError(f"Lua pieces need each other in a circle: {' -> '.join((*on_the_way, piece))}")
        if piece in texts:
            return
        if piece == "clock" and clock:
            text = clock
        else:
            text = TABLES[piece]() if piece in TABLES else lua_source(f"lib/{piece}")
        for other in needs(text):
            add(other, (*on_the_way, piece))
        texts[piece] = text

    for piece in needs(lua_source(name)):
        add(piece, ())
    return texts


def script_text(name: str, clock: str | None = None) -> str:
    """Return a script with all pieces that it needs, as `pieces_of` returns them.

    Making all functions of all pieces would cost Redis more than most scripts do with them. So the names of the pieces
    are fields of a table `lib`, and the first use of one makes its piece, with all of its names. A field begins with
    the number of its piece (`lib.p3_reserve`): a table of whose name is whose would be made at each call.
    """
    pieces, script = pieces_of(name, clock), lua_source(name)
    first = [pieces.pop(piece) for piece in AT_ONCE if piece in pieces]
    if not pieces:
        return "\n".join([*first, script])
    given = {piece: _given(text) for piece, text in pieces.items()}
    fields = {piece: {one: f"lib.p{number}_{one}" for one in given[piece]} for number, piece in enumerate(pieces)}

    def linked(text: str) -> str:
        """Take the names of pieces in a text from `lib`."""
        names = {one: field for piece in needs(text) for one, field in fields.get(piece, {}).items()}
        return _NAME.sub(lambda match: names.get(match[0], match[0]), text)

    used: dict[str, set[str]] = {}
    for text in (script, *pieces.values()):
        in_text = set(_NAME.findall(text))
        for piece in needs(text):
            used.setdefault(piece, set()).update(in_text)
    makers = []
    for number, (piece, text) in enumerate(pieces.items()):
        names = [one for one in given[piece] if one in used[piece] or one in AT_THE_END]
        set_fields = ", ".join(fields[piece][one] for one in names)
        if names:  # `make mutations` takes the only use of a piece out
            makers.append(f"if piece == 'p{number}' then\n{linked(text)}\n{set_fields} = {', '.join(names)}\n")
    ends = [of[end] for end in AT_THE_END for of in fields.values() if end in of]
    return "\n".join(
        [
            *first,
            "local lib = {}",
            f"local function make(piece)\n{'else'.join(makers)}end\nend",
            "setmetatable(lib, {__index = function(_, name) make(name:match('^p%d+')) return rawget(lib, name) end})",
            f"local function run()\n{linked(script)}\nend",
            "local answer = run()",
            *(f"if rawget(lib, '{end.removeprefix('lib.')}') then {end}() end" for end in ends),
            "return answer\n",
        ]
    )


def _given(piece: str) -> list[str]:
    """Return the names that a piece defines for others: its locals that are indented by nothing."""
    return [name for names in _GIVEN.findall(piece) for name in re.split(r",\s+", names)]
