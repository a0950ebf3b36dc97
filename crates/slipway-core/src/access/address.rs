//! The path of a request. One thing has one address: a path is taken as it is written in [`ROUTES`], or not at all.
//!
//! Absent on purpose: mending. A doubled or a trailing slash, an escaped slash, or an escape that is none leads nowhere,
//! since whoever stands before the edge (a proxy that keeps some paths from the outside) may read it otherwise.
//!
//! [`ROUTES`]: super::ROUTES

use percent_encoding::percent_decode_str;

/// The segments of a path, each with its escapes undone. `None` for a path that leads nowhere whatever the method.
pub fn segments(path: &str) -> Option<Vec<String>> {
    let path = path.strip_prefix('/')?;
    if path.is_empty() {
        return Some(Vec::new());
    }
    path.split('/').map(segment).collect()
}

fn segment(text: &str) -> Option<String> {
    let mut escapes = text.split('%').skip(1);
    let are_whole = escapes
        .all(|rest| rest.as_bytes().first_chunk::<2>().is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit)));
    let decoded = percent_decode_str(text).decode_utf8().ok()?;
    let is_plain = !decoded.is_empty() && !decoded.contains(['/', '\\']) && !decoded.contains(char::is_control);
    (are_whole && is_plain).then(|| decoded.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_read_as_it_is_written_and_a_sloppy_one_leads_nowhere() {
        for (path, expected) in [
            ("/", Some(vec![])),
            ("/healthz", Some(vec!["healthz"])),
            ("/p/tug/r/1.2.0+b1", Some(vec!["p", "tug", "r", "1.2.0+b1"])),
            ("/p/tug/r/1.2.0%2Bb1", Some(vec!["p", "tug", "r", "1.2.0+b1"])),
            ("/p/%74ug", Some(vec!["p", "tug"])),
            ("/p/%C3%A9", Some(vec!["p", "\u{e9}"])),
            ("", None),
            ("p/tug", None),
            ("//", None),
            ("//api/v1/projects", None),
            ("/api//v1/projects", None),
            ("/api/v1/projects/", None),
            ("/p/tug%2Fr", None),
            ("/p/tug%5Cr", None),
            ("/p/a\\b", None),
            ("/p/a%00", None),
            ("/p/a%0Ab", None),
            ("/p/%ff", None),
            ("/p/%", None),
            ("/p/%2", None),
            ("/p/%zz", None),
            ("/p/%%41", None),
        ] {
            let expected = expected.map(|segments| segments.into_iter().map(str::to_owned).collect::<Vec<_>>());
            assert_eq!(segments(path), expected, "{path}");
        }
    }
}
