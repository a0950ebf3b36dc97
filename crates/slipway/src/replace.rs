//! What gave way to a staged file: the files that a package was declared with before, as the record keeps them.
//!
//! A run that declared new bytes and was killed before it deleted the old ones leaves only the record to tell which those
//! are. So it is read from there each time; the release itself knows the last declaration alone.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use slipway_core::api::{Package, Release, StagedFile};
use slipway_core::release::{Key, Version};
use slipway_packagecloud::{Distro, Filename};
use slipway_wire::Digest;

use crate::edge::{AuditRow, Edge};
use crate::exit::Failure;
use crate::settings::Settings;

/// Every file that gave way, with the bytes it had.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Replaced(BTreeMap<Filename, BTreeSet<Digest>>);

/// What the audit says of a replacement.
#[derive(Deserialize)]
struct Details {
    replaces: Before,
}

#[derive(Deserialize)]
struct Before {
    filename: Filename,
    digest: Digest,
}

impl Replaced {
    /// Reads the project's audit for what gave way to `now` as the contents of `key`.
    pub(crate) async fn read(
        edge: &Edge<'_>,
        settings: &Settings,
        key: &Key,
        now: &StagedFile,
        doing: &str,
    ) -> Result<Self, Failure> {
        let mut replaced = Self::default();
        let mut first = 1;
        loop {
            let rows = edge.audit(first).await.map_err(|error| {
                let mut failure = error.failure(doing);
                failure.lines.push("Nothing was deleted. Run this again, with `--replace`: it goes on.".to_owned());
                failure
            })?;
            let Some(last) = rows.iter().map(|row| row.sequence).max().filter(|last| *last >= first) else {
                return Ok(replaced);
            };
            replaced.add(&rows, &settings.version, key, now);
            first = last + 1;
        }
    }

    fn add(&mut self, rows: &[AuditRow], version: &Version, key: &Key, now: &StagedFile) {
        let subject = format!("{version}/{key}");
        for row in rows.iter().filter(|row| row.action == "replaced" && row.subject == subject) {
            let Ok(Details { replaces }) = serde_json::from_str(&row.details) else { continue };
            // Replaced there and back again, the old bytes are the wanted ones.
            if replaces.digest != now.digest || replaces.filename.as_str() != now.filename {
                self.0.entry(replaces.filename).or_default().insert(replaces.digest);
            }
        }
    }

    /// The files to take out of staging for one distro version. What another package of the release was declared with
    /// stays, though this one once was, too: somebody staged a file under the wrong key.
    pub(crate) fn files_for<'a>(
        &'a self,
        release: &'a Release,
        package: &'a Package,
        distro: &'a Distro,
    ) -> impl Iterator<Item = (&'a Filename, &'a BTreeSet<Digest>)> {
        let distro = distro.to_string();
        self.0.iter().filter(move |(filename, digests)| {
            !release.packages.iter().any(|other| {
                other.key != package.key
                    && other.staging == package.staging
                    && other.targets.iter().any(|target| target.distro == distro)
                    && other
                        .file
                        .as_ref()
                        .is_some_and(|file| file.filename == filename.as_str() && digests.contains(&file.digest))
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    fn key(text: &str) -> Key {
        text.parse().expect("a key")
    }

    fn file(name: &str, bytes: &[u8]) -> StagedFile {
        StagedFile { filename: name.to_owned(), digest: Digest::of(bytes), size: 0 }
    }

    /// Rows of the audit: `subject action filename contents`, one a line.
    fn replaced(rows: &str, now: &StagedFile) -> Vec<(String, usize)> {
        let row = |(index, line): (usize, &str)| {
            let words: Vec<&str> = line.split_whitespace().collect();
            let [subject, action, filename, contents] = words.as_slice() else { panic!("{line}") };
            let digest = Digest::of(contents.as_bytes());
            let details =
                serde_json::json!({ "filename": "new", "replaces": { "filename": filename, "digest": digest } });
            AuditRow {
                sequence: index as u64 + 1,
                action: (*action).to_owned(),
                subject: (*subject).to_owned(),
                details: details.to_string(),
            }
        };
        let rows: Vec<AuditRow> = rows.lines().enumerate().map(row).collect();
        let mut replaced = Replaced::default();
        replaced.add(&rows, &"1.2.0".parse().expect("a version"), &key("deb"), now);
        replaced.0.into_iter().map(|(name, digests)| (name.to_string(), digests.len())).collect()
    }

    #[test]
    fn all_that_ever_gave_way_is_known_and_nothing_of_other_packages() {
        let rows = "1.2.0/deb replaced tug_1_amd64.deb a\n\
                    1.2.0/deb replaced tug_1_amd64.deb b\n\
                    1.2.0/deb replaced tug_0_amd64.deb b\n\
                    1.2.0/deb declared other_1_amd64.deb c\n\
                    1.2.0/deb2 replaced other_2_amd64.deb c\n\
                    1.2.1/deb replaced other_3_amd64.deb c";
        let known = replaced(rows, &file("tug_1_amd64.deb", b"c"));
        assert_eq!(known, [("tug_0_amd64.deb".to_owned(), 1), ("tug_1_amd64.deb".to_owned(), 2)]);
    }

    #[test]
    fn what_comes_back_is_not_what_gave_way() {
        let rows = "1.2.0/deb replaced tug_1_amd64.deb a\n1.2.0/deb replaced tug_1_amd64.deb b";
        assert_eq!(replaced(rows, &file("tug_1_amd64.deb", b"a")), [("tug_1_amd64.deb".to_owned(), 1)]);
    }

    #[test]
    fn a_file_that_another_package_was_declared_with_stays() {
        let mut release = testing::release(&[("deb", "expected"), ("other", "staged")]);
        let mut replaced = Replaced::default();
        let old: Filename = "tug_1_amd64.deb".parse().expect("a file name");
        replaced.0.entry(old).or_default().insert(Digest::of(b"a"));
        let (here, elsewhere) = ("d/0".parse().expect("a distro"), "d/1".parse().expect("a distro"));
        let left = |release: &Release, distro: &Distro| {
            let package = release.packages.first().expect("the package");
            replaced.files_for(release, package, distro).count()
        };
        assert_eq!(left(&release, &here), 1);
        release.packages.last_mut().expect("the other").file = Some(file("tug_1_amd64.deb", b"a"));
        assert_eq!((left(&release, &here), left(&release, &elsewhere)), (0, 1));
        release.packages.last_mut().expect("the other").file = Some(file("tug_1_amd64.deb", b"b"));
        assert_eq!(left(&release, &here), 1);
    }
}
