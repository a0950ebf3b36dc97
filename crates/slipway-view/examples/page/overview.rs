//! What leads to the releases, to look at.

use serde_json::json;
use slipway_core::api::{Project, ReleaseSummary};
use slipway_core::release::Version;
use slipway_view::page::{self, Reader};

use crate::Fixture;

pub(super) fn fixtures() -> Result<Vec<Fixture>, Box<dyn std::error::Error>> {
    let reader = Reader::default();
    let signed_in = Reader { name: Some("mira"), may_sign_in: true, path: "/", ..Reader::default() };
    let project = Project { id: 1001, name: "tug".into() };
    let other = Project { id: 1002, name: "pilot".into() };
    let versions: Vec<Version> = vec!["1.3.0-rc1".parse()?, "1.2.0".parse()?];
    Ok(vec![
        Fixture::new(
            "projects",
            "/",
            page::projects(&[(project.clone(), versions), (other.clone(), vec![])], &signed_in),
        ),
        Fixture::new("projects-none", "/?none", page::projects(&[], &reader)),
        Fixture::new("releases", "/p/tug", page::releases(&project, &summaries()?, &reader)),
        Fixture::new("releases-none", "/p/pilot", page::releases(&other, &[], &reader)),
    ])
}

fn summaries() -> Result<Vec<ReleaseSummary>, serde_json::Error> {
    serde_json::from_value(json!([
        {"version": "1.3.0-rc1", "state": "expected", "verdict": "tug 1.3.0-rc1 is not out: none of its 14 packages is released. 11 staged, 3 not staged yet."},
        {"version": "1.2.0", "state": "staged", "verdict": "tug 1.2.0 is out for 4 of 17 packages. 1 in conflict, 1 failed."},
        {"version": "1.1.4", "state": "complete", "verdict": "tug 1.1.4 is out: all 17 packages are released."},
        {"version": "1.1.3", "state": "closed", "verdict": "tug 1.1.3 was given up after 2 of 17 packages."}
    ]))
}
