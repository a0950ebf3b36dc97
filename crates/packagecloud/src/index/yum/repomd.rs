//! `repomd.xml`: which files a YUM repository has, and the SHA-256 of each
//! (<https://createrepo.baseurl.org>, `repomd.rng` of its sources).

use slipway_wire::Digest;

use super::xml::{InvalidXml, Node, attribute, check_namespace, check_root, walk};
use crate::index::reader::File;
use crate::index::unpack::Compression;

/// The namespace of the file's own elements.
const NAMESPACE: &str = "http://linux.duke.edu/metadata/repo";

/// What `repomd.xml` says of the `primary` file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Repomd {
    /// Its path below the repository's folder: `repodata/…-primary.xml.gz`.
    pub path: String,
    /// How it is packed, as its name says.
    pub compression: Compression,
    /// The file as served.
    pub packed: File,
    /// What it unpacks to.
    pub open: Option<File>,
}

/// Text that is not a `repomd.xml` that can be followed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidRepomd {
    /// It is not text.
    #[error("repomd.xml is not UTF-8 text")]
    NotText,
    /// It is not XML, or not this kind.
    #[error("repomd.xml cannot be read: {0}")]
    Xml(#[from] InvalidXml),
    /// It ends too early.
    #[error("repomd.xml ends too early")]
    CutShort,
    /// It says something about the `primary` file twice, or of two of them.
    #[error("repomd.xml gives two values for `{0}` of the primary file")]
    Twice(String),
    /// It does not say something that is needed.
    #[error("repomd.xml has no {0} of the primary file")]
    Missing(&'static str),
    /// It has another digest than SHA-256.
    #[error("repomd.xml gives a {0} digest of the primary file; only sha256 is read")]
    DigestType(String),
    /// A digest or size is none.
    #[error("repomd.xml has a `{0}` of the primary file that is no number or digest: `{1}`")]
    Value(&'static str, String),
    /// The file is to be read from somewhere else than this repository.
    #[error("repomd.xml has the primary file at `{0}`, which is not a plain path below the repository")]
    Location(String),
    /// The file is packed in a way that is not read.
    #[error("repomd.xml has the primary file as `{0}`; gzip, xz, zstd and plain XML are read")]
    Compression(String),
}

/// The raw parts of the `primary` file's entry.
#[derive(Default)]
struct Entry {
    checksum: Option<(String, String)>,
    open_checksum: Option<(String, String)>,
    size: Option<String>,
    open_size: Option<String>,
    location: Option<String>,
}

impl Repomd {
    /// Reads a `repomd.xml`.
    pub fn parse(bytes: &[u8]) -> Result<Self, InvalidRepomd> {
        let text = std::str::from_utf8(bytes).map_err(|_| InvalidRepomd::NotText)?;
        let mut entry: Option<Entry> = None;
        let mut twice = None;
        let mut inside = false;
        let mut roots = 0_usize;
        // The element whose text is being read, the type of its digest, and the text.
        let mut current: Option<(String, String, String)> = None;
        let depth = walk(text, 0, &mut |node| {
            match node {
                Node::Open(0, element) => {
                    roots = roots.saturating_add(1);
                    check_root(element, "repomd", NAMESPACE)?;
                }
                Node::Open(1, element) if element.name().into_inner() == "data" => {
                    check_namespace(element)?;
                    inside = attribute(element, "type")?.as_deref() == Some("primary");
                    if inside && entry.replace(Entry::default()).is_some() {
                        twice = Some("data".to_owned());
                    }
                }
                Node::Open(2, element) if inside => {
                    check_namespace(element)?;
                    let name = element.name().into_inner();
                    if name == "location" {
                        if attribute(element, "xml:base")?.is_some() {
                            return Err(InvalidXml("the primary file's location has another base".to_owned()));
                        }
                        let href = attribute(element, "href")?.unwrap_or_default();
                        if entry.as_mut().and_then(|entry| entry.location.replace(href)).is_some() {
                            twice = Some(name.to_owned());
                        }
                    }
                    current = Some((name.to_owned(), attribute(element, "type")?.unwrap_or_default(), String::new()));
                }
                Node::Text(piece) => {
                    if let Some((_, _, text)) = &mut current {
                        text.push_str(piece);
                    }
                }
                Node::Close(2, _) => {
                    if let (Some((name, kind, text)), Some(entry)) = (current.take(), &mut entry) {
                        let text = text.trim().to_owned();
                        let before = match name.as_str() {
                            "checksum" => entry.checksum.replace((kind, text)).is_some(),
                            "open-checksum" => entry.open_checksum.replace((kind, text)).is_some(),
                            "size" => entry.size.replace(text).is_some(),
                            "open-size" => entry.open_size.replace(text).is_some(),
                            _ => false,
                        };
                        if before {
                            twice = Some(name);
                        }
                    }
                }
                Node::Close(1, _) => inside = false,
                Node::Open(..) | Node::Close(..) => {}
            }
            Ok(())
        })?;
        if depth != 0 || roots != 1 {
            return Err(InvalidRepomd::CutShort);
        }
        if let Some(name) = twice {
            return Err(InvalidRepomd::Twice(name));
        }
        entry.ok_or(InvalidRepomd::Missing("entry"))?.read()
    }
}

impl Entry {
    fn read(self) -> Result<Repomd, InvalidRepomd> {
        let path = self.location.ok_or(InvalidRepomd::Missing("location"))?;
        if !is_plain_path(&path) {
            return Err(InvalidRepomd::Location(path.chars().take(120).collect()));
        }
        let name = path.rsplit('/').next().unwrap_or_default();
        let compression = Compression::of(name).ok_or_else(|| InvalidRepomd::Compression(name.to_owned()))?;
        let digest = digest("checksum", self.checksum)?.ok_or(InvalidRepomd::Missing("checksum"))?;
        let packed = File { digest, size: size("size", self.size)? };
        let open_size = size("open-size", self.open_size)?;
        let open = digest_of_text(self.open_checksum)?.map(|digest| File { digest, size: open_size });
        Ok(Repomd { path, compression, packed, open })
    }
}

fn digest_of_text(given: Option<(String, String)>) -> Result<Option<Digest>, InvalidRepomd> {
    digest("open-checksum", given)
}

fn digest(name: &'static str, given: Option<(String, String)>) -> Result<Option<Digest>, InvalidRepomd> {
    let Some((kind, hex)) = given else { return Ok(None) };
    if kind != "sha256" {
        return Err(InvalidRepomd::DigestType(kind.chars().take(40).collect()));
    }
    hex.parse().map(Some).map_err(|_| InvalidRepomd::Value(name, hex.chars().take(80).collect()))
}

fn size(name: &'static str, given: Option<String>) -> Result<Option<u64>, InvalidRepomd> {
    let Some(text) = given else { return Ok(None) };
    let plain = text.bytes().all(|b| b.is_ascii_digit());
    let size = text.parse().ok().filter(|_| plain);
    size.map(Some).ok_or_else(|| InvalidRepomd::Value(name, text.chars().take(80).collect()))
}

/// Whether a path leads from the repository's folder to a file below it, whoever takes it apart.
fn is_plain_path(path: &str) -> bool {
    path.len() <= 500
        && path.split('/').all(|part| {
            !matches!(part, "" | "." | "..") && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"._~+-".contains(&b))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    const REAL: &str = include_str!("../../../fixtures/yum/repomd.xml");

    fn hex(digit: &str) -> String {
        digit.repeat(64)
    }

    /// A `repomd.xml` with these parts in the entry of its primary file.
    fn parse(parts: &str) -> Result<Repomd, InvalidRepomd> {
        let parts = parts.replace("{A}", &hex("a")).replace("{B}", &hex("b"));
        let text = format!(r#"<repomd xmlns="{NAMESPACE}"><data type="primary">{parts}</data></repomd>"#);
        Repomd::parse(text.as_bytes())
    }

    const SUM: &str = r#"<checksum type="sha256">{A}</checksum>"#;
    const PLACE: &str = r#"<location href="repodata/primary.xml.gz"/>"#;

    #[test]
    fn the_primary_file_of_a_real_repository_is_found() {
        let repomd = Repomd::parse(REAL.as_bytes()).expect("a repomd.xml");
        let digest = "968646295d45688dbd254e96f3fe7c1b5f5771dc14d206eee918ab1f579a09de";
        assert_eq!(repomd.path, format!("repodata/{digest}-primary.xml.gz"));
        assert_eq!(repomd.compression, Compression::Gzip);
        assert_eq!((repomd.packed.digest.hex().as_str(), repomd.packed.size), (digest, Some(748)));
        let open = repomd.open.expect("an open digest");
        assert_eq!(open.digest.hex(), "243128b0a2acf1b12be60fc0263913213c3036750a51422b231265077360136f");
        assert_eq!(open.size, Some(2289));
    }

    #[test]
    fn sizes_and_the_open_digest_may_be_absent() {
        let repomd = parse(&format!("{SUM}{PLACE}")).expect("enough");
        assert_eq!((repomd.packed.size, repomd.open), (None, None));
        let spelled = "<!-- x --><location href='repodata/primary.xml&#46;zst' /><checksum type='sha256'> <![CDATA[{A}]]>\n</checksum><size> 7\n</size><x:size>8</x:size>";
        let repomd = parse(spelled).expect("other spellings");
        assert_eq!((repomd.packed.size, repomd.compression), (Some(7), Compression::Zstd));
    }

    #[test]
    fn the_primary_file_stays_below_its_repository() {
        for href in [
            "https://evil.test/primary.xml.gz",
            "//evil.test/primary.xml.gz",
            "/primary.xml.gz",
            "../primary.xml.gz",
            "repodata/../../primary.xml.gz",
            "repodata/./primary.xml.gz",
            "repodata//primary.xml.gz",
            "repodata/%2e%2e/primary.xml.gz",
            "repodata%2Fprimary.xml.gz",
            "repodata\\primary.xml.gz",
            "repodata/primary.xml.gz?x",
            "repodata/primary.xml.gz#x",
            "repodata/a b.xml.gz",
            "repodata/ünder.xml.gz",
            "x@evil.test/primary.xml.gz",
            "",
        ] {
            let answer = parse(&format!(r#"{SUM}<location href="{href}"/>"#));
            assert!(matches!(answer, Err(InvalidRepomd::Location(_))), "{href}: {answer:?}");
        }
        let based = parse(&format!(r#"{SUM}<location xml:base="https://evil.test" href="repodata/primary.xml.gz"/>"#));
        assert!(based.expect_err("another base").to_string().contains("another base"));
    }

    #[test]
    fn what_cannot_be_followed_is_refused_in_words() {
        for (parts, part) in [
            (String::new(), "no location"),
            (SUM.to_owned(), "no location"),
            (PLACE.to_owned(), "no checksum"),
            (format!(r#"{PLACE}<checksum type="sha">abc</checksum>"#), "a sha digest of the primary file; only sha256"),
            (format!(r#"{PLACE}<checksum type="sha512">{}</checksum>"#, hex("a")), "a sha512 digest"),
            (format!("{PLACE}<checksum>{}</checksum>", hex("a")), "a  digest"),
            (format!(r#"{PLACE}<checksum type="sha256">abc</checksum>"#), "`checksum` of the primary file that is no"),
            (format!(r#"{PLACE}{SUM}<open-checksum type="md5">1</open-checksum>"#), "a md5 digest"),
            (format!("{PLACE}{SUM}{SUM}"), "two values for `checksum`"),
            (format!("{PLACE}{PLACE}{SUM}"), "two values for `location`"),
            (format!("{PLACE}{SUM}<size>1</size><size>1</size>"), "two values for `size`"),
            (format!("{PLACE}{SUM}<size>-1</size>"), "`size` of the primary file that is no number"),
            (format!("{PLACE}{SUM}<size></size>"), "`size`"),
            (format!("{PLACE}{SUM}<open-size>1e9</open-size>"), "`open-size`"),
            (format!(r#"{SUM}<location href="repodata/primary.xml.bz2"/>"#), "gzip, xz, zstd and plain XML"),
            (format!(r#"{SUM}<location href="repodata/primary.sqlite"/>"#), "gzip, xz, zstd and plain XML"),
            (format!(r#"{PLACE}{SUM}</data><data type="primary">{PLACE}{SUM}"#), "two values for `data`"),
            (format!(r#"{PLACE}<checksum xmlns="x" type="sha256">{}</checksum>"#, hex("a")), "changes its namespace"),
        ] {
            let error = parse(&parts).expect_err(&parts).to_string();
            assert!(error.contains(part), "{parts}: {error}");
        }
    }

    #[test]
    fn other_text_is_no_repomd() {
        for text in [
            "",
            "<html/>",
            "<repomd/>",
            "<repomd xmlns='http://linux.duke.edu/metadata/common'/>",
            "<repomd xmlns='http://linux.duke.edu/metadata/repo'/>",
            "<repomd xmlns='http://linux.duke.edu/metadata/repo'></repomd><repomd xmlns='http://linux.duke.edu/metadata/repo'/>",
            "<!DOCTYPE repomd [<!ENTITY x SYSTEM 'file:///etc/passwd'>]><repomd/>",
        ] {
            assert!(Repomd::parse(text.as_bytes()).is_err(), "{text}");
        }
        assert_eq!(Repomd::parse(b"\xff"), Err(InvalidRepomd::NotText));
        for end in 0..REAL.trim_end().len() {
            assert!(Repomd::parse(&REAL.as_bytes()[..end]).is_err(), "{}", &REAL[..end]);
        }
    }
}
