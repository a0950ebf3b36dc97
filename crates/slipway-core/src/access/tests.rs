//! The tables of `docs/operators/sign-in.md`, written by hand: every route and every caller.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use slipway_gitlab::id_token::{Claims, UnverifiedIdToken};
use slipway_gitlab::{AccessLevel, Job};
use slipway_wire::Token;

use super::*;
use crate::config::Config;
use crate::secret::{EdgeKey, JobSession, NotSealed};
use crate::sight::Sight;
use crate::time::Timestamp;

const NOW_S: i64 = 1_795_392_000;
const NOW: Timestamp = Timestamp(NOW_S * 1000);
const HOUR_MS: i64 = 3_600_000;

const CONFIG: &str = r#"
    [edge]
    url = "https://slipway.example.com"
    [gitlab]
    url = "https://gitlab.example.com"
    token = "GITLAB_TOKEN"
    [places]
    [[projects]]
    id = 1001
    namespace_id = 71
    name = "tug"
    webhook_token = "W"
    [[projects]]
    id = 1002
    namespace_id = 72
    name = "buoy"
    webhook_token = "W"
    [[deployers]]
    id = 7001
    namespace_id = 90
    name = "fleet"
    projects = ["tug"]
    environments = ["production"]
    [[deployers]]
    id = 7002
    namespace_id = 90
    name = "yard"
    projects = ["buoy"]
    environments = ["staging"]
"#;

fn config() -> Config {
    Config::parse(CONFIG).expect("a good file")
}

fn session(project_id: u64, level: Option<AccessLevel>) -> JobSession {
    JobSession {
        project_id,
        project_path: "harbour/tug".to_owned(),
        pipeline_id: 7,
        job_id: 81,
        user: "mira".to_owned(),
        user_id: 7,
        user_level: level,
        environment: None,
        environment_protected: true,
        ref_name: "v1.2.0".to_owned(),
        sha: "aa".to_owned(),
        token_id: "t".to_owned(),
        ends_at: NOW,
    }
}

fn deployer(project_id: u64) -> DeployerSession {
    DeployerSession { deployer: "fleet".parse().expect("a name"), job: session(project_id, None) }
}

fn person() -> PersonSession {
    PersonSession { user_id: 7, username: "mira".to_owned(), ends_at: NOW }
}

/// Everybody who may come to project `tug`, each by a letter, with a person's role there.
fn everybody() -> Vec<(char, Option<Caller>, Option<AccessLevel>)> {
    use AccessLevel as L;
    let job = |level| Some(Caller::Job(session(1001, level)));
    let persons = || Some(Caller::Person(person()));
    vec![
        ('s', None, None),
        // Deployers: one that is named for the project, one of another project, one that the file does not name any more.
        ('D', Some(Caller::Deployer(deployer(7001))), None),
        ('d', Some(Caller::Deployer(deployer(7002))), None),
        ('u', Some(Caller::Deployer(deployer(7009))), None),
        // Jobs: of another project, though its person is an owner there; of this one, by the role of whoever runs it.
        ('x', Some(Caller::Job(session(1002, Some(L::Owner)))), None),
        ('n', job(None), None),
        ('j', job(Some(L::Reporter)), None),
        ('e', job(Some(L::Developer)), None),
        ('m', job(Some(L::Maintainer)), None),
        // People, by their role in this project.
        ('N', persons(), None),
        ('G', persons(), Some(L::Guest)),
        ('R', persons(), Some(L::Reporter)),
        ('E', persons(), Some(L::Developer)),
        ('M', persons(), Some(L::Maintainer)),
        ('O', Some(Caller::Operator), None),
        ('C', Some(Caller::Collector), None),
    ]
}

/// Who may do what a route does.
fn allowed(method: &str, path: &str, config: &Config) -> String {
    let segments: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    let Asked::Route(right) = asked(method, &segments) else { return "there is no such route".to_owned() };
    let tug = config.project("tug").expect("it is in the file");
    let may = |(_, caller, level): &(char, Option<Caller>, Option<AccessLevel>)| {
        may(right, caller.as_ref(), tug, *level, config).is_ok()
    };
    everybody().iter().filter(|one| may(one)).map(|(letter, ..)| *letter).collect()
}

