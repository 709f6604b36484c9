"""Two people work on one server, and one of them, or an account of the machine, tries to reach the other."""

from __future__ import annotations

import asyncio
import json
import os
import re
import socket
import stat
from pathlib import Path
from typing import Any, Final

import pytest
import ticket_words
from journeys_cast import (
    CARDIOLOGIST,
    FHIR,
    PSYCHIATRIC_NURSE,
    SURGERY_NURSE,
    Administrator,
    Company,
    created,
    observation,
    patient,
    reference,
    word,
)  # fmt: skip
from other_account import against, as_account, calls, connect, named
from running_trust import RunningTrust, SignedIn

from cloister.base.process import known_account
from cloister.base.wire import Caller
from cloister.records.definitions import type_numbers

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give sessions accounts of their own, and become them")

TILLEULS: Final = "sainte-anne-tilleuls"
SURGERY: Final = "saint-roch-surgery"
REFUSED: Final = {"EACCES", "EPERM", "ECONNREFUSED", "ECONNRESET", "EPIPE", "ENOENT"}
PARTS: Final = ("cloister-db", "cloister-gate", "cloister-ctl", "cloister-edge")


def process_of(trust: RunningTrust, session: str) -> dict[str, Any]:
    for path in (trust.runtime / "sessions").glob("*.json"):
        record = dict(json.loads(path.read_text()))
        if record["session"] == session:
            return record
    raise LookupError(session)


@pytest.fixture(scope="module")
def claire(company: Company) -> SignedIn:
    return company.signed_in(CARDIOLOGIST)


@pytest.fixture(scope="module")
def elise(company: Company) -> SignedIn:
    return company.signed_in(PSYCHIATRIC_NURSE)


def test_each_has_a_process_of_an_account_of_its_own_walled_in(trust: RunningTrust, claire: SignedIn, elise: SignedIn) -> None:
    records = [process_of(trust, one.session) for one in (claire, elise)]
    assert len({record["pid"] for record in records} | {record["uid"] for record in records}) == 4
    for record in records:
        status = dict(re.findall(r"^(\w+):[ \t]*(.*)$", Path(f"/proc/{record['pid']}/status").read_text(), re.M))
        assert status["Uid"].split() == [str(record["uid"])] * 4
        assert status["Groups"].strip() == ""
        assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")
        assert {status[name] for name in ("CapInh", "CapPrm", "CapEff", "CapAmb")} == {"0" * 16}
        assert "0" in Path(f"/proc/{record['pid']}/limits").read_text().split("Max core file size")[1].split()[:2]
        assert Path(f"/proc/{record['pid']}/environ").stat().st_uid == 0, "not dumpable, so its /proc belongs to root"


def test_a_session_has_no_file_open_but_its_sockets_and_no_secret_in_its_environment(trust: RunningTrust, claire: SignedIn) -> None:
    pid = process_of(trust, claire.session)["pid"]
    opened = {os.readlink(one) for one in Path(f"/proc/{pid}/fd").iterdir()}
    allowed = re.compile(r"socket:|anon_inode:|/dev/null$|/memfd:|.*/logs/[a-z]+\.log$|pipe:")
    assert [one for one in opened if not allowed.match(one)] == []
    seen = Path(f"/proc/{pid}/environ").read_bytes() + Path(f"/proc/{pid}/cmdline").read_bytes()
    person = trust.person(sign_in=CARDIOLOGIST)
    secrets = [path for path in (trust.state / "secrets").iterdir() if path.suffix in (".token", ".key") or "database" in path.name]
    held = [path.read_bytes().strip() for path in secrets]
    assert [one for one in (person["passphrase"].encode(), person["name"].encode(), *held) if one in seen] == []


@pytest.mark.parametrize("who", ["another session", "nobody", *PARTS])
def test_no_other_account_reaches_into_claires_process(who: str, trust: RunningTrust, claire: SignedIn, elise: SignedIn) -> None:
    pid = process_of(trust, claire.session)["pid"]
    if who == "another session":
        uid = gid = process_of(trust, elise.session)["uid"]
    elif who == "nobody":
        uid = gid = 65534
    else:
        account = known_account(who)
        assert account is not None
        uid, gid = account.uid, account.gid
    tried = as_account(uid, gid, lambda: against(pid))
    assert {way: how for way, how in tried.items() if how not in REFUSED} == {}
    assert claire.client.get("/session/state").json()["state"] == "active"


