"""The phones of a test's people: what each one has got, and what its person enters."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from ringproof import runtime
from ringproof.phone.masking import mask
from ringproof.phone.number import parse
from ringproof.testing.errors import NoCode

if TYPE_CHECKING:
    from ringproof.results import Confirmation
    from ringproof.testing.installation import Installation

ENTER_SECONDS: Final = 20.0
"""Longer than Plivo's answer to a code may take."""


@dataclass(frozen=True, slots=True)
class Message:
    """One text or call that a phone has got. `at` is in UTC. `is_live`: Plivo takes its code now."""

    at: datetime
    channel: str
    code: str = field(repr=False)
    text: str = field(repr=False)
    verification_uuid: str
    is_live: bool

    @classmethod
    def of(cls, entry: Mapping[str, Any]) -> "Message":
        """Return the message of an entry of the sandbox's inbox."""
        return cls(
            at=datetime.fromtimestamp(entry["at"], UTC),
            channel=entry["channel"],
            code=entry["code"],
            text=entry["text"],
            verification_uuid=entry["verification_uuid"],
            is_live=entry["live"],
        )


class Phones:
    """All phones. A number is given as `.delay` takes it; a number without a country has that of RINGPROOF_REGION.

    code = phones.last_code("+14155550123")
    phones.enter("+14155550123")
    """

    def __init__(self, installation: "Installation") -> None:
        self._installation = installation

    def inbox(self, number: str) -> list[Message]:
        """Return what this phone has got, the oldest first, once the worker has done all that it can do now.

        So an empty list says that no code was sent. Raises `InvalidNumber`, and `StillAtWork` after 20 seconds.
        """
        answer = self._installation.perform("inbox", number=_e164(number))
        return [Message.of(entry) for entry in answer["inbox"]]

    def last_code(self, number: str) -> str:
        """Return the code that this phone has got last. Raises `NoCode` if it has got none."""
        messages = self.inbox(number)
        if not messages:
            raise self._no_code(number)
        return messages[-1].code

    def wrong_code(self, number: str) -> str:
        """Return a code that this phone has not got, of the right length. Raises `NoCode` if it has got none."""
        codes = {message.code for message in self.inbox(number)}
        if not codes:
            raise self._no_code(number)
        length = len(next(iter(codes)))
        return next(code for nth in range(10**length) if (code := f"{nth:0{length}}") not in codes)

    def enter(self, number: str, code: str | None = None, *, request: str | None = None) -> "Confirmation":
        """Enter a code as the person does, through `confirm_verification`; return what its `.get()` returns.

        Without a `code` it is the last one that the phone has got. `request` is that of `confirm_verification`: the id
        of a verification. Raises `NotConfirmed` if the code has not verified the number, and `NoCode` if there is none.
        """
        from ringproof import confirm_verification  # noqa: PLC0415  # an inbox needs no Celery

        e164, entered = _e164(number), self.last_code(number) if code is None else code
        if request is None:
            entering = confirm_verification.delay(e164, entered)
        else:
            entering = confirm_verification.delay(e164, entered, request=request)
        confirmation = entering.get(timeout=ENTER_SECONDS)
        self._installation.perform("settle")
        return confirmation

    def _no_code(self, number: str) -> NoCode:
        e164 = _e164(number)
        record = runtime.ledger().read(e164)
        why = f" ({record.reason})" if record and record.reason else ""
        return NoCode(mask(e164), f"{record.state}{why}" if record else "unknown")


def _e164(number: str) -> str:
    return parse(number, runtime.region()).e164
