//! The index that a repository serves: the proof that a package is public.
//!
//! packagecloud says of a package that it is "indexed"; a machine that installs it reads the index itself, and so does
//! Slipway. An index is a chain of digests: a small *head* (`InRelease`, `repomd.xml`) holds that of a large *list*
//! (`Packages`, `primary.xml`), and the list holds that of every package. [`read_index`] follows it link by link, once for
//! all who wait for a package of the same repository, distro version and architecture, and asks on the next look only
//! whether the head has changed. Files of any size pass through piece by piece.
//!
//! Absent on purpose: the signature on the head. The chain proves that the index is whole, not who made it.

pub mod apt;
mod fetch;
pub(crate) mod reader;
pub(crate) mod unpack;
pub mod yum;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use slipway_wire::{Base, CallError, Digest, Http, Token};

pub use reader::{File, IndexReader};
pub use unpack::{Compression, WINDOW_BYTES_MAX};

use crate::{Distro, Filename, PackageKind, Repository};
use apt::Release;
use fetch::{Got, Head, get, head, unreadable};
use yum::Repomd;

/// One index that a repository serves: of one distro version, for one architecture.
#[derive(Clone, Copy, Debug)]
pub struct Index<'a> {
    /// The installation.
    pub base: &'a Base,
    /// The repository.
    pub repository: &'a Repository,
    /// The distro version. For debs its version is APT's codename.
    pub distro: &'a Distro,
    /// The kind of packages in it.
    pub kind: PackageKind,
    /// The architecture, in the words of the packages' file names: `amd64`, `all`, `x86_64`, `noarch`.
    pub architecture: &'a str,
    /// For private repositories: a read token, or an account's token. It is sent to the installation alone.
    pub credential: Option<&'a Token>,
    /// Where the installation may redirect to, beside itself.
    pub storage: &'a [Base],
}

/// What an earlier reading leaves, so that an unchanged index costs one conditional request.
///
/// It belongs to one [`Index`]. It remembers which names were looked for: about others an unchanged index has not been
/// asked yet, so it is read again.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Mark {
    /// The path of the head, below the index's folder.
    head: String,
    /// The head's `ETag`.
    etag: Option<String>,
    /// The head's `Last-Modified`.
    last_modified: Option<String>,
    /// The digest of the list, as it is served.
    checksum: Digest,
    /// The names that were looked for.
    wanted: BTreeSet<Filename>,
}

/// What an index says at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reading {
    /// It is the same as at the mark: what was read then still holds.
    Unchanged(Mark),
    /// It is just being replaced: its parts do not belong together. Look again.
    InMotion,
    /// There is no index yet, or none for this architecture.
    Absent,
    /// It was read through.
    Listed {
        /// What to show at the next look.
        mark: Mark,
        /// The digests that it gives each wanted file. A file that it does not list is not among them, and one with
        /// several digests is listed with different bytes: which of them a machine gets is open.
        found: BTreeMap<Filename, BTreeSet<Digest>>,
    },
}

/// One file of the list, where it is, and what the head says of it.
struct List {
    path: String,
    compression: Compression,
    packed: File,
    open: Option<File>,
}

/// What a head says.
enum Chain {
    /// Nothing for this architecture.
    Nothing,
    /// The same list, in one or more spellings; the best one first.
    Lists(Vec<List>),
}

impl Index<'_> {
    /// The address of a file below the index's folder.
    fn url(&self, path: &str) -> String {
        let (user, repo) = (self.repository.user(), self.repository.repo());
        let distro = match self.kind {
            PackageKind::Deb => vec![self.distro.name(), "dists", self.distro.version()],
            PackageKind::Rpm => vec![self.distro.name(), self.distro.version()],
        };
        self.base.url([user, repo].into_iter().chain(distro).chain(path.split('/')))
    }

    /// The paths where the index's head can be, in the order in which they are asked for.
    fn heads(&self) -> Vec<String> {
        match self.kind {
            PackageKind::Deb => vec!["InRelease".to_owned(), "Release".to_owned()],
            PackageKind::Rpm => {
                yum::folders(self.architecture).into_iter().map(|name| format!("{name}/repodata/repomd.xml")).collect()
            }
        }
    }

    /// Where the head says that the list is.
    fn chain(&self, head: &str, bytes: &[u8]) -> Result<Chain, CallError> {
        match self.kind {
            PackageKind::Deb => {
                let release = Release::parse(bytes).map_err(|error| unreadable(self, error))?;
                Ok(release.packages(self.architecture).map_or(Chain::Nothing, |folder| in_release(&release, &folder)))
            }
            PackageKind::Rpm => {
                let repomd = Repomd::parse(bytes).map_err(|error| unreadable(self, error))?;
                let folder = head.strip_suffix("repodata/repomd.xml").unwrap_or_default();
                let Repomd { path, compression, packed, open } = repomd;
                Ok(Chain::Lists(vec![List { path: format!("{folder}{path}"), compression, packed, open }]))
            }
        }
    }
}

