//! An ID token: one text alone stands for what is read of it, so that no second spelling of a spent token passes.
#![no_main]

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use libfuzzer_sys::fuzz_target;
use slipway_gitlab::id_token::{BYTES_MAX, UnverifiedIdToken};

fuzz_target!(|text: &str| {
    if let Ok(token) = UnverifiedIdToken::parse(text) {
        assert!(text.len() <= BYTES_MAX);
        assert!(!token.compact().key_id().is_empty());
        let signed = std::str::from_utf8(token.compact().signing_input()).expect("it is part of a text");
        assert_eq!(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(token.compact().signature())), text);
        for part in signed.split('.') {
            let bytes = URL_SAFE_NO_PAD.decode(part).expect("it was decoded once");
            assert_eq!(URL_SAFE_NO_PAD.encode(bytes), part);
        }
    }
});