#[test]
fn the_apis_description_names_the_credentials_that_a_route_takes_and_no_other() {
    let config = config();
    let tug = config.project("tug").expect("it is in the file");
    let document: Value = serde_json::from_str(crate::openapi::OPENAPI).expect("the document is JSON");
    // Whoever shows the operator's credential has no session to end.
    let rows = ROUTES.iter().filter(|row| row.path.starts_with("/api/") && row.right != Right::Open);
    let mut seen = 0;
    for row in rows.filter(|row| (row.method, row.path) != ("DELETE", "/api/v1/sessions")) {
        let of = &document["paths"][row.path.replace("...}", "}")][row.method.to_lowercase()]["security"];
        let written = of.as_array().unwrap_or_else(|| panic!("{row:?}")).iter();
        let written: BTreeSet<&str> =
            written.filter_map(|one| one.as_object()?.keys().next().map(String::as_str)).collect();
        let may = |caller: &Option<Caller>, level: Option<AccessLevel>| {
            may(row.right, caller.as_ref(), tug, level, &config).is_ok()
        };
        let mut expected = BTreeSet::new();
        for (_, caller, level) in everybody() {
            let credential = match &caller {
                Some(Caller::Operator) => "operator",
                Some(Caller::Job(_) | Caller::Person(_) | Caller::Deployer(_)) => "session",
                Some(Caller::Collector) | None => continue,
            };
            if may(&caller, level) {
                expected.insert(credential);
            }
        }
        assert_eq!(written, expected, "{row:?}");
        seen += 1;
    }
    assert!(seen > 20, "{seen}");
}

const ANYBODY: &str = "sDduxnjemNGREMOC";
const READERS: &str = "DnjemREMO";
const JOBS: &str = "njem";

