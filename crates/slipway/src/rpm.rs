//! The name that every package server gives an rpm, read from its own header.
//!
//! An rpm is a lead of 96 bytes, a signature header, the header, and the compressed contents
//! (<https://rpm-software-management.github.io/rpm/manual/format_v4.html>). A header is an index of 16 bytes a tag, then the
//! tags' values. Only the index and four short values are read, each from where it is: a file of any size costs the same,
//! and no length that a file gives of itself takes memory.
//!
//! Absent on purpose: whether the contents are whole, and who signed them. That is the installing machine's to check.

const LEAD_MAGIC: [u8; 4] = [0xed, 0xab, 0xee, 0xdb];
const LEAD_BYTES: u64 = 96;
const HEADER_MAGIC: [u8; 4] = [0x8e, 0xad, 0xe8, 0x01];
/// What a header begins with: magic, four bytes for later, the number of tags, the bytes of their values.
const INTRO_BYTES: u32 = 16;
/// Of one tag in the index: its number, its type, where its value is, how many values.
const ENTRY_BYTES: u32 = 16;
/// rpm itself refuses more tags (`hdrchkTags`), and larger headers (`hdrchkData`).
const ENTRIES_MAX: u32 = 0xffff;
const VALUES_BYTES_MAX: u32 = 0x0fff_ffff;
/// A part of a name is shorter; a file's name has at most 255 bytes.
const TEXT_BYTES_MAX: u32 = 256;
/// The type of a text (`RPM_STRING_TYPE`).
const TEXT: u32 = 6;

/// Tags (`rpmtag.h`).
const NAME: u32 = 1000;
const VERSION: u32 = 1001;
const RELEASE: u32 = 1002;
const ARCHITECTURE: u32 = 1022;
/// Packages that were built name the source package that they were built from; source packages have no such tag, and that
/// is how rpm tells them apart (`headerIsSource`).
const SOURCE_RPM: u32 = 1044;

/// Why an rpm cannot be named.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NoName {
    #[error("it cannot be read: {0}")]
    Unread(String),
    #[error("it is not an rpm: {0}")]
    Form(&'static str),
    #[error("it is a source package: only packages that were built are released; stage the rpm that was built from it")]
    Source,
}

/// `name-version-release.architecture.rpm`, from the file that `read` reads: at most so many bytes from an offset on, fewer
/// where the file ends before.
pub(crate) async fn filename(read: impl AsyncFn(u64, u32) -> Result<Vec<u8>, String>) -> Result<String, NoName> {
    let exactly = async |offset: u64, length: u32| {
        let bytes = read(offset, length).await.map_err(NoName::Unread)?;
        let whole = u32::try_from(bytes.len()) == Ok(length);
        if whole { Ok(bytes) } else { Err(NoName::Form("it ends within its header")) }
    };
    if !exactly(0, 4).await?.starts_with(&LEAD_MAGIC) {
        return Err(NoName::Form("it does not begin like one"));
    }
    let (entries, values) = intro(&exactly(LEAD_BYTES, INTRO_BYTES).await?)?;
    // The signature is filled up to a multiple of 8, and the lead already is one.
    let signature = length(entries, values).next_multiple_of(8);
    let start = LEAD_BYTES + signature;
    let (entries, values) = intro(&exactly(start, INTRO_BYTES).await?)?;
    let index = exactly(start + u64::from(INTRO_BYTES), entries * ENTRY_BYTES).await?;
    let store = start + u64::from(INTRO_BYTES) + u64::from(entries * ENTRY_BYTES);

    let text = async |tag: u32, missing: &'static str| {
        let entry = index.chunks_exact(16).find(|entry| number(entry, 0) == Some(tag)).ok_or(NoName::Form(missing))?;
        let offset = number(entry, 8).filter(|offset| *offset < values && number(entry, 4) == Some(TEXT));
        let offset = offset.ok_or(NoName::Form("a value is outside of its header"))?;
        let bytes = exactly(store + u64::from(offset), TEXT_BYTES_MAX.min(values - offset)).await?;
        let text = bytes.split(|byte| *byte == 0).next().filter(|text| text.len() < bytes.len());
        let text = text.and_then(|text| std::str::from_utf8(text).ok()).filter(|text| is_part(text));
        text.map(str::to_owned).ok_or(NoName::Form("a part of its name cannot be part of a file's name"))
    };
    if !index.chunks_exact(16).any(|entry| number(entry, 0) == Some(SOURCE_RPM)) {
        return Err(NoName::Source);
    }
    let name = text(NAME, "it has no name").await?;
    let version = text(VERSION, "it has no version").await?;
    let release = text(RELEASE, "it has no release").await?;
    let architecture = text(ARCHITECTURE, "it has no architecture").await?;
    Ok(format!("{name}-{version}-{release}.{architecture}.rpm"))
}

/// How many tags a header has, and how many bytes their values.
fn intro(bytes: &[u8]) -> Result<(u32, u32), NoName> {
    if !bytes.starts_with(&HEADER_MAGIC) {
        return Err(NoName::Form("a header does not begin like one"));
    }
    match (number(bytes, 8), number(bytes, 12)) {
        (Some(entries), Some(values)) if entries <= ENTRIES_MAX && values <= VALUES_BYTES_MAX => Ok((entries, values)),
        _ => Err(NoName::Form("a header is too large")),
    }
}

/// The bytes of a whole header.
fn length(entries: u32, values: u32) -> u64 {
    u64::from(INTRO_BYTES) + u64::from(entries) * u64::from(ENTRY_BYTES) + u64::from(values)
}

