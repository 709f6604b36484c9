"""A remote-desktop server for tests: xrdp in front of an X screen that asks for a password; what is typed there is written down."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.ciphers import Cipher, modes

PASSWORD = "geheim42"
TYPED_INTO = ("xterm", "+lc", "-u8", "-geometry", "100x40+0+0")  # in UTF-8, whatever the locale
SETTINGS = """[Globals]
ini_version=1
fork=true
port=tcp://127.0.0.1:{port}
security_layer=tls
crypt_level=high
certificate={folder}/cert.pem
key_file={folder}/key.pem
ssl_protocols=TLSv1.2, TLSv1.3
autorun=vnc
allow_channels=true
max_bpp=32
[Logging]
LogFile={folder}/xrdp.log
LogLevel=INFO
EnableSyslog=false
[Channels]
cliprdr=true
[vnc]
name=vnc
lib=libvnc.so
username=ask
password=ask
ip=127.0.0.1
port={screen}
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def certificate(folder: Path) -> str:
    """Its SHA-256 fingerprint, as an operator would write it down."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "windows.example")])
    now = datetime.now(UTC)
    made = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(1)
    signed = made.not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1)).sign(key, hashes.SHA256())
    (folder / "cert.pem").write_bytes(signed.public_bytes(serialization.Encoding.PEM))
    plain = serialization.NoEncryption()
    (folder / "key.pem").write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, plain))
    return ":".join(f"{byte:02x}" for byte in signed.fingerprint(hashes.SHA256()))


def password_file(path: Path) -> None:
    """RFB's own obscuring of a password (RFC 6143 7.2.2, DES with a key that everybody knows)."""
    known = bytes(int(f"{byte:08b}"[::-1], 2) for byte in (23, 82, 107, 6, 35, 78, 88, 7))
    path.write_bytes(Cipher(TripleDES(known * 3), modes.ECB()).encryptor().update(PASSWORD.encode()))


class Far:
    """The far machine: what is typed there arrives in `typed`."""

    def __init__(self, folder: Path, number: int) -> None:
        self.folder, self.port, screen = folder, free_port(), free_port()
        self.fingerprint = certificate(folder)
        password_file(folder / "password")
        (folder / "xrdp.ini").write_text(SETTINGS.format(port=self.port, folder=folder, screen=screen))
        display = f":{number}"
        words = [
            "Xvnc",
            display,
            "-SecurityTypes",
            "VncAuth",
            "-PasswordFile",
            str(folder / "password"),
            "-rfbport",
            str(screen),
            "-localhost",
        ]
        self.started = [self._start(*words, "-nolisten", "tcp", "-noreset", "-geometry", "800x600")]
        self._until(screen)
        self.started.append(self._start(*TYPED_INTO, "-display", display, "-e", f"cat > {folder}/typed"))
        xrdp = shutil.which("xrdp") or "xrdp"
        self.started.append(self._start(xrdp, "--nodaemon", "--config", str(folder / "xrdp.ini")))
        self._until(self.port)

    def _start(self, *words: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def _until(self, port: int) -> None:
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    return
            time.sleep(0.05)
        raise AssertionError(f"nothing answers on {port}")

    def typed(self) -> str:
        path = self.folder / "typed"
        return path.read_text() if path.exists() else ""

    def close(self) -> None:
        for process in reversed(self.started):
            process.kill()
            process.wait()
