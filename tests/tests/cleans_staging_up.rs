//! Staging is cleaned up: what nobody needs any more is announced, marked and deleted from it; what is public stays public, and
//! whatever somebody wants stays staged.
//!
//! Notice and wait last for days, and no setting shortens them. So days pass in the records' databases while workerd is
//! stopped: everything in them happened that much earlier, and runs have counted it.
#![allow(clippy::print_stdout, reason = "a test that cannot run here says so on standard output")]

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use slipway_stack::Part;
use slipway_stack::apt::Apt;
use slipway_stack::dnf::Dnf;
use slipway_stack::image::{Layout, pull};
use slipway_tests::e2e::harbour::{Harbour, Image, STAGED, can_run, credentials, plan};
use slipway_tests::e2e::{
    Answer, Browser, JAMMY, Look, Page, Receiver, Release, Rpm, Spoken, World, deb, rpm, send, sha256, wait_until,
};
use time::OffsetDateTime;

const HOUR: Duration = Duration::from_hours(1);
const DAY: Duration = Duration::from_hours(24);
/// Longer than a release has ended before anything of it is announced, where the operator has said nothing.
const AGE: Duration = Duration::from_hours(15 * 24);

// ---- the time ----

/// A day that is still to come whenever this runs, and farther off than any time that passes here.
#[expect(clippy::disallowed_methods, reason = "the edge that is tested here has the machine's clock")]
fn far_off() -> String {
    (OffsetDateTime::from(SystemTime::now()) + 300 * DAY).date().to_string()
}

/// Does something to every project's record while workerd is stopped.
fn change_records(world: &mut World, change: impl Fn(&rusqlite::Connection) -> rusqlite::Result<()>) {
    world.kill(Part::Edge);
    let folder = world.stack.folder().join("edge/objects/slipway-ProjectRecord");
    let files =
        fs::read_dir(&folder).expect("workerd keeps its objects there").map(|entry| entry.expect("a file").path());
    let is_record =
        |file: &PathBuf| file.extension().is_some_and(|end| end == "sqlite") && !file.ends_with("metadata.sqlite");
    let records: Vec<PathBuf> = files.filter(is_record).collect();
    assert!(!records.is_empty(), "the project has a record in {}", folder.display());
    for file in records {
        let database = rusqlite::Connection::open(&file).expect("workerd is stopped");
        change(&database).expect("the record has these tables");
    }
    world.start_again(Part::Edge);
}

/// So much time passes, with a run in each of its hours, the last an hour ago. What is being deleted was looked at when it was
/// sent: that look may have died with the edge.
fn let_pass(world: &mut World, time: Duration) {
    let (ms, hour) = (time.as_millis(), HOUR.as_millis());
    change_records(world, |record| {
        record.execute_batch(&format!(
            "UPDATE releases SET created_at = created_at - {ms}, closed_at = closed_at - {ms};
             UPDATE packages SET declared_at = declared_at - {ms}, declared_again_at = declared_again_at - {ms},
                staged_at = staged_at - {ms}, first_staged_at = first_staged_at - {ms};
             UPDATE targets SET since = since - {ms};
             UPDATE approvals SET at = at - {ms};
             UPDATE extensions SET until = until - {ms};
             UPDATE removals SET begun_at = begun_at - {ms}, until = until - {ms}, look_at = look_at - {ms},
                gone_at = COALESCE(gone_at, begun_at) - {ms};
             UPDATE retention SET expires_at = expires_at - {ms};
             UPDATE retention_clock SET seen_at = seen_at - {hour}, counted = counted + {ms};"
        ))
    });
}

/// The edge's clock was ten years behind at the last run.
fn jump(world: &mut World) {
    change_records(world, |record| record.execute_batch("UPDATE retention_clock SET seen_at = seen_at - 315360000000"));
}

/// A release of which nothing is staged. Whatever is done to it has the record's alarm come, as it comes once an hour.
fn bell(world: &World) -> Release {
    let bell = world.release("0.0.0");
    bell.plan(&["bell"]);
    bell
}

fn ring(world: &World, bell: &Release) {
    change(world, bell, "/holds", &json!({"reason": "it rings"})).ok();
}

/// Has a run, and waits until one has begun and ended since the edge was started: what is killed meanwhile would come again.
fn has_a_run(world: &mut World, bell: &Release) {
    ring(world, bell);
    wait_until("a run is over", || {
        let lines = logged(world);
        let is_told = |work: &str, state: &str| lines.iter().any(|[of, told, _]| of == work && told == state);
        lines.iter().any(|[work, ..]| is_told(work, "begun") && is_told(work, "ended"))
    });
}

/// Has a run, and waits until it has done this to each of these packages.
fn is_done(world: &World, bell: &Release, action: &str, packages: &[(&Release, &str)]) {
    ring(world, bell);
    for (release, key) in packages {
        wait_until(&format!("{key} is {action}"), || !world.rows(release, key, action).is_empty());
    }
}

/// Has a run that deletes these packages, and waits until looks at a distance have not shown them. `is_gone`: the server has
/// deleted them.
fn is_deleted(world: &mut World, bell: &Release, packages: &[(&Release, &str)], is_gone: impl Fn(&World) -> bool) {
    is_done(world, bell, "deleting", packages);
    wait_until("the server has deleted it", || is_gone(world));
    let_pass(world, Duration::from_mins(3));
    is_done(world, bell, "deleted", packages);
}

// ---- what is asked and seen ----

fn operator(world: &World, release: &Release, arguments: &[&str]) -> Spoken {
    let mut command = release.command("", arguments);
    command.env_remove("SLIPWAY_ID_TOKEN").env("SLIPWAY_OPERATOR_TOKEN", world.stack.secret("OPERATOR_TOKEN"));
    Spoken::of(&mut command)
}

