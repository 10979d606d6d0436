"""The people whose phones the sandbox rings: what they enter, and when it is offered."""

import os
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.harness import PATIENCE_SECONDS, Sandbox, eventually, fresh_number, stopped
from support.wire import NUMBER, outcome

from ringproof import initiate_verification, is_verified
from ringproof.errors import InvalidRequest, WrongCode
from ringproof.plivo.client import VerifiedNumber
from ringproof.secret_str import SecretStr
from worker.local.sandbox import people
from worker.local.sandbox.entering import through_ringproof
from worker.local.sandbox.people import Entries, Entry, People

# Their description


@pytest.mark.parametrize(
    ("answers", "after", "expected"),
    [
        ("right=80,wrong=10,never=10", "1-5", People(80, 10, 10, (1, 5))),
        ("right=80%, wrong=10%, never=10%", None, People(80, 10, 10, (1, 5))),
        ("never=1,right=0.5", "0", People(0.5, 0, 1, (0, 0))),
        ("right=1,seed=7", "0.5-0.5", People(1, 0, 0, (0.5, 0.5), seed=7)),
        ("wrong=3", " 3 ", People(0, 3, 0, (3, 3))),
        ("wrong=3", "3600", People(0, 3, 0, (3600, 3600))),
        (None, None, None),
    ],
)
def test_people_are_read_from_weights_and_seconds(answers, after, expected):
    assert People.read(answers, after) == expected


@pytest.mark.parametrize(
    ("answers", "after", "field"),
    [
        ("", None, "answers"),
        ("right", None, "answers"),
        ("right=", None, "answers"),
        ("right=-1", None, "answers"),
        ("right=nan", None, "answers"),
        ("right=1e3", None, "answers"),
        ("right=٣", None, "answers"),
        ("right=0,wrong=0", None, "answers"),
        ("seed=7", None, "answers"),
        ("right=1,seed=1.5", None, "answers"),
        ("right=1,right=2", None, "answers"),
        ("right=1,,wrong=1", None, "answers"),
        ("right=1,maybe=2", None, "answers"),
        ("right=9999999999", None, "answers"),
        ("right=1", "", "answer-after"),
        ("right=1", "5-1", "answer-after"),
        ("right=1", "-1", "answer-after"),
        ("right=1", "1-", "answer-after"),
        ("right=1", "1-2-3", "answer-after"),
        ("right=1", "1-3601", "answer-after"),
        ("right=1", "soon", "answer-after"),
        (None, "1-5", "answer-after"),
    ],
)
def test_a_wrong_description_is_refused_with_a_remedy(answers, after, field):
    with pytest.raises(InvalidRequest) as refused:
        People.read(answers, after)

    assert refused.value.field == field
    assert len(refused.value.remedy.split()) > 4


@given(st.text(), st.text())
def test_any_text_is_a_description_or_invalid_request(answers, after):
    assert type(outcome(People.read, answers, after)) in {People, InvalidRequest}


# Their answers


@given(
    st.integers(0, 10**8 - 1), st.integers(4, 8), st.integers(1, 50), st.sampled_from([(1, 0, 0), (0, 1, 0), (0, 0, 1)])
)
def test_a_wrong_code_is_another_code_of_the_same_length(number, length, nth, weights):
    code = f"{number % 10**length:0{length}d}"

    answer = People(*weights, after_seconds=(1, 5)).answer(NUMBER, code, nth)

    if weights[2]:
        assert answer is None
        return
    after, entered = answer
    assert 1 <= after <= 5
    assert (entered == code) is bool(weights[0])
    assert len(entered) == length
    assert entered.isdecimal()


def test_people_answer_by_weight_and_do_the_same_in_each_run():
    numbers = [f"+1415{line:07d}" for line in range(5000)]
    some, others = People(80, 10, 10), People(80, 10, 10, seed=1)

    first_run = [some.answer(number, "0412", 1) for number in numbers]

    choices = Counter("never" if one is None else one[1] == "0412" for one in first_run)
    assert [choices[True], choices[False], choices["never"]] == pytest.approx([4000, 500, 500], rel=0.15)
    assert first_run == [some.answer(number, "0412", 1) for number in numbers]
    assert first_run != [some.answer(number, "0412", 2) for number in numbers]
    assert first_run != [others.answer(number, "0412", 1) for number in numbers]


def entry(place):
    return Entry(f"+1415{place:07d}", "uuid", "0412", right=True)


