-- What SQLite has after its ninth migration; from there on both have the same ones.
-- Texts are compared byte by byte, as SQLite does: pages go by the order of ids and names.

-- Times are milliseconds since 1970 UTC. Ids are UUIDv7 text, so their order is creation order.

-- Keys for the API.
create table api_keys (
    -- The eight digits that a key's text begins with: no secret.
    id                  text collate "C" primary key,
    name                text collate "C" not null,
    -- SHA-256 of the secret, which is nowhere.
    hash                text collate "C" not null,
    scopes              text collate "C" not null,
    requests_per_minute bigint,
    max_stored_bytes    bigint,
    max_queued_jobs     bigint,
    created_at          bigint not null,
    expires_at          bigint,
    revoked_at          bigint,
    -- To the minute.
    last_used_at        bigint
);

-- Many recipes tried on one data set. What a sweep is follows from its jobs, which are its trials.
create table sweeps (
    id           text collate "C" primary key,
    -- As with jobs, no foreign key: a sweep outlives its dataset.
    dataset_id   text collate "C" not null,
    dataset_name text collate "C" not null,
    model        text collate "C" not null,
    -- At most so many of its trials run at the same time.
    concurrency  bigint not null,
    -- When somebody asked to cancel it.
    cancelled_at bigint,
    created_at   bigint not null,
    webhook_url text collate "C"
);

create table datasets (
    id             text collate "C" primary key,
    name           text collate "C" not null unique,
    state          text collate "C" not null check (state in ('ingesting', 'ready', 'failed')),
    images         bigint not null default 0,
    bytes          bigint not null default 0,
    -- Of the uploaded file; content_sha256 is of what was taken from it.
    archive_sha256 text collate "C",
    content_sha256 text collate "C",
    rejected       bigint not null default 0,
    error_code     text collate "C",
    error_message  text collate "C",
    created_at     bigint not null,
    finished_at    bigint,
    -- The key that it came with, and what its pictures take on the disk once they have been read.
    key_id text collate "C" references api_keys (id),
    stored_bytes bigint
);
create index datasets_by_key on datasets (key_id);

-- Class numbers follow the sorted names.
create table dataset_classes (
    dataset_id text collate "C" not null references datasets (id) on delete cascade,
    class      bigint not null,
    name       text collate "C" not null,
    images     bigint not null,
    primary key (dataset_id, class)
);

-- A picture's number is its place in the order of (class, path); its bytes lie in the dataset's pack file.
create table dataset_images (
    dataset_id  text collate "C" not null references datasets (id) on delete cascade,
    image       bigint not null,
    path        text collate "C" not null,
    class       bigint not null,
    sha256      text collate "C" not null,
    format      text collate "C" not null,
    width       bigint not null,
    height      bigint not null,
    pack_offset bigint not null,
    bytes       bigint not null,
    primary key (dataset_id, image),
    -- The number of the first picture of the data set that shows the same, the picture itself included; null if no other does. Data sets
    -- that were read before this was looked for have none.
    duplicate_group bigint
);
create index dataset_images_by_class on dataset_images (dataset_id, class, image);

create table dataset_rejections (
    dataset_id text collate "C" not null references datasets (id) on delete cascade,
    rejection  bigint not null,
    path       text collate "C" not null,
    reason     text collate "C" not null,
    primary key (dataset_id, rejection)
);

create table jobs (
    id               text collate "C" primary key,
    state            text collate "C" not null check (state in ('queued', 'running', 'succeeded', 'failed', 'cancelled')),
    -- No foreign key: a job outlives its dataset and goes on showing its name. Deleting one that an unfinished job needs is
    -- refused in the transaction that would delete it.
    dataset_id       text collate "C" not null,
    dataset_name     text collate "C" not null,
    model            text collate "C" not null,
    -- Reserved just before publishing, so that no two jobs write the same folder.
    version          bigint,
    recipe           text collate "C" not null,
    progress         text collate "C",
    attempts         bigint not null default 0,
    cancel_requested bigint not null default 0,
    -- Set while running: the claim's token, which every write of the worker must show; and who holds it until when.
    lease            text collate "C",
    lease_expires_at bigint,
    worker           text collate "C",
    error_code       text collate "C",
    error_message    text collate "C",
    created_at       bigint not null,
    started_at       bigint,
    finished_at      bigint,
    -- What the job keeps of its pictures between epochs (JSON), once it has been decided.
    features text collate "C",
    -- The sweep that the job is a trial of; a job outlives its sweep.
    sweep_id text collate "C" references sweeps (id) on delete set null,
    -- Of a trial that succeeded, on the validation pictures.
    accuracy double precision,
    loss double precision,
    -- When the version was entered: a succeeded trial's may be reserved, and not be there yet.
    published_at bigint,
    -- Workers lost since it last got further than it had ever been.
    losses bigint not null default 0,
    -- How far it had been when it last lost one: 0 to 1 features, 1 to 2 warm-up, 2 to 3 fine-tuning; -1 for nowhere.
    furthest double precision not null default -1,
    key_id text collate "C" references api_keys (id),
    -- Why a queued job isn't begun before a moment, which moment, and how often that has been so.
    waiting text collate "C",
    not_before bigint,
    postponed bigint not null default 0,
    -- Where to tell that a job has ended, or the last trial of a sweep.
    webhook_url text collate "C"
);
create index jobs_by_state on jobs (state, id);
create index jobs_by_dataset on jobs (dataset_id);
create unique index jobs_by_version on jobs (model, version);
create index jobs_by_key on jobs (key_id, state);
create index jobs_by_sweep on jobs (sweep_id, state);

