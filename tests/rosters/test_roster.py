"""Rosters: which columns are found, which rows are read, which files are refused, and that memory does not grow."""

import csv
import errno
import gzip
import io
import itertools
import subprocess
import sys
import tracemalloc
from pathlib import Path

import pytest
from benchmarks import rosters
from hypothesis import example, given, settings
from hypothesis import strategies as st

import worker.local.demo
from ringproof.errors import InvalidRequest, InvalidRoster
from ringproof.rosters.contents import SAMPLE_ROWS
from ringproof.rosters.roster import open_roster, roster_of
from ringproof.rosters.row import REMEDIES, Row
from ringproof.rosters.text import LONGEST_LINE

ONE, TWO, THREE = "+14155552671", "+14155552672", "+14155552673"
LANDLINE = "+493012345678"
SUBACCOUNT = "SA" + "X7" * 9
PATTERN = "+1415555{:04}"


def packed(data):
    """Pack data without a time: the parameters must be the same in each process that collects the tests."""
    return gzip.compress(data, mtime=0)


class Pipe(io.RawIOBase):
    """A stream that can be read once. Its pieces are made when they are read, and counted."""

    def __init__(self, pieces):
        self.pieces, self.given = iter(pieces), 0

    def readable(self):
        return True

    def read(self, _size=-1):
        piece = next(self.pieces, b"")
        self.given += len(piece or b"")
        return piece


def stream(data):
    return io.BytesIO(data.encode() if isinstance(data, str) else data)


def read(data, **options):
    """Return all outcomes of a roster, and the roster."""
    roster = open_roster(stream(data), **options) if isinstance(data, str | bytes) else roster_of(data, **options)
    return list(roster), roster


def accepted(data):
    """Return what an import would store of a roster."""
    rows = [outcome for outcome in read(data)[0] if isinstance(outcome, Row)]
    return tuple((row.number.e164, row.channel, row.alias, row.subaccount) for row in rows)


def results(outcomes):
    """Return the number of each row, or the reason of each reject."""
    return [outcome.number.e164 if isinstance(outcome, Row) else outcome.reason for outcome in outcomes]


def refusal(data, **options):
    with pytest.raises(InvalidRoster) as caught:
        read(data, **options)
    assert caught.value.remedy
    assert str(caught.value).isprintable()
    return caught.value.value


