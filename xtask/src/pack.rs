//! Archives that are the same whenever they are made of the same files: one order, one time, one owner.
//!
//! The time is the one that `npm pack` gives to every file, since some programs refuse files from before 1980.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use anyhow::Context as _;
use flate2::{Compression, GzBuilder};
use sha2::{Digest as _, Sha256};
use slipway_stack::Places;

/// 1985-10-26T08:15:00Z
const MTIME: u64 = 499_162_500;

/// What every part of one build is numbered with.
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The files of an archive, by their path in it.
#[derive(Default)]
pub(crate) struct Files(BTreeMap<String, File>);

struct File {
    bytes: Vec<u8>,
    executable: bool,
}

impl Files {
    pub(crate) fn add(&mut self, name: impl Into<String>, bytes: impl Into<Vec<u8>>) {
        self.0.insert(name.into(), File { bytes: bytes.into(), executable: false });
    }

    /// One file of this machine.
    pub(crate) fn add_file(&mut self, name: impl Into<String>, path: &Path) -> anyhow::Result<()> {
        let bytes = std::fs::read(path).with_context(|| format!("cannot read `{}`", path.display()))?;
        self.add(name, bytes);
        Ok(())
    }

    /// A program that is started by its name.
    pub(crate) fn add_program(&mut self, name: impl Into<String>, path: &Path) -> anyhow::Result<()> {
        let bytes = std::fs::read(path).with_context(|| format!("cannot read `{}`", path.display()))?;
        self.0.insert(name.into(), File { bytes, executable: true });
        Ok(())
    }

    /// All files of a folder and of the folders in it.
    pub(crate) fn add_folder(&mut self, name: &str, folder: &Path) -> anyhow::Result<()> {
        let doing = || format!("cannot list `{}`", folder.display());
        for entry in std::fs::read_dir(folder).with_context(doing)? {
            let entry = entry.with_context(doing)?;
            let inner = format!("{name}/{}", entry.file_name().to_string_lossy());
            if entry.file_type().with_context(doing)?.is_dir() {
                self.add_folder(&inner, &entry.path())?;
            } else {
                self.add_file(inner, &entry.path())?;
            }
        }
        Ok(())
    }

    /// Leaves out a file that is there.
    pub(crate) fn remove(&mut self, name: &str) -> anyhow::Result<()> {
        self.0.remove(name).map(|_| ()).with_context(|| format!("there is no `{name}` to leave out"))
    }

    /// The licences, which go with every archive.
    pub(crate) fn add_licences(&mut self, folder: &str, places: &Places) -> anyhow::Result<()> {
        for name in ["LICENSE-MIT", "LICENSE-APACHE"] {
            self.add_file(format!("{folder}/{name}"), &places.root.join(name))?;
        }
        Ok(())
    }

    /// The archive: a tar file, compressed with gzip, without names of this machine or its user.
    pub(crate) fn tar_gz(&self) -> anyhow::Result<Vec<u8>> {
        let gzip = GzBuilder::new().mtime(0).write(Vec::new(), Compression::best());
        let mut archive = tar::Builder::new(gzip);
        for (name, File { bytes, executable }) in &self.0 {
            let mut header = tar::Header::new_ustar();
            header.set_size(bytes.len() as u64);
            header.set_mode(if *executable { 0o755 } else { 0o644 });
            header.set_mtime(MTIME);
            header.set_uid(0);
            header.set_gid(0);
            archive
                .append_data(&mut header, name, bytes.as_slice())
                .with_context(|| format!("cannot pack `{name}`"))?;
        }
        archive.into_inner().and_then(flate2::write::GzEncoder::finish).context("cannot end the archive")
    }
}

/// A file's SHA-256, as 64 hexadecimal digits.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// The `slipway` command as `npm pack` would make it of a built `build/slipway`, and as `npm install` takes it: no
/// scripts, no dependencies.
pub(crate) fn command(places: &Places) -> anyhow::Result<Vec<u8>> {
    let (npm, built) = (places.root.join("crates/slipway/npm"), places.build().join("slipway"));
    let about = npm.join("package.json");
    let text = std::fs::read_to_string(&about).with_context(|| format!("cannot read `{}`", about.display()))?;
    let mut files = Files::default();
    files.add("package/package.json", text.replace("\"VERSION\"", &format!("\"{VERSION}\"")));
    files.add_file("package/README.md", &npm.join("README.md"))?;
    files.add_licences("package", places)?;
    files.add_program("package/bin/slipway.mjs", &built.join("bin/slipway.mjs"))?;
    files.add_folder("package/lib", &built.join("lib"))?;
    files.tar_gz()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_files_make_the_same_archive_in_whatever_order_they_came() {
        let made = |names: [&str; 3]| {
            let mut files = Files::default();
            for name in names {
                files.add(name, name.as_bytes());
            }
            sha256(&files.tar_gz().expect("it is packed in memory"))
        };
        assert_eq!(made(["a", "b/c", "d"]), made(["d", "a", "b/c"]));
        assert_ne!(made(["a", "b/c", "d"]), made(["a", "b/c", "e"]));
    }

    #[test]
    fn an_archive_says_nothing_of_the_machine_and_the_moment_that_made_it() {
        let mut files = Files::default();
        files.add("x/y", "z");
        let packed = files.tar_gz().expect("it is packed in memory");
        // RFC 1952: flags, then the time, 0 for none; no name follows when the flags are 0.
        assert_eq!(packed[3..8], [0; 5]);
        let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(packed.as_slice()));
        for entry in archive.entries().expect("it is an archive") {
            let entry = entry.expect("it is an archive");
            let header = entry.header();
            assert_eq!(header.mtime().ok(), Some(MTIME));
            assert_eq!((header.uid().ok(), header.gid().ok()), (Some(0), Some(0)));
            assert_eq!((header.username(), header.groupname()), (Ok(Some("")), Ok(Some(""))));
        }
    }

    #[test]
    fn a_digest_is_that_of_fips_180() {
        // The one-block example of FIPS 180-2, appendix B.1.
        assert_eq!(sha256(b"abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }
}