fn number(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

/// What rpm allows in a name, a version or a release, and what cannot climb out of a folder.
fn is_part(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._+~^-".contains(&byte))
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use super::*;
    use crate::probe::build::Package;

    const PACKAGE: Package<'_> =
        Package { name: "harbour-tug", version: "1.2.0~rc1+git", architecture: "x86_64", note: "A tug." };

    fn named(bytes: &[u8]) -> Result<String, NoName> {
        let read = async |offset: u64, length: u32| {
            assert!(length <= ENTRIES_MAX * ENTRY_BYTES, "{length} bytes at once");
            let from = usize::try_from(offset).unwrap_or(usize::MAX).min(bytes.len());
            Ok(bytes[from..].iter().copied().take(length as usize).collect())
        };
        match pin!(filename(read)).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(named) => named,
            Poll::Pending => panic!("reading memory waits for nothing"),
        }
    }

    /// Where the header begins, behind the signature.
    fn header_at(bytes: &[u8]) -> usize {
        let magic = |place: &usize| bytes[*place..].starts_with(&HEADER_MAGIC);
        (96..bytes.len() - 4).filter(magic).nth(1).expect("a second header")
    }

    /// Where the index has an entry for a tag.
    fn entry_at(bytes: &[u8], tag: u32) -> usize {
        let index = header_at(bytes) + 16;
        (0..40).map(|entry| index + entry * 16).find(|at| number(bytes, *at) == Some(tag)).expect("the tag's entry")
    }

    #[test]
    fn an_rpm_is_called_what_its_header_says() {
        assert_eq!(named(&PACKAGE.rpm()).as_deref(), Ok("harbour-tug-1.2.0~rc1+git-1.x86_64.rpm"));
        let noarch = Package { architecture: "noarch", ..PACKAGE };
        assert_eq!(named(&noarch.rpm()), Ok(noarch.rpm_filename()));
    }

    #[test]
    fn a_real_rpm_is_called_what_rpmbuild_calls_it() {
        let folder = std::env::temp_dir().join(format!("slipway-rpm-name-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("the temporary folder can be written");
        let spec = folder.join("tug.spec");
        let text =
            "Name: tug\nVersion: 3.1.0\nRelease: 2.el9\nEpoch: 4\nSummary: s\nLicense: MIT\n%description\nd\n%files\n";
        std::fs::write(&spec, text).expect("a spec");
        let built = std::process::Command::new("rpmbuild")
            .args(["-ba", "--quiet", "--target", "aarch64", "--define", &format!("_topdir {}", folder.display())])
            .arg(&spec)
            .output();
        match built {
            Err(_) => eprintln!("SKIPPED: this test needs `rpmbuild`, which is not installed"),
            Ok(built) => {
                assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
                let name = "tug-3.1.0-2.el9.aarch64.rpm";
                let rpm = std::fs::read(folder.join("RPMS/aarch64").join(name)).expect("the rpm");
                assert_eq!(named(&rpm).as_deref(), Ok(name));
                let source = std::fs::read(folder.join("SRPMS/tug-3.1.0-2.el9.src.rpm")).expect("the source rpm");
                assert_eq!(named(&source), Err(NoName::Source));
            }
        }
        std::fs::remove_dir_all(&folder).expect("it was made above");
    }

    #[test]
    fn a_source_package_is_refused() {
        assert_eq!(named(&PACKAGE.rpm_from(None)), Err(NoName::Source));
    }

    #[test]
    fn a_file_that_ends_anywhere_is_no_rpm() {
        let bytes = PACKAGE.rpm();
        let whole = entry_at(&bytes, 5093) + 16;
        for end in 0..whole {
            assert!(matches!(named(&bytes[..end]), Err(NoName::Form(_))), "{end} bytes");
        }
    }

    #[test]
    fn a_hostile_header_is_refused() {
        let bytes = PACKAGE.rpm();
        let header = header_at(&bytes);
        let name = entry_at(&bytes, NAME);
        let store = header + 16 + 16 * number(&bytes, header + 8).expect("a number") as usize;
        let name_value = store + number(&bytes, name + 8).expect("a number") as usize;
        let huge = u32::MAX.to_be_bytes();
        for (what, at, change) in [
            ("no magic", 0, &b"!<ar"[..]),
            ("no signature", 96, b"none"),
            ("a signature without end", 96 + 12, &huge),
            ("no header", header, b"none"),
            ("more tags than there can be", header + 8, &huge),
            ("a header without end", header + 12, &huge),
            ("a name that is not there", name, &1u32.to_be_bytes()),
            ("a name that is a number", name + 4, &4u32.to_be_bytes()),
            ("a name outside of the header", name + 8, &huge),
            ("a name that climbs", name_value, b"../"),
            ("a name in two lines", name_value, b"a\nb"),
            ("a name that is nothing", name_value, b"\0"),
        ] {
            let mut hostile = bytes.clone();
            hostile[at..at + change.len()].copy_from_slice(change);
            assert!(matches!(named(&hostile), Err(NoName::Form(_))), "{what}: {:?}", named(&hostile));
        }
    }

    #[test]
    fn a_file_that_cannot_be_read_says_why() {
        let read = async |_, _| Err("permission denied".to_owned());
        let named = pin!(filename(read)).poll(&mut Context::from_waker(Waker::noop()));
        assert_eq!(named, Poll::Ready(Err(NoName::Unread("permission denied".to_owned()))));
    }
}
