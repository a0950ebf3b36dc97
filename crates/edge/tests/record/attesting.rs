//! What was released is attested once, when there is a key, and attached only under the lease of its repository.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use futures_util::FutureExt as _;
use slipway_core::attestation::Envelope;
use slipway_core::promotion::Slot;
use slipway_core::release::TargetState;
use slipway_core::time::Timestamp;
use slipway_edge::account::{AskSlot, Ending, SlotEnded};
use slipway_edge::attest;
use slipway_edge::port::{AttachingHost, Silent};
use slipway_ledger::Attested;
use slipway_wire::Digest;

use super::host::{Edge, Host, JAMMY, MINUTE, key, version};

thread_local! {
    /// What the account answers, and what it was asked and given back.
    static ACCOUNT: RefCell<(Option<Slot>, Vec<String>)> = const { RefCell::new((None, Vec::new())) };
}

impl AttachingHost for Host {
    async fn slot(&self, place: &str, ask: &AskSlot) -> Result<Slot, Silent> {
        ACCOUNT.with_borrow_mut(|(answer, told)| {
            told.push(format!("asks {place} for {} as {} {}", ask.name, ask.package, ask.distro));
            if let Some(act) = self.meanwhile.borrow_mut().take() {
                act();
            }
            answer.clone().ok_or_else(|| Silent("it does not answer".to_owned()))
        })
    }

    async fn slot_ended(&self, _place: &str, ended: &SlotEnded) -> Result<(), Silent> {
        let is_other = ended.ending == Ending::Other;
        ACCOUNT.with_borrow_mut(|(_, told)| told.push(format!("gives back {} {is_other}", ended.distro)));
        Ok(())
    }
}

/// An edge that signs, and has released one package.
pub(crate) fn released() -> Edge {
    let mut edge = Edge::new("");
    edge.config.edge.signing_key = Some("SIGNING_KEY".to_owned());
    edge.approves(81, "one");
    edge.reports("one", TargetState::Releasing);
    edge.reports("one", TargetState::Released);
    edge
}

pub(crate) fn attests(edge: &Edge) {
    attest::attest(&edge.record, &edge.host, &edge.config).now_or_never().expect("nothing waits").expect("rows");
}

pub(crate) fn due(edge: &Edge) -> Option<Timestamp> {
    attest::due(&edge.record, &edge.config, edge.now()).expect("rows")
}

pub(crate) fn attested(edge: &Edge) -> Option<Attested> {
    edge.record.attestation(&version(), &key("one"), JAMMY).expect("a row")
}

#[test]
fn a_release_is_attested_at_once_and_not_again() {
    let edge = released();
    assert_eq!(due(&edge), Some(edge.now()));
    attests(&edge);
    let Some(Attested::Signed(first)) = attested(&edge) else { panic!("it is signed") };
    assert_eq!(due(&edge), None);
    edge.passes(MINUTE);
    attests(&edge);
    assert_eq!(attested(&edge), Some(Attested::Signed(first)));
    assert_eq!(edge.audited("attested").len(), 1);
}

#[test]
fn what_cannot_be_signed_is_tried_again_a_minute_later_and_without_a_key_in_the_file_nothing_is_due() {
    let mut edge = released();
    edge.host.has_key.set(false);
    attests(&edge);
    assert_eq!((attested(&edge), due(&edge)), (Some(Attested::Due), Some(edge.now() + MINUTE)));
    let line = &edge.logged("wait to be signed")[0];
    assert!(line.contains("`SIGNING_KEY` is not set"), "{line}");
    assert!(line.contains(r#""work":"1001/attestation/1","project":1001,"release":"1.2.0","key":"one""#), "{line}");
    edge.host.has_key.set(true);
    edge.passes(MINUTE);
    attests(&edge);
    assert!(matches!(attested(&edge), Some(Attested::Signed(_))));
    edge.config.edge.signing_key = None;
    assert_eq!(due(&edge), None);
}

/// One that is to be attached now. The place that it goes to cannot be opened here.
fn to_be_attached() -> Edge {
    let edge = released();
    let project = edge.config.project("tug").expect("the project");
    let now = edge.now();
    let unsigned = edge.record.unsigned(&edge.config, project, now, now).expect("rows");
    let envelope = Envelope::of(b"statement", "key".to_owned(), &[7; 64]);
    edge.record.attested(&unsigned[0], &envelope, &Digest::of(b"statement"), Some(now), now).expect("kept");
    edge
}

fn told() -> Vec<String> {
    ACCOUNT.with_borrow_mut(|(_, told)| std::mem::take(told))
}

#[test]
fn nothing_is_attached_while_somebody_else_writes_to_the_repository() {
    let edge = to_be_attached();
    ACCOUNT.with_borrow_mut(|(answer, _)| *answer = Some(Slot::Wait { ms: 20_000 }));
    attests(&edge);
    let asked = format!("asks depot for harbour/stable as 1001/{}/one {JAMMY} attestation", version());
    assert_eq!(told(), std::slice::from_ref(&asked));
    assert_eq!(due(&edge), Some(edge.now() + Duration::from_secs(20)));
    edge.passes(Duration::from_secs(20));
    ACCOUNT.with_borrow_mut(|(answer, _)| *answer = Some(Slot::Lent));
    attests(&edge);
    assert_eq!(told(), [asked, format!("gives back {JAMMY} attestation true")], "what was lent is given back");
    assert!(due(&edge).is_some_and(|at| at > edge.now()), "it failed, and is tried again");
}

#[test]
fn while_slipway_is_stopped_it_is_signed_and_not_attached() {
    let edge = to_be_attached();
    edge.record.stop("operator", "a wrong package is public", edge.now()).expect("a switch");
    attests(&edge);
    assert_eq!(told(), Vec::<String>::new());
    assert!(due(&edge).is_some_and(|at| at > edge.now()));
}

#[test]
fn a_stop_that_comes_while_a_slot_is_asked_for_keeps_back_what_was_to_be_attached() {
    let edge = Rc::new(to_be_attached());
    ACCOUNT.with_borrow_mut(|(answer, _)| *answer = Some(Slot::Lent));
    edge.meanwhile(|edge| {
        edge.record.stop("operator", "a wrong package is public", edge.now()).expect("a switch");
    });
    attests(&edge);
    assert_eq!(told().last().map(String::as_str), Some(format!("gives back {JAMMY} attestation true").as_str()));
    // It is not sent and refused: it was not sent.
    assert_eq!(due(&edge), Some(edge.now() + Duration::from_secs(30)));
}
