//! A release out of JSON that the browser has parsed.
//!
//! The types' own readers would be a third of this program, and the browser has a parser already. What no part of the page
//! shows is not read, and stands empty. The two cannot drift apart: a new field does not compile here, and a test makes
//! the page of everything both ways.

use std::str::FromStr;

use slipway_core::api::{
    Approval, Blocked, Estimate, Evidence, Location, Pace, Package, Pipeline, Problem, Project, Release, StagedFile,
    Step, Stopped, Target, Withdrawal, WithdrawalState,
};
use slipway_core::cargo::Kind;

use slipway_core::release::{ReleaseState, TargetState};
use slipway_wire::Digest;

use crate::known::Message;

/// A value of JSON, whoever parsed it.
pub(crate) trait Value: Sized {
    /// A field that is there and not null.
    fn field(&self, name: &str) -> Option<Self>;
    /// The items of a list.
    fn items(&self) -> Option<Vec<Self>>;
    /// A text.
    fn text(&self) -> Option<String>;
    /// A number that counts something.
    fn count(&self) -> Option<u64>;
    /// Yes or no.
    fn truth(&self) -> Option<bool>;
}

/// Reads a message: a release, or what has changed of it. `None` as for a release.
pub(crate) fn message<V: Value>(json: &V) -> Option<Message> {
    Some(match json.field("after") {
        None => Message { after: None, release: release(json)? },
        Some(after) => Message { after: Some(after.count()?), release: release(&json.field("release")?)? },
    })
}

/// Reads a release. `None` when something is missing or unknown, as after an update of the edge.
fn release<V: Value>(json: &V) -> Option<Release> {
    Some(Release {
        project: Project { id: 0, name: text(&json.field("project")?, "name")? },
        version: parsed(json, "version")?,
        sequence: count(json, "sequence")?,
        // The verdict says it in words.
        state: ReleaseState::Expected,
        verdict: text(json, "verdict")?,
        at: text(json, "at")?,
        estimate: optional(json, "estimate", estimate)?,
        pipelines: list(json, "pipelines", pipeline)?,
        // The verdict tells of the end of a release, and each package of who holds it.
        holds: Vec::new(),
        closed: None,
        suggests_close: optional(json, "suggests_close", |version| version.text()?.parse().ok())?,
        stopped: optional(json, "stopped", stopped)?,
        packages: list(json, "packages", package)?,
    })
}

fn stopped<V: Value>(json: &V) -> Option<Stopped> {
    Some(Stopped { by: text(json, "by")?, reason: text(json, "reason")?, at: text(json, "at")? })
}

fn estimate<V: Value>(json: &V) -> Option<Estimate> {
    Some(Estimate {
        ends_at: text(json, "ends_at")?,
        bytes_left: count(json, "bytes_left")?,
        bytes_per_second: count(json, "bytes_per_second")?,
    })
}

fn pace<V: Value>(json: &V) -> Option<Pace> {
    Some(Pace { bytes_per_second: count(json, "bytes_per_second")?, ends_at: text(json, "ends_at")? })
}

fn pipeline<V: Value>(json: &V) -> Option<Pipeline> {
    Some(Pipeline { id: count(json, "id")?, ref_name: String::new(), sha: String::new(), url: text(json, "url")? })
}

fn package<V: Value>(json: &V) -> Option<Package> {
    Some(Package {
        key: parsed(json, "key")?,
        pipeline_id: count(json, "pipeline_id")?,
        release_job: String::new(),
        job_url: optional(json, "job_url", V::text)?,
        kind: Kind::Deb,
        architecture: optional(json, "architecture", V::text)?,
        file: optional(json, "file", staged_file)?,
        replaced: Vec::new(),
        staging: nowhere(),
        blocked: list(json, "blocked", blocked).unwrap_or_default(),
        targets: list(json, "targets", target)?,
    })
}

/// Its end is in the sentence, and its kind in what to do next.
fn blocked<V: Value>(json: &V) -> Option<Blocked> {
    Some(Blocked { gate: String::new(), why: text(json, "why")?, until: None, next: optional(json, "next", V::text)? })
}

