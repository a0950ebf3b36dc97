//! Stories of what is taken back.

use slipway_core::api::WithdrawalState;
use slipway_core::withdrawal::{MayWithdraw, Withdrawal, WithdrawalReport};

use super::*;
use crate::record::TakenBack;

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
    let asked = TakenBack { keys: &keys, targets: &[] };
    record.withdraw(&version(), &asked, "mira", REASON, &|_| vec!["apt fails.".to_owned()], NOW)
}

fn tell(record: &Record<Database>, withdrawal: &Withdrawal, count: u64, state: WithdrawalState) -> bool {
    let problem = (state == WithdrawalState::NotWithdrawn)
        .then(|| Code::NotWithdrawable.problem("It does not.", Visible::Done, None));
    let report = WithdrawalReport { count, state, notes: Vec::new(), problem };
    record.withdrawal_seen(withdrawal, &report, NOW).expect("a row")
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
        let single = record.withdrawable(&version(), &TakenBack { keys: &[], targets: &target });
        match state {
            TargetState::Released | TargetState::Withdrawn => assert_eq!(single.expect("it is public, or was"), []),
            _ => assert!(matches!(single, Err(LedgerError::NotReleased { .. })), "{state:?}"),
        }
    }
    let record = released();
    let target = [(key(), "el/9".to_owned())];
    let unknown = record.withdrawable(&version(), &TakenBack { keys: &[], targets: &target });
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
    assert_eq!(record.may_withdraw(withdrawal.number).expect("a row"), MayWithdraw::Now);
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
fn a_stopped_project_takes_nothing_back_until_it_is_started() {
    let record = released();
    let withdrawal = ask(&record).expect("it is released").remove(0);
    record.stop("operator", "wrong", NOW).expect("a switch");
    assert!(matches!(record.may_withdraw(withdrawal.number).expect("a row"), MayWithdraw::Stopped(_)));
    record.start("operator", "mended", NOW).expect("a switch");
    assert_eq!(record.may_withdraw(withdrawal.number).expect("a row"), MayWithdraw::Now);
}

#[test]
fn what_was_taken_back_is_not_released_again_and_its_name_gets_no_other_bytes() {
    let record = released();
    let withdrawal = ask(&record).expect("it is released").remove(0);
    tell(&record, &withdrawal, 1, WithdrawalState::Withdrawn);
    let candidate = record.candidate(&version(), &key()).expect("a row").expect("it is planned");
    assert_eq!(candidate.withdrawn, None, "its own bytes are told by its target's state");
    let (file, site) = (withdrawal.filename.clone(), withdrawal.public.clone());
    let name = |cargo: &str, digest: &[u8], distro: &str| {
        let targets = [(distro.to_owned(), site.clone())];
        record.withdrawn_names(&cargo.parse().expect("a name"), &Digest::of(digest), &targets).expect("rows")
    };
    let why = name(file.as_str(), b"other", JAMMY).expect("other bytes");
    assert!(why.contains("had other bytes in 1.2.0"), "{why}");
    assert_eq!(name(file.as_str(), b"deb", JAMMY), None);
    assert_eq!(name("tug_1.2.1_amd64.deb", b"other", JAMMY), None);
    assert_eq!(name(file.as_str(), b"other", "ubuntu/noble"), None);
}
