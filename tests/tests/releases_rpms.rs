//! Rpms go the whole way: built by rpmbuild, released by Slipway, installed by dnf, which checks the index's signature.
#![allow(clippy::print_stdout, reason = "a test that cannot run here says so on standard output")]

use serde_json::json;
use slipway_stack::dnf::Dnf;
use slipway_tests::e2e::{Rpm, World, rpm};

const DISTROS: [&str; 2] = ["el/9", "ol/9"];

fn tools() -> bool {
    let all = Rpm::can_be_built_here() && Dnf::is_here();
    if !all {
        println!("SKIPPED: this test needs `rpmbuild` and `dnf`");
    }
    all
}

fn dnf_for(world: &World, distro: &str) -> Dnf {
    let public = format!("{}/{}", world.depot.url, world.depot.public.repository);
    let folder = world.stack.folder().join(format!("dnf-{}", distro.replace('/', "-")));
    Dnf::new(&folder, &public, distro, "x86_64", None).expect("the key is served")
}

/// Something that has always been public, so that a package that dnf does not see is one that the index does not list.
fn publish_lighthouse(world: &World) {
    let lighthouse = rpm("lighthouse", "Has always been there.\n");
    let (depot, bytes) = (&world.depot, lighthouse.build().expect("rpmbuild builds it"));
    for distro in DISTROS {
        let pushed = depot.push(&depot.public, &depot.public.repository, distro, &lighthouse.file_name(), &bytes);
        assert_eq!(pushed.status, 201, "{}", pushed.text());
    }
}

fn dnf_installs_what_is_released(world: &World) {
    publish_lighthouse(world);
    let release = world.release("1.0.0");
    let (package, job) = release.ready_rpm(&rpm("tug", "Pulls ships.\n"), &DISTROS);
    release.ready_rpm(&rpm("pilot", "Only staged.\n"), &DISTROS);
    let machines = DISTROS.map(|distro| dnf_for(world, distro));
    for dnf in &machines {
        assert_eq!(dnf.available().expect("the index is there and signed"), ["lighthouse-0:1.0.0-1.x86_64"]);
        let refused = format!("{:#}", dnf.install("tug").expect_err("it is only staged"));
        assert!(refused.contains("Unable to find a match: tug"), "{refused}");
    }

    world.gitlab.play(job, "mira");
    for distro in DISTROS {
        release.wait_until_released_in("tug", distro);
    }
    for dnf in &machines {
        dnf.install("tug").expect("it is released");
        let read = dnf.installed_file("/usr/share/doc/tug/README").expect("it is installed");
        assert_eq!(String::from_utf8_lossy(&read), "Pulls ships.\n");
        assert_eq!(
            dnf.available().expect("the index is there and signed"),
            ["lighthouse-0:1.0.0-1.x86_64", "tug-0:1.0.0-1.x86_64"],
            "what is only staged is not seen"
        );
    }
    for distro in DISTROS {
        assert_eq!(world.depot.pushes_to(Some(distro), &package.filename), [package.sha256.as_str()]);
        assert_eq!(release.target_in("pilot", distro)["state"], "staged");
    }
}

#[test]
fn dnf_installs_an_rpm_after_its_release_and_never_one_that_is_only_staged() {
    if tools() {
        dnf_installs_what_is_released(&World::start("rpm-gzip"));
    }
}

#[test]
fn the_same_holds_where_the_main_list_is_packed_with_zstd() {
    if !tools() {
        return;
    }
    let world = World::start_with("rpm-zstd", |settings| {
        let repos = json!([
            {"owner": "harbour-ci", "name": "pre-release", "private": true},
            {"owner": "harbour", "name": "stable", "private": false, "indexes": {"apt": ["Packages.xz"], "yum": "zstd"}},
        ]);
        settings.more_depot_seed.insert("repos".to_owned(), repos);
    });
    dnf_installs_what_is_released(&world);
    let lists = format!("{}/{}/el/9/x86_64/repodata/repomd.xml", world.depot.url, world.depot.public.repository);
    let lists = slipway_tests::e2e::send("GET", &lists, &[], "").ok().text();
    assert!(lists.contains("primary.xml.zst"), "it was packed so: {lists}");
}

#[test]
fn a_package_server_with_other_numbers_for_distro_versions_gets_the_same_packages() {
    if !Rpm::can_be_built_here() {
        println!("SKIPPED: this test needs `rpmbuild`");
        return;
    }
    let world = World::start("rpm-ids");
    let release = world.release("1.0.0");
    // The second is planned and staged under one table, and released under the other: no number may be remembered.
    let (first, first_job) = release.ready_rpm(&rpm("first", ""), &DISTROS);
    let (second, second_job) = release.ready_rpm(&rpm("second", ""), &DISTROS);
    let (third, third_job) = release.ready(&slipway_tests::e2e::deb("third", "", 0));
    world.gitlab.play(first_job, "mira");
    for distro in DISTROS {
        release.wait_until_released_in("first", distro);
    }
    world.depot.use_ids("enterprise");
    world.gitlab.play(second_job, "mira");
    world.gitlab.play(third_job, "mira");
    for distro in DISTROS {
        release.wait_until_released_in("second", distro);
    }
    release.wait_until_released("third");
    for distro in DISTROS {
        release.is_public_once_in(&first, distro);
        release.is_public_once_in(&second, distro);
    }
    release.is_public_once(&third);
}
