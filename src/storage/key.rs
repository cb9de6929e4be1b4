//! The name of a file in the storage: its path below the data folder.

use std::fmt;
use std::path::{Component, Path, PathBuf};

use super::StorageError;

/// S3 takes 1024 bytes, prefix and all.
const LONGEST: usize = 900;
/// What file systems take.
const LONGEST_PART: usize = 255;

/// A name of one or more parts with `/` between them, each of letters, digits, `-`, `_` and (not first) `.`. So it means the
/// same to any file system and in any bucket, and never leads out of the folder that it is joined to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(String);

impl Key {
    /// The key of a file or folder below `root`. No file is looked at.
    ///
    /// # Errors
    /// [`StorageError::Invalid`] if the path doesn't lie below `root`, or isn't plain.
    pub fn of(root: &Path, path: &Path) -> Result<Self, StorageError> {
        let refused = |why| StorageError::Invalid(format!("{} {why}", path.display()));
        let below = path.strip_prefix(root).map_err(|_| refused("isn't in the data folder"))?;
        let mut parts = Vec::new();
        for part in below.components() {
            match part {
                Component::Normal(part) => parts.push(part.to_str().ok_or_else(|| refused("isn't UTF-8"))?),
                _ => return Err(refused("isn't in the data folder for certain: it has a `..`")),
            }
        }
        let plain = "has a part that isn't of letters, digits, '-', '_' and (not first) '.', or is too long";
        Self::parse(&parts.join("/")).ok_or_else(|| refused(plain))
    }

    /// A key from its text, as a store lists it.
    pub fn parse(text: &str) -> Option<Self> {
        (text.len() <= LONGEST && text.split('/').all(is_plain)).then(|| Self(text.to_owned()))
    }

    /// Its text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Where it lies below `root`.
    pub fn path(&self, root: &Path) -> PathBuf {
        root.join(&self.0)
    }

    /// What object_store calls it. Nothing in a key needs to be escaped.
    pub fn location(&self) -> object_store::path::Path {
        object_store::path::Path::from(self.as_str())
    }

    /// The rest of the name of a file in the folder of this name.
    pub fn name_below<'a>(&self, file: &'a Self) -> Option<&'a str> {
        file.0.strip_prefix(&self.0)?.strip_prefix('/')
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Whether a part of a name means the same everywhere. One that begins with a dot is of a file that isn't whole yet.
pub fn is_plain(part: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
    !part.is_empty() && part.len() <= LONGEST_PART && !part.starts_with('.') && part.bytes().all(plain)
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn only_plain_paths_below_the_root_have_keys() {
        let root = Path::new("/data");
        let of = |path: &str| Key::of(root, Path::new(path));
        for (path, key) in [
            ("/data/models/f/3/manifest.json", "models/f/3/manifest.json"),
            ("/data//a/./b/", "a/b"),
            ("/data/a_b-c.d", "a_b-c.d"),
        ] {
            assert_eq!(of(path).unwrap().as_str(), key);
        }
        let long = format!("/data/{}", "x".repeat(256));
        let deep = format!("/data/{}", ["x"; 500].join("/"));
        for path in [
            "/data",
            "/",
            "/database/a",
            "data/a",
            "/data/../a",
            "/data/a/../../b",
            "/data/a/..",
            "/data/.a",
            "/data/a b",
            "/data/ä",
        ]
        .into_iter()
        .chain([long.as_str(), deep.as_str(), "/data/a\\b", "/data/a%2Fb", "/data/a\0", "/data/a\n", ""])
        {
            assert!(matches!(of(path), Err(StorageError::Invalid(_))), "{path:?}");
        }
        let odd = root.join(OsStr::from_bytes(b"\xff"));
        assert!(matches!(Key::of(root, &odd), Err(StorageError::Invalid(_))));
    }

    #[test]
    fn names_below_are_of_whole_parts() {
        let key = |text| Key::parse(text).unwrap();
        assert_eq!(key("a/b").name_below(&key("a/b/c/d")), Some("c/d"));
        assert_eq!(key("a/b").name_below(&key("a/bc")), None);
        assert_eq!(key("a/b").name_below(&key("a/b")), None);
    }

    proptest! {
        #[test]
        fn no_path_and_no_name_leads_out_of_the_root(bytes in proptest::collection::vec(any::<u8>(), 0..40), text in "\\PC{0,40}") {
            let root = Path::new("/r/data");
            for path in [root.join(OsStr::from_bytes(&bytes)), root.join(&text)] {
                if let Ok(key) = Key::of(root, &path) {
                    prop_assert!(is_below(&key, root));
                    prop_assert_eq!(Key::of(root, &key.path(root)).unwrap(), key);
                }
            }
            if let Some(key) = Key::parse(&text) {
                prop_assert!(is_below(&key, root));
            }
        }

        #[test]
        fn keys_and_paths_are_each_others(text in "[a-z.]{1,3}(/[a-zA-Z0-9._-]{1,6}){0,4}") {
            let root = Path::new("data");
            match Key::parse(&text) {
                Some(key) => {
                    prop_assert!(is_below(&key, root));
                    prop_assert_eq!(Key::of(root, &key.path(root)).unwrap(), key.clone());
                    prop_assert!(key.location().as_ref() == text);
                }
                // A path with a `.` in it may be plain without.
                    None => prop_assert!(Key::of(root, &root.join(&text)).map_or(true, |key| key.as_str() != text)),
            }
        }
    }

    fn is_below(key: &Key, root: &Path) -> bool {
        let path = key.path(root);
        let below = path.strip_prefix(root).unwrap();
        below.components().count() > 0 && below.components().all(|part| matches!(part, Component::Normal(_)))
    }
}
