"""`cloister mllp listen | parked | replay | mapping`. Settings: CLOISTER_MLLP_*, docs/integration.md."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, Any, Final, TypeVar

import httpx
import typer

from cloister.base.errors import CloisterError, Conflict, Denied, Invalid, NotFound, Unavailable
from cloister.base.process import die_with_parent, drop_to, system_account
from cloister.base.settings import Mllp, Settings, read_settings
from cloister.base.telemetry import log, name_part
from cloister.cli.mllp.forwarding import Forwarder
from cloister.cli.mllp.listener import BUFFER_BYTES, HANDSHAKE_SECONDS, Listener, tls_of
from cloister.cli.place import find_trust

app = typer.Typer(help="HL7 v2 messages over MLLP.", no_args_is_help=True, rich_markup_mode=None)
ACCOUNT: Final = "cloister-hl7"
Answer = TypeVar("Answer")


def _mllp(settings: Settings) -> Mllp:
    assert settings.mllp is not None
    return settings.mllp


def _forwarder(settings: Settings) -> Forwarder:
    mllp = _mllp(settings)
    trust = find_trust(settings, hospital=None, program=mllp.program or None, secret_file=mllp.secret_file)
    return Forwarder(trust, zone=mllp.zone, on_error=mllp.on_error, assumed=mllp.assumed, patience=float(mllp.patience_seconds))


@app.command("listen")
def listen() -> None:
    """Listen for messages, as the program that CLOISTER_MLLP_PROGRAM names, until Ctrl-C."""
    name_part("mllp")
    settings = read_settings()
    mllp = _mllp(settings)
    if not mllp.port:
        raise Invalid("There is no port to listen on.", hint="Set CLOISTER_MLLP_PORT, such as 2575.")
    asyncio.run(_listening(settings, mllp))


async def _listening(settings: Settings, mllp: Mllp) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    forwarder = _forwarder(settings)  # its secret and the authority are read while this process still may
    tls = tls_of(mllp, *_certificate(settings, mllp), _as_files) if mllp.transport == "tls" else None
    listener = Listener(forwarder.forward)
    handshake = {"ssl_handshake_timeout": HANDSHAKE_SECONDS} if tls is not None else {}
    try:
        server = await asyncio.start_server(listener.serve, mllp.address, mllp.port, ssl=tls, limit=BUFFER_BYTES, **handshake)
    except OSError as taken:
        raise Unavailable(
            f"Port {mllp.port} on {mllp.address} cannot be used: {taken.strerror}.", hint="Set CLOISTER_MLLP_PORT to a free one."
        ) from taken
    await forwarder.warm()
    drop_to(system_account(ACCOUNT))
    if os.environ.get("SUPERVISOR"):
        die_with_parent(signal.SIGTERM)
    log("mllp.listening", address=mllp.address, port=mllp.port, transport=mllp.transport, senders_certified=mllp.clients is not None)
    async with server:
        await stop.wait()
    await listener.close()
    await forwarder.close()


def _certificate(settings: Settings, mllp: Mllp) -> tuple[bytes, bytes]:
    """(chain, key): those that are set, or those of the trust's gateway on this machine."""
    chain, key = mllp.certificate or settings.secrets_folder / "tls-server.pem", mllp.key or settings.secrets_folder / "tls-server.key"
    try:
        return chain.read_bytes(), key.read_bytes()
    except OSError as wrong:
        raise NotFound(
            f"The certificate for MLLP cannot be read: {wrong.filename}.", hint="Set CLOISTER_MLLP_CERTIFICATE and CLOISTER_MLLP_KEY."
        ) from wrong


def _as_files(chain: bytes, key: bytes) -> tuple[str, str]:
    """Python's TLS reads certificates from files only: two that have no name, in memory."""
    return tuple(_in_memory(content) for content in (chain, key))  # type: ignore[return-value]


def _in_memory(content: bytes) -> str:
    descriptor = os.memfd_create("tls", os.MFD_CLOEXEC)
    os.write(descriptor, content)
    return f"/proc/self/fd/{descriptor}"


@app.command("parked")
def parked() -> None:
    """List the messages that wait: why, since when, how often they were tried. What they say is shown to people of the zone alone."""
    body = _json(_run(lambda line: line.ask("GET", "$parked")))
    for one in body["messages"]:
        behind = "  (waits behind an earlier one)" if one["behind"] else ""
        print(f"{one['id']}  {one['since'][:19]}  {one['zone']}  {one['reason']}  tried {one['tries']}{behind}")
    print(f"{body['waiting']:,} messages wait")


@app.command("replay")
def replay(
    messages: Annotated[list[str] | None, typer.Argument(help="Their ids, as `cloister mllp parked` shows them.")] = None,
    every: Annotated[bool, typer.Option("--all", help="All that wait, oldest first.")] = False,
) -> None:
    """Write waiting messages as they came, such as after a change of the mapping. Those of one patient go in their order."""

    async def work(line: Forwarder) -> tuple[int, int]:
        ids = messages or []
        if every:
            ids = [one["id"] for one in _json(await line.ask("GET", "$parked"))["messages"]]
        done = 0
        for id in ids:
            answer = await line.ask("POST", f"$parked/{id}/replay")
            if answer.status_code == 200:
                done += 1
                print(f"{id}: written")
            else:
                refused = _refused(answer)
                print(f"{id}: {refused.text} {refused.hint}".rstrip())
        return done, len(ids)

    done, asked = _run(work)
    if not asked and not every:
        raise Invalid("No message was named.", hint="Give ids, or --all.")
    print(f"{done:,} of {asked:,} written")
    if done < asked:
        raise typer.Exit(64)


@app.command("mapping")
def mapping(
    file: Annotated[
        Path | None, typer.Argument(help="A JSON file that takes the place of the present mapping; without it, it is shown.")
    ] = None,
) -> None:
    """What differs from sender to sender: authorities, codes, places, character sets. docs/integration.md."""
    if file is None:
        print(_good(_run(lambda line: line.ask("GET", "$hl7v2-mapping"))).text)
        return
    try:
        body = file.read_bytes()
    except OSError as wrong:
        raise NotFound(f"{file} cannot be read: {wrong.strerror}.") from wrong
    answer = _json(_run(lambda line: line.ask("POST", "$hl7v2-mapping", content=body, headers={"content-type": "application/json"})))
    print(f"the mapping of {len(answer['senders'])} senders is in force within seconds")


def _run(work: Callable[[Forwarder], Awaitable[Answer]]) -> Answer:
    async def whole() -> Answer:
        line = _forwarder(read_settings())
        try:
            return await work(line)
        finally:
            await line.close()

    return asyncio.run(whole())


def _good(answer: httpx.Response) -> httpx.Response:
    if answer.status_code != 200:
        raise _refused(answer)
    return answer


def _json(answer: httpx.Response) -> Any:
    return _good(answer).json()


def _refused(answer: httpx.Response) -> CloisterError:
    """The OperationOutcome, as an error."""
    try:
        issue = (answer.json().get("issue") or [{}])[0]
    except ValueError:
        issue = {}
    kind = {403: Denied, 404: NotFound, 409: Conflict, 429: Unavailable, 503: Unavailable}.get(answer.status_code, Invalid)
    text = str(issue.get("details", {}).get("text") or f"HTTP {answer.status_code}")
    return kind(text[:300], hint=str(issue.get("diagnostics") or "")[:300])
