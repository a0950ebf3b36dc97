//! A job that asks by itself is answered at once, by the same rules as its webhook, and whichever of the two comes second
//! finds what the first has led to.

use std::rc::Rc;

use serde_json::json;
use slipway_core::release::TargetState;
use slipway_edge::denied::Denied;
use slipway_ledger::Sight;

use crate::host::{ALL, Edge, MINUTE, key};

/// What was answered: the status, and the problem's name.
fn told(answer: &Result<Vec<String>, Denied>) -> (u16, &str) {
    match answer {
        Ok(_) => (202, ""),
        Err(denied) => (denied.status, denied.kind),
    }
}

#[test]
fn a_running_job_releases_its_own_package_and_whoever_is_refused_is_told_why() {
    for (spoil, job, keys, answer) in [
        (None, 81, ["one"], (202, "")),
        (None, 82, ["one"], (403, "not-allowed")),
        (None, 81, ["two"], (403, "not-allowed")),
        (None, 81, ["three"], (404, "not-planned")),
        (Some(("status", json!("failed"))), 81, ["one"], (403, "not-allowed")),
        (Some(("status", json!("manual"))), 81, ["one"], (503, "gitlab-behind")),
        (Some(("pipeline", json!({"id": 8, "ref": "v1", "sha": "aa"}))), 81, ["one"], (403, "not-allowed")),
        (Some(("id", json!(82))), 81, ["one"], (503, "gitlab-unreachable")),
    ] {
        let edge = Edge::new("");
        let mut shown = edge.has_job(81, "one", "running");
        if let Some((field, value)) = spoil.clone() {
            shown[field] = value;
            edge.answers("jobs/81", 200, shown);
        }
        edge.has_job(82, "two", "running");
        let told_of = edge.asks(job, &keys);
        assert_eq!(told(&told_of), answer, "{spoil:?} {job} {keys:?}: {told_of:?}");
        let is_approved = edge.state("one") == TargetState::Approved;
        assert_eq!((is_approved, edge.audited("approved").len()), (answer.0 == 202, usize::from(answer.0 == 202)));
        // What the job did to deserve it is in the audit; what is no fault of its own is not.
        let refused = edge.audit().iter().filter(|row| row.starts_with("refused")).count();
        assert_eq!(refused, usize::from(answer.0 == 403), "{spoil:?} {job} {keys:?}: {:?}", edge.audit());
    }
}

#[test]
fn named_packages_are_all_or_nothing() {
    let edge = Edge::with_all("");
    edge.has_job_for_all(90, "running");
    edge.sees("two", &Sight::Nothing);
    assert_eq!(told(&edge.asks(90, &["one", "two"])), (409, "not-staged"));
    assert_eq!(edge.state("one"), TargetState::Staged);
    assert_eq!(edge.asks(90, &["one"]), Ok(vec!["one".to_owned()]));
}

#[test]
fn of_all_that_remain_each_is_on_its_own() {
    let edge = Edge::with_all("");
    edge.has_job_for_all(90, "running");
    edge.sees("two", &Sight::Nothing);
    let accepted = edge.asks_in_full(90, ALL).expect("one of them goes");
    assert_eq!(accepted.keys, [key("one")]);
    let refused: Vec<_> =
        accepted.refused.iter().map(|refused| (refused.key.as_str(), refused.kind.as_str())).collect();
    assert_eq!(refused, [("two", "not-staged")]);
    assert_eq!((edge.state("one"), edge.audited("approved").len()), (TargetState::Approved, 1));
    // Another release of the pipeline, or what is not shipped, is none of it.
    edge.expects_in(&"1.3.0".parse().expect("a version"), "three");
    edge.leaves_out("four");
    let again = edge.asks_in_full(90, ALL).expect("what is on its way is followed");
    assert_eq!((again.keys, again.refused.len()), (vec![key("one")], 1), "{:?}", again.refused);
    // The others' jobs do not stand for all.
    edge.has_job(81, "one", "running");
    assert_eq!(told(&edge.asks(81, ALL)), (403, "not-allowed"));
}

