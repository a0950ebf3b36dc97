//! A signed head and the keys to check it with, as files that somebody hands in: what is read is written the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use slipway_core::audit::Head;
use slipway_core::signing::note::Note;
use slipway_core::signing::{TrustedKey, verifier_key};

fuzz_target!(|text: &str| {
    for note in Note::all(text).unwrap_or_default() {
        let [again] =
            Note::all(&note.to_string()).expect("what was read can be read again").try_into().expect("one note");
        assert_eq!(note.to_string(), again.to_string());
        assert!(text.contains(note.text()), "what was signed stands there as it is");
        if let Ok(head) = note.text().parse::<Head>() {
            assert_eq!(head.to_string(), note.text());
        }
    }
    if let Ok(keys) = TrustedKey::all(text) {
        assert!(!keys.is_empty());
        for key in keys {
            let written = key.name.as_ref().map_or_else(|| key.key.to_string(), |name| verifier_key(name, &key.key));
            let again = TrustedKey::all(&written).expect("what was read can be read again");
            assert_eq!(again, [key]);
        }
    }
});
