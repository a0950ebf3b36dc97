//! `primary.xml`: the packages of a YUM repository, an element each
//! (<https://createrepo.baseurl.org>, `primary.rng` of its sources).
//!
//! The file is cut behind each `</package>`, and only the first stretch and those that may name a wanted file are parsed.
//! A stretch that could hide where it begins or ends, with a comment or CDATA in it, is always parsed, and refused when
//! it is not whole.

use std::borrow::Cow;
use std::collections::BTreeSet;

use memchr::memmem::{Finder, find};
use slipway_wire::Digest;

use super::xml::{InvalidXml, Node, attribute, check_namespace, check_root, walk};
use crate::Filename;
use crate::index::reader::Listing;

/// The namespace of the file's own elements.
const NAMESPACE: &str = "http://linux.duke.edu/metadata/common";

/// How much text one package may have. Those that provide thousands of modules have some hundred thousand bytes.
const PACKAGE_BYTES_MAX: usize = 4 << 20;

/// What a package ends with.
const END: &[u8] = b"</package>";

/// Looks for some files in a `primary.xml` that passes by in pieces. It holds one package's text, never more.
#[derive(Clone, Debug)]
pub struct PrimaryScan {
    /// The base names of the packages' files.
    wanted: BTreeSet<Filename>,
    /// What has come of a package that is not at its end.
    held: Vec<u8>,
    /// Whether the root element has begun.
    begun: bool,
    /// The digests of the packages with those files.
    found: Listing,
    end: Finder<'static>,
    href: Finder<'static>,
}

