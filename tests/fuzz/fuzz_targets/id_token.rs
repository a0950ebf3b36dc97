//! An ID token: one text alone stands for what is read of it, so that no second spelling of a spent token passes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use slipway_gitlab::id_token::UnverifiedIdToken;

mod compact;

fuzz_target!(|text: &str| {
    if let Ok(token) = UnverifiedIdToken::parse(text) {
        compact::is_the_only_spelling(text, token.compact());
    }
});