create table job_epochs (
    job_id         text collate "C" not null references jobs (id) on delete cascade,
    phase          text collate "C" not null check (phase in ('warm_up', 'fine_tune')),
    epoch          bigint not null,
    train_loss     double precision not null,
    train_accuracy double precision not null,
    val_loss       double precision not null,
    val_accuracy   double precision not null,
    learning_rate  double precision not null,
    seconds        double precision not null,
    primary key (job_id, phase, epoch)
);

-- What a listener is told, in order: seq counts from 1 within a job and is the SSE event id.
create table job_events (
    job_id     text collate "C" not null references jobs (id) on delete cascade,
    seq        bigint not null,
    kind       text collate "C" not null,
    data       text collate "C" not null,
    created_at bigint not null,
    primary key (job_id, seq)
);

create table models (
    name       text collate "C" primary key,
    created_at bigint not null
);

create table model_versions (
    model        text collate "C" not null references models (name) on delete cascade,
    version      bigint not null,
    job_id       text collate "C" references jobs (id),
    dataset_id   text collate "C" not null,
    dataset_name text collate "C" not null,
    accuracy     double precision not null,
    precision    text collate "C" not null,
    classes      bigint not null,
    created_at   bigint not null,
    primary key (model, version)
);
create unique index model_versions_by_job on model_versions (job_id);

create table model_aliases (
    model   text collate "C" not null references models (name) on delete cascade,
    alias   text collate "C" not null,
    version bigint not null,
    primary key (model, alias),
    foreign key (model, version) references model_versions (model, version)
);

-- Requests that were to change something. No foreign key: an entry stands by itself.
create table audit (
    id         text collate "C" primary key,
    at         bigint not null,
    key_id     text collate "C",
    key_name   text collate "C",
    method     text collate "C" not null,
    path       text collate "C" not null,
    status     bigint not null,
    request_id text collate "C"
);

-- The answers to requests that made something under a key, written with what they made. A request that is being answered has no
-- row yet, and one that came to nothing never has.
create table idempotency (
    key         text collate "C" primary key,
    -- Of what was asked: the method, the address and the content.
    fingerprint text collate "C" not null,
    status      bigint not null,
    location    text collate "C",
    body        text collate "C" not null,
    created_at  bigint not null
);
create index idempotency_by_age on idempotency (created_at);

-- The outbox: a row is there once the end is, in the same transaction.
create table webhook_deliveries (
    -- The job's or the sweep's: each ends once.
    id           text collate "C" primary key,
    job_id       text collate "C" references jobs (id) on delete cascade,
    sweep_id     text collate "C" references sweeps (id) on delete cascade,
    url          text collate "C" not null,
    -- What is sent, the same in every attempt.
    body         text collate "C" not null,
    attempts     bigint not null default 0,
    -- When it is due; while a server is at it, when its claim ends.
    next_at      bigint not null,
    -- The claim's token, which the outcome of an attempt must show.
    lease        text collate "C",
    last_error   text collate "C",
    created_at   bigint not null,
    delivered_at bigint,
    given_up_at  bigint
);
create index webhook_deliveries_due on webhook_deliveries (next_at) where delivered_at is null and given_up_at is null;
create index webhook_deliveries_by_job on webhook_deliveries (job_id);
create index webhook_deliveries_by_sweep on webhook_deliveries (sweep_id);

-- What is probably wrong with a data set's pictures and labels, looked for once somebody asks. One that is under way is a lease, as a
-- job is: every write of the worker shows the token.
create table dataset_audits (
    dataset_id       text collate "C" primary key references datasets (id) on delete cascade,
    state            text collate "C" not null check (state in ('queued', 'running', 'ready', 'failed')),
    -- 0 to 1.
    progress         double precision not null default 0,
    -- What it came to (JSON), once it is ready.
    summary          text collate "C",
    -- Workers lost on the way.
    losses           bigint not null default 0,
    lease            text collate "C",
    lease_expires_at bigint,
    error_code       text collate "C",
    error_message    text collate "C",
    created_at       bigint not null,
    finished_at      bigint
);
create index dataset_audits_by_state on dataset_audits (state, created_at);

-- In order of kind and of how sure they are.
create table dataset_findings (
    dataset_id text collate "C" not null references dataset_audits (dataset_id) on delete cascade,
    finding    bigint not null,
    kind       text collate "C" not null,
    body       text collate "C" not null,
    primary key (dataset_id, finding)
);
create index dataset_findings_by_kind on dataset_findings (dataset_id, kind, finding);
