//! What a release manager sees and does in a real browser, from what is staged to what is public: on the whole stack.
#![allow(clippy::print_stdout, reason = "a test that cannot run here says so on standard output")]

use serde_json::json;
use slipway_tests::e2e::{Browser, JAMMY, Look, Page, Process, Release, World, deb};

fn browser() -> Option<Browser> {
    Browser::start().map_err(|why| println!("SKIPPED: no page can be looked at here: {why}")).ok()
}

fn address(world: &World, release: &Release) -> String {
    world.edge(&format!("/p/{}/r/{}", release.project.name, release.version))
}

/// The element of one target, in a matrix or in a list.
fn cell(key: &str) -> String {
    format!("[data-state][id$='-{key}-{}']", JAMMY.replace('/', "-"))
}

/// The first way to something that can be played.
const PLAY: &str = "#needs a[href*='/-/']";

fn in_state(key: &str, state: &str) -> String {
    format!("{}[data-state={state}]", cell(key))
}

fn is_live(page: Page<'_>) {
    page.wait_text("#freshness", "● Live ·");
}

/// The states of all targets, as the page has them, by their ids.
fn shown(page: Page<'_>) -> Vec<String> {
    let code = "[...document.querySelectorAll('[data-state]')].map((one) => `${one.id} ${one.dataset.state}`).sort()";
    let shown = page.eval(code);
    shown.as_array().expect("a list").iter().filter_map(|one| one.as_str().map(str::to_owned)).collect()
}

/// Whoever looks at the stand-in's page of a job plays it as this person.
fn play_there(page: Page<'_>, user: &str) {
    page.wait("#play");
    page.choose("select[name=user]", user);
    page.click("#play");
    page.wait_text("#status", "running");
}

/// Follows the page's own way to what is to be played, in this page, to the page of that very job.
fn follow_to_job(page: Page<'_>, job: u64) {
    page.click(PLAY);
    page.wait_url("/-/");
    // Where the edge has not heard of the very job yet, the way leads to its pipeline.
    if page.url().contains("/-/pipelines/") {
        page.click(&format!("a[href$='/-/jobs/{job}']"));
    }
    page.wait_url(&format!("/-/jobs/{job}"));
}

#[test]
fn what_is_staged_is_played_in_gitlab_and_seen_to_become_public() {
    let Some(browser) = browser() else { return };
    let world = World::start("browser-release");
    let release = world.release("1.0.0");
    let (package, job) = release.ready(&deb("cargo", "", 200_000));

    let watching = browser.page(Look::default());
    assert_eq!(watching.goto(&address(&world, &release)), 200);
    is_live(watching);
    assert!(watching.text("h1").starts_with("tug 1.0.0 is not out"), "{}", watching.text("h1"));
    assert_eq!(watching.text("#needs-title"), "Ready to release (1)");

    let playing = browser.page(Look { dark: true, ..Look::default() });
    playing.goto(&address(&world, &release));
    follow_to_job(playing, job);
    play_there(playing, "mira");

    watching.wait(&in_state("cargo", "released"));
    watching.wait_title("1/1 · 1.0.0 · tug");
    watching.wait_text("h1", "tug 1.0.0 is out: its package is released.");
    watching.wait_text("#needs-title", "Nothing needs you");
    watching.wait_text("#announce", "Released: cargo");
    release.is_public_once(&package);
    assert_eq!(watching.complaints(), Vec::<String>::new());
    let elsewhere: Vec<String> =
        watching.asked().into_iter().filter(|asked| !asked.contains(&world.edge("/")[4..])).collect();
    assert_eq!(elsewhere, Vec::<String>::new(), "the page asks nobody but its edge");
}

