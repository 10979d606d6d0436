"""Rejects files: their content, their import, and that they replace no other file."""

import io
import json
import os
import resource
import stat
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from subprocess import PIPE

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ringproof.errors import Unwritable
from ringproof.rosters.rejects import Rejects
from ringproof.rosters.roster import open_roster, roster_of
from ringproof.rosters.row import Reject, Row

ONE, TWO = "+14155552671", "+14155552672"


def rejected(path, source, **options):
    """Write the rejects of a roster, and return all outcomes."""
    roster = (
        open_roster(io.BytesIO(source), **options)
        if isinstance(source, bytes)
        else open_roster(source, **options)
        if isinstance(source, str)
        else roster_of(source, **options)
    )
    outcomes = []
    with roster, Rejects(path, roster) as rejects:
        for outcome in roster:
            outcomes.append(outcome)
            if isinstance(outcome, Reject):
                rejects.write(outcome)
    assert rejects.count == roster.reasons.total()
    return outcomes


def read_again(path, **options):
    with open_roster(path, **options) as roster:
        return list(roster)


def fields_of(outcomes):
    """Return the rejects without their lines."""
    return [
        (one.column, one.reason, one.value, one.raw if isinstance(one.raw, dict) else list(one.raw))
        for one in outcomes
        if isinstance(one, Reject)
    ]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "rejects.csv"


DIRTY = f'Phone;Note;alias\n{ONE};ok;A\n4155552672;"a;b ""c""\nd";B\nnix;;\n{TWO};x;y;z;\n{TWO};"x;y\n'.encode()


class TestTheFile:
    def test_has_line_column_and_reason_and_the_row_as_it_was(self, path):
        rejected(path, DIRTY)

        assert path.read_text().split("\n")[:5] == [
            "line;column;reason;Phone;Note;alias",
            '3;Phone;no_country;4155552672;"a;b ""c""',
            'd";B',
            "5;Phone;not_a_number;nix;;",
            f"6;;too_many_fields;{TWO};x;y;z;",
        ]

    def test_of_an_ndjson_roster_is_ndjson(self, path):
        data = f'{{"phone": "nix", "n": [1, {{"é": null}}]}}\n{{x\n"nix"\n{{"phone": "{ONE}"}}\n'.encode()
        rejected(path, data)

        assert [json.loads(line) for line in path.read_text().splitlines()] == [
            {"line": 1, "column": "phone", "reason": "not_a_number", "phone": "nix", "n": [1, {"é": None}]},
            {"line": 2, "column": "", "reason": "json", "row": "{x"},
            {"line": 3, "column": "phone", "reason": "not_a_number", "phone": "nix"},
        ]

    def test_of_a_roster_without_a_header_has_one(self, path):
        rejected(path, f"7,{ONE},x\n8,nix,y\n".encode(), mapping={"alias": 3})

        assert path.read_text() == "line,column,reason,column_1,phone,alias\n2,phone,not_a_number,8,nix,y\n"

    def test_removes_the_leftovers_of_killed_runs_but_no_file_that_is_being_written(self, path):
        left = path.with_name(f".{path.name}.killed.part")
        left.write_text(ONE)
        begun = f"with Rejects({str(path)!r}, roster_of(['nix'])): print(flush=True); input()"
        code = f"from ringproof.rosters.rejects import Rejects; from ringproof.rosters.roster import roster_of\n{begun}"
        with subprocess.Popen([sys.executable, "-c", code], stdin=PIPE, stdout=PIPE) as other:
            other.stdout.readline()
            gone, (being_written,) = not left.exists(), path.parent.glob("*.part")
            rejected(path, b"phone\nnix\n")
            stays = being_written.exists()
            other.kill()
        rejected(path, b"phone\nnix\n")

        assert (gone, stays, list(path.parent.glob(".*.part"))) == (True, True, [])

    def test_can_be_read_by_its_owner_only(self, path):
        rejected(path, b"phone\nnix\n")

        assert stat.S_IMODE(path.stat().st_mode) == 0o600

    def test_is_written_even_if_nothing_was_rejected(self, path):
        rejected(path, f"phone\n{ONE}\n".encode())

        assert path.read_text() == "line,column,reason,phone\n"

    def test_has_a_byte_order_mark_if_the_roster_had_one(self, path):
        rejected(path, "phone,x\nnix,é\n".encode("utf-16"))

        assert path.read_bytes().startswith("\ufeffline,".encode())
        assert fields_of(read_again(path)) == [("phone", "not_a_number", "'nix'", ["nix", "é"])]

    def test_has_rows_from_python_as_far_as_json_can_write_them(self, path):
        circle = {}
        circle["x"] = circle
        rows = ["nix", {"phone": "nix", ("a",): object(), "n": 7, "s": "\ud800"}, 5, circle, None, {"phone": 10**5000}]
        rejected(path, rows)

        assert [json.loads(line).get("phone", "-") for line in path.read_text().splitlines()][:3] == ["nix", "nix", 5]
        assert len(read_again(path)) == len(rows)


