"""What each kind of process may do in Redis: for an ACL's user, and to see at a start which right is missing.

A process tries its rights within `MULTI`, and discards them: Redis checks a right when it queues a command. Nothing is
read, changed or published.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

import redis

from ringproof.ledger.in_one_go import in_one_go
from ringproof.ledger.line import BlockingLine, Line
from ringproof.ledger.role import Role
from ringproof.ledger.scripts import all_sources, lua_source, pieces_of


class Answer(StrEnum):
    """What Redis says to a command of a user: it may, or lacks the right to the command, or to a key or channel."""

    YES = "yes"
    NO_COMMAND = "no command"
    NO_KEY = "no key"


@dataclass(frozen=True, slots=True)
class Rights:
    """The commands, keys and channels of one role, as an ACL writes them.

    A producer only reads the keys in `read_only`, and only writes those in `write_only`. Redis knows these rights from
    version 7 on: before, it may do both.
    The rules in `useful` are not tried at a start, because the role can do without them.
    """

    commands: str
    keys: Sequence[str]
    read_only: Sequence[str]
    write_only: Sequence[str]
    channels: Sequence[str]
    useful: str = ""

    def acl(self, *, is_read_only_known: bool) -> str:
        """Return the rights as `ACL SETUSER` takes them."""
        reading, writing = ("%R~", "%W~") if is_read_only_known else ("~", "~")
        keys = [
            *(f"~{key}" for key in self.keys),
            *(f"{reading}{key}" for key in self.read_only),
            *(f"{writing}{key}" for key in self.write_only),
        ]
        channels = ["resetchannels", *(f"&{channel}" for channel in self.channels)]  # 6.2 begins with all channels
        return " ".join([*keys, *channels, self.commands, self.useful]).rstrip()


SCRIPTS_OF_PRODUCERS: Final = ("now", "note_jump", "number/accept", "number/settle")

NEVER_QUEUED: Final = ("auth", "hello", "multi", "exec", "discard", "watch")
"""They are performed also within a transaction, so that they cannot be tried in one."""

CONNECTING: Final = ("auth", "hello", "multi", "exec", "discard", "ping", "select", "command", "evalsha", "script|load")

COMMANDS_OF_PRODUCERS: Final = (
    *("hgetall", "hget", "set", "get", "subscribe", "unsubscribe"),  # requests, codes, and their results
    *("exists", "llen", "lpush", "sadd", "smembers"),  # kombu's, for a message
)

COMMANDS_OF_OTHERS: Final = (
    *("brpop", "psubscribe", "setex", "setnx", "watch", "zrevrangebyscore"),  # kombu's and Celery's, to take messages
    *("scan", "zscan", "xadd", "xrevrange", "time", "zrange", "zcount"),  # those of the ledger beside its scripts
    *("lrem", "hvals", "xrange", "xread"),
)

WRITTEN_BY_PRODUCERS: Final = (
    *("number:*", "earlier:*", "token:*", "code:*", "people:*", "requesters", "agenda", "renewals", "lapsed"),
    *("refusals", "metrics", "in_doubt", "erased", "erased:*", "jumps", "line:*", "called:*", "backlog:*", "breakers"),
    *("destinations:waiting", "batch:*", "feeding", "completed"),
)

READ_BY_PRODUCERS: Final = ("policy", "limits", "pace", "pauses", "destinations", "outbox:consumers", "generation")

ONLY_WRITTEN_BY_PRODUCERS: Final = ("columns:*", "outbox")
"""The columns of rosters, and the events. A person's request may end the last row of a batch. Then all of the batch
expires, and the outbox gets an event.
"""

USEFUL: Final = {"info"}
"""What a script asks for where it may, and does without: lib/generation has the counter beside the server's name."""

LISTING: Final = {"zrange", "zrangebyscore", "zrangebylex", "zrevrange", "lrange", "sscan", "hscan", "zscan", "scan"}
"""They would list numbers. The scripts of producers have some of them, in branches that only workers reach."""


def rights_of(role: Role, prefix: str, database: int) -> Rights:
    """Return what a role needs with this `RINGPROOF_PREFIX` and in this database."""
    bindings = f"_kombu.binding.{'ringproof.' if role is Role.PRODUCER else ''}*"
    celery = ["ringproof.*", bindings, "celery-task-meta-*"]
    channels = [f"{prefix}:*", "celery-task-meta-*"]
    if role is Role.PRODUCER:
        of_account = ("people",) if prefix.startswith("{") else ()  # `Keys.of_account`
        keys = [f"{prefix}:{name}" for name in (*WRITTEN_BY_PRODUCERS, *of_account)]
        read_only = [f"{prefix}:{name}" for name in READ_BY_PRODUCERS]
        commands = " ".join(("-@all", *(f"+{name}" for name in commands_of(role))))
        write_only = [f"{prefix}:{name}" for name in ONLY_WRITTEN_BY_PRODUCERS]
        return Rights(commands, keys + celery, read_only, write_only, channels, "+info +wait")
    control = f"{prefix}.control.pidbox"
    useful = f"&/{database}.celeryev* +info" + (" +bgrewriteaof" if role is Role.OPERATOR else "")
    return Rights(
        "+@all -@admin -@dangerous",
        [f"{prefix}:*", *celery, f"*.{control}*"],
        [],
        [],
        [*channels, f"/{database}.{control}"],
        useful,
    )


