"""The header of a roster and its columns: titles above it, several telephones, countries, contacts without a number."""

import io

import pytest

from ringproof.errors import InvalidRoster
from ringproof.rosters.country import region_of
from ringproof.rosters.header import is_phone_like
from ringproof.rosters.roster import open_roster, roster_of
from ringproof.rosters.row import Row

ONE, TWO, THREE = "+14155552671", "+14155552672", "+14155552673"
SUBACCOUNT = "SA" + "X7" * 9


def read(data, **options):
    stream = io.BytesIO(data.encode() if isinstance(data, str) else data)
    with open_roster(stream, **options) as roster:
        return list(roster), roster


def results(outcomes):
    return [outcome.number.e164 if isinstance(outcome, Row) else outcome.reason for outcome in outcomes]


def refusal(data, **options):
    with pytest.raises(InvalidRoster) as caught:
        read(data, **options)
    return caught.value


class TestAboveTheHeader:
    @pytest.mark.parametrize(
        ("above", "line"),
        [
            ("Contact list 2026,,,,\n", 2),
            ("Kontakte\n\nStand: 01.03.2026\n", 4),
            (",Contact,Plivo,,\n", 2),
            ('"Contacts\nof all branches",,,,\n', 3),
            ("Acme Inc.,Call us: +1 415 555 0100,,,\n", 2),
            (f"Acme Inc.,,,,{THREE}\n", 2),
            ("Phone,,,,\n", 2),
            ("sep=,\n", 2),
            ("SEP=,\n", 2),
            ('"sep=,"\n', 2),
            ("sep=,,,,,\n", 2),
            ('"Sep=,",,,,\n', 2),
            ("sep=,\nContact list,,,,\n,,,,\n", 4),
        ],
    )
    def test_lines_are_passed_over_and_no_column_is_lost(self, above, line):
        rows = "".join(f"P,+1415555{at:04},Desk {at},call,{SUBACCOUNT}\n" for at in range(30))
        outcomes, roster = read(f"{above}Name,Phone,Alias,Channel,Subaccount\n{rows}")

        assert roster.header_line == line
        assert [outcome.line for outcome in outcomes] == list(range(line + 1, line + 31))
        assert {(row.channel, row.subaccount) for row in outcomes} == {("call", SUBACCOUNT)}
        assert outcomes[7].alias == "Desk 7"

    @pytest.mark.parametrize("delimiter", [";", "\t", "|"])
    def test_a_title_does_not_hide_the_delimiter(self, delimiter):
        lines = [["Kontaktliste, Stand 2026"], ["Name", "Handy", "Alias"], ["Ada", ONE, "A"], ["Ben", TWO, "B"]]
        outcomes, roster = read("\n".join(map(delimiter.join, lines)))

        assert (results(outcomes), roster.delimiter, roster.header_line) == ([ONE, TWO], delimiter, 2)

    def test_a_title_is_passed_over_above_a_header_without_a_known_name(self):
        outcomes, roster = read(f"Bericht\nKunde,Anschluss\n4711,{ONE}\n4712,{TWO}\n")

        assert (results(outcomes), roster.header_line) == ([ONE, TWO], 2)
        assert roster.columns.names == ("Kunde", "Anschluss")

    def test_a_mapped_name_shows_the_header(self):
        outcomes, roster = read(
            f"Bericht,,\nx,y,z\nKunde,Anschluss,Nick\n4711,{ONE},A\n", mapping={"number": "anschluss"}
        )

        assert (results(outcomes), roster.header_line) == ([ONE], 3)

    @pytest.mark.parametrize(
        ("data", "why"),
        [
            (
                f",Phone,\nName,,Channel\nAda,{ONE},call\n",
                "row 1 is the header, but row 2 names the column of the channel",
            ),
            (f"Ada,{ONE}\nBen,{TWO}\nName,Phone\nCy,{THREE}\n", "row 3 is a header, and a row above it has a number"),
        ],
    )
    def test_what_reading_from_the_header_would_lose_is_refused(self, data, why):
        assert refusal(data).value == why

    @pytest.mark.parametrize(
        "header", ["Kunde,Anschluss 2,2026-01-01", "Q3 2026,Kontakt 2026,x", "2024001,Anschluss,x"]
    )
    def test_a_name_with_digits_is_a_name(self, header):
        outcomes, roster = read(f"{header}\n1,{ONE},a\n2,{TWO},b\n")

        assert (results(outcomes), roster.columns.has_header) == ([ONE, TWO], True)

    def test_a_name_with_digits_does_not_lose_the_channel(self):
        outcomes, _ = read(f"Nr.,Anschluss,20260101,Channel\n1,{ONE},a,call\n2,{TWO},b,call\n")

        assert [row.channel for row in outcomes] == ["call", "call"]

    def test_a_repeated_header_and_a_row_of_a_type_are_no_header(self):
        assert results(read(f"Phone,Name\n{ONE},Ada\nPhone,Name\n{TWO},Ben\n")[0]) == [ONE, "not_a_number", TWO]
        assert results(read(f"4711,{ONE},mobile\n4712,,phone\n4713,{TWO},x\n")[0]) == [ONE, "empty", TWO]


