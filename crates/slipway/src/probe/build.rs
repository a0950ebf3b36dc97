//! The smallest packages that package servers take: a deb and an rpm with nothing in them.
//!
//! The same package always has the same bytes; its note makes them others.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;
use slipway_wire::Digest;

/// What a package is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Package<'a> {
    pub(crate) name: &'a str,
    /// Without a release.
    pub(crate) version: &'a str,
    /// In the words of the package's kind.
    pub(crate) architecture: &'a str,
    /// A part of its description.
    pub(crate) note: &'a str,
}

/// Its release, or Debian's revision.
const RELEASE: &str = "1";

impl Package<'_> {
    /// `name_version-1_architecture.deb`
    pub(crate) fn deb_filename(&self) -> String {
        format!("{}_{}-{RELEASE}_{}.deb", self.name, self.version, self.architecture)
    }

    /// `name-version-1.architecture.rpm`
    pub(crate) fn rpm_filename(&self) -> String {
        format!("{}-{}-{RELEASE}.{}.rpm", self.name, self.version, self.architecture)
    }

    /// A deb: an `ar` archive of its format, its control file and its contents (deb(5)).
    pub(crate) fn deb(&self) -> Vec<u8> {
        let Self { name, version, architecture, note } = self;
        let control = format!(
            "Package: {name}\nVersion: {version}-{RELEASE}\nArchitecture: {architecture}\n\
             Maintainer: Slipway <slipway@example.com>\nSection: misc\nPriority: optional\n\
             Description: asks a package server what it does\n {note}\n"
        );
        let mut bytes = b"!<arch>\n".to_vec();
        member(&mut bytes, "debian-binary", b"2.0\n");
        member(&mut bytes, "control.tar.gz", &gzip(&tar("./control", control.as_bytes())));
        // A tar of nothing is two empty blocks.
        member(&mut bytes, "data.tar.gz", &gzip(&[0; 1024]));
        bytes
    }

    /// An rpm of format 4: lead, signature header, header, contents.
    pub(crate) fn rpm(&self) -> Vec<u8> {
        self.rpm_from(Some(&format!("{}-{}-{RELEASE}.src.rpm", self.name, self.version)))
    }

    /// An rpm that was built from a source package; a source package is built from none.
    pub(crate) fn rpm_from(&self, source: Option<&str>) -> Vec<u8> {
        let Self { name, version, architecture, note } = self;
        let archive = cpio_end();
        let payload = gzip(&archive);
        let evr = format!("{version}-{RELEASE}");
        let mut tags = vec![
            Tag::texts(100, 8, &["C"]),
            Tag::text(1000, name),
            Tag::text(1001, version),
            Tag::text(1002, RELEASE),
            Tag::texts(1004, 9, &["asks a package server what it does"]),
            Tag::texts(1005, 9, &[note]),
            Tag::number(1006, 1_793_577_600),
            Tag::text(1007, "build.example.com"),
            Tag::number(1009, 0),
            Tag::text(1014, "MIT"),
            Tag::texts(1016, 9, &["Unspecified"]),
            Tag::text(1021, "linux"),
            Tag::text(1022, architecture),
        ];
        tags.extend(source.map(|source| Tag::text(1044, source)));
        tags.extend([
            Tag::texts(1047, 8, &[name]),
            // "=", RPMSENSE_EQUAL
            Tag::number(1112, 8),
            Tag::texts(1113, 8, &[&evr]),
            Tag::text(1124, "cpio"),
            Tag::text(1125, "gzip"),
            Tag::text(1126, "9"),
            Tag::texts(5092, 8, &[&Digest::of(&payload).hex()]),
            // SHA-256, PGPHASHALGO_SHA256
            Tag::number(5093, 8),
        ]);
        let header = header(63, &tags);
        let size = u32::try_from(header.len() + payload.len()).unwrap_or(u32::MAX);
        let archive_size = u32::try_from(archive.len()).unwrap_or(u32::MAX);
        let mut signature = self::header(
            62,
            &[Tag::text(273, &Digest::of(&header).hex()), Tag::number(1000, size), Tag::number(1007, archive_size)],
        );
        signature.resize(signature.len().next_multiple_of(8), 0);
        let mut bytes = lead(&format!("{name}-{evr}"), source.is_none());
        bytes.extend([signature, header, payload].concat());
        bytes
    }
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    // Writing to memory cannot fail.
    let _ = encoder.write_all(bytes);
    encoder.finish().unwrap_or_default()
}

