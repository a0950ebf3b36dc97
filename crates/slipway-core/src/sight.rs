//! What is seen of a project: all of it, or what is public.
//!
//! [`public`] makes the one from the other. It takes what a stranger could find at the public place, and nothing that
//! would tell whether there is more: no number that grows with every change, no word on whether the release is complete,
//! not who approved it. A release of which nothing is public is none at all.
//!
//! Absent on purpose: `outside`, attempts, problems, a withdrawal that is under way. They are facts of the record.

use serde_json::json;
use slipway_package::{Filename, PackageKind};

use crate::api::{
    Package, PublicFile, PublicPackage, PublicProject, PublicRelease, PublicState, PublicTarget, Release, StagedFile,
    Target,
};
use crate::cargo::{Kind, registry_name};
use crate::release::Key;
use crate::verdict;

/// How much of a project somebody sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sight {
    /// All of it: whoever reads it.
    Whole,
    /// What is public.
    Public,
}

/// What is public of a release. `None` when nothing of it is or was.
pub fn public(release: &Release) -> Option<PublicRelease> {
    let packages: Vec<PublicPackage> = release.packages.iter().filter_map(package).collect();
    let at = packages.iter().flat_map(|package| &package.targets).map(|target| target.since.as_str()).max()?;
    let is_out = |package: &&PublicPackage| package.targets.iter().any(|one| one.state == PublicState::Released);
    let out = packages.iter().filter(is_out).count();
    Some(PublicRelease {
        project: PublicProject { name: release.project.name.clone() },
        version: release.version.clone(),
        verdict: verdict::public(&release.project.name, &release.version, out, packages.len() - out),
        at: at.to_owned(),
        packages,
    })
}

/// One target of what is public, in its package.
pub fn target(release: &PublicRelease, key: &Key, name: &str) -> Option<PublicPackage> {
    let package = release.packages.iter().find(|package| package.key == *key)?;
    let target = package.targets.iter().find(|target| target.name() == name)?;
    Some(PublicPackage { targets: vec![target.clone()], ..package.clone() })
}

fn package(package: &Package) -> Option<PublicPackage> {
    let targets: Vec<PublicTarget> = package.targets.iter().filter_map(public_target).collect();
    if targets.is_empty() {
        return None;
    }
    let file = package.file.as_ref()?;
    let (kind, architecture) = kind(file)?;
    let filename = (kind != Kind::Image).then(|| file.filename.clone());
    Some(PublicPackage {
        key: package.key.clone(),
        kind,
        architecture,
        file: PublicFile { filename, digest: file.digest, size: file.size },
        targets,
    })
}

fn public_target(target: &Target) -> Option<PublicTarget> {
    let state = PublicState::of(target.state)?;
    Some(PublicTarget {
        distro: target.distro.clone(),
        tag: target.tag.clone(),
        public: target.public.clone(),
        state,
        since: target.since.clone(),
        attestation: target.attestation.clone(),
    })
}

/// A public package as the record would show it if there were nothing else: for what is said of packages in general, such as
/// how one is installed.
pub fn as_read(package: &PublicPackage) -> Option<Package> {
    let file = match (&package.file.filename, package.targets.first()) {
        (Some(filename), _) => {
            json!({ "filename": filename, "digest": package.file.digest, "size": package.file.size })
        }
        (None, Some(target)) => {
            let image = format!("{}/{}", registry_name(&target.public.url), target.public.repository);
            json!({ "image": image, "digest": package.file.digest, "size": package.file.size })
        }
        (None, None) => return None,
    };
    // By its fields' names: whatever else a package has, this one has not.
    let read = json!({
        "key": package.key, "pipeline_id": 0, "release_job": "", "file": file,
        "staging": { "url": "", "repository": "" }, "targets": package.targets,
    });
    serde_json::from_value(read).ok()
}

/// What a declared file is, and what it runs on, by its name. `None` for a name that no package has.
pub fn kind(file: &StagedFile) -> Option<(Kind, Option<String>)> {
    if file.image.is_some() {
        return Some((Kind::Image, None));
    }
    let name: Filename = file.filename.parse().ok()?;
    let kind = match name.kind()? {
        PackageKind::Deb => Kind::Deb,
        PackageKind::Rpm => Kind::Rpm,
    };
    Some((kind, name.architecture().map(str::to_owned)))
}
