//! A webhook authorises nothing. It names a number; what counts is what GitLab answers, and the project's rules.

use std::time::Duration;

use serde_json::{Value, json};
use slipway_core::release::TargetState;
use slipway_ledger::Kept;

use crate::host::{Edge, MINUTE, NOW, PIPELINE, PROJECT, RELEASE_ALL, deployment_of, release_job, version};

fn job_hook(changes: &[(&str, Value)]) -> Value {
    let mut hook = json!({
        "object_kind": "build", "project_id": PROJECT, "pipeline_id": PIPELINE, "build_id": 81,
        "build_name": release_job("one"), "build_status": "running",
    });
    for (field, value) in changes {
        hook[*field] = value.clone();
    }
    hook
}

fn pipeline_hook(project: u64, status: &str) -> Value {
    json!({
        "object_kind": "pipeline", "object_attributes": {"id": PIPELINE}, "project": {"id": project},
        "builds": [{"id": 81, "name": release_job("one"), "status": status, "manual": true}],
    })
}

fn deployment_hook(changes: &[(&str, Value)]) -> Value {
    let mut hook = json!({
        "object_kind": "deployment", "project": {"id": PROJECT}, "deployment_id": 42, "environment": "production",
        "status": "success",
    });
    for (field, value) in changes {
        hook[*field] = value.clone();
    }
    hook
}

const DEPLOYED: &str = "[[gates]]\ndeployed = [\"production\"]";

#[test]
fn only_what_can_lead_to_a_release_is_kept_of_a_webhook_and_only_of_its_own_project() {
    let exact = (1_u64 << 53) - 1;
    for (hook, kept) in [
        (job_hook(&[]), true),
        (job_hook(&[("project_id", json!(1002))]), false),
        (job_hook(&[("build_status", json!("manual"))]), false),
        (job_hook(&[("build_status", json!("created"))]), false),
        (job_hook(&[("build_status", json!("failed"))]), false),
        (job_hook(&[("build_status", json!("canceled"))]), false),
        (job_hook(&[("build_status", json!("pending"))]), true),
        (job_hook(&[("build_status", json!("success"))]), true),
        // The ledger's numbers are exact up to here.
        (job_hook(&[("build_id", json!(exact))]), true),
        (job_hook(&[("build_id", json!(exact + 1))]), false),
        (job_hook(&[("pipeline_id", json!(exact + 1))]), false),
        (pipeline_hook(PROJECT, "running"), true),
        (pipeline_hook(1002, "running"), false),
        // It names jobs by their numbers, to which pages lead.
        (pipeline_hook(PROJECT, "manual"), true),
        (pipeline_hook(PROJECT, "failed"), true),
        (pipeline_hook(1002, "manual"), false),
        (deployment_hook(&[]), true),
        (deployment_hook(&[("project", json!({"id": 1002}))]), false),
        (deployment_hook(&[("status", json!("running"))]), false),
        (deployment_hook(&[("status", json!("failed"))]), false),
        (deployment_hook(&[("environment", json!("staging"))]), false),
        (deployment_hook(&[("deployment_id", json!(exact + 1))]), false),
        (json!({"object_kind": "push", "project_id": PROJECT}), false),
        (json!({"object_kind": "release", "project_id": PROJECT}), false),
    ] {
        let edge = Edge::new(DEPLOYED);
        assert_eq!(edge.hears(&hook).is_some(), kept, "{hook}");
    }
}

#[test]
fn a_job_that_nobody_declared_is_neither_kept_nor_read() {
    let edge = Edge::new("");
    edge.has_job(99, "unit-tests", "running");
    assert_eq!(edge.hears(&job_hook(&[("build_name", json!("unit-tests"))])), Some(Kept::NotNeeded));
    assert_eq!(edge.drives(), None, "nothing is to be done");
    assert!(edge.sent("GET").is_empty());
}

