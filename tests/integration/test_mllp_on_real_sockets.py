"""MLLP over TLS into a running trust: certificates, order, duplicates, and a listener that is killed between write and answer."""

from __future__ import annotations

import hashlib
import re
import secrets
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from html import unescape
from pathlib import Path
from typing import Any

import pytest
from documents import ccda
from messages import IPP_SYSTEM, adt, joined, msh, oru, pid, sodium
from mllp_rig import Listening, Sender, command, listening, of_trust, senders_certificate
from running_trust import RunningTrust


@pytest.fixture(scope="module")
def listener(trust: RunningTrust, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Listening]:
    with listening(trust, tmp_path_factory.mktemp("mllp")) as one:
        yield one


@pytest.fixture
def ipp() -> str:
    return f"X{secrets.randbelow(10**9)}"


def patients(trust: RunningTrust, ipp: str) -> list[dict[str, Any]]:
    program = trust.program(label="look")
    found = program.get("Patient", params={"identifier": f"{IPP_SYSTEM}|{ipp}"})
    program.post(f"{trust.base}/session/end")
    program.close()
    found.raise_for_status()
    return [entry["resource"] for entry in found.json().get("entry", [])]


def heard(sender: Sender, message: bytes) -> bytes:
    """The answer, or nothing where the connection ends instead."""
    try:
        return bytes(sender.send_message(message))
    except OSError:
        return b""


def test_a_message_over_tls_is_acknowledged_after_it_was_written(trust: RunningTrust, listener: Listening, ipp: str) -> None:
    with listener.sender(of_trust(trust)) as sender:
        answer = sender.send_message(adt("A01", ipp, f"V{ipp}", control=f"A{ipp}"))
        assert f"MSA|AA|A{ipp}".encode() in answer
        assert [one["name"][0]["family"] for one in patients(trust, ipp)] == ["LOPEZ"]
        assert sender.send_message(adt("A01", ipp, f"V{ipp}", control=f"A{ipp}")).split(b"\r")[1] == answer.split(b"\r")[1]
    assert "LOPEZ" not in listener.shown()


def test_without_tls_or_with_an_unknown_authority_nobody_is_heard(trust: RunningTrust, listener: Listening, ipp: str) -> None:
    with listener.sender(None) as plain:
        assert heard(plain, adt("A28", ipp)) == b""
    with pytest.raises(ssl.SSLError):
        listener.sender(ssl.create_default_context())
    assert patients(trust, ipp) == []


def test_many_messages_of_one_connection_keep_their_order(trust: RunningTrust, listener: Listening, ipp: str) -> None:
    names = [f"NAME{number:02d}" for number in range(8)]
    messages = [adt("A28", ipp, name=f"{name}^Ana", control=f"O{number}{ipp}") for number, name in enumerate(names)]
    with listener.sender(of_trust(trust)) as sender:
        sender.socket.sendall(b"".join(b"\x0b" + one + b"\x1c\r" for one in messages))  # all at once, without waiting
        answers = [sender.answer() for _ in messages[:1]]
        while len(b"".join(answers).split(b"MSA|AA|")) <= len(messages):
            answers.append(sender.socket.recv(4096))
            assert answers[-1]
    (patient,) = patients(trust, ipp)
    assert (patient["name"][0]["family"], patient["meta"]["versionId"]) == (names[-1], str(len(names)))


def test_accept_and_application_acknowledgements_as_the_sender_asks(trust: RunningTrust, listener: Listening, ipp: str) -> None:
    with listener.sender(of_trust(trust)) as sender:
        both = msh("ADT^A28^ADT_A05", f"E{ipp}", more="||AL|AL||UNICODE UTF-8")
        sender.socket.sendall(b"\x0b" + joined(both, "EVN||20261129", pid(ipp)) + b"\x1c\r")
        got = b""
        while got.count(b"\x1c\r") < 2:
            got += sender.socket.recv(4096)
        assert [b"MSA|CA|" in part for part in got.split(b"\x1c\r")[:2]] == [True, False]
        assert b"MSA|AA|" in got
        only = msh("ADT^A28^ADT_A05", f"F{ipp}", more="||AL|NE||UNICODE UTF-8")
        assert b"MSA|CA|" in sender.send_message(joined(only, "EVN||20261129", pid(ipp)))


def test_accents_in_latin_9_arrive_and_undeclared_ones_are_rejected(trust: RunningTrust, listener: Listening, ipp: str) -> None:
    header = msh("ADT^A28^ADT_A05", f"L{ipp}", more="|||||8859/15")
    text = joined(header, "EVN||20261129", pid(ipp, "BŒUF^Zoé")).decode()
    undeclared = joined(msh("ADT^A28^ADT_A05", f"U{ipp}", more="|||||"), "EVN||20261129", pid(ipp, "HÉRON^Zoé"))
    with listener.sender(of_trust(trust)) as sender:
        assert b"MSA|AA|" in sender.send_message(text.encode("iso-8859-15"))
        refused = sender.send_message(undeclared)
        assert b"MSA|AR|U" in refused
        assert b"MSH^1^18" in refused
    assert patients(trust, ipp)[0]["name"][0]["family"] == "BŒUF"


