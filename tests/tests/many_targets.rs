//! One file for several distro versions: each target goes its own way, and what is out is never sent again.

use serde_json::json;
use slipway_tests::e2e::{JAMMY, Package, World, deb, rpm, send, sha256};

#[test]
fn a_target_that_fails_for_good_holds_up_no_other_and_playing_the_job_again_releases_it_alone() {
    let world = World::start("targets-scar");
    let release = world.release("1.0.0");
    let (package, job) = release.ready_rpm(&rpm("tug", "Pulls.\n"), &["el/9", "ol/9"]);
    // The package server takes the file for el/9, which is pushed under the same address and name, and then refuses it.
    // Which of the two is first, is not known: what has been accepted says which is out.
    world.depot.fault(&json!({
        "on": "push", "effect": "fail", "status": 422, "body": {"package_file": ["is not for this distribution"]},
        "times": "always", "skip": 1, "path": package.filename,
    }));
    let first = world.gitlab.play(job, "mira");
    let settled = |distro: &str| release.wait_in("tug", distro, &["released", "failed", "conflict", "missing"]);
    let targets = ["el/9", "ol/9"].map(|distro| (distro, settled(distro)));
    let in_state = |state: &str| {
        let found: Vec<_> = targets.iter().filter(|(_, target)| target["state"] == state).collect();
        let [(distro, target)] = found.as_slice() else { panic!("one is {state}: {targets:?}") };
        (*distro, target.clone())
    };
    let (out, _) = in_state("released");
    let (left, target) = in_state("failed");

    let problem = &target["problem"];
    assert_eq!(problem["code"], "refused", "{target}");
    assert_eq!(problem["public"], "none", "{target}");
    assert!(problem["what"].as_str().is_some_and(|what| what.contains("is not for this distribution")), "{target}");
    assert_eq!(problem["evidence"]["status"], 422, "{target}");
    assert!(problem["evidence"]["request_id"].as_str().is_some_and(|id| id.len() == 32), "{target}");
    assert!(release.target_in("tug", out)["problem"].is_null(), "the other has none");
    let tried = release.attempts("tug", left);
    assert_eq!(tried.last().expect("it was tried")["ended"], "refused", "{tried:?}");
    assert_eq!(tried.last().expect("it was tried")["act"], "copy", "{tried:?}");
    release.is_public_once_in(&package, out);
    assert!(world.depot.served(left, &package.filename).is_none(), "{left} is not served");

    // The package server has learnt of the distribution; nobody sends to the one that has it.
    world.depot.heal();
    let pushed = world.depot.tries_to_push();
    world.gitlab.finish(first, "failed");
    let again = world.gitlab.play(job, "jonas");
    assert_ne!(again, first, "a finished job is another when it is played again");
    release.wait_in("tug", left, &["released"]);
    for distro in ["el/9", "ol/9"] {
        release.is_public_once_in(&package, distro);
    }
    assert_eq!(world.depot.tries_to_push(), pushed + 1, "one push, to {left} alone");
    let approvals = |distro: &str| {
        let mut approvals: Vec<u64> =
            release.attempts("tug", distro).iter().filter_map(|attempt| attempt["approval"].as_u64()).collect();
        approvals.dedup();
        approvals.len()
    };
    assert_eq!(approvals(left), 2, "its history has both approvals: {:?}", release.attempts("tug", left));
    assert_eq!(release.target_in("tug", left)["attempts"], release.attempts("tug", left).len());
}

#[test]
fn the_same_file_name_with_other_bytes_in_another_distro_version_goes_right() {
    let world = World::start("targets-same-name");
    let release = world.release("1.0.0");
    let files = [(JAMMY, "tug-jammy"), ("ubuntu/noble", "tug-noble")].map(|(distro, key)| {
        release.plan_for(key, &[distro], "deb");
        let built = deb("tug", &format!("Built for {distro}.\n"), 0);
        let package = Package::new(built.file_name(), built.build().expect("it fits"));
        release.stage_file(key, &package, &[distro]);
        (distro, key, package, release.job(key))
    });
    let [(_, _, jammy, _), (_, _, noble, _)] = &files;
    assert_eq!(jammy.filename, noble.filename);
    assert_ne!(jammy.sha256, noble.sha256);
    for (_, _, _, job) in &files {
        world.gitlab.play(*job, "mira");
    }
    for (distro, key, package, _) in &files {
        release.wait_until_released(key);
        release.is_public_once_in(package, distro);
    }
}