fn change(world: &World, release: &Release, path: &str, body: &Value) -> Answer {
    release.api("POST", path, Some(world.stack.secret("OPERATOR_TOKEN")), body)
}

fn list(world: &World, release: &Release) -> Value {
    let bearer = format!("Bearer {}", world.stack.secret("OPERATOR_TOKEN"));
    let url = world.edge(&format!("/api/v1/projects/{}/retention", release.project.name));
    assert_eq!(send("GET", &url, &[], "").status, 401, "servers are asked for it, so no stranger asks");
    send("GET", &url, &[("authorization", bearer.as_str())], "").ok().json()
}

/// The row of the list for a package: what the next run does, and why.
fn listed(world: &World, release: &Release, key: &str) -> (String, String) {
    let list = list(world, release);
    let packages = list["packages"].as_array().expect("a list").iter();
    let mut found = packages.filter(|package| package["version"] == release.version.as_str() && package["key"] == key);
    let package = found.next().unwrap_or_else(|| panic!("{key} is not in {list}"));
    let text = |name: &str| package[name].as_str().expect("a text").to_owned();
    (text("decision"), text("reason"))
}

#[track_caller]
fn is_listed(world: &World, release: &Release, key: &str, decision: &str, reason: &str) {
    assert_eq!(listed(world, release, key), (decision.to_owned(), reason.to_owned()), "{key}");
}

/// Whether staging has the file.
fn has(world: &World, filename: &str) -> bool {
    !world.depot.listed(&world.depot.staging, filename).is_empty()
}

/// The files that were deleted from staging.
fn deleted(world: &World) -> Vec<String> {
    let journal = world.depot.journal();
    let deletions = journal.iter().filter(|entry| entry["action"] == "delete");
    let mut files: Vec<String> = deletions
        .map(|entry| {
            assert_eq!(entry["repo"], world.depot.staging.repository.as_str(), "{entry}");
            entry["filename"].as_str().expect("a name").to_owned()
        })
        .collect();
    files.sort();
    files
}

fn switch_on(world: &mut World, more: &str) {
    world.configure(|text| format!("{text}\n[retention]\nenabled = true\n{more}"));
}

/// The packages of which the list says that the next run deletes them.
fn to_be_deleted(world: &World, release: &Release) -> Vec<String> {
    let list = list(world, release);
    let packages = list["packages"].as_array().expect("a list").iter();
    let deleted = packages.filter(|package| package["decision"] == "delete");
    deleted.map(|package| package["key"].as_str().expect("a key").to_owned()).collect()
}

/// That this one is the next that a run deletes, or was it meanwhile: an alarm that was cut off comes again at once.
fn is_next(world: &World, release: &Release, key: &str) {
    let next = to_be_deleted(world, release);
    assert!(next == [key] || !world.rows(release, key, "deleting").is_empty(), "{key} is not the next of {next:?}");
}

/// What the log says of runs since the edge was started: the id of each line's work, how far it is, and of which package.
fn logged(world: &mut World) -> Vec<[String; 3]> {
    let log = world.stack.tail(Part::Edge, usize::MAX);
    let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line.trim()).ok());
    let own = lines.filter(|line| line["event"] == "retention" && line["project"] == 1001);
    own.map(|line| ["work", "state", "key"].map(|name| line[name].as_str().unwrap_or_default().to_owned())).collect()
}

/// The id of the work with which a package came so far.
fn work_of(world: &mut World, key: &str, state: &str) -> String {
    let mut work = None;
    wait_until(&format!("the log says that {key} is {state}"), || {
        work = logged(world).into_iter().find(|[_, told, of]| told == state && of == key).map(|[work, ..]| work);
        work.is_some()
    });
    work.expect("it was found")
}

/// The setting of whoever listens to announcements.
fn listens(receiver: &Receiver) -> String {
    let url = receiver.url();
    format!("[[events]]\nkinds = [\"announced\"]\nurl = \"{url}\"\nsigning_token = \"EVENTS_TOKEN\"\n")
}

/// Whoever listens hears of each package that is announced, and when it is deleted at the earliest, before the next hour's run.
fn hear_of_it(receiver: &Receiver, announced: &[(&Release, &str)]) {
    let about = |release: &Release, key: &str| {
        let events = receiver.received().into_iter().map(|event| event.json());
        let mut about =
            events.filter(|event| event["data"]["version"] == release.version.as_str() && event["data"]["key"] == key);
        about.next()
    };
    for (release, key) in announced {
        wait_until(&format!("{key} is told"), || about(release, key).is_some());
        let event = about(release, key).expect("it was told");
        assert_eq!(event["type"], "release.announced", "{event}");
        assert_eq!(event["data"]["expires_at"], release.target(key)["expires_at"], "{event}");
        let moment = |value: &Value| {
            let text = value.as_str().unwrap_or_else(|| panic!("a moment in {event}"));
            OffsetDateTime::parse(text, &time::format_description::well_known::Rfc3339).expect("as RFC 3339 writes it")
        };
        let ahead = moment(&event["data"]["expires_at"]) - moment(&event["timestamp"]);
        assert_eq!(ahead, 10 * DAY, "three days of notice and seven of waiting");
    }
    assert_eq!(receiver.received().len(), announced.len(), "each is told once, and nothing else");
}

