-- A trust's own rules (docs/policies.md): signed by the access root, one row a version, never changed and never taken away.
-- Sessions and the door verify the signature themselves; a row that it does not fit is refused, not passed over.

create table trust.rules (
    version int primary key check (version > 0),
    body bytea not null,
    made timestamptz not null default now()
);
grant select on trust.rules to cloister_gate, cloister_estate;

create function trust.rules_next() returns trigger language plpgsql as $$
begin
    if new.version <> coalesce((select max(version) from trust.rules), 0) + 1 then
        raise unique_violation using message = 'Another version was published meanwhile.';
    end if;
    return new;
end
$$;
create trigger rules_in_order before insert on trust.rules for each row execute function trust.rules_next();

create function trust.rules_made() returns trigger language plpgsql security invoker set search_path = trust, pg_temp as $$
begin
    perform trust.say('rules', new.version::text);
    return null;
end
$$;
create trigger rules_made after insert on trust.rules for each row execute function trust.rules_made();
