"""An installation with several accounts: a Plivo of many accounts, Redis, a worker with beat, and a program."""

import contextlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Self

from support.harness import AUTH_ID, AUTH_TOKEN, Worker, eventually
from support.many_plivos import Plivos

from ringproof.ledger.connection import connect
from ringproof.ledger.keys import Keys
from ringproof.ledger.ledger import Ledger
from ringproof.ledger.record import Record, State
from worker.local.processes.redis_server import RedisServer

PROGRAM = """
import json, sys
from ringproof import confirm_verification, import_roster, initiate_verification
from ringproof.errors import RingproofError
for line in sys.stdin:
    name, args, kwargs = json.loads(line)
    try:
        if name == "initiate":
            answer = initiate_verification.delay(*args, **kwargs).id
        elif name == "many":
            numbers, options = args
            answer = [initiate_verification.delay(number, **options).id for number in numbers]
        elif name == "confirm":
            answer = confirm_verification.delay(*args, **kwargs).get(timeout=60)
        else:
            answer = import_roster(*args, **kwargs).name
    except RingproofError as error:
        answer = {"error": type(error).__name__}
    print(json.dumps(answer), flush=True)
"""


def auth_id_of(name: str) -> str:
    """Return the auth id that an account has here."""
    return ("MA" + name.upper().replace("-", "").replace("_", "") + "X" * 18)[:20]


class Installation(contextlib.ExitStack):
    """Everything, for as long as the block lasts. `accounts` are names; each may have fields of its own in `fields`."""

    def __init__(
        self,
        folder: Path,
        accounts: tuple[str, ...],
        *,
        fields: dict[str, dict[str, str]] | None = None,
        concurrency: int = 2,
        workers: bool = True,
        environ: dict[str, str] | None = None,
    ) -> None:
        super().__init__()
        self.folder, self.accounts, self.fields = folder, accounts, fields or {}
        self.auth_ids: dict[str | None, str] = {None: AUTH_ID} | {name: auth_id_of(name) for name in accounts}
        self.tokens: dict[str | None, str] = {None: AUTH_TOKEN} | {name: f"token-of-{name}" for name in accounts}
        self.file = folder / "accounts.toml"
        self.workers: list[Worker] = []
        self._concurrency, self._has_workers, self._extra = concurrency, workers, environ or {}

    def __enter__(self) -> Self:
        super().__enter__()
        try:
            self._start()
        except BaseException:
            self.close()
            raise
        return self

    def _start(self) -> None:
        self.redis = self.enter_context(RedisServer())
        self.plivos = Plivos(self.folder / "plivos.log", dict(os.environ), self.folder)
        self.callback(self.plivos.kill)
        opened = {
            auth_id: {"token": self.tokens[name], "limit": 100_000, "window": 5.0}
            for name, auth_id in self.auth_ids.items()
        }
        self.plivos.tell(accounts=opened)
        self.write_file()
        self.environ = (
            os.environ
            | {
                "PLIVO_AUTH_ID": AUTH_ID,
                "PLIVO_AUTH_TOKEN": AUTH_TOKEN,
                "PLIVO_BASE_URL": self.plivos.base_url,
                "RINGPROOF_REDIS_URL": self.redis.url,
                "RINGPROOF_ACCOUNTS": str(self.file),
                "RINGPROOF_COUNTRY_CODES_PER_HOUR": "0",
                "RINGPROOF_RANGE_CODES_PER_HOUR": "0",
                "RINGPROOF_RATE": "100/5s",
            }
            | self._extra
        )
        self.client = connect(self.redis.url)
        self.callback(self.client.close)
        if self._has_workers:
            lanes = {"people": "ringproof.interactive", "bulk": "ringproof.scheduled,ringproof.bulk"}
            for name, queues in lanes.items():
                self.start_worker("-Q", queues, name=name, concurrency=self._concurrency)
            self.worker = self.start_worker("-B", "-Q", "ringproof.ticks", name="ticks", concurrency=1)
        self._program = self._start_program()

    def _start_program(self) -> "subprocess.Popen[str]":
        program = subprocess.Popen(
            [sys.executable, "-c", PROGRAM],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=self.environ,
            cwd=self.folder,
            text=True,
        )
        self.callback(_end, program)
        return program

    def start_worker(self, *options: str, name: str = "worker", concurrency: int | None = None) -> Worker:
        """Start one more worker."""
        log = self.folder / f"{name}.log"
        worker = Worker(
            log, self.environ, self.folder, "-n", f"{name}@%h", *options, concurrency=concurrency or self._concurrency
        )
        self.callback(worker.kill)
        self.workers.append(worker)
        return worker

    @property
    def log(self) -> str:
        """What all workers have logged."""
        return "".join(worker.log for worker in self.workers)

    def write_file(self, **changes: dict[str, str] | None) -> None:
        """Write the accounts' file; `changes` are fields of accounts, or None for one that is no more."""
        self.fields |= {name: fields for name, fields in changes.items() if fields is not None}
        gone = {name for name, fields in changes.items() if fields is None}
        lines = []
        for name in self.accounts:
            if name in gone:
                continue
            own = {"auth_id": self.auth_ids[name], "auth_token": self.tokens[name]} | self.fields.get(name, {})
            lines += [f"[{name}]", *(f"{field} = {json.dumps(value)}" for field, value in own.items())]
        new = self.file.with_suffix(".new")
        new.write_text("\n".join(lines))
        new.replace(self.file)

    def call(self, name: str, *args: Any, **kwargs: Any) -> Any:
        """Have the program make a call, and return its answer."""
        return _ask(self._program, name, args, kwargs)

    def call_apart(self, name: str, *args: Any, **kwargs: Any) -> Any:
        """Have another program make a call: this one goes on."""
        return _ask(self._start_program(), name, args, kwargs)

    def initiate(self, number: str, account: str | None, **options: Any) -> Any:
        return self.call("initiate", number, **options, **({"account": account} if account else {}))

    def confirm(self, number: str, code: str, **options: Any) -> Any:
        return self.call("confirm", number, code, **options)

    def ledger(self, account: str | None) -> Ledger:
        """The ledger of an account, as a reader has it."""
        url = self.fields.get(account or "", {}).get("ledger", self.redis.url)
        client = self.client if url == self.redis.url else connect(url)
        return Ledger(client, prefix=Keys.of_account("ringproof", account).prefix if account else "ringproof")

    def until(self, account: str | None, number: str, state: State, within: float = 60) -> Record:
        ledger = self.ledger(account)

        def look() -> Record | None:
            record = ledger.read(number)
            return record if record and record.state is state else None

        found = eventually(look, within=within, why=f"{account}'s number is not {state}")
        assert found
        return found


def _ask(program: "subprocess.Popen[str]", name: str, args: Any, kwargs: Any) -> Any:
    assert program.stdin
    assert program.stdout
    program.stdin.write(json.dumps([name, args, kwargs]) + "\n")
    program.stdin.flush()
    return json.loads(program.stdout.readline())


def _end(program: "subprocess.Popen[str]") -> None:
    program.kill()
    program.communicate()
