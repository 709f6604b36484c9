"""Compressed bodies and answers, and indented ones: http://hl7.org/fhir/R4/http.html#compression, #parameters."""

from __future__ import annotations

import gzip
import json

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_interactions import LOPEZ, PULSE, issues, put_lopez

from cloister.base.errors import CloisterError
from cloister.records.fhir import exchange
from cloister.records.fhir.answering import decompressed

JSON = {"Content-Type": "application/fhir+json"}
PACKED = JSON | {"Content-Encoding": "gzip"}


async def test_a_compressed_body_is_read(client: httpx.AsyncClient) -> None:
    answer = await client.put("/Patient/lopez", content=gzip.compress(json.dumps(LOPEZ).encode()), headers=PACKED)
    assert answer.status_code == 201
    assert (await client.get("/Patient/lopez")).json()["name"] == LOPEZ["name"]


@pytest.mark.parametrize("body", [b"{}", gzip.compress(json.dumps(LOPEZ).encode())[:-12], b"\x1f\x8b\x08\x00" + b"\xff" * 40])
async def test_a_body_that_is_no_gzip_is_said(client: httpx.AsyncClient, body: bytes) -> None:
    answer = await client.put("/Patient/lopez", content=body, headers=PACKED)
    assert answer.status_code == 400
    assert issues(answer)[0]["details"]["coding"][0]["code"] == "gzip"


async def test_a_body_that_unfolds_beyond_the_limit_is_refused(client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exchange, "BODY_BYTES_MAX", 1024 * 1024)
    bomb = gzip.compress(b" " * (64 * 1024 * 1024))
    assert len(bomb) < 70_000
    assert (await client.put("/Patient/lopez", content=bomb, headers=PACKED)).status_code == 413


async def test_a_long_answer_is_compressed_for_a_program_and_not_for_a_browser(client: httpx.AsyncClient) -> None:
    await put_lopez(client)
    for _ in range(20):
        await client.post("/Observation", json=PULSE)
    plain = await client.get("/Observation", headers={"Accept-Encoding": "identity"})
    assert "content-encoding" not in plain.headers
    assert plain.headers["vary"] == "Accept, Accept-Encoding"
    packed = await client.get("/Observation", headers={"Accept-Encoding": "br;q=1, gzip;q=0.5"})
    assert packed.headers["content-encoding"] == "gzip"
    assert int(packed.headers["content-length"]) < len(plain.content) / 4
    assert packed.content == plain.content
    for headers in ({"Accept-Encoding": "gzip", "Cookie": "session=x"}, {"Accept-Encoding": "gzip;q=0"}):
        assert "content-encoding" not in (await client.get("/Observation", headers=headers)).headers
    short = await client.get("/Patient/lopez", headers={"Accept-Encoding": "gzip"})
    assert "content-encoding" not in short.headers
    assert short.headers["etag"] == 'W/"1"'


async def test_an_answer_is_indented_when_that_is_asked_for_and_keeps_its_digits(client: httpx.AsyncClient) -> None:
    made = await client.post("/Observation", content=json.dumps(PULSE).replace("71", "71.50"), headers=JSON)
    path = f"/Observation/{made.json()['id']}"
    pretty = await client.get(f"{path}?_pretty=true&_format=json")
    assert '\n  "status": "final"' in pretty.text
    assert '"value": 71.50' in pretty.text
    assert pretty.json() == (await client.get(path)).json()
    assert pretty.headers["etag"] == 'W/"1"'
    wrong = await client.get("/Patient/none?_pretty=true")
    assert wrong.status_code == 404
    assert "\n" in wrong.text


@given(content=st.binary(max_size=3000), cut=st.integers(0, 40), noise=st.binary(max_size=20))
def test_any_gzip_is_read_whole_or_refused(content: bytes, cut: int, noise: bytes) -> None:
    packed = gzip.compress(content)
    assert decompressed(packed + packed, 10_000) == content + content
    try:
        read = decompressed(packed[: len(packed) - cut] + noise, 10_000)
    except CloisterError:
        return
    assert (cut == 0 and not noise) or read == content or not packed[: len(packed) - cut]
