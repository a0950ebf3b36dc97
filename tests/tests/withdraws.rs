//! What was released is taken back: apt, dnf and skopeo get it before and not after, and whatever stays is had as before.
#![allow(clippy::print_stdout, reason = "a test that cannot run here says so on standard output")]

use std::process::Command;

use serde_json::{Value, json};
use slipway_stack::Part;
use slipway_stack::apt::Apt;
use slipway_stack::dnf::Dnf;
use slipway_tests::e2e::harbour::{Deletes, Harbour, can_run, credentials, is_staged, plan};
use slipway_tests::e2e::{JAMMY, Package, Release, Rpm, Spoken, World, deb, rpm, wait_until};

/// The `slipway` command as the operator runs it.
fn slipway(world: &World, release: &Release, arguments: &[&str]) -> Spoken {
    let mut command = release.command("", arguments);
    command.env_remove("SLIPWAY_ID_TOKEN").env("SLIPWAY_OPERATOR_TOKEN", world.stack.secret("OPERATOR_TOKEN"));
    Spoken::of(&mut command)
}

fn says(spoken: &Spoken, parts: &[&str]) {
    for part in parts {
        assert!(spoken.text.contains(part), "{part}: {}", spoken.text);
    }
}

/// What anybody may do who has no more than a job's session, or none.
fn is_refused(release: &Release, session: Option<&str>, status: u16) {
    let asked = json!({"keys": ["tug"], "reason": "mischief"});
    let answer = release.api("POST", "/withdrawals", session, &asked);
    assert_eq!(answer.status, status, "{}", answer.text());
}

#[test]
fn apt_gets_a_package_until_it_is_withdrawn_and_what_was_not_withdrawn_after_that_too() {
    if !Apt::is_here() {
        println!("SKIPPED: this test needs `apt-get`");
        return;
    }
    let mut world = World::start("withdraw-apt");
    let release = world.release("1.0.0");
    let (tug, job) = release.ready(&deb("tug", "Pulls ships the wrong way.\n", 0));
    let (_, other) = release.ready(&deb("pilot", "Knows the way.\n", 0));
    for (key, job) in [("tug", job), ("pilot", other)] {
        world.gitlab.play(job, "mira");
        release.wait_until_released(key);
    }
    let public = format!("{}/{}", world.depot.url, world.depot.public.repository);
    let apt = Apt::new(&world.stack.folder().join("apt"), &public, JAMMY, "amd64").expect("the key is served");
    apt.update().expect("the public index is there and signed");
    for package in ["tug", "pilot"] {
        apt.download(package).expect("it is released");
    }

    is_refused(&release, None, 401);
    is_refused(&release, Some(&release.session(release.build)), 403);
    let reason = ["--reason", "it pulls the wrong way"];
    let dry_run = slipway(&world, &release, &["withdraw", "tug", "--dry-run"]).ended_with(0);
    let statement =
        ["to withdraw  tug  ubuntu/jammy  harbour/stable", "`apt-get update`", "keep it", "never released again"];
    says(&dry_run, &statement);
    let unsure = slipway(&world, &release, &[&["withdraw", "tug"], reason.as_slice()].concat()).ended_with(1);
    says(&unsure, &["Nothing was done", "--yes"]);
    assert_eq!(release.target("tug")["withdrawal"], Value::Null, "nothing was asked for");
    apt.update().expect("the public index is there and signed");
    apt.download("tug").expect("it is released as before");

    let done = slipway(&world, &release, &[&["withdraw", "tug", "--yes"], reason.as_slice()].concat()).ended_with(0);
    says(&done, &statement);
    says(&done, &["withdrawn  tug  ubuntu/jammy  harbour/stable"]);
    let log = world.stack.tail(Part::Edge, usize::MAX);
    let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line.trim()).ok());
    let lines: Vec<Value> = lines.filter(|line| line["event"] == "withdrawal").collect();
    assert!(lines.iter().all(|line| line["work"] == "1001/withdrawal/1" && line["key"] == "tug"), "{lines:?}");
    assert!(lines.iter().any(|line| line["state"] == "withdrawn") && lines.len() > 1, "{lines:?}");
    let target = release.target("tug");
    assert_eq!((&target["state"], &target["withdrawal"]["by"]), (&json!("withdrawn"), &json!("operator")), "{target}");
    let early = apt.download("tug").expect_err("whoever has not read the index anew").to_string();
    assert!(early.contains("404"), "{early}");
    let early = apt.install("tug").expect_err("nor does it install").to_string();
    assert!(early.contains("404"), "{early}");
    apt.update().expect("the public index is there and signed");
    let refused = apt.download("tug").expect_err("it is withdrawn").to_string();
    assert!(refused.contains("Unable to locate package tug"), "{refused}");
    apt.install("pilot").expect("nobody has withdrawn it");
    let asked = world.rows(&release, "tug", "withdrawing");
    assert_eq!(asked.len(), 1, "{asked:?}");
    assert_eq!(asked[0]["actor"], "operator");
    let details = asked[0]["details"].as_str().expect("JSON");
    for part in ["it pulls the wrong way", "apt-get update", tug.sha256.as_str()] {
        assert!(details.contains(part), "{part}: {details}");
    }
    assert_eq!(world.rows(&release, "tug", "withdrawn").len(), 1);
    // What is left in staging is no way back, and no other bytes come under the name.
    let again = world.gitlab.play(release.job("tug"), "mira");
    let refused = release.promote(&release.session(again), &["tug"]);
    assert_eq!(refused.status, 409, "{}", refused.text());
    assert!(refused.text().contains("taken back"), "{}", refused.text());
    let nothing = slipway(&world, &release, &[&["withdraw", "tug", "--yes"], reason.as_slice()].concat()).ended_with(0);
    says(&nothing, &["nothing of it is left to withdraw"]);
    assert_eq!(world.rows(&release, "tug", "withdrawing").len(), 1);

    another_file_of_that_name_is_refused(&world, &tug);
}

