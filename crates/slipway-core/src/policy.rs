//! What applies to a project's releases, for people who want to know before they play anything.

use std::collections::BTreeSet;

use slipway_package::Series;

use crate::api;
use crate::config::{Config, Gate, Place, Project, SoakAfter};
use crate::gate::{moment, span};
use crate::route::{FloatingTag, Glob, Route, Site};

/// The policy of a project.
pub fn policy(config: &Config, project: &Project) -> api::Policy {
    let name = project.name.as_str();
    let is_for = |globs: &[Glob]| globs.iter().any(|glob| glob.fits(name));
    let routes: Vec<&Route> = config.routes.iter().filter(|route| is_for(&route.projects)).collect();
    api::Policy {
        project: api::Project { id: project.id, name: project.name.to_string() },
        policy: config.policy,
        releasers: api::PolicyReleasers {
            people: project.release_people.clone(),
            levels: project.release_levels.clone(),
            protected_environment: project.protected_environment,
            refs: texts(&project.refs),
            pipeline_sources: project.pipeline_sources.clone(),
        },
        approvals_lapse: span(config.approvals.lapse),
        gates: config.gates.iter().filter(|gate| is_for(&gate.projects)).map(gate).collect(),
        routes: routes.iter().copied().map(route).collect(),
        places: places(config, &routes),
    }
}

/// The places that routes name, each with the repositories that they use there.
fn places(config: &Config, routes: &[&Route]) -> Vec<api::PolicyPlace> {
    let repositories = |name: &str, site: fn(&Route) -> &Site| {
        let own = routes.iter().map(|route| site(route)).filter(|site| site.place == name);
        own.map(|site| site.repository.clone()).collect::<BTreeSet<_>>().into_iter().collect::<Vec<_>>()
    };
    let place = |(name, place): (&String, &Place)| api::PolicyPlace {
        name: name.clone(),
        kind: place.kind.code().to_owned(),
        url: place.url.to_string(),
        realm: place.realm.as_ref().map(ToString::to_string),
        service: place.service.clone(),
        storage: place.storage.iter().map(ToString::to_string).collect(),
        staging: repositories(name, |route| &route.staging),
        public: repositories(name, |route| &route.public),
    };
    let named = config.places.iter().map(place);
    named.filter(|place| !(place.staging.is_empty() && place.public.is_empty())).collect()
}

fn texts(globs: &[Glob]) -> Vec<String> {
    globs.iter().map(ToString::to_string).collect()
}

fn gate(gate: &Gate) -> api::PolicyGate {
    api::PolicyGate {
        versions: texts(&gate.versions),
        maturities: gate.maturities.clone(),
        keys: texts(&gate.keys),
        asks: asks(gate),
        jobs: gate.jobs.clone(),
        override_people: gate.override_people.clone(),
    }
}

/// What a gate asks for.
fn asks(gate: &Gate) -> Vec<String> {
    let names = |names: &[String]| names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    let mut asks = Vec::new();
    if gate.staged {
        asks.push("Every package of the release is staged.".to_owned());
    }
    if !gate.deployed.is_empty() {
        asks.push(format!("What is staged is deployed to {}.", names(&gate.deployed)));
    }
    if !gate.jobs.is_empty() {
        asks.push(format!("In the package's pipeline, {} succeeded.", names(&gate.jobs)));
    }
    if let Some(soak) = gate.soak {
        let place = match gate.soak_after {
            SoakAfter::Staged => "staged".to_owned(),
            SoakAfter::Deployed => format!("deployed to {}", names(&gate.deployed)),
        };
        asks.push(format!("It is {place} for {}.", span(soak)));
    }
    for freeze in &gate.freeze {
        let why = freeze.why.trim().trim_end_matches('.');
        asks.push(format!("It is not between {} and {}: {why}.", moment(freeze.from), moment(freeze.until)));
    }
    if gate.second_person {
        asks.push("Who plays the release job has not started the pipeline.".to_owned());
    }
    match gate.newest {
        None => {}
        Some(Series::All) => asks.push("No higher version of it is released.".to_owned()),
        Some(Series::Major) => asks.push("No higher version of it is released in its major series.".to_owned()),
        Some(Series::Minor) => asks.push("No higher version of it is released in its minor series.".to_owned()),
    }
    asks
}

fn route(route: &Route) -> api::PolicyRoute {
    let site = |Site { place, repository }: &Site| format!("{place}/{repository}");
    api::PolicyRoute {
        versions: texts(&route.versions),
        maturities: route.maturities.clone(),
        keys: texts(&route.keys),
        kinds: route.kinds.clone(),
        distros: texts(&route.distros),
        architectures: texts(&route.architectures),
        staging: site(&route.staging),
        public: site(&route.public),
        how: route.how,
        referrers: route.referrers,
        attest: route.attest,
        floating: route.floating.iter().map(floating).collect(),
    }
}

fn floating(FloatingTag { tag, of }: &FloatingTag) -> api::PolicyFloating {
    api::PolicyFloating { tag: tag.clone(), of: *of }
}

#[cfg(test)]
mod tests {
    use slipway_gitlab::AccessLevel;

    use super::*;
    use crate::config::PipelineSource;

