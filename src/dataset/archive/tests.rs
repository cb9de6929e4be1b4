//! Archives of every kind, whole, broken and ill-meant.

mod limits;

use std::io::{Cursor, Write};
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::atomic::AtomicBool;

use tempfile::TempDir;
use zip::unstable::write::FileOptionsExt;
use zip::write::SimpleFileOptions;

use super::{ArchiveKind, Entry, check, read_entries, read_pictures};
use crate::dataset::testing::{Files, gzip, header, laid_out, saved, tar as tar_of, zip as zip_of, zstd};
use crate::dataset::{DatasetError, DatasetLimits};

fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

fn entries_of(source: &Path, limits: &DatasetLimits) -> Result<Vec<Entry>, DatasetError> {
    let mut entries = Vec::new();
    read_entries(source, limits, &AtomicBool::new(false), &mut |entry, fraction| {
        assert!((0.0..=1.0).contains(&fraction));
        entries.push(entry);
        ControlFlow::Continue(())
    })?;
    Ok(entries)
}

fn read(bytes: &[u8], limits: &DatasetLimits) -> Result<Vec<Entry>, DatasetError> {
    let folder = folder();
    entries_of(&saved(folder.path(), bytes), limits)
}

fn checked(bytes: &[u8]) -> Result<ArchiveKind, DatasetError> {
    let folder = folder();
    check(&saved(folder.path(), bytes), &DatasetLimits::default())
}

fn file(path: &str, class: &str, bytes: &[u8]) -> Entry {
    Entry::File { path: path.into(), class: class.into(), bytes: bytes.into() }
}

/// The reason of the rejection that is the only entry.
#[track_caller]
fn only_rejection(bytes: &[u8]) -> String {
    match read(bytes, &DatasetLimits::default()).unwrap().as_slice() {
        [Entry::Rejected(rejected)] => rejected.reason.clone(),
        other => panic!("{other:?}"),
    }
}

fn code(result: Result<Vec<Entry>, DatasetError>) -> &'static str {
    result.unwrap_err().code()
}

#[test]
fn pictures_without_classes_may_lie_anywhere() {
    let files = [("1.png", b"a".to_vec()), (".hidden", b"b".to_vec()), ("x/y/2.png", b"c".to_vec())];
    for bytes in [zip_of(&files), tar_of(&files), gzip(&tar_of(&files))] {
        let (folder, mut entries) = (folder(), Vec::new());
        let source = saved(folder.path(), &bytes);
        read_pictures(&source, &DatasetLimits::default(), &AtomicBool::new(false), &mut |entry, _| {
            entries.push(entry);
            ControlFlow::Continue(())
        })
        .unwrap();
        assert_eq!(entries, [file("1.png", "", b"a"), file("x/y/2.png", "", b"c")]);
    }
}

fn mixed() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        (".DS_Store", b"junk".to_vec()),
        ("__MACOSX/a/daisy/._1.jpg", b"junk".to_vec()),
        ("a/", vec![]),
        ("a/daisy/", vec![]),
        ("a/daisy/1.jpg", b"one".to_vec()),
        ("a/daisy/Thumbs.db", b"junk".to_vec()),
        ("a/tulip/2.jpg", vec![7; 100_000]),
        ("readme.txt", b"hello".to_vec()),
    ]
}

#[test]
fn every_kind_gives_the_same_entries() {
    let files = mixed();
    let folder = folder();
    let sources = [
        (ArchiveKind::Folder, laid_out(folder.path(), &files)),
        (ArchiveKind::Zip, folder.path().join("1")),
        (ArchiveKind::Tar, folder.path().join("2")),
        (ArchiveKind::TarGz, folder.path().join("3")),
        (ArchiveKind::TarZst, folder.path().join("4")),
    ];
    let tar = tar_of(&files);
    for (source, bytes) in sources[1..].iter().zip([zip_of(&files), tar.clone(), gzip(&tar), zstd(&tar)]) {
        std::fs::write(&source.1, bytes).unwrap();
    }
    for (kind, source) in sources {
        assert_eq!(check(&source, &DatasetLimits::default()).unwrap(), kind);
        let entries = entries_of(&source, &DatasetLimits::default()).unwrap();
        assert_eq!(entries[0], file("a/daisy/1.jpg", "daisy", b"one"), "{kind}");
        assert_eq!(entries[1], file("a/tulip/2.jpg", "tulip", &[7; 100_000]), "{kind}");
        assert!(matches!(&entries[2], Entry::Rejected(r) if r.path == "readme.txt"), "{kind}");
        assert_eq!(entries.len(), 3, "{kind}");
    }
}