#[test]
fn what_a_webhook_says_counts_for_nothing_beside_what_gitlab_says() {
    type Spoil = fn(&mut Value);
    let cases: &[(Spoil, &str)] = &[
        (|job| job["pipeline"]["id"] = json!(8), "no release job"),
        (|job| job["name"] = json!("unit-tests"), "no release job"),
        (|job| job["status"] = json!("failed"), "refused"),
        (|job| job["started_at"] = json!("2026-11-22T19:59:59Z"), "lapsed"),
    ];
    for (spoil, why) in cases {
        let edge = Edge::new("");
        let mut job = edge.has_job(81, "one", "running");
        spoil(&mut job);
        edge.answers("jobs/81", 200, job);
        assert_eq!(edge.hears_of(81, "one"), Some(Kept::Kept));
        edge.drives();
        assert_eq!(edge.state("one"), TargetState::Staged, "{why}");
        assert!(edge.audited("approved").is_empty(), "{why}");
    }
}

#[test]
fn a_job_that_began_four_hours_ago_approves_and_one_second_before_that_does_not() {
    for (started, approves) in [("2026-11-22T20:00:00Z", true), ("2026-11-22T19:59:59Z", false)] {
        let edge = Edge::new("");
        let mut job = edge.has_job(81, "one", "success");
        job["started_at"] = json!(started);
        edge.answers("jobs/81", 200, job);
        edge.hears_of(81, "one");
        edge.drives();
        assert_eq!(edge.state("one") == TargetState::Approved, approves, "{started}");
        let refused = edge.audited("refused 1.2.0/one");
        assert_eq!(refused.len(), usize::from(!approves));
        assert!(refused.iter().all(|row| row.contains("play it again")), "{refused:?}");
    }
}

#[test]
fn a_closed_gate_refuses_the_job_in_one_sentence_and_its_late_webhooks_are_granted_nothing() {
    let edge = Edge::new("[[gates]]\nstaged = true\nsoak = \"1h\"");
    edge.expects("three");
    edge.plays(81, "one");
    assert_eq!(edge.state("one"), TargetState::Staged);
    let refused = edge.audited("refused 1.2.0/one");
    assert_eq!(refused.len(), 1);
    let sentence = "`one` may not be released yet: 1 of 3 packages of the release is not staged: `three`; it has to be \
                    staged for 1h, which it is at 2026-11-23 01:00:00 UTC";
    assert!(refused[0].contains(sentence), "{}", refused[0]);
    // All is well by now, and the same job's webhook comes again in the oldest shape, which names no pipeline.
    edge.stages("three");
    edge.passes(MINUTE * 90);
    edge.has_job(81, "one", "running");
    edge.hears(&json!({
        "object_kind": "build", "project_id": PROJECT, "build_id": 81, "build_name": "x", "build_status": "running",
    }));
    edge.drives();
    assert_eq!((edge.state("one"), edge.audited("refused 1.2.0/one").len()), (TargetState::Staged, 1));
    // Played again, it is another job.
    edge.approves(82, "one");
}

#[test]
fn while_gitlab_does_not_say_what_a_gate_asks_the_webhook_waits_and_is_neither_refused_nor_granted() {
    let edge = Edge::new("[[gates]]\njobs = [\"qa\"]");
    edge.answers("pipelines/7", 500, json!({}));
    edge.plays(81, "one");
    assert_eq!(edge.state("one"), TargetState::Staged);
    assert!(edge.audited("refused").is_empty());
    edge.has_pipeline(8, "success");
    edge.passes(MINUTE);
    edge.drives();
    assert_eq!(edge.state("one"), TargetState::Approved);
}

