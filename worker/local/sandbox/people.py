"""The people who get the sandbox's codes: each one enters the right code or a wrong one, or never answers.

The sandbox offers what they would enter (`GET /sandbox/answers`). The program that asks for it enters the codes itself,
so that they go through its own confirmation, as real codes do; or the sandbox enters them (entering.py).
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
"""How many entries may wait, and how many may be offered: some 40 MB each."""

_NUMBER = r"[0-9]{1,9}(?:\.[0-9]{1,9})?"
_WORD = re.compile(rf"(?P<name>right|wrong|never|seed)=(?P<value>{_NUMBER})%?")
_AFTER = re.compile(rf"(?P<low>{_NUMBER})(?:-(?P<high>{_NUMBER}))?")


@dataclass(frozen=True, slots=True)
class People:
    """Decide what a person does with a code: enter it `right`, `wrong` or `never`, by weight, after some seconds.

    The choice depends only on the `seed`, the number, and how many codes the number has got. So each number does the
    same in every run, in any order of the requests. A wrong code has as many digits as the right one.
    """

    right: float
    wrong: float
    never: float
    after_seconds: tuple[float, float] = (1.0, 5.0)
    seed: int = 0

    @classmethod
    def read(cls, answers: str | None, answer_after: str | None) -> Self | None:
        """Return the people that `right=80,wrong=10,never=10` and `1-5` describe; None without a description.

        Raises `InvalidRequest`, whose remedy shows what a description looks like.
        """
        if answers is None:
            if answer_after is not None:
                raise InvalidRequest("answer-after", repr(answer_after), "give --answers, too; without it none answers")
            return None
        words = [_WORD.fullmatch(word.strip()) for word in answers.split(",")]
        weights = {word["name"]: float(word["value"]) for word in words if word}
        right, wrong, never, seed = (weights.get(name, 0.0) for name in ("right", "wrong", "never", "seed"))
        if len(weights) < len(words) or not right + wrong + never or not seed.is_integer():
            remedy = "weights such as right=80,wrong=10,never=10, not all 0; seed=7 among them chooses other people"
            raise InvalidRequest("answers", repr(answers), remedy)
        after = _AFTER.fullmatch("1-5" if answer_after is None else answer_after.strip())
        low, high = (float(after["low"]), float(after["high"] or after["low"])) if after else (1.0, 0.0)
        if not low <= high <= LONGEST_SECONDS:
            raise InvalidRequest("answer-after", repr(answer_after), "seconds such as 1-5 or 3, up to 3600")
        return cls(right, wrong, never, (low, high), int(seed))

    def answer(self, number: str, code: str, nth: int) -> tuple[float, str] | None:
        """Return after how many seconds this number's nth code is entered, and what is entered; None: never."""
        chance = random.Random(f"{self.seed}/{number}/{nth}")
        (choice,) = chance.choices(("right", "wrong", "never"), (self.right, self.wrong, self.never))
        if choice == "never":
            return None
        after, error = chance.uniform(*self.after_seconds), chance.randrange(1, 10 ** len(code))
        if choice == "right":
            error = 0
        return after, f"{(int(code) + error) % 10 ** len(code):0{len(code)}d}"


@dataclass(frozen=True, slots=True, repr=False)
class Entry:
    """One code as its person enters it: an element of `/sandbox/answers`."""

    phone_number: str
    verification_uuid: str
    code: str
    right: bool


class Entries:
    """Keep what people will enter until its time, and number it from 0 when its time comes.

    The last 100,000 entries are offered; older ones are forgotten. At most 100,000 wait; further people never answer.
    """

    def __init__(self) -> None:
        self._waiting: list[tuple[float, int, Entry]] = []
        self._offered: deque[Entry] = deque(maxlen=KEPT)
        self._added = 0
        self._count = 0

    def add(self, now: float, after: float, entry: Entry) -> None:
        """Offer an entry `after` seconds from now."""
        self._come_due(now)
        if len(self._waiting) < KEPT:
            heapq.heappush(self._waiting, (now + after, self._added, entry))
            self._added += 1

    def __len__(self) -> int:
        """Return how many entries wait, as of the last call of `add` or `since`."""
        return len(self._waiting)

    def since(self, first: int, now: float) -> tuple[list[dict[str, Any]], int]:
        """Return the entries that are due by now, from number `first` on, and the number that the next one gets."""
        self._come_due(now)
        forgotten = self._count - len(self._offered)
        first = max(first, forgotten)
        entries = islice(self._offered, first - forgotten, None)
        return [{"n": n, **asdict(entry)} for n, entry in enumerate(entries, first)], self._count

    def _come_due(self, now: float) -> None:
        while self._waiting and self._waiting[0][0] <= now:
            self._offered.append(heapq.heappop(self._waiting)[2])
            self._count += 1