/// Another version ships a file of the withdrawn name, with other bytes.
fn another_file_of_that_name_is_refused(world: &World, tug: &Package) {
    let next = world.release("1.0.1");
    let removed = world.depot.delete(&world.depot.staging, JAMMY, &tug.filename);
    assert_eq!(removed.status, 200, "{}", removed.text());
    let other = deb("tug", "Pulls ships the right way.\n", 10);
    let other = Package::new(tug.filename.clone(), other.build().expect("it fits"));
    next.plan(&["tug"]);
    next.stage_file("tug", &other, &[JAMMY]);
    let job = world.gitlab.play(next.job("tug"), "mira");
    let refused = next.promote(&next.session(job), &["tug"]);
    assert_eq!(refused.status, 409, "{}", refused.text());
    assert!(refused.text().contains("had other bytes in 1.0.0"), "{}", refused.text());
    assert!(world.depot.listed(&world.depot.public, &tug.filename).is_empty(), "nothing has become public");

    // Nor does it come by another project, whose own record knows nothing of that.
    let others = world.release_of(world.pilot(), "9.0.0");
    others.plan(&["tug"]);
    others.declare("tug", &other).ok();
    assert_eq!(others.target("tug")["state"], "staged");
    world.gitlab.play(others.job("tug"), "mira");
    wait_until("its approval ends", || others.target("tug")["problem"]["code"] == "withdrawn");
    let target = others.target("tug");
    let what = target["problem"]["what"].as_str().unwrap_or_default();
    assert!(target["state"] == "staged" && what.contains("in the project `tug`"), "{target}");
    assert!(world.depot.listed(&world.depot.public, &tug.filename).is_empty(), "nothing has become public");
}