#[test]
fn a_webhook_whose_job_gitlab_does_not_show_is_kept_through_an_outage_and_looked_into_once_after_it() {
    for outage in [0, 401, 500, 503] {
        let edge = Edge::new("");
        edge.answers("jobs/81", outage, json!({}));
        edge.hears_of(81, "one");
        for _ in 0..100 {
            let next = edge.drives().expect("it is tried again");
            assert!(next <= edge.now() + MINUTE * 5, "and soon enough");
            edge.is_at(next);
        }
        assert!(edge.asked("/jobs/81") > 50, "{outage}");
        edge.has_job(81, "one", "running");
        edge.passes(MINUTE * 5);
        edge.drives();
        assert_eq!(edge.state("one"), TargetState::Approved, "{outage}");
        let asked = edge.asked("/jobs/81");
        edge.passes(MINUTE * 10);
        edge.drives();
        assert_eq!(edge.asked("/jobs/81"), asked, "{outage}: it is settled");
    }
}

#[test]
fn a_job_that_gitlab_does_not_know_or_nobody_has_played_is_asked_for_for_about_a_minute() {
    let edge = Edge::new("");
    edge.has_job(82, "two", "manual");
    edge.hears_of(81, "one");
    edge.hears_of(82, "two");
    while let Some(next) = edge.drives() {
        assert!(next < NOW + MINUTE * 3, "it goes on for ever");
        edge.is_at(next);
    }
    for job in ["/jobs/81", "/jobs/82"] {
        assert!((2..=10).contains(&edge.asked(job)), "{job}: {}", edge.asked(job));
    }
    assert!(edge.audited("refused").is_empty(), "it may be played yet");
    // Played a while later, it is news.
    edge.approves(82, "two");
}

