"""A worker names what exposes its Redis: an open door, a wire without TLS, known holes in Lua."""

import pytest

from ringproof.ledger.connection import connect
from ringproof.ledger.exposure import exposures, is_encrypted

MENDED = {"redis_version": "8.2.2"}


def found(url, info=MENDED):
    client = connect(url)
    return exposures(info, client.connection_pool.connection_kwargs, is_encrypted=is_encrypted(client))


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("rediss://:secret@redis.example:6379/0", []),
        ("rediss://user:secret@10.0.0.1:6379/0", []),
        ("redis://:secret@redis.example:6379/0", ["without TLS"]),
        ("redis://:secret@10.0.0.1", ["without TLS"]),
        ("rediss://redis.example", ["no password"]),
        ("redis://redis.example", ["no password", "without TLS"]),
        ("redis://127.0.0.1:6379/0", []),
        ("redis://localhost", []),
        ("redis://[::1]:6379", []),
        ("unix:///run/redis.sock", []),
        ("sentinel://127.0.0.1,localhost/verify/0", []),
        ("sentinels://:secret@s1,s2/verify/0", []),
        ("sentinel://:secret@127.0.0.1,s2/verify/0", ["behind the Sentinel s2 is asked without TLS"]),
        ("sentinels://s1/verify/0", ["no password"]),
    ],
)
def test_a_redis_on_another_host_is_named_without_a_password_or_in_plaintext(url, words):
    texts = found(url)

    assert len(texts) == len(words)
    assert all(word in text for word, text in zip(words, texts, strict=True))
    assert all("; " in text and "secret" not in text for text in texts)


@pytest.mark.parametrize(
    ("version", "is_named"),
    [
        ("6.2.14", True),
        ("6.2.19", True),
        ("6.2.20", False),
        ("7.0.15", True),  # this branch was never mended
        ("7.2.4", True),
        ("7.2.11", False),
        ("7.4.5", True),
        ("7.4.6", False),
        ("8.0.3", True),
        ("8.0.4", False),
        ("8.0.10", False),
        ("8.2.1", True),
        ("8.2.2", False),
        ("8.4.0", False),
        ("10.0.0", False),
        ("", False),
        ("7.2-provider", False),
    ],
)
def test_a_redis_whose_lua_has_known_holes_is_named(version, is_named):
    texts = found("redis://127.0.0.1", {"redis_version": version})

    assert bool(texts) is is_named
    assert not texts or f"Redis {version} has known holes" in texts[0]


@pytest.mark.parametrize(
    ("version", "is_named"), [("8.1.3", True), ("8.1.4", False), ("8.0.5", True), ("9.0.0", False)]
)
def test_a_valkey_counts_by_its_own_version(version, is_named):
    texts = found("redis://127.0.0.1", {"redis_version": "7.2.4", "valkey_version": version})

    assert bool(texts) is is_named
    assert not texts or f"Valkey {version}" in texts[0]
