"""A real OpenLDAP server (Debian's slapd) for tests: on the loopback, LDAPS alone, as an ordinary process of its own group."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cloister.zones import certificates

BASE: Final = "dc=hospital,dc=test"
ADMIN: Final = f"cn=admin,{BASE}"
READER: Final = f"cn=reader,{BASE}"
PASSWORD: Final = "Reader-of-the-directory-1"
SCHEMAS: Final = ("core", "cosine", "inetorgperson", "nis")
SLAPD: Final = "/usr/sbin/slapd"
READY_SECONDS_MAX: Final = 30.0
# Its reader may page through everything, its administrator writes; a limit of two entries stands for one that was forgotten.
CONFIGURATION: Final = """{includes}
pidfile {folder}/pid
modulepath /usr/lib/ldap
moduleload back_mdb
moduleload ppolicy
TLSCACertificateFile {folder}/ca.pem
TLSCertificateFile {folder}/chain.pem
TLSCertificateKeyFile {folder}/key.pem
security tls=128
database mdb
suffix {base}
directory {folder}/data
rootdn {admin}
rootpw {password}
overlay ppolicy
limits dn.exact={reader} {limits}
access to attrs=userPassword by anonymous auth by * none
access to * by dn.exact={reader} read by * none
"""
WHOLE: Final = "size.soft=unlimited size.hard=unlimited size.prtotal=unlimited"
CUT_SHORT: Final = "size.soft=2 size.hard=2 size.prtotal=2"


def missing() -> str:
    """Why it cannot run here; empty where it can."""
    absent = [path for path in (SLAPD, "/usr/bin/ldapmodify", "/etc/ldap/schema/core.schema") if not Path(path).exists()]
    return f"not installed: {', '.join(absent)} (scripts/test-packages)" if absent else ""


@dataclass
class Slapd:
    folder: Path
    port: int
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"ldaps://localhost:{self.port}"

    @property
    def ca(self) -> str:
        return (self.folder / "ca.pem").read_text()

    def change(self, ldif: str) -> None:
        """As its administrator, by OpenLDAP's own client."""
        command = ["ldapmodify", "-x", "-H", self.url, "-D", ADMIN, "-w", PASSWORD]
        environment = {**os.environ, "LDAPTLS_CACERT": str(self.folder / "ca.pem"), "LDAPTLS_REQCERT": "demand"}
        done = subprocess.run(command, input=ldif, env=environment, capture_output=True, text=True, timeout=30)
        assert done.returncode == 0, done.stderr[-500:]

    def begin(self, limits: str = WHOLE) -> None:
        includes = "\n".join(f"include /etc/ldap/schema/{name}.schema" for name in SCHEMAS)
        written = CONFIGURATION.format(
            includes=includes, folder=self.folder, base=BASE, admin=ADMIN, reader=READER, password=PASSWORD, limits=limits
        )
        (self.folder / "slapd.conf").write_text(written)
        command = [SLAPD, "-f", str(self.folder / "slapd.conf"), "-h", self.url, "-d", "none"]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=(self.folder / "log").open("wb"), start_new_session=True)
        deadline = time.monotonic() + READY_SECONDS_MAX
        while time.monotonic() < deadline:
            assert self.process.poll() is None, (self.folder / "log").read_text()[-800:]
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.05)
        raise AssertionError("slapd did not answer.")

    def stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGTERM)
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                os.killpg(self.process.pid, signal.SIGKILL)
                self.process.wait(10)


def person(uid: str, name: str, password: str, *, unit: str = "people", more: str = "") -> str:
    family = name.rpartition(" ")[2]
    return (
        f"dn: uid={uid},ou={unit},{BASE}\nchangetype: add\nobjectClass: inetOrgPerson\nobjectClass: shadowAccount\nuid: {uid}\n"
        f"cn: {name}\nsn: {family}\nmail: {uid}@hospital.test\nuserPassword: {password}\n{more}\n"
    )


def unit(name: str) -> str:
    return f"dn: ou={name},{BASE}\nchangetype: add\nobjectClass: organizationalUnit\nou: {name}\n\n"


@contextmanager
def open_ldap() -> Iterator[Slapd]:
    folder = Path(tempfile.mkdtemp(prefix="cloister-slapd-", dir="/tmp"))
    try:
        (folder / "data").mkdir()
        authority_key, authority = certificates.new_tls_ca("A university's authority")
        key, chain = certificates.tls_certificate(
            authority_key, authority, ["localhost", socket.gethostname()], 30
        )  # libldap asks for this machine by its own name
        for name, content in (("ca.pem", authority), ("key.pem", key), ("chain.pem", chain)):
            (folder / name).write_bytes(content)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = int(probe.getsockname()[1])
        server = Slapd(folder, port)
        server.begin()
        try:
            server.change(
                f"dn: {BASE}\nchangetype: add\nobjectClass: dcObject\nobjectClass: organization\ndc: hospital\no: Hospital\n\n"
                f"dn: {READER}\nchangetype: add\nobjectClass: organizationalRole\nobjectClass: simpleSecurityObject\ncn: reader\n"
                f"userPassword: {PASSWORD}\n\n" + unit("people") + unit("leavers") + unit("groups")
            )
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