class TestAnImportOfRejects:
    @pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
    def test_gives_the_same_rejects_without_the_three_added_columns(self, path, tmp_path, encoding):
        first = rejected(path, DIRTY.decode().encode(encoding))
        second = rejected(tmp_path / "second.csv", str(path))

        assert fields_of(second) == fields_of(first)[:-1], "the last one is read now as it was understood"
        assert fields_of(read_again(tmp_path / "second.csv")) == fields_of(second)

    @pytest.mark.parametrize(
        ("data", "options"),
        [
            (f"phone,alias\n{ONE},x\n4155552672,y\n", {}),
            (f"{ONE},x\n4155552672,y\n", {"mapping": {"alias": "2"}}),
            (f"Home,Work,Nick\n{TWO},{ONE},x\n,4155552672,y\n", {"mapping": {"number": "Work", "alias": "Nick"}}),
            (f"{TWO},{ONE},x\n1,4155552672,y\n", {"mapping": {"number": 2, "alias": 3}}),
            (f'{{"phone": "{ONE}"}}\n{{"phone": "4155552672", "alias": "y"}}\n', {}),
        ],
    )
    def test_accepts_corrected_rows(self, path, data, options):
        rejected(path, data.encode(), **options)
        path.write_text(path.read_text().replace("4155552672", TWO))
        [row] = read_again(path, **options)

        assert isinstance(row, Row)
        assert (row.number.e164, row.alias) == (TWO, "y")

    def test_accepts_a_row_with_too_many_fields_once_it_is_quoted(self, path):
        rejected(path, f"phone,alias\n{ONE},Doe, John\n".encode())
        path.write_text(path.read_text().replace("Doe, John", '"Doe, John"').replace("Doe,John", '"Doe, John"'))

        assert [row.alias for row in read_again(path)] == ["Doe, John"]

    def test_may_write_its_rejects_to_the_same_file(self, path):
        rejected(path, DIRTY)
        rejected(path, str(path), region="US")

        assert [reason for _, reason, _, _ in fields_of(read_again(path))] == ["not_a_number", "too_many_fields"]


class TestTheEarlierFile:
    def test_is_never_replaced_unless_it_holds_rejects(self, path):
        path.write_text(f"phone\n{ONE}\n")

        with pytest.raises(Unwritable, match="it exists and holds no rejects"):
            rejected(path, DIRTY)
        assert path.read_text() == f"phone\n{ONE}\n"

    @pytest.mark.parametrize("data", [DIRTY, b'{"phone": "nix"}\n', "phone\nnix\n".encode("utf-16"), b""])
    def test_is_replaced_if_it_holds_rejects_or_is_empty(self, path, data):
        if data:
            rejected(path, data)
        else:
            path.touch()
        rejected(path, b"phone\nnixx\n")

        assert "nixx" in path.read_text()
        assert list(path.parent.iterdir()) == [path]

    def test_stays_until_the_new_file_is_closed_and_after_an_error(self, path):
        rejected(path, DIRTY)
        before = path.read_text()
        roster = open_roster(io.BytesIO(b"phone\nnix\n"))
        rejects = Rejects(path, roster)
        rejects.write(next(iter(roster)))
        during = path.read_text()
        with pytest.raises(RuntimeError), rejects:
            raise RuntimeError

        assert path.read_text() == during == before
        assert list(path.parent.iterdir()) == [path]

    def test_is_replaced_if_the_new_file_was_closed_before_the_error(self, path):
        roster = open_roster(io.BytesIO(b"phone\nnix\n"))
        rejects = Rejects(path, roster)
        rejects.write(next(iter(roster)))
        rejects.close()
        with pytest.raises(RuntimeError), rejects:
            raise RuntimeError

        assert "nix" in path.read_text()