#[test]
fn dnf_sees_an_rpm_until_it_is_withdrawn_for_one_distro_and_the_other_keeps_it() {
    if !Rpm::can_be_built_here() || !Dnf::is_here() {
        println!("SKIPPED: this test needs `rpmbuild` and `dnf`");
        return;
    }
    let world = World::start("withdraw-dnf");
    let release = world.release("1.0.0");
    let distros = ["el/9", "ol/9"];
    let (_, job) = release.ready_rpm(&rpm("tug", "Pulls ships.\n"), &distros);
    let (_, other) = release.ready_rpm(&rpm("pilot", "Knows the way.\n"), &distros);
    for (key, job) in [("tug", job), ("pilot", other)] {
        world.gitlab.play(job, "mira");
        for distro in distros {
            release.wait_until_released_in(key, distro);
        }
    }
    let public = format!("{}/{}", world.depot.url, world.depot.public.repository);
    let machines = distros.map(|distro| {
        let folder = world.stack.folder().join(format!("dnf-{}", distro.replace('/', "-")));
        Dnf::new(&folder, &public, distro, "x86_64", None).expect("the key is served")
    });
    let both = ["pilot-0:1.0.0-1.x86_64", "tug-0:1.0.0-1.x86_64"];
    for dnf in &machines {
        assert_eq!(dnf.available().expect("the index is there and signed"), both);
    }
    let arguments = ["withdraw", "tug", "--target", "el/9", "--reason", "it does not start", "--yes"];
    says(&slipway(&world, &release, &arguments).ended_with(0), &["dnf no longer offers", "withdrawn  tug  el/9"]);
    let [el, ol] = machines;
    el.update().expect("the index is there and signed");
    assert_eq!(el.available().expect("the index is there and signed"), ["pilot-0:1.0.0-1.x86_64"]);
    let refused = format!("{:#}", el.install("tug").expect_err("it is withdrawn"));
    assert!(refused.contains("Unable to find a match: tug"), "{refused}");
    el.install("pilot").expect("nobody has withdrawn it");
    ol.install("tug").expect("it was withdrawn for another distro version alone");
    assert_eq!(release.target_in("tug", "ol/9")["state"], "released");
}

#[test]
fn a_file_that_two_releases_have_public_is_taken_back_from_both_or_from_neither() {
    let world = World::start("withdraw-shared");
    let release = world.release("1.0.0");
    let (tug, job) = release.ready(&deb("tug", "Pulls ships the wrong way.\n", 0));
    world.gitlab.play(job, "mira");
    release.wait_until_released("tug");
    let the_same = |version: &str| {
        let next = world.release(version);
        next.plan(&["tug"]);
        next.declare("tug", &tug).ok();
        assert_eq!(next.target("tug")["state"], "staged");
        next
    };
    let next = the_same("1.0.1");
    world.gitlab.play(next.job("tug"), "mira");
    next.wait_until_released("tug");

    let dry_run = slipway(&world, &release, &["withdraw", "tug", "--dry-run"]).ended_with(0);
    says(&dry_run, &["`1.0.1/tug`", "loses it, too", "--shared"]);
    let asked = ["withdraw", "tug", "--reason", "it pulls the wrong way", "--yes"];
    let refused = slipway(&world, &release, &asked).ended_with(1);
    says(&refused, &["`1.0.1/tug` has the same public", "--shared"]);
    assert!(world.depot.served(JAMMY, &tug.filename).is_some(), "nothing was done");
    assert_eq!(world.rows(&release, "tug", "withdrawing").len(), 0);

    let done = slipway(&world, &release, &[&asked[..], &["--shared"]].concat()).ended_with(0);
    says(&done, &["withdrawn  tug  ubuntu/jammy  harbour/stable"]);
    assert_eq!(world.depot.served(JAMMY, &tug.filename), None);
    for release in [&release, &next] {
        let target = release.target("tug");
        assert_eq!(
            (&target["state"], &target["withdrawal"]["reason"]),
            (&json!("withdrawn"), &json!(asked[3])),
            "{target}"
        );
    }
    // Whoever has it in staging for another release does not bring it back.
    let later = the_same("1.0.2");
    let job = world.gitlab.play(later.job("tug"), "mira");
    let refused = later.promote(&later.session(job), &["tug"]);
    assert_eq!(refused.status, 409, "{}", refused.text());
    assert!(refused.text().contains("was taken back in 1.0.0"), "{}", refused.text());
}

