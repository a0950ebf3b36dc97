//! What is after the `?`, and forms, which are written the same way.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

/// Letters that stay as they are in a part of a path: those of RFC 3986, and `+`, which is one in a path.
const PATH: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b'+');
/// In a query `+` means a space.
const QUERY: &AsciiSet = &PATH.add(b'+');

/// Names and values, decoded, in their order.
#[derive(Clone, Debug, Default)]
pub(crate) struct Query(Vec<(String, String)>);

impl Query {
    pub(crate) fn parse(text: &str) -> Self {
        let decode = |part: &str| percent_decode_str(&part.replace('+', " ")).decode_utf8_lossy().into_owned();
        let pairs = text.split('&').filter(|pair| !pair.is_empty());
        Self(
            pairs
                .map(|pair| {
                    let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
                    (decode(name), decode(value))
                })
                .collect(),
        )
    }

    /// The last value of this name.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().rev().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The same with another value for a name.
    pub(crate) fn with(&self, name: &str, value: &str) -> Self {
        let mut pairs: Vec<_> = self.0.iter().filter(|(known, _)| known != name).cloned().collect();
        pairs.push((name.to_owned(), value.to_owned()));
        Self(pairs)
    }

    pub(crate) fn encoded(&self) -> String {
        let part = |text: &str| utf8_percent_encode(text, QUERY).to_string();
        self.0.iter().map(|(name, value)| format!("{}={}", part(name), part(value))).collect::<Vec<_>>().join("&")
    }
}

/// A name as a part of a path.
pub(crate) fn path_part(name: &str) -> String {
    utf8_percent_encode(name, PATH).to_string()
}

/// The parts of a path, decoded: `None` when one of them could mean another place, or nothing.
pub(crate) fn path_parts(path: &str) -> Option<Vec<String>> {
    let parts = path.trim_start_matches('/').split('/');
    parts
        .map(|part| {
            let part = percent_decode_str(part).decode_utf8().ok()?;
            let harmless = !part.is_empty() && part != "." && part != ".." && !part.contains(['/', '\\', '\0']);
            harmless.then(|| part.into_owned())
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_of_a_path_never_means_another_place() {
        assert_eq!(
            path_parts("/a/opensuse/42%2E1/x+y.deb").map(|parts| parts.join("|")).as_deref(),
            Some("a|opensuse|42.1|x+y.deb")
        );
        for path in ["/a/../b", "/a/%2e%2e/b", "/a//b", "/a/%2F", "/a/", "/a/%00", "/a/%ff", "/a/..%2fb"] {
            assert_eq!(path_parts(path), None, "{path}");
        }
    }

    #[test]
    fn a_plus_is_a_space_in_a_query_and_itself_in_a_path() {
        let query = Query::parse("q=libstdc%2B%2B6+x&per_page=1&q=a%2Bb");
        assert_eq!(query.get("q"), Some("a+b"));
        assert_eq!(query.with("q", "c+d").encoded(), "per_page=1&q=c%2Bd");
        assert_eq!(path_part("a+b~1:2 3.deb"), "a+b~1%3A2%203.deb");
    }
}