@pytest.mark.parametrize("who", ["another session", "nobody"])
def test_no_other_account_reaches_files_or_sockets_of_the_trust(who: str, trust: RunningTrust, claire: SignedIn, elise: SignedIn) -> None:
    uid = process_of(trust, elise.session)["uid"] if who == "another session" else 65534
    slot = process_of(trust, claire.session)["slot"]
    folder = trust.runtime
    sockets = [folder / "slots" / f"{slot}.sock", folder / "control" / f"{slot}.sock", folder / "controller.sock", folder / "door.sock"]
    sockets += [folder / "database" / ".s.PGSQL.5432", *folder.glob("zygote*.sock")]
    files = [one for one in [trust.state, *trust.state.rglob("*")] if "public" not in one.parts]
    # The folder above the state is not the point here: it may be as open as /var/lib.
    above = trust.state.parent
    mode = above.stat().st_mode
    above.chmod(0o755)
    try:
        knocked = as_account(uid, uid, lambda: {str(one): named(lambda: connect(one)) for one in sockets})  # noqa: B023
        read = as_account(uid, uid, lambda: [str(one) for one in files if named(lambda: os.open(one, os.O_RDONLY)) == "done"])  # noqa: B023
        written = as_account(uid, uid, lambda: [str(one) for one in (folder, *folder.iterdir()) if os.access(one, os.W_OK)])
    finally:
        above.chmod(stat.S_IMODE(mode))
    assert {path: how for path, how in knocked.items() if how not in REFUSED} == {}
    assert read == []
    assert {Path(path).name for path in written} <= {"gate.sock", "agent.sock"}, "these ask the kernel who calls"


def test_even_the_edge_gets_only_what_the_ticket_says_from_a_slot(trust: RunningTrust, claire: SignedIn, elise: SignedIn) -> None:
    """Envoy's own account speaks to Claire's slot with Élise's session id, and with none."""
    edge = known_account("cloister-edge")
    assert edge is not None
    path = str(trust.runtime / "slots" / f"{process_of(trust, claire.session)['slot']}.sock")

    def say(headers: str) -> bytes:
        with socket.socket(socket.AF_UNIX) as plug:
            plug.settimeout(5)
            plug.connect(path)
            plug.sendall(f"GET {FHIR}/Patient HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{headers}\r\n".encode())
            answer = b""
            while more := plug.recv(65536):
                answer += more
            return answer

    hers, other = (f"{ticket_words.HEADER}: {ticket_words.payload(sid=one, epoch=1)}\r\n" for one in (claire.session, elise.session))
    lies = ("", other, f"x-cloister-sid: {claire.session}\r\n", f"{ticket_words.HEADER}: x\r\n", hers, hers + hers)
    for answer in as_account(edge.uid, edge.gid, lambda: [say(one) for one in lies]):
        assert answer.split(b" ", 2)[1] in (b"421", b"401"), answer
        assert b"family" not in answer


def test_a_process_that_nobody_admitted_gets_nothing_from_the_gate_and_the_agent(trust: RunningTrust, elise: SignedIn) -> None:
    uid = process_of(trust, elise.session)["uid"]
    wanted: list[tuple[str, dict[str, Any]]] = [("trust_material", {}), ("rows_by_id", {"rtype": 1, "ids": [bytes(16)]})]
    wanted += [("look_ciphertext", {})]
    wanted += [("audit_append", {"entries": []}), ("audit_append", {"token": "guess", "entries": []})]
    wanted += [("session_admit", {"token": "", "pid": os.getpid(), "uid": uid, "session": "s", "person": "p", "role": "doctor"})]
    for account in (uid, 65534):
        reasons = [reason for reason, _ in as_account(account, account, lambda: calls(trust.runtime / "gate.sock", wanted))]
        assert reasons == ["unknown-process"] * 4 + ["unknown-service"] * 2
        spawn = ("spawn", {"session": "x", "person": "p", "role": "doctor", "kind": "person", "epoch": 1})
        asked = as_account(account, account, lambda: calls(trust.runtime / "agent.sock", [spawn, ("list", {}), ("session_renew", {})]))  # noqa: B023
        assert {reason for reason, _ in asked} <= {"peer", "unknown-process", "denied"}, asked