def test_entries_are_numbered_in_the_order_in_which_they_are_due():
    answers = Entries()
    for place, after in enumerate([3, 1, 2]):
        answers.add(100.0, after, entry(place))

    assert answers.since(0, 100.9) == ([], 0)
    first, following = answers.since(0, 102.0)
    assert ([one["n"] for one in first], following) == ([0, 1], 2)
    assert [one["phone_number"] for one in first] == ["+14150000001", "+14150000002"]
    assert [one["phone_number"] for one in answers.since(following, 200.0)[0]] == ["+14150000000"]
    assert answers.since(0, 0.0)[1] == 3  # an offered entry stays offered if the clock goes back
    assert answers.since(10**18, 200.0) == ([], 3)


def test_the_oldest_entries_beyond_the_limit_are_forgotten(monkeypatch):
    monkeypatch.setattr(people, "KEPT", 3)
    answers = Entries()
    for place in range(5):
        answers.add(place, 0.5, entry(place))  # each is due when the next is added

    kept, following = answers.since(0, 100.0)
    assert [one["n"] for one in kept] == [2, 3, 4]
    assert kept[0]["phone_number"] == "+14150000002"
    assert following == 5
    for place in range(5):
        answers.add(200.0, 10, entry(place))  # while three wait, no further person answers
    assert answers.since(0, 1000.0)[1] == 8


# Over HTTP


@pytest.fixture(scope="module")
def inhabited(tmp_path_factory):
    folder = tmp_path_factory.mktemp("inhabited")
    log = folder / "sandbox.log"
    with stopped(Sandbox(log, os.environ, folder, answers="right=80,wrong=10,never=10")) as running:
        yield running


@pytest.fixture
def client(inhabited, client_of):
    inhabited.reset()
    inhabited.switch(code_length=8)
    return client_of(inhabited.base_url)


def test_an_offered_code_can_be_entered_and_is_right_or_wrong_as_it_says(inhabited, client):
    for line in range(60):
        client.initiate(f"+1415556{line:04d}")  # the same numbers in each run, and so some of each choice
    early = inhabited.answers()
    inhabited.advance(5)

    offered = inhabited.answers()

    codes = {sent["verification_uuid"]: sent["code"] for sent in inhabited.sends()}
    assert len(early["answers"]) < len(offered["answers"]) < len(codes)
    assert [one["n"] for one in offered["answers"]] == list(range(offered["next"]))
    assert (early["next"] + early["waiting"], offered["waiting"]) == (offered["next"], 0)
    for one in offered["answers"]:
        assert one.keys() == {"n", "phone_number", "verification_uuid", "code", "right"}
        assert one["right"] is (one["code"] == codes[one["verification_uuid"]])
        got = outcome(client.complete, one["verification_uuid"], SecretStr(one["code"]))
        assert type(got) is (VerifiedNumber if one["right"] else WrongCode)
        assert not one["right"] or got.phone_number == one["phone_number"]
    assert {one["right"] for one in offered["answers"]} == {True, False}
    assert inhabited.answers(offered["next"]) == {"answers": [], "next": offered["next"], "waiting": 0}


def test_the_sandbox_does_not_enter_the_codes_itself(inhabited, client):
    number = fresh_number()
    client.initiate(number)
    inhabited.advance(5)

    inhabited.answers()

    assert client.get(number) is None


def test_a_reset_forgets_the_answers_and_keeps_the_people(inhabited, client):
    for _ in range(20):
        client.initiate(fresh_number())
    inhabited.advance(5)
    assert inhabited.answers()["next"] > 0

    inhabited.reset()

    assert inhabited.answers() == {"answers": [], "next": 0, "waiting": 0}
    assert inhabited.about()["people"] == {
        "right": 80,
        "wrong": 10,
        "never": 10,
        "after_seconds": [1, 5],
        "seed": 0,
    }


def test_a_sandbox_without_people_offers_nothing(plivo):
    assert plivo.about()["people"] is None
    assert "/sandbox/answers" in plivo.about()["routes"]
    assert plivo.answers() == {"answers": [], "next": 0, "waiting": 0}


# They enter their codes themselves


@pytest.mark.usefixtures("worker")
def test_with_a_redis_people_enter_their_codes_through_ringproof(plivo):
    number = fresh_number()
    initiate_verification.delay(number).get(timeout=PATIENCE_SECONDS)
    enter = through_ringproof()

    enter({"phone_number": "+14", "code": "0412"})  # no number of Ringproof's: the others are entered nevertheless
    enter({"phone_number": number, "code": plivo.inbox(number)["inbox"][-1]["code"]})

    eventually(lambda: is_verified(number), why="nobody has entered the code")


def test_nobody_enters_a_code_without_a_word_how_they_answer(run):
    refused = run("sandbox", "--enter")

    assert refused.returncode != 0
    assert "--answers right=80,never=20" in refused.stderr
