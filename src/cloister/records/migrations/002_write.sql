-- One write of one session: one or many dossiers, all or nothing, in one call.
-- `p_zones` are the zones of the calling person, as the store gate knows them; the writer cannot name others.
-- Columns named p_*_d hold the 1-based place of the row's dossier in p_dossier.
-- SQLSTATE CL001: a head has moved; CL002: a dossier or zone that this person cannot open; CL003: a key generation that
-- was replaced: nothing new is wrapped for people who have only older keys.

create function care.write(
    p_zones text[],
    p_dossier uuid[], p_kind text[], p_expected int8[], p_commit bytea[],
    p_key_d int4[], p_key_no int2[], p_key_epoch int4[], p_key_zone text[], p_key_wrapped bytea[],
    p_new_d int4[], p_new_rtype int2[], p_new_id uuid[], p_new_ver int4[], p_new_key int2[], p_new_dict int2[], p_new_ct bytea[],
    p_upd_d int4[], p_upd_rtype int2[], p_upd_id uuid[], p_upd_ver int4[], p_upd_key int2[], p_upd_dict int2[], p_upd_ct bytea[],
    p_part_d int4[], p_part_no int4[], p_part_ct bytea[],
    p_drop_d int4[], p_drop_no int4[],
    p_tok_zone text[], p_tok_d int4[], p_tok_rtype int2[], p_tok_id uuid[], p_tok_first int4[], p_tok_last int4[], p_toks int8[],
    p_shard_zone text[], p_shard_no int8[], p_shard_ct bytea[],
    p_shard_drop_zone text[], p_shard_drop_no int8[]
) returns void language plpgsql security invoker set search_path = care, pg_temp as $$
declare
    n_known int;
    n int;
