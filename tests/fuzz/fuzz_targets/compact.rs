//! What holds of every token that is read, a job's or a person's.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use slipway_gitlab::id_token::{BYTES_MAX, Compact};

/// One text alone stands for what was read of it, and it says which key to check it with.
pub fn is_the_only_spelling(text: &str, compact: &Compact) {
    assert!(text.len() <= BYTES_MAX);
    assert!(!compact.key_id().is_empty());
    let signed = std::str::from_utf8(compact.signing_input()).expect("it is part of a text");
    assert_eq!(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(compact.signature())), text);
    for part in signed.split('.') {
        let bytes = URL_SAFE_NO_PAD.decode(part).expect("it was decoded once");
        assert_eq!(URL_SAFE_NO_PAD.encode(bytes), part);
    }
}
