-- The append-only log of who did what, and the signed checkpoints of its tree (docs/spec/zones.md 14).
create schema audit;

create table audit.event (
    seq     bigint primary key,
    at      timestamptz not null,
    actor   text not null,
    session text not null,
    action  text not null,
    kind    text not null,
    object  text not null,
    outcome text not null,
    reason  text not null,
    source  text not null,
    leaf    bytea not null
);
create index event_object on audit.event (object, seq desc);

create table audit.checkpoint (
    size      bigint primary key,
    root      bytea not null,
    at        timestamptz not null,
    signature bytea not null,
    nodes     bytea not null  -- the frontier of the tree: lets the gate go on without reading the whole log
);

-- Not even the owner changes or removes an entry by mistake; a deliberate change breaks the tree.
create function audit.refuse_change() returns trigger language plpgsql as $$
begin
    raise exception 'The audit log is append-only.' using errcode = 'insufficient_privilege';
end $$;
create trigger event_append_only before update or delete or truncate on audit.event
    for each statement execute function audit.refuse_change();
create trigger checkpoint_append_only before update or delete or truncate on audit.checkpoint
    for each statement execute function audit.refuse_change();

revoke all on schema audit from public;
revoke all on all tables in schema audit from public;
grant usage on schema audit to cloister_gate;
grant select, insert on audit.event, audit.checkpoint to cloister_gate;
