-- Times are milliseconds since 1970 UTC. Ids are UUIDv7 text, so their order is creation order.
-- Written for SQLite in a way that PostgreSQL accepts too.

create table datasets (
    id             text primary key,
    name           text not null unique,
    state          text not null check (state in ('ingesting', 'ready', 'failed')),
    images         bigint not null default 0,
    bytes          bigint not null default 0,
    -- Of the uploaded file; content_sha256 is of what was taken from it.
    archive_sha256 text,
    content_sha256 text,
    rejected       bigint not null default 0,
    error_code     text,
    error_message  text,
    created_at     bigint not null,
    finished_at    bigint
);

-- Class numbers follow the sorted names.
create table dataset_classes (
    dataset_id text not null references datasets (id) on delete cascade,
    class      bigint not null,
    name       text not null,
    images     bigint not null,
    primary key (dataset_id, class)
);

-- A picture's number is its place in the order of (class, path); its bytes lie in the dataset's pack file.
create table dataset_images (
    dataset_id  text not null references datasets (id) on delete cascade,
    image       bigint not null,
    path        text not null,
    class       bigint not null,
    sha256      text not null,
    format      text not null,
    width       bigint not null,
    height      bigint not null,
    pack_offset bigint not null,
    bytes       bigint not null,
    primary key (dataset_id, image)
);
create index dataset_images_by_class on dataset_images (dataset_id, class, image);

create table dataset_rejections (
    dataset_id text not null references datasets (id) on delete cascade,
    rejection  bigint not null,
    path       text not null,
    reason     text not null,
    primary key (dataset_id, rejection)
);

create table jobs (
    id               text primary key,
    state            text not null check (state in ('queued', 'running', 'succeeded', 'failed', 'cancelled')),
    -- No foreign key: a job outlives its dataset and goes on showing its name. Deleting one that an unfinished job needs is
    -- refused in the transaction that would delete it.
    dataset_id       text not null,
    dataset_name     text not null,
    model            text not null,
    -- Reserved just before publishing, so that no two jobs write the same folder.
    version          bigint,
    recipe           text not null,
    progress         text,
    attempts         bigint not null default 0,
    cancel_requested bigint not null default 0,
    -- Set while running: the claim's token, which every write of the worker must show; and who holds it until when.
    lease            text,
    lease_expires_at bigint,
    worker           text,
    error_code       text,
    error_message    text,
    created_at       bigint not null,
    started_at       bigint,
    finished_at      bigint
);
create index jobs_by_state on jobs (state, id);
create index jobs_by_dataset on jobs (dataset_id);
create unique index jobs_by_version on jobs (model, version);

create table job_epochs (
    job_id         text not null references jobs (id) on delete cascade,
    phase          text not null check (phase in ('warm_up', 'fine_tune')),
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
    job_id     text not null references jobs (id) on delete cascade,
    seq        bigint not null,
    kind       text not null,
    data       text not null,
    created_at bigint not null,
    primary key (job_id, seq)
);

create table models (
    name       text primary key,
    created_at bigint not null
);

create table model_versions (
    model        text not null references models (name) on delete cascade,
    version      bigint not null,
    job_id       text references jobs (id),
    dataset_id   text not null,
    dataset_name text not null,
    accuracy     double precision not null,
    precision    text not null,
    classes      bigint not null,
    created_at   bigint not null,
    primary key (model, version)
);
create unique index model_versions_by_job on model_versions (job_id);

create table model_aliases (
    model   text not null references models (name) on delete cascade,
    alias   text not null,
    version bigint not null,
    primary key (model, alias),
    foreign key (model, version) references model_versions (model, version)
);
