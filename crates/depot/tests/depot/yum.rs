//! The real dnf and real rpms.

use serde_json::json;
use slipway_stack::dnf::Dnf;
use slipway_stack::rpm::Rpm;

use crate::support::{Addresses as _, Depot, JAMMY, PUBLIC, STAGING, Scratch, deb, eventually, get, has, send, sha256};

const STABLE: &str = "harbour/stable";
const STAGED: &str = "harbour-ci/pre-release";
/// Of `distributions.json` on packagecloud.io: `el/9`, `ol/9`.
const EL9: &str = "240";
const OL9: &str = "244";

fn rpm(name: &str, architecture: &str) -> Rpm {
    Rpm {
        name: name.to_owned(),
        version: "1.0.0".to_owned(),
        release: "1.el9".to_owned(),
        architecture: architecture.to_owned(),
        epoch: None,
        contents: format!("{name} for {architecture}\n"),
    }
}

fn build(rpm: &Rpm) -> Vec<u8> {
    rpm.build().unwrap_or_else(|error| panic!("{error:#}"))
}

fn dnf(folder: &Scratch, depot: &Depot, repository: &str, token: Option<&str>) -> Dnf {
    dnf_on("x86_64", folder, depot, repository, token)
}

fn dnf_on(architecture: &str, folder: &Scratch, depot: &Depot, repository: &str, token: Option<&str>) -> Dnf {
    let address = format!("{}/{repository}", depot.url());
    let folder = folder.path().join("machine");
    Dnf::new(&folder, &address, "el/9", architecture, token).unwrap_or_else(|error| panic!("{error:#}"))
}

#[test]
fn dnf_installs_what_was_pushed_for_its_machine_and_sees_nothing_else() {
    if !has("rpmbuild") || !has("dnf") {
        return;
    }
    for compression in ["gzip", "zstd"] {
        let depot = Depot::start();
        depot.order(
            "POST",
            "seed",
            &json!({"repos": [{"owner": "harbour", "name": "stable", "private": false,
            "indexes": {"yum": compression}}]}),
        );
        let pushed = [
            build(&rpm("tug", "x86_64")),
            build(&Rpm { epoch: Some(3), ..rpm("tug-papers-all", "noarch") }),
            build(&rpm("tug-arm", "aarch64")),
            build(&rpm("tug-source", "src")),
        ];
        for file in &pushed {
            let answer = depot.push(STABLE, PUBLIC, EL9, file);
            assert_eq!(answer.status, 201, "{}", answer.text());
        }
        // Of another distro version, and of a kind that is not for this one.
        assert_eq!(depot.push(STABLE, PUBLIC, OL9, &build(&rpm("elsewhere", "x86_64"))).status, 201);
        depot.wait_until_indexed(STABLE, PUBLIC, 5);

        let folder = Scratch::new();
        let arm = dnf_on("aarch64", &folder, &depot, STABLE, None).available();
        assert_eq!(
            arm.unwrap_or_else(|error| panic!("{error:#}")),
            ["tug-arm-0:1.0.0-1.el9.aarch64", "tug-papers-all-3:1.0.0-1.el9.noarch"]
        );
        let dnf = dnf(&folder, &depot, STABLE, None);
        assert_eq!(
            dnf.available().unwrap_or_else(|error| panic!("{error:#}")),
            ["tug-0:1.0.0-1.el9.x86_64", "tug-papers-all-3:1.0.0-1.el9.noarch"],
            "{compression}"
        );
        for name in ["tug", "tug-papers-all"] {
            dnf.install(name).unwrap_or_else(|error| panic!("{error:#}"));
        }
        let read = |path| String::from_utf8(dnf.installed_file(path).expect("it was installed")).expect("it is text");
        assert_eq!(read("/usr/share/doc/tug/README"), "tug for x86_64\n");
        assert_eq!(read("/usr/share/doc/tug-papers-all/README"), "tug-papers-all for noarch\n");
        dnf.install("elsewhere").expect_err("it is in another repository");

        let of = |architecture: &str, list: &str| {
            let base = format!("{}/{STABLE}/el/9/{architecture}", depot.url());
            let repomd = get(&format!("{base}/repodata/repomd.xml"), None).text();
            let name = repomd.split('"').find(|text| text.contains(list) && text.starts_with("repodata/"));
            let file = get(&format!("{base}/{}", name.expect("the index names the list")), None);
            assert_eq!(file.status, 200);
            file.header("content-type").expect("it has one").to_owned()
        };
        let expected = if compression == "gzip" { "application/gzip" } else { "application/zstd" };
        for architecture in ["x86_64", "aarch64", "SRPMS"] {
            for list in ["primary", "filelists", "other"] {
                assert_eq!(of(architecture, list), expected, "{architecture} {list}");
            }
        }
    }
}