fn staged_file<V: Value>(json: &V) -> Option<StagedFile> {
    Some(StagedFile {
        filename: optional(json, "filename", V::text)?.unwrap_or_default(),
        image: optional(json, "image", V::text)?,
        digest: Digest::from_bytes([0; 32]),
        size: count(json, "size")?,
    })
}

/// Where packages are is told by a target's own page.
fn nowhere() -> Location {
    Location { url: String::new(), repository: String::new() }
}

fn target<V: Value>(json: &V) -> Option<Target> {
    Some(Target {
        distro: optional(json, "distro", V::text)?.unwrap_or_default(),
        tag: optional(json, "tag", V::text)?,
        public: nowhere(),
        state: parsed::<V, TargetState>(json, "state")?,
        since: text(json, "since")?,
        step: optional(json, "step", |step| self::step(&step.text()?))?,
        bytes: optional(json, "bytes", V::count)?,
        pace: optional(json, "pace", pace)?,
        outside: optional(json, "outside", V::truth)?.unwrap_or_default(),
        attempts: optional(json, "attempts", |count| count.count()?.try_into().ok())?.unwrap_or_default(),
        approval: optional(json, "approval", approval)?,
        attestation: None,
        problem: optional(json, "problem", problem)?,
        expires_at: optional(json, "expires_at", V::text)?,
        withdrawal: optional(json, "withdrawal", withdrawal)?.map(Box::new),
    })
}

/// Who and why. What is in its way is its problem, and the rest is for those who took it back.
fn withdrawal<V: Value>(json: &V) -> Option<Withdrawal> {
    Some(Withdrawal {
        by: text(json, "by")?,
        reason: text(json, "reason")?,
        at: String::new(),
        state: WithdrawalState::UnderWay,
        users: Vec::new(),
        notes: Vec::new(),
        problem: None,
    })
}

fn step(code: &str) -> Option<Step> {
    match code {
        "look" => Some(Step::Look),
        "copy" => Some(Step::Copy),
        "move" => Some(Step::Move),
        "carry" => Some(Step::Carry),
        "index" => Some(Step::Index),
        _ => None,
    }
}

fn approval<V: Value>(json: &V) -> Option<Approval> {
    Some(Approval { by: text(json, "by")?, via: String::new(), at: String::new(), job_url: text(json, "job_url")? })
}

fn problem<V: Value>(json: &V) -> Option<Problem> {
    Some(Problem {
        code: text(json, "code")?,
        what: text(json, "what")?,
        public: text(json, "public")?,
        retry: text(json, "retry")?,
        next: text(json, "next")?,
        evidence: optional(json, "evidence", evidence)?,
    })
}

fn evidence<V: Value>(json: &V) -> Option<Evidence> {
    Some(Evidence {
        host: text(json, "host")?,
        status: optional(json, "status", |status| status.count()?.try_into().ok())?,
        request_id: optional(json, "request_id", V::text)?,
    })
}

fn text<V: Value>(json: &V, name: &str) -> Option<String> {
    json.field(name)?.text()
}

fn count<V: Value>(json: &V, name: &str) -> Option<u64> {
    json.field(name)?.count()
}

fn parsed<V: Value, T: FromStr>(json: &V, name: &str) -> Option<T> {
    text(json, name)?.parse().ok()
}

fn list<V: Value, T>(json: &V, name: &str, item: fn(&V) -> Option<T>) -> Option<Vec<T>> {
    json.field(name)?.items()?.iter().map(item).collect()
}