#[test]
fn every_route_is_for_those_whom_the_table_names_and_for_nobody_else() {
    let config = config();
    let of = |rest: &str| format!("/api/v1/projects/tug/releases/1.2.0{rest}");
    let tarball = format!("/slipway-{}.tgz", env!("CARGO_PKG_VERSION"));
    let sum = format!("{tarball}.sha256");
    let table: &[(&str, &str, &str)] = &[
        ("GET", "/healthz", ANYBODY),
        ("GET", "/readyz", ANYBODY),
        ("GET", "/readyz/secrets", "O"),
        ("GET", "/openapi.json", ANYBODY),
        ("GET", "/assets/dashboard.css", ANYBODY),
        ("GET", "/assets/3f9a1c20e55d/dashboard.css", ANYBODY),
        ("GET", "/help/keys", ANYBODY),
        ("GET", "/help/states", ANYBODY),
        ("GET", "/slipway.tgz", ANYBODY),
        ("GET", "/slipway.tgz.sha256", ANYBODY),
        ("GET", &tarball, ANYBODY),
        ("GET", &sum, ANYBODY),
        ("POST", "/webhooks/gitlab/tug", ANYBODY),
        ("POST", "/api/v1/sessions", ANYBODY),
        ("DELETE", "/api/v1/sessions", READERS),
        ("POST", "/internal/copy", ANYBODY),
        ("GET", "/api/v1/sign-in", ANYBODY),
        ("GET", "/api/v1/signing-key", ANYBODY),
        ("GET", "/sign-in", ANYBODY),
        ("GET", "/sign-in/return", ANYBODY),
        ("POST", "/sign-out", ANYBODY),
        ("GET", "/metrics", "OC"),
        ("GET", "/api/v1/stop", "O"),
        ("POST", "/api/v1/stop", "O"),
        ("DELETE", "/api/v1/stop", "O"),
        ("POST", "/api/v1/projects/tug/stop", "O"),
        ("DELETE", "/api/v1/projects/tug/stop", "O"),
        ("GET", "/api/v1/projects/tug/export", "O"),
        ("POST", "/api/v1/projects/tug/import", "O"),
        ("GET", "/api/v1/projects/tug/comparison", "O"),
        ("GET", "/", READERS),
        ("GET", "/search", READERS),
        ("GET", "/status", READERS),
        ("GET", "/api/v1/projects", READERS),
        ("GET", "/p/tug", READERS),
        ("GET", "/p/tug/r/1.2.0", READERS),
        ("GET", "/p/tug/activity", READERS),
        ("GET", "/p/tug/deployments", READERS),
        ("GET", "/p/tug/r/1.2.0/against", "njemREMO"),
        // Of these, the host takes people with a browser alone.
        ("GET", "/p/tug/r/1.2.0/hold", "emEMO"),
        ("POST", "/p/tug/r/1.2.0/hold", "emEMO"),
        ("GET", "/p/tug/r/1.2.0/lift", "EMO"),
        ("POST", "/p/tug/r/1.2.0/lift", "EMO"),
        ("GET", "/p/tug/r/1.2.0/extend", "emEMO"),
        ("POST", "/p/tug/r/1.2.0/extend", "emEMO"),
        ("GET", "/p/tug/r/1.2.0/close", "MO"),
        ("POST", "/p/tug/r/1.2.0/close", "MO"),
        ("GET", "/p/tug/r/1.2.0/t/deb/ubuntu/jammy", READERS),
        ("GET", "/p/tug/is/1.2.0/el/9/arm64", READERS),
        ("GET", "/api/v1/projects/tug/badge.svg", READERS),
        ("GET", "/api/v1/projects/tug/feed.atom", READERS),
        ("GET", &of("/badge.svg"), READERS),
        ("GET", &of("/feed.atom"), READERS),
        ("GET", "/api/v1/projects/tug/releases", READERS),
        ("GET", "/api/v1/projects/tug/policy", READERS),
        ("GET", "/api/v1/projects/tug/audit", READERS),
        ("GET", "/api/v1/projects/tug/activity", READERS),
        ("GET", "/api/v1/projects/tug/deployments", READERS),
        ("GET", "/api/v1/projects/tug/strangers", READERS),
        ("POST", "/api/v1/projects/tug/strangers", "O"),
        ("POST", "/api/v1/projects/tug/adoptions", "O"),
        ("POST", "/api/v1/projects/tug/sweeps", "O"),
        ("GET", "/api/v1/projects/tug/audit/head", READERS),
        ("GET", "/api/v1/projects/tug/audit/heads", READERS),
        ("GET", "/api/v1/projects/tug/retention", "njemREMO"),
        ("GET", &of(""), READERS),
        ("GET", &of("/live"), READERS),
        ("GET", &of("/against"), "njemREMO"),
        ("GET", &of("/targets/deb/ubuntu/jammy"), READERS),
        ("GET", &of("/attestations/deb/ubuntu/jammy"), READERS),
        ("PATCH", &of(""), JOBS),
        ("POST", &of("/carries"), JOBS),
        ("POST", &of("/promotions"), JOBS),
        ("POST", &of("/deployments"), "Dnjem"),
        ("POST", &of("/holds"), "emEMO"),
        ("DELETE", &of("/holds"), "EMO"),
        ("POST", &of("/extensions"), "emEMO"),
        ("POST", &of("/close"), "MO"),
        ("POST", &of("/withdrawals"), "MO"),
        ("POST", &of("/overrides"), "REM"),
    ];
    for (method, path, expected) in table {
        assert_eq!(allowed(method, path, &config), *expected, "{method} {path}");
    }
    assert_eq!(ROUTES.len(), table.len(), "every row is in this table");
    for (_, path, expected) in table.iter().filter(|(method, ..)| *method == "GET") {
        assert_eq!(allowed("HEAD", path, &config), *expected, "HEAD {path} is asked by whoever may GET it");
    }
}

