"""What a witness decides: this checkpoint continues what it has seen, or it is refused by name. C2SP tlog-witness.

The state is one file, replaced whole before an answer leaves: after a crash a witness remembers every word it gave.
What was refused although the log had signed it is kept beside it: it is the proof of a fork.
"""

from __future__ import annotations

import base64
import binascii
import json
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from cloister.audit import Checkpoint, NoteKey, NoteSigner, tree, verified_checkpoint
from cloister.base.clock import Clock, iso, system_clock
from cloister.base.errors import Conflict, Corrupt
from cloister.witness.folder import Folder

FORM: Final = "cloister/witness/v1"
PROOF_LINES_MAX: Final = 63
EVIDENCE_MAX: Final = 100


class Refusal(StrEnum):
    """Why a witness does not sign, and with which HTTP status it says so (tlog-witness, add-checkpoint)."""

    MALFORMED = "malformed"
    UNKNOWN_LOG = "unknown-log"
    SIGNATURE = "signature"
    OLD_SIZE = "old-size"  # the proof begins elsewhere than at what this witness saw last
    ROLLED_BACK = "rolled-back"  # a shorter log than the one that was seen
    FORKED = "forked"  # as long, and another root; or the proof does not hold


STATUS: Final = {
    Refusal.MALFORMED: 400,
    Refusal.UNKNOWN_LOG: 404,
    Refusal.SIGNATURE: 403,
    Refusal.OLD_SIZE: 409,
    Refusal.ROLLED_BACK: 409,
    Refusal.FORKED: 422,
}
SENTENCES: Final = {
    Refusal.MALFORMED: "This is not an old size, a proof and a checkpoint.",
    Refusal.UNKNOWN_LOG: "This witness does not watch that log.",
    Refusal.SIGNATURE: "The log's key did not sign this checkpoint.",
    Refusal.OLD_SIZE: "The proof does not begin at the checkpoint that this witness saw last.",
    Refusal.ROLLED_BACK: "The log is shorter than the one that this witness saw: it was cut or put back from a backup.",
    Refusal.FORKED: "The log does not continue the one that this witness saw: it was rewritten or forked.",
}


class Refused(Conflict):
    """`size` is what this witness saw last."""

    def __init__(self, refusal: Refusal, size: int = 0) -> None:
        super().__init__(SENTENCES[refusal], reason=refusal.value)
        self.refusal: Final = refusal
        self.size: Final = size


@dataclass(frozen=True, slots=True)
class Submission:
    """The body of add-checkpoint: old size, consistency proof, checkpoint."""

    old_size: int
    proof: tuple[bytes, ...]
    note: str

    def text(self) -> str:
        lines = [f"old {self.old_size}", *(base64.b64encode(one).decode() for one in self.proof)]
        return "\n".join(lines) + "\n\n" + self.note


def parsed_submission(text: str) -> Submission:
    head, mark, note = text.partition("\n\n")
    first, *proof = head.split("\n")
    word, _, size = first.partition(" ")
    try:
        found = Submission(int(size), tuple(base64.b64decode(one, validate=True) for one in proof), note)
    except (ValueError, binascii.Error):
        raise Refused(Refusal.MALFORMED) from None
    if not mark or word != "old" or str(found.old_size) != size or found.old_size < 0 or len(proof) > PROOF_LINES_MAX:
        raise Refused(Refusal.MALFORMED)
    return found


def judged(log: NoteKey, seen: Checkpoint | None, given: Submission) -> Checkpoint:
    """The checkpoint, if it continues what was seen. Pure."""
    known = seen.size if seen is not None else 0
    try:
        found = verified_checkpoint(given.note, log)
    except Corrupt as wrong:
        named = {"origin": Refusal.UNKNOWN_LOG, "signature": Refusal.SIGNATURE}
        raise Refused(named.get(wrong.reason, Refusal.MALFORMED), known) from None
    if seen is not None and found.size < known:
        raise Refused(Refusal.ROLLED_BACK, known)
    if given.old_size != known:
        raise Refused(Refusal.OLD_SIZE, known)
    if known == 0:
        if given.proof:
            raise Refused(Refusal.MALFORMED)
        return found
    assert seen is not None
    try:
        tree.verify_consistency(known, seen.root, found.size, found.root, given.proof)
    except Corrupt:
        raise Refused(Refusal.FORKED, known) from None
    return found


class Witness:
    """One log, one key, one file. Safe to call from several threads."""

    def __init__(
        self, log: NoteKey, signer: NoteSigner, folder: Folder, *, name: str = "witness.json", clock: Clock = system_clock
    ) -> None:
        self._log = log
        self._signer = signer
        self._folder = folder
        self._name = name
        self._clock = clock
        self._lock = threading.Lock()
        self._state = self._read()
        self.seen: Checkpoint | None = verified_checkpoint(self._state["note"], log) if self._state["note"] else None

    @property
    def evidence(self) -> Sequence[dict[str, str]]:
        """Checkpoints that the log signed and that contradict what was seen."""
        return list(self._state["evidence"])

    def add(self, given: Submission) -> str:
        """The cosignature's line; Refused by name."""
        with self._lock:
            try:
                found = judged(self._log, self.seen, given)
            except Refused as refused:
                if refused.refusal in (Refusal.ROLLED_BACK, Refusal.FORKED):
                    self._testify(refused.refusal, given.note)
                raise
            self._keep(found, self._state["evidence"])
            return self._signer.cosignature(found.parsed.text, int(self._clock().timestamp()))

    def start_again(self, note: str, why: str) -> None:
        """Two officers answered for a restored log: it is watched from this checkpoint on, and the break stays on file."""
        with self._lock:
            found = verified_checkpoint(note, self._log)
            line = {"at": iso(self._clock()), "refusal": "restored", "note": f"{why}\n{self._state['note']}"}
            self._keep(found, [*self._state["evidence"], line][-EVIDENCE_MAX:])

    def _testify(self, refusal: Refusal, note: str) -> None:
        line = {"at": iso(self._clock()), "refusal": refusal.value, "note": note}
        if any(one["note"] == note for one in self._state["evidence"]):
            return
        self._write({**self._state, "evidence": [*self._state["evidence"], line][-EVIDENCE_MAX:]})

    def _keep(self, found: Checkpoint, evidence: list[dict[str, str]]) -> None:
        self._write({**self._state, "note": found.note, "evidence": evidence})
        self.seen = found

    def _write(self, state: dict[str, Any]) -> None:
        self._folder.replace(self._name, json.dumps(state, ensure_ascii=False, indent=1))
        self._state = state

    def _read(self) -> dict[str, Any]:
        text = self._folder.read(self._name)
        if text is None:
            return {"form": FORM, "note": "", "evidence": []}
        try:
            state = json.loads(text)
            if state["form"] != FORM or not isinstance(state["note"], str) or not isinstance(state["evidence"], list):
                raise ValueError
        except (ValueError, KeyError, TypeError):
            raise Corrupt(
                f"The witness's memory {self._folder.path / self._name} is not in the written form.",
                hint="Restore it from a copy. Without it this witness would accept a log that was rewritten.",
                reason="witness-state",
            ) from None
        return dict(state)