class TestAFile:
    @pytest.mark.parametrize("delimiter", [",", ";", "\t"])
    @pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
    @pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
    @pytest.mark.parametrize("pack", [bytes, gzip.compress])
    def test_is_read_in_any_dialect_encoding_and_packing(self, delimiter, encoding, end, pack):
        lines = [["phone", "alias"], [ONE, "Zoë"], [TWO, '"佐藤 恵, sales"'], ["nix", "x"]]
        text = "".join(delimiter.join(line) + end for line in lines)
        outcomes, roster = read(pack(text.encode(encoding)))

        assert results(outcomes) == [ONE, TWO, "not_a_number"]
        assert [outcome.alias for outcome in outcomes[:2]] == ["Zoë", "佐藤 恵, sales"]
        assert [outcome.line for outcome in outcomes] == [2, 3, 4]
        assert (roster.format, roster.delimiter, roster.encoding) == ("csv", delimiter, encoding)

    def test_is_opened_by_its_path_or_as_standard_input(self, tmp_path, monkeypatch):
        path = tmp_path / "people.csv"
        path.write_text(f"phone\n{ONE}\n")
        with path.open() as standard_input:
            monkeypatch.setattr(sys, "stdin", standard_input)
            opened = [open_roster(path), open_roster(str(path)), open_roster("-")]

            assert [results(roster) for roster in opened] == [[ONE]] * 3
        assert [roster.name for roster in opened] == [str(path), str(path), "standard input"]
        for roster in opened:
            roster.close()

    def test_is_closed_with_its_roster_unless_the_caller_opened_it(self, tmp_path):
        path = tmp_path / "people.csv"
        path.write_text(f"{ONE}\n")
        ours = stream(ONE)
        with open_roster(path) as roster, open_roster(ours):
            assert results(roster) == [ONE]

        assert not ours.closed  # and pytest fails for a ResourceWarning

    @pytest.mark.parametrize("size", [1, 2, 3, 7])
    def test_may_come_in_small_pieces(self, size):
        data = gzip.compress(f"phone;alias\r\n{ONE};Zoë\r\n".encode("utf-16"))
        roster = open_roster(Pipe(data[at : at + size] for at in range(0, len(data), size)))

        assert [(row.number.e164, row.alias, row.line) for row in roster] == [(ONE, "Zoë", 2)]

    def test_may_be_packed_in_several_members_with_padding(self):
        data = b"".join(gzip.compress(part.encode()) + b"\0" * 512 for part in ("phone\n", f"{ONE}\n", f"{TWO}\n"))

        assert results(read(data)[0]) == [ONE, TWO]

    def test_needs_no_last_line_feed_and_empty_lines_are_no_rows(self):
        outcomes, _ = read(f"\n\nphone,alias\n\n{ONE},x\n , \n,\n\n{TWO},y")

        assert [(outcome.line, outcome.number.e164) for outcome in outcomes] == [(5, ONE), (9, TWO)]

    def test_of_the_demo_has_180_accepted_rows_and_20_rejects(self):
        with open_roster(Path(worker.local.demo.__file__).with_name("roster.csv")) as roster:
            accepted = sum(isinstance(outcome, Row) for outcome in roster)

        assert roster.accepted == accepted == 180
        assert roster.reasons.total() == 20
        assert roster.reasons["excel_number"] == 4

    def test_of_ndjson_has_objects_and_lone_values(self):
        data = f'{{"phone": "{ONE}", "alias": "A", "x": [1]}}\n\n"{TWO}"\n{{"alias": "B"}}\n{{x\n{"[" * 50_000}\n14\n'
        outcomes, roster = read(data)

        assert results(outcomes) == [ONE, TWO, "empty", "json", "json", "integer"]
        assert [outcome.line for outcome in outcomes] == [1, 3, 4, 5, 6, 7]
        assert outcomes[2].raw == {"alias": "B"}
        assert outcomes[3].raw == {"row": "{x"}
        assert outcomes[0].alias == "A"
        assert (roster.format, roster.delimiter) == ("ndjson", None)