class TestSeveralTelephones:
    @pytest.mark.parametrize(
        "names",
        [
            ("Phone Number", "Mobile Phone Number"), ("Phone Number", "SMS Phone Number"), ("Phone", "Mobile"),
            ("Telefon", "Telefon privat"), ("Teléfono", "Teléfono móvil (2)"), ("Téléphone", "Portable pro"),
            ("Phone 1 - Value", "Phone 2 - Value"), ("Business Phone", "Home Phone"), ("Telefone", "WhatsApp"),
            ("Mobil", "Tel. Büro"), ("电话", "手机 2"), ("number", "Cell number 2"),
        ],
    )  # fmt: skip
    @pytest.mark.parametrize("second", [TWO, "(415) 555-2672"])
    def test_with_numbers_are_refused_by_name(self, names, second):
        for columns in (names, names[::-1]):
            row = (ONE, second) if columns == names else (second, ONE)
            error = refusal(f"id,{','.join(columns)}\n1,{','.join(row)}\n2,{','.join(row)}\n")

            assert error.value.startswith("2 columns could be the number: ")
            assert "mapping={'number'" in error.remedy

    def test_are_refused_in_objects_too(self):
        with pytest.raises(InvalidRoster, match="2 columns could be the number"):
            roster_of([{"phone": ONE, "mobile_2": TWO}])

    def test_are_refused_at_the_first_number_of_a_column_that_seemed_to_have_none(self):
        rows = "".join(f"+1415555{at:04},\n" for at in range(200))
        error = refusal(f"Phone,Mobile Phone 2\n{rows}{ONE},{TWO}\n")

        assert "line 202 has a number in both" in error.value
        assert refusal(f"Phone,Mobile Phone 2\n{rows}{ONE},{TWO}\n").value == error.value

    @pytest.mark.parametrize(
        ("second", "cell"),
        [("Default Address Phone", TWO), ("Fax", TWO), ("Business Fax", TWO), ("Phone Type", "mobile"),
         ("Phone verified at", "2026-01-01"), ("Mobile Phone Number", ""), ("Telefonat am", "01.03.2026"),
         ("Customer", TWO)],
    )  # fmt: skip
    def test_are_not_what_other_columns_are(self, second, cell):
        outcomes, roster = read(f"id,{second},Phone\n1,{cell},{ONE}\n")

        assert (results(outcomes), roster.columns.name("number")) == ([ONE], "Phone")

    def test_are_no_choice_for_a_mapping(self):
        assert results(read(f"Phone,Mobile Phone 2\n{ONE},{TWO}\n", mapping={"number": "Mobile Phone 2"})[0]) == [TWO]

    def test_one_with_numbers_is_preferred_to_a_column_of_ids(self):
        outcomes, roster = read(f"Order,Work phone\n10023456,{ONE}\n10023457,{TWO}\n")

        assert (results(outcomes), roster.columns.number) == ([ONE, TWO], 1)

    @pytest.mark.parametrize(
        "name", ["Phone number", "Tel. 2", "Handy_privat", "Nº de celular", "telefono1", "携帯番号"]
    )
    def test_have_names_that_say_so(self, name):
        assert is_phone_like(name)

    @pytest.mark.parametrize("name", ["Hotel", "Cellar", "Fax", "Telefax", "Endereço telefone", "Titel", "Name"])
    def test_do_not_have_other_names(self, name):
        assert not is_phone_like(name)


