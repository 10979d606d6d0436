"""The names of all keys in Redis: no other Python module spells one.

Scripts get their own keys from here. They build two kinds of keys from the prefix: those that any script may need
(`lua/lib/arguments.lua`), and those that they find by a record's or row's content.

`{P}` is the prefix, `RINGPROOF_PREFIX`. A TTL is given where the key ends by itself. An account has keys of its own.
Their prefix has braces and its name: `{ringproof:acme}:number:+14155550123`.

| key | type | content |
|---|---|---|
| `{P}:number:+E164` | hash | the record of a number; also the channel on which each of its changes is published |
| `{P}:earlier:+E164` | hash | the records of replaced requests, as JSON, by request number; 24 hours |
| `{P}:agenda` | sorted set | numbers with the moment (ms) at which each one needs attention |
| `{P}:renewals` | sorted set | verified numbers with the moment (ms) of their next re-verification |
| `{P}:lapsed` | sorted set | numbers whose user did not answer two re-verifications, and since when (ms) |
| `{P}:token:TOKEN` | string | the answer to a caller's token; 15 minutes |
| `{P}:code:HANDLE` | string | a code that a user entered; one minute |
| `{P}:removal:HANDLE` | string | a number that is to be removed at Plivo; 15 minutes |
| `{P}:request:ID` | string | the request that an opaque id stands for; as long as it is asked for, and RECORD_DAYS |
| `{P}:request_ids` | string | the secret key of these ids |
| `{P}:idempotency:DIGEST` | string | a digest of the body that came with an Idempotency-Key; 24 hours |
| `{P}:erased` | string | the secret key of the tombstones' HMACs, until the last tombstone expires |
| `{P}:erased:HMAC` | string | the tombstone of one erased number, until its code and its caps have ended |
| `{P}:wrong_codes:N` | hash | wrong codes by country, in the Nth ten minutes since 1970; 70 minutes |
| `{P}:people:CAP:WHOM` | string | codes of people, as a cap counts them about WHOM (lua/lib/people.lua); its span |
| `{P}:people:countries` | hash | the countries with such counts; 70 minutes after the last code |
| `{P}:requesters` | string | the secret key of the HMACs of `requester=`; two days after the last one |
| `{P}:breakers` | hash | how many codes people entered, by country, and which breakers are open (lua/lib/breaker.lua) |
| `{P}:policy` | hash | the workers' settings, for all scripts |
| `{P}:limits`, `{P}:limits:history` | hash, list | an operator's rates and lifted caps, and their last 100 changes |
| `{P}:pace` | hash | the next free slot of each bucket, and the turns (lua/lib/pace.lua) |
| `{P}:held` | sorted set | the slots (µs) that calls hold beyond the account's next free one (lua/lib/pace.lua) |
| `{P}:line:CHANNEL` | sorted set | the people whose slot is not near, by their place (ms) (lua/lib/line.lua) |
| `{P}:called:CHANNEL` | sorted set | the people who are called up, and until when (ms) each keeps the place |
| `{P}:backlog:CHANNEL` | sorted set | all people who need a slot, by their place (ms) |
| `{P}:pauses` | hash | what is paused, by an operator or by Plivo's answers (lua/lib/pauses.lua) |
| `{P}:destinations` | hash | where Plivo took codes lately, and which countries it refuses (lua/lib/destinations.lua) |
| `{P}:destinations:waiting` | sorted set | numbers that wait for their country, as COUNTRY/0/+E164 |
| `{P}:refusals` | hash | how often each cap has refused a request |
| `{P}:reconcile`, `{P}:sync` | hash | how far each scan of Plivo's list is (lua/plivo_list) |
| `{P}:credentials` | hash | the front door's credentials by name, as JSON: auth id, hash of the token, scopes |
| `{P}:page_session:DIGEST` | string | who has logged in to the live page, as JSON; 12 hours |
| `{P}:audit` | stream | what operators did: actor, action, subject; the last 10,000 (`ledger.audit`) |
| `{P}:jumps` | hash | how far (ms) Redis' clock has jumped ahead, by the last moment (ms) before; an hour |
| `{P}:metrics` | hash | how often things have happened, by country and other labels (lua/lib/metrics.lua) |
| `{P}:in_doubt` | sorted set | numbers in doubt, and since when (ms) |
| `{P}:repair_cursor` | string | where the agenda repair goes on with its scan of the records |
| `{P}:heartbeats` | hash | what each worker and each beat last said of itself, as JSON (`ledger.heartbeats`); an hour |
| `{P}:activity` | hash | what each process that sends last said of its work, as JSON (`ledger.activity`); an hour |
| `{P}:ticks` | hash | what the sweep, the feeder and beat last did, when, and for how long; a week |
| `ringproof.prefixes` | hash | each prefix, and when (ms) a worker with it had its last heartbeat; an hour |
| `ringproof.followed` | string | the id of the Redis that a worker has last seen a replica follow; 30 s |
| `{P}:minute` | list | counts of codes and slots, every ten seconds (`ledger.last_minute`); the last eight |
| `{P}:gap` | string | the last time that Redis remembers nothing of, as JSON (`ledger.gaps`); an hour |
| `{P}:generation` | hash | what shows that Redis has gone back in time, and who has reported (lua/lib/generation.lua) |
| `{P}:trial` | none | never written: a command to it shows whether Redis takes writes |
| `{P}:tick:NAME` | string | when (ms) a worker has claimed the last tick of this name |
| `{P}:events` | channel | events that concern more than one number, as JSON |
| `{P}:replicas` | channel | empty; replicas confirm all that was written before (`ledger.replication`) |
| `{P}:outbox` | stream | an entry for each event, while somebody consumes them (lua/lib/outbox.lua); a week |
| `{P}:outbox:copy` | stream | the outbox without removed events, while it is copied (lua/outbox/copy.lua); an hour |
| `{P}:outbox:consumers` | hash | who consumes the events, and how far each one is; three days after its last sign |
| `{P}:outbox:NAME:waiting` | hash | +E164 or `batch …` -> failed tries, and the ids of events that wait for NAME |
| `{P}:outbox:NAME:due` | sorted set | the same, by the moment (ms) of the next try |
| `{P}:outbox:NAME:given_up` | list | the last 1,000 events that NAME did not get within three days |
| `{P}:unacked` | hash | Celery's messages that a worker has taken and not acknowledged |
| `{P}:newer_messages` | list | messages for a newer version, each with its queue (`newer_messages.py`) |
| `{P}:batches` | sorted set | the names of all batches with the moment (µs) at which each import began |
| `{P}:feeding` | sorted set | the names of batches with rows to feed, with the moment (µs) of the last feed |
| `{P}:accounts` | sorted set | the accounts with work, and when (ms) each one needs attention (`ledger.attention`) |
| `{P}:people` | list | an account's people whom no worker has in hand (`ringproof.celery.people`); 15 minutes |
| `{P}:completed` | list | the names of completed batches that are not in the log yet |

The keys of one batch expire RECORD_DAYS after the batch was completed or cancelled. LIST is `sms` or `call`: each has a
list of its own, so that slow calls do not keep texts back.

| key | type | content |
|---|---|---|
| `{P}:batch:NAME` | hash | state, created_at, completed_at, source, digest, open, cursor:LIST … |
| `{P}:batch:NAME:LIST` | list | the rows, as `ringproof.batches.model.pack_row` writes them |
| `{P}:batch:NAME:LIST:bytes` | string | one byte for each row (`row_outcomes.BYTES`) |
| `{P}:batch:NAME:LIST:again` | list | the places of rows that an operator retries |
| `{P}:batch:NAME:counts` | hash | LIST:outcome -> rows |
| `{P}:batch:NAME:countries` | hash | country:state -> rows |
| `{P}:columns:NAME` | sorted set | the names of the roster's columns, in their order |
| `{P}:columns:NAME:LIST` | hash | first row -> the columns of its page (`batches.kept_columns`) |
| `{P}:columns:NAME:rejected` | hash | the same of the rejected rows, with their reasons |
| `{P}:batch:NAME:importer` | string | the token of the running import; it expires if the import shows no sign of life |
"""