/// Whether text can be an architecture, which becomes a part of addresses.
pub(crate) fn is_architecture(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-".contains(&b))
}

/// The `Packages` files of a folder.
fn in_release(release: &Release, folder: &str) -> Chain {
    let file = |name: &str| {
        let path = format!("{folder}/{name}");
        let packed = *release.files.get(&path)?;
        let open = release.files.get(&format!("{folder}/Packages")).copied();
        Some(List { path, compression: Compression::of(name)?, packed, open })
    };
    Chain::Lists(apt::FILES.into_iter().filter_map(file).collect())
}

/// Reads an index, unless it is the same as at the mark `known`, and says which digests it gives the wanted files.
pub async fn read_index(
    http: &impl Http,
    index: &Index<'_>,
    known: Option<&Mark>,
    wanted: &BTreeSet<Filename>,
) -> Result<Reading, CallError> {
    if !is_architecture(index.architecture) {
        let why = format!("`{}` is not the name of an architecture", index.architecture.escape_debug());
        return Err(CallError::Unsendable(why));
    }
    let known = known.filter(|known| known.wanted.is_superset(wanted));
    let mut heads = index.heads();
    // The head that was there last time first, so that an unchanged index costs one request.
    heads.sort_by_key(|path| known.is_none_or(|known| known.head != *path));
    for path in heads {
        let condition = known.filter(|known| known.head == path);
        match head(http, index, &path, condition).await? {
            Head::Missing => {}
            Head::NotModified(mark) => return Ok(Reading::Unchanged(mark)),
            Head::Whole { bytes, etag, last_modified } => {
                let lists = match index.chain(&path, &bytes)? {
                    Chain::Nothing => return Ok(Reading::Absent),
                    Chain::Lists(lists) => lists,
                };
                let mark = |checksum, wanted: &BTreeSet<Filename>| Mark {
                    head: path,
                    etag,
                    last_modified,
                    checksum,
                    wanted: wanted.clone(),
                };
                // Servers that know no conditions, and heads that change by their date alone.
                if let Some(known) = known.filter(|known| lists.iter().any(|list| list.packed.digest == known.checksum))
                {
                    return Ok(Reading::Unchanged(mark(known.checksum, &known.wanted)));
                }
                return Ok(match read_list(http, index, lists, wanted).await? {
                    Some((checksum, found)) => Reading::Listed { mark: mark(checksum, wanted), found },
                    None => Reading::InMotion,
                });
            }
        }
    }
    Ok(Reading::Absent)
}

/// Reads the first of the lists that is there. `None`: none is, or it is not the one that the head means.
async fn read_list(
    http: &impl Http,
    index: &Index<'_>,
    lists: Vec<List>,
    wanted: &BTreeSet<Filename>,
) -> Result<Option<(Digest, reader::Listing)>, CallError> {
    for List { path, compression, packed, open } in lists {
        let mut reader = IndexReader::new(index.kind, compression, packed, open, wanted);
        match get(http, index, &path, None, &mut |piece| reader.feed(piece)).await? {
            Got::Whole { .. } => {
                let found = reader.finish().map_err(|why| unreadable(index, format!("in {path}, {why}")))?;
                return Ok(found.map(|found| (packed.digest, found)));
            }
            Got::Missing | Got::NotModified => {}
        }
    }
    // The head names lists that are not there.
    Ok(None)
}
