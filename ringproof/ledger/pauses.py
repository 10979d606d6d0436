"""The kinds of pauses that Plivo's answers begin, or a Redis that has gone back. One of an operator has no kind."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Final


@dataclass(frozen=True, slots=True)
class PauseKind:
    """One kind: its fields in `{P}:pauses`, whether a number is sent to as a probe, and its reason in a sentence.

    One that `ends_by_itself` is over at `next_probe`: nothing has to be tried.
    """

    began: str
    next_probe: str
    sends_probes: bool
    why: str
    ends_by_itself: bool = False


PAUSE_KINDS: Final[Mapping[str, PauseKind]] = {
    "credentials": PauseKind(
        "credentials", "credentials_probe", sends_probes=False, why="Plivo does not know the credentials (401)"
    ),
    "account": PauseKind("account", "account_until", sends_probes=True, why="Plivo refuses the account"),
    "doubts": PauseKind(
        "doubts",
        "doubts_until",
        sends_probes=True,
        why="five sends in a row had no answer that shows whether Plivo sent the code",
    ),
    "forgotten": PauseKind(
        "forgotten",
        "forgotten_ends",
        sends_probes=False,
        why="Redis has gone back, and a worker that may have sent codes has not said which: they may live until then",
        ends_by_itself=True,
    ),
}
"""Each kind by the field of `{P}:pauses` that exists while it lasts. The scripts get their lists of kinds from here."""

ACCOUNT_REFUSALS: Final[Mapping[str, str]] = {
    "402": "Plivo refuses the account: it has no credit (402)",
    "403": "Plivo refuses the account (403): it refuses numbers of countries where it took codes today",
    "404": "Plivo knows no such address (404, 405): PLIVO_BASE_URL is probably wrong",
}
"""Why the account is paused, by the status that showed it."""

FORGOTTEN_AFTER: Final = timedelta(hours=1)
"""The refusal of a destination is forgotten once its next try has been due for so long: there was no number to try."""
