//! Releases for tests, from their keys and states.

use slipway_core::api::{Location, Package, Problem, Project, Release, StagedFile, Target};
use slipway_core::cargo::Kind;
use slipway_core::release::ReleaseState;
use slipway_wire::Digest;

/// A release of packages, each with its targets' states as words; the distros are `d/0`, `d/1` and so on.
pub(crate) fn release(packages: &[(&str, &str)]) -> Release {
    let place = |name: &str| Location { url: "https://packages.example.com".to_owned(), repository: name.to_owned() };
    let target = |(number, state): (usize, &str)| Target {
        distro: format!("d/{number}"),
        tag: None,
        public: place("harbour/stable"),
        state: state.parse().expect("a state's code"),
        since: "2026-11-23T08:15:12.000Z".to_owned(),
        step: None,
        bytes: None,
        pace: None,
        outside: false,
        attempts: 0,
        approval: None,
        attestation: None,
        withdrawal: None,
        problem: None,
        expires_at: None,
    };
    let package = |(key, states): &(&str, &str)| Package {
        key: key.parse().expect("a key"),
        pipeline_id: 1,
        release_job: format!("release: [{key}]"),
        job_url: None,
        kind: Kind::Deb,
        architecture: None,
        file: Some(StagedFile {
            filename: format!("{key}_1.2.0_amd64.deb"),
            image: None,
            digest: Digest::of(b""),
            size: 0,
        }),
        replaced: Vec::new(),
        staging: place("harbour-ci/pre-release"),
        blocked: Vec::new(),
        targets: states.split_whitespace().enumerate().map(target).collect(),
    };
    Release {
        project: Project { id: 1001, name: "tug".to_owned() },
        version: "1.2.0".parse().expect("a version"),
        sequence: 1,
        state: ReleaseState::Expected,
        verdict: "1 of 3 packages is awaited".to_owned(),
        at: "2026-11-23T09:00:00.000Z".to_owned(),
        estimate: None,
        holds: Vec::new(),
        closed: None,
        suggests_close: None,
        stopped: None,
        pipelines: Vec::new(),
        packages: packages.iter().map(package).collect(),
    }
}

/// The first target.
pub(crate) fn target(release: &mut Release) -> &mut Target {
    release.packages.iter_mut().flat_map(|package| &mut package.targets).next().expect("a release with a target")
}

/// A problem that a person can mend.
pub(crate) fn problem() -> Problem {
    Problem {
        code: "unreachable".to_owned(),
        what: "The server answered 504.".to_owned(),
        public: "none".to_owned(),
        retry: "safe".to_owned(),
        next: "Play the job again.".to_owned(),
        evidence: None,
    }
}
