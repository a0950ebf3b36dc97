//! What a release manager sees and does in a real browser, from what is staged to what is public: on the whole stack.
#![allow(clippy::print_stdout, reason = "a test that cannot run here says so on standard output")]

use std::collections::BTreeMap;

use serde_json::{Value, json};
use slipway_tests::e2e::{Browser, JAMMY, Look, Package, Page, Process, Release, World, deb, wait_until};

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

/// Plans and stages a package so large, whose manual job is there before, as it is in GitLab: the package, and the job. One that came
/// later would be read with the next list of the pipeline's jobs alone, a minute after.
fn ready_as_in_gitlab(release: &Release, size: usize) -> (Package, u64) {
    release.plan(&["cargo"]);
    let job = release.job("cargo");
    (release.stage("cargo", &deb("cargo", "", size)), job)
}

/// Whoever looks at the stand-in's page of a job plays it as this person.
fn play_there(page: Page<'_>, user: &str) {
    page.wait("#play");
    page.choose("select[name=user]", user);
    page.click("#play");
    page.wait_text("#status", "running");
}

/// The way that a page offers to this very job.
fn way_to(job: u64) -> String {
    format!("#needs a[href$='/-/jobs/{job}']")
}

/// That the first way to something that can be played leads to this very job, and not to the pipeline that has it.
#[track_caller]
fn leads_to_the_very_job(page: Page<'_>, job: u64) {
    let first = page.attribute(PLAY, "href");
    assert!(first.ends_with(&format!("/-/jobs/{job}")), "{first}");
}

