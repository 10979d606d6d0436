"""What end users read: each error has a sentence in each language, and none says what is not for them."""

import re
from datetime import UTC, datetime, timedelta
from string import Formatter

import pytest
from celery.exceptions import TimeoutError as NoAnswer
from test_errors import CLASSES, EXAMPLES, named

from ringproof import errors
from ringproof.http_answer import answer_to
from ringproof.words import catalogue, load, sentence

OF_NO_USER = {
    *(errors.RingproofError, errors.InvalidRoster, errors.UnknownBatch, errors.BatchExists, errors.BatchBusy),
    *(errors.Misconfigured, errors.Unwritable, errors.NeverAnswered, errors.CrashesWorker, errors.TooFewReplicas),
    *(errors.Unsent, errors.Unreachable, errors.LeaseOver, errors.Throttled, errors.Unauthorized, errors.Unknown),
    errors.Overloaded,
}
"""Classes without a sentence of their own: end users never meet them, or that of the class above says it."""

FOR_DEVELOPERS = re.compile(
    r"RINGPROOF|PLIVO|plivo|redis|://|resend|region=|channel|=|`|\.py|docs/|UTC|•|None|True|\{|\}|<|>|&", re.IGNORECASE
)
"""Arguments, settings, addresses, markup, masked numbers: nothing of the kind belongs into a browser."""


@pytest.mark.parametrize("language", catalogue.LANGUAGES)
@pytest.mark.parametrize("example", [*EXAMPLES, NoAnswer(), ValueError("of another library")], ids=named)
def test_each_error_has_a_sentence_that_says_nothing_to_developers(example, language):
    text = sentence(example, language)

    assert len(text.split()) >= 4
    assert text[-1] == "."
    assert not FOR_DEVELOPERS.search(text), text
    assert "+1" not in text.replace("+1 415 555 0123", ""), "the example of a number is that of the notation alone"


def test_each_class_and_reason_that_reaches_an_end_user_has_a_sentence_of_its_own():
    english = catalogue.english()
    of_classes = {error.__name__ for error in CLASSES if error not in OF_NO_USER}

    assert set(english) == of_classes | {"wait", "Exception", "TimeoutError"}
    assert set(english["InvalidNumber"]) == {"otherwise", *errors.InvalidNumber.REMEDIES}
    assert set(english["Capped"]) == {"otherwise", *errors.Capped.LIMITS}


@pytest.mark.parametrize("language", catalogue.LANGUAGES)
def test_each_language_has_all_sentences_with_the_same_values(language):
    tables, english = catalogue.of(language), catalogue.english()
    names = {key: {name for _, name, _, _ in Formatter().parse(text)} for _, key, text in rows(english)}

    assert [place[:2] for place in rows(tables)] == [place[:2] for place in rows(english)]
    assert {key: {name for _, name, _, _ in Formatter().parse(text)} for _, key, text in rows(tables)} == names
    assert catalogue.checked(tables, "its file") == tables


def rows(tables):
    return [(table, f"{table}.{key}", text) for table, texts in tables.items() for key, text in texts.items()]


@pytest.mark.parametrize(
    ("seconds", "wait"),
    [
        (-5, "1 second"),
        (44.2, "45 seconds"),
        (89.5, "90 seconds"),
        (90.5, "2 minutes"),
        (5399, "90 minutes"),
        (5401, "2 hours"),
        (86_399, "24 hours"),
    ],
)
def test_a_wait_is_rounded_up_to_one_unit(seconds, wait):
    until = datetime.now(UTC) + timedelta(seconds=seconds)

    assert sentence(errors.CoolingDown(until)).endswith(f"in {wait}.")


def test_a_wrong_code_says_how_many_tries_are_left():
    until = datetime.now(UTC) + timedelta(hours=1.9)

    assert "Tries left: 3." in sentence(errors.WrongCode("400", 3))
    assert "no tries left" in sentence(errors.WrongCode("400", 0))
    assert "in 2 hours" in sentence(errors.WrongCode("400", 0, until))