/// Switched off, it lists and does nothing, however many days pass.
fn does_nothing_while_it_is_switched_off(world: &mut World, bell: &Release, release: &Release, given_up: &Release) {
    let_pass(world, AGE);
    has_a_run(world, bell);
    let_pass(world, 4 * DAY);
    has_a_run(world, bell);
    let_pass(world, 8 * DAY);
    has_a_run(world, bell);
    let mut command = release.command("", &["retention", "--all"]);
    command.env_remove("SLIPWAY_ID_TOKEN").env_remove("SLIPWAY_VERSION");
    command.env("SLIPWAY_OPERATOR_TOKEN", world.stack.secret("OPERATOR_TOKEN"));
    let report = Spoken::of(&mut command).ended_with(0).text;
    for part in
        ["this is only a report", "deleting is not switched on", "on hold by operator", "neither complete nor closed"]
    {
        assert!(report.contains(part), "{part}: {report}");
    }
    let of_one = operator(world, given_up, &["retention"]).ended_with(0).text;
    assert!(of_one.contains("lost") && !of_one.contains("held"), "{of_one}");
    assert_eq!(deleted(world), [""; 0]);
}

/// That one run announces all that is due, that whoever listens is told, and that nothing else is done yet. The id of the run,
/// and when what it announced is deleted at the earliest.
fn is_announced(
    world: &mut World,
    bell: &Release,
    release: &Release,
    given_up: &Release,
    receiver: &Receiver,
) -> (String, Value) {
    is_listed(world, release, "gone", "announce", "complete");
    is_listed(world, given_up, "lost", "announce", "closed");
    let_pass(world, HOUR);
    let announced = [(release, "gone"), (release, "extended"), (given_up, "lost")];
    is_done(world, bell, "announced", &announced);
    hear_of_it(receiver, &announced);
    let announcing = work_of(world, "gone", "announced");
    assert_eq!(work_of(world, "extended", "announced"), announcing, "one run, one id");
    let target = release.target("gone");
    assert!(target["expires_at"].is_string(), "{target}");
    assert!(release.target("held")["expires_at"].is_null(), "it is held");
    assert!(world.rows(release, "gone", "marked").is_empty(), "days are between the two");
    (announcing, target["expires_at"].clone())
}

#[test]
fn what_nobody_needs_is_announced_marked_and_deleted_once_it_is_switched_on_and_all_else_stays() {
    if !Apt::is_here() {
        println!("SKIPPED: this test needs `apt-get`");
        return;
    }
    let mut world = World::start("cleans-up");
    let bell = bell(&world);
    let release = world.release("1.0.0");
    let (gone, job) = release.ready(&deb("gone", "", 0));
    let (held, held_job) = release.ready(&deb("held", "", 0));
    let (extended, extended_job) = release.ready(&deb("extended", "", 0));
    for (key, job) in [("gone", job), ("held", held_job), ("extended", extended_job)] {
        world.gitlab.play(job, "mira");
        release.wait_until_released(key);
    }
    operator(&world, &release, &["hold", "held", "--reason", "a customer looks at it"]).ended_with(0);
    let given_up = world.release("1.1.0");
    let (lost, _) = given_up.ready(&deb("lost", "", 0));
    operator(&world, &given_up, &["close", "--reason", "it was wrong"]).ended_with(0);
    let still_open = world.release("1.2.0");
    let (open, _) = still_open.ready(&deb("open", "", 0));
    let kept = [&held, &extended, &open];

    does_nothing_while_it_is_switched_off(&mut world, &bell, &release, &given_up);

    // Announced.
    let receiver = Receiver::start();
    switch_on(&mut world, &format!("files_per_run = 1\n{}", listens(&receiver)));
    let (announcing, expires_at) = is_announced(&mut world, &bell, &release, &given_up, &receiver);

    // Somebody wants one of them kept.
    is_listed(&world, &release, "extended", "keep", "notice");
    let until = far_off();
    let words = ["extend", "extended", "--until", &until, "--reason", "the customer tests until then"];
    operator(&world, &release, &words).ended_with(0);
    is_listed(&world, &release, "extended", "keep", "extended");
    assert_ne!(release.target("extended")["expires_at"], expires_at, "what was announced is over");

    // Marked: not because a clock jumps by ten years, but when three days were counted.
    jump(&mut world);
    has_a_run(&mut world, &bell);
    is_listed(&world, &release, "gone", "keep", "notice");
    let_pass(&mut world, 3 * DAY);
    is_listed(&world, &release, "gone", "mark", "complete");
    is_done(&world, &bell, "marked", &[(&release, "gone"), (&given_up, "lost")]);
    jump(&mut world);
    has_a_run(&mut world, &bell);
    is_listed(&world, &release, "gone", "keep", "waits");
    assert_eq!(deleted(&world), [""; 0]);

    // A run was cut off behind the first: the list is what is left of it, which is nothing within its limit, and it ends so.
    let_pass(&mut world, 7 * DAY);
    assert_eq!(to_be_deleted(&world, &release), ["gone"], "one file a run");
    is_listed(&world, &given_up, "lost", "keep", "closed");
    change_records(&mut world, |record| {
        record.execute_batch(
            "INSERT INTO retention_run (id, ran_backwards, staged_at, version, key, files, bytes, is_full)
             SELECT 1, 0, staged_at, version, key, 1, size, 0 FROM packages WHERE key = 'gone';
             UPDATE retention_clock SET seen_at = seen_at + 3600000",
        )
    });
    assert_eq!(to_be_deleted(&world, &release), [""; 0]);
    ring(&world, &bell);
    wait_until("the run is over", || to_be_deleted(&world, &release) == ["gone"]);
    assert_eq!(deleted(&world), [""; 0]);

    // Deleted, the other with an answer that says that it was not, and no more than the limit in each run.
    let fault = json!({"on": "delete", "effect": "do-then-fail", "status": 504, "path": "lost"});
    world.depot.fault(&fault);
    let_pass(&mut world, HOUR);
    is_next(&world, &release, "gone");
    is_done(&world, &bell, "deleting", &[(&release, "gone")]);
    let deleting = work_of(&mut world, "gone", "deleting");
    assert_ne!(deleting, announcing, "another run");
    wait_until("it is deleted", || !has(&world, &gone.filename));
    assert_eq!(deleted(&world), [gone.filename.as_str()]);
    assert!(world.rows(&given_up, "lost", "deleting").is_empty(), "it is the next run's");
    assert!(world.rows(&release, "gone", "deleted").is_empty(), "one look proves nothing");
    let_pass(&mut world, HOUR);
    is_next(&world, &given_up, "lost");
    is_done(&world, &bell, "deleting", &[(&given_up, "lost")]);
    assert_eq!(work_of(&mut world, "gone", "deleted"), deleting, "a run later it is the same work");
    let deleting = work_of(&mut world, "lost", "deleting");
    is_deleted(&mut world, &bell, &[(&given_up, "lost")], |world| !has(world, &lost.filename));
    is_done(&world, &bell, "deleted", &[(&release, "gone")]);
    assert_eq!(work_of(&mut world, "lost", "deleted"), deleting, "also after the edge was killed");
    assert_eq!(deleted(&world), [gone.filename.as_str(), &lost.filename]);
    assert!(!has(&world, &gone.filename) && !has(&world, &lost.filename), "staging has forgotten them");
    assert_eq!(given_up.target("lost")["state"], "skipped");
    assert_eq!(release.target("gone")["state"], "released");
    for package in kept {
        assert!(has(&world, &package.filename), "{} is kept", package.filename);
    }
    is_listed(&world, &release, "held", "keep", "held");
    is_listed(&world, &release, "extended", "keep", "extended");
    is_listed(&world, &still_open, "open", "keep", "open");

    // Whoever installs notices nothing, and what is open is released as before.
    let public = format!("{}/{}", world.depot.url, world.depot.public.repository);
    let apt = Apt::new(&world.stack.folder().join("apt"), &public, JAMMY, "amd64").expect("the key is served");
    apt.update().expect("the public index is there and signed");
    for (key, package) in [("gone", &gone), ("held", &held), ("extended", &extended)] {
        let file = apt.download(key).expect("it is public");
        assert_eq!(fs::read(file).expect("it was downloaded"), package.bytes, "{key}");
    }
    world.gitlab.play(still_open.job("open"), "mira");
    still_open.wait_until_released("open");
}