#[test]
fn a_withdrawal_whose_answer_was_lost_and_whose_edge_was_killed_is_finished_once() {
    let mut world = World::start("withdraw-killed");
    let release = world.release("1.0.0");
    let (tug, job) = release.ready(&deb("tug", "", 0));
    world.gitlab.play(job, "mira");
    release.wait_until_released("tug");
    world.depot.fault(&json!({"on": "delete", "effect": "do-then-fail", "status": 504}));
    world.depot.reset_counts();
    let operator = world.stack.secret("OPERATOR_TOKEN").to_owned();
    let asked = json!({"targets": [{"key": "tug", "target": JAMMY}], "reason": "wrong"});
    let answer = release.api("POST", "/withdrawals", Some(&operator), &asked);
    assert_eq!(answer.status, 202, "{}", answer.text());
    // Written down before it was answered: so it is done, whenever it is killed.
    world.kill(Part::Edge);
    world.start_again(Part::Edge);
    let target = release.wait("tug", &["withdrawn", "failed"]);
    assert_eq!(target["state"], "withdrawn", "{target}");
    assert_eq!(world.depot.served(JAMMY, &tug.filename), None);
    assert_eq!(world.depot.count("delete"), 1, "what is gone is not deleted once more");
    assert_eq!(world.rows(&release, "tug", "withdrawn").len(), 1);
}

/// Somebody sets a tag of the public repository past Slipway.
fn copy_by_hand(harbour: &Harbour, from: &str, to: &str) {
    let (from, to) = (format!("docker://{}:{from}", harbour.staged()), format!("docker://{}:{to}", harbour.released()));
    let mut copy = Command::new("skopeo");
    copy.args(["--insecure-policy", "copy", "--all", "--preserve-digests", "--src-tls-verify=false"]);
    copy.args(["--dest-tls-verify=false", "--src-creds", &credentials(), &from, &to]);
    let ended = copy.output().expect("it is here");
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
}

/// Debian's registry collects what no manifest names any more.
fn collect_garbage(harbour: &Harbour) {
    let settings = harbour.public().folder().join("registry.yml");
    let ended = Command::new("docker-registry").arg("garbage-collect").arg(settings).output().expect("it is here");
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
}

#[test]
fn a_registry_that_deletes_nothing_is_told_with_what_to_do_and_everybody_gets_the_image_as_before() {
    if !can_run(&[]) {
        return;
    }
    let harbour = Harbour::start_with("not-withdrawn", |wishes| wishes.deletes = Deletes::Nothing);
    let world = &harbour.world;
    let release = world.release("17.3.1");
    let image = harbour.push("build-1", 20_000);
    let job = harbour.ready(&release, "app", "17.3.1", &image);
    world.gitlab.play(job, "mira");
    release.wait_until_released("app");

    let arguments = ["withdraw", "app", "--reason", "it does not start", "--yes"];
    let refused = slipway(world, &release, &arguments).ended_with(1);
    let why = ["not withdrawn  app  :17.3.1", "it stays released", "does not let `17.3.1` be taken back"];
    says(&refused, &why);
    says(&refused, &["Operator: take it out at the server itself", "ask for the withdrawal again"]);
    let target = release.target("app");
    let problem = &target["withdrawal"]["problem"];
    assert_eq!((&target["state"], &problem["code"]), (&json!("released"), &json!("not-withdrawable")), "{target}");
    for tag in ["17.3.1", "latest", "17.3"] {
        assert_eq!(harbour.served(tag).as_deref(), Some(image.digest.as_str()), "{tag}");
    }
    harbour.is_whole("17.3.1");
    assert_eq!(world.rows(&release, "app", "not-withdrawn").len(), 1);
}

