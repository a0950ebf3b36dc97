//! Stories of what is taken back.

use std::collections::BTreeMap;

use slipway_core::api::WithdrawalState;
use slipway_core::promotion::{May, MayEnd};
use slipway_core::store::Floated;
use slipway_core::withdrawal::{MayWithdraw, Withdrawal, WithdrawalReport};

use super::*;
use crate::record::{Ask, PublicName, TakenBack};

const REASON: &str = "it pulls the wrong way";

/// A record of which one target is released.
fn released() -> Record<Database> {
    let record = record();
    plan(&record);
    set(&record, TargetState::Released);
    record
}

fn set(record: &Record<Database>, state: TargetState) {
    let digest = Digest::of(b"deb").to_string();
    record
        .sql()
        .query("UPDATE packages SET filename = 'tug_1.2.0_amd64.deb', digest = ?, size = 3", &[digest.into()])
        .expect("a package");
    record.sql().query("UPDATE targets SET state = ?", &[state.code().into()]).expect("a target");
}

fn ask(record: &Record<Database>) -> Result<Vec<Withdrawal>, LedgerError> {
    let keys = [key()];
    let asked = TakenBack { keys: &keys, targets: &[], shared: false };
    record.withdraw(&version(), &asked, "mira", REASON, &|_| vec!["apt fails.".to_owned()], NOW)
}

fn tell(record: &Record<Database>, withdrawal: &Withdrawal, count: u64, state: WithdrawalState) -> bool {
    let problem = (state == WithdrawalState::NotWithdrawn)
        .then(|| Code::NotWithdrawable.problem("It does not.", Visible::Done, None));
    let report = WithdrawalReport { count, state, notes: Vec::new(), floating: Vec::new(), problem };
    record.withdrawal_seen(withdrawal, &report, NOW).expect("a row")
}

fn now() -> MayWithdraw {
    MayWithdraw::Now { released: BTreeMap::new() }
}

fn state(record: &Record<Database>) -> TargetState {
    record.states(&version(), &key()).expect("targets")[0].1
}

fn actions(record: &Record<Database>) -> Vec<String> {
    entries(record.sql(), 1, 100).expect("rows").into_iter().map(|row| row.event.action).collect()
}

#[test]
fn only_what_was_released_is_taken_back() {
    for state in TargetState::ALL {
        let record = released();
        set(&record, state);
        let asked = ask(&record);
        match state {
            TargetState::Released => assert_eq!(asked.expect("it is released").len(), 1),
            TargetState::Withdrawn => assert_eq!(asked.expect("it is over"), []),
            _ => assert!(matches!(asked, Err(LedgerError::NothingReleased { .. })), "{state:?}"),
        }
        let target = [(key(), JAMMY.to_owned())];
        let single = record.withdrawable(&version(), &TakenBack { keys: &[], targets: &target, shared: false });
        match state {
            TargetState::Released | TargetState::Withdrawn => assert_eq!(single.expect("it is public, or was"), []),
            _ => assert!(matches!(single, Err(LedgerError::NotReleased { .. })), "{state:?}"),
        }
    }
    let record = released();
    let target = [(key(), "el/9".to_owned())];
    let unknown = record.withdrawable(&version(), &TakenBack { keys: &[], targets: &target, shared: false });
    assert!(matches!(unknown, Err(LedgerError::NoTarget { .. })));
}

