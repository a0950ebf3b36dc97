//! Targets, deployments, staged against public, the status of Slipway: to look at.

use serde_json::{Value, json};
use slipway_core::api::{Against, Deployments, Release, Standing, TargetHistory};
use slipway_view::page::{self, Reader};
use slipway_view::section;

use crate::data::{judged, patch_day};
use crate::{Fixture, activity, states};

pub(super) fn fixtures() -> Result<Vec<Fixture>, Box<dyn std::error::Error>> {
    let reader = Reader::default();
    let found = page::found_in("el9", &judged(patch_day())?);
    let mut all = vec![
        Fixture::new("deployments", "/p/tug/deployments", page::deployments(&deployments()?, &reader)),
        Fixture::new("against", "/p/tug/r/1.2.0/against", page::against(&against()?, &reader)),
        Fixture::new("status", "/status", page::status(&standing()?, &[], &reader)),
        Fixture::new("search", "/search?q=el9", page::search("el9", &found, &[], &reader)),
        Fixture::new("search-none", "/search?q=nothing", page::search("nothing", &[], &[], &reader)),
        Fixture::new("keys", "/help/keys", page::help_keys(&reader)),
    ];
    let rows = activity::rows()?.rows;
    let mut target = |name: &str, release: &Release, state: &str| -> Result<(), Box<dyn std::error::Error>> {
        let history = history(release, state)?;
        let path = format!("{}/t/{}/{}", section::path(release), history.key, history.target.name());
        all.push(Fixture::new(&format!("target-{name}"), path, page::target(release, &history, &rows, &reader)));
        Ok(())
    };
    // A target in each state, and each that something special is the matter with.
    for (name, release) in states::releases()? {
        let first = release.packages.first().and_then(|package| package.targets.first()).ok_or("no target")?;
        target(name, &release, first.state.code())?;
    }
    // One beside its release.
    target("of-release", &judged(patch_day())?, "staged")?;
    Ok(all)
}

/// The target of a release that has this state first, and what was tried for it.
fn history(release: &Release, state: &str) -> Result<TargetHistory, Box<dyn std::error::Error>> {
    let mut all =
        release.packages.iter().flat_map(|package| package.targets.iter().map(move |target| (package, target)));
    let (package, target) =
        all.find(|(_, target)| target.state.code() == state).ok_or("the release has no target in that state")?;
    let attempts: Vec<Value> = match &target.problem {
        Some(problem) if target.approval.is_some() => (1..=3)
            .map(|number| {
                json!({
                    "number": number, "approval": 12, "began_at": format!("2026-11-23T09:5{number}:01.000Z"),
                    "ended_at": format!("2026-11-23T09:5{number}:41.000Z"), "act": "copy", "ended": problem.code, "problem": problem,
                })
            })
            .collect(),
        _ if state == "released" => vec![json!({
            "number": 1, "approval": 12, "began_at": "2026-11-23T09:40:01.000Z", "ended_at": "2026-11-23T09:41:07.123Z",
            "act": "copy", "ended": "accepted",
        })],
        _ => Vec::new(),
    };
    let mut target = target.clone();
    if state == "released" {
        target.attestation = Some(format!(
            "https://slipway.example/api/v1/projects/tug/releases/1.2.0/attestations/{}/{}",
            package.key, target.distro
        ));
    }
    Ok(TargetHistory { key: package.key.clone(), target, attempts: serde_json::from_value(attempts.into())? })
}

fn deployments() -> Result<Deployments, serde_json::Error> {
    let row = |environment: &str, version: &str, at: &str, is_current: bool, pipeline: Option<u64>| {
        json!({
            "environment": environment, "version": version, "at": format!("2026-11-{at}:00.000Z"), "is_current": is_current,
            "by": "job:92 user:jonas.k",
            "pipeline_url": pipeline.map(|id| format!("https://gitlab.example/harbour/fleet/-/pipelines/{id}")),
        })
    };
    serde_json::from_value(json!({
        "project": {"id": 1001, "name": "tug"}, "at": "2026-11-23T10:04:11.000Z",
        "rows": [
            row("production", "1.1.4", "20T08:10", true, Some(5310)), row("canary", "1.2.0", "23T09:50", true, Some(5402)),
            row("production", "1.1.3", "06T08:02", false, None), row("canary", "1.1.4", "19T07:30", false, Some(5288)),
        ],
    }))
}

fn against() -> Result<Against, serde_json::Error> {
    let file = |version: &str, name: &str, digit: &str, size: u64, depends: Value| {
        json!({
            "version": version, "name": name, "digest": format!("sha256:{}", digit.repeat(64)), "size": size, "depends": depends,
        })
    };
    let needs = |on: &[&str]| json!([{"context": "depends", "on": on}]);
    serde_json::from_value(json!({
        "project": {"id": 1001, "name": "tug"}, "version": "1.2.0", "before": "1.1.4", "at": "2026-11-23T10:04:11.000Z",
        "rows": [
            {"key": "tug-debian-bookworm-amd64",
             "public": file("1.1.4", "tug_1.1.4_amd64.deb", "7", 2_401_000, needs(&["libc6 (>= 2.36)", "libssl3", "zlib1g"])),
             "staged": file("1.2.0", "tug_1.2.0_amd64.deb", "a", 2_434_011, needs(&["libc6 (>= 2.36)", "libssl3t64", "zlib1g"]))},
            {"key": "tug-doc", "public": file("1.1.4", "tug-doc_1.1.4_all.deb", "5", 90_210, Value::Null),
             "staged": file("1.2.0", "tug-doc_1.2.0_all.deb", "5", 90_210, Value::Null)},
            {"key": "tug-el-9-arm64", "staged": file("1.2.0", "tug-1.2.0-1.el9.aarch64.rpm", "c", 2_533_184, Value::Null)},
            {"key": "tug-old-arm64", "public": file("1.1.4", "tug_1.1.4_arm64.deb", "9", 2_320_900, Value::Null)},
            {"key": "tug-raspbian-bookworm-armhf", "why": "No job has staged it yet."},
        ],
    }))
}

fn standing() -> Result<Standing, serde_json::Error> {
    serde_json::from_value(json!({
        "build": "0.6.0", "at": "2026-11-23T10:04:11.000Z",
        "projects": [
            {"project": {"id": 1001, "name": "tug"}, "hints_open": 2, "oldest_hint_at": "2026-11-23T10:03:40.000Z",
             "last_webhook_at": "2026-11-23T10:04:02.000Z", "sockets": 3,
             "sources": [
                {"read_at": "2026-11-23T10:04:07.000Z"},
                {"place": "staging", "read_at": "2026-11-23T10:03:59.000Z"},
                {"place": "public", "read_at": "2026-11-23T09:31:12.000Z", "trouble": "packages.example answered 503 at `GET /api/v1/repos/harbour/stable/packages.json`."},
             ]},
            {"project": {"id": 1002, "name": "pilot"}, "hints_open": 0, "sockets": 0, "sources": [{}],
             "stopped": {"by": "mira", "reason": "the disk of the public place is full", "at": "2026-11-23T10:01:00.000Z"}},
        ],
    }))
}
