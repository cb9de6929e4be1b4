use uuid::Uuid;

use super::*;
use crate::store::testing::{Temp, both, claimed, queued_job, ready_dataset};

/// A job under way: its id and lease.
async fn running(t: &Temp, dataset: Uuid, worker: &str) -> (Uuid, Uuid) {
    queued_job(&t.store, dataset).await;
    let (job, lease) = claimed(&t.store, worker, 0).await.unwrap();
    (job.id, lease)
}

fn shards(count: u32) -> Vec<(u32, String)> {
    (0..count).map(|number| (number, format!("{0}-{0}", number))).collect()
}

async fn help(t: &Temp, arithmetic: &str, now: i64) -> Option<(ClaimedShard, Uuid)> {
    let lease = Uuid::now_v7();
    let claim = Claim { worker: "helper", lease, now, lease_ms: 1000, max_attempts: 2 };
    let arithmetics = ["f32".to_owned(), arithmetic.to_owned()];
    t.store.claim_shard(&claim, &arithmetics, None).await.unwrap().map(|shard| (shard, lease))
}

/// What the standing was and is.
async fn standing(t: &Temp, (job, lease): (Uuid, Uuid)) -> (Vec<(u32, Vec<String>)>, u64) {
    let ShardStanding { finished, open } = t.store.shard_standing(job, lease).await.unwrap();
    (finished, open)
}

both!(every_shard_is_computed_by_one);
async fn every_shard_is_computed_by_one(t: Temp) {
    let dataset = ready_dataset(&t.store, "d").await;
    let (job, lease) = running(&t, dataset, "leader").await;
    assert!(t.store.begin_extraction(job, lease, "rows", "int8").await.unwrap());
    assert!(help(&t, "int8", 0).await.is_none(), "nothing is offered yet");
    t.store.offer_shards(job, lease, &shards(4)).await.unwrap();
    assert!(help(&t, "bf16", 0).await.is_none(), "other numbers would come of it");

    assert_eq!(t.store.take_shard(job, lease, 0).await.unwrap(), Some(0));
    let (first, token) = help(&t, "int8", 0).await.unwrap();
    assert_eq!(first, ClaimedShard { job, shard: 1, samples: "1-1".to_owned(), arithmetic: "int8".to_owned() });
    let (second, other) = help(&t, "int8", 0).await.unwrap();
    assert_eq!(second.shard, 2);
    assert_eq!(t.store.take_shard(job, lease, 0).await.unwrap(), Some(3));
    assert!(help(&t, "int8", 0).await.is_none() && t.store.take_shard(job, lease, 0).await.unwrap().is_none());

    t.store.collect_shard(job, lease, 0).await.unwrap();
    assert!(matches!(t.store.collect_shard(job, lease, 0).await, Err(StoreError::LostLease)));
    assert!(matches!(t.store.finish_shard((job, 1), other, &[]).await, Err(StoreError::LostLease)), "another's");
    t.store.finish_shard((job, 1), token, &["shelf/a.segment".to_owned()]).await.unwrap();
    assert!(!t.store.shard_heartbeat((job, 1), token, 0, 1000).await.unwrap());
    assert_eq!(standing(&t, (job, lease)).await, (vec![(1, vec!["shelf/a.segment".to_owned()])], 2));
    assert_eq!(standing(&t, (job, lease)).await, (vec![], 2), "it is told once");

    // One helper goes in good order, its shard to the next one.
    t.store.release_shard((job, 2), other, false).await.unwrap();
    let (again, token) = help(&t, "int8", 0).await.unwrap();
    assert_eq!(again.shard, 2);
    assert!(t.store.shard_heartbeat((job, 2), token, 500, 1000).await.unwrap());
    assert_eq!(t.store.take_shard(job, lease, 1500).await.unwrap(), None, "it is alive until then");
    // That one is lost: the job computes it itself.
    assert_eq!(t.store.take_shard(job, lease, 1501).await.unwrap(), Some(2));
    assert!(matches!(t.store.finish_shard((job, 2), token, &[]).await, Err(StoreError::LostLease)));
    for shard in [2, 3] {
        t.store.collect_shard(job, lease, shard).await.unwrap();
    }
    assert_eq!(standing(&t, (job, lease)).await, (vec![], 0));
    t.store.end_extraction(job, lease).await.unwrap();
    assert!(matches!(t.store.shard_standing(job, lease).await, Err(StoreError::LostLease)));
}

