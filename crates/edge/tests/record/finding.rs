//! GitLab sends a webhook once. A played job whose webhook never came is found by reading its pipeline.

use std::time::Duration;

use futures_util::FutureExt as _;
use serde_json::{Value, json};
use slipway_core::release::TargetState;
use slipway_core::time::Timestamp;
use slipway_edge::lost;
use slipway_ledger::{Kept, Sent};

use crate::host::{Edge, MINUTE, NOW, deployment_of, release_job, version};

/// Looks for lost webhooks. When it is to be done again.
fn finds(edge: &Edge) -> Option<Timestamp> {
    let found = lost::find(&edge.record, &edge.host, &edge.config, &edge.gitlab);
    found.now_or_never().expect("nothing waits").expect("a working record")
}

fn lists(edge: &Edge, jobs: Value) {
    edge.answers("pipelines/7/jobs", 200, jobs);
}

fn listed(id: u64, name: &str, status: &str) -> Value {
    json!({"id": id, "name": name, "status": status})
}

#[test]
fn a_played_job_is_found_within_two_minutes_and_released_as_if_its_webhook_had_come() {
    let edge = Edge::new("");
    edge.has_job(81, "one", "running");
    lists(&edge, json!([listed(81, &release_job("one"), "running"), listed(99, "unit-tests", "running")]));
    let mut next = finds(&edge).expect("something waits to be released");
    for _ in 0..2 {
        assert!(next <= edge.now() + MINUTE, "each minute at first");
        edge.is_at(next);
        next = finds(&edge).expect("another package waits");
        edge.drives();
    }
    assert!(edge.now() <= NOW + MINUTE * 2);
    assert_eq!((edge.state("one"), edge.state("two")), (TargetState::Approved, TargetState::Staged));
    assert_eq!((edge.asked("/jobs/81"), edge.asked("/jobs/99")), (1, 0), "only declared jobs are read");
    assert_eq!(edge.audited("approved").len(), 1);
}

#[test]
fn a_job_that_nobody_has_played_is_not_found() {
    for status in ["manual", "created", "failed", "canceled", "skipped"] {
        let edge = Edge::new("");
        edge.has_job(81, "one", status);
        lists(&edge, json!([listed(81, &release_job("one"), status)]));
        edge.passes(MINUTE);
        finds(&edge);
        edge.drives();
        assert_eq!(edge.asked("/jobs/81"), 0, "{status}");
        assert_eq!(edge.state("one"), TargetState::Staged, "{status}");
    }
}

#[test]
fn a_pipeline_is_not_read_again_before_its_time_whether_it_could_be_read_or_not() {
    for status in [200, 500] {
        let edge = Edge::new("");
        edge.answers("pipelines/7/jobs", status, json!([]));
        edge.passes(MINUTE);
        for _ in 0..12 {
            let next = finds(&edge).expect("something waits");
            assert!(next >= edge.now() + Duration::from_secs(5), "{status}");
            edge.passes(Duration::from_secs(5));
        }
        assert_eq!(edge.asked("/pipelines/7/jobs"), 1, "{status}: once in its minute");
        finds(&edge);
        assert_eq!(edge.asked("/pipelines/7/jobs"), 2, "{status}");
    }
}

#[test]
fn when_one_pipeline_cannot_be_read_the_others_are_not_asked_for_at_once_and_have_their_turn_next() {
    let edge = Edge::new("");
    edge.another_pipeline(8, "three");
    for pipeline in [7, 8] {
        edge.answers(&format!("pipelines/{pipeline}/jobs"), 500, json!({}));
    }
    edge.passes(MINUTE);
    let asked = || edge.asked("/pipelines/7/jobs") + edge.asked("/pipelines/8/jobs");
    finds(&edge);
    assert_eq!(asked(), 1, "GitLab is away");
    finds(&edge);
    assert_eq!((asked(), edge.asked("/pipelines/8/jobs")), (2, 1), "each has its turn");
}

// ---- the very jobs ----

/// Has the jobs listed that pages lead to. When it is to be done again.
fn lists_jobs(edge: &Edge) -> Option<Timestamp> {
    let listed = lost::list_jobs(&edge.record, &edge.host, &edge.gitlab);
    listed.now_or_never().expect("nothing waits").expect("a working record")
}

/// Where the release leads to play each package; nothing where it knows no job.
fn plays(edge: &Edge) -> Vec<String> {
    let (project, version) = (edge.config.project("tug").expect("the project"), version());
    let release = edge.record.release(&edge.config, project, &version, &Sent::default(), edge.now());
    release
        .expect("rows")
        .expect("a release")
        .packages
        .into_iter()
        .map(|package| package.job_url.unwrap_or_default())
        .collect()
}

fn job_page(id: u64) -> String {
    format!("https://gitlab.example.com/harbour/tug/-/jobs/{id}")
}

#[test]
fn each_package_leads_to_its_very_job_as_soon_as_something_can_be_released() {
    let edge = Edge::new("");
    let all = [
        listed(80, "build", "success"),
        listed(81, &release_job("one"), "manual"),
        listed(82, &release_job("two"), "manual"),
    ];
    lists(&edge, json!(all));
    assert_eq!(plays(&edge), ["", ""]);
    assert_eq!(lists_jobs(&edge), None, "nothing is left to be listed");
    assert_eq!(plays(&edge), [job_page(81), job_page(82)]);
    lists_jobs(&edge);
    assert_eq!(edge.asked("/pipelines/7/jobs"), 1, "once a pipeline");
}

