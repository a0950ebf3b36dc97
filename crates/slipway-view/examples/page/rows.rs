//! Releases with many targets: as many as a large one has, and as many as a long history would.

use serde_json::{Value, json};
use slipway_core::release::TargetState;
use slipway_view::page::Reader;

use crate::Fixture;
use crate::data::judged;

/// Distro version, key's part, kind.
const DISTROS: [(&str, &str, &str); 15] = [
    ("ubuntu/jammy", "ubuntu-jammy", "deb"),
    ("ubuntu/noble", "ubuntu-noble", "deb"),
    ("ubuntu/resolute", "ubuntu-resolute", "deb"),
    ("debian/bullseye", "debian-bullseye", "deb"),
    ("debian/bookworm", "debian-bookworm", "deb"),
    ("debian/trixie", "debian-trixie", "deb"),
    ("raspbian/bullseye", "raspbian-bullseye", "deb"),
    ("raspbian/bookworm", "raspbian-bookworm", "deb"),
    ("el/8", "el-8", "rpm"),
    ("el/9", "el-9", "rpm"),
    ("el/10", "el-10", "rpm"),
    ("ol/8", "ol-8", "rpm"),
    ("amazon/2023", "amazon-2023", "rpm"),
    ("opensuse/15.6", "opensuse-15.6", "rpm"),
    ("sles/15.6", "sles-15.6", "rpm"),
];

/// The first two are of a release with 60 targets; the others are there for the many.
const LINES: [&str; 12] =
    ["ce", "ee", "fips", "runner", "agent", "relay", "gitaly", "pages", "shell", "kas", "zoekt", "geo"];

pub(super) fn fixtures(query: &str) -> Result<Vec<Fixture>, Box<dyn std::error::Error>> {
    let reader = Reader::default();
    Ok(vec![
        Fixture::of("rows-60", judged(rows("1.2.0-rows-60", 60))?, query, &reader),
        Fixture::of("rows-5000", judged(rows("1.2.0-rows-5000", 5_000))?, query, &reader),
    ])
}

fn rows(version: &str, count: usize) -> Value {
    // No two keys, digests or times are the same, so that a page compresses as a real one does.
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let packages: Vec<Value> = (0..count)
        .map(|number| {
            let (distro, part, kind) = DISTROS[number / 2 % DISTROS.len()];
            let architecture = if number.is_multiple_of(2) { "amd64" } else { "arm64" };
            let block = number / (2 * DISTROS.len());
            let line = LINES[block % LINES.len()];
            let line = if block < LINES.len() { line.to_owned() } else { format!("{line}{}", block / LINES.len()) };
            let key = format!("{line}-{part}-{architecture}");
            let rpm = if architecture == "amd64" { "x86_64" } else { "aarch64" };
            let file = match kind {
                "deb" => format!("tug-{line}_1.2.0_{architecture}.deb"),
                _ => format!("tug-{line}-1.2.0-1.{rpm}.rpm"),
            };
            let state = state(number);
            let (minute, second) = (random.below(60), random.below(60));
            let since = format!("2026-11-23T09:{minute:02}:{second:02}.{:03}Z", random.below(1_000));
            let is_asked_for = !matches!(state, TargetState::Expected | TargetState::Staged);
            json!({
                "key": key, "kind": kind, "architecture": if kind == "deb" { architecture } else { rpm }, "pipeline_id": 4411,
                "release_job": format!("release: [{key}]"), "job_url": format!("https://gitlab.example/harbour/tug/-/jobs/{}", 8000 + number),
                "file": (state != TargetState::Expected).then(|| json!({"filename": file, "digest": random.digest(), "size": 2_400_000 + random.below(90_000_000)})),
                "staging": {"url": "https://packages.example", "repository": "harbour-ci/pre-release"},
                "targets": [{
                    "distro": distro, "state": state.code(), "since": since, "attempts": u32::from(is_asked_for),
                    "public": {"url": "https://packages.example", "repository": "harbour/stable"},
                    "step": (state == TargetState::Releasing).then_some("index"),
                    "approval": is_asked_for.then(|| json!({
                        "by": (["mira", "jonas.k", "gorm"][number % 3]), "via": "webhook", "at": since,
                        "job_url": format!("https://gitlab.example/harbour/tug/-/jobs/{}", 8000 + number),
                    })),
                    "problem": (state == TargetState::Failed).then(|| json!({
                        "code": "refused", "what": "The public place answered 502 on all 3 attempts.", "public": "none", "retry": "safe",
                        "next": "Operator: mend what the server says, then play the release job again.",
                    })),
                }],
            })
        })
        .collect();
    json!({
        "project": {"id": 1001, "name": "tug"}, "version": version, "sequence": 42, "state": "expected",
        "verdict": "", "at": "2026-11-23T10:04:11.000Z",
        "pipelines": [{"id": 4411, "ref": "v1.2.0", "sha": "3f9a1c20e55d7b91c0de", "url": "https://gitlab.example/harbour/tug/-/pipelines/4411"}],
        "packages": packages,
        "estimate": {"ends_at": "2026-11-23T10:19:00.000Z", "bytes_left": 1_480_000_000_u64, "bytes_per_second": 1_700_000},
    })
}

/// Most are out, some wait, few are broken, as in the middle of a patch day.
fn state(number: usize) -> TargetState {
    match number % 60 {
        7 => TargetState::Failed,
        12 | 13 | 31 => TargetState::Releasing,
        20..28 => TargetState::Staged,
        41 => TargetState::Expected,
        _ => TargetState::Released,
    }
}

/// Numbers that look like chance and are the same every time (xorshift).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    fn digest(&mut self) -> String {
        format!("sha256:{:016x}{:016x}{:016x}{:016x}", self.next(), self.next(), self.next(), self.next())
    }
}
