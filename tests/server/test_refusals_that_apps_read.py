"""What a session refuses before the record is asked: an app's page of another site may read why, and nothing else is opened by that."""

from __future__ import annotations

from typing import Any

import pytest
import ticket_words

from cloister.base.errors import Busy, CloisterError, Denied
from cloister.server.asks import read_ask
from cloister.server.shell import refuse

Scope = dict[str, Any]


def asking(path: str, *headers: tuple[str, str]) -> Scope:
    return {"type": "http", "method": "GET", "path": path, "headers": [(name.encode(), value.encode()) for name, value in headers]}


async def answered(scope: Scope, refused: CloisterError) -> tuple[int, dict[str, str]]:
    said: list[Any] = []

    async def send(message: Any) -> None:
        said.append(message)

    await refuse(read_ask(scope), refused, send)
    return said[0]["status"], {name.decode(): value.decode() for name, value in said[0]["headers"]}


@pytest.mark.parametrize(
    ("refused", "status"),
    [
        (Busy("Slower.", reason="pace", expression="3"), 429),
        (Denied("Locked.", reason="locked"), 401),
        (Denied("Not proven.", reason="proof-nonce", expression="n"), 401),
    ],
)
async def test_a_refusal_under_fhir_can_be_read_by_an_apps_page_as_the_gateways_can(refused: CloisterError, status: int) -> None:
    elsewhere = ("origin", "https://app.example")
    told, headers = await answered(asking("/fhir/R4/Patient", elsewhere), refused)
    assert (told, headers["access-control-allow-origin"]) == (status, "*")
    assert "retry-after" in headers["access-control-expose-headers"]
    assert "access-control-allow-credentials" not in headers
    for scope in (asking("/fhir/R4/Patient"), asking("/patients", elsewhere)):
        assert "access-control-allow-origin" not in (await answered(scope, refused))[1]


async def test_what_the_record_refuses_is_for_its_own_answer_to_say() -> None:
    told, headers = await answered(asking("/fhir/R4/Patient", ("origin", "https://app.example")), Denied("No.", reason="rule"))
    assert told == 403
    assert "access-control-allow-origin" not in headers


def test_a_ticket_and_a_card_are_read_once_or_not_at_all() -> None:
    whole, shown = ticket_words.payload(sid="s", person="p", epoch=2, x5t="qqo"), ("x-cloister-card", "aaaa")
    ask = read_ask(asking("/", (ticket_words.HEADER, whole), shown))
    assert (ask.sid, ask.epoch, ask.token.person, ask.token.x5t, ask.card) == ("s", 2, "p", "qqo", "qqo")
    assert read_ask(asking("/", (ticket_words.HEADER, whole), (ticket_words.HEADER, whole))).sid == ""
    assert read_ask(asking("/", shown, shown)).card == "*"
    for wrong in ("", "x", whole[:-3], ticket_words.payload(epoch="2"), ticket_words.payload(jkt=7), ticket_words.payload(more="x")):
        assert read_ask(asking("/", (ticket_words.HEADER, wrong))).sid == ""
