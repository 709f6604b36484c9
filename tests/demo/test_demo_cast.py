"""The demo's people: two hospitals, six wards, the offices apart, passphrases that can be said aloud."""

from __future__ import annotations

import re

from cloister.demo import demo_plan, first_program_of
from cloister.identity import Role


def test_the_plan_can_be_founded() -> None:
    plan = demo_plan("seed")
    plan.check()
    assert [hospital.kind for hospital in plan.hospitals] == ["general", "psychiatric"]
    assert sum(len(hospital.wards) for hospital in plan.hospitals) == 6


def test_every_ward_has_doctors_and_nurses() -> None:
    plan = demo_plan("seed")
    for hospital in plan.hospitals:
        for ward in hospital.wards:
            staff = [person for person in plan.people if person.zones[:1] == (ward.id,)]
            assert {person.role for person in staff} == {Role.DOCTOR, Role.NURSE}
            assert all(person.hospital == hospital.id for person in staff)


def test_a_psychiatric_nurse_opens_only_her_own_ward() -> None:
    elise = next(person for person in demo_plan("seed").people if person.sign_in == "elise.renaud")
    assert elise.zones == ("sainte-anne-tilleuls",)


def test_officers_and_the_it_operator_open_no_zone() -> None:
    offices = {person.role: person for person in demo_plan("seed").people if person.role not in (Role.DOCTOR, Role.NURSE)}
    assert set(offices) == {Role.ACCESS_OFFICER, Role.CERTIFICATE_OFFICER, Role.PRIVACY_OFFICER, Role.MANAGEMENT, Role.IT_OPERATOR}
    assert not any(person.zones for person in offices.values())


def test_the_first_program_opens_the_first_hospital_and_the_second_the_other() -> None:
    plan = demo_plan("seed")
    first = plan.programs[0]
    assert first.client_id == "lab-gateway"
    for hospital, program in zip(plan.hospitals, plan.programs[:2], strict=True):
        assert first_program_of(plan, hospital.id) is program
        assert program.zones == (hospital.id, *(ward.id for ward in hospital.wards))


def test_passphrases_are_memorable_different_and_known_only_from_the_seed() -> None:
    phrases = [person.passphrase or "" for person in demo_plan("one").people]
    assert len(set(phrases)) == len(phrases)
    assert all(re.fullmatch(r"([a-z]+-){4}\d\d", phrase) for phrase in phrases)
    assert phrases == [person.passphrase for person in demo_plan("one").people]
    assert not set(phrases) & {person.passphrase for person in demo_plan("two").people}


def test_a_passphrase_does_not_print_itself() -> None:
    person = demo_plan("one").people[0]
    assert person.passphrase
    assert person.passphrase not in repr(person)


def test_the_machine_holds_no_zone_and_seals_into_the_first_hospitals() -> None:
    machine = demo_plan("seed").programs[-1]
    assert machine.client_id == "blood-analyser"
    assert machine.zones == ()
    assert "saint-roch-cardiology" in machine.seals_into
