use uuid::Uuid;

use crate::dataset::Rejected;
use crate::store::testing::{Temp, both, claimed, ingested, new_dataset, queued_job, ready_dataset};
use crate::store::{Conflict, DatasetState, Failure, Missing, Store, StoreError};

both!(content_appears_when_ingestion_is_over);

async fn content_appears_when_ingestion_is_over(t: Temp) {
    let new = new_dataset("d");
    let dataset = t.store.insert_dataset(&new, None).await.unwrap();
    assert_eq!((dataset.state, dataset.images, dataset.bytes), (DatasetState::Ingesting, 0, 7));
    assert_eq!(t.store.ingesting_datasets().await.unwrap(), [dataset]);
    // More than two chunks.
    t.store.finish_dataset(new.id, &ingested(1_203)).await.unwrap();

    let dataset = t.store.dataset("d").await.unwrap();
    assert_eq!(dataset, t.store.dataset(&new.id.to_string()).await.unwrap());
    assert_eq!((dataset.state, dataset.images, dataset.rejected), (DatasetState::Ready, 1_203, 1));
    let classes: Vec<_> = dataset.classes.iter().map(|class| (class.name.as_str(), class.images)).collect();
    assert_eq!(classes, [("ant", 602), ("bee", 601)]);
    assert_eq!(t.store.all_images(new.id).await.unwrap(), ingested(1_203).images);
    assert_eq!(t.store.rejections(new.id, None, 9).await.unwrap().items[0].rejected.path, "readme.txt");
    assert!(t.store.ingesting_datasets().await.unwrap().is_empty());
    let again = t.store.finish_dataset(new.id, &ingested(4)).await.unwrap_err();
    assert!(matches!(again, StoreError::NotFound(Missing::Dataset)), "a ready data set never changes");
}

both!(a_revision_is_ready_at_once_or_not_there_at_all);

async fn a_revision_is_ready_at_once_or_not_there_at_all(t: Temp) {
    ready_dataset(&t.store, "d").await;
    let new = new_dataset("clean");
    let made = t.store.insert_revision(&new, &ingested(6), None).await.unwrap();
    assert_eq!((made.state, made.images, made.classes.len()), (DatasetState::Ready, 6, 2));
    assert_eq!(made, t.store.dataset("clean").await.unwrap());
    let taken = t.store.insert_revision(&new_dataset("d"), &ingested(6), None).await.unwrap_err();
    assert!(matches!(taken, StoreError::Conflict(Conflict::DatasetNameTaken)));
    assert_eq!(t.store.datasets(None, 9).await.unwrap().items.len(), 2);
}

both!(pictures_come_in_pages_and_by_class);

async fn pictures_come_in_pages_and_by_class(t: Temp) {
    let id = ready_dataset(&t.store, "d").await;
    let page = t.store.images(id, None, None, 3).await.unwrap();
    assert_eq!((page.items.len(), page.more), (3, true));
    let rest = t.store.images(id, None, Some(2), 3).await.unwrap();
    assert_eq!((rest.items.len(), rest.more, rest.items[0].number), (1, false, 3));
    let bees = t.store.images(id, Some("bee"), None, 9).await.unwrap().items;
    assert_eq!(bees.iter().map(|image| image.class.as_str()).collect::<Vec<_>>(), ["bee", "bee"]);
    let error = t.store.images(id, Some("cat"), None, 9).await.unwrap_err();
    assert!(matches!(error, StoreError::NotFound(Missing::Class)));
    assert_eq!(t.store.image(id, 3).await.unwrap().record.path, "bee/000003.jpg");
    assert!(matches!(t.store.image(id, 4).await.unwrap_err(), StoreError::NotFound(Missing::Image)));
}

both!(a_failure_keeps_its_reasons);

async fn a_failure_keeps_its_reasons(t: Temp) {
    let id = t.store.insert_dataset(&new_dataset("d"), None).await.unwrap().id;
    let failure = Failure { code: "no_pictures".to_owned(), message: "there is no usable picture".to_owned() };
    let rejected = Rejected { path: "a".to_owned(), reason: "b".to_owned() };
    t.store.fail_dataset(id, &failure, &[rejected]).await.unwrap();
    let dataset = t.store.dataset("d").await.unwrap();
    assert_eq!((dataset.state, dataset.error, dataset.rejected), (DatasetState::Failed, Some(failure), 1));
}

both!(a_taken_name_is_a_conflict);

async fn a_taken_name_is_a_conflict(t: Temp) {
    ready_dataset(&t.store, "d").await;
    let error = t.store.insert_dataset(&new_dataset("d"), None).await.unwrap_err();
    assert!(matches!(error, StoreError::Conflict(Conflict::DatasetNameTaken)), "{error}");
    // The same id twice is no client's doing.
    let new = new_dataset("e");
    t.store.insert_dataset(&new, None).await.unwrap();
    let mut same = new_dataset("f");
    same.id = new.id;
    assert!(matches!(t.store.insert_dataset(&same, None).await.unwrap_err(), StoreError::Database(_)));
}

both!(a_name_that_looks_like_an_id_does_not_hide_the_id);

async fn a_name_that_looks_like_an_id_does_not_hide_the_id(t: Temp) {
    let id = ready_dataset(&t.store, "d").await;
    ready_dataset(&t.store, &id.to_string()).await;
    assert_eq!(t.store.dataset(&id.to_string()).await.unwrap().name.as_str(), "d");
}

both!(lists_begin_with_the_newest);

async fn lists_begin_with_the_newest(t: Temp) {
    for name in ["a", "b", "c"] {
        ready_dataset(&t.store, name).await;
    }
    let page = t.store.datasets(None, 2).await.unwrap();
    assert_eq!(page.items.iter().map(|d| d.name.as_str()).collect::<Vec<_>>(), ["c", "b"]);
    assert!(page.more && page.items.iter().all(|dataset| dataset.classes.len() == 2));
    let rest = t.store.datasets(Some(page.items[1].id), 2).await.unwrap();
    assert_eq!((rest.items[0].name.as_str(), rest.more), ("a", false));
}

async fn deletion(store: &Store, id: Uuid) -> Option<Conflict> {
    match store.delete_dataset(id).await {
        Ok(_) => None,
        Err(StoreError::Conflict(conflict)) => Some(conflict),
        Err(other) => panic!("{other}"),
    }
}

both!(deletion_waits_for_jobs_and_takes_all_content);

async fn deletion_waits_for_jobs_and_takes_all_content(t: Temp) {
    let reading = t.store.insert_dataset(&new_dataset("r"), None).await.unwrap().id;
    assert_eq!(deletion(&t.store, reading).await, Some(Conflict::DatasetIngesting));
    let id = ready_dataset(&t.store, "d").await;
    let job = queued_job(&t.store, id).await;
    assert_eq!(deletion(&t.store, id).await, Some(Conflict::DatasetInUse { jobs: 1 }));
    let (_, lease) = claimed(&t.store, "w", 0).await.unwrap();
    assert_eq!(deletion(&t.store, id).await, Some(Conflict::DatasetInUse { jobs: 1 }));
    t.store.cancelled(job, lease).await.unwrap();
    assert_eq!(deletion(&t.store, id).await, None);
    assert!(matches!(t.store.delete_dataset(id).await, Err(StoreError::NotFound(Missing::Dataset))));
    assert!(t.store.all_images(id).await.unwrap().is_empty(), "pictures go with their data set");
    assert!(t.store.rejections(id, None, 9).await.unwrap().items.is_empty());
    assert_eq!(t.store.job(job).await.unwrap().dataset.name.as_str(), "d", "a finished job goes on showing the name");
}
