//! Tars of odd entries, and compressed ones.

use super::Outcome::{Failed, Ready, Refused};
use super::tar::{END, LINK, MODE, PREFIX, SIZE, around, changed, entry, file, header, tar, tar_with};
use super::{Archive, archive, gzip, noise, small};

pub fn cases() -> Vec<Archive> {
    [entries(), sizes(), whole(), compressed()].into_iter().flatten().collect()
}

fn nine() -> Vec<u8> {
    header(b"a/9.png", b'0', small(9).len() as u64)
}

/// An entry beside good ones.
fn entries() -> Vec<Archive> {
    let one = |name: &str, blocks: Vec<u8>, reason| archive(name, tar_with(&blocks), Ready(4, vec![("9.png", reason)]));
    let kind = |kind| header(b"a/9.png", kind, 0);
    let taken = |name: &str, header: Vec<u8>| archive(name, tar_with(&entry(header, &small(9))), Ready(5, vec![]));
    let twice = [file("a/9.png", &small(9)), file("a/9.png", &small(10))].concat();
    vec![
        one("tar-link-up", changed(kind(b'2'), LINK, b"../../../etc/passwd"), "link"),
        one("tar-hard-link", changed(kind(b'1'), LINK, b"/etc/passwd"), "link"),
        one("tar-hard-link-to-itself", changed(kind(b'1'), LINK, b"a/9.png"), "link"),
        one("tar-character-device", kind(b'3'), "no regular file"),
        one("tar-block-device", kind(b'4'), "no regular file"),
        one("tar-fifo", kind(b'6'), "no regular file"),
        one("tar-volume-name", kind(b'V'), "no regular file"),
        one("tar-continued-volume", kind(b'M'), "no regular file"),
        one("tar-no-such-kind", kind(b'Z'), "no regular file"),
        taken("tar-contiguous", header(b"a/9.png", b'7', small(9).len() as u64)),
        taken("tar-setuid", changed(nine(), MODE, b"0006777\0")),
        taken("tar-mode-garbage", changed(nine(), MODE, b"\xffgarbage")),
        archive("tar-folder-by-its-name", tar_with(&file("a/x/", b"")), Ready(4, vec![])),
        one("tar-prefix-up", entry(changed(nine(), PREFIX, b"../.."), &small(9)), "upwards"),
        archive("tar-path-twice", tar_with(&twice), Ready(5, vec![("a/9.png", "earlier entry of the same path")])),
        one("tar-in-a-tar", file("a/9.png", &tar_with(&[])), "not a picture"),
        one("tar-not-utf8", file(b"a/\xff9.png", &small(9)), "UTF-8"),
        one("tar-backslash", file("x\\9.png", &small(9)), "in no folder"),
    ]
}

