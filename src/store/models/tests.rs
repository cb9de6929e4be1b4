use super::*;
use crate::store::Published;
use crate::store::testing::{Temp, both, claimed, queued_job, ready_dataset};

/// Publishes the next version of `flowers`.
async fn publish(t: &Temp) -> i64 {
    let dataset = match t.store.dataset("d").await {
        Ok(dataset) => dataset.id,
        Err(_) => ready_dataset(&t.store, "d").await,
    };
    let id = queued_job(&t.store, dataset).await;
    let (_, lease) = claimed(&t.store, "w", 0).await.unwrap();
    let version = t.store.reserve_version(id, lease).await.unwrap();
    let published = Published { version, accuracy: 0.9, precision: Precision::F32, classes: 2 };
    t.store.succeed(id, lease, &published).await.unwrap();
    version
}

fn name(name: &str) -> Name {
    name.parse().unwrap()
}

both!(the_default_is_production_or_the_newest);

async fn the_default_is_production_or_the_newest(t: Temp) {
    let flowers = name("flowers");
    assert!(matches!(t.store.resolve(&flowers, &Want::Default).await, Err(StoreError::NotFound(Missing::Model))));
    assert_eq!((publish(&t).await, publish(&t).await), (1, 2));
    let default = async || t.store.resolve(&flowers, &Want::Default).await.unwrap().version;
    assert_eq!(default().await, 2);
    t.store.put_alias(&flowers, &name("production"), 1).await.unwrap();
    t.store.put_alias(&flowers, &name("candidate"), 1).await.unwrap();
    t.store.put_alias(&flowers, &name("candidate"), 2).await.unwrap();
    assert_eq!(default().await, 1);
    let candidate = t.store.resolve(&flowers, &Want::Alias(name("candidate"))).await.unwrap();
    assert_eq!(candidate.version, 2);
    let model = t.store.model(&flowers).await.unwrap();
    assert_eq!(model.versions.iter().map(|version| version.version).collect::<Vec<_>>(), [2, 1]);
    assert_eq!(model.aliases, BTreeMap::from([("candidate".to_owned(), 2), ("production".to_owned(), 1)]));
    t.store.delete_alias(&flowers, &name("production")).await.unwrap();
    assert_eq!(default().await, 2);
}

both!(what_is_missing_is_named);

async fn what_is_missing_is_named(t: Temp) {
    publish(&t).await;
    let (flowers, trees, alias) = (name("flowers"), name("trees"), name("a"));
    let missing = |result: Result<ModelVersion, StoreError>| match result {
        Err(StoreError::NotFound(missing)) => missing,
        other => panic!("{other:?}"),
    };
    assert_eq!(missing(t.store.resolve(&trees, &Want::Version(1)).await), Missing::Model);
    assert_eq!(missing(t.store.resolve(&flowers, &Want::Version(2)).await), Missing::Version);
    assert_eq!(missing(t.store.resolve(&flowers, &Want::Alias(alias.clone())).await), Missing::Alias);
    let put = async |model: &Name, version| t.store.put_alias(model, &alias, version).await.unwrap_err();
    assert!(matches!(put(&trees, 1).await, StoreError::NotFound(Missing::Model)));
    assert!(matches!(put(&flowers, 2).await, StoreError::NotFound(Missing::Version)));
    let deleted = t.store.delete_alias(&flowers, &alias).await;
    assert!(matches!(deleted, Err(StoreError::NotFound(Missing::Alias))));
}

both!(versions_are_reserved_for_one_job_each);

/// Two jobs of one model that publish at the same time must not write the same folder.
async fn versions_are_reserved_for_one_job_each(t: Temp) {
    assert_eq!(publish(&t).await, 1);
    let dataset = t.store.dataset("d").await.unwrap().id;
    queued_job(&t.store, dataset).await;
    queued_job(&t.store, dataset).await;
    let (first, first_lease) = claimed(&t.store, "w1", 0).await.unwrap();
    let (second, second_lease) = claimed(&t.store, "w2", 0).await.unwrap();
    assert_eq!(t.store.reserve_version(first.id, first_lease).await.unwrap(), 2);
    assert_eq!(t.store.reserve_version(second.id, second_lease).await.unwrap(), 3);
    t.store.cancelled(first.id, first_lease).await.unwrap();
    let another = Published { version: 2, accuracy: 0.9, precision: Precision::F32, classes: 2 };
    assert!(t.store.succeed(second.id, second_lease, &another).await.is_err(), "only the reserved version");
    t.store.succeed(second.id, second_lease, &Published { version: 3, ..another }).await.unwrap();
    let summary = &t.store.models(None, 9).await.unwrap().items[0];
    assert_eq!((summary.newest, summary.versions), (3, 2));
    assert!(t.store.models(Some(&name("flowers")), 9).await.unwrap().items.is_empty());
}
