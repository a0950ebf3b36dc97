//! Between an approval and its act there can be hours. So everything is asked again right before the act: what has closed
//! meanwhile stops it, whatever was true when the job was played.

use std::rc::Rc;
use std::time::Duration;

use serde_json::json;
use slipway_core::api::StagedFile;
use slipway_core::gate::GateKind;
use slipway_core::promotion::May;
use slipway_core::release::{Maturity, TargetState};
use slipway_core::route::Glob;
use slipway_core::time::Timestamp;
use slipway_ledger::rusqlite::Database;
use slipway_ledger::{Ask, GateOverride, Record, Sight, Sql as _};
use slipway_wire::Digest;

use crate::host::{BUOY, Edge, JAMMY, MINUTE, NOW, PIPELINE, WITH_BUOY, config, key, version};
use crate::support::{planned, session};

/// Ten minutes after the approval a freeze begins.
const FREEZE: &str = r#"
    [[gates]]
    freeze = [{ from = "2026-11-23T00:10:00Z", until = "2026-11-23T02:00:00Z", why = "an audit" }]
"#;

/// The act may not begin; the record has the package as staged, and says why.
fn is_stopped(edge: &Edge, may: &May, code: &str, why: &str) {
    let May::Never { state: TargetState::Staged, problem: Some(problem) } = may else {
        panic!("it should be stopped: {may:?}")
    };
    assert_eq!((problem.code.as_str(), problem.public.as_str()), (code, "none"));
    assert!(problem.what.contains(why), "{why} is missing in: {}", problem.what);
    assert_eq!(edge.state("one"), TargetState::Staged);
    assert_eq!(edge.problem("one"), Some((code.to_owned(), problem.what.clone())));
    assert_eq!(edge.audited(&format!("{code} 1.2.0/one")).len(), 1, "{:?}", edge.audit());
    // It stays so, whoever asks again under this approval.
    assert!(matches!(edge.may_act("one"), May::Never { .. }));
    assert_eq!(edge.audited(&format!("{code} 1.2.0/one")).len(), 1, "it is said once");
}

#[test]
fn whatever_closes_between_the_approval_and_the_act_stops_the_act() {
    type Closes = fn(&Edge);
    let cases: &[(&str, Closes, &str)] = &[
        (FREEZE, |edge| edge.is_at(NOW + MINUTE * 10), "releases are frozen until 2026-11-23 02:00:00 UTC: an audit"),
        (
            "[[gates]]\nstaged = true",
            |edge| edge.expects("three"),
            "1 of 3 packages of the release is not staged: `three`",
        ),
        (
            "[[gates]]\nstaged = true",
            |edge| edge.sees("two", &Sight::Nothing),
            "1 of 2 packages of the release is not staged: `two`",
        ),
        (
            "[[gates]]\njobs = [\"qa\"]",
            |edge| {
                edge.has_pipeline(9, "running");
                edge.passes(MINUTE);
            },
            "pipeline 7 has the job `qa` running, which must succeed",
        ),
        (
            "[[gates]]\njobs = [\"qa\"]",
            |edge| {
                edge.answers("pipelines/7/jobs", 200, json!([]));
                edge.passes(MINUTE);
            },
            "pipeline 7 has no job `qa`, which must succeed",
        ),
    ];
    for (gate, closes, why) in cases {
        let edge = Edge::new(gate);
        edge.has_pipeline(9, "success");
        edge.approves(81, "one");
        closes(&edge);
        is_stopped(&edge, &edge.may_act("one"), "blocked", why);
        // The same without anything that closes.
        let edge = Edge::new(gate);
        edge.has_pipeline(9, "success");
        edge.approves(81, "one");
        assert_eq!(edge.may_act("one"), May::Now, "{gate}");
    }
}