def test_the_language_of_a_browser_is_found_and_any_other_is_english():
    error = errors.InvalidNumber("invalid", "555•••")

    assert sentence(error, "es-MX") == sentence(error, "es_ES") == sentence(error, "es") != sentence(error)
    assert sentence(error, "fr-CA, ES-mx;q=0.9,en;q=0.8") == sentence(error, "es")
    for language in ("en-GB", "en,es", "", "../en", "tlh", "est", ",", "x" * 9999 + ",es"):
        assert sentence(error, language) == sentence(error)


class TestAnApplicationsOwnSentences:
    def test_take_the_place_of_ours(self, tmp_path):
        file = tmp_path / "de.toml"
        file.write_text(
            '[InvalidNumber]\notherwise = "Diese Nummer geht nicht."\n'
            '[CoolingDown]\notherwise = "Noch {wait}."\n[wait]\nsecond = "1 Sekunde"\n',
            encoding="utf-8",
        )
        german = load(file)

        assert sentence(errors.InvalidNumber("invalid", "555•••"), catalogue=german) == "Diese Nummer geht nicht."
        assert sentence(errors.CoolingDown(datetime.now(UTC)), catalogue=german) == "Noch 1 Sekunde."
        assert sentence(errors.TooManyTries(), catalogue=german) == sentence(errors.TooManyTries())

    @pytest.mark.parametrize(
        ("text", "shown"),
        [
            ("[InvalidNumbr]\nx = 'y'", "InvalidNumbr"),
            ("InvalidNumber = 'y'", "InvalidNumber"),
            ("[InvalidNumber]\ninvalid = 7", "InvalidNumber.invalid"),
            ("[InvalidNumber]\ninvalid = ' '", "InvalidNumber.invalid"),
            ("[InvalidNumber]\ninvalid = 'In {wait}.'", "{wait}"),
            ("[CoolingDown]\notherwise = 'In {wait!r}.'", "CoolingDown.otherwise: a sentence with names in its braces"),
            ("[CoolingDown]\notherwise = 'In {wait.year}.'", "braces"),
            ("[CoolingDown]\notherwise = 'In {'", "CoolingDown.otherwise"),
            ("[CoolingDown]\notherwise = 'In {}.'", "CoolingDown.otherwise"),
            ("[CoolingDown", "de.toml"),
        ],
    )
    def test_are_refused_if_they_would_raise_or_be_of_no_use(self, tmp_path, text, shown):
        (tmp_path / "de.toml").write_text(text)
        with pytest.raises(errors.InvalidRequest, match=r"catalogue") as refused:
            load(tmp_path / "de.toml")

        assert shown in str(refused.value)

    def test_are_refused_if_there_is_no_such_file(self, tmp_path):
        with pytest.raises(errors.InvalidRequest, match=r"no\.toml"):
            load(tmp_path / "no.toml")


class TestTheAnswer:
    def test_has_a_status_for_each_error_and_500_only_for_what_no_user_causes(self):
        faults = (errors.Misconfigured, errors.Unwritable, errors.LedgerDamaged, errors.Unsent, errors.Unknown)

        for example in EXAMPLES:
            is_fault = isinstance(example, faults) or type(example) is errors.RingproofError
            assert (answer_to(example).status == 500) is is_fault, example

    def test_says_when_to_ask_again(self):
        until = datetime.now(UTC) + timedelta(seconds=59.5)

        assert answer_to(errors.CoolingDown(until)).headers == {"Retry-After": "60"}
        assert answer_to(NoAnswer()).status == answer_to(TimeoutError()).status == 503
        assert answer_to(NoAnswer()).headers == {"Retry-After": "5"}
        assert answer_to(errors.TooManyTries()).headers == {}
        assert answer_to(errors.Rejected("400")).status == 409
