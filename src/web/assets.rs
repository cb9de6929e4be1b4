//! The files that pages load, in the binary. Their address has a name for what is in all of them, so that browsers may keep them for
//! good.

use std::sync::LazyLock;

use sha2::{Digest, Sha256};

use crate::hex::hex;

/// A file that pages load.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Asset {
    /// Its name, such as `vendor/uplot.js`.
    pub name: &'static str,
    /// Its media type.
    pub media_type: &'static str,
    /// What is in it.
    pub bytes: &'static [u8],
}

const SCRIPT: &str = "text/javascript; charset=utf-8";
const STYLE: &str = "text/css; charset=utf-8";

/// Makes the table of files.
macro_rules! assets {
    ($($name:literal: $media_type:expr),* $(,)?) => {
        &[$(Asset { name: $name, media_type: $media_type, bytes: include_bytes!(concat!("assets/", $name)) }),*]
    };
}

const ASSETS: &[Asset] = assets! {
    "audit.js": SCRIPT,
    "base.js": SCRIPT,
    "charts.js": SCRIPT,
    "compare.js": SCRIPT,
    "dataset.js": SCRIPT,
    "icon.svg": "image/svg+xml",
    "job.js": SCRIPT,
    "jobs.js": SCRIPT,
    "model.js": SCRIPT,
    "report.js": SCRIPT,
    "style.css": STYLE,
    "tar.js": SCRIPT,
    "train.js": SCRIPT,
    "try.js": SCRIPT,
    "upload.js": SCRIPT,
    "vendor/uplot.LICENSE": "text/plain; charset=utf-8",
    "vendor/uplot.css": STYLE,
    "vendor/uplot.js": SCRIPT,
};

/// 16 hexadecimal digits of the SHA-256 of all files.
static VERSION: LazyLock<String> = LazyLock::new(|| {
    let mut hasher = Sha256::new();
    ASSETS.iter().for_each(|asset| hasher.update(asset.bytes));
    let mut version = hex(&hasher.finalize());
    version.truncate(16);
    version
});

/// The file of this name.
#[must_use]
pub fn asset(name: &str) -> Option<&'static Asset> {
    ASSETS.iter().find(|asset| asset.name == name)
}

/// What the files' address has in it: it changes with any of them.
#[must_use]
pub fn version() -> &'static str {
    &VERSION
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_is_there_with_its_type_and_the_charts_with_their_licence() {
        assert_eq!(asset("base.js").unwrap().media_type, SCRIPT);
        assert!(asset("nothing.js").is_none() && asset("../assets.rs").is_none());
        let licence = std::str::from_utf8(asset("vendor/uplot.LICENSE").unwrap().bytes).unwrap();
        assert!(licence.contains("MIT") || licence.contains("Permission is hereby granted"));
        assert_eq!(version().len(), 16);
    }

    #[test]
    fn what_a_script_imports_is_among_them() {
        for script in ASSETS.iter().filter(|asset| asset.media_type == SCRIPT && !asset.name.starts_with("vendor/")) {
            let text = std::str::from_utf8(script.bytes).unwrap();
            for line in text.lines().filter(|line| line.starts_with("import ")) {
                let name = line.rsplit("from './").next().and_then(|rest| rest.split('\'').next()).unwrap();
                assert!(asset(name).is_some(), "{} imports {name}", script.name);
            }
        }
    }
}