#[test]
fn a_freeze_stops_from_its_first_moment_on_and_no_longer_at_its_last() {
    for (at, acts) in [
        (Timestamp((NOW + MINUTE * 10).0 - 1), true),
        (NOW + MINUTE * 10, false),
        (Timestamp((NOW + MINUTE * 120).0 - 1), false),
        (NOW + MINUTE * 120, true),
    ] {
        let edge = Edge::new(FREEZE);
        edge.approves(81, "one");
        edge.is_at(at);
        assert_eq!(edge.may_act("one") == May::Now, acts, "{at}");
    }
}

#[test]
fn a_hold_between_the_approval_and_the_act_stops_what_it_names_and_nothing_else() {
    for (held, stopped) in [(None, ["one", "two"].as_slice()), (Some(["one"]), &["one"]), (Some(["two"]), &["two"])] {
        let edge = Edge::new("");
        edge.approves(81, "one");
        edge.approves(82, "two");
        let held = held.map(|held| held.map(key));
        let held = held.as_ref().map(<[_; 1]>::as_slice);
        edge.record.hold(&version(), held, "user:nell", "bad notes", None, edge.now()).expect("a hold");
        for name in ["one", "two"] {
            let may = edge.may_act(name);
            if stopped.contains(&name) {
                assert!(matches!(may, May::Never { .. }), "{held:?} {name}: {may:?}");
                assert_eq!(edge.state(name), TargetState::Staged);
                let (code, what) = edge.problem(name).expect("it says why");
                assert_eq!(code, "blocked");
                assert!(what.contains("it is on hold by nell: bad notes"), "{what}");
            } else {
                assert_eq!(may, May::Now, "{held:?} {name}");
            }
        }
    }
}

#[test]
fn a_hold_that_is_set_while_gitlab_is_asked_stops_the_act() {
    let edge = Rc::new(Edge::new("[[gates]]\njobs = [\"qa\"]"));
    edge.has_pipeline(9, "success");
    edge.approves(81, "one");
    edge.passes(MINUTE);
    edge.meanwhile(|edge| {
        edge.record.hold(&version(), None, "user:nell", "bad notes", None, edge.now()).expect("a hold");
    });
    let may = edge.may_act("one");
    assert!(matches!(may, May::Never { .. }), "{may:?}");
    assert_eq!(edge.state("one"), TargetState::Staged);
}

#[test]
fn a_gate_that_closes_while_gitlab_is_asked_stops_the_act() {
    let edge = Rc::new(Edge::new("[[gates]]\njobs = [\"qa\"]\nstaged = true"));
    edge.has_pipeline(9, "success");
    edge.approves(81, "one");
    edge.passes(MINUTE);
    edge.meanwhile(|edge| edge.expects("three"));
    is_stopped(&edge, &edge.may_act("one"), "blocked", "1 of 3 packages of the release is not staged: `three`");
}

#[test]
fn an_approval_that_lapses_before_the_act_stops_it_though_no_alarm_has_gone_off() {
    let lapse = Duration::from_hours(4);
    let edge = Edge::new("");
    edge.approves(81, "one");
    edge.is_at(Timestamp((NOW + lapse).0 - 1));
    assert_eq!(edge.may_act("one"), May::Now);
    // What has begun in time may try again after it.
    edge.is_at(NOW + lapse * 2);
    assert_eq!(edge.may_act("one"), May::Now);

    let edge = Edge::new("");
    edge.approves(81, "one");
    edge.is_at(NOW + lapse);
    is_stopped(&edge, &edge.may_act("one"), "lapsed", "Its approval lapsed at 2026-11-23 04:00:00 UTC");
}

#[test]
fn the_alarm_ends_an_approval_when_it_lapses_and_is_armed_for_that() {
    let edge = Edge::new("");
    edge.approves(81, "one");
    edge.is_at(NOW + Duration::from_hours(4) - MINUTE / 2);
    let next = edge.drives().expect("something is due");
    assert_eq!(next, NOW + Duration::from_hours(4));
    edge.is_at(next);
    edge.drives();
    assert_eq!(edge.state("one"), TargetState::Staged);
    assert_eq!(edge.problem("one").expect("it says why").0, "lapsed");
}

