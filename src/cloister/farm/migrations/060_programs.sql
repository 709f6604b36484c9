-- Which programs run beside which sessions, for what is bounded in the whole trust. docs/applications.md.
create table estate.program_run (
    run          text primary key,
    session      text not null references estate.session (id) on delete cascade,
    application  text not null references estate.application (id) on delete cascade,
    started      timestamptz not null default now()
);
create index program_run_of_application on estate.program_run (application);

grant select, insert, update, delete on estate.program_run to cloister_estate;
