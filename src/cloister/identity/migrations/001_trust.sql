-- Who belongs to the trust, and what was signed about them. Nothing about a patient is in this schema.
-- Spec: docs/spec/zones.md. Private keys are here only sealed (identity.sealed_private, unlocker.sealed).

do $$
declare
    wanted text;
begin
    foreach wanted in array array['cloister_gate', 'cloister_estate'] loop
        if not exists (select from pg_roles where rolname = wanted) then
            execute format('create role %I nologin', wanted);
        end if;
    end loop;
end
$$;

create schema trust;

create table trust.trust (
    id text primary key,
    name text not null,
    founded timestamptz not null,
    certificate_root bytea not null check (length(certificate_root) = 32),
    access_root bytea not null check (length(access_root) = 32 and access_root <> certificate_root),
    certificate_root_der bytea not null
);
create unique index trust_is_one on trust.trust ((true));

create table trust.hospital (
    id text primary key,
    name text not null,
    kind text not null check (kind in ('general', 'psychiatric')),
    zone text not null,
    ordinal int not null
);

create table trust.ward (
    id text primary key,
    hospital text not null references trust.hospital,
    name text not null,
    specialty text not null,
    zone text not null,
    ordinal int not null
);
create index ward_hospital on trust.ward (hospital, ordinal);

create table trust.person (
    id text primary key,
    sign_in text not null unique,
    name text not null,
    kind text not null check (kind in ('person', 'program')),
    role text not null check (role in ('doctor', 'nurse', 'access-officer', 'certificate-officer', 'it-operator', 'program')),
    hospital text references trust.hospital,
    language text not null,
    disabled bool not null default false,
    check ((kind = 'program') = (role = 'program'))
);

create table trust.certificate (
    hash bytea primary key check (length(hash) = 32),
    person text not null references trust.person,
    der bytea not null,
    issued timestamptz not null,
    revoked timestamptz
);
create index certificate_person on trust.certificate (person);

create table trust.identity (
    person text primary key references trust.person,
    kem_public bytea not null,
    sign_public bytea not null,
    sealed_private bytea not null,
    certificate bytea not null references trust.certificate
);

create table trust.mandate (
    hash bytea primary key check (length(hash) = 32),
    office text not null check (office in ('certificate', 'access')),
    person text not null references trust.person,
    body bytea not null
);

create table trust.unlocker (
    id text primary key,
    person text not null references trust.person,
    kind text not null check (kind in ('passphrase', 'passkey', 'service', 'card')),
    params jsonb not null,
    sealed bytea not null,
    verifier bytea check (length(verifier) = 32),
    credential_id bytea unique,
    credential_public bytea,
    sign_count bigint not null default 0,
    created timestamptz not null,
    last_used timestamptz,
    label text not null default '',
    check (kind <> 'passkey' or (credential_id is not null and credential_public is not null)),
    check (kind not in ('passphrase', 'service') or verifier is not null)
);
create index unlocker_person on trust.unlocker (person, created);

create table trust.zone (
    id text primary key,
    hospital text not null references trust.hospital,
    ward text references trust.ward,
    name text not null,
    policy jsonb not null,
    body bytea not null
);

create table trust.epoch (
    zone text not null references trust.zone,
    epoch int not null check (epoch >= 1),
    body bytea not null,
    primary key (zone, epoch)
);

create table trust."grant" (
    hash bytea primary key check (length(hash) = 32),
    zone text not null references trust.zone,
    person text not null references trust.person,
    seq bigint not null,
    body bytea not null,
    revoked timestamptz
);
create index grant_person on trust."grant" (person, zone) where revoked is null;
create index grant_zone on trust."grant" (zone, seq);

-- The store gate serves the sessions, which verify every signature themselves.
grant usage on schema trust to cloister_gate;
grant select on all tables in schema trust to cloister_gate;
grant insert, update, delete on trust.unlocker to cloister_gate;
grant insert on trust.certificate, trust."grant", trust.epoch, trust.zone, trust.mandate to cloister_gate;

-- The controller proves people at the door: it needs verifiers and public credentials, never a sealed key.
grant usage on schema trust to cloister_estate;
grant select on trust.person, trust.hospital, trust.ward, trust.trust, trust.certificate to cloister_estate;
grant select (id, person, kind, params, verifier, credential_id, credential_public, sign_count, created, last_used, label)
    on trust.unlocker to cloister_estate;
grant update (last_used, sign_count) on trust.unlocker to cloister_estate;
