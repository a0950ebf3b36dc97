//! What applies to a project's releases, for people who want to know before they play anything.

use crate::api;
use crate::config::{Config, Gate, Project, SoakAfter};
use crate::gate::{moment, span};
use crate::route::{Glob, Route, Site};

/// The policy of a project.
pub fn policy(config: &Config, project: &Project) -> api::Policy {
    let name = project.name.as_str();
    let is_for = |globs: &[Glob]| globs.iter().any(|glob| glob.fits(name));
    api::Policy {
        project: api::Project { id: project.id, name: project.name.to_string() },
        policy: config.policy,
        approvals_lapse: span(config.approvals.lapse),
        gates: config.gates.iter().filter(|gate| is_for(&gate.projects)).map(gate).collect(),
        routes: config.routes.iter().filter(|route| is_for(&route.projects)).map(route).collect(),
    }
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
    asks
}

fn route(route: &Route) -> api::PolicyRoute {
    let site = |Site { place, repository }: &Site| format!("{place}/{repository}");
    api::PolicyRoute {
        versions: texts(&route.versions),
        keys: texts(&route.keys),
        distros: texts(&route.distros),
        staging: site(&route.staging),
        public: site(&route.public),
        how: route.how,
    }
}