class TestTheColumns:
    @pytest.mark.parametrize(
        "name",
        ["phone", "Phone Number", "phone_number", "PHONE-NO.", "msisdn", "tel", "Tel.", " Mobile ", "E.164", "Teléfono",
         "TELEFON", "téléphone", "手机号", "전화번호", "number"],
    )  # fmt: skip
    def test_of_numbers_are_found_by_many_names(self, name):
        _, roster = read(f"id,{name},name\n4155550101,{ONE},x\n")

        assert (roster.columns.has_header, roster.columns.number, roster.columns.alias) == (True, 1, None)

    def test_named_phone_are_preferred_to_columns_named_number(self):
        assert read(f"number,phone\n4155550101,{ONE}\n")[1].columns.number == 1

    def test_of_unknown_names_are_found_by_their_content(self):
        outcomes, roster = read(f"Kunde,Anschluss 1\n4711,{ONE}\n4712,{TWO}\n")

        assert results(outcomes) == [ONE, TWO]
        assert roster.columns.names == ("Kunde", "Anschluss 1")

    def test_without_a_header_are_found_by_their_content(self):
        outcomes, roster = read(f"4711,{ONE},mobile\n4712,4155552672,phone\n4713,,\n")

        assert results(outcomes) == [ONE, "no_country", "empty"]
        assert roster.columns.names == ("column_1", "phone", "column_3")
        assert not roster.columns.has_header

    def test_of_numbers_without_a_country_are_found_so_that_the_rejects_have_that_reason(self):
        outcomes, roster = read("Ann,415 555 2671\nBob,415 555 2672\n")

        assert results(outcomes) == ["no_country"] * 2
        assert "region='US'" in outcomes[0].remedy
        assert roster.reasons == {"no_country": 2}

    def test_a_first_row_with_a_bad_number_is_no_header(self):
        assert results(read(f"1-800-FLOWERS,x\n{ONE},y\n")[0]) == ["letters", ONE]
        assert results(read(f"12345,x\n{ONE},y\n")[0]) == ["no_country", ONE]

    def test_are_what_the_mapping_says(self):
        data = f"Home,Work,Nick,How,For\n{ONE},{TWO},Zoë,CALL,{SUBACCOUNT}\n"
        mapping = {"number": "Work", "alias": "nick", "channel": "How", "subaccount": 5}
        [row], _ = read(data, mapping=mapping)

        assert row == Row(2, row.number, "call", "Zoë", SUBACCOUNT)
        assert row.number.e164 == TWO

    def test_may_be_mapped_by_their_place(self):
        [row], roster = read(f"{ONE},{TWO},Zoë\n", mapping={"number": "2", "alias": 3})

        assert (row.number.e164, row.alias) == (TWO, "Zoë")
        assert roster.columns.names == ("column_1", "phone", "alias")

    def test_may_be_mapped_in_objects(self):
        [row], _ = read([{"Home": ONE, "Work": TWO}], mapping={"number": "Work"})

        assert row.number.e164 == TWO

    @pytest.mark.parametrize(
        ("data", "mapping", "error"),
        [
            (f"a,b\n{ONE},\n", {"number": "phone"}, "no column is named 'phone'; it has 'a', 'b'"),
            (f"{ONE},x\n", {"number": "3"}, "no column is named '3'; it has no header, and 2 columns"),
            (f"a,a\n{ONE},\n", {"number": "a"}, "more than one column is named 'a'; it has 'a', 'a'"),
            (f"phone,Mobile\n{ONE},{TWO}\n", None, "2 columns could be the number: 'phone', 'Mobile'"),
            (f"{ONE},{TWO}\n", None, "2 columns could be the number: +•••••••••71, +•••••••••72"),
            ("id,name\n1,x\n", None, "no column has phone numbers, by name or content; it has 'id', 'name'"),
            ("x\n", None, "no column has phone numbers, by name or content; it has 'x'"),
            ('{"id": 1, "name": "x"}\n', None, "no column has phone numbers, by name or content; it has 'id', 'name'"),
        ],
    )
    def test_that_are_ambiguous_or_missing_are_an_error_that_asks_for_a_mapping(self, data, mapping, error):
        assert refusal(data, mapping=mapping) == error

    def test_are_listed_in_an_error_but_only_the_first_twelve(self):
        error = refusal(",".join(f"c{at}" for at in range(40)) + "\nx\n")

        assert error.endswith("'c9', 'c10', 'c11' and 28 more")

    def test_with_an_unknown_role_in_the_mapping_are_an_error(self):
        with pytest.raises(InvalidRequest, match="number, alias, channel, subaccount") as caught:
            read(ONE, mapping={"fax": "1"})

        assert caught.value.field == "mapping"

    def test_are_separated_by_semicolons_even_if_fields_have_commas(self):
        outcomes, roster = read(f'phone;alias\n{ONE};Doe, John\n1,41555E+10;"Doe, J, Jr"\n')

        assert results(outcomes) == [ONE, "excel_number"]
        assert roster.delimiter == ";"

    def test_are_separated_as_excels_own_line_says(self):
        outcomes, roster = read(f"sep=;\nphone;a,b\n{ONE};x\n")

        assert [(outcome.line, outcome.number.e164) for outcome in outcomes] == [(3, ONE)]
        assert roster.delimiter == ";"


