"""The pages on how Ringproof works show what the code does: the table is printed from it, the picture drawn by it.

`python tests/docs/test_how_it_works.py` writes the table; tests/docs/pace_picture.py draws the picture.
"""

import re
from pathlib import Path

from pace_picture import PICTURE, draw

from worker.record import State
from worker.verdict import TABLE, Disposition, Newcomer

STATES = Path(__file__).parents[2] / "docs" / "how-it-works" / "states.md"
BLOCK = re.compile(r"(<!-- table: record × new request -->\n)(.*?)(<!-- end -->)", re.DOTALL)

WORDS = {
    Disposition.ACCEPTED: "accepted",
    Disposition.SAME: "the same request",
    Disposition.RETURNED: "returns it, sends nothing",
    Disposition.IN_DOUBT: "raises `InDoubt` at `.get()`",
    Disposition.JOINED: "joins it",
    Disposition.LIVE: "sends nothing: `live`",
    Disposition.VERIFIED: "sends nothing: `verified`",
    Disposition.GONE: "sends nothing: `gone`",
}


def table_of_requests():
    """Return *record × new request*, with the records that give the same answers in one row."""
    rows = {}
    for (state, live), answers in TABLE.items():
        rows.setdefault(tuple(answers[newcomer] for newcomer in Newcomer), {}).setdefault(state, set()).add(live)
    lines = ["| record is | " + " | ".join(Newcomer) + " |", "|---" * (len(Newcomer) + 1) + "|"]
    for answers, states in rows.items():
        records = "; ".join(_named(state, lives) for state, lives in states.items())
        lines.append(f"| {records} | " + " | ".join(WORDS[answer] for answer in answers) + " |")
    return "\n".join(lines) + "\n"


def _named(state, lives):
    """Return a state, and whether a code may live where that makes a difference."""
    name = f"`{state}`" if state else "none"
    if lives == {live for known, live in TABLE if known == state}:
        return name
    return f"{name}, a code may live" if True in lives else f"{name}, no code lives"


def test_the_table_of_records_and_requests_is_printed_from_the_code():
    assert BLOCK.search(STATES.read_text())[2] == table_of_requests(), f"write it with: python {__file__}"


def test_the_page_on_states_has_each_state():
    assert not [state for state in State if f"| `{state}` |" not in STATES.read_text()]


def test_the_picture_of_slots_and_lanes_is_current(client):
    assert draw(client) == PICTURE.read_text(), "draw it with: python tests/docs/pace_picture.py"


if __name__ == "__main__":
    STATES.write_text(BLOCK.sub(lambda found: found[1] + table_of_requests() + found[3], STATES.read_text()))
