"""What a newer version has written: it stays as it is, it is shown, and no other number waits because of it."""

import json
import re
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.harness import fresh_number
from support.number_in_ledger import MINUTES, SENT, UUID, Book

from ringproof.batches import operations
from ringproof.batches.cancelling import Selection, cancel_unbegun, count_unbegun
from ringproof.batches.erasure import erase_number
from ringproof.batches.feeding import batches_to_feed, feed_page, next_page
from ringproof.batches.model import BatchState, pack_row
from ringproof.batches.rows import batch_rows
from ringproof.batches.summary import batch_summary, recount, unfinished_batches
from ringproof.clock import epoch_ms
from ringproof.ledger import reverification
from ringproof.ledger.acceptance import Disposition, RequestKind
from ringproof.ledger.activity import sender_of
from ringproof.ledger.agenda import release_refused, work_off_agenda
from ringproof.ledger.answers import AgendaAction, Outcome, Settled, Verdict
from ringproof.ledger.confirmation import NextStep, Source, end_try, mark_verified, store_code, take_code
from ringproof.ledger.credentials import Scope, credentials, find, issue
from ringproof.ledger.failures import failure_of
from ringproof.ledger.filtered import RecordFilter, filtered
from ringproof.ledger.heartbeats import read_heartbeats
from ringproof.ledger.numbers import all_records
from ringproof.ledger.policy import changes, quiet_hours, reverify_mode
from ringproof.ledger.record import FIELDS, LETTERS, Lane, Reason, Record, State
from ringproof.ledger.removal import forget_verified
from ringproof.ledger.scripts import all_sources
from ringproof.plivo.client import VerifiedNumber
from ringproof.results import verification_record
from ringproof.secret_str import SecretStr
from worker.views.number import next_step_text, number_json, number_line, number_view
from worker.web.api.models import Verification

REQUEST = 1764374400
OF_A_RECORD = {
    "request": str(REQUEST),
    "lane": "bulk",
    "channel": "sms",
    "country": "US",
    "batch": "spring",
    "row": "sms:0:US",
    "attempts": "1",
    "fence": "9f86d081884c7d65",
    "history": "q-t6i0l1s-t6i0l2",
    "updated_at": "1764374400000",
    "code_sent_at": "1764374400000",
    "verification_uuid": UUID,
    "verified_at": "1764374400000",
    "ends_at": "9" * 13,
    "due_at": "1764374400000",
    "lease_until": "1764374400000",
    "live_until": "1764374400000",
    "expires_at": "1764374400000",
    "codes": "t6i0l1",
    "tries": "1",
}
KNOWN = {*State, *Reason, *Lane, "sms", "call"}
WORDS = st.from_regex(r"[a-z][a-z0-9_]{0,31}", fullmatch=True).filter(lambda word: word not in KNOWN)
WORD_FIELDS = ("state", "reason", "lane", "channel")
UNFINISHED = [State.QUEUED, State.WAITING, State.SENDING, State.CODE_SENT, State.IN_DOUBT]
NOT_FUNCTIONS = settings(
    max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)  # the fixture is a ledger, and each example has a number of its own


@pytest.fixture
def book(client):
    client.flushall()
    book = Book(client)
    book.stop()
    book.run_batch("spring")
    return book


@pytest.fixture
def queues(book):
    return book.queues


def written(book, state=State.QUEUED, **fields):
    """Write a record as a newer version may; return its number."""
    number = fresh_number()
    book.client.hset(book.keys.record(number), mapping={"state": state} | OF_A_RECORD | fields)
    book.client.zadd(book.keys.agenda, {number: 1})
    return number


def kept(book, number):
    return book.client.hgetall(book.keys.record(number))


def caller_id(number):
    now = datetime.now(UTC)
    return VerifiedNumber(number, "alias", "US", now, now, "", UUID)