#[test]
fn a_withdrawal_is_given_once_told_again_when_nothing_is_heard_and_ends_by_what_was_seen() {
    let record = released();
    let withdrawal = ask(&record).expect("it is released").remove(0);
    assert_eq!(ask(&record).expect("it is under way"), [], "asked again, it is no second one");
    assert_eq!(record.withdrawals_to_give().expect("orders"), std::slice::from_ref(&withdrawal));
    record.withdrawals_given(&[withdrawal.number]).expect("it was taken");
    assert_eq!(record.withdrawals_to_give().expect("orders"), []);
    assert_eq!(record.unheard_withdrawals(NOW, NOW).expect("orders"), std::slice::from_ref(&withdrawal));
    assert_eq!(state(&record), TargetState::Released, "somebody may still be served it");
    assert_eq!(record.may_withdraw(withdrawal.number).expect("a row"), now());
    assert!(tell(&record, &withdrawal, 1, WithdrawalState::Withdrawn));
    assert_eq!(state(&record), TargetState::Withdrawn);
    assert!(!tell(&record, &withdrawal, 2, WithdrawalState::NotWithdrawn), "what has ended has ended");
    assert_eq!(record.may_withdraw(withdrawal.number).expect("a row"), MayWithdraw::Over);
    assert!(!record.is_withdrawing().expect("rows"));
    let actions = actions(&record);
    assert_eq!(actions[actions.len() - 2..], ["withdrawing", "withdrawn"]);
    let shown = record.withdrawal(&version(), &key(), JAMMY).expect("a row").expect("it was asked for");
    assert_eq!((shown.by.as_str(), shown.reason.as_str(), shown.users.len()), ("mira", REASON, 1));
}

#[test]
fn one_that_could_not_be_done_leaves_the_target_released_and_may_be_asked_for_again() {
    let record = released();
    let first = ask(&record).expect("it is released").remove(0);
    assert!(tell(&record, &first, 1, WithdrawalState::NotWithdrawn));
    assert_eq!(state(&record), TargetState::Released);
    let second = ask(&record).expect("again").remove(0);
    assert!(second.number > first.number);
}

#[test]
fn the_row_of_what_was_taken_back_has_the_floating_tags_that_were_set_back_or_are_gone() {
    let record = released();
    let withdrawal = ask(&record).expect("it is released").remove(0);
    let (bad, older) = (Digest::of(b"deb"), Digest::of(b"older"));
    let floating = vec![
        Floated { tag: "latest".to_owned(), before: Some(bad), after: Some(older) },
        Floated { tag: "17.3".to_owned(), before: Some(bad), after: None },
    ];
    let state = WithdrawalState::Withdrawn;
    let report = WithdrawalReport { count: 1, state, notes: Vec::new(), floating, problem: None };
    assert!(record.withdrawal_seen(&withdrawal, &report, NOW).expect("a row"));
    let row = entries(record.sql(), 1, 100).expect("rows").pop().expect("a row").event;
    let details: serde_json::Value = serde_json::from_str(&row.details).expect("JSON");
    let (bad, older) = (bad.to_string(), older.to_string());
    let expected = serde_json::json!([
        { "tag": "latest", "before": bad, "after": older },
        { "tag": "17.3", "before": bad, "after": null },
    ]);
    assert_eq!((row.action.as_str(), &details["floating"]), ("withdrawn", &expected));
}

#[test]
fn a_stopped_project_takes_nothing_back_until_it_is_started() {
    let record = released();
    let withdrawal = ask(&record).expect("it is released").remove(0);
    record.stop("operator", "wrong", NOW).expect("a switch");
    assert!(matches!(record.may_withdraw(withdrawal.number).expect("a row"), MayWithdraw::Stopped(_)));
    record.start("operator", "mended", NOW).expect("a switch");
    assert_eq!(record.may_withdraw(withdrawal.number).expect("a row"), now());
}