#[test]
fn an_image_is_had_until_it_is_withdrawn_its_floating_tags_lead_back_and_what_stays_is_whole_after_a_collection() {
    if !can_run(&[]) {
        return;
    }
    let harbour = Harbour::start("withdrawn");
    let world = &harbour.world;
    let older = world.release("17.3.0");
    let kept = harbour.push("build-1", 20_000);
    let job = harbour.ready(&older, "app", "17.3.0", &kept);
    world.gitlab.play(job, "mira");
    older.wait_until_released("app");
    let release = world.release("17.3.1");
    let bad = harbour.push("build-2", 30_000);
    let job = harbour.ready(&release, "app", "17.3.1", &bad);
    world.gitlab.play(job, "mira");
    release.wait_until_released("app");
    for tag in ["17.3.1", "latest", "17.3"] {
        assert_eq!(harbour.served(tag).as_deref(), Some(bad.digest.as_str()), "{tag}");
    }

    // Somebody has pushed a newer version by hand: what that is, nobody knows.
    let foreign = harbour.push("by-hand", 1000);
    copy_by_hand(&harbour, "by-hand", "17.4.0");

    let dry_run = slipway(world, &release, &["withdraw", "app", "--dry-run"]).ended_with(0);
    says(&dry_run, &["`17.3` leads to `17.3.0` again", "`latest` leads to `17.3.0` again", "containers go on running"]);
    for tag in ["17.3.1", "latest", "17.3"] {
        assert_eq!(harbour.served(tag).as_deref(), Some(bad.digest.as_str()), "{tag} after a dry run");
    }
    let arguments = ["withdraw", "app", "--reason", "it does not start", "--yes"];
    let done = slipway(world, &release, &arguments).ended_with(0);
    says(&done, &["withdrawn  app  :17.3.1  acme/app", "`latest` leads to `17.3.0` again"]);
    assert_eq!(release.target("app")["state"], "withdrawn");
    for gone in ["17.3.1", &bad.digest, &bad.children[0], &bad.children[1]] {
        assert_eq!(harbour.served(gone), None, "{gone}");
    }
    for tag in ["17.3.0", "latest", "17.3"] {
        assert_eq!(harbour.served(tag).as_deref(), Some(kept.digest.as_str()), "{tag}");
    }
    assert_eq!(harbour.served("17.4.0").as_deref(), Some(foreign.digest.as_str()), "what is not ours stays");
    // The audit has every move of a floating tag.
    let floated = |action: &str, subject: &str| {
        let rows = world.audit(release.project);
        let row = rows.iter().find(|row| row["action"] == action && row["subject"] == subject).expect("a row");
        let details: Value = serde_json::from_str(row["details"].as_str().expect("text")).expect("JSON");
        let mut floating = details["floating"].as_array().expect("an image's").clone();
        floating.sort_by_key(|of| of["tag"].to_string());
        floating
    };
    let moved = |before: Option<&str>, after: Option<&str>| {
        ["17.3", "latest"].map(|tag| json!({ "tag": tag, "before": before, "after": after }))
    };
    let (good, wrong) = (Some(kept.digest.as_str()), Some(bad.digest.as_str()));
    assert_eq!(floated("released", "17.3.0/app"), moved(None, good));
    assert_eq!(floated("released", "17.3.1/app"), moved(good, wrong));
    assert_eq!(floated("withdrawn", "17.3.1/app"), moved(wrong, good));
    let stored = |digest: &str| harbour.public().blob_file(digest.trim_start_matches("sha256:")).exists();
    assert!(stored(&bad.digest), "nothing has deleted its bytes yet");
    collect_garbage(&harbour);
    for digest in [&bad.digest, &bad.children[0], &bad.children[1]] {
        assert!(!stored(digest), "what only the withdrawn image had is collected");
    }
    for tag in ["17.3.0", "latest", "17.3"] {
        harbour.is_whole(tag);
    }

    // The last one: there is nothing left to which a floating tag could lead.
    let done = slipway(world, &older, &arguments).ended_with(0);
    says(&done, &["`latest` is gone: no earlier version of it that Slipway released is public"]);
    for tag in ["17.3.0", "latest", "17.3"] {
        assert_eq!(harbour.served(tag), None, "{tag}");
    }
    assert_eq!(floated("withdrawn", "17.3.0/app"), moved(good, None));

    // The tag never comes to mean another image.
    let next = world.release("17.3.1-2");
    let other = harbour.push("build-3", 1000);
    plan(&next, "app", &["17.3.1"]).ok();
    harbour.declare(&next, "app", &other).ok();
    is_staged(&next, "app", "17.3.1");
    let job = world.gitlab.play(next.job("app"), "mira");
    let refused = next.promote(&next.session(job), &["app"]);
    assert_eq!(refused.status, 409, "{}", refused.text());
    assert!(refused.text().contains("had other bytes in 17.3.1"), "{}", refused.text());
    assert_eq!(harbour.served("17.3.1"), None);
}
