//! Images between registries that want tokens, as GitLab's and Docker Hub do: given for a user elsewhere, good for some time,
//! and for nothing but what they were asked for.

use serde_json::{Value, json};
use slipway_tests::e2e::harbour::{Harbour, PUBLIC, PUBLIC_SERVICE, STAGED, STAGING_SERVICE, can_run, credentials};
use slipway_tests::e2e::{Asked, Receiver, Release, try_send, wait_until};

fn start(test: &str) -> Harbour {
    Harbour::start_with(test, |wishes| wishes.tokens = true)
}

fn asked(harbour: &Harbour) -> Vec<Asked> {
    harbour.tokens.as_ref().expect("the registries want tokens").asked()
}

/// What was asked for a service, of the requests from this one on: the scopes, and whether somebody said who asks.
fn for_service(harbour: &Harbour, from: usize, service: &str) -> Vec<(String, bool)> {
    let asked = asked(harbour).split_off(from);
    let of_service = asked.into_iter().filter(|asked| asked.service == service);
    of_service.map(|asked| (asked.scopes.join(" "), !asked.authorization.is_empty())).collect()
}

/// Waits until a target needs a person, and returns it.
fn stopped(release: &Release, code: &str) -> Value {
    let target = release.wait("app", &["failed", "conflict", "released"]);
    assert_eq!((&target["state"], &target["problem"]["code"]), (&json!("failed"), &json!(code)), "{target}");
    assert_eq!(release.attempts("app", "17.3.1").len(), 1, "asking again would bring the same answer");
    target
}

fn problem(target: &Value) -> &str {
    target["problem"]["what"].as_str().unwrap_or_default()
}

#[test]
fn an_image_goes_from_one_registry_with_tokens_to_another_with_no_more_rights_than_each_step_needs() {
    if !can_run(&["openssl"]) {
        return;
    }
    let harbour = start("tokens");
    let release = harbour.world.release("17.3.1");
    let image = harbour.push("build", 300_000);
    let from = asked(&harbour).len();
    let job = harbour.ready(&release, "app", "17.3.1", &image);
    harbour.world.gitlab.play(job, "mira");
    release.wait_until_released("app");
    let staging = for_service(&harbour, from, STAGING_SERVICE);
    assert!(
        !staging.is_empty() && staging.iter().all(|(scope, is_user)| *is_user && *scope == pull(STAGED)),
        "{staging:?}"
    );
    let public = for_service(&harbour, from, PUBLIC_SERVICE);
    let (writing, reading): (Vec<_>, Vec<_>) = public.iter().partition(|(_, is_user)| *is_user);
    assert!(writing.iter().any(|(scope, _)| *scope == format!("repository:{PUBLIC}:pull,push")), "{public:?}");
    // What is read back is read as anybody would read it.
    assert!(!reading.is_empty() && reading.iter().all(|(scope, _)| *scope == pull(PUBLIC)), "{public:?}");
    assert_eq!(harbour.served("17.3.1"), Some(image.digest));
    harbour.is_whole("17.3.1");
}

fn pull(repository: &str) -> String {
    format!("repository:{repository}:pull")
}

#[test]
fn a_token_that_runs_out_while_a_layer_is_sent_is_renewed_and_the_release_does_not_begin_anew() {
    if !can_run(&["openssl"]) {
        return;
    }
    let harbour = Harbour::start_with("expiry", |wishes| (wishes.tokens, wishes.gateway) = (true, true));
    let (gateway, tokens) = (harbour.gateway.clone().expect("wished for"), harbour.tokens.clone().expect("wished for"));
    let release = harbour.world.release("17.3.1");
    let image = harbour.push("build", 3_000_000);
    let job = harbour.ready(&release, "app", "17.3.1", &image);
    tokens.are_taken_for(8);
    gateway.hold_after(1_000_000);
    harbour.world.gitlab.play(job, "mira");
    wait_until("a layer is held back in its middle", || gateway.is_holding());
    let given = asked(&harbour);
    let is_push = |asked: &&Asked| asked.service == PUBLIC_SERVICE && asked.scopes.join(" ").ends_with(":pull,push");
    let token = given.iter().rfind(is_push).expect("somebody may write").token.clone();
    let is_taken = || {
        let bearer = format!("Bearer {token}");
        let url = format!("{}/v2/{PUBLIC}/tags/list", harbour.public().url());
        // 404 while there is no such repository: the token is taken.
        try_send("GET", &url, &[("authorization", &bearer)], "").expect("it answers").status != 401
    };
    assert!(is_taken(), "the layer is under way with a token that is good");
    wait_until("the registry does not take that token any more", || !is_taken());
    tokens.are_taken_for(300);
    gateway.open();
    release.wait_until_released("app");
    let renewed = asked(&harbour).split_off(given.len());
    assert!(renewed.iter().any(|asked| is_push(&asked)), "{renewed:?}");
    assert_eq!(release.attempts("app", "17.3.1").len(), 1, "{:?}", release.attempts("app", "17.3.1"));
    assert_eq!(harbour.served("17.3.1"), Some(image.digest));
    harbour.is_whole("17.3.1");
}