def run_all_scripts(book, queues, number):
    """Have each script look at a number. None may raise."""
    ledger, request = book.ledger, REQUEST
    ledger.begin([(number, request)])
    ledger.begin([(number, request)], fence=OF_A_RECORD["fence"])
    ledger.cancel(number, request)
    for kind in RequestKind:
        lane = Lane.INTERACTIVE if kind in {RequestKind.PERSON, RequestKind.RESEND} else Lane.BULK
        answer = ledger.accept(number, token=f"{number}:{kind}", kind=kind, lane=lane, country="US")
        assert answer.disposition in {Disposition.SAME, Disposition.JOINED}
        assert not answer.promoted
    again = {"kind": RequestKind.ROSTER, "lane": Lane.BULK, "again": request}
    assert ledger.accept(number, token=f"{number}:again", **again).disposition is Disposition.GONE
    work_off_agenda(ledger, 500, queues)
    release_refused(ledger, 10)
    ledger.run_script("agenda/repair", [book.keys.record(number)], [number])
    for lane in Lane:
        selection = Selection("US", "", lane)
        count_unbegun(ledger, selection)
        list(cancel_unbegun(ledger, selection))
    ledger.run_script("batch/notify_rows", [book.keys.record(number)], ["spring", number, "sms:0"])
    handle = store_code(ledger, SecretStr("123456"))
    assert take_code(ledger, number, handle).step is NextStep.NEWER
    end_try(ledger, number, handle)
    for source in Source:
        mark_verified(ledger, [caller_id(number)], handle if source is Source.CODE else "", source=source)
    forget_verified(ledger, number)
    book.client.zadd(book.keys.renewals, {number: 1})
    reverification.due(ledger, 10, 10, queues[Lane.SCHEDULED])
    book.client.zadd(book.keys.renewals, {number: 1})
    reverification.claim(ledger, number)
    reverification.postpone(ledger, number)
    reverification.request(ledger, [number])
    ledger.run_script(
        "reverification/note_removed", [book.keys.record(number)], [number, request, OF_A_RECORD["verified_at"]]
    )


def show(book, number):
    """Have each reader show a number; return its record. None may raise."""
    record = book.ledger.read(number)
    assert book.ledger.read_many([(number, None)]) == [record]
    assert number in {one.phone_number for one in all_records(book.ledger)}
    for wanted in (RecordFilter(), RecordFilter(states=frozenset({State.WAITING})), RecordFilter(country="US")):
        for page in filtered(book.ledger, wanted):
            assert not page.damaged
    json.loads(number_json(record))
    assert number_view(record).row_count
    for text in (next_step_text(record), number_line(record), str(record)):
        assert number not in text
    verification_record(record)
    failure_of(record)
    sender_of(book.ledger, record)
    Verification.of(f"{number}/{record.request}", record, is_own=True)
    return record