#[test]
fn what_was_taken_back_is_not_released_again_and_its_name_gets_no_other_bytes() {
    let record = released();
    let withdrawal = ask(&record).expect("it is released").remove(0);
    tell(&record, &withdrawal, 1, WithdrawalState::Withdrawn);
    let own = record.candidate(&version(), &key()).expect("a row").expect("it is planned");
    assert_eq!(own.withdrawn.as_deref(), Some("it was released for ubuntu/jammy and taken back"));
    let with = |change: &str| {
        let next = another(&record, "1.2.1", b"other");
        record.sql().query(change, &[]).expect("rows");
        let why = names(&record, &next);
        record.sql().query("DELETE FROM targets WHERE version = '1.2.1'", &[]).expect("rows");
        record.sql().query("DELETE FROM packages WHERE version = '1.2.1'", &[]).expect("rows");
        why
    };
    let why = with("SELECT 1").expect("other bytes");
    assert!(why.contains("had other bytes in 1.2.0") && why.contains("taken back"), "{why}");
    // The same file, staged for another release: what was taken back for a reason stays away.
    let own = format!("UPDATE packages SET digest = '{}'", Digest::of(b"deb"));
    let why = with(&own).expect("it was taken back");
    assert!(why.contains("was taken back in 1.2.0"), "{why}");
    for elsewhere in [
        "UPDATE packages SET filename = 'tug_1.2.1_amd64.deb' WHERE version = '1.2.1'",
        "UPDATE targets SET distro = 'ubuntu/noble' WHERE version = '1.2.1'",
        "UPDATE targets SET public_repository = 'harbour/other' WHERE version = '1.2.1'",
        "UPDATE targets SET public_place = 'elsewhere' WHERE version = '1.2.1'",
        "UPDATE targets SET state = 'skipped' WHERE version = '1.2.1'",
    ] {
        assert_eq!(with(elsewhere), None, "{elsewhere}");
    }
}

/// Another release with a file of that name, which is in staging.
fn another(record: &Record<Database>, version: &str, bytes: &[u8]) -> Version {
    let version: Version = version.parse().expect("a version");
    let session = session(8, "bb");
    record.expect(&version, &session, &policy(), Maturity::Final, &planned(None), NOW).expect("a plan");
    record.declare(&version, &key(), &file(bytes), false, &session, NOW).expect("a declaration");
    record.seen_in_staging(&version, &key(), JAMMY, &Digest::of(bytes), &Sight::Declared, NOW).expect("a look");
    version
}

/// Why a package of another release is not released, of which nothing was taken back itself.
fn names(record: &Record<Database>, version: &Version) -> Option<String> {
    let candidate = record.candidate(version, &key()).expect("a row").expect("it is planned");
    assert_eq!(candidate.withdrawn, None);
    candidate.name_taken
}

/// Approves a release whatever stands against it now, and asks for leave to act.
fn may_act(record: &Record<Database>, version: &Version, bytes: &[u8]) -> May {
    record
        .sql()
        .query("UPDATE targets SET state = 'approved', approval = 9 WHERE version = ?", &[version.as_str().into()])
        .expect("a target");
    let ask = Ask {
        project_id: 1001,
        version: version.clone(),
        key: key(),
        distro: JAMMY.to_owned(),
        approval: 9,
        digest: Digest::of(bytes),
    };
    record.allow(&ask, NOW).expect("an answer")
}

#[test]
fn what_was_approved_before_a_withdrawal_of_its_name_does_not_begin_after_it() {
    for bytes in [b"other".as_slice(), b"deb"] {
        let record = released();
        let next = another(&record, "1.2.1", bytes);
        let withdrawal = ask(&record).expect("it is released").remove(0);
        // From when it is asked for, since it may be gone before that is heard.
        for state in [None, Some(WithdrawalState::Withdrawn)] {
            if let Some(state) = state {
                assert!(tell(&record, &withdrawal, 1, state));
            }
            let May::Never { state: TargetState::Staged, problem: Some(problem) } = may_act(&record, &next, bytes)
            else {
                panic!("its name is taken back");
            };
            assert_eq!(problem.code, "withdrawn");
            assert!(problem.what.contains("Nothing was begun"), "{}", problem.what);
            let may = record.may_end(&next, &key()).expect("rows");
            assert!(matches!(may, MayEnd::Withdrawn(_)), "nor does a copy end that had begun: {may:?}");
        }
        let never = record.candidate(&next, &key()).expect("a row").expect("it is planned");
        assert!(never.targets.iter().all(|(_, state)| *state == TargetState::Staged), "its approval is over");
    }
}

