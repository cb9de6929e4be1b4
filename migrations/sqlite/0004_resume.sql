-- A job goes on after its last epoch. It fails when it loses its worker too often without getting any further.

-- Workers lost since it last got further than it had ever been.
alter table jobs add column losses bigint not null default 0;
-- How far it had been when it last lost one: 0 to 1 features, 1 to 2 warm-up, 2 to 3 fine-tuning; -1 for nowhere.
alter table jobs add column furthest double precision not null default -1;
