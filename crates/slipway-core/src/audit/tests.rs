//! What an export proves, and that whatever is changed in one is found.

use std::cell::RefCell;

use super::*;

const START_MS: i64 = 1_795_392_000_000;

/// Rows as they come, with texts that each format has to write in its own way.
fn chain(rows: u64) -> Vec<Entry> {
    let mut entries: Vec<Entry> = Vec::new();
    for sequence in 1..=rows {
        let turn = usize::try_from(sequence).expect("few");
        let event = Event {
            at: Timestamp(START_MS + i64::try_from(sequence).expect("few") * 1000),
            actor: ["user:mira", "job:81 user:jonas", "edge", "user:\"é\\\u{1f}\u{1}\n"][turn % 4].to_owned(),
            action: ["approved", "released"][turn % 2].to_owned(),
            subject: format!("1.2.0/package-{sequence}"),
            details: format!("{{\"digest\":\"sha256:{sequence:064}\",\"why\":\"a, \\\"b\\\"\\r\\n\"}}"),
        };
        let previous = entries.last().map_or(GENESIS, |row| row.hash);
        let hash = Digest::of(&canonical(sequence, &event, &previous));
        entries.push(Entry { sequence, event, previous, hash });
    }
    entries
}

fn written(format: Format, entries: &[Entry]) -> Vec<u8> {
    let mut text = format.names().to_owned();
    for entry in entries {
        format.write(entry, &mut text);
    }
    text.into_bytes()
}

fn head(entry: &Entry) -> Head {
    let edge = "https://slipway.example.com".parse().expect("an address");
    Head { edge, project: 1001, sequence: entry.sequence, hash: entry.hash, at: entry.event.at }
}

fn check<'a>(export: &[u8], heads: impl IntoIterator<Item = &'a Head>) -> Result<Passed, Broken> {
    let mut check = Check::new(heads)?;
    check.read(export)?;
    check.end()
}

/// Has the chain computed anew from a row on.
fn rebuild(entries: &mut [Entry]) {
    let mut previous = GENESIS;
    for (entry, sequence) in entries.iter_mut().zip(1..) {
        entry.sequence = sequence;
        entry.previous = previous;
        entry.hash = Digest::of(&canonical(sequence, &entry.event, &previous));
        previous = entry.hash;
    }
}

#[test]
fn the_canonical_bytes_are_the_documented_netstrings() {
    let zeros = "0".repeat(64);
    let event = Event {
        at: Timestamp(START_MS),
        actor: "user:mira".to_owned(),
        action: "approved".to_owned(),
        subject: "1.2.0".to_owned(),
        details: "{\"é\":1}".to_owned(),
    };
    let expected =
        format!("16:slipway-audit-v1,1:1,13:1795392000000,9:user:mira,8:approved,5:1.2.0,8:{{\"é\":1}},64:{zeros},");
    assert_eq!(String::from_utf8(canonical(1, &event, &GENESIS)).expect("UTF-8"), expected);
}

/// The rows of `docs/audit.md`, whose hashes were computed by another program.
fn documented() -> Vec<Entry> {
    let row = |sequence, at, actor: &str, action: &str, subject: &str, details: &str, previous, hash: &str| Entry {
        sequence,
        event: Event {
            at: Timestamp(at),
            actor: actor.to_owned(),
            action: action.to_owned(),
            subject: subject.to_owned(),
            details: details.to_owned(),
        },
        previous,
        hash: hash.parse().expect("64 hex digits"),
    };
    let first = row(
        1,
        START_MS,
        "job:80 user:mira",
        "planned",
        "1.2.0",
        r#"{"keys":["jammy-amd64"],"pipeline":7,"sha":"aa"}"#,
        GENESIS,
        "26a94d62bf315bd73740a2ebe112dc5ba1003b27ae01a2545312098f97017fcf",
    );
    let second = row(
        2,
        START_MS + 1,
        "webhook job:81",
        "refused",
        "1.2.0/jammy-amd64",
        r#"{"why":"é"}"#,
        first.hash,
        "be4e37cd26e1d5940720369bbe5813a202b5d1c2a2c9d29c49cc07fc359612ea",
    );
    vec![first, second]
}

#[test]
fn the_documented_vectors_hold() {
    let rows = documented();
    assert_eq!(verify(&rows), Ok(()));
    for format in Format::ALL {
        let passed = check(&written(format, &rows), []).expect("the chain");
        assert_eq!(passed, Passed { rows: 2, hash: rows[1].hash, proven: 0 });
    }
}

