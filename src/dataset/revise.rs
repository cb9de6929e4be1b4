//! A data set made of another by leaving pictures out and giving others another class.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use super::content::{content_sha256, too_little};
use super::{ClassCount, DatasetError, ImageRecord, Ingested, Rejected};
use crate::hex;

/// What is to be different.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changes {
    /// Numbers of pictures that are left out.
    pub exclude: BTreeSet<u64>,
    /// Pictures that get another class, and the class, which needn't be there yet.
    pub relabel: BTreeMap<u64, String>,
}

/// Why a data set can't be revised like that.
#[derive(Debug, thiserror::Error)]
pub enum ReviseError {
    /// There is no such picture.
    #[error("there is no image {0}: list them at /v1/datasets/{{id}}/images")]
    NoSuchImage(u64),
    /// A picture is to be left out and to be moved.
    #[error("image {0} is to be left out and to get another class: say one of the two")]
    Both(u64),
    /// A class can't be named like that.
    #[error("{name:?} can't be a class: {reason}")]
    ClassName {
        /// The name.
        name: String,
        /// Why not.
        reason: String,
    },
    /// Nothing would be different.
    #[error("nothing would be different: name images to leave out, or to give another class")]
    Nothing,
    /// A row of the data set can't be read.
    #[error("the hash of {path} can't be read")]
    Damaged {
        /// The picture.
        path: String,
    },
    /// What is left isn't enough.
    #[error(transparent)]
    TooLittle(#[from] DatasetError),
}

/// What `images` of `classes` are after `changes`: a data set of the same pack. Classes that nothing is left of go. A picture whose bytes its
/// new class has already is rejected, as in an upload.
///
/// # Errors
/// [`ReviseError`].
pub fn revised(classes: &[String], images: &[ImageRecord], changes: &Changes) -> Result<Ingested, ReviseError> {
    if let Some(&missing) = changes.exclude.iter().chain(changes.relabel.keys()).find(|&&number| number >= images.len() as u64)
    {
        return Err(ReviseError::NoSuchImage(missing));
    }
    if let Some(&both) = changes.relabel.keys().find(|number| changes.exclude.contains(number)) {
        return Err(ReviseError::Both(both));
    }
    let mut relabel = BTreeMap::new();
    for (&number, name) in &changes.relabel {
        let class = super::paths::class_name(name).map_err(|reason| ReviseError::ClassName { name: name.clone(), reason })?;
        // One that has that class already stays as it is.
        if classes[images[number as usize].class as usize] != class {
            relabel.insert(number, class);
        }
    }
    if changes.exclude.is_empty() && relabel.is_empty() {
        return Err(ReviseError::Nothing);
    }
    let mut kept: BTreeMap<&str, Vec<&ImageRecord>> = BTreeMap::new();
    for (number, record) in (0u64..).zip(images).filter(|(number, _)| !changes.exclude.contains(number)) {
        let class = relabel.get(&number).unwrap_or(&classes[record.class as usize]);
        kept.entry(class.as_str()).or_default().push(record);
    }
    let mut rejected = Vec::new();
    for pictures in kept.values_mut() {
        pictures.sort_by(|a, b| a.path.cmp(&b.path));
        let mut known: BTreeMap<&str, &str> = BTreeMap::new();
        pictures.retain(|record| {
            let first = *known.entry(&record.sha256).or_insert(&record.path);
            if first != record.path {
                rejected.push(Rejected { path: record.path.clone(), reason: format!("same picture as {first}") });
            }
            first == record.path
        });
    }
    if let Some(error) =
        too_little(kept.iter().map(|(name, images)| ClassCount { name: (*name).to_owned(), images: images.len() as u64 }))
    {
        return Err(error.into());
    }
    let names: Vec<String> = kept.keys().map(|name| (*name).to_owned()).collect();
    let mut contents = Vec::with_capacity(names.len());
    for (name, pictures) in names.iter().zip(kept.values()) {
        let sha = |record: &&ImageRecord| {
            hex::bytes_of(&record.sha256).ok_or_else(|| ReviseError::Damaged { path: record.path.clone() })
        };
        contents.push((name, pictures.iter().map(sha).collect::<Result<Vec<_>, _>>()?));
    }
    let content_sha256 = content_sha256(contents.into_iter());
    let mut images: Vec<ImageRecord> = Vec::new();
    for (class, pictures) in (0u32..).zip(kept.into_values()) {
        images.extend(pictures.into_iter().map(|record| ImageRecord { class, ..record.clone() }));
    }
    regroup(&mut images);
    Ok(Ingested { classes: names, images, rejected, content_sha256 })
}

/// Names groups by their first picture again; who is alone now is in none.
fn regroup(images: &mut [ImageRecord]) {
    let (mut first, mut shared) = (BTreeMap::new(), HashSet::new());
    for (number, group) in (0u32..).zip(images.iter()).filter_map(|(number, record)| Some((number, record.duplicate_group?))) {
        if *first.entry(group).or_insert(number) != number {
            shared.insert(group);
        }
    }
    for record in images {
        record.duplicate_group = record.duplicate_group.filter(|group| shared.contains(group)).map(|group| first[&group]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vision::picture::PictureFormat;

    fn record(class: u32, path: &str, content: u8, group: Option<u32>) -> ImageRecord {
        ImageRecord {
            path: path.to_owned(),
            class,
            sha256: hex::hex(&[content; 32]),
            format: PictureFormat::Jpeg,
            width: 1,
            height: 1,
            offset: u64::from(content),
            bytes: 1,
            duplicate_group: group,
        }
    }

    fn data() -> (Vec<String>, Vec<ImageRecord>) {
        let images = vec![
            record(0, "a/1", 1, None),
            record(0, "a/2", 2, Some(1)),
            record(0, "a/3", 3, Some(1)),
            record(1, "b/1", 4, Some(1)),
            record(1, "b/2", 5, None),
            record(1, "b/3", 1, None),
        ];
        (vec!["a".to_owned(), "b".to_owned()], images)
    }

    fn changes(exclude: &[u64], relabel: &[(u64, &str)]) -> Changes {
        Changes {
            exclude: exclude.iter().copied().collect(),
            relabel: relabel.iter().map(|(n, class)| (*n, (*class).to_owned())).collect(),
        }
    }

    #[test]
    fn pictures_go_and_move_and_numbers_follow() {
        let (classes, images) = data();
        let revised = revised(&classes, &images, &changes(&[1], &[(2, "b")])).unwrap_err();
        // Of class a one picture would be left.
        assert!(matches!(revised, ReviseError::TooLittle(DatasetError::ClassTooSmall { .. })));
        let revised = super::revised(&classes, &images, &changes(&[1], &[(4, "a")])).unwrap();
        let paths: Vec<(u32, &str)> = revised.images.iter().map(|image| (image.class, image.path.as_str())).collect();
        assert_eq!(paths, [(0, "a/1"), (0, "a/3"), (0, "b/2"), (1, "b/1"), (1, "b/3")]);
        let groups: Vec<Option<u32>> = revised.images.iter().map(|image| image.duplicate_group).collect();
        assert_eq!(groups, [None, Some(1), None, Some(1), None]);
        assert_eq!(revised.images[2].offset, 5);
    }

    #[test]
    fn classes_may_be_made_and_may_go_and_copies_are_not_taken_twice() {
        let (classes, images) = data();
        let one = changes(&[], &[(3, "a"), (4, "c"), (5, "c"), (0, "a")]);
        let made = revised(&classes, &images, &one).unwrap();
        assert_eq!(made.classes, ["a", "c"]);
        // Content 1 is in a already.
        let moved = revised(&classes, &images, &changes(&[], &[(5, "a")])).unwrap();
        assert_eq!(moved.rejected, [Rejected { path: "b/3".to_owned(), reason: "same picture as a/1".to_owned() }]);
        assert_eq!((moved.images.len(), made.images.len()), (5, 6));
        assert_ne!(made.content_sha256, moved.content_sha256);
    }

    #[test]
    fn what_makes_no_sense_is_said() {
        let (classes, images) = data();
        let refused =
            |exclude: &[u64], relabel: &[(u64, &str)]| revised(&classes, &images, &changes(exclude, relabel)).unwrap_err();
        assert!(matches!(refused(&[6], &[]), ReviseError::NoSuchImage(6)));
        assert!(matches!(refused(&[1], &[(1, "b")]), ReviseError::Both(1)));
        assert!(matches!(refused(&[], &[]), ReviseError::Nothing));
        assert!(matches!(refused(&[], &[(1, "a")]), ReviseError::Nothing));
        assert!(matches!(refused(&[], &[(1, " ")]), ReviseError::ClassName { .. }));
        assert!(matches!(refused(&[0, 1, 2], &[]), ReviseError::TooLittle(DatasetError::TooFewClasses { .. })));
    }
}
