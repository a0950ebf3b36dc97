//! The ID token of a person: one text alone stands for what is read of it, it names somebody, and it is nobody's word but
//! the configured GitLab's, for this application, as the answer to this sign-in.
#![no_main]

use libfuzzer_sys::fuzz_target;
use slipway_gitlab::{ExpectedPerson, UnverifiedPersonToken, check_person};

mod compact;

/// When the samples are fresh, in seconds since 1970.
const NOW_S: u64 = 1_795_392_000;
/// What the samples answer to.
const EXPECTED: ExpectedPerson<'_> =
    ExpectedPerson { issuer: "https://gitlab.example.com", application: "a1", nonce: "n-0S6_WzA2Mj" };

fuzz_target!(|text: &str| {
    let Ok(token) = UnverifiedPersonToken::parse(text) else { return };
    compact::is_the_only_spelling(text, token.compact());
    let claims = token.claims_after(true).expect("its signature holds, it was said");
    assert!(claims.user_id > 0);
    assert_ne!(claims.username.as_deref(), Some(""));
    if check_person(&claims, &EXPECTED, NOW_S).is_ok() {
        assert_eq!((claims.iss.as_str(), claims.aud.as_str()), (EXPECTED.issuer, EXPECTED.application));
        assert_eq!(claims.nonce, EXPECTED.nonce);
    }
    // Without a nonce nothing ties an answer to the browser that asked.
    assert!(check_person(&claims, &ExpectedPerson { nonce: "", ..EXPECTED }, NOW_S).is_err());
});