#[test]
fn a_failure_says_what_happened_what_is_public_and_who_acts() {
    let Some(browser) = browser() else { return };
    let world = World::start("browser-failure");
    let release = world.release("1.0.0");
    let (package, job) = release.ready(&deb("cargo", "", 0));
    world.depot.publish(JAMMY, &package.filename, &deb("cargo", "other", 0).build().expect("it fits"));

    let page = browser.page(Look { narrow: true, ..Look::default() });
    page.goto(&address(&world, &release));
    is_live(page);
    world.gitlab.play(job, "mira");
    page.wait(&in_state("cargo", "conflict"));
    page.wait_text("#needs-title", "Needs you (1)");
    let record = page.text("#needs .need");
    // The fields of a failure record, and what `conflict` means in docs/release-managers/problems.md.
    for words in ["Conflict", "Public", "Trying again", "cannot help", "Next", "Release manager", "Code", "conflict"] {
        assert!(record.contains(words), "`{words}` is not in {record}");
    }
    assert!(page.attribute("#icon", "href").contains("icon-alarm"), "the tab says so too");
    assert_eq!(page.complaints(), Vec::<String>::new());
}

#[test]
fn a_page_goes_on_after_its_edge_was_killed_in_the_middle_and_has_lost_nothing() {
    let Some(browser) = browser() else { return };
    let mut world = World::start("browser-reconnects");
    let release = world.release("1.0.0");
    let (first, job) = release.ready(&deb("cargo", "", 2_500_000));
    release.ready(&deb("pilot", "", 0));
    let page = browser.page(Look::default());
    page.goto(&address(&world, &release));
    is_live(page);
    let gate = world.depot.gate(&first.filename, 1_048_576);
    world.gitlab.play(job, "mira");
    page.wait(&in_state("cargo", "releasing"));
    gate.wait();
    world.kill(Process::Edge);
    page.wait_text("#freshness", "data from");
    assert_eq!(page.count(&cell("pilot")), 1, "what was there stays there");
    gate.open();
    world.start_again(Process::Edge);
    // Meanwhile something else happens.
    let session = release.session(release.build);
    release.api("POST", "/holds", Some(&session), &json!({"keys": ["pilot"], "reason": "waits for its notes"})).ok();
    is_live(page);
    release.wait_until_released("cargo");
    page.wait(&in_state("cargo", "released"));
    page.wait_text("#main", "waits for its notes");
    let live = shown(page);
    page.reload();
    is_live(page);
    assert_eq!(live, shown(page), "live and loaded anew, the page says the same");
    release.is_public_once(&first);
}

#[test]
fn with_scripts_off_everything_is_there_and_everything_can_be_done() {
    let Some(browser) = browser() else { return };
    let world = World::start("browser-without-scripts");
    let release = world.release("1.0.0");
    let (_, job) = release.ready(&deb("cargo", "", 0));
    let page = browser.page(Look { scripts: false, ..Look::default() });
    page.goto(&world.edge("/"));
    page.click("main a[href='/p/tug/r/1.0.0']");
    page.wait_url("/p/tug/r/1.0.0");
    assert!(page.text("h1").starts_with("tug 1.0.0 is not out"), "{}", page.text("h1"));
    assert!(page.is_visible(&in_state("cargo", "staged")));
    page.fill("#filter-words", "nothing-like-it");
    page.press("Enter");
    page.wait_url("q=nothing-like-it");
    assert!(!page.is_visible(&cell("cargo")));
    page.goto(&address(&world, &release));
    follow_to_job(page, job);
    play_there(page, "mira");
    release.wait_until_released("cargo");
    page.goto(&address(&world, &release));
    assert!(page.is_visible(&in_state("cargo", "released")));
    assert!(page.text("h1").starts_with("tug 1.0.0 is out"), "{}", page.text("h1"));
    // A page names its scripts, and a browser without any may load them ahead; it runs none.
    let live: Vec<String> = page.asked().into_iter().filter(|asked| asked.contains("/live")).collect();
    assert_eq!(live, Vec::<String>::new());
}