#[test]
fn what_could_not_be_taken_back_stays_public_for_every_release_that_has_it() {
    let record = released();
    let next = another(&record, "1.2.1", b"deb");
    let withdrawal = ask(&record).expect("it is released").remove(0);
    assert!(tell(&record, &withdrawal, 1, WithdrawalState::NotWithdrawn));
    assert_eq!(names(&record, &next), None);
    assert_eq!(may_act(&record, &next, b"deb"), May::Now);
    assert_eq!(record.may_end(&next, &key()).expect("rows"), MayEnd::Now);
}

#[test]
fn a_withdrawal_that_failed_opens_its_name_only_where_the_bytes_are_seen_to_be_public() {
    for (code, public, is_open) in [
        (Code::NotWithdrawable, Some(Visible::Done), true),
        // The server has deleted the file, and its index serves it a while longer.
        (Code::StillServed, Some(Visible::Partly), false),
        // It was not seen what became of the deletion.
        (Code::Unreachable, Some(Visible::Unknown), false),
        // The project's record was imported meanwhile.
        (Code::NotWithdrawable, Some(Visible::Unknown), false),
        (Code::Drift, Some(Visible::Nothing), false),
        (Code::NotWithdrawable, None, false),
    ] {
        let record = released();
        let next = another(&record, "1.2.1", b"deb");
        let withdrawal = ask(&record).expect("it is released").remove(0);
        let problem = public.map(|public| code.problem("It does not.", public, None));
        let ended = WithdrawalReport {
            count: 1,
            state: WithdrawalState::NotWithdrawn,
            notes: Vec::new(),
            floating: Vec::new(),
            problem,
        };
        assert!(record.withdrawal_seen(&withdrawal, &ended, NOW).expect("a row"));
        let case = format!("{code:?} {public:?}");
        assert_eq!(record.why_withdrawn(&version(), &key()).expect("rows").is_none(), is_open, "{case}");
        assert_eq!(record.why_name_taken(&next, &key()).expect("rows").is_none(), is_open, "{case}");
        for version in [&version(), &next] {
            let may = record.may_end(version, &key()).expect("rows");
            assert_eq!(may == MayEnd::Now, is_open, "{case}: {version} {may:?}");
        }
        assert_eq!(may_act(&record, &next, b"deb") == May::Now, is_open, "{case}");
    }
}

#[test]
fn a_name_that_was_released_with_other_bytes_is_not_open_for_others_when_its_file_is_gone() {
    // As in a record that was restored from before the withdrawal; or when somebody has deleted the file at the server.
    for (state, is_taken) in [
        (TargetState::Released, true),
        (TargetState::Withdrawn, true),
        (TargetState::Failed, false),
        (TargetState::Staged, false),
    ] {
        let record = released();
        let next = another(&record, "1.2.1", b"other");
        record
            .sql()
            .query("UPDATE targets SET state = ? WHERE version = '1.2.0'", &[state.code().into()])
            .expect("a target");
        assert_eq!(record.sql().query("SELECT 1 FROM withdrawals", &[]).expect("rows").len(), 0);
        assert_eq!(names(&record, &next).is_some(), is_taken, "{state:?}");
        assert_eq!(may_act(&record, &next, b"other") != May::Now, is_taken, "{state:?}");
    }
}

