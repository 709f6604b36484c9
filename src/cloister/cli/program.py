"""`cloister program`: what is written down about the programs of this trust, and a program's own first step.

`list`, `register` and `limit` are the operator's: they narrow and pace a program, and open nothing; what a program may open is
granted by the access officer. `key` and `open` are run where the program runs. Every change is audited before it is made.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Final

import httpx
import typer

from cloister.access import read_scopes
from cloister.assemble import controllers_word
from cloister.base.errors import Conflict, Denied, Invalid, NotFound, Unavailable
from cloister.base.settings import Settings, read_settings
from cloister.cli.database import owner
from cloister.gateway import assertions, clients
from cloister.identity import programs
from cloister.zones import algorithms, unlockers

app = typer.Typer(help="Programs that use the FHIR address: keys, scopes, limits.", no_args_is_help=True, rich_markup_mode=None)

PROGRAMS: Final = """
    select p.sign_in, p.name, p.disabled, c.scopes, coalesce(c.secret_taken, true) as secret_taken, coalesce(c.bound, false) as bound,
           jsonb_array_length(coalesce(c.keys, '[]')) as keys, c.per_second, c.burst, c.at_once, c.bulk_bytes,
           coalesce(u.refused, 0) as refused, coalesce(u.bulk_bytes, 0) as bulk_today,
           (select count(*) from estate.session s where s.person = p.id and s.state <> 'ended') as sessions
      from trust.person p
      left join estate.client c on c.id = p.sign_in
      left join estate.client_use u on u.client = p.id and u.day = $1
     where p.kind = 'program' order by p.sign_in limit 5000"""
IS_PROGRAM: Final = "select true from trust.person where kind = 'program' and sign_in = $1"
REGISTER: Final = """
    insert into estate.client (id, kind, keys, secret_taken, scopes, bound) values ($1, 'program', $2, $3, $4, $5)
    on conflict (id) do update set keys = excluded.keys, secret_taken = excluded.secret_taken, scopes = excluded.scopes,
        bound = excluded.bound, changed = now()
     where estate.client.kind = 'program' returning id"""
LIMIT: Final = """
    insert into estate.client (id, kind, per_second, burst, at_once, bulk_bytes) values ($1, 'program', $2, $3, $4, $5)
    on conflict (id) do update set per_second = excluded.per_second, burst = excluded.burst, at_once = excluded.at_once,
        bulk_bytes = excluded.bulk_bytes, changed = now()
     where estate.client.kind = 'program' returning id"""
MEBIBYTE: Final = 1024 * 1024


@app.command("list")
def list_programs() -> None:
    """Every program: its scopes, its limits (requests a second / burst / at once), and what it used today."""
    asyncio.run(_list(read_settings()))


async def _list(settings: Settings) -> None:
    async with owner(settings) as connection:
        rows = await connection.fetch(PROGRAMS, datetime.now(UTC).date())
    for row in rows:
        usual = clients.Client(id=row["sign_in"])
        pace = "/".join(str(row[name] if row[name] is not None else getattr(usual, name)) for name in ("per_second", "burst", "at_once"))
        bulk = usual.bulk_bytes if row["bulk_bytes"] is None else row["bulk_bytes"]
        ways = [*(["secret"] if row["secret_taken"] else []), *([f"{row['keys']} keys"] if row["keys"] else [])]
        print(f"{row['sign_in']}{'  (disabled)' if row['disabled'] else ''}")
        print(f"    scopes    {row['scopes'] or 'all that its grants permit'}")
        print(
            f"    proves by {' or '.join(ways) or 'nothing'}{'; tokens bound to a key' if row['bound'] else ''}; sessions {row['sessions']}"
        )
        print(f"    limits    {pace} requests; bulk {bulk // MEBIBYTE:,} MiB a day")
        print(f"    today     {row['refused']:,} refused for pace; bulk {row['bulk_today'] / MEBIBYTE:,.1f} MiB")
    print(f"{len(rows):,} programs")


@app.command()
def register(
    program: Annotated[str, typer.Argument(help="Its client id.")],
    keys: Annotated[Path | None, typer.Option(help="A JWK or JWK set with its public keys, for private_key_jwt.")] = None,
    scopes: Annotated[str, typer.Option(help="At most these SMART scopes; left out: all that its grants permit.")] = "",
    secret: Annotated[bool, typer.Option(help="Whether a client secret is still taken.")] = True,
    bound: Annotated[bool, typer.Option("--bound", help="Tokens only for a key that proves each request (DPoP, RFC 9449).")] = False,
) -> None:
    """Write down a program's public keys and scopes, in place of what was written before."""
    found = clients.checked_keys(_json_of(keys)) if keys is not None else []
    narrowed = read_scopes(scopes).of_level("system")
    if scopes and not narrowed.resources:
        raise Invalid("None of these scopes is one for a program.", hint="Write scopes such as 'system/Patient.rs system/Observation.rs'.")
    if not secret and not found:
        raise Invalid("Without a secret and without keys this program could not sign in.", hint="Add --keys FILE.")
    text = " ".join(map(str, narrowed.resources))
    why = (
        f"{len(found)} keys, {'secret too' if secret else 'no secret'}, scopes {text or 'all'}{', tokens bound to a key' if bound else ''}"
    )
    asyncio.run(_write(read_settings(), program, why, REGISTER, json.dumps(found), secret, text, bound))
    print(f"registered {program}: {why}")