both!(what_helpers_come_to_nothing_with_is_the_jobs_own);
async fn what_helpers_come_to_nothing_with_is_the_jobs_own(t: Temp) {
    let dataset = ready_dataset(&t.store, "d").await;
    let (job, lease) = running(&t, dataset, "leader").await;
    t.store.begin_extraction(job, lease, "rows", "int8").await.unwrap();
    t.store.offer_shards(job, lease, &shards(2)).await.unwrap();
    let (first, token) = help(&t, "int8", 0).await.unwrap();
    t.store.release_shard((job, first.shard), token, true).await.unwrap();
    let (second, _) = help(&t, "int8", 0).await.unwrap();
    assert_eq!((first.shard, second.shard), (0, 1));
    // Its process ended.
    t.store.release_worker("helper", "it was killed", 2).await.unwrap();
    assert!(help(&t, "int8", 0).await.is_none());
    for shard in [0, 1] {
        assert_eq!(t.store.take_shard(job, lease, 0).await.unwrap(), Some(shard));
    }
    // The job's own have no end, however long they take.
    assert_eq!(t.store.take_shard(job, lease, i64::MAX).await.unwrap(), None);
}

both!(one_job_at_a_time_computes_the_same_rows);
async fn one_job_at_a_time_computes_the_same_rows(t: Temp) {
    let dataset = ready_dataset(&t.store, "d").await;
    let (one, two) = (running(&t, dataset, "a").await, running(&t, dataset, "b").await);
    let begin = async |(job, lease): (Uuid, Uuid), rows: &str| t.store.begin_extraction(job, lease, rows, "f32").await.unwrap();
    assert!(begin(one, "rows").await);
    t.store.offer_shards(one.0, one.1, &shards(3)).await.unwrap();
    assert!(!begin(two, "rows").await);
    assert!(begin(two, "others").await);
    t.store.end_extraction(two.0, two.1).await.unwrap();
    let (shard, helper) = help(&t, "int8", 0).await.unwrap();

    // The first one's attempt ends without a word.
    t.store.release_worker("a", "it was killed", 2).await.unwrap();
    assert!(help(&t, "int8", 0).await.is_none(), "nobody would use it");
    assert!(begin(two, "rows").await);
    assert!(!t.store.shard_heartbeat((one.0, shard.shard), helper, 0, 1000).await.unwrap());
    for gone in [
        t.store.take_shard(one.0, one.1, 0).await.map(drop),
        t.store.offer_shards(one.0, one.1, &shards(1)).await,
        t.store.begin_extraction(one.0, one.1, "rows", "f32").await.map(drop),
    ] {
        assert!(matches!(gone, Err(StoreError::LostLease)));
    }
    // Its next attempt waits for the second.
    let (job, lease) = claimed(&t.store, "c", 0).await.unwrap();
    assert_eq!(job.id, one.0);
    assert!(!begin((job.id, lease), "rows").await);
    t.store.end_extraction(two.0, two.1).await.unwrap();
    assert!(begin((job.id, lease), "rows").await);
    assert_eq!(t.store.take_shard(job.id, lease, 0).await.unwrap(), None, "what was offered before is forgotten");
}

both!(helpers_at_the_same_time_get_different_shards);
async fn helpers_at_the_same_time_get_different_shards(t: Temp) {
    let dataset = ready_dataset(&t.store, "d").await;
    let (job, lease) = running(&t, dataset, "leader").await;
    t.store.begin_extraction(job, lease, "rows", "int8").await.unwrap();
    t.store.offer_shards(job, lease, &shards(40)).await.unwrap();
    let worker = async |helps: bool| {
        let mut seen = Vec::new();
        loop {
            let next = match helps {
                true => help(&t, "int8", 0).await.map(|(claimed, _)| claimed.shard),
                false => t.store.take_shard(job, lease, 0).await.unwrap(),
            };
            match next {
                Some(shard) => seen.push(shard),
                None => return seen,
            }
        }
    };
    let (mut all, b, c, d) = tokio::join!(worker(false), worker(true), worker(true), worker(true));
    all.extend(b.into_iter().chain(c).chain(d));
    all.sort_unstable();
    assert_eq!(all, (0..40).collect::<Vec<_>>());
}