def missing_rights(client: redis.Redis, role: Role, prefix: str) -> str:
    """Return the command that gives a client's user what its role needs and it lacks; "" if it lacks nothing.

        ACL SETUSER app ~_kombu.binding.* &ringproof:*

    Raises `redis.RedisError` if Redis does not answer.
    """
    pool: Any = client.connection_pool
    connection = pool.get_connection()
    try:
        return in_one_go(find_missing(BlockingLine(connection), role, prefix, pool.connection_kwargs))
    finally:
        connection.disconnect()  # this discards the transaction
        pool.release(connection)


async def find_missing(line: Line, role: Role, prefix: str, parameters: Mapping[str, Any]) -> str:
    """Do what `missing_rights` does, on a line that has to be ended then. `parameters` are those of its connection."""
    try:
        refused = await _refused(line, role, rights_of(role, prefix, parameters.get("db") or 0))
    except redis.ResponseError as error:
        if not is_missing_right(error):
            raise
        refused = ["+command", "+multi"]  # without which the other rights cannot be tried
    return f"ACL SETUSER {parameters.get('username') or 'default'} {' '.join(refused)}" if refused else ""


def is_missing_right(error: BaseException) -> bool:
    """Whether Redis refused a command, or a script's command, because of the rights of this user."""
    return isinstance(error, redis.exceptions.NoPermissionError) or bool(
        isinstance(error, redis.ResponseError)
        and re.search(r"NOPERM|ACL failure|The user executing the script can't", str(error))
    )


def commands_of(role: Role) -> list[str]:
    """Return the commands that a role needs. `script|load` is a command with its subcommand."""
    if role is Role.PRODUCER:
        in_scripts = _commands_in(
            text for one in SCRIPTS_OF_PRODUCERS for text in (lua_source(one), *pieces_of(one).values())
        )
        return [*CONNECTING, *sorted({*COMMANDS_OF_PRODUCERS, *in_scripts} - LISTING)]
    in_scripts = _commands_in(all_sources()) - USEFUL
    return [*CONNECTING, *sorted({*COMMANDS_OF_PRODUCERS, *COMMANDS_OF_OTHERS, *in_scripts})]


def _commands_in(sources: Iterable[str]) -> set[str]:
    return {name.lower() for text in sources for name in re.findall(r"redis\.p?call\('(\w+)'", text)}


async def _refused(line: Line, role: Role, rights: Rights) -> list[str]:
    """Return the rights that the user does not have."""
    names = [name for name in commands_of(role) if name not in (*NEVER_QUEUED, "psubscribe")]
    known = await _answer(line, ["COMMAND", "INFO", *(name.split("|")[0] for name in names)])
    # Redis looks at the number of arguments first: so each command has as many as it needs. The first one is a key or
    # channel of the role, or does no harm; RENAME has two keys.
    own = rights.keys[0]

    def tried(name: str, arity: int) -> list[str]:
        words = name.split("|")
        rest = [own, *(own if name == "rename" else "0" for _ in range(abs(arity)))]
        return [*words, *rest[: abs(arity) - len(words)]]

    commands = [("", tried(name, one[1])) for name, one in zip(names, known, strict=True)]
    probes = [*commands, *_probes(rights)]
    await _answer(line, ["MULTI"])  # without a transaction the commands would be performed
    answers = await line.ask(*(command for _, command in probes))
    refused: dict[str, None] = {}
    for (right, command), (said, _) in zip(probes, answers, strict=True):
        answer = _judged(said)
        if answer is Answer.NO_COMMAND:
            refused["+script|load" if command[0] == "script" else f"+{command[0]}"] = None
        if answer is not Answer.YES and right:
            refused[right] = None
    return [*refused]


def _probes(rights: Rights) -> Iterator[tuple[str, list[str]]]:
    """Yield each right to a key or a channel with a command that needs it."""
    for key in rights.keys:
        yield f"~{key}", ["getrange", key, "0", "0"]
        yield f"~{key}", ["setrange", key, "0", ""]
    for key in rights.read_only:
        yield f"~{key}", ["getrange", key, "0", "0"]
    for key in rights.write_only:
        yield f"~{key}", ["setrange", key, "0", ""]
    for channel in rights.channels:
        yield f"&{channel}", ["publish", channel, ""]
        if "*" not in channel:  # Celery subscribes to it as to a pattern, which Redis wants to have word for word
            yield f"&{channel}", ["psubscribe", channel]


async def _answer(line: Line, command: Sequence[str]) -> Any:
    """Return the answer to one command. Raises redis-py's ResponseError for a refusal."""
    ((answer, _),) = await line.ask(command)
    if isinstance(answer, redis.ResponseError):
        raise answer
    return answer


def _judged(said: Any) -> Answer:
    """Return what Redis says to a command that it was to queue in a transaction."""
    if isinstance(said, redis.ResponseError) and is_missing_right(said):
        return Answer.NO_COMMAND if re.search("permissions to run|this command", str(said)) else Answer.NO_KEY
    return Answer.YES
