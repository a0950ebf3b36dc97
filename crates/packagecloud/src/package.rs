//! A package as packagecloud describes it, in lists and in full. Only what Slipway reads; no secret addresses.

use std::fmt;
use std::str::FromStr;

use serde::Deserialize;
use slipway_wire::Digest;

use crate::{Distro, Filename};

/// A package in one distro version of a repository.
///
/// Lists give it without a size, and with no SHA-256 shortly after an upload. `download_url` is left out on purpose: it
/// carries a read token.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct PackageRecord {
    /// The file's name, which packagecloud takes from the package itself.
    pub filename: String,
    /// `ubuntu/jammy`. Kinds without distributions have other text here, or none.
    #[serde(default)]
    pub distro_version: Option<String>,
    /// The SHA-256 of the file. `None` while packagecloud has not computed it.
    #[serde(default, deserialize_with = "digest")]
    pub sha256sum: Option<Digest>,
    /// The file's size in bytes. `None` in lists.
    #[serde(default, deserialize_with = "size")]
    pub size: Option<u64>,
    /// Whether packagecloud says that the index has it. The proof is the index itself.
    #[serde(default, deserialize_with = "indexed")]
    pub indexed: bool,
    /// Whether its repository is private. Stale in the answer of a move.
    #[serde(default)]
    pub private: Option<bool>,
    /// When it was uploaded, ISO 8601.
    #[serde(default)]
    pub created_at: Option<String>,
    /// The user who uploaded it.
    #[serde(default)]
    pub uploader_name: Option<String>,
    /// Where its full description is. `None` where packagecloud gives none, or nothing that may be asked for.
    #[serde(default, deserialize_with = "api_path")]
    pub package_url: Option<ApiPath>,
    /// What it depends on. `None` in lists, for a package that depends on nothing, and where it cannot be read: it only tells.
    #[serde(default, deserialize_with = "dependencies")]
    pub dependencies: Option<Vec<Dependencies>>,
}

/// What a package depends on in one way.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Dependencies {
    /// How: `depends`, `requires`, `conflicts`.
    pub context: String,
    /// On what, each as the package writes it: `libc6 (>= 2.31)`.
    pub dependencies: Vec<String>,
}

impl PackageRecord {
    /// Whether this is exactly that file in exactly that distro version.
    pub fn is(&self, distro: &Distro, filename: &Filename) -> bool {
        self.filename == filename.as_str() && self.distro_version.as_deref() == Some(distro.to_string().as_str())
    }
}

/// A path of packagecloud's API as its answers give it, from the host's root: `/api/v1/…`.
///
/// The account's token is sent to it, so it stays below `/api/` whatever it says. A query is cut off: it can hold tokens.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ApiPath(String);

/// Text that is not an [`ApiPath`]. It is not repeated, since it can hold a token.
#[derive(Debug, thiserror::Error)]
#[error("the text is not a path below `/api/`")]
pub struct InvalidApiPath;

impl ApiPath {
    /// The path, beginning with `/api/`.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ApiPath {
    type Err = InvalidApiPath;

    fn from_str(text: &str) -> Result<Self, InvalidApiPath> {
        let path = text.split(['?', '#']).next().unwrap_or_default();
        let plain = path.bytes().all(|b| b.is_ascii_graphic() && b != b'\\');
        // Address parsers take `%2e` for a dot when they walk up, so it counts as one here.
        let climbs =
            path.split('/').any(|part| matches!(part.to_ascii_lowercase().replace("%2e", ".").as_str(), "." | ".."));
        if path.starts_with("/api/") && plain && !climbs { Ok(Self(path.to_owned())) } else { Err(InvalidApiPath) }
    }
}

impl fmt::Display for ApiPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn dependencies<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Vec<Dependencies>>, D::Error> {
    let told = Option::<serde_json::Value>::deserialize(deserializer)?;
    Ok(told.and_then(|told| serde_json::from_value(told).ok()))
}

fn digest<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Digest>, D::Error> {
    match Option::<String>::deserialize(deserializer)? {
        Some(text) if !text.is_empty() => text.parse().map(Some).map_err(serde::de::Error::custom),
        _ => Ok(None),
    }
}

fn indexed<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    Ok(Option::<bool>::deserialize(deserializer)?.unwrap_or_default())
}

fn api_path<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<ApiPath>, D::Error> {
    Ok(Option::<String>::deserialize(deserializer)?.and_then(|text| text.parse().ok()))
}

