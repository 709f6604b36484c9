-- What people have typed and not saved: sealed to the person who typed it (docs/spec/zones.md 30). `name` is a keyed hash of the form.
create table care.draft (
    person   text not null,
    name     bytea not null check (length(name) = 16),
    body     bytea not null,
    changed  timestamptz not null default now(),
    primary key (person, name)
);
alter table care.draft alter body set storage external;
grant select, insert, update, delete on care.draft to cloister_gate;
