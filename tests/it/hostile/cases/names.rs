//! Names of entries that lead elsewhere, hide, or are no names.

use super::Outcome::Ready;
use super::tar::{self, tar_with};
use super::zip::{Entry, UTF8, extra, stored, zip_with};
use super::{Archive, archive, crc, gzip, small};

/// A name for the case, the entry's path, how the path that is shown ends, and a part of the reason.
const BOTH: [(&str, &str, &str, &str); 13] = [
    ("up", "../x/1.png", "../x/1.png", "upwards"),
    ("up-inside", "a/../../x/1.png", "x/1.png", "upwards"),
    ("up-at-the-end", "a/x/..", "a/x/..", "upwards"),
    ("absolute", "/topgraft-escape/x/1.png", "x/1.png", "absolute"),
    ("device", "/dev/shm/topgraft-escape", "escape", "absolute"),
    ("drive", "C:/x/1.png", "C:/x/1.png", "absolute"),
    ("drive-relative", "c:x/1.png", "c:x/1.png", "absolute"),
    ("no-folder", "./1.png", "1.png", "in no folder"),
    ("blank-class", " /1.png", " /1.png", "0 characters"),
    ("wide-class", WIDE, "/1.png", "101 characters"),
    ("bell-in-class", "x\u{7}/1.png", "/1.png", "control character"),
    ("escape-in-class", "x\u{1b}[2J/1.png", "/1.png", "control character"),
    ("turned-class", "x\u{202e}gnp/1.png", "/1.png", "control character"),
];

/// 101 letters.
const WIDE: &str =
    "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx/1.png";

/// Names that zips and tars can have.
pub fn cases() -> Vec<Archive> {
    let mut cases = Vec::new();
    for (name, path, shown, reason) in BOTH {
        let outcome = || Ready(4, vec![(shown, reason)]);
        cases.push(archive(format!("zip-{name}"), zip_with(&[stored(path, &small(9))]), outcome()));
        cases.push(archive(format!("tar-{name}"), gzip(&tar_with(&tar::any(path, &small(9)))), outcome()));
    }
    cases.extend(allowed());
    cases.extend(only_in_zips());
    cases
}

/// Names that are odd and do no harm.
fn allowed() -> Vec<Archive> {
    let deep = format!("{}1.png", "d/".repeat(100));
    let mut cases = Vec::new();
    for (name, paths) in [
        ("dots-and-slashes", ["./c//./1.png", ".//c/2.png"]),
        ("emoji-class", ["🐈/1.png", "🐈/2.png"]),
        ("family-class", ["👨\u{200d}👩\u{200d}👧/1.png", "👨\u{200d}👩\u{200d}👧/2.png"]),
        ("line-feed-in-name", ["c/1\n.png", "c/2\n.png"]),
        ("case-apart", ["C/1.png", "C/1.PNG"]),
        ("reserved-on-windows", ["CON/NUL.png", "CON/aux .png."]),
        ("looks-like-markup", ["<script>alert(1)<|script>/1.png", "<script>alert(1)<|script>/2.png"]),
        ("looks-like-sql", ["'; drop table datasets; --/1.png", "'; drop table datasets; --/2.png"]),
        ("looks-like-a-format", ["%s%n{0}$(id)/1.png", "%s%n{0}$(id)/2.png"]),
        ("deep", [deep.as_str(), "d/2.png"]),
    ] {
        let (first, second) = (small(8), small(9));
        let zip = zip_with(&[stored(paths[0], &first), stored(paths[1], &second)]);
        cases.push(archive(format!("zip-{name}"), zip, Ready(6, vec![])));
        let tar = tar_with(&[tar::long(paths[0].as_bytes(), &first), tar::long(paths[1].as_bytes(), &second)].concat());
        cases.push(archive(format!("tar-{name}"), tar, Ready(6, vec![])));
    }
    let junk =
        ["__MACOSX/a/._1.png", "a/.DS_Store", "a/Thumbs.db", "a/._2.png", "desktop.ini", "a/@eaDir/1.png", ".git/x/1.png"];
    let entries: Vec<_> = junk.iter().map(|path| stored(path, b"junk")).collect();
    cases.push(archive("zip-junk", zip_with(&entries), Ready(4, vec![])));
    cases
}

fn only_in_zips() -> Vec<Archive> {
    let one = |name: &[u8]| stored(name, &small(9));
    let rejected = |name: &str, entry: Entry, shown, reason| archive(name, zip_with(&[entry]), Ready(4, vec![(shown, reason)]));
    let renamed = |path: &[u8], of: &[u8]| [&[1], crc(of).to_le_bytes().as_slice(), path].concat();
    let unicode = |path: &[u8]| {
        let field = extra(0x7075, &renamed(path, b"a/9.png"));
        one(b"a/9.png").both(|header| header.extra.clone_from(&field))
    };
    vec![
        rejected("zip-backslash-up", one(b"..\\x\\1.png"), "x/1.png", "upwards"),
        rejected("zip-backslash-drive", one(b"C:\\x\\1.png"), "x/1.png", "absolute"),
        rejected("zip-share", one(b"\\\\host\\share\\x\\1.png"), "x/1.png", "absolute"),
        rejected("zip-nul", one(b"a/1\0.png"), ".png", "NUL"),
        rejected("zip-nul-before-up", one(b"a/1.png\0/../../x"), "x", "NUL"),
        archive("zip-not-utf8", zip_with(&[one(b"a/\xff\xfe.png").both(|h| h.flags = UTF8)]), Ready(5, vec![])),
        // Shown as a name that begins with a dot, so nobody meant to send it.
        archive(
            "zip-overlong-slash",
            zip_with(&[one(b"a/..\xc0\xaf..\xc0\xafx.png").both(|h| h.flags = UTF8)]),
            Ready(4, vec![]),
        ),
        archive("zip-code-page-437", zip_with(&[one(b"a/\x81.png")]), Ready(5, vec![])),
        rejected("zip-long-name", one(&[b"a/".as_slice(), &[b'x'; 300]].concat()), "x", "shorten it to 256"),
        rejected("zip-longest-name", one(&[b'x'; 65_535]), "x", "shorten it to 256"),
        rejected(
            "zip-thousand-deep",
            one(b"d/".repeat(1000).as_slice()).both(|h| h.name.push(b'x')),
            "d/",
            "shorten it to 256",
        ),
        rejected("zip-empty-name", one(b"a/x/../1.png"), "1.png", "upwards"),
        archive("zip-nameless", zip_with(&[one(b"")]), Ready(4, vec![])),
        rejected("zip-renamed-up", unicode(b"../x/1.png"), "1.png", "upwards"),
        archive(
            "zip-renamed-wrongly",
            zip_with(&[one(b"a/9.png").both(|h| h.extra = extra(0x7075, &[1, 0, 0, 0, 0, b'x']))]),
            Ready(5, vec![]),
        ),
        archive(
            "zip-names-disagree",
            zip_with(&[one(b"a/9.png").with(|e| e.local.name = b"../../x".to_vec())]),
            Ready(5, vec![]),
        ),
    ]
}
