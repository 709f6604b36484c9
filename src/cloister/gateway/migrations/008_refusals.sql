-- What policy refused lately, for "why was this refused?" (docs/policies.md): who, what kind of thing, from where, by which rule. 30 days.
create table estate.policy_refusal (
    number       text primary key check (number ~ '^[0-9]{5}-[0-9]{5}$'),
    at           timestamptz not null default now(),
    person       text not null,
    role         text not null,
    session      text not null default '',
    action       text not null,
    what         text not null,            -- a page, or a type of resource; never which one
    rule         text not null,
    version      int not null,             -- of the trust's rules; 0: the program's own policy, or the usual rules
    said         jsonb not null,           -- the rule's sentence and hint, by language
    remedy       text not null default '',
    place        text not null default '',
    site         text not null default '',
    address      text not null default '',
    aal          int not null default 0,
    minutes      int not null default 0,
    factors      text not null default '',
    application  text not null default ''
);
create index policy_refusal_at on estate.policy_refusal (at);
create index policy_refusal_of_person on estate.policy_refusal (person, at);

grant select, insert, delete on estate.policy_refusal to cloister_estate;