/// A field that may be absent; when it is there, it must be readable.
#[expect(clippy::option_option, reason = "absent and unreadable are different answers")]
fn optional<V: Value, T>(json: &V, name: &str, read: fn(&V) -> Option<T>) -> Option<Option<T>> {
    json.field(name).map_or(Some(None), |value| read(&value).map(Some))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::examples;
    use serde_json::json;
    use slipway_view::filter::Filter;
    use slipway_view::matrix::View;
    use slipway_view::section;

    impl Value for serde_json::Value {
        fn field(&self, name: &str) -> Option<Self> {
            self.get(name).filter(|value| !value.is_null()).cloned()
        }

        fn items(&self) -> Option<Vec<Self>> {
            self.as_array().cloned()
        }

        fn text(&self) -> Option<String> {
            self.as_str().map(str::to_owned)
        }

        fn count(&self) -> Option<u64> {
            self.as_u64()
        }

        fn truth(&self) -> Option<bool> {
            self.as_bool()
        }
    }

    /// A release with every field, and with every value that a field can have.
    fn everything() -> serde_json::Value {
        let place = json!({"url": "https://packages.example", "repository": "harbour/stable"});
        let mut targets: Vec<_> = TargetState::ALL
            .iter()
            .map(|state| json!({"distro": "el/9", "public": place, "state": state.code(), "since": "2026-11-23T09:41:07Z", "attempts": 0}))
            .collect();
        for step in ["look", "copy", "move", "carry", "index"] {
            targets.push(json!({
                "distro": "ubuntu/jammy", "public": place, "state": "releasing", "since": "2026-11-23T09:41:07Z",
                "step": step, "bytes": 12_000, "pace": {"bytes_per_second": 7, "ends_at": "2026-11-23T10:05:00Z"}, "outside": true, "attempts": 3,
                "attestation": "https://slipway.example/api/v1/projects/tug/releases/1.2.0/targets/tug/ubuntu/jammy/attestation",
                "approval": {"by": "mira", "via": "job", "at": "2026-11-23T09:40:00Z", "job_url": "https://gitlab.example/1"},
                "problem": {"code": "c", "what": "w", "public": "none", "retry": "safe", "next": "n",
                    "evidence": {"host": "h", "status": 504, "request_id": "r"}},
            }));
        }
        let file =
            json!({"filename": "tug_1_amd64.deb", "digest": format!("sha256:{}", "ab".repeat(32)), "size": 24_340});
        json!({
            "project": {"id": 1001, "name": "tug"}, "version": "1.2.0", "sequence": 7, "state": "staged",
            "verdict": "v", "at": "2026-11-23T10:04:11Z",
            "estimate": {"ends_at": "2026-11-23T10:24:11Z", "bytes_left": 333, "bytes_per_second": 7},
            "stopped": {"by": "mira", "reason": "the disk is full", "at": "2026-11-23T10:01:00.000Z"},
            "pipelines": [{"id": 4411, "ref": "v1.2.0", "sha": "3f9a", "url": "https://gitlab.example/p"}],
            "packages": [
                {"key": "tug", "pipeline_id": 4411, "release_job": "release", "kind": "deb", "job_url": "https://gitlab.example/j", "architecture": "amd64", "file": file, "staging": place, "targets": targets,
                 "blocked": [{"gate": "g", "why": "w", "next": "n"}, {"gate": "h", "why": "v"}]},
                {"key": "pilot", "pipeline_id": 4411, "release_job": "release", "kind": "deb", "file": null, "staging": place, "targets": []},
            ],
        })
    }

    #[test]
    fn a_message_has_a_release_or_what_changed_of_it() {
        let whole = message(&everything()).expect("a release");
        let change = message(&json!({"after": 6, "release": everything()})).expect("a change");
        assert_eq!((whole.after, change.after), (None, Some(6)));
        assert_eq!(whole.release, change.release);
        for other in [json!({"after": 6}), json!({"after": "6", "release": everything()}), json!({}), json!([])] {
            assert!(message(&other).is_none(), "{other}");
        }
    }

    #[test]
    fn what_is_not_known_is_not_read_as_something_else() {
        for (pointer, value) in [
            ("/packages/0/targets/0/state", json!("teleported")),
            ("/packages/0/targets/12/step", json!("beam")),
            ("/packages/0/key", json!("<b>")),
            ("/packages/0/targets/12/bytes", json!("many")),
            ("/packages/0/targets/12/attempts", json!(-1)),
            ("/packages/0/targets/12/pace/ends_at", json!(7)),
            ("/packages/0/file/size", json!(null)),
            ("/packages/0/targets/12/problem/evidence/status", json!(70_000)),
            ("/estimate/ends_at", json!(7)),
            ("/stopped/by", json!(7)),
            ("/sequence", json!("7")),
            ("/pipelines", json!(null)),
        ] {
            let mut json = everything();
            *json.pointer_mut(pointer).expect("a place in the JSON") = value;
            assert_eq!(release(&json), None, "{pointer}");
        }
    }

    /// Every state with everything that a target can have beside it, and all that is told of a release as a whole.
    fn every_state_with_all_there_is() -> serde_json::Value {
        let place = json!({"url": "https://packages.example", "repository": "harbour/stable"});
        let at = "2026-11-23T09:41:07.123Z";
        let problem = json!({"code": "c", "what": "w `x`.", "public": "partly", "retry": "useless", "next": "n",
            "evidence": {"host": "h", "status": 504, "request_id": "r"}});
        let withdrawal = json!({"by": "person:7 user:mira", "reason": "wrong key", "at": at, "state": "under_way",
            "users": ["apt offers 1.1.9."], "notes": ["The index was read."], "problem": problem});
        let approval = json!({"by": "mira", "via": "webhook", "at": at, "job_url": "https://gitlab.example/1"});
        let target = |state: TargetState, name: &str| {
            let mut target = json!({"public": place, "state": state.code(), "since": at, "step": "copy",
                "bytes": 12_000, "pace": {"bytes_per_second": 7, "ends_at": at}, "outside": true, "attempts": 3, "attestation": "https://slipway.example/attestation",
                "approval": approval, "withdrawal": withdrawal, "problem": problem, "expires_at": "2026-11-30T09:41:07Z"});
            target[name] = if name == "tag" { "1.2.0" } else { "ubuntu/jammy" }.into();
            target
        };
        let digest = format!("sha256:{}", "ab".repeat(32));
        let deb = json!({"filename": "tug_1_amd64.deb", "digest": digest, "size": 24_340});
        let image = json!({"image": "registry.example/team/app", "digest": digest, "size": 24_340});
        let blocked = json!([{"gate": "freeze", "why": "It is frozen.", "until": at, "next": "wait."}, {"gate": "later", "why": "w"}]);
        let packages: Vec<_> = TargetState::ALL
            .into_iter()
            .flat_map(|state| [(state, "distro", &deb), (state, "tag", &image)])
            .map(|(state, name, file)| {
                json!({"key": format!("tug-{}-{name}", state.code()), "pipeline_id": 4411, "release_job": "release",
                    "job_url": "https://gitlab.example/j", "kind": if name == "tag" { "image" } else { "rpm" },
                    "architecture": "aarch64",
                    "file": file, "staging": place, "blocked": blocked, "targets": [target(state, name)],
                    "replaced": [{"filename": "tug_0_amd64.deb", "digest": digest}]})
            })
            .collect();
        let mut json = everything();
        json["packages"] = packages.into();
        json["suggests_close"] = "1.2.1".into();
        json["holds"] = json!([{"by": "mira", "reason": "r", "at": at, "until": at}, {"key": "tug", "by": "mira", "reason": "r", "at": at}]);
        json["closed"] = json!({"by": "mira", "reason": "r", "at": at});
        json
    }

    /// All that is rendered of a release, here or at the edge.
    fn shown(release: &Release) -> Vec<(String, String, String)> {
        let filter = Filter::default();
        let views = [View::List, View::Matrix].into_iter();
        let entries = views.flat_map(|view| {
            section::targets(release)
                .map(move |(package, target)| section::entry(release, package, target, &Filter::default(), view))
        });
        let parts = section::parts(release, &filter).into_iter().chain(entries);
        let mut shown: Vec<_> = parts.map(|part| (part.id, part.mark, part.html.into_string())).collect();
        shown.push(("title".into(), section::title(release), section::is_alarming(release).to_string()));
        for query in ["v=list", "v=matrix"] {
            let packages = section::packages(release, &Filter::from_query(query));
            shown.push(("packages".into(), String::new(), packages.into_string()));
        }
        shown
    }

    #[test]
    fn edge_and_browser_make_the_same_page_of_the_same_message() {
        let mut all = vec![everything(), every_state_with_all_there_is()];
        for example in [examples::patch_day(), examples::calm(), examples::board()] {
            all.push(serde_json::to_value(examples::judged(example).expect("an example")).expect("JSON"));
        }
        for json in &all {
            let edge: Release = serde_json::from_value(json.clone()).expect("the edge's JSON");
            let browser = release(json).expect("everything is known");
            for (browser, edge) in shown(&browser).into_iter().zip(shown(&edge)) {
                assert_eq!(browser, edge);
            }
        }
    }
}
