//! What tests of the store share: a database in a folder of its own, and things in it.

use uuid::Uuid;

use super::{Claim, Database, Job, NewDataset, NewJob, Store};
use crate::dataset::{ImageRecord, Ingested, Rejected};
use crate::recipe::Recipe;
use crate::vision::picture::PictureFormat;

/// The server on which tests make databases, `postgres://user@host/postgres`; `make test` starts one.
const SERVER: &str = "TOPGRAFT_TEST_POSTGRES";

/// A database for a test; SQLite's goes when this is dropped.
pub(crate) struct Temp {
    pub store: Store,
    pub database: Database,
    pub dir: tempfile::TempDir,
}

/// SQLite's.
pub(crate) async fn temp() -> Temp {
    let dir = tempfile::tempdir().unwrap();
    let database = dir.path().join("run/topgraft.db").into();
    Temp { store: Store::open(&database).await.unwrap(), database, dir }
}

/// PostgreSQL's, if there is a server for tests.
pub(crate) async fn temp_postgres() -> Option<Temp> {
    let Ok(server) = std::env::var(SERVER) else {
        assert!(std::env::var_os("CI").is_none(), "no PostgreSQL: CI needs one, see scripts/postgres.sh");
        eprintln!("NOT TESTED on PostgreSQL: {SERVER} names no server");
        return None;
    };
    let name = format!("t{}", Uuid::now_v7().simple());
    let admin = sqlx::PgPool::connect(&server).await.unwrap();
    sqlx::query(sqlx::AssertSqlSafe(format!("create database {name}"))).execute(&admin).await.unwrap();
    admin.close().await;
    let mut url = url::Url::parse(&server).unwrap();
    url.set_path(&name);
    let database = Database::Postgres { url: url.as_str().parse().unwrap(), connections: 4 };
    Some(Temp { store: Store::open(&database).await.unwrap(), database, dir: tempfile::tempdir().unwrap() })
}

/// Makes a test for each database: `both!(name)` of `async fn name(t: Temp)`.
macro_rules! both {
    ($name:ident) => {
        mod $name {
            #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
            async fn sqlite() {
                super::$name(crate::store::testing::temp().await).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
            async fn postgres() {
                if let Some(t) = crate::store::testing::temp_postgres().await {
                    super::$name(t).await;
                }
            }
        }
    };
}

pub(crate) use both;

pub(crate) fn ingested(images: u64) -> Ingested {
    let image = |i| ImageRecord {
        path: format!("{}/{i:06}.jpg", if i % 2 == 0 { "ant" } else { "bee" }),
        class: u32::from(i % 2 != 0),
        sha256: format!("{i:064x}"),
        format: PictureFormat::Jpeg,
        width: 3,
        height: 2,
        offset: i * 10,
        bytes: 10,
        duplicate_group: (i / 2 == 1).then_some(2),
    };
    let mut images: Vec<_> = (0..images).map(image).collect();
    images.sort_by(|a, b| (a.class, &a.path).cmp(&(b.class, &b.path)));
    Ingested {
        classes: vec!["ant".to_owned(), "bee".to_owned()],
        images,
        rejected: vec![Rejected { path: "readme.txt".to_owned(), reason: "not a picture".to_owned() }],
        content_sha256: "c".repeat(64),
    }
}

pub(crate) fn new_dataset(name: &str) -> NewDataset {
    NewDataset { id: Uuid::now_v7(), name: name.parse().unwrap(), bytes: 7, archive_sha256: "a".repeat(64), allowance: None }
}

pub(crate) async fn ready_dataset(store: &Store, name: &str) -> Uuid {
    let id = store.insert_dataset(&new_dataset(name), None).await.unwrap().id;
    store.finish_dataset(id, &ingested(4)).await.unwrap();
    id
}

pub(crate) fn new_job(dataset: Uuid) -> NewJob {
    let model = "flowers".parse().unwrap();
    NewJob { id: Uuid::now_v7(), dataset, model, recipe: Recipe::default(), webhook: None, allowance: None }
}

pub(crate) async fn queued_job(store: &Store, dataset: Uuid) -> Uuid {
    store.insert_job(&new_job(dataset), None).await.unwrap().id
}

pub(crate) async fn claimed(store: &Store, worker: &str, now: i64) -> Option<(Job, Uuid)> {
    let lease = Uuid::now_v7();
    let claim = Claim { worker, lease, now, lease_ms: 1000, max_attempts: 2 };
    store.claim(&claim).await.unwrap().map(|job| (job, lease))
}
