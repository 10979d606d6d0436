"""Sends events to the one configured address, signed as Standard Webhooks (https://www.standardwebhooks.com)."""

import hashlib
import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from typing import Final
from urllib.parse import urlsplit

from standardwebhooks import Webhook as Signer

from ringproof.clock import iso
from ringproof.errors import RingproofError
from ringproof.events.event import Event
from ringproof.events.outbox import Consumer
from ringproof.events.receiver import Receipt
from ringproof.network.proxy import Proxy
from ringproof.network.public_address import is_public
from ringproof.network.this_machine import is_this_machine
from ringproof.network.webhook_address import ALLOW_PRIVATE
from ringproof.plivo.retry_after import seconds_to_wait
from ringproof.plivo.transport import Body, HttpTimeouts, HttpTransport
from ringproof.secret_str import SecretStr

TIMEOUTS: Final = HttpTimeouts(body_bytes=16 * 1024)
"""One delivery ends after 15 s. What the receiver answers beside its status is read, within bounds, and not used."""

LONGEST_RETRY_AFTER: Final = timedelta(hours=1)
"""A receiver that asks for more is tried then, so that a wrong clock or a slip costs an hour and not a year."""


class Webhook:
    """The receiver at `url`. Each delivery is signed with each of `secrets`, so that they can be replaced one by one.

    It is reached through `proxy`, if there is one, and the proxy looks its name up. Otherwise only a public address is
    connected to, unless `allow_private`, or unless `url` names this machine itself.
    """

    consumer = Consumer.WEBHOOKS
    threads = 16

    def __init__(
        self,
        url: SecretStr,
        secrets: Sequence[SecretStr],
        *,
        proxy: Proxy | None = None,
        ca_bundle: str | None = None,
        allow_private: bool = False,
        timeouts: HttpTimeouts = TIMEOUTS,
    ) -> None:
        address = url.get_secret_value()
        self.address = hashlib.sha256(address.encode()).hexdigest()[:16]
        self._secrets = tuple(secrets)
        is_open = allow_private or is_this_machine(urlsplit(address).hostname)
        self._transport = HttpTransport(
            address,
            {
                "Accept": "*/*",
                "Accept-Encoding": "identity",  # a small body that unpacks to gigabytes stays small
                "User-Agent": f"ringproof/{version('ringproof')}",
            },
            pool_size=self.threads,
            timeouts=timeouts,
            proxy=proxy,
            ca_bundle=ca_bundle,
            admits=None if is_open else is_public,
        )

    def deliver(self, event: Event) -> Receipt:
        """Send an event; any status from 200 to 299 is a delivery. A redirect is not followed, and is none."""
        return self._send(event.id, event.as_json())

    def test(self, message_id: str) -> Receipt:
        """Send an event that is none, of the type `webhook.test`."""
        content = {"type": "webhook.test", "timestamp": iso(datetime.now(UTC)), "data": {}}
        return self._send(message_id, json.dumps(content, separators=(",", ":")))

    def headers(self, message_id: str, content: str) -> dict[str, str]:
        """Return the headers of a delivery now: its id, the time, and a signature with each secret."""
        now = datetime.now(UTC)  # a receiver compares it with its own clock, and not with that of Redis
        signatures = [Signer(one.get_secret_value()).sign(message_id, now, content) for one in self._secrets]
        return {
            "webhook-id": message_id,
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": " ".join(signatures),
        }

    def _send(self, message_id: str, content: str) -> Receipt:
        headers = self.headers(message_id, content)
        try:
            answer = self._transport.exchange("POST", body=Body(content.encode()), headers=headers)
        except RingproofError as error:
            hint = f"; to allow it: {ALLOW_PRIVATE}=true" if "is private" in str(error) else ""
            return Receipt(f"{error}{hint}")
        if 200 <= answer.status < 300:
            return Receipt()
        seconds = seconds_to_wait(answer, LONGEST_RETRY_AFTER.total_seconds()) or 0
        return Receipt(f"answered {answer.status}", timedelta(seconds=seconds), is_gone=answer.status == 410)

    def close(self) -> None:
        """Close the idle connections."""
        self._transport.close()
