"""Plivo: the way to it, whether it takes the credentials, and what its clock says."""

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Final
from urllib.parse import urlsplit

from ringproof.clock import boot_clock, duration_text
from ringproof.errors import (
    Forbidden,
    LeaseOver,
    LedgerUnavailable,
    Rejected,
    RingproofError,
    Throttled,
    Unauthorized,
    Unknown,
    Unreachable,
)
from ringproof.ledger.ledger import Ledger
from ringproof.ledger.pace import reserve_slot
from ringproof.network.proxy import SHAPE, Proxy
from ringproof.network.this_machine import is_this_machine
from ringproof.plivo.client import PlivoClient
from ringproof.plivo.transport import HttpTimeouts, HttpTransport
from ringproof.settings import Settings
from worker.observe.doctor.case import Case, least_ahead, ledger_of, needs_redis, needs_settings, settings_of
from worker.observe.doctor.check import SOON, Line, Result, failed, ok, warning
from worker.observe.finding import Code

TIMEOUTS: Final = HttpTimeouts(connect_seconds=2, connecting_seconds=3, answer_seconds=4)
"""Shorter than a worker's: a person waits. A way that takes longer is a fault of its own."""

SLOT: Final = timedelta(seconds=5.5)
"""How far away the question's slot may be: people book five seconds ahead, and a new Redis counts its first window of
five seconds as spent. Beside a batch it is some milliseconds away.
"""

LATE_SECONDS: Final = 0.005
"""How late a slot may be used, as for all other requests."""

OFF: Final = timedelta(seconds=2)
"""Clocks that NTP keeps differ by milliseconds; Plivo's says whole seconds."""

FAR_OFF: Final = timedelta(minutes=5)
"""So far off, a clock moves quiet hours and the times of records."""


REFUSALS: Final[Mapping[type[RingproofError], Line]] = {
    Unauthorized: failed(
        "Plivo does not know the credentials of this environment (401)",
        "correct PLIVO_AUTH_ID and PLIVO_AUTH_TOKEN here, and restart the workers of this host",
        Code.CREDENTIALS_REFUSED,
    ),
    Forbidden: failed(
        "Plivo refuses the account: {said}",
        "see the account's credit and rights in Plivo's console",
        Code.ACCOUNT_REFUSED,
    ),
    Throttled: Line(
        Result.WARNING,
        "Plivo answered 429: more is asked of the account than it may",
        "if this comes back, lower RINGPROOF_RATE, or see what else uses the account",
        Code.CLOSED,
    ),
    Rejected: failed(
        "{url} has no list of verified numbers: {said}", "correct PLIVO_BASE_URL; for Plivo itself, leave it out"
    ),
    Unreachable: failed(
        "Plivo cannot be asked: {said}", "check the network, and status.plivo.com", Code.PLIVO_UNREACHABLE
    ),
    Unknown: failed(
        "what answers at {url} is not Plivo, or is out of order: {said}",
        "check PLIVO_BASE_URL and the proxy, and status.plivo.com",
    ),
    LeaseOver: Line(
        Result.NOT_TRIED,
        f"no slot of the pace came within {SLOT.total_seconds()} s: others take all, or a 429 has closed it; "
        "run the doctor again",
    ),
}
"""What the doctor says of each answer that is no list."""


def way(case: Case) -> Iterator[Line]:
    """Check that Plivo can be connected to: the name, the proxy, TLS and its certificate. No request is made."""
    current = settings_of(case)
    try:
        proxy = _proxy(current)
    except ValueError:
        yield failed("PLIVO_PROXY is no address of a proxy", SHAPE)
        return
    host = urlsplit(current.plivo_base_url).netloc
    by = f" through the proxy {proxy}" if proxy else ""
    transport = HttpTransport(
        current.plivo_base_url, {}, pool_size=1, timeouts=TIMEOUTS, proxy=proxy, ca_bundle=current.plivo_ca_bundle
    )
    try:
        peer = transport.greet()
    except Unreachable as error:
        yield failed(
            f"{host} cannot be reached from here{by}: {error.cause}",
            "check the network, DNS and the firewall; in a company's network PLIVO_PROXY and PLIVO_CA_BUNDLE, too",
            Code.PLIVO_UNREACHABLE,
        )
        return
    finally:
        transport.close()
    if peer.tls is None:
        yield warning(
            f"PLIVO_BASE_URL is {current.plivo_base_url}, on this machine and without TLS: no phone gets a code of a "
            "sandbox",
            "for Plivo itself, leave PLIVO_BASE_URL out",
        )
        return
    left = peer.trusted_until - datetime.now(UTC) if peer.trusted_until else None
    if left is not None and left < SOON:
        yield warning(
            f"the certificate of {host} ends in {duration_text(left)}",
            "renew it: afterwards nothing is sent; if it is a proxy's that looks into TLS, ask who runs that",
        )
    else:
        ends = f", whose certificate is valid for {left.days} more days" if left else ""
        yield ok(f"{host} answers{by} with {peer.tls}{ends}")