#[test]
fn a_row_is_written_as_documented() {
    let rows = documented();
    let ndjson = String::from_utf8(written(Format::Ndjson, &rows[1..])).expect("UTF-8");
    assert_eq!(
        ndjson,
        concat!(
            r#"{"sequence":2,"at_ms":1795392000001,"at":"2026-11-23T00:00:00.001Z","actor":"webhook job:81","#,
            r#""action":"refused","subject":"1.2.0/jammy-amd64","details":"{\"why\":\"é\"}","#,
            r#""previous":"26a94d62bf315bd73740a2ebe112dc5ba1003b27ae01a2545312098f97017fcf","#,
            r#""hash":"be4e37cd26e1d5940720369bbe5813a202b5d1c2a2c9d29c49cc07fc359612ea"}"#,
            "\n"
        )
    );
    let csv = String::from_utf8(written(Format::Csv, &rows[1..])).expect("UTF-8");
    assert_eq!(
        csv,
        concat!(
            "sequence,at_ms,at,actor,action,subject,details,previous,hash\r\n",
            "2,1795392000001,2026-11-23T00:00:00.001Z,\"webhook job:81\",\"refused\",\"1.2.0/jammy-amd64\",",
            "\"{\"\"why\"\":\"\"é\"\"}\",26a94d62bf315bd73740a2ebe112dc5ba1003b27ae01a2545312098f97017fcf,",
            "be4e37cd26e1d5940720369bbe5813a202b5d1c2a2c9d29c49cc07fc359612ea\r\n"
        )
    );
}

#[test]
fn an_export_is_read_in_pieces_of_any_size() {
    let rows = chain(9);
    for format in Format::ALL {
        let export = written(format, &rows);
        for size in [1, 7, 64, export.len()] {
            let mut check = Check::new([&head(&rows[7])]).expect("one head");
            for piece in export.chunks(size) {
                check.read(piece).expect("as it was written");
            }
            assert_eq!(check.end(), Ok(Passed { rows: 9, hash: rows[8].hash, proven: 8 }), "{format:?} {size}");
        }
    }
}

#[test]
fn a_moment_that_no_calendar_has_and_a_text_of_many_lines_are_read_as_they_were_written() {
    let mut rows = chain(3);
    rows[0].event.at = Timestamp(i64::MIN);
    rows[1].event.at = Timestamp(-62_167_219_200_001);
    // Looked through anew from its beginning at each of its lines, it would take a minute.
    rows[2].event.details = "\n".repeat(1_000_000);
    rebuild(&mut rows);
    for format in Format::ALL {
        assert_eq!(check(&written(format, &rows), []).map(|passed| passed.rows), Ok(3), "{format:?}");
    }
}

#[test]
fn a_field_cannot_flow_into_the_next() {
    let event = |subject: &str, details: &str| Event {
        at: Timestamp(START_MS),
        actor: "edge".to_owned(),
        action: "x".to_owned(),
        subject: subject.to_owned(),
        details: details.to_owned(),
    };
    assert_ne!(canonical(1, &event("ab", "c"), &GENESIS), canonical(1, &event("a", "bc"), &GENESIS));
}

/// Which row is named of a change that was made in one.
#[test]
fn the_first_wrong_row_is_named() {
    let rows = chain(6);
    let heads = [head(&rows[2]), head(&rows[4])];
    for format in Format::ALL {
        let check = |rows: &[Entry]| check(&written(format, rows), &heads).expect_err("a change");
        for (index, row) in rows.iter().enumerate() {
            let changes: [fn(&mut Entry); 5] = [
                |entry| entry.event.at.0 += 1,
                |entry| entry.event.actor.push('x'),
                |entry| entry.event.action.push('x'),
                |entry| entry.event.subject.push('x'),
                |entry| entry.event.details.push('x'),
            ];
            for change in changes {
                let mut forged = rows.clone();
                change(&mut forged[index]);
                assert_eq!(check(&forged), Broken::Contents(row.sequence));
            }
            let mut linked = rows.clone();
            linked[index].previous = Digest::of(b"another");
            assert_eq!(check(&linked), Broken::Link(row.sequence));
        }
        let mut less = rows.clone();
        less.remove(1);
        assert_eq!(check(&less), Broken::Order { expected: 2, found: 3 });
        let mut swapped = rows.clone();
        swapped.swap(2, 3);
        assert_eq!(check(&swapped), Broken::Order { expected: 3, found: 4 });
        let mut doubled = rows.clone();
        doubled.insert(3, rows[2].clone());
        assert_eq!(check(&doubled), Broken::Order { expected: 4, found: 3 });
        // What no chain alone can show.
        assert_eq!(check(&rows[..4]), Broken::Cut { last: 4, signed: 5 });
        for (index, since, row) in [(0, 1, 3), (2, 1, 3), (3, 4, 5), (4, 4, 5)] {
            let mut rebuilt = rows.clone();
            rebuilt[index].event.actor.push('x');
            rebuild(&mut rebuilt);
            assert_eq!(check(&rebuilt), Broken::Rebuilt { since, row }, "{index}");
        }
        assert_eq!(check(&[]), Broken::Cut { last: 0, signed: 5 });
    }
    let passed = check(&written(Format::Ndjson, &rows), &heads).expect("as it was written");
    assert_eq!(passed.proven, 5, "the last row came after the last head");
    assert_eq!(check(b"", []), Err(Broken::Empty));
    let other = Head { hash: GENESIS, ..heads[0].clone() };
    assert_eq!(check(b"", [&heads[0], &other]), Err(Broken::Forked(3)));
}