def test_what_is_no_message_gets_a_clear_answer_and_the_connection_goes_on(trust: RunningTrust, listener: Listening, ipp: str) -> None:
    with listener.sender(of_trust(trust)) as sender:
        assert b"MSA|AR|" in sender.send_message(b"PING")
        assert b"200^Unsupported message type" in sender.send_message(joined(msh("MFN^M02", f"M{ipp}"), "MFI|PRA"))
        assert b"MSA|AA|" in sender.send_message(adt("A28", ipp))


def test_a_listener_killed_between_write_and_answer_loses_nothing_and_writes_nothing_twice(
    trust: RunningTrust, tmp_path: Path, ipp: str
) -> None:
    """kill -9 at several moments after the message left; the sender, without an answer, sends it again to the next listener."""
    message = adt("A28", ipp, control=f"K{ipp}")
    for delay in (0.0, 0.03, 0.3):
        with listening(trust, tmp_path) as one:
            sender = one.sender(of_trust(trust))
            sender.socket.sendall(b"\x0b" + message + b"\x1c\r")
            time.sleep(delay)
            one.process.kill()
            sender.close()
    with listening(trust, tmp_path) as one, one.sender(of_trust(trust)) as sender:
        assert b"MSA|AA|" in sender.send_message(message)
    (patient,) = patients(trust, ipp)
    assert patient["meta"]["versionId"] == "1"


def test_senders_must_show_a_certificate_where_that_is_set(trust: RunningTrust, tmp_path: Path, ipp: str) -> None:
    authority, sender = senders_certificate()
    (tmp_path / "senders.pem").write_bytes(authority)
    (tmp_path / "sender.pem").write_bytes(sender)
    with listening(trust, tmp_path, CLOISTER_MLLP_CLIENTS=str(tmp_path / "senders.pem")) as one:
        with one.sender(of_trust(trust)) as unknown:
            assert heard(unknown, adt("A28", ipp)) == b""
        known = of_trust(trust)
        known.load_cert_chain(tmp_path / "sender.pem")
        with one.sender(known) as sender:
            assert b"MSA|AA|" in sender.send_message(adt("A28", ipp))


def test_a_certificate_speaks_for_its_own_sender_alone(trust: RunningTrust, tmp_path: Path, ipp: str) -> None:
    authority, sender = senders_certificate()
    (tmp_path / "senders.pem").write_bytes(authority)
    (tmp_path / "sender.pem").write_bytes(sender)
    der = ssl.PEM_cert_to_DER_cert(sender[sender.index(b"-----BEGIN CERT") :].decode())
    fingerprint = hashlib.sha256(der).hexdigest()
    message = adt("A28", ipp)
    name = "|".join(message.decode("latin-1").split("|")[2:4])
    with listening(trust, tmp_path, CLOISTER_MLLP_CLIENTS=str(tmp_path / "senders.pem")) as one:
        program = trust.program(label="senders")
        before = program.get("$hl7v2-mapping").json()
        try:
            known = of_trust(trust)
            known.load_cert_chain(tmp_path / "sender.pem")
            with one.sender(known) as sender:
                assert program.post(
                    "$hl7v2-mapping", json={"senders": [{"sender": "ELSE|WHERE", "certificates": [fingerprint]}]}
                ).is_success
                time.sleep(6)  # seconds until every session has the new mapping
                assert b"MSA|AR|" in sender.send_message(message)
                assert program.post("$hl7v2-mapping", json={"senders": [{"sender": name, "certificates": [fingerprint]}]}).is_success
                time.sleep(6)
                assert b"MSA|AA|" in sender.send_message(message)
            wrong = program.post("$hl7v2-mapping", json={"senders": [{"sender": name, "certificates": ["AB:CD"]}]})
            assert (wrong.status_code, "SHA-256" in wrong.text) == (400, True)
        finally:
            program.post("$hl7v2-mapping", json=before)
            program.post(f"{trust.base}/session/end")
            program.close()


def test_without_tls_only_this_machine_may_be_listened_to(trust: RunningTrust, tmp_path: Path, ipp: str) -> None:
    with listening(trust, tmp_path, CLOISTER_MLLP_TRANSPORT="tcp-loopback") as one, one.sender(None) as sender:
        assert b"MSA|AA|" in sender.send_message(adt("A28", ipp))
    with (
        pytest.raises(AssertionError, match="from this machine alone"),
        listening(trust, tmp_path, CLOISTER_MLLP_TRANSPORT="tcp-loopback", CLOISTER_MLLP_ADDRESS="0.0.0.0"),
    ):
        pass