/// Text that is not a `primary.xml`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPrimary {
    /// A package does not end.
    #[error("the primary file has a package of more than {PACKAGE_BYTES_MAX} bytes")]
    LongPackage,
    /// A part of it is not text.
    #[error("the primary file has a package that is not UTF-8 text")]
    NotText,
    /// It is not XML, or not this kind.
    #[error("the primary file cannot be read: {0}")]
    Xml(#[from] InvalidXml),
    /// It ends too early.
    #[error("the primary file ends too early")]
    CutShort,
    /// A package says something twice: readers could disagree about it.
    #[error("the primary file has a package with two `{0}`")]
    Twice(&'static str),
    /// The file is listed, without a digest that proves anything.
    #[error("the primary file lists `{0}` without a SHA-256")]
    NoDigest(Filename),
    /// The file is listed with another digest than SHA-256.
    #[error("the primary file lists `{0}` with a {1} digest; only sha256 is read")]
    DigestType(Filename, String),
}

/// The two parts of a package that matter.
#[derive(Default)]
struct Package {
    /// What the last segment of its location stands for; empty where that is no name.
    name: Option<String>,
    /// The type and the hex digits of its digest.
    checksum: Option<(String, String)>,
}

impl PrimaryScan {
    /// Looks for the files of these names, in whatever folder of the repository they are.
    pub fn new(wanted: &BTreeSet<Filename>) -> Self {
        Self {
            wanted: wanted.clone(),
            held: Vec::new(),
            begun: false,
            found: Listing::new(),
            end: Finder::new(END),
            href: Finder::new(b"href"),
        }
    }

    /// Takes the next piece, cut anywhere.
    pub fn feed(&mut self, piece: &[u8]) -> Result<(), InvalidPrimary> {
        let mut rest = piece;
        if !self.held.is_empty() {
            let mut held = std::mem::take(&mut self.held);
            let Some(after) = self.complete(&mut held, rest)? else {
                self.held = held;
                return Ok(());
            };
            self.stretch(&held)?;
            // The memory is kept for the next package that is cut.
            held.clear();
            self.held = held;
            rest = after;
        }
        while let Some((package, after)) =
            self.end.find(rest).and_then(|at| rest.split_at_checked(at.saturating_add(END.len())))
        {
            self.stretch(package)?;
            rest = after;
        }
        hold(&mut self.held, rest)
    }

    /// Adds what is missing of the held package, and returns what stands behind it. `None`: its end has not come.
    fn complete<'a>(&self, held: &mut Vec<u8>, piece: &'a [u8]) -> Result<Option<&'a [u8]>, InvalidPrimary> {
        let before = held.len();
        // The end may be cut itself: its start is then among the last bytes that are held.
        let from = before.saturating_sub(END.len().saturating_sub(1));
        let few = piece.get(..END.len()).unwrap_or(piece);
        let seam = [held.get(from..).unwrap_or_default(), few].concat();
        let end = match self.end.find(&seam) {
            Some(at) => Some(from.saturating_add(at).saturating_add(END.len()).saturating_sub(before)),
            None => self.end.find(piece).map(|at| at.saturating_add(END.len())),
        };
        match end.and_then(|end| piece.split_at_checked(end)) {
            Some((missing, after)) => {
                hold(held, missing)?;
                Ok(Some(after))
            }
            None => hold(held, piece).map(|()| None),
        }
    }

    /// The digests that the index gives the files: several if one is listed with different ones.
    pub fn finish(mut self) -> Result<Listing, InvalidPrimary> {
        let tail = std::mem::take(&mut self.held);
        if self.parse(&tail)? == 0 && self.begun { Ok(self.found) } else { Err(InvalidPrimary::CutShort) }
    }

    /// Reads a stretch of the file that ends with a package's end.
    fn stretch(&mut self, bytes: &[u8]) -> Result<(), InvalidPrimary> {
        if self.begun && !self.may_matter(bytes) {
            return Ok(());
        }
        if self.parse(bytes)? == 1 {
            Ok(())
        } else {
            Err(InvalidXml("a package does not end where it seems to".to_owned()).into())
        }
    }

    /// Whether the stretch could name a wanted file, or be anything else than one whole package.
    fn may_matter(&self, bytes: &[u8]) -> bool {
        let bytes = bytes.trim_ascii_start();
        let plain = bytes.starts_with(b"<package ") && find(bytes, b"<!").is_none() && find(bytes, b"<?").is_none();
        if !plain {
            return true;
        }
        let mut named = false;
        for at in self.href.find_iter(bytes) {
            named = true;
            let after = bytes.get(at..).unwrap_or_default();
            let value = quoted(after);
            let name = value.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
            if value.contains(&b'&') || decoded(name).is_some_and(|name| self.wanted.contains(&*name)) {
                return true;
            }
        }
        !named
    }

    /// Parses a stretch, and returns inside how many elements it ends.
    fn parse(&mut self, bytes: &[u8]) -> Result<usize, InvalidPrimary> {
        let text = std::str::from_utf8(bytes).map_err(|_| InvalidPrimary::NotText)?;
        let mut begun = self.begun;
        let mut packages = Vec::new();
        let mut package = Package::default();
        let mut digest: Option<(String, String)> = None;
        let mut twice = None;
        let depth = walk(text, usize::from(begun), &mut |node| {
            match node {
                Node::Open(0, element) => {
                    if begun {
                        return Err(InvalidXml("it has a second root".to_owned()));
                    }
                    begun = true;
                    check_root(element, "metadata", NAMESPACE)?;
                }
                Node::Open(1, element) => {
                    if element.name().into_inner() != "package" {
                        return Err(InvalidXml("it has other elements than packages".to_owned()));
                    }
                    check_namespace(element)?;
                    package = Package::default();
                }
                Node::Open(2, element) => match element.name().into_inner() {
                    "location" => {
                        check_namespace(element)?;
                        let href = attribute(element, "href")?.unwrap_or_default();
                        let name = href.rsplit('/').next().and_then(|name| decoded(name.as_bytes()));
                        if package.name.replace(name.unwrap_or_default().into_owned()).is_some() {
                            twice = Some("location");
                        }
                    }
                    "checksum" if attribute(element, "pkgid")?.as_deref() == Some("YES") => {
                        check_namespace(element)?;
                        digest = Some((attribute(element, "type")?.unwrap_or_default(), String::new()));
                    }
                    _ => {}
                },
                Node::Text(piece) => {
                    if let Some((_, hex)) = &mut digest {
                        hex.push_str(piece);
                    }
                }
                Node::Close(2, _) => {
                    if let Some(digest) = digest.take()
                        && package.checksum.replace(digest).is_some()
                    {
                        twice = Some("checksum");
                    }
                }
                Node::Close(1, _) => packages.push(std::mem::take(&mut package)),
                Node::Close(0, name) if name != "metadata" => {
                    return Err(InvalidXml(format!("`{name}` ends, and not `metadata`")));
                }
                Node::Open(..) | Node::Close(..) => {}
            }
            Ok(())
        })?;
        self.begun = begun;
        if let Some(name) = twice {
            return Err(InvalidPrimary::Twice(name));
        }
        packages.into_iter().try_for_each(|package| self.take(package))?;
        Ok(depth)
    }

    fn take(&mut self, package: Package) -> Result<(), InvalidPrimary> {
        let Some(name) = self.wanted.get(package.name.unwrap_or_default().as_str()) else { return Ok(()) };
        let (kind, hex) = package.checksum.ok_or_else(|| InvalidPrimary::NoDigest(name.clone()))?;
        if kind != "sha256" {
            return Err(InvalidPrimary::DigestType(name.clone(), kind.chars().take(40).collect()));
        }
        let digest: Digest = hex.trim().parse().map_err(|_| InvalidPrimary::NoDigest(name.clone()))?;
        self.found.entry(name.clone()).or_default().insert(digest);
        Ok(())
    }
}