#[test]
fn while_gitlab_cannot_be_asked_nothing_is_begun_and_nothing_is_lost() {
    for outage in [0, 500, 403] {
        let edge = Edge::new("[[gates]]\njobs = [\"qa\"]");
        edge.has_pipeline(9, "success");
        edge.approves(81, "one");
        edge.answers("pipelines/7/jobs", outage, json!({}));
        edge.passes(MINUTE);
        let may = edge.may_act("one");
        assert!(matches!(&may, May::Unknown(_)), "{outage}: {may:?}");
        assert_eq!((edge.state("one"), edge.problem("one")), (TargetState::Approved, None), "{outage}");
        edge.has_pipeline(9, "success");
        assert_eq!(edge.may_act("one"), May::Now, "{outage}");
    }
}

#[test]
fn what_gitlab_said_ten_seconds_ago_decides_nothing_and_nor_does_what_it_said_tomorrow() {
    let ask = |edge: &Edge| edge.asked("/pipelines/7/jobs");
    let edge = Edge::new("[[gates]]\njobs = [\"qa\"]\nsecond_person = true");
    edge.has_pipeline(9, "success");
    edge.approves(81, "one");
    edge.approves(82, "two");
    assert_eq!(ask(&edge), 1, "a person plays many jobs at once");
    edge.passes(Duration::from_millis(9_999));
    assert_eq!((edge.may_act("one"), ask(&edge)), (May::Now, 1));
    edge.passes(Duration::from_millis(1));
    assert_eq!((edge.may_act("one"), ask(&edge)), (May::Now, 2));
    assert_eq!(edge.asked("/pipelines/7"), 1, "nobody else starts a pipeline later");
    // The clock was wrong when it was read.
    edge.is_at(NOW);
    edge.has_pipeline(9, "failed");
    assert!(matches!(edge.may_act("two"), May::Never { .. }));
    assert_eq!(ask(&edge), 3);
}

#[test]
fn the_gates_are_those_of_the_configuration_that_is_deployed_when_the_act_begins() {
    let edge = Edge::new("");
    edge.approves(81, "one");
    edge.approves(82, "two");
    edge.has_pipeline(7, "success");
    let why = "who plays its job has started pipeline 7, and a second person must play it";
    let may = edge.may_act_under(&config("[[gates]]\nsecond_person = true"), "one");
    is_stopped(&edge, &may, "blocked", why);
    // Somebody else had started it.
    let edge = Edge::new("");
    edge.approves(81, "one");
    edge.has_pipeline(8, "success");
    assert_eq!(edge.may_act_under(&config("[[gates]]\nsecond_person = true"), "one"), May::Now);
}

#[test]
fn an_override_opens_its_own_gate_when_acting_and_no_other() {
    let gates = "[[gates]]\nstaged = true\njobs = [\"qa\"]\noverride_people = [9]";
    let edge = Edge::new(gates);
    edge.has_pipeline(8, "success");
    edge.approves(81, "one");
    edge.approves(82, "two");
    edge.expects("three");
    let open = |name: &str, gate| {
        let (keys, gates, by) = (&[key(name)], &[gate], "person:9 user:nell");
        let over = GateOverride { keys, gates, by_id: 9, by, reason: "a fix" };
        edge.record.override_gates(&version(), &over, edge.now()).expect("an override");
    };
    open("one", GateKind::Staged);
    assert_eq!(edge.may_act("one"), May::Now);
    // It was for that package alone.
    open("two", GateKind::Jobs);
    let May::Never { problem: Some(problem), .. } = edge.may_act("two") else { panic!("it is not staged completely") };
    assert!(problem.what.contains("`three`"), "{}", problem.what);
}