#[test]
fn what_all_projects_have_staged_is_held_against_what_the_plan_has_room_for_in_the_list_and_in_the_numbers() {
    let mut world = World::start("cleans-limit");
    let (own, others) = (world.release("1.0.0"), world.release_of(world.pilot(), "2.0.0"));
    let (tug, _) = own.ready(&deb("tug", "", 0));
    let (pilot, _) = others.ready(&deb("pilot", "", 9000));
    world.configure(|text| text.replace("[places.staging]\n", "[places.staging]\nstorage_limit = \"20kB\"\n"));
    let (tugs, pilots) = (tug.bytes.len(), pilot.bytes.len());
    let place = json!({"place": "staging", "bytes": tugs, "limit": 20_000, "all": tugs + pilots});
    assert_eq!(list(&world, &own)["places"], json!([place]));
    let said = operator(&world, &own, &["retention"]).ended_with(0).text;
    assert!(said.contains("of all projects: ") && said.contains("of the 20.0 kB that its plan has room for"), "{said}");
    let bearer = format!("Bearer {}", world.stack.secret("OPERATOR_TOKEN"));
    let numbers = send("GET", &world.edge("/metrics"), &[("authorization", bearer.as_str())], "").ok().text();
    for line in [
        format!("slipway_staged_bytes{{project=\"tug\",place=\"staging\"}} {tugs}\n"),
        format!("slipway_staged_bytes{{project=\"pilot\",place=\"staging\"}} {pilots}\n"),
        "slipway_staged_bytes_limit{place=\"staging\"} 20000\n".to_owned(),
    ] {
        assert!(numbers.contains(&line), "{line} in {numbers}");
    }
}

