"""Messages of a small hospital's other systems, written as these systems write them."""

from __future__ import annotations

from typing import Final

IPP: Final = "SR_IPP&1.2.250.1.999.1&ISO"
VISITS: Final = "SR_IEP&1.2.250.1.999.2&ISO"
LAB: Final = "LABO&1.2.250.1.999.3&ISO"
IPP_SYSTEM: Final = "urn:oid:1.2.250.1.999.1"
_count = [0]


def number() -> str:
    _count[0] += 1
    return f"C{_count[0]:06d}"


def joined(*segments: str) -> bytes:
    return ("\r".join(segments) + "\r").encode()


def msh(kind: str, control: str, *, sender: str = "GAM|SR", more: str = "|||||UNICODE UTF-8") -> str:
    application, facility = sender.split("|")
    return f"MSH|^~\\&|{application}|{facility}|CLOISTER|SR|20261129101500||{kind}|{control}|P|2.5|||{more[2:]}"


def pid(ipp: str, name: str = "LOPEZ^Ana", *, more: str = "") -> str:
    return f"PID|1||{ipp}^^^{IPP}^PI||{name}^^^^^L||19500314|F|||12 rue des Lilas^^Rennes^^35000^FRA^H{more}"


def pv1(visit: str, *, place: str = "CARD^12^A", kind: str = "I", more: str = "") -> str:
    return f"PV1|1|{kind}|{place}|R|||801^Vasseur^Claire|||CARDIO|||||||||{visit}^^^{VISITS}^VN{more}"


def adt(event: str, ipp: str, visit: str = "", *, control: str = "", at: str = "20261129100000", zbe: str = "", **more: str) -> bytes:
    segments = [
        msh(f"ADT^{event}^ADT_A01", control or number()),
        f"EVN||{at}||||{at}",
        more.get("pid") or pid(ipp, more.get("name", "LOPEZ^Ana")),
    ]
    if visit:
        segments.append(more.get("pv1") or pv1(visit, place=more.get("place", "CARD^12^A")))
    if zbe:
        segments.append(zbe)
    return joined(*segments)


def oru(ipp: str, filler: str, *results: str, control: str = "", status: str = "F", placer: str = "") -> bytes:
    order = f"{placer}^GAM^1.2.250.1.999.4^ISO" if placer else ""
    request = (
        f"OBR|1|{order}|{filler}^LABO^1.2.250.1.999.3^ISO|IONO^Ionogramme^L|||20261129090000|||||||||||||||20261129101000||LAB|{status}"
    )
    return joined(msh("ORU^R01^ORU_R01", control or number(), sender="LABO|SR"), pid(ipp), request, *results)


def sodium(value: str = "139", *, status: str = "F", flag: str = "") -> str:
    return f"OBX|1|NM|2951-2^Sodium^LN||{value}|mmol/L^mmol/L^UCUM|136-145|{flag}|||{status}|||20261129090500"
