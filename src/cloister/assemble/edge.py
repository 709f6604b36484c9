"""Envoy: its certificate, its configuration, and then itself, under an account that owns nothing else."""

from __future__ import annotations

import json
import os
import signal
import socket
from datetime import UTC, datetime, timedelta
from importlib.util import find_spec
from pathlib import Path
from typing import Final, NoReturn

from cloister.assemble.folders import write_once
from cloister.base.errors import Unavailable
from cloister.base.process import die_with_parent, drop_to, system_account
from cloister.base.settings import Settings
from cloister.gateway import Plan, bootstrap
from cloister.zones import certificates

ACCOUNT: Final = "cloister-edge"
CERTIFICATE_DAYS: Final = 397
RENEWED_WITHIN: Final = timedelta(days=60)
WORKERS_MAX: Final = 8


def envoy_program() -> Path:
    spec = find_spec("envoy")
    program = Path(next(iter(spec.submodule_search_locations or ()), "")) / "_bin" / "envoy" if spec else Path()
    if not program.exists():
        raise Unavailable("Envoy is not installed in this environment.", hint="Run `make setup`.")
    return program


def local_authority(settings: Settings) -> tuple[bytes, bytes]:
    """The trust's own TLS authority: key (private) and certificate (public), made once."""
    key, public = settings.secrets_folder / "tls-ca.key", settings.ca_file
    if not (key.exists() and public.exists()):
        key_pem, certificate_pem = certificates.new_tls_ca("Cloister local authority")
        key.unlink(missing_ok=True)
        write_once(key, key_pem)
        public.write_bytes(certificate_pem)
        public.chmod(0o644)
    return key.read_bytes(), public.read_bytes()


def names_of(settings: Settings) -> list[str]:
    """What the certificate is for: the name, this machine's own names, and the address where Envoy listens."""
    names = [settings.host, "localhost", "127.0.0.1", "::1"]
    if settings.address not in ("0.0.0.0", "::"):
        names.append(settings.address)
    else:
        names.append(socket.gethostname())
    return list(dict.fromkeys(names))


def server_certificate(settings: Settings) -> tuple[bytes, bytes]:
    """Key and chain; made anew when the names have changed or the end is near."""
    key, chain, about = (settings.secrets_folder / f"tls-server.{suffix}" for suffix in ("key", "pem", "json"))
    wanted = {"names": names_of(settings)}
    authority_key, authority = local_authority(settings)
    try:
        known = json.loads(about.read_text())
        ends = datetime.fromisoformat(known.pop("ends"))
        fresh = known == wanted and ends - datetime.now(UTC) > RENEWED_WITHIN and chain.read_bytes().endswith(authority)
    except (OSError, ValueError, KeyError):
        fresh = False
    if not fresh:
        key_pem, chain_pem = certificates.tls_certificate(authority_key, authority, wanted["names"], CERTIFICATE_DAYS)
        ends = datetime.now(UTC) + timedelta(days=CERTIFICATE_DAYS)
        for path in (about, key, chain):
            path.unlink(missing_ok=True)
        write_once(key, key_pem)
        write_once(chain, chain_pem)
        write_once(about, json.dumps({**wanted, "ends": ends.isoformat()}).encode())
    return key.read_bytes(), chain.read_bytes()


def plan_of(settings: Settings) -> Plan:
    folder = settings.runtime / "edge"
    return Plan(
        address=settings.address,
        port=settings.port,
        slots_folder=settings.runtime / "slots",
        slots=settings.slots,
        door_socket=settings.socket("door"),
        admin_socket=folder / "admin.sock",
        certificate_chain=folder / "chain.pem",
        private_key=folder / "key.pem",
        strict_transport=settings.host != "localhost",
    )


def run_edge(settings: Settings) -> NoReturn:
    """Become Envoy. Returns never."""
    account, plan, folder = system_account(ACCOUNT), plan_of(settings), settings.runtime / "edge"
    key, chain = server_certificate(settings)
    os.chown(folder, account.uid, account.gid)
    plan.admin_socket.unlink(missing_ok=True)
    for path, content in ((plan.private_key, key), (plan.certificate_chain, chain), (folder / "envoy.json", _json(plan))):
        path.unlink(missing_ok=True)
        write_once(path, content)
        os.chown(path, account.uid, account.gid)
    # Opened before root is given up: the program may lie where only root can walk to.
    program = os.open(envoy_program(), os.O_RDONLY | os.O_CLOEXEC)
    workers = max(1, min(WORKERS_MAX, os.cpu_count() or 1))
    os.chdir("/")
    drop_to(account)
    die_with_parent(signal.SIGTERM)
    arguments = [
        "envoy",
        "-c",
        str(folder / "envoy.json"),
        "--disable-hot-restart",
        "--concurrency",
        str(workers),
        "--log-level",
        "warning",
    ]
    os.execve(program, arguments, {"PATH": "/usr/bin:/bin", "TZ": "UTC"})


def _json(plan: Plan) -> bytes:
    return json.dumps(bootstrap(plan), separators=(",", ":")).encode()
