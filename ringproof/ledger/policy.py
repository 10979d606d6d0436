"""The policy in Redis: its settings that Python follows, and what a worker changes of it. The scripts read the rest."""

from ringproof.ledger.ledger import Ledger
from ringproof.phone.quiet_hours import QuietHours
from ringproof.policy import Policy


def quiet_hours(ledger: Ledger) -> QuietHours | None:
    """Return the quiet hours that the workers have published; None if there are none. Raises `LedgerUnavailable`.

    Those of a newer version may say more than this one can read. Then its own apply.
    """
    text = _published(ledger, "quiet_hours")
    try:
        return QuietHours.parse(text) if text else None
    except ValueError:
        own = str(ledger.policy.mapping()["quiet_hours"])
        return QuietHours.parse(own) if own else None


def reverify_mode(ledger: Ledger) -> str:
    """Return how due numbers are verified again: `check` or `send`. Raises `LedgerUnavailable`."""
    return _published(ledger, "reverify_mode")


def changes(ledger: Ledger, policy: Policy) -> list[str]:
    """Return which settings of the policy in Redis this one changes; nothing if Redis has none.

        changes(ledger, policy)  # ["rate from 300/5s to 200/5s"]

    Raises `LedgerUnavailable`.
    """
    published: dict[str, str] = ledger.run("hgetall", ledger.keys.policy)
    return [
        f"{name} from {_shown(name, published[name])} to {_shown(name, value)}"
        for name, value in policy.mapping().items()
        if name in published and published[name] != str(value) and not name.endswith("_us")  # the rates are named
    ]


def _shown(name: str, value: object) -> object:
    """Return a value for a log: of numbers, how many there are."""
    return str(value).count(",") if name == "test_numbers" else value or "none"


def restore_policy(ledger: Ledger, policy: Policy) -> bool:
    """Publish a policy if Redis has none, because it was emptied; return whether it had none."""
    if ledger.run("exists", ledger.keys.policy):
        return False
    ledger.publish_policy(policy)
    return True


def _published(ledger: Ledger, name: str) -> str:
    published = ledger.run("hget", ledger.keys.policy, name)
    return str(ledger.policy.mapping()[name] if published is None else published)