#[test]
fn one_deb_for_two_distro_versions_becomes_public_in_both_and_in_no_third() {
    let world = World::start("targets-deb");
    let release = world.release("1.0.0");
    let distros = [JAMMY, "ubuntu/noble"];
    release.plan_for("tug", &distros, "deb");
    let built = deb("tug", "", 0);
    let package = Package::new(built.file_name(), built.build().expect("it fits"));
    release.stage_file("tug", &package, &distros);
    world.gitlab.play(release.job("tug"), "mira");
    for distro in distros {
        release.wait_until_released_in("tug", distro);
        release.is_public_once_in(&package, distro);
    }
    assert_eq!(world.depot.pushes(&package.filename).len(), 2);
    assert_eq!(world.rows(&release, "tug", "approved").len(), 1, "one click, one approval");
}

#[test]
fn a_raspberry_pi_is_a_target_like_any_other() {
    let world = World::start("targets-raspbian");
    let release = world.release("1.0.0");
    let mut built = deb("tug", "", 0);
    "armhf".clone_into(&mut built.architecture);
    let package = Package::new(built.file_name(), built.build().expect("it fits"));
    release.plan_for("tug", &["raspbian/bookworm"], "deb");
    release.stage_file("tug", &package, &["raspbian/bookworm"]);
    world.gitlab.play(release.job("tug"), "mira");
    release.wait_until_released("tug");
    release.is_public_once_in(&package, "raspbian/bookworm");
    let index = format!(
        "{}/{}/raspbian/dists/bookworm/main/binary-armhf/Packages",
        world.depot.url, world.depot.public.repository
    );
    assert!(send("GET", &index, &[], "").ok().text().contains(&sha256(&package.bytes)), "the index for armhf lists it");
}

#[test]
fn a_route_can_send_a_distribution_to_a_repository_of_its_own() {
    let world = World::start_with("targets-routes", |settings| {
        settings.routes = Some(
            r#"
[[routes]]
distros = ["raspbian/*"]
staging = { place = "staging", repository = "harbour-ci/pre-release" }
public = { place = "public", repository = "harbour/raspberry-pi2" }

[[routes]]
maturities = ["candidate"]
staging = { place = "staging", repository = "harbour-ci/pre-release" }
public = { place = "public", repository = "harbour/unstable" }

[[routes]]
staging = { place = "staging", repository = "harbour-ci/pre-release" }
public = { place = "public", repository = "harbour/stable" }
"#
            .to_owned(),
        );
        let repository = |owner: &str, name: &str| json!({"owner": owner, "name": name, "private": owner != "harbour"});
        let names = [
            ("harbour-ci", "pre-release"),
            ("harbour", "stable"),
            ("harbour", "unstable"),
            ("harbour", "raspberry-pi2"),
        ];
        let all = names.map(|(owner, name)| repository(owner, name));
        settings.more_depot_seed.insert("repos".to_owned(), json!(all));
    });
    let out = |version: &str, distro: &str| {
        let release = world.release(version);
        let key = format!("tug-{}", distro.replace('/', "-"));
        let mut built = deb("tug", &format!("{version} for {distro}\n"), 0);
        format!("{}-1", version.replace('-', "~")).clone_into(&mut built.version);
        let package = Package::new(built.file_name(), built.build().expect("it fits"));
        release.plan_for(&key, &[distro], "deb");
        release.stage_file(&key, &package, &[distro]);
        world.gitlab.play(release.job(&key), "mira");
        release.wait_until_released(&key);
        let journal = world.depot.journal();
        let public: Vec<_> = journal
            .iter()
            .filter(|entry| entry["filename"] == *package.filename && entry["repo"] != world.depot.staging.repository)
            .filter(|entry| entry["distro"] == distro)
            .collect();
        let [entry] = public.as_slice() else { panic!("one is public: {public:?}") };
        assert_eq!(entry["sha256"], *package.sha256);
        entry["repo"].as_str().expect("a repository").to_owned()
    };
    assert_eq!(out("1.0.0", JAMMY), "harbour/stable");
    assert_eq!(out("1.0.0", "raspbian/bookworm"), "harbour/raspberry-pi2");
    assert_eq!(out("2.0.0-rc1", JAMMY), "harbour/unstable");
}
