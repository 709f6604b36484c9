"""CDA documents as other systems write them: a summary with entries, and a French letter of level 1 with a PDF inside."""
# ruff: noqa: E501 - XML in long lines, as it comes

from __future__ import annotations

import base64

PDF = b"%PDF-1.4 letter"


def ccda(ipp: str, id: str = "D1", *, set: str = "", version: int = 1, replaces: str = "", problems: str = "", more: str = "") -> bytes:
    related = (
        f'<relatedDocument typeCode="RPLC"><parentDocument><id root="1.2.3.9" extension="{replaces}"/></parentDocument></relatedDocument>'
    )
    return f"""<?xml version="1.0" encoding="UTF-8"?>
<ClinicalDocument xmlns="urn:hl7-org:v3" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">
<id root="1.2.3.9" extension="{id}"/><code code="34133-9" codeSystem="2.16.840.1.113883.6.1" displayName="Summary of episode note"/>
<title>Summary</title><effectiveTime value="20261120101500+0100"/>
<confidentialityCode code="N" codeSystem="2.16.840.1.113883.5.25"/><setId root="1.2.3.9" extension="{set or id}"/><versionNumber value="{version}"/>
<recordTarget><patientRole><id root="1.2.250.1.999.1" extension="{ipp}"/><addr><streetAddressLine>1 rue A</streetAddressLine><city>Rennes</city></addr>
<patient><name><given>Ana</given><family>LOPEZ</family></name><administrativeGenderCode code="F"/><birthTime value="19500314"/></patient></patientRole></recordTarget>
<author><time value="20261120"/><assignedAuthor><id root="1.2.3"/><assignedPerson><name><prefix>Dr</prefix><given>Jeanne</given><family>Roy</family></name></assignedPerson></assignedAuthor></author>
<custodian><assignedCustodian><representedCustodianOrganization><id root="1.2.4"/><name>Clinique du Parc</name></representedCustodianOrganization></assignedCustodian></custodian>
{related if replaces else ""}
<componentOf><encompassingEncounter><id root="1.2.5" extension="S9"/><effectiveTime><low value="20261118"/><high value="20261120"/></effectiveTime></encompassingEncounter></componentOf>
<component><structuredBody>
<component><section><code code="11450-4" codeSystem="2.16.840.1.113883.6.1"/><title>Problems</title>{problems or problem("P1", "38341003", "Hypertension")}
<entry><act classCode="ACT"><entryRelationship typeCode="SUBJ"><observation negationInd="true"><id root="1.2.6" extension="P9"/><value xsi:type="CD" code="73211009" codeSystem="2.16.840.1.113883.6.96"/></observation></entryRelationship></act></entry></section></component>
<component><section><code code="48765-2" codeSystem="2.16.840.1.113883.6.1"/><title>Allergies</title><entry><act classCode="ACT"><entryRelationship typeCode="SUBJ"><observation><id root="1.2.6" extension="A1-{ipp}"/><effectiveTime><low value="2001"/></effectiveTime>
<value xsi:type="CD" code="419511003" codeSystem="2.16.840.1.113883.6.96"/><participant typeCode="CSM"><participantRole><playingEntity><code code="7980" codeSystem="2.16.840.1.113883.6.88" displayName="Penicillin G"/></playingEntity></participantRole></participant>
<entryRelationship typeCode="MFST"><observation><value xsi:type="CD" code="247472004" codeSystem="2.16.840.1.113883.6.96" displayName="Hives"/></observation></entryRelationship></observation></entryRelationship></act></entry></section></component>
<component><section><code code="10160-0" codeSystem="2.16.840.1.113883.6.1"/><title>Medications</title><entry><substanceAdministration classCode="SBADM" moodCode="EVN"><id root="1.2.6" extension="M1-{ipp}"/><statusCode code="active"/><effectiveTime xsi:type="IVL_TS"><low value="20260101"/></effectiveTime><doseQuantity value="5" unit="mg"/>
<consumable><manufacturedProduct><manufacturedMaterial><code code="C09AA05" codeSystem="2.16.840.1.113883.6.73" displayName="Ramipril"/></manufacturedMaterial></manufacturedProduct></consumable></substanceAdministration></entry></section></component>
<component><section><code code="30954-2" codeSystem="2.16.840.1.113883.6.1"/><title>Results</title><entry><organizer><component><observation><id root="1.2.6" extension="R1-{ipp}"/><code code="2951-2" codeSystem="2.16.840.1.113883.6.1" displayName="Sodium"/><statusCode code="completed"/><effectiveTime value="20261119"/><value xsi:type="PQ" value="139" unit="mmol/L"/>
<referenceRange><observationRange><value xsi:type="IVL_PQ"><low value="136" unit="mmol/L"/><high value="145" unit="mmol/L"/></value></observationRange></referenceRange></observation></component></organizer></entry></section></component>
<component><section><code code="11369-6" codeSystem="2.16.840.1.113883.6.1"/><title>Immunizations</title><entry><substanceAdministration classCode="SBADM" moodCode="EVN"><id root="1.2.6" extension="I1-{ipp}"/><statusCode code="completed"/><effectiveTime value="20251010"/>
<consumable><manufacturedProduct><manufacturedMaterial><code code="140" codeSystem="2.16.840.1.113883.12.292" displayName="Influenza"/></manufacturedMaterial></manufacturedProduct></consumable></substanceAdministration></entry></section></component>
<component><section><code code="29762-2" codeSystem="2.16.840.1.113883.6.1"/><title>Social history</title><entry><observation/></entry></section></component>
{more}</structuredBody></component></ClinicalDocument>""".encode()


def problem(id: str, code: str, shown: str) -> str:
    return (
        f'<entry><act classCode="ACT"><statusCode code="active"/><entryRelationship typeCode="SUBJ"><observation><id root="1.2.6" extension="{id}"/>'
        f'<effectiveTime><low value="20100501"/></effectiveTime><value xsi:type="CD" code="{code}" codeSystem="2.16.840.1.113883.6.96" displayName="{shown}"/>'
        "</observation></entryRelationship></act></entry>"
    )


def french_letter(ipp: str, id: str) -> bytes:
    """CI-SIS level 1: a header in French, a PDF in Base64 as the body."""
    return f"""<?xml version="1.0" encoding="ISO-8859-15"?>
<ClinicalDocument xmlns="urn:hl7-org:v3"><realmCode code="FR"/><typeId root="2.16.840.1.113883.1.3" extension="POCD_HD000040"/>
<templateId root="1.2.250.1.213.1.1.1.1"/><id root="1.2.250.1.999.7.{id}"/><code code="11490-0" codeSystem="2.16.840.1.113883.6.1" displayName="Lettre de liaison à la sortie"/>
<title>Lettre de liaison à la sortie</title><effectiveTime value="20261121150000+0100"/><setId root="1.2.250.1.999.7.{id}.1"/><versionNumber value="1"/>
<recordTarget><patientRole><id root="1.2.250.1.213.1.4.10" extension="250033523804487"/><id root="1.2.250.1.999.1" extension="{ipp}"/>
<patient><name><family qualifier="BR">BŒUF</family><given>Zoé</given></name><administrativeGenderCode code="F"/><birthTime value="19800101"/></patient></patientRole></recordTarget>
<component><nonXMLBody><text mediaType="application/pdf" representation="B64">{base64.b64encode(PDF).decode()}</text></nonXMLBody></component>
</ClinicalDocument>""".encode("iso-8859-15")
