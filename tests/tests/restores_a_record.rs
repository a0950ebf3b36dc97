//! An export makes an equal record in another instance, which is stopped until somebody has compared it with the repositories.

use serde_json::{Value, json};
use slipway_tests::e2e::{Answer, World, deb, send, sha256};

fn operator(world: &World, method: &str, path: &str, body: impl Into<Vec<u8>>) -> Answer {
    let bearer = format!("Bearer {}", world.stack.secret("OPERATOR_TOKEN"));
    let headers = [("authorization", bearer.as_str()), ("content-type", "application/json")];
    send(method, &world.edge(&format!("/api/v1/projects/tug/{path}")), &headers, body)
}

/// The rows of an export, without those of the audit.
fn rows(export: &str) -> Vec<&str> {
    export.lines().filter(|line| line.starts_with("{\"row\"") && !line.contains("\"table\":\"audit")).collect()
}

#[test]
fn an_imported_record_equals_the_old_one_and_is_stopped_until_it_was_compared_and_is_started() {
    let old = World::start("exports");
    let release = old.release("1.0.0");
    let (_, job) = release.ready(&deb("out", "", 0));
    old.gitlab.play(job, "mira");
    release.wait_until_released("out");
    release.ready(&deb("waits", "", 0));
    let export = operator(&old, "GET", "export", "").ok().text();
    let last = export.lines().last().expect("lines");
    let end: Value = serde_json::from_str(last).expect("JSON");
    let before = export.strip_suffix(&format!("{last}\n")).expect("it ends with a line");
    assert_eq!(end["end"]["sha256"], format!("sha256:{}", sha256(before.as_bytes())), "the digest of all before it");
    assert_eq!(end["end"]["lines"], before.lines().count());
    assert_eq!(operator(&old, "POST", "import", export.clone()).status, 409, "it has a record already");

    // Another instance, with other repositories: nothing of what the record says is there.
    let mut new = World::start("imports");
    new.is_not_audited("its record is that of another instance, whose repositories are not here");
    let cut_off = operator(&new, "POST", "import", before.to_owned());
    assert_eq!(cut_off.status, 400, "{}", cut_off.text());
    let changed = export.replacen("\"planned\"", "\"planted\"", 1);
    assert_ne!(operator(&new, "POST", "import", changed).status, 200);
    operator(&new, "POST", "import", export.clone()).ok();
    let again = operator(&new, "GET", "export", "").ok().text();
    assert_eq!(rows(&again), rows(&export));
    let shown = send("GET", &new.edge("/api/v1/projects/tug/releases/1.0.0"), &[], "").ok().json();
    assert!(shown["stopped"]["reason"].as_str().is_some_and(|why| why.contains("imported")), "{shown}");

    let start = json!({"reason": "compared"}).to_string();
    let too_soon = operator(&new, "DELETE", "stop", start.clone());
    assert_eq!(too_soon.status, 409, "{}", too_soon.text());
    assert!(too_soon.text().contains("comparison"), "{}", too_soon.text());
    let comparison = operator(&new, "GET", "comparison", "").ok().json();
    let targets = comparison["targets"].as_array().expect("targets");
    let of = |key: &str| targets.iter().find(|target| target["key"] == key).expect("it is compared");
    for (key, recorded) in [("out", "released"), ("waits", "staged")] {
        let target = of(key);
        assert_eq!((&target["recorded"], &target["agrees"]), (&json!(recorded), &json!(false)), "{target}");
        assert_eq!((&target["public"], &target["staging"]), (&json!("nothing"), &json!("nothing")), "{target}");
    }
    assert_eq!(comparison["is_compared"], true, "{comparison}");
    operator(&new, "DELETE", "stop", start).ok();
    let shown = send("GET", &new.edge("/api/v1/projects/tug/releases/1.0.0"), &[], "").ok().json();
    assert!(shown["stopped"].is_null(), "{shown}");
    let compared = operator(&old, "GET", "comparison", "").ok().json();
    assert!(
        compared["targets"].as_array().is_some_and(|all| all.iter().all(|one| one["agrees"] == true)),
        "{compared}"
    );
}
