use super::*;
use proptest::prelude::*;

/// A data set of 1 to 6 classes with 3 to 40 pictures each, its keys distinct.
fn data() -> impl Strategy<Value = (Vec<u32>, Vec<String>)> {
    data_from(3)
}

/// Classes of as few as `smallest` pictures.
fn data_from(smallest: usize) -> impl Strategy<Value = (Vec<u32>, Vec<String>)> {
    proptest::collection::vec(smallest..40, 1..6).prop_map(|sizes| {
        let mut labels = Vec::new();
        for (class, size) in sizes.into_iter().enumerate() {
            labels.extend(std::iter::repeat_n(class as u32, size));
        }
        let keys = (0..labels.len()).map(|i| format!("picture-{i}")).collect();
        (labels, keys)
    })
}

/// Shares for validation and test, of the test none in one case of three.
fn fractions() -> impl Strategy<Value = (f64, f64)> {
    (0.01..0.9, prop_oneof![1 => Just(0.0), 2 => 0.001..1.0])
        .prop_map(|(validation, part): (f64, f64)| (validation, (0.9 - validation) * part))
}

/// The keys of the validation and of the test pictures.
fn held_out(labels: &[u32], keys: &[String], fractions: (f64, f64), seed: u64) -> [Vec<String>; 2] {
    let split = stratified(labels, keys, &alone(labels), fractions.0, fractions.1, seed).unwrap();
    [split.validation, split.test].map(|side| {
        let mut keys: Vec<String> = side.iter().map(|&i| keys[i].clone()).collect();
        keys.sort();
        keys
    })
}

/// No picture shows what another does.
fn alone(labels: &[u32]) -> Vec<Option<u32>> {
    vec![None; labels.len()]
}

fn of_class(side: &[usize], labels: &[u32], class: u32) -> usize {
    side.iter().filter(|i| labels[**i] == class).count()
}

proptest! {
    #[test]
    fn every_picture_is_on_exactly_one_side((labels, keys) in data(), (validation, test) in fractions(), seed: u64) {
        let split = stratified(&labels, &keys, &alone(&labels), validation, test, seed).unwrap();
        prop_assert!(split.train.is_sorted() && split.validation.is_sorted() && split.test.is_sorted());
        let mut all = [split.train, split.validation, split.test].concat();
        all.sort_unstable();
        prop_assert_eq!(all, (0..labels.len()).collect::<Vec<_>>());
    }

    #[test]
    fn every_class_is_split_alike((labels, keys) in data_from(2), fraction in 0.01..0.99, seed: u64) {
        let split = stratified(&labels, &keys, &alone(&labels), fraction, 0.0, seed).unwrap();
        prop_assert!(split.test.is_empty());
        for class in 0..=labels[labels.len() - 1] {
            let size = labels.iter().filter(|l| **l == class).count();
            let taken = of_class(&split.validation, &labels, class);
            prop_assert!(taken >= 1 && taken < size);
            prop_assert!((taken as f64 - size as f64 * fraction).abs() <= 1.0);
        }
    }

    #[test]
    fn every_class_is_tested_alike((labels, keys) in data(), (validation, test) in fractions(), seed: u64) {
        prop_assume!(test > 0.0);
        let split = stratified(&labels, &keys, &alone(&labels), validation, test, seed).unwrap();
        for class in 0..=labels[labels.len() - 1] {
            let size = labels.iter().filter(|l| **l == class).count();
            let taken = of_class(&split.test, &labels, class);
            prop_assert!(taken >= 1 && of_class(&split.validation, &labels, class) >= 1);
            prop_assert!(of_class(&split.train, &labels, class) >= 1);
            // Half a picture each for rounding both shares, up to one for the picture that must be left.
            prop_assert!((taken as f64 - size as f64 * test).abs() <= 2.0);
        }
    }

    #[test]
    fn a_test_share_leaves_the_validation_pictures((labels, keys) in data(), (validation, test) in fractions(), seed: u64) {
        let without = stratified(&labels, &keys, &alone(&labels), validation, 0.0, seed).unwrap();
        let with = stratified(&labels, &keys, &alone(&labels), validation, test, seed).unwrap();
        for class in 0..=labels[labels.len() - 1] {
            let pictures = |split: &Split| split.validation.iter().copied().filter(|&i| labels[i] == class).collect();
            let (before, after): (Vec<usize>, Vec<usize>) = (pictures(&without), pictures(&with));
            if of_class(&without.train, &labels, class) >= 2 {
                prop_assert_eq!(before, after);
            } else {
                prop_assert!(after.iter().all(|i| before.contains(i)) && after.len() + 1 >= before.len());
            }
        }
    }

    #[test]
    fn the_order_of_the_pictures_does_not_matter(
        (labels, keys) in data(), fractions in fractions(), seed: u64, turn in 0usize..100,
    ) {
        let before = held_out(&labels, &keys, fractions, seed);
        let (mut labels, mut keys) = (labels, keys);
        let turn = turn % labels.len();
        labels.rotate_left(turn);
        keys.rotate_left(turn);
        labels.reverse();
        keys.reverse();
        prop_assert_eq!(held_out(&labels, &keys, fractions, seed), before);
    }

    #[test]
    fn one_more_picture_moves_at_most_one_other((labels, keys) in data(), seed: u64, test in 0.0..0.5) {
        let before = held_out(&labels, &keys, (0.25, test), seed);
        let (mut labels, mut keys) = (labels, keys);
        labels.push(0);
        keys.push("one more".into());
        let after = held_out(&labels, &keys, (0.25, test), seed);
        for (before, after) in before.iter().zip(&after) {
            prop_assert!(before.iter().filter(|key| !after.contains(key)).count() <= 1);
            prop_assert!(after.iter().filter(|key| *key != "one more" && !before.contains(key)).count() <= 1);
        }
    }
}

