"""Messages that no Celery ever wrote: each field of a good one is left out, or has a value of each strange kind."""

import base64
import json
import uuid
from collections.abc import Mapping

QUEUE = "ringproof.bulk"

DEEP = "[" * 100_000
"""Brackets that no parser of Python follows to the end: it raises RecursionError, which is no ValueError."""


class Written(str):
    """JSON as it is written, for what `json.dumps` would not write."""

    __slots__ = ()


STRANGE = {
    "null": None,
    "true": True,
    "a number": 17,
    "a negative number": -1,
    "a huge number": 10**4_000,
    "a number too long to read": Written("9" * 5_000),
    "NaN": float("nan"),
    "infinity": float("inf"),
    "next to nothing": 1e-9,
    "the first date": "0001-01-01T00:00:00",
    "the last date": "9999-12-31T23:59:59-14:00",
    "an empty text": "",
    "a text": "x",
    "a null byte": "\0",
    "lines": "one\ntwo\r\n\x1b[31mthree",
    "half a pair of UTF-16": "\ud800",
    "a long text": "x" * 100_000,
    "an empty list": [],
    "a list": ["x", 1, None],
    "an empty object": {},
    "an object": {"x": {"y": [1]}},
    "nested lists": Written("[" * 900 + "]" * 900),
    "lists without an end": Written(DEEP),
    "nested objects": Written('{"a":' * 400 + "1" + "}" * 400),
    "a type of Celery's": {"__type__": "Decimal", "__value__": "1e999999"},
    "a wrong type of Celery's": {"__type__": "uuid", "__value__": 1},
    "bytes": {"__type__": "bytes", "__value__": "x"},
}


def written(value):
    """JSON text of a value, with what is `Written` in it as it is."""
    if isinstance(value, Written):
        return str(value)
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{json.dumps(name)}:{written(inner)}" for name, inner in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ",".join(map(written, value)) + "]"
    return json.dumps(value)


HEADERS = {
    **dict.fromkeys(("shadow", "eta", "expires", "group", "group_index", "root_id", "parent_id", "stamped_headers")),
    "lang": "py",
    "argsrepr": "(…)",
    "kwargsrepr": "{}",
    "origin": "gen1@host",
    "timelimit": [None, None],
    "retries": 0,
    "ignore_result": False,
    "replaced_task_nesting": 0,
    "stamps": {},
    "compression": None,
    "clock": 1,
}


def good(queue=QUEUE, task="initiate_verification", args=("+14155550123",), kwargs=None):
    """A message as Celery writes it, before its body is encoded."""
    of_none = dict.fromkeys(("callbacks", "errbacks", "chain", "chord"))
    return {
        "body": [list(args), kwargs or {}, of_none],
        "content-encoding": "utf-8",
        "content-type": "application/json",
        "headers": HEADERS | {"task": task, "id": str(uuid.uuid4())},
        "properties": {
            "correlation_id": str(uuid.uuid4()),
            "reply_to": str(uuid.uuid4()),
            "delivery_mode": 2,
            "delivery_info": {"exchange": "", "routing_key": queue},
            "priority": 0,
            "body_encoding": "base64",
            "delivery_tag": str(uuid.uuid4()),
        },
    }


def good_broadcast(**body):
    """A broadcast as Celery writes it: a command to all workers, or an event."""
    return good() | {
        "body": body,
        "headers": {"clock": 1, "expires": None, "ticket": None, "hostname": "gen1@host"},
        "properties": good()["properties"] | {"delivery_info": {"exchange": "x.pidbox", "routing_key": ""}},
    }


COMMAND = good_broadcast(
    method="ping",
    arguments={"x": 1},
    destination=None,
    pattern=None,
    matcher=None,
    reply_to={"exchange": "reply.x.pidbox", "routing_key": "x"},
    ticket="x",
)
EVENT = good_broadcast(
    type="worker-heartbeat", hostname="x@host", utcoffset=0, pid=1, clock=1, timestamp=1.0, freq=2.0, active=0
)


def paths(value, before=()):
    """Each place in a message: its own, those of its objects, and those of its lists."""
    items = value.items() if isinstance(value, Mapping) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield (*before, key)
        yield from paths(inner, (*before, key))


def replaced(value, path, new):
    """The message with another value at one place; without it, if there is no new one."""
    key, *rest = path
    copy = dict(value) if isinstance(value, Mapping) else list(value)
    if rest:
        copy[key] = replaced(value[key], rest, new)
    elif new is ...:
        del copy[key]
    else:
        copy[key] = new
    return copy


def packed(message, pack=lambda body: base64.b64encode(body).decode()):
    """The message as it lies in Redis: its body is base64 of JSON."""
    body = message.get("body")
    if isinstance(body, list | Written | Mapping):
        message = message | {"body": pack(written(body).encode(errors="surrogatepass"))}
    return written(message)


def every_junk(message):
    """Each place of a message, and the text of the message that is strange there."""
    for path in paths(message):
        for value in (..., *STRANGE.values()):
            yield path, packed(replaced(message, path, value))
