"""Celery gets a message in the shape that Celery writes, or not at all."""

import base64
import json
import pickle
import zlib

import pytest
from kombu.utils.json import loads
from support import junk

from ringproof.celery.envelope import DEEPEST, check_task, open_envelope
from ringproof.celery.junk import NotAMessageError


def opened(text):
    """A message as Celery gets it from a queue; None if it is junk."""
    try:
        envelope, body = open_envelope(loads(text))
        headers = check_task(envelope["headers"], envelope["properties"]["delivery_info"]["routing_key"], body)
    except (NotAMessageError, RecursionError, ValueError, TypeError):  # the last three are of `loads`, in kombu
        return None
    return envelope | {"headers": headers, "body": body}


def test_what_celery_writes_is_a_message():
    message = opened(junk.packed(junk.good(kwargs={"alias": "Zoë\u200d"})))

    assert message["body"][:2] == [["+14155550123"], {"alias": "Zoë\u200d"}]
    assert message["headers"]["task"] == "initiate_verification"


def test_a_message_that_is_strange_in_one_place_is_junk_or_made_good():
    strange = [message for _, text in junk.every_junk(junk.good()) if (message := opened(text))]

    assert 100 < len(strange) < 400
    for message in strange:
        assert pickle.loads(pickle.dumps(message["headers"])) == message["headers"]
        envelope = json.dumps({name: part for name, part in message.items() if name != "body"}, allow_nan=False)
        assert len(envelope) < 20_000
        texts = [value for part in (message["headers"], message["properties"]) for value in part.values()]
        assert all(text.isprintable() for text in texts if isinstance(text, str))


@pytest.mark.parametrize("pack", [zlib.compress, lambda body: body])
@pytest.mark.parametrize("how", ["gzip", "zlib", "application/x-gzip", "bzip2", "no such thing", 1])
def test_a_compressed_message_is_refused_and_not_unpacked(pack, how):
    message = junk.good()
    message["headers"]["compression"] = how
    text = junk.packed(message, pack=lambda body: base64.b64encode(pack(body)).decode())

    with pytest.raises(NotAMessageError, match=r"^headers.compression: Input should be None$"):
        open_envelope(json.loads(text))


@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"a":', "}")])
def test_a_body_may_be_as_deep_as_ringproofs_and_deeper_but_not_without_an_end(opening, closing):
    def nested(depth):
        return junk.packed(junk.good(args=(junk.Written(opening * depth + "1" + closing * depth),)))

    assert opened(nested(DEEPEST - 3))
    for depth in (DEEPEST - 2, 900, 100_000):
        assert opened(nested(depth)) is None


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("('+1•••••••23',)", "('+1•••••••23',)"),
        ("(50 numbers,)", "(50 numbers,)"),
        ("()", "()"),
        ("('+14155550123', '4829')", "(…)"),
        ("('+1•••••••23', 'Zoë, 4829')", "(…)"),
        ("x" * 100_000, "(…)"),
        (["a list"], "(…)"),
        (None, "(…)"),
    ],
)
def test_of_the_arguments_only_a_description_of_ringproofs_own_is_shown(written, shown):
    message = junk.good()
    message["headers"] |= {"argsrepr": written, "kwargsrepr": "{'alias': 'Zoë'}"}
    headers = opened(junk.packed(message))["headers"]

    assert (headers["argsrepr"], headers["kwargsrepr"]) == (shown, "{…}")


def test_the_shared_clock_of_others_is_not_taken_over():
    message = junk.good()
    message["headers"]["clock"] = 10**4_000

    assert "clock" not in opened(junk.packed(message))["headers"]


def test_the_reason_names_the_field_and_not_its_value():
    message = junk.good()
    message["properties"]["priority"] = "+14155550123"

    with pytest.raises(NotAMessageError) as refused:
        open_envelope(json.loads(junk.packed(message)))
    assert str(refused.value) == "properties.priority: Input should be a valid integer"