#[test]
fn dnf_refuses_an_index_that_another_key_signed() {
    if !has("rpmbuild") || !has("dnf") {
        return;
    }
    let depot = Depot::start();
    depot.push(STABLE, PUBLIC, EL9, &build(&rpm("tug", "x86_64")));
    depot.wait_until_indexed(STABLE, PUBLIC, 1);
    let folder = Scratch::new();
    let dnf = dnf(&folder, &depot, STABLE, None);
    let file = folder.path().join("machine/repos/slipway.repo");
    let text = std::fs::read_to_string(&file).expect("it was written");
    let attic = folder.path().join("attic.asc");
    let key = get(&format!("{}/harbour/attic/gpgkey", depot.url()), Some(PUBLIC)).text();
    std::fs::write(&attic, key).expect("the folder is writable");
    let ours = format!("gpgkey={}/{STABLE}/gpgkey", depot.url());
    std::fs::write(&file, text.replace(&ours, &format!("gpgkey=file://{}", attic.display()))).expect("it is writable");
    dnf.install("tug").expect_err("every repository has a key of its own");
    std::fs::write(&file, text).expect("it is writable");
    dnf.install("tug").expect("with the right key it is fine");
}

#[test]
fn dnf_reads_a_private_repository_with_a_token_only() {
    if !has("rpmbuild") || !has("dnf") {
        return;
    }
    let depot = Depot::start();
    let pushed = depot.push(STAGED, STAGING, EL9, &build(&rpm("tug", "x86_64"))).json();
    depot.wait_until_indexed(STAGED, STAGING, 1);
    let read_token =
        pushed["download_url"].as_str().and_then(|link| link.split("read_token=").nth(1)).expect("it has one");
    for (token, opens) in
        [(None, false), (Some("no-token-of-anybody"), false), (Some(read_token), true), (Some(STAGING), true)]
    {
        let folder = Scratch::new();
        let installed = dnf(&folder, &depot, STAGED, token).install("tug");
        assert_eq!(installed.is_ok(), opens, "{token:?}: {installed:?}");
    }
}

