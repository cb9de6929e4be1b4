//! What a data set's content comes to: whether it is enough, and its hash.

use sha2::{Digest, Sha256};

use super::{ClassCount, DatasetError, MIN_CLASSES, MIN_PER_CLASS};
use crate::hex::hex;

/// The first bytes of what a content hash is taken over; the number is raised when the rest changes.
const DOMAIN: &[u8] = b"topgraft data set content 1\n";

/// A picture's SHA-256.
pub(super) type Sha = [u8; 32];

/// Over each class, in order of name: the length of its name (8 bytes, little-endian), its name, its number of
/// pictures (likewise), and their SHA-256 in ascending order.
pub(super) fn content_sha256<'a>(classes: impl Iterator<Item = (&'a String, Vec<Sha>)>) -> String {
    let mut hash = Sha256::new_with_prefix(DOMAIN);
    for (name, mut contents) in classes {
        hash.update((name.len() as u64).to_le_bytes());
        hash.update(name);
        hash.update((contents.len() as u64).to_le_bytes());
        contents.sort_unstable();
        contents.iter().for_each(|content| hash.update(content));
    }
    hex(&hash.finalize())
}

/// Why these classes aren't enough to learn from, if they aren't.
pub(super) fn too_little(classes: impl Iterator<Item = ClassCount>) -> Option<DatasetError> {
    let mut classes: Vec<ClassCount> = classes.collect();
    if classes.len() < MIN_CLASSES {
        return Some(
            classes.pop().map_or(DatasetError::NoPictures { first: Vec::new() }, |class| DatasetError::TooFewClasses { class }),
        );
    }
    classes.retain(|class| class.images < MIN_PER_CLASS as u64);
    (!classes.is_empty()).then_some(DatasetError::ClassTooSmall { classes })
}