begin
    if not (p_key_zone <@ p_zones and p_tok_zone <@ p_zones and p_shard_zone <@ p_zones and p_shard_drop_zone <@ p_zones) then
        raise exception 'zone' using errcode = 'CL002';
    end if;

    if exists (
        select from (
            select zone, epoch from unnest(p_key_zone, p_key_epoch) k (zone, epoch)
            union all
            select zone, ('x' || encode(substr(ct, 1, 4), 'hex'))::bit(32)::int4 from unnest(p_shard_zone, p_shard_ct) s (zone, ct)
        ) w
         where w.epoch < (select max(e.epoch) from trust.epoch e where e.zone = w.zone)
    ) then
        raise exception 'epoch' using errcode = 'CL003';
    end if;

    -- Locks in one order, so that two writers of the same dossiers wait for each other instead of dying.
    n_known := (select count(*) from unnest(p_expected) e where e > 0);
    if n_known > 0 then
        perform 1 from care.dossier d where d.id = any (p_dossier) order by d.id for update;
        select count(*) into n
          from unnest(p_dossier, p_expected) w (id, expected)
         where w.expected > 0
           and (select true from care.dossier_key k where k.dossier = w.id and k.zone = any (p_zones) limit 1);
        if n <> n_known then
            raise exception 'dossier' using errcode = 'CL002';
        end if;
        update care.dossier d set seq = d.seq + 1
          from unnest(p_dossier, p_expected) w (id, expected)
         where d.id = w.id and d.seq = w.expected and w.expected > 0;
        get diagnostics n = row_count;
        if n <> n_known then
            raise exception 'head' using errcode = 'CL001';
        end if;
    end if;
    if n_known < cardinality(p_dossier) then
        insert into care.dossier (id, kind, seq)
        select w.id, w.kind, 1 from unnest(p_dossier, p_kind, p_expected) w (id, kind, expected) where w.expected = 0;
    end if;
    insert into care.commit (dossier, seq, blob)
    select w.id, w.expected + 1, w.blob from unnest(p_dossier, p_expected, p_commit) w (id, expected, blob);

    if cardinality(p_key_d) > 0 then
        insert into care.dossier_key (dossier, key_no, epoch, zone, wrapped)
        select p_dossier[w.d], w.key_no, w.epoch, w.zone, w.wrapped
          from unnest(p_key_d, p_key_no, p_key_epoch, p_key_zone, p_key_wrapped) w (d, key_no, epoch, zone, wrapped)
            on conflict (zone, dossier, key_no) do update set epoch = excluded.epoch, wrapped = excluded.wrapped;
    end if;
    if cardinality(p_new_d) > 0 then
        insert into care.res (dossier, rtype, id, ver, key_no, dict_no, ct)
        select p_dossier[w.d], w.rtype, w.id, w.ver, w.key_no, w.dict_no, w.ct
          from unnest(p_new_d, p_new_rtype, p_new_id, p_new_ver, p_new_key, p_new_dict, p_new_ct) w (d, rtype, id, ver, key_no, dict_no, ct);
    end if;
    if cardinality(p_upd_d) > 0 then
        insert into care.res_hist (dossier, id, ver, day, rtype, key_no, dict_no, ct)
        select r.dossier, r.id, r.ver, r.day, r.rtype, r.key_no, r.dict_no, r.ct
          from unnest(p_upd_d, p_upd_rtype, p_upd_id) w (d, rtype, id)
          join care.res r on r.dossier = p_dossier[w.d] and r.rtype = w.rtype and r.id = w.id;
        update care.res r set ver = w.ver, day = current_date, key_no = w.key_no, dict_no = w.dict_no, ct = w.ct
          from unnest(p_upd_d, p_upd_rtype, p_upd_id, p_upd_ver, p_upd_key, p_upd_dict, p_upd_ct) w (d, rtype, id, ver, key_no, dict_no, ct)
         where r.dossier = p_dossier[w.d] and r.rtype = w.rtype and r.id = w.id and r.ver = w.ver - 1;
        get diagnostics n = row_count;
        if n <> cardinality(p_upd_d) then
            raise exception 'version' using errcode = 'CL001';
        end if;
    end if;
    if cardinality(p_drop_d) > 0 then
        delete from care.index_part i using unnest(p_drop_d, p_drop_no) w (d, no) where i.dossier = p_dossier[w.d] and i.part_no = w.no;
    end if;
    insert into care.index_part (dossier, part_no, ct)
    select p_dossier[w.d], w.no, w.ct from unnest(p_part_d, p_part_no, p_part_ct) w (d, no, ct);

    if cardinality(p_tok_d) > 0 then
        insert into care.zidx (zone, dossier, rtype, id, toks)
        select w.zone, p_dossier[w.d], w.rtype, w.id, p_toks[w.first:w.last]
          from unnest(p_tok_zone, p_tok_d, p_tok_rtype, p_tok_id, p_tok_first, p_tok_last) w (zone, d, rtype, id, first, last)
         where w.last >= w.first
            on conflict (zone, dossier, rtype, id) do update set toks = excluded.toks;
        delete from care.zidx z
         using unnest(p_tok_zone, p_tok_d, p_tok_rtype, p_tok_id, p_tok_first, p_tok_last) w (zone, d, rtype, id, first, last)
         where w.last < w.first and z.zone = w.zone and z.dossier = p_dossier[w.d] and z.rtype = w.rtype and z.id = w.id;
    end if;
    if cardinality(p_shard_drop_no) > 0 then
        delete from care.shard_part s using unnest(p_shard_drop_zone, p_shard_drop_no) w (zone, no) where s.zone = w.zone and s.part_no = w.no;
        get diagnostics n = row_count;
        if n <> cardinality(p_shard_drop_no) then
            raise exception 'shard' using errcode = 'CL001';
        end if;
    end if;
    if cardinality(p_shard_no) > 0 then
        insert into care.shard_part (zone, part_no, ct)
        select w.zone, w.no, w.ct from unnest(p_shard_zone, p_shard_no, p_shard_ct) w (zone, no, ct);
    end if;
end
$$;
revoke all on function care.write from public;
grant execute on function care.write to cloister_gate;
