"""The recovery ceremony's pages, and the same as JSON for `cloister ceremony`: one party's side of it at a time. docs/recovery.md.

What opens something (the passphrase's key, a card's file, the PIN's key, a card's secret) arrives sealed to this session: neither
the gateway nor another part on the way can use it. Acts are in room `offices`.
"""

from __future__ import annotations

import base64
from typing import Annotated, Any, Final, TypeVar

import msgspec
from msgspec import Meta, Struct
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from cloister.access import Page
from cloister.base.errors import Invalid
from cloister.epr import Link, Visit
from cloister.offices import ceremony, recovery, recovery_founding
from cloister.web.desk import Desk
from cloister.web.offices.route import OfficeRoute

BODY_BYTES_MAX: Final = 256 * 1024
HOME: Final = "/offices/recovery"

Text = Annotated[str, Meta(max_length=500)]
Sealed = Annotated[bytes, Meta(max_length=64 * 1024)]  # Base64 in JSON


class Opened(Struct, forbid_unknown_fields=True):
    purpose: Annotated[str, Meta(pattern="^(recover|drill)$")]
    set: Text
    reason: Text
    zone: Text = ""
    recipient: Text = ""
    right: Text = ""
    minutes: Annotated[int, Meta(ge=5, le=24 * 60)] = 120


class Hand(Struct, forbid_unknown_fields=True):
    what: Annotated[str, Meta(pattern="^(escrow|card|pin)$")]


class Given(Struct, forbid_unknown_fields=True):
    """`sealed` None: the card itself is at the table, in a reader."""

    sealed: Sealed | None = None


class Finished(Struct, forbid_unknown_fields=True):
    pin: Sealed | None = None
    secret: Sealed | None = None


class Stopped(Struct, forbid_unknown_fields=True):
    reason: Text


class EscrowKeys(Struct, forbid_unknown_fields=True):
    kem: Sealed
    lattice: Sealed
    params: dict[str, Any]
    sealed: Sealed


class NewCard(Struct, forbid_unknown_fields=True):
    set: Text
    curve: Text
    card: Sealed


class Nothing(Struct, forbid_unknown_fields=True):
    pass


_Form = TypeVar("_Form", bound=Struct)


async def _body(request: Request, form: type[_Form]) -> _Form:
    """JSON of bounded size; only with its media type, which no other site can send unasked."""
    if request.headers.get("content-type", "").split(";")[0].strip().lower() != "application/json":
        raise Invalid("Send JSON.", reason="media-type")
    raw = b""
    async for part in request.stream():
        raw += part
        if len(raw) > BODY_BYTES_MAX:
            raise Invalid("This request is too large.", reason="too-large")
    try:
        return msgspec.json.decode(raw, type=form)
    except (msgspec.ValidationError, msgspec.DecodeError) as wrong:
        raise Invalid("This was not filled in as it has to be.", hint=str(wrong)[:160], reason="field") from None


def _office(request: Request) -> tuple[recovery.Office, Desk]:
    desk = request.state.desk
    assert isinstance(desk, Desk)
    roles = {str(row["id"]): str(row["role"]) for row in desk.directory["people"]}
    return recovery.Office(desk.keyring, desk.gate, roles, desk.clock()), desk


def _wants_json(request: Request) -> bool:
    return "application/json" in request.headers.get("accept", "")


# --- what is shown ------------------------------------------------------------------------------------


async def show_recovery(request: Request) -> Response:
    """GET /offices/recovery: how recovery stands, and the ceremonies."""
    office, desk = _office(request)
    found, every = await recovery.standing(office), await recovery.ceremonies(office)
    missing = await recovery.unsealed(office) if found.sets and request.query_params.get("seals") == "1" else None
    if _wants_json(request):
        return JSONResponse(
            {
                "trust": office.keyring.trust_id,
                "sets": {name: _set(one) for name, one in sorted(found.sets.items())},
                "escrow": found.escrow,
                "canary": found.canary,
                "last_drill": found.last_drill.isoformat() if found.last_drill else None,
                "drill_due": found.drill_due,
                "missing": missing,
                "refused": found.refused,
                "zones": found.zones,
                "ceremonies": [_shown(number, one, desk) for number, one in every],
            }
        )
    people = sorted((str(row["name"]), str(row["id"])) for row in desk.directory["people"] if row["role"] != "program")
    zones = [(zone, name) for zone, name in found.zones if found.canary is None or zone != found.canary[0]]
    shown = [_shown(number, one, desk) for number, one in every]
    context: dict[str, Any] = {
        "found": found,
        "ceremonies": shown,
        "missing": missing,
        "people": people,
        "zones": zones,
        "party": str(office.party),
    }
    return Visit.of(request).page("offices-recovery.html", nav=HOME, **context)


async def show_ceremony(request: Request) -> Response:
    """GET /offices/recovery/{id}."""
    office, desk = _office(request)
    number = request.path_params["id"]
    shown = _shown(number, await recovery.ceremony(office, number), desk)
    if _wants_json(request):
        return JSONResponse(shown)
    return Visit.of(request).page("offices-ceremony.html", nav=HOME, ceremony=shown, party=str(office.party))


def _set(one: Any) -> dict[str, Any]:
    return {"number": one.number, "curve": one.curve, "card": one.card.hex(), "made": one.made.isoformat()}


