//! The pages beside a release's own: what each says while something is staged and once it is public, on the whole stack.

use std::collections::BTreeSet;

use serde_json::json;
use slipway_tests::e2e::{Deb, JAMMY, World, deb, get, send};

/// A page, as a browser without scripts has it.
fn page(world: &World, path: &str) -> String {
    send("GET", &world.edge(path), &[("accept", "text/html")], "").ok().text()
}

#[track_caller]
fn says(page: &str, all: &[&str]) {
    for words in all {
        assert!(page.contains(words), "{words} in {page}");
    }
}

/// The pages of the edge that a page leads to. What is behind `/api/` is for programs.
fn links(page: &str) -> BTreeSet<String> {
    let hrefs = page.split("href=\"").skip(1).filter_map(|rest| rest.split('"').next());
    let own = hrefs.filter(|href| href.starts_with('/') && !href.starts_with("/assets/") && !href.starts_with("/api/"));
    own.map(|href| href.split('#').next().unwrap_or(href).replace("&amp;", "&")).collect()
}

#[test]
fn each_page_says_what_is_staged_and_then_what_is_public() {
    let world = World::start("pages");
    let release = world.release("1.0.0");
    let (package, job) = release.ready(&deb("cargo", "", 0));
    let target = format!("/p/tug/r/1.0.0/t/cargo/{JAMMY}");
    let session = release.session(release.build);
    let against = |version: &str| {
        let bearer = format!("Bearer {session}");
        let headers = [("accept", "text/html"), ("authorization", bearer.as_str())];
        send("GET", &world.edge(&format!("/p/tug/r/{version}/against")), &headers, "").ok().text()
    };

    says(&page(&world, "/"), &["One release is under way.", "href=\"/p/tug/r/1.0.0\""]);
    says(&page(&world, "/p/tug"), &["One release is under way.", "tug 1.0.0 is not out"]);
    says(&page(&world, &target), &["</svg>Staged</span>", "release: [cargo]", &package.sha256]);
    says(&against("1.0.0"), &["No earlier release is public, so this package is new.", &package.filename]);
    says(&page(&world, "/p/tug/activity"), &["<b>planned</b>", "<b>declared</b>", "<b>staged</b>"]);
    says(&page(&world, "/p/tug/deployments"), &["Nobody has said that anything runs anywhere."]);
    says(&page(&world, "/status"), &["id=\"status-1001\"", concat!("Slipway ", env!("CARGO_PKG_VERSION"))]);

    world.gitlab.play(job, "mira");
    release.wait_until_released("cargo");
    says(&page(&world, "/"), &["Nothing is being released. Last: ", ">tug 1.0.0</a>, complete, "]);
    says(
        &page(&world, &target),
        &[
            "</svg>Released</span>",
            "approved by mira",
            "sudo apt-get install cargo",
            "Attempts (1)",
            "copied the bytes",
        ],
    );
    let released = page(&world, "/p/tug/activity?action=released&subject=1.0.0/cargo");
    says(&released, &["One row.", "for ubuntu/jammy", &format!("href=\"{target}\"")]);
    assert!(!released.contains("<b>approved</b>"), "{released}");
    says(&page(&world, "/p/tug/activity?actor=mira&action=approved"), &["One row."]);
    says(&page(&world, "/p/tug/activity?from=nonsense&what=ever"), &["<b>released</b>"]);

    release.api("POST", "/deployments", Some(&session), &json!({"environment": "production"})).ok();
    says(&page(&world, "/p/tug/deployments"), &["tug 1.0.0 runs in production, as far as was said."]);

    let newer = world.release("1.1.0");
    newer.ready(&Deb { version: "1.1.0-1".to_owned(), ..deb("cargo", "", 0) });
    says(&against("1.1.0"), &["Against 1.0.0: 1 changed.", "cargo_1.0.0-1_amd64.deb", "cargo_1.1.0-1_amd64.deb"]);
}

#[test]
fn whatever_a_page_leads_to_is_there() {
    let world = World::start("pages-links");
    let release = world.release("1.0.0");
    let (_, job) = release.ready(&deb("cargo", "", 0));
    world.gitlab.play(job, "mira");
    release.wait_until_released("cargo");
    let bearer = format!("Bearer {}", release.session(release.build));
    let (mut seen, mut next) = (BTreeSet::new(), BTreeSet::from(["/".to_owned()]));
    while let Some(path) = next.pop_first() {
        let headers = [("accept", "text/html"), ("authorization", bearer.as_str())];
        let answer = send("GET", &world.edge(&path), &headers, "");
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        seen.insert(path);
        // A filter has as many addresses as it has states; one of each page is enough. The way in leads to GitLab.
        let found =
            links(&answer.text()).into_iter().filter(|link| !link.contains("?state=") && !link.starts_with("/sign-in"));
        next.extend(found.filter(|link| !seen.contains(link)));
        assert!(seen.len() < 200, "{seen:?}");
    }
    for path in ["/p/tug", "/p/tug/activity", "/p/tug/deployments", "/status", "/help/states", "/help/keys"] {
        assert!(seen.contains(path), "nothing leads to {path}: {seen:?}");
    }
    let target = format!("/p/tug/r/1.0.0/t/cargo/{JAMMY}");
    assert!(seen.contains(&target), "nothing leads to {target}: {seen:?}");
}

#[test]
fn an_activity_is_also_a_spreadsheet_and_what_is_not_there_is_said_to_be_not_there() {
    let world = World::start("pages-csv");
    let release = world.release("1.0.0");
    release.ready(&deb("cargo", "", 0));
    let (csv, headers) = get(&world.edge("/p/tug/activity?action=declared&format=csv"), &[]);
    assert_eq!(headers["content-type"], "text/csv; charset=utf-8; header=present");
    assert!(headers["content-disposition"].starts_with("attachment"), "{headers:?}");
    let text = csv.ok().text();
    let lines: Vec<&str> = text.split_terminator("\r\n").collect();
    assert_eq!(lines[0], "sequence,at,actor,action,subject,details");
    assert_eq!(lines.len(), 2, "{text}");
    assert!(lines[1].contains(",\"declared\",\"1.0.0/cargo\","), "{text}");
    for path in [
        "/p/tug/r/1.0.0/t/nothing/ubuntu/jammy",
        "/p/tug/r/1.0.0/t/cargo/el/9",
        "/p/tug/r/9.9.9/t/cargo/ubuntu/jammy",
        "/p/tug/nothing",
    ] {
        let answer = send("GET", &world.edge(path), &[("accept", "text/html")], "");
        assert_eq!(answer.status, 404, "{path}: {}", answer.text());
        assert!(answer.text().contains("<h1>Not found</h1>"), "{path}");
    }
}
