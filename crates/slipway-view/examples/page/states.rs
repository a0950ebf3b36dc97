//! Releases of which every target is in one state, and releases that something special is the matter with.

use serde_json::{Value, json};
use slipway_core::api::{Blocked, Closing, Hold, Problem, Release, Stopped, Target};
use slipway_core::gate::GateKind;
use slipway_core::problem::{Code, Visible};
use slipway_core::release::{Key, TargetState};
use slipway_view::page::{Act, Reader};

use crate::Fixture;
use crate::data::judged;

const AT: &str = "2026-11-23T09:41:07.123Z";

pub(super) fn fixtures(query: &str) -> Result<Vec<Fixture>, Box<dyn std::error::Error>> {
    let reader = Reader::default();
    let mut all: Vec<Fixture> =
        releases()?.into_iter().map(|(name, release)| Fixture::of(name, release, query, &reader)).collect();
    let may = [Act::Hold, Act::Lift, Act::Extend, Act::Close];
    let signed_in = Reader {
        name: Some("mira"),
        may_sign_in: true,
        path: "/p/tug/r/1.2.0-signed-in",
        may: &may,
        ..Reader::default()
    };
    all.push(Fixture::of("signed-in", judged(in_state("signed-in", TargetState::Staged))?, query, &signed_in));
    Ok(all)
}

/// A release in each state, and those that something special is the matter with, by what they are called here.
pub(super) fn releases() -> Result<Vec<(&'static str, Release)>, Box<dyn std::error::Error>> {
    let in_state = |state: TargetState| Ok((state.code(), judged(in_state(state.code(), state))?));
    let mut all = TargetState::ALL.into_iter().map(in_state).collect::<Result<Vec<_>, serde_json::Error>>()?;
    all.extend(special()?);
    Ok(all)
}

