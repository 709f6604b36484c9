"""Reading what other systems write, without a trust: escapes, headers, frames, lists, mappings."""

from __future__ import annotations

import asyncio
import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloister.base.errors import CloisterError, Invalid
from cloister.cli.importing.people import units_of
from cloister.cli.importing.unit import Unit
from cloister.cli.mllp.framing import Frames, framed
from cloister.integration import people
from cloister.integration.hl7v2.datatypes import moment
from cloister.integration.hl7v2.escapes import escaped, unescaped
from cloister.integration.hl7v2.faults import Unfit
from cloister.integration.hl7v2.message import read_message
from cloister.integration.hl7v2.overrides import read_overrides
from cloister.integration.hl7v2.results import groups

HEAD = "MSH|^~\\&|A|B|C|D|20260101||ADT^A28|1|P|2.5||||||UNICODE UTF-8"
LIST = "N° IPP;Nom de naissance;Prénom(s);Date de naissance;Sexe;Ville;Remarque\n8001;LÓPEZ;Ana María;14/03/1950;F;Rennes;x\n"


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"])))
@settings(max_examples=200)
def test_a_text_that_is_escaped_is_read_as_it_was(text: str) -> None:
    assert unescaped(escaped(text)) == text


@given(st.text(alphabet="\\FSTREXHN.0129abr\r|^~&", max_size=30))
@settings(max_examples=300)
def test_no_sequence_of_marks_breaks_the_reader(text: str) -> None:
    unescaped(text)


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("a\\F\\b\\S\\c\\T\\d\\R\\e\\E\\f", "a|b^c&d~e\\f"),
        ("\\X41C3A9\\", "Aé"),
        ("one\\.br\\two", "one\ntwo"),
        ("\\H\\bold\\N\\", "bold"),
        ("10 \\ 2", "10 \\ 2"),
        ("\\Zxx\\ stays", "\\Zxx\\ stays"),
    ],
)
def test_escapes_as_the_standard_has_them(written: str, meant: str) -> None:
    assert unescaped(written) == meant


@given(st.binary(max_size=400))
@settings(max_examples=200)
def test_any_bytes_are_a_message_or_are_refused_by_name(data: bytes) -> None:
    for one in (data, HEAD.encode() + b"\r" + data):
        with contextlib.suppress(CloisterError):
            read_message(one, assumed="8859/1")


def test_a_null_is_not_an_empty_field_and_repetitions_are_told_apart() -> None:
    message = read_message(f'{HEAD}\rPID|1|""|1^^^A~2^^^B|||'.encode())
    segment = message.only("PID")
    assert (segment.is_null(2), segment.given(4), [segment.piece(one, 1) for one in segment.values(3)]) == (True, False, ["1", "2"])
    assert segment.values(99) == []


def test_a_date_is_as_precise_as_it_was_sent() -> None:
    assert [moment(text, "") for text in ("1950", "195003", "19500314", "20260101103000+0200")] == [
        "1950",
        "1950-03",
        "1950-03-14",
        "2026-01-01T10:30:00+02:00",
    ]
    with pytest.raises(Unfit):
        moment("20261345", "")


def test_results_without_an_order_are_refused() -> None:
    with pytest.raises(Unfit, match="before any OBR"):
        groups(read_message(f"{HEAD}\rOBX|1|NM|X||1".encode()))


def test_a_mapping_with_a_slip_of_the_pen_is_refused_by_name() -> None:
    for body, named in (
        (b'{"senders":[{"sender":"A|B","autorities":{}}]}', "autorities"),
        (b'{"senders":[{"sender":"*","tables":{"sex":{}}}]}', "sex"),
    ):
        with pytest.raises(Invalid, match=named):
            read_overrides(body)


async def frames_of(data: bytes, cut: int) -> list[bytes]:
    reader = asyncio.StreamReader()
    frames, found = Frames(reader), []
    for at in range(0, len(data), cut):
        reader.feed_data(data[at : at + cut])
    reader.feed_eof()
    while (one := await frames.next()) is not None:
        found.append(one)
    return found


@given(
    st.lists(st.binary(max_size=50).filter(lambda one: b"\x1c\r" not in one and not one.endswith(b"\x1c")), max_size=5), st.integers(1, 9)
)
@settings(max_examples=100)
def test_frames_are_told_apart_however_they_arrive(messages: list[bytes], cut: int) -> None:
    data = b"\r\n".join(framed(one) for one in messages)
    assert asyncio.run(frames_of(data, cut)) == messages


@pytest.mark.parametrize("charset", ["utf-8", "utf-8-sig", "cp1252", "utf-16"])
@pytest.mark.parametrize("separator", [";", ",", "\t"])
def test_a_list_is_read_in_whatever_way_a_spreadsheet_saves_it(charset: str, separator: str) -> None:
    found = people.open_list(LIST.replace(";", separator).encode(charset), people.ListMapping(), "https://sr.example/ipp")
    (row,) = people.rows(found)
    assert isinstance(row, people.Row)
    assert row.patient["name"] == [{"use": "official", "family": "LÓPEZ", "given": ["Ana", "María"]}]
    assert (row.patient["birthDate"], row.patient["gender"], row.patient["address"][0]["city"]) == ("1950-03-14", "female", "Rennes")
    assert found.passed_over == ("Remarque",)


def test_what_is_wrong_with_a_line_is_said_with_its_number_and_the_others_go_in() -> None:
    text = "id,family,given,dob,sex\n1,Roy,Jo,1980-01-01,M\n,Nobody,,,\n2,Bad,,31/31/1999,F\n1,Again,,,\n3,Ok,,,?\n4,Fine,,,f\n"
    found = people.open_list(text.encode(), people.ListMapping(), "urn:x:ipp")
    made = list(people.rows(found))
    assert [(one.number, one.column) for one in made if isinstance(one, people.Wrong)] == [
        (3, "identifier"),
        (4, "birth"),
        (5, "identifier"),
        (6, "sex"),
    ]
    assert [one.number for one in made if isinstance(one, people.Row)] == [2, 7]
    (unit,) = [one for one in units_of(found, "list.csv") if isinstance(one, Unit)]
    assert unit.bundle()["entry"][0]["request"]["ifNoneExist"] == "identifier=urn%3Ax%3Aipp%7C1"


@pytest.mark.parametrize(("text", "system"), [("nom,ville\nA,B\n", "urn:x"), ("ipp,nom\n1,A\n", ""), ("", "urn:x")])
def test_a_list_that_lacks_what_is_needed_is_refused_as_a_whole(text: str, system: str) -> None:
    with pytest.raises(Invalid):
        people.open_list(text.encode(), people.ListMapping(), system)