#[test]
fn what_is_staged_is_played_in_gitlab_and_seen_to_become_public() {
    let Some(browser) = browser() else { return };
    let world = World::start("browser-release");
    let release = world.release("1.0.0");
    let (package, job) = ready_as_in_gitlab(&release, 200_000);

    let watching = browser.page(Look::default());
    assert_eq!(watching.goto(&address(&world, &release)), 200);
    is_live(watching);
    assert!(watching.text("h1").starts_with("tug 1.0.0 is not out"), "{}", watching.text("h1"));
    assert_eq!(watching.text("#needs-title"), "Ready to release (1)");

    // As soon as its number is known, an open page leads to the very job, and not to the pipeline that has it.
    let very_job = way_to(job);
    watching.wait(&very_job);
    let playing = browser.page(Look { dark: true, ..Look::default() });
    playing.goto(&address(&world, &release));
    playing.click(&very_job);
    playing.wait_url(&format!("/-/jobs/{job}"));
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

/// The failure record of the only target that needs somebody: what happened, and then each field by its name.
fn record(page: Page<'_>) -> BTreeMap<String, String> {
    let fields = "[...document.querySelectorAll('#needs .record > div')].map((one) => [...one.children].map((part) => part.innerText))";
    let fields = page.eval(fields);
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    let fields = fields.as_array().expect("a list").iter().map(|field| (text(&field[0]), text(&field[1])));
    fields.chain([("What".to_owned(), page.text("#needs .need .what"))]).collect()
}

/// That all of a record can be read in a window of 320 pixels, without scrolling sideways.
fn fits_on_a_phone(page: Page<'_>) {
    let beside = "[...document.querySelectorAll('#needs .what, #needs .record div')].filter((one) => { \
         const { left, right, height } = one.getBoundingClientRect(); return left < 0 || right > 320 || height === 0; }).length";
    assert_eq!(page.eval("innerWidth"), 320);
    assert_eq!(page.eval("document.documentElement.scrollWidth"), 320, "nothing is wider than the window");
    assert_eq!(page.eval(beside), 0, "no part of the record is outside of it");
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
    // What `conflict` means in docs/release-managers/problems.md.
    let record = record(page);
    assert!(record["What"].contains(&package.sha256), "{record:?}");
    assert_eq!((record["Trying again"].as_str(), record["Code"].as_str()), ("cannot help", "conflict"));
    assert!(record["Next"].starts_with("Release manager: "), "{record:?}");
    assert!(page.text("#needs .need").starts_with("Conflict"), "{}", page.text("#needs .need"));
    fits_on_a_phone(page);
    assert!(page.attribute("#icon", "href").contains("icon-alarm"), "the tab says so too");
    assert_eq!(page.complaints(), Vec::<String>::new());
}

#[test]
fn whoever_reads_on_a_phone_why_a_promotion_failed_goes_on_from_there_to_its_job_and_it_is_released() {
    let Some(browser) = browser() else { return };
    let world = World::start("browser-fails");
    let release = world.release("1.0.0");
    let (package, job) = release.ready(&deb("cargo", "", 0));
    // The token for the public repository may not write there any more.
    world.depot.fault(&json!({"on": "push", "effect": "fail", "status": 403, "times": "always"}));
    let page = browser.page(Look { narrow: true, dark: true, ..Look::default() });
    page.goto(&address(&world, &release));
    is_live(page);
    world.gitlab.play(job, "mira");
    page.wait(&in_state("cargo", "failed"));
    page.wait_text("#needs-title", "Needs you (1)");
    // What `no-access` means in docs/release-managers/problems.md, and what the server said.
    let record = record(page);
    assert_eq!((record["Public"].as_str(), record["Trying again"].as_str()), ("untouched", "is safe"), "{record:?}");
    assert_eq!(record["Code"], "no-access");
    assert!(record["Next"].starts_with("Operator: "), "{record:?}");
    assert!(record["Evidence"].starts_with("127.0.0.1") && record["Evidence"].contains("answered 403"), "{record:?}");
    assert!(!record["What"].is_empty());
    fits_on_a_phone(page);
    release.is_not_public(&package.filename);

    // The operator has mended it. Whoever follows the page's way plays the same job again.
    world.depot.heal();
    world.gitlab.finish(job, "failed");
    page.click("#needs .need a.act");
    page.wait_url(&format!("/-/jobs/{job}"));
    play_there(page, "mira");
    page.goto(&address(&world, &release));
    page.wait(&in_state("cargo", "released"));
    page.wait_text("#needs-title", "Nothing needs you");
    assert!(!page.attribute("#icon", "href").contains("icon-alarm"), "the tab is calm again");
    release.is_public_once(&package);
}

/// How much of the only copy that is under way the page says has been sent: `1.0 of 2.5 MB (41 %)`. Zero while it says nothing.
fn percent_shown(page: Page<'_>) -> u64 {
    let moving = page.eval("document.getElementById('moving').textContent");
    let found = moving.as_str().and_then(|text| text.split_once(" %)")?.0.rsplit_once('('));
    found.map_or(0, |(_, digits)| digits.parse().expect("digits"))
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
    // So slow that bytes are told of on the way, and no further than the first gate.
    world.depot.fault(&json!({"on": "storage", "effect": "throttle", "bytes_per_second": 400_000, "times": "always"}));
    let gate = world.depot.gate(&first.filename, 1_048_576);
    world.gitlab.play(job, "mira");
    page.wait(&in_state("cargo", "releasing"));
    page.wait_text("#moving", " of 2.5 MB (");
    gate.wait();
    let before = percent_shown(page);
    world.kill(Process::Edge);
    page.wait_text("#freshness", "data from");
    assert_eq!(page.count(&cell("pilot")), 1, "what was there stays there");
    // The copy begins anew, and comes further than before.
    let further = world.depot.gate(&first.filename, 2_200_000);
    gate.open();
    world.start_again(Process::Edge);
    // Meanwhile something else happens.
    let session = release.session(release.build);
    release.api("POST", "/holds", Some(&session), &json!({"keys": ["pilot"], "reason": "waits for its notes"})).ok();
    is_live(page);
    further.wait();
    wait_until("bytes are counted on", || percent_shown(page) > before);
    assert_eq!(page.count(&in_state("cargo", "releasing")), 1, "it is still on its way");
    further.open();
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
fn whoever_was_without_a_network_while_bytes_were_copied_sees_them_counted_on_without_loading_the_page_again() {
    let Some(browser) = browser() else { return };
    let world = World::start("browser-offline");
    let release = world.release("1.0.0");
    let (package, job) = release.ready(&deb("cargo", "", 6_000_000));
    let page = browser.page(Look::default());
    page.goto(&address(&world, &release));
    is_live(page);
    page.eval("window.isTheSame = true");
    world.depot.fault(&json!({"on": "storage", "effect": "throttle", "bytes_per_second": 600_000, "times": "always"}));
    let gate = world.depot.gate(&package.filename, 5_500_000);
    world.gitlab.play(job, "mira");
    page.wait_text("#moving", " of 6.0 MB (");
    page.offline(true);
    page.wait_text("#freshness", "data from");
    let before = percent_shown(page);
    assert!((1..90).contains(&before), "{before} % of it had been sent");
    page.wait("body[data-stale]");
    let counted = |target: &Value| target["bytes"].as_u64().is_some_and(|bytes| bytes / 60_000 > before);
    release.wait_for_target("cargo", None, "further on its way", counted);
    assert_eq!(percent_shown(page), before, "nothing comes without a network");
    page.offline(false);
    is_live(page);
    wait_until("bytes are counted on", || percent_shown(page) > before);
    page.wait_gone("body[data-stale]");
    gate.open();
    page.wait(&in_state("cargo", "released"));
    assert_eq!(page.eval("window.isTheSame"), true, "it is the same page all the while");
    release.is_public_once(&package);
}

#[test]
fn with_scripts_off_everything_is_there_and_everything_can_be_done() {
    let Some(browser) = browser() else { return };
    let world = World::start("browser-without-scripts");
    let release = world.release("1.0.0");
    let (_, job) = ready_as_in_gitlab(&release, 0);
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
    // A page without scripts leads to the very job when it is loaded after the edge has read of that.
    wait_until("the page leads to the very job", || {
        page.goto(&address(&world, &release));
        page.count(&way_to(job)) > 0
    });
    leads_to_the_very_job(page, job);
    page.click(PLAY);
    page.wait_url(&format!("/-/jobs/{job}"));
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
    let (_, job) = ready_as_in_gitlab(&release, 0);
    let page = browser.page(Look::default());
    page.goto(&world.edge("/"));
    tab_to(page, "main a[href='/p/tug/r/1.0.0']");
    page.press("Enter");
    page.wait_url("/p/tug/r/1.0.0");
    is_live(page);
    // An open page follows when the edge reads of the very job.
    page.wait(&way_to(job));
    page.press("/");
    assert_eq!(page.focused(), "filter-words");
    page.type_text("cargo");
    page.wait_url("q=cargo");
    leads_to_the_very_job(page, job);
    tab_to(page, PLAY);
    page.press("Enter");
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
    sign_in(acting);
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

/// Signs in from a release's page as mira, and is back on it.
#[track_caller]
fn sign_in(page: Page<'_>) {
    page.click("a[href^='/sign-in']");
    page.wait_url("/oauth/authorize");
    page.click("button[value=mira]");
    page.wait_url("/p/tug/r/1.0.0");
    page.wait_text("header", "Signed in as mira");
}

/// The fields of the form that gives a release up, as its page has filled them in, with a reason.
fn fields_to_close(page: Page<'_>, release: &str) -> Value {
    assert_eq!(page.goto(&format!("{release}/close")), 200);
    let mut fields = page.eval("Object.fromEntries(new FormData(document.querySelector('form.f-act')))");
    fields["reason"] = "because a page of somebody else says so".into();
    assert!(fields["seen"].as_str().is_some_and(|seen| !seen.is_empty()), "{fields}");
    fields
}

/// A page of GitLab, which is not the edge's, sends these fields as a form. What the browser shows then.
fn sent_from_elsewhere(world: &World, page: Page<'_>, to: &str, fields: &Value) -> String {
    let elsewhere = format!("{}/harbour/tug/-/jobs/1", world.stack.gitlab_url());
    page.goto(&elsewhere);
    page.eval(&format!(
        "(() => {{ const form = document.createElement('form'); form.method = 'post'; form.action = {}; \
         for (const [name, value] of Object.entries({fields})) {{ const input = document.createElement('input'); \
         input.name = name; input.value = value; form.append(input); }} document.body.append(form); form.submit(); }})()",
        json!(to)
    ));
    page.wait_url(to);
    page.text("main")
}

/// Whether a page of GitLab gets a socket of the edge.
fn socket_from_elsewhere(world: &World, page: Page<'_>, edge: &str) -> Value {
    page.goto(&format!("{}/harbour/tug/-/jobs/1", world.stack.gitlab_url()));
    let live = format!("{}/api/v1/projects/tug/releases/1.0.0/live", edge.replacen("http", "ws", 1));
    page.eval(&format!(
        "new Promise((told) => {{ const socket = new WebSocket({}); socket.onopen = () => told('open'); \
         socket.onerror = () => told('refused'); }})",
        json!(live)
    ))
}

#[test]
fn a_page_of_another_origin_does_nothing_with_the_cookie_of_whoever_has_signed_in() {
    let Some(browser) = browser() else { return };
    let world = World::start("browser-foreign");
    let release = world.release("1.0.0");
    release.ready(&deb("cargo", "", 0));
    let page = browser.page(Look::default());
    page.goto(&address(&world, &release));
    sign_in(page);
    // Another port of the same host is the same site to a browser: it sends the cookie along.
    let fields = fields_to_close(page, &address(&world, &release));
    let before = release.sequence();
    let shown = sent_from_elsewhere(&world, page, &format!("{}/close", address(&world, &release)), &fields);
    assert!(shown.contains("acts from this dashboard's own pages alone"), "{shown}");
    assert_eq!(socket_from_elsewhere(&world, page, &world.stack.edge_url()), "refused");
    assert_eq!(release.sequence(), before, "nothing has come of it");
    let refused = world.audit(world.tug()).into_iter().filter(|row| row["action"] == "refused").collect::<Vec<_>>();
    assert!(refused.iter().any(|row| row["actor"] == "person:7 user:mira"), "the cookie had come along: {refused:?}");

    // The same from a page of the edge's own.
    page.goto(&address(&world, &release));
    is_live(page);
    act(page, "close", "1.0.1 is better");
    page.wait_text("h1", "was given up by mira: 1.0.1 is better");
}

#[test]
fn over_tls_a_session_is_bound_to_its_host_and_somebody_holds_a_release_with_it() {
    let Some(browser) = browser() else { return };
    let mut world = World::start("browser-tls-host");
    let release = world.release("1.0.0");
    release.ready(&deb("cargo", "", 0));
    let tls = world.over_tls();
    let application = json!({
        "uid": "slipway-command", "scopes": ["read_user", "api", "openid"],
        "redirect_uris": [format!("{}/sign-in/return", tls.url)],
    });
    world.gitlab.tell("POST", "applications", &application);
    let own = format!("{}/p/tug/r/1.0.0", tls.url);
    let page = browser.page(Look { trusting: true, ..Look::default() });
    page.goto(&own);
    is_live(page);
    sign_in(page);
    // A browser takes a name with this prefix only over TLS, for every path, and for this very host.
    let cookies = page.cookies();
    assert_eq!(cookies.len(), 1, "{cookies:?}");
    for (what, expected) in [
        ("name", json!("__Host-slipway")),
        ("domain", json!("127.0.0.1")),
        ("path", json!("/")),
        ("secure", json!(true)),
        ("httpOnly", json!(true)),
        ("sameSite", json!("Lax")),
    ] {
        assert_eq!(cookies[0][what], expected, "{what} of {cookies:?}");
    }
    is_live(page);
    act(page, "hold", "waits for its notes");
    page.wait_text("#needs", "waits for its notes");
    let fields = fields_to_close(page, &own);
    let before = release.sequence();
    // Plain HTTP is another site, so that the cookie does not even come along.
    let shown = sent_from_elsewhere(&world, page, &format!("{own}/close"), &fields);
    assert!(shown.contains("Sign in with GitLab"), "{shown}");
    assert_eq!(socket_from_elsewhere(&world, page, &tls.url), "refused");
    assert_eq!(release.sequence(), before, "nothing has come of it");
    page.goto(&own);
    is_live(page);
    page.wait_text("#needs", "waits for its notes");
    let own_complaints = page.complaints().into_iter().filter(|one| one.contains("policy:"));
    assert_eq!(own_complaints.collect::<Vec<_>>(), Vec::<String>::new());
}

#[test]
fn what_is_told_to_machines_a_browser_takes_as_what_it_is() {
    let Some(browser) = browser() else { return };
    let mut world = World::start("browser-machines");
    let release = world.release("1.0.0");
    let (_, job) = release.ready(&deb("cargo", "", 0));
    let page = browser.page(Look::default());

    // What was done, as a table of its own: a file, and not a page.
    page.goto(&world.edge("/p/tug/activity?action=declared"));
    let (name, csv) = page.download("#csv");
    assert_eq!(name, "activity.csv");
    let lines: Vec<&str> = csv.split_terminator("\r\n").collect();
    assert_eq!((lines.len(), lines[0]), (2, "sequence,at,actor,action,subject,details"), "{csv}");
    assert!(lines[1].contains(",\"declared\",\"1.0.0/cargo\","), "{csv}");

    world.gitlab.play(job, "mira");
    release.wait_until_released("cargo");
    world.configure(|config| config.replace("reading = \"anyone\"", "reading = \"public\""));
    world.is_not_audited("nobody reads it here without a session");
    let kind = "document.contentType";
    // One line: for people, for a terminal, for a program.
    page.goto(&world.edge("/p/tug/is/1.0.0/cargo"));
    assert_eq!(page.eval(kind), "text/html");
    assert!(page.text("main").contains("released since "), "{}", page.text("main"));
    page.goto(&world.edge("/p/tug/is/1.0.0/cargo.txt"));
    assert_eq!(page.eval(kind), "text/plain");
    assert!(page.text("body").starts_with("tug 1.0.0 for cargo: released since 20"), "{}", page.text("body"));
    page.goto(&world.edge("/p/tug/is/1.0.0/cargo.json"));
    assert_eq!(page.eval(kind), "application/json");
    assert_eq!(page.eval("JSON.parse(document.body.innerText).released"), true);

    // A feed is whole, and of the namespace that readers of feeds look for.
    page.goto(&world.edge("/p/tug"));
    let read = "new Promise((told) => { const asked = new XMLHttpRequest(); asked.responseType = 'document'; \
                asked.open('GET', document.querySelector('a[href$=\"feed.atom\"]').href); asked.onloadend = () => { \
                const feed = asked.responseXML; told([feed.contentType, feed.documentElement.localName, \
                feed.documentElement.namespaceURI, feed.querySelector('entry > title').textContent]); }; asked.send(); })";
    let namespace = "http://www.w3.org/2005/Atom";
    assert_eq!(page.eval(read), json!(["application/atom+xml", "feed", namespace, "tug 1.0.0: 1 package is public."]));

    // A badge by itself; and as a picture in a page of another origin.
    let badge = world.edge("/api/v1/projects/tug/badge.svg");
    page.goto(&badge);
    assert_eq!(page.eval(kind), "image/svg+xml");
    assert_eq!(page.eval("document.documentElement.querySelector('title').textContent"), "tug: 1.0.0");
    assert_eq!(page.complaints(), Vec::<String>::new(), "none of it needs what its policy forbids");
    page.goto(&format!("{}/harbour/tug/-/jobs/{job}", world.stack.gitlab_url()));
    let picture = page.eval(&format!(
        "(async () => {{ const picture = document.createElement('img'); picture.src = {}; document.body.append(picture); \
         await picture.decode(); return [picture.naturalHeight, picture.naturalWidth > 40]; }})()",
        json!(badge)
    ));
    assert_eq!(picture, json!([20, true]));
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
