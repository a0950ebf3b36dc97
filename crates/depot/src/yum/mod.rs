//! The signed YUM repositories of one distro version, as files: one for each architecture of machines.
//!
//! The lists have their digest in their names, and are there before `repomd.xml`, which names them; those of the
//! index before stay for an hour. `repomd.xml` and its signature are two files, so a reader in between sees one of
//! each: as everywhere, it asks again. Lists are written through files, never as a whole in memory: the list of all
//! files of large packages is long. No index is read back: all are made again from the journal at every start.

mod parts;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sha2::{Digest as _, Sha256};

use self::parts::Parts;
use crate::access::hex;
use crate::clock::Moment;
use crate::compress::Compression;
use crate::folder::publish;
use crate::package::{About, Package};
use crate::shelf::{forget_old, text_before};
use crate::signing::SigningKey;

/// Repositories that are always there, so that the machines in use find one, if an empty one.
const ARCHITECTURES: [&str; 2] = ["aarch64", "x86_64"];
const SOURCES: &str = "SRPMS";
/// The lists: type, root element, its namespace. `primary` is last: it is what makes packages visible.
const LISTS: [(&str, &str, &str); 3] = [
    ("filelists", "filelists", "xmlns=\"http://linux.duke.edu/metadata/filelists\""),
    ("other", "otherdata", "xmlns=\"http://linux.duke.edu/metadata/other\""),
    (
        "primary",
        "metadata",
        "xmlns=\"http://linux.duke.edu/metadata/common\" xmlns:rpm=\"http://linux.duke.edu/metadata/rpm\"",
    ),
];

/// Where the bytes of packages are, and what was already read of them.
pub(crate) struct Shelves<'a> {
    /// The bytes of a package, by its digest.
    pub(crate) file: &'a dyn Fn(&str) -> PathBuf,
    /// A folder for the packages' parts of the lists, by digest: each is made once.
    pub(crate) parts: &'a Path,
}

impl Shelves<'_> {
    fn part(&self, package: &Package, list: &str) -> io::Result<PathBuf> {
        let digest = &package.sums.sha256;
        let path = |list: &str| self.parts.join(&digest[..2]).join(format!("{digest}.{list}.xml"));
        // Written last, so that the others are there, too.
        if !path("primary").exists() {
            let About::Rpm(rpm) = &package.about else { return Err(io::Error::other("a deb is no part of it")) };
            let mut file = BufReader::new(File::open((self.file)(digest))?);
            let parts = Parts::of_file(&mut file, rpm, &package.sums).map_err(io::Error::other)?;
            for (list, text) in [("filelists", parts.filelists), ("other", parts.other), ("primary", parts.primary)] {
                publish(&path(list), text.as_bytes())?;
            }
        }
        Ok(path(list))
    }
}

/// Writes the repositories of `packages` under `folder`, which is `{distro}/{version}`.
pub(crate) fn write_index(
    folder: &Path,
    packages: &[Arc<Package>],
    shelves: &Shelves<'_>,
    compression: Compression,
    (key, now): (&SigningKey, Moment),
) -> io::Result<()> {
    let mut architectures: BTreeSet<String> = ARCHITECTURES.map(str::to_owned).into();
    // One that had packages once stays, if empty: machines read it.
    if folder.exists() {
        for known in fs::read_dir(folder)? {
            architectures.insert(known?.file_name().to_string_lossy().into_owned());
        }
    }
    let architecture = |package: &Package| match &package.about {
        About::Rpm(rpm) => rpm.base_architecture().map(str::to_owned),
        About::Deb(_) => None,
    };
    architectures.extend(packages.iter().filter_map(|package| architecture(package)));
    for name in architectures {
        let fits = |package: &&Arc<Package>| architecture(package).map_or(name != SOURCES, |wanted| wanted == name);
        let packages: Vec<&Package> = packages.iter().filter(fits).map(Arc::as_ref).collect();
        write_repository(&folder.join(&name).join("repodata"), &packages, shelves, compression, (key, now))?;
    }
    Ok(())
}

