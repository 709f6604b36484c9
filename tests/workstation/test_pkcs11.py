"""What a card refuses and SoftHSM2 never does: a real module behind one PKCS#11 function that answers as such a card answers."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable, Iterator
from ctypes import c_ulong, c_void_p

import pytest
from card_rig import PIN, SOFTHSM, CardDrawer

from cloister.workstation import Agent, CardFault, Module, pkcs11

USE = {"trust": "trust-1", "person": "p-claire", "unlocker": "u-card"}


class Table:
    """A CK_FUNCTION_LIST in which single functions are ours."""

    def __init__(self) -> None:
        self._library = ctypes.CDLL(SOFTHSM)
        real = c_void_p()
        assert self._library.C_GetFunctionList(ctypes.byref(real)) == 0
        size = pkcs11.FUNCTIONS_AT * (pkcs11.FUNCTION_COUNT + 1)
        self._copy = ctypes.create_string_buffer(ctypes.string_at(real.value or 0, size), size)
        self.address = ctypes.addressof(self._copy)
        self._places = (c_void_p * pkcs11.FUNCTION_COUNT).from_address(self.address + pkcs11.FUNCTIONS_AT)
        self._kept: list[object] = []

    def replace(self, name: str, ours: Callable[..., int]) -> Callable[..., int]:
        """`ours` is called instead; returns the real one."""
        place, count = pkcs11.FUNCTIONS[name]
        form = ctypes.CFUNCTYPE(c_ulong, *[c_void_p] * count)
        real = form(self._places[place] or 0)
        wrapped = form(ours)
        self._kept += [real, wrapped]
        self._places[place] = ctypes.cast(wrapped, c_void_p).value
        return real


@pytest.fixture
def table(drawer: CardDrawer, monkeypatch: pytest.MonkeyPatch) -> Iterator[Table]:
    drawer.card("Claire Vasseur")
    monkeypatch.setenv("SOFTHSM2_CONF", drawer.environment["SOFTHSM2_CONF"])
    assert os.environ["SOFTHSM2_CONF"]
    yield Table()
    ctypes.CDLL(SOFTHSM).C_Finalize(None)


def reason(agent: Agent) -> str:
    with pytest.raises(CardFault) as fault:
        agent.enrol("https://record.example", USE)
    return fault.value.reason


def test_three_wrong_pins_block_a_card_and_each_is_said_as_what_it_is(table: Table) -> None:
    tries, typed = [3], ["000000"]
    flags = {2: pkcs11.PIN_COUNT_LOW, 1: pkcs11.PIN_COUNT_LOW | pkcs11.PIN_FINAL_TRY, 0: pkcs11.PIN_LOCKED}

    def login(session: int, user: int, pin: int, length: int) -> int:
        if tries[0] == 0:
            return pkcs11.PIN_IS_LOCKED
        if ctypes.string_at(pin, length) == PIN.encode():
            tries[0] = 3
            return real_login(session, user, pin, length)
        tries[0] -= 1
        return pkcs11.PIN_INCORRECT

    def token_info(slot: int, info: int) -> int:
        answer = real_info(slot, info)
        shown = pkcs11.TokenInfo.from_address(info)
        shown.flags = shown.flags & ~0x70000 | flags.get(tries[0], 0)
        return answer

    real_login, real_info = table.replace("C_Login", login), table.replace("C_GetTokenInfo", token_info)
    agent = Agent(Module(table.address), lambda question: typed[0])
    assert [reason(agent) for _ in range(4)] == ["wrong-pin-low", "wrong-pin-final", "card-blocked", "card-blocked"]
    typed[0] = PIN
    assert reason(agent) == "card-blocked"  # the right PIN comes too late
    agent.close()


def test_one_sign_in_is_one_operation_of_the_card(table: Table) -> None:
    count = [0]

    def derive(*arguments: int) -> int:
        count[0] += 1
        return real(*arguments)

    real = table.replace("C_DeriveKey", derive)
    agent = Agent(Module(table.address), lambda question: PIN)
    params = agent.enrol("https://record.example", USE)["params"]
    count[0] = 0
    agent.unlock("https://record.example", {**USE, "params": params})
    assert count == [1]
    agent.close()


def test_a_card_that_is_pulled_while_it_computes_is_said(table: Table) -> None:
    table.replace("C_DeriveKey", lambda *_: 0x32)  # CKR_DEVICE_REMOVED
    agent = Agent(Module(table.address), lambda question: PIN)
    assert reason(agent) == "card-pulled"
    agent.close()


def test_a_card_without_room_for_the_second_half_is_said(table: Table) -> None:
    table.replace("C_CreateObject", lambda *_: 0x31)  # CKR_DEVICE_MEMORY
    agent = Agent(Module(table.address), lambda question: PIN)
    assert reason(agent) == "card-no-room"
    agent.close()


def test_a_reader_with_its_own_keys_is_asked_without_a_pin_from_here(table: Table) -> None:
    logins: list[tuple[int, int]] = []

    def login(session: int, user: int, pin: int | None, length: int | None) -> int:
        logins.append((pin or 0, length or 0))
        raw = ctypes.create_string_buffer(PIN.encode())
        return real_login(session, user, ctypes.addressof(raw), len(PIN))

    def token_info(slot: int, info: int) -> int:
        answer = real_info(slot, info)
        pkcs11.TokenInfo.from_address(info).flags |= pkcs11.PIN_PAD
        return answer

    real_login, real_info = table.replace("C_Login", login), table.replace("C_GetTokenInfo", token_info)
    agent = Agent(Module(table.address), lambda question: pytest.fail("asked for a PIN"))
    assert agent.enrol("https://record.example", USE)["params"]["profile"] == "a"
    assert logins == [(0, 0)]
    agent.close()


def test_a_file_that_is_no_module_is_said() -> None:
    for path in ("/nonexistent.so", "/etc/hostname", "libc.so.6"):
        with pytest.raises(CardFault) as fault:
            Module.load(path)
        assert fault.value.reason == "no-module"