#[test]
fn a_hold_and_an_extension_while_a_deletion_is_on_its_way_are_too_late_and_count_if_it_comes_to_nothing() {
    let mut world = World::start("cleans-too-late");
    let bell = bell(&world);
    let release = world.release("1.0.0");
    let (late, job) = release.ready(&deb("late", "", 0));
    world.gitlab.play(job, "mira");
    release.wait_until_released("late");
    // Of this release nobody has said anything for longer than its route waits.
    let abandoned = world.release("1.0.1");
    let (forgotten, _) = abandoned.ready(&deb("forgotten", "", 0));
    world.configure(|text| format!("{text}\n[routes.retention]\nabandoned = \"1d\"\n[retention]\nenabled = true\n"));
    let both = [(&release, "late"), (&abandoned, "forgotten")];
    for (time, action) in [(AGE, "announced"), (3 * DAY, "marked")] {
        let_pass(&mut world, time);
        is_done(&world, &bell, action, &both);
    }
    let fault = world.depot.fault(&json!({"on": "delete", "effect": "fail", "status": 500, "times": "always"}));
    let_pass(&mut world, 7 * DAY);
    is_done(&world, &bell, "deleting", &both);
    assert_eq!(abandoned.target("forgotten")["state"], "expired", "nobody can approve it any more");

    let hold = json!({"keys": ["late"], "reason": "the customer still needs it"});
    let answer = change(&world, &release, "/holds", &hold);
    assert_eq!(answer.status, 409, "{}", answer.text());
    assert_eq!(answer.json()["type"], "urn:slipway:problem:too-late", "{}", answer.text());
    assert!(answer.text().contains("late"), "{}", answer.text());
    let until = far_off();
    let words = ["extend", "late", "--until", &until, "--reason", "the customer still needs it"];
    let said = operator(&world, &release, &words);
    assert_ne!(said.code, Some(0), "{}", said.text);
    assert!(said.text.contains("too late"), "{}", said.text);

    // Minutes later a look decides: nothing was deleted. So both count.
    let_pass(&mut world, Duration::from_mins(3));
    is_done(&world, &bell, "not-deleted", &both);
    assert_eq!(abandoned.target("forgotten")["state"], "staged", "it is there as before");
    world.depot.clear(fault);
    let another = world.release("1.1.0");
    let (_, job) = another.ready(&deb("another", "", 0));
    world.gitlab.play(job, "mira");
    another.wait_until_released("another");
    let_pass(&mut world, AGE);
    is_done(&world, &bell, "announced", &[(&another, "another")]);
    is_deleted(&mut world, &bell, &[(&abandoned, "forgotten")], |world| !has(world, &forgotten.filename));
    assert_eq!(abandoned.target("forgotten")["state"], "expired");
    assert_eq!(deleted(&world), [forgotten.filename.as_str()]);
    is_listed(&world, &release, "late", "keep", "held");
    assert!(world.rows(&release, "late", "deleted").is_empty() && has(&world, &late.filename));
    let answer = change(&world, &release, "/holds", &hold);
    assert_eq!(answer.status, 200, "nothing is on its way: {}", answer.text());
}

/// That a page says when the staged copy of the only target is deleted: so much, or what is left of it a moment later.
#[track_caller]
fn says_time_left(page: Page<'_>, whole: &str, a_moment_later: &str) {
    let said = page.text("[data-state=staged] .fact");
    assert!([whole, a_moment_later].map(|left| format!("deleted in {left}")).contains(&said), "{said}");
}

#[test]
fn whoever_reads_on_a_page_that_what_is_staged_will_be_deleted_keeps_it_from_there_while_others_watch() {
    let browser = match Browser::start() {
        Ok(browser) => browser,
        Err(why) => return println!("SKIPPED: no page can be looked at here: {why}"),
    };
    let mut world = World::start("cleans-page");
    let bell = bell(&world);
    let release = world.release("1.0.0");
    let (forgotten, _) = release.ready(&deb("forgotten", "", 0));
    world.configure(|text| format!("{text}\n[routes.retention]\nabandoned = \"1d\"\n[retention]\nenabled = true\n"));
    let address = world.edge("/p/tug/r/1.0.0");
    let page = browser.page(Look { narrow: true, ..Look::default() });

    // Three days of notice and seven of waiting; and a run that marks it begins the seven.
    let_pass(&mut world, AGE);
    is_done(&world, &bell, "announced", &[(&release, "forgotten")]);
    page.goto(&address);
    says_time_left(page, "10 d", "9 d");
    assert_eq!(page.text("#needs-title"), "Ready to release (1)");
    let_pass(&mut world, 3 * DAY);
    is_done(&world, &bell, "marked", &[(&release, "forgotten")]);
    page.goto(&address);
    says_time_left(page, "7 d", "6 d");
    let_pass(&mut world, 6 * DAY + 12 * HOUR);
    let watching = browser.page(Look::default());
    for page in [page, watching] {
        page.goto(&address);
        page.wait_text("#freshness", "● Live ·");
        says_time_left(page, "12 h", "11 h");
        assert_eq!(page.text("#needs-title"), "Needs you (1)");
        assert!(page.attribute("#icon", "href").contains("icon-alarm"), "the tab says so too");
    }
    assert!(page.text("#needs .need").contains("unless it is released before or somebody keeps it"));
    let front = browser.page(Look { narrow: true, ..Look::default() });
    front.goto(&world.edge("/"));
    assert_eq!(front.text("#needs-title"), "Needs you (1)");
    assert!(front.text("#needs .need").contains("Its staged copy is deleted "), "{}", front.text("#needs"));

    page.click("a[href^='/sign-in']");
    page.click("button[value=mira]");
    page.wait_text("header", "Signed in as mira");
    page.click("[data-act=extend]");
    page.wait_url("/extend");
    let announced = page.text(".f-will");
    assert!(announced.contains("forgotten would be deleted from 20"), "{announced}");
    assert_eq!(page.eval("document.documentElement.scrollWidth"), 320, "nothing is wider than the window");
    let until = far_off();
    page.fill("#until", &format!("{until}T12:00"));
    page.fill("#reason", "a customer tests it");
    page.click("form.f-act button[type=submit]");
    page.wait("#verdict");
    for page in [page, watching] {
        page.wait_text("#needs-title", "Ready to release (1)");
        assert_eq!(page.count(".fact.clock"), 0, "nothing of it is to be deleted");
        assert!(!page.attribute("#icon", "href").contains("icon-alarm"));
        assert_eq!(page.complaints().into_iter().find(|one| one.contains("policy:")), None);
    }
    assert_eq!(page.count("[data-act=extend]"), 0, "nothing is left to be kept");
    let kept: Vec<Value> = world.audit(release.project).into_iter().filter(|row| row["action"] == "extended").collect();
    assert_eq!(kept[0]["actor"], "person:7 user:mira", "{kept:?}");
    assert!(kept[0]["details"].to_string().contains(&until), "{kept:?}");
    let_pass(&mut world, 12 * DAY);
    has_a_run(&mut world, &bell);
    is_listed(&world, &release, "forgotten", "keep", "extended");
    assert!(has(&world, &forgotten.filename), "it is there");
}