def test_what_waits_is_listed_and_replayed_from_the_command_line(trust: RunningTrust, listener: Listening, ipp: str) -> None:
    with listener.sender(of_trust(trust)) as sender:
        waits = oru(ipp, f"F{ipp}", sodium("140"))  # nobody with this identifier yet
        assert b"MSA|AA|" in sender.send_message(waits)
        assert b"MSA|AA|" in sender.send_message(adt("A28", ipp, control=f"W{ipp}"))
    shown = command(listener, "parked").stdout
    assert "patient-unknown" in shown
    assert "behind" not in shown or "waits behind" in shown
    assert "LOPEZ" not in shown
    assert ipp not in shown


def test_a_frame_that_never_ends_is_cut_off_and_others_go_on(trust: RunningTrust, listener: Listening, ipp: str) -> None:
    with listener.sender(of_trust(trust)) as flood:
        assert b"MSA|AA|" not in heard(flood, b"MSH|^~\\&|" + b"x" * (6 * 1024 * 1024))
    with listener.sender(of_trust(trust)) as sender:
        assert b"MSA|AA|" in sender.send_message(adt("A28", ipp))


def imported(trust: RunningTrust, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "cloister.cli", "import", *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=trust.environment, timeout=100, check=False)


def test_a_list_of_patients_and_a_document_come_in_from_the_command_line_and_a_summary_goes_out(
    trust: RunningTrust, tmp_path: Path, ipp: str
) -> None:
    people, document = tmp_path / "list.csv", tmp_path / "document.xml"
    people.write_text(f"IPP;Nom;Prénom;Né le\n{ipp};LOPEZ;Ana;14/03/1950\n{ipp}b;ROY;Zoé;99/99/1950\n", encoding="cp1252")
    document.write_bytes(ccda(ipp, f"D{ipp}"))
    system = ("--system", IPP_SYSTEM)
    tried = imported(trust, str(people), *system, "--dry-run")
    assert ("nothing was sent" in tried.stdout, patients(trust, ipp)) == (True, []), tried
    first = imported(trust, str(people), *system)
    assert "1 resources stored" in first.stdout, first
    assert first.returncode == 64  # the other line is reported
    again = imported(trust, str(people), *system, "--again")
    assert "1 were there already" in again.stdout, again
    assert "DocumentReference/" in imported(trust, str(document)).stdout
    assert "was there already" in imported(trust, str(document)).stdout
    (patient,) = patients(trust, ipp)
    program = trust.program(label="look")
    made = program.get(f"Patient/{patient['id']}/$summary", headers={"accept-language": "fr"})
    checked = program.post("Bundle/$validate", json=made.json())
    program.post(f"{trust.base}/session/end")
    program.close()
    assert made.json()["entry"][0]["resource"]["title"] == "Résumé du patient"
    assert not [one for one in checked.json()["issue"] if one["severity"] in ("error", "fatal")], checked.text


def test_a_doctor_corrects_a_waiting_message_on_its_page_and_a_nurse_is_refused(trust: RunningTrust, listener: Listening, ipp: str) -> None:
    with listener.sender(of_trust(trust)) as sender:
        sender.send_message(adt("A28", ipp))
        odd = oru(ipp, f"F{ipp}", f"OBX|1|QQ|2951-2^Sodium^LN||Marker{ipp}||||||F")
        assert b"MSA|AA|" in sender.send_message(odd)
    doctor = trust.person(sign_in="claire.vasseur")  # of the zone that messages enter
    client = trust.sign_in(doctor).client
    listed = client.get("/messages", headers={"cookie": f"{client.headers['cookie']}; language=fr"})
    assert (listed.status_code, "Messages" in listed.text) == (200, True)
    assert ipp not in listed.text
    page = f"/messages/{re.findall(r'/messages/([0-9a-f-]{36})', listed.text)[-1]}"
    shown = client.get(page)
    assert shown.status_code == 200, shown.text
    assert f"Marker{ipp}" in shown.text
    text = unescape(re.search(r'id="text"[^>]*>(.*?)</textarea>', shown.text, re.DOTALL)[1])  # type: ignore[index]
    still = client.post(page, data={"act": "replay", "text": text})
    assert (still.status_code, "OBX-1-2" in still.text) == (422, True)
    done = client.post(page, data={"act": "replay", "text": text.replace("|QQ|", "|ST|")})
    assert (done.status_code, done.headers["location"]) == (303, "/messages?done=replay")
    client.close()
    nurse = trust.sign_in(trust.person(role="nurse")).client
    assert nurse.get("/messages").status_code == 403
    nurse.close()
