//! Releases of a given size: what the budgets of bytes and of time are held against.

use serde_json::{Value, json};

/// The distro versions of a large release, with the end of its files' names.
const DISTROS: [(&str, &str); 15] = [
    ("debian/bookworm", "deb"),
    ("debian/bullseye", "deb"),
    ("debian/trixie", "deb"),
    ("el/8", "rpm"),
    ("el/9", "rpm"),
    ("el/10", "rpm"),
    ("amazon/2", "rpm"),
    ("amazon/2023", "rpm"),
    ("ol/8", "rpm"),
    ("ol/9", "rpm"),
    ("opensuse/15.6", "rpm"),
    ("raspbian/bookworm", "deb"),
    ("ubuntu/focal", "deb"),
    ("ubuntu/jammy", "deb"),
    ("ubuntu/noble", "deb"),
];

const ARCHITECTURES: [&str; 2] = ["amd64", "arm64"];

/// A release in the middle of its way with so many targets: most are released, some wait, a few move, one in sixty failed.
pub(super) fn rows(count: usize) -> Value {
    let packages: Vec<Value> = (0..count).map(package).collect();
    json!({
        "project": {"id": 1001, "name": "tug"}, "version": "1.2.0", "sequence": 42, "state": "expected",
        "verdict": "", "at": "2026-11-23T10:04:11.000Z",
        "pipelines": [{"id": 4411, "ref": "v1.2.0", "sha": "3f9a1c20e55d7b91c0de", "url": "https://gitlab.example/harbour/tug/-/pipelines/4411"}],
        "packages": packages,
        "estimate": {"ends_at": "2026-11-23T10:19:00.000Z", "bytes_left": 1_480_000_000_u64, "bytes_per_second": 1_700_000},
    })
}

fn package(index: usize) -> Value {
    let (distro, end) = DISTROS[index / ARCHITECTURES.len() % DISTROS.len()];
    let architecture = ARCHITECTURES[index % ARCHITECTURES.len()];
    let edition = match index / (ARCHITECTURES.len() * DISTROS.len()) {
        0 => "ce".to_owned(),
        1 => "ee".to_owned(),
        more => format!("e{more}"),
    };
    let key = format!("tug-{edition}-{}-{architecture}", distro.replace('/', "-"));
    let noise = noise(index as u64);
    let at = format!("2026-11-23T09:{:02}:{:02}.{:03}Z", noise % 60, noise / 60 % 60, noise / 3_600 % 1_000);
    let mut target = json!({
        "distro": distro, "state": "released", "since": at,
        "public": {"url": "https://packages.example", "repository": "harbour/stable"},
        "attempts": 1,
        "approval": {"by": if noise.is_multiple_of(3) { "mira" } else { "jonas.k" }, "via": "webhook", "at": at,
            "job_url": format!("https://gitlab.example/harbour/tug/-/jobs/{}", 8_800 + index)},
    });
    match index % 60 {
        7 => {
            target["state"] = "failed".into();
            target["attempts"] = 3.into();
            target["problem"] = json!({
                "code": "upload-refused", "what": "The public place answered 502 on all 3 attempts to upload the file.",
                "public": "none", "retry": "safe",
                "next": format!("Release manager: play `release: [{key}]` again. If it fails again, ask the operator about the public place."),
                "evidence": {"host": "packages.example", "status": 502, "request_id": format!("{noise:016x}")},
            });
        }
        11 | 31 => {
            target["state"] = "releasing".into();
            target["step"] = "copy".into();
            target["bytes"] = (noise % 900_000_000).into();
        }
        15 | 35 => target["state"] = "approved".into(),
        3 | 20..=27 | 50 => {
            target["state"] = "staged".into();
            let kept = target.as_object_mut().into_iter();
            kept.for_each(|target| drop((target.remove("approval"), target.remove("attempts"))));
        }
        _ => {}
    }
    let filename = match (end, architecture) {
        ("deb", architecture) => format!("tug-{edition}_1.2.0_{architecture}.deb"),
        (_, "arm64") => format!("tug-{edition}-1.2.0-1.aarch64.rpm"),
        _ => format!("tug-{edition}-1.2.0-1.x86_64.rpm"),
    };
    let [a, b, c, d] = [0, 1, 2, 3].map(|part| self::noise(noise ^ part));
    json!({
        "key": key, "pipeline_id": 4411, "release_job": format!("release: [{key}]"),
        "file": {"filename": filename, "digest": format!("sha256:{a:016x}{b:016x}{c:016x}{d:016x}"), "size": 900_000_000 + noise % 100_000_000},
        "staging": {"url": "https://packages.example", "repository": "harbour-ci/pre-release"},
        "targets": [target],
    })
}

/// Digits that compress as badly as real ones, and are the same in every run (`SplitMix64`).
fn noise(seed: u64) -> u64 {
    let mut z = seed.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
