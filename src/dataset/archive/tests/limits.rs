//! What an archive may cost.

use std::ops::ControlFlow;
use std::sync::atomic::AtomicBool;

use super::{code, file, folder, mixed, read};
use crate::dataset::DatasetLimits;
use crate::dataset::archive::{Entry, read_entries};
use crate::dataset::testing::{gzip, header, saved, tar as tar_of, zip as zip_of, zstd};
use crate::vision::picture::PictureLimits;

/// Three entries of this many zeros pass the floor below which the ratio isn't looked at.
const ZEROS: usize = 24 << 20;

#[test]
fn an_archive_that_expands_without_end_is_stopped() {
    // Entries at the top level are rejected unread, but a tar has to be expanded to pass over them, so they count.
    let paths = ["daisy/1.bmp", "daisy/2.bmp", "daisy/3.bmp"];
    let zeros: Vec<_> = paths.into_iter().map(|path| (path, vec![0; ZEROS])).collect();
    let skipped: Vec<_> = ["1.bmp", "2.bmp", "3.bmp"].into_iter().map(|path| (path, vec![0; ZEROS])).collect();
    for bytes in [zip_of(&zeros), gzip(&tar_of(&zeros)), zstd(&tar_of(&zeros)), gzip(&tar_of(&skipped))] {
        assert_eq!(code(read(&bytes, &DatasetLimits::default())), "suspicious_expansion");
        let generous = DatasetLimits { max_expansion_ratio: 1 << 20, ..DatasetLimits::default() };
        assert_eq!(read(&bytes, &generous).unwrap().len(), 3);
        let tight = DatasetLimits { max_expanded_bytes: 1 << 20, ..generous };
        assert_eq!(code(read(&bytes, &tight)), "expands_too_much");
    }
}

#[test]
fn the_limits_of_an_archive_hold() {
    let files = mixed();
    let tar = tar_of(&files);
    for bytes in [zip_of(&files), tar.clone(), gzip(&tar)] {
        let few = DatasetLimits { max_entries: 7, ..DatasetLimits::default() };
        assert_eq!(code(read(&bytes, &few)), "too_many_entries");
        let small = DatasetLimits { max_archive_bytes: 100, ..DatasetLimits::default() };
        assert_eq!(code(read(&bytes, &small)), "archive_too_large");
        let picture = PictureLimits { max_bytes: 99_999, ..PictureLimits::default() };
        let entries = read(&bytes, &DatasetLimits { picture, ..DatasetLimits::default() }).unwrap();
        assert!(matches!(&entries[1], Entry::Rejected(r) if r.reason.contains("more than 99999 bytes")));
        assert_eq!(entries[0], file("a/daisy/1.jpg", "daisy", b"one"));
    }
}

#[test]
fn a_size_that_lies_does_not_lift_the_limit() {
    let mut zip = zip_of(&[("daisy/1.jpg", vec![b'x'; 5000])]);
    let directory = zip.windows(4).position(|w| w == b"PK\x01\x02").unwrap();
    zip[directory + 24..directory + 28].copy_from_slice(&10u32.to_le_bytes());
    let picture = PictureLimits { max_bytes: 100, ..PictureLimits::default() };
    let entries = read(&zip, &DatasetLimits { picture, ..DatasetLimits::default() }).unwrap();
    assert!(matches!(entries.as_slice(), [Entry::Rejected(_)]), "{entries:?}");
}

#[test]
fn a_tar_header_without_end_is_refused() {
    let mut archive = tar::Builder::new(Vec::new());
    let name = vec![b'x'; 4 << 20];
    let mut long = tar::Header::new_gnu();
    long.set_entry_type(tar::EntryType::GNULongName);
    long.set_size(name.len() as u64);
    long.set_cksum();
    archive.append(&long, name.as_slice()).unwrap();
    archive.append(&header("x", tar::EntryType::Regular, 0), std::io::empty()).unwrap();
    let error = read(&archive.into_inner().unwrap(), &DatasetLimits::default()).unwrap_err();
    assert!(error.to_string().contains("header is too long"), "{error}");
}

#[test]
fn reading_ends_when_it_is_told_to() {
    let folder = folder();
    let source = saved(folder.path(), &zip_of(&mixed()));
    let mut seen = 0;
    let mut once = |_: Entry, _: f64| {
        seen += 1;
        ControlFlow::Break(())
    };
    read_entries(&source, &DatasetLimits::default(), &AtomicBool::new(false), &mut once).unwrap();
    let stopped = read_entries(&source, &DatasetLimits::default(), &AtomicBool::new(true), &mut once).unwrap_err();
    assert_eq!((seen, stopped.code()), (1, "stopped"));
}
