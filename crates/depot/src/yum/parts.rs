//! What the three lists of a YUM repository say about one package.
//!
//! `primary` is what a client needs to choose and fetch packages, `filelists` names every file, `other` has the
//! changelog (the format is described by `createrepo_c` and in the `librepo` sources; the names of the elements are
//! those that `dnf` reads). All of it follows from the package's bytes alone, so it is made once for each file.

use std::fmt::Write as _;
use std::io::Read;

use crate::package::Sums;
use crate::rpm::header::{Header, Headers, InvalidHeader, tag};
use crate::rpm::{InvalidRpm, Rpm, relations};

/// So many entries of a changelog are listed, newest first, as createrepo does by default.
const CHANGELOG_ENTRIES_MAX: usize = 10;
/// Of `rpmfileAttrs`: a file that is not in the package, only known to belong to it.
const GHOST: u64 = 1 << 6;
/// The bits of a file's mode that say what it is, and those of a folder.
const TYPE_BITS: u64 = 0o170_000;
const FOLDER: u64 = 0o040_000;

/// One package's part of each list.
pub(crate) struct Parts {
    pub(crate) primary: String,
    pub(crate) filelists: String,
    pub(crate) other: String,
}

/// Text between tags or in quotes. Letters that XML does not have at all are left out.
pub(crate) fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\t' | '\n' => safe.push(letter),
            '\u{fffe}' | '\u{ffff}' => {}
            letter if letter.is_control() => {}
            letter => safe.push(letter),
        }
    }
    safe
}

struct Listed {
    path: String,
    kind: &'static str,
}

fn files(header: &Header) -> Vec<Listed> {
    let folders = header.texts(tag::DIR_NAMES);
    let (indexes, modes, flags) =
        (header.numbers(tag::DIR_INDEXES), header.numbers(tag::FILE_MODES), header.numbers(tag::FILE_FLAGS));
    let listed = header.texts(tag::BASE_NAMES).iter().enumerate().filter_map(|(at, name)| {
        let folder = folders.get(usize::try_from(*indexes.get(at)?).ok()?)?;
        let kind = if flags.get(at).is_some_and(|flags| flags & GHOST != 0) {
            " type=\"ghost\""
        } else if modes.get(at).is_some_and(|mode| mode & TYPE_BITS == FOLDER) {
            " type=\"dir\""
        } else {
            ""
        };
        Some(Listed { path: format!("{folder}{name}"), kind })
    });
    listed.collect()
}

/// Files that other packages may ask for by path without reading the long list.
fn is_primary(path: &str) -> bool {
    path.starts_with("/etc/") || path.contains("bin/") || path == "/usr/lib/sendmail"
}

fn file_lines(listed: &[Listed], wanted: impl Fn(&str) -> bool) -> String {
    listed.iter().filter(|file| wanted(&file.path)).fold(String::new(), |mut text, file| {
        let _ = writeln!(text, "<file{}>{}</file>", file.kind, escaped(&file.path));
        text
    })
}

fn relation_lines(header: &Header, kind: &str) -> String {
    let mut lines = String::new();
    for relation in relations(header, kind) {
        let _ = write!(lines, "<rpm:entry name=\"{}\"", escaped(&relation.name));
        if let Some(compared) = relation.compared {
            let (epoch, version, release) = relation.parts();
            let _ = write!(lines, " flags=\"{compared}\" epoch=\"{}\" ver=\"{}\"", escaped(epoch), escaped(version));
            if let Some(release) = release {
                let _ = write!(lines, " rel=\"{}\"", escaped(release));
            }
        }
        lines.push_str(if relation.early && kind == "requires" { " pre=\"1\"/>\n" } else { "/>\n" });
    }
    if lines.is_empty() { lines } else { format!("<rpm:{kind}>\n{lines}</rpm:{kind}>\n") }
}

