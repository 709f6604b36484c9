"""The way of an HL7 v2 message from its bytes to resources, in one place for its target; seeds for it and for CDA documents."""

from __future__ import annotations

from typing import Final

from cloister.integration.hl7v2.context import Given, Known, Names
from cloister.integration.hl7v2.mapping import check_kind, mapped, wanted
from cloister.integration.hl7v2.message import read_message
from cloister.integration.hl7v2.overrides import Overrides, mapping_for

__all__ = ["DOCUMENT", "MESSAGES", "Given", "Known", "Names", "Overrides", "check_kind", "mapped", "mapping_for", "read_message", "wanted"]

HEAD: Final = "MSH|^~\\&|GAM|SR|C|SR|20261129101500||"
PERSON: Final = "PID|1||71^^^A&1.2.3&ISO^PI~2^^^B&1.2&ISO||LOPEZ^Ana^^^^^L||19500314|F|||1 rue^^R^^35^F^H"
SEGMENTS: Final = (
    (
        "ADT^A01",
        PERSON,
        "PV1|1|I|CARD^12^A|R|||801^V^C||||||||||||V1^^^A&1.2.4&ISO^VN",
        "ZBE|M1|20261129||INSERT|N",
        "NK1|1|X^Y|C",
        "IN1|1|a|b|c",
    ),
    (
        "ORU^R01",
        PERSON,
        "OBR|1|P^G^1.2^ISO|F^L^1.3^ISO|I^x|||2026",
        "OBX|1|NM|1-2^S^LN||139|mmol/L|136-145|H|||F",
        "OBX|2|SN|c||<^5||||||F",
        "NTE|1||t",
    ),
    (
        "ORU^R01",
        PERSON,
        "OBR|1||F^L^1.3^ISO|I^x",
        "OBX|1|ED|d||^A^PDF^Base64^QUJD||||||F",
        "OBX|2|CWE|e||a^b^LN||||||C",
        "OBX|3|TM|f||1030||||||P",
    ),
    ("SIU^S12", PERSON, "SCH||R^R^1.2^ISO|||||C^C||30|MIN|^^^202612051000^202612051030", "AIP|1||8^V", "AIL|1||CARD^1"),
    ("ORM^O01", PERSON, "ORC|NW|P^G^1.2^ISO", "OBR|1|P^G^1.2^ISO||I^x"),
    ("ADT^A40", PERSON, "MRG|9^^^A&1.2.3&ISO"),
)
MESSAGES: Final = ["\r".join((f"{HEAD}{kind}|1|P|2.5||||||UNICODE UTF-8", *rest)).encode() for kind, *rest in SEGMENTS]
DOCUMENT: Final = (
    b'<ClinicalDocument xmlns="urn:hl7-org:v3" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"><id root="1.2" extension="a"/>'
    b'<recordTarget><patientRole><id root="1.3" extension="b"/></patientRole></recordTarget><component><structuredBody><component><section>'
    b'<code code="11450-4"/><entry><observation><effectiveTime value="2026"/>'
    b'<value xsi:type="CD" code="1" codeSystem="2.16.840.1.113883.6.96"/>'
    b"</observation></entry></section></component></structuredBody></component></ClinicalDocument>"
)
