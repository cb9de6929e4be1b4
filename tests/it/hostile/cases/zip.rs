//! A zip writer that writes whatever it is told (APPNOTE.TXT 6.3.10, sections 4.3 and 4.5).

use super::{crc, deflate, good};

pub const STORED: u16 = 0;
pub const DEFLATED: u16 = 8;
/// General purpose flags.
pub const ENCRYPTED: u16 = 1;
pub const DESCRIPTOR: u16 = 1 << 3;
pub const UTF8: u16 = 1 << 11;

/// What the two headers of an entry say of it.
#[derive(Clone)]
pub struct Header {
    pub name: Vec<u8>,
    pub flags: u16,
    pub method: u16,
    pub crc: u32,
    pub compressed: u32,
    pub size: u32,
    pub extra: Vec<u8>,
}

/// An entry: two headers that may disagree, and content.
#[derive(Clone)]
pub struct Entry {
    pub local: Header,
    pub central: Header,
    /// Unix mode; 0 for an entry from elsewhere.
    pub mode: u32,
    pub disk: u16,
    /// Instead of where the local header is.
    pub offset: Option<u32>,
    pub data: Vec<u8>,
    /// Follows the data.
    pub after: Vec<u8>,
    /// No local header and no data are written, for an entry that points to another's.
    pub only_listed: bool,
}

impl Entry {
    /// Changes both headers.
    pub fn both(mut self, change: impl Fn(&mut Header)) -> Self {
        change(&mut self.local);
        change(&mut self.central);
        self
    }

    /// Changes whatever it is told.
    pub fn with(mut self, change: impl Fn(&mut Self)) -> Self {
        change(&mut self);
        self
    }
}

/// An entry as it should be, stored.
pub fn stored(name: impl AsRef<[u8]>, bytes: &[u8]) -> Entry {
    entry(name.as_ref(), STORED, bytes, bytes.to_vec())
}

/// An entry as it should be, deflated.
pub fn deflated(name: impl AsRef<[u8]>, bytes: &[u8]) -> Entry {
    entry(name.as_ref(), DEFLATED, bytes, deflate(bytes))
}

fn entry(name: &[u8], method: u16, bytes: &[u8], data: Vec<u8>) -> Entry {
    let (name, crc, size, compressed) = (name.to_vec(), crc(bytes), bytes.len() as u32, data.len() as u32);
    let header = Header { name, flags: 0, method, crc, compressed, size, extra: Vec::new() };
    let (local, central) = (header.clone(), header);
    Entry { local, central, mode: 0o100_644, disk: 0, offset: None, data, after: Vec::new(), only_listed: false }
}

/// The record at a zip's end.
#[derive(Clone)]
pub struct End {
    pub disk: u16,
    pub directory_disk: u16,
    pub count_here: u16,
    pub count: u16,
    pub size: u32,
    pub offset: u32,
    pub comment: Vec<u8>,
    /// Instead of the comment's length.
    pub comment_length: Option<u16>,
    /// Between the directory and this record.
    pub before: Vec<u8>,
}

/// A zip of the entries.
pub fn zip(entries: &[Entry]) -> Vec<u8> {
    zip_ended(entries, |_| {})
}

/// A zip of four good pictures and the entries.
pub fn zip_with(entries: &[Entry]) -> Vec<u8> {
    zip(&[around(), entries.to_vec()].concat())
}

/// Four good pictures.
pub fn around() -> Vec<Entry> {
    good().into_iter().map(|(path, bytes)| stored(path, &bytes)).collect()
}

/// A zip of the entries, its last record changed.
pub fn zip_ended(entries: &[Entry], change: impl Fn(&mut End)) -> Vec<u8> {
    let (mut bytes, mut directory) = (Vec::new(), Vec::new());
    for entry in entries {
        let offset = entry.offset.unwrap_or(bytes.len() as u32);
        if !entry.only_listed {
            bytes.extend(local(&entry.local));
            bytes.extend(&entry.data);
            bytes.extend(&entry.after);
        }
        directory.extend(central(entry, offset));
    }
    let count = entries.len() as u16;
    let (size, offset) = (directory.len() as u32, bytes.len() as u32);
    let (comment, before) = (Vec::new(), Vec::new());
    let mut end =
        End { disk: 0, directory_disk: 0, count_here: count, count, size, offset, comment, comment_length: None, before };
    change(&mut end);
    bytes.extend(directory);
    bytes.extend(&end.before);
    bytes.extend(end_record(&end));
    bytes
}

fn local(header: &Header) -> Vec<u8> {
    let mut bytes = b"PK\x03\x04\x14\0".to_vec();
    common(header, &mut bytes);
    bytes.extend(&header.name);
    bytes.extend(&header.extra);
    bytes
}

fn central(entry: &Entry, offset: u32) -> Vec<u8> {
    // Made by version 2.0 on Unix, or on DOS, where there is no mode.
    let made_on = if entry.mode == 0 { 0 } else { 3 };
    let mut bytes = vec![b'P', b'K', 1, 2, 20, made_on, 20, 0];
    common(&entry.central, &mut bytes);
    bytes.extend([0, 0]);
    bytes.extend(entry.disk.to_le_bytes());
    bytes.extend([0, 0]);
    bytes.extend((entry.mode << 16).to_le_bytes());
    bytes.extend(offset.to_le_bytes());
    bytes.extend(&entry.central.name);
    bytes.extend(&entry.central.extra);
    bytes
}

/// What both kinds of header have in the same order, up to the lengths of name and extra field.
fn common(header: &Header, bytes: &mut Vec<u8>) {
    bytes.extend(header.flags.to_le_bytes());
    bytes.extend(header.method.to_le_bytes());
    // Midnight of 1 January 1980.
    bytes.extend([0, 0, 0x21, 0]);
    for number in [header.crc, header.compressed, header.size] {
        bytes.extend(number.to_le_bytes());
    }
    bytes.extend((header.name.len() as u16).to_le_bytes());
    bytes.extend((header.extra.len() as u16).to_le_bytes());
}

pub fn end_record(end: &End) -> Vec<u8> {
    let mut bytes = b"PK\x05\x06".to_vec();
    for number in [end.disk, end.directory_disk, end.count_here, end.count] {
        bytes.extend(number.to_le_bytes());
    }
    bytes.extend(end.size.to_le_bytes());
    bytes.extend(end.offset.to_le_bytes());
    bytes.extend(end.comment_length.unwrap_or(end.comment.len() as u16).to_le_bytes());
    bytes.extend(&end.comment);
    bytes
}

/// An extra field.
pub fn extra(id: u16, bytes: &[u8]) -> Vec<u8> {
    [&id.to_le_bytes(), (bytes.len() as u16).to_le_bytes().as_slice(), bytes].concat()
}
