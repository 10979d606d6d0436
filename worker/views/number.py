"""One number's record: its state, the reason, what happens next and when, and its history."""

from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from rich.table import Table
from rich.text import Text

from ringproof.errors import reason_link
from ringproof.ledger.activity import Sender
from ringproof.ledger.failures import failure_of
from ringproof.ledger.record import Change, Lane, Reason, Record, State
from ringproof.phone.caller_id import clean_alias
from ringproof.phone.masking import mask, redact
from ringproof.printable import printable
from worker.views.console import fact_table, lines
from worker.views.text import clock, json_line

STYLES = {
    State.CODE_SENT: "green",
    State.VERIFIED: "bold green",
    State.IN_DOUBT: "yellow",
    State.FAILED: "red",
    State.CANCELLED: "red",
}

_UNTIL = {
    State.QUEUED: "ends_at",
    State.WAITING: "due_at",
    State.SENDING: "lease_until",
    State.CODE_SENT: "expires_at",
    State.IN_DOUBT: "live_until",
}
"""The field that says until when a state lasts."""

_AFTER_A_ROSTERS_DOUBT = (
    "the worker sends one more code, unless RINGPROOF_IN_DOUBT is hold or this was that code already"
)

_WHEN_EXPIRED: dict[tuple[bool, Reason | None], str] = {
    (False, None): "nothing: the code was not entered in time; ask again",
    (True, None): "the user did not answer the re-verification; the worker asks once more",
    (True, Reason.LAPSED): "nothing: the user did not answer two re-verifications; to ask again: ringproof reverify",
    (True, Reason.REMOVED): "Plivo no longer has the number; the worker sends a code, to verify it again",
}
"""By whether the number was verified before, and by the reason."""

_WHY_IT_WAITS: dict[Reason | None, str] = {
    Reason.PAUSED: "sending is paused (ringproof status says why)",
    Reason.PACE: "all slots before are taken",
    Reason.COOLDOWN: "another code was sent a short while ago",
    Reason.CAP: "the number got as many codes as it may",
    Reason.QUIET_HOURS: "it is night where the number is",
    Reason.UNREACHABLE: "Plivo could not be reached",
    Reason.BATCH_PAUSED: "its batch is paused",
}


def next_step_text(record: Record) -> str:
    """Return what happens to a number next, and when: `the code works until 15:04:05`."""
    match record.state:
        case State.QUEUED:
            text = f"a worker sends the code; if none has by {clock(record.ends_at)}, it fails as too_late, unsent"
        case State.WAITING:
            text = _waiting_text(record)
        case State.SENDING:
            text = (
                f"the worker records Plivo's answer; if it has not by {clock(record.lease_until)} (the lease's end), "
                f"the number is in doubt. No other code goes out before {clock(record.live_until)}, unless a person "
                "asks for it"
            )
        case State.CODE_SENT if record.expires_at and record.expires_at < datetime.now(UTC):
            text = (
                f"the code expired at {clock(record.expires_at)}; once Plivo's list shows whether it was entered "
                "elsewhere, the number is verified or expired. For another code, ask again"
            )
        case State.CODE_SENT:
            text = f"the code works until {clock(record.expires_at)}"
        case State.IN_DOUBT:
            is_persons = record.lane is Lane.INTERACTIVE
            text = (
                "Plivo may have sent a code, but did not say so; without Plivo's id of it, it cannot be confirmed "
                f"here. After {clock(record.live_until)} no code can be live, and the worker asks Plivo whether the "
                "number is verified. If it is not, "
                + ("ask again; to ask before then, ask for a resend" if is_persons else _AFTER_A_ROSTERS_DOUBT)
            )
        case State.VERIFIED:
            text = "nothing: the number is verified"
        case State.EXPIRED:
            text = _expired_text(record)
        case State.FAILED | State.CANCELLED:
            error = failure_of(record)
            text = error.message if error else ""
    return text


def _expired_text(record: Record) -> str:
    if record.live_until and record.live_until > datetime.now(UTC):
        return (
            f"the number was erased, and a code from before may work until {clock(record.live_until)}; it cannot be "
            "confirmed here. Until then no other code is sent, unless a person asks for a resend"
        )
    when = _WHEN_EXPIRED.get((record.reverifies, record.reason))
    return when or f"nothing: a newer version of Ringproof has written why ({record.detail or record.reason})"


def _waiting_text(record: Record) -> str:
    if record.is_newer:
        return (
            f"a worker of a newer version goes on with it: this version does not know its {record.detail}; "
            "ringproof status names the versions at work"
        )
    if record.reason is Reason.REFUSED:
        return (
            "Plivo refuses its country, or refused it (ringproof status says more). It goes on when Plivo takes codes "
            f"there, or when its turn comes to be tried; if not by {clock(record.ends_at)}, it fails as forbidden"
        )
    why = f": {_WHY_IT_WAITS[record.reason]}" if record.reason in _WHY_IT_WAITS else ""
    failure = Reason.UNREACHABLE if record.reason is Reason.UNREACHABLE else Reason.TOO_LATE
    return f"not before {clock(record.due_at)}{why}; if not by {clock(record.ends_at)}, it fails as {failure}"


