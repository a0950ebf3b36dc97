//! `slipway.toml`: what the operator decided. Read once by each host; its SHA-256 is the policy hash of approvals.

use std::collections::BTreeMap;

use serde::Deserialize;
use slipway_wire::{Base, Digest, Token};

mod events;
mod gates;
mod images;
#[cfg(test)]
mod page;
mod people;
mod retention;
mod sense;
mod swept;

pub use events::{EventKind, Events, Receiver, Trigger};
pub use gates::{Approvals, Freeze, Gate, SoakAfter};
pub use images::ImageRules;
pub use people::{Deployer, Edge, Gitlab, PipelineSource, Project, Reading};
pub use retention::{Bytes, Keeping, Retention};

use crate::cargo::Kind;
use crate::release::{Key, Maturity, Version};
use crate::route::{Glob, How, NoRoute, Route, Site, Traits, route, unknown_places};
use crate::store::not_a_repository;

/// How many transfers to one account run at a time unless the place says otherwise.
const TRANSFERS: u32 = 4;

/// The whole file, checked.
#[derive(Clone, Debug)]
pub struct Config {
    /// The edge itself.
    pub edge: Edge,
    /// The GitLab instance that it serves.
    pub gitlab: Gitlab,
    /// Accounts at package servers, by name.
    pub places: BTreeMap<String, Place>,
    /// Which versions are candidates, and which are built every night.
    pub versions: Versions,
    /// The projects that may use it.
    pub projects: Vec<Project>,
    /// Projects whose jobs say what is deployed, and nothing else.
    pub deployers: Vec<Deployer>,
    /// Which places a package goes through.
    pub routes: Vec<Route>,
    /// What packages need before they are released.
    pub gates: Vec<Gate>,
    /// How long a yes holds.
    pub approvals: Approvals,
    /// Who is told what happens to releases.
    pub events: Vec<Events>,
    /// What becomes of staged packages whose release has ended.
    pub retention: Retention,
    /// SHA-256 of the file's text.
    pub policy: Digest,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    edge: Edge,
    gitlab: Gitlab,
    places: BTreeMap<String, Place>,
    #[serde(default)]
    versions: Versions,
    #[serde(default)]
    projects: Vec<Project>,
    #[serde(default)]
    deployers: Vec<Deployer>,
    #[serde(default)]
    routes: Vec<Route>,
    #[serde(default)]
    gates: Vec<Gate>,
    #[serde(default)]
    approvals: Approvals,
    #[serde(default)]
    events: Vec<Events>,
    #[serde(default)]
    retention: Retention,
}

/// `[places.NAME]`: one account at one package server.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Place {
    /// The server's address.
    pub url: Base,
    /// What it speaks.
    pub kind: PlaceKind,
    /// The name of the secret with its API token.
    pub token: String,
    /// The user of a registry whose password that secret is.
    #[serde(default)]
    pub user: Option<String>,
    /// Where a registry may send for tokens. Without it, to its own address alone.
    #[serde(default)]
    pub realm: Option<Base>,
    /// What a registry's tokens must be for. Without it, for what it says.
    #[serde(default)]
    pub service: Option<String>,
    /// Whether the images of a registry are for those alone who have an account. Otherwise what is public there is read back
    /// as anybody would read it.
    #[serde(default)]
    pub private: bool,
    /// Addresses that its downloads may be redirected to, and that a registry may have uploads sent to.
    #[serde(default)]
    pub storage: Vec<Base>,
    /// Transfers into this account at a time.
    #[serde(default = "transfers")]
    pub transfers: u32,
    /// How many bytes the account's plan has room for.
    #[serde(default)]
    pub storage_limit: Option<Bytes>,
}

impl Place {
    /// The registry, asked with its user's password. `None` where the place is none.
    pub fn registry(&self, password: Token) -> Option<slipway_oci::Registry> {
        let user = self.user.clone().filter(|_| self.kind == PlaceKind::Registry)?;
        Some(slipway_oci::Registry {
            base: self.url.clone(),
            credential: Some(slipway_oci::Credential { user, password }),
            realm: self.realm.clone(),
            service: self.service.clone(),
            storage: self.storage.clone(),
        })
    }
}

fn transfers() -> u32 {
    TRANSFERS
}

