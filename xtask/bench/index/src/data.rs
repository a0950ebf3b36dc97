//! `bench-index-data deb|rpm BYTES`: writes an index of about so many bytes, made as real ones are, to standard output.
//!
//! Field by field it has what Debian's and Fedora's indexes have, with digests that do not compress and text that does, so
//! that packed sizes and the work of unpacking are theirs. The same numbers give the same bytes.

use std::fmt::Write as _;
use std::io::{self, Write as _};

/// Numbers that look random (Steele, Lea and Flood's `SplitMix64`).
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    fn hex(&mut self, digits: usize) -> String {
        let mut text = String::new();
        while text.len() < digits {
            let _ = write!(text, "{:016x}", self.next());
        }
        text.truncate(digits);
        text
    }

    /// Some words of a language that has a few hundred, the first ones more frequent.
    fn words(&mut self, count: u64) -> String {
        const SYLLABLES: [&str; 20] = [
            "ar", "bo", "cen", "del", "eri", "fo", "gram", "har", "in", "jo", "kel", "lib", "mo", "net", "or", "pro",
            "qui", "ren", "ser", "ter",
        ];
        let mut text = String::new();
        for at in 0..count {
            let limit = 1 + self.below(400);
            let word = self.below(limit);
            let syllable = |n: u64| SYLLABLES[usize::try_from(n % 20).unwrap_or(0)];
            let space = if at == 0 { "" } else { " " };
            let _ = write!(text, "{space}{}{}", syllable(word), syllable(word / 20 + word));
        }
        text
    }
}

fn main() -> io::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (kind, bytes) = match arguments.as_slice() {
        [kind, bytes] if kind == "deb" || kind == "rpm" => (kind.as_str(), bytes.parse().map_err(io::Error::other)?),
        _ => return Err(io::Error::other("usage: bench-index-data deb|rpm BYTES")),
    };
    let mut out = io::BufWriter::new(io::stdout().lock());
    let mut numbers = Numbers(7);
    let mut written = 0_usize;
    if kind == "rpm" {
        out.write_all(b"<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<metadata xmlns=\"http://linux.duke.edu/metadata/common\" xmlns:rpm=\"http://linux.duke.edu/metadata/rpm\" packages=\"0\">\n")?;
    }
    for number in 0_u64.. {
        if written >= bytes {
            break;
        }
        let text = if kind == "deb" { stanza(number, &mut numbers) } else { package(number, &mut numbers) };
        out.write_all(text.as_bytes())?;
        written += text.len();
    }
    if kind == "rpm" {
        out.write_all(b"</metadata>\n")?;
    }
    out.flush()
}

/// A package of Debian's: 1.3 KB on average, as in bookworm's `main/binary-amd64`.
fn stanza(number: u64, numbers: &mut Numbers) -> String {
    let name = format!("{}-{number}", numbers.words(1));
    let version = format!("{}.{}.{}-{}", numbers.below(20), numbers.below(30), numbers.below(9), 1 + numbers.below(4));
    let depends: Vec<String> = (0..2 + numbers.below(12))
        .map(|_| format!("lib{} (>= {}.{})", numbers.words(1), numbers.below(9), numbers.below(40)))
        .collect();
    format!(
        "Package: {name}\nSource: {name}\nVersion: {version}\nInstalled-Size: {}\nMaintainer: {} <{}@example.org>\n\
         Architecture: amd64\nDepends: {}\nDescription: {}\nMulti-Arch: same\nHomepage: https://{name}.example.org/\n\
         Description-md5: {}\nTag: implemented-in::c, role::program, use::{}\nSection: {}\nPriority: optional\n\
         Filename: pool/jammy/main/{}/{name}/{name}_{version}_amd64.deb\nSize: {}\nMD5sum: {}\nSHA1: {}\nSHA256: {}\n\
         SHA512: {}\n\n",
        numbers.below(90_000),
        numbers.words(2),
        numbers.words(1),
        depends.join(", "),
        numbers.words(40),
        numbers.hex(32),
        numbers.words(1),
        numbers.words(1),
        &name[..1],
        numbers.below(9_000_000),
        numbers.hex(32),
        numbers.hex(40),
        numbers.hex(64),
        numbers.hex(128),
    )
}

/// A package of Fedora's: 3 KB on average, as in its `primary.xml`.
fn package(number: u64, numbers: &mut Numbers) -> String {
    let name = format!("{}-{number}", numbers.words(1));
    let (version, release) = (
        format!("{}.{}.{}", numbers.below(20), numbers.below(30), numbers.below(9)),
        format!("{}.el9", 1 + numbers.below(4)),
    );
    let entries = |numbers: &mut Numbers, count: u64| {
        let mut text = String::new();
        for _ in 0..count {
            let _ = writeln!(
                text,
                "      <rpm:entry name=\"lib{}.so.{}()(64bit)\" flags=\"GE\" epoch=\"0\" ver=\"{}.{}\" rel=\"{}\"/>",
                numbers.words(1),
                numbers.below(9),
                numbers.below(9),
                numbers.below(40),
                numbers.words(1),
            );
        }
        text
    };
    let count = 1 + numbers.below(9);
    let provides = entries(numbers, count);
    let count = 2 + numbers.below(20);
    let requires = entries(numbers, count);
    let mut files = String::new();
    for _ in 0..numbers.below(8) {
        let _ = writeln!(files, "    <file>/usr/bin/{}</file>", numbers.words(1));
    }
    format!(
        "<package type=\"rpm\">\n  <name>{name}</name>\n  <arch>x86_64</arch>\n  <version epoch=\"0\" ver=\"{version}\" \
         rel=\"{release}\"/>\n  <checksum type=\"sha256\" pkgid=\"YES\">{}</checksum>\n  <summary>{}</summary>\n  \
         <description>{}</description>\n  <packager>{}</packager>\n  <url>https://{name}.example.org/</url>\n  \
         <time file=\"17{:08}\" build=\"17{:08}\"/>\n  <size package=\"{}\" installed=\"{}\" archive=\"{}\"/>\n  \
         <location href=\"Packages/{}/{name}-{version}-{release}.x86_64.rpm\"/>\n  <format>\n    \
         <rpm:license>MIT</rpm:license>\n    <rpm:vendor>{}</rpm:vendor>\n    <rpm:group>Unspecified</rpm:group>\n    \
         <rpm:buildhost>{}.example.org</rpm:buildhost>\n    \
         <rpm:sourcerpm>{name}-{version}-{release}.src.rpm</rpm:sourcerpm>\n    <rpm:header-range start=\"4504\" \
         end=\"{}\"/>\n    <rpm:provides>\n{provides}    </rpm:provides>\n    <rpm:requires>\n{requires}    \
         </rpm:requires>\n{files}  </format>\n</package>\n",
        numbers.hex(64),
        numbers.words(8),
        numbers.words(60),
        numbers.words(2),
        numbers.below(100_000_000),
        numbers.below(100_000_000),
        numbers.below(9_000_000),
        numbers.below(90_000_000),
        numbers.below(90_000_000),
        &name[..1],
        numbers.words(1),
        numbers.words(1),
        numbers.below(90_000),
    )
}
