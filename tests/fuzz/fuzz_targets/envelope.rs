//! An attestation, as anybody hands one in: nothing of it is believed without a signature, and what is believed is what any
//! reader of JSON would read in it.
#![no_main]

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use slipway_core::attestation::{Envelope, NotAttested, checked};
use slipway_core::signing::{PublicKey, Signature, SigningError, Verifier};

/// Says of every signature the same.
struct Says(bool);

impl Verifier for Says {
    async fn verify(&self, _: &PublicKey, _: &[u8], _: &Signature) -> Result<bool, SigningError> {
        Ok(self.0)
    }
}

fn now<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => unreachable!("nothing waits"),
    }
}

fuzz_target!(|bytes: &[u8]| {
    let Ok(envelope) = Envelope::read(bytes) else { return };
    let keys = ["6f0yb1JHYf/VtiGPCYmpe3/vOzjE3GK6ee6iLrLPXOQ=".parse().expect("a key")];
    let unsigned = now(checked(&envelope, &keys, &Says(false))).expect_err("nobody has signed it");
    assert!(matches!(unsigned, NotAttested::NoEnvelope(_) | NotAttested::OtherPayload(_) | NotAttested::NotSigned));
    assert!(now(checked(&envelope, &[], &Says(true))).is_err(), "without a key nothing is believed");
    let Ok(statement) = now(checked(&envelope, &keys, &Says(true))) else { return };
    let payload = envelope.payload().expect("it was read");
    assert_eq!(Envelope::of(&payload, String::new(), &[]).payload().expect("it was written"), payload);
    let said: Value = serde_json::from_slice(&payload).expect("a statement is JSON");
    let written = statement.payload().expect("what was read can be written");
    let again: Value = serde_json::from_slice(&written).expect("it is JSON");
    for name in ["_type", "predicateType"] {
        assert_eq!(again[name], said[name]);
    }
    let subjects = said["subject"].as_array().expect("it has subjects");
    assert_eq!(subjects.len(), statement.subject.len());
    for (subject, said) in statement.subject.iter().zip(subjects) {
        assert_eq!(Some(subject.name.as_str()), said["name"].as_str());
        let digest = serde_json::to_value(&subject.digest).expect("a digest");
        assert_eq!(digest["sha256"], said["digest"]["sha256"]);
    }
});