#[test]
fn a_path_names_the_methods_that_it_has_and_takes_no_other() {
    let of = |rest: &str| format!("/api/v1/projects/tug/releases/1.2.0{rest}");
    let table: &[(&str, &str)] = &[
        ("/", "GET, HEAD, OPTIONS"),
        ("/healthz", "GET, HEAD, OPTIONS"),
        ("/assets/dashboard.css", "GET, HEAD, OPTIONS"),
        ("/p/tug/r/1.2.0", "GET, HEAD, OPTIONS"),
        ("/metrics", "GET, HEAD, OPTIONS"),
        ("/sign-out", "POST, OPTIONS"),
        ("/p/tug/r/1.2.0/hold", "GET, HEAD, POST, OPTIONS"),
        ("/webhooks/gitlab/tug", "POST, OPTIONS"),
        ("/api/v1/sessions", "POST, DELETE, OPTIONS"),
        ("/api/v1/projects/tug/audit", "GET, HEAD, OPTIONS"),
        (&of(""), "GET, HEAD, PATCH, OPTIONS"),
        (&of("/holds"), "POST, DELETE, OPTIONS"),
        (&of("/promotions"), "POST, OPTIONS"),
        (&of("/targets/deb/ubuntu/jammy"), "GET, HEAD, OPTIONS"),
    ];
    for (path, allow) in table {
        let segments: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
        for method in ["PROPFIND", "TRACE", "CONNECT", "PUT", "OPTIONS", "REPORT", "get", "Get", "", "POST, GET"] {
            assert_eq!(asked(method, &segments), Asked::OtherMethod((*allow).to_owned()), "{method} {path}");
        }
        for method in ["GET", "HEAD", "POST", "PATCH", "DELETE"] {
            let is_listed = allow.split(", ").any(|listed| listed == method);
            assert_eq!(matches!(asked(method, &segments), Asked::Route(_)), is_listed, "{method} {path}");
        }
    }
    for path in ["nothing", "api", "api/v1", "api/v1/nothing", "internal", "p", "p/tug/r", "p/tug/r/1.2.0/x"] {
        let segments: Vec<&str> = path.split('/').collect();
        for method in ["GET", "HEAD", "OPTIONS", "PROPFIND", "POST"] {
            assert_eq!(asked(method, &segments), Asked::Nothing, "{method} {path}");
        }
    }
    // Whoever is not the edge itself finds nothing there, by whatever method.
    for method in ["GET", "HEAD", "OPTIONS", "PUT", "TRACE"] {
        assert_eq!(asked(method, &["internal", "copy"]), Asked::Nothing, "{method}");
    }
}

#[test]
fn where_anyone_may_read_everybody_reads_and_does_nothing_else() {
    let text = CONFIG.replace("[gitlab]", "reading = \"anyone\"\n[gitlab]");
    let config = Config::parse(&text).expect("a good file");
    assert_eq!(allowed("GET", "/api/v1/projects/tug/releases/1.2.0", &config), ANYBODY);
    assert_eq!(allowed("PATCH", "/api/v1/projects/tug/releases/1.2.0", &config), JOBS);
    assert_eq!(allowed("POST", "/api/v1/projects/tug/releases/1.2.0/holds", &config), "emEMO");
    assert_eq!(allowed("GET", "/metrics", &config), "OC");
}

#[test]
fn where_what_is_public_is_shown_everybody_sees_that_and_members_alone_see_the_rest() {
    let text = CONFIG.replace("[gitlab]", "reading = \"public\"\n[gitlab]");
    let config = Config::parse(&text).expect("a good file");
    let tug = config.project("tug").expect("it is in the file");
    let narrow = self::config();
    for row in ROUTES {
        let expected = match row.right {
            Right::Glance => ANYBODY.to_owned(),
            _ => allowed(row.method, row.path, &narrow),
        };
        assert_eq!(allowed(row.method, row.path, &config), expected, "{row:?}");
    }
    for (letter, caller, level) in everybody() {
        let expected = if READERS.contains(letter) { Sight::Whole } else { Sight::Public };
        assert_eq!(sight(caller.as_ref(), tug, level, &config), Some(expected), "{letter}");
        let expected = READERS.contains(letter).then_some(Sight::Whole);
        assert_eq!(sight(caller.as_ref(), tug, level, &narrow), expected, "{letter}, where nobody reads");
    }
}