/// Sizes that lie.
fn sizes() -> Vec<Archive> {
    let broken = |name: &str, blocks: Vec<u8>| archive(name, tar_with(&blocks), Failed("broken_archive"));
    let sized = |size: &[u8; 12]| entry(changed(nine(), SIZE, size), &small(9));
    vec![
        broken("tar-claims-8-gib", sized(b"77777777777\0")),
        broken("tar-claims-more", sized(b"00000100000\0")),
        archive("tar-claims-less", tar_with(&sized(b"00000000001\0")), Ready(4, vec![("9.png", "not a picture")])),
        broken("tar-size-garbage", sized(b"what is it?\0")),
        broken("tar-size-negative", sized(b"-0000000001\0")),
        broken("tar-size-binary-negative", sized(b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff")),
        broken("tar-size-binary-the-most", sized(b"\x80\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff")),
        broken("tar-checksum-wrong", {
            let mut header = nine();
            header[0] ^= 1;
            entry(header, &small(9))
        }),
        broken("tar-garbage-between", noise(512)),
    ]
}

/// What is odd about the archive as a whole.
fn whole() -> Vec<Archive> {
    let good = tar_with(&[]);
    let many: Vec<u8> = (0..201).flat_map(|number| file(format!("a/{number}.txt"), b"x")).collect();
    let folders = [header(b"a/", b'5', 0), header(b"b/", b'5', 0)].concat();
    let second = [around(), END.to_vec(), tar(&file("a/9.png", &small(9)))].concat();
    let body = around();
    vec![
        archive("tar-empty", tar(&[]), Refused("empty_archive")),
        archive("tar-only-folders", tar(&folders), Failed("no_pictures")),
        archive("tar-too-many-entries", tar(&many), Failed("too_many_entries")),
        archive("tar-before-garbage", [good.clone(), noise(3000)].concat(), Ready(4, vec![])),
        archive("tar-after-a-tar", second, Ready(4, vec![])),
        archive("tar-after-garbage", [noise(512), good].concat(), Refused("unknown_archive")),
        archive("tar-without-its-end", body.clone(), Failed("broken_archive")),
        archive("tar-with-half-its-end", [body.clone(), vec![0; 512]].concat(), Ready(4, vec![])),
        archive("tar-cut-in-a-header", body[..1024 + 100].to_vec(), Failed("broken_archive")),
        archive("tar-cut-in-content", body[..512 + 20].to_vec(), Failed("broken_archive")),
        archive("tar-cut-in-padding", body[..body.len() - 10].to_vec(), Failed("broken_archive")),
        archive("tar-cut-in-its-first-header", body[..200].to_vec(), Refused("unknown_archive")),
    ]
}

/// What is wrong with the compression.
fn compressed() -> Vec<Archive> {
    let good = tar_with(&[]);
    let zstd = |bytes: &[u8]| zstd::encode_all(bytes, 3).unwrap();
    let zeros: Vec<u8> = (0..80).flat_map(|number| file(format!("a/{number}.png"), &vec![0; 1 << 20])).collect();
    let skipped = [around(), entry(header(b"9.png", b'0', 90 << 20), &vec![0; 90 << 20])].concat();
    let packed = gzip(&good);
    let mut wrong_crc = packed.clone();
    let crc = wrong_crc.len() - 8;
    wrong_crc[crc] ^= 1;
    let members: Vec<u8> = (0..20_000).flat_map(|_| EMPTY_GZIP).chain(packed.iter().copied()).collect();
    let halves = [gzip(&good[..700]), gzip(&good[700..])].concat();
    let mut checked = zstd(&good);
    let last = checked.len() - 1;
    checked[last] ^= 0x55;
    let named = [&packed[..3], &[0x08], &packed[4..10], &[b'n'; 500_000], &[0], &packed[10..]].concat();
    vec![
        archive("gz-bomb", gzip(&tar(&zeros)), Failed("suspicious_expansion")),
        archive("zst-bomb", zstd(&tar(&zeros)), Failed("suspicious_expansion")),
        archive("gz-bomb-unread", gzip(&tar(&skipped)), Failed("suspicious_expansion")),
        archive("gz-of-gz", gzip(&packed), Refused("unknown_archive")),
        archive("gz-of-a-zip", gzip(&super::zip::zip_with(&[])), Refused("unknown_archive")),
        archive("gz-of-nothing", gzip(b""), Refused("unknown_archive")),
        archive("gz-wrong-crc", wrong_crc, Failed("broken_archive")),
        archive("gz-cut", packed[..packed.len() / 2].to_vec(), Failed("broken_archive")),
        archive("gz-cut-in-its-head", packed[..5].to_vec(), Refused("broken_archive")),
        archive("gz-empty-members", members, Ready(4, vec![])),
        archive("gz-in-two-members", halves, Ready(4, vec![])),
        archive("gz-long-name", named, Refused("broken_archive")),
        archive("gz-before-garbage", [packed, noise(1000)].concat(), Failed("broken_archive")),
        archive("zst-cut", zstd(&good)[..60].to_vec(), Refused("broken_archive")),
        archive("zst-damaged", checked, Refused("broken_archive")),
        // A frame whose window is 3.75 TiB, then one of 128 MiB, the most that is granted, without content.
        archive("zst-window", [ZSTD.as_slice(), &[0, 0xff], &[0; 20]].concat(), Refused("broken_archive")),
        archive("zst-window-granted", [ZSTD.as_slice(), &[0, 17 << 3], &[1, 0, 0]].concat(), Refused("unknown_archive")),
        archive("zst-dictionary", [ZSTD.as_slice(), &[3, 0x50, 1, 2, 3, 4], &[1, 0, 0]].concat(), Refused("broken_archive")),
        archive(
            "zst-skips-4-gib",
            [zstd(&good), b"\x50\x2a\x4d\x18\xff\xff\xff\xff".to_vec()].concat(),
            Failed("broken_archive"),
        ),
    ]
}

/// A gzip member without content.
const EMPTY_GZIP: [u8; 20] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0];

/// A zstd frame's magic number (RFC 8878, section 3.1.1).
const ZSTD: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
