"""HL7 v2 messages over a real store gate: written once, acknowledged afterwards, in the order of their patient."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from messages import IPP, IPP_SYSTEM, adt, joined, msh, number, oru, pid, sodium
from store_rig import PROGRAM, Rig, Session

from cloister.base.errors import Conflict
from cloister.integration import waiting
from cloister.integration.hl7v2.acknowledging import Fate
from cloister.integration.hl7v2.overrides import read_overrides
from cloister.integration.hl7v2.stored_overrides import keep_overrides
from cloister.integration.hl7v2.taking import Taken, Terms, take
from cloister.records import parse


async def send(session: Session, data: bytes, **terms: Any) -> Taken:
    return await take(session.records, data, Terms(**terms))


async def found(session: Session, type: str, query: str) -> list[dict[str, Any]]:
    pairs = [tuple(part.split("=", 1)) for part in query.split("&")]
    page = await session.records.search(parse(type, pairs, strict=True))  # type: ignore[arg-type]
    return [dict(hit.stored.resource or {}) for hit in page.hits]


async def one(session: Session, type: str, query: str) -> dict[str, Any]:
    (resource,) = await found(session, type, query)
    return resource


def code(taken: Taken) -> str:
    line = next(line for line in taken.acknowledgements[0].split("\r") if line.startswith("MSA"))
    return line.split("|")[1]


async def test_an_admission_is_written_and_the_wards_doctor_finds_it(gateway: Session, vasseur: Session) -> None:
    taken = await send(gateway, adt("A01", "71001", "V71001"))
    assert (taken.answer.fate, code(taken)) == (Fate.WRITTEN, "AA")
    patient = await one(vasseur, "Patient", f"identifier={IPP_SYSTEM}|71001")
    assert (patient["name"][0]["family"], patient["birthDate"], patient["gender"]) == ("LOPEZ", "1950-03-14", "female")
    visit = await one(vasseur, "Encounter", f"patient=Patient/{patient['id']}")
    assert (visit["status"], visit["class"]["code"], visit["location"][0]["location"]["display"]) == ("in-progress", "IMP", "CARD 12 A")
    (origin,) = await found(vasseur, "Provenance", f"target=Patient/{patient['id']}")
    assert origin["agent"][0]["who"]["display"] == "GAM|SR"


async def test_the_same_message_again_is_written_once_and_gets_the_same_answer_in_another_session(hospital: Rig, gateway: Session) -> None:
    message = adt("A28", "71002", control="TWICE-1")
    first = await send(gateway, message)
    later = await hospital.session(PROGRAM)
    again = await send(later, message)
    later.close()
    assert again.again
    assert first.acknowledgements[0].split("\r")[1] == again.acknowledgements[0].split("\r")[1]
    patient = await one(gateway, "Patient", f"identifier={IPP_SYSTEM}|71002")
    assert patient["meta"]["versionId"] == "1"


async def test_a_control_id_used_for_another_message_is_refused(gateway: Session) -> None:
    await send(gateway, adt("A28", "71003", control="ONCE-1"))
    taken = await send(gateway, adt("A28", "71004", control="ONCE-1"))
    assert (code(taken), taken.answer.fate) == ("AE", Fate.REFUSED)
    assert "|205^Duplicate key identifier^HL70357|" in taken.acknowledgements[0]
    assert await found(gateway, "Patient", f"identifier={IPP_SYSTEM}|71004") == []


async def test_the_same_message_at_once_in_two_sessions_is_written_once(hospital: Rig, gateway: Session) -> None:
    message = adt("A28", "71005", control="RACE-1")
    second = await hospital.session(PROGRAM)
    both = await asyncio.gather(send(gateway, message), send(second, message))
    second.close()
    assert [one.answer.fate for one in both] == [Fate.WRITTEN, Fate.WRITTEN]
    assert (await one(gateway, "Patient", f"identifier={IPP_SYSTEM}|71005"))["meta"]["versionId"] == "1"


async def test_a_stay_moves_and_ends_and_what_was_cancelled_is_taken_back(gateway: Session) -> None:
    async def visit() -> dict[str, Any]:
        return await one(gateway, "Encounter", "identifier=urn:oid:1.2.250.1.999.2|V71010")

    await send(gateway, adt("A01", "71010", "V71010", zbe="ZBE|M1|20261129100000||INSERT|N||^^^^^^^^^7001"))
    await send(gateway, adt("A02", "71010", "V71010", place="SURG^3^B", zbe="ZBE|M2|20261129140000||INSERT|N||^^^^^^^^^7002"))
    places = [(one["id"], one["status"], one["location"]["display"]) for one in (await visit())["location"]]
    assert places == [("mvt-M1", "completed", "CARD 12 A"), ("mvt-M2", "active", "SURG 3 B")]
    assert (await visit())["location"][0]["period"]["end"] == (await visit())["location"][1]["period"]["start"]
    await send(gateway, adt("A12", "71010", "V71010", zbe="ZBE|M2|20261129140000||CANCEL|N||^^^^^^^^^7002"))
    assert [one["id"] for one in (await visit())["location"]] == ["mvt-M1"]
    await send(gateway, adt("A03", "71010", "V71010", at="20261130090000"))
    assert (await visit())["status"] == "finished"
    assert (await visit())["period"]["end"].startswith("2026-11-30T09:00")
    await send(gateway, adt("A13", "71010", "V71010"))
    assert ((await visit())["status"], "end" in (await visit()).get("period", {})) == ("in-progress", False)
    await send(gateway, adt("A11", "71010", "V71010"))
    assert (await visit())["status"] == "cancelled"


async def test_an_empty_field_leaves_and_the_null_value_deletes(gateway: Session) -> None:
    await send(gateway, adt("A28", "71020", pid=pid("71020", more="||0299010203")))
    bare = f"PID|1||71020^^^{IPP}^PI||LOPEZ^Ana^^^^^L||||||"
    await send(gateway, adt("A31", "71020", pid=bare))
    patient = await one(gateway, "Patient", f"identifier={IPP_SYSTEM}|71020")
    assert (patient["birthDate"], patient["telecom"][0]["value"]) == ("1950-03-14", "0299010203")
    await send(gateway, adt("A31", "71020", pid=f'PID|1||71020^^^{IPP}^PI||LOPEZ^Ana^^^^^L||""|F|||""||""'))
    patient = await one(gateway, "Patient", f"identifier={IPP_SYSTEM}|71020")
    assert [name in patient for name in ("birthDate", "address", "telecom", "gender")] == [False, False, False, True]


async def test_a_merge_leaves_both_records_and_later_messages_follow_the_survivor(gateway: Session) -> None:
    await send(gateway, adt("A28", "71030"))
    await send(gateway, adt("A28", "71031"))
    merge = joined(msh("ADT^A40^ADT_A39", number()), "EVN||20261129", pid("71030"), f"MRG|71031^^^{IPP}^PI")
    assert (await send(gateway, merge)).answer.fate is Fate.WRITTEN
    survivor = await one(gateway, "Patient", f"identifier={IPP_SYSTEM}|71030")
    prior = await one(gateway, "Patient", f"identifier={IPP_SYSTEM}|71031")
    assert prior["active"] is False
    assert prior["link"] == [{"other": {"reference": f"Patient/{survivor['id']}"}, "type": "replaced-by"}]
    await send(gateway, oru("71031", "F71031", sodium()))
    (result,) = await found(gateway, "Observation", f"patient=Patient/{survivor['id']}")
    assert result["valueQuantity"]["code"] == "mmol/L"


async def test_a_result_and_its_correction_are_two_versions_of_one(gateway: Session) -> None:
    await send(gateway, adt("A28", "71040"))
    assert (await send(gateway, oru("71040", "F71040", sodium("139")))).answer.fate is Fate.WRITTEN
    await send(gateway, oru("71040", "F71040", sodium("149", status="C", flag="H"), status="C"))
    patient = await one(gateway, "Patient", f"identifier={IPP_SYSTEM}|71040")
    result = await one(gateway, "Observation", f"patient=Patient/{patient['id']}")
    assert (result["status"], result["valueQuantity"]["value"], result["meta"]["versionId"]) == ("corrected", 149, "2")
    assert result["interpretation"][0]["coding"][0]["code"] == "H"
    assert (result["referenceRange"][0]["low"]["value"], result["referenceRange"][0]["high"]["value"]) == (136, 145)
    report = await one(gateway, "DiagnosticReport", f"patient=Patient/{patient['id']}")
    assert (report["status"], report["result"]) == ("corrected", [{"reference": f"Observation/{result['id']}"}])


async def test_an_order_is_made_changed_and_revoked_and_its_result_points_at_it(gateway: Session) -> None:
    await send(gateway, adt("A28", "71050"))

    def orm(control: str, more: str = "") -> bytes:
        order = f"ORC|{control}|P71050^GAM^1.2.250.1.999.4^ISO||{more}"
        return joined(msh("ORM^O01^ORM_O01", number()), pid("71050"), order, "OBR|1|P71050^GAM^1.2.250.1.999.4^ISO||IONO^Ionogramme^L")

    await send(gateway, orm("NW"))
    order = await one(gateway, "ServiceRequest", "identifier=urn:oid:1.2.250.1.999.4|P71050")
    assert (order["status"], order["code"]["text"]) == ("active", "Ionogramme")
    await send(gateway, oru("71050", "F71050", sodium(), placer="P71050"))
    report = await one(gateway, "DiagnosticReport", f"patient={order['subject']['reference']}")
    assert report["basedOn"] == [{"reference": f"ServiceRequest/{order['id']}"}]
    await send(gateway, orm("SC", "|CM"))
    assert (await one(gateway, "ServiceRequest", "identifier=urn:oid:1.2.250.1.999.4|P71050"))["status"] == "completed"
    await send(gateway, orm("CA"))
    assert (await one(gateway, "ServiceRequest", "identifier=urn:oid:1.2.250.1.999.4|P71050"))["status"] == "revoked"


async def test_an_appointment_is_booked_moved_and_cancelled(gateway: Session) -> None:
    await send(gateway, adt("A28", "71060"))

    def siu(event: str, start: str, end: str) -> bytes:
        when = f"SCH||R71060^RDV^1.2.250.1.999.5^ISO|||||CONS^Consultation||30|MIN|^^^{start}^{end}"
        return joined(msh(f"SIU^{event}^SIU_S12", number(), sender="RDV|SR"), when, pid("71060"), "AIP|1||801^Vasseur^Claire")

    await send(gateway, siu("S12", "20261205100000", "20261205103000"))
    await send(gateway, siu("S13", "20261206110000", "20261206113000"))
    booked = await one(gateway, "Appointment", "identifier=urn:oid:1.2.250.1.999.5|R71060")
    assert (booked["status"], booked["start"][:16], booked["participant"][1]["actor"]["display"]) == (
        "booked",
        "2026-12-06T11:00",
        "Claire Vasseur",
    )
    await send(gateway, siu("S15", "20261206110000", "20261206113000"))
    assert (await one(gateway, "Appointment", "identifier=urn:oid:1.2.250.1.999.5|R71060"))["status"] == "cancelled"


async def test_what_cannot_be_mapped_waits_sealed_and_later_ones_of_the_patient_wait_behind_it(
    hospital: Rig, gateway: Session, vasseur: Session, delorme: Session
) -> None:
    await send(gateway, adt("A28", "71070"))
    odd = oru("71070", "F71070", "OBX|1|QQ|2951-2^Sodium^LN||Zinnober-Marker||||||F")
    first = await send(gateway, odd)
    assert (first.answer.fate, code(first), first.answer.fault and first.answer.fault.reason) == (Fate.PARKED, "AA", "value-type")
    assert "|W|" in first.acknowledgements[0]
    second = await send(gateway, oru("71070", "F71071", sodium("141")))
    assert second.answer.fault is not None
    assert (second.answer.fate, second.answer.fault.reason) == (Fate.PARKED, "behind")
    assert (await send(gateway, odd)).again
    database = await hospital.connect()
    rows = await database.fetch("select body, reason, lines::text from care.parked")
    await database.close()
    assert not any(b"Zinnober" in bytes(row["body"]) or b"LOPEZ" in bytes(row["body"]) for row in rows)
    lines, _ = await waiting.listed(vasseur.records)
    ours = [line for line in lines if line.reason in ("value-type", "behind")][-2:]
    assert [line.behind for line in ours] == [False, True]
    assert (await waiting.listed(delorme.records)) == ([], 0)  # of another hospital: not even that they exist
    with pytest.raises(Conflict, match="earlier message"):
        await waiting.replay(vasseur.records, ours[1].id)
    shown = await waiting.look(vasseur.records, ours[0].id)
    assert "Zinnober-Marker" in shown.text
    await waiting.replay(vasseur.records, ours[0].id, text=shown.text.replace("|QQ|", "|ST|"))
    await waiting.replay(vasseur.records, ours[1].id)
    patient = await one(vasseur, "Patient", f"identifier={IPP_SYSTEM}|71070")
    values = {
        str(one.get("valueString") or one["valueQuantity"]["value"])
        for one in await found(vasseur, "Observation", f"patient=Patient/{patient['id']}")
    }
    assert values == {"Zinnober-Marker", "141"}
    assert (await send(gateway, odd)).acknowledgements[0].split("\r")[1].startswith("MSA|AA|")  # its sender may repeat it


async def test_a_changed_mapping_lets_a_waiting_message_through(gateway: Session, vasseur: Session) -> None:
    foreign = adt("A28", "71080", pid="PID|1||71080^^^ANCIEN^PI||BRUNO^Luc^^^^^L||19800101|M")
    taken = await send(gateway, foreign)
    assert taken.answer.fault is not None
    assert taken.answer.fault.reason == "authority-unknown"
    (line,) = [line for line in (await waiting.listed(vasseur.records))[0] if line.reason == "authority-unknown"]
    mapping = {"senders": [{"sender": "GAM|SR", "authorities": {"ANCIEN": "https://ancien.example/ipp"}}]}
    await waiting.replay(vasseur.records, line.id, mapping=json.dumps(mapping))
    assert (await one(vasseur, "Patient", "identifier=https://ancien.example/ipp|71080"))["name"][0]["family"] == "BRUNO"
    await keep_overrides(vasseur.records, vasseur.records.parking.zone(None), read_overrides(b"{}"))


async def test_with_the_terms_to_refuse_nothing_is_kept_and_the_sender_hears_why(gateway: Session) -> None:
    before = (await waiting.listed(gateway.records))[1]
    taken = await send(gateway, oru("79999", "F79999", sodium()), park=False)
    assert (code(taken), taken.answer.fault and taken.answer.fault.reason) == ("AE", "patient-unknown")
    assert "|204^Unknown key identifier^HL70357|E|" in taken.acknowledgements[0]
    assert (await waiting.listed(gateway.records))[1] == before


async def test_the_national_number_is_kept_only_of_a_validated_identity(gateway: Session) -> None:
    ins = "250033523804439^^^ASIP-SANTE-INS-NIR&1.2.250.1.213.1.4.10&ISO^INS"
    birth = "12 rue des Lilas^^Rennes^^35000^FRA^H~^^Rennes^^^FRA^BDL^^35238"

    def told(reliability: str, places: str = birth) -> str:
        return f"PID|1||71090^^^{IPP}^PI~{ins}||LOPEZ^Ana^^^^^L||19500314|F|||{places}" + "|" * 21 + reliability

    taken = await send(gateway, adt("A28", "71090", pid=told("PROV", "12 rue des Lilas^^Rennes^^35000^FRA^H")))
    assert "INS was not kept" in taken.acknowledgements[0]
    patient = await one(gateway, "Patient", f"identifier={IPP_SYSTEM}|71090")
    assert len(patient["identifier"]) == 1
    taken = await send(gateway, adt("A31", "71090", pid=told("VALI", "12 rue des Lilas^^Rennes^^35000^FRA^H")))
    assert (taken.answer.fate, "strict traits" in taken.acknowledgements[0]) == (Fate.WRITTEN, True)
    await send(gateway, adt("A31", "71090", pid=told("VALI")))
    patient = await one(gateway, "Patient", f"identifier={IPP_SYSTEM}|71090")
    assert [one["system"] for one in patient["identifier"]] == [IPP_SYSTEM, "urn:oid:1.2.250.1.213.1.4.10"]
