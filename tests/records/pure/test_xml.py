"""XML and JSON are two forms of one resource: what goes round comes back, and what is no FHIR is refused with its place."""

from __future__ import annotations

import contextlib
import gc
from decimal import Decimal
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from resources_made import made

from cloister.base.errors import Invalid
from cloister.records.definitions import load
from cloister.records.fhir.outcomes import NotAcceptable
from cloister.records.fhir.text import decode, encode
from cloister.records.fhir.xml_reading import from_xml
from cloister.records.fhir.xml_writing import to_xml
from cloister.records.validation import issues_of

XHTML = "http://www.w3.org/1999/xhtml"
PATIENT = b'<Patient xmlns="http://hl7.org/fhir">%b</Patient>'


@pytest.mark.parametrize("type", load().types)
def test_every_type_goes_to_xml_and_back_unchanged(type: str) -> None:
    resource = decode(encode(made(type, Random(type))))
    assert from_xml(to_xml(resource)) == resource
    assert from_xml(to_xml(resource, pretty=True)) == resource


@settings(max_examples=40, deadline=None)
@given(type=st.sampled_from(load().types), seed=st.integers(0, 10**9))
def test_whatever_is_made_goes_round(type: str, seed: int) -> None:
    resource = decode(encode(made(type, Random(seed))))
    assert from_xml(to_xml(resource)) == resource


def test_elements_stand_in_the_order_of_the_definitions_and_what_belongs_together_in_one() -> None:
    resource = {
        "birthDate": "2000",
        "_birthDate": {"id": "b"},
        "name": [
            {"given": ["A", None, "C"], "_given": [None, {"extension": [{"valueBoolean": True, "url": "http://x"}]}, None], "id": "n"},
            {"_family": {"extension": [{"url": "http://x", "valueDecimal": Decimal("5.40")}]}},
        ],
        "contained": [{"resourceType": "Organization", "name": 'Say "no" & <go>\n', "id": "o"}],
        "id": "1",
        "resourceType": "Patient",
    }
    assert to_xml(resource).decode() == (
        '<?xml version="1.0" encoding="UTF-8"?><Patient xmlns="http://hl7.org/fhir"><id value="1"/><contained><Organization>'
        '<id value="o"/><name value="Say &quot;no&quot; &amp; &lt;go&gt;&#10;"/></Organization></contained><name id="n"><given value="A"/>'
        '<given><extension url="http://x"><valueBoolean value="true"/></extension></given><given value="C"/></name><name><family>'
        '<extension url="http://x"><valueDecimal value="5.40"/></extension></family></name><birthDate id="b" value="2000"/></Patient>'
    )
    assert from_xml(to_xml(resource)) == resource


def test_a_narrative_is_xhtml_in_xml_and_text_in_json() -> None:
    given_div = f"<div xmlns=\"{XHTML}\">caf&eacute;&nbsp;&amp;<br></br> <b lang='fr'>x</b><p></p></div>"
    written = to_xml({"resourceType": "Patient", "text": {"status": "generated", "div": given_div}})
    assert b"caf&#233;&#160;&amp;<br></br> <b lang='fr'>x</b>" in written
    read = from_xml(written)
    assert read["text"]["div"] == f'<div xmlns="{XHTML}">café\u00a0&amp;<br/> <b lang="fr">x</b><p></p></div>'
    assert issues_of(read) == []
    prefixed = (
        PATIENT % b'<text><status value="generated"/><h:div xmlns:h="http://www.w3.org/1999/xhtml"><!-- no --><h:i>x</h:i></h:div></text>'
    )
    assert from_xml(prefixed)["text"]["div"] == f'<div xmlns="{XHTML}"><i>x</i></div>'


def test_numbers_keep_their_digits() -> None:
    for text in ("5.40", "0.10", "1E+2", "-0.000", "123456789012345678.5", "5", "0.1000000000000000055511151231257827"):
        observation = (
            b'<Observation xmlns="http://hl7.org/fhir"><valueQuantity><value value="%b"/></valueQuantity></Observation>' % text.encode()
        )
        read = from_xml(observation)
        assert f'"value":{text}'.encode() in encode(read)
        assert to_xml(read).endswith(observation)


def test_comments_instructions_and_white_space_are_no_part_of_a_resource() -> None:
    body = b"""<?xml version="1.0" encoding="utf-8"?>
    <?xml-stylesheet href="http://evil.example/x.xsl"?><!-- before -->
    <Patient xmlns="http://hl7.org/fhir" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"
      xsi:schemaLocation="http://hl7.org/fhir x.xsd">
      <!-- inside --><active value="true"/><?php no?>
    </Patient>
    <!-- after -->"""
    assert from_xml(body) == {"resourceType": "Patient", "active": True}