/// A member of an `ar` archive, at an even place.
fn member(archive: &mut Vec<u8>, name: &str, bytes: &[u8]) {
    let head = format!("{name:<16}{:<12}{:<6}{:<6}{:<8}{:<10}`\n", 0, 0, 0, 100_644, bytes.len());
    archive.extend_from_slice(head.as_bytes());
    archive.extend_from_slice(bytes);
    if bytes.len() % 2 == 1 {
        archive.push(b'\n');
    }
}

/// A tar archive of one file (ustar).
fn tar(name: &str, bytes: &[u8]) -> Vec<u8> {
    let mut head = String::new();
    let mut field = |text: &str, length: usize| {
        head.push_str(text);
        head.extend(std::iter::repeat_n('\0', length.saturating_sub(text.len())));
    };
    field(name, 100);
    field("0000644", 8);
    field("0000000", 8);
    field("0000000", 8);
    field(&format!("{:011o}", bytes.len()), 12);
    field("00000000000", 12);
    // While it is summed up, the sum is spaces.
    field("        ", 8);
    field("0", 1);
    field("", 100);
    field("ustar", 6);
    field("00", 2);
    field("root", 32);
    field("root", 32);
    field("", 183);
    let sum: u32 = head.bytes().map(u32::from).sum();
    head.replace_range(148..156, &format!("{sum:06o}\0 "));
    let mut archive = head.into_bytes();
    archive.extend_from_slice(bytes);
    // The file fills whole blocks of 512 bytes, and two empty ones end the archive.
    archive.resize(archive.len().next_multiple_of(512) + 1024, 0);
    archive
}

