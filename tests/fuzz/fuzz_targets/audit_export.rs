//! An audit's export, as somebody hands it in: read at once or in pieces it is judged alike, and what passes is what any reader
//! of JSON would take it for, written in the one way that there is.
#![no_main]

use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use slipway_core::audit::{Broken, Check, Entry, Event, Format, Passed, verify};
use slipway_core::time::Timestamp;

fn checked(bytes: &[u8], piece: usize) -> Result<Passed, Broken> {
    let mut check = Check::new([])?;
    for piece in bytes.chunks(piece) {
        check.read(piece)?;
    }
    check.end()
}

fn entry(line: &str) -> Entry {
    let row: Value = serde_json::from_str(line).expect("what passes is JSON");
    let text = |name: &str| row[name].as_str().expect("it is a text").to_owned();
    let digest = |name: &str| format!("sha256:{}", text(name)).parse().expect("it is a hash");
    Entry {
        sequence: row["sequence"].as_u64().expect("it is a number"),
        event: Event {
            at: Timestamp(row["at_ms"].as_i64().expect("it is a number")),
            actor: text("actor"),
            action: text("action"),
            subject: text("subject"),
            details: text("details"),
        },
        previous: digest("previous"),
        hash: digest("hash"),
    }
}

fuzz_target!(|bytes: &[u8]| {
    let whole = checked(bytes, bytes.len().max(1));
    for piece in [13, 4096] {
        assert_eq!(checked(bytes, piece), whole, "in pieces of {piece}");
    }
    let Ok(passed) = whole else { return };
    let text = std::str::from_utf8(bytes).expect("what passes is text");
    if text.starts_with('{') {
        let entries: Vec<Entry> = text.lines().map(entry).collect();
        assert_eq!(u64::try_from(entries.len()), Ok(passed.rows));
        assert_eq!(entries.last().map(|entry| entry.hash), Some(passed.hash));
        assert_eq!(verify(&entries), Ok(()));
        let mut written = String::new();
        entries.iter().for_each(|entry| Format::Ndjson.write(entry, &mut written));
        assert_eq!(written, text);
    }
});
