"""The door against its own OpenAPI document: hundreds of requests that nobody thought of, by schemathesis; and what it found once."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import httpx
import pytest
from running_trust import RunningTrust

HERE: Final = Path(__file__).parent
CONFIGURATION: Final = HERE / "schemathesis_door.toml"
EXAMPLES: Final = 2  # beside those of the coverage phase; bound by number, so that a slow machine tries the same as a fast one
# Side by side, because a refusal takes its time whatever the reason.
WAITING: Final = ("/login/(passphrase|passkey|directory|card)$", "/oauth2/(token|unlock|introspect|revoke)$")
PARTS: Final = (*(("--include-path-regex", one) for one in WAITING), ("--exclude-path-regex", "|".join(WAITING)))


def described(trust: RunningTrust) -> dict[str, Any]:
    """Found as a stranger finds it: by the catalogue of RFC 9727."""
    with trust.client() as nobody:
        catalog = nobody.get("/.well-known/api-catalog")
        assert catalog.headers["content-type"].startswith("application/linkset+json")
        assert 'rel="api-catalog"' in nobody.head("/.well-known/api-catalog").headers["link"]
        documents = [one["service-desc"][0]["href"] for one in catalog.json()["linkset"]]
        found = [nobody.get(one).json() for one in documents]
    assert [one["openapi"] for one in found] == ["3.1.0", "3.1.0"]
    return dict(found[0])


@pytest.mark.timeout(300)
def test_no_request_breaks_the_door_and_what_is_wrong_in_form_is_refused(trust: RunningTrust, tmp_path: Path) -> None:
    program = Path(sys.executable).with_name("schemathesis")
    if not program.exists():
        pytest.skip("schemathesis is not installed: run `make setup` with the test packages.")
    document = tmp_path / "openapi.json"
    document.write_text(json.dumps(described(trust)))
    running = []
    for number, part in enumerate(PARTS, start=1):
        folder = tmp_path / str(number)
        folder.mkdir()
        command = [
            str(program), "--config-file", str(CONFIGURATION), "run", str(document), "--url", trust.base, "--tls-verify", str(trust.ca),
            "--seed", "7", "--phases", "coverage,fuzzing", "--max-examples", str(EXAMPLES), "--continue-on-failure", "--no-color", *part,
        ]  # fmt: skip
        # An address for each, because failures of one address make it wait, and other tests sign in from ours.
        own = {"SCHEMATHESIS_HOOKS": "schemathesis_from_elsewhere", "PYTHONPATH": str(HERE), "CLOISTER_TEST_ADDRESS": f"127.76.0.{number}"}
        running.append(
            subprocess.Popen(command, cwd=folder, env={**os.environ, **own}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        )
    tried = 0
    for one in running:
        said, _ = one.communicate(timeout=280)
        assert one.returncode == 0, said[-6000:]
        counted = re.search(r"(\d+) generated", said)
        assert counted is not None, said[-2000:]
        tried += int(counted[1])
    assert tried > 250


def form(client: httpx.Client, path: str, **values: str) -> httpx.Response:
    return client.post(path, data=values)


def test_text_that_no_database_holds_is_refused_by_name(trust: RunningTrust) -> None:
    """A zero character in a client's name once ended in an internal error; a half surrogate pair in a password would have."""
    with trust.client() as nobody:
        zero = {"client_id": "a\x00b", "redirect_uri": "https://app.example/"}
        for answer in (nobody.get("/oauth2/authorize", params=zero), form(nobody, "/oauth2/authorize", **zero)):
            assert answer.status_code == 400
        for path in ("/oauth2/token", "/oauth2/revoke", "/oauth2/introspect", "/oauth2/unlock"):
            assert form(nobody, path, grant_type="client_credentials", client_id="a\x00b").json()["error"] == "invalid_request"
        flow = nobody.post("/login/start", json={"sign_in": "nobody"}).json()["flow"]
        headers = {"content-type": "application/json"}
        for password in (r"\ud800", r"\u0000"):
            body = f'{{"flow": "{flow}", "password": "a{password}b"}}'
            answer = nobody.post("/login/directory", content=body, headers=headers)
            assert (answer.status_code, answer.json()["category"]) == (400, "invalid"), answer.text
        # What was wrong in form has not used the flow up.
        assert nobody.post("/login/directory", json={"flow": flow, "password": "ab"}).json()["error"] == "sign-in-refused"


def test_a_parameter_of_an_app_counts_once(trust: RunningTrust) -> None:
    with trust.client() as nobody:
        twice = nobody.get("/oauth2/authorize?client_id=one&client_id=two&redirect_uri=https://app.example/")
        assert (twice.status_code, twice.headers["content-type"]) == (400, "text/html; charset=utf-8")
