//! A store in a folder: of a network file system, or for trying things out.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use object_store::ObjectStore;
use object_store::local::LocalFileSystem;

use super::StorageError;

/// The store in `folder`, for the data folder `root`.
///
/// # Errors
/// [`StorageError::Invalid`] if `folder` isn't there, or one of the two lies in the other.
pub fn store(folder: &Path, root: &Path) -> Result<Arc<dyn ObjectStore>, StorageError> {
    // Not made here: where a file system isn't mounted, the files would go to the disk under it.
    let Ok(real) = folder.canonicalize() else {
        let message = format!("the storage's folder {} can't be used: make it, or mount what it is on", folder.display());
        return Err(StorageError::Invalid(message));
    };
    let root = resolved(root).map_err(StorageError::at(root))?;
    if real.starts_with(&root) || root.starts_with(&real) {
        let message = format!("the storage's folder {} and the data folder have to be apart", folder.display());
        return Err(StorageError::Invalid(message));
    }
    let store = LocalFileSystem::new_with_prefix(real).map_err(StorageError::of(folder.display()))?;
    Ok(Arc::new(store.with_fsync(true).with_automatic_cleanup(true)))
}

/// A path without links as far as it is there: the data folder may not have been made yet.
fn resolved(path: &Path) -> std::io::Result<PathBuf> {
    let whole = std::path::absolute(path)?;
    for above in whole.ancestors() {
        if let (Ok(real), Ok(below)) = (above.canonicalize(), whole.strip_prefix(above)) {
            return Ok(if below.as_os_str().is_empty() { real } else { real.join(below) });
        }
    }
    Ok(whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_lies_apart_from_the_data_folder_and_is_there() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        std::fs::create_dir_all(path("store/in")).unwrap();
        std::os::unix::fs::symlink(path("store"), path("link")).unwrap();
        assert!(store(&path("store"), &path("data")).is_ok());
        for (folder, root) in
            [("nowhere", "data"), ("store", "store"), ("store/in", "store"), ("store", "store/in"), ("link", "store/in/new/er")]
        {
            assert!(matches!(store(&path(folder), &path(root)), Err(StorageError::Invalid(_))), "{folder} {root}");
        }
    }
}
