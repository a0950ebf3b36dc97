//! "Is this file there, and which bytes are it?"

use http::StatusCode;
use slipway_wire::{CallError, Digest, Http, call};

use crate::answer::unreadable;
use crate::{Account, Distro, Filename, Repository, Show, search};

/// A file that is in a repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    /// Its SHA-256. `None` shortly after an upload: look again.
    pub digest: Option<Digest>,
    /// Its size in bytes, where it had to be asked for to learn the digest.
    pub size: Option<u64>,
    /// Whether packagecloud says that the index has it.
    pub indexed: bool,
}

/// Looks for exactly this file in exactly this distro version.
///
/// The search gives the digest, as a rule; a package without one is asked for in full.
pub async fn find(
    http: &impl Http,
    account: &Account,
    repository: &Repository,
    distro: &Distro,
    filename: &Filename,
) -> Result<Option<Found>, CallError> {
    let mut found: Option<Found> = None;
    let mut package_url = None;
    for package in search(http, account, repository, filename.as_str(), Some(distro)).await? {
        if !package.is(distro, filename) {
            continue;
        }
        let digest = match (found.and_then(|before| before.digest), package.sha256sum) {
            (Some(before), Some(now)) if before != now => {
                // Pages were read at different moments: the file may have been replaced between them.
                return Err(unreadable(account.base(), format!("{filename} is listed twice, with different digests")));
            }
            (before, now) => before.or(now),
        };
        let indexed = package.indexed || found.is_some_and(|before| before.indexed);
        found = Some(Found { digest, size: package.size, indexed });
        package_url = package.package_url.or(package_url);
    }
    let (Some(Found { digest: None, .. }), Some(package_url)) = (found, package_url) else { return Ok(found) };
    match call(http, &Show { account, package_url: &package_url }).await {
        Ok(package) if package.is(distro, filename) => {
            Ok(Some(Found { digest: package.sha256sum, size: package.size, indexed: package.indexed }))
        }
        Ok(package) => {
            Err(unreadable(account.base(), format!("asked for {filename}, it describes {:?}", package.filename)))
        }
        // It was listed a moment ago. That it is there with bytes unknown makes the caller look again, and is safe.
        Err(error) if error.status() == Some(StatusCode::NOT_FOUND) => Ok(found),
        Err(error) => Err(error),
    }
}
