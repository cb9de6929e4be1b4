//! A tar writer that writes whatever it is told (POSIX.1-2001, pax and ustar; GNU tar's manual, "Basic Tar Format").

use super::good;

pub const BLOCK: usize = 512;

/// Where a header has its fields.
pub const NAME: usize = 0;
pub const MODE: usize = 100;
pub const SIZE: usize = 124;
pub const CHECKSUM: usize = 148;
pub const LINK: usize = 157;
pub const MAGIC: usize = 257;
pub const PREFIX: usize = 345;

/// A tar's end.
pub const END: [u8; 2 * BLOCK] = [0; 2 * BLOCK];

/// A header with a right checksum.
pub fn header(name: &[u8], kind: u8, size: u64) -> Vec<u8> {
    let mut block = vec![0; BLOCK];
    block[NAME..NAME + name.len().min(100)].copy_from_slice(&name[..name.len().min(100)]);
    block[MODE..MODE + 8].copy_from_slice(b"0000644\0");
    block[SIZE..SIZE + 12].copy_from_slice(format!("{size:011o}\0").as_bytes());
    block[156] = kind;
    block[MAGIC..MAGIC + 8].copy_from_slice(b"ustar\x0000");
    sealed(block)
}

/// A header with other bytes at some place, its checksum right again.
pub fn changed(mut block: Vec<u8>, at: usize, bytes: &[u8]) -> Vec<u8> {
    block[at..at + bytes.len()].copy_from_slice(bytes);
    sealed(block)
}

fn sealed(mut block: Vec<u8>) -> Vec<u8> {
    block[CHECKSUM..CHECKSUM + 8].copy_from_slice(b"        ");
    let sum: u32 = block[..BLOCK].iter().map(|byte| u32::from(*byte)).sum();
    block[CHECKSUM..CHECKSUM + 8].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    block
}

/// Content, filled up to whole blocks.
pub fn padded(bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes.resize(bytes.len().next_multiple_of(BLOCK), 0);
    bytes
}

/// A header and its content.
pub fn entry(header: Vec<u8>, bytes: &[u8]) -> Vec<u8> {
    [header, padded(bytes)].concat()
}

/// A regular file whose name fits the header.
pub fn file(path: impl AsRef<[u8]>, bytes: &[u8]) -> Vec<u8> {
    entry(header(path.as_ref(), b'0', bytes.len() as u64), bytes)
}

/// A regular file under a name of any length, as GNU tar writes it.
pub fn long(path: &[u8], bytes: &[u8]) -> Vec<u8> {
    [gnu_name(path), file(b"short/name.png", bytes)].concat()
}

/// A regular file whose name is in the header if it fits.
pub fn any(path: &str, bytes: &[u8]) -> Vec<u8> {
    if path.len() > 100 { long(path.as_bytes(), bytes) } else { file(path, bytes) }
}

/// GNU tar's entry that holds the next one's name.
pub fn gnu_name(path: &[u8]) -> Vec<u8> {
    let name = [path, b"\0"].concat();
    entry(header(b"././@LongLink", b'L', name.len() as u64), &name)
}

/// Pax's entry of records about the next one.
pub fn pax(records: &[u8]) -> Vec<u8> {
    entry(header(b"PaxHeaders/1.png", b'x', records.len() as u64), records)
}

/// A pax record: its own length in decimal digits, a space, the key, `=`, the value, a line feed.
pub fn record(key: &str, value: &[u8]) -> Vec<u8> {
    let rest = key.len() + value.len() + 3;
    // The length counts its own digits, of which there may be one more for them.
    let length = (1..).map(|digits| rest + digits).find(|length| rest + length.to_string().len() == *length).unwrap();
    [format!("{length} {key}=").as_bytes(), value, b"\n"].concat()
}

/// A tar of the blocks.
pub fn tar(blocks: &[u8]) -> Vec<u8> {
    [blocks, END.as_slice()].concat()
}

/// A tar of four good pictures and the blocks.
pub fn tar_with(blocks: &[u8]) -> Vec<u8> {
    tar(&[around(), blocks.to_vec()].concat())
}

/// Four good pictures.
pub fn around() -> Vec<u8> {
    good().iter().flat_map(|(path, bytes)| file(path, bytes)).collect()
}
