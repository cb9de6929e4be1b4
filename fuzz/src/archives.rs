//! Small archives of every kind.

use std::io::{Cursor, Write};

use zip::CompressionMethod;
use zip::write::SimpleFileOptions;

use super::pictures::{encoded, small};
use super::{LONGEST, cases};

const PATHS: [&str; 5] = ["a/daisy/1.png", "a/daisy/2.png", "tulip/1.png", "__MACOSX/._1.png", "../x/1.png"];

fn files() -> impl Iterator<Item = (String, Vec<u8>)> {
    let picture = encoded(&small(), image::ImageFormat::Png);
    PATHS.into_iter().map(move |path| (path.to_owned(), picture.clone()))
}

fn zip(options: SimpleFileOptions) -> Vec<u8> {
    let mut writer = zip::ZipWriter::new(Cursor::new(Vec::new()));
    writer.add_directory("a/daisy", options).expect("a Vec takes anything");
    for (path, bytes) in files() {
        writer.start_file(path, options).expect("a Vec takes anything");
        writer.write_all(&bytes).expect("a Vec takes anything");
    }
    writer.add_symlink("daisy/link.png", "../../secret", options).expect("a Vec takes anything");
    writer.set_comment("a comment").expect("it is short");
    writer.finish().expect("a Vec takes anything").into_inner()
}

fn tar(mut header: tar::Header, long: usize) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    let long = (format!("{}/daisy/1.png", "x".repeat(long)), b"text".to_vec());
    for (path, bytes) in files().filter(|(path, _)| !path.starts_with("..")).chain([long]) {
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        builder.append_data(&mut header, path, bytes.as_slice()).expect("a Vec takes anything");
    }
    let records = [("path", b"pax/daisy/1.png".as_slice()), ("size", b"4")];
    builder.append_pax_extensions(records).expect("a Vec takes anything");
    header.set_size(4);
    builder.append_data(&mut header, "y/1.png", b"text".as_slice()).expect("a Vec takes anything");
    header.set_entry_type(tar::EntryType::Symlink);
    header.set_size(0);
    builder.append_link(&mut header, "daisy/link.png", "../../secret").expect("a Vec takes anything");
    builder.into_inner().expect("a Vec takes anything")
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut writer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    writer.write_all(bytes).expect("a Vec takes anything");
    writer.finish().expect("a Vec takes anything")
}

/// Zips stored, deflated, with zstd and with 64-bit sizes; tars old and new; the same compressed; and the tests' own.
#[must_use]
pub fn archives() -> Vec<Vec<u8>> {
    let with = |method| SimpleFileOptions::default().compression_method(method);
    let tars = [tar(tar::Header::new_gnu(), 150), tar(tar::Header::new_ustar(), 90)];
    let mut archives = vec![
        zip(with(CompressionMethod::Stored)),
        zip(with(CompressionMethod::Deflated)),
        zip(with(CompressionMethod::Zstd)),
        zip(with(CompressionMethod::Stored).large_file(true)),
    ];
    archives.extend(tars.iter().map(|tar| gzip(tar)));
    archives.extend(tars.iter().map(|tar| zstd::encode_all(tar.as_slice(), 1).expect("a Vec takes anything")));
    archives.extend(tars);
    archives.extend(cases::archives().into_iter().map(|case| case.bytes).filter(|bytes| bytes.len() <= LONGEST));
    archives
}