#[test]
fn whoever_may_not_know_of_a_project_is_not_told_that_it_is_there() {
    let config = config();
    let tug = config.project("tug").expect("it is in the file");
    for (letter, caller, level) in everybody() {
        for right in [
            Right::Declare,
            Right::Release,
            Right::Hold,
            Right::Close,
            Right::Withdraw,
            Right::Override,
            Right::Operate,
        ] {
            let answer = may(right, caller.as_ref(), tug, level, &config);
            match letter {
                's' => assert_eq!(answer, Err(Denied::Stranger), "{right:?}"),
                'd' | 'u' | 'x' | 'N' | 'G' | 'C' => assert_eq!(answer, Err(Denied::Unknown), "{letter} {right:?}"),
                _ => assert!(!matches!(answer, Err(Denied::Stranger | Denied::Unknown)), "{letter} {right:?}"),
            }
        }
    }
}

#[test]
fn a_deployer_speaks_for_the_environments_that_the_file_gives_it_and_for_no_other() {
    let config = config();
    for (project_id, environment, expected) in [
        (7001, "production", true),
        (7001, "staging", false),
        (7001, "Production", false),
        (7001, "production/eu", false),
        (7001, "", false),
        (7002, "staging", true),
        (7002, "production", false),
        (7009, "production", false),
        (1001, "production", false),
    ] {
        let spoken = speaks_for(&deployer(project_id), environment, &config);
        assert_eq!(spoken, expected, "{project_id} {environment}");
    }
}

// ---- sessions ----

fn key() -> EdgeKey {
    EdgeKey::parse(&Token::new("a".repeat(64))).expect("64 hex digits")
}

#[test]
fn a_session_of_each_kind_opens_as_itself_until_it_ends_and_not_a_moment_longer() {
    let (job, deployer, person) = (session(1001, None), deployer(7001), person());
    let texts = [
        (job.seal(&key()), Caller::Job(job)),
        (deployer.seal(&key()), Caller::Deployer(deployer)),
        (person.seal(&key()), Caller::Person(person)),
    ];
    for (text, caller) in texts {
        let text = text.expect("JSON");
        assert_eq!(Caller::open(&text, &key(), Timestamp(NOW.0 - 1)).expect("its own"), caller);
        for now in [NOW, Timestamp(NOW.0 + HOUR_MS)] {
            let ended = Caller::open(&text, &key(), now);
            assert!(matches!(ended, Err(NotSealed::Ended(at)) if at == NOW), "{caller}: {ended:?}");
        }
    }
}

#[test]
fn a_person_signs_in_again_after_eight_hours() {
    assert_eq!(PersonSession::end(NOW), Timestamp(NOW.0 + 8 * HOUR_MS));
}