def _shown(number: str, found: ceremony.Ceremony, desk: Desk) -> dict[str, Any]:
    names = {str(row["id"]): str(row["name"]) for row in desk.directory["people"]}
    opening = found.opening
    steps = [
        {"step": str(step), "party": str(said.party), "name": names.get(said.person, said.person), "at": said.at.isoformat()}
        for step, said in sorted(found.given.items(), key=lambda one: one[1].at)
    ]
    last = found.given.get(ceremony.Step.FINISH)
    return {
        "id": number,
        "purpose": str(opening.purpose),
        "state": str(found.state),
        "live": found.state in ceremony.LIVE,
        "zone": opening.zone,
        "epoch": opening.epoch,
        "set": opening.set,
        "recipient": names.get(opening.recipient, opening.recipient),
        "right": opening.right,
        "reason": opening.reason,
        "opened_by": names.get(opening.person, opening.person),
        "at": opening.at.isoformat(),
        "until": opening.until.isoformat(),
        "steps": steps,
        "seated": found.seats.get(ceremony.Party.MEDICAL) == desk.actor.person,
        "wrong_pins": found.wrong_pins,
        "result": str(last.details.get("result", "")) if last else "",
        "refused": list(found.refused),
    }


# --- what is done -------------------------------------------------------------------------------------


async def open_ceremony(request: Request) -> Response:
    office, _ = _office(request)
    form = await _body(request, Opened)
    number = await recovery.open_ceremony(office, **msgspec.structs.asdict(form))
    return JSONResponse({"id": number}, status_code=201)


async def hand(request: Request) -> Response:
    """POST .../hand: to which key this party's browser or command line seals, and how the passphrase or PIN is derived."""
    office, desk = _office(request)
    number, what = request.path_params["id"], (await _body(request, Hand)).what
    found = await recovery.ceremony(office, number)
    answer: dict[str, Any] = {"key": _text(recovery.hand_key(desk.seats, found)), "info": ceremony.hand_info(found.opening, what)}
    if what == "escrow":
        answer["params"] = await recovery.escrow_params(office, number)
    if what == "pin":
        asked = await recovery.asked(office, number, desk.seats)
        secret = ceremony.hand_info(found.opening, "secret")
        answer |= {"params": asked.params, "curve": asked.curve, "card": asked.card.hex(), "secret_info": secret}
        answer["ephemeral"] = asked.ephemeral.hex()
    return JSONResponse(answer)


async def join(request: Request) -> Response:
    office, desk = _office(request)
    await _body(request, Nothing)
    await recovery.join(office, request.path_params["id"], desk.seats)
    return JSONResponse({})


async def give_escrow(request: Request) -> Response:
    office, desk = _office(request)
    form = await _body(request, Given)
    if form.sealed is None:
        raise Invalid("The passphrase is missing.", reason="field")
    await recovery.give_escrow(office, request.path_params["id"], desk.seats, form.sealed)
    return JSONResponse({})


async def give_card(request: Request) -> Response:
    office, desk = _office(request)
    form = await _body(request, Given)
    await recovery.give_card(office, request.path_params["id"], desk.seats, form.sealed)
    return JSONResponse({})


async def finish(request: Request) -> Response:
    office, desk = _office(request)
    form = await _body(request, Finished)
    result = await recovery.finish(office, request.path_params["id"], desk.seats, pin_kek=form.pin, secret=form.secret)
    return JSONResponse({"result": result})


async def stop(request: Request) -> Response:
    office, _ = _office(request)
    await recovery.stop(office, request.path_params["id"], (await _body(request, Stopped)).reason)
    return JSONResponse({})


async def put_escrow(request: Request) -> Response:
    office, _ = _office(request)
    form = await _body(request, EscrowKeys)
    await recovery_founding.put_escrow(office, kem=form.kem, lattice=form.lattice, params=form.params, sealed=form.sealed)
    return JSONResponse({}, status_code=201)


async def put_card(request: Request) -> Response:
    office, _ = _office(request)
    form = await _body(request, NewCard)
    made = await recovery_founding.put_card(office, name=form.set, curve=form.curve, card=form.card)
    return JSONResponse({"seals": made}, status_code=201)


async def seal_all(request: Request) -> Response:
    office, _ = _office(request)
    await _body(request, Nothing)
    return JSONResponse({"seals": await recovery_founding.seal_all(office)})


def _text(raw: bytes) -> str:
    return base64.b64encode(raw).decode("ascii")


def _post(path: str, handler: Any) -> OfficeRoute:
    return OfficeRoute(HOME + path, Page.RECOVERY, handler, ("POST",))


ROUTES: Final = (
    OfficeRoute(HOME, Page.RECOVERY, show_recovery),
    _post("", open_ceremony),
    _post("/escrow", put_escrow),
    _post("/cards", put_card),
    _post("/seals", seal_all),
    OfficeRoute(HOME + "/{id}", Page.RECOVERY, show_ceremony),
    _post("/{id}/hand", hand),
    _post("/{id}/join", join),
    _post("/{id}/escrow", give_escrow),
    _post("/{id}/card", give_card),
    _post("/{id}/finish", finish),
    _post("/{id}/stop", stop),
)
LINK: Final = Link(path=HOME, label="web.offices.recovery.link", roles=frozenset(ceremony.PARTIES))
