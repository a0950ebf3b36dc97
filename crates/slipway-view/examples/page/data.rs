//! Releases to look at: one with targets in every state, a calm one, and a patch day as large as they get.

use serde_json::{Value, json};
use slipway_core::api::{ActivityRow, Release, Source};
use slipway_core::verdict::judge;

/// The release with its state and its verdict, which the core makes of the packages.
pub(super) fn judged(json: Value) -> Result<Release, serde_json::Error> {
    let mut release: Release = serde_json::from_value(json)?;
    (release.state, release.verdict) =
        judge(&release.project.name, &release.version, &release.packages, release.closed.as_ref());
    Ok(release)
}

/// Key, distro, state, minute of the hour, step or problem.
type Row = (&'static str, &'static str, &'static str, u8, Value);

pub(super) fn patch_day() -> Value {
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

pub(super) fn calm() -> Value {
    let rows: Vec<Row> = vec![
        ("tug-ubuntu-jammy-amd64", "ubuntu/jammy", "released", 46, Value::Null),
        ("tug-ubuntu-noble-amd64", "ubuntu/noble", "staged", 21, Value::Null),
    ];
    release("1.2.0-calm", &rows)
}

/// A patch day of two editions, as large as they get: every state, every overlay, images.
pub(super) fn board() -> Value {
    const DISTROS: [(&str, &str); 12] = [
        ("amazon/2023", "rpm"),
        ("debian/bookworm", "deb"),
        ("debian/bullseye", "deb"),
        ("debian/trixie", "deb"),
        ("el/8", "rpm"),
        ("el/9", "rpm"),
        ("el/10", "rpm"),
        ("opensuse/15.6", "rpm"),
        ("ubuntu/focal", "deb"),
        ("ubuntu/jammy", "deb"),
        ("ubuntu/noble", "deb"),
        ("ubuntu/plucky", "deb"),
    ];
    let mut packages = Vec::new();
    for (line, arch) in [("ce", "amd64"), ("ce", "arm64"), ("ee", "amd64"), ("ee", "arm64"), ("ee-fips", "amd64")] {
        for (row, (distro, kind)) in DISTROS.iter().enumerate() {
            let has_fips = ["amazon/2023", "el/8", "el/9", "ubuntu/jammy"].contains(distro);
            if line == "ee-fips" && !has_fips {
                continue;
            }
            let key = format!("{line}-{}-{arch}", distro.replace('/', "-"));
            let mut package = package(packages.len(), &key, distro, kind, arch);
            become_of(&mut package, line, row);
            packages.push(package);
        }
    }
    let mut pi = package(packages.len(), "ce-raspbian-bookworm-armhf", "raspbian/bookworm", "deb", "armhf");
    pi["targets"][0]["expires_at"] = "2026-11-24T07:10:00.000Z".into();
    packages.push(pi);
    for line in ["ce", "ee"] {
        let mut image = package(packages.len(), &format!("{line}-image"), "", "image", "");
        image["file"] = json!({"image": format!("registry.example/staging/{line}"), "digest": image["file"]["digest"], "size": 1_434_011_223_u64});
        let target = image["targets"][0].clone();
        let tags = [format!("17.3.1-{line}.0"), format!("17.3.1-{line}.0-slim")];
        let targets = tags.into_iter().map(|tag| {
            let mut target = target.clone();
            (target["tag"], target["distro"]) = (tag.into(), "".into());
            target
        });
        image["targets"] = targets.collect::<Vec<_>>().into();
        packages.push(image);
    }
    packages.sort_by_key(|package| package["key"].as_str().map(str::to_owned));
    json!({
        "project": {"id": 1001, "name": "tug"}, "version": "17.3.1", "sequence": 1_042, "state": "expected",
        "verdict": "", "at": "2026-11-23T10:04:11.000Z",
        "pipelines": [
            {"id": 4411, "ref": "17.3.1+ce.0", "sha": "3f9a1c20e55d7b91c0de", "url": "https://gitlab.example/harbour/tug/-/pipelines/4411"},
            {"id": 4412, "ref": "17.3.1+ee.0", "sha": "8b1e77aa02c14f5d9e30", "url": "https://gitlab.example/harbour/tug/-/pipelines/4412"},
        ],
        "holds": [{"key": "ee-ubuntu-noble-amd64", "by": "user:jonas.k", "reason": "Signatures are looked at again.", "at": "2026-11-23T09:46:00.000Z"}],
        "packages": packages,
        "estimate": {"ends_at": "2026-11-23T10:19:00.000Z", "bytes_left": 1_480_000_000_u64, "bytes_per_second": 1_700_000},
    })
}

/// What has become of a package of the board.
fn become_of(package: &mut Value, line: &str, row: usize) {
    let state = |package: &mut Value, state: &str, minute: usize| {
        let target = &mut package["targets"][0];
        (target["state"], target["since"]) = (state.into(), format!("2026-11-23T09:{minute:02}:07.123Z").into());
        if ["approved", "releasing", "released", "failed", "conflict"].contains(&state) {
            target["approval"] = json!({"by": "mira", "via": "webhook", "at": target["since"], "job_url": format!("https://gitlab.example/harbour/tug/-/jobs/{}", 8800 + row)});
        }
    };
    let arm = package["architecture"] == "arm64" || package["architecture"] == "aarch64";
    match (line, row, arm) {
        ("ee", 5, true) => {
            state(package, "failed", 52);
            package["targets"][0]["attempts"] = 3.into();
            package["targets"][0]["problem"] = json!({
                "code": "upload-refused", "what": "The public place answered 502 on all 3 attempts to upload `tug-17.3.1-1.el9.aarch64.rpm`.",
                "public": "none", "retry": "safe",
                "next": "Release manager: play `release: [ee-el-9-arm64]` again. If it fails again, ask the operator about the public place.",
                "evidence": {"host": "packages.example", "status": 502, "request_id": "5f1c0f4ae2"} });
        }
        ("ee", 10, false) => {
            package["blocked"] = json!([{"gate": "hold", "why": "jonas.k holds it: Signatures are looked at again.", "next": "talk to whoever holds it; `slipway hold --lift` ends it."}]);
        }
        ("ee", 11, _) => {
            package["blocked"] = json!([{"gate": "soak", "why": "It has to run in production until 2026-11-23 12:00 UTC.", "next": "wait until then, and play the release job."}]);
        }
        ("ce", 11, true) => {
            state(package, "releasing", 58);
            let target = &mut package["targets"][0];
            (target["step"], target["bytes"]) = ("copy".into(), 623_456_789_u64.into());
            target["pace"] = json!({"bytes_per_second": 1_700_000, "ends_at": "2026-11-23T10:07:31.000Z"});
        }
        ("ce", 11, false) => {
            state(package, "releasing", 57);
            package["targets"][0]["step"] = "index".into();
        }
        ("ce", 10, true) => state(package, "approved", 59),
        ("ee", 7, false) => {
            state(package, "conflict", 40);
            package["targets"][0]["problem"] = json!({
                "code": "conflict", "what": "The public place has other bytes under `tug-17.3.1-1.x86_64.rpm`: sha256:77aa0c19d2b4… there, sha256:0e2d9b41c07f… staged.",
                "public": "done", "retry": "useless",
                "next": "Release manager: find out who published it. Slipway never replaces a public file; a new version is the way out." });
        }
        ("ee", 3, false) => {
            package["targets"][0]["problem"] = json!({"code": "unknown", "what": "The public place could not be read since 09:58: it does not answer.",
                "public": "unknown", "retry": "automatic", "next": "Nobody: Slipway looks again every minute."});
        }
        ("ce", 2, false) => {
            state(package, "released", 20);
            package["targets"][0]["problem"] = json!({"code": "drift", "what": "The record says released, and the public index does not have it.",
                "public": "unknown", "retry": "automatic", "next": "Nobody yet: Slipway looks again."});
        }
        (_, 8, _) => {
            state(package, "skipped", 10);
            package["file"] = Value::Null;
            package["targets"][0]["problem"] = json!({"code": "skipped", "what": "Ubuntu 20.04 has reached its end of life.", "public": "none", "retry": "useless", "next": "Nobody."});
        }
        ("ee-fips", 0, _) => {
            state(package, "expected", 12);
            package["file"] = Value::Null;
        }
        ("ee" | "ee-fips", 4.., _) => {}
        (_, row, _) => state(package, "released", 30 + row),
    }
}

/// The name of an rpm. The distro that it was built for is in it where its builders write that there: those of openSUSE do not.
fn rpm(version: &str, distro: &str, architecture: &str) -> String {
    let built_for = match distro.split_once('/') {
        Some(("el" | "ol", version)) => format!(".el{version}"),
        Some(("amazon", version)) => format!(".amzn{version}"),
        _ => String::new(),
    };
    format!("tug-{version}-1{built_for}.{architecture}.rpm")
}

/// A staged package.
fn package(index: usize, key: &str, distro: &str, kind: &str, arch: &str) -> Value {
    let (filename, architecture) = match (kind, arch) {
        ("rpm", "arm64") => (rpm("17.3.1", distro, "aarch64"), "aarch64"),
        ("rpm", _) => (rpm("17.3.1", distro, "x86_64"), "x86_64"),
        (_, arch) => (format!("tug_17.3.1_{arch}.deb"), arch),
    };
    let digest: String =
        (0..64).map(|place| char::from(b"0123456789abcdef"[(place * 7 + index * 5 + place * index) % 16])).collect();
    json!({
        "key": key, "pipeline_id": if key.starts_with("ce") { 4411 } else { 4412 }, "release_job": format!("release: [{key}]"),
        "job_url": format!("https://gitlab.example/harbour/tug/-/jobs/{}", 7700 + index),
        "kind": kind, "architecture": (!architecture.is_empty()).then_some(architecture),
        "file": {"filename": filename, "digest": format!("sha256:{digest}"), "size": 974_340_110 + index * 99_173},
        "staging": {"url": "https://packages.example", "repository": "harbour-ci/pre-release"},
        "targets": [{
            "distro": distro, "state": "staged", "since": format!("2026-11-22T{:02}:{:02}:07.123Z", 9 + index % 8, index % 60),
            "public": {"url": "https://packages.example", "repository": "harbour/stable"},
        }],
    })
}

/// What its record is read from.
pub(super) fn sources() -> Result<Vec<Source>, serde_json::Error> {
    serde_json::from_value(json!([
        {"read_at": "2026-11-23T10:04:07.000Z"},
        {"place": "packages-ci", "read_at": "2026-11-23T10:03:59.000Z"},
        {"place": "packages", "read_at": "2026-11-23T09:58:12.000Z", "trouble": "It does not answer."}
    ]))
}

/// What happened last.
pub(super) fn events() -> Result<Vec<ActivityRow>, serde_json::Error> {
    serde_json::from_value(json!([
        {"sequence": 1042, "at": "2026-11-23T10:03:58.000Z", "actor": "slipway", "action": "released", "subject": "17.3.1/ce-debian-trixie-amd64/debian/trixie", "details": "{}"},
        {"sequence": 1041, "at": "2026-11-23T10:02:10.000Z", "actor": "slipway", "action": "failed", "subject": "17.3.1/ee-el-9-arm64/el/9", "details": "{}"},
        {"sequence": 1040, "at": "2026-11-23T09:59:07.000Z", "actor": "user:mira", "action": "approved", "subject": "17.3.1/ce-ubuntu-noble-arm64/ubuntu/noble", "details": "{}"},
        {"sequence": 1039, "at": "2026-11-23T09:46:00.000Z", "actor": "user:jonas.k", "action": "held", "subject": "17.3.1/ee-ubuntu-noble-amd64", "details": "{}"}
    ]))
}

pub(super) fn release(version: &str, rows: &[Row]) -> Value {
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
            (true, true) => rpm("1.2.0", distro, "aarch64"),
            (true, false) => rpm("1.2.0", distro, "x86_64"),
            (false, true) => "tug_1.2.0_arm64.deb".to_owned(),
            (false, false) => "tug_1.2.0_amd64.deb".to_owned(),
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
    // Nothing has an end that is not on its way.
    let estimate = rows.iter().any(|(_, _, state, ..)| *state == "releasing").then(
        || json!({"ends_at": "2026-11-23T10:19:00.000Z", "bytes_left": 1_480_000_000_u64, "bytes_per_second": 1_700_000}),
    );
    json!({
        "project": {"id": 1001, "name": "tug"}, "version": version, "sequence": 42, "state": "expected",
        "verdict": "", "at": "2026-11-23T10:04:11.000Z",
        "pipelines": [{"id": 4411, "ref": "v1.2.0", "sha": "3f9a1c20e55d7b91c0de", "url": "https://gitlab.example/harbour/tug/-/pipelines/4411"}],
        "packages": packages,
        "estimate": estimate,
    })
}