#[test]
fn a_row_has_one_way_of_writing() {
    let rows = chain(4);
    let whole = String::from_utf8(written(Format::Ndjson, &rows)).expect("UTF-8");
    for (from, to) in [
        ("{\"sequence\":1", "{ \"sequence\":1"),
        ("\"sequence\":1,", "\"sequence\":01,"),
        ("\"sequence\":1,", "\"sequence\":1.0,"),
        ("user:", "\\u0075ser:"),
        ("\\u001f", "\\u001F"),
        ("\\u0001", "\\u00+1"),
        ("\\n\",\"action", "\\u000a\",\"action"),
        ("\"}\n", "\"}\r\n"),
        ("\"}\n", "\"}\n\n"),
        ("2026-11-23T00:00:01.000Z", "2026-11-23T00:00:02.000Z"),
        ("2026-11-23T00:00:01.000Z", "2026-11-23T00:00:01Z"),
        ("\"actor\":", "\"actor\":\"user:mira\",\"actor\":"),
    ] {
        assert!(whole.contains(from), "{from}");
        let forged = whole.replacen(from, to, 1);
        assert!(matches!(check(forged.as_bytes(), []), Err(Broken::Form { .. })), "{from} → {to}");
    }
    let torn = &whole.as_bytes()[..whole.len() - 1];
    assert_eq!(check(torn, []), Err(Broken::Torn(4)));
    assert!(matches!(check(b"sequence,at\r\n", []), Err(Broken::Form { row: 1, .. })));
}

/// A small generator, so that each run makes the same changes (Steele, Lea and Flood: `SplitMix64`).
struct Chance(RefCell<u64>);

impl Chance {
    fn below(&self, limit: usize) -> usize {
        let mut state = self.0.borrow_mut();
        *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = *state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ (mixed >> 31)) % (limit as u64)).expect("below a usize")
    }
}