def needs_credentials(case: Case) -> str:
    """Return what is missing to ask Plivo: credentials, and a slot of the pace, which only Redis gives."""
    if not case.is_worker:
        return "no PLIVO_AUTH_ID and PLIVO_AUTH_TOKEN in this environment; run the doctor where a worker runs, too"
    if reason := needs_settings(case):
        return reason
    reason = needs_redis(case)
    return f"{reason}, and gives no slot of the pace: Plivo is not asked without one" if reason else ""


def credentials(case: Case) -> Iterator[Line]:
    """Ask Plivo for one entry of its list, at a slot of the pace. The answer changes nothing for the workers."""

    def note(earliest: timedelta, latest: timedelta) -> None:
        case.plivo_ahead = least_ahead(earliest, latest)

    yield ask(settings_of(case), ledger_of(case), REFUSALS, note)


def ask(
    current: Settings,
    ledger: Ledger,
    refusals: Mapping[type[RingproofError], Line],
    note_clock: Callable[[timedelta, timedelta], None] | None = None,
) -> Line:
    """Ask Plivo for one entry of an account's list, at a slot of its pace, and return what that has shown.

    `note_clock` gets how far Plivo's clock is ahead of this machine's, at least and at most.
    """
    assert current.plivo_auth_id is not None  # noqa: S101  # a worker's settings have them
    assert current.plivo_auth_token is not None  # noqa: S101
    client = PlivoClient(
        current.plivo_auth_id,
        current.plivo_auth_token,
        current.plivo_base_url,
        pool_size=1,
        timeouts=TIMEOUTS,
        proxy=_proxy(current),
        ca_bundle=current.plivo_ca_bundle,
    )
    asked_at = datetime.now(UTC)

    def wait() -> None:
        nonlocal asked_at
        _wait_for_slot(ledger)
        asked_at = datetime.now(UTC)

    try:
        at_plivo = client.probe(before_first_byte=wait)
        took = datetime.now(UTC) - asked_at
        if at_plivo and note_clock:  # in whole seconds
            latest = at_plivo + timedelta(seconds=1) - asked_at
            note_clock(latest - timedelta(seconds=1) - took, latest)
    except LedgerUnavailable:
        return Line(Result.NOT_TRIED, "Redis gives no slot of the pace: Plivo is not asked without one")
    except tuple(refusals) as error:
        said = getattr(error, "detail", "") or getattr(error, "cause", "")
        line = refusals[type(error)]
        return replace(line, sentence=line.sentence.format(said=said, url=current.plivo_base_url))
    finally:
        client.close()
    return ok(f"Plivo knows the credentials: it listed its verified numbers in {took.total_seconds():.1f} s")


def _wait_for_slot(ledger: Ledger) -> None:
    """Return at a slot of the pace. Raises `LeaseOver` if none comes in time."""
    while True:
        slot = reserve_slot(ledger, within=SLOT)
        time.sleep(max(0.0, slot - boot_clock()))
        if boot_clock() <= slot + LATE_SECONDS:
            return


def clocks(case: Case) -> Iterator[Line]:
    """Compare this machine's clock, Redis' and Plivo's."""
    known = {"Redis": case.redis_ahead, "Plivo": case.plivo_ahead}
    times = {"this machine": timedelta()} | {name: ahead for name, ahead in known.items() if ahead is not None}
    if len(times) == 1:
        yield Line(Result.NOT_TRIED, "neither Redis nor Plivo has said what time it is")
        return
    behind, *_, ahead = sorted(times, key=lambda name: times[name])
    apart = times[ahead] - times[behind]
    if apart > OFF:
        say = failed if apart > FAR_OFF else warning
        yield say(
            f"the clock of {ahead} is {duration_text(apart)} ahead of that of {behind}",
            "have NTP keep the clocks of this machine and of Redis'; all times of the ledger are Redis'",
        )
    else:
        yield ok(f"the clocks of {', '.join(times)} differ by {apart.total_seconds():.1f} s at most")


def _proxy(current: Settings) -> Proxy | None:
    """Return the proxy that leads to Plivo. Raises ValueError if it is none: only a worker's settings are checked."""
    return None if is_this_machine(urlsplit(current.plivo_base_url).hostname) else current.proxy
