//! The table of settings: each field's name, type, default and environment variable, once.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{Hosts, LogFormat};
use crate::access::Auth;
use crate::storage::StorageUrl;
use crate::store::PostgresUrl;
use crate::vision::device::DeviceChoice;
use crate::webhooks::SigningSecret;

/// Makes [`Settings`], its defaults, [`SettingsArgs`] and [`ENVIRONMENT`] from one table.
macro_rules! settings {
    (
        given { $($(#[doc = $doc:literal])* $field:ident: $type:ty = $default:expr, $env:literal;)* }
        optional { $($(#[doc = $odoc:literal])* $ofield:ident: $otype:ty, $oenv:literal;)* }
    ) => {
        /// Every limit and path.
        #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(default, deny_unknown_fields)]
        pub struct Settings {
            $($(#[doc = $doc])* pub $field: $type,)*
            $($(#[doc = $odoc])* #[serde(skip_serializing_if = "Option::is_none")] pub $ofield: Option<$otype>,)*
        }

        impl Default for Settings {
            fn default() -> Self {
                Self { $($field: $default,)* $($ofield: None,)* }
            }
        }

        /// The settings as command-line flags, each also an environment variable; what is absent is left as it was.
        #[derive(Debug, Clone, Default, clap::Args)]
        #[command(next_help_heading = "Settings")]
        pub struct SettingsArgs {
            /// TOML file with settings.
            #[arg(long, value_name = "FILE", env = "TOPGRAFT_CONFIG")]
            pub config: Option<PathBuf>,
            $($(#[doc = $doc])* #[arg(long, env = $env)] pub $field: Option<$type>,)*
            $($(#[doc = $odoc])* #[arg(long, env = $oenv, hide_env_values = true)] pub $ofield: Option<$otype>,)*
        }

        impl SettingsArgs {
            /// `base` with what these flags and variables give in its place.
            #[must_use]
            pub fn overlay(self, base: Settings) -> Settings {
                Settings {
                    $($field: self.$field.unwrap_or(base.$field),)*
                    $($ofield: self.$ofield.or(base.$ofield),)*
                }
            }
        }

        /// The environment variables that are read. A parent that hands its settings to a child as a file removes them
        /// from the child's environment: there, they would come before the file.
        pub const ENVIRONMENT: &[&str] = &["TOPGRAFT_CONFIG", $($env,)* $($oenv,)*];
    };
}

settings! {
    given {
        /// Address that the server listens on.
        listen: SocketAddr = SocketAddr::from((Ipv4Addr::LOCALHOST, 8080)), "TOPGRAFT_LISTEN";
        /// Whether the API asks for keys: auto (unless it listens on a loopback address), required or off. `topgraft keys` makes
        /// them.
        auth: Auth = Auth::Auto, "TOPGRAFT_AUTH";
        /// Host names that requests may be for, with commas between them, as in the header `Host`. On a loopback address those of
        /// the machine itself are taken too; on other addresses every host is, unless some are given here.
        allowed_hosts: Hosts = Hosts::default(), "TOPGRAFT_ALLOWED_HOSTS";
        /// Connections that may be open at once; others wait to be accepted.
        max_connections: u32 = 512, "TOPGRAFT_MAX_CONNECTIONS";
        /// Seconds in which a request's head must have come whole, and after which an idle connection is closed. Longer than a
        /// proxy keeps its own idle connections, so that it never sends a request into one that is closing.
        header_seconds: u32 = 75, "TOPGRAFT_HEADER_SECONDS";
        /// Seconds that may pass without any of a request's body coming; then the answer is 408.
        body_idle_seconds: u32 = 30, "TOPGRAFT_BODY_IDLE_SECONDS";
        /// Bytes a second that a request's body must come at on average, once it was waited for 30 seconds; 0 for no such limit.
        min_body_bytes_per_second: u64 = 1024, "TOPGRAFT_MIN_BODY_BYTES_PER_SECOND";
        /// Seconds that a client may take none of its answer; then the connection is closed.
        answer_idle_seconds: u32 = 300, "TOPGRAFT_ANSWER_IDLE_SECONDS";
        /// Folder of the database, data sets, models, caches and, unless given elsewhere, the backbone's weights.
        data_dir: PathBuf = PathBuf::from("data"), "TOPGRAFT_DATA_DIR";
        /// Most connections that a process opens to PostgreSQL. One of them listens, whatever happens.
        database_connections: u32 = 10, "TOPGRAFT_DATABASE_CONNECTIONS";
        /// Worker processes that `serve` keeps running; 0 for none.
        workers: u32 = 1, "TOPGRAFT_WORKERS";
        /// How far workers stand back from everything else on the machine: the nice value that they start with, 0 to 19. What
        /// they get when nothing else wants the processors is the same. At 10 they get a tenth beside something that wants all.
        worker_nice: u8 = 10, "TOPGRAFT_WORKER_NICE";
        /// Largest archive that may be uploaded, in bytes.
        max_upload_bytes: u64 = 16 << 30, "TOPGRAFT_MAX_UPLOAD_BYTES";
        /// Most entries of any kind in one archive.
        max_entries: u64 = 200_000, "TOPGRAFT_MAX_ENTRIES";
        /// Most bytes that may come out of one archive.
        max_expanded_bytes: u64 = 32 << 30, "TOPGRAFT_MAX_EXPANDED_BYTES";
        /// How many times its own size an archive may expand to, once 64 MiB came out of it.
        max_expansion_ratio: u64 = 200, "TOPGRAFT_MAX_EXPANSION_RATIO";
        /// Longest path in an archive, in bytes.
        max_path_bytes: usize = 1024, "TOPGRAFT_MAX_PATH_BYTES";
        /// Largest encoded picture, in bytes.
        max_picture_bytes: u64 = 32 << 20, "TOPGRAFT_MAX_PICTURE_BYTES";
        /// Most pixels of a picture.
        max_picture_pixels: u64 = 64 << 20, "TOPGRAFT_MAX_PICTURE_PIXELS";
        /// Archives that are read at the same time.
        ingestions: u32 = 1, "TOPGRAFT_INGESTIONS";
        /// Largest JSON request, in bytes; requests to classify pictures have their own limit.
        max_request_bytes: usize = 1 << 20, "TOPGRAFT_MAX_REQUEST_BYTES";
        /// Largest request to classify pictures, in bytes.
        max_predict_bytes: usize = 128 << 20, "TOPGRAFT_MAX_PREDICT_BYTES";
        /// Most pictures in one request to classify them.
        max_predict_pictures: usize = 64, "TOPGRAFT_MAX_PREDICT_PICTURES";
        /// Requests that may wait to be classified, whatever they hold; beyond it the answer is 429 at once. Two batches of
        /// single pictures: who is let in waits for one batch and rides the next.
        predict_requests: usize = 32, "TOPGRAFT_PREDICT_REQUESTS";
        /// Milliseconds that an answer may take if the request doesn't say; nothing is computed after them.
        predict_deadline_ms: u64 = 30_000, "TOPGRAFT_PREDICT_DEADLINE_MS";
        /// Pictures that may wait to be classified; beyond it the answer is 429.
        predict_queue: usize = 256, "TOPGRAFT_PREDICT_QUEUE";
        /// Most pictures that go through the network together.
        max_batch: usize = 16, "TOPGRAFT_MAX_BATCH";
        /// Threads that decode pictures to classify; as many others make thumbnails.
        decode_threads: usize = 2, "TOPGRAFT_DECODE_THREADS";
        /// Bytes of loaded models that are kept in memory.
        model_cache_bytes: u64 = 2 << 30, "TOPGRAFT_MODEL_CACHE_BYTES";
        /// Bytes of bottleneck features that are kept on disk between jobs.
        feature_cache_bytes: u64 = 32 << 30, "TOPGRAFT_FEATURE_CACHE_BYTES";
        /// Bytes of copies that are kept in the data folder of what is in `storage`; those used least recently go first.
        storage_cache_bytes: u64 = 64 << 30, "TOPGRAFT_STORAGE_CACHE_BYTES";
        /// Bytes of bottleneck features that are kept in `storage` for all machines; those computed first go first.
        storage_feature_bytes: u64 = 256 << 30, "TOPGRAFT_STORAGE_FEATURE_BYTES";
        /// Bytes of the disk under the data folder that uploads and jobs leave free, so that the database can go on writing. With
        /// less, uploads and jobs are refused (507) and workers begin none.
        min_free_bytes: u64 = 256 << 20, "TOPGRAFT_MIN_FREE_BYTES";
        /// Hours for which the answer to a request with an `Idempotency-Key` is remembered.
        idempotency_hours: u32 = 24, "TOPGRAFT_IDEMPOTENCY_HOURS";
        /// What the network computes on: auto (the first GPU, else the CPU), cpu or cuda:N.
        device: DeviceChoice = DeviceChoice::Auto, "TOPGRAFT_DEVICE";
        /// Seconds that a worker's claim on a job holds without a heartbeat.
        lease_seconds: u32 = 30, "TOPGRAFT_LEASE_SECONDS";
        /// How often in a row a job may lose its worker without getting any further; then it counts as failed.
        max_attempts: u32 = 5, "TOPGRAFT_MAX_ATTEMPTS";
        /// Seconds that requests in flight are given when the server stops.
        drain_seconds: u32 = 20, "TOPGRAFT_DRAIN_SECONDS";
        /// Milliseconds for which the server goes on taking connections once it was asked to stop, while `/readyz` already says
        /// that it isn't ready: as long as a proxy takes to notice.
        lame_duck_ms: u64 = 0, "TOPGRAFT_LAME_DUCK_MS";
        /// Seconds that a worker is given to end when the server stops; then it is killed, and its job goes on after its last
        /// epoch all the same.
        stop_seconds: u32 = 20, "TOPGRAFT_STOP_SECONDS";
        /// How log lines look.
        log_format: LogFormat = LogFormat::Text, "TOPGRAFT_LOG_FORMAT";
        /// Whether webhooks may lead to private addresses and be plain http; for receivers in a network of your own.
        webhook_allow_private: bool = false, "TOPGRAFT_WEBHOOK_ALLOW_PRIVATE";
    }
    optional {
        /// The backbone's weights; `weights/vgg16.safetensors` in the data folder if not given.
        weights: PathBuf, "TOPGRAFT_WEIGHTS";
        /// PostgreSQL database, `postgres://user:password@host:5432/name?sslmode=verify-full`; SQLite's `topgraft.db` in the data folder
        /// if not given. Give it as the variable: others on the machine can read flags.
        database: PostgresUrl, "TOPGRAFT_DATABASE";
        /// Where pictures, models and the states of jobs are kept for several machines, `s3://bucket/prefix` or `file:///folder`; the data
        /// folder is then a cache of it. The data folder alone if not given. Who may use a bucket, the usual `AWS_…` variables say.
        storage: StorageUrl, "TOPGRAFT_STORAGE";
        /// Threads of the network's arithmetic; the processors that there are if not given.
        threads: u32, "TOPGRAFT_THREADS";
        /// Secret that webhooks are signed with, `whsec_…`; made and kept in `webhook-secret` in the data folder if not given.
        /// Give it as the variable: others on the machine can read flags.
        webhook_secret: SigningSecret, "TOPGRAFT_WEBHOOK_SECRET";
    }
}
