"""The process of the fixture `ringproof`: Redis, the sandbox and a worker, and the commands of the tests.

It reads a command from each line of its input, as `["travel", {"seconds": 960}]`, and writes an answer in a line:
`{"done": …}`, `{"failed": TEXT}`, or `{"invalid": [FIELD, VALUE, REMEDY]}`. The first line comes when all is ready.
It ends with its input, or with its parent.
"""

import json
import os
import shutil
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, NoReturn

from celery import signals
from celery.concurrency import get_implementation

from ringproof import runtime
from ringproof.errors import InvalidRequest, RingproofError
from ringproof.settings import Settings
from ringproof.testing.environment import PACE
from ringproof.testing.plivo import Plivo
from worker.celery import TASKS, app
from worker.local.processes.redis_server import RedisServer
from worker.local.sandbox.server import ANY_AUTH_ID, ANY_AUTH_TOKEN

THREADS: Final = 8
PARENT_SECONDS: Final = 0.2
"""How often it looks whether its parent is still there. A child of the tests may keep the pipe open."""


def main() -> None:
    """Start everything, and perform commands until the input ends."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what others print goes into the log

    def answer(**fields: Any) -> None:
        answers.write(json.dumps(fields) + "\n")

    server = RedisServer()

    def end() -> NoReturn:
        server.close()
        shutil.rmtree(Path.cwd(), ignore_errors=True)  # the process that has made it may have been killed
        os._exit(0)

    _end_with_parent(end)
    try:
        server.start()
        plivo = Plivo()
        variables = {
            "RINGPROOF_REDIS_URL": server.url,
            "RINGPROOF_PREFIX": "ringproof",
            "PLIVO_BASE_URL": f"{plivo.url}/v1",
            "PLIVO_AUTH_ID": ANY_AUTH_ID,
            "PLIVO_AUTH_TOKEN": ANY_AUTH_TOKEN,
        }
        os.environ.update(variables | PACE)
        worker = _worker()
    except RingproofError as error:
        answer(failed=error.message)
        for _ in sys.stdin:  # the log is read before it is removed
            pass
        end()

    def serve(**_: Any) -> None:
        from ringproof.testing.work import LUA_CLOCK, Work  # noqa: PLC0415  # the worker has made its settings now

        work = Work(plivo, Settings.read(PACE).policy)
        work.keep_working()
        answer(done={"variables": variables, "sandbox_url": plivo.url, "lua_clock": LUA_CLOCK})
        _perform(_commands(plivo, work), answer)
        end()

    signals.worker_ready.connect(lambda **_: threading.Thread(target=serve, daemon=True).start(), weak=False)
    worker.start()
    end()


def _worker() -> Any:
    from ringproof.testing.work import LUA_CLOCK  # noqa: PLC0415

    for name in TASKS:
        app.loader.import_task_module(f"tasks.{name}")
    runtime.origin = runtime.Origin(os.environ, LUA_CLOCK)
    return app.Worker(
        pool_cls=get_implementation("threads"), concurrency=THREADS, loglevel="INFO", quiet=True, without_heartbeat=True
    )


def _commands(plivo: Plivo, work: Any) -> dict[str, Callable[..., Any]]:
    from ringproof.testing.work import SETTLE_SECONDS  # noqa: PLC0415

    def settled(doing: str, **more: Any) -> dict[str, Any]:
        return {"doing": doing, "seconds": SETTLE_SECONDS, **more}

    return {
        "inbox": lambda number: settled(work.settle(), inbox=plivo.inbox(number)),
        "settle": lambda: settled(work.settle()),
        "travel": lambda seconds: settled(work.travel(seconds)),
        "clean": work.clean,
        "misfortune": lambda **wanted: plivo.post("misfortunes", wanted),
        "switches": lambda **wanted: plivo.post("switches", wanted),
    }


def _perform(commands: dict[str, Callable[..., Any]], answer: Callable[..., None]) -> None:
    for line in sys.stdin:
        what, arguments = json.loads(line)
        try:
            answer(done=commands[what](**arguments))
        except InvalidRequest as error:
            answer(invalid=[error.field, error.value, error.remedy])
        except Exception as error:  # noqa: BLE001  # the test learns of it
            answer(failed=f"{what}: {type(error).__name__}: {error}")


def _end_with_parent(end: Callable[[], NoReturn]) -> None:
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(PARENT_SECONDS)
        end()

    threading.Thread(target=watch, name="parent", daemon=True).start()