from typing import Final, NamedTuple, Self

from ringproof.ledger.row_outcomes import LISTS

PREFIXES: Final = "ringproof.prefixes"
"""The one key of ours without a prefix, beside the queues' names: who uses another prefix by mistake finds ours here.
"""

FOLLOWED: Final = "ringproof.followed"
"""It belongs to a Redis, and all prefixes in it. Programs may read it by their right to the queues, whose names it has.
"""


class BatchKeys(NamedTuple):
    """The keys of one batch; `lists`, `bytes` and `retries` in the order of `LISTS`.

    `pages` has the columns of each list, and then those of the rejected rows.
    """

    batch: str
    importer: str
    counts: str
    countries: str
    lists: tuple[str, ...]
    bytes: tuple[str, ...]
    retries: tuple[str, ...]
    columns: str
    pages: tuple[str, ...]

    @property
    def content(self) -> list[str]:
        """All keys but the hash and the importer."""
        return [self.counts, self.countries, *self.lists, *self.bytes, *self.retries, self.columns, *self.pages]


class Keys:
    """The names of the keys under one prefix.

    >>> Keys("ringproof").record("+14155550123")
    'ringproof:number:+14155550123'
    """

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix
        self.agenda = f"{prefix}:agenda"
        self.renewals = f"{prefix}:renewals"
        self.lapsed = f"{prefix}:lapsed"
        self.erased = f"{prefix}:erased"
        self.request_ids = f"{prefix}:request_ids"
        self.policy = f"{prefix}:policy"
        self.limits = f"{prefix}:limits"
        self.limits_history = f"{prefix}:limits:history"
        self.pace = f"{prefix}:pace"
        self.pauses = f"{prefix}:pauses"
        self.destinations = f"{prefix}:destinations"
        self.destinations_waiting = f"{prefix}:destinations:waiting"
        self.refusals = f"{prefix}:refusals"
        self.breakers = f"{prefix}:breakers"
        self.audit = f"{prefix}:audit"
        self.credentials = f"{prefix}:credentials"
        self.jumps = f"{prefix}:jumps"
        self.metrics = f"{prefix}:metrics"
        self.in_doubt = f"{prefix}:in_doubt"
        self.repair_cursor = f"{prefix}:repair_cursor"
        self.heartbeats = f"{prefix}:heartbeats"
        self.activity = f"{prefix}:activity"
        self.minute = f"{prefix}:minute"
        self.gap = f"{prefix}:gap"
        self.generation = f"{prefix}:generation"
        self.trial = f"{prefix}:trial"
        self.ticks = f"{prefix}:ticks"
        self.events = f"{prefix}:events"
        self.replicas = f"{prefix}:replicas"
        self.outbox = f"{prefix}:outbox"
        self.outbox_copy = f"{prefix}:outbox:copy"
        self.consumers = f"{prefix}:outbox:consumers"
        self.unacked = f"{prefix}:unacked"
        self.newer_messages = f"{prefix}:newer_messages"
        self.batches = f"{prefix}:batches"
        self.feeding = f"{prefix}:feeding"
        self.completed = f"{prefix}:completed"
        self.accounts = f"{prefix}:accounts"
        self.people = f"{prefix}:people"

    @classmethod
    def of_account(cls, prefix: str, account: str) -> Self:
        """Return the names of an account's keys. The braces have a Redis Cluster keep all of them in one place.

        >>> Keys.of_account("ringproof", "acme").record("+14155550123")
        '{ringproof:acme}:number:+14155550123'
        """
        return cls(f"{{{prefix}:{account}}}")

    @property
    def account(self) -> str | None:
        """The account whose keys these are; None for the installation's own.

        >>> Keys("{ringproof:acme}").account, Keys("ringproof").account
        ('acme', None)
        """
        return self.prefix[1:-1].rpartition(":")[2] if self.prefix.startswith("{") else None

    def record(self, number: str) -> str:
        """Return the key of a number's record; with `*`, a pattern for all of them."""
        return f"{self.prefix}:number:{number}"

    def number(self, record_key: str) -> str:
        """Return the number of a record's key."""
        return record_key.removeprefix(self.record(""))

    def events_channel(self, number: str) -> str:
        """Return the channel on which the scripts publish every change of a number's record."""
        return self.record(number)

    def earlier(self, number: str) -> str:
        """Return the key of the records of a number's replaced requests."""
        return f"{self.prefix}:earlier:{number}"

    def token(self, token: str) -> str:
        """Return the key of the answer to a token; with `*`, a pattern."""
        return f"{self.prefix}:token:{token}"

    def line(self, channel: str) -> str:
        """Return the key of the people whose slot is not near."""
        return f"{self.prefix}:line:{channel}"

    def called(self, channel: str) -> str:
        """Return the key of the people who are called up, because their slot is near."""
        return f"{self.prefix}:called:{channel}"

    def backlog(self, channel: str) -> str:
        """Return the key of all people who need a slot."""
        return f"{self.prefix}:backlog:{channel}"

    def code(self, handle: str) -> str:
        """Return the key of a code that a user entered."""
        return f"{self.prefix}:code:{handle}"

    def removal(self, handle: str) -> str:
        """Return the key of a number that is to be removed at Plivo."""
        return f"{self.prefix}:removal:{handle}"

    def request_id(self, request_id: str) -> str:
        """Return the key of what an opaque id stands for."""
        return f"{self.prefix}:request:{request_id}"

    def idempotency(self, digest: str) -> str:
        """Return the key of the digest of a body that came with an Idempotency-Key."""
        return f"{self.prefix}:idempotency:{digest}"

    def page_session(self, digest: str) -> str:
        """Return the key of a session of the live page."""
        return f"{self.prefix}:page_session:{digest}"

    def wrong_codes(self, ten_minutes: int) -> str:
        """Return the key of the wrong codes by country in ten minutes, which are numbered since 1970."""
        return f"{self.prefix}:wrong_codes:{ten_minutes}"

    def list_scan(self, name: str) -> str:
        """Return the key of a scan of Plivo's list: `reconcile` or `sync`."""
        return f"{self.prefix}:{name}"

    def tick(self, name: str) -> str:
        """Return the key by which one worker claims a tick."""
        return f"{self.prefix}:tick:{name}"

    def outbox_of(self, consumer: str) -> tuple[str, str, str]:
        """Return the keys of the events that wait for a consumer, of their next tries, and of those given up."""
        own = f"{self.outbox}:{consumer}"
        return f"{own}:waiting", f"{own}:due", f"{own}:given_up"

    def batch(self, name: str) -> BatchKeys:
        """Return the keys of a batch."""
        batch = f"{self.prefix}:batch:{name}"
        columns = f"{self.prefix}:columns:{name}"  # not below `batch`, whose keys web apps may read
        return BatchKeys(
            batch,
            f"{batch}:importer",
            f"{batch}:counts",
            f"{batch}:countries",
            tuple(f"{batch}:{one}" for one in LISTS),
            tuple(f"{batch}:{one}:bytes" for one in LISTS),
            tuple(f"{batch}:{one}:again" for one in LISTS),
            columns,
            tuple(f"{columns}:{one}" for one in (*LISTS, "rejected")),
        )
