"""A trust as an import sees it, in memory, over real TLS: token endpoint, transactions, batches, refusals, outages."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from pathlib import Path
from typing import Any, Self

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from cloister.zones import certificates

SECRET = "a-secret-of-32-bytes-in-base64url"


def outcome(*issues: tuple[str, str, str]) -> dict[str, Any]:
    """An OperationOutcome of (expression, rule, text)."""
    return {
        "resourceType": "OperationOutcome",
        "issue": [
            {
                "severity": "error",
                "code": "invalid",
                "expression": [expression],
                "details": {"coding": [{"system": "urn:rule", "code": rule}], "text": text},
                "diagnostics": "Correct the value.",
            }
            for expression, rule, text in issues
        ],
    }


class ImportTrust:
    """Refuses any resource whose birthDate or code is 'wrong'; counts what it stores; can be told to be away."""

    def __init__(self, state: Path) -> None:
        self.state = state
        self.stored: dict[str, dict[str, Any]] = {}
        self.bundles = 0
        self.tokens: list[str] = []
        self.ended = 0
        self.away = 0  # answer this many requests with 503
        self.expired = 0  # refuse the token this many times
        self.under_way = 0
        self.under_way_most = 0
        self.seen_types: list[str] = []

    def __enter__(self) -> Self:
        key, ca = certificates.new_tls_ca("Import test")
        server_key, chain = certificates.tls_certificate(key, ca, ["localhost", "127.0.0.1"], 2)
        for name, body in (("ca.pem", ca), ("server.key", server_key), ("server.pem", chain)):
            (self.state / name).write_bytes(body)
        listener = socket.create_server(("127.0.0.1", 0))
        self.base = f"https://localhost:{listener.getsockname()[1]}"
        config = uvicorn.Config(
            Starlette(
                routes=[
                    Route("/oauth2/token", self._token, methods=["POST"]),
                    Route("/fhir/R4", self._bundle, methods=["POST"]),
                    Route("/session/end", self._end, methods=["POST"]),
                ]
            ),
            ssl_keyfile=str(self.state / "server.key"),
            ssl_certfile=str(self.state / "server.pem"),
            log_level="error",
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [listener]}, daemon=True)
        self._thread.start()
        (self.state / "demo").mkdir(exist_ok=True)
        sign_ins = {
            "base": self.base,
            "ca": str(self.state / "ca.pem"),
            "people": [{"sign_in": "adele.morel", "passphrase": "cerise-moulin", "name": "Adèle Morel", "role": "nurse", "wards": ["w"]}],
            "programs": [
                {"client_id": "lab-gateway", "client_secret": SECRET, "hospital": "saint-roch"},
                {"client_id": "sainte-anne-gateway", "client_secret": SECRET, "hospital": "sainte-anne"},
            ],
        }
        (self.state / "demo" / "sign-ins.json").write_text(json.dumps(sign_ins))
        (self.state / "demo" / "sign-ins.json").chmod(0o600)
        return self

    def __exit__(self, *_: object) -> None:
        self._server.should_exit = True
        self._thread.join(10)

    async def _token(self, request: Request) -> Response:
        form = await request.form()
        self.tokens.append(str(form.get("session_label", "")))
        return JSONResponse({"access_token": f"token-{len(self.tokens)}", "token_type": "Bearer", "expires_in": 590})

    async def _end(self, request: Request) -> Response:
        self.ended += 1
        return JSONResponse({})

    async def _bundle(self, request: Request) -> Response:
        assert request.headers["cloister-import"] == "1"
        if self.away:
            self.away -= 1
            return JSONResponse(outcome(("", "no-answer", "The store gate does not answer.")), 503)
        if self.expired:
            self.expired -= 1
            return JSONResponse({}, 401)
        self.under_way += 1
        self.under_way_most = max(self.under_way, self.under_way_most)
        try:
            await asyncio.sleep(0.02)
            return self._answer(json.loads(await request.body()))
        finally:
            self.under_way -= 1

    def _answer(self, bundle: dict[str, Any]) -> Response:
        self.bundles += 1
        faults = {place: fault for place, entry in enumerate(bundle["entry"]) if (fault := self._fault(entry["resource"]))}
        if bundle["type"] == "transaction" and faults:
            return JSONResponse(
                outcome(*((f"Bundle.entry[{place}].resource.{element}", rule, text) for place, (element, rule, text) in faults.items())),
                400,
            )
        answers = []
        for place, entry in enumerate(bundle["entry"]):
            if place in faults:
                element, rule, text = faults[place]
                body = outcome((f"{entry['resource']['resourceType']}.{element}", rule, text))
                answers.append({"response": {"status": "400 Bad Request", "outcome": body}})
                continue
            answers.append({"response": {"status": "201 Created" if self._keep(entry) else "200 OK"}})
        return JSONResponse({"resourceType": "Bundle", "type": f"{bundle['type']}-response", "entry": answers})

    def _keep(self, entry: dict[str, Any]) -> bool:
        resource, request = entry["resource"], entry["request"]
        self.seen_types.append(resource["resourceType"])
        url = request["url"] if request["method"] == "PUT" else f"{request['url']}/{entry['fullUrl'].removeprefix('urn:uuid:')}"
        new = url not in self.stored
        self.stored.setdefault(url, resource)
        return new

    @staticmethod
    def _fault(resource: dict[str, Any]) -> tuple[str, str, str] | None:
        return ("birthDate", "date", "This is not a date of the calendar.") if resource.get("birthDate") == "wrong" else None
