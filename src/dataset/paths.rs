//! What an entry's name says. Names come from outside: they are judged, shown and compared, and never opened or written.

/// The longest class name, in characters.
const MAX_CLASS_CHARS: usize = 100;

/// What the folders of a source are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Layout {
    /// Each names the class of the pictures in it; a picture in no folder has none and is rejected.
    Classes,
    /// Nothing: a picture may lie anywhere and has no class.
    Any,
}

/// What becomes of an entry, going by its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Left by an operating system or a file manager; nobody meant to send it.
    Junk,
    /// Not to be used, and why.
    Rejected(String),
    /// May be a picture: its path with `.` and empty components dropped, and its class.
    Candidate {
        /// The path.
        path: String,
        /// The name of the folder that directly contains it, trimmed; empty with [`Layout::Any`].
        class: String,
    },
}

/// Judges an entry's name, components separated by `/`.
pub(crate) fn judge(name: &str, max_path_bytes: usize, layout: Layout) -> Verdict {
    if name.len() > max_path_bytes {
        return Verdict::Rejected(format!("its path has {} bytes; shorten it to {max_path_bytes}", name.len()));
    }
    if name.contains('\0') {
        return Verdict::Rejected("there is a NUL character in its path: rename it".into());
    }
    if name.starts_with('/') || has_drive(name) {
        return Verdict::Rejected("its path is absolute: archive the folder by a relative path".into());
    }
    let parts: Vec<&str> = name.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
    if parts.contains(&"..") {
        return Verdict::Rejected("its path goes upwards (`..`): archive the folder from its parent".into());
    }
    if parts.iter().any(|part| is_junk(part)) {
        return Verdict::Junk;
    }
    match parts.as_slice() {
        [] => Verdict::Junk,
        // Very old tars mark a folder by nothing but its name.
        _ if name.ends_with('/') => Verdict::Junk,
        _ if layout == Layout::Any => Verdict::Candidate { path: parts.join("/"), class: String::new() },
        [_] => Verdict::Rejected("it is in no folder: put it in a folder named after its class".into()),
        [.., folder, _] => match class_name(folder) {
            Ok(class) => Verdict::Candidate { path: parts.join("/"), class },
            Err(reason) => Verdict::Rejected(reason),
        },
    }
}

/// `name` for showing, cut to `max_bytes` at a character's boundary.
pub(crate) fn shown(name: &str, max_bytes: usize) -> String {
    name[..name.floor_char_boundary(max_bytes)].to_owned()
}

pub(super) fn class_name(folder: &str) -> Result<String, String> {
    let name = folder.trim();
    let chars = name.chars().count();
    if chars == 0 || chars > MAX_CLASS_CHARS {
        return Err(format!("its folder's name, which is its class, has {chars} characters: use 1 to {MAX_CLASS_CHARS}"));
    }
    if name.chars().any(|c| c.is_control() || turns_text(c)) {
        return Err("there is a control character in its folder's name, which is its class: rename the folder".into());
    }
    Ok(name.to_owned())
}

/// Overrides, embeddings and isolates of the direction of writing (UAX #9): with them a name reads as another.
fn turns_text(c: char) -> bool {
    matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// `C:` and the like, from archives made on Windows.
fn has_drive(name: &str) -> bool {
    matches!(name.as_bytes(), [letter, b':', ..] if letter.is_ascii_alphabetic())
}

fn is_junk(part: &str) -> bool {
    // Dot files cover .DS_Store, ._resource forks, .thumbnails, .git; the rest are folders and files of Windows, macOS
    // and Synology that have no dot.
    const NAMES: [&str; 5] = ["__macosx", "thumbs.db", "ehthumbs.db", "desktop.ini", "@eadir"];
    part.starts_with('.') || NAMES.iter().any(|name| part.eq_ignore_ascii_case(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn class_of(name: &str) -> String {
        match judge(name, 1024, Layout::Classes) {
            Verdict::Candidate { class, .. } => class,
            other => panic!("{name}: {other:?}"),
        }
    }

    fn reason(name: &str) -> String {
        match judge(name, 1024, Layout::Classes) {
            Verdict::Rejected(reason) => reason,
            other => panic!("{name}: {other:?}"),
        }
    }

    #[test]
    fn the_class_is_the_folder_directly_above() {
        assert_eq!(class_of("daisy/1.jpg"), "daisy");
        assert_eq!(class_of("a/b/ Lady's slipper /1.jpg"), "Lady's slipper");
        assert_eq!(class_of("données/pâquerette/1.jpg"), "pâquerette");
        let dotted = judge("./flowers//./daisy/1.jpg", 1024, Layout::Classes);
        assert_eq!(dotted, Verdict::Candidate { path: "flowers/daisy/1.jpg".into(), class: "daisy".into() });
    }

    #[test]
    fn names_that_lead_elsewhere_are_rejected() {
        for name in ["../daisy/1.jpg", "daisy/../1.jpg", "a/daisy/..", ".git/../x/1.jpg"] {
            assert!(reason(name).contains("upwards"), "{name}");
        }
        for name in ["/daisy/1.jpg", "C:/daisy/1.jpg", "c:daisy/1.jpg"] {
            assert!(reason(name).contains("absolute"), "{name}");
        }
        assert!(reason("daisy/1\0.jpg").contains("NUL"));
        assert!(reason(&format!("daisy/{}.jpg", "x".repeat(1024))).contains("shorten it to 1024"));
    }

    #[test]
    fn a_picture_needs_a_folder_with_a_fit_name() {
        assert!(reason("1.jpg").contains("in no folder"));
        assert!(reason("./1.jpg").contains("in no folder"));
        assert!(reason("  /1.jpg").contains("0 characters"));
        assert!(reason(&format!("{}/1.jpg", "é".repeat(101))).contains("101 characters"));
        assert_eq!(class_of(&format!("{}/1.jpg", "é".repeat(100))).chars().count(), 100);
        for name in ["dai\nsy/1.jpg", "daisy\u{202e}gpj/1.jpg", "\u{2066}daisy/1.jpg"] {
            assert!(reason(name).contains("control character"), "{name:?}");
        }
    }

    #[test]
    fn without_classes_a_picture_may_lie_anywhere() {
        for (name, path) in [("1.jpg", "1.jpg"), ("./a//1.jpg", "a/1.jpg"), ("  /1.jpg", "  /1.jpg")] {
            let candidate = Verdict::Candidate { path: path.into(), class: String::new() };
            assert_eq!(judge(name, 1024, Layout::Any), candidate, "{name}");
        }
        assert!(matches!(judge("../1.jpg", 1024, Layout::Any), Verdict::Rejected(_)));
    }

    #[test]
    fn what_systems_leave_behind_is_junk() {
        for name in [
            "__MACOSX/daisy/._1.jpg",
            "daisy/.DS_Store",
            "daisy/Thumbs.db",
            "daisy/desktop.ini",
            "daisy/._1.jpg",
            "daisy/@eaDir/1.jpg",
            "daisy/.thumbnails/1.jpg",
            "./",
            "daisy/",
            "",
        ] {
            for layout in [Layout::Classes, Layout::Any] {
                assert_eq!(judge(name, 1024, layout), Verdict::Junk, "{name}");
            }
        }
    }

    #[test]
    fn a_name_is_cut_between_characters() {
        assert_eq!(shown("pâques", 2), "p");
        assert_eq!(shown("pâques", 3), "pâ");
        assert_eq!(shown("p", 100), "p");
    }
}