def number_view(record: Record, reverify_at: datetime | None = None, sender: Sender | None = None) -> Table:
    """Return all of a record for a person, with the number masked.

    `reverify_at`: when the number is verified again. `sender`: who sends to it at the moment. For example:

        number   +1•••••••23  US
        state    code_sent
        next     the code works until 15:04:05
        channel  sms
        request  1764342245, interactive, attempts: 1
        history  14:49:05  queued
                 14:49:05  sending
                 14:49:05  code_sent
    """
    state = Text(record.state, STYLES.get(record.state, "cyan"))
    state.append(_in_brackets(record.reason), "default")
    country = f"  {record.country}" if record.country else ""
    return fact_table(
        {
            "number": mask(record.phone_number) + country,
            "state": state,
            "next": next_step_text(record),
            "sent by": sender_text(sender) if sender else None,
            "test number": "its code is the fixed one, and Plivo was not asked" if record.is_test else None,
            "alias": record.alias,
            "channel": record.channel,
            "subaccount": record.subaccount,
            "code sent": clock(record.code_sent_at) if record.code_sent_at else None,
            "uuid": record.verification_uuid,
            "locked": _lock_text(record),
            "verified": clock(record.verified_at) if record.verified_at else None,
            "verify again": clock(reverify_at) if reverify_at else None,
            "request": f"{record.request}, {record.lane}, attempts: {record.attempts}",
            "help": reason_link(record.reason) if record.reason else None,
            "history": lines(map(_change_line, record.history)),
        }
    )


def sender_text(sender: Sender) -> str:
    """Return who sends to a number: `bulk@vm (pid 123)`, with the host if the worker's name has another one."""
    host = f"on {sender.host}, " if sender.host and not sender.worker.endswith(f"@{sender.host}") else ""
    return f"{sender.worker} ({host}pid {sender.pid or 'unknown'})"


def number_line(record: Record, *, masked: bool = True) -> str:
    """Return a record as one line of a list: since when it is in its state, the number, country, lane and alias.

    `2026-11-28 15:04:05Z  failed (too_late)     +1•••••••23     US  bulk         Front desk`

    The state of a newer request stands beside a verification: `code_sent, verified`.
    """
    stands = ", verified" if record.is_verified and record.state is not State.VERIFIED else ""
    number = mask(record.phone_number) if masked else record.phone_number
    texts = (
        f"{record.updated_at:%Y-%m-%d %H:%M:%SZ}" if record.updated_at else "-".ljust(20),
        f"{record.state}{_in_brackets(record.reason)}{stands}".ljust(20),
        number.ljust(14),
        record.country or "- ",
        record.lane.ljust(11),
        clean_alias(record.alias) or "",
    )
    return printable("  ".join(texts).rstrip())


def number_json(record: Record, sender: Sender | None = None, *, masked: bool = False) -> str:
    """Return a record as a line of JSON, without its fence: that is between the worker and the ledger.

    `until` is when its state ends at the latest, or when a waiting request goes on; null in a final state.

    `sender`: who sends to it at the moment, as `"sent_by": {"worker": "bulk@vm", "host": "vm", "pid": 123}`. If the
    record is masked, its number is, and so are those in its texts.
    """
    fields: dict[str, Any] = {name: value for name, value in asdict(record).items() if name != "fence"}
    sent_by = asdict(sender) if sender else None
    until = getattr(record, _UNTIL[record.state]) if record.state in _UNTIL else None
    fields |= {"until": until, "message": record.message, "is_verified": record.is_verified, "sent_by": sent_by}
    if masked:
        texts = {name: redact(fields[name]) for name in ("alias", "detail", "message") if fields[name]}
        fields |= texts | {"phone_number": mask(record.phone_number)}
    return json_line(fields)


def unknown_number_json(number: str, *, masked: bool = False) -> str:
    """Return the line of JSON for a number without a record: `{"phone_number": "+14155550123", "state": null}`."""
    return json_line({"phone_number": mask(number) if masked else number, "state": None})


def _lock_text(record: Record) -> str | None:
    """Return until when no code of the number is checked; None if it is not locked."""
    if record.locked_until is None or record.locked_until < datetime.now(UTC):
        return None
    return f"no code is checked until {clock(record.locked_until)} (wrong codes: {record.wrong_codes})"


def _change_line(change: Change) -> str:
    return f"{clock(change.at)}  {change.state}{_in_brackets(change.reason)}"


def _in_brackets(reason: Reason | None) -> str:
    return f" ({reason})" if reason else ""