/// Releases two images as 17.3.0 and 17.3.1, takes the tag of staging from the newer one, so that the record alone says that it is
/// needed, and lets days pass until the older one's deletion is on its way. Both releases, and the bell.
fn the_older_is_deleted(harbour: &mut Harbour, older: &Image, newer: &Image) -> [Release; 3] {
    let [first, second, bell] = ["17.3.0", "17.3.1", "0.0.0"].map(|version| harbour.world.release(version));
    plan(&bell, "bell", &["0.0.0"]).ok();
    for (release, image) in [(&first, older), (&second, newer)] {
        let job = harbour.ready(release, "app", &release.version, image);
        harbour.world.gitlab.play(job, "mira");
        release.wait_until_released("app");
    }
    harbour.push("build-2", 1000);
    switch_on(&mut harbour.world, "");
    for (time, action) in [(AGE, "announced"), (3 * DAY, "marked"), (7 * DAY, "deleting")] {
        let_pass(&mut harbour.world, time);
        is_done(&harbour.world, &bell, action, &[(&first, "app")]);
    }
    [first, second, bell]
}

#[test]
fn an_image_is_deleted_from_staging_and_what_another_shares_with_it_is_whole_after_a_collection() {
    if !can_run(&[]) {
        return;
    }
    let mut harbour = Harbour::start_with("cleans-up", |wishes| {
        wishes.route = "[routes.retention]\nkeep_newest = 1\n".to_owned();
    });
    // Two lists of platforms with one platform in common, and a layer that is in all.
    let folder = harbour.folder.join("family");
    let layout = Layout::new(&folder).expect("a folder");
    let shared = layout.layer("shared", &[7; 16_000]).expect("a layer");
    let own = ["both", "older", "newer"].map(|name| layout.layer("own", name.as_bytes()).expect("a layer"));
    let platform =
        |architecture: &str, own: &Value| layout.image(architecture, &[shared.clone(), own.clone()]).expect("an image");
    let both = platform("amd64", &own[0]);
    let older = harbour.push_list(&layout, &folder, "build-1", &[both.clone(), platform("arm64", &own[1])]);
    let newer = harbour.push_list(&layout, &folder, "build-2", &[both, platform("arm64", &own[2])]);
    let [first, second, bell] = the_older_is_deleted(&mut harbour, &older, &newer);
    // This registry deletes no tag by itself, so the parts go after the image. What an edge that is killed in between leaves goes
    // ten minutes later.
    wait_until("the registry has deleted it and its own part", || {
        let staged = harbour.staged_plainly();
        [&older.digest, &older.children[1]].iter().all(|gone| staged.digest(gone).expect("it answers").is_none())
    });
    let_pass(&mut harbour.world, Duration::from_mins(3));
    is_done(&harbour.world, &bell, "deleted", &[(&first, "app")]);
    is_listed(&harbour.world, &second, "app", "keep", "among-newest");

    let staged = harbour.staged_plainly();
    let there = |which: &str| staged.digest(which).expect("the registry answers").is_some();
    for gone in ["build-1", &older.digest, &older.children[1]] {
        assert!(!there(gone), "{gone} is gone");
    }
    for kept in [&newer.digest, &newer.children[0], &newer.children[1]] {
        assert!(there(kept), "{kept} is kept");
    }
    let settings = harbour.staging.folder().join("registry.yml");
    let ended = Command::new("docker-registry").arg("garbage-collect").arg(settings).output().expect("it is here");
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    let stored = |digest: &Value| {
        let hex = digest.as_str().and_then(|digest| digest.strip_prefix("sha256:")).expect("a digest");
        harbour.staging.blob_file(hex).exists()
    };
    assert!(!stored(&own[1]["digest"]), "what only the deleted image had is collected");
    for layer in [&shared, &own[0], &own[2]] {
        assert!(stored(&layer["digest"]), "{layer} is needed");
    }
    let staged = harbour.staged();
    let references = [&newer.digest].into_iter().chain(&newer.children).map(|part| format!("{staged}@{part}"));
    let references = references.chain([format!("{staged}:build-2")]);
    for (number, reference) in references.enumerate() {
        let into = harbour.folder.join(format!("kept-{number}"));
        pull(&harbour.folder, &reference, &into, Some(&credentials())).expect("every part of what is kept is there");
    }
    for tag in ["17.3.0", "17.3.1", "17.3", "latest"] {
        harbour.is_whole(tag);
    }
}

/// Machines that know nothing but staging, to which they have a token as `docs/deployers.md` says: one with apt, one with dnf.
struct Machines(Apt, Dnf);

impl Machines {
    fn new(world: &World, name: &str) -> Self {
        let staging = format!("{}/{}", world.depot.url, world.depot.staging.repository);
        let token = Some(world.stack.secret("STAGING_TOKEN"));
        let folder = |tool: &str| world.stack.folder().join(format!("{tool}-{name}"));
        let apt = Apt::with_token(&folder("apt"), &staging, JAMMY, "amd64", token).expect("the key is served");
        apt.update().expect("the index of staging is there and signed");
        Self(apt, Dnf::new(&folder("dnf"), &staging, "el/9", "x86_64", token).expect("the folder is writable"))
    }

