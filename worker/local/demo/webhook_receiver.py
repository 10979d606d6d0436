"""A program of the user's own: it takes the webhooks of the demo, and checks the signature of each one."""

import base64
import json
import secrets
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

from standardwebhooks import Webhook, WebhookVerificationError

LARGEST_BODY: Final = 64 * 1024


class WebhookReceiver(ThreadingHTTPServer):
    """Listens at `url` for webhooks that are signed with `secret`. Use it as a context manager.

    `events` has them in the order of their arrival, as their JSON says it, and each one once. `repeated` counts those
    that came again.

        {"type": "verification.verified", "timestamp": "2026-11-29T…Z", "data": {"phone_number": "+1415…", …}}
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Delivery)
        self.url = f"http://127.0.0.1:{self.server_port}/ringproof"
        self.secret = f"whsec_{base64.b64encode(secrets.token_bytes(32)).decode()}"
        self.events: list[dict[str, Any]] = []
        self.repeated = 0
        self._ids: set[str] = set()
        self._lock = threading.Lock()
        threading.Thread(target=self.serve_forever, name="webhook receiver", daemon=True).start()

    def take(self, content: bytes, headers: dict[str, str]) -> bool:
        """Keep a webhook. Returns False if its signature is not ours."""
        try:
            Webhook(self.secret).verify(content, headers)
        except WebhookVerificationError:
            return False
        with self._lock:
            if headers["webhook-id"] in self._ids:
                self.repeated += 1
            else:
                self._ids.add(headers["webhook-id"])
                self.events.append(json.loads(content))
        return True

    def about(self, number: str) -> list[dict[str, Any]]:
        """Return the events about one number (E.164)."""
        return [event for event in list(self.events) if event["data"].get("phone_number") == number]

    def server_close(self) -> None:
        """Stop to listen."""
        self.shutdown()
        super().server_close()


class _Delivery(BaseHTTPRequestHandler):
    server: WebhookReceiver

    def do_POST(self) -> None:  # http.server's name
        length = int(self.headers.get("Content-Length", 0))
        is_taken = length <= LARGEST_BODY and self.server.take(self.rfile.read(length), dict(self.headers))
        self.send_response(204 if is_taken else 400)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Log nothing: the demo prints what came."""