class TestARecord:
    @pytest.mark.parametrize("field", WORD_FIELDS)
    @NOT_FUNCTIONS
    @given(word=WORDS, state=st.sampled_from(UNFINISHED))
    def test_with_a_word_that_is_unknown_stays_as_it_is_and_is_shown(self, book, queues, field, word, state):
        number = written(book, **{"state": state, field: word})
        before = kept(book, number)
        run_all_scripts(book, queues, number)

        assert kept(book, number) == before
        assert book.client.zscore(book.keys.agenda, number) is not None
        record = show(book, number)
        assert (record.state, record.reason) == (State.WAITING, Reason.NEWER_VERSION)
        assert record.detail == f"{field} {word}"
        assert erase_number(book.ledger, number)
        assert not kept(book, number)

    @pytest.mark.parametrize("state", [*State, "parked"])
    def test_of_a_higher_schema_stays_as_it_is_whatever_it_says(self, book, queues, state):
        number = written(book, state, v="2", request=str(REQUEST), attempts="many", history="?")
        before = kept(book, number)
        run_all_scripts(book, queues, number)
        settled = book.ledger.settle(number, REQUEST, OF_A_RECORD["fence"], SENT)

        assert settled is Settled.STALE
        assert kept(book, number) == before
        assert show(book, number).detail == "schema 2"

    @pytest.mark.parametrize("state", [State.FAILED, State.EXPIRED, State.CANCELLED, State.VERIFIED])
    def test_that_is_final_is_known_by_its_state_whatever_its_reason_is(self, book, state):
        number = written(book, state, reason="opted_out", lane="express")
        record = show(book, number)

        assert (record.state, record.reason, record.detail) == (state, Reason.NEWER_VERSION, "reason opted_out")

    @NOT_FUNCTIONS
    @given(letter=st.characters(categories=["L", "N"], max_codepoint=127).filter(lambda one: one != "-"))
    def test_with_an_unknown_letter_in_its_history_is_read(self, book, letter):
        number = written(book, State.QUEUED, history=f"q-t6i0l1{letter}{letter}t6i0l2")
        last = show(book, number).history[-1]

        assert last.state is State.WAITING or letter in {LETTERS[state] for state in State}
        assert book.ledger.begin([(number, REQUEST)])[0].verdict is not Verdict.NOTHING

    @NOT_FUNCTIONS
    @given(field=WORDS.filter(lambda word: word not in FIELDS), value=st.text("abc123", min_size=1))
    def test_keeps_an_unknown_field_through_every_change_and_a_new_request(self, book, field, value):
        book.number = fresh_number()
        accepted = book.accept()
        key = book.keys.record(book.number)
        book.client.hset(key, field, value)
        begun = book.begin(accepted.request)
        book.settle(begun, SENT)
        mark_verified(book.ledger, [caller_id(book.number)])
        assert book.client.hget(key, field) == value
        book.move(20 * MINUTES)

        assert book.accept(RequestKind.RESEND).disposition is Disposition.ACCEPTED
        assert book.client.hget(key, field) == value
        show(book, book.number)

    def test_is_settled_by_the_worker_that_has_its_fence_whatever_its_reason_became(self, book):
        accepted = book.accept()
        begun = book.begin(accepted.request)
        book.client.hset(book.keys.record(book.number), mapping={"state": "in_doubt", "reason": "host_lost"})

        assert book.settle(begun, SENT) is Settled.SETTLED
        assert book.record.state is State.CODE_SENT

    def test_never_ends_the_other_numbers_of_its_chunk(self, book):
        newer = [written(book, **{field: "parked"}) for field in WORD_FIELDS]
        newer.append(written(book, v="2", lane="?!"))
        request = book.accept().request
        *others, mine = book.ledger.begin([*((number, REQUEST) for number in newer), (book.number, request)])

        assert mine.verdict is Verdict.BEGUN
        assert {one.verdict for one in others} == {Verdict.NOTHING}
        assert {one.record.reason for one in others} == {Reason.NEWER_VERSION}

    def test_is_looked_at_again_ever_more_rarely(self, book, queues):
        number = written(book, "parked", updated_at=str(epoch_ms(book.now())))
        waits = []
        for _ in range(6):
            (worked,) = work_off_agenda(book.ledger, 10, queues)
            assert worked.action is AgendaAction.NEWER
            assert work_off_agenda(book.ledger, 10, queues) == []
            due = book.client.zscore(book.keys.agenda, number) / 1000 - book.now().timestamp()
            waits.append(round(due))
            book.move(timedelta(seconds=due + 1))

        assert waits[0] == 10
        assert waits == sorted(waits)
        assert waits[-1] <= 600

    def test_that_is_damaged_is_no_newer_one(self, book):
        number = written(book, "Junk!")
        book.client.hset(book.keys.record(number), "v", "1")

        with pytest.raises(Exception, match="junk in its fields"):
            book.ledger.read(number)

    def test_in_the_line_of_people_keeps_nobody_behind_it(self, book, queues):
        newer = written(book, State.WAITING, lane="interactive", reason="parked")
        book.client.zadd(book.keys.line("sms"), {newer: 1})
        before = kept(book, newer)
        book.accept()
        book.client.hset(book.keys.record(book.number), mapping={"state": "waiting", "reason": "pace"})
        book.client.zadd(book.keys.line("sms"), {book.number: 2})
        worked = {one.phone_number: one.action for one in work_off_agenda(book.ledger, 10, queues)}

        assert worked[book.number] is AgendaAction.ENQUEUE
        assert kept(book, newer) == before


def test_the_fields_of_a_record_are_all_named():
    """A field that is not would be kept by a new request as a newer version's."""
    found = set()
    for source in all_sources():
        found |= set(re.findall(r"\brecord\.([a-z_]+)\b(?!\()", source))
        found |= set(re.findall(r"(?<![.\w])fields\.([a-z_]+)\b", source))
        for call in re.findall(r"\bput\(key,(.*?)\)\n", source, re.DOTALL):
            found |= set(re.findall(r"'([a-z_]+)',", call))
        for call in re.findall(r"\b(?:drop|set_or_delete)\(key,(.*?)\)\n", source, re.DOTALL):
            found |= set(re.findall(r"'([a-z_]+)'", call))
    values = {"queued", "failed", "completed", "code"}
    of_batches = {"sent_at", "sent_since", "sent_weight", "completed_at"}
    assert found - FIELDS == values | of_batches


