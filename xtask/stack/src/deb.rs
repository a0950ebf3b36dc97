//! Small, valid Debian packages, for the demo and for tests.
//!
//! A deb is an `ar` archive of three members: the format's version, the control files, and the files to install
//! (deb(5)). Both tar archives hold a handful of small files, so the headers are written here, without a crate.

use std::io::Write as _;

use anyhow::Context as _;
use flate2::Compression;
use flate2::write::GzEncoder;
use sha2::{Digest as _, Sha256};

/// What a package says of itself, and how much it weighs.
#[derive(Clone, Debug)]
pub struct Deb {
    /// `Package:`
    pub name: String,
    /// `Version:`
    pub version: String,
    /// `Architecture:`, `amd64` or `all`.
    pub architecture: String,
    /// The text of its one document, `/usr/share/doc/NAME/README`.
    pub readme: String,
    /// Bytes that do not compress, installed as `/usr/share/NAME/cargo.bin`: 0 for none. For tests of slow copies.
    pub ballast: usize,
}

impl Deb {
    /// `harbour-tug_1.0.0_amd64.deb`
    pub fn file_name(&self) -> String {
        format!("{}_{}_{}.deb", self.name, self.version, self.architecture)
    }

    /// The whole file. The same package always has the same bytes.
    pub fn build(&self) -> anyhow::Result<Vec<u8>> {
        self.around(&self.contents()?)
    }

    /// The member with the files to install, which is nearly all of a heavy package.
    pub fn contents(&self) -> anyhow::Result<Vec<u8>> {
        let Self { name, readme, ballast, .. } = self;
        let document = format!("usr/share/doc/{name}/README");
        let weight = format!("usr/share/{name}/cargo.bin");
        let noise = noise(*ballast);
        let mut files = vec![(document.as_str(), readme.as_bytes())];
        if *ballast > 0 {
            files.push((weight.as_str(), noise.as_slice()));
        }
        tar_gz(&files)
    }

    /// The whole file around [`Deb::contents`], be they of another package: many heavy ones are quickly made so.
    pub fn around(&self, data: &[u8]) -> anyhow::Result<Vec<u8>> {
        let Self { name, version, architecture, readme, ballast } = self;
        let control = format!(
            "Package: {name}\nVersion: {version}\nArchitecture: {architecture}\nMaintainer: Slipway <slipway@example.com>\n\
             Section: misc\nPriority: optional\nInstalled-Size: {}\nDescription: {}\n",
            (readme.len() + ballast).div_ceil(1024).max(1),
            "a package that shows how Slipway releases"
        );
        let control = tar_gz(&[("control", control.as_bytes())])?;
        let mut deb = b"!<arch>\n".to_vec();
        for (member, content) in
            [("debian-binary", b"2.0\n".as_slice()), ("control.tar.gz", control.as_slice()), ("data.tar.gz", data)]
        {
            writeln!(deb, "{member:<16}{:<12}{:<6}{:<6}{:<8}{:<10}`", 0, 0, 0, 100_644, content.len())?;
            deb.extend_from_slice(content);
            if content.len() % 2 == 1 {
                deb.push(b'\n');
            }
        }
        Ok(deb)
    }
}

/// The SHA-256 of some bytes, as 64 hexadecimal digits.
pub fn sha256(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    Sha256::digest(bytes).iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Bytes without a pattern that gzip finds: a chain of digests. The same length gives the same bytes.
fn noise(length: usize) -> Vec<u8> {
    let mut noise = Vec::with_capacity(length + 32);
    let mut link = Sha256::digest(b"ballast");
    while noise.len() < length {
        noise.extend_from_slice(&link);
        link = Sha256::digest(link);
    }
    noise.truncate(length);
    noise
}

fn tar_gz(files: &[(&str, &[u8])]) -> anyhow::Result<Vec<u8>> {
    let mut tar = Vec::new();
    let mut folders = vec!["./".to_owned()];
    for (path, _) in files {
        for (end, _) in path.match_indices('/') {
            let folder = format!("./{}/", &path[..end]);
            if !folders.contains(&folder) {
                folders.push(folder);
            }
        }
    }
    for folder in &folders {
        tar.extend_from_slice(&tar_header(folder, 0, true)?);
    }
    for (path, content) in files {
        tar.extend_from_slice(&tar_header(&format!("./{path}"), content.len(), false)?);
        tar.extend_from_slice(content);
        tar.resize(tar.len().next_multiple_of(512), 0);
    }
    tar.resize(tar.len() + 1024, 0);
    let mut gz = GzEncoder::new(Vec::new(), Compression::default());
    gz.write_all(&tar)?;
    Ok(gz.finish()?)
}

/// One ustar header (tar(5)): owned by root, dated 1970, so that bytes depend on the content alone.
fn tar_header(path: &str, size: usize, folder: bool) -> anyhow::Result<[u8; 512]> {
    let mut header = [0; 512];
    let mut put = |at: usize, text: &str| -> anyhow::Result<()> {
        let field = header.get_mut(at..at + text.len()).context("a field lies inside the header")?;
        field.copy_from_slice(text.as_bytes());
        Ok(())
    };
    anyhow::ensure!(path.len() < 100, "`{path}` is too long for a plain tar header");
    put(0, path)?;
    put(100, if folder { "0000755" } else { "0000644" })?;
    put(108, "0000000")?;
    put(116, "0000000")?;
    put(124, &format!("{size:011o}"))?;
    put(136, "00000000000")?;
    put(148, "        ")?;
    put(156, if folder { "5" } else { "0" })?;
    put(257, "ustar\u{0}00root")?;
    put(297, "root")?;
    let sum: u32 = header.iter().copied().map(u32::from).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    Ok(header)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_package_has_the_same_bytes_and_its_name_in_its_file_name() {
        let deb = Deb {
            name: "harbour-tug".to_owned(),
            version: "1.0.0".to_owned(),
            architecture: "all".to_owned(),
            readme: "Hello.\n".to_owned(),
            ballast: 3000,
        };
        assert_eq!(deb.file_name(), "harbour-tug_1.0.0_all.deb");
        assert_eq!(deb.build().expect("it fits"), deb.build().expect("it fits"));
        assert!(deb.build().expect("it fits").len() > 3000, "the ballast does not compress");
    }

    /// `dpkg-deb` is on Debian, where these packages are for; elsewhere there is nothing to ask.
    #[test]
    fn dpkg_reads_the_fields_and_the_files() {
        let deb = Deb {
            name: "harbour-tug".to_owned(),
            version: "1.0.0-1~rc1".to_owned(),
            architecture: "amd64".to_owned(),
            readme: "Hello.\n".to_owned(),
            ballast: 0,
        };
        let folder = std::env::temp_dir().join(format!("slipway-deb-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("the temporary folder can be written");
        let file = folder.join(deb.file_name());
        std::fs::write(&file, deb.build().expect("it fits")).expect("the temporary folder can be written");
        let ask = |option: &str| {
            let asked = std::process::Command::new("dpkg-deb").arg(option).arg(&file).output();
            asked.ok().map(|answer| String::from_utf8_lossy(&answer.stdout).into_owned())
        };
        if let (Some(fields), Some(files)) = (ask("--field"), ask("--contents")) {
            assert!(fields.contains("Version: 1.0.0-1~rc1"), "{fields}");
            assert!(files.contains("./usr/share/doc/harbour-tug/README"), "{files}");
        }
        std::fs::remove_dir_all(&folder).expect("it was made above");
    }
}
