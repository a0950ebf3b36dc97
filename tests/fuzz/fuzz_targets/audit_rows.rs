//! Rows with whatever texts: as they are exported they pass, and no byte of an export can be changed without being found against
//! the signed head.
#![no_main]

use libfuzzer_sys::arbitrary::{Result, Unstructured};
use libfuzzer_sys::fuzz_target;
use slipway_core::audit::{Check, Entry, Event, Format, GENESIS, Head, canonical};
use slipway_core::time::Timestamp;
use slipway_wire::Digest;

fn rows(input: &mut Unstructured<'_>) -> Result<Vec<Entry>> {
    let (mut rows, mut previous) = (Vec::new(), GENESIS);
    for sequence in 1..=input.int_in_range(1..=6)? {
        let at = Timestamp(input.arbitrary()?);
        let [actor, action, subject, details]: [String; 4] = input.arbitrary()?;
        let event = Event { at, actor, action, subject, details };
        let hash = Digest::of(&canonical(sequence, &event, &previous));
        rows.push(Entry { sequence, event, previous, hash });
        previous = hash;
    }
    Ok(rows)
}

fn changes(input: &mut Unstructured<'_>) -> Result<(usize, u8)> {
    Ok((input.arbitrary()?, input.arbitrary()?))
}

fuzz_target!(|bytes: &[u8]| {
    let mut input = Unstructured::new(bytes);
    let Ok((at, byte)) = changes(&mut input) else { return };
    let Ok(rows) = rows(&mut input) else { return };
    let last = rows.last().expect("there is a row");
    let head = Head {
        edge: "https://slipway.example.com".parse().expect("an address"),
        project: 1001,
        sequence: last.sequence,
        hash: last.hash,
        at: Timestamp(0),
    };
    for format in Format::ALL {
        let mut text = format.names().to_owned();
        rows.iter().for_each(|row| format.write(row, &mut text));
        let passes = |text: &[u8]| {
            let mut check = Check::new([&head])?;
            check.read(text)?;
            check.end()
        };
        let passed = passes(text.as_bytes()).expect("what was exported passes");
        assert_eq!((passed.rows, passed.hash, passed.proven), (last.sequence, last.hash, last.sequence));
        let mut changed = text.into_bytes();
        let at = at % changed.len();
        if changed[at] != byte {
            changed[at] = byte;
            assert!(passes(&changed).is_err(), "byte {at} was changed to {byte}");
        }
        changed.truncate(at);
        assert!(passes(&changed).is_err(), "it was cut off after {at} bytes");
    }
});
