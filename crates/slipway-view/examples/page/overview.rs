//! What goes on in two projects, to look at; and one in which nothing does.

use serde_json::{Value, json};
use slipway_core::api::{Activity, Glance, Project};
use slipway_view::page::{self, Reader};

use crate::{Fixture, activity};

pub(super) fn fixtures() -> Result<Vec<Fixture>, Box<dyn std::error::Error>> {
    let reader = Reader::default();
    let signed_in = Reader { name: Some("mira"), may_sign_in: true, path: "/", ..Reader::default() };
    let busy = busy()?;
    let silent = [Project { id: 1002, name: "pilot".into() }];
    let first = busy.first().ok_or("no project")?;
    Ok(vec![
        Fixture::new("overview", "/", page::overview(&busy, &latest()?, &[], &signed_in)),
        Fixture::new("overview-quiet", "/?quiet", page::overview(&quiet()?, &[], &[], &reader)),
        Fixture::new("overview-empty", "/?empty", page::overview(&[], &[], &[], &reader)),
        Fixture::new("overview-silent", "/?silent", page::overview(&quiet()?, &[], &silent, &reader)),
        Fixture::new("project", "/p/tug", page::project(first, &activity::rows()?, &reader)),
    ])
}

fn release(version: &str, state: &str, verdict: &str, counts: [u32; 3], needs: &Value, moving: &Value) -> Value {
    let [released, all, ready] = counts;
    json!({
        "version": version, "state": state, "verdict": verdict, "released": released, "all": all, "ready": ready,
        "changed_at": "2026-11-23T09:59:07.123Z", "needs": needs, "moving": moving,
    })
}

fn target(version: &str, key: &str, target: &str, state: &str, what: Option<&str>) -> Value {
    let next = match state {
        "failed" => Some(
            "Release manager: play `release: [tug-el-9-amd64]` again. If it fails again, ask the operator about the public place.",
        ),
        "expected" => Some("Build owner: look at its job in pipeline 4411."),
        _ => None,
    };
    json!({"version": version, "key": key, "target": target, "state": state, "what": what, "next": next, "since": "2026-11-23T09:52:07.123Z"})
}

/// What is staged, and goes today.
fn expiring() -> Value {
    json!({"version": "1.3.0-rc1", "key": "tug-ubuntu-focal-amd64", "target": "ubuntu/focal", "state": "staged",
           "since": "2026-11-09T08:12:07.123Z", "expires_at": "2026-11-24T07:10:00.000Z"})
}

pub(super) fn busy() -> Result<Vec<Glance>, serde_json::Error> {
    let failed = "The public place answered 502 on all 3 attempts to upload `tug-1.2.0-1.el9.x86_64.rpm`.";
    let overdue = "The other packages were staged 40 minutes ago; no job has staged this one.";
    serde_json::from_value(json!([
        {
            "project": {"id": 1001, "name": "tug"}, "at": "2026-11-23T10:04:11.000Z",
            "releases": [
                release("1.3.0-rc1", "expected", "tug 1.3.0-rc1 is not out: none of its 14 packages is released. 11 staged, 3 not staged yet.", [0, 14, 11],
                    &json!([target("1.3.0-rc1", "tug-raspbian-bookworm-armhf", "raspbian/bookworm", "expected", Some(overdue)), expiring()]), &json!([])),
                release("1.2.0", "staged", "tug 1.2.0 is out for 4 of 17 packages. 1 failed.", [4, 17, 2],
                    &json!([target("1.2.0", "tug-el-9-amd64", "el/9", "failed", Some(failed))]),
                    &json!([
                        target("1.2.0", "tug-debian-trixie-arm64", "debian/trixie", "releasing", None),
                        target("1.2.0", "tug-image", ":1.2.0", "approved", None),
                    ])),
                release("1.1.4", "complete", "tug 1.1.4 is out: all 17 packages are released.", [17, 17, 0], &json!([]), &json!([])),
                release("1.1.3", "closed", "tug 1.1.3 was given up after 2 of 17 packages.", [2, 17, 0], &json!([]), &json!([])),
            ],
        },
        {
            "project": {"id": 1002, "name": "pilot"}, "at": "2026-11-23T10:04:11.000Z",
            "stopped": {"by": "mira", "reason": "the disk of the public place is full", "at": "2026-11-23T10:01:00.000Z"},
            "releases": [
                release("4.0.1", "staged", "pilot 4.0.1 is not out: none of its 6 packages is released.", [0, 6, 6], &json!([]), &json!([])),
            ],
        },
    ]))
}

fn quiet() -> Result<Vec<Glance>, serde_json::Error> {
    serde_json::from_value(json!([{
        "project": {"id": 1001, "name": "tug"}, "at": "2026-11-23T10:04:11.000Z",
        "releases": [release("1.1.4", "complete", "tug 1.1.4 is out: all 17 packages are released.", [17, 17, 0], &json!([]), &json!([]))],
    }]))
}

fn latest() -> Result<Vec<Activity>, serde_json::Error> {
    let other = json!({
        "project": {"id": 1002, "name": "pilot"}, "at": "2026-11-23T10:04:11.000Z",
        "rows": [{"sequence": 7, "at": "2026-11-23T10:01:00.000Z", "actor": "operator user:mira", "action": "stopped", "subject": "project", "details": "{\"reason\":\"the disk of the public place is full\"}"}],
    });
    Ok(vec![activity::rows()?, serde_json::from_value(other)?])
}