class TestABatch:
    @pytest.fixture
    def spring(self, book):
        keys, numbers = book.keys.batch("spring"), [fresh_number() for _ in range(4)]
        book.client.delete(keys.lists[0])
        book.client.rpush(keys.lists[0], *(pack_row(number, "US", None, None) for number in numbers))
        book.client.zadd(book.keys.batches, {"spring": 1})
        book.client.zadd(book.keys.feeding, {"spring": 0})
        return keys

    @NOT_FUNCTIONS
    @given(word=WORDS.filter(lambda word: word not in set(BatchState)), schema=st.sampled_from(["1", "2"]))
    def test_with_an_unknown_state_is_shown_and_left_alone(self, book, spring, word, schema):
        state = word if schema == "1" else "running"
        book.client.hset(spring.batch, mapping={"state": state, "v": schema, "holiday": "yes"})
        before = book.client.hgetall(spring.batch)

        shown = batch_summary(book.ledger, "spring")
        assert shown.state is BatchState.NEWER_VERSION
        assert "newer version" in shown.held_back_by
        assert batches_to_feed(book.ledger) == []
        unfinished_batches(book.ledger, 10)
        assert len(list(batch_rows(book.ledger, "spring"))) == 4
        assert book.client.hgetall(spring.batch) == before

    @pytest.mark.parametrize("change", [operations.pause, operations.resume, operations.cancel])
    def test_with_an_unknown_state_is_changed_by_no_operator_of_this_version(self, book, spring, change):
        book.client.hset(spring.batch, "state", "draining")
        change(book.ledger, "spring")

        assert book.client.hget(spring.batch, "state") == "draining"

    def test_with_an_unknown_state_holds_its_numbers_for_a_newer_worker(self, book, spring, queues):
        number = written(book)
        book.client.hset(spring.batch, "state", "draining")
        before = kept(book, number)

        assert book.ledger.begin([(number, REQUEST)])[0].verdict is Verdict.NOTHING
        assert [one.action for one in work_off_agenda(book.ledger, 10, queues)] == [AgendaAction.NEWER]
        assert kept(book, number) == before

    @NOT_FUNCTIONS
    @given(byte=st.sampled_from("zyYXT#~"))
    def test_keeps_a_row_whose_byte_is_unknown(self, book, spring, byte):
        book.client.set(spring.bytes[0], byte)
        book.client.hset(spring.counts, "sms:waiting:holiday", 1)
        book.client.hset(spring.batch, "cursor:sms", 0)
        (batch,) = batches_to_feed(book.ledger)
        feed_page(book.ledger, batch, "sms", next_page(book.ledger, batch, "sms", 2), {})

        assert book.client.getrange(spring.bytes[0], 0, 0) == byte
        rows = list(batch_rows(book.ledger, "spring"))
        assert rows[0].outcome == "newer_version"
        assert batch_summary(book.ledger, "spring").outcomes["waiting:holiday"] == 1
        recount(book.ledger, "spring")
        operations.retry(book.ledger, "spring", ())
        assert book.client.getrange(spring.bytes[0], 0, 0) == byte


class TestOtherKeys:
    def test_a_heartbeat_with_unknown_fields_and_words_is_read(self):
        beat = {
            "at": 1764374400000,
            "version": "0.9.0",
            "kind": "worker",
            "moon": {"phase": 1},
            "queues": ["new.queue"],
        }
        (read,) = read_heartbeats({"bulk@vm": json.dumps(beat)})

        assert (read.version, read.queues) == ("0.9.0", ("new.queue",))

    def test_a_credential_with_an_unknown_scope_has_the_others(self, book):
        issued = issue(book.ledger, "shop", [Scope.VERIFY])
        stored = json.loads(book.client.hget(book.keys.credentials, "shop"))
        changed = stored | {"scopes": ["verify", "transfer"], "team": "red"}
        book.client.hset(book.keys.credentials, mapping={"shop": json.dumps(changed), "odd": "[]", "none": "?"})

        assert find(credentials(book.ledger), issued.token).scopes == {Scope.VERIFY}
        assert book.client.hlen(book.keys.credentials) == 3

    def test_the_policy_of_a_newer_version_is_read_as_far_as_it_is_known(self, book):
        policy = {"moon_phase": "full", "quiet_hours": "21:00-08:00;sat", "reverify_mode": "ask_twice"}
        book.client.hset(book.keys.policy, mapping=policy)

        assert quiet_hours(book.ledger) is None
        reverify_mode(book.ledger)
        changes(book.ledger, book.ledger.policy)
        assert book.accept().disposition is Disposition.ACCEPTED
        book.ledger.publish_policy(book.ledger.policy)
        assert book.client.hget(book.keys.policy, "moon_phase") == "full"

    def test_an_answer_that_a_newer_version_gave_to_the_same_token_stands(self, book):
        answer = json.dumps(["deferred", REQUEST, 0, 0, ""])
        book.client.set(book.keys.token("order 17"), answer)

        assert book.accept(token="order 17").disposition is Disposition.SAME

    def test_an_outcome_with_a_reason_of_another_version_is_shown(self):
        record = Record.unpack(
            "+14155550123", OF_A_RECORD | {"state": "failed", "reason": "opted_out", "detail": "STOP"}
        )

        assert str(failure_of(record)) == str(failure_of(record))
        assert record.detail == "reason opted_out: STOP"
        assert Outcome(State.FAILED, record.reason).reason is Reason.NEWER_VERSION