#[test]
fn a_job_that_gitlab_shows_to_nobody_or_unreadably_is_given_up_with_one_line_and_keeps_no_other_from_being_read() {
    let broken = json!({"id": "eighty-one", "name": 7});
    for (status, body, hours) in [(400, json!({}), 0), (404, json!({}), 0), (410, json!({}), 0), (200, broken, 2)] {
        let edge = Edge::new("");
        edge.answers("jobs/81", status, body);
        edge.hears_of(81, "one");
        edge.drives();
        // Whoever comes after it is not made to wait for it.
        edge.approves(82, "two");
        assert!(edge.logged("job 81").is_empty(), "{status}: {:?}", edge.logged("job 81"));
        let end = NOW + MINUTE * (5 + 60 * hours);
        while let Some(next) = edge.drives().filter(|_| edge.logged("job 81").is_empty()) {
            assert!(next < end, "{status}: it goes on for ever");
            edge.is_at(next);
        }
        let lines = edge.logged("job 81");
        assert_eq!(lines.len(), 1, "{status}: {lines:?}");
        assert!(lines[0].contains("it is given up"), "{status}: {lines:?}");
        assert!(lines[0].contains(r#""work":"1001/81""#), "it is of that job: {lines:?}");
        let asked = edge.asked("/jobs/81");
        edge.passes(MINUTE * 10);
        edge.drives();
        assert_eq!((edge.asked("/jobs/81"), edge.logged("job 81").len()), (asked, 1), "{status}: it is settled");
    }
}

#[test]
fn whoever_played_a_job_must_be_one_of_those_who_may_release_as_gitlab_names_them_now() {
    type Prepare<'a> = &'a dyn Fn(&Edge);
    let member = |level: u64| json!({"id": 7, "access_level": level, "state": "active"});
    let protected = |name: &str| json!({"name": name});
    let cases: &[(&str, Prepare<'_>, bool)] = &[
        ("release_people = [7]", &|_| {}, true),
        ("release_people = [8]", &|_| {}, false),
        ("release_levels = [\"maintainer\"]", &|edge| edge.answers("members/all/7", 200, member(40)), true),
        ("release_levels = [\"maintainer\"]", &|edge| edge.answers("members/all/7", 200, member(30)), false),
        ("release_levels = [\"maintainer\"]", &|edge| edge.answers("members/all/7", 200, member(50)), false),
        ("release_levels = [\"maintainer\"]", &|_| {}, false),
        (
            "protected_environment = true",
            &|edge| edge.answers("protected_environments/release%2Fone", 200, protected("release/one")),
            true,
        ),
        (
            "protected_environment = true",
            &|edge| edge.answers("protected_environments/release%2Ftwo", 200, protected("release/two")),
            false,
        ),
        ("protected_environment = true", &|_| {}, false),
    ];
    for (number, (policy, prepare, may)) in cases.iter().enumerate() {
        let edge = Edge::new(policy);
        prepare(&edge);
        edge.plays(81, "one");
        assert_eq!(edge.state("one") == TargetState::Approved, *may, "{number}: {policy}");
        assert_eq!(edge.audited("refused 1.2.0/one").len(), usize::from(!may), "{number}: {policy}");
    }
}

#[test]
fn a_job_of_the_right_name_releases_only_if_gitlab_shows_a_deployment_of_it_in_the_declared_environment() {
    let by_nobody = json!({"id": 9, "status": "success", "environment": {"name": "release/one"}, "deployable": null});
    for (case, deployments, may) in [
        ("its own", json!([deployment_of(81, "release/one")]), true),
        (
            "its own among others",
            json!([deployment_of(82, "release/one"), by_nobody, deployment_of(81, "release/one")]),
            true,
        ),
        ("none", json!([]), false),
        ("another job's", json!([deployment_of(80, "release/one")]), false),
        ("its own elsewhere", json!([deployment_of(81, "release/two")]), false),
        ("its own further down", json!([deployment_of(81, "release/one/x")]), false),
        ("nobody's", json!([by_nobody]), false),
    ] {
        // Protection is asked of the declared environment, so it lets nobody through who runs elsewhere.
        for policy in ["", "protected_environment = true"] {
            let edge = Edge::new(policy);
            edge.answers("protected_environments/release%2Fone", 200, json!({"name": "release/one"}));
            edge.answers("deployments", 200, deployments.clone());
            edge.plays(81, "one");
            assert!(edge.audited("refused").is_empty(), "{case}: GitLab may show it yet");
            while !may && edge.audited("refused").is_empty() {
                let Some(next) = edge.drives() else { break };
                assert!(next < NOW + MINUTE * 3, "{case}: it goes on for ever");
                edge.is_at(next);
            }
            assert_eq!(edge.state("one") == TargetState::Approved, may, "{case}: {policy}");
            let refused = edge.audited("refused 1.2.0/one");
            assert_eq!(refused.len(), usize::from(!may), "{case}: {policy}");
            let why = "`one` is released by a job in the environment `release/one`, and GitLab shows no deployment there by \
                       this job";
            assert!(refused.iter().all(|row| row.contains(why)), "{case}: {refused:?}");
        }
    }
}

#[test]
fn a_deployment_that_gitlab_shows_later_than_its_job_is_waited_for() {
    let edge = Edge::new("");
    edge.answers("deployments", 200, json!([]));
    edge.plays(81, "one");
    assert_eq!((edge.state("one"), edge.audited("refused").len()), (TargetState::Staged, 0));
    edge.answers("deployments", 200, json!([deployment_of(81, "release/one")]));
    edge.passes(MINUTE);
    edge.drives();
    assert_eq!((edge.state("one"), edge.audited("refused").len()), (TargetState::Approved, 0));
}

#[test]
fn while_gitlab_does_not_say_who_somebody_is_they_are_neither_refused_nor_granted() {
    for (policy, path) in [
        ("release_levels = [\"maintainer\"]", "members/all/7"),
        ("protected_environment = true", "protected_environments/release%2Fone"),
        ("", "deployments"),
    ] {
        let edge = Edge::new(policy);
        edge.answers(path, 503, json!({}));
        edge.plays(81, "one");
        assert_eq!((edge.state("one"), edge.audited("refused").len()), (TargetState::Staged, 0), "{policy}");
        assert!(edge.drives().is_some(), "it is asked again");
    }
}

#[test]
fn a_project_that_the_file_does_not_name_any_more_releases_nothing() {
    let mut edge = Edge::new("");
    edge.has_job(81, "one", "running");
    edge.hears_of(81, "one");
    edge.config.projects.clear();
    edge.drives();
    assert_eq!((edge.state("one"), edge.audited("approved").len()), (TargetState::Staged, 0));
}

#[test]
fn whoever_plays_the_job_for_all_that_remain_is_refused_what_has_the_name_of_something_that_was_taken_back() {
    let edge = Edge::with_all("");
    edge.took_back_the_name_of("two", "three");
    edge.has_job_for_all(90, "running");
    edge.answers("deployments", 200, json!([deployment_of(90, "release/all")]));
    edge.hears(&job_hook(&[("build_id", json!(90)), ("build_name", json!(RELEASE_ALL))]));
    edge.drives();
    assert_eq!((edge.state("one"), edge.state("two")), (TargetState::Approved, TargetState::Staged));
    let refused = edge.audited("refused");
    assert_eq!(refused.len(), 1, "what was taken back itself does not remain: {refused:?}");
    assert!(refused[0].starts_with("refused 1.2.0/two") && refused[0].contains("in 1.1.0"), "{refused:?}");
    let due = edge.record.due_statuses(edge.now() + MINUTE, edge.now() + MINUTE * 60).expect("rows");
    assert_eq!(due.len(), 2, "the commit has a status for the one, and one for the other");
}

// ---- deployments ----

fn deployment(status: &str, finished: &str) -> Value {
    json!({
        "id": 42, "status": status, "environment": {"name": "production"},
        "deployable": {"id": 55, "finished_at": finished, "pipeline": {"id": PIPELINE}},
    })
}

/// Whether the gate that waits for it is open.
fn is_deployed(edge: &Edge) -> bool {
    edge.hears(&deployment_hook(&[]));
    edge.drives();
    let facts =
        edge.record.gate_facts(&version(), &crate::host::key("one"), None).expect("facts").expect("the package");
    facts.deployed.contains_key("production")
}

#[test]
fn a_deployment_counts_if_gitlab_says_that_it_is_done_and_of_bytes_that_were_staged_then() {
    let another_pipeline = || {
        let mut deployment = deployment("success", "2026-11-23T00:00:00Z");
        deployment["deployable"]["pipeline"]["id"] = json!(8);
        deployment
    };
    let without_job = || {
        let mut deployment = deployment("success", "2026-11-23T00:00:00Z");
        deployment["deployable"] = Value::Null;
        deployment
    };
    let elsewhere = || {
        let mut deployment = deployment("success", "2026-11-23T00:00:00Z");
        deployment["environment"]["name"] = json!("review/1");
        deployment
    };
    for (told, counts) in [
        (deployment("success", "2026-11-23T00:00:00Z"), true),
        (deployment("success", "2026-11-22T23:59:59Z"), false),
        (deployment("running", "2026-11-23T00:00:00Z"), false),
        (deployment("failed", "2026-11-23T00:00:00Z"), false),
        (another_pipeline(), false),
        (without_job(), false),
        (elsewhere(), false),
    ] {
        let edge = Edge::new(DEPLOYED);
        edge.answers("deployments/42", 200, told.clone());
        assert_eq!(is_deployed(&edge), counts, "{told}");
        assert_eq!(edge.audited("deployed").len(), usize::from(counts), "{told}");
    }
}

#[test]
fn an_environment_that_no_gate_asks_for_any_more_is_not_written_down() {
    let mut edge = Edge::new(DEPLOYED);
    edge.answers("deployments/42", 200, deployment("success", "2026-11-23T00:00:00Z"));
    edge.hears(&deployment_hook(&[]));
    edge.config.gates.clear();
    edge.drives();
    assert!(edge.audited("deployed").is_empty());
}

#[test]
fn the_next_alarm_comes_when_a_hint_is_due_and_none_when_nothing_is() {
    let edge = Edge::new("");
    assert_eq!(edge.drives(), None);
    edge.answers("jobs/81", 503, json!({}));
    edge.hears_of(81, "one");
    assert_eq!(edge.drives(), Some(NOW + Duration::from_secs(1)));
}
