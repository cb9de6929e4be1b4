//! Zips whose numbers lie, and zips cut off.

use super::Outcome::{Failed, Ready, Refused};
use super::zip::{DESCRIPTOR, End, Entry, STORED, around, deflated, end_record, extra, stored, zip_ended, zip_with};
use super::{Archive, Outcome, archive, small};

pub fn cases() -> Vec<Archive> {
    [sizes(), places(), ends(), cuts()].into_iter().flatten().collect()
}

fn nine() -> Entry {
    stored("a/9.png", &small(9))
}

/// Entries whose headers say another size than they have.
fn sizes() -> Vec<Archive> {
    let size = small(9).len() as u32;
    let one = |name: &str, entry: Entry, reason| archive(name, zip_with(&[entry]), Ready(4, vec![("9.png", reason)]));
    let taken = |name: &str, entry: Entry| archive(name, zip_with(&[entry]), Ready(5, vec![]));
    let packed = || deflated("a/9.png", &small(9));
    let wide = |size: u64| extra(1, &[size.to_le_bytes(), size.to_le_bytes()].concat());
    let wide_both = |size| nine().both(|h| (h.size, h.compressed, h.extra) = (u32::MAX, u32::MAX, wide(size)));
    let described = |size: u32| {
        let descriptor = [b"PK\x07\x08".as_slice(), &[0; 4], &size.to_le_bytes(), &size.to_le_bytes()].concat();
        packed().with(|e| (e.after, e.local.flags, e.central.flags) = (descriptor.clone(), DESCRIPTOR, DESCRIPTOR))
    };
    vec![
        one("zip-claims-less", packed().with(|e| e.central.size = 10), "broken inside the zip"),
        taken("zip-claims-more", packed().with(|e| e.central.size = size + 10)),
        one("zip-claims-4-gib", packed().with(|e| e.central.size = u32::MAX - 1), "more than 1048576 bytes"),
        one("zip-compressed-less", packed().with(|e| e.central.compressed = 10), "broken inside the zip"),
        one("zip-compressed-to-nothing", packed().with(|e| e.central.compressed = 0), "broken inside the zip"),
        taken("zip-compressed-more", packed().with(|e| e.central.compressed = 2000)),
        taken("zip-compressed-4-gib", packed().with(|e| e.central.compressed = u32::MAX - 1)),
        one("zip-stored-less", nine().with(|e| e.central.compressed = 10), "broken inside the zip"),
        one(
            "zip-stored-beyond-the-end",
            nine().with(|e| (e.central.compressed, e.central.size) = (MORE, MORE)),
            "broken inside the zip",
        ),
        taken("zip-local-sizes-lie", nine().with(|e| (e.local.compressed, e.local.size) = (1, u32::MAX))),
        taken("zip-local-crc-lies", nine().with(|e| e.local.crc ^= 1)),
        taken("zip-descriptor-lies", described(u32::MAX)),
        taken("zip64-right", wide_both(u64::from(size))),
        one("zip64-claims-the-most", wide_both(u64::MAX), "more than 1048576 bytes"),
        one("zip64-claims-negative", wide_both(1 << 63), "more than 1048576 bytes"),
        one("zip64-claims-half", wide_both(u64::from(size) / 2), "broken inside the zip"),
    ]
}

/// More than the archive and less than a picture may have.
const MORE: u32 = 500_000;

/// Entries that aren't where the directory says, and extra fields that aren't what they say.
fn places() -> Vec<Archive> {
    let one = |name: &str, entry: Entry, reason| archive(name, zip_with(&[entry]), Ready(4, vec![("9.png", reason)]));
    let at = |offset| nine().with(|entry| entry.offset = Some(offset));
    let extra_field = |bytes: &[u8]| nine().both(|header| header.extra = bytes.to_vec());
    vec![
        one("zip-entry-beyond-the-end", at(u32::MAX - 1), "broken inside the zip"),
        one("zip-entry-at-garbage", at(7), "broken inside the zip"),
        one("zip-entry-is-another", at(0), "broken inside the zip"),
        one("zip-entry-in-the-directory", at(4 * (30 + 7) + 300), "broken inside the zip"),
        archive("zip-extra-too-long", zip_with(&[extra_field(&[0x55, 0x54, 0xff, 0xff, 1])]), Refused("broken_archive")),
        archive("zip-extra-cut", zip_with(&[extra_field(&[1, 0, 8])]), Refused("broken_archive")),
        archive("zip-extra-unknown", zip_with(&[extra_field(&extra(0xcafe, &[0; 400]))]), Ready(5, vec![])),
        archive("zip-on-another-disk", zip_with(&[nine().with(|entry| entry.disk = 3)]), Ready(5, vec![])),
        archive(
            "zip-local-name-longer",
            zip_with(&[nine().with(|entry| entry.local.name = vec![b'x'; 60_000])]),
            Ready(5, vec![]),
        ),
    ]
}