proptest! {
    /// Groups of any size, over all classes: they stay together unless a class would be without pictures on a side.
    #[test]
    fn groups_stay_on_one_side(
        (labels, keys) in data(), (validation, test) in fractions(), seed: u64,
        drawn in proptest::collection::vec(proptest::option::weighted(0.5, 0u32..30), 240),
    ) {
        let groups = &drawn[..labels.len()];
        let split = stratified(&labels, &keys, groups, validation, test, seed).unwrap();
        let plain = stratified(&labels, &keys, &alone(&labels), validation, test, seed).unwrap();
        let mut all = [&split.train[..], &split.validation, &split.test].concat();
        all.sort_unstable();
        prop_assert_eq!(all, (0..labels.len()).collect::<Vec<_>>());
        for class in 0..=labels[labels.len() - 1] {
            for (side, plain) in [(&split.validation, &plain.validation), (&split.test, &plain.test)] {
                let (taken, wanted) = (of_class(side, &labels, class), of_class(plain, &labels, class));
                prop_assert!(taken <= wanted && (taken > 0) == (wanted > 0), "{taken} of {wanted}");
            }
            prop_assert!(of_class(&split.train, &labels, class) > 0);
        }
    }

    /// Pairs and threes among many single pictures, as in real data sets, are never torn apart.
    #[test]
    fn small_groups_are_never_torn_apart(
        sizes in proptest::collection::vec(12usize..40, 1..5), validation in 0.1..0.4, test in 0.0..0.3, seed: u64, stride in 2usize..5,
    ) {
        let labels: Vec<u32> = sizes.iter().enumerate().flat_map(|(class, &size)| std::iter::repeat_n(class as u32, size)).collect();
        let keys: Vec<String> = (0..labels.len()).map(|i| format!("picture-{i}")).collect();
        // Of every class the first six pictures are in groups of `stride`, some of which two classes share.
        let mut place = 0;
        let groups: Vec<Option<u32>> = sizes.iter().flat_map(|&size| {
            (0..size).map(|i| (i < 6).then(|| { place += 1; (place / stride) as u32 })).collect::<Vec<_>>()
        }).collect();
        let split = stratified(&labels, &keys, &groups, validation, test, seed).unwrap();
        for group in groups.iter().flatten() {
            let on = |side: &[usize]| side.iter().any(|&image| groups[image] == Some(*group));
            prop_assert_eq!([on(&split.train), on(&split.validation), on(&split.test)].into_iter().filter(|on| *on).count(), 1);
        }
    }
}

