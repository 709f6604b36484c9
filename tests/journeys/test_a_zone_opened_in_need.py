"""Break-glass through the pages: asked, agreed, shown in a banner, ended by an officer, reviewed."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from pathlib import Path

import httpx
from journeys_cast import CARDIOLOGIST, FHIR, OPERATOR, PSYCHIATRIST, Company, observation, patient

ACCESS_OFFICER = "benedicte.arnaud"
REASON = "Patient transferred with chest pain, history not known here"
BANNER = "need-banner"


def ask(client: httpx.Client, zone: str) -> httpx.Response:
    return client.post("/need", data={"zone": zone, "code": "transfer", "reason": REASON})


def until(client: httpx.Client, path: str, absent: str, seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while absent in client.get(path).text:
        assert time.monotonic() < deadline, f"'{absent}' is still there after {seconds} s"
        time.sleep(0.2)


def test_a_psychiatrist_opens_the_emergency_ward_and_an_officer_ends_and_reviews_it(company: Company) -> None:
    asker, officer = company.person(PSYCHIATRIST), company.person(ACCESS_OFFICER)
    assert BANNER not in asker.get("/account").text
    assert ask(asker, "saint-roch-emergency").status_code == 303
    assert BANNER in asker.get("/account").text
    assert "/need/openings" in officer.get("/need/badge").text
    listed = officer.get("/need/openings").text
    assert REASON in listed
    (number,) = re.findall(r"/need/openings/([^/]+)/end", listed)
    assert officer.post(f"/need/openings/{number}/end").status_code == 303
    until(asker, "/account", BANNER)
    assert officer.post(f"/need/openings/{number}/review", data={"verdict": "justified"}).status_code == 303
    assert REASON not in officer.get("/need/openings").text
    assert REASON in officer.get("/need/openings?all=1").text


def test_a_cardiologist_agrees_to_a_colleagues_request_in_her_own_session(company: Company) -> None:
    asker, colleague = company.person(PSYCHIATRIST), company.person(CARDIOLOGIST)
    assert ask(asker, "saint-roch-cardiology").status_code == 303
    assert "/need" in colleague.get("/need/badge").text
    lists = colleague.get("/need/lists").text
    assert REASON in lists
    (number,) = re.findall(r"/need/([^/]+)/approve", lists)
    assert asker.post(f"/need/{number}/open").status_code == 403
    assert colleague.post(f"/need/{number}/approve").status_code == 303
    assert f"/need/{number}/open" in asker.get("/need/lists").text
    assert asker.post(f"/need/{number}/open").status_code == 303
    assert BANNER in asker.get("/account").text
    assert asker.post(f"/need/{number}/end").status_code == 303
    assert BANNER not in asker.get("/account").text


def test_what_is_missing_is_said_on_the_page_and_other_roles_have_no_such_page(company: Company) -> None:
    asker = company.person(PSYCHIATRIST)
    answer = asker.post("/need", data={"zone": "saint-roch-cardiology", "code": "transfer", "reason": "why"})
    assert answer.status_code == 400
    assert "8" in answer.text
    for path in ("/need", "/need/openings"):
        assert company.person(OPERATOR).get(path).status_code == 403
    assert asker.get("/need/openings").status_code == 403
    assert company.person(ACCESS_OFFICER).get("/need").status_code == 403


def test_a_machine_seals_a_result_from_the_command_line_and_the_ward_reads_it(company: Company, tmp_path: Path) -> None:
    trust, doctor = company.trust, company.person(CARDIOLOGIST)
    created = doctor.post(f"{FHIR}/Patient", json=patient(), headers={"cloister-zone": "saint-roch-cardiology"})
    about = f"Patient/{created.json()['id']}"
    result, secret = tmp_path / "result.json", tmp_path / "secret"
    result.write_text(json.dumps(observation(about, value=61)))
    machine = next(one for one in trust.sign_ins["programs"] if one["client_id"] == "blood-analyser")
    secret.write_text(machine["client_secret"])
    command = [sys.executable, "-m", "cloister.cli", "ingest", str(result), "--zone", "saint-roch-cardiology"]
    command += ["--program", machine["client_id"], "--secret-file", str(secret)]
    done = subprocess.run(command, env=trust.environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "result.json: number 1, waiting" in done.stdout
    deadline = time.monotonic() + 60
    company.fresh(CARDIOLOGIST)  # whoever signs in next takes it up
    while '"total":0' in (text := company.person(CARDIOLOGIST).get(f"{FHIR}/Observation?subject={about}").text):
        assert time.monotonic() < deadline, text
        time.sleep(0.5)
    assert '"value":61' in text
    assert "urn:cloister:ingest:blood-analyser:1" in text
    other = [*command[:-4], "--program", machine["client_id"], "--secret-file", str(secret)]
    other[other.index("saint-roch-cardiology")] = "sainte-anne-tilleuls"
    refused = subprocess.run(other, env=trust.environment, capture_output=True, text=True, timeout=120)
    assert refused.returncode != 0
    assert "may not seal into zone" in refused.stderr


def test_an_officer_sees_and_changes_a_zones_rules_and_a_doctor_what_waits_from_machines(company: Company) -> None:
    officer, doctor = company.person(ACCESS_OFFICER), company.person(CARDIOLOGIST)
    page = officer.get("/need/rules/saint-roch-internal-medicine")
    assert page.status_code == 200
    assert "helene.caron" in page.text
    wrong = officer.post("/need/rules/saint-roch-internal-medicine", data={"approvers": "2", "minutes": "x", "share_days": "1"})
    assert wrong.status_code == 400
    rules = {"askers": "julie.fontaine", "approvers": "1", "pool": "helene.caron", "minutes": "15", "right": "read", "share_days": "3"}
    assert officer.post("/need/rules/saint-roch-internal-medicine", data=rules).status_code == 303
    assert "julie.fontaine" in officer.get("/need/rules/saint-roch-internal-medicine").text
    assert doctor.get("/machines").status_code == 200
    assert doctor.get("/need/rules/saint-roch-internal-medicine").status_code == 403
    assert officer.get("/machines").status_code == 403