fn ended(name: &str, change: impl Fn(&mut End), outcome: Outcome) -> Archive {
    archive(name, zip_ended(&around(), change), outcome)
}

/// Last records that lie.
fn ends() -> Vec<Archive> {
    // 56 bytes of zip64's own last record, then 20 of the locator that says where it is.
    let zip64 = |count: u64, at: u64| {
        let mut record = b"PK\x06\x06".to_vec();
        record.extend(44u64.to_le_bytes());
        record.extend([45, 3, 45, 0]);
        record.extend([0; 8]);
        for number in [count, count, 300, 0] {
            record.extend(number.to_le_bytes());
        }
        record.extend(b"PK\x06\x07\0\0\0\0");
        record.extend(at.to_le_bytes());
        record.extend(1u32.to_le_bytes());
        record
    };
    let huge = |count, at| {
        move |end: &mut End| {
            let at = if at == 0 { u64::from(end.offset + end.size) } else { at };
            (end.count, end.count_here, end.offset, end.before) = (u16::MAX, u16::MAX, u32::MAX, zip64(count, at));
        }
    };
    let empty = |end: &End| end_record(&End { count: 0, count_here: 0, size: 0, comment: Vec::new(), ..end.clone() });
    vec![
        ended("zip-counts-none", |end| (end.count, end.count_here) = (0, 0), Refused("empty_archive")),
        ended("zip-counts-fewer", |end| (end.count, end.count_here) = (2, 2), Refused("broken_archive")),
        ended("zip-counts-more", |end| (end.count, end.count_here) = (9, 9), Refused("broken_archive")),
        ended("zip-counts-the-most", |end| (end.count, end.count_here) = (65_535, 65_535), Refused("broken_archive")),
        ended("zip64-counts-the-most", huge(u64::MAX, 0), Refused("broken_archive")),
        ended("zip64-counts-negative", huge(1 << 63, 0), Refused("broken_archive")),
        ended("zip64-record-is-elsewhere", huge(4, u64::MAX), Refused("broken_archive")),
        ended("zip-directory-beyond-the-end", |end| end.offset = u32::MAX - 1, Refused("broken_archive")),
        ended("zip-directory-at-the-start", |end| end.offset = 0, Failed("no_pictures")),
        ended("zip-directory-4-gib", |end| end.size = u32::MAX, Ready(4, vec![])),
        ended("zip-second-disk", |end| (end.disk, end.directory_disk) = (1, 1), Refused("broken_archive")),
        ended("zip-comment", |end| end.comment = b"a comment".to_vec(), Ready(4, vec![])),
        ended("zip-comment-is-an-end", |end| end.comment = empty(end), Refused("empty_archive")),
        ended("zip-comment-longer", |end| end.comment_length = Some(500), Refused("broken_archive")),
        ended(
            "zip-stored-in-the-comment",
            |end| end.comment = zip_with(&[nine().both(|h| h.method = STORED)]),
            Ready(5, vec![]),
        ),
    ]
}

/// A zip that ends within each of its structures.
fn cuts() -> Vec<Archive> {
    let whole = zip_with(&[]);
    let directory = whole.windows(4).position(|bytes| bytes == b"PK\x01\x02").unwrap();
    let cuts = [
        ("local-header", 20),
        ("name", 33),
        ("data", 60),
        ("second-entry", directory / 2),
        ("directory", directory + 60),
        ("last-record", whole.len() - 10),
        ("last-byte", whole.len() - 1),
    ];
    cuts.map(|(name, at)| archive(format!("zip-cut-in-{name}"), whole[..at].to_vec(), Refused("broken_archive"))).into()
}