#[test]
fn by_keyboard_alone_somebody_comes_from_the_front_page_to_a_job_that_is_played() {
    let Some(browser) = browser() else { return };
    let world = World::start("browser-keyboard");
    let release = world.release("1.0.0");
    let (_, job) = release.ready(&deb("cargo", "", 0));
    let page = browser.page(Look::default());
    page.goto(&world.edge("/"));
    tab_to(page, "main a[href='/p/tug/r/1.0.0']");
    page.press("Enter");
    page.wait_url("/p/tug/r/1.0.0");
    is_live(page);
    page.press("/");
    assert_eq!(page.focused(), "filter-words");
    page.type_text("cargo");
    page.wait_url("q=cargo");
    tab_to(page, PLAY);
    page.press("Enter");
    page.wait_url("/-/");
    if page.url().contains("/-/pipelines/") {
        tab_to(page, &format!("a[href$='/-/jobs/{job}']"));
        page.press("Enter");
    }
    page.wait_url(&format!("/-/jobs/{job}"));
    tab_to(page, "select[name=user]");
    page.type_text("mira");
    tab_to(page, "#play");
    page.press("Enter");
    page.wait_text("#status", "running");
    release.wait_until_released("cargo");
}

#[test]
fn somebody_who_has_signed_in_through_gitlab_holds_and_lets_go_and_gives_up_while_others_watch() {
    let Some(browser) = browser() else { return };
    let world = World::start("browser-signed-in");
    let release = world.release("1.0.0");
    release.ready(&deb("cargo", "", 0));
    let watching = browser.page(Look::default());
    watching.goto(&address(&world, &release));
    is_live(watching);

    let acting = browser.page(Look { narrow: true, ..Look::default() });
    acting.goto(&address(&world, &release));
    assert_eq!(acting.count("[data-act]"), 0, "nobody is offered what only some may do");
    acting.click("a[href^='/sign-in']");
    acting.wait_url("/oauth/authorize");
    acting.click("button[value=mira]");
    acting.wait_url("/p/tug/r/1.0.0");
    acting.wait_text("header", "Signed in as mira");
    let cookies = acting.cookies();
    assert_eq!(cookies.len(), 1, "{cookies:?}");
    assert_eq!((&cookies[0]["httpOnly"], &cookies[0]["sameSite"]), (&json!(true), &json!("Lax")), "{cookies:?}");
    assert_eq!(acting.eval("document.cookie"), "", "no script reads it");

    act(acting, "hold", "waits for its notes");
    watching.wait_text("#needs", "waits for its notes");
    watching.wait_gone("#play-cargo");
    act(acting, "lift", "the notes are written");
    watching.wait_text("#needs-title", "Ready to release (1)");
    act(acting, "close", "1.0.1 is better");
    watching.wait_text("h1", "was given up by mira: 1.0.1 is better");
    assert_eq!(release.target("cargo")["state"], "skipped", "nothing of it is shipped");

    acting.click("form[action='/sign-out'] button");
    acting.wait("a[href^='/sign-in']");
    assert_eq!(acting.cookies().len(), 0);
    for page in [watching, acting] {
        // The stand-in's own pages have no icon, and a browser looks for one.
        let complaints = page.complaints().into_iter().filter(|one| !one.contains(&world.stack.gitlab_url()));
        assert_eq!(complaints.collect::<Vec<_>>(), Vec::<String>::new());
    }
}

/// Does something to the release from its page, as the reader of it is offered.
#[track_caller]
fn act(page: Page<'_>, act: &str, reason: &str) {
    page.click(&format!("[data-act={act}]"));
    page.wait_url(&format!("/{act}"));
    page.fill("#reason", reason);
    page.click("form.f-act button[type=submit]");
    page.wait("#verdict");
}

/// Presses Tab until what a selector finds has the focus. It must be seen then, and not lie under anything (WCAG 2.4.7, 2.4.11).
#[track_caller]
fn tab_to(page: Page<'_>, selector: &str) {
    let is_there = format!("document.activeElement.matches({})", json!(selector));
    for _ in 0..100 {
        if page.eval(&is_there) == true {
            let is_seen = page.eval(
                "(() => { const one = document.activeElement, box = one.getClientRects()[0]; \
                 const top = document.elementFromPoint(box.x + box.width / 2, box.y + box.height / 2); \
                 return one.matches(':focus-visible') && (one.contains(top) || top?.contains(one)); })()",
            );
            assert_eq!(is_seen, true, "the focus on {selector} is seen");
            return;
        }
        page.press("Tab");
    }
    panic!("a hundred times Tab do not lead to {selector}; the focus is on {}", page.focused());
}
