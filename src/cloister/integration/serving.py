"""The addresses of integration beside the FHIR interactions. docs/integration.md.

POST $hl7v2: one message, its acknowledgements as the answer. GET and POST $hl7v2-mapping: what differs from sender to sender.
GET $parked, POST $parked/[id]/replay: what waits. POST $cda: a document. GET Patient/[id]/$summary: the International Patient Summary.
"""

from __future__ import annotations

from typing import Final

import msgspec
import orjson
from starlette.responses import JSONResponse, Response

from cloister.base.errors import Denied, Invalid
from cloister.integration import waiting
from cloister.integration.cda.taking import take_document
from cloister.integration.hl7v2.message import CHARSETS, MESSAGE_BYTES_MAX
from cloister.integration.hl7v2.overrides import read_overrides
from cloister.integration.hl7v2.stored_overrides import keep_overrides, stored_overrides
from cloister.integration.hl7v2.taking import Terms, take
from cloister.integration.summary.making import make_summary
from cloister.records import Exchange, Records

ER7: Final = frozenset(
    {"application/hl7-v2", "x-application/hl7-v2+er7", "application/hl7-v2+er7", "application/octet-stream", "text/plain"}
)
POLICIES: Final = {"park": True, "refuse": False}


def _records(exchange: Exchange) -> Records:
    records = exchange.records
    assert isinstance(records, Records)
    return records


async def message(exchange: Exchange) -> Response:
    """One HL7 v2 message as the body. 200 whenever there is an acknowledgement to give; 429, 503: send it again."""
    kind = exchange.request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind not in ER7:
        raise Invalid("This is no HL7 v2 message.", hint="Send Content-Type: x-application/hl7-v2+er7.", reason="media")
    asked = exchange.request.query_params
    policy, assumed = asked.get("on-error", "park"), asked.get("assumed", "")
    if policy not in POLICIES or (assumed and assumed.upper() not in CHARSETS):
        raise Invalid("on-error is park or refuse; assumed is a value of MSH-18.", hint="See docs/integration.md.", reason="parameters")
    data = await exchange.body()
    if len(data) > MESSAGE_BYTES_MAX + 1024:
        data = data[: MESSAGE_BYTES_MAX + 1]  # refused by the reader, with an acknowledgement
    terms = Terms(zone=exchange.zone, park=POLICIES[policy], assumed=assumed, certificate=asked.get("certificate", "")[:64])
    taken = await take(_records(exchange), data, terms)
    fault = taken.answer.fault
    return JSONResponse(
        {
            "fate": taken.answer.fate,
            "again": taken.again,
            "charset": taken.charset,
            "reason": fault.reason if fault is not None else "",
            "acknowledgements": list(taken.acknowledgements),
        }
    )


async def mapping(exchange: Exchange) -> Response:
    """The mapping of the zone that messages enter: GET as it is, POST in its place."""
    records = _records(exchange)
    zone = records.parking.zone(exchange.zone)
    if exchange.request.method == "POST":
        await keep_overrides(records, zone, read_overrides(await exchange.body()))
    found = await stored_overrides(records, zone, fresh=True)
    return Response(msgspec.json.format(msgspec.json.encode(found)), media_type="application/json")


async def parked(exchange: Exchange) -> Response:
    """What waits in the zones of this session: why, since when, how often tried; nothing of the messages."""
    lines, count = await waiting.listed(_records(exchange))
    shown = [
        {"id": one.id, "zone": one.zone, "reason": one.reason, "tries": one.tries, "since": one.since.isoformat(), "behind": one.behind}
        for one in lines
    ]
    return Response(orjson.dumps({"waiting": count, "messages": shown}), media_type="application/json")


async def replay(exchange: Exchange) -> Response:
    """Write a waiting message as it came; an OperationOutcome says why not."""
    id = exchange.path["message"]
    if len(id) > 64:
        raise Denied("There is no such message.", reason="parked-state")
    await waiting.replay(_records(exchange), id)
    return JSONResponse({"id": id, "fate": "written"})


async def cda(exchange: Exchange) -> Response:
    """One CDA document as the body (XML). 201, or 200 for one that is here already; the report: what stays in the document only."""
    body = await exchange.body()
    creates = exchange.request.query_params.get("create-patient", "true") != "false"
    kept = await take_document(_records(exchange), body, zone=exchange.zone, creates=creates)
    answer = {
        "document": kept.reference,
        "patient": kept.patient,
        "again": kept.again,
        "resources": kept.resources,
        "not-understood": list(kept.report),
    }
    return JSONResponse(answer, status_code=200 if kept.again else 201)


async def ips(exchange: Exchange) -> Response:
    """The International Patient Summary; `Accept-Language` or `_language` fr for French words."""
    asked = exchange.request.query_params.get("_language") or exchange.request.headers.get("accept-language", "")
    made = await make_summary(
        _records(exchange), exchange.path["id"], base=exchange.base, language="fr" if asked.lower().startswith("fr") else "en"
    )
    return Response(msgspec.json.Encoder(decimal_format="number").encode(made), media_type="application/fhir+json; charset=utf-8")


OPERATIONS: Final = {  # by the key of a row of what the FHIR endpoint offers
    "hl7v2": message,
    "hl7v2_mapping": mapping,
    "parked": parked,
    "replay": replay,
    "cda": cda,
    "summary": ips,
}