class TestARow:
    def test_has_an_alias_a_channel_and_a_subaccount_of_its_own(self):
        data = f"phone,alias,channel,subaccount\n{ONE}, Zoë ,Call,{SUBACCOUNT}\n{LANDLINE},,auto,\n{TWO}\n"
        outcomes, _ = read(data)

        assert [(row.channel, row.alias, row.subaccount) for row in outcomes] == [
            ("call", "Zoë", SUBACCOUNT),
            ("call", None, None),
            ("sms", None, None),
        ]

    def test_takes_region_and_channel_from_the_import_where_it_has_none(self):
        outcomes, _ = read(f"phone,channel\n(415) 555-2671,\n{TWO},sms\n", region="us", channel="call")

        assert [(row.number.e164, row.channel) for row in outcomes] == [(ONE, "call"), (TWO, "sms")]

    @pytest.mark.parametrize(
        ("row", "column", "reason"),
        [
            ("n/a,,,", "Phone", "empty"),
            (",Bob,,", "Phone", "empty"),
            ("Bob,,,", "Phone", "not_a_number"),
            ("4155552671,,,", "Phone", "no_country"),
            ("1.41555E+10,,,", "Phone", "excel_number"),
            ("+1-800-FLOWERS,,,", "Phone", "letters"),
            (f"{LANDLINE},,,", "Phone", "landline_sms"),
            (f"{ONE},,fax,", "channel", "channel"),
            (f"{ONE},,,SA1", "subaccount", "subaccount"),
            (f"{ONE},,,,x", "", "too_many_fields"),
            (f"{ONE}\0,,,", "", "nul"),
            (f"{ONE},,a\0b,", "", "nul"),
            (f'{ONE},"x,,', "", "quotes"),
        ],
    )
    def test_that_is_rejected_has_its_line_column_reason_and_remedy(self, row, column, reason):
        outcomes, roster = read(f"Phone,alias,channel,subaccount\n{THREE}\n{row}\n{TWO},,,\n")
        bad = outcomes[1]

        assert results(outcomes) == [THREE, reason, TWO]
        assert (bad.line, bad.column, bad.reason) == (3, column, reason)
        assert bad.remedy
        assert roster.reasons == {reason: 1}
        assert "4155552671" not in f"{bad!r}{bad.value}{outcomes[0]!r}"

    def test_with_too_many_but_empty_fields_is_accepted(self):
        assert results(read(f"phone,alias\n{ONE},x,,\n")[0]) == [ONE]

    def test_may_have_anything_in_columns_that_are_not_read(self):
        assert results(read(f"phone,x\n{ONE},a\0b\n{TWO},\x07\n")[0]) == [ONE, TWO]

    def test_from_python_is_a_text_or_a_mapping(self):
        rows = iter([ONE, {"phone": TWO, "alias": "Zoë", "channel": "call"}, {"phone": 14155552671}, None, {}, 7, ""])
        outcomes, roster = read(rows, name="customers")

        assert results(outcomes) == [ONE, TWO, "not_text", "empty", "empty", "not_text", "empty"]
        assert [outcome.line for outcome in outcomes] == [1, 2, 3, 4, 5, 6, 7]
        assert outcomes[1].alias == "Zoë"
        assert (roster.name, roster.format, roster.encoding, roster.fingerprint) == ("customers", "rows", None, None)

    @pytest.mark.parametrize("number", ["491716783154", "919653244280", "4790123456"])
    def test_with_plus_is_an_international_number_whose_plus_was_lost(self, number):
        rows = [number, {"phone": f"'{number}"}, f"+{number}"]

        assert results(roster_of(rows, region="DE", plus=True)) == [f"+{number}"] * 3

    def test_whose_plus_was_lost_is_counted_if_the_whole_column_is_like_it(self):
        lost, national = [f"49171678{at}" for at in range(3100, 3118)], ["1716783154"]
        for rows, count in ((lost + national * 2, 18), (lost + national * 3, 0), (["0171 6783154", ONE], 0)):
            roster = roster_of(rows, region="DE")
            list(roster)

            assert roster.lost_plus == count

    def test_from_python_may_be_anything_at_all(self):
        rows = [{1: ONE, "phone": TWO, ("a",): object()}, object(), [], {"phone": [], "alias": 1}, b"", float("nan")]

        assert results(read(rows)[0]) == [TWO, *["not_a_number"] * 5]
        assert results(
            read([{"phone": ONE, "alias": 1}, {"phone": ONE, "channel": []}, {"phone": ONE, "subaccount": 1}])[0]
        ) == [
            ONE,
            "channel",
            "subaccount",
        ]


