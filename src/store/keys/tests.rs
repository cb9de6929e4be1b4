use chrono::TimeDelta;
use uuid::Uuid;

use super::*;
use crate::access::{Key, Scope};
use crate::recipe::Recipe;
use crate::store::testing::{Temp, both, ingested, new_dataset, new_job, queued_job, ready_dataset};
use crate::store::{Database, Failure, NewSweep};

fn new_key(key: &Key) -> NewApiKey {
    NewApiKey {
        id: key.id(),
        name: "ci".parse().unwrap(),
        hash: key.hash(),
        scopes: [Scope::Train].into_iter().collect(),
        expires_at: None,
        requests_per_minute: None,
        max_stored_bytes: None,
        max_queued_jobs: None,
    }
}

/// Enters a key that may have so much.
async fn allowance(t: &Temp, max_stored_bytes: Option<u64>, max_queued_jobs: Option<u64>) -> Allowance {
    let new = NewApiKey { max_stored_bytes, max_queued_jobs, ..new_key(&Key::generate().unwrap()) };
    t.store.insert_key(&new).await.unwrap().allowance()
}

fn over(error: StoreError) -> OverQuota {
    match error {
        StoreError::OverQuota(over) => over,
        other => panic!("{other}"),
    }
}

both!(a_key_is_kept_without_its_secret);

async fn a_key_is_kept_without_its_secret(t: Temp) {
    let key = Key::generate().unwrap();
    let new = NewApiKey {
        expires_at: DateTime::from_timestamp_millis(now() + 1000),
        requests_per_minute: Some(u32::MAX),
        max_stored_bytes: Some(u64::MAX),
        ..new_key(&key)
    };
    let entered = t.store.insert_key(&new).await.unwrap();
    assert_eq!(entered, t.store.key(key.id()).await.unwrap());
    assert_eq!(t.store.keys().await.unwrap(), std::slice::from_ref(&entered));
    assert!(entered.hash.is_of(&key) && entered.scopes == new.scopes && entered.expires_at == new.expires_at);
    assert_eq!((entered.requests_per_minute, entered.max_queued_jobs), (Some(u32::MAX), None));
    assert_eq!(entered.max_stored_bytes, Some(i64::MAX.unsigned_abs()), "the most that the database can count");
    if let Database::Sqlite(file) = &t.database {
        let file = std::fs::read(file.with_extension("db-wal")).unwrap();
        let text = key.reveal();
        let secret = &text.as_bytes()[text.len() - 43..];
        assert!(!file.windows(secret.len()).any(|window| window == secret));
    }
    assert!(matches!(t.store.insert_key(&new).await.unwrap_err(), StoreError::Database(_)), "an id is one key's");
}

both!(a_key_that_is_over_can_not_be_used);

async fn a_key_that_is_over_can_not_be_used(t: Temp) {
    assert!(!t.store.has_usable_key().await.unwrap());
    let key = Key::generate().unwrap();
    let expired = NewApiKey { expires_at: DateTime::from_timestamp_millis(now() - 1), ..new_key(&key) };
    let expired = t.store.insert_key(&expired).await.unwrap();
    assert!(expired.is_expired(Utc::now()) && !expired.is_expired(Utc::now() - TimeDelta::hours(1)));
    assert!(!t.store.has_usable_key().await.unwrap());
    let id = allowance(&t, None, None).await.key;
    assert!(t.store.has_usable_key().await.unwrap());
    let revoked = t.store.revoke_key(id).await.unwrap();
    assert_eq!(t.store.revoke_key(id).await.unwrap().revoked_at, revoked.revoked_at, "it stays revoked since then");
    assert!(!t.store.has_usable_key().await.unwrap());
    let unknown = t.store.revoke_key(Key::generate().unwrap().id()).await.unwrap_err();
    assert!(matches!(unknown, StoreError::NotFound(Missing::Key)));
}

both!(the_last_use_is_noted_once_a_minute);

async fn the_last_use_is_noted_once_a_minute(t: Temp) {
    let id = allowance(&t, None, None).await.key;
    let last = async || t.store.key(id).await.unwrap().last_used_at.map(|time| time.timestamp_millis());
    assert_eq!(last().await, None);
    let began = now();
    for (after, noted) in [(0, 0), (59_999, 0), (60_000, 60_000), (1_000, 60_000)] {
        t.store.touch_key(id, began + after).await.unwrap();
        assert_eq!(last().await, Some(began + noted), "{after}");
    }
}

