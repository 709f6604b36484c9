-- New keys for a dossier: what may be asked, what is still to be taken up, and the one call that does it. docs/spec/zones.md 12.1.

-- A dossier's newest key for a zone that the author did not hold: sealed and signed as a share is.
create table care.rekey (
    dossier uuid not null,
    zone text not null,
    key_no int2 not null,
    body bytea not null,
    made timestamptz not null default now(),
    primary key (zone, dossier, key_no)
);
alter table care.rekey alter body set storage external;

create table care.rekeyed (
    dossier uuid not null,
    key_no int2 not null,
    made timestamptz not null default now(),
    primary key (dossier, key_no)
);

-- Asked for a whole zone: what has got its keys since then is done, so any session goes on where another stopped.
create table care.rekey_run (
    zone text primary key,
    asked_by text not null,
    reason text not null,
    asked timestamptz not null default now(),
    ended timestamptz
);
grant select, insert, update, delete on care.rekey, care.rekeyed, care.rekey_run to cloister_gate;

-- SQLSTATEs as in care.write. Versions keep their numbers and history rows stay as they are, with the old key's wraps.
create function care.rekey(
    p_zones text[], p_dossier uuid, p_expected int8, p_commit bytea, p_key_no int2,
    p_key_zone text[], p_key_epoch int4[], p_key_wrapped bytea[],
    p_seal_zone text[], p_seal_epoch int4[], p_seal bytea[],
    p_rtype int2[], p_id uuid[], p_ver int4[], p_ct bytea[],
    p_part_no int4, p_part_ct bytea
) returns void language plpgsql security invoker set search_path = care, pg_temp as $$
declare
    n int;
begin
    if not p_key_zone <@ p_zones then
        raise exception 'zone' using errcode = 'CL002';
    end if;
    if exists (
        select from unnest(p_key_zone || p_seal_zone, p_key_epoch || p_seal_epoch) w (zone, epoch)
         where w.epoch < (select max(e.epoch) from trust.epoch e where e.zone = w.zone)
    ) then
        raise exception 'epoch' using errcode = 'CL003';
    end if;
    perform 1 from care.dossier d where d.id = p_dossier for update;
    if not exists (select from care.dossier_key k where k.dossier = p_dossier and k.zone = any (p_key_zone)) then
        raise exception 'dossier' using errcode = 'CL002';
    end if;
    update care.dossier d set seq = d.seq + 1 where d.id = p_dossier and d.seq = p_expected;
    get diagnostics n = row_count;
    if n <> 1 or p_key_no <> (select max(k.key_no) + 1 from care.dossier_key k where k.dossier = p_dossier) then
        raise exception 'head' using errcode = 'CL001';
    end if;
    -- Every zone that has the dossier or is offered it, and no other.
    if exists (
        (select k.zone from care.dossier_key k where k.dossier = p_dossier
          union select s.zone from care.share s where s.dossier = p_dossier and s.state = 'offered')
        except select unnest(p_key_zone || p_seal_zone)
    ) or exists (
        select unnest(p_key_zone || p_seal_zone)
        except (select k.zone from care.dossier_key k where k.dossier = p_dossier
                 union select s.zone from care.share s where s.dossier = p_dossier and s.state = 'offered')
    ) then
        raise exception 'zones' using errcode = 'CL001';
    end if;
    insert into care.commit (dossier, seq, blob) values (p_dossier, p_expected + 1, p_commit);
    insert into care.dossier_key (dossier, key_no, epoch, zone, wrapped)
    select p_dossier, p_key_no, w.epoch, w.zone, w.wrapped from unnest(p_key_zone, p_key_epoch, p_key_wrapped) w (zone, epoch, wrapped);
    insert into care.rekey (dossier, zone, key_no, body)
    select p_dossier, w.zone, p_key_no, w.body from unnest(p_seal_zone, p_seal) w (zone, body);
    update care.res r set key_no = p_key_no, ct = w.ct
      from unnest(p_rtype, p_id, p_ver, p_ct) w (rtype, id, ver, ct)
     where r.dossier = p_dossier and r.rtype = w.rtype and r.id = w.id and r.ver = w.ver;
    get diagnostics n = row_count;
    if n <> cardinality(p_id) then
        raise exception 'version' using errcode = 'CL001';
    end if;
    delete from care.index_part i where i.dossier = p_dossier;
    insert into care.index_part (dossier, part_no, ct) values (p_dossier, p_part_no, p_part_ct);
    insert into care.rekeyed (dossier, key_no) values (p_dossier, p_key_no);
end
$$;
revoke all on function care.rekey from public;
grant execute on function care.rekey to cloister_gate;