class TestAQuote:
    def test_may_hold_delimiters_quotes_and_line_breaks(self):
        data = f'phone,address,alias\n{ONE},"1 Main St\nSuite ""B"", North\r\nSpringfield 12345","a ""b"""\n{TWO},x,y\n'
        outcomes, _ = read(data)

        assert [(outcome.line, outcome.alias) for outcome in outcomes] == [(2, 'a "b"'), (5, "y")]

    @pytest.mark.parametrize("quote", ['"Bob,', '",', 'x,"'])
    @pytest.mark.parametrize("after", ["x,", '"Al",', '"Al, B.","C"'])
    def test_that_is_not_closed_costs_its_own_row_and_no_other(self, quote, after):
        rows = [f"{ONE},{quote}", *(f"{PATTERN.format(at)},{after}" for at in range(200))]
        outcomes, _ = read("phone,name,x\n" + "\n".join(rows))

        assert outcomes[0].reason == "quotes"
        assert results(outcomes[1:]) == [PATTERN.format(at) for at in range(200)]

    @pytest.mark.parametrize("quote", ['"Bob,', '",', 'x,"'])
    @pytest.mark.parametrize("after", ["", 'x"', '"'])
    def test_that_is_closed_in_another_row_loses_no_line_without_a_reject(self, quote, after):
        rows = [f"{ONE},{quote}", *(f"{PATTERN.format(at)},{after}" for at in range(200))]
        outcomes, _ = read("phone,name,x,y\n" + "\n".join(rows))

        assert [outcome.line for outcome in outcomes] == list(range(2, 203))
        assert outcomes[0].reason == "quotes"

    def test_in_the_middle_of_a_field_is_an_ordinary_character(self):
        outcomes, _ = read(f'phone,alias\n{ONE},5" pipe\n{TWO},"Al" Smith\n{THREE}, "x"\n')

        assert [outcome.alias for outcome in outcomes] == ['5" pipe', "Al Smith", "x"]


