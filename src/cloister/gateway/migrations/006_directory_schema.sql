-- How a directory writes people and groups down (gateway/directory/schemas.py).
alter table estate.directory add column schema text not null default 'active-directory' check (schema in ('active-directory', 'rfc2307'));
