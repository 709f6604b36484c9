-- Fails, and so changes nothing, if a version were left behind.
do $$
begin
    if exists (select from former.res_hist) then
        raise exception 'former.res_hist is not empty';
    end if;
end
$$;
drop table former.res_hist;
drop schema former;