both!(data_sets_take_what_their_pictures_do_and_no_more_than_they_may);

async fn data_sets_take_what_their_pictures_do_and_no_more_than_they_may(t: Temp) {
    let key = allowance(&t, Some(100), None).await;
    let new = |name: &str, bytes| crate::store::NewDataset { bytes, allowance: Some(key), ..new_dataset(name) };
    let stored = async || t.store.stored_bytes(key.key).await.unwrap();
    let refused = t.store.insert_dataset(&new("a", 101), None).await.unwrap_err();
    assert_eq!(over(refused), OverQuota::StoredBytes { stored: 0, most: 100 });
    let first = t.store.insert_dataset(&new("a", 100), None).await.unwrap().id;
    assert_eq!(stored().await, 100);
    // Four pictures of ten bytes.
    t.store.finish_dataset(first, &ingested(4)).await.unwrap();
    assert_eq!(stored().await, 40);
    let second = t.store.insert_dataset(&new("b", 60), None).await.unwrap().id;
    let refused = t.store.insert_dataset(&new("c", 1), None).await.unwrap_err();
    assert_eq!(over(refused), OverQuota::StoredBytes { stored: 100, most: 100 });
    let failure = Failure { code: "c".to_owned(), message: "m".to_owned() };
    // Seven pictures of ten bytes would be ten too many.
    let refused = t.store.finish_dataset(second, &ingested(7)).await.unwrap_err();
    assert_eq!(over(refused), OverQuota::StoredBytes { stored: 40, most: 100 });
    t.store.fail_dataset(second, &failure, &[]).await.unwrap();
    assert_eq!(stored().await, 40, "of what failed nothing is left");
    t.store.delete_dataset(first).await.unwrap();
    assert_eq!(stored().await, 0);
    // Others have their own, and who has no key has no quota.
    t.store.insert_dataset(&new("d", 100), None).await.unwrap();
    let other = allowance(&t, None, None).await;
    for (name, allowance) in [("e", Some(other)), ("f", None)] {
        let unbounded = crate::store::NewDataset { bytes: 1 << 40, allowance, ..new_dataset(name) };
        let id = t.store.insert_dataset(&unbounded, None).await.unwrap().id;
        t.store.finish_dataset(id, &ingested(4)).await.unwrap();
    }
    assert_eq!((stored().await, t.store.stored_bytes(other.key).await.unwrap()), (100, 40));
}

both!(unfinished_jobs_and_trials_are_no_more_than_they_may);

async fn unfinished_jobs_and_trials_are_no_more_than_they_may(t: Temp) {
    let dataset = ready_dataset(&t.store, "d").await;
    let key = allowance(&t, None, Some(3)).await;
    let sweep = |trials: u64| NewSweep {
        id: Uuid::now_v7(),
        dataset,
        model: "flowers".parse().unwrap(),
        concurrency: 1,
        trials: (0..trials).map(|seed| Recipe { seed, ..Recipe::default() }).collect(),
        webhook: None,
        allowance: Some(key),
    };
    let job = || crate::store::NewJob { allowance: Some(key), ..new_job(dataset) };
    let refused = t.store.insert_sweep(&sweep(4), None).await.unwrap_err();
    assert_eq!(over(refused), OverQuota::UnfinishedJobs { unfinished: 0, asked: 4, most: 3 });
    assert!(t.store.sweeps(None, 9).await.unwrap().items.is_empty(), "a sweep is entered whole or not at all");
    let entered = t.store.insert_sweep(&sweep(2), None).await.unwrap().sweep.id;
    let last = t.store.insert_job(&job(), None).await.unwrap().id;
    let refused = t.store.insert_job(&job(), None).await.unwrap_err();
    assert_eq!(over(refused), OverQuota::UnfinishedJobs { unfinished: 3, asked: 1, most: 3 });
    queued_job(&t.store, dataset).await;
    t.store.request_cancel(last).await.unwrap();
    t.store.insert_job(&job(), None).await.unwrap();
    t.store.cancel_sweep(entered).await.unwrap();
    t.store.insert_sweep(&sweep(2), None).await.unwrap();
    assert!(t.store.insert_job(&job(), None).await.is_err());
}
