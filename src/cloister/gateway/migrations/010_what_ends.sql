-- What ends a session that runs: its card's certificate, or the end of an account that the directory has said in advance.
alter table estate.proof add column card bytea check (length(card) = 32);  -- the certificate that proved; null: another factor
alter table estate.certificate add column shown text not null default '';   -- PEM, certificate and chain as Envoy last saw them
grant update (shown) on estate.certificate to cloister_estate;
alter table estate.directory_account add column ends timestamptz;           -- closed from then on; null: never
create index directory_account_ends on estate.directory_account (ends) where ends is not null and not disabled;
