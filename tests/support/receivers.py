"""Receivers of events for tests: one in this process, and a real one behind HTTP that verifies what it gets."""

import base64
import secrets
import threading

from standardwebhooks import Webhook as Verifier
from standardwebhooks import WebhookVerificationError
from support.wire import Server, http

from ringproof.events.outbox import Consumer
from ringproof.events.receiver import Receipt

DELIVERED = Receipt()


def new_secret():
    return "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()


class Notebook:
    """A receiver in this process: notes the events that it gets, and fails as the test says."""

    consumer = Consumer.WEBHOOKS
    address = "here"

    def __init__(self, fails=lambda _: DELIVERED, threads=4):
        self.fails, self.threads = fails, threads
        self.tried, self.got = [], []
        self._lock = threading.Lock()

    def deliver(self, event):
        receipt = self.fails(event)
        with self._lock:
            self.tried.append(event)
            if not receipt.failure:
                self.got.append(event)
        return receipt

    def kinds(self, number):
        return [event.kind for event in self.got if event.phone_number == number]


class WebhookServer:
    """A real HTTP server that takes webhooks, verifies them with the reference library, and answers as it is asked to.

    `answer` is a function of the message that returns the bytes of an answer, or what `wire.Server` plays.
    """

    def __init__(self, secret, answer=None, tls=None):
        self.secret, self.answer = secret, answer or (lambda _: http(204))
        self.messages = []  # (id, content) of each message that was genuine, in the order of their answers
        self.forged = 0
        self.server = Server(self._play, tls)

    def url(self, scheme="http", path="/hooks"):
        return f"{scheme}://127.0.0.1:{self.server.port}{path}"

    def _play(self, connection, request):
        head, _, body = request.partition(b"\r\n\r\n")
        headers = dict(line.split(": ", 1) for line in head.decode().split("\r\n")[1:])
        try:
            message = Verifier(self.secret).verify(body, headers)
        except WebhookVerificationError:
            self.forged += 1
            connection.sendall(http(401))
            return None
        event_id = {name.lower(): value for name, value in headers.items()}["webhook-id"]
        answer = self.answer(message)
        if callable(answer):
            return answer(connection, request)
        if answer.startswith(b"HTTP/1.1 2"):
            self.messages.append((event_id, message))
        connection.sendall(answer)
        return None

    def ids(self):
        return [one for one, _ in self.messages]

    def types(self, number):
        return [message["type"] for _, message in self.messages if message["data"].get("phone_number") == number]

    def close(self):
        self.server.close()
