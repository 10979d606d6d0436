"""The events that the program under test gets: by its handlers, and as webhooks that a test posts to it.

Both happen in the process of the tests, where the program's database is.
"""

import sys
from dataclasses import dataclass, field
from typing import Final

from ringproof import runtime
from ringproof.errors import InvalidRequest
from ringproof.events.dispatcher import dispatch
from ringproof.events.event import Event
from ringproof.events.handlers import SIGNALS, Handlers, has_handlers
from ringproof.events.outbox import Consumer, subscribe
from ringproof.events.receiver import Receipt
from ringproof.events.webhook import Webhook
from ringproof.network.webhook_address import SECRETS, is_secret
from ringproof.secret_str import SecretStr

MODULE: Final = "ringproof.signals"


NOWHERE: Final = "http://127.0.0.1:9/"
"""Nothing is sent there: a test posts the webhooks itself."""


@dataclass(frozen=True, slots=True)
class SignedWebhook:
    """A webhook as the program gets it: `client.post("/hooks/ringproof", data=one.body, headers=one.headers)`."""

    headers: dict[str, str]
    body: str = field(repr=False)


class _Collector:
    consumer = Consumer.WEBHOOKS
    address = ""
    threads = 1

    def __init__(self, secret: str) -> None:
        self._signer = Webhook(SecretStr(NOWHERE), [SecretStr(secret)])
        self.collected: list[SignedWebhook] = []

    def deliver(self, event: Event) -> Receipt:
        body = event.as_json()
        headers = {"Content-Type": "application/json", **self._signer.headers(event.id, body)}
        self.collected.append(SignedWebhook(headers, body))
        return Receipt()


class HandlersUnderTest(Handlers):
    """Calls the handlers, and keeps what they raise: a worker would log it, and call them again later."""

    def __init__(self) -> None:
        self.raised: list[Exception] = []

    def deliver(self, event: Event) -> Receipt:
        """Call each handler of the event's signal, once."""
        answers = SIGNALS[event.kind].send(sender=event.kind, event=event)
        self.raised += [answer for _, answer in answers if isinstance(answer, Exception)]
        return Receipt()


def keep_events() -> None:
    """Have the events of a test kept from now on."""
    for consumer in Consumer:
        subscribe(runtime.ledger(), consumer)


def take_webhooks(secret: str) -> list[SignedWebhook]:
    """Return a webhook for each event since the last call, signed with a secret. Raises `InvalidRequest` for none."""
    if not is_secret(secret):
        raise InvalidRequest("secret", "(not shown)", SECRETS)
    collector = _Collector(secret)
    dispatch(runtime.ledger(), collector)
    return collector.collected


def call_handlers() -> None:
    """Call the handlers that this process has connected, for all that has happened. Raises what a handler raises."""
    if MODULE not in sys.modules or not has_handlers():
        return
    handlers = HandlersUnderTest()
    dispatch(runtime.ledger(), handlers)
    if len(handlers.raised) > 1:
        raise ExceptionGroup("handlers of Ringproof's signals", handlers.raised)
    if handlers.raised:
        raise handlers.raised[0]