#[test]
fn what_is_no_archive_is_named() {
    for (bytes, expected) in [
        (b"hello".to_vec(), "send a zip, tar, tar.gz or tar.zst"),
        (vec![], "it is empty"),
        (b"Rar!\x1a\x07".to_vec(), "RAR"),
        (b"7z\xbc\xaf\x27\x1c".to_vec(), "7-Zip"),
        (crate::dataset::testing::picture(0), "a single picture"),
        (gzip(b"hello"), "no tar is in it"),
        (zstd(&[1; 4096]), "no tar is in it"),
    ] {
        let error = checked(&bytes).unwrap_err();
        assert_eq!(error.code(), "unknown_archive");
        assert!(error.to_string().contains(expected), "{error}");
    }
    assert_eq!(checked(&zip_of(&[])).unwrap_err().code(), "empty_archive");
    assert_eq!(checked(&tar_of(&[])).unwrap_err().code(), "empty_archive");
}

#[test]
fn a_zip_that_is_cut_short_is_refused_at_once() {
    let zip = zip_of(&mixed());
    for cut in [zip.len() - 1, zip.len() / 2, 40] {
        let error = checked(&zip[..cut]).unwrap_err();
        assert_eq!(error.code(), "broken_archive");
        assert!(error.to_string().contains("make it again with `zip -r pictures.zip folder`"), "{error}");
    }
}

#[test]
fn a_tar_that_is_cut_short_is_refused_wherever_the_cut_is() {
    let tar = tar_of(&mixed());
    // The closing mark is two blocks of zeros, of which the first suffices.
    for cut in (600..tar.len() - 1024).step_by(4000).chain([tar.len() - 1024]) {
        assert_eq!(code(read(&tar[..cut], &DatasetLimits::default())), "broken_archive", "tar cut at {cut}");
    }
    for packed in [gzip(&tar), zstd(&tar)] {
        for cut in [packed.len() / 2, packed.len() - 1] {
            assert_eq!(code(read(&packed[..cut], &DatasetLimits::default())), "broken_archive", "cut at {cut}");
        }
    }
}

#[test]
fn a_damaged_zip_entry_is_rejected_alone() {
    let mut zip = zip_of(&[("daisy/1.jpg", vec![b'x'; 50]), ("daisy/2.jpg", b"two".to_vec())]);
    // The first entry's compressed bytes follow its 30-byte header and its name.
    zip[41] ^= 0xff;
    let entries = read(&zip, &DatasetLimits::default()).unwrap();
    assert!(matches!(&entries[0], Entry::Rejected(r) if r.reason.contains("broken inside the zip")), "{entries:?}");
    assert_eq!(entries[1], file("daisy/2.jpg", "daisy", b"two"));
}

#[test]
fn names_that_lead_elsewhere_are_rejected() {
    for (path, expected) in [("../daisy/1.jpg", "upwards"), ("/etc/daisy/1.jpg", "absolute")] {
        let file: &Files<'_> = &[(path, b"x".to_vec())];
        assert!(only_rejection(&zip_of(file)).contains(expected));
        assert!(only_rejection(&tar_of(file)).contains(expected));
    }
    assert!(only_rejection(&zip_of(&[("..\\daisy\\1.jpg", vec![1])])).contains("upwards"));
    let windows = read(&zip_of(&[("a\\daisy\\1.jpg", vec![1])]), &DatasetLimits::default()).unwrap();
    assert_eq!(windows, [file("a/daisy/1.jpg", "daisy", &[1])]);
}

