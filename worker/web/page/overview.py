"""The first page: whether sending goes on, how fast, what holds it back, and the batches."""

from dataclasses import dataclass
from typing import Any, Final

from starlette.responses import Response

from ringproof.batches.model import Batch, BatchState
from ringproof.batches.summary import batch_names, batch_summaries
from ringproof.ledger import audit, control
from ringproof.ledger.control import SendingStatus, sending_status
from ringproof.ledger.ledger import Ledger
from ringproof.ledger.record import Lane
from ringproof.policy import Rate
from worker.observe.facts import Facts, read_facts
from worker.observe.findings import findings
from worker.views.movement import state_of, used_lines
from worker.web.page import charts
from worker.web.page.guard import Visit
from worker.web.page.held_back import Remark, remarks
from worker.web.page.rendering import render

MOST_BATCHES: Final = 50
"""Batches that are shown, the newest: a page is for what goes on."""

OPEN: Final = frozenset({BatchState.RUNNING, BatchState.PAUSED})

SAID: Final = {
    "paused": "Sending is paused. Requests are still accepted, and wait.",
    "was_paused": "Sending was paused already.",
    "resumed": "The pause has ended. What waits is sent at the pace.",
    "not_paused": "There was no pause of an operator's to end.",
}
"""What a form has done, by the word in the address that it leads to."""


@dataclass(frozen=True, slots=True)
class Overview:
    """What the page shows, as it was read at one time."""

    facts: Facts
    remarks: list[Remark]
    batches: list[Batch]
    hidden: int

    @property
    def status(self) -> SendingStatus:
        """The rates, the pauses and the queues."""
        return self.facts.sending

    @property
    def open(self) -> list[Batch]:
        """The batches that are being sent, or are paused."""
        return [batch for batch in self.batches if batch.state in OPEN]

    @property
    def charted(self) -> list[Batch]:
        """The batches that the charts count: the open ones, or else all that are shown."""
        return self.open or self.batches

    @property
    def per_second(self) -> float:
        """The codes that the account may send in a second, at the present share of its pace."""
        return float(1_000_000 / Rate.parse(self.status.rate).spacing_us * self.status.share)

    @property
    def rate(self) -> float:
        """The codes of batches that were sent in a second, lately."""
        return sum(batch.rate_per_second or 0.0 for batch in self.open)

    @property
    def state(self) -> str:
        """How the sending goes, as `ringproof status` says it: `stopped`, `held_back`, `goes_on`, `waits` or `idle`."""
        return state_of(self.facts, findings(self.facts))

    @property
    def lanes(self) -> list[tuple[str, float]]:
        """The codes a second of each lane that has sent some in the last minute."""
        minute = self.facts.minute
        counted = [(str(lane), minute.codes.get(lane, 0)) for lane in Lane] if minute else []
        return [(lane, codes / minute.seconds) for lane, codes in counted if codes and minute]

    @property
    def used(self) -> list[str]:
        """The share of the pace that was used in the last minute, and what took it."""
        return list(used_lines(self.facts))

    @property
    def can_resume(self) -> bool:
        """Whether an end of the pauses would change something."""
        return bool(self.status.refused_destinations) or any(pause.lane is None for pause in self.status.pauses)

    @property
    def is_paused_by_person(self) -> bool:
        """Whether an operator has paused all sending."""
        return any(pause.lane is None and pause.kind is None for pause in self.status.pauses)

    @property
    def paused_lanes(self) -> list[Lane]:
        """The lanes that an operator has paused."""
        return [pause.lane for pause in self.status.pauses if pause.lane]


def read_overview(ledger: Ledger, home: Ledger) -> Overview:
    """Read all of an account's, whose workers show themselves in `home`. Raises `LedgerUnavailable`."""
    names = batch_names(ledger)
    known = read_facts(ledger, home)
    shown = batch_summaries(ledger, names[:MOST_BATCHES], known.sending)
    return Overview(known, remarks(known), shown, max(0, len(names) - MOST_BATCHES))


async def read(visit: Visit) -> Overview:
    """Return all of it; for a stream, as it was less than a second ago. Raises `LedgerUnavailable`."""
    overview: Overview = await visit.read(
        "overview", lambda: visit.site.threads(read_overview, visit.site.ledger, visit.site.home)
    )
    return overview


async def facts(visit: Visit) -> dict[str, Any]:
    """Return what the templates need."""
    overview = await read(visit)
    charted = overview.charted
    return {
        "overview": overview,
        "funnel": charts.funnel(charted),
        "failures": charts.failures(charted),
        "countries": charts.countries(charted),
    }


async def show(visit: Visit) -> Response:
    """Answer with the page."""
    said = SAID.get(visit.request.query_params.get("done", ""), "")
    return visit.page("overview.html", said=said, **await facts(visit))


async def parts(visit: Visit) -> dict[str, str]:
    """Return the parts of the page that change."""
    shown = visit.facts(**await facts(visit))
    return {name: render(f"parts/{name}.html", **shown) for name in ("sending", "charts", "batches")}


async def pause(visit: Visit) -> Response:
    """Pause all sending."""
    is_new = await visit.site.threads(_pause, visit)
    return visit.go_to(f"/?done={'paused' if is_new else 'was_paused'}")


def _pause(visit: Visit) -> bool:
    reason = " ".join(visit.form.get("reason", "").split())[: control.LONGEST_REASON]
    audit.note(visit.site.ledger, visit.actor, "pause", f"all lanes{': ' if reason else ''}{reason}")
    return control.pause(visit.site.ledger, None, reason)


async def resume(visit: Visit) -> Response:
    """End the pauses of all lanes, or of the one that the form names."""
    named = visit.form.get("lane", "")
    lane = Lane(named) if named in set(Lane) else None
    has_ended = await visit.site.threads(_resume, visit, lane)
    return visit.go_to(f"/?done={'resumed' if has_ended else 'not_paused'}")


def _resume(visit: Visit, lane: Lane | None) -> bool:
    ledger = visit.site.ledger
    audit.note(ledger, visit.actor, "resume", lane or "all lanes")
    before = None if lane else sending_status(ledger)
    has_ended = control.resume(ledger, lane)
    return has_ended or (before is not None and bool(before.pauses or before.refused_destinations))
