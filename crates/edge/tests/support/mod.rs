//! What the stories of the edge begin with: a project, its configuration, and a package of it that is planned and staged.
//!
//! What is asked and answered is each story's own.
#![allow(dead_code, reason = "each test uses what it needs of it")]

use slipway_core::api::{Expectation, StagedFile};
use slipway_core::cargo::Kind;
use slipway_core::config::Config;
use slipway_core::expectation::Planned;
use slipway_core::promotion::OrderTarget;
use slipway_core::release::{Key, Maturity, Version};
use slipway_core::route::{How, Site};
use slipway_core::secret::JobSession;
use slipway_core::time::Timestamp;
use slipway_ledger::rusqlite::Database;
use slipway_ledger::{Record, Sight};
use slipway_wire::Digest;

/// 2026-11-23 00:00:00 UTC.
pub(crate) const NOW: Timestamp = Timestamp(1_795_392_000_000);
pub(crate) const PROJECT: u64 = 1001;
pub(crate) const PIPELINE: u64 = 7;
pub(crate) const JAMMY: &str = "ubuntu/jammy";
pub(crate) const STAGING: &str = "harbour-ci/pre-release";
pub(crate) const STABLE: &str = "harbour/stable";

const CONFIG: &str = r#"
    [edge]
    url = "https://slipway.example.com"
    [gitlab]
    url = "https://gitlab.example.com"
    token = "GITLAB_TOKEN"
    [places.depot]
    kind = "packagecloud"
    url = "https://packages.example.com"
    token = "PLACE_TOKEN"
    [[routes]]
    staging = { place = "depot", repository = "harbour-ci/pre-release" }
    public = { place = "depot", repository = "harbour/stable" }
    [[projects]]
    id = 1001
    namespace_id = 71
    name = "tug"
    webhook_token = "WEBHOOK_TOKEN"
"#;

/// A file whose project goes on so, with whatever comes after.
pub(crate) fn config(more: &str) -> Config {
    Config::parse(&format!("{CONFIG}{more}")).unwrap_or_else(|error| panic!("{more}: {error}"))
}

/// The same, with these lines about GitLab.
pub(crate) fn config_of_gitlab(lines: &str, more: &str) -> Config {
    let text = CONFIG.replace("token = \"GITLAB_TOKEN\"", &format!("token = \"GITLAB_TOKEN\"\n    {lines}"));
    Config::parse(&format!("{text}{more}")).unwrap_or_else(|error| panic!("{lines} {more}: {error}"))
}

pub(crate) fn version() -> Version {
    "1.2.0".parse().expect("a version")
}

pub(crate) fn key(name: &str) -> Key {
    name.parse().expect("a key")
}

pub(crate) fn site(repository: &str) -> Site {
    Site { place: "depot".to_owned(), repository: repository.to_owned() }
}

/// The name of a package's manual job.
pub(crate) fn release_job(name: &str) -> String {
    format!("release: [{name}]")
}

/// A job of a pipeline of the project.
pub(crate) fn session(pipeline_id: u64) -> JobSession {
    JobSession {
        project_id: PROJECT,
        project_path: "harbour/tug".to_owned(),
        pipeline_id,
        job_id: 1,
        user: "mira".to_owned(),
        user_id: 7,
        user_level: None,
        environment: None,
        environment_protected: false,
        ref_name: "v1.2.0".to_owned(),
        sha: "aa".to_owned(),
        token_id: "t".to_owned(),
        ends_at: NOW,
    }
}

/// A package that is expected for these distro versions.
pub(crate) fn planned(name: &str, distros: &[&str]) -> Planned {
    let target = |distro: &&str| OrderTarget { distro: (*distro).to_owned(), public: site(STABLE), how: How::Copy };
    Planned {
        key: key(name),
        expect: Expectation {
            distros: distros.iter().map(|distro| (*distro).to_owned()).collect(),
            tags: Vec::new(),
            kind: Kind::Deb,
            architecture: None,
            release_job: release_job(name),
            environment: format!("release/{name}"),
            release_all_job: None,
            release_all_environment: None,
            skip: None,
        },
        staging: site(STAGING),
        targets: distros.iter().map(target).collect(),
    }
}

/// A record of the project in which nothing has happened yet.
pub(crate) fn record() -> Record<Database> {
    let record = Record::open(Database::in_memory()).expect("a fresh record");
    record.know_project(PROJECT).expect("its project");
    record
}

/// Plans a package, declares its file, and sees that in staging.
pub(crate) fn stage(record: &Record<Database>, name: &str, distros: &[&str], filename: &str, contents: &[u8]) {
    let (by, policy) = (session(PIPELINE), Digest::of(b"policy"));
    record.expect(&version(), &by, &policy, Maturity::Final, &[planned(name, distros)], NOW).expect("a plan");
    let digest = Digest::of(contents);
    let file = StagedFile { filename: filename.to_owned(), image: None, digest, size: 3 };
    record.declare(&version(), &key(name), &file, false, &by, NOW).expect("a declaration");
    for distro in distros {
        record.seen_in_staging(&version(), &key(name), distro, &digest, &Sight::Declared, NOW).expect("a look");
    }
}