#[test]
fn a_job_that_is_seen_to_be_retried_takes_the_place_of_the_one_before() {
    let edge = Edge::new("");
    lists(&edge, json!([listed(81, &release_job("one"), "manual"), listed(82, &release_job("two"), "manual")]));
    lists_jobs(&edge);
    edge.has_job(91, "one", "running");
    lists(&edge, json!([listed(91, &release_job("one"), "running")]));
    edge.passes(MINUTE);
    finds(&edge);
    assert_eq!(plays(&edge), [job_page(91), job_page(82)]);
}

#[test]
fn a_webhook_that_names_another_job_has_the_list_read_within_a_minute_and_is_not_believed() {
    let edge = Edge::new("");
    let all = json!([listed(81, &release_job("one"), "manual"), listed(82, &release_job("two"), "manual")]);
    lists(&edge, all);
    lists_jobs(&edge);
    let hook = |id: u64| {
        json!({
            "object_kind": "pipeline", "object_attributes": {"id": 7}, "project": {"id": 1001},
            "builds": [{"id": id, "name": release_job("one"), "status": "manual", "manual": true}],
        })
    };
    assert_eq!(edge.hears(&hook(81)), Some(Kept::NotNeeded), "that is known");
    assert_eq!(lists_jobs(&edge), None);
    assert_eq!(edge.hears(&hook(999)), Some(Kept::Kept));
    assert_eq!(lists_jobs(&edge), Some(edge.now() + MINUTE));
    assert_eq!(edge.asked("/pipelines/7/jobs"), 1, "not at once again, whoever says so");
    edge.passes(MINUTE);
    assert_eq!(lists_jobs(&edge), None);
    assert_eq!((edge.asked("/pipelines/7/jobs"), plays(&edge)), (2, vec![job_page(81), job_page(82)]));
}

#[test]
fn pages_do_without_a_list_that_cannot_be_read_and_it_is_not_asked_for_at_once_again() {
    let edge = Edge::new("");
    edge.answers("pipelines/7/jobs", 500, json!({}));
    assert_eq!((lists_jobs(&edge), lists_jobs(&edge)), (None, None));
    assert_eq!((edge.asked("/pipelines/7/jobs"), plays(&edge)), (1, vec![String::new(), String::new()]));
    assert_eq!(edge.logged("cannot be listed").len(), 1);
    let sources = || edge.record.sources().expect("rows");
    assert!(sources()[0].trouble.is_some() && sources()[0].read_at.is_none(), "{:?}", sources());

    // Whoever looks for lost webhooks reads it anyway.
    let jobs = [listed(81, &release_job("one"), "manual"), listed(82, &release_job("two"), "manual")];
    lists(&edge, json!(jobs));
    edge.passes(MINUTE);
    finds(&edge);
    assert_eq!((edge.asked("/pipelines/7/jobs"), plays(&edge)), (2, vec![job_page(81), job_page(82)]));
    let read_at = sources()[0].read_at.clone();
    assert_eq!((read_at, &sources()[0].trouble), (Some(edge.now().to_string()), &None));
}

// ---- deployments ----

const DEPLOYED: &str = "[[gates]]\ndeployed = [\"production\"]";

fn deployment(pipeline: u64) -> Value {
    json!({
        "id": 42, "status": "success", "environment": {"name": "production"},
        "deployable": {"id": 55, "finished_at": "2026-11-23T00:00:00Z", "pipeline": {"id": pipeline}},
    })
}

/// A job was played, and no webhook has told of it.
fn is_played(edge: &Edge) {
    edge.has_job(81, "one", "running");
    lists(edge, json!([listed(81, &release_job("one"), "running")]));
}

#[test]
fn a_deployment_and_a_click_that_are_lost_together_are_found_and_the_click_counts() {
    let edge = Edge::new(DEPLOYED);
    is_played(&edge);
    edge.answers("deployments", 200, json!([deployment(7), deployment_of(81, "release/one")]));
    edge.answers("deployments/42", 200, deployment(7));
    edge.passes(MINUTE);
    finds(&edge);
    edge.drives();
    assert_eq!(edge.state("one"), TargetState::Approved, "{:?}", edge.audit());
    assert!(edge.audited("refused").is_empty());
    assert_eq!(edge.audited("deployed").len(), 1);
    // Where it is known to run, nobody is asked again.
    let asked = edge.sent("GET /api/v4/projects/1001/deployments").len();
    edge.passes(MINUTE);
    finds(&edge);
    assert_eq!(edge.sent("GET /api/v4/projects/1001/deployments").len(), asked);
}

#[test]
fn another_pipelines_deployment_is_left_to_that_and_without_a_gate_nobody_asks() {
    for (gates, asked) in [(DEPLOYED, 1), ("", 0)] {
        let edge = Edge::new(gates);
        lists(&edge, json!([]));
        edge.answers("deployments", 200, json!([deployment(8)]));
        edge.passes(MINUTE);
        finds(&edge);
        edge.drives();
        assert_eq!(edge.sent("GET /api/v4/projects/1001/deployments").len(), asked);
        assert!(edge.audited("deployed").is_empty());
    }
}

#[test]
fn a_click_is_not_judged_while_deployments_may_be_there_unseen_and_is_found_where_they_are_never_told() {
    for (status, looks) in [(503, 0), (403, 1)] {
        let edge = Edge::new(DEPLOYED);
        is_played(&edge);
        edge.answers("deployments", status, json!({}));
        edge.passes(MINUTE);
        finds(&edge);
        edge.drives();
        assert_eq!(edge.asked("/jobs/81"), looks, "{status}");
    }
}