/// Changes of every kind that somebody with the database or with the file could make. The head is out of their reach.
#[test]
fn ten_thousand_changes_of_an_export_are_all_found() {
    let rows = chain(16);
    let signed = head(&rows[15]);
    let chance = Chance(RefCell::new(6));
    let mut made = 0;
    for format in Format::ALL {
        let export = written(format, &rows);
        assert!(check(&export, [&signed]).is_ok());
        let found = |forged: &[u8], what: &str| {
            assert!(forged != export, "{what} changes nothing");
            assert!(check(forged, [&signed]).is_err(), "{what} was not found");
        };
        // The file: each bit of some bytes, bytes that go, come, or change places, and an end anywhere.
        for _ in 0..300 {
            let at = chance.below(export.len());
            for bit in 0..8 {
                let mut forged = export.clone();
                forged[at] ^= 1 << bit;
                found(&forged, "a flipped bit");
                made += 1;
            }
        }
        for _ in 0..400 {
            let (at, other) = (chance.below(export.len()), chance.below(export.len()));
            let mut less = export.clone();
            less.remove(at);
            found(&less, "a byte that went");
            let mut more = export.clone();
            more.insert(at, export[other]);
            found(&more, "a byte that came");
            found(&export[..at], "a cut");
            let mut swapped = export.clone();
            swapped.swap(at, other);
            if swapped != export {
                found(&swapped, "two bytes in each other's place");
                made += 1;
            }
            made += 3;
        }
        // The rows, as they are and with the chain computed anew.
        for rebuilds in [false, true] {
            for _ in 0..250 {
                let (at, other) = (chance.below(rows.len()), chance.below(rows.len()));
                let mut forgeries: Vec<(Vec<Entry>, &str)> = Vec::new();
                let mut forge = |what, change: &dyn Fn(&mut Vec<Entry>)| {
                    let mut forged = rows.clone();
                    change(&mut forged);
                    forgeries.push((forged, what));
                };
                forge("another actor", &|rows| rows[at].event.actor.push('x'));
                forge("another action", &|rows| rows[at].event.action = "held".to_owned());
                forge("another subject", &|rows| rows[at].event.subject.insert(0, '2'));
                forge("other details", &|rows| rows[at].event.details = "{}".to_owned());
                forge("another time", &|rows| rows[at].event.at.0 -= 86_400_000);
                forge("a row that went", &|rows| drop(rows.remove(at)));
                forge("a row that came", &|rows| rows.insert(at, rows[other].clone()));
                forge("a dropped end", &|rows| rows.truncate(at));
                if at != other {
                    forge("two rows in each other's place", &|rows| rows.swap(at, other));
                }
                for (mut forged, what) in forgeries {
                    if rebuilds {
                        rebuild(&mut forged);
                    }
                    // What comes after the head is no forgery: the next rows do.
                    if forged.starts_with(&rows) {
                        continue;
                    }
                    found(&written(format, &forged), what);
                    made += 1;
                }
            }
        }
    }
    assert!(made >= 10_000, "{made}");
}

/// The signer of the tests: the key pair of RFC 8032, section 7.1, test 2.
pub(crate) mod signer {
    use ed25519_dalek::{Signer as _, SigningKey, Verifier as _, VerifyingKey};

    use crate::signing::{PublicKey, Signature, Signer, SigningError, Verifier};

    pub(crate) struct Key(SigningKey, PublicKey);

    pub(crate) fn key(seed: [u8; 32]) -> Key {
        let key = SigningKey::from_bytes(&seed);
        let public = PublicKey::from_bytes(key.verifying_key().to_bytes());
        Key(key, public)
    }

    impl Signer for Key {
        fn public_key(&self) -> &PublicKey {
            &self.1
        }

        async fn sign(&self, message: &[u8]) -> Result<Signature, SigningError> {
            Ok(Signature::from_bytes(self.0.sign(message).to_bytes()))
        }
    }

    pub(crate) struct Native;

    impl Verifier for Native {
        async fn verify(&self, key: &PublicKey, message: &[u8], signature: &Signature) -> Result<bool, SigningError> {
            let Ok(key) = VerifyingKey::from_bytes(key.as_bytes()) else { return Ok(false) };
            Ok(key.verify(message, &ed25519_dalek::Signature::from_bytes(signature.as_bytes())).is_ok())
        }
    }
}

mod heads {
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use super::*;
    use crate::signing::note::{NotBelieved, Note};
    use crate::signing::{PublicKey, TrustedKey};

    /// Nothing here waits.
    fn now<T>(future: impl Future<Output = T>) -> T {
        let Poll::Ready(value) = pin!(future).poll(&mut Context::from_waker(Waker::noop())) else {
            panic!("it waits");
        };
        value
    }

    const SEED: [u8; 32] = {
        let mut seed = [0; 32];
        let mut at: u8 = 0;
        while at < 32 {
            seed[at as usize] = at;
            at += 1;
        }
        seed
    };

    fn documented_head() -> Head {
        let rows = documented();
        Head { at: Timestamp(START_MS + 300_000), ..head(&rows[1]) }
    }

    fn trusted() -> TrustedKey {
        let key: PublicKey = VECTOR_KEY.parse().expect("a key");
        TrustedKey { name: None, key }
    }

    const VECTOR_KEY: &str = "A6EHv/POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg=";
    const VECTOR: &str = include_str!("head.txt");

    #[test]
    fn a_head_is_the_documented_note() {
        let note = now(documented_head().sign(&signer::key(SEED))).expect("a signature");
        assert_eq!(note.to_string(), VECTOR);
        let read = Note::all(VECTOR).expect("a note");
        assert_eq!(read, [note]);
        assert_eq!(read[0].text().parse::<Head>().expect("a head"), documented_head());
        let by = now(read[0].signed_by(&[trusted()], &signer::Native)).expect("a good signature");
        assert_eq!(by.key.to_string(), VECTOR_KEY);
    }