/// The end of a cpio archive, which is all of an empty one.
fn cpio_end() -> Vec<u8> {
    let name = "TRAILER!!!\0";
    // One link, and the length of the name; the other fields are nothing.
    let field = |place: u32| match place {
        4 => format!("{:08x}", 1),
        11 => format!("{:08x}", name.len()),
        _ => "0".repeat(8),
    };
    let mut bytes = format!("070701{}{name}", (0..13).map(field).collect::<String>()).into_bytes();
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

/// What an rpm begins with. Long superseded, but it must be there.
fn lead(name: &str, is_source: bool) -> Vec<u8> {
    let mut bytes = vec![0xed, 0xab, 0xee, 0xdb, 3, 0, 0, u8::from(is_source), 0, 1];
    bytes.extend(name.bytes().take(65));
    bytes.resize(76, 0);
    // Linux; a signature header follows.
    bytes.extend([0, 1, 0, 5]);
    bytes.resize(96, 0);
    bytes
}

/// A tag of an rpm's header: number, type, how many values, and the values.
struct Tag(u32, u32, u32, Vec<u8>);

impl Tag {
    fn text(tag: u32, text: &str) -> Self {
        Self::texts(tag, 6, &[text])
    }

    fn texts(tag: u32, kind: u32, texts: &[&str]) -> Self {
        let bytes = texts.iter().flat_map(|text| text.bytes().chain([0])).collect();
        Self(tag, kind, u32::try_from(texts.len()).unwrap_or(u32::MAX), bytes)
    }

    fn number(tag: u32, number: u32) -> Self {
        Self(tag, NUMBER, 1, number.to_be_bytes().to_vec())
    }
}

/// `RPM_INT32_TYPE`, whose values stand at multiples of 4.
const NUMBER: u32 = 4;

/// A header whose `region` holds all of its tags, as rpm itself writes it.
fn header(region: u32, tags: &[Tag]) -> Vec<u8> {
    let (mut index, mut values) = (Vec::new(), Vec::new());
    let mut entry = |tag: u32, kind: u32, at: usize, count: u32| {
        index.extend([tag, kind, u32::try_from(at).unwrap_or(u32::MAX), count].into_iter().flat_map(u32::to_be_bytes));
    };
    let places: Vec<usize> = tags
        .iter()
        .map(|Tag(_, kind, _, bytes)| {
            if *kind == NUMBER {
                values.resize(values.len().next_multiple_of(4), 0);
            }
            values.extend_from_slice(bytes);
            values.len() - bytes.len()
        })
        .collect();
    // The region's own value is an entry that points back over the whole index.
    entry(region, 7, values.len(), 16);
    for (Tag(tag, kind, count, _), place) in tags.iter().zip(places) {
        entry(*tag, *kind, place, *count);
    }
    let entries = u32::try_from(tags.len() + 1).unwrap_or(u32::MAX);
    let back = (entries * 16).wrapping_neg();
    values.extend([region, 7, back, 16].into_iter().flat_map(u32::to_be_bytes));
    let mut bytes = vec![0x8e, 0xad, 0xe8, 1, 0, 0, 0, 0];
    bytes.extend(entries.to_be_bytes());
    bytes.extend(u32::try_from(values.len()).unwrap_or(u32::MAX).to_be_bytes());
    bytes.extend(index);
    bytes.extend(values);
    bytes
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    const PACKAGE: Package<'_> =
        Package { name: "slipway-probe", version: "0.0.1", architecture: "amd64", note: "Nothing is in it." };

    /// What a program says of a file with these bytes. `None`, and a line that says so, where the program is missing.
    fn said(program: &str, arguments: &[&str], name: &str, bytes: &[u8]) -> Option<String> {
        let file = std::env::temp_dir().join(format!("slipway-build-{}-{name}", std::process::id()));
        std::fs::write(&file, bytes).expect("the temporary folder can be written");
        let answer = Command::new(program).args(arguments).arg(&file).output();
        std::fs::remove_file(&file).expect("it was made above");
        let Ok(answer) = answer else {
            eprintln!("SKIPPED: this test needs `{program}`, which is not installed");
            return None;
        };
        assert!(answer.status.success(), "{program}: {}", String::from_utf8_lossy(&answer.stderr));
        Some(String::from_utf8_lossy(&answer.stdout).into_owned())
    }

    #[test]
    fn dpkg_reads_the_deb() {
        let bytes = PACKAGE.deb();
        assert!(bytes.len() < 1200, "{} bytes", bytes.len());
        let show = ["--show", "--showformat=${Package} ${Version} ${Architecture}"];
        if let Some(text) = said("dpkg-deb", &show, &PACKAGE.deb_filename(), &bytes) {
            assert_eq!(text, "slipway-probe 0.0.1-1 amd64");
        }
    }

    #[test]
    fn rpm_reads_the_rpm_and_finds_its_digests_right() {
        let package = Package { architecture: "x86_64", ..PACKAGE };
        let bytes = package.rpm();
        assert!(bytes.len() < 2000, "{} bytes", bytes.len());
        let format = ["-qp", "--qf", "%{NAME} %{VERSION} %{RELEASE} %{ARCH} %{SOURCERPM}"];
        if let Some(text) = said("rpm", &format, "query.rpm", &bytes) {
            assert_eq!(text, "slipway-probe 0.0.1 1 x86_64 slipway-probe-0.0.1-1.src.rpm");
        }
        if let Some(text) = said("rpm", &["-K", "--nosignature"], "check.rpm", &bytes) {
            assert!(text.trim_end().ends_with("digests OK"), "{text}");
        }
    }

    #[test]
    fn a_note_makes_other_bytes_and_nothing_else_does() {
        let other = Package { note: "Other.", ..PACKAGE };
        assert_eq!((PACKAGE.deb(), PACKAGE.rpm()), (PACKAGE.deb(), PACKAGE.rpm()));
        assert!(PACKAGE.deb() != other.deb() && PACKAGE.rpm() != other.rpm());
    }
}