@pytest.fixture
def shared():
    """A folder that all users can write, as /tmp is."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o1777)
        yield Path(folder)


@pytest.fixture
def another():
    """Become another user, and be root again at the end."""
    if os.geteuid():
        pytest.skip("only root can be another user")

    @contextmanager
    def another_(user=12345):
        os.seteuid(user)
        try:
            yield
        finally:
            os.seteuid(0)

    return another_


class TestASharedFolder:
    """Another user may have put anything at the file's place, and at the places of its temporary files."""

    @pytest.mark.parametrize("content", ["line,column,reason\n", "", None])
    def test_may_have_a_link_which_is_not_followed(self, path, shared, content):
        if content is not None:
            path.write_text(content)
        link = shared / "rejects.csv"
        link.symlink_to(path)

        with pytest.raises(Unwritable, match="it is a symbolic link: name an ordinary file"):
            rejected(link, DIRTY)
        assert link.is_symlink()
        assert (path.read_text() if path.exists() else None) == content
        assert list(shared.iterdir()) == [link]

    @pytest.mark.parametrize("has_reader", [True, False])
    def test_may_have_a_pipe_which_is_not_written_to(self, shared, has_reader):
        pipe = shared / "rejects.csv"
        os.mkfifo(pipe)
        reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK) if has_reader else None

        with pytest.raises(Unwritable, match="it is no ordinary file: name one"):
            rejected(pipe, DIRTY)
        if reader is not None:
            assert os.read(reader, 100) == b""
            os.close(reader)

    def test_may_have_a_link_a_moment_later_which_is_replaced(self, path, shared):
        place = shared / "rejects.csv"
        path.write_text("mine\n")
        with open_roster(io.BytesIO(b"phone\nnix\n")) as roster, Rejects(place, roster) as rejects:
            rejects.write(next(iter(roster)))
            place.symlink_to(path)

        assert path.read_text() == "mine\n"
        assert (place.is_symlink(), "nix" in place.read_text()) == (False, True)

    def test_may_have_pipes_and_links_for_leftovers_which_hold_nobody_up(self, path, shared):
        path.write_text("mine\n")
        os.mkfifo(shared / ".rejects.csv.1.part")
        (shared / ".rejects.csv.2.part").symlink_to(path)
        os.mkfifo(shared / "pipe")
        (shared / ".rejects.csv.3.part").symlink_to(shared / "pipe")
        rejected(shared / "rejects.csv", DIRTY)

        assert path.read_text() == "mine\n"

    @pytest.mark.parametrize("content", ["line,column,reason\n", ""])
    def test_may_have_anothers_file_which_stays(self, shared, another, content):
        roots, others = shared / "roots.csv", shared / "others.csv"
        roots.write_text(content)
        with another():
            others.write_text(content)

        with pytest.raises(Unwritable, match="it belongs to another user: name another file"):
            rejected(others, DIRTY)
        with another(), pytest.raises(Unwritable, match="it belongs to another user"):
            rejected(roots, DIRTY)
        assert roots.read_text() == others.read_text() == content

    def test_has_files_of_ones_own(self, shared, another):
        own = shared / "rejects.csv"
        with another():
            rejected(own, DIRTY)
            rejected(own, b"phone\nnix\n")

        assert (own.stat().st_uid, stat.S_IMODE(own.stat().st_mode)) == (12345, 0o600)
        assert list(shared.iterdir()) == [own]


class TestADisk:
    def test_that_is_full_is_an_error_and_no_half_file_is_left(self, path):
        rejected(path, b"phone\nnix\n")
        before = path.read_text()
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, limits[1]))  # EFBIG, as ENOSPC needs a disk of one's own
        try:
            with pytest.raises(Unwritable, match="it cannot be written: File too large: make room") as caught:
                rejected(path, b"phone\n" + b"nix\n" * 10_000)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)

        assert caught.value.file == str(path)
        assert path.read_text() == before
        assert list(path.parent.iterdir()) == [path]

    @pytest.mark.parametrize("name", ["/dev/full", "/dev/null", "/dev", "."])
    def test_has_no_place_for_it_in_a_device_or_a_folder(self, name):
        with pytest.raises(Unwritable, match="it is no ordinary file: name one"):
            rejected(name, b"phone\nnix\n")

    @pytest.mark.parametrize("name", ["missing/rejects.csv", "x" * 300])
    def test_that_cannot_be_written_is_an_error_before_a_row_is_read(self, tmp_path, name):
        roster = open_roster(io.BytesIO(b"phone\nnix\n"))

        with pytest.raises(Unwritable, match="it cannot be written"):
            Rejects(tmp_path / name, roster)
        assert roster.line == 0


FIELDS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r"), max_size=12)


@given(st.lists(st.tuples(st.sampled_from(["nix", "4155552672", ""]), FIELDS, FIELDS), min_size=1, max_size=8))
@settings(max_examples=150)
def test_all_cells_of_a_rejected_row_are_read_back(tmp_path_factory, rows):
    path = tmp_path_factory.mktemp("rejects") / "rejects"
    given_rows = [{"phone": phone, "alias": alias, "note": note} for phone, alias, note in rows]
    first = rejected(path, given_rows)

    assert fields_of(read_again(path)) == fields_of(first)
