"""Which workers' credentials Plivo does not know (401). They are judged by a digest, each alone.

A worker whose credentials are refused leaves its work to the others. Only when Plivo knows those of no worker that is
alive, all sending is paused. lua/lib/credentials.lua decides.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from ringproof.clock import moment

if TYPE_CHECKING:
    from ringproof.ledger.ledger import Ledger


@dataclass(frozen=True, slots=True)
class Standing:
    """How Plivo and the others see the credentials of this process.

    `unknown_since` is when Plivo first answered 401 to them (None: it may know them). With `leaves_work`, Plivo may
    know those of another worker: this one begins nothing, and takes no message that it would only give back.
    With `probes` this process, and no other, is to ask Plivo now.
    """

    unknown_since: datetime | None
    leaves_work: bool
    probes: bool


def check_credentials(ledger: "Ledger", *, sends: bool = True) -> Standing:
    """Judge all credentials by the workers that are alive, and return the standing of this process.

    `sends` says whether its worker takes messages of a lane. Raises `LedgerUnavailable`.

        check_credentials(ledger)  # Standing(unknown_since=None, leaves_work=False, probes=False)
    """
    since, leaves, probes = ledger.run_script("pace/check_credentials", args=[int(sends), 1])
    return Standing(moment(int(since)) if since else None, bool(leaves), bool(probes))


def leaves_work(ledger: "Ledger") -> bool:
    """Whether this process leaves its work to others, as `Standing` says. Raises `LedgerUnavailable`."""
    _, leaves, _ = ledger.run_script("pace/check_credentials", args=[0, 0])
    return bool(leaves)


def unknown_credentials(pauses: Mapping[str, str]) -> dict[str, datetime]:
    """Return the digests of the credentials that Plivo does not know, with since when, out of the hash of the pauses.

    >>> unknown_credentials({"unknown:0a1b": "1800000000000", "unknown:0a1b_slot": "1800000000000"})
    {'0a1b': datetime.datetime(2027, 1, 15, 8, 0, tzinfo=datetime.timezone.utc)}
    """
    prefix = "unknown:"
    return {
        field.removeprefix(prefix): moment(int(float(since)))
        for field, since in pauses.items()
        if field.startswith(prefix) and "_" not in field
    }