@pytest.mark.parametrize(
    ("inside", "line", "expression", "hint"),
    [
        (b"<nam/>", 1, "Patient", "Is it <name>?"),
        (b"\n<name>\n <given value='a'/><given value='b' valu='c'/></name>", 3, "Patient.name[0].given[1]", ""),
        (b"<active value='True'/>", 1, "Patient.active", 'value="true"'),
        (b"<active/>", 1, "Patient", 'value="..."'),
        (b"<active value=''/>", 1, "Patient.active", ""),
        (b"<name/>", 1, "Patient", "never empty"),
        (b"<birthDate value='2000'/><birthDate value='2000'/>", 1, "Patient.birthDate", "once"),
        (b"<multipleBirthInteger value='1.0'/>", 1, "Patient.multipleBirthInteger", ""),
        (b"<contained><Foo/></contained>", 1, "Patient.contained[0]", "upper and lower case"),
        (b"<contained><Basic><id value='1'/></Basic><Basic/></contained>", 1, "Patient.contained[0]", "of its own"),
        (b"<contained/>", 1, "Patient", ""),
        (b"<name>Lopez</name>", 1, "Patient.name[0]", 'value="final"'),
        (b"<name xmlns=''><family value='x'/></name>", 1, "Patient", "xmlns"),
        (b"<text><status value='empty'/><div>x</div></text>", 1, "Patient.text", XHTML),
        (
            b"<text><div xmlns='http://www.w3.org/1999/xhtml'><svg xmlns='http://www.w3.org/2000/svg'/></div></text>",
            1,
            "Patient.text",
            "XHTML",
        ),
        (b"<name>&nbsp;</name>", 1, "Patient.name[0]", "&quot;"),
        (b"<name><family value='x'/></nam>", 1, "Patient.name[0]", ""),
    ],
)
def test_what_is_no_fhir_is_refused_with_its_place(inside: bytes, line: int, expression: str, hint: str) -> None:
    with pytest.raises(Invalid) as refused:
        from_xml(PATIENT % inside)
    assert f"at line {line}, column " in refused.value.text
    assert refused.value.expression == expression
    assert hint in refused.value.hint
    assert refused.value.reason == "xml"


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b"", "no body"),
        (b"{}", "not well-formed"),
        (b"<Patient/>", "namespace"),
        (b'<Person xmlns="http://hl7.org/fhir"><id value="1"/></Person><Person/>', "not well-formed"),
        (b'<Pation xmlns="http://hl7.org/fhir"/>', "no resource type"),
        (b'<Patient xmlns="http://hl7.org/fhir" id="1"/>', "no attribute"),
        ('<?xml version="1.0" encoding="iso-8859-1"?><Patient xmlns="http://hl7.org/fhir"/>'.encode("latin-1"), "UTF-8"),
        ('<Patient xmlns="http://hl7.org/fhir"/>'.encode("utf-16"), "UTF-8"),
    ],
)
def test_what_is_no_resource_is_refused_in_a_sentence(body: bytes, told: str) -> None:
    with pytest.raises(Invalid, match=told):
        from_xml(body)


def test_no_document_type_is_read_so_no_entity_grows_and_no_file_is_fetched() -> None:
    laughs = b'<!DOCTYPE l [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;">]>' + PATIENT % b'<id value="&b;"/>'
    file = b'<!DOCTYPE l [<!ENTITY f SYSTEM "file:///etc/passwd">]>' + PATIENT % b"&f;"
    outside = b'<!DOCTYPE l SYSTEM "http://evil.example/x.dtd">' + PATIENT % b""
    for body in (laughs, file, outside):
        with pytest.raises(Invalid, match="document type"):
            from_xml(body)


def test_depth_has_a_bound_both_ways() -> None:
    with pytest.raises(Invalid, match="nested too deeply"):
        from_xml(PATIENT % (b"<extension>" * 5000))
    with pytest.raises(Invalid, match="nested too deeply"):
        from_xml(PATIENT % (b'<text><div xmlns="http://www.w3.org/1999/xhtml">' + b"<i>" * 5000))
    deep: dict[str, Any] = {"url": "x", "valueBoolean": True}
    for _ in range(400):
        deep = {"url": "x", "extension": [deep]}
    with pytest.raises(NotAcceptable):
        to_xml({"resourceType": "Patient", "extension": [deep]})


def test_what_xml_cannot_carry_is_refused_and_not_replaced() -> None:
    for text in ("a\ufffeb", "a\x01b"):
        with pytest.raises(NotAcceptable, match="character"):
            to_xml({"resourceType": "Patient", "language": text})
    with pytest.raises(NotAcceptable, match="no place for 'nickname'"):
        to_xml({"resourceType": "Patient", "nickname": "x"})
    with pytest.raises(NotAcceptable, match="no resource"):
        to_xml({"status": "ok"})


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=200) | st.text(alphabet="<>/=&;\"' abPatientvlue!-[]?", max_size=200).map(str.encode), st.booleans())
def test_whatever_is_sent_is_read_or_refused_by_name(noise: bytes, framed: bool) -> None:
    with contextlib.suppress(Invalid):
        assert from_xml(PATIENT % noise if framed else noise)["resourceType"]


def test_the_reader_leaves_no_cycle_behind() -> None:
    """A reader that its parser's handlers hold would keep a record's text until the next collection."""
    gc.collect()
    gc.disable()
    try:
        before = sum(type(one).__name__ == "_Reader" for one in gc.get_objects())
        for _ in range(20):
            from_xml(PATIENT % b"<active value='true'/>")
            with pytest.raises(Invalid):
                from_xml(PATIENT % b"<active/>")
        after = sum(type(one).__name__ == "_Reader" for one in gc.get_objects())
    finally:
        gc.enable()
    assert after == before
