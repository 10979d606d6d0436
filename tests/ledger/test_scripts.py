"""Each Lua file declares the shared pieces that it uses, and gets these alone."""

import re
from pathlib import Path

import pytest
import redis
from support.lua_names import defined, own, taken

from ringproof.ledger import scripts
from ringproof.ledger.connection import connect
from ringproof.ledger.scripts import AT_ONCE, AT_THE_END, TABLES, lua_source, needs, pieces_of, script_text

LUA = Path(scripts.__file__).with_name("lua")
FILES = sorted(str(file.relative_to(LUA).with_suffix("")) for file in LUA.rglob("*.lua"))
SCRIPTS = [file for file in FILES if not file.startswith("lib/")]
PIECES = {file.removeprefix("lib/"): lua_source(file) for file in FILES if file.startswith("lib/")}
PIECES |= {name: write() for name, write in TABLES.items()}


@pytest.mark.parametrize("file", FILES)
def test_a_lua_file_declares_exactly_the_pieces_that_it_uses(file):
    source = lua_source(file)
    used = taken(source)

    assert not used - set().union(*(defined(PIECES[piece]) for piece in needs(source))), "declare their pieces"
    assert [piece for piece in needs(source) if not used & defined(PIECES[piece])] == [], "these are not used"


@pytest.mark.parametrize("file", FILES)
def test_a_lua_line_is_no_longer_than_one_of_python(file):
    lines = lua_source(file).splitlines()
    if needs(lines[0] + "\n"):
        del lines[0]  # the list of the pieces is one line

    assert [line for line in lines if len(line) > 120] == []


@pytest.mark.parametrize("script", SCRIPTS)
def test_a_script_and_its_pieces_define_no_name_twice(script):
    sources = [lua_source(script), *pieces_of(script).values()]

    assert len(set().union(*map(defined, sources))) == sum(len(defined(source)) for source in sources)


@pytest.mark.parametrize("file", FILES)
def test_a_name_of_a_piece_is_no_other_name_in_a_file_that_needs_the_piece(file):
    """A script takes it from `lib` wherever it stands."""
    source = lua_source(file)
    names = set().union(*(defined(PIECES[piece]) for piece in needs(source) if piece not in AT_ONCE))

    assert sorted(names & own(source)) == [], "a variable or a parameter"
    assert [key for key in re.findall(r"[{,]\s*(\w+) = ", source) if key in names] == [], "a key of a table"


@pytest.mark.parametrize("piece", PIECES)
def test_what_a_piece_gives_to_others_is_set_once(piece):
    """Others have a copy of it, from when the piece was made."""
    elsewhere = set().union(*(taken(lua_source(file)) for file in FILES if piece in needs(lua_source(file))))
    given = defined(PIECES[piece]) & elsewhere
    set_again = re.findall(r"^ +(\w+(?:, \w+)*) = ", PIECES[piece], re.MULTILINE)

    assert given & {name for names in set_again for name in names.split(", ")} == set()


@pytest.mark.parametrize("script", SCRIPTS)
def test_redis_compiles_each_script(client, script):
    assert client.script_load(script_text(script))


def test_a_script_asks_redis_for_no_key_that_it_does_not_use(client, redis_server):
    client.acl_setuser("keyless", enabled=True, reset=True, passwords=["+secret"], commands=["+@all"])
    keyless = connect(f"redis://keyless:secret@127.0.0.1:{redis_server.port}/0")

    assert keyless.register_script(script_text("now"))(args=["{}", "ringproof"])
    with pytest.raises(redis.ResponseError, match="access"):
        keyless.register_script(script_text("pace/current_share"))(args=["{}", "ringproof"])
    client.acl_deluser("keyless")


def test_every_piece_is_used_by_some_script():
    used = set().union(*map(pieces_of, SCRIPTS))

    assert sorted(PIECES.keys() - used) == []


def test_a_piece_comes_once_and_after_what_it_needs(monkeypatch):
    sources = {
        "number/one": "-- needs: top, base\nreturn top\n",
        "lib/top": "-- needs: left, right\nlocal top = left + right\n",
        "lib/left": "-- needs: base\nlocal left = base\n",
        "lib/right": "-- needs: base\nlocal right = base\n",
        "lib/base": "local base = 1\n",
    }
    monkeypatch.setattr(scripts, "lua_source", sources.__getitem__)

    assert list(pieces_of("number/one")) == ["base", "left", "right", "top"]


def test_a_piece_is_made_when_a_script_uses_a_name_of_it_and_not_before(client, monkeypatch):
    sources = {
        "number/one": "-- needs: sum, other\nlocal text = 'sum'  -- not sum\n"
        "if #ARGV > 0 then return other() end\nreturn sum(c) .. text\n",
        "lib/sum": "-- needs: base\nlocal a, b = 1, 2\nlocal c\nlocal function private(x) return x end\n"
        "local function sum(x) return a + b + private(x) + base end\nc = 3\n",
        "lib/base": "local base = 4\n",
        "lib/other": "redis.call('INCR', 'test:made')\n"
        "local function other() return redis.call('GET', 'test:made') end\n",
    }
    monkeypatch.setattr(scripts, "lua_source", sources.__getitem__)
    text = script_text("number/one")
    client.delete("test:made")

    assert client.eval(text, 0) == "10sum"
    assert not client.exists("test:made")
    assert client.eval(text, 0, "more") == "1"


def test_what_a_script_has_collected_is_written_at_its_end_if_there_is_any(client):
    for piece, source in PIECES.items():
        collects = {"batch_rows", "budget", "changes", "outbox", "metrics"}
        assert not defined(source) & set(AT_THE_END) or piece in collects
    assert set(AT_THE_END) <= set().union(*map(defined, PIECES.values()))


def test_pieces_that_need_each_other_are_an_error(monkeypatch):
    sources = {"number/one": "-- needs: a\n", "lib/a": "-- needs: b\n", "lib/b": "-- needs: a\n"}
    monkeypatch.setattr(scripts, "lua_source", sources.__getitem__)

    with pytest.raises(ValueError, match="circle: a -> b -> a"):
        script_text("number/one")


def test_another_clock_takes_the_place_of_redis_own():
    text = script_text("now", "local now_us, now = 1, 2\n")

    assert "now_us, now = 1, 2" in text
    assert "'TIME'" not in text


def test_names_are_found_as_lua_has_them():
    source = """
local a, b = given, {key = other, [third] = 1}  -- comment
local function f(x, ...) return x.field + g(x):method('text') end
for i, v in pairs(list) do v = i end
local c
"""

    assert defined(source) == {"a", "b", "f", "c"}
    assert taken(source) == {"given", "other", "third", "g", "list"}
