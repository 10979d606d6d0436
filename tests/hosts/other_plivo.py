"""A Plivo of another make than the sandbox, so that no mistake of its hides one of ours: standard library alone.

    python other_plivo.py PORT FILE [NUMBER SECONDS]

It listens on 127.0.0.1, and takes NUMBER requests in any SECONDS. It answers 202 to each initiate within that limit,
429 to others, and an empty list to a GET. Each initiate is a line in FILE, flushed before it is answered: the monotonic
clock, the wall clock, the status, the number and the verification's uuid.
"""

import json
import sys
import time
import uuid
from collections import deque
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from random import uniform
from threading import Lock

WAY_SECONDS, WORK_SECONDS = 0.03, 0.05
"""How long a request may be under way before it is judged, and then takes."""


class Limit:
    """At most so many in any window of so many seconds, both ends included."""

    def __init__(self, number, seconds):
        self.number, self.seconds, self.taken = number, seconds, deque()

    def takes(self, now):
        while self.taken and now - self.taken[0] > self.seconds:
            self.taken.popleft()
        if len(self.taken) >= self.number:
            return False
        self.taken.append(now)
        return True


class Plivo(ThreadingHTTPServer):
    """One account."""

    daemon_threads = True
    request_queue_size = 256

    def __init__(self, port, file, limit):
        super().__init__(("127.0.0.1", port), Handler)
        self.file, self.limit, self.lock = file.open("a"), limit, Lock()

    def judge(self, number):
        """The status and the uuid."""
        with self.lock:
            now = time.monotonic()
            status, code = (202, str(uuid.uuid4())) if self.limit.takes(now) else (429, "-")
            print(now, time.time(), status, number, code, file=self.file, flush=True)
            return status, code


class Handler(BaseHTTPRequestHandler):
    """A connection."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))) or "{}")
        if not self.path.rstrip("/").endswith("/VerifiedCallerId"):
            return self.answer(404, {"error": "not found"})
        time.sleep(uniform(0, WAY_SECONDS))
        status, code = self.server.judge("+" + str(body["phone_number"]).lstrip("+"))
        time.sleep(uniform(0, WORK_SECONDS))
        if status == 429:
            return self.answer(429, {"error": "too many"})
        return self.answer(202, {"api_id": str(uuid.uuid4()), "message": "sent", "verification_uuid": code})

    def do_GET(self):
        self.answer(
            200, {"api_id": str(uuid.uuid4()), "meta": {"limit": 20, "offset": 0, "total_count": 0}, "objects": []}
        )

    def answer(self, status, body):
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_):
        pass


if __name__ == "__main__":
    limit = (int(sys.argv[3]), float(sys.argv[4])) if len(sys.argv) > 3 else (300, 5.0)
    with Plivo(int(sys.argv[1]), Path(sys.argv[2]), Limit(*limit)) as server:
        print(f"http://127.0.0.1:{server.server_port}", flush=True)
        server.serve_forever()
