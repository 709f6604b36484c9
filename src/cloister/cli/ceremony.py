"""`cloister ceremony`: recovery by IT, medical and management, each with a sign-in of its own. docs/recovery.md.

Run by each party on its own computer, or by one after another at one table. What opens something is typed here, and leaves
this process only sealed to that party's own session. A card in a reader is asked at the officer's computer, by `seat`.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from cloister.base.errors import Conflict, Corrupt, Denied, Invalid, NotFound
from cloister.base.settings import read_settings
from cloister.cli.own_session import OwnSession, from_base64, signed_in, to_base64
from cloister.cli.recovery_card import RecoveryCard
from cloister.identity import sign_in as passphrases
from cloister.offices import recovery_founding, software_card
from cloister.zones import algorithms, recovery, unlockers

app = typer.Typer(help="Recovery by three parties: IT, medical, management.", no_args_is_help=True, rich_markup_mode=None)
HOME: Final = "/offices/recovery"
FILE_BYTES_MAX: Final = 16_384
POLL_SECONDS: Final = 2.0

As = Annotated[str, typer.Option("--as", help="Who you are: your sign-in name.", envvar="CLOISTER_SIGN_IN")]
CardPlace = Annotated[str, typer.Option("--card", help="software:FILE or pkcs11:LABEL")]
ModulePath = Annotated[str, typer.Option("--module", help="The PKCS#11 module of the card's middleware.", envvar="CLOISTER_PKCS11")]
Number = Annotated[str, typer.Argument(help="The ceremony, as `ceremony list` shows it.")]
SetName = Annotated[str, typer.Option("--set", help="A or B.")]
Reason = Annotated[str, typer.Option("--reason", help="Why; every party and the audit log see it.")]


def _session(who: str) -> OwnSession:
    return signed_in(read_settings(), who)


@app.command()
def status(who: As) -> None:
    """How recovery stands: card sets, the last drill, epochs without a seal."""
    found = _session(who).get(f"{HOME}?seals=1")
    print(f"recovery data of IT: {'yes' if found['escrow'] else 'no: cloister ceremony escrow'}")
    for name in recovery.SETS:
        one = found["sets"].get(name)
        print(f"card set {name}: " + (f"card {one['number']}, {one['curve']}, since {one['made'][:10]}" if one else "none"))
    for reason in found["refused"]:
        print(f"a card set's record does not count ({reason}): make the set anew with `cloister ceremony replace`")
    print(f"last drill: {(found['last_drill'] or 'never')[:16]}{'  DUE: cloister ceremony drill' if found['drill_due'] else ''}")
    missing = found["missing"]
    print(
        "seals: every key is sealed for every set" if missing == [] else f"seals: {len(missing or []):,} missing: cloister ceremony reseal"
    )


@app.command("list")
def list_ceremonies(who: As) -> None:
    """Ceremonies, the newest first."""
    for one in _session(who).get(HOME)["ceremonies"]:
        print(_line(one))


@app.command()
def show(number: Number, who: As) -> None:
    """One ceremony: who asked for what, and who has taken part."""
    one = _session(who).get(f"{HOME}/{number}")
    print(_line(one))
    print(f"  opened by {one['opened_by']}, until {one['until'][:16]}: {one['reason']}")
    if one["recipient"]:
        print(f"  for {one['recipient']}, right {one['right']}")
    for step in one["steps"]:
        print(f"  {step['at'][:16]}  {step['party']:<11} {step['step']:<8} {step['name']}")
    for refused in one["refused"]:
        print(f"  did not count: {refused}")


def _line(one: dict[str, Any]) -> str:
    return f"{one['id']}  {one['state']:<13} {one['purpose']:<8} {one['zone']} (set {one['set']})"


# --- founding -----------------------------------------------------------------------------------------


@app.command()
def escrow(who: As) -> None:
    """IT, first: make the recovery data. Its passphrase is shown once, and belongs into IT's safe."""
    session = _session(who)
    trust, passphrase = session.get(HOME)["trust"], passphrases.new_passphrase()
    made, params, sealed = recovery_founding.new_recovery_data(trust, passphrase)
    keys = {"kem": to_base64(made.kem_public), "lattice": to_base64(made.lattice_public)}
    session.post(f"{HOME}/escrow", {**keys, "params": params, "sealed": to_base64(sealed)})
    print("The recovery data is stored, sealed. Its passphrase, for IT's safe, is shown this once:\n")
    print(f"  {passphrase}")