proptest! {
    #[test]
    fn folds_share_classes_out_evenly((labels, keys) in data(), count in 2u32..7, seed: u64) {
        let folds = folds(&labels, &keys, &alone(&labels), count, seed);
        for class in 0..=labels[labels.len() - 1] {
            let sizes = (0..count).map(|fold| (0..labels.len()).filter(|&i| labels[i] == class && folds[i] == fold).count());
            let sizes: Vec<usize> = sizes.collect();
            prop_assert!(sizes.iter().max().unwrap() - sizes.iter().min().unwrap() <= 1, "{sizes:?}");
        }
        let groups: Vec<Option<u32>> = (0..labels.len()).map(|i| (i % 4 < 2).then_some((i / 4) as u32)).collect();
        let folds = super::folds(&labels, &keys, &groups, count, seed);
        prop_assert!((0..labels.len()).all(|i| (0..i).all(|j| groups[i].is_none() || groups[i] != groups[j] || folds[i] == folds[j])));
    }
}

#[test]
fn a_class_of_one_group_is_torn_apart_and_others_are_not() {
    let labels = [0, 0, 0, 0, 1, 1, 1, 1];
    let keys = ["a", "b", "c", "d", "e", "f", "g", "h"];
    let groups = [Some(0), Some(0), Some(0), Some(0), Some(4), Some(4), None, None];
    let split = stratified(&labels, &keys, &groups, 0.25, 0.25, 7).unwrap();
    assert_eq!((split.train.len(), split.validation.len(), split.test.len()), (4, 2, 2));
    assert!(split.train.contains(&4) && split.train.contains(&5), "{split:?}");
}

#[test]
fn the_split_of_a_seed_never_changes() {
    let labels = [0, 0, 0, 0, 1, 1, 1, 1];
    let keys = ["a", "b", "c", "d", "e", "f", "g", "h"];
    // Worked out apart from this code, with `printf '\7\0\0\0\0\0\0\0a' | sha256sum` and so on.
    let split = stratified(&labels, &keys, &alone(&labels), 0.25, 0.0, 7).unwrap();
    assert_eq!(split.validation, [2, 6]);
    assert_eq!((split.train.as_slice(), split.test.as_slice()), (&[0, 1, 3, 4, 5, 7][..], &[][..]));
    let tested = stratified(&labels, &keys, &alone(&labels), 0.25, 0.25, 7).unwrap();
    assert_eq!(tested, Split { train: vec![0, 1, 4, 5], validation: vec![2, 6], test: vec![3, 7] });
    assert_ne!(stratified(&labels, &keys, &alone(&labels), 0.25, 0.0, 9).unwrap(), split);
}

#[test]
fn what_cannot_be_split_says_why() {
    let error = stratified(&[0, 0, 1], &["a", "b", "c"], &[None; 3], 0.2, 0.0, 0).unwrap_err();
    assert_eq!(error, SplitError::ClassTooSmall { class: 1, images: 1 });
    for fraction in [0.0, 1.0, -0.5, f64::NAN, f64::INFINITY] {
        assert!(matches!(stratified(&[0, 0], &["a", "b"], &[None; 2], fraction, 0.0, 0), Err(SplitError::Fraction(_))));
    }
    let error = stratified(&[0, 0, 0, 1, 1], &["a", "b", "c", "d", "e"], &[None; 5], 0.2, 0.01, 0).unwrap_err();
    assert_eq!(error, SplitError::ClassTooSmallToTest { class: 1, images: 2 });
    assert!(error.to_string().contains("needs at least 3"), "{error}");
    for test in [-0.1, 0.8, 1.0, f64::NAN, f64::INFINITY] {
        let result = stratified(&[0, 0, 0], &["a", "b", "c"], &[None; 3], 0.2, test, 0);
        assert!(matches!(result, Err(SplitError::TestFraction { .. })), "{test}");
    }
    let error = stratified(&[0, 0], &["a"], &[None; 3], 0.2, 0.0, 0).unwrap_err();
    assert_eq!(error, SplitError::Lengths { labels: 2, keys: 1, groups: 3 });
}
