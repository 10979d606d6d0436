"""The people of `make bench-door`, in a process of their own: so many requests a second.

`python door_load.py URL AUTH_ID TOKEN SANDBOX REQUESTS_A_SECOND SECONDS`. Each person asks for a code, whose client
then repeats the request, and enters the code. A line of JSON for each request goes to standard output: what it was,
a refusal's reason, how many seconds its answer took from when it was due, its status, and the number.
"""

import asyncio
import base64
import json
import sys
import time
from collections import defaultdict, deque
from pathlib import Path
from urllib.parse import urlsplit

import requests

sys.path.insert(0, str(Path(__file__).parents[1]))

from support.harness import fresh_number

REQUESTS_OF_A_PERSON = 3
LOOK_SECONDS = 0.2
AGAIN_SECONDS = 2.0  # as Retry-After says
PATIENCE_SECONDS = 60.0


class Connections:
    """Kept connections to one server; a request takes one, or opens another."""

    def __init__(self, url, auth_id, token):
        where = urlsplit(url)
        self.host, self.port = where.hostname, where.port
        self.path = f"/v1/Account/{auth_id}/VerifiedCallerId/"
        self.authorization = base64.b64encode(f"{auth_id}:{token}".encode()).decode()
        self.idle = deque()

    async def post(self, path, fields):
        """Return the status and the body of an answer."""
        reader, writer = self.idle.pop() if self.idle else await asyncio.open_connection(self.host, self.port)
        body = json.dumps(fields)
        head = [f"POST {self.path}{path} HTTP/1.1", f"Host: {self.host}", f"Authorization: Basic {self.authorization}"]
        head += ["Content-Type: application/json", f"Content-Length: {len(body)}", "", body]
        writer.write("\r\n".join(head).encode())
        answered = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        length = int(answered.split("content-length: ")[1].split("\r\n")[0])
        answer = json.loads(await reader.readexactly(length))
        self.idle.append((reader, writer))
        return int(answered.split()[1]), answer


class Codes:
    """The codes that were sent, by number, as the sandbox has them."""

    def __init__(self, sandbox):
        self.url, self.next = f"{sandbox}/sandbox/sends", 0
        self.of = defaultdict(lambda: asyncio.get_running_loop().create_future())

    async def look(self):
        """Read on, again and again."""
        while True:
            page = await asyncio.to_thread(self._read)
            self.next = page["next"]
            for send in page["sends"]:
                code = self.of[send["phone_number"]]
                if not code.done():
                    code.set_result(send["code"])
            await asyncio.sleep(LOOK_SECONDS)

    def _read(self):
        return requests.get(self.url, params={"since": self.next}, timeout=30).json()


async def person(connections, codes, due):
    """Ask for a code, repeat the request, and enter the code, again if the answer is that nobody knows yet."""
    number = fresh_number()

    async def ask(what, path, fields, due):
        await asyncio.sleep(due - time.monotonic())
        status, answer = await connections.post(path, fields)
        reason = answer.get("reason", "")
        print(json.dumps([what, reason, time.monotonic() - due, status, number]), flush=True)
        return status, answer

    wanted = {"phone_number": number, "alias": "Front desk"}
    await ask("initiate", "", wanted, due)
    async with asyncio.timeout(PATIENCE_SECONDS):
        again = {}
        while "verification_uuid" not in again:
            _, again = await ask("initiate again", "", wanted, time.monotonic())
            await asyncio.sleep(AGAIN_SECONDS if "error" in again else 0)
        entered = {"otp": await codes.of[number]}
        path, status = f"Verification/{again['verification_uuid']}/", 409
        while status == 409:
            status, _ = await ask("complete", path, entered, time.monotonic())
            await asyncio.sleep(AGAIN_SECONDS if status == 409 else 0)


async def main(url, auth_id, token, sandbox, requests_a_second, seconds):
    connections, codes = Connections(url, auth_id, token), Codes(sandbox)
    looking = asyncio.create_task(codes.look())
    between, begun = REQUESTS_OF_A_PERSON / float(requests_a_second), time.monotonic()
    people = []
    for nth in range(round(float(seconds) / between)):
        due = begun + nth * between
        await asyncio.sleep(due - time.monotonic())
        people.append(asyncio.create_task(person(connections, codes, due)))
    await asyncio.gather(*people)
    looking.cancel()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