@app.command()
def found(
    who: As,
    card_a: Annotated[str, typer.Option("--card-a", help="software:FILE or pkcs11:LABEL")],
    card_b: Annotated[str, typer.Option("--card-b", help="software:FILE or pkcs11:LABEL")],
    module: ModulePath = "",
) -> None:
    """An access officer, then: make both card sets, and seal every zone's keys for them. Medical keeps the PINs."""
    if card_a == card_b:
        raise Invalid("Two sets need two cards.", hint="They lie in two safes.")
    session = _session(who)
    if taken := sorted(session.get(HOME)["sets"]):
        raise Invalid(f"Card set {taken[0]} exists already.", hint="A lost card is replaced with `cloister ceremony replace`.")
    for name, place in (("A", card_a), ("B", card_b)):
        _made(session, name, RecoveryCard(place, module))


@app.command()
def replace(who: As, name: SetName, card: CardPlace, module: ModulePath = "") -> None:
    """An access officer: a new card for a set whose card was lost; every key is sealed anew for it."""
    _made(_session(who), name, RecoveryCard(card, module))


def _made(session: OwnSession, name: str, card: RecoveryCard) -> None:
    present = session.get(HOME)
    if not present["escrow"]:  # before a key is made that nothing could be sealed to
        raise NotFound("IT has not made its recovery data.", hint="IT first: cloister ceremony escrow.", reason="no-escrow")
    asked = f"PIN of card {name} (medical types it)"
    pin = software_card.new_pin() if card.software is not None else typer.prompt(asked, hide_input=True, err=True)
    public = card.make(present["trust"], pin)
    answer = session.post(f"{HOME}/cards", {"set": name, "curve": algorithms.P256, "card": to_base64(public)})
    print(f"card set {name}: {card.place}; {answer['seals']:,} keys sealed for it. Management takes the card to its safe.")
    if card.software is not None:
        print(f"  PIN of card {name}, for medical's safe, shown this once: {pin}")


@app.command()
def reseal(who: As) -> None:
    """An access officer: seal what a set is missing, as after a rotation that found no recovery."""
    print(f"{_session(who).post(f'{HOME}/seals', {})['seals']:,} seals made")


# --- a ceremony ---------------------------------------------------------------------------------------


@app.command("open")
def open_ceremony(
    who: As,
    zone: Annotated[str, typer.Option("--zone", help="Whose key is to be recovered.")],
    to: Annotated[str, typer.Option("--to", help="Id of the certified person who receives the grant.")],
    reason: Reason,
    right: Annotated[str, typer.Option("--right", help="hold, read or write.")] = "hold",
    name: SetName = "A",
    minutes: Annotated[int, typer.Option("--minutes", help="How long it stays open.")] = 120,
) -> None:
    """Any party: ask for a zone's key, for one certified person."""
    asked = {"purpose": "recover", "set": name, "reason": reason, "zone": zone, "recipient": to, "right": right, "minutes": minutes}
    _opened(who, asked)


@app.command()
def drill(who: As, reason: Reason = "yearly drill", name: SetName = "A") -> None:
    """Any party: the same ceremony on the canary zone, which holds one known text. Once a year, with the cards' turn about."""
    _opened(who, {"purpose": "drill", "set": name, "reason": reason})


def _opened(who: str, asked: dict[str, Any]) -> None:
    number = _session(who).post(HOME, asked)["id"]
    print(f"ceremony {number} is open")
    print(f"  medical     cloister ceremony seat {number} --as NAME   (with --card pkcs11:LABEL for a card in a reader)")
    print(f"  IT          cloister ceremony give {number} --as NAME")
    print(f"  management  cloister ceremony card {number} --as NAME")


