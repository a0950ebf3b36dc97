//! Faults of time and of crowds. Times are only ever too short, never too long: the machine may be slow.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::{Value, json};

use super::{STABLE, fault, heal, link, with_tug};
use crate::support::{Addresses as _, BOUNDARY, Depot, JAMMY, PUBLIC, basic, deb, eventually, form, get};

fn took<T>(act: impl FnOnce() -> T) -> (Duration, T) {
    #[expect(clippy::disallowed_methods, reason = "a native test that measures")]
    let began = std::time::Instant::now();
    let result = act();
    (began.elapsed(), result)
}

#[test]
fn every_answer_may_take_a_while_in_both_directions() {
    let (depot, file) = with_tug();
    fault(&depot, &json!({"on": "any", "effect": "delay", "ms": 60, "back_ms": 40, "times": "always"}));
    let (time, answer) = took(|| depot.api(&format!("repos/{STABLE}/packages.json"), PUBLIC));
    assert!(time >= Duration::from_millis(100), "a list came after {time:?}");
    assert_eq!(answer.status, 200);
    let (time, body) = took(|| get(&link(&depot), None).body);
    assert!(time >= Duration::from_millis(200), "a redirect and a download came after {time:?}");
    assert_eq!(body, file);
}

#[test]
fn a_new_connection_pays_for_the_distance_before_its_first_request_does() {
    let (depot, _) = with_tug();
    depot.order("POST", "latency", &json!({"each_way_ms": 25}));
    let agent = ureq::Agent::new_with_defaults();
    let ask = || {
        let answer =
            agent.get(format!("{}/api/v1/distributions.json", depot.url())).header("authorization", basic(PUBLIC));
        answer.call().and_then(|mut answer| answer.body_mut().read_to_string()).expect("depot answers")
    };
    let (new, first) = took(ask);
    let (kept, second) = took(ask);
    assert!(new >= Duration::from_millis(100), "the connection and the first answer came after {new:?}");
    assert!(kept >= Duration::from_millis(50), "the second answer came after {kept:?}");
    assert!(first == second);
}

#[test]
fn a_download_may_be_slow_and_so_may_an_upload() {
    let (depot, file) = with_tug();
    let rate = u64::try_from(file.len()).expect("a short file") * 5;
    fault(&depot, &json!({"on": "storage", "effect": "throttle", "bytes_per_second": rate, "times": 1}));
    let (time, body) = took(|| get(&link(&depot), None).body);
    assert!(time >= Duration::from_millis(190), "it came after {time:?}");
    assert_eq!(body, file);
    let big = deb("pilot", "1.0-1", &noise(200_000));
    let rate = u64::try_from(big.len()).expect("a short file") * 5;
    fault(&depot, &json!({"on": "push", "effect": "slow-read", "bytes_per_second": rate}));
    let (time, answer) = took(|| depot.push(STABLE, PUBLIC, JAMMY, &big));
    assert!(time >= Duration::from_millis(190), "it was read in {time:?}");
    assert_eq!(answer.status, 201);
}

/// Letters that do not compress well.
fn noise(length: u32) -> String {
    let mut state: u32 = 1;
    let letters = (0..length).map(|_| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        char::from(b'!' + u8::try_from(state >> 24).unwrap_or_default() % 90)
    });
    letters.collect()
}

/// A push that stays under way: all of it is sent but the end.
struct Unfinished {
    stream: TcpStream,
    rest: Vec<u8>,
}

impl Unfinished {
    fn begin(depot: &Depot, name: &str) -> Self {
        let mut body = form(JAMMY, &deb(name, "1.0-1", "x"));
        let host = depot.url().trim_start_matches("http://").to_owned();
        let mut stream = TcpStream::connect(&host).expect("depot listens");
        let length = body.len();
        let rest = body.split_off(length - 10);
        write!(
            stream,
            "POST /api/v1/repos/{STABLE}/packages.json HTTP/1.1\r\nHost: {host}\r\nAuthorization: {}\r\n\
             Content-Type: multipart/form-data; boundary={BOUNDARY}\r\nContent-Length: {length}\r\n\
             Connection: close\r\n\r\n",
            basic(PUBLIC)
        )
        .and_then(|()| stream.write_all(&body))
        .expect("depot reads");
        Self { stream, rest }
    }

    /// Its status.
    fn finish(mut self) -> String {
        self.stream.write_all(&self.rest).expect("depot reads");
        let mut answer = String::new();
        self.stream.read_to_string(&mut answer).expect("depot answers");
        answer.split(' ').nth(1).unwrap_or_default().to_owned()
    }
}

#[test]
fn more_than_so_many_pushes_at_once_are_too_many() {
    let depot = Depot::start();
    for (stored, kept) in [(false, 2), (true, 3)] {
        let order =
            json!({"on": "push", "effect": "busy", "above": 2, "status": 504, "stored": stored, "times": "always"});
        fault(&depot, &order);
        depot.order("DELETE", "counts", &Value::Null);
        let names: Vec<String> = ["a", "b", "c"].map(|name| format!("tug-{name}-{stored}")).into();
        let counts = || depot.order("GET", "counts", &Value::Null)["push"].clone();
        let under_way: Vec<Unfinished> = names[..2].iter().map(|name| Unfinished::begin(&depot, name)).collect();
        eventually("two pushes are under way", || (counts()["at_once"] == json!(2)).then_some(()));
        let third = depot.push(STABLE, PUBLIC, JAMMY, &deb(&names[2], "1.0-1", "x"));
        assert_eq!(third.status, 504);
        let statuses: Vec<String> = under_way.into_iter().map(Unfinished::finish).collect();
        assert_eq!(statuses, ["201", "201"]);
        let held = depot.filenames(STABLE, PUBLIC);
        assert_eq!(held.iter().filter(|name| name.contains(&format!("-{stored}_"))).count(), kept, "{held:?}");
        eventually("none is under way", || (counts()["at_once"] == json!(0)).then_some(()));
        assert_eq!((&counts()["at_once_max"], &counts()["requests"]), (&json!(3), &json!(3)));
        // With room again, the next one is served.
        assert_eq!(depot.push(STABLE, PUBLIC, JAMMY, &deb(&format!("tug-d-{stored}"), "1.0-1", "x")).status, 201);
        heal(&depot);
    }
}
