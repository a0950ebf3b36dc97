//! Signatures of webhooks, in both directions: the Standard Webhooks scheme
//! (<https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md>), which GitLab speaks
//! since 19.0.
//!
//! A signature covers the delivery's id, its time and the raw body, so none of them can be exchanged. A wrong one is
//! final: there is no second way to be believed.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac as _};
use sha2::Sha256;
use slipway_wire::Token;
use subtle::{Choice, ConstantTimeEq as _};

/// How far a delivery's time may be from now, either way. GitLab names no limit; this is the scheme's own.
const TOLERANCE_SECONDS: u64 = 300;

/// Ids are GUIDs. What is longer is no id, and would be kept.
const ID_BYTES_MAX: usize = 200;
/// A sender that rotates its keys sends a signature for each.
const SIGNATURES_MAX: usize = 16;
/// GitLab's keys have 32 bytes; the scheme allows 24 to 64.
const KEY_BYTES: std::ops::RangeInclusive<usize> = 24..=64;

/// A signing token: `whsec_` and base64. While it is rotated there are two, and either will do.
#[derive(Clone)]
pub struct SigningToken(Vec<Vec<u8>>);

/// A text that is not a signing token. It is not shown: it may be most of one.
#[derive(Debug, thiserror::Error)]
#[error(
    "a signing token is `whsec_` and the base64 of 24 to 64 bytes, as GitLab shows it once; two are separated by a space"
)]
pub struct InvalidSigningToken;

/// What a delivery says of itself in its headers.
#[derive(Clone, Copy, Debug)]
pub struct Signed<'a> {
    /// `webhook-id`.
    pub id: &'a str,
    /// `webhook-timestamp`: seconds.
    pub timestamp: &'a str,
    /// `webhook-signature`: items of a version and a signature, separated by spaces.
    pub signature: &'a str,
}

/// Why a delivery is not believed. For the log alone: the sender learns nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotSigned {
    /// Its id is missing or is none.
    #[error("its `webhook-id` is empty or too long")]
    Id,
    /// Its time is not a number of seconds.
    #[error("its `webhook-timestamp` is not a number of seconds")]
    Timestamp,
    /// It was signed too long ago, or will be.
    #[error("it was signed more than {TOLERANCE_SECONDS} s from now; is a clock wrong?")]
    Stale,
    /// No item of its signature is right.
    #[error("no item of its `webhook-signature` is right")]
    Forged,
}

impl SigningToken {
    /// Reads the secret.
    pub fn parse(secret: &Token) -> Result<Self, InvalidSigningToken> {
        let keys = secret.expose().split_whitespace().map(|token| {
            let key = token.strip_prefix("whsec_").ok_or(InvalidSigningToken)?;
            let key = STANDARD.decode(key).map_err(|_| InvalidSigningToken)?;
            if KEY_BYTES.contains(&key.len()) { Ok(key) } else { Err(InvalidSigningToken) }
        });
        let keys = keys.collect::<Result<Vec<_>, _>>()?;
        if (1..=2).contains(&keys.len()) { Ok(Self(keys)) } else { Err(InvalidSigningToken) }
    }

    /// The signature of a delivery, for its `webhook-signature` header.
    pub fn sign(&self, id: &str, timestamp: u64, body: &[u8]) -> String {
        let timestamp = timestamp.to_string();
        let items = self.0.iter().map(|key| format!("v1,{}", STANDARD.encode(mac(key, id, &timestamp, body))));
        items.collect::<Vec<_>>().join(" ")
    }

    /// What can be refused without the body: so a stranger's is not read.
    pub fn precheck(signed: &Signed<'_>, now_seconds: i64) -> Result<(), NotSigned> {
        if signed.id.is_empty() || signed.id.len() > ID_BYTES_MAX {
            return Err(NotSigned::Id);
        }
        let digits = !signed.timestamp.is_empty() && signed.timestamp.bytes().all(|byte| byte.is_ascii_digit());
        let timestamp = signed.timestamp.parse::<i64>().ok().filter(|_| digits).ok_or(NotSigned::Timestamp)?;
        if timestamp.abs_diff(now_seconds) > TOLERANCE_SECONDS {
            return Err(NotSigned::Stale);
        }
        Ok(())
    }

    /// Whether a delivery was signed with this token. `body` is what was received, byte for byte.
    pub fn verify(&self, signed: &Signed<'_>, body: &[u8], now_seconds: i64) -> Result<(), NotSigned> {
        Self::precheck(signed, now_seconds)?;
        // Items of versions that are not known are no errors: a sender may come to use several.
        let given = signed.signature.split(' ').filter_map(|item| item.strip_prefix("v1,")).take(SIGNATURES_MAX);
        let given: Vec<Vec<u8>> = given.filter_map(|item| STANDARD.decode(item).ok()).collect();
        let mut holds = Choice::from(0);
        for key in &self.0 {
            let own = mac(key, signed.id, signed.timestamp, body);
            for other in &given {
                holds |= own.as_slice().ct_eq(other);
            }
        }
        if bool::from(holds) { Ok(()) } else { Err(NotSigned::Forged) }
    }
}

