"""Redis' URL, and its password, which may come from a file of its own."""

from typing import Final

from ringproof.network import redis_url

DEFAULT_REDIS_URL: Final = "redis://127.0.0.1:6379/0"


def with_redis_password(given: dict[str, str]) -> tuple[dict[str, str], list[str]]:
    """Move Redis' password, which was in a file of its own, into Redis' URL. Return what is wrong as well."""
    rest = dict(given)
    if not (password := rest.pop("RINGPROOF_REDIS_PASSWORD", "")):
        return given, []
    name = next((name for name in ("RINGPROOF_REDIS_URL", "REDIS_URL") if name in given), "RINGPROOF_REDIS_URL")
    try:
        return rest | {name: redis_url.with_password(given.get(name, DEFAULT_REDIS_URL), password)}, []
    except ValueError:
        return rest, [f"RINGPROOF_REDIS_PASSWORD_FILE: {name} has a password, too; leave it out of the URL"]
