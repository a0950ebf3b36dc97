//! Where a service is: scheme, host, port, and perhaps a path in front of every route.

use std::fmt;
use std::str::FromStr;

use http::Uri;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// What may stand in one path segment without being escaped (RFC 3986 "unreserved").
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The address of a service, without a trailing slash: `https://packagecloud.io`.
///
/// It names a host and nothing else: no user, no query, no fragment. Every URL that Slipway asks for is either built
/// from one of these by [`Base::url`], or compared with one by [`Base::serves`].
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Base(String);

/// Text that is not the address of a service.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is not the address of a service; write it as `https://host` or `https://host/path`")]
pub struct InvalidBase(String);

impl Base {
    /// `base/segment/segment…`, each segment escaped on its own, so that no name can add a path or a query.
    pub fn url<'a>(&self, segments: impl IntoIterator<Item = &'a str>) -> String {
        let mut url = self.0.clone();
        for segment in segments {
            url.push('/');
            url.extend(utf8_percent_encode(segment, SEGMENT));
        }
        url
    }

    /// `base` followed by a path that the service itself gave, such as `/api/v1/…`.
    pub fn join(&self, path: &str) -> String {
        format!("{}{path}", self.0)
    }

    /// Whether `url` has the scheme, host and port of this service.
    pub fn serves(&self, url: &str) -> bool {
        origin(url).is_some_and(|theirs| origin(&self.0).is_some_and(|ours| ours == theirs))
    }

    /// The address as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Scheme and authority of a URL, in lower case and with the port written out. `None` for what is not plainly that.
fn origin(url: &str) -> Option<(String, String, u16)> {
    let uri: Uri = url.parse().ok()?;
    let authority = uri.authority()?;
    if authority.as_str().contains('@') {
        return None;
    }
    let scheme = uri.scheme_str()?.to_ascii_lowercase();
    let port = match (authority.port_u16(), scheme.as_str()) {
        (Some(port), _) => port,
        (None, "https") => 443,
        (None, "http") => 80,
        (None, _) => return None,
    };
    Some((scheme, authority.host().to_ascii_lowercase(), port))
}

impl FromStr for Base {
    type Err = InvalidBase;

    fn from_str(text: &str) -> Result<Self, InvalidBase> {
        let trimmed = text.trim_end_matches('/');
        let plain = origin(trimmed).is_some_and(|(scheme, _, _)| scheme == "http" || scheme == "https");
        if plain && !trimmed.contains(['?', '#']) {
            Ok(Self(trimmed.to_owned()))
        } else {
            Err(InvalidBase(text.to_owned()))
        }
    }
}

impl fmt::Display for Base {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> serde::Deserialize<'de> for Base {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl serde::Serialize for Base {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_segment_cannot_leave_its_place() {
        let base: Base = "https://host/api/".parse().expect("a plain address");
        assert_eq!(
            base.url(["repos", "../x?y#z", "1:2~rc+é"]),
            "https://host/api/repos/..%2Fx%3Fy%23z/1%3A2~rc%2B%C3%A9"
        );
    }

    #[test]
    fn only_the_same_scheme_host_and_port_are_served() {
        let base: Base = "https://packages.example.com".parse().expect("a plain address");
        for url in ["https://packages.example.com/x", "https://PACKAGES.example.com:443/x?y"] {
            assert!(base.serves(url), "{url}");
        }
        for url in [
            "http://packages.example.com/x",
            "https://packages.example.com:8443/x",
            "https://packages.example.com.evil.test/x",
            "https://packages.example.com@evil.test/x",
            "https://user:pw@packages.example.com/x",
            "//packages.example.com/x",
            "/x",
            "",
        ] {
            assert!(!base.serves(url), "{url}");
        }
    }

    #[test]
    fn an_address_has_no_user_query_or_odd_scheme() {
        for text in ["", "host", "ftp://host", "https://u@host", "https://host?x", "https://host#x", "https://"] {
            assert!(text.parse::<Base>().is_err(), "{text}");
        }
    }
}