class TestARefusal:
    @pytest.mark.parametrize(
        ("data", "why"),
        [
            ("", "it is empty"),
            ("\n \n", "it is empty"),
            ("\n" * 1000 + ONE, f"its first {SAMPLE_ROWS} lines are empty"),
            (",,\n,\n", "it has no row that is not empty"),
            ("phone\n", "it has a header and no row"),
            ("phone,alias\n,\n\n", "it has a header and no row"),
            (packed(b""), "it is empty"),
            ("\ufeff".encode("utf-16-le"), "it is empty"),
            (b"PK\x03\x04" + bytes(100), "it is an Excel workbook, or another zip archive"),
            (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "it is an old Excel workbook"),
            (b"%PDF-1.7", "it is a PDF"),
            (bytes(1000), "it is no text file"),
            (bytes(range(256)) * 10, "it is no text file"),
            (packed(packed(ONE.encode())), "it is no text file"),
            (packed(ONE.encode() * 9)[:-9], "what gzip has packed ends in the middle"),
            (packed(ONE.encode() * 9)[:20] + b"xxxxxxxxxxxx", "what gzip has packed is damaged"),
            (packed(ONE.encode()) + b"and more", "what gzip has packed is damaged"),
            (f"phone,alias\n{ONE},Zoë\n".encode("latin-1"), "line 2 has a byte, 0xEB, that is not UTF-8"),
            (f"phone\n{ONE}\n".encode("utf-16")[:-1], "line 2 has a byte, 0x0A, that is not UTF-16"),
            (f'[{{"phone": "{ONE}"}}]', "it is a JSON array"),
            (f'{{\n"phone": "{ONE}"\n}}', "line 1 is no JSON, nor are the lines after it"),
            (",".join(f"c{at}" for at in range(1001)), "it has 1,001 columns"),
            ([], "it has no row"),
            ([{f"c{at}": ONE for at in range(1001)}], "it has 1,001 columns"),
        ],
    )  # fmt: skip
    def test_says_what_the_file_is(self, data, why):
        assert refusal(data) == why

    def test_names_the_file_before_any_row_is_read(self, tmp_path):
        path = tmp_path / "people.csv"
        lines = [f"{PATTERN.format(at % 10_000)},Zoë".encode() for at in range(20_000)]
        lines[15_000] = f"{ONE},Zoë".encode("latin-1")
        path.write_bytes(b"\r\n".join(lines))

        with pytest.raises(InvalidRoster) as caught:
            open_roster(path)

        assert caught.value.args[:2] == (str(path), "line 15001 has a byte, 0xEB, that is not UTF-8")

    def test_of_a_pipe_comes_where_the_error_is(self):
        roster = open_roster(Pipe([f"{ONE}\n".encode() * 20_000, b"\xff\n"]))
        rows = iter(roster)

        assert next(rows).number.e164 == ONE
        with pytest.raises(InvalidRoster, match="line 20001 has a byte, 0xFF"):
            list(rows)

    @pytest.mark.parametrize("name", ["missing.csv", ".", "no\0file", "a\nb\udc80"])
    def test_of_a_path_that_cannot_be_opened_says_so(self, tmp_path, name):
        with pytest.raises(InvalidRoster, match="it cannot be opened") as caught:
            open_roster(f"{tmp_path}/{name}")

        assert caught.value.field.isprintable()

    def test_of_a_disk_that_cannot_be_read_says_so(self):
        def pieces():
            yield f"{ONE}\n".encode() * 10_000
            raise OSError(errno.EIO, "Input/output error")

        with pytest.raises(InvalidRoster, match="it cannot be read: Input/output error"):
            list(open_roster(Pipe(pieces())))

    def test_of_a_pipe_that_does_not_wait_says_so_and_does_not_end_the_roster(self):
        with pytest.raises(InvalidRoster, match="does not wait"):
            list(open_roster(Pipe([f"{ONE}\n".encode(), None])))

    @pytest.mark.parametrize("change", [lambda text: text[:-20], lambda text: text + f"{ONE}\n", lambda _: ""])
    def test_of_a_file_that_changes_or_vanishes_while_it_is_read_says_so(self, tmp_path, change):
        path = tmp_path / "people.csv"
        text = "".join(f"{PATTERN.format(at % 10_000)}\n" for at in range(20_000))
        path.write_text(text)
        with open_roster(path) as roster:
            path.write_text(change(text))

            with pytest.raises(InvalidRoster, match="it changed while it was read"):
                list(roster)

    def test_does_not_come_for_a_file_that_is_only_unlinked(self, tmp_path):
        path = tmp_path / "people.csv"
        path.write_text(f"{ONE}\n" * 20_000)
        with open_roster(path) as roster:
            path.unlink()

            assert sum(isinstance(row, Row) for row in roster) == 20_000

    @pytest.mark.parametrize(
        ("options", "field"),
        [({"region": "XX"}, "region"), ({"channel": "fax"}, "channel"), ({"channel": 1}, "channel")],
    )
    @pytest.mark.parametrize("data", [f"phone\n{ONE}\n", f"{ONE}\n", [ONE]])
    def test_of_a_wrong_option_comes_before_any_row(self, data, options, field):
        with pytest.raises(InvalidRequest) as caught:
            read(data, **options)

        assert caught.value.field == field