    /// Installs a package with what its kind is installed with: its own text, or what was said.
    fn install(&self, name: &str) -> Result<String, String> {
        let Self(apt, dnf) = self;
        let file = format!("/usr/share/doc/{name}/README");
        let read = if name.starts_with("rpm-") {
            dnf.install(name).and_then(|()| dnf.installed_file(&file))
        } else {
            apt.install(name).and_then(|()| apt.installed_file(&file))
        };
        read.map(|text| String::from_utf8_lossy(&text).into_owned()).map_err(|why| format!("{why:#}"))
    }
}

/// What a cleaning deletes, and what it keeps.
const OVER: [&str; 2] = ["gone", "rpm-gone"];
const KEPT: [&str; 4] = ["held", "open", "rpm-held", "rpm-open"];

#[test]
fn what_is_kept_is_installed_from_staging_after_a_cleaning_by_apt_and_dnf_and_what_is_deleted_is_not() {
    if !Apt::is_here() || !Dnf::is_here() || !Rpm::can_be_built_here() {
        println!("SKIPPED: this test needs `apt-get`, `dnf` and `rpmbuild`");
        return;
    }
    let text = |name: &str| format!("This is {name}.\n");
    let mut world = World::start("cleans-installs");
    let bell = bell(&world);
    let over = world.release("1.0.0");
    let open = world.release("1.1.0");
    let stage = |release: &Release, name: &str| {
        let (package, _) = if name.starts_with("rpm-") {
            release.ready_rpm(&rpm(name, &text(name)), &["el/9"])
        } else {
            release.ready(&deb(name, &text(name), 0))
        };
        package.filename
    };
    let mut gone = OVER.map(|name| stage(&over, name));
    for name in KEPT {
        stage(if name.ends_with("held") { &over } else { &open }, name);
    }
    let before = Machines::new(&world, "before");
    for name in OVER.iter().chain(&KEPT) {
        assert_eq!(before.install(name).expect("it is staged"), text(name));
    }

    let hold = json!({"keys": ["held", "rpm-held"], "reason": "a customer looks at it"});
    change(&world, &over, "/holds", &hold).ok();
    operator(&world, &over, &["close", "--reason", "it was wrong"]).ended_with(0);
    switch_on(&mut world, "");
    let both = OVER.map(|name| (&over, name));
    for (time, action) in [(AGE, "announced"), (3 * DAY, "marked")] {
        let_pass(&mut world, time);
        is_done(&world, &bell, action, &both);
    }
    let_pass(&mut world, 7 * DAY);
    is_deleted(&mut world, &bell, &both, |world| gone.iter().all(|filename| !has(world, filename)));
    gone.sort();
    assert_eq!(deleted(&world), gone);

    let after = Machines::new(&world, "after");
    for name in KEPT {
        assert_eq!(after.install(name).unwrap_or_else(|why| panic!("{name} is kept: {why}")), text(name));
    }
    for name in OVER {
        let why = after.install(name).expect_err("it is deleted");
        assert!(why.contains("Unable to"), "the index has it no more, and nothing else is wrong: {why}");
    }
}

/// Reads something of staging's repository of images, as whoever has its password. `None` where there is no such thing.
fn read(harbour: &Harbour, path: &str) -> Option<Vec<u8>> {
    let authorization = format!("Basic {}", STANDARD.encode(credentials()));
    let accept = "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json";
    let url = format!("{}/v2/{STAGED}/{path}", harbour.staging.url());
    let answer = send("GET", &url, &[("authorization", &authorization), ("accept", accept)], "");
    (answer.status != 404).then(|| answer.ok().body)
}

/// Something is said of an image: once in the list of what refers to it, which has the tag of its digest where a registry keeps
/// no such list, and once as `cosign` writes it. The two tags, and the two digests of what was said.
fn say_of(harbour: &Harbour, layout: &Layout<'_>, image: &str, said: &str) -> [(String, String); 2] {
    let (staged, tag) = (harbour.staged_plainly(), image.replace(':', "-"));
    let body = layout.blob("application/vnd.example.said", said.as_bytes()).expect("a blob");
    let config = layout.blob("application/vnd.oci.empty.v1+json", b"{}").expect("a blob");
    let kind = "application/vnd.oci.image.manifest.v1+json";
    let size = read(harbour, &format!("manifests/{image}")).expect("it is staged").len();
    let subject = json!({"mediaType": "application/vnd.oci.image.index.v1+json", "digest": image, "size": size});
    let manifest = json!({"schemaVersion": 2, "mediaType": kind, "artifactType": "application/vnd.example.said",
        "config": config, "layers": [body], "subject": subject});
    let artifact = layout.blob(kind, manifest.to_string().as_bytes()).expect("a manifest");
    let list = layout.index(std::slice::from_ref(&artifact)).expect("a list");
    layout.send(&list, &staged, &tag).expect("it is taken");
    let signature = json!({"schemaVersion": 2, "mediaType": kind, "config": config, "layers": [body]});
    let signature = layout.blob(kind, signature.to_string().as_bytes()).expect("a manifest");
    layout.send(&signature, &staged, &format!("{tag}.sig")).expect("it is taken");
    let digest = |descriptor: &Value| descriptor["digest"].as_str().expect("a digest").to_owned();
    [(tag.clone(), digest(&artifact)), (format!("{tag}.sig"), digest(&signature))]
}

/// What was said of an image, read from a tag to its last byte. `None` when neither the tag nor it is there.
fn said(harbour: &Harbour, (tag, digest): &(String, String)) -> Option<Vec<u8>> {
    let (led, found) = (read(harbour, &format!("manifests/{tag}")), read(harbour, &format!("manifests/{digest}")));
    assert_eq!(led.is_some(), found.is_some(), "{tag} and {digest} are both there, or neither");
    let led = led?;
    let is_it = format!("sha256:{}", sha256(&led)) == *digest;
    assert!(is_it || String::from_utf8_lossy(&led).contains(digest.as_str()), "{tag} leads to it");
    let manifest: Value = serde_json::from_slice(&found?).expect("a manifest is JSON");
    let blob = manifest["layers"][0]["digest"].as_str().expect("a digest");
    Some(read(harbour, &format!("blobs/{blob}")).expect("its blob is there"))
}

