"""A record as a person reads it: where it stands, why, until when, what comes next, and what came before."""

from datetime import UTC, datetime

from rich.table import Table
from rich.text import Text

from ringproof.ledger.failures import failure_of
from ringproof.ledger.record import Lane, Reason, Record, State
from ringproof.phone.masking import mask
from worker.views.text import clock

STYLES = {
    State.CODE_SENT: "green",
    State.VERIFIED: "bold green",
    State.IN_DOUBT: "yellow",
    State.FAILED: "red",
    State.CANCELLED: "red",
}


_AFTER_A_ROSTERS_DOUBT = "one more code is sent, unless RINGPROOF_IN_DOUBT is hold, or this was that one"


_AFTER_SILENCE: dict[tuple[bool, Reason | None], str] = {
    (False, None): "nothing: the code was not entered in time; ask again",
    (True, None): "it did not answer when it was to be verified again, and is asked once more",
    (True, Reason.LAPSED): "nothing: it did not answer twice when it was to be verified again; ringproof reverify asks "
    "it anew",
}


_WHY_IT_WAITS: dict[Reason | None, str] = {
    Reason.PAUSED: "sending is paused (ringproof status says why)",
    Reason.PACE: "the pace is taken until then",
    Reason.COOLDOWN: "another code was sent a short while ago",
    Reason.CAP: "it got as many codes as it may",
    Reason.QUIET_HOURS: "it is night there",
    Reason.UNREACHABLE: "Plivo could not be reached",
    Reason.BATCH_PAUSED: "its batch is paused",
}


def next_step(record: Record) -> str:
    """Say what happens to a record next, and when."""
    match record.state:
        case State.QUEUED:
            told = f"a worker sends it; if none has by {clock(record.ends_at)}, it fails as too_late, nothing sent"
        case State.WAITING:
            why = _WHY_IT_WAITS.get(record.reason, "")
            told = f"not before {clock(record.due_at)}{': ' if why else ''}{why}; "
            fails = Reason.UNREACHABLE if record.reason is Reason.UNREACHABLE else Reason.TOO_LATE
            told += f"if not by {clock(record.ends_at)}, it fails as {fails}"
        case State.SENDING:
            told = (
                f"its worker tells what Plivo answers; without a word by {clock(record.lease_until)} (the lease's end) "
                f"it is in doubt. No other code goes out before {clock(record.live_until)}, unless a person asks for it"
            )
        case State.CODE_SENT if record.expires_at and record.expires_at < datetime.now(UTC):
            told = (
                f"the code expired at {clock(record.expires_at)}; once Plivo's list tells whether it was entered "
                "elsewhere, it is verified or expired. Ask again for another"
            )
        case State.CODE_SENT:
            told = f"the code works until {clock(record.expires_at)}"
        case State.IN_DOUBT:
            told = (
                "a code may be out, and nothing tells; without Plivo's id of it, it cannot be confirmed here. After "
                f"{clock(record.live_until)} none can live: Plivo is asked whether the number was verified; if not, "
                + ("ask again, or at once for a resend" if record.lane is Lane.INTERACTIVE else _AFTER_A_ROSTERS_DOUBT)
            )
        case State.VERIFIED:
            told = "nothing: the number is verified"
        case State.EXPIRED:
            told = _AFTER_SILENCE[record.reverifies, record.reason]
        case State.FAILED | State.CANCELLED:
            failure = failure_of(record)
            told = "; ".join(part for part in (str(failure), getattr(failure, "remedy", "")) if part)
    return told


def number_view(record: Record, again_at: datetime | None = None) -> Table:
    """Tell a record's whole story, masked; `again_at`: when it is to be verified again."""
    state = Text(record.state, STYLES.get(record.state, "cyan"))
    state.append(f" ({record.reason})" if record.reason else "", "default")
    country = f"  {record.country}" if record.country else ""
    facts: dict[str, str | Text | None] = {
        "number": mask(record.phone_number) + country,
        "state": state,
        "next": next_step(record),
        "alias": record.alias,
        "channel": record.channel,
        "subaccount": record.subaccount,
        "code sent": clock(record.code_sent_at) if record.code_sent_at else None,
        "uuid": record.verification_uuid,
        "verified": clock(record.verified_at) if record.verified_at else None,
        "again": clock(again_at) if again_at else None,
        "request": f"{record.request}, {record.lane}, attempts: {record.attempts}",
        "history": "\n".join(
            f"{clock(change.at)}  {change.state}{f' ({change.reason})' if change.reason else ''}"
            for change in record.history
        ),
    }
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for name, told in facts.items():
        if told:
            table.add_row(name, told if isinstance(told, Text) else Text(told))
    return table