/// A size, which is written as text: `"311509298"`, and for sources as `"3732.0"`.
fn size<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Size {
        Number(u64),
        Text(String),
    }
    match Option::<Size>::deserialize(deserializer)? {
        None => Ok(None),
        Some(Size::Number(bytes)) => Ok(Some(bytes)),
        Some(Size::Text(text)) => {
            let digits = text.strip_suffix(".0").unwrap_or(&text);
            let plain = digits.bytes().all(|b| b.is_ascii_digit());
            let bytes = digits.parse().ok().filter(|_| plain);
            bytes.map(Some).ok_or_else(|| serde::de::Error::custom(format!("`{text}` is not a size in bytes")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(json: &str) -> Result<PackageRecord, serde_json::Error> {
        serde_json::from_str(json)
    }

    #[test]
    fn what_a_package_depends_on_is_read_where_it_can_be_and_hides_nothing_else() {
        let of = |dependencies: &str| {
            let json = format!(r#"{{"filename":"a_1_all.deb","dependencies":{dependencies}}}"#);
            record(&json).expect("a package").dependencies
        };
        let depends = of(r#"[{"context":"depends","dependencies":["libc6 (>= 2.31)","adduser | systemd"]}]"#);
        let on = ["libc6 (>= 2.31)", "adduser | systemd"].map(str::to_owned).to_vec();
        assert_eq!(depends, Some(vec![Dependencies { context: "depends".to_owned(), dependencies: on }]));
        for unreadable in ["null", "\"libc6\"", "[1]", r#"[{"context":"depends"}]"#] {
            assert_eq!(of(unreadable), None, "{unreadable}");
        }
    }

    #[test]
    fn a_full_description_is_read() {
        let package = record(include_str!("../fixtures/show.json")).expect("a description");
        assert_eq!(package.size, Some(311_509_298));
        assert_eq!(package.sha256sum.map(|digest| digest.hex()), Some("a".repeat(64)));
        assert_eq!((package.private, package.indexed), (Some(true), false));
        assert_eq!(package.uploader_name.as_deref(), Some("harbour-ci"));
        assert_eq!(package.created_at.as_deref(), Some("2026-11-02T09:14:05.000Z"));
    }

    #[test]
    fn no_read_token_is_kept() {
        let package = record(include_str!("../fixtures/show.json")).expect("a description");
        assert!(!format!("{package:?}").contains("5ec2e7"));
    }

    #[test]
    fn nearly_everything_may_be_absent_or_null() {
        let absent = record(r#"{"filename":"x.deb"}"#).expect("a name is enough");
        let null = record(
            r#"{"filename":"x.deb","distro_version":null,"sha256sum":null,"size":null,"indexed":null,"private":null,
                "created_at":null,"uploader_name":null,"package_url":null,"epoch":null,"dependencies":null}"#,
        );
        assert_eq!(null.expect("null is absent"), absent);
        let empty = record(r#"{"filename":"x.deb","sha256sum":"","package_url":""}"#);
        assert_eq!(empty.expect("empty is absent"), absent);
        assert!(record(r#"{"name":"x"}"#).is_err(), "without a file name it is nothing");
    }

    #[test]
    fn a_size_is_text_or_a_number() {
        for (json, size) in [
            (r#""311509298""#, Some(311_509_298)),
            (r#""3732.0""#, Some(3732)),
            ("3732", Some(3732)),
            (r#""0""#, Some(0)),
            (r#""18446744073709551615""#, Some(u64::MAX)),
            ("null", None),
        ] {
            let package = record(&format!(r#"{{"filename":"x","size":{json}}}"#)).expect(json);
            assert_eq!(package.size, size, "{json}");
        }
        for json in [r#""""#, r#""-1""#, r#""+1""#, r#""1.5""#, r#""12 KB""#, "-1", r#""18446744073709551616""#, "[]"] {
            assert!(record(&format!(r#"{{"filename":"x","size":{json}}}"#)).is_err(), "{json}");
        }
    }

    #[test]
    fn a_digest_that_is_none_is_an_error() {
        assert!(record(r#"{"filename":"x","sha256sum":"abc"}"#).is_err());
    }

    #[test]
    fn an_api_path_stays_below_api() {
        for (text, path) in [
            ("/api/v1/repos/a/b.json", "/api/v1/repos/a/b.json"),
            ("/api/v1/x.json?scope=s&token=t", "/api/v1/x.json"),
            ("/api/v1/a%20b/1.0~rc1+2.json#x", "/api/v1/a%20b/1.0~rc1+2.json"),
            ("/api/v1/@scope%2Fname.json", "/api/v1/@scope%2Fname.json"),
        ] {
            assert_eq!(text.parse::<ApiPath>().expect("a path").as_str(), path);
        }
        for text in [
            "",
            "api/v1/x",
            "/apix",
            "//evil.test/api/x",
            "https://evil.test/api/x",
            "/api/../admin",
            "/api/v1/%2e%2E/../x",
            "/api/%2E./x",
            "/api/..",
            "/api/a\\..\\b",
            "/api/a b",
            "/api/a\r\nHost: evil.test",
            "@evil.test/api/",
        ] {
            assert!(text.parse::<ApiPath>().is_err(), "{text}");
        }
    }
}