#[test]
fn within_one_registry_an_image_is_mounted_and_no_blob_of_it_is_sent() {
    if !can_run(&["openssl"]) {
        return;
    }
    let harbour = Harbour::start_with("mounted", |wishes| (wishes.tokens, wishes.is_one_registry) = (true, true));
    let release = harbour.world.release("17.3.1");
    let image = harbour.push("build", 300_000);
    let (from, before) = (asked(&harbour).len(), harbour.staging.requests().expect("a log").len());
    let job = harbour.ready(&release, "app", "17.3.1", &image);
    harbour.world.gitlab.play(job, "mira");
    release.wait_until_released("app");
    let requests = harbour.staging.requests().expect("a log").split_off(before);
    let uploads: Vec<&String> =
        requests.iter().filter(|line| line.contains(&format!(" /v2/{PUBLIC}/blobs/uploads/"))).collect();
    // Two configurations, two layers of their own and one that both have. A request that is refused for want of a token
    // is one more, and none of them has bytes of a blob in it.
    let mounts: std::collections::BTreeSet<&str> =
        uploads.iter().filter_map(|line| line.split("mount=").nth(1)?.split('&').next()).collect();
    assert_eq!(mounts.len(), 5, "{uploads:?}");
    assert!(uploads.iter().all(|line| line.starts_with("POST ") && line.contains("?mount=sha256:")), "{uploads:?}");
    assert!(!requests.iter().any(|line| line.starts_with("GET ") && line.contains("/blobs/")), "{requests:?}");
    // One token allows both: writing here, and reading there.
    let both = format!("repository:{PUBLIC}:pull,push {}", pull(STAGED));
    let scopes = for_service(&harbour, from, STAGING_SERVICE);
    assert!(scopes.contains(&(both, true)), "{scopes:?}");
    assert_eq!(harbour.served("17.3.1"), Some(image.digest));
    harbour.is_whole("17.3.1");
}

#[test]
fn a_realm_that_the_configuration_does_not_name_stops_a_release_at_once_and_sees_no_password() {
    if !can_run(&["openssl"]) {
        return;
    }
    let mut harbour = start("realm");
    let real = harbour.tokens.as_ref().expect("wished for").realm().to_owned();
    let other = Receiver::start();
    let release = harbour.world.release("17.3.1");
    let image = harbour.push("build", 5000);
    let job = harbour.ready(&release, "app", "17.3.1", &image);
    // What the place names and what the registry sends to are two addresses now.
    harbour
        .world
        .configure(|config| config.replace(&format!("realm = \"{real}\""), &format!("realm = \"{}\"", other.url())));
    let from = asked(&harbour).len();
    let played = harbour.world.gitlab.play(job, "mira");
    let target = stopped(&release, "foreign-realm");
    for named in [real.as_str(), other.url()] {
        assert!(problem(&target).contains(named), "{named} is not in: {}", problem(&target));
    }
    assert_eq!(asked(&harbour).len(), from, "the realm that the registry offers is not asked");
    assert!(other.received().is_empty(), "nor the one that the place names, which the registry does not");
    assert_eq!(public_tag(&harbour), None);
    // Mended, the same job releases it.
    harbour.world.configure(|config| config.replace(other.url(), &real));
    harbour.world.gitlab.finish(played, "failed");
    harbour.world.gitlab.play(job, "mira");
    release.wait("app", &["released"]);
    assert_eq!(harbour.served("17.3.1"), Some(image.digest));
}

#[test]
fn a_service_that_the_configuration_does_not_name_stops_a_release_at_once_and_gets_no_token_for_it() {
    if !can_run(&["openssl"]) {
        return;
    }
    let mut harbour = start("service");
    let release = harbour.world.release("17.3.1");
    let image = harbour.push("build", 5000);
    let job = harbour.ready(&release, "app", "17.3.1", &image);
    harbour.world.configure(|config| config.replace(PUBLIC_SERVICE, "images-of-somebody"));
    let from = asked(&harbour).len();
    harbour.world.gitlab.play(job, "mira");
    let target = stopped(&release, "foreign-realm");
    for named in [PUBLIC_SERVICE, "images-of-somebody"] {
        assert!(problem(&target).contains(&format!("`{named}`")), "{named} is not in: {}", problem(&target));
    }
    assert!(asked(&harbour).split_off(from).iter().all(|asked| asked.service == STAGING_SERVICE));
    assert_eq!(public_tag(&harbour), None);
}

#[test]
fn a_registry_of_staging_whose_realm_is_another_is_shown_with_what_was_expected_and_what_was_offered() {
    if !can_run(&["openssl"]) {
        return;
    }
    let mut harbour = start("staging-realm");
    let real = harbour.tokens.as_ref().expect("wished for").realm().to_owned();
    let release = harbour.world.release("17.3.1");
    let image = harbour.push("build", 5000);
    let other = Receiver::start();
    harbour
        .world
        .configure(|config| config.replace(&format!("realm = \"{real}\""), &format!("realm = \"{}\"", other.url())));
    let from = asked(&harbour).len();
    slipway_tests::e2e::harbour::plan(&release, "app", &["17.3.1"]).ok();
    let answer = harbour.declare(&release, "app", &image).text();
    assert!(answer.ends_with("When that is mended, run the job again.\"}"), "{answer}");
    let target = release.target("app");
    assert_ne!(target["state"], "staged", "{target}");
    for named in [real.as_str(), other.url()] {
        assert!(answer.contains(named), "{named} is not in: {answer}");
    }
    let refused = harbour.slipway(&release, &["stage", "app", "--image", &format!("{}:build", harbour.staged())]);
    assert_eq!(refused.code, Some(1), "{}", refused.text);
    for named in [real.as_str(), other.url()] {
        assert!(refused.text.contains(named), "{named} is not in: {}", refused.text);
    }
    assert_eq!(asked(&harbour).len(), from, "nobody is asked for a token");
    assert!(other.received().is_empty());
}

/// The digest under the public tag, for whoever has an account.
fn public_tag(harbour: &Harbour) -> Option<String> {
    let reference = format!("{}:17.3.1", harbour.released());
    let bytes = slipway_stack::image::inspect(&harbour.folder, &reference, Some(&credentials())).ok()?;
    Some(slipway_tests::e2e::sha256(&bytes))
}