#[test]
fn a_name_that_is_not_utf8_is_rejected_with_what_can_be_shown() {
    let mut archive = tar::Builder::new(Vec::new());
    let mut broken = header("daisy/?.jpg", tar::EntryType::Regular, 1);
    broken.as_old_mut().name[6] = 0xff;
    broken.set_cksum();
    archive.append(&broken, b"x".as_slice()).unwrap();
    let entries = read(&archive.into_inner().unwrap(), &DatasetLimits::default()).unwrap();
    let [Entry::Rejected(rejected)] = entries.as_slice() else { panic!("{entries:?}") };
    assert_eq!(rejected.path, "daisy/\u{fffd}.jpg");
    assert!(rejected.reason.contains("UTF-8"));
}

#[test]
fn links_and_devices_are_rejected() {
    for kind in [tar::EntryType::Symlink, tar::EntryType::Link, tar::EntryType::Char, tar::EntryType::Fifo] {
        let mut archive = tar::Builder::new(Vec::new());
        let mut header = header("daisy/1.jpg", kind, 0);
        header.set_link_name("../../secret").unwrap();
        header.set_cksum();
        archive.append(&header, std::io::empty()).unwrap();
        let reason = only_rejection(&archive.into_inner().unwrap());
        assert!(reason.contains("link") || reason.contains("no regular file"), "{reason}");
    }
    let mut writer = zip::ZipWriter::new(Cursor::new(Vec::new()));
    writer.add_symlink("daisy/1.jpg", "../../secret", SimpleFileOptions::default()).unwrap();
    assert!(only_rejection(&writer.finish().unwrap().into_inner()).contains("symbolic link"));

    let folder = folder();
    let root = laid_out(folder.path(), &[("tulip/1.jpg", b"x".to_vec())]);
    std::fs::create_dir(root.join("daisy")).unwrap();
    std::os::unix::fs::symlink("../tulip/1.jpg", root.join("daisy/1.jpg")).unwrap();
    std::os::unix::fs::symlink("..", root.join("daisy/round")).unwrap();
    let entries = entries_of(&root, &DatasetLimits::default()).unwrap();
    let links = entries.iter().filter(|e| matches!(e, Entry::Rejected(r) if r.reason.contains("symbolic link")));
    assert_eq!((links.count(), entries.len()), (2, 3));
}

#[test]
fn encrypted_entries_are_rejected_and_an_encrypted_archive_refused() {
    let locked = SimpleFileOptions::default().with_deprecated_encryption(b"secret").unwrap();
    let mut writer = zip::ZipWriter::new(Cursor::new(Vec::new()));
    writer.start_file("daisy/1.jpg", locked).unwrap();
    writer.write_all(b"one").unwrap();
    let mut both = zip::ZipWriter::new_append(Cursor::new(writer.finish().unwrap().into_inner())).unwrap();
    both.start_file("daisy/2.jpg", SimpleFileOptions::default()).unwrap();
    both.write_all(b"two").unwrap();
    let both = both.finish().unwrap().into_inner();
    assert_eq!(checked(&both).unwrap(), ArchiveKind::Zip);
    let entries = read(&both, &DatasetLimits::default()).unwrap();
    assert!(matches!(&entries[0], Entry::Rejected(r) if r.reason.contains("without a password")));
    assert_eq!(entries[1], file("daisy/2.jpg", "daisy", b"two"));

    let mut writer = zip::ZipWriter::new(Cursor::new(Vec::new()));
    writer.add_directory("daisy", SimpleFileOptions::default()).unwrap();
    writer.start_file("daisy/1.jpg", locked).unwrap();
    writer.write_all(b"one").unwrap();
    assert_eq!(checked(&writer.finish().unwrap().into_inner()).unwrap_err().code(), "encrypted_archive");
}
