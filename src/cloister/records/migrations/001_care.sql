-- Sealed dossiers: ciphertext, tokens and clear routing columns, and nothing else about a patient.
-- Spec: docs/spec/zones.md. Only cloister_gate reaches this schema.

do $$
begin
    if not exists (select from pg_roles where rolname = 'cloister_gate') then
        create role cloister_gate nologin;
    end if;
end
$$;

create schema care;

-- `seq` is the head of the dossier's chain of commits: a write succeeds only if it is still what the writer built on.
create table care.dossier (
    id uuid primary key,
    kind text not null check (kind in ('patient', 'register')),
    created_day date not null default current_date,
    seq int8 not null
) with (fillfactor = 70);
create index dossier_register on care.dossier (id) where kind = 'register';

create table care.dossier_key (
    dossier uuid not null,
    key_no int2 not null,
    epoch int4 not null,
    zone text not null,
    wrapped bytea not null,
    primary key (zone, dossier, key_no)
) with (fillfactor = 70);  -- a new epoch rewrites every wrap of its zone, in place
create index dossier_key_dossier on care.dossier_key (dossier);

create table care.commit (
    dossier uuid not null,
    seq int8 not null,
    blob bytea not null,
    primary key (dossier, seq)
);
alter table care.commit alter blob set storage external;

-- The dossier is in every primary key: equal ids in zones that do not know of each other never collide.
create table care.res (
    dossier uuid not null,
    id uuid not null,
    ver int4 not null,
    day date not null default current_date,
    rtype int2 not null,
    key_no int2 not null,
    dict_no int2 not null,
    ct bytea not null,
    primary key (dossier, rtype, id)
);
create index res_id on care.res (id);
alter table care.res alter ct set storage external;  -- ciphertext does not compress

create table care.res_hist (
    dossier uuid not null,
    id uuid not null,
    ver int4 not null,
    day date not null,
    rtype int2 not null,
    key_no int2 not null,
    dict_no int2 not null,
    ct bytea not null,
    primary key (dossier, rtype, id, ver)
);
alter table care.res_hist alter ct set storage external;

create table care.index_part (
    dossier uuid not null,
    part_no int4 not null,
    ct bytea not null,
    primary key (dossier, part_no)
);
alter table care.index_part alter ct set storage external;

-- Tokens of what must be found across patients; see records/tokens.py for what that is, and what never is.
create table care.zidx (
    zone text not null,
    dossier uuid not null,
    id uuid not null,
    rtype int2 not null,
    toks int8[] not null,
    primary key (zone, dossier, rtype, id)
);
-- The default pending list of 4 MB is scanned by every search and makes a mixed load ten times slower.
create index zidx_toks on care.zidx using gin (toks) with (gin_pending_list_limit = 64);

create table care.shard_part (
    zone text not null,
    part_no int8 not null,
    ct bytea not null,
    primary key (zone, part_no)
);
alter table care.shard_part alter ct set storage external;

grant usage on schema care to cloister_gate;
grant select, insert, update, delete on all tables in schema care to cloister_gate;
