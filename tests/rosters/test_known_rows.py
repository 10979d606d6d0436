"""Rosters that are built from known rows give exactly their numbers, and never a number of a note."""

import csv
import io

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ringproof.rosters.csv_rows import MOST_LINES
from ringproof.rosters.roster import open_roster
from ringproof.rosters.row import Row

HEADERS = [
    ("Phone", "Name", "Note"),
    ("Telefon", "Name", "Notiz"),
    ("Teléfono", "Nombre", "Nota"),
    ("手机", "姓名", "备注"),
]
KNOWN = "+1415555{:04}"
OF_A_NOTE = [
    "+14155550999",
    "+1 415 555 0999",
    "415-555-0999",
    "+49 171 2345678",
    "0171 2345678",
    "94103-1234",
    "1002345678",
]


def read(text, **options):
    with open_roster(io.BytesIO(text.encode()), **options) as roster:
        return list(roster)


def numbers(outcomes):
    return [outcome.number.e164 for outcome in outcomes if isinstance(outcome, Row)]


PIECES = st.one_of(
    st.sampled_from(OF_A_NOTE),
    st.sampled_from(
        ["\n", "\r\n", "\r", "\n\n", '"', '""', ",", ";", "\t", "|", " ", "'", "sep=;", "Phone", "call after 5"]
    ),
    st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=4),
)
NOTES = st.lists(PIECES, max_size=12).map("".join)
ROWS = st.lists(st.tuples(NOTES, NOTES), min_size=1, max_size=12)
QUOTINGS = st.sampled_from([csv.QUOTE_ALL, csv.QUOTE_MINIMAL, csv.QUOTE_NONNUMERIC])


@given(ROWS, st.sampled_from(HEADERS), st.permutations(range(3)), st.sampled_from(",;\t|"), QUOTINGS,
       st.sampled_from(["\n", "\r\n"]), st.sampled_from([None, "US", "DE"]))  # fmt: skip
@settings(max_examples=400, deadline=None)
@example(
    [("no answer; other number:\n+1 415 555 0199\ncall after 5", "Ada")], HEADERS[0], [0, 2, 1], ",", 0, "\n", None
)
@example([("Messe\n01.03.2026\n+49 171 2345678", "x")] * 9, HEADERS[1], [2, 1, 0], ";", 0, "\r\n", "DE")
@example([("1,2\n" * 40, "x")] * 9, HEADERS[0], [2, 1, 0], "|", 0, "\n", None)
def test_rows_of_any_dialect_give_their_own_numbers(notes, header, order, delimiter, quoting, end, region):
    known = [KNOWN.format(at) for at in range(len(notes))]
    if quoting == csv.QUOTE_MINIMAL:  # Python 3.11 puts no quotes around a lone carriage return
        notes = [tuple(note.replace("\r", "\n") for note in pair) for pair in notes]
    text = io.StringIO(newline="")
    writer = csv.writer(text, delimiter=delimiter, quoting=quoting, lineterminator=end)
    for row in (header, *((number, *note) for number, note in zip(known, notes, strict=True))):
        writer.writerow([row[place] for place in order])

    assert numbers(read(text.getvalue(), region=region)) == known


NO_QUOTES = st.lists(PIECES.map(lambda text: text.replace('"', "").replace("\r", "\n").replace(",", ";")), max_size=12)


@given(st.lists(NO_QUOTES.map("".join), min_size=1, max_size=6), st.data())
@settings(max_examples=400, deadline=None)
@example(["\n+1 415 555 0999\n"], None)
def test_a_quote_that_is_not_in_order_never_sends_to_a_number_of_its_note(notes, data):
    lines = []
    for at, note in enumerate(notes):
        broken = ['"see {}', '"said "yes" {}', '"{}" later"', '"{} "so" {}"', '"{}"', "{}"]
        form = data.draw(st.sampled_from(broken)) if data else '"see {}'
        cell = form.format(note, note) if form != "{}" else note.replace("\n", " ")
        lines.append(f"{KNOWN.format(at)},Ada {at},{cell}\n")
    accepted = numbers(read("Phone,Name,Note\n+14155550100,Zoë,ok\n" + "".join(lines) + "+14155550101,Ed,\n"))

    assert set(accepted) <= {"+14155550100", "+14155550101", *(KNOWN.format(at) for at in range(len(notes)))}


@pytest.mark.parametrize(
    ("header", "row"),
    [
        ("Phone,Name,Note", '{},Ada,"no answer; other number:\n+1 415 555 0199\ncall after 5"'),
        ("Mobile;Name;Bemerkung", '{};Ada;"Büro:\n+49 171 2345678\nnur vormittags"'),
        ("Nome|Endereço|Telefone", 'P|"Rua A 1\n01310-100\nSão Paulo"|{}'),
        ("Name,Note,Phone", 'P,"orders:\n10023456\n10023457","\n{}\n"'),
        ("姓名\t备注\t手机", 'P\t"2026-03-01\n他说 ""+86 138 0013 8000""\n"\t"{}"'),
        ("Nombre;Nota;Teléfono", '"P";"+34 612 345 678\n";"{}"'),
    ],
)
def test_a_line_break_in_a_cell_is_no_new_row(header, row):
    known = [KNOWN.format(at) for at in range(60)]
    outcomes = read(header + "\n" + "\n".join(map(row.format, known)))

    assert numbers(outcomes) == known
    assert len(outcomes) == 60


def test_a_cell_with_two_numbers_is_one_reject():
    outcomes = read('Phone,Name\n"+14155550123\n+14155550124",Ada\n+14155550125,Ben\n')

    assert [getattr(outcome, "reason", None) for outcome in outcomes] == ["not_a_number", None]


@pytest.mark.parametrize(
    "note",
    [
        '"call:\n+1 415 555 0199\nlater',
        '"call:\n+1 415 555 0199, home\nlater',
        '"he said "call me" at\n+1 415 555 0199\nafter 5"',
        '"he said "call me\n+1 415 555 0199\nok" fine"',
        '"she said, "call me" later\n+1 415 555 0199\nok',
        '"two"x"\n+1 415 555 0199\n"',
        '"see\n+14155550126,Dan,"\n+1 415 555 0199\n" later"',
    ],
)
def test_a_number_in_a_note_with_bad_quotes_is_a_reject_and_the_next_rows_are_read(note):
    outcomes = read(f'Phone,Name,Note\n+14155550123,Ada,{note}\n+14155550124,Ben,"x"\n+14155550125,Cy,\n')

    assert "+14155550199" not in numbers(outcomes)
    assert numbers(outcomes)[-1] == "+14155550125"
    assert any(getattr(outcome, "reason", None) == "quotes" for outcome in outcomes)


def test_a_cell_of_more_than_fifty_lines_is_no_row_and_no_line_of_it_is():
    note = "\n".join(["+1 415 555 0199"] * (MOST_LINES + 10))
    outcomes = read(f'Phone,Name,Note\n+14155550123,Ada,"{note}"\n+14155550124,Ben,\n')

    assert numbers(outcomes)[-1:] == ["+14155550124"]
    assert "+14155550199" not in numbers(outcomes)