/// What a place speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PlaceKind {
    /// packagecloud.io, packagecloud:enterprise, or `depot`.
    Packagecloud,
    /// A registry of images, by the OCI distribution specification.
    Registry,
}

impl PlaceKind {
    /// Its name in `slipway.toml`.
    pub fn code(self) -> &'static str {
        match self {
            Self::Packagecloud => "packagecloud",
            Self::Registry => "registry",
        }
    }
}

/// `[versions]`: how near to everybody a version is, by its text.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Versions {
    /// Release candidates.
    pub candidate: Vec<Glob>,
    /// Nightly builds. They are looked for first.
    pub nightly: Vec<Glob>,
}

impl Default for Versions {
    /// The ways in which GitLab's, Debian's and most others' versions say it: `17.3.1-rc1`, `17.3.1~rc1`,
    /// `17.3.1+rc42.ce.0`, `17.3.1+rnightly.7`.
    fn default() -> Self {
        let globs = |texts: &[&str]| texts.iter().map(|text| Glob::new(*text)).collect();
        Self { candidate: globs(&["*-rc*", "*~rc*", "*+rc*", "*.rc*"]), nightly: globs(&["*nightly*"]) }
    }
}

impl Versions {
    /// How near to everybody a version is.
    pub fn maturity(&self, version: &Version) -> Maturity {
        let any = |globs: &[Glob]| globs.iter().any(|glob| glob.fits(version.as_str()));
        if any(&self.nightly) {
            Maturity::Nightly
        } else if any(&self.candidate) {
            Maturity::Candidate
        } else {
            Maturity::Final
        }
    }
}

/// Why `slipway.toml` cannot be used, with every problem at once.
#[derive(Debug, thiserror::Error)]
#[error("slipway.toml cannot be used: {}", .0.join("; "))]
pub struct InvalidConfig(Vec<String>);

impl InvalidConfig {
    /// Every problem, a sentence each.
    pub fn problems(&self) -> &[String] {
        &self.0
    }
}

/// A reader's error in the words of whoever writes the file, in place of the program's.
fn in_words(error: &str) -> String {
    let words = [
        ("expected u64", "expected a whole number, without quotes"),
        ("expected u32", "expected a whole number, without quotes"),
        ("expected a boolean", "expected true or false, without quotes"),
        (
            "invalid type: map, expected a sequence",
            "a table that may be there several times is written with two brackets: `[[name]]`",
        ),
        ("expected a sequence", "expected a list, in brackets: `[\"one\", \"two\"]`"),
        ("invalid type: sequence", "invalid type: list"),
        ("invalid type: map", "invalid type: table"),
        (
            "duplicate key",
            "this name is there already; a table that may be there several times has two brackets: `[[routes]]`",
        ),
        ("unknown field", "there is no setting"),
        ("missing field", "this is missing here:"),
        ("unknown variant", "it cannot be"),
    ];
    // The last line says what is wrong. Those above show the file, which is not to be changed.
    let (shown, said) = error.trim_end().rsplit_once('\n').unwrap_or(("", error));
    let said = words.iter().fold(said.to_owned(), |said, (theirs, ours)| said.replace(theirs, ours));
    if shown.is_empty() { said } else { format!("{shown}\n{said}") }
}

impl Config {
    /// Reads and checks the file.
    pub fn parse(text: &str) -> Result<Self, InvalidConfig> {
        let file: File = toml::from_str(text).map_err(|error| InvalidConfig(vec![in_words(&error.to_string())]))?;
        let mut problems = unknown_places(&file.routes, &file.places);
        for (index, route) in file.routes.iter().enumerate() {
            for (direction, site) in [("staging", &route.staging), ("public", &route.public)] {
                let kind = file.places.get(&site.place).map_or(PlaceKind::Packagecloud, |place| place.kind);
                if let Some(why) = not_a_repository(kind, &site.repository) {
                    problems.push(format!("routes[{index}].{direction}: {why}"));
                }
            }
            let server = |site: &Site| file.places.get(&site.place).map(|place| place.url.as_str());
            if route.how == How::Move && server(&route.staging) != server(&route.public) {
                problems.push(format!(
                    "routes[{index}]: `how = \"move\"` needs staging and public at one server; copy is what goes between two"
                ));
            }
            if route.staging == route.public {
                problems.push(format!("routes[{index}]: staging and public are the same repository"));
            }
        }
        for (name, place) in &file.places {
            if place.transfers == 0 {
                problems.push(format!("places.{name}: `transfers` must be at least 1"));
            }
        }
        for (index, gate) in file.gates.iter().enumerate() {
            problems.extend(gate.problems(index));
        }
        problems.extend(people::problems(&file.edge, &file.gitlab, &file.projects, &file.deployers));
        problems.extend(events::problems(&file.events));
        problems.extend(images::problems(&file.edge, &file.places, &file.routes));
        problems.extend(retention::problems(&file.retention, &file.routes));
        problems.extend(sense::problems(&file));
        if !problems.is_empty() {
            return Err(InvalidConfig(problems));
        }
        let policy = Digest::of(text.as_bytes());
        let File { edge, gitlab, places, versions, projects, deployers, routes, gates, approvals, events, retention } =
            file;
        Ok(Self {
            edge,
            gitlab,
            places,
            versions,
            projects,
            deployers,
            routes,
            gates,
            approvals,
            events,
            retention,
            policy,
        })
    }