class TestAContactWithoutANumber:
    @pytest.mark.parametrize(
        "cell", ["", " ", "-", "--", "—", "n/a", "N/A", "#N/A", "(none)", "null", "k.A.", ".", "+", "なし"]
    )
    def test_is_a_reject_of_its_own_reason(self, cell):
        outcomes, roster = read(f"Name,Telefon\nAda,{ONE}\nBen,{cell}\n")

        assert results(outcomes) == [ONE, "empty"]
        assert (outcomes[1].column, outcomes[1].line, roster.reasons) == ("Telefon", 3, {"empty": 1})

    def test_may_be_the_title_of_a_group_a_total_or_null(self):
        assert results(read(f"Name,Phone\nRegion North,\nAda,{ONE}\nTotal: 1\n")[0]) == ["empty", ONE, "empty"]
        assert results(read(f'{{"phone": "{ONE}"}}\n{{"phone": null}}\n{{"name": "Ben"}}\n')[0]) == [
            ONE,
            "empty",
            "empty",
        ]

    @pytest.mark.parametrize("cell", ["x", "none of these", "n/a 12", "0"])
    def test_does_not_have_any_other_text(self, cell):
        assert results(read(f"Name,Phone\nAda,{ONE}\nBen,{cell}\n")[0])[1] != "empty"

    @pytest.mark.parametrize("no_number", ["", "n/a", "k.A.", "—", "(none)"])
    @pytest.mark.parametrize("name", ["Kontakt", "Mobile Phone Number"])
    def test_says_nothing_about_where_the_numbers_are(self, name, no_number):
        rows = "Ada,01512 3456789,DE\n" + f"Ben,{no_number},DE\n" * 3

        assert results(read(f"Name,{name},Country\n{rows}")[0]) == ["+4915123456789", *["empty"] * 3]


def test_a_mapped_column_is_read_whatever_other_columns_could_have_the_numbers():
    outcomes, _ = read(f"Phone,Mobile,Handy,Best\n{TWO},{TWO},{TWO},{ONE}\n", mapping={"number": "Best"})

    assert results(outcomes) == [ONE]


def test_an_export_is_read_by_its_own_columns_whatever_the_first_roster_had():
    header = "phone_number,state,reason,channel,alias,country,line,Phone,Mobile,file_country,file_alias"
    outcomes, roster = read(f"{header}\n{ONE},expired,,call,Ada,US,2,{TWO},{TWO},DE,x\n,rejected,empty,,,,3,,,,\n")

    assert [outcome.reason for outcome in outcomes[1:]] == ["empty"]
    assert (results(outcomes)[0], outcomes[0].channel, outcomes[0].alias) == (ONE, "call", "Ada")
    assert roster.columns.name("country") == "country"


class TestTheCountry:
    @pytest.mark.parametrize(
        ("name", "german", "british"),
        [("Country", "DE", "gb"), ("Land", "de", "UK"), ("País", "+49", "+44"), ("Country Code", "49", "44"),
         ("Ländervorwahl", "0049", "0044"), ("dial_code", "49.0", "44.0"), ("国家", "DE", "GB"),
         ("Pays", "(+49)", "(+44)")],
    )  # fmt: skip
    def test_of_a_row_is_the_region_of_its_number(self, name, german, british):
        outcomes, _ = read(
            f"{name};Phone\n{german};0171 2345678\n{british};07400 122330\n;(415) 555-2671\n", region="US"
        )

        assert results(outcomes) == ["+491712345678", "+447400122330", ONE]

    def test_may_be_mapped_and_is_read_in_objects(self):
        assert results(read("Wo,Phone\nDE,0171 2345678\n", mapping={"country": "Wo"})[0]) == ["+491712345678"]
        assert results(roster_of([{"phone": "0171 2345678", "country": "DE"}])) == ["+491712345678"]
        assert results(read('{"phone": "0171 2345678", "country_code": 49}\n')[0]) == ["+491712345678"]

    def test_does_not_change_a_number_with_a_country_code(self):
        assert results(read(f"Country,Phone\nDE,{ONE}\nDE,{TWO}\n")[0]) == [ONE, TWO]

    def test_that_cannot_be_read_leaves_a_number_without_a_country(self):
        outcomes, _ = read("Country,Phone\nUS,415 555 2671\nUS,415 555 2672\nAtlantis,415 555 2673\n", region="US")

        assert results(outcomes) == [ONE, TWO, "no_country"]

    @pytest.mark.parametrize(
        ("header", "german", "indian"),
        [("Country", "Germany", "India"), ("Land", "Deutschland", "Indien"), ("País", "ALEMANIA", "India"),
         ("Pays", "Allemagne", "Inde"), ("国家", "德国", "印度"), ("Country/Region", "germany ", "INDIA")],
    )  # fmt: skip
    def test_of_a_row_may_be_a_name_so_that_no_american_gets_an_indians_code(self, header, german, indian):
        outcomes, _ = read(
            f"{header};Phone\n{german};0171 2345678\n{german};0171 2345679\n{indian};98765 43210\n", region="US"
        )

        assert results(outcomes) == ["+491712345678", "+491712345679", "+919876543210"]

    def test_name_that_is_unknown_leaves_a_number_without_a_country(self):
        rows = "Spain,612 345 678\nSpain,612 345 679\nThe Shire,98765 43210\nThe Shire,+14155552671\n"

        assert results(read(f"Country,Phone\n{rows}", region="US")[0])[2:] == ["no_country", ONE]

    def test_has_a_region_for_letters_and_calling_codes(self):
        regions = {"us": "US", "+1": "US", "1-684": "US", "001": "US", "7": "RU", "383": "XK", "800": None, "": None}

        assert {text: region_of(text) for text in regions} == regions
        assert [region_of(text) for text in ("xx", "Europe", "12345", "+", "-49", "-", "n/a")] == [None] * 7


