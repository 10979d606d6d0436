"""One batch: where it stands, its rows by outcome, and what a person may do to it."""

from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import quote

from starlette.responses import Response

from ringproof.batches import operations
from ringproof.batches.model import Batch, BatchState, unpack_row
from ringproof.batches.rows import BYTES_AT_ONCE, require_batch, rows_with_bytes
from ringproof.batches.summary import existing_batch
from ringproof.clock import moment
from ringproof.ledger.audit import note
from ringproof.ledger.ledger import Ledger
from ringproof.ledger.row_outcomes import BYTES, LISTS, PENDING, UNFED
from ringproof.phone.masking import mask
from worker.observe.findings import Severity
from worker.views.batch import ENDED, RETRIED, pace_text
from worker.web.page import charts
from worker.web.page.guard import Refused, Visit
from worker.web.page.overview import read
from worker.web.page.rendering import outcome_text, render

ROWS_OF_PAGE: Final = 50

SAID: Final = {
    "imported": "The roster is imported.",
    "paused": "The batch is paused. Within a second nothing of it is sent any more.",
    "resumed": "The batch goes on, at the pace.",
    "cancelled": "The batch is cancelled. Rows that have not begun will not be sent.",
    "retried": "The rows that failed for a passing reason are sent once more.",
    "nothing": "There was nothing to do: the batch stands as you see it.",
}

_CHANGES: Final = {
    "pause": (operations.pause, "paused", frozenset({BatchState.RUNNING})),
    "resume": (operations.resume, "resumed", frozenset({BatchState.PAUSED})),
    "cancel": (operations.cancel, "cancelled", frozenset(BatchState) - ENDED - {BatchState.NEWER_VERSION}),
}
"""Each change, the word for what it has done, and the states of a batch that it may change."""


@dataclass(frozen=True, slots=True)
class RowOfPage:
    """A row as the page lists it: with its number masked."""

    place: str
    masked: str
    country: str
    channel: str
    outcome: str
    updated_at: datetime | None


async def _facts(visit: Visit, name: str) -> dict[str, Any]:
    batch: Batch = await visit.read(
        f"batch {name}", lambda: visit.site.threads(existing_batch, visit.site.ledger, name)
    )
    asks_why = batch.state is BatchState.RUNNING and not batch.held_back_by
    remarks = (await read(visit)).remarks if asks_why else []
    return {
        "batch": batch,
        "remarks": [one for one in remarks if one.severity is not Severity.WARNING],
        "pace": pace_text(batch),
        "funnel": charts.funnel([batch]),
        "outcomes": charts.outcomes(batch),
        "countries": charts.countries([batch]),
        "has_ended": batch.state in ENDED,
        "can_retry": batch.state is not BatchState.CANCELLED
        and any(batch.outcomes.get(f"failed:{reason}") for reason in RETRIED),
    }


async def show(visit: Visit) -> Response:
    """Answer with the page of a batch."""
    said = SAID.get(visit.request.query_params.get("done", ""), "")
    return visit.page("batch.html", said=said, **await _facts(visit, visit.request.path_params["name"]))


async def parts(visit: Visit) -> dict[str, str]:
    """Return the part of the page that changes."""
    name = visit.request.query_params.get("name", "")
    return {"batch": render("parts/batch.html", **visit.facts(**await _facts(visit, name)))}


async def change(visit: Visit) -> Response:
    """Pause, resume, cancel or retry a batch."""
    name, action = visit.request.path_params["name"], visit.request.path_params["action"]
    run = _retry if action == "retry" else _change
    if action not in {*_CHANGES, "retry"}:
        raise Refused(HTTPStatus.NOT_FOUND, "there is no such operation; go back to the batch")
    done = await visit.site.threads(run, visit, name, action)
    return visit.go_to("/" if done == "deleted" else f"{path_of(name)}?done={done}")