#[test]
fn an_act_of_other_bytes_or_of_another_approval_never_begins() {
    let edge = Edge::new("");
    edge.approves(81, "one");
    let own = edge.question("one");
    for wrong in [
        Ask { digest: Digest::of(b"other"), ..own.clone() },
        Ask { approval: own.approval + 1, ..own.clone() },
        Ask { distro: "el/9".to_owned(), ..own.clone() },
        Ask { key: key("two"), ..own.clone() },
    ] {
        assert!(matches!(edge.answer_to(&edge.config, &wrong), May::Never { .. }), "{wrong:?}");
    }
    assert_eq!(edge.answer_to(&edge.config, &own), May::Now);
    edge.reports("one", TargetState::Released);
    assert!(matches!(edge.answer_to(&edge.config, &own), May::Never { state: TargetState::Released, .. }));
}

/// The record of another project, in which a package with the file name of `one` is so far.
fn buoy(state: TargetState, bytes: &[u8]) -> Record<Database> {
    let record = Record::open(Database::in_memory()).expect("a fresh record");
    record.know_project(BUOY).expect("its project");
    let (version, session) = ("17.0.0".parse().expect("a version"), session(PIPELINE));
    let policy = config("").policy;
    record.expect(&version, &session, &policy, Maturity::Final, &[planned("light", &[JAMMY])], NOW).expect("a plan");
    let file =
        StagedFile { filename: "one_1.2.0_amd64.deb".to_owned(), image: None, digest: Digest::of(bytes), size: 3 };
    record.declare(&version, &key("light"), &file, false, &session, NOW).expect("declared");
    record.sql().query("UPDATE targets SET state = ?", &[state.code().into()]).expect("a target");
    record
}

#[test]
fn a_name_that_another_project_has_released_with_other_bytes_or_taken_back_is_not_released_by_this_one() {
    let (own, other) = (b"one".as_slice(), b"two".as_slice());
    for (state, bytes, taken) in [
        (TargetState::Released, other, true),
        (TargetState::Withdrawn, other, true),
        // The same file, which both release.
        (TargetState::Released, own, false),
        (TargetState::Staged, other, false),
        (TargetState::Failed, other, false),
    ] {
        let edge = Edge::new(WITH_BUOY);
        edge.approves(81, "one");
        *edge.host.other.borrow_mut() = Some(buoy(state, bytes));
        let may = edge.may_act("one");
        if taken {
            let why = "`one_1.2.0_amd64.deb` of harbour/stable had other bytes in the project `buoy`";
            is_stopped(&edge, &may, "withdrawn", why);
        } else {
            assert_eq!(may, May::Now, "{state:?}");
        }
        // Another file of the same repository has a name of its own.
        edge.approves(82, "two");
        assert_eq!(edge.may_act("two"), May::Now, "{state:?}");
    }
}

#[test]
fn while_another_project_does_not_answer_no_act_begins_and_no_approval_ends() {
    let edge = Edge::new(WITH_BUOY);
    edge.approves(81, "one");
    let may = edge.may_act("one");
    let May::Unknown(trouble) = &may else { panic!("nobody knows whether the name is free: {may:?}") };
    assert!(trouble.to_string().contains("the project `buoy`"), "{trouble}");
    assert_eq!(edge.state("one"), TargetState::Approved);
    *edge.host.other.borrow_mut() = Some(buoy(TargetState::Staged, b"two"));
    assert_eq!(edge.may_act("one"), May::Now);
}

#[test]
fn another_project_whose_routes_lead_elsewhere_keeps_nobody_waiting_and_yet_is_believed() {
    // Its record alone knows what it released before.
    let moved = || {
        let mut edge = Edge::new(WITH_BUOY);
        edge.config.routes.iter_mut().for_each(|route| route.projects = vec![Glob::new("tug")]);
        edge.approves(81, "one");
        edge
    };
    assert_eq!(moved().may_act("one"), May::Now, "it is away");
    let edge = moved();
    *edge.host.other.borrow_mut() = Some(buoy(TargetState::Withdrawn, b"two"));
    let why = "`one_1.2.0_amd64.deb` of harbour/stable had other bytes in the project `buoy`";
    is_stopped(&edge, &edge.may_act("one"), "withdrawn", why);
}
