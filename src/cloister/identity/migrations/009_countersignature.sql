-- A second access officer's agreement to a grant, for zones whose policy asks for two.
create table trust.countersignature (
    hash bytea primary key check (length(hash) = 32),
    target bytea not null references trust."grant",
    body bytea not null,
    made timestamptz not null default now()
);
create index countersignature_target on trust.countersignature (target);
grant select, insert on trust.countersignature to cloister_gate;
