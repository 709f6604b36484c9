-- Enrolment after the founding: somebody is registered, brings public keys with a one-time code, and is certified.
-- Until then nobody of that name exists. The same way leads back for a person who has lost every unlocker.

create table trust.applicant (
    id text primary key,
    person text not null,                       -- the id that the person has, or will have
    renews bool not null,                       -- whether the person exists already, and gets new keys
    sign_in text not null,
    name text not null,
    role text not null check (role in ('doctor', 'nurse', 'access-officer', 'certificate-officer', 'privacy-officer', 'management', 'it-operator')),
    hospital text references trust.hospital,
    language text not null,
    code bytea not null check (length(code) = 32),  -- SHA-256 of the code
    state text not null default 'open' check (state in ('open', 'answered', 'certified', 'withdrawn')),
    made timestamptz not null default now(),
    made_by text not null references trust.person,
    until timestamptz not null,
    kem_public bytea,
    sign_public bytea,
    sealed_private bytea,
    unlockers jsonb,
    challenge bytea,
    proof bytea,
    answered timestamptz,
    check (state not in ('answered', 'certified') or num_nulls(kem_public, sign_public, sealed_private, unlockers, challenge, proof) = 0)
);
create unique index applicant_open on trust.applicant (sign_in) where state in ('open', 'answered');

-- The door takes what an applicant brings; it reads no sealed key back, and changes nothing that the officer wrote.
grant select (id, person, renews, sign_in, name, role, hospital, language, code, state, until) on trust.applicant to cloister_estate;
grant update (kem_public, sign_public, sealed_private, unlockers, challenge, proof, answered, state) on trust.applicant to cloister_estate;

grant select, insert on trust.applicant to cloister_gate;
grant update (state) on trust.applicant to cloister_gate;

-- An answered applicant becomes a person, or an existing person gets the new keys and loses all old unlockers.
-- The certificate is the officer's own insert, in the same transaction: without it this fails.
create function trust.enrol(p_applicant text, p_certificate bytea) returns text
language plpgsql security definer set search_path = trust, pg_temp as $$
declare
    a trust.applicant;
begin
    update trust.applicant set state = 'certified' where id = p_applicant and state = 'answered' returning * into a;
    if a.id is null then
        return null;
    end if;
    delete from trust.unlocker where person = a.person;
    insert into trust.identity (person, kem_public, sign_public, sealed_private, certificate)
    values (a.person, a.kem_public, a.sign_public, a.sealed_private, p_certificate)
    on conflict (person) do update set kem_public = excluded.kem_public, sign_public = excluded.sign_public,
        sealed_private = excluded.sealed_private, certificate = excluded.certificate;
    insert into trust.unlocker (id, person, kind, params, sealed, verifier, credential_id, credential_public, sign_count, created, label)
    select u ->> 'id', a.person, u ->> 'kind', u -> 'params', decode(u ->> 'sealed', 'base64'), decode(u ->> 'verifier', 'base64'),
           decode(u ->> 'credential_id', 'base64'), decode(u ->> 'credential_public', 'base64'), coalesce((u ->> 'sign_count')::bigint, 0),
           now(), coalesce(u ->> 'label', '')
      from jsonb_array_elements(a.unlockers) u;
    return a.person;
end
$$;
-- The person's row comes first, because certificates name it; an existing person keeps name, role and sign-in.
create function trust.enrol_person(p_applicant text) returns text
language sql security definer set search_path = trust, pg_temp as $$
    insert into trust.person (id, sign_in, name, kind, role, hospital, language)
    select a.person, a.sign_in, a.name, 'person', a.role, a.hospital, a.language
      from trust.applicant a where a.id = p_applicant and a.state = 'answered'
    on conflict (id) do update set sign_in = trust.person.sign_in
    returning id
$$;
revoke execute on function trust.enrol, trust.enrol_person from public;
grant execute on function trust.enrol, trust.enrol_person to cloister_gate;

-- Lists of people are walked by name.
create index person_name on trust.person (name, id);

-- A zone's newer record, with a higher sequence, replaces the older one.
grant update (name, policy, body) on trust.zone to cloister_gate;

-- A person's new certificate for the same keys, before the old one expires.
grant update (certificate) on trust.identity to cloister_gate;

-- The gate ends things and never brings them back.
create function trust.stays_revoked() returns trigger language plpgsql as $$
begin
    if current_user = 'cloister_gate' then
        raise insufficient_privilege using message = 'What was revoked stays revoked.';
    end if;
    return new;
end
$$;
create trigger grant_stays_revoked before update of revoked on trust."grant" for each row
    when (old.revoked is not null and new.revoked is distinct from old.revoked) execute function trust.stays_revoked();
create trigger certificate_stays_revoked before update of revoked on trust.certificate for each row
    when (old.revoked is not null and new.revoked is distinct from old.revoked) execute function trust.stays_revoked();
create trigger membership_stays_revoked before update of revoked on trust.membership for each row
    when (old.revoked is not null and new.revoked is distinct from old.revoked) execute function trust.stays_revoked();