#[test]
fn what_was_taken_back_does_not_remain_and_another_of_the_same_name_is_refused_by_its_own_name() {
    let edge = Edge::with_all("");
    edge.has_job_for_all(90, "running");
    edge.took_back_the_name_of("two", "three");
    let accepted = edge.asks_in_full(90, ALL).expect("one of them goes");
    assert_eq!(accepted.keys, [key("one")]);
    let refused: Vec<_> =
        accepted.refused.iter().map(|refused| (refused.key.as_str(), refused.kind.as_str())).collect();
    assert_eq!(refused, [("two", "name-taken")]);
    assert!(accepted.refused[0].why.contains("had other bytes in 1.1.0"), "{}", accepted.refused[0].why);
    assert_eq!(edge.audited("refused").len(), 1);
    assert_eq!(told(&edge.asks(90, &["two"])), (409, "name-taken"));
    // Of what was taken back itself nothing is left to say, and of the other there is.
    edge.took_back("one");
    let denied = edge.asks(90, ALL).expect_err("nothing may go");
    assert_eq!((denied.status, denied.kind), (409, "nothing-left"));
    assert!(denied.detail.contains("`two`") && !denied.detail.contains("`one`"), "{denied}");
}

#[test]
fn when_nothing_of_all_that_remain_may_go_it_is_said_of_each_why() {
    for (gate, spoil, kind, says) in [
        ("[[gates]]\nsoak = \"1h\"", false, "gate-closed", ["`one`", "`two`"].as_slice()),
        ("", true, "nothing-left", &["`one` is not staged", "`two` is not staged"]),
    ] {
        let edge = Edge::with_all(gate);
        edge.has_job_for_all(90, "running");
        if spoil {
            edge.sees("one", &Sight::Nothing);
            edge.sees("two", &Sight::Nothing);
        }
        let denied = edge.asks(90, ALL).expect_err("nothing may go");
        assert_eq!((denied.status, denied.kind), (409, kind));
        assert!(says.iter().all(|words| denied.detail.contains(words)), "{denied}");
    }
}

#[test]
fn keys_or_all_are_named_and_not_both_and_not_too_many() {
    let edge = Edge::new("");
    edge.has_job(81, "one", "running");
    let (some, many) = (vec!["one"; 500], vec!["one"; 501]);
    assert_eq!(told(&edge.asks(81, &[])), (422, "bad-request"));
    assert_eq!(told(&edge.asks(81, &many)), (422, "bad-request"));
    assert!(edge.sent("GET").is_empty(), "GitLab is not asked for it");
    assert_eq!(told(&edge.asks(81, &some)), (202, ""));
    assert_eq!(edge.audited("approved").len(), 1, "once, however often it is named");
    let both = edge.calls(81, &[key("one")], true);
    assert_eq!(both.map_err(|denied| denied.kind), Err("bad-request"));
}

#[test]
fn the_projects_own_rules_hold_for_a_job_that_asks_by_itself() {
    for (rule, holds) in [
        ("release_people = [7]", true),
        ("release_people = [8]", false),
        // The session was signed without a role, and without a protected environment.
        ("release_levels = [\"maintainer\"]", false),
        ("protected_environment = true", false),
    ] {
        let edge = Edge::new(rule);
        edge.has_job(81, "one", "running");
        let answer = if holds { (202, "") } else { (403, "not-allowed") };
        assert_eq!(told(&edge.asks(81, &["one"])), answer, "{rule}");
        assert_eq!(edge.state("one") == TargetState::Approved, holds, "{rule}");
    }
}

