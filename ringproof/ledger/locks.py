"""How long a number is locked after too many wrong codes.

Each code has five tries, and a number gets several codes a day. So wrong codes are also counted for each number, over
all of its codes (lua/lib/wrong_codes.lua). Each `RINGPROOF_MAX_WRONG_CODES` of them lock the number: while it is
locked, no code of it is checked.
"""

from datetime import timedelta
from typing import Final

LOCKS: Final = tuple(timedelta(days=days) for days in (1, 2, 4, 7))
"""The lengths of the first lock, of the second one, and so on; the last one is that of all later locks.

The first is a day, so that nobody enters more than ten wrong codes in 24 hours. They grow, because a guesser comes
back and a person who mistypes does not. They end at a week, because a stranger can lock somebody else's number.
"""

COUNT_FOR: Final = timedelta(days=30)
"""Wrong codes count until so long after the last one. A guesser who waits for that gets fewer tries than with locks."""
