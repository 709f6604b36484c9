-- Failed sign-ins, so that a restart does not forget them. `key` is a hash: what people type into a
-- sign-in field by mistake (a passphrase, a patient's name) is not kept.
create table estate.attempt (
    key      bytea primary key check (length(key) = 32),
    failures int not null check (failures > 0),
    last     timestamptz not null
);
create index attempt_last on estate.attempt (last);

grant select, insert, update, delete on estate.attempt to cloister_estate;