fn mac(key: &[u8], id: &str, timestamp: &str, body: &[u8]) -> Vec<u8> {
    // HMAC takes a key of any length; no error can come of it.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else { return Vec::new() };
    for part in [id.as_bytes(), b".", timestamp.as_bytes(), b".", body] {
        mac.update(part);
    }
    mac.finalize().into_bytes().to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: &str = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
    const OTHER: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    const ID: &str = "f5e5f430-f57b-4e6e-9fac-d9128cd7232f";
    const BODY: &[u8] = br#"{"object_kind":"build","build_id":1977,"build_status":"pending"}"#;
    const SIGNATURE: &str = "v1,JKmAbU5NabgVfbOTMjs/ORrruKZyVMstCvDlOWBYYOs=";
    const AT: i64 = 1_795_392_000;

    fn token(text: &str) -> SigningToken {
        SigningToken::parse(&Token::new(text)).expect("a signing token")
    }

    fn check(signed: &Signed<'_>, body: &[u8], now: i64) -> Result<(), NotSigned> {
        token(TOKEN).verify(signed, body, now)
    }

    fn vector() -> Signed<'static> {
        Signed { id: ID, timestamp: "1795392000", signature: SIGNATURE }
    }

    #[test]
    fn a_signature_is_the_one_of_each_published_vector() {
        assert_eq!(token(TOKEN).sign(ID, 1_795_392_000, BODY), SIGNATURE);
        // The vector of the scheme's reference libraries.
        assert_eq!(
            token(OTHER).sign("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, br#"{"test": 2432232314}"#),
            "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
        );
        assert_eq!(check(&vector(), BODY, AT), Ok(()));
    }

    #[test]
    fn any_item_of_the_first_version_will_do_and_other_versions_are_passed_over() {
        let wrong = SIGNATURE.replace("JKm", "JKn");
        for (signature, holds) in [
            (format!("{wrong} {SIGNATURE}"), true),
            (format!("{SIGNATURE} {wrong}"), true),
            (format!("v1a,xyz v2,abc {SIGNATURE}"), true),
            (format!("v1,%%% {SIGNATURE}"), true),
            (wrong.clone(), false),
            (SIGNATURE.replace("v1,", "v2,"), false),
            (SIGNATURE.replace("v1,", ""), false),
            (SIGNATURE.replace("v1,", "V1,"), false),
            (SIGNATURE.trim_end_matches('=').to_owned(), false),
            (SIGNATURE.replace("v1,", "v1, "), false),
            (format!("{}{SIGNATURE}", format!("{wrong} ").repeat(SIGNATURES_MAX)), false),
            ("v1,".to_owned(), false),
            (String::new(), false),
            (" ".to_owned(), false),
        ] {
            let found = check(&Signed { signature: &signature, ..vector() }, BODY, AT);
            assert_eq!(found, if holds { Ok(()) } else { Err(NotSigned::Forged) }, "{signature}");
        }
    }

    #[test]
    fn whatever_is_changed_of_a_delivery_breaks_its_signature() {
        for at in 0..BODY.len() {
            let mut body = BODY.to_vec();
            body[at] ^= 1;
            assert_eq!(check(&vector(), &body, AT), Err(NotSigned::Forged), "byte {at}");
        }
        assert_eq!(check(&vector(), &[BODY, b"\n"].concat(), AT), Err(NotSigned::Forged));
        assert_eq!(check(&Signed { id: "another", ..vector() }, BODY, AT), Err(NotSigned::Forged));
        assert_eq!(check(&Signed { timestamp: "1795392001", ..vector() }, BODY, AT), Err(NotSigned::Forged));
        // The parts cannot be cut elsewhere.
        let id = format!("{ID}.1795392000");
        assert_eq!(check(&Signed { id: &id, ..vector() }, BODY, AT), Err(NotSigned::Forged));
    }

    #[test]
    fn a_delivery_is_believed_for_five_minutes_either_way() {
        for (now, expected) in [
            (AT - 301, Err(NotSigned::Stale)),
            (AT - 300, Ok(())),
            (AT, Ok(())),
            (AT + 300, Ok(())),
            (AT + 301, Err(NotSigned::Stale)),
            (AT + 30 * 86_400, Err(NotSigned::Stale)),
            (i64::MIN, Err(NotSigned::Stale)),
        ] {
            assert_eq!(check(&vector(), BODY, now), expected, "{now}");
        }
    }

    #[test]
    fn an_id_or_a_time_that_is_none_is_refused() {
        for id in [String::new(), "x".repeat(201)] {
            assert_eq!(check(&Signed { id: &id, ..vector() }, BODY, AT), Err(NotSigned::Id));
        }
        for timestamp in ["", " 1795392000", "+1795392000", "-1", "1795392000.0", "0x6b", "99999999999999999999", "now"]
        {
            assert_eq!(check(&Signed { timestamp, ..vector() }, BODY, AT), Err(NotSigned::Timestamp), "{timestamp}");
        }
    }

    #[test]
    fn while_a_token_is_rotated_either_of_two_will_do() {
        let both = token(&format!("{OTHER} {TOKEN}"));
        assert_eq!(both.verify(&vector(), BODY, AT), Ok(()));
        assert_eq!(token(OTHER).verify(&vector(), BODY, AT), Err(NotSigned::Forged));
        let signature = both.sign(ID, 1_795_392_000, BODY);
        assert_eq!(check(&Signed { signature: &signature, ..vector() }, BODY, AT), Ok(()));
    }

    #[test]
    fn a_text_that_is_no_signing_token_is_refused_and_not_shown() {
        let three = format!("{TOKEN} {TOKEN} {TOKEN}");
        for text in ["", "whsec_", "whsec_AAEC", "secret", TOKEN.trim_start_matches("whsec_"), "whsec_%%%", &three] {
            let error = SigningToken::parse(&Token::new(text)).err().expect(text);
            assert!(!error.to_string().contains("AAEC"), "{error}");
        }
    }
}