class TestMemory:
    """It is bounded for every file."""

    @pytest.mark.parametrize("piece", [b"1", b"1,", b"a", b'"', "é".encode(), b" ", b"{", b"\r\0"])
    def test_a_line_of_a_gigabyte_is_refused_after_a_few_pieces(self, piece):
        pipe = Pipe(itertools.repeat(piece * (65_536 // len(piece)), 16_384))

        with pytest.raises(InvalidRoster):
            list(open_roster(pipe))
        assert pipe.given < 1_000_000

    def test_a_gigabyte_in_a_few_packed_kilobytes_is_refused_after_a_few_pieces(self):
        member = gzip.compress(b"1" * 10_000_000)
        pipe = Pipe(itertools.repeat(member, 100))
        tracemalloc.start()

        with pytest.raises(InvalidRoster, match=f"line 1 is longer than {LONGEST_LINE:,} characters"):
            list(open_roster(pipe))
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()

        assert pipe.given < 20_000
        assert peak < 4_000_000

    @pytest.mark.parametrize("after", [1, 60_000])
    def test_a_long_line_is_named(self, after):
        data = f"{ONE}\n" * after + "1" * (LONGEST_LINE + 1) + "\n"

        assert refusal(data) == f"line {after + 1} is longer than 65,536 characters"

    def test_a_line_of_just_that_length_is_read(self):
        assert results(read(f"phone,x\n{ONE},{'x' * (LONGEST_LINE - len(ONE) - 2)}\n{TWO},\n")[0]) == [ONE, TWO]

    @pytest.mark.parametrize("bad", [False, True])
    def test_does_not_grow_with_the_file(self, bad):
        channel = "fax" if bad else "sms"

        def pieces(count):
            yield b"phone,channel\n"
            for at in range(count):
                yield f"{PATTERN.format(at % 10_000)},{channel}\n".encode() * 1000

        def peak(count):
            tracemalloc.start()
            roster = open_roster(Pipe(pieces(count)))
            for _ in roster:
                pass
            most = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
            assert roster.accepted + roster.reasons.total() == count * 1000
            return most

        peak(1)
        few, many = peak(5), peak(20)

        assert many < few + 100_000
        assert many < 3_000_000

    def test_does_not_grow_with_rows_from_python_which_are_taken_as_they_come(self):
        given = itertools.count()
        rows = (PATTERN.format(next(given)) for _ in range(10_000))
        outcomes = iter(roster_of(rows))
        next(outcomes)

        assert next(given) < 100


class TestAResumedImport:
    def test_reads_the_same_rows_again(self):
        data = f"phone,alias\n{ONE},a\nnix,b\n{TWO},c\n{THREE},d\n"
        first = open_roster(stream(data))
        rows = iter(first)
        before = [next(rows) for _ in range(3)]
        again = open_roster(stream(data))
        passed = list(itertools.islice(again, 3))

        assert passed == before
        assert (again.accepted, again.line) == (first.accepted, first.line) == (2, 4)
        assert list(again) == list(rows)

    @pytest.mark.parametrize(
        "other",
        [
            f"phone,alias\n{ONE},a\n{THREE},c\n",
            f"phone,alias\n{ONE},a\n{TWO},C\n",
            f"phone,alias\n{TWO},c\n{ONE},a\n",
            f"phone,alias,channel\n{ONE},a,call\n{TWO},c,\n",
            f"phone,alias\n{ONE},a\n{ONE},a\n{TWO},c\n",
        ],
    )
    def test_sees_that_the_rows_are_others(self, other):
        assert accepted(other) != accepted(f"phone,alias\n{ONE},a\n{TWO},c\n")

    def test_reads_the_same_rows_from_another_format(self):
        forms = [
            f"phone,alias\n{ONE},a\n{TWO},\n",
            f"nix\n\nalias;phone\na;{ONE}\n;+1 (415) 555-2672\n"[5:],
            packed(f'{{"phone": "{ONE}", "alias": "a"}}\n{{"phone": "{TWO}"}}\n'.encode("utf-16")),
            [{"phone": ONE, "alias": "a"}, TWO],
        ]

        assert len({accepted(form) for form in forms}) == 1

    def test_knows_the_fingerprint_of_a_file_before_its_first_row(self, tmp_path):
        data = f"phone\n{ONE}\n".encode() * 10_000
        path = tmp_path / "people.csv"
        path.write_bytes(data)
        with open_roster(path) as roster, open_roster(stream(gzip.compress(data))) as packed:
            assert roster.fingerprint == packed.fingerprint is not None
        pipe = open_roster(Pipe([data]))

        assert pipe.fingerprint is None
        assert next(iter(pipe)).number.e164 == ONE
        assert list(pipe)
        assert pipe.fingerprint == roster.fingerprint


def test_neither_redis_nor_celery_nor_click_is_loaded():
    code = "import sys, ringproof.rosters.rejects; print(*{name.partition('.')[0] for name in sys.modules})"
    loaded = set(
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    )

    assert not loaded & {"redis", "celery", "kombu", "click", "pydantic", "requests"}


WORDS = st.sampled_from(
    [ONE, TWO, LANDLINE, "4155552671", "phone", "alias", "n/a", "sep=;", "line,column,reason", '{"phone": "', '"}\n']
)
SIGNS = st.sampled_from(',;:\t\n\r\0"{}[ é\ufeff\x0b\x1c\u2028')
TEXTS = st.lists(st.one_of(WORDS, SIGNS, st.text(max_size=3)), max_size=60).map("".join)
ENCODED = st.builds(
    lambda text, encoding: text.encode(encoding, "surrogatepass"),
    TEXTS,
    st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"]),
)
BYTES = st.one_of(
    st.binary(max_size=300), ENCODED, ENCODED.map(gzip.compress), st.binary(max_size=60).map(gzip.compress)
)


def outcomes(source, region):
    """Return all outcomes, or the one error of the roster."""
    try:
        return list(open_roster(source, region=region))
    except InvalidRoster as error:
        return error


@given(BYTES, st.sampled_from([None, "US"]))
@settings(max_examples=600)
@example(b"{", None)
@example(b'""\n"', None)
def test_any_bytes_are_rows_and_rejects_or_one_error_and_the_same_from_a_pipe(data, region):
    found = outcomes(stream(data), region)
    piped = outcomes(Pipe(data[at : at + 5] for at in range(0, len(data), 5)), region)

    if isinstance(found, InvalidRoster):
        assert isinstance(piped, InvalidRoster)
        assert str(found).isprintable()
        return
    assert piped == found != []
    assert all(isinstance(outcome, Row) or (outcome.remedy and outcome.value.isprintable()) for outcome in found)


@given(
    st.lists(st.tuples(st.sampled_from([ONE, TWO, "nix", "4155552671"]), st.text(max_size=20)), min_size=1),
    st.sampled_from(",;\t"),
    st.sampled_from(["\n", "\r\n"]),
)
def test_rows_of_a_csv_writer_are_read_as_they_were(rows, delimiter, end):
    rows = [(phone, "".join(filter(str.isprintable, alias)).replace("\\", "")) for phone, alias in rows]
    text = io.StringIO(newline="")
    writer = csv.writer(text, delimiter=delimiter, lineterminator=end)
    writer.writerows([("phone", "alias"), *rows])
    outcomes, _ = read(text.getvalue())

    assert [(outcome.line, results([outcome])[0]) for outcome in outcomes] == [
        (at, {"nix": "not_a_number", "4155552671": "no_country"}.get(phone, phone))
        for at, (phone, _) in enumerate(rows, 2)
    ]
    assert [outcome.alias or "" for outcome in outcomes if isinstance(outcome, Row)] == [
        alias.strip() for phone, alias in rows if phone in {ONE, TWO}
    ]


def test_every_reason_for_a_whole_row_has_a_remedy():
    assert set(REMEDIES) == {"too_many_fields", "quotes", "nul", "json", "empty", "integer"}


def test_the_benchmarks_roster_has_the_errors_that_it_promises_and_is_always_the_same():
    rows = list(rosters.rows(4000))
    outcomes, roster = read([phone for phone, _ in rows], region=rosters.HOME)
    numbers = [outcome.number for outcome in outcomes if isinstance(outcome, Row)]

    assert rows == list(rosters.rows(4000))
    assert 0.02 < roster.reasons.total() / 4000 < 0.04
    assert 0.03 < 1 - len(set(numbers)) / len(numbers) < 0.07
    assert len(roster.reasons) >= 8
    assert len({number.country for number in numbers}) == 1 + len(rosters.ABROAD)
