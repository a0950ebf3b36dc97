//! Releases to look at: one with targets in every state, and a calm one.

use serde_json::{Value, json};
use slipway_core::api::Release;
use slipway_core::verdict::judge;
use slipway_view::page::Reader;

use crate::Fixture;

pub(super) fn fixtures(query: &str) -> Result<Vec<Fixture>, Box<dyn std::error::Error>> {
    let reader = Reader::default();
    let empty = Release { packages: Vec::new(), pipelines: Vec::new(), ..judged(release("1.2.0-empty", &[]))? };
    Ok(vec![
        Fixture::of("release", judged(patch_day())?, query, &reader),
        Fixture::of("filtered", judged(patch_day())?, "state=failed,missing", &reader),
        Fixture::of("calm", judged(calm())?, query, &reader),
        Fixture::of("empty", empty, query, &reader),
    ])
}

/// The release with its state and its verdict, which the core makes of the packages.
pub(super) fn judged(json: Value) -> Result<Release, serde_json::Error> {
    let mut release: Release = serde_json::from_value(json)?;
    (release.state, release.verdict) =
        judge(&release.project.name, &release.version, &release.packages, release.closed.as_ref());
    Ok(release)
}

/// Key, distro, state, minute of the hour, step or problem.
type Row = (&'static str, &'static str, &'static str, u8, Value);

fn patch_day() -> Value {
    let rows: Vec<Row> = vec![
        ("tug-debian-bookworm-amd64", "debian/bookworm", "released", 41, Value::Null),
        ("tug-debian-bookworm-arm64", "debian/bookworm", "released", 42, Value::Null),
        ("tug-debian-trixie-amd64", "debian/trixie", "released", 44, Value::Null),
        ("tug-debian-trixie-arm64", "debian/trixie", "releasing", 58, json!("copy")),
        (
            "tug-el-9-amd64",
            "el/9",
            "failed",
            52,
            json!({
            "code": "upload-refused", "what": "The public place answered 502 on all 3 attempts to upload `tug-1.2.0-1.el9.x86_64.rpm`.",
            "public": "none", "retry": "safe",
            "next": "Release manager: play `release: [tug-el-9-amd64]` again. If it fails again, ask the operator about the public place.",
            "evidence": {"host": "packages.example", "status": 502, "request_id": "5f1c0f4ae2"} }),
        ),
        ("tug-el-9-amd64", "ol/9", "approved", 53, Value::Null),
        ("tug-el-9-arm64", "el/9", "releasing", 57, json!("index")),
        ("tug-el-8-amd64", "el/8", "releasing", 55, json!("carry")),
        ("tug-el-8-arm64", "el/8", "releasing", 56, json!("move")),
        (
            "tug-opensuse-15-amd64",
            "opensuse/15.6",
            "conflict",
            40,
            json!({
            "code": "conflict", "what": "The public place has other bytes under `tug-1.2.0-1.x86_64.rpm`: sha256:77aa0c19d2b4… there, sha256:0e2d9b41c07f… staged.",
            "public": "done", "retry": "useless",
            "next": "Release manager: find out who published it. Slipway never replaces a public file; a new version is the way out." }),
        ),
        (
            "tug-raspbian-bookworm-armhf",
            "raspbian/bookworm",
            "expected",
            12,
            json!({
            "code": "overdue", "what": "The other packages were staged 40 minutes ago; no job has staged this one.",
            "public": "none", "retry": "safe", "next": "Build owner: look at the job `build: [raspbian-bookworm]`." }),
        ),
        (
            "tug-ubuntu-focal-amd64",
            "ubuntu/focal",
            "skipped",
            10,
            json!({
            "code": "skipped", "what": "Ubuntu 20.04 has reached its end of life.", "public": "none", "retry": "useless", "next": "Nobody." }),
        ),
        ("tug-ubuntu-jammy-amd64", "ubuntu/jammy", "released", 46, Value::Null),
        ("tug-ubuntu-jammy-arm64", "ubuntu/jammy", "releasing", 59, json!("look")),
        ("tug-ubuntu-noble-amd64", "ubuntu/noble", "staged", 21, Value::Null),
        ("tug-ubuntu-noble-arm64", "ubuntu/noble", "staged", 22, Value::Null),
        (
            "tug-ubuntu-plucky-amd64",
            "ubuntu/plucky",
            "missing",
            30,
            json!({
            "code": "missing", "what": "`tug_1.2.0_amd64.deb` was in staging at 09:21 and is not there any more.",
            "public": "none", "retry": "safe", "next": "Build owner: run the staging job again; it pushes the same bytes." }),
        ),
        ("tug-ubuntu-plucky-arm64", "ubuntu/plucky", "expected", 12, Value::Null),
        ("tug-old-amd64", "debian/bullseye", "withdrawn", 5, Value::Null),
        ("tug-old-arm64", "debian/bullseye", "expired", 3, Value::Null),
    ];
    release("1.2.0", &rows)
}

fn calm() -> Value {
    let rows: Vec<Row> = vec![
        ("tug-ubuntu-jammy-amd64", "ubuntu/jammy", "released", 46, Value::Null),
        ("tug-ubuntu-noble-amd64", "ubuntu/noble", "staged", 21, Value::Null),
    ];
    release("1.2.0-calm", &rows)
}

fn release(version: &str, rows: &[Row]) -> Value {
    let mut packages: Vec<Value> = Vec::new();
    for (index, (key, distro, state, minute, more)) in rows.iter().enumerate() {
        let at = format!("2026-11-23T09:{minute:02}:07.123Z");
        let mut target = json!({
            "distro": distro, "state": state, "since": at,
            "public": {"url": "https://packages.example", "repository": "harbour/stable"},
        });
        if more.is_string() {
            target["step"] = more.clone();
            target["bytes"] = if *more == "copy" { json!(1_234_567) } else { Value::Null };
            target["attempts"] = 1.into();
        } else if more.is_object() {
            target["problem"] = more.clone();
        }
        if ["approved", "releasing", "released", "failed", "conflict"].contains(state) {
            target["approval"] = json!({
                "by": if index % 3 == 0 { "mira" } else { "jonas.k" }, "via": if index % 2 == 0 { "webhook" } else { "job" },
                "at": at, "job_url": format!("https://gitlab.example/harbour/tug/-/jobs/{}", 8800 + index),
            });
        }
        if let Some(package) = packages.iter_mut().find(|package| package["key"] == *key) {
            if let Some(targets) = package["targets"].as_array_mut() {
                targets.push(target);
            }
            continue;
        }
        let is_rpm = distro.starts_with("el/") || distro.starts_with("opensuse/");
        let filename = match (is_rpm, key.ends_with("arm64")) {
            (true, true) => "tug-1.2.0-1.el9.aarch64.rpm",
            (true, false) => "tug-1.2.0-1.el9.x86_64.rpm",
            (false, true) => "tug_1.2.0_arm64.deb",
            (false, false) => "tug_1.2.0_amd64.deb",
        };
        let digest: String = (0..64)
            .map(|place| char::from(b"0123456789abcdef"[(place * 7 + index * 5 + place * index) % 16]))
            .collect();
        let file = (*state != "expected" && *state != "skipped").then(
            || json!({"filename": filename, "digest": format!("sha256:{digest}"), "size": 2_434_011 + index * 99_173}),
        );
        packages.push(json!({
            "key": key, "pipeline_id": 4411, "release_job": format!("release: [{key}]"), "file": file,
            "staging": {"url": "https://packages.example", "repository": "harbour-ci/pre-release"},
            "targets": [target],
        }));
    }
    json!({
        "project": {"id": 1001, "name": "tug"}, "version": version, "sequence": 42, "state": "expected",
        "verdict": "", "at": "2026-11-23T10:04:11.000Z",
        "pipelines": [{"id": 4411, "ref": "v1.2.0", "sha": "3f9a1c20e55d7b91c0de", "url": "https://gitlab.example/harbour/tug/-/pipelines/4411"}],
        "packages": packages,
        "estimate": {"ends_at": "2026-11-23T10:19:00.000Z", "bytes_left": 1_480_000_000_u64, "bytes_per_second": 1_700_000},
    })
}