#[test]
fn an_rpm_is_shown_in_the_api_as_recorded() {
    if !has("rpmbuild") {
        return;
    }
    let depot = Depot::start();
    let file = build(&Rpm { epoch: Some(2), version: "3.1.0~rc1".to_owned(), ..rpm("tug", "x86_64") });
    let answer = depot.push(STABLE, PUBLIC, EL9, &file);
    assert_eq!(answer.status, 201, "{}", answer.text());
    let details = answer.json();
    let base = "/api/v1/repos/harbour/stable";
    for (field, expected) in [
        ("name", json!("tug")),
        ("distro_version", json!("el/9")),
        ("architecture", json!("x86_64")),
        ("version", json!("3.1.0~rc1")),
        ("release", json!("1.el9")),
        ("epoch", json!(2)),
        ("filename", json!("tug-3.1.0~rc1-1.el9.x86_64.rpm")),
        ("size", json!(file.len().to_string())),
        ("sha256sum", json!(sha256(&file))),
        ("summary", json!("shows how Slipway releases")),
        ("licenses", json!(["MIT"])),
        ("indexed", json!(false)),
        ("package_url", json!(format!("{base}/package/rpm/el/9/tug/x86_64/3.1.0~rc1/1.el9.json"))),
        ("versions_url", json!(format!("{base}/package/rpm/el/9/tug/x86_64/versions.json"))),
        ("promote_url", json!(format!("{base}/el/9/tug-3.1.0~rc1-1.el9.x86_64.rpm/promote.json"))),
        ("destroy_url", json!(format!("{base}/el/9/tug-3.1.0~rc1-1.el9.x86_64.rpm"))),
        (
            "download_url",
            json!(format!("{}/{STABLE}/packages/el/9/tug-3.1.0~rc1-1.el9.x86_64.rpm/download.rpm", depot.url())),
        ),
    ] {
        assert_eq!(details[field], expected, "{field}");
    }
    assert_eq!(
        details["dependencies"],
        json!([{
            "context": "provides",
            "dependencies":
                ["tug = 2:3.1.0~rc1-1.el9", "tug(x86-64) = 2:3.1.0~rc1-1.el9", "tug-papers = 3.1.0~rc1"],
        }])
    );

    let follow = |field: &str| get(&format!("{}{}", depot.url(), details[field].as_str().expect("text")), Some(PUBLIC));
    assert_eq!(follow("package_url").json()["sha256sum"], json!(sha256(&file)));
    assert_eq!(follow("versions_url").json().as_array().map(Vec::len), Some(1));
    let listed = depot.api(&format!("repos/{STABLE}/search.json?q=tug&dist=el/9&filter=rpms"), PUBLIC).json();
    assert_eq!((&listed[0]["type"], &listed[0]["epoch"]), (&json!("rpm"), &json!(2)));
    assert_eq!(depot.api(&format!("repos/{STABLE}/packages.json?filter=deb"), PUBLIC).json(), json!([]));

    let link = get(details["download_url"].as_str().expect("text"), None);
    assert_eq!(get(link.header("location").expect("it leads to the storage"), None).body, file);
    // A second push of the name is refused, whatever its bytes; a name of another kind is not one of this distro.
    let other = build(&Rpm { contents: "other\n".to_owned(), version: "3.1.0~rc1".to_owned(), ..rpm("tug", "x86_64") });
    assert_eq!(depot.push(STABLE, PUBLIC, EL9, &other).json(), json!({"filename": ["has already been taken"]}));
    for (id, file) in [(JAMMY, &file), (EL9, &deb("tug", "1.0-1", "one"))] {
        let refused = depot.push(STABLE, PUBLIC, id, file);
        assert_eq!((refused.status, refused.json()), (422, json!({"distro_version_id": ["is invalid"]})));
    }
    let torn = depot.push(STABLE, PUBLIC, EL9, &file[..200]);
    assert_eq!(torn.status, 422);
    assert!(torn.text().contains("is not an rpm"), "{}", torn.text());

    let promoted = send(
        "POST",
        &format!("{}{}", depot.url(), details["promote_url"].as_str().expect("text")),
        Some(PUBLIC),
        &[("content-type", "application/x-www-form-urlencoded")],
        b"destination=harbour%2Fattic",
    );
    assert_eq!(promoted.status, 201, "{}", promoted.text());
    depot.wait_until_indexed("harbour/attic", PUBLIC, 1);
    assert_eq!(
        send(
            "DELETE",
            &format!("{}/api/v1/repos/harbour/attic/el/9/tug-3.1.0~rc1-1.el9.x86_64.rpm", depot.url()),
            Some(PUBLIC),
            &[],
            b""
        )
        .status,
        200
    );
}

#[test]
fn a_deleted_rpm_leaves_the_index_and_the_lists_of_before_stay_for_who_is_reading_them() {
    if !has("rpmbuild") {
        return;
    }
    let depot = Depot::start();
    depot.push(STABLE, PUBLIC, EL9, &build(&rpm("tug", "armv7hl")));
    depot.wait_until_indexed(STABLE, PUBLIC, 1);
    let base = format!("{}/{STABLE}/el/9/armhfp", depot.url());
    let repomd = || get(&format!("{base}/repodata/repomd.xml"), None).text();
    let primary = |repomd: &str| {
        let name = repomd.split('"').find(|text| text.contains("primary.xml")).expect("it names the list").to_owned();
        get(&format!("{base}/{name}"), None)
    };
    let before = repomd();
    assert_eq!(primary(&before).status, 200);
    assert_eq!(get(&format!("{base}/tug-1.0.0-1.el9.armv7hl.rpm"), None).body, build(&rpm("tug", "armv7hl")));
    assert_eq!(get(&format!("{}/{STABLE}/el/9/x86_64/tug-1.0.0-1.el9.armv7hl.rpm", depot.url()), None).status, 404);
    let url = format!("{}/api/v1/repos/{STABLE}/el/9/tug-1.0.0-1.el9.armv7hl.rpm", depot.url());
    assert_eq!(send("DELETE", &url, Some(PUBLIC), &[], b"").status, 200);
    let after = eventually("the index is empty", || {
        let now = repomd();
        (now != before && primary(&now).status == 200).then_some(now)
    });
    assert_ne!(primary(&after).body, primary(&before).body);
    assert_eq!(primary(&before).status, 200);
}