fn write_repository(
    folder: &Path,
    packages: &[&Package],
    shelves: &Shelves<'_>,
    compression: Compression,
    (key, now): (&SigningKey, Moment),
) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    let mut lists = BTreeMap::new();
    for (list, root, namespace) in LISTS {
        lists.insert(list, write_list(folder, (list, root, namespace), packages, shelves, compression)?);
    }
    let seconds = now.unix_seconds();
    let mut repomd = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<repomd xmlns=\"http://linux.duke.edu/metadata/repo\" \
         xmlns:rpm=\"http://linux.duke.edu/metadata/rpm\">\n<revision>{seconds}</revision>\n"
    );
    for (list, written) in &lists {
        let Written { name, plain, compressed } = written;
        let _ = write!(
            repomd,
            "<data type=\"{list}\">\n<checksum type=\"sha256\">{}</checksum>\n\
             <open-checksum type=\"sha256\">{}</open-checksum>\n<location href=\"repodata/{name}\"/>\n\
             <timestamp>{seconds}</timestamp>\n<size>{}</size>\n<open-size>{}</open-size>\n</data>\n",
            compressed.sha256, plain.sha256, compressed.size, plain.size
        );
    }
    repomd.push_str("</repomd>\n");
    let signature = key.sign_beside(&repomd)?;
    let before = text_before(&folder.join("repomd.xml"))?;
    // Everything that it names is there: now it may be seen.
    publish(&folder.join("repomd.xml.asc"), signature.as_bytes())?;
    publish(&folder.join("repomd.xml"), repomd.as_bytes())?;
    let named = lists.into_values().map(|written| written.name).collect();
    forget_old(folder, &named, &before, |name| name.contains('-'))
}

/// A list as it was written: its name, and what `repomd.xml` says of it.
struct Written {
    name: String,
    plain: Weight,
    compressed: Weight,
}

struct Weight {
    sha256: String,
    size: u64,
}

/// Counts and hashes what is written.
struct Weighed<W> {
    into: W,
    digest: Sha256,
    size: u64,
}

impl<W: io::Write> Weighed<W> {
    fn new(into: W) -> Self {
        Self { into, digest: Sha256::new(), size: 0 }
    }

    fn finish(mut self) -> io::Result<Weight> {
        self.into.flush()?;
        Ok(Weight { sha256: hex(&self.digest.finalize()), size: self.size })
    }
}

impl<W: io::Write> io::Write for Weighed<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.into.write(bytes)?;
        self.digest.update(&bytes[..count]);
        self.size += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.into.flush()
    }
}

fn write_list(
    folder: &Path,
    (list, root, namespace): (&str, &str, &str),
    packages: &[&Package],
    shelves: &Shelves<'_>,
    compression: Compression,
) -> io::Result<Written> {
    let plain_path = folder.join(format!(".{list}.xml.new"));
    let mut plain = Weighed::new(BufWriter::new(File::create(&plain_path)?));
    writeln!(
        plain,
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<{root} {namespace} packages=\"{}\">",
        packages.len()
    )?;
    for package in packages {
        io::copy(&mut File::open(shelves.part(package, list)?)?, &mut plain)?;
    }
    writeln!(plain, "</{root}>")?;
    let plain = plain.finish()?;

    let compressed_path = folder.join(format!(".{list}.new"));
    let mut compressed = Weighed::new(BufWriter::new(File::create(&compressed_path)?));
    compression.compress(BufReader::new(File::open(&plain_path)?), &mut compressed)?;
    let compressed = compressed.finish()?;
    let name = format!("{}-{list}.xml.{}", compressed.sha256, compression.extension());
    fs::rename(&compressed_path, folder.join(&name))?;
    fs::remove_file(&plain_path)?;
    Ok(Written { name, plain, compressed })
}
