"""The settings of the policy that Python follows. The scripts read the others themselves."""

from ringproof.ledger.ledger import Ledger
from ringproof.phone.quiet_hours import QuietHours


def quiet_hours(ledger: Ledger) -> QuietHours | None:
    """Return the quiet hours that the workers have published; None if there are none. Raises `LedgerUnavailable`."""
    text = _published(ledger, "quiet_hours")
    return QuietHours.parse(text) if text else None


def reverify_mode(ledger: Ledger) -> str:
    """Return how due numbers are verified again: `check` or `send`. Raises `LedgerUnavailable`."""
    return _published(ledger, "reverify_mode")


def _published(ledger: Ledger, name: str) -> str:
    published = ledger.run("hget", ledger.keys.policy, name)
    return str(ledger.policy.mapping()[name] if published is None else published)
