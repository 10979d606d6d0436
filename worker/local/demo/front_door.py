"""The front door in the demo: Plivo's own Python client has a number verified, and webhooks report it."""

import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

import plivo
from plivo.exceptions import PlivoRestError
from plivo.rest import client as plivo_client
from rich.console import Console

from ringproof import runtime
from ringproof.events.delivery_status import deliveries
from ringproof.ledger.credentials import issue
from ringproof.phone.masking import mask
from worker.local.processes.child_process import ChildProcess

if TYPE_CHECKING:
    from worker.local.demo.environment import Environment

CALLER: Final = "+14155550101"
"""A number that neither the roster nor the person has."""

_READY: Final = "the front door is at "

AT_ONCE: Final = 3
PATIENCE_SECONDS: Final = 40.0  # the worker that was killed holds its lease on the webhooks for 25 s
POLL_SECONDS: Final = 0.05

EXPECTED: Final = ["code_sent", "verified"]
"""What the webhooks about that number tell, in this order."""

_BASES: Final = ("PLIVO_API_BASE_URI", "API_VOICE_BASE_URI", *(f"API_VOICE_BASE_URI_FALLBACK_{n}" for n in (1, 2)))
"""The constants by which a program points Plivo's Python client at another host."""


@dataclass(frozen=True)
class FrontDoor:
    """A running `ringproof serve`, and a credential for it."""

    process: ChildProcess
    url: str
    auth_id: str
    token: str

    @classmethod
    def open(cls, stack: ExitStack, folder: Path) -> "FrontDoor":
        """Start it; it ends with `stack`. Raises `ChildProcessFailed`."""
        issued = issue(runtime.ledger(), "demo")
        process = ChildProcess("front door", ["worker", "serve", "--port", "0"], folder)
        stack.callback(process.stop)
        url = process.until_logged(_READY).log.partition(_READY)[2].split()[0]
        return cls(process, url, issued.credential.auth_id, issued.token.get_secret_value())

    def client(self) -> plivo.RestClient:
        """Return Plivo's own client, pointed at the door."""
        for name in _BASES:
            setattr(plivo_client, name, f"{self.url}/v1/Account")
        return plivo.RestClient(self.auth_id, self.token)


def verify_through_door(environment: "Environment", console: Console) -> None:
    """Have a number verified by Plivo's client, and print the webhooks that came.

    Raises `ChildProcessFailed`, which ends the demo, if there is more than one code, or if a webhook does not come.
    """
    door, shown = environment.door, mask(CALLER)
    caller_ids = door.client().verify_callerids
    console.print("[bold]The front door[/] (ringproof serve): Plivo's own Python client, with another base URL\n")
    try:
        with ThreadPoolExecutor(AT_ONCE) as pool:
            asked = list(pool.map(lambda _: caller_ids.initiate_verify(phone_number=CALLER), range(AT_ONCE)))
        uuids = {answer.verification_uuid for answer in asked}
        inbox = _inbox(environment)
        console.print(f"  initiate {shown}, {AT_ONCE} times at once: codes at Plivo: {len(inbox)}, uuids: {len(uuids)}")
        if (len(inbox), len(uuids)) != (1, 1):
            raise door.process.failed("the same request had more than one code, or more than one uuid")
        caller_ids.verify_caller_id(verification_uuid=uuids.pop(), otp=inbox[0]["code"])
    except PlivoRestError as error:
        raise door.process.failed(f"the front door refused Plivo's client ({error})") from None
    console.print(f"  complete, with the code from that phone: {shown} is verified")
    for event in _webhooks(environment):
        console.print(f"  [cyan]webhook[/] {event['type']} {shown}")
    receiver = environment.receiver
    counts = Counter(event["type"].rpartition(".")[2] for event in receiver.events) - Counter(EXPECTED)
    others = ", ".join(f"{count} {kind}" for kind, count in counts.most_common())
    console.print(f"  (each is signed, as are those about the others: {others})")
    if receiver.repeated:
        console.print(f"  ({receiver.repeated} came twice: the worker was killed before it had noted their delivery)")
    console.print()


def _inbox(environment: "Environment") -> list[dict[str, Any]]:
    """Return the messages of the phone, as soon as it has one."""
    return _when_there(
        lambda: environment.call_sandbox(f"phones/{quote(CALLER)}")["inbox"], environment.door.process, "code was sent"
    )


def _webhooks(environment: "Environment") -> list[dict[str, Any]]:
    """Return the webhooks about the number, once they have come, and all earlier ones with them."""

    def found() -> list[dict[str, Any]]:
        events = environment.receiver.about(CALLER)
        is_verified = [event["type"].rpartition(".")[2] for event in events] == EXPECTED
        has_more = any(delivery.behind or delivery.waiting for delivery in deliveries(runtime.ledger()))
        return events if is_verified and not has_more else []

    return _when_there(found, environment.worker, "webhook says that the number is verified")


def _when_there(look: Callable[[], list[dict[str, Any]]], process: ChildProcess, what: str) -> list[dict[str, Any]]:
    """Return what `look` finds, as soon as it finds something. Raises `ChildProcessFailed` if it does not."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not (found := look()):
        process.check()
        if time.monotonic() > deadline:
            raise process.failed(f"after {PATIENCE_SECONDS:.0f} s no {what}")
        time.sleep(POLL_SECONDS)
    return found
