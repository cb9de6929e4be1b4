use super::*;
use crate::store::Conflict;
use crate::store::testing::{Temp, both, new_dataset, ready_dataset};

fn claim(lease: Uuid, now: i64) -> Claim<'static> {
    Claim { worker: "w", lease, now, lease_ms: 1000, max_attempts: 2 }
}

fn found(kind: FindingKind, score: f64) -> Finding {
    Finding { kind, score, message: "look".to_owned(), images: Vec::new(), classes: Vec::new(), suggested: None }
}

both!(an_audit_is_asked_for_once_and_its_findings_come_by_kind);

async fn an_audit_is_asked_for_once_and_its_findings_come_by_kind(temp: Temp) {
    let store = &temp.store;
    let dataset = ready_dataset(store, "d").await;
    assert!(matches!(store.audit_of(dataset).await, Err(StoreError::NotFound(Missing::Audit))));
    let asked = store.request_audit(dataset).await.unwrap();
    assert_eq!(asked, store.request_audit(dataset).await.unwrap());
    let lease = Uuid::now_v7();
    assert_eq!(store.claim_audit(&claim(lease, now())).await.unwrap(), Some(dataset));
    assert_eq!(store.claim_audit(&claim(Uuid::now_v7(), now())).await.unwrap(), None);
    store.record_audit_progress(dataset, lease, 0.5).await.unwrap();
    let running = store.audit_of(dataset).await.unwrap();
    assert_eq!((running.state, running.summary), (AuditState::Running, None));
    assert!((running.progress - 0.5).abs() < 1e-9);

    let findings: Vec<Finding> =
        [(FindingKind::LabelSuspect, 0.9), (FindingKind::LabelSuspect, 0.8), (FindingKind::Outlier, 0.7)]
            .into_iter()
            .map(|(kind, score)| found(kind, score))
            .collect();
    let summary = AuditSummary { agreement: 0.9, findings: [(FindingKind::LabelSuspect, 2), (FindingKind::Outlier, 1)].into() };
    store.finish_audit(dataset, lease, &summary, &findings).await.unwrap();
    let ready = store.request_audit(dataset).await.unwrap();
    assert_eq!((ready.state, ready.summary), (AuditState::Ready, Some(summary)));
    assert!(ready.finished_at.is_some());
    let first = store.findings(dataset, None, None, 2).await.unwrap();
    assert_eq!((first.items, first.more), (vec![(0, findings[0].clone()), (1, findings[1].clone())], true));
    let rest = store.findings(dataset, None, Some(1), 2).await.unwrap();
    assert_eq!((rest.items, rest.more), (vec![(2, findings[2].clone())], false));
    let outliers = store.findings(dataset, Some(FindingKind::Outlier), None, 9).await.unwrap();
    assert_eq!(outliers.items.iter().map(|(number, _)| *number).collect::<Vec<_>>(), [2]);

    store.delete_dataset(dataset).await.unwrap();
    assert!(store.findings(dataset, None, None, 9).await.unwrap().items.is_empty());
}

both!(a_lost_worker_writes_nothing_and_too_many_of_them_end_it);

async fn a_lost_worker_writes_nothing_and_too_many_of_them_end_it(temp: Temp) {
    let store = &temp.store;
    let dataset = ready_dataset(store, "d").await;
    store.request_audit(dataset).await.unwrap();
    let (first, second, start) = (Uuid::now_v7(), Uuid::now_v7(), now());
    store.claim_audit(&claim(first, start)).await.unwrap();
    assert!(store.audit_heartbeat(dataset, first, start + 900, 1000).await.unwrap());
    assert_eq!(store.claim_audit(&claim(second, start + 1500)).await.unwrap(), None);
    assert_eq!(store.claim_audit(&claim(second, start + 2000)).await.unwrap(), Some(dataset));
    assert!(!store.audit_heartbeat(dataset, first, start, 1000).await.unwrap());
    let summary = AuditSummary { agreement: 1.0, findings: std::collections::BTreeMap::new() };
    for lost in [
        store.finish_audit(dataset, first, &summary, &[]).await,
        store.record_audit_progress(dataset, first, 0.1).await,
        store.release_audit(dataset, first).await,
    ] {
        assert!(matches!(lost, Err(StoreError::LostLease)));
    }
    // In good order: not counted.
    store.release_audit(dataset, second).await.unwrap();
    assert_eq!(store.claim_audit(&claim(second, start + 2000)).await.unwrap(), Some(dataset));
    assert_eq!(store.claim_audit(&claim(first, start + 9000)).await.unwrap(), None);
    let failed = store.audit_of(dataset).await.unwrap();
    assert_eq!((failed.state, failed.error.unwrap().code), (AuditState::Failed, "worker_lost".to_owned()));
    // Asked again, it begins anew.
    assert_eq!(store.request_audit(dataset).await.unwrap().state, AuditState::Queued);
}

both!(only_what_is_ready_is_audited);

async fn only_what_is_ready_is_audited(temp: Temp) {
    let ingesting = temp.store.insert_dataset(&new_dataset("d"), None).await.unwrap().id;
    let refused = temp.store.request_audit(ingesting).await;
    assert!(matches!(refused, Err(StoreError::Conflict(Conflict::DatasetIngesting))));
    assert!(matches!(temp.store.request_audit(Uuid::now_v7()).await, Err(StoreError::NotFound(Missing::Dataset))));
}
