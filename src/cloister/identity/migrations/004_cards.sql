-- A card proves itself at the door by a verifier, like a passphrase.
alter table trust.unlocker add constraint unlocker_card_verifier check (kind <> 'card' or verifier is not null);