@app.command()
def limit(
    program: Annotated[str, typer.Argument(help="Its client id.")],
    per_second: Annotated[int, typer.Option(help="Requests a second, in the long run.", min=1, max=1_000_000)] = clients.PER_SECOND,
    burst: Annotated[int, typer.Option(help="Requests at once after a pause.", min=1, max=1_000_000)] = clients.BURST,
    at_once: Annotated[int, typer.Option(help="Requests under way at the same time.", min=1, max=500)] = clients.AT_ONCE,
    bulk_mib: Annotated[int, typer.Option(help="Bulk data a day, MiB.", min=0)] = clients.BULK_BYTES_A_DAY // MEBIBYTE,
) -> None:
    """Set a program's pace, for all of its sessions together; what is left out gets its default. Holds within a second."""
    values = (per_second, burst, at_once, bulk_mib * MEBIBYTE)
    why = f"{per_second}/{burst}/{at_once} requests, bulk {bulk_mib} MiB a day"
    asyncio.run(_write(read_settings(), program, why, LIMIT, *values))
    print(f"limited {program}: {why}")


async def _write(settings: Settings, program: str, why: str, sql: str, *values: Any) -> None:
    async with owner(settings, writing=True) as connection:
        if not await connection.fetchval(IS_PROGRAM, program):
            raise NotFound(f"There is no program '{program[:80]}'.", hint="See `cloister program list`.")
        await audited(settings, "register-client", program, why)
        if await connection.fetchval(sql, program, *values) is None:
            raise Conflict(f"'{program[:80]}' is an app.", hint="Use `cloister app`.")


async def audited(settings: Settings, action: str, client: str, why: str) -> None:
    """Put the change on record; raises Unavailable when that cannot be done, and then nothing is changed."""
    entry = {
        "action": action,
        "kind": "client",
        "object": f"client/{client}"[:200],
        "reason": why[:200],
        "actor": f"account {os.geteuid()}",
    }
    await controllers_word(settings, [entry])


def _json_of(path: Path) -> Any:
    try:
        return json.loads(path.read_text())
    except OSError as wrong:
        raise NotFound(f"{path} cannot be read: {wrong.strerror}.") from wrong
    except ValueError:
        raise Invalid(f"{path} is not JSON.", hint="Give a JWK set (RFC 7517).") from None


# --- where the program runs -----------------------------------------------------------------------------------


@app.command()
def key(file: Annotated[Path, typer.Argument(help="Where the private key goes.")]) -> None:
    """Make a key pair (ES384): the private half into a new file of yours, the public half as a JWK on the output."""
    pem = algorithms.new_program_key()
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as wrong:
        raise Conflict(f"{file} cannot be made: {wrong.strerror}.", hint="Name a file that does not exist yet.") from wrong
    with os.fdopen(descriptor, "wb") as written:
        written.write(pem)
    print(json.dumps({"keys": [algorithms.program_key(pem)[1]]}))


@app.command("open")
def open_session(
    program: Annotated[str, typer.Argument(help="Its client id.")],
    private_key: Annotated[Path, typer.Option("--key", help="Its private key, PEM.")],
    secret_file: Annotated[Path, typer.Option(help="Its secret: it opens the program's keys, and is not sent.")],
    base: Annotated[str, typer.Option(help="The trust's address; left out: this machine's trust.")] = "",
    ca: Annotated[Path | None, typer.Option(help="The certificate authority of the address.")] = None,
    scope: Annotated[str, typer.Option(help="SMART scopes to ask for.")] = "",
    label: Annotated[str, typer.Option(help="Which of the program's sessions.")] = "",
) -> None:
    """Open the program's session with a signed assertion, and print a token. While it is open, its assertions alone get tokens."""
    settings = read_settings()
    pem, secret = _bytes_of(private_key), _bytes_of(secret_file).decode("ascii", "replace").strip()
    kek, _ = unlockers.service_secrets(programs.client_secret_bytes(secret).reveal())
    where = (base or settings.base_url).rstrip("/")
    form: dict[str, str] = {name: text for name, text in (("scope", scope), ("session_label", label)) if text}

    def asserted() -> dict[str, str]:
        signer, jwk = algorithms.program_key(pem)
        made = assertions.made_assertion(signer, jwk, program, f"{where}/oauth2/token", str(uuid.uuid4()), now=datetime.now(UTC))
        return {"client_assertion_type": assertions.TYPE, "client_assertion": made, **form}

    with httpx.Client(base_url=where, verify=str(ca or settings.ca_file), timeout=60) as http:
        place = _posted(http, "/oauth2/unlock", asserted())
        info = unlockers.session_unlock_info(str(place["session"]))
        sealed = algorithms.kem_seal(base64.b64decode(place["public_key"]), kek.reveal(), info)
        body = {"grant_type": "client_credentials", "session_unlock": base64.b64encode(sealed).decode(), **asserted()}
        print(_posted(http, "/oauth2/token", body)["access_token"])


def _posted(http: httpx.Client, path: str, form: dict[str, str]) -> dict[str, Any]:
    try:
        answer = http.post(path, data=form)
        body = answer.json()
    except (httpx.HTTPError, ValueError) as wrong:
        raise Unavailable(f"{http.base_url} does not answer as a trust does.", hint="Check --base and --ca.") from wrong
    if answer.status_code != 200 or not isinstance(body, dict):
        raise Denied(str(body.get("error_description", body) if isinstance(body, dict) else body)[:500], reason="token")
    return body


def _bytes_of(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as wrong:
        raise NotFound(f"{path} cannot be read: {wrong.strerror}.") from wrong
