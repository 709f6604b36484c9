"""Envoy: its certificate, its configuration, and then itself, under an account that owns nothing else."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from importlib.util import find_spec
from pathlib import Path
from typing import Final, NoReturn

from cloister.assemble import accounts, acme, machine
from cloister.assemble.folders import write_once
from cloister.base.errors import CloisterError, Invalid, Unavailable
from cloister.base.process import Account, die_with_parent, drop_to, system_account
from cloister.base.settings import Settings
from cloister.gateway import Plan, bootstrap, followed_files, vpn
from cloister.zones import certificates

CERTIFICATE_DAYS: Final = 7  # stolen with a gateway, a key is of no use after that
RENEWED_WITHIN: Final = timedelta(days=4)
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
    if settings.farm_address:
        names.append(settings.farm_address)
    if settings.card_host:
        names.append(settings.card_host)
    return list(dict.fromkeys(names))


def server_certificate(settings: Settings) -> tuple[bytes, bytes]:
    """Key and chain; made anew when the names have changed or the end is near. Somebody else's, where the settings name one."""
    if settings.tls_certificate is not None and settings.tls_key is not None:
        return settings.tls_key.read_bytes(), settings.tls_certificate.read_bytes()
    if settings.acme_directory and (given := acme.kept(settings)) is not None:
        return given
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


def checked(settings: Settings) -> None:
    """Raises Invalid for names and versions that no gateway can have."""
    name = settings.card_host
    if settings.tls_min not in ("1.2", "1.3"):
        raise Invalid(f"CLOISTER_TLS_MIN is '{settings.tls_min[:20]}'.", hint="Set it to 1.3, or to 1.2 for old devices.")
    if name and not re.fullmatch(r"[a-z0-9-]{1,63}(\.[a-z0-9-]{1,63})+", name):
        raise Invalid(f"CLOISTER_CARD_HOST is '{name[:80]}'.", hint="Set it to a name, such as card.record.example.")
    if name and name in (settings.host.lower(), settings.vpn_host.lower()):
        raise Invalid(
            "CLOISTER_CARD_HOST is the name of something else.", hint="Cards need a name of their own, such as card.record.example."
        )


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
        gateway=settings.machine,
        estate=machine.plan_of(settings, folder) if settings.farm_address else None,
        http3=settings.http3,
        vpn=vpn.Front(name=settings.vpn_host, address="127.0.0.1", port=settings.vpn_port) if settings.vpn_host else None,
        card_name=settings.card_host,
        tls_minimum=f"TLSv1_{settings.tls_min[-1]}",
        dynamic=folder,
    )


def refresh(settings: Settings) -> bool:
    """Give the running Envoy a new certificate if it is time; whether it was."""
    plan, account = plan_of(settings), system_account(accounts.EDGE)
    key, chain = server_certificate(settings)
    if (plan.private_key.read_bytes(), plan.certificate_chain.read_bytes()) == (key, chain):
        return False
    _follow(plan, account, key, chain)
    return True


def keep_fresh(settings: Settings, tell: Callable[[str], None]) -> None:
    """A gateway's certificate lives for days, and is replaced while connections stand; looked at every minute where a gateway runs."""
    try:
        if refresh(settings):
            tell("the gateway has a new certificate")
    except (OSError, CloisterError) as fault:
        tell(f"the gateway's certificate could not be renewed: {fault}")


def _follow(plan: Plan, account: Account, key: bytes, chain: bytes) -> None:
    """Each file whole: Envoy takes up what has changed, and drops no connection."""
    assert plan.dynamic is not None
    _given(plan.private_key, key, account)
    _given(plan.certificate_chain, chain, account)
    for name, content in followed_files(plan).items():
        _given(plan.dynamic / name, json.dumps(content, separators=(",", ":")).encode(), account)


def _given(path: Path, content: bytes, account: Account) -> None:
    fresh = path.with_name(f".{path.name}.new")
    fresh.unlink(missing_ok=True)
    write_once(fresh, content)
    os.chown(fresh, account.uid, account.gid)
    os.replace(fresh, path)


def run_edge(settings: Settings) -> NoReturn:
    """Become Envoy. Returns never."""
    account, plan, folder = system_account(accounts.EDGE), plan_of(settings), settings.runtime / "edge"
    key, chain = server_certificate(settings)
    os.chown(folder, account.uid, account.gid)
    if settings.farm_address:
        machine.write_secrets(settings, folder, account)
    plan.admin_socket.unlink(missing_ok=True)
    _follow(plan, account, key, chain)
    _given(folder / "envoy.json", _json(plan), account)
    become_envoy(folder / "envoy.json", account)


def become_envoy(configuration: Path, account: Account, groups: Sequence[int] = ()) -> NoReturn:
    # Opened before root is given up: the program may lie where only root can walk to.
    program = os.open(envoy_program(), os.O_RDONLY | os.O_CLOEXEC)
    workers = max(1, min(WORKERS_MAX, os.cpu_count() or 1))
    os.chdir("/")
    drop_to(account, groups=groups)
    die_with_parent(signal.SIGTERM)
    arguments = ["envoy", "-c", str(configuration), "--disable-hot-restart", "--concurrency", str(workers), "--log-level", "warning"]
    os.execve(program, arguments, {"PATH": "/usr/bin:/bin", "TZ": "UTC"})


def _json(plan: Plan) -> bytes:
    return json.dumps(bootstrap(plan), separators=(",", ":")).encode()
