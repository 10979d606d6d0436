"""Each Lua file declares the shared pieces that it uses, and gets these alone."""

from pathlib import Path

import pytest
from support.lua_names import defined, taken

from ringproof.ledger import scripts
from ringproof.ledger.scripts import TABLES, lua_source, needs, script_text

LUA = Path(scripts.__file__).with_name("lua")
FILES = sorted(str(file.relative_to(LUA).with_suffix("")) for file in LUA.rglob("*.lua"))
SCRIPTS = [file for file in FILES if not file.startswith("lib/")]
PIECES = {file.removeprefix("lib/"): lua_source(file) for file in FILES if file.startswith("lib/")} | TABLES


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
def test_a_script_defines_no_name_of_a_piece_that_it_gets(script):
    text = script_text(script)
    given = text.removesuffix(lua_source(script))

    assert not defined(lua_source(script)) & defined(given)
    assert len(defined(given)) == sum(len(defined(source)) for source in PIECES.values() if source in given)


@pytest.mark.parametrize("script", SCRIPTS)
def test_redis_compiles_each_script(client, script):
    assert client.script_load(script_text(script))


def test_every_piece_is_used_by_some_script():
    texts = [script_text(script) for script in SCRIPTS]

    assert [piece for piece, source in PIECES.items() if not any(source in text for text in texts)] == []


def test_a_piece_comes_once_and_after_what_it_needs(monkeypatch):
    sources = {
        "number/one": "-- needs: top, base\nreturn top\n",
        "lib/top": "-- needs: left, right\nlocal top = left + right\n",
        "lib/left": "-- needs: base\nlocal left = base\n",
        "lib/right": "-- needs: base\nlocal right = base\n",
        "lib/base": "local base = 1\n",
    }
    monkeypatch.setattr(scripts, "lua_source", sources.__getitem__)

    assert [line for line in script_text("number/one").splitlines() if line and not line.startswith("--")] == [
        "local base = 1",
        "local left = base",
        "local right = base",
        "local top = left + right",
        "return top",
    ]


def test_pieces_that_need_each_other_are_an_error(monkeypatch):
    sources = {"number/one": "-- needs: a\n", "lib/a": "-- needs: b\n", "lib/b": "-- needs: a\n"}
    monkeypatch.setattr(scripts, "lua_source", sources.__getitem__)

    with pytest.raises(ValueError, match="circle: a -> b -> a"):
        script_text("number/one")


def test_another_clock_takes_the_place_of_redis_own():
    text = script_text("now", "local now_us, now = 1, 2\n")

    assert "local now_us, now = 1, 2" in text
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
