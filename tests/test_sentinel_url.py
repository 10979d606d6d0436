"""The URL of Sentinels: two notations, one canonical form, and an error for each mistake that shows no part of it."""

import pytest

from ringproof.errors import Misconfigured
from ringproof.network import redis_url
from ringproof.network.sentinel_url import SentinelUrl
from ringproof.settings import Settings

SECRET = "s3cretIsntShown"


def read(url):
    return Settings.read({"RINGPROOF_REDIS_URL": url})


@pytest.mark.parametrize(
    ("written", "canonical"),
    [
        ("sentinel://a:1,b:2,c:3/verify/0", "sentinel://a:1,b:2,c:3/verify/0"),
        ("sentinel://a,b:2/verify", "sentinel://a:26379,b:2/verify/0"),
        ("sentinel://a/verify/", "sentinel://a:26379/verify/0"),
        ("sentinel://user:p%2Cw@a/verify/15", "sentinel://user:p%2Cw@a:26379/verify/15"),
        ("sentinel://:p,w@a/verify", "sentinel://:p%2Cw@a:26379/verify/0"),
        ("sentinel://:p%41@a/verify", "sentinel://:pA@a:26379/verify/0"),
        ("sentinel://[::1]:1,[2001:DB8::2]/v.e-r_1", "sentinel://[::1]:1,[2001:db8::2]:26379/v.e-r_1/0"),
        ("sentinel://a/verify?sentinel_password=a+b%26", "sentinel://a:26379/verify/0?sentinel_password=a%2Bb%26"),
        (
            "sentinel://a/verify?sentinel_password=p&sentinel_username=u",
            "sentinel://a:26379/verify/0?sentinel_username=u&sentinel_password=p",
        ),
        ("sentinels://a/verify?ssl_cert_reqs=CERT_NONE", "sentinels://a:26379/verify/0?ssl_cert_reqs=none"),
        ("sentinel://:p@a:1;sentinel://b:2/3?master_name=verify", "sentinel://:p@a:1,b:2/verify/3"),
        ("sentinel://:p@a;sentinel://:p@b?master_name=verify", "sentinel://:p@a:26379,b:26379/verify/0"),
        ("sentinel://a,b?master_name=verify", "sentinel://a:26379,b:26379/verify/0"),
    ],
)
def test_has_one_canonical_form(written, canonical):
    assert redis_url.check(written) == canonical
    assert redis_url.check(canonical) == canonical
    assert str(SentinelUrl.parse(written)) == canonical


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("sentinel://a:1,b:2", "does not name the service"),
        ("sentinel://a/", "does not name the service"),
        ("sentinel://a/0", "does not name the service"),
        ("sentinel://a/one/two", "two services"),
        ("sentinel://a/one/0?master_name=two", "two services"),
        ("sentinel://a/one/two/0", "two services"),
        ("sentinel://a/one/\u0663", "two services"),
        ("sentinel://a/ver\u00e4fy", "the service's name"),
        ("sentinel://a/one?db=1", "none of master_name, sentinel_password, sentinel_username"),
        ("sentinel://a/one?socket_timeout=9", "none of"),
        (f"sentinel://a/one?password={SECRET}", "none of"),
        ("sentinel://a/one?ssl_cert_reqs=none", "none of"),
        ("sentinels://a/one?ssl_cert_reqs=never", "required, optional and none"),
        ("sentinel://a/one?", "without an option"),
        ("sentinel://a/one?sentinel_password", "no ="),
        ("sentinel://a/one?sentinel_password=", "is empty"),
        ("sentinel://a/one?sentinel_username=u", "no sentinel_password"),
        (f"sentinel://a/one?sentinel_password={SECRET}&sentinel_password=b", "twice"),
        ("sentinel://a:0/one", "1 to 65535"),
        ("sentinel://a:65536/one", "1 to 65535"),
        ("sentinel://a:port/one", "a host or a port is wrong"),
        ("sentinel://::1:26379/one", "in [ ]"),
        ("sentinel://[::1/one", "in [ ]"),
        ("sentinel://[g::1]/one", "no IPv6 address"),
        ("sentinel://a,/one", "a comma too many"),
        ("sentinel://,a/one", "a comma too many"),
        ("sentinel:///one", "a host is missing"),
        (f"sentinel://:{SECRET}@/one", "a host is missing"),
        ("sentinel://a,a:26379/one", "twice"),
        ("sentinel://a, b/one", "a blank"),
        ("sentinel://a/one\n/x", "a blank"),
        (f"sentinel://:a/{SECRET}@b/one", "not escaped"),
        (f"sentinel://:a?{SECRET}@b/one", "not escaped"),
        (f"sentinel://:a#{SECRET}@b/one", "not escaped"),
        (f"sentinel://a/one?sentinel_password=a#{SECRET}", "not escaped"),
        (f"sentinel://:{SECRET};a@b/one", "a part of it does not begin with"),
        ("sentinel://a;redis://b/one", "a part of it does not begin with"),
        ("sentinel://a;b/one", "a part of it does not begin with"),
        (f"sentinel://:{SECRET}@a;sentinel://:other@b/one", "differ"),
        ("sentinel://a/one;sentinel://b/two", "differ"),
        ("sentinel://a;sentinels://b/one", "differ"),
    ],
)
def test_that_is_wrong_is_refused_by_what_is_wrong(url, words):
    with pytest.raises(Misconfigured) as caught:
        read(url)
    shown = f"{caught.value} {caught.value!r}"

    assert words in shown
    assert "RINGPROOF_REDIS_URL: " in shown
    assert "write it as sentinel://:PASSWORD@HOST:PORT,HOST:PORT,HOST:PORT/SERVICE/0" in shown
    assert SECRET not in shown


@pytest.mark.parametrize("url", ["SENTINEL://a/one", "sentinel:a/one", "redis+sentinel://a/one"])
def test_with_another_scheme_is_refused_with_this_one_in_the_error(url):
    with pytest.raises(Misconfigured, match="sentinel://:PASSWORD@HOST:PORT,HOST:PORT/SERVICE/0"):
        read(url)


def test_shows_no_password_and_lists_both_as_secrets():
    settings = read("sentinel://user:a%2Fb@h1,h2/verify?sentinel_password=c%26d&sentinel_username=u")

    assert settings.shown_redis_url == "sentinel://user:•••@h1:26379,h2:26379/verify/0"
    assert set(settings.secrets) >= {"a/b", "a%2Fb", "c&d", "c%26d"}
    assert "a/b" not in repr(SentinelUrl.parse(settings.redis_url.get_secret_value()))
    assert "c&d" not in repr(SentinelUrl.parse(settings.redis_url.get_secret_value()))


@pytest.mark.parametrize(
    ("written", "read_as"), [("valkey://:p@h:6379/1", "redis://:p@h:6379/1"), ("valkeys://h", "rediss://h")]
)
def test_of_valkey_is_one_of_redis(written, read_as):
    assert read(written).redis_url.get_secret_value() == read_as


def test_gets_its_password_from_a_file(tmp_path):
    file = tmp_path / "password"
    file.write_text("p/w,;\n")
    url = "sentinel://h1,h2/verify"
    settings = Settings.read({"RINGPROOF_REDIS_URL": url, "RINGPROOF_REDIS_PASSWORD_FILE": str(file)})

    assert SentinelUrl.parse(settings.redis_url.get_secret_value()).password == "p/w,;"
