"""The first start: the demo trust is founded in one transaction, its roots pinned in files, its sign-ins kept and shown.

The files are written before the transaction is committed: a trust whose sign-ins nobody knows cannot come to be.
"""

from __future__ import annotations

import json
import os
import secrets
from pathlib import Path
from typing import Any, Final

from cloister.assemble.checkpoints import public_keys
from cloister.assemble.first_recovery import handed_out
from cloister.assemble.folders import seed_file
from cloister.assemble.founding import RECOVERY_FOLDER, Founded, Progress, found
from cloister.assemble.postgres import owner_connection
from cloister.assemble.roots import roots_file
from cloister.assemble.status import Board
from cloister.base.errors import NotFound
from cloister.base.settings import Settings
from cloister.demo import demo_plan
from cloister.gateway import sign_ins as sign_ins_of_the_door
from cloister.identity import Role, TrustPlan, codes, store

IMPORTED: Final = "imported"


def sign_ins_file(settings: Settings) -> Path:
    return settings.state / "demo" / "sign-ins.json"


def imported_file(settings: Settings) -> Path:
    """Present when every demo patient has been imported."""
    return settings.state / "demo" / IMPORTED


async def found_if_new(settings: Settings, progress: Progress) -> Founded | None:
    """Founds the demo trust in an empty database; None when there is a trust already."""
    connection = await owner_connection(settings)
    try:
        async with connection.transaction():
            try:
                await store.trust(connection)
                return None
            except NotFound:
                # Drawn once and forgotten: who can guess the seed of the demo would know its passphrases.
                plan = demo_plan(secrets.token_hex(16))
            founded = await found(connection, plan, settings.state / "roots", progress=progress)
            row = await store.trust(connection)
            roots = {"trust": row.id, "certificate_root": row.certificate_root.hex(), "access_root": row.access_root.hex()}
            _replace(roots_file(settings), {**roots, **public_keys(settings)}, 0o644)
            shown = sign_ins(settings, plan, founded)
            await first_telephone(connection, settings, plan, shown)
            _replace(sign_ins_file(settings), shown, 0o600)
            _replace(settings.state / "demo" / "roots.json", root_passphrases(founded), 0o600)
            recovery = handed_out(founded.recovery, settings.state / RECOVERY_FOLDER)
            _replace(settings.state / "demo" / "recovery.json", recovery, 0o600)
            imported_file(settings).unlink(missing_ok=True)
        return founded
    finally:
        await connection.close()


async def first_telephone(connection: Any, settings: Settings, plan: TrustPlan, shown: dict[str, Any]) -> None:
    """The demo's first doctor has one-time codes already, so that signing in from home can be tried. docs/sign-in.md."""
    doctor = next((one for one in plan.people if one.role is Role.DOCTOR), None)
    if doctor is None:
        return
    secret = codes.new_totp_secret()
    sealed = sign_ins_of_the_door.DoorKey(seed_file(settings, "door.key"), "totp").seal(secret.reveal(), doctor.id.encode())
    await connection.execute("insert into estate.totp (person, sealed, confirmed) values ($1, $2, true)", doctor.id, sealed)
    for row in shown["people"]:
        if row["sign_in"] == doctor.sign_in:
            row["one_time_codes"] = codes.shown(secret)


def sign_ins(settings: Settings, plan: TrustPlan, founded: Founded) -> dict[str, Any]:
    """What `cloister demo sign-ins` shows; the first program is granted the first hospital's zones."""
    wards = {ward.id for hospital in plan.hospitals for ward in hospital.wards}
    return {
        "base": settings.base_url,
        "ca": str(settings.ca_file),
        "people": [
            {
                "sign_in": person.sign_in,
                "passphrase": person.passphrase,
                "name": person.name,
                "role": str(person.role),
                "hospital": person.hospital,
                "wards": [zone for zone in person.zones if zone in wards],
            }
            for person in founded.people
        ],
        "programs": [
            {
                "client_id": program.client_id,
                "client_secret": program.client_secret,
                "name": program.name,
                "hospital": program.hospital,
                "zones": list(program.zones),
            }
            for program in founded.programs
        ],
    }


def root_passphrases(founded: Founded) -> dict[str, Any]:
    """Of a demo only: a real trust writes the two on paper, for two safes."""
    return {"certificate": founded.certificate_root_passphrase, "access": founded.access_root_passphrase}


def refresh_address(settings: Settings) -> None:
    """The file of sign-ins names the address of today."""
    path = sign_ins_file(settings)
    if path.exists():
        body = json.loads(path.read_text())
        if (body.get("base"), body.get("ca")) != (settings.base_url, str(settings.ca_file)):
            _replace(path, {**body, "base": settings.base_url, "ca": str(settings.ca_file)}, 0o600)


def show_sign_ins(settings: Settings, board: Board) -> None:
    """Printed once, a line a person, so that a narrow window does not cut a passphrase."""
    body = json.loads(sign_ins_file(settings).read_text())
    board.print(f"\nSign-ins of the demo trust {settings.base_url}\n")
    for person in body["people"]:
        where = ", ".join(person["wards"]) or person["hospital"] or "the whole trust"
        board.print(f"  {person['sign_in']:<18} {person['passphrase']:<36} {person['role']:<20} {where}")
        if "one_time_codes" in person:
            board.print(f"  {'':<18} one-time codes: {person['one_time_codes']} (from home, 127.77.0.1, they are needed: docs/sign-in.md)")
    board.print("\n  To see them again, with the programs' secrets: cloister demo sign-ins\n")


def _replace(path: Path, body: dict[str, Any], mode: int) -> None:
    new = path.with_name(path.name + ".new")
    with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "w") as file:
        json.dump(body, file, ensure_ascii=False, indent=1)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)
