"""A finding: one thing that is wrong, and what to do."""

from dataclasses import asdict, dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any


class Severity(StrEnum):
    """How bad a finding is: nothing moves, something is held back, or it is only to be known."""

    STOPPED = "stopped"
    HELD_BACK = "held_back"
    WARNING = "warning"


class Code(StrEnum):
    """The stable names of the findings: each one is an alert, and a section of docs/operating/runbook.md."""

    REDIS_AWAY = "redis_away"
    REDIS_FULL = "redis_full"
    REDIS_READ_ONLY = "redis_read_only"
    REPLICAS_MISSING = "replicas_missing"
    OTHER_PREFIX = "other_prefix"
    NO_WORKER = "no_worker"
    CREDENTIALS_REFUSED = "credentials_refused"
    ACCOUNT_REFUSED = "account_refused"
    PLIVO_UNREACHABLE = "plivo_unreachable"
    CHILDREN_STOPPED = "children_stopped"
    NOT_CONSUMED = "not_consumed"
    NO_BEAT = "no_beat"
    LANE_WITHOUT_WORKER = "lane_without_worker"
    WENT_BACK = "went_back"
    PAUSED = "paused"
    DOUBTS = "doubts"
    CLOSED = "closed"
    ACCOUNTS_DIFFER = "accounts_differ"
    POLICIES_DIFFER = "policies_differ"
    VERSIONS_DIFFER = "versions_differ"
    REDIS_FAR = "redis_far"
    ACCOUNT_AWAY = "account_away"
    ACCOUNTS_WRONG = "accounts_wrong"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong: what is so, with the figures, and what to do.

    `lane` is the lane that it is about, or "ticks"; None: all of them. `until` is when it ends by itself, if it does.
    `account` is the account that it is about; None: the default one, or all of them.
    """

    code: Code
    severity: Severity
    sentence: str
    remedy: str
    lane: str | None = None
    until: datetime | None = None
    account: str | None = None

    @property
    def link(self) -> str:
        """Where the documentation has more."""
        return f"docs/operating/runbook.md#{self.code}"

    def fields(self) -> dict[str, Any]:
        """Return the fields as `--json` has them: `{"code": "no_beat", "severity": "held_back", …, "link": "…"}`."""
        return {**asdict(self), "link": self.link}
