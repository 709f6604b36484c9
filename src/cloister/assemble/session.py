"""The zygote, and the application that every session serves: the FHIR interface and the pages, around one runtime."""

from __future__ import annotations

from typing import Final, NoReturn

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from cloister.assemble.roots import pinned_roots
from cloister.base.settings import Settings
from cloister.server import Asgi, SessionRuntime, control_socket, run_zygote

FHIR_BASE: Final = "/fhir/R4"


def application(runtime: SessionRuntime) -> Asgi:
    async def home(request: Request) -> Response:
        return PlainTextResponse(f"{runtime.actor.name}\n")

    return Starlette(routes=[Route("/", home)])


def run_session_zygote(settings: Settings, number: int) -> NoReturn:
    run_zygote(control_socket(number), application=application, trust=pinned_roots(settings))