    const FILE: &str = r#"
        [edge]
        url = "https://slipway.example.com"
        operator_token = "OPERATOR_SECRET"
        signing_key = "SIGNING_SECRET"
        [gitlab]
        url = "https://gitlab.example.com"
        token = "GITLAB_SECRET"
        [places.staging]
        kind = "packagecloud"
        url = "https://staging.example.com"
        token = "STAGING_SECRET"
        storage = ["https://storage.example.com"]
        [places.public]
        kind = "packagecloud"
        url = "https://public.example.com"
        token = "PUBLIC_SECRET"
        [places.elsewhere]
        kind = "packagecloud"
        url = "https://elsewhere.example.com"
        token = "ELSEWHERE_SECRET"
        [[projects]]
        id = 1001
        namespace_id = 71
        name = "tug"
        webhook_token = "WEBHOOK_SECRET"
        refs = ["v*"]
        release_people = [7, 19]
        release_levels = ["maintainer", "owner"]
        protected_environment = true
        [[projects]]
        id = 1002
        namespace_id = 71
        name = "pilot"
        webhook_token = "WEBHOOK_SECRET"
        [[routes]]
        projects = ["tug"]
        keys = ["ee-*"]
        staging = { place = "staging", repository = "ci/ee" }
        public = { place = "public", repository = "harbour/ee" }
        [[routes]]
        projects = ["tug"]
        staging = { place = "staging", repository = "ci/ce" }
        public = { place = "public", repository = "harbour/ee" }
        [[routes]]
        projects = ["pilot"]
        staging = { place = "staging", repository = "ci/pilot" }
        public = { place = "elsewhere", repository = "harbour/pilot" }
        [[gates]]
        jobs = ["qa"]
        override_people = [3]
    "#;

    /// Images beside packages, with everything that a route can ask for.
    const ROUTES: &str = r#"
        [places.registry]
        kind = "registry"
        url = "https://registry.example.com"
        user = "slipway"
        token = "REGISTRY_SECRET"
        [[routes]]
        projects = ["barge"]
        kinds = ["image"]
        staging = { place = "registry", repository = "team/app/staging" }
        public = { place = "registry", repository = "team/app" }
        referrers = true
        attest = true
        floating = [{ tag = "latest", of = "final" }, { tag = "{major}-rc", of = "candidate" }]
        [[routes]]
        projects = ["barge"]
        maturities = ["candidate"]
        kinds = ["rpm"]
        architectures = ["aarch64"]
        staging = { place = "staging", repository = "ci/barge" }
        public = { place = "public", repository = "harbour/unstable" }
        [[projects]]
        id = 1003
        namespace_id = 71
        name = "barge"
        webhook_token = "WEBHOOK_SECRET"
    "#;

    #[test]
    fn a_route_says_everything_that_it_asks_for_and_which_tags_it_moves() {
        let config = Config::parse(&format!("{FILE}{ROUTES}")).expect("a good file");
        let said = policy(&config, config.project("barge").expect("the project")).routes;
        let said = serde_json::to_value(said).expect("JSON");
        let expected = serde_json::json!([
            { "versions": ["*"], "maturities": ["final", "candidate", "nightly"], "keys": ["*"], "kinds": ["image"],
              "distros": ["*"], "architectures": ["*"], "staging": "registry/team/app/staging",
              "public": "registry/team/app", "how": "copy", "referrers": true, "attest": true,
              "floating": [{ "tag": "latest", "of": "final" }, { "tag": "{major}-rc", "of": "candidate" }] },
            { "versions": ["*"], "maturities": ["candidate"], "keys": ["*"], "kinds": ["rpm"], "distros": ["*"],
              "architectures": ["aarch64"], "staging": "staging/ci/barge", "public": "public/harbour/unstable",
              "how": "copy" },
        ]);
        assert_eq!(said, expected);
    }

    fn policy_of(name: &str) -> api::Policy {
        let config = Config::parse(FILE).expect("a good file");
        policy(&config, config.project(name).expect("the project"))
    }

    #[test]
    fn it_says_who_may_release_and_who_may_override() {
        let tug = policy_of("tug");
        let expected = api::PolicyReleasers {
            people: Some(vec![7, 19]),
            levels: Some(vec![AccessLevel::Maintainer, AccessLevel::Owner]),
            protected_environment: true,
            refs: vec!["v*".to_owned()],
            pipeline_sources: vec![PipelineSource::Push, PipelineSource::Web, PipelineSource::Schedule],
        };
        assert_eq!(tug.releasers, expected);
        assert_eq!(
            (tug.gates[0].override_people.as_slice(), tug.gates[0].jobs.as_slice()),
            ([3].as_slice(), ["qa".to_owned()].as_slice())
        );
        let pilot = policy_of("pilot").releasers;
        assert_eq!((pilot.people, pilot.levels, pilot.protected_environment), (None, None, false));
    }

    #[test]
    fn it_says_where_the_projects_own_places_are_and_names_no_secret() {
        let tug = policy_of("tug");
        let place = |name: &str, storage: &[&str], staging: &[&str], public: &[&str]| {
            let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
            api::PolicyPlace {
                name: name.to_owned(),
                kind: "packagecloud".to_owned(),
                url: format!("https://{name}.example.com"),
                realm: None,
                service: None,
                storage: texts(storage),
                staging: texts(staging),
                public: texts(public),
            }
        };
        let expected = [
            place("public", &[], &[], &["harbour/ee"]),
            place("staging", &["https://storage.example.com"], &["ci/ce", "ci/ee"], &[]),
        ];
        assert_eq!(tug.places, expected);
        let said = serde_json::to_string(&tug).expect("JSON");
        assert!(!said.contains("SECRET"), "{said}");
    }
}