#[test]
fn a_closed_gate_refuses_the_job_and_its_webhook_after_it() {
    let edge = Edge::new("[[gates]]\nsoak = \"1h\"");
    edge.has_job(81, "one", "running");
    assert_eq!(told(&edge.asks(81, &["one"])), (409, "gate-closed"));
    // The gate opens, and the webhook that was behind comes: nobody is approved by waiting.
    edge.passes(MINUTE * 61);
    edge.plays(81, "one");
    assert_eq!(edge.state("one"), TargetState::Staged);
    assert_eq!(edge.audited("refused 1.2.0/one").len(), 1);
    // Played again, it goes.
    edge.has_job(82, "one", "running");
    assert_eq!(edge.asks(82, &["one"]), Ok(vec!["one".to_owned()]));
}

#[test]
fn the_gate_that_asks_for_a_second_person_means_whoever_played_the_job() {
    for (started_by, answer) in [(7, (409, "gate-closed")), (8, (202, ""))] {
        let edge = Edge::new("[[gates]]\nsecond_person = true");
        edge.has_job(81, "one", "running");
        edge.has_pipeline(started_by, "success");
        assert_eq!(told(&edge.asks(81, &["one"])), answer, "started by {started_by}");
    }
}

#[test]
fn a_job_that_was_told_of_its_refusal_needs_no_commit_status_for_it() {
    let edge = Edge::new("[[gates]]\nsoak = \"1h\"");
    // The webhook was first, and its status has not been sent yet.
    edge.plays(81, "one");
    let due = || edge.record.due_statuses(edge.now() + MINUTE, edge.now() + MINUTE * 60).expect("rows").len();
    assert_eq!(due(), 1);
    assert_eq!(told(&edge.asks(81, &["one"])), (409, "gate-closed"));
    assert_eq!(due(), 0);
}

#[test]
fn while_gitlab_cannot_be_read_nobody_is_approved_and_nobody_is_refused() {
    for outage in [0, 404, 500] {
        let edge = Edge::new("[[gates]]\njobs = [\"qa\"]");
        edge.answers("jobs/81", outage, json!({}));
        assert_eq!(told(&edge.asks(81, &["one"])), (503, "gitlab-unreachable"), "{outage}");
        // The job can be read, and what its gate asks for cannot.
        edge.has_job(81, "one", "running");
        edge.answers("pipelines/7", outage, json!({}));
        assert_eq!(told(&edge.asks(81, &["one"])), (503, "gitlab-unreachable"), "{outage}");
        assert!(edge.audited("refused").is_empty(), "{outage}");
        edge.has_pipeline(9, "success");
        assert_eq!(told(&edge.asks(81, &["one"])), (202, ""), "{outage}");
    }
}

#[test]
fn what_is_on_its_way_is_followed_whoever_asked_first_and_no_gate_is_asked_for_it() {
    let edge = Edge::new("[[gates]]\njobs = [\"qa\"]");
    edge.has_pipeline(9, "success");
    edge.approves(81, "one");
    edge.answers("pipelines/7/jobs", 500, json!({}));
    edge.passes(MINUTE);
    assert_eq!(edge.asks(81, &["one"]), Ok(vec!["one".to_owned()]));
    edge.has_job(82, "one", "running");
    assert_eq!(edge.asks(82, &["one"]), Ok(vec!["one".to_owned()]));
    assert_eq!(edge.audited("approved").len(), 1);
}

#[test]
fn a_package_that_changed_while_gitlab_was_asked_is_not_approved_and_may_be_asked_for_again() {
    let edge = Rc::new(Edge::new("[[gates]]\njobs = [\"qa\"]"));
    edge.has_job(81, "one", "running");
    edge.has_pipeline(9, "success");
    // It is read after the job and before the pipeline, and vanishes while that is asked for.
    let again = Rc::clone(&edge);
    edge.meanwhile(move |_| again.meanwhile(|edge| edge.sees("one", &Sight::Nothing)));
    assert_eq!(told(&edge.asks(81, &["one"])), (503, "changed-meanwhile"));
    assert!(edge.audited("approved").is_empty());
    edge.sees("one", &Sight::Declared);
    assert_eq!(told(&edge.asks(81, &["one"])), (202, ""));
}
