-- Many recipes tried on one data set. What a sweep is follows from its jobs, which are its trials.
create table sweeps (
    id           text primary key,
    -- As with jobs, no foreign key: a sweep outlives its dataset.
    dataset_id   text not null,
    dataset_name text not null,
    model        text not null,
    -- At most so many of its trials run at the same time.
    concurrency  bigint not null,
    -- When somebody asked to cancel it.
    cancelled_at bigint,
    created_at   bigint not null
);

-- The sweep that the job is a trial of; a job outlives its sweep.
alter table jobs add column sweep_id text references sweeps (id) on delete set null;
-- Of a trial that succeeded, on the validation pictures.
alter table jobs add column accuracy double precision;
alter table jobs add column loss double precision;
-- When the version was entered: a succeeded trial's may be reserved, and not be there yet.
alter table jobs add column published_at bigint;
update jobs set published_at = finished_at where state = 'succeeded';
create index jobs_by_sweep on jobs (sweep_id, state);
