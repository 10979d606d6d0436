"""The people whose phones the sandbox rings: whether each enters the code it got, rightly, wrongly or never, and when.

What they would enter is offered (`GET /sandbox/answers`), and entered by whoever asks for it: so it goes the way of
real codes, through the confirmation that is to be shown.
"""

import heapq
import random
import re
from collections import deque
from dataclasses import asdict, dataclass
from itertools import islice
from typing import Any, Self

from ringproof.errors import InvalidRequest
from worker.local.sandbox.switches import LONGEST_SECONDS

KEPT = 100_000
"""Answers that wait, and as many that are offered: some 40 MB each."""

_NUMBER = r"[0-9]{1,9}(?:\.[0-9]{1,9})?"
_WORD = re.compile(rf"(?P<name>right|wrong|never|seed)=(?P<value>{_NUMBER})%?")
_AFTER = re.compile(rf"(?P<low>{_NUMBER})(?:-(?P<high>{_NUMBER}))?")


@dataclass(frozen=True, slots=True)
class People:
    """What becomes of a code: entered `right`, `wrong` or `never`, by weight, and after how many seconds.

    It is drawn from the `seed`, the number and which of its codes it is, so that the same numbers do the same in
    each run, in whatever order they are asked. A wrong code has as many digits as the right one.
    """

    right: float
    wrong: float
    never: float
    after_seconds: tuple[float, float] = (1.0, 5.0)
    seed: int = 0

    @classmethod
    def read(cls, answers: str | None, answer_after: str | None) -> Self | None:
        """The people that `right=80,wrong=10,never=10` and `1-5` describe; None, if nothing does, for nobody.

        InvalidRequest tells what can be written.
        """
        if answers is None:
            if answer_after is not None:
                raise InvalidRequest("answer-after", repr(answer_after), "give --answers, too: without it nobody does")
            return None
        words = [_WORD.fullmatch(word.strip()) for word in answers.split(",")]
        told = {word["name"]: float(word["value"]) for word in words if word}
        right, wrong, never, seed = (told.get(name, 0.0) for name in ("right", "wrong", "never", "seed"))
        if len(told) < len(words) or not right + wrong + never or not seed.is_integer():
            remedy = "weights such as right=80,wrong=10,never=10, not all 0, and perhaps seed=7 for others who do so"
            raise InvalidRequest("answers", repr(answers), remedy)
        after = _AFTER.fullmatch("1-5" if answer_after is None else answer_after.strip())
        low, high = (float(after["low"]), float(after["high"] or after["low"])) if after else (1.0, 0.0)
        if not low <= high <= LONGEST_SECONDS:
            raise InvalidRequest("answer-after", repr(answer_after), "seconds such as 1-5 or 3, up to 3600")
        return cls(right, wrong, never, (low, high), int(seed))

    def answer(self, number: str, code: str, nth: int) -> tuple[float, str] | None:
        """After how many seconds this number's nth code is entered, and what then is; None: never."""
        chance = random.Random(f"{self.seed}/{number}/{nth}")
        (does,) = chance.choices(("right", "wrong", "never"), (self.right, self.wrong, self.never))
        if does == "never":
            return None
        after, amiss = chance.uniform(*self.after_seconds), chance.randrange(1, 10 ** len(code))
        if does == "right":
            amiss = 0
        return after, f"{(int(code) + amiss) % 10 ** len(code):0{len(code)}d}"


@dataclass(frozen=True, slots=True, repr=False)
class Entry:
    """One code as its person enters it."""

    phone_number: str
    verification_uuid: str
    code: str
    right: bool


class Answers:
    """What people enter, each at its time, numbered from 0 as those times come.

    Of more than 100,000 on offer the oldest are forgotten; a person who comes when as many wait never answers.
    """

    def __init__(self) -> None:
        self._waiting: list[tuple[float, int, Entry]] = []
        self._offered: deque[Entry] = deque(maxlen=KEPT)
        self._added = 0
        self._count = 0

    def add(self, now: float, after: float, entry: Entry) -> None:
        """Have it offered `after` seconds from now."""
        self._come_due(now)
        if len(self._waiting) < KEPT:
            heapq.heappush(self._waiting, (now + after, self._added, entry))
            self._added += 1

    def __len__(self) -> int:
        """How many were to come at the last look."""
        return len(self._waiting)

    def since(self, first: int, now: float) -> tuple[list[dict[str, Any]], int]:
        """Those that are due by now, from the `first` on, and the number that the next one will have."""
        self._come_due(now)
        forgotten = self._count - len(self._offered)
        first = max(first, forgotten)
        found = islice(self._offered, first - forgotten, None)
        return [{"n": n, **asdict(one)} for n, one in enumerate(found, first)], self._count

    def _come_due(self, now: float) -> None:
        while self._waiting and self._waiting[0][0] <= now:
            self._offered.append(heapq.heappop(self._waiting)[2])
            self._count += 1
