//! What gave way to a staged file: the files that a package was declared with before, as the record keeps them.
//!
//! A run that declared new bytes and was killed before it deleted the old ones leaves only the record to tell which those
//! are. So the release says it each time.

use std::collections::{BTreeMap, BTreeSet};

use slipway_core::api::{Package, Release, ReplacedFile};
use slipway_packagecloud::{Distro, Filename};
use slipway_wire::Digest;

/// The files to take out of staging for one distro version, each with the bytes it had. What any package of the release
/// is declared with stays, though this one once was, too: somebody staged a file under the wrong key.
pub(crate) fn gave_way<'a>(
    release: &Release,
    package: &'a Package,
    distro: &Distro,
) -> BTreeMap<&'a Filename, BTreeSet<Digest>> {
    let distro = distro.to_string();
    let here = release
        .packages
        .iter()
        .filter(|other| other.staging == package.staging && other.targets.iter().any(|target| target.distro == distro));
    let kept: BTreeSet<(&str, Digest)> =
        here.filter_map(|other| other.file.as_ref()).map(|file| (file.filename.as_str(), file.digest)).collect();
    let mut files: BTreeMap<&Filename, BTreeSet<Digest>> = BTreeMap::new();
    for ReplacedFile { filename, digest } in &package.replaced {
        files.entry(filename).or_default().insert(*digest);
    }
    files.retain(|filename, digests| !digests.iter().any(|digest| kept.contains(&(filename.as_str(), *digest))));
    files
}

#[cfg(test)]
mod tests {
    use slipway_core::api::StagedFile;

    use super::*;
    use crate::testing;

    #[test]
    fn a_file_has_all_bytes_that_it_ever_had() {
        let mut release = testing::release(&[("deb", "expected")]);
        let package = release.packages.first_mut().expect("the package");
        for (name, bytes) in [("tug_1_amd64.deb", b"a"), ("tug_1_amd64.deb", b"b"), ("tug_0_amd64.deb", b"b")] {
            let filename = name.parse().expect("a file name");
            package.replaced.push(ReplacedFile { filename, digest: Digest::of(bytes) });
        }
        let package = release.packages.first().expect("the package");
        let files = gave_way(&release, package, &"d/0".parse().expect("a distro"));
        let files: Vec<_> = files.iter().map(|(name, digests)| (name.as_str(), digests.len())).collect();
        assert_eq!(files, [("tug_0_amd64.deb", 1), ("tug_1_amd64.deb", 2)]);
    }

    #[test]
    fn a_file_that_another_package_was_declared_with_stays() {
        let mut release = testing::release(&[("deb", "expected"), ("other", "staged")]);
        let filename: Filename = "tug_1_amd64.deb".parse().expect("a file name");
        let digest = Digest::of(b"a");
        release.packages.first_mut().expect("the package").replaced = vec![ReplacedFile { filename, digest }];
        let (here, elsewhere) = ("d/0".parse().expect("a distro"), "d/1".parse().expect("a distro"));
        let left = |release: &Release, distro: &Distro| {
            let package = release.packages.first().expect("the package");
            gave_way(release, package, distro).len()
        };
        let file = |bytes: &[u8]| {
            Some(StagedFile { filename: "tug_1_amd64.deb".to_owned(), image: None, digest: Digest::of(bytes), size: 0 })
        };
        assert_eq!(left(&release, &here), 1);
        release.packages.last_mut().expect("the other").file = file(b"a");
        assert_eq!((left(&release, &here), left(&release, &elsewhere)), (0, 1));
        release.packages.last_mut().expect("the other").file = file(b"b");
        assert_eq!(left(&release, &here), 1);
    }
}