/// The name that a segment of an address stands for, as a server reads it (RFC 3986, 2.1): `%7E` is `~`, and `+` is
/// itself. `None`: it is not encoded as that says, so no file has this address.
fn decoded(segment: &[u8]) -> Option<Cow<'_, str>> {
    if !segment.contains(&b'%') {
        return std::str::from_utf8(segment).ok().map(Cow::Borrowed);
    }
    let mut parts = segment.split(|byte| *byte == b'%');
    let mut name = parts.next()?.to_vec();
    for part in parts {
        let (digits, rest) = part.split_at_checked(2)?;
        let digit = |byte: &u8| char::from(*byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        name.push(digit(digits.first()?)? << 4 | digit(digits.get(1)?)?);
        name.extend_from_slice(rest);
    }
    String::from_utf8(name).ok().map(Cow::Owned)
}

/// What stands between the first quotes, of either kind.
fn quoted(bytes: &[u8]) -> &[u8] {
    let Some((at, quote)) = bytes.iter().enumerate().find(|(_, byte)| matches!(byte, b'"' | b'\'')) else { return &[] };
    let value = bytes.get(at.saturating_add(1)..).unwrap_or_default();
    value.split(|byte| byte == quote).next().unwrap_or_default()
}

fn hold(held: &mut Vec<u8>, piece: &[u8]) -> Result<(), InvalidPrimary> {
    if held.len().saturating_add(piece.len()) > PACKAGE_BYTES_MAX {
        return Err(InvalidPrimary::LongPackage);
    }
    held.extend_from_slice(piece);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::filename;

    const HEAD: &str = r#"<?xml version="1.0" encoding="UTF-8"?><metadata xmlns="http://linux.duke.edu/metadata/common" packages="9">"#;
    const A: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    const B: &str = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";

    fn scan(wanted: &str, pieces: &[&[u8]]) -> Result<Vec<String>, InvalidPrimary> {
        let mut scan = PrimaryScan::new(&[filename(wanted), filename("other-1-1.noarch.rpm")].into());
        for piece in pieces {
            scan.feed(piece)?;
        }
        Ok(scan.finish()?.values().flatten().map(Digest::hex).collect())
    }

    /// What the scan says of `text`, however it is cut. `{A}` and `{B}` stand for digests, `{sum}` for a whole `checksum` of
    /// A, `{x}` for a package that is not wanted.
    fn check_named(wanted: &str, text: &str, expected: Result<&[&str], ()>) {
        let text = text
            .replace("{x}", r#"<package type="rpm">{sum}<location href="x-1-1.noarch.rpm"/></package>"#)
            .replace("{sum}", r#"<checksum type="sha256" pkgid="YES">{A}</checksum>"#)
            .replace("{A}", A)
            .replace("{B}", B);
        let bytes = text.as_bytes();
        let single: Vec<_> = bytes.chunks(1).collect();
        let mut cuts = vec![vec![bytes], single];
        cuts.extend((0..=bytes.len()).map(|at| vec![&bytes[..at], b"", &bytes[at..]]));
        for pieces in cuts {
            let answer = scan(wanted, &pieces);
            match expected {
                Ok(expected) => assert_eq!(answer.as_deref().map_err(drop), Ok(&*strings(expected)), "{text}"),
                Err(()) => assert!(answer.is_err(), "{text}: {answer:?}"),
            }
        }
    }

    fn strings(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|text| (*text).to_owned()).collect()
    }

    fn check(packages: &str, expected: Result<&[&str], ()>) {
        check_named("tug-1-1.x86_64.rpm", &format!("{HEAD}\n{packages}\n</metadata>\n"), expected);
    }

    fn why(packages: &str) -> String {
        let text = format!("{HEAD}{packages}</metadata>").replace("{A}", A);
        scan("tug-1-1.x86_64.rpm", &[text.as_bytes()]).expect_err(packages).to_string()
    }

    #[test]
    fn a_listed_file_has_its_digest() {
        for packages in [
            r#"<package type="rpm">{sum}<location href="tug-1-1.x86_64.rpm"/></package>"#,
            r#"{x}<package type="rpm">{sum}<location href="Packages/t/tug-1-1.x86_64.rpm"/></package>{x}"#,
            // Attributes and elements in any order, any quotes, any space.
            "{x}<package type=\"rpm\"><location xml:base='media://1'\n href = 'Packages/tug-1-1.x86_64.rpm' ></location >\n<checksum\tpkgid='YES' type='sha256'>\n {A} \n</checksum></package >",
            "{x}<package\ntype=\"rpm\"><location href='a>b/tug-1-1.x86_64.rpm'/>{sum}</package>",
            // The same in other spellings.
            r#"{x}<package type="rpm">{sum}<location href="Packages&#47;tug&#x2d;1-1.x86_64.rpm"/></package>"#,
            r#"{x}<package type="rpm"><checksum type="sha256" pkgid="YES"><![CDATA[{A}]]></checksum><location href="tug-1-1.x86_64.rpm"/></package>"#,
            r#"{x}<package type="rpm"><!-- <location href="x"/> --><checksum type="sha&#50;56" pkgid="YES"><!-- 0 -->{A}<?x y?></checksum><location href="tug-1-1.x86_64.rpm"/></package>"#,
            // Elements of others, and deeper ones of the same name.
            r#"{x}<package type="rpm"><rpm:location href="x"/><rpm:checksum pkgid="YES">{B}</rpm:checksum><format><location href="x"/><checksum type="sha256" pkgid="YES">{B}</checksum></format>{sum}<location href="tug-1-1.x86_64.rpm"/></package>"#,
            // Other digests beside the package's own.
            r#"{x}<package type="rpm"><checksum type="sha">1</checksum>{sum}<checksum type="md5" pkgid="NO">2</checksum><location href="tug-1-1.x86_64.rpm"/></package>"#,
            // The words in a text.
            r#"{x}<package type="rpm"><description>&lt;/package&gt; &lt;location href="x"/&gt;</description>{sum}<location href="tug-1-1.x86_64.rpm"/></package>"#,
            // Twice the same.
            r#"<package type="rpm">{sum}<location href="a/tug-1-1.x86_64.rpm"/></package><package type="rpm">{sum}<location href="b/tug-1-1.x86_64.rpm"/></package>"#,
        ] {
            check(packages, Ok(&[A]));
        }
    }

    #[test]
    fn a_name_is_compared_whole_and_unchanged() {
        for name in ["tug-1:2.0~rc1^git+x-1.el9.x86_64.rpm", "tüg-1-1.noarch.rpm", "a>b&c-1-1.noarch.rpm"] {
            let escaped = name.replace('&', "&amp;");
            let package =
                format!(r#"{HEAD}{{x}}<package type="rpm">{{sum}}<location href="p/{escaped}"/></package></metadata>"#);
            check_named(name, &package, Ok(&[A]));
        }
        for href in [
            "xtug-1-1.x86_64.rpm",
            "tug-1-1.x86_64.rpm.asc",
            "tug-1-1.x86_64.rpm/x",
            "Tug-1-1.x86_64.rpm",
            "tug-1-1.x86_64.rpm?x",
            "",
        ] {
            check(&format!(r#"{{x}}<package type="rpm">{{sum}}<location href="{href}"/></package>"#), Ok(&[]));
        }
    }

    /// RFC 3986: 2.1 for `%` and its two digits, 2.2 and 3.3 for `+`, which a path's segment may hold as it is, 2.4 for
    /// decoding once and after the path was cut at its slashes.
    #[test]
    fn a_location_is_an_address_whose_last_segment_stands_for_the_name() {
        let listed = |href: &str, name: &str, expected: &[&str]| {
            let package =
                format!(r#"{HEAD}{{x}}<package type="rpm">{{sum}}<location href="{href}"/></package></metadata>"#);
            check_named(name, &package, Ok(expected));
        };
        for (href, name) in [
            ("tug-1%7Erc1-1.x86_64.rpm", "tug-1~rc1-1.x86_64.rpm"),
            ("p/tug-1%7erc1%5Egit%2B2-1.x86_64.rpm", "tug-1~rc1^git+2-1.x86_64.rpm"),
            ("tug-1+2-1.x86_64.rpm", "tug-1+2-1.x86_64.rpm"),
            ("%74%75%67-1-1.x86_64.rpm", "tug-1-1.x86_64.rpm"),
            ("t%C3%BCg-1-1.x86_64.rpm", "tüg-1-1.x86_64.rpm"),
            ("a%20b-1-1.x86_64.rpm", "a b-1-1.x86_64.rpm"),
            ("a%252Bb-1-1.x86_64.rpm", "a%2Bb-1-1.x86_64.rpm"),
            // The same for XML first, whose references are those of the text.
            ("tug-1&#37;7Erc1-1.x86_64.rpm", "tug-1~rc1-1.x86_64.rpm"),
            ("100%25&amp;-1-1.x86_64.rpm", "100%&-1-1.x86_64.rpm"),
            // What stands before the name may be anything.
            ("100%/%zz/tug-1-1.x86_64.rpm", "tug-1-1.x86_64.rpm"),
        ] {
            listed(href, name, &[A]);
        }
        for (href, name) in [
            // Not another name for the sake of looking alike.
            ("a%2Bb-1-1.x86_64.rpm", "a%2Bb-1-1.x86_64.rpm"),
            ("a+b-1-1.x86_64.rpm", "a b-1-1.x86_64.rpm"),
            // An encoded slash separates nothing, and what ends a text elsewhere does not end a name.
            ("p%2Ftug-1-1.x86_64.rpm", "tug-1-1.x86_64.rpm"),
            ("x/..%2ftug-1-1.x86_64.rpm", "tug-1-1.x86_64.rpm"),
            ("tug-1-1.x86_64.rpm%00", "tug-1-1.x86_64.rpm"),
            ("tug-1-1.x86_64.rpm%3Fx", "tug-1-1.x86_64.rpm"),
            // Not encoded as it should be.
            ("tug%-1-1.x86_64.rpm", "tug%-1-1.x86_64.rpm"),
            ("tug-1-1.x86_64.rpm%", "tug-1-1.x86_64.rpm%"),
            ("tug-1-1.x86_64.rpm%7", "tug-1-1.x86_64.rpm%7"),
            ("tug%+7-1-1.x86_64.rpm", "tug%+7-1-1.x86_64.rpm"),
            ("tug%%7E-1-1.x86_64.rpm", "tug%~-1-1.x86_64.rpm"),
            ("tug%FC-1-1.x86_64.rpm", "tüg-1-1.x86_64.rpm"),
        ] {
            listed(href, name, &[]);
        }
    }

    #[test]
    fn a_repository_may_be_empty() {
        check("", Ok(&[]));
        check("<!-- nothing -->", Ok(&[]));
        check_named("a-1-1.noarch.rpm", r#"<metadata xmlns="http://linux.duke.edu/metadata/common"/>"#, Ok(&[]));
    }

    #[test]
    fn a_file_that_is_listed_with_other_bytes_too_has_both_digests() {
        check(
            r#"<package type="rpm">{sum}<location href="a/tug-1-1.x86_64.rpm"/></package><package type="rpm"><checksum type="sha256" pkgid="YES">{B}</checksum><location href="b/tug-1-1.x86_64.rpm"/></package>"#,
            Ok(&[A, B]),
        );
    }

    #[test]
    fn text_that_a_package_brings_cannot_be_another_package() {
        let forged = r#"</package><package type="rpm"><checksum type="sha256" pkgid="YES">{B}</checksum><location href="tug-1-1.x86_64.rpm"/></package><package type="rpm"><location href="z-1-1.noarch.rpm"/>"#;
        for (before, after) in [("<![CDATA[", "]]>"), ("<!--", "-->"), ("<?x ", "?>")] {
            let package = format!(
                r#"<package type="rpm">{{sum}}<location href="y-1-1.noarch.rpm"/><description>{before}{forged}{after}</description></package>"#
            );
            check(&package, Err(()));
            check(&format!("{{x}}{package}"), Err(()));
            check(&format!("{{x}}{before}{forged}{after}"), Err(()));
        }
    }

    #[test]
    fn what_readers_could_understand_differently_is_refused() {
        for (packages, part) in [
            (
                r#"<package type="rpm">{sum}<location href="tug-1-1.x86_64.rpm"/><location href="x"/></package>"#,
                "two `location`",
            ),
            (r#"<package type="rpm">{sum}{sum}<location href="tug-1-1.x86_64.rpm"/></package>"#, "two `checksum`"),
            (
                r#"<package type="rpm">{sum}<location href="tug-1-1.x86_64.rpm" href="x"/></package>"#,
                "duplicated attribute",
            ),
            (
                r#"<package xmlns="x">{sum}<location href="tug-1-1.x86_64.rpm"/></package>"#,
                "`package` changes its namespace",
            ),
            (
                r#"<package type="rpm">{sum}<location xmlns="x" href="tug-1-1.x86_64.rpm"/></package>"#,
                "`location` changes",
            ),
            (
                r#"<package type="rpm">{sum}<location href="tug-1-1.x86_64.rpm"/></package><packages/>"#,
                "other elements than",
            ),
            (r#"<c:package>{sum}<location href="tug-1-1.x86_64.rpm"/></c:package>"#, "other elements than packages"),
            (r#"<package type="rpm"><location href="tug-1-1.x86_64.rpm&unknown;"/></package>"#, "unknown"),
            (
                r#"<package type="rpm"><name>&unknown;</name><location href="tug-1-1.x86_64.rpm"/></package>"#,
                "unknown entity",
            ),
            (r#"<package type="rpm"><name></package>"#, ""),
            (r#"</metadata><metadata><package type="rpm"></package>"#, ""),
        ] {
            let error = why(&packages.replace("{sum}", r#"<checksum type="sha256" pkgid="YES">{A}</checksum>"#));
            assert!(error.contains(part), "{packages}: {error}");
        }
        for (text, part) in [
            ("", "ends too early"),
            ("<html/>", "its root is not `metadata`"),
            ("<metadata/>", "with the default namespace"),
            (r#"<metadata xmlns="http://linux.duke.edu/metadata/repo"/>"#, "with the default namespace"),
            (r#"<c:metadata xmlns:c="http://linux.duke.edu/metadata/common"/>"#, "its root is not `metadata`"),
            ("<!DOCTYPE metadata [<!ENTITY x 'y'>]><metadata/>", "document type"),
            ("\u{feff}<html/>", "its root"),
        ] {
            let error = scan("tug-1-1.x86_64.rpm", &[text.as_bytes()]).expect_err(text).to_string();
            assert!(error.contains(part), "{text}: {error}");
        }
    }

    #[test]
    fn a_file_that_is_listed_without_a_sha256_is_an_error() {
        for (checksum, part) in [
            ("", "lists `tug-1-1.x86_64.rpm` without a SHA-256"),
            (r#"<checksum type="sha256">{A}</checksum>"#, "without a SHA-256"),
            (r#"<checksum type="sha256" pkgid="YES">abc</checksum>"#, "without a SHA-256"),
            (r#"<checksum type="sha" pkgid="YES">abc</checksum>"#, "with a sha digest; only sha256 is read"),
            (r#"<checksum type="sha512" pkgid="YES">{A}</checksum>"#, "with a sha512 digest"),
            (r#"<checksum pkgid="YES">{A}</checksum>"#, "with a  digest"),
        ] {
            let error =
                why(&format!(r#"<package type="rpm">{checksum}<location href="tug-1-1.x86_64.rpm"/></package>"#));
            assert!(error.contains(part), "{checksum}: {error}");
        }
        // Of a file that nobody asked for it does not matter.
        check(r#"<package type="rpm"><location href="x.rpm"/></package>"#, Ok(&[]));
    }

    #[test]
    fn a_file_that_ends_anywhere_is_an_error_and_not_a_short_one() {
        let package = format!(
            r#"<package type="rpm"><checksum type="sha256" pkgid="YES">{A}</checksum><location href="tug-1-1.x86_64.rpm"/></package>"#
        );
        let text = format!("{HEAD}{package}{package}</metadata>");
        for end in 0..text.len() {
            assert!(scan("tug-1-1.x86_64.rpm", &[&text.as_bytes()[..end]]).is_err(), "{}", &text[..end]);
        }
    }

    #[test]
    fn a_package_without_end_is_given_up() {
        let mut scan = PrimaryScan::new(&[filename("x.rpm")].into());
        scan.feed(HEAD.as_bytes()).expect("a start");
        let piece = vec![b'x'; 64 << 10];
        let fed = (0..1000).take_while(|_| scan.feed(&piece).is_ok()).count();
        assert_eq!(fed, (4 << 20) / (64 << 10) - 1, "four million bytes, with the start");
    }

    #[test]
    fn bytes_that_are_no_text_are_refused_where_they_matter() {
        let package = |name: &str| {
            let text = format!(
                r#"{HEAD}{{x}}<package type="rpm">{{n}}<checksum type="sha256" pkgid="YES">{A}</checksum><location href="{name}"/></package></metadata>"#
            );
            text.replace("{x}", "<package></package>").into_bytes()
        };
        let broken = |name: &str| {
            let bytes = package(name);
            let at = bytes.windows(3).position(|window| window == b"{n}").expect("the mark");
            [&bytes[..at], b"\xff", &bytes[at + 3..]].concat()
        };
        assert_eq!(scan("tug-1-1.x86_64.rpm", &[&broken("tug-1-1.x86_64.rpm")]), Err(InvalidPrimary::NotText));
        assert_eq!(scan("tug-1-1.x86_64.rpm", &[&broken("x-1-1.x86_64.rpm")]), Ok(Vec::new()));
    }
}