/// What GitLab says of a job, with some of it changed.
fn claims(changes: &[(&str, Value)]) -> Claims {
    use base64::Engine as _;
    let mut said = json!({
        "iss": "https://gitlab.example.com", "aud": "https://slipway.example.com", "jti": "t1",
        "exp": NOW_S + 3590, "nbf": NOW_S - 15, "iat": NOW_S - 10,
        "namespace_id": "71", "project_id": "1001", "project_path": "harbour/tug",
        "user_id": "7", "user_login": "mira", "user_access_level": "maintainer",
        "pipeline_id": "2366", "pipeline_source": "push", "job_id": "81",
        "ref": "v1.2.0", "ref_type": "tag", "ref_protected": "true", "sha": "aa",
        "environment": "release/deb", "environment_protected": "true",
    });
    for (claim, value) in changes {
        said[*claim] = value.clone();
    }
    let part = |text: &str| base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(text);
    let token = format!("{}.{}.{}", part(r#"{"alg":"RS256","kid":"one"}"#), part(&said.to_string()), part("x"));
    UnverifiedIdToken::parse(&token).expect("a token").claims_after(true).expect("claims")
}

#[test]
fn a_session_is_bound_to_what_the_token_says_and_ends_three_hours_after_it_was_made() {
    let session = JobSession::of(claims(&[]));
    assert_eq!((session.project_id, session.pipeline_id, session.job_id), (1001, 2366, 81));
    assert_eq!((session.user_id, session.user_level), (7, Some(AccessLevel::Maintainer)));
    assert_eq!((session.environment.as_deref(), session.environment_protected), (Some("release/deb"), true));
    assert_eq!(session.token_id, "t1");
    assert_eq!(session.ends_at, Timestamp((NOW_S - 10) * 1000 + 3 * HOUR_MS));
    assert!(!JobSession::of(claims(&[("environment_protected", Value::Null)])).environment_protected);
    assert!(!JobSession::of(claims(&[("environment_protected", json!("false"))])).environment_protected);
}

// ---- admission ----

#[test]
fn an_old_token_is_known_again_only_if_all_else_of_it_is_as_it_must_be() {
    let (config, old) = (config(), ("iat", json!(NOW_S - 301)));
    let admission = admit(&config, &claims(std::slice::from_ref(&old)), NOW).expect("only its age is wrong");
    assert!(!admission.is_fresh, "it opens no session that it has not opened before");
    for (claim, value) in [
        ("namespace_id", json!("72")),
        ("job_project_id", json!("1002")),
        ("job_namespace_id", json!("72")),
        ("ref_protected", json!("false")),
        ("pipeline_source", json!("merge_request_event")),
        ("pipeline_source", json!("api")),
        ("exp", json!(NOW_S - 60)),
    ] {
        let refused = admit(&config, &claims(&[old.clone(), (claim, value.clone())]), NOW);
        assert!(refused.is_err(), "{claim} {value}");
    }
}

#[test]
fn a_deployers_job_is_admitted_as_that_and_only_if_its_project_and_pipeline_are_as_they_must_be() {
    let config = config();
    let of = |changes: &[(&str, Value)]| {
        let own = [("project_id", json!("7001")), ("namespace_id", json!("90"))];
        admit(&config, &claims(&[&own, changes].concat()), NOW).map(|admission| match admission.who {
            Admitted::Deployer(deployer) => format!("deployer {}", deployer.name),
            Admitted::Project(project) => format!("project {}", project.name),
        })
    };
    assert_eq!(of(&[]), Ok("deployer fleet".to_owned()));
    for source in ["push", "web", "schedule", "api", "trigger", "pipeline", "parent_pipeline"] {
        assert!(
            of(&[("pipeline_source", json!(source))]).is_ok(),
            "{source}: a deployment is often started by another"
        );
    }
    for (claim, value) in [
        ("project_id", json!("7003")),
        ("namespace_id", json!("71")),
        ("pipeline_source", json!("merge_request_event")),
        ("pipeline_source", json!("external_pull_request_event")),
        ("pipeline_source", json!("chat")),
        ("ref_protected", json!("false")),
    ] {
        assert!(of(&[(claim, value.clone())]).is_err(), "{claim} {value}");
    }
}

#[test]
fn what_was_signed_for_the_one_who_played_a_job_then_is_not_believed_of_another_who_plays_it_now() {
    let played_by = |id: u64| -> Job {
        let job = json!({ "id": 81, "name": "release: [deb]", "status": "running", "user": { "id": id, "username": "x" },
                          "pipeline": { "id": 7, "ref": "v1.2.0", "sha": "aa" } });
        serde_json::from_value(job).expect("a job")
    };
    let session = session(1001, Some(AccessLevel::Owner));
    for (id, level, environment_protected) in [(7, Some(AccessLevel::Owner), true), (8, None, false)] {
        let job = played_by(id);
        let player = Player::of(&session, &job);
        assert_eq!((player.user_id, player.level), (id, level));
        assert_eq!(player.environment_protected, environment_protected, "person {id}");
    }
}