#[test]
fn an_image_that_is_kept_is_pulled_with_what_is_said_of_it_after_a_cleaning_and_a_collection() {
    if !can_run(&[]) {
        return;
    }
    let mut harbour = Harbour::start_with("cleans-signed", |wishes| {
        wishes.route = "[routes.retention]\nkeep_newest = 1\n".to_owned();
    });
    let [older, newer] = ["build-1", "build-2"].map(|name| harbour.push(name, 20_000));
    let folder = harbour.folder.join("said");
    let layout = Layout::new(&folder).expect("a folder");
    let of_older = say_of(&harbour, &layout, &older.digest, "This is what was said of the older one.");
    let words = "This is what was said of the newer one.";
    let of_newer = say_of(&harbour, &layout, &newer.digest, words);
    let [first, _, bell] = the_older_is_deleted(&mut harbour, &older, &newer);
    // Debian's registry deletes no tag by itself, so the image goes first, and then what belonged to it.
    let own = [&older.digest].into_iter().chain(&older.children).chain(of_older.iter().map(|(_, digest)| digest));
    wait_until("the registry has deleted it, and what belonged to it", || {
        own.clone().all(|digest| read(&harbour, &format!("manifests/{digest}")).is_none())
    });
    let_pass(&mut harbour.world, Duration::from_mins(3));
    is_done(&harbour.world, &bell, "deleted", &[(&first, "app")]);

    let settings = harbour.staging.folder().join("registry.yml");
    let ended = Command::new("docker-registry").arg("garbage-collect").arg(settings).output().expect("it is here");
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    let pulled = |number: usize, reference: &str| {
        let reference = format!("{}@{reference}", harbour.staged());
        pull(&harbour.folder, &reference, &harbour.folder.join(format!("of-{number}")), Some(&credentials()))
    };
    pulled(0, &newer.digest).expect("every part of it is there");
    for (number, gone) in [&older.digest].into_iter().chain(&older.children).enumerate() {
        pulled(1 + number, gone).expect_err("it is deleted");
    }
    for one in &of_newer {
        assert_eq!(said(&harbour, one).as_deref(), Some(words.as_bytes()), "{one:?}");
    }
    for one in &of_older {
        assert_eq!(said(&harbour, one), None, "{one:?}");
    }
}

/// Stops everything, or starts it again. Every project has heard of it by the answer.
fn turn(world: &World, method: &str, reason: &str) {
    let bearer = format!("Bearer {}", world.stack.secret("OPERATOR_TOKEN"));
    let headers = [("authorization", bearer.as_str()), ("content-type", "application/json")];
    let answer = send(method, &world.edge("/api/v1/stop"), &headers, json!({"reason": reason}).to_string());
    assert_eq!(answer.status, 200, "every project has heard: {}", answer.text());
}

#[test]
fn a_stop_ends_a_cleaning_that_is_under_way_outlives_a_kill_and_the_rest_is_deleted_once_it_is_started() {
    let mut world = World::start("cleans-stopped");
    let bell = bell(&world);
    let release = world.release("1.0.0");
    let keys = ["one", "two", "three"];
    let files = keys.map(|key| release.ready(&deb(key, "", 0)).0.filename);
    operator(&world, &release, &["close", "--reason", "it was wrong"]).ended_with(0);
    switch_on(&mut world, "");
    let all = keys.map(|key| (&release, key));
    for (time, action) in [(AGE, "announced"), (3 * DAY, "marked")] {
        let_pass(&mut world, time);
        is_done(&world, &bell, action, &all);
    }

    // One is deleted. The request for the next one is on its way for longer than this test runs.
    let begun = |world: &World| {
        let rows = |key: &&str| !world.rows(&release, key, "deleting").is_empty();
        keys.iter().filter(|key| rows(key)).count()
    };
    world.depot.fault(&json!({"on": "delete", "effect": "delay", "ms": 3_600_000, "skip": 1}));
    let_pass(&mut world, 7 * DAY);
    ring(&world, &bell);
    wait_until("the second is on its way", || begun(&world) == 2 && deleted(&world).len() == 1);
    let first = deleted(&world);
    turn(&world, "POST", "a wrong package is public");
    assert_eq!(begun(&world), 2);

    // It goes with the edge, and whoever begins anew deletes nothing, however many days pass.
    let stays = |world: &World| {
        assert_eq!(deleted(world), first);
        assert_eq!(files.iter().filter(|file| has(world, file)).count(), 2, "the others are there");
    };
    for _ in 0..3 {
        let_pass(&mut world, 8 * DAY);
        has_a_run(&mut world, &bell);
        stays(&world);
        assert_eq!(begun(&world), 2, "and no other was begun");
    }
    assert_eq!(to_be_deleted(&world, &release), [""; 0]);
    stays(&world);

    turn(&world, "DELETE", "it is taken back");
    let_pass(&mut world, HOUR);
    ring(&world, &bell);
    wait_until("they are deleted", || files.iter().all(|file| !has(&world, file)));
    let_pass(&mut world, Duration::from_mins(3));
    is_done(&world, &bell, "deleted", &all);
    let mut files = files.to_vec();
    files.sort();
    assert_eq!(deleted(&world), files, "each once");
}