class Hijacked:
    """Nadia's session as an intruder would have it who has taken over its process: free to say anything to the gate."""

    UID: Final = 210_900

    def __init__(self, trust: RunningTrust, administrator: Administrator, person: str, role: str = "nurse") -> None:
        self._path = trust.runtime / "gate.sock"
        self._token = (trust.state / "secrets" / "agent.token").read_text().strip()
        self._person = str(administrator.one("select id from trust.person where sign_in = $1", person))
        self._role = role

    def say(self, *wanted: tuple[str, dict[str, Any]]) -> list[tuple[str, Any]]:
        return as_account(self.UID, self.UID, lambda: calls(self._path, list(wanted)), before=self._admit)

    def _admit(self, pid: int) -> None:
        async def admit() -> None:
            caller = Caller(self._path, part="store gate")
            whose = {"pid": pid, "uid": self.UID, "session": f"hijacked-{pid}", "person": self._person, "role": self._role}
            await caller.call("session_admit", token=self._token, **whose)
            caller.close()

        asyncio.run(admit())


@pytest.fixture(scope="module")
def hijacked(trust: RunningTrust, administrator: Administrator) -> Hijacked:
    return Hijacked(trust, administrator, SURGERY_NURSE)


@pytest.fixture(scope="module")
def hidden(company: Company) -> dict[str, Any]:
    return created(company.program(1), patient(word()), **{"cloister-zone": TILLEULS})


@pytest.fixture(scope="module")
def own(company: Company) -> dict[str, Any]:
    return created(company.program(0), patient(word()), **{"cloister-zone": SURGERY})


def test_a_hijacked_session_asks_the_gate_for_other_zones_in_vain(
    hijacked: Hijacked, hidden: dict[str, Any], own: dict[str, Any], administrator: Administrator
) -> None:
    theirs, mine = administrator.dossier_of(reference(hidden)).bytes, administrator.dossier_of(reference(own)).bytes
    kind, row = type_numbers()["Patient"], bytes.fromhex(hidden["id"].replace("-", ""))
    tokens = [int(one) for one in administrator.one("select toks from care.zidx where zone = $1 limit 1", TILLEULS)]
    asked: list[tuple[str, dict[str, Any]]] = [
        ("rows_by_id", {"rtype": kind, "ids": [row]}),
        ("rows", {"dossiers": [theirs], "rtypes": [kind], "ids": [row]}),
        ("locate", {"rtypes": [kind], "ids": [row]}),
        ("versions", {"dossier": theirs, "rtype": kind, "id": row}),
        ("open_dossiers", {"dossiers": [theirs], "since": [0], "seqs": [0]}),
        ("commits", {"dossier": theirs}),
        ("shard", {"zone": TILLEULS, "known": []}),
        ("find", {"rtype": kind, "groups": [tokens]}),
        ("readers", {"dossier": theirs}),
    ]
    for (method, _), (reason, answer) in zip(asked, hijacked.say(*asked), strict=True):
        assert reason == "done", (method, answer)
        assert answer in ([], [[], []]), (method, answer)
    (_, listed), (_, opened) = hijacked.say(
        ("dossiers", {"after": bytes(16), "limit": 1000}), ("open_dossiers", {"dossiers": [mine], "since": [0], "seqs": [0]})
    )
    assert mine in [one[0] for one in listed]
    assert theirs not in [one[0] for one in listed]
    assert opened, "its own it does get: the trial is not blind"


