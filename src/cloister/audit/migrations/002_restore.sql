-- What two officers signed when the database was put back from a backup (docs/spec/zones.md 14.6).
create table audit.restore (
    hash bytea primary key,
    body bytea not null,
    made timestamptz not null default now()
);
create trigger restore_append_only before update or delete or truncate on audit.restore
    for each statement execute function audit.refuse_change();
revoke all on audit.restore from public;
grant select on audit.restore to cloister_gate;
