//! Zips of odd entries, and zips that expand without end.

use super::Outcome::{Failed, Ready, Refused};
use super::zip::{DEFLATED, ENCRYPTED, Entry, STORED, around, deflated, stored, zip, zip_with};
use super::{Archive, archive, noise, small};

const MIB: usize = 1 << 20;

pub fn cases() -> Vec<Archive> {
    [entries(), bombs(), whole()].into_iter().flatten().collect()
}

fn nine() -> Entry {
    stored("a/9.png", &small(9))
}

/// An entry beside good ones.
fn entries() -> Vec<Archive> {
    let one = |name: &str, entry: Entry, reason| archive(name, zip_with(&[entry]), Ready(4, vec![("9.png", reason)]));
    let moded = |mode| nine().with(|entry| entry.mode = mode);
    let method = |method| nine().both(|header| header.method = method);
    let flags = |flags| nine().both(|header| header.flags = flags);
    let twice = [nine(), stored("a/9.png", &small(10))];
    let same = [nine(), stored("a/10.png", &small(9))];
    let apart = [nine(), stored("b/9.png", &small(9))];
    let nested = stored("a/9.png", &zip_with(&[]));
    vec![
        one("zip-link-up", stored("a/9.png", b"../../../etc/passwd").with(|e| e.mode = 0o120_777), "symbolic link"),
        one("zip-link-absolute", stored("a/9.png", b"/etc/passwd").with(|e| e.mode = 0o120_777), "symbolic link"),
        one("zip-character-device", moded(0o020_666), "no regular file"),
        one("zip-block-device", moded(0o060_666), "no regular file"),
        one("zip-fifo", moded(0o010_666), "no regular file"),
        one("zip-socket", moded(0o140_666), "no regular file"),
        archive("zip-setuid", zip_with(&[moded(0o106_755)]), Ready(5, vec![])),
        archive("zip-without-mode", zip_with(&[moded(0)]), Ready(5, vec![])),
        archive("zip-folder-with-content", zip_with(&[stored("a/x/", &small(9))]), Ready(4, vec![])),
        one("zip-encrypted", flags(ENCRYPTED), "without a password"),
        one("zip-encrypted-strongly", flags(ENCRYPTED | 1 << 6), "without a password"),
        one("zip-implode", method(6), "broken inside the zip"),
        one("zip-bzip2", method(12), "broken inside the zip"),
        one("zip-lzma", method(14), "broken inside the zip"),
        one("zip-aes", method(99), "broken inside the zip"),
        one("zip-no-such-method", method(0xffff), "broken inside the zip"),
        one("zip-wrong-crc", nine().both(|header| header.crc ^= 1), "broken inside the zip"),
        one("zip-garbage-deflated", nine().both(|header| header.method = DEFLATED), "broken inside the zip"),
        archive("zip-path-twice", zip_with(&twice), Ready(5, vec![("a/9.png", "earlier entry of the same path")])),
        archive("zip-picture-twice", zip_with(&same), Ready(5, vec![("10.png", "same picture as a/9.png")])),
        archive("zip-picture-in-two-classes", zip_with(&apart), Ready(6, vec![])),
        one("zip-in-a-zip", nested, "zip archive"),
        one("zip-empty-file", stored("a/9.png", b""), "empty"),
    ]
}

/// Content that expands far beyond its size.
fn bombs() -> Vec<Archive> {
    let zeros = deflated("a/0.png", &vec![0; MIB]);
    let named = |number: usize| {
        let name = format!("a/{number}.png").into_bytes();
        zeros.clone().both(|header| header.name.clone_from(&name))
    };
    let many: Vec<_> = (0..80).map(named).collect();
    // Every entry points to the one that there is.
    let listed = |number| named(number).with(|entry| (entry.only_listed, entry.offset) = (true, Some(0)));
    let overlapping: Vec<_> = [named(0)].into_iter().chain((1..100).map(listed)).collect();
    // Half a MiB that doesn't compress lets 100 MiB of zeros pass as an ordinary ratio.
    let ballast = stored("a/ballast.png", &noise(3 * MIB / 4));
    let heavy: Vec<_> = [ballast].into_iter().chain((0..110).map(named)).collect();
    let larger = deflated("a/9.png", &vec![0; 40 * MIB]);
    let claims_little = larger.clone().both(|header| header.size = 10);
    let quine = stored("a/9.png", &zip_with(std::slice::from_ref(&larger)));
    let rejected = |name: &str, entry, reason| archive(name, zip_with(&[entry]), Ready(4, vec![("9.png", reason)]));
    vec![
        archive("zip-bomb", zip(&many), Failed("suspicious_expansion")),
        archive("zip-bomb-overlapping", zip(&overlapping), Failed("suspicious_expansion")),
        archive("zip-bomb-with-ballast", zip(&heavy), Failed("expands_too_much")),
        rejected("zip-one-large-entry", larger, "more than 1048576 bytes"),
        rejected("zip-one-large-entry-claims-little", claims_little, "broken inside the zip"),
        rejected("zip-bomb-in-a-zip", quine, "zip archive"),
    ]
}

/// What is odd about the archive as a whole.
fn whole() -> Vec<Archive> {
    let folders: Vec<_> = ["a/", "b/", "a/x/"].map(|path| stored(path, b"").with(|entry| entry.mode = 0o040_755)).into();
    let many: Vec<_> = (0..201).map(|number| stored(format!("a/{number}.txt"), b"x")).collect();
    let most: Vec<_> = around().into_iter().chain((0..196).map(|n| stored(format!("__MACOSX/{n}"), b"x"))).collect();
    let locked: Vec<_> = around().into_iter().map(|entry| entry.both(|header| header.flags = ENCRYPTED)).collect();
    let lonely = [stored("a/1.png", &small(1)), stored("a/2.png", &small(2)), stored("b/3.png", &small(3))];
    let good = zip_with(&[]);
    vec![
        archive("zip-empty", zip(&[]), Refused("empty_archive")),
        archive("zip-only-folders", zip(&folders), Failed("no_pictures")),
        archive("zip-only-junk", zip(&[stored("__MACOSX/a/1.png", b"x")]), Failed("no_pictures")),
        archive("zip-one-class", zip(&around()[..2]), Failed("too_few_classes")),
        archive("zip-lonely-picture", zip(&lonely), Failed("class_too_small")),
        archive("zip-too-many-entries", zip(&many), Refused("too_many_entries")),
        archive("zip-as-many-entries-as-may-be", zip(&most), Ready(4, vec![])),
        archive("zip-all-encrypted", zip(&locked), Refused("encrypted_archive")),
        archive("zip-after-a-program", [b"MZ".as_slice(), &noise(1000), &good].concat(), Refused("unknown_archive")),
        archive("zip-after-a-picture", [small(7), good.clone()].concat(), Refused("unknown_archive")),
        archive("zip-before-garbage", [good.clone(), noise(1000)].concat(), Ready(4, vec![])),
        archive("zip-twice", [good.clone(), good].concat(), Ready(4, vec![])),
        archive("zip-part-of-a-split", [b"PK\x07\x08".as_slice(), &zip_with(&[])].concat(), Refused("unknown_archive")),
        archive(
            "zip-stored-as-deflated",
            zip_with(&[stored("a/9.png", &small(9)).with(|e| e.local.method = STORED)]),
            Ready(5, vec![]),
        ),
    ]
}
