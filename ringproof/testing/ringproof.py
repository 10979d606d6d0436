"""What a test does with its installation beside the phones: misfortunes, and the time."""

from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Final, Literal

from ringproof.errors import InvalidRequest
from ringproof.testing.deliveries import take_webhooks
from ringproof.testing.phones import Phones

if TYPE_CHECKING:
    from ringproof.testing.deliveries import SignedWebhook
    from ringproof.testing.installation import Installation

Misfortune = Literal[
    "400",
    "401",
    "402",
    "403",
    "429",
    "429_seconds",
    "429_date",
    "429_junk",
    "500_before",
    "500_after",
    "502_before",
    "502_after",
    "503",
    "503_retry_after",
    "503_bare",
    "503_bare_after",
    "504_before",
    "504_after",
    "timeout_before",
    "timeout_after",
    "reset_before",
    "reset_after",
    "reset_in_body",
    "closed_idle",
    "redirect",
    "empty",
    "html",
    "truncated",
    "without_uuid",
    "async",
    "error_in_200",
    "trickle",
    "flood",
    "refused",
]
"""The kinds of misfortune, as the sandbox names them."""

Operation = Literal["initiate", "complete", "get", "list", "update", "delete"]

QUICK_SECONDS: Final = 0.1
"""How long a connection stays without an answer in a `timeout_…`: a real one would take ten seconds of each test."""

TIMEOUTS: Final = ("timeout_before", "timeout_after")


class Ringproof:
    """Ringproof in one test: the worker, and the sandbox in Plivo's place."""

    def __init__(self, installation: "Installation") -> None:
        self._installation = installation

    @cached_property
    def phones(self) -> Phones:
        """The phones of all people."""
        return Phones(self._installation)

    @property
    def sandbox_url(self) -> str:
        """Where the sandbox has its own routes: `http://127.0.0.1:27291/sandbox`."""
        return f"{self._installation.sandbox_url}/sandbox"

    def misfortune(
        self,
        kind: Misfortune,
        *,
        times: int | None = None,
        share: float | None = None,
        number: str | None = None,
        operation: Operation | None = None,
        seconds: float | None = None,
    ) -> None:
        """Have a misfortune happen to Plivo's next answer: `ringproof.misfortune("500_after")`.

        docs/guide/sandbox.md says what each kind is, and what the options are. A `timeout_…` lasts 0.1 s unless
        `seconds` says more; what the application sees is the same. Raises `InvalidRequest` for a kind that there is
        not, and for an option that it does not take.
        """
        if kind in TIMEOUTS and seconds is None:
            seconds = QUICK_SECONDS
        options = {"times": times, "share": share, "number": number, "operation": operation, "seconds": seconds}
        given = {name: value for name, value in options.items() if value is not None}
        self._installation.ask("misfortune", kind=kind, **given)

    def settings(self, **variables: str) -> None:
        """Change limits for the rest of this test: `ringproof.settings(RINGPROOF_COUNTRIES="US,CA")`.

        They are what workers publish in Redis. Raises `InvalidRequest` for another setting, and `Misconfigured` for a
        wrong value.
        """
        self._installation.change_settings(variables)

    def settle(self) -> None:
        """Wait until the worker has done all that it can do now, such as a whole roster.

        Then the handlers that the program has connected to `ringproof.signals` are called, in this process, with all
        that has happened; so do `travel`, and `phones`. Raises what a handler raises, and `StillAtWork` after 20
        seconds.
        """
        self._installation.perform("settle")

    def webhooks(self, secret: str) -> list["SignedWebhook"]:
        """Return the webhooks that the program would get, since the last call: the test posts them to it.

            for one in ringproof.webhooks("whsec_…"):
                client.post("/hooks/ringproof", data=one.body, headers=one.headers)

        They are signed with `secret`, now. Raises `InvalidRequest` for a secret that is none.
        """
        self.settle()
        return take_webhooks(secret)

    def travel(self, *, days: float = 0, hours: float = 0, minutes: float = 0, seconds: float = 0) -> None:
        """Move the time of Ringproof and of Plivo ahead: `ringproof.travel(minutes=16)` has a code expire.

        What is due on the way happens, in its order and at its time. The clock of this process goes on as it was.
        Raises `InvalidRequest` for a time in the past, and `StillAtWork` as `settle` does.
        """
        by = timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)
        if by < timedelta(0):
            raise InvalidRequest(
                "travel", str(by), "time goes ahead only; the next test begins at the right time again"
            )
        self._installation.perform("travel", seconds=by.total_seconds())
