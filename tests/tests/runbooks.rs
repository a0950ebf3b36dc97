//! Drills for `docs/operators/runbooks.md`: its commands are run as they stand, on a stack that is in that trouble.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use slipway_stack::Places;
use slipway_tests::e2e::{Process, Spoken, World, deb, wait_until};

fn page() -> String {
    let file = Places::of_this_clone().expect("tests run in a clone").root.join("docs/operators/runbooks.md");
    format!("\n{}", fs::read_to_string(file).expect("the page is there"))
}

/// The blocks of commands of a runbook, without what they are indented by.
fn blocks(page: &str, heading: &str) -> Vec<String> {
    let (_, below) = page.split_once(&format!("\n{heading}\n")).unwrap_or_else(|| panic!("there is no `{heading}`"));
    let below = below.split("\n## ").next().unwrap_or_default();
    let blocks = below.split("```sh\n").skip(1).filter_map(|rest| rest.split("```").next());
    blocks.map(|block| block.lines().map(str::trim_start).collect::<Vec<_>>().join("\n")).collect()
}

/// An operator at a shell.
fn runs(world: &World, script: &str, variables: &[(&str, &str)]) -> Spoken {
    let folder = world.stack.folder().join("operator");
    fs::create_dir_all(&folder).expect("the stack's folder is writable");
    let mut shell = Command::new("sh");
    shell.args(["-eu", "-c", &world.here(script)]).current_dir(folder).stdin(Stdio::null());
    shell.env("SLIPWAY_URL", world.stack.edge_url()).envs(variables.iter().copied());
    for name in ["STAGING_TOKEN", "PUBLIC_TOKEN"] {
        shell.env(name, world.stack.secret(name));
    }
    shell.env("SLIPWAY_OPERATOR_TOKEN", world.stack.secret("OPERATOR_TOKEN"));
    Spoken::of(&mut shell)
}

#[test]
fn what_was_published_by_hand_while_slipway_was_down_is_released_outside_and_is_not_sent_again() {
    let page = page();
    let by_hand = &blocks(&page, "## Slipway or Cloudflare down on release day")[0];
    let mut world = World::start("runbook-down");
    let release = world.release("1.0.0");
    let (package, job) = release.ready(&deb("cargo", "", 0));
    let (other, other_job) = release.ready(&deb("tug", "", 0));
    world.kill(Process::Edge);

    let file = |package: &slipway_tests::e2e::Package, digest: &str| {
        runs(&world, by_hand, &[("FILE", &package.filename), ("SHA256", digest)])
    };
    // What is not the declared file stops there.
    assert_ne!(file(&other, &package.sha256).code, Some(0), "the digest is another");
    assert!(world.depot.pushes(&other.filename).is_empty(), "nothing of it is public");
    file(&package, &package.sha256).ended_with(0);
    wait_until("the index serves it", || world.depot.served("ubuntu/jammy", &package.filename).is_some());

    world.start_again(Process::Edge);
    for job in [job, other_job] {
        world.gitlab.play(job, "mira");
    }
    let target = release.wait_until_released("cargo");
    assert_eq!(target["outside"], true, "{target}");
    release.wait_until_released("tug");
    release.is_public_once(&package);
    release.is_public_once(&other);
}

#[test]
fn the_page_stops_everything_and_starts_it_again() {
    let page = page();
    let both = blocks(&page, "# Runbooks");
    let [stop, start] = both.as_slice() else { panic!("{both:?}") };
    let world = World::start("runbook-stop");
    let release = world.release("1.0.0");
    let (package, job) = release.ready(&deb("cargo", "", 0));
    runs(&world, stop, &[]).ended_with(0);
    let refused = release.promote(&release.session(world.gitlab.play(job, "mira")), &["cargo"]);
    assert_eq!(refused.status, 409, "{}", refused.text());
    assert!(refused.text().contains("looking into it"), "{}", refused.text());
    release.is_not_public(&package.filename);
    runs(&world, start, &[]).ended_with(0);
    let again = world.gitlab.play(release.job("cargo"), "mira");
    release.promote(&release.session(again), &["cargo"]).ok();
    release.wait_until_released("cargo");
    release.is_public_once(&package);
}

#[test]
fn a_secret_that_is_changed_loses_nothing_and_the_old_one_ends() {
    let mut world = World::start("runbook-secrets");
    let release = world.release("1.0.0");
    let (package, job) = release.ready(&deb("cargo", "", 2_000_000));
    let before = release.session(release.build);
    // In the middle of a copy, the edge's own key becomes another.
    let gate = world.depot.gate(&package.filename, 1_000_000);
    world.gitlab.play(job, "mira");
    gate.wait();
    world.kill(Process::Edge);
    let file = world.stack.folder().join("edge/workerd.capnp");
    let mut config = fs::read_to_string(&file).expect("a started stack has its configuration");
    let fresh = slipway_stack::random_hex(32).expect("the system has randomness");
    config = config.replace(world.stack.secret("SLIPWAY_EDGE_KEY"), &fresh);
    fs::write(&file, config).expect("the stack's folder is writable");
    gate.open();
    world.start_again(Process::Edge);

    release.wait_until_released("cargo");
    release.is_public_once(&package);
    let answer = release.api("POST", "/holds", Some(&before), &serde_json::json!({"reason": "x"}));
    assert_eq!(answer.status, 401, "an old session is over: {}", answer.text());
    assert_eq!(release.open(&world.gitlab.id_token(release.build)).status, 201, "and a job opens another");
}

/// The first cells of a table's rows below a heading, until the next one.
fn first_cells<'a>(page: &'a str, heading: &str) -> BTreeSet<&'a str> {
    let (_, below) = page.split_once(&format!("\n{heading}\n")).unwrap_or_else(|| panic!("there is no `{heading}`"));
    let rows = below.split("\n## ").next().unwrap_or_default().lines().filter_map(|line| line.strip_prefix("| "));
    rows.filter_map(|row| row.split(" | ").next()).filter(|cell| *cell != "runbook").collect()
}

#[test]
fn every_runbook_has_a_sign_and_a_drill_and_every_row_of_either_is_of_a_runbook() {
    let page = page();
    let mut runbooks: BTreeSet<&str> = page.lines().filter_map(|line| line.strip_prefix("## ")).collect();
    assert!(runbooks.remove("Drills"), "the page names its drills");
    let signs = first_cells(&page, "# Runbooks");
    let signs: BTreeSet<&str> =
        signs.into_iter().map(|cell| cell.trim_start_matches('[').split("](").next().unwrap_or_default()).collect();
    assert_eq!(signs, runbooks);
    // What stands above all of them is tried, too.
    runbooks.insert("stop everything");
    assert_eq!(first_cells(&page, "## Drills"), runbooks);
}

#[test]
fn every_drill_that_the_page_names_is_there() {
    let (page, root) = (page(), Places::of_this_clone().expect("tests run in a clone").root);
    let (_, drills) = page.split_once("\n## Drills\n").expect("the page names its drills");
    for row in drills.lines().skip_while(|line| !line.starts_with("|---")).skip(1) {
        let mut test = None;
        for word in row.split('`').skip(1).step_by(2) {
            if Path::new(word).extension().is_some_and(|ending| ending == "rs") {
                let file = root.join("tests/tests").join(word);
                test = Some(fs::read_to_string(file).unwrap_or_else(|_| panic!("no {word}")));
            } else {
                let test = test.as_ref().unwrap_or_else(|| panic!("of which file? {row}"));
                assert!(test.contains(&format!("fn {word}()")), "{row}");
            }
        }
        assert!(test.is_some(), "nothing tries it: {row}");
    }
}