    #[test]
    fn whatever_is_changed_of_a_head_is_found() {
        let mut changed = 0;
        for at in 0..VECTOR.len() {
            // One bit of each byte, another each time: a signature takes a while to check.
            let mut forged = VECTOR.as_bytes().to_vec();
            forged[at] ^= 1 << (at % 8);
            let Ok(text) = String::from_utf8(forged) else { continue };
            for note in Note::all(&text).unwrap_or_default() {
                let by = now(note.signed_by(&[trusted()], &signer::Native));
                assert!(by.is_err(), "byte {at}: {text}");
                changed += 1;
            }
        }
        assert!(changed > 150, "{changed}");
    }

    #[test]
    fn a_head_of_another_key_is_not_believed_and_a_second_signature_does_no_harm() {
        let head = documented_head();
        let other = now(head.sign(&signer::key([9; 32]))).expect("a signature");
        assert!(matches!(now(other.signed_by(&[trusted()], &signer::Native)), Err(NotBelieved::Unknown(_))));
        // Both lines under one text: while a key is rotated, or where somebody else signs, too.
        let both = format!("{VECTOR}{}", other.to_string().rsplit_once("\n\n").expect("a signature").1);
        let notes = Note::all(&both).expect("a note");
        assert_eq!(notes.len(), 1);
        assert!(now(notes[0].signed_by(&[trusted()], &signer::Native)).is_ok());
        // A key of the right bytes under another name is another key.
        let named = TrustedKey::all(&verifier(&other_edge())).expect("a key");
        assert!(matches!(now(notes[0].signed_by(&named, &signer::Native)), Err(NotBelieved::Unknown(_))));
    }

    fn other_edge() -> crate::signing::KeyName {
        crate::signing::KeyName::of(&"https://elsewhere.example.com".parse().expect("an address"))
    }

    fn verifier(name: &crate::signing::KeyName) -> String {
        crate::signing::verifier_key(name, &trusted().key)
    }

    #[test]
    fn many_heads_in_one_file_are_read_one_by_one() {
        let text = format!("{VECTOR}{VECTOR}\n\n{VECTOR}\n");
        assert_eq!(Note::all(&text).expect("three notes").len(), 3);
        for text in
            ["one\n", "one\n\n", "\n\u{2014} a AAAA\n", "one\n\u{2014} a AAAAAAA=\n", "one\n\n\u{2014} a AAAAAAA="]
        {
            assert!(Note::all(text).is_err(), "{text:?}");
        }
        assert!(Note::all("").expect("none").is_empty());
    }

    #[test]
    fn a_signed_text_that_is_no_head_does_not_pass_for_one() {
        let good = documented_head().to_string();
        for text in [
            "",
            &good[1..],
            &good.replace("1001\n2", "1001\n02"),
            &good.replace("slipway-audit-head-v1", "slipway-audit-head-v2"),
            &good.replace("be4e", "BE4E"),
            &format!("{good}more\n"),
            &good.replace("https://slipway.example.com", "slipway"),
        ] {
            assert!(text.parse::<Head>().is_err(), "{text}");
        }
    }

    #[test]
    fn keys_are_read_in_each_form_that_is_usual() {
        let key = trusted().key;
        let name = crate::signing::KeyName::of(&documented_head().edge);
        let told = crate::api::SigningKeys::of(&name, Some(&key), &[PublicKey::from_bytes([7; 32]), key]);
        assert_eq!(told.keys.len(), 2, "a key that signs now is no former one");
        let json = serde_json::to_string(&told).expect("JSON");
        for (text, count) in [
            (key.to_string(), 1),
            (key.pem(), 1),
            (format!("{}\n{}", key.pem(), PublicKey::from_bytes([7; 32]).pem()), 2),
            (crate::signing::verifier_key(&name, &key), 1),
            (format!("{key}\n\n{}\n", crate::signing::verifier_key(&name, &key)), 2),
            (json, 2),
        ] {
            let keys = TrustedKey::all(&text).expect(&text);
            assert_eq!((keys.len(), keys[0].key), (count, key), "{text}");
        }
        let forged = crate::signing::verifier_key(&name, &key).replacen("slipway", "s1ipway", 1);
        for text in ["", "{}", "{\"name\":\"a\",\"keys\":[]}", &forged, "-----BEGIN PUBLIC KEY-----\nAAAA\n"] {
            assert!(TrustedKey::all(text).is_err(), "{text}");
        }
    }
}
