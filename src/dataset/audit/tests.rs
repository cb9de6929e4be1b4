use super::*;
use crate::dataset::ImageRecord;
use crate::vision::picture::PictureFormat;

/// Pictures of these classes, of usual size, unlike each other and all judged to be what they are labelled.
fn data(labels: &[u32]) -> (Vec<String>, Vec<ImageRecord>, Evidence) {
    let classes: Vec<String> =
        (0..=labels.iter().copied().max().unwrap_or_default()).map(|class| format!("c{class}")).collect();
    let record = |(number, &class): (usize, &u32)| ImageRecord {
        path: format!("c{class}/{number}.jpg"),
        class,
        sha256: format!("{number:064x}"),
        format: PictureFormat::Jpeg,
        width: 500,
        height: 400,
        offset: 0,
        bytes: 1,
        duplicate_group: None,
    };
    let judgement = |&class: &u32| Judgement { own: 0.8, others: vec![(u32::from(class == 0), 0.1)] };
    let others = |number: usize| {
        (0..5u32)
            .map(move |n| Neighbour { image: (number as u32 + n + 1) % labels.len() as u32, similarity: 0.5 - 0.01 * n as f32 })
    };
    let evidence = Evidence {
        judgements: labels.iter().map(judgement).collect(),
        nearest: (0..labels.len()).map(|number| others(number).collect()).collect(),
    };
    (classes, labels.iter().enumerate().map(record).collect(), evidence)
}

fn of_kind(findings: &[Finding], kind: FindingKind) -> Vec<&Finding> {
    findings.iter().filter(|finding| finding.kind == kind).collect()
}

fn numbers(finding: &Finding) -> Vec<u64> {
    finding.images.iter().map(|image| image.image).collect()
}

#[test]
fn nothing_is_wrong_with_good_pictures() {
    let (classes, images, evidence) = data(&[[0; 20], [1; 20]].concat());
    let findings = findings(&classes, &images, &evidence);
    assert_eq!(findings, []);
    let summary = AuditSummary::of(&evidence, &findings);
    assert!(summary.agreement >= 1.0 && summary.findings.is_empty());
}

#[test]
fn a_label_is_suspect_when_another_class_is_more_probable_and_the_surest_comes_first() {
    let (classes, images, mut evidence) = data(&[[0; 20], [1; 20]].concat());
    evidence.judgements[3] = Judgement { own: 0.1, others: vec![(1, 0.85)] };
    evidence.judgements[25] = Judgement { own: 0.01, others: vec![(0, 0.97)] };
    // Little is known, but no other class is more probable.
    evidence.judgements[7] = Judgement { own: 0.3, others: vec![(1, 0.2)] };
    let found = findings(&classes, &images, &evidence);
    let suspects = of_kind(&found, FindingKind::LabelSuspect);
    assert_eq!(suspects.iter().map(|finding| finding.images[0].image).collect::<Vec<_>>(), [25, 3]);
    assert_eq!((suspects[0].suggested.as_deref(), suspects[1].suggested.as_deref()), (Some("c0"), Some("c1")));
    assert!(suspects[0].score > suspects[1].score && suspects[0].score <= 1.0);
    assert!((AuditSummary::of(&evidence, &found).agreement - 38.0 / 40.0).abs() < 1e-9);
}

#[test]
fn copies_are_told_once_and_across_classes_first() {
    let (classes, mut images, mut evidence) = data(&[[0; 20], [1; 20]].concat());
    for (number, group) in [(0, 0), (4, 0), (5, 5), (30, 5)] {
        images[number].duplicate_group = Some(group);
    }
    // What outlines don't show: two that are each other's nearest by far.
    evidence.nearest[10].insert(0, Neighbour { image: 11, similarity: 0.99 });
    evidence.nearest[11].insert(0, Neighbour { image: 10, similarity: 0.99 });
    // A crowd of alike pictures is none of copies.
    for (one, other) in [(14, 15), (15, 14)] {
        evidence.nearest[one].insert(0, Neighbour { image: 16, similarity: 0.98 });
        evidence.nearest[one].insert(0, Neighbour { image: other, similarity: 0.985 });
    }
    let found = findings(&classes, &images, &evidence);
    let conflicting = of_kind(&found, FindingKind::ConflictingDuplicates);
    assert_eq!(conflicting.iter().map(|finding| numbers(finding)).collect::<Vec<_>>(), [[5, 30]]);
    assert_eq!(conflicting[0].classes, ["c0", "c1"]);
    assert_eq!(
        of_kind(&found, FindingKind::Duplicates).iter().map(|finding| numbers(finding)).collect::<Vec<_>>(),
        [[0, 4], [10, 11]]
    );
    assert!(found.is_sorted_by_key(|finding| finding.kind));
}

#[test]
fn what_is_unlike_small_few_or_mixed_up_is_told() {
    let (classes, mut images, mut evidence) = data(&[vec![0; 30], vec![1; 30], vec![2; 7]].concat());
    // Not all are equally far from others, or nothing could be told to be far.
    for (number, neighbours) in evidence.nearest.iter_mut().enumerate() {
        neighbours.iter_mut().for_each(|neighbour| neighbour.similarity += 0.001 * (number % 10) as f32);
    }
    evidence.nearest[12].iter_mut().for_each(|neighbour| neighbour.similarity = 0.1);
    images[40].width = 90;
    for number in [1, 2, 3, 31, 32, 33] {
        evidence.judgements[number] = Judgement { own: 0.4, others: vec![(u32::from(number < 30), 0.5)] };
    }
    let found = findings(&classes, &images, &evidence);
    assert_eq!(of_kind(&found, FindingKind::Outlier).iter().map(|finding| numbers(finding)).collect::<Vec<_>>(), [[12]]);
    assert_eq!(of_kind(&found, FindingKind::TinyPicture).iter().map(|finding| numbers(finding)).collect::<Vec<_>>(), [[40]]);
    let small = of_kind(&found, FindingKind::SmallClass);
    assert_eq!((small.len(), small[0].classes.as_slice(), small[0].images.len()), (1, &["c2".to_owned()][..], 7));
    let alike = of_kind(&found, FindingKind::AlikeClasses);
    assert_eq!((alike.len(), alike[0].classes.as_slice()), (1, &["c0".to_owned(), "c1".to_owned()][..]));
    assert!((alike[0].score - 0.1).abs() < 1e-9, "{:?}", alike[0]);
}

#[test]
fn a_kind_has_one_name() {
    for kind in FindingKind::ALL {
        assert_eq!(serde_json::to_value(kind).unwrap(), kind.as_str());
    }
}