class TestOtherKindsOfFile:
    @pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
    @pytest.mark.parametrize(
        ("data", "what"),
        [
            (f"BEGIN:VCARD\r\nVERSION:3.0\r\nTEL:{ONE}\r\nEND:VCARD\r\n", "a vCard file"),
            (f"\n<html><body><table><tr><td>{ONE}</td></tr></table></body></html>", "an HTML page"),
            (f"<!DOCTYPE html>\n<meta charset='utf-8'>{ONE}", "an HTML page"),
            (f"<table border=1><tr><td>{ONE}</td></tr></table>", "an HTML page"),
            (f"<?xml version='1.0'?>\n<html><td>{ONE}", "an HTML page"),
            ("<?xml version='1.0'?>\n<?mso-application progid='Excel.Sheet'?>\n<Workbook>", "an Excel workbook in XML"),
            ("<?xml version='1.0'?><ss:Workbook>", "an Excel workbook in XML"),
            (f"<?xml version='1.0'?>\n<contacts><phone>{ONE}</phone></contacts>", "an XML file"),
            (f"<contacts>\n<phone>{ONE}</phone></contacts>", "an XML file"),
            (f"MIME-Version: 1.0\nContent-Type: text/html\n\n{ONE}", "a web page (MHTML)"),
            (f"BEGIN:VCALENDAR\n{ONE}", "a calendar"),
        ],
    )
    def test_are_named_for_what_they_are(self, data, what, encoding):
        error = refusal(data.encode(encoding))

        assert error.value == f"it is {what}"
        assert "CSV" in error.remedy

    def test_of_a_spreadsheet_say_how_to_save_it(self):
        assert refusal(b"PK\x03\x04" + bytes(100)).remedy == "open it in the spreadsheet and save it as “CSV UTF-8”"

    def test_with_bars_are_read(self):
        outcomes, roster = read(f'Phone|Name|Alias\n{ONE}|"Doe|J"|a, b; c\n{TWO}|x|y\n')

        assert (results(outcomes), roster.delimiter, outcomes[0].alias) == ([ONE, TWO], "|", "a, b; c")

    def test_that_begin_with_a_smaller_sign_may_be_rosters(self):
        assert results(read(f"<3,Phone\nx,{ONE}\n")[0]) == [ONE]


class TestAJsonInteger:
    @pytest.mark.parametrize(
        ("integer", "region", "result"),
        [(14155552671, None, ONE), (14155552671, "US", ONE), (4155552671, "US", ONE),
         (491712345678, None, "+491712345678"),
         (1712345678, "DE", "+491712345678"), (4155552671, None, "integer"), (14, None, "integer"),
         (-14155552671, None, "integer"),
         (10**40, "US", "integer")],
    )  # fmt: skip
    def test_is_its_text_if_it_can_be_one_number_only(self, integer, region, result):
        outcomes, _ = read(f'{{"phone": {integer}}}\n{{"phone": "{THREE}"}}\n{integer}\n', region=region)

        assert results(outcomes) == [result, THREE, result]
        assert result != "integer" or "write it as text" in outcomes[0].remedy

    def test_that_can_be_two_numbers_is_a_reject(self):
        outcomes, _ = read('{"phone": 491716783154}\n', region="DE")

        assert results(outcomes) == ["integer"]
        assert "3154" not in f"{outcomes[0]!r}"


def test_a_byte_order_mark_in_the_middle_is_dropped():
    assert results(read(f"Phone,Name\n{ONE},Ada\n\ufeff{TWO},Ben\n\ufeff\ufeff{THREE},Cy\n")[0]) == [ONE, TWO, THREE]
    assert results(read(f'{{"phone": "{ONE}"}}\n\ufeff{{"phone": "{TWO}"}}\n')[0]) == [ONE, TWO]
