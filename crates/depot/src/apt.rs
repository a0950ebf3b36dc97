//! The signed APT index of one repository and distro version, as files.
//!
//! A reader may come at any moment. So the files that a `Release` names are there before it, also under their
//! digests (`by-hash`), where those of the release before stay for an hour; and every file is replaced as a whole.
//! The index is never read back: it is made again from the journal at every start.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::io::{self, Write as _};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use sha2::{Digest as _, Sha256};

use crate::access::hex;
use crate::clock::Moment;
use crate::folder::publish;
use crate::names::{Distro, Repository};
use crate::package::Package;
use crate::signing::SigningKey;

/// Indexes that are always there, so that the machines in use find an index, if an empty one.
const ARCHITECTURES: [&str; 2] = ["amd64", "arm64"];
/// Who has read a `Release` has this long to fetch what it names.
const OLD_INDEXES_KEPT: Duration = Duration::from_hours(1);

/// The fields of one package in `Packages`.
pub(crate) fn stanza(package: &Package) -> String {
    let sums = &package.sums;
    let mut text = package.control.index_text();
    let _ = writeln!(text, "Filename: {}", package.pool_path());
    let _ = writeln!(text, "Size: {}", sums.size);
    let _ = writeln!(text, "MD5sum: {}\nSHA1: {}", sums.md5, sums.sha1);
    let _ = writeln!(text, "SHA256: {}\nSHA512: {}", sums.sha256, sums.sha512);
    text
}

/// `Packages` for each architecture. Packages for `all` are in every one of them, and in their own.
fn packages_files(packages: &[Arc<Package>]) -> BTreeMap<&str, String> {
    let mut architectures: BTreeSet<&str> = ARCHITECTURES.into();
    architectures.extend(packages.iter().map(|package| package.control.architecture.as_str()));
    let text = |architecture: &str| {
        let fits = |package: &&Arc<Package>| [architecture, "all"].contains(&package.control.architecture.as_str());
        packages.iter().filter(fits).map(|package| stanza(package)).collect::<Vec<_>>().join("\n")
    };
    architectures.into_iter().map(|architecture| (architecture, text(architecture))).collect()
}

/// Writes the index of `packages` under `folder`, which is `dists/{codename}`.
pub(crate) fn write_index(
    folder: &Path,
    (repository, distro): (&Repository, &Distro),
    packages: &[Arc<Package>],
    key: &SigningKey,
    now: Moment,
) -> io::Result<()> {
    let files = packages_files(packages);
    let architectures = files.keys().copied().collect::<Vec<_>>().join(" ");
    let codename = distro.version();
    let mut release = format!(
        "Origin: {repository}\nLabel: {repository}\nSuite: {codename}\nCodename: {codename}\nDate: {}\n\
         Architectures: {architectures}\nComponents: main\nDescription: {repository} for {distro}\n\
         Acquire-By-Hash: yes\n",
        now.release_date()
    );
    if files.contains_key("all") {
        // The other indexes have those packages too: apt need not fetch this one.
        release.push_str("No-Support-for-Architecture-all: Packages\n");
    }
    release.push_str("SHA256:\n");
    for (architecture, plain) in &files {
        let shelf = folder.join(format!("main/binary-{architecture}"));
        let mut current = BTreeSet::new();
        let mut named = Vec::new();
        for (name, bytes) in [("Packages", plain.clone().into_bytes()), ("Packages.gz", gzip(plain.as_bytes())?)] {
            let sha256 = hex(&Sha256::digest(&bytes));
            let _ = writeln!(release, " {sha256} {:>16} main/binary-{architecture}/{name}", bytes.len());
            publish(&shelf.join("by-hash/SHA256").join(&sha256), &bytes)?;
            current.insert(sha256);
            named.push((name, bytes));
        }
        for (name, bytes) in named {
            publish(&shelf.join(name), &bytes)?;
        }
        forget_old(&shelf.join("by-hash/SHA256"), &current)?;
    }
    // Everything that it names is there: now it may be seen.
    publish(&folder.join("Release.gpg"), key.sign_beside(&release)?.as_bytes())?;
    publish(&folder.join("Release"), release.as_bytes())?;
    publish(&folder.join("InRelease"), key.sign_around(&release)?.as_bytes())
}

fn gzip(bytes: &[u8]) -> io::Result<Vec<u8>> {
    // Without a time in its header, equal contents give equal bytes.
    let mut encoder = flate2::GzBuilder::new().write(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes)?;
    encoder.finish()
}

fn forget_old(folder: &Path, current: &BTreeSet<String>) -> io::Result<()> {
    for file in fs::read_dir(folder)? {
        let file = file?;
        let age = file.metadata()?.modified()?.elapsed().unwrap_or_default();
        if !current.contains(file.file_name().to_string_lossy().as_ref()) && age > OLD_INDEXES_KEPT {
            fs::remove_file(file.path())?;
        }
    }
    Ok(())
}
