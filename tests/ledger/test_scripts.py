"""Each Lua file declares the shared pieces that it uses, and gets these alone."""

import re
from pathlib import Path

import pytest
import redis
from support.lua_names import defined, taken

from ringproof.ledger import scripts
from ringproof.ledger.connection import connect
from ringproof.ledger.scripts import TABLES, lua_source, needs, pieces_of, script_text

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


@pytest.mark.parametrize("script", SCRIPTS)
def test_a_script_has_far_fewer_local_names_than_lua_allows(script):
    given = re.findall(r"^local ([\w, ]+)\ndo$", script_text(script), re.MULTILINE)
    names = [*defined(lua_source(script)), *(name for names in given for name in names.split(", "))]

    assert given or not needs(lua_source(script))
    assert len(names) < 150


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


def test_a_piece_gives_only_the_names_that_the_text_after_it_uses(client, monkeypatch):
    sources = {
        "number/one": "-- needs: sum\nreturn sum(c)\n",
        "lib/sum": "local a, b = 1, 2\nlocal c\nlocal function private(x) return x end\n"
        "local function sum(x) return a + b + private(x) end\nc = 3\n",
    }
    monkeypatch.setattr(scripts, "lua_source", sources.__getitem__)
    text = script_text("number/one")

    assert "local c, sum\ndo\n" in text
    assert client.eval(text, 0) == 6


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
