//! The API's description, as `GET /openapi.json` gives it. It is written by hand, for people; a test holds it to the types.

/// The OpenAPI 3.1 document.
pub const OPENAPI: &str = include_str!("../openapi.json");

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::{Value, json};

    use super::*;
    use crate::api;
    use crate::release::TargetState;

    fn document() -> Value {
        serde_json::from_str(OPENAPI).expect("the document is JSON")
    }

    /// A value in which every field is there, read into the type and written again.
    fn check<T: serde::Serialize + for<'de> serde::Deserialize<'de>>(schema: &str, sample: Value) {
        let document = document();
        let schema = &document["components"]["schemas"][schema];
        let names = |value: &Value| value.as_object().expect("an object").keys().cloned().collect::<BTreeSet<_>>();
        let written = serde_json::to_value(serde_json::from_value::<T>(sample).expect("a full sample")).expect("JSON");
        assert_eq!(names(&schema["properties"]), names(&written), "{schema}");

        // A field that is not required can be left out; one that is cannot.
        for name in names(&written) {
            let mut less = written.clone();
            less.as_object_mut().expect("an object").remove(&name);
            let is_required = schema["required"].as_array().expect("a list").contains(&json!(name));
            let nullable = written[&name].is_null() || schema["properties"][&name].get("oneOf").is_some();
            assert_eq!(serde_json::from_value::<T>(less).is_err(), is_required && !nullable, "{name}");
        }
    }

    fn file() -> Value {
        json!({ "filename": "tug_1_amd64.deb", "image": "r.example.com/a", "digest": format!("sha256:{}", "0".repeat(64)),
                "size": 1 })
    }

    fn expectation() -> Value {
        json!({ "distros": ["ubuntu/jammy"], "tags": ["1"], "kind": "deb", "architecture": "amd64", "release_job": "release: [k]",
                "environment": "release/k", "release_all_job": "all", "release_all_environment": "release/all", "skip": "why" })
    }

    fn location() -> Value {
        json!({ "url": "https://p.example.com", "repository": "a/b" })
    }

    fn approval() -> Value {
        json!({ "by": "mira", "via": "job", "at": "2026-11-23T10:00:00.000Z", "job_url": "https://g.example.com" })
    }

    fn problem() -> Value {
        json!({ "code": "conflict", "what": "w", "public": "none", "retry": "safe", "next": "n",
                "evidence": evidence() })
    }

    fn evidence() -> Value {
        json!({ "host": "p.example.com", "status": 504, "request_id": "r1" })
    }

    fn attempt() -> Value {
        json!({ "number": 1, "approval": 1, "began_at": "", "ended_at": "", "act": "copy", "ended": "trouble",
                "problem": problem() })
    }

    fn estimate() -> Value {
        json!({ "ends_at": "", "bytes_left": 1, "bytes_per_second": 1 })
    }

    fn pace() -> Value {
        json!({ "bytes_per_second": 1, "ends_at": "" })
    }

    fn target() -> Value {
        json!({ "distro": "ubuntu/jammy", "tag": "1", "public": location(), "state": "releasing", "since": "", "step": "copy",
                "bytes": 1, "pace": pace(), "outside": true, "attempts": 1, "approval": approval(), "attestation": "https://s.example.com",
                "withdrawal": withdrawal(), "problem": problem(), "expires_at": "" })
    }

    fn replaced() -> Value {
        json!({ "filename": "tug_1_amd64.deb", "digest": format!("sha256:{}", "0".repeat(64)) })
    }

    fn package() -> Value {
        json!({ "key": "k", "pipeline_id": 1, "release_job": "r", "job_url": "https://g.example.com", "kind": "rpm",
                "architecture": "x86_64", "file": file(), "replaced": [replaced()], "staging": location(),
                "blocked": [blocked()], "targets": [target()] })
    }

    fn blocked() -> Value {
        json!({ "gate": "soak", "why": "w", "until": "2026-11-23T10:00:00.000Z", "next": "n" })
    }

    fn hold() -> Value {
        json!({ "key": "k", "by": "mira", "reason": "r", "at": "", "until": "" })
    }

    fn withdrawal() -> Value {
        json!({ "by": "mira", "reason": "r", "at": "", "state": "not_withdrawn", "users": ["u"], "notes": ["n"],
                "problem": problem() })
    }

    fn closing() -> Value {
        json!({ "by": "mira", "reason": "r", "at": "" })
    }

    fn policy_gate() -> Value {
        json!({ "versions": ["*"], "maturities": ["final"], "keys": ["*"], "asks": ["a"], "jobs": ["qa"],
                "override_people": [7] })
    }

    fn policy_releasers() -> Value {
        json!({ "people": [7], "levels": ["maintainer"], "protected_environment": true, "refs": ["v*"],
                "pipeline_sources": ["push"] })
    }

    fn policy_place() -> Value {
        json!({ "name": "s", "kind": "registry", "url": "https://p.example.com", "realm": "https://a.example.com/token",
                "service": "r", "storage": [], "staging": ["a/b"], "public": [] })
    }

    fn policy_route() -> Value {
        json!({ "versions": ["*"], "maturities": ["final"], "keys": ["*"], "kinds": ["image"], "distros": ["*"],
                "architectures": ["*"], "staging": "s/a/b", "public": "p/a/b", "how": "copy", "referrers": true,
                "attest": true, "floating": [policy_floating()] })
    }

    fn policy_floating() -> Value {
        json!({ "tag": "latest", "of": "final" })
    }

    fn pipeline() -> Value {
        json!({ "id": 1, "ref": "v1", "sha": "aa", "url": "https://g.example.com" })
    }

    fn project() -> Value {
        json!({ "id": 1, "name": "tug" })
    }

    #[test]
    #[allow(clippy::too_many_lines, reason = "a line for each schema")]
    fn the_document_names_every_field_and_no_other() {
        check::<api::SessionRequest>("SessionRequest", json!({ "id_token": "t" }));
        let session = json!({ "session": "s", "expires_at": "", "project": project(), "pipeline_id": 1, "job_id": 1 });
        check::<api::Session>("Session", session);
        check::<api::SignIn>("SignIn", json!({ "gitlab": "g", "application": "a" }));
        let key = json!({ "id": "00000000", "key": format!("{}=", "A".repeat(43)), "verifier_key": "v", "pem": "p", "is_current": true });
        check::<api::SigningKey>("SigningKey", key.clone());
        check::<api::SigningKeys>("SigningKeys", json!({ "name": "n", "keys": [key] }));
        check::<api::PersonSessionRequest>("PersonSessionRequest", json!({ "access_token": "t" }));
        let person = json!({ "id": 7, "username": "mira" });
        check::<api::PersonSession>("PersonSession", json!({ "session": "s", "expires_at": "", "user": person }));
        check::<api::Person>("Person", person);
        check::<api::Project>("Project", project());
        let patch = json!({ "key": "k", "expect": expectation(), "staged": file(), "replace": true });
        check::<api::ReleasePatch>("ReleasePatch", json!({ "packages": [patch] }));
        check::<api::PackagePatch>("PackagePatch", patch);
        check::<api::Expectation>("Expectation", expectation());
        check::<api::StagedFile>("StagedFile", file());
        let release = json!({ "project": project(), "version": "1", "sequence": 1, "state": "staged", "verdict": "", "at": "",
                              "estimate": estimate(), "pipelines": [pipeline()], "holds": [hold()], "closed": closing(), "suggests_close": "2",
                              "stopped": closing(),
                              "packages": [package()] });
        check::<api::Release>("Release", release.clone());
        check::<api::LiveFrame>("LiveFrame", json!({ "after": 1, "release": release }));
        check::<api::Pipeline>("Pipeline", pipeline());
        check::<api::Package>("Package", package());
        check::<api::ReplacedFile>("ReplacedFile", replaced());
        check::<api::Location>("Location", location());
        check::<api::Target>("Target", target());
        check::<api::Approval>("Approval", approval());
        check::<api::Problem>("Problem", problem());
        check::<api::Evidence>("Evidence", evidence());
        check::<api::Attempt>("Attempt", attempt());
        check::<api::Estimate>("Estimate", estimate());
        check::<api::Pace>("Pace", pace());
        let history = json!({ "key": "k", "target": target(), "attempts": [attempt()] });
        check::<api::TargetHistory>("TargetHistory", history);
        check::<api::CarryRequest>("CarryRequest", json!({ "key": "k", "distro": "el/9", "tag": "1" }));
        check::<api::PromotionRequest>("PromotionRequest", json!({ "keys": ["k"], "all": true }));
        let refused = json!({ "key": "k", "kind": "gate-closed", "why": "w" });
        check::<api::RefusedKey>("RefusedKey", refused.clone());
        let accepted = json!({ "keys": ["k"], "refused": [refused], "follow": "" });
        check::<api::PromotionAccepted>("PromotionAccepted", accepted);
        check::<api::Blocked>("Blocked", blocked());
        check::<api::Hold>("Hold", hold());
        check::<api::Closing>("Closing", closing());
        check::<api::HoldRequest>("HoldRequest", json!({ "keys": ["k"], "reason": "r", "until": "" }));
        check::<api::ExtensionRequest>("ExtensionRequest", json!({ "keys": ["k"], "until": "", "reason": "r" }));
        let staged = json!({ "place": "p", "bytes": 1, "limit": 2, "all": 1 });
        check::<api::StagedBytes>("StagedBytes", staged.clone());
        let retained = json!({ "version": "1", "key": "k", "place": "p", "repository": "r", "name": "n", "digest": format!("sha256:{}", "0".repeat(64)),
                               "size": 1, "decision": "keep", "reason": "held", "why": "w", "stage": "marked", "expires_at": "" });
        check::<api::Retained>("Retained", retained.clone());
        let retention =
            json!({ "project": project(), "at": "", "enabled": true, "places": [staged], "packages": [retained] });
        check::<api::Retention>("Retention", retention);
        check::<api::CloseRequest>("CloseRequest", json!({ "reason": "r" }));
        let target_of_key = json!({ "key": "k", "target": "el/9" });
        check::<api::TargetOfKey>("TargetOfKey", target_of_key.clone());
        let withdraw =
            json!({ "keys": ["k"], "targets": [target_of_key], "reason": "r", "shared": true, "dry_run": true });
        check::<api::WithdrawalRequest>("WithdrawalRequest", withdraw);
        let planned = json!({ "key": "k", "target": "el/9", "public": location(), "name": "n",
                              "digest": format!("sha256:{}", "0".repeat(64)), "found": "f", "also": ["1/k"], "users": ["u"] });
        check::<api::PlannedWithdrawal>("PlannedWithdrawal", planned.clone());
        check::<api::Withdrawals>("Withdrawals", json!({ "withdrawals": [planned], "follow": "" }));
        check::<api::Withdrawal>("Withdrawal", withdrawal());
        check::<api::Stopped>("Stopped", closing());
        check::<api::StopRequest>("StopRequest", json!({ "reason": "r" }));
        let switched = json!({ "project": project(), "has_heard": true, "stopped": closing() });
        check::<api::SwitchedProject>("SwitchedProject", switched.clone());
        check::<api::Switch>("Switch", json!({ "stopped": closing(), "projects": [switched] }));
        let compared = json!({ "version": "1", "key": "k", "target": "el/9", "recorded": "staged", "staging": "declared",
                               "public": "nothing", "agrees": true, "why": "w", "ended": ["approval"] });
        check::<api::ComparedTarget>("ComparedTarget", compared.clone());
        let comparison = json!({ "targets": [compared], "next": 2, "is_compared": true });
        check::<api::Comparison>("Comparison", comparison);
        let opens = json!({ "keys": ["k"], "gates": ["soak"], "reason": "r" });
        check::<api::OverrideRequest>("OverrideRequest", opens);
        check::<api::DeploymentRequest>("DeploymentRequest", json!({ "environment": "production" }));
        check::<api::PolicyGate>("PolicyGate", policy_gate());
        check::<api::PolicyRoute>("PolicyRoute", policy_route());
        check::<api::PolicyFloating>("PolicyFloating", policy_floating());
        let policy = json!({ "project": project(), "policy": format!("sha256:{}", "0".repeat(64)), "approvals_lapse": "4h",
                             "releasers": policy_releasers(), "gates": [policy_gate()], "routes": [policy_route()],
                             "places": [policy_place()] });
        check::<api::PolicyReleasers>("PolicyReleasers", policy_releasers());
        check::<api::PolicyPlace>("PolicyPlace", policy_place());
        check::<api::Policy>("Policy", policy);
        let secret = json!({ "name": "GITLAB_TOKEN", "uses": ["u"], "verdict": "not_asked", "found": ["f"],
                             "expires_at": "2027-01-31" });
        check::<api::SecretReport>("SecretReport", secret.clone());
        check::<api::Readiness>("Readiness", json!({ "at": "", "is_ready": true, "secrets": [secret] }));
        let signed = json!({ "keyid": "913268e7", "sig": "" });
        check::<crate::attestation::Envelope>(
            "Attestation",
            json!({ "payloadType": "t", "payload": "", "signatures": [signed] }),
        );
        check::<api::ReleaseSummary>("ReleaseSummary", json!({ "version": "1", "state": "closed", "verdict": "" }));
        check::<api::ProblemDetails>(
            "ProblemDetails",
            json!({ "type": "t", "title": "t", "status": 404, "detail": "d" }),
        );
    }

    #[test]
    fn the_document_names_every_field_of_what_pages_show_and_no_other() {
        let row = json!({ "environment": "production", "version": "1", "at": "", "is_current": true, "by": "edge",
                          "pipeline_url": "https://g.example.com" });
        check::<api::DeploymentRow>("DeploymentRow", row.clone());
        check::<api::Deployments>("Deployments", json!({ "project": project(), "at": "", "rows": [row] }));
        let row =
            json!({ "sequence": 1, "at": "", "actor": "edge", "action": "staged", "subject": "1/k", "details": "{}" });
        check::<api::ActivityRow>("ActivityRow", row.clone());
        check::<api::Activity>("Activity", json!({ "project": project(), "at": "", "rows": [row], "older": 1 }));
        let depends = json!({ "context": "depends", "on": ["libc6"] });
        let fact = json!({ "version": "1", "name": "f", "digest": format!("sha256:{}", "0".repeat(64)), "size": 1,
                           "depends": [depends] });
        let row = json!({ "key": "k", "staged": fact, "public": fact, "why": "w" });
        check::<api::Depends>("Depends", depends);
        check::<api::FileFact>("FileFact", fact);
        check::<api::AgainstRow>("AgainstRow", row.clone());
        let against = json!({ "project": project(), "version": "1", "before": "0", "at": "", "rows": [row] });
        check::<api::Against>("Against", against);
    }

    #[test]
    fn the_document_names_every_field_of_what_a_sweep_finds_and_no_other() {
        let digest = format!("sha256:{}", "0".repeat(64));
        let baseline = json!({ "taken_at": "", "count": 1, "digest": digest });
        let stranger = json!({ "distro": "el/9", "tag": "1", "filename": "f", "digest": digest, "why": "unknown",
                               "expected": digest, "version": "1", "found_at": "", "seen_at": "" });
        let swept = json!({ "place": "p", "repository": "a/b", "baseline": baseline, "swept_at": "", "listed": 1, "pages": 1,
                            "trouble": "t", "strangers": [stranger], "more": 0 });
        check::<api::Baseline>("Baseline", baseline);
        check::<api::Stranger>("Stranger", stranger);
        check::<api::SweptRepository>("SweptRepository", swept.clone());
        check::<api::Strangers>("Strangers", json!({ "repositories": [swept] }));
        let adopts = json!({ "place": "p", "repository": "a/b", "reason": "r", "digests": [digest], "all": true });
        check::<api::AdoptionRequest>("AdoptionRequest", adopts);
        check::<api::Adopted>("Adopted", json!({ "adopted": 1 }));
        let baseline = json!({ "taken_at": "", "count": 1, "digest": digest });
        let recalled = json!({ "place": "p", "repository": "a/b", "recalled": 1, "baseline": baseline, "agrees": true,
                               "more": 0 });
        check::<api::RecalledRepository>("RecalledRepository", recalled.clone());
        check::<api::Recalled>("Recalled", json!({ "repositories": [recalled] }));
    }

    #[test]
    fn the_document_names_every_field_of_what_is_public_and_no_other() {
        let target = json!({ "distro": "ubuntu/jammy", "tag": "1", "public": location(), "state": "released", "since": "",
                             "attestation": "https://s.example.com" });
        check::<api::PublicTarget>("PublicTarget", target.clone());
        let file = json!({ "filename": "tug_1_amd64.deb", "digest": format!("sha256:{}", "0".repeat(64)), "size": 1 });
        check::<api::PublicFile>("PublicFile", file.clone());
        let package = json!({ "key": "k", "kind": "deb", "architecture": "amd64", "file": file, "targets": [target] });
        check::<api::PublicPackage>("PublicPackage", package.clone());
        let project = json!({ "name": "tug" });
        check::<api::PublicProject>("PublicProject", project.clone());
        let release = json!({ "project": project, "version": "1", "verdict": "", "at": "", "packages": [package] });
        check::<api::PublicRelease>("PublicRelease", release);
        let summary = json!({ "version": "1", "verdict": "", "packages": 1, "at": "" });
        check::<api::PublicSummary>("PublicSummary", summary);
    }

    #[test]
    fn the_document_has_every_state_of_a_target() {
        let states: Vec<&str> = TargetState::ALL.into_iter().map(TargetState::code).collect();
        assert_eq!(document()["components"]["schemas"]["TargetState"]["enum"], json!(states));
    }

    #[test]
    fn every_route_of_the_document_has_a_row_of_rights_and_every_row_of_the_api_is_in_the_document() {
        let plain = |path: &str| path.replace("...}", "}");
        let document = document();
        let paths = document["paths"].as_object().expect("paths");
        let written: BTreeSet<(String, String)> = paths
            .iter()
            .flat_map(|(path, of)| {
                let methods = of.as_object().expect("methods").keys().filter(|name| *name != "parameters");
                methods.map(move |method| (method.to_uppercase(), path.clone()))
            })
            .collect();
        let rows: BTreeSet<(String, String)> = crate::access::ROUTES
            .iter()
            .filter(|row| ["/api/", "/webhooks/", "/readyz"].iter().any(|start| row.path.starts_with(start)))
            .map(|row| (row.method.to_owned(), plain(row.path)))
            .collect();
        assert_eq!(written.difference(&rows).collect::<Vec<_>>(), Vec::<&(String, String)>::new(), "no row");
        assert_eq!(
            rows.difference(&written).collect::<Vec<_>>(),
            Vec::<&(String, String)>::new(),
            "not in the document"
        );
    }

    #[test]
    fn every_reference_of_the_document_leads_somewhere() {
        let document = document();
        let text = OPENAPI;
        for reference in text.split("\"#/components/schemas/").skip(1).filter_map(|rest| rest.split('"').next()) {
            assert!(document["components"]["schemas"].get(reference).is_some(), "{reference}");
        }
    }
}