def test_a_hijacked_session_writes_nothing_outside_its_zones_and_nothing_in_anothers_name(
    hijacked: Hijacked, hidden: dict[str, Any], own: dict[str, Any], administrator: Administrator, company: Company
) -> None:
    theirs, mine = administrator.dossier_of(reference(hidden)).bytes, administrator.dossier_of(reference(own)).bytes
    nothing: dict[str, list[Any]] = {name: [] for name in columns_of_a_write()}
    head = int(administrator.one("select seq from care.dossier where id = $1", administrator.dossier_of(reference(hidden))))

    def write(**columns: list[Any]) -> tuple[str, dict[str, Any]]:
        return "write", nothing | columns

    key = {"key_no": [1], "key_epoch": [1], "key_zone": [SURGERY], "key_wrapped": [bytes(60)]}
    there = {"dossier": [theirs], "kind": ["patient"], "expected": [head], "commit": [b"x"]}
    here = {"dossier": [mine], "kind": ["patient"], "expected": [1], "commit": [b"x"]}
    part = {"part_d": [1], "part_no": [9], "part_ct": [b"x"]}
    asked = [
        write(**there, **part),
        write(**there, **part, key_d=[1], **key),
        write(**(there | {"expected": [0]}), **part),
        write(**here, **part, key_d=[1], **(key | {"key_zone": [TILLEULS]})),
        write(**here, **part, shard_zone=[TILLEULS], shard_no=[1], shard_ct=[b"x"]),
        write(**here, **part, shard_drop_zone=[TILLEULS], shard_drop_no=[1]),
        write(**here, **part, tok_zone=[TILLEULS], tok_d=[1], tok_rtype=[1], tok_id=[bytes(16)], tok_first=[1], tok_last=[1], toks=[1]),
        write(**here, **part, tok_zone=[TILLEULS], tok_d=[2], tok_rtype=[1], tok_id=[bytes(16)], tok_first=[1], tok_last=[1], toks=[1]),
        write(**here, **(part | {"part_no": [9, 10]})),
        write(dossier=[], kind=[], expected=[], commit=[]),
    ]
    before = administrator.rows("select count(*), coalesce(sum(seq), 0) from care.dossier")
    reasons = [reason for reason, _ in hijacked.say(*asked)]
    assert set(reasons) <= {"zone-not-held", "head-moved", "columns"}, reasons
    assert administrator.rows("select count(*), coalesce(sum(seq), 0) from care.dossier") == before
    assert company.person("marc.delorme").get(f"{FHIR}/{reference(hidden)}").status_code == 200
    own_ways = administrator.rows(  # the passphrase, and before it what other tests may have added
        "select u.id from trust.unlocker u join trust.person p on p.id = u.person where sign_in = $1 order by u.created desc", CARDIOLOGIST
    )
    reason, _ = hijacked.say(*(("unlocker_remove", {"id": way}) for (way,) in own_ways))[-1]
    assert reason == "last-unlocker"
    entry = {"action": "read", "kind": "Patient", "object": "x", "outcome": "success", "reason": ""}
    forged = [("audit_append", {"entries": [entry | more]}) for more in ({"actor": "somebody"}, {"object": "o" * 5000})]
    assert {reason for reason, _ in hijacked.say(*forged)} == {"arguments"}
    hijacked.say(("audit_append", {"entries": [entry]}))
    last = [entry for entry in administrator.entries() if entry["session"].startswith("hijacked-")][-1]
    assert (last["actor"], last["source"]) == (hijacked._person, "session")
    assert last["session"].startswith("hijacked-")


def columns_of_a_write() -> tuple[str, ...]:
    from cloister.records.gate.writing import NAMES

    return NAMES


def test_the_gate_takes_only_its_own_statements_in_their_own_form(hijacked: Hijacked, trust: RunningTrust) -> None:
    asked: list[tuple[str, dict[str, Any]]] = [
        ("select 1", {}),
        ("execute", {"sql": "select * from trust.unlocker"}),
        ("__class__", {}),
        ("look_ciphertext", {"limit": 5}),
        ("look_ciphertext", {"limit": 5, "role": "it-operator"}),
        ("shard", {"zone": "x'; drop table care.res; --", "known": []}),
        ("dossiers", {"after": bytes(16), "limit": 10**9}),
        ("dossiers", {"after": b"short", "limit": 1}),
        ("rows_by_id", {"rtype": "1 or 1=1", "ids": []}),
        ("rows_by_id", {"rtype": 1, "ids": [bytes(16)], "zones": [TILLEULS]}),
        ("find", {"rtype": 1, "groups": [[1]] * 9}),
        ("session_admit", {"pid": 1}),
        ("session_dismiss", {"token": "guess", "session": "x"}),
    ]
    answers = hijacked.say(*asked)
    for (method, arguments), (reason, answer) in zip(asked, answers, strict=True):
        expected = {"done"} if method == "shard" else {"unknown-statement", "arguments", "role", "unknown-service"}
        assert reason in expected, (method, arguments, answer)
        assert answer == [] or reason != "done"


def test_noise_on_the_gates_socket_disturbs_nobody(trust: RunningTrust, claire: SignedIn) -> None:
    for noise in (b"GET / HTTP/1.1\r\n\r\n", b"\xff" * 64, b"\xff\xff\xff\x7f", b"\0\0\0\5hello", os.urandom(4096)):
        with socket.socket(socket.AF_UNIX) as plug:
            plug.connect(str(trust.runtime / "gate.sock"))
            plug.sendall(noise)
    assert claire.client.get(f"{FHIR}/Patient?_summary=count").status_code == 200


def test_what_one_session_did_is_not_seen_by_the_next_person_in_its_slot(trust: RunningTrust, company: Company) -> None:
    claire = company.person(CARDIOLOGIST)
    who = created(claire, patient(word()))
    created(claire, observation(reference(who)))
    page = claire.get(f"{FHIR}/Patient?_count=1").json()
    following = next(link["url"] for link in page["link"] if link["relation"] == "next")
    answer = company.person(PSYCHIATRIC_NURSE).get(following)
    assert answer.status_code == 404
    assert "family" not in answer.text
