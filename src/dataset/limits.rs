//! What a data set may cost, in one place.

use serde::{Deserialize, Serialize};

use crate::vision::picture::PictureLimits;

/// The most that an archive and what comes out of it may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DatasetLimits {
    /// The most entries of any kind in one archive.
    pub max_entries: u64,
    /// The largest archive file, in bytes.
    pub max_archive_bytes: u64,
    /// The most bytes that may come out of one archive, all entries together, those skipped in a tar included.
    pub max_expanded_bytes: u64,
    /// How many times its own size an archive may expand to, once more than [`DatasetLimits::RATIO_FLOOR`] came out.
    pub max_expansion_ratio: u64,
    /// The longest entry path, in bytes.
    pub max_path_bytes: usize,
    /// What a single picture may cost.
    pub picture: PictureLimits,
}

impl DatasetLimits {
    /// Below this many expanded bytes (64 MiB) the ratio isn't looked at: a few flat drawings compress very well and
    /// hurt nobody.
    pub const RATIO_FLOOR: u64 = 64 << 20;
}

impl Default for DatasetLimits {
    /// A data set of 200,000 photographs at 50 KB is about 10 GB. Photographs hardly compress, flat BMP drawings up to
    /// about a hundredfold; an archive made to do harm reaches a thousandfold and more. Linux takes paths of 4,096
    /// bytes, and 1,024 is the most that macOS does.
    fn default() -> Self {
        Self {
            max_entries: 200_000,
            max_archive_bytes: 16 << 30,
            max_expanded_bytes: 32 << 30,
            max_expansion_ratio: 200,
            max_path_bytes: 1024,
            picture: PictureLimits::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_configuration_leaves_out_has_its_default() {
        let limits: DatasetLimits = serde_json::from_str(r#"{"max_entries":7,"picture":{"max_pixels":9}}"#).unwrap();
        let picture = PictureLimits { max_pixels: 9, ..PictureLimits::default() };
        assert_eq!(limits, DatasetLimits { max_entries: 7, picture, ..DatasetLimits::default() });
        assert!(serde_json::from_str::<DatasetLimits>(r#"{"max_entry":7}"#).is_err());
    }
}
