//! Tars whose headers about the next header lie: GNU's long names, pax records, sparse files.

use super::Outcome::{Failed, Ready, Refused};
use super::tar::{MAGIC, changed, entry, file, gnu_name, header, pax, record, tar, tar_with};
use super::{Archive, archive, small};

pub fn cases() -> Vec<Archive> {
    [names(), records(), sparse()].into_iter().flatten().collect()
}

fn nine() -> Vec<u8> {
    file("a/9.png", &small(9))
}

fn names() -> Vec<Archive> {
    let one = |name: &str, blocks: &[u8], shown, reason| archive(name, tar_with(blocks), Ready(4, vec![(shown, reason)]));
    let broken = |name: &str, blocks: Vec<u8>| archive(name, tar_with(&blocks), Failed("broken_archive"));
    let named = |path: &[u8]| [gnu_name(path), nine()].concat();
    vec![
        one("gnu-name-up", &named(b"../../x/1.png"), "x/1.png", "upwards"),
        one("gnu-name-absolute", &named(b"/topgraft-escape/x/1.png"), "x/1.png", "absolute"),
        one("gnu-name-long", &named(&[b'x'; 5000]), "x", "shorten it to 256"),
        one("gnu-name-thousand-deep", &named(&b"d/".repeat(1000)), "d/", "shorten it to 256"),
        one("gnu-name-with-nul", &named(b"a/1.png\0/../x"), "x", "NUL"),
        broken("gnu-name-too-long", named(&vec![b'x'; 3 << 20])),
        broken("gnu-name-twice", [gnu_name(b"a/8.png"), named(b"a/7.png")].concat()),
        broken("gnu-name-of-nothing", gnu_name(b"a/8.png")),
        archive("gnu-name-empty", tar_with(&[entry(header(b"x", b'L', 0), b""), nine()].concat()), Ready(4, vec![])),
    ]
}

fn records() -> Vec<Archive> {
    let with = |records: &[u8]| tar_with(&[pax(records), nine()].concat());
    let one = |name: &str, records: &[u8], shown, reason| archive(name, with(records), Ready(4, vec![(shown, reason)]));
    let taken = |name: &str, records: &[u8]| archive(name, with(records), Ready(5, vec![]));
    let broken = |name: &str, records: &[u8]| archive(name, with(records), Failed("broken_archive"));
    let global = entry(header(b"g", b'g', record("path", b"../../x").len() as u64), &record("path", b"../../x"));
    vec![
        one("pax-path-up", &record("path", b"../x/1.png"), "x/1.png", "upwards"),
        one("pax-path-absolute", &record("path", b"/topgraft-escape/x/1.png"), "x/1.png", "absolute"),
        one("pax-path-with-nul", &record("path", b"a/1\0.png"), ".png", "NUL"),
        one("pax-path-not-utf8", &record("path", b"a/\xff.png"), ".png", "UTF-8"),
        one("pax-path-long", &record("path", &[b'x'; 9000]), "x", "shorten it to 256"),
        taken("pax-link-path", &record("linkpath", b"/etc/passwd")),
        taken("pax-owner-garbage", &[record("uid", b"what?"), record("mtime", b"-1e999")].concat()),
        one("pax-size-less", &record("size", b"1"), "9.png", "not a picture"),
        broken("pax-size-more", &record("size", b"100000")),
        broken("pax-size-the-most", &record("size", b"18446744073709551615")),
        taken("pax-size-beyond-the-most", &record("size", b"99999999999999999999999")),
        taken("pax-size-negative", &record("size", b"-1")),
        taken("pax-size-garbage", &record("size", b"many")),
        broken("pax-too-long", &record("comment", &vec![b'x'; 2 << 20])),
        taken("pax-length-lies", b"99999 path=a/8.png\n"),
        taken("pax-length-garbage", b"what path=a/8.png\n"),
        taken("pax-length-zero", b"0 path=a/8.png\n"),
        taken("pax-without-value", b"8 path\n\n"),
        taken("pax-empty", b""),
        archive("pax-global", tar_with(&[global, nine()].concat()), Ready(5, vec![])),
        archive(
            "pax-of-pax",
            tar_with(&[pax(&record("path", b"c/1.png")).repeat(3), nine()].concat()),
            Failed("broken_archive"),
        ),
        archive("pax-before-the-end", tar(&pax(&record("path", b"c/1.png"))), Refused("broken_archive")),
    ]
}

fn sparse() -> Vec<Archive> {
    // GNU's sparse header: magic, then at 386 pairs of offset and length, at 482 whether more follow, at 483 the real size.
    let gnu = |pairs: &[u8], more: u8, real: &[u8; 12]| {
        let block = changed(header(b"a/9.png", b'S', 512), MAGIC, b"ustar  \0");
        let block = changed(changed(changed(block, 386, pairs), 482, &[more]), 483, real);
        entry(block, &[7; 512])
    };
    let one = |name: &str, blocks: Vec<u8>| archive(name, tar_with(&blocks), Ready(4, vec![("9.png", "no regular file")]));
    let broken = |name: &str, blocks: Vec<u8>| archive(name, tar_with(&blocks), Failed("broken_archive"));
    let map = b"00000000000\x0000000001000\0";
    let described = [record("GNU.sparse.major", b"1"), record("GNU.sparse.realsize", b"99999999999")].concat();
    vec![
        one("sparse", gnu(map, 0, b"00000001000\0")),
        broken("sparse-8-gib", gnu(map, 0, b"77777777777\0")),
        broken("sparse-map-backwards", gnu(b"00000001000\x0000000001000\x0000000000000\x0000000001000\0", 0, b"00000002000\0")),
        broken("sparse-map-garbage", gnu(b"what is it?\0what is it?\0", 0, b"00000001000\0")),
        broken("sparse-map-goes-on", gnu(map, 1, b"00000001000\0")),
        archive("sparse-by-pax", tar_with(&[pax(&described), nine()].concat()), Ready(5, vec![])),
    ]
}
