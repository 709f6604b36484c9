"""The ingress: a second Envoy, on the farm's own network, by which other machines of the estate reach this one. Mutual TLS only.

It has an account of its own: on a controller it may knock at the database, which the edge, open to everybody, may not.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import NoReturn

from cloister.assemble import accounts, machine
from cloister.assemble.edge import become_envoy
from cloister.assemble.folders import write_once
from cloister.assemble.postgres import PORT
from cloister.base.process import Account, is_root, system_account
from cloister.base.settings import Settings
from cloister.gateway import Ingress, Plan, ingress


def folder_of(settings: Settings) -> Path:
    return settings.runtime / "ingress"


def admin_socket(settings: Settings) -> Path:
    return folder_of(settings) / "admin.sock"


def run_ingress(settings: Settings) -> NoReturn:
    """Become Envoy. Returns never."""
    account, database, own = system_account(accounts.INGRESS), system_account(accounts.DATABASE), folder_of(settings)
    found = machine.about(settings)
    os.chown(own, account.uid, account.gid)
    admin_socket(settings).unlink(missing_ok=True)
    tunnel = None if found.keeper else _tunnel(settings, account, database)
    machine.write_secrets(settings, own, account)
    plan = Plan(
        address=settings.farm_address,
        port=settings.farm_port,
        slots_folder=settings.runtime / "slots",
        slots=settings.slots,
        door_socket=settings.socket("door"),
        admin_socket=admin_socket(settings),
        certificate_chain=settings.farm_folder / "chain.pem",
        private_key=own / "machine.key",
        strict_transport=False,
        estate=machine.plan_of(settings, own),
    )
    wanted = Ingress(
        plan=plan,
        estate=machine.plan_of(settings, own),
        controller=found.controller,
        database=_socket(settings) if found.keeper else None,
        tunnel=tunnel,
    )
    configuration = own / "envoy.json"
    configuration.unlink(missing_ok=True)
    write_once(configuration, json.dumps(ingress(wanted), separators=(",", ":")).encode())
    os.chown(configuration, account.uid, account.gid)
    become_envoy(configuration, account, groups=(database.gid,) if is_root() else ())


def _socket(settings: Settings) -> Path:
    return settings.runtime / "database" / f".s.PGSQL.{PORT}"


def _tunnel(settings: Settings, account: Account, database: Account) -> Path:
    """Where gates and the controller look for PostgreSQL: in a folder that only they can enter, as beside a real one."""
    path = _socket(settings)
    os.chown(path.parent, account.uid, database.gid)
    path.parent.chmod(0o2750)  # the socket has the folder's group
    path.unlink(missing_ok=True)
    return path
