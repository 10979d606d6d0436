"""A Plivo of many accounts in one process: for each account its credentials, its limit, its codes, and its trouble.

`python many_plivos.py` serves on a free port and prints its address. `Plivos` is the test's end of it.
"""

import asyncio
import base64
import json
import sys
import time
import uuid
from collections import deque
from pathlib import Path
from typing import Any

import requests
from support.harness import PATIENCE_SECONDS, Process


class Account:
    """One account at Plivo. `trouble` is `{"status": 401}`, `{"status": 429}` or `{"delay": 3}`."""

    def __init__(self, token: str, limit: int, window: float) -> None:
        self.token, self.limit, self.window = token, limit, window
        self.arrived: deque[float] = deque()
        self.sends: list[dict[str, Any]] = []
        self.verified: dict[str, dict[str, Any]] = {}
        self.counts = {"requests": 0, "sends": 0, "refused_429": 0, "refused_401": 0}
        self.trouble: dict[str, Any] = {}

    def is_over_limit(self, now: float) -> bool:
        while self.arrived and self.arrived[0] <= now - self.window:
            self.arrived.popleft()
        self.arrived.append(now)
        return len(self.arrived) > self.limit


def entry_of(send: dict[str, Any]) -> dict[str, Any]:
    """The entry of a number in the list, after its code was entered."""
    return {
        "phone_number": send["number"][1:], "verification_uuid": send["uuid"], "alias": "", "country": "US",
        "subaccount": "", "created_at": "2026-11-30 00:00:00+00:00", "modified_at": "2026-11-30 00:00:00+00:00",
    }  # fmt: skip


class Server:
    def __init__(self) -> None:
        self.accounts: dict[str, Account] = {}

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                first, *lines = head.decode().split("\r\n")
                method, path, _ = first.split(" ")
                headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
                body = await reader.readexactly(int(headers.get("content-length", 0)))
                status, reply, delay = self.answer(method, path, headers, json.loads(body) if body else {})
                if delay:
                    await asyncio.sleep(delay)
                content = json.dumps(reply).encode()
                writer.write(
                    f"HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: {len(content)}\r\n"
                    f"\r\n".encode()
                    + content
                )
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    def answer(  # noqa: PLR0911  # one return for each operation of the API
        self, method: str, path: str, headers: dict[str, str], fields: Any
    ) -> tuple[int, Any, float]:
        parts = path.split("/")
        if parts[1] == "control":
            return 200, self.control(fields), 0
        auth_id, token = base64.b64decode(headers["authorization"].split()[1]).decode().split(":", 1)
        account = self.accounts.get(auth_id)
        if account is None or account.token != token or auth_id != parts[3]:
            if account:
                account.counts["refused_401"] += 1
            return 401, {"error": "authentication failed"}, 0
        account.counts["requests"] += 1
        delay = float(account.trouble.get("delay", 0.02))
        status = account.trouble.get("status")
        if status or account.is_over_limit(time.monotonic()):
            account.counts["refused_429"] += (status or 429) == 429
            account.counts["refused_401"] += status == 401
            return status or 429, {"api_id": "a", "error": "refused"}, 0
        rest = "/".join(parts[5:])
        if method == "POST" and not rest:
            send = {"number": fields["phone_number"], "uuid": str(uuid.uuid4()), "at": time.time()}
            send["code"] = f"{len(account.sends) % 1_000_000:06d}"
            account.sends.append(send)
            account.counts["sends"] += 1
            return 202, {"api_id": str(uuid.uuid4()), "message": "sent", "verification_uuid": send["uuid"]}, delay
        if method == "POST" and rest.startswith("Verification/"):
            known = [one for one in account.sends if one["uuid"] == rest.split("/")[1]]
            if not known or known[0]["code"] != fields["otp"]:
                return 404, {"api_id": "a", "error": "wrong"}, 0
            account.verified[known[0]["number"]] = entry_of(known[0])
            return 201, entry_of(known[0]), 0
        if rest.startswith("?"):
            objects = list(account.verified.values())[::-1]
            return 200, {"api_id": "a", "meta": {"total_count": len(objects)}, "objects": objects[:20]}, 0
        found = account.verified.get("+" + rest.strip("/"))
        return (200, found, 0) if found else (404, {"api_id": "a", "error": "none"}, 0)

    def control(self, fields: Any) -> Any:
        for auth_id, options in fields.get("accounts", {}).items():
            self.accounts[auth_id] = Account(options["token"], options["limit"], options["window"])
        for auth_id, trouble in fields.get("trouble", {}).items():
            self.accounts[auth_id].trouble = trouble
        for auth_id, token in fields.get("tokens", {}).items():
            self.accounts[auth_id].token = token
        if "sends" in fields:
            return self.accounts[fields["sends"]].sends
        return {auth_id: account.counts for auth_id, account in self.accounts.items()}


class Plivos(Process):
    """The server as a process, and what a test does with it."""

    def __init__(self, log: Path, environ: dict[str, str], cwd: Path) -> None:
        path = {"PYTHONPATH": str(Path(__file__).parents[1])}
        super().__init__([sys.executable, __file__], log, environ | path, cwd)
        self.until_logged("http://")
        self.root = self.log.split()[-1]
        self.base_url = f"{self.root}/v1"

    def tell(self, **fields: Any) -> Any:
        answer = requests.post(f"{self.root}/control", json=fields, timeout=PATIENCE_SECONDS)
        assert answer.ok
        return answer.json()

    def open_account(self, auth_id: str, token: str, limit: int = 100_000, window: float = 5.0) -> None:
        self.tell(accounts={auth_id: {"token": token, "limit": limit, "window": window}})

    def trouble(self, auth_id: str, **trouble: Any) -> None:
        self.tell(trouble={auth_id: trouble})

    def counts(self, auth_id: str) -> dict[str, int]:
        counts: dict[str, int] = self.tell()[auth_id]
        return counts

    def sends(self, auth_id: str) -> list[dict[str, Any]]:
        sends: list[dict[str, Any]] = self.tell(sends=auth_id)
        return sends


async def main() -> None:
    server = Server()
    listening = await asyncio.start_server(server.serve, "127.0.0.1", 0, backlog=1000)
    print(f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}", flush=True)
    await listening.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
