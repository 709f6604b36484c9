"""Other people's programs of OpenID Connect, run as they come from npm: a provider (oidc-provider), and an application (openid-client)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import httpx
import pytest
from running_trust import RunningTrust, free_port

from cloister.zones import certificates

ROOT: Final = Path(__file__).parents[1]
NODE: Final = ROOT / ".venv" / "node" / "bin" / "node"
SECRET: Final = "a-client-secret-of-this-test-only"


def needed(package: str) -> None:
    if not NODE.exists() or not (ROOT / "node_modules" / package).is_dir():
        pytest.skip(f"{package} is not in node_modules: run `npm ci`.")


def command(trust: RunningTrust, *arguments: str) -> str:
    done = subprocess.run([sys.executable, "-m", "cloister.cli", *arguments], env=trust.environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


@dataclass
class Provider:
    issuer: str
    ca: Path

    def browser(self) -> httpx.Client:
        return httpx.Client(verify=str(self.ca), timeout=30)


@contextmanager
def provider_known_as(trust: RunningTrust, folder: Path, id: str, name: str, links: Sequence[tuple[str, str]]) -> Iterator[Provider]:
    """A provider that runs, and that the trust knows; `links`: whose subject there is who here."""
    needed("oidc-provider")
    port = free_port()
    authority_key, authority = certificates.new_tls_ca("A nation's authority")
    key, chain = certificates.tls_certificate(authority_key, authority, ["localhost"], 5)
    for file, content in (("ca.pem", authority), ("key.pem", key), ("chain.pem", chain), ("secret", SECRET.encode())):
        (folder / file).write_bytes(content)
    script = [NODE, ROOT / "tests" / "openid" / "provider.mjs", str(port), folder / "key.pem", folder / "chain.pem"]
    with subprocess.Popen(
        [*script, f"{trust.base}/login/back", SECRET], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as run:
        try:
            assert run.stdout is not None
            issuer = json.loads(run.stdout.readline())["issuer"]
            options = ["--name", name, "--issuer", issuer, "--client", "cloister", "--secret-file", str(folder / "secret")]
            command(trust, "provider", "add", id, *options, "--aal", "2", "--ca", str(folder / "ca.pem"))
            for subject, person in links:
                command(trust, "provider", "link", id, subject, person)
            yield Provider(issuer, folder / "ca.pem")
        finally:
            run.terminate()


@contextmanager
def application_of_the_hospital(trust: RunningTrust, id: str, name: str) -> Iterator[str]:
    """A web application that lets people in by the trust's word alone, registered there; its address."""
    needed("openid-client")
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    command(trust, "app", "register", id, "--name", name, "--redirect", f"{address}/back", "--scopes", "openid profile")
    environment = {"PATH": os.environ["PATH"], "NODE_EXTRA_CA_CERTS": str(trust.ca)}
    script = [NODE, ROOT / "tests" / "openid" / "application.mjs", str(port), trust.base, id]
    with subprocess.Popen(script, env=environment, stdout=subprocess.PIPE, text=True) as run:
        try:
            assert run.stdout is not None
            assert run.stdout.readline().strip() == "ready"
            yield address
        finally:
            run.terminate()