impl Parts {
    /// Reads the package once more: its list of files is too long to keep in memory.
    pub(crate) fn of_file(file: &mut impl Read, rpm: &Rpm, sums: &Sums) -> Result<Self, InvalidRpm> {
        let headers = Headers::read(file).map_err(|error: InvalidHeader| InvalidRpm::Header(error))?;
        let listed = files(&headers.header);
        let package = format!(
            "<package pkgid=\"{}\" name=\"{}\" arch=\"{}\">\n{}\n",
            sums.sha256,
            rpm.name,
            rpm.architecture,
            version(rpm)
        );
        Ok(Self {
            primary: primary(&headers, rpm, sums, &listed),
            filelists: format!("{package}{}</package>\n", file_lines(&listed, |_| true)),
            other: format!("{package}{}</package>\n", changelog(&headers.header)),
        })
    }
}

fn version(rpm: &Rpm) -> String {
    let epoch = rpm.epoch.unwrap_or_default();
    format!("<version epoch=\"{epoch}\" ver=\"{}\" rel=\"{}\"/>", rpm.version, rpm.release)
}

fn changelog(header: &Header) -> String {
    let (names, texts) = (header.texts(tag::CHANGELOG_NAME), header.texts(tag::CHANGELOG_TEXT));
    let times = header.numbers(tag::CHANGELOG_TIME);
    // The newest is first in a package, and last in the list.
    let newest = times.iter().zip(names).zip(texts).take(CHANGELOG_ENTRIES_MAX).collect::<Vec<_>>();
    newest.into_iter().rev().fold(String::new(), |mut lines, ((time, name), text)| {
        let (name, text) = (escaped(name), escaped(text));
        let _ = writeln!(lines, "<changelog author=\"{name}\" date=\"{time}\">{text}</changelog>");
        lines
    })
}

fn primary(headers: &Headers, rpm: &Rpm, sums: &Sums, listed: &[Listed]) -> String {
    let header = &headers.header;
    let text = |tag| escaped(header.text(tag).unwrap_or_default());
    let signed = &headers.signature;
    let archive =
        signed.number(tag::SIGNED_LONG_ARCHIVE_SIZE).or(signed.number(tag::SIGNED_PAYLOAD_SIZE)).unwrap_or_default();
    let installed = header.number(tag::LONG_SIZE).or(header.number(tag::SIZE)).unwrap_or_default();
    let built = header.number(tag::BUILD_TIME).unwrap_or_default();
    let mut xml = format!(
        "<package type=\"rpm\">\n<name>{}</name>\n<arch>{}</arch>\n{}\n\
         <checksum type=\"sha256\" pkgid=\"YES\">{}</checksum>\n",
        rpm.name,
        rpm.architecture,
        version(rpm),
        sums.sha256
    );
    let _ = write!(
        xml,
        "<summary>{}</summary>\n<description>{}</description>\n<packager>{}</packager>\n<url>{}</url>\n\
         <time file=\"{built}\" build=\"{built}\"/>\n\
         <size package=\"{}\" installed=\"{installed}\" archive=\"{archive}\"/>\n<location href=\"{}\"/>\n",
        text(tag::SUMMARY),
        text(tag::DESCRIPTION),
        text(tag::PACKAGER),
        text(tag::URL),
        sums.size,
        crate::query::path_part(&rpm.filename()),
    );
    let _ = write!(
        xml,
        "<format>\n<rpm:license>{}</rpm:license>\n<rpm:vendor>{}</rpm:vendor>\n<rpm:group>{}</rpm:group>\n\
         <rpm:buildhost>{}</rpm:buildhost>\n<rpm:sourcerpm>{}</rpm:sourcerpm>\n\
         <rpm:header-range start=\"{}\" end=\"{}\"/>\n",
        text(tag::LICENSE),
        text(tag::VENDOR),
        text(tag::GROUP),
        text(tag::BUILD_HOST),
        text(tag::SOURCE_RPM),
        headers.start,
        headers.end
    );
    for (kind, _) in &rpm.relations {
        xml.push_str(&relation_lines(header, kind));
    }
    xml.push_str(&file_lines(listed, is_primary));
    xml.push_str("</format>\n</package>\n");
    xml
}