def _change(visit: Visit, name: str, action: str) -> str:
    ledger = visit.site.ledger
    change_, word, changeable = _CHANGES[action]
    before = existing_batch(ledger, name)
    if before.state not in changeable:
        return "nothing"
    note(ledger, visit.actor, f"batch {action}", name)
    after = change_(ledger, name)
    if action == "resume" and after.state is BatchState.PAUSED:  # its budget is spent
        return "nothing"
    return "deleted" if before.state is BatchState.IMPORTING else word


def _retry(visit: Visit, name: str, _action: str) -> str:
    ledger = visit.site.ledger
    if existing_batch(ledger, name).state in {BatchState.IMPORTING, BatchState.CANCELLED}:
        return "nothing"
    note(ledger, visit.actor, "batch retry", f"{name}: {', '.join(RETRIED)}")
    return "retried" if operations.retry(ledger, name, RETRIED) else "nothing"


async def rows(visit: Visit) -> Response:
    """Answer with the rows of a batch at one outcome, some at a time."""
    name, asked = visit.request.path_params["name"], visit.request.query_params
    outcome, after = asked.get("outcome", ""), asked.get("after", "")
    batch = await visit.site.threads(existing_batch, visit.site.ledger, name)
    if outcome not in {*BYTES, PENDING}:
        raise Refused(HTTPStatus.NOT_FOUND, "there is no such outcome; go back to the batch")
    found = await visit.site.threads(_rows, visit.site.ledger, name, outcome, _place(after) if after else None)
    more = found[ROWS_OF_PAGE - 1].place if len(found) > ROWS_OF_PAGE else ""
    return visit.page(
        "rows.html", batch=batch, outcome=outcome, shown=outcome_text(outcome), rows=found[:ROWS_OF_PAGE], more=more
    )


def _rows(ledger: Ledger, name: str, outcome: str, after: tuple[str, int] | None) -> list[RowOfPage]:
    """Return the next rows, and one more if there is one."""
    wanted = UNFED if outcome == PENDING else BYTES[outcome]
    found: list[tuple[str, int, str, str]] = []
    for channel, list_key, bytes_key in zip(
        LISTS, ledger.keys.batch(name).lists, ledger.keys.batch(name).bytes, strict=True
    ):
        if after and LISTS.index(channel) < LISTS.index(after[0]):
            continue
        start, length = after[1] + 1 if after and after[0] == channel else 0, ledger.run("llen", list_key)
        while start < length and len(found) <= ROWS_OF_PAGE:
            row_bytes = ledger.run("getrange", bytes_key, start, start + BYTES_AT_ONCE - 1)
            row_bytes = row_bytes.ljust(min(BYTES_AT_ONCE, length - start), UNFED)
            for page in rows_with_bytes(ledger, name, channel, start, row_bytes, wanted):
                found += [(channel, one.place, one.row.number, one.row.country) for one in page]
                if len(found) > ROWS_OF_PAGE:
                    break
            start += BYTES_AT_ONCE
    found = found[: ROWS_OF_PAGE + 1]
    updated = ledger.run_all(*(("hget", ledger.keys.record(number), "updated_at") for _, _, number, _ in found))
    return [
        RowOfPage(f"{channel}:{place}", mask(number), country, channel, outcome, moment(int(at)) if at else None)
        for (channel, place, number, country), at in zip(found, updated, strict=True)
    ]


def number_of_row(ledger: Ledger, name: str, written: str) -> str | None:
    """Return the number of a row of a batch, such as `sms:17`; None if it was erased. Raises `UnknownBatch`."""
    require_batch(ledger, name)
    channel, place = _place(written)
    key = ledger.keys.batch(name).lists[LISTS.index(channel)]
    packed = ledger.run("lindex", key, place)
    return unpack_row(packed).number or None if packed else None


def _place(written: str) -> tuple[str, int]:
    channel, _, place = written.partition(":")
    if channel not in LISTS or not (place.isascii() and place.isdecimal() and len(place) < 12):
        raise Refused(HTTPStatus.NOT_FOUND, "there is no such row; go back to the batch")
    return channel, int(place)


def path_of(name: str) -> str:
    """Return the path of a batch's page."""
    return f"/page/batches/{quote(name, safe='')}"