@app.command()
def give(number: Number, who: As) -> None:
    """IT: open the outer seal with the passphrase of the recovery data, and give IT's half."""
    session = _session(who)
    hand = session.post(f"{HOME}/{number}/hand", {"what": "escrow"})
    typed = typer.prompt("Passphrase of the recovery data", hide_input=True, err=True).strip()
    kek, _ = unlockers.passphrase_secrets(typed, hand["params"])
    session.post(f"{HOME}/{number}/escrow", {"sealed": _sealed(hand, hand["info"], kek.reveal())})
    print("IT's half is given.")


@app.command()
def card(
    number: Number,
    who: As,
    file: Annotated[Path | None, typer.Option("--file", help="A software card's file; without it, the card itself is brought.")] = None,
) -> None:
    """Management: bring the card of the named set. Keep it in your hand, and take it back."""
    session = _session(who)
    sealed = None
    if file is not None:
        try:
            raw = file.read_bytes()[:FILE_BYTES_MAX]
        except OSError as wrong:
            raise NotFound(f"{file} cannot be read: {wrong.strerror}.", hint="Bring the card's file from the safe.") from wrong
        software_card.read_card(raw)
        hand = session.post(f"{HOME}/{number}/hand", {"what": "card"})
        sealed = _sealed(hand, hand["info"], raw)
    session.post(f"{HOME}/{number}/card", {"sealed": sealed})
    print("The card's part is given.")


@app.command()
def seat(
    number: Number,
    who: As,
    place: Annotated[str, typer.Option("--card", help="The card at this computer: pkcs11:LABEL, or software:FILE.")] = "",
    module: ModulePath = "",
) -> None:
    """Medical: take the seat, wait for IT and management, then type the PIN. The key appears in your session, and nowhere else.

    One command from beginning to end, because signing in again puts a session's keys away, and the seat with them.
    """
    session = _session(who)
    session.post(f"{HOME}/{number}/join", {})
    print("You have the seat. IT and management give their parts now.", flush=True)
    _wait_until_ready(session, number)
    hand = session.post(f"{HOME}/{number}/hand", {"what": "pin"})
    if hand["params"] is None and not place:
        raise Invalid("The card itself is needed.", hint="Begin again with --card pkcs11:LABEL --module FILE.", reason="no-card")
    while True:
        pin = typer.prompt("PIN of the card", hide_input=True, err=True).strip()
        try:
            print(f"done: {session.post(f'{HOME}/{number}/finish', _opening(hand, pin, RecoveryCard(place, module)))['result']}")
            return
        except Denied as refused:
            if not refused.reason.startswith("wrong-pin"):
                raise
            print(f"{refused.text} {refused.hint}", file=sys.stderr)
        except Corrupt as refused:
            if refused.reason != "tag":
                raise
            raise Denied("This card does not open this key.", hint="Bring the card of the named set.", reason="other-card") from None


def _wait_until_ready(session: OwnSession, number: str) -> None:
    while True:
        one = session.get(f"{HOME}/{number}")
        if one["state"] == "ready":
            return
        if not one["live"] or not one["seated"]:
            raise Conflict(f"The ceremony is '{one['state']}' now.", hint="See `cloister ceremony show`.", reason="ceremony-state")
        time.sleep(POLL_SECONDS)


def _opening(hand: dict[str, Any], pin: str, card: RecoveryCard) -> dict[str, str]:
    """What the seat finishes with: the card's own secret, or the key that the PIN of a software card gives."""
    if card.place:
        return {"secret": _sealed(hand, hand["secret_info"], card.agree(pin, bytes.fromhex(hand["ephemeral"])).reveal())}
    return {"pin": _sealed(hand, hand["info"], software_card.pin_kek(pin, hand["params"]).reveal())}


@app.command()
def stop(number: Number, who: As, reason: Reason) -> None:
    """Any party: stop it. Another one can be opened."""
    _session(who).post(f"{HOME}/{number}/stop", {"reason": reason})
    print("stopped")


def _sealed(hand: dict[str, Any], info: str, plain: bytes) -> str:
    return to_base64(algorithms.kem_seal(from_base64(hand["key"]), plain, info.encode()))
