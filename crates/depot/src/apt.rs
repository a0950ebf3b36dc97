//! The signed APT index of one repository and distro version, as files.
//!
//! A reader may come at any moment. So the files that a `Release` names are there before it, also under their
//! digests (`by-hash`), where those of the release before stay for an hour; and every file is replaced as a whole.
//! The index is never read back: it is made again from the journal at every start.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;

use sha2::{Digest as _, Sha256};

use crate::access::hex;
use crate::clock::Moment;
use crate::compress;
use crate::folder::publish;
use crate::indexes::PackagesFile;
use crate::names::{Distro, Repository};
use crate::package::{About, Package};
use crate::shelf::{forget_old, text_before};
use crate::signing::SigningKey;

/// Indexes that are always there, so that the machines in use find an index, if an empty one.
const ARCHITECTURES: [&str; 3] = ["amd64", "arm64", "armhf"];

/// The fields of one package in `Packages`.
pub(crate) fn stanza(package: &Package) -> String {
    let sums = &package.sums;
    let mut text = match &package.about {
        About::Deb(control) => control.index_text(),
        About::Rpm(_) => String::new(),
    };
    let _ = writeln!(text, "Filename: {}", package.pool_path());
    let _ = writeln!(text, "Size: {}", sums.size);
    let _ = writeln!(text, "MD5sum: {}\nSHA1: {}", sums.md5, sums.sha1);
    let _ = writeln!(text, "SHA256: {}\nSHA512: {}", sums.sha256, sums.sha512);
    text
}

/// `Packages` for each architecture. Packages for `all` are in every one of them, and in their own.
fn packages_files(packages: &[Arc<Package>]) -> BTreeMap<&str, String> {
    let mut architectures: BTreeSet<&str> = ARCHITECTURES.into();
    architectures.extend(packages.iter().map(|package| package.about.architecture()));
    let text = |architecture: &str| {
        let fits = |package: &&Arc<Package>| [architecture, "all"].contains(&package.about.architecture());
        packages.iter().filter(fits).map(|package| stanza(package)).collect::<Vec<_>>().join("\n")
    };
    architectures.into_iter().map(|architecture| (architecture, text(architecture))).collect()
}

/// Writes the index of `packages` under `folder`, which is `dists/{codename}`.
pub(crate) fn write_index(
    folder: &Path,
    (repository, distro): (&Repository, &Distro),
    packages: &[Arc<Package>],
    forms: &BTreeSet<PackagesFile>,
    (key, now): (&SigningKey, Moment),
) -> io::Result<()> {
    let before = text_before(&folder.join("Release"))?;
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
        for form in forms {
            let bytes = match form {
                PackagesFile::Plain => plain.clone().into_bytes(),
                PackagesFile::Gzip => compress::gzip(plain.as_bytes())?,
                PackagesFile::Xz => compress::xz(plain.as_bytes())?,
            };
            let sha256 = hex(&Sha256::digest(&bytes));
            let _ = writeln!(release, " {sha256} {:>16} main/binary-{architecture}/{}", bytes.len(), form.name());
            publish(&shelf.join("by-hash/SHA256").join(&sha256), &bytes)?;
            current.insert(sha256);
            named.push((form.name(), bytes));
        }
        for (name, bytes) in named {
            publish(&shelf.join(name), &bytes)?;
        }
        for form in PackagesFile::ALL {
            let path = shelf.join(form.name());
            if !forms.contains(&form) && path.exists() {
                fs::remove_file(path)?;
            }
        }
        forget_old(&shelf.join("by-hash/SHA256"), &current, &before, |name| !name.starts_with('.'))?;
    }
    // Everything that it names is there: now it may be seen.
    publish(&folder.join("Release.gpg"), key.sign_beside(&release)?.as_bytes())?;
    publish(&folder.join("Release"), release.as_bytes())?;
    publish(&folder.join("InRelease"), key.sign_around(&release)?.as_bytes())
}
