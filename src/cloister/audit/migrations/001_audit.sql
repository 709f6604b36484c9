-- The append-only log of who did what: sealed entries, their tree, signed checkpoints (docs/spec/zones.md 14).
create schema audit;

-- The key of each hour's entries, sealed to the privacy office: nobody else opens an entry.
create table audit.data_key (
    number int primary key,
    begins timestamptz not null,
    office text not null,
    sealed bytea not null
);
create index data_key_begins on audit.data_key (begins);

-- In clear: number, time, which process wrote it, a broad category. `named` is the hash of a signed object of the trust.
-- actor, object and patient are tokens under the hour's key: random under another.
create table audit.event (
    seq      bigint primary key,
    at       timestamptz not null,
    source   text not null,
    number   bigint not null,
    category text not null,
    named    bytea,
    key      int not null,
    actor    bigint not null,
    object   bigint not null,
    patient  bigint not null,
    sealed   bytea not null,
    leaf     bytea not null
);
create index event_actor on audit.event (key, actor, seq);
create index event_object on audit.event (key, object, seq);
create index event_patient on audit.event (key, patient, seq);
create index event_named on audit.event (named) where named is not null;
create index event_at on audit.event using brin (at);

-- Every eighth level of the tree over the entries' leaves: level 1 over 256 entries each, level 2 over 65,536.
create table audit.node (
    level int2 not null,
    place bigint not null,
    hash  bytea not null,
    primary key (level, place)
);

create table audit.checkpoint (
    size bigint not null,
    at   timestamptz not null,
    note text not null,
    primary key (size, at)
);

-- What witnesses signed of them.
create table audit.cosignature (
    witness text not null,
    size    bigint not null,
    at      timestamptz not null,
    line    text not null,
    primary key (witness, size, at)
);

-- Not even the owner changes or removes an entry by mistake; a deliberate change breaks the tree.
create function audit.refuse_change() returns trigger language plpgsql as $$
begin
    raise exception 'The audit log is append-only.' using errcode = 'insufficient_privilege';
end $$;
create trigger data_key_append_only before update or delete or truncate on audit.data_key
    for each statement execute function audit.refuse_change();
create trigger event_append_only before update or delete or truncate on audit.event
    for each statement execute function audit.refuse_change();
create trigger node_append_only before update or delete or truncate on audit.node
    for each statement execute function audit.refuse_change();
create trigger checkpoint_append_only before update or delete or truncate on audit.checkpoint
    for each statement execute function audit.refuse_change();
create trigger cosignature_append_only before update or delete or truncate on audit.cosignature
    for each statement execute function audit.refuse_change();

revoke all on schema audit from public;
revoke all on all tables in schema audit from public;
grant usage on schema audit to cloister_gate;
grant select, insert on all tables in schema audit to cloister_gate;