#[test]
fn another_project_gets_no_name_that_was_taken_back_here_or_has_other_bytes() {
    let wants = |bytes: &[u8]| {
        let other = record();
        other.public_names(&another(&other, "9.0.0", bytes), &key()).expect("rows")
    };
    let (same, differs) = (wants(b"deb"), wants(b"other"));
    assert_eq!((same.len(), differs.len()), (1, 1));
    let record = released();
    let why = |names: &[PublicName]| {
        record.name_taken(names).expect("rows").map(|taken| (taken.was_taken_back, taken.why("tug")))
    };
    assert_eq!(why(&same), None, "both have released it");
    assert!(why(&differs).is_some_and(|(was_taken_back, why)| !was_taken_back && why.contains("which were released")));
    let withdrawal = ask(&record).expect("it is released").remove(0);
    for names in [&same, &differs] {
        assert!(why(names).is_some_and(|(was_taken_back, why)| was_taken_back && why.contains("taken back")));
    }
    assert!(tell(&record, &withdrawal, 1, WithdrawalState::NotWithdrawn));
    assert_eq!(why(&same), None, "it stays public");
    assert!(why(&differs).is_some());
    let elsewhere = |change: fn(&mut PublicName)| {
        let mut names = differs.clone();
        names.iter_mut().for_each(change);
        why(&names)
    };
    assert_eq!(elsewhere(|name| "harbour/other".clone_into(&mut name.public.repository)), None);
    assert_eq!(elsewhere(|name| "elsewhere".clone_into(&mut name.public.place)), None);
    assert_eq!(elsewhere(|name| "el/9".clone_into(&mut name.distro)), None);
}

#[test]
fn a_floating_tag_may_lead_back_to_what_was_released_there_and_is_not_being_taken_back() {
    let record = released();
    let at = |pipeline_id: u64, tag: &str, state: TargetState, repository: &str| {
        let version: Version = tag.trim_start_matches(':').parse().expect("a version");
        record
            .expect(&version, &session(pipeline_id, "bb"), &policy(), Maturity::Final, &planned(None), NOW)
            .expect("a plan");
        let sql = record.sql();
        let digest = Digest::of(tag.as_bytes()).to_string();
        sql.query(
            "UPDATE packages SET filename = 'registry.example.com/team/app', digest = ? WHERE version = ?",
            &[digest.into(), version.as_str().into()],
        )
        .expect("an image");
        sql.query(
            "UPDATE targets SET state = ?, distro = ?, public_repository = ? WHERE version = ?",
            &[state.code().into(), tag.into(), repository.into(), version.as_str().into()],
        )
        .expect("a tag");
        version
    };
    let bad = at(10, ":2.3.0", TargetState::Released, "acme/app");
    at(11, ":2.2.0", TargetState::Released, "acme/app");
    at(12, ":2.1.0", TargetState::Withdrawn, "acme/app");
    at(13, ":2.0.0", TargetState::Failed, "acme/app");
    at(14, ":1.9.0", TargetState::Released, "acme/other");
    let keys = [key()];
    let asked = TakenBack { keys: &keys, targets: &[], shared: false };
    let all = record.withdraw(&bad, &asked, "mira", REASON, &|_| Vec::new(), NOW).expect("it is released");
    let MayWithdraw::Now { released } = record.may_withdraw(all[0].number).expect("a row") else {
        panic!("nothing stops it")
    };
    assert_eq!(released, BTreeMap::from([(":2.2.0".to_owned(), Digest::of(b":2.2.0"))]));
}

#[test]
fn what_another_release_has_public_too_is_taken_back_for_both_or_for_none() {
    let record = released();
    let next = another(&record, "1.2.1", b"deb");
    record.sql().query("UPDATE targets SET state = 'released'", &[]).expect("both");
    let keys = [key()];
    let asked = TakenBack { keys: &keys, targets: &[], shared: false };
    let would = record.withdrawable(&version(), &asked).expect("it is released");
    assert_eq!(would[0].also, ["1.2.1/jammy-amd64"]);
    let refused = ask(&record).expect_err("another release has it public");
    assert!(matches!(refused, LedgerError::SharedWithOthers { .. }), "{refused}");
    assert!(refused.to_string().starts_with("`1.2.1/jammy-amd64` has the same public as well"), "{refused}");
    assert_eq!(record.withdrawals_to_give().expect("orders"), [], "nothing was asked for");

    let asked = TakenBack { shared: true, ..asked };
    let all = record.withdraw(&version(), &asked, "mira", REASON, &|_| Vec::new(), NOW).expect("with a word");
    assert_eq!(record.states(&next, &key()).expect("targets")[0].1, TargetState::Released, "it is not gone yet");
    assert!(tell(&record, &all[0], 1, WithdrawalState::Withdrawn));
    for version in [version(), next] {
        assert_eq!(record.states(&version, &key()).expect("targets")[0].1, TargetState::Withdrawn, "{version}");
        let shown = record.withdrawal(&version, &key(), JAMMY).expect("a row").expect("it is told");
        assert_eq!((shown.reason.as_str(), shown.state), (REASON, WithdrawalState::Withdrawn), "{version}");
    }
    assert!(!record.is_withdrawing().expect("rows"), "both have their end");
}