    /// The project that a path names, by id or by name.
    pub fn project(&self, text: &str) -> Option<&Project> {
        self.projects.iter().find(|project| project.name.as_str() == text || project.id.to_string() == text)
    }

    /// The project with GitLab's id.
    pub fn project_of_id(&self, id: u64) -> Option<&Project> {
        self.projects.iter().find(|project| project.id == id)
    }

    /// The route of a package for one distro version.
    pub fn route(
        &self,
        project: &Project,
        version: &Version,
        key: &Key,
        kind: Kind,
        architecture: Option<&str>,
        distro: &str,
    ) -> Result<&Route, NoRoute> {
        let traits = Traits {
            project: project.name.as_str(),
            version,
            maturity: self.versions.maturity(version),
            key,
            kind,
            distro,
            architecture,
        };
        route(&self.routes, &traits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"
        [edge]
        url = "https://slipway.example.com"
        [gitlab]
        url = "https://gitlab.example.com"
        token = "GITLAB_TOKEN"
        [places.staging]
        kind = "packagecloud"
        url = "https://packagecloud.io"
        token = "STAGING_TOKEN"
        [places.public]
        kind = "packagecloud"
        url = "https://packagecloud.io"
        token = "PUBLIC_TOKEN"
        [[projects]]
        id = 1001
        namespace_id = 71
        name = "tug"
        webhook_token = "WEBHOOK_TOKEN_TUG"
        [[routes]]
        staging = { place = "staging", repository = "harbour-ci/pre-release" }
        public = { place = "public", repository = "harbour/stable" }
    "#;

    #[test]
    fn a_project_is_found_by_id_and_by_name() {
        let config = Config::parse(GOOD).expect("a good file");
        assert_eq!(config.project("1001").map(|project| project.id), Some(1001));
        assert_eq!(config.project("tug").map(|project| project.id), Some(1001));
        for other in ["1002", "+1001", "01001", "1001 ", "1001.0", "Tug", ""] {
            assert!(config.project(other).is_none(), "{other:?}");
        }
        assert_eq!(config.edge.audience(), "https://slipway.example.com");
        assert_eq!(config.edge.reading, Reading::Nobody);
    }

    #[test]
    fn every_problem_is_named_at_once() {
        let bad = GOOD
            .replace(
                "place = \"public\", repository = \"harbour/stable\"",
                "place = \"pubic\", repository = \"harbour\"",
            )
            .replace("name = \"tug\"", "name = \"1001\"");
        let error = Config::parse(&bad).expect_err("three problems").to_string();
        for part in ["no place `pubic`", "`harbour`", "could be taken for an id"] {
            assert!(error.contains(part), "{part} is missing in: {error}");
        }
    }

    #[test]
    fn an_unknown_setting_is_refused() {
        assert!(Config::parse(&GOOD.replace("[gitlab]", "[gitlab]\ntokn = \"x\"")).is_err());
    }

    /// Where each package of GitLab's layout of 2017 goes: version, key, kind, distro version, architecture or `-`, and
    /// the public repository, or why there is none.
    #[test]
    fn gitlabs_layout_of_2017_sends_each_package_to_its_repository() {
        let config =
            Config::parse(include_str!("../../../../docs/operators/gitlab-2017.toml")).expect("the worked example");
        let project = config.project("omnibus-gitlab").expect("its project");
        for line in [
            "9.3.5+ce.0 ce-ubuntu-trusty deb ubuntu/trusty amd64 gitlab/gitlab-ce",
            "9.3.5+ce.0 ce-debian-jessie deb debian/jessie amd64 gitlab/gitlab-ce",
            "9.3.5+ee.0 ee-ubuntu-xenial deb ubuntu/xenial amd64 gitlab/gitlab-ee",
            "9.3.5+ee.0 ee-ubuntu-xenial deb ubuntu/xenial - gitlab/gitlab-ee",
            // One rpm, three distributions; `scientific`, and never `sc`.
            "9.3.5+ce.0 ce-el-6 rpm el/6 x86_64 gitlab/gitlab-ce",
            "9.3.5+ce.0 ce-el-6 rpm ol/6 x86_64 gitlab/gitlab-ce",
            "9.3.5+ce.0 ce-el-6 rpm scientific/6 x86_64 gitlab/gitlab-ce",
            "9.3.5+ce.0 ce-el-6 rpm sc/6 x86_64 no-route",
            "9.3.5+ee.0 ee-el-7 rpm el/7 x86_64 gitlab/gitlab-ee",
            "9.3.5+ee.0 ee-el-7 rpm ol/7 x86_64 gitlab/gitlab-ee",
            "9.3.5+ee.0 ee-el-7 rpm scientific/7 x86_64 gitlab/gitlab-ee",
            "9.3.5+ee.0 ee-opensuse rpm opensuse/42.2 x86_64 gitlab/gitlab-ee",
            "9.3.5+ee.0 ee-sles rpm sles/12.2 x86_64 gitlab/gitlab-ee",
            // Candidates of both editions share one repository, and nightly builds another.
            "9.4.0+rc1.ce.0 ce-ubuntu-xenial deb ubuntu/xenial amd64 gitlab/unstable",
            "9.4.0+rc3.ee.0 ee-el-7 rpm scientific/7 x86_64 gitlab/unstable",
            "9.4.0+rnightly.512.3f9a1c20 ce-ubuntu-xenial deb ubuntu/xenial amd64 gitlab/nightly-builds",
            "9.4.0+rnightly.512.3f9a1c20 ee-el-7 rpm el/7 x86_64 gitlab/nightly-builds",
            // Raspberry Pi comes before all else.
            "9.3.5+ce.0 ce-raspbian-jessie deb raspbian/jessie armhf gitlab/raspberry-pi2",
            "9.4.0+rc1.ce.0 ce-raspbian-jessie deb raspbian/jessie armhf gitlab/raspberry-pi2",
            "9.4.0+rnightly.512.3f9a1c20 ce-raspbian-jessie deb raspbian/jessie armhf gitlab/raspberry-pi2",
            "9.3.5+ce.0 ce-raspbian-jessie deb raspbian/jessie - no-architecture",
            "9.3.5+ce.0 ce-raspbian-jessie deb raspbian/jessie arm64 no-route",
            // Neither edition, and a distribution that nobody has thought of.
            "9.3.5 runner deb ubuntu/xenial amd64 no-route",
            "9.3.5+ce.0 ce-fedora rpm fedora/26 x86_64 no-route",
        ] {
            let words: Vec<&str> = line.split_whitespace().collect();
            let [version, key, kind, distro, architecture, repository] = words.as_slice() else { panic!("{line}") };
            let kind = kind.parse().expect("a kind");
            let architecture = Some(*architecture).filter(|named| *named != "-");
            let (version, key) = (version.parse().expect("a version"), key.parse().expect("a key"));
            let found = match config.route(project, &version, &key, kind, architecture, distro) {
                Ok(route) => {
                    assert_eq!(route.staging.repository, "gitlab/pre-release", "{line}");
                    assert_eq!(route.how, How::Copy, "{line}");
                    route.public.repository.as_str()
                }
                Err(NoRoute::NoneFits) => "no-route",
                Err(NoRoute::NamesNoArchitecture { route: 0 }) => "no-architecture",
                Err(NoRoute::NamesNoArchitecture { route }) => {
                    panic!("{line}: routes[{route}] asks for no architecture")
                }
            };
            assert_eq!(found, *repository, "{line}");
        }
    }
}
