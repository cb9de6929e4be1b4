//! Archives and pictures made by code, for the tests of this module.

use std::io::{Cursor, Write};
use std::path::{Path, PathBuf};

use image::{ImageFormat, Rgb, RgbImage};
use zip::write::SimpleFileOptions;

/// A small picture; different numbers give different ones.
pub(crate) fn picture(number: u8) -> Vec<u8> {
    let image = RgbImage::from_fn(9, 7, |x, y| Rgb([number, (x * 20) as u8, (y * 30) as u8]));
    let mut bytes = Cursor::new(Vec::new());
    image.write_to(&mut bytes, ImageFormat::Png).unwrap();
    bytes.into_inner()
}

/// Files by path. A path that ends in `/` is a folder.
pub(crate) type Files<'f> = [(&'f str, Vec<u8>)];

pub(crate) fn zip(files: &Files<'_>) -> Vec<u8> {
    let mut writer = zip::ZipWriter::new(Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default();
    for (path, bytes) in files {
        match path.ends_with('/') {
            true => writer.add_directory(*path, options).unwrap(),
            false => {
                writer.start_file(*path, options).unwrap();
                writer.write_all(bytes).unwrap();
            }
        }
    }
    writer.finish().unwrap().into_inner()
}

pub(crate) fn tar(files: &Files<'_>) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (path, bytes) in files {
        let kind = if path.ends_with('/') { tar::EntryType::Directory } else { tar::EntryType::Regular };
        builder.append(&header(path, kind, bytes.len() as u64), bytes.as_slice()).unwrap();
    }
    builder.into_inner().unwrap()
}

/// A tar header with `path` as it is, whatever the library thinks of it.
pub(crate) fn header(path: &str, kind: tar::EntryType, size: u64) -> tar::Header {
    let mut header = tar::Header::new_ustar();
    header.as_old_mut().name[..path.len()].copy_from_slice(path.as_bytes());
    header.set_entry_type(kind);
    header.set_mode(0o644);
    header.set_size(size);
    header.set_cksum();
    header
}

pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut writer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    writer.write_all(bytes).unwrap();
    writer.finish().unwrap()
}

pub(crate) fn zstd(bytes: &[u8]) -> Vec<u8> {
    zstd::encode_all(bytes, 1).unwrap()
}

/// Writes `bytes` below `folder` under a name that says nothing, and returns its path.
pub(crate) fn saved(folder: &Path, bytes: &[u8]) -> PathBuf {
    let path = folder.join("upload");
    std::fs::write(&path, bytes).unwrap();
    path
}

/// Lays `files` out as a plain folder below `folder`.
pub(crate) fn laid_out(folder: &Path, files: &Files<'_>) -> PathBuf {
    let root = folder.join("laid out");
    std::fs::create_dir_all(&root).unwrap();
    for (path, bytes) in files {
        let path = root.join(path);
        if bytes.is_empty() && path.to_string_lossy().ends_with('/') {
            std::fs::create_dir_all(path).unwrap();
            continue;
        }
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }
    root
}