#[test]
fn a_release_with_other_bytes_or_another_name_has_nothing_in_common() {
    for change in [
        "UPDATE packages SET digest = 'sha256:00' WHERE version = '1.2.1'",
        "UPDATE packages SET filename = 'tug_1.2.1_amd64.deb' WHERE version = '1.2.1'",
        "UPDATE targets SET distro = 'ubuntu/noble' WHERE version = '1.2.1'",
        "UPDATE targets SET public_repository = 'harbour/other' WHERE version = '1.2.1'",
        "UPDATE targets SET public_place = 'elsewhere' WHERE version = '1.2.1'",
        "UPDATE targets SET state = 'staged' WHERE version = '1.2.1'",
    ] {
        let record = released();
        another(&record, "1.2.1", b"deb");
        record.sql().query("UPDATE targets SET state = 'released'", &[]).expect("both");
        record.sql().query(change, &[]).expect("a change");
        assert_eq!(ask(&record).expect("it alone").len(), 1, "{change}");
    }
}

#[test]
fn what_is_approved_of_a_package_and_not_public_yet_does_not_follow_what_is_taken_back_of_it() {
    let record = released();
    record
        .sql()
        .query(
            "INSERT INTO targets (version, key, distro, public_place, public_repository, how, state, since)
             SELECT version, key, 'ubuntu/noble', public_place, public_repository, how, 'approved', since FROM targets",
            &[],
        )
        .expect("another target");
    record.sql().query("UPDATE targets SET approval = 9 WHERE state = 'approved'", &[]).expect("a target");
    let noble = Ask {
        project_id: 1001,
        version: version(),
        key: key(),
        distro: "ubuntu/noble".to_owned(),
        approval: 9,
        digest: Digest::of(b"deb"),
    };
    assert_eq!(record.may_end(&version(), &key()).expect("rows"), MayEnd::Now);
    ask(&record).expect("one target is released");
    let may = record.may_end(&version(), &key()).expect("rows");
    assert!(matches!(may, MayEnd::Withdrawn(_)), "nor does a copy of it end that had begun: {may:?}");
    let May::Never { state: TargetState::Staged, problem: Some(problem) } =
        record.allow(&noble, NOW).expect("an answer")
    else {
        panic!("it is being taken back")
    };
    assert_eq!(problem.code, "withdrawn");
    assert!(problem.what.contains("it was released for ubuntu/jammy and taken back"), "{}", problem.what);
}

#[test]
fn what_is_approved_of_a_package_for_another_distro_ends_with_the_one_whose_name_is_taken_back_elsewhere() {
    let record = released();
    let next = another(&record, "1.2.1", b"other");
    record
        .sql()
        .query(
            "INSERT INTO targets (version, key, distro, public_place, public_repository, how, state, since, approval)
             SELECT version, key, 'ubuntu/noble', public_place, public_repository, how, 'approved', since, 9 FROM targets
             WHERE version = '1.2.1'",
            &[],
        )
        .expect("another target");
    ask(&record).expect("it is released");
    let noble = Ask {
        project_id: 1001,
        version: next.clone(),
        key: key(),
        distro: "ubuntu/noble".to_owned(),
        approval: 9,
        digest: Digest::of(b"other"),
    };
    // Otherwise it would begin, and never be allowed to end.
    assert!(matches!(record.may_end(&next, &key()).expect("rows"), MayEnd::Withdrawn(_)));
    assert!(matches!(record.allow(&noble, NOW).expect("an answer"), May::Never { problem: Some(_), .. }));
}