/// What can be the matter with a release, or with all of its targets, whatever their state.
fn special() -> Result<Vec<(&'static str, Release)>, Box<dyn std::error::Error>> {
    let release = |name, state| judged(in_state(name, state));
    let mut unknown = release("unknown", TargetState::Failed)?;
    give(&mut unknown, &unreachable());
    let mut drift = release("drift", TargetState::Released)?;
    give(
        &mut drift,
        &Code::Drift.problem(
            "The public index had it until 10:02 UTC and does not list it any more.",
            Visible::Nothing,
            None,
        ),
    );
    let mut blocked = release("blocked", TargetState::Staged)?;
    for (package, gate) in blocked.packages.iter_mut().zip(GateKind::ALL.into_iter().cycle().skip(2)) {
        package.blocked = vec![closed(gate)];
    }
    if let Some(first) = blocked.packages.first_mut() {
        first.blocked = GateKind::ALL.into_iter().map(closed).collect();
    }
    let mut stopped = release("stopped", TargetState::Staged)?;
    stopped.stopped = Some(Stopped {
        by: "gorm".into(),
        reason: "The public repository answers with another project's packages.".into(),
        at: AT.into(),
    });
    let mut held = release("held", TargetState::Staged)?;
    let keys: Vec<_> = held.packages.iter().map(|package| package.key.clone()).take(2).collect();
    held.holds = [None].into_iter().chain(keys.into_iter().map(Some)).map(hold).collect();
    for package in &mut held.packages {
        package.blocked = vec![closed(GateKind::Hold)];
    }
    let mut closing = release("closed", TargetState::Staged)?;
    closing.closed =
        Some(Closing { by: "mira".into(), reason: "1.2.1 has the mended signature.".into(), at: AT.into() });
    let mut suggests = release("outdated", TargetState::Staged)?;
    suggests.suggests_close = Some("1.2.1".parse()?);
    let mut expiring = release("expiring", TargetState::Staged)?;
    for target in expiring.packages.iter_mut().flat_map(|package| &mut package.targets) {
        target.expires_at = Some("2026-11-29T00:00:00.000Z".into());
    }
    let releases = [
        ("unknown", unknown),
        ("drift", drift),
        ("blocked", blocked),
        ("stopped", stopped),
        ("held", held),
        ("closed", closing),
        ("outdated", suggests),
        ("expiring", expiring),
    ];
    // The verdict counts what is blocked, and says who gave it up.
    let judged = |(name, release): (&'static str, Release)| Ok((name, judged(serde_json::to_value(release)?)?));
    releases.into_iter().map(judged).collect()
}

fn give(release: &mut Release, problem: &Problem) {
    for target in release.packages.iter_mut().flat_map(|package| &mut package.targets) {
        target.problem = Some(problem.clone());
    }
}

fn unreachable() -> Problem {
    Code::Unreachable.problem(
        "The public place gave no answer for 30 minutes, so nobody knows whether it has the file.",
        Visible::Unknown,
        None,
    )
}

fn closed(gate: GateKind) -> Blocked {
    let (why, until) = match gate {
        GateKind::Staged => ("`tug-el-9-arm64` is not staged yet.", None),
        GateKind::Deployed => ("It is not deployed to `staging` yet.", None),
        GateKind::Jobs => ("The job `smoke` of pipeline 4411 has failed.", None),
        GateKind::Soak => ("It has to run on `staging` for 2 days.", Some("2026-11-25T09:41:07.000Z")),
        GateKind::Freeze => ("Nothing is released in the freeze `year-end`.", Some("2027-01-04T00:00:00.000Z")),
        GateKind::SecondPerson => ("`mira` has staged it, so somebody else has to release it.", None),
        GateKind::Newest => ("1.2.1 is released already.", None),
        GateKind::Hold => ("`jonas.k` holds it: a customer reports data loss.", None),
    };
    Blocked { gate: gate.code().into(), why: why.into(), until: until.map(Into::into), next: Some(gate.next().into()) }
}

fn hold(key: Option<Key>) -> Hold {
    Hold {
        until: key.as_ref().map(|_| "2026-11-24T12:00:00.000Z".into()),
        key,
        by: "jonas.k".into(),
        reason: "A customer reports data loss.".into(),
        at: AT.into(),
    }
}

/// A release of debs, rpms and an image, all in one state.
fn in_state(name: &str, state: TargetState) -> Value {
    let rows = [
        ("tug-ubuntu-jammy-amd64", "deb", "amd64", vec!["ubuntu/jammy", "debian/bookworm"], "tug_1.2.0_amd64.deb"),
        ("tug-ubuntu-jammy-arm64", "deb", "arm64", vec!["ubuntu/jammy"], "tug_1.2.0_arm64.deb"),
        ("tug-ubuntu-noble-amd64", "deb", "amd64", vec!["ubuntu/noble"], "tug_1.2.0_amd64.deb"),
        ("tug-el-9-amd64", "rpm", "x86_64", vec!["el/9", "ol/9"], "tug-1.2.0-1.el9.x86_64.rpm"),
        ("tug-el-9-arm64", "rpm", "aarch64", vec!["el/9"], "tug-1.2.0-1.el9.aarch64.rpm"),
        ("tug-image", "image", "", vec![":1.2.0", ":1.2"], ""),
    ];
    let packages: Vec<Value> = rows
        .iter()
        .enumerate()
        .map(|(number, (key, kind, architecture, targets, file))| {
            let is_built = !matches!(state, TargetState::Expected | TargetState::Skipped);
            let digest = format!(
                "sha256:{}",
                format!("{:x}", 0x9e37_79b9_u64 * (number as u64 + 7)).repeat(8).get(..64).unwrap_or_default()
            );
            let file = is_built.then(|| match *kind {
                "image" => {
                    json!({"image": "registry.example/harbour/staging/tug", "digest": digest, "size": 81_340_112})
                }
                _ => json!({"filename": file, "digest": digest, "size": 2_434_011 + number * 99_173}),
            });
            let public = if *kind == "image" {
                json!({"url": "https://registry.example", "repository": "harbour/tug"})
            } else {
                json!({"url": "https://packages.example", "repository": "harbour/stable"})
            };
            let targets: Vec<Value> =
                targets.iter().enumerate().map(|(n, name)| target(state, name, n + number, &public)).collect();
            json!({
                "key": key, "kind": kind, "architecture": (!architecture.is_empty()).then_some(architecture),
                "pipeline_id": 4411, "release_job": format!("release: [{key}]"),
                "job_url": format!("https://gitlab.example/harbour/tug/-/jobs/{}", 8900 + number), "file": file,
                "staging": {"url": "https://packages.example", "repository": "harbour-ci/pre-release"},
                "targets": targets,
            })
        })
        .collect();
    json!({
        "project": {"id": 1001, "name": "tug"}, "version": format!("1.2.0-{name}"), "sequence": 42, "state": "expected",
        "verdict": "", "at": "2026-11-23T10:04:11.000Z",
        "pipelines": [{"id": 4411, "ref": "v1.2.0", "sha": "3f9a1c20e55d7b91c0de", "url": "https://gitlab.example/harbour/tug/-/pipelines/4411"}],
        "packages": packages,
        "estimate": (state == TargetState::Releasing).then(|| json!({"ends_at": "2026-11-23T10:19:00.000Z", "bytes_left": 14_800_000, "bytes_per_second": 17_000})),
    })
}

/// A target in a state, with what is known of one that is.
fn target(state: TargetState, name: &str, number: usize, public: &Value) -> Value {
    let (distro, tag) = Target::named(name);
    let mut target = json!({"distro": distro, "tag": tag, "public": public, "state": state.code(), "since": AT});
    let approval = json!({
        "by": "mira", "via": if number.is_multiple_of(2) { "webhook" } else { "job" }, "at": AT,
        "job_url": format!("https://gitlab.example/harbour/tug/-/jobs/{}", 8800 + number),
    });
    let problem = |code: Code, what: &str, public| json!(code.problem(what, public, None));
    match state {
        TargetState::Expected if number.is_multiple_of(3) => {
            target["problem"] = json!({
                "code": "overdue", "what": "The other packages were staged 40 minutes ago; no job has staged this one.",
                "public": "none", "retry": "safe", "next": "Build owner: look at its build job.",
            });
        }
        TargetState::Expected | TargetState::Staged => {}
        TargetState::Approved => target["approval"] = approval,
        TargetState::Releasing => {
            target["approval"] = approval;
            let step = ["look", "copy", "move", "carry", "index"][number % 5];
            target["step"] = json!(step);
            if matches!(step, "copy" | "carry") {
                target["bytes"] = json!(1_234_567);
                target["pace"] = json!({"bytes_per_second": 170_000, "ends_at": "2026-11-23T10:04:19.000Z"});
            }
            target["attempts"] = json!(1 + number % 3);
        }
        TargetState::Released => {
            target["approval"] = approval;
            target["attempts"] = json!(1);
            target["outside"] = json!(number.is_multiple_of(4));
            target["attestation"] =
                json!("https://slipway.example/api/v1/projects/tug/releases/1.2.0/attestations/8f2e");
        }
        TargetState::Conflict => {
            target["approval"] = approval;
            let what = "The public place has other bytes under that name: sha256:77aa0c19d2b4… there, sha256:0e2d9b41c07f… staged.";
            target["problem"] = problem(Code::Conflict, what, Visible::Done);
        }
        TargetState::Failed => {
            target["approval"] = approval;
            target["attempts"] = json!(3);
            target["problem"] =
                problem(Code::Refused, "The public place answered 502 on all 3 attempts.", Visible::Nothing);
            target["problem"]["evidence"] =
                json!({"host": "packages.example", "status": 502, "request_id": "5f1c0f4ae2"});
        }
        TargetState::Missing => {
            let what = "It was in staging at 09:21 and is not there any more.";
            target["problem"] = problem(Code::Missing, what, Visible::Nothing);
        }
        TargetState::Skipped => {
            target["problem"] = problem(Code::Skipped, "Ubuntu 20.04 has reached its end of life.", Visible::Nothing);
        }
        TargetState::Expired => target["expires_at"] = json!("2026-11-22T00:00:00.000Z"),
        TargetState::Withdrawn => {
            target["approval"] = approval;
            target["withdrawal"] = json!({
                "by": "mira", "reason": "Its service does not start.", "at": AT, "state": "withdrawn",
                "users": ["Nobody is served it any more."], "notes": ["Its attestation stays."],
            });
        }
    }
    target
}
