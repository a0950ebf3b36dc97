//! Tokens of jobs, legal and hostile. Their signatures are not real ones: the host checks those.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use super::*;

const NOW_S: u64 = 1_795_392_000;
const HEADER: &str = r#"{"kid":"key-1","typ":"JWT","alg":"RS256"}"#;

/// What GitLab says of a manual job on a protected tag.
fn said() -> Value {
    json!({
        "iss": "https://gitlab.example.com", "aud": "https://slipway.example.com", "jti": "0b2e1c6e-5c1a-4b5e-9f6a-2f1c1f9f0a11",
        "sub": "project_path:harbour/tug:ref_type:tag:ref:v3.1.0",
        "exp": NOW_S + 3590, "nbf": NOW_S - 15, "iat": NOW_S - 10,
        "namespace_id": "71", "namespace_path": "harbour", "project_id": "1001", "project_path": "harbour/tug",
        "job_namespace_id": "71", "job_namespace_path": "harbour", "job_project_id": "1001", "job_project_path": "harbour/tug",
        "user_id": "7", "user_login": "mira", "user_email": "mira@example.com", "user_access_level": "maintainer",
        "user_identities": [{"provider": "saml", "extern_uid": "mira"}],
        "pipeline_id": "2366", "pipeline_source": "push", "job_id": "3580121225",
        "ref": "v3.1.0", "ref_type": "tag", "ref_path": "refs/tags/v3.1.0", "ref_protected": "true",
        "sha": "2293ada6b400935a1378653304eaf6221e0fdb8f",
        "environment": "release/ubuntu-jammy-amd64", "environment_protected": "false", "deployment_tier": "other",
        "environment_action": "start", "runner_id": 1, "runner_environment": "self-hosted", "project_visibility": "private",
        "ci_config_ref_uri": "gitlab.example.com/harbour/tug//.gitlab-ci.yml@refs/tags/v3.1.0",
        "ci_config_sha": "2293ada6b400935a1378653304eaf6221e0fdb8f"
    })
}

/// The usual claims with one of them changed; `null` removes it.
fn with(claim: &str, value: Value) -> Value {
    let mut claims = said();
    if value.is_null() {
        claims.as_object_mut().expect("claims are an object").remove(claim);
    } else {
        claims[claim] = value;
    }
    claims
}

fn part(json: &str) -> String {
    URL_SAFE_NO_PAD.encode(json)
}

fn token(header: &str, claims: &str) -> String {
    format!("{}.{}.{}", part(header), part(claims), URL_SAFE_NO_PAD.encode([0x5a; 256]))
}

fn parse(header: &str, claims: &str) -> Result<UnverifiedIdToken, InvalidIdToken> {
    UnverifiedIdToken::parse(&token(header, claims))
}

fn claims(said: &Value) -> Result<Claims, InvalidIdToken> {
    parse(HEADER, &said.to_string())?.claims_after(true)
}

fn checked(said: &Value) -> Result<(), Refusal> {
    let expected = Expected {
        issuer: "https://gitlab.example.com",
        audience: "https://slipway.example.com",
        project_id: 1001,
        namespace_id: 71,
    };
    check(&claims(said).expect("claims"), &expected, NOW_S)
}

#[test]
fn a_token_says_which_key_signed_which_bytes() {
    let text = token(HEADER, &said().to_string());
    let token = UnverifiedIdToken::parse(&text).expect("a token");
    assert_eq!(token.compact().key_id(), "key-1");
    assert_eq!(token.compact().signature(), [0x5a; 256]);
    let (signed, _) = text.rsplit_once('.').expect("three parts");
    assert_eq!(token.compact().signing_input(), signed.as_bytes());
}

#[test]
fn claims_are_typed() {
    let claims = claims(&said()).expect("claims");
    assert_eq!((claims.project_id, claims.namespace_id), (1001, 71));
    assert_eq!((claims.job_project_id, claims.job_namespace_id), (Some(1001), Some(71)));
    assert_eq!((claims.pipeline_id, claims.job_id, claims.user_id), (2366, 3_580_121_225, 7));
    assert_eq!((claims.ref_protected, claims.environment_protected), (true, Some(false)));
    assert_eq!(claims.environment.as_deref(), Some("release/ubuntu-jammy-amd64"));
    assert_eq!((claims.ref_name.as_str(), claims.ref_type.as_str()), ("v3.1.0", "tag"));
}

#[test]
fn without_a_signature_that_holds_there_are_no_claims() {
    let token = parse(HEADER, &said().to_string()).expect("a token");
    assert_eq!(token.claims_after(false), Err(InvalidIdToken::Signature));
}

#[test]
fn printing_a_token_shows_neither_claims_nor_signature() {
    let token = parse(HEADER, &said().to_string()).expect("a token");
    assert_eq!(format!("{token:?}"), r#"UnverifiedIdToken(hidden, key "key-1")"#);
}

#[test]
fn a_header_that_asks_for_anything_but_rs256_is_refused() {
    use InvalidIdToken::{Algorithm, Critical, NoKeyId};
    for (header, error) in [
        (r#"{"kid":"key-1","alg":"none"}"#, Algorithm),
        (r#"{"kid":"key-1","alg":"None"}"#, Algorithm),
        (r#"{"kid":"key-1","alg":"HS256"}"#, Algorithm),
        (r#"{"kid":"key-1","alg":"RS512"}"#, Algorithm),
        (r#"{"kid":"key-1","alg":"PS256"}"#, Algorithm),
        (r#"{"kid":"key-1","alg":"rs256"}"#, Algorithm),
        (r#"{"kid":"key-1","alg":"RS256 "}"#, Algorithm),
        (r#"{"kid":"key-1","alg":["RS256"]}"#, Algorithm),
        (r#"{"kid":"key-1","alg":null}"#, Algorithm),
        (r#"{"kid":"key-1"}"#, Algorithm),
        (r#"{"alg":"RS256"}"#, NoKeyId),
        (r#"{"alg":"RS256","kid":""}"#, NoKeyId),
        (r#"{"alg":"RS256","kid":null}"#, NoKeyId),
        (r#"{"alg":"RS256","kid":7}"#, NoKeyId),
        (r#"{"alg":"RS256","kid":"key-1","crit":["b64"],"b64":false}"#, Critical),
        (r#"{"alg":"RS256","kid":"key-1","crit":[]}"#, Critical),
        (r#"{"alg":"RS256","kid":"key-1","crit":null}"#, Critical),
    ] {
        assert_eq!(parse(header, &said().to_string()).map(|_| ()), Err(error), "{header}");
    }
}

#[test]
fn keys_that_a_token_brings_along_are_not_looked_at() {
    let header = r#"{"alg":"RS256","kid":"key-1","jku":"https://evil.test/keys","x5u":"https://evil.test/c",
                     "jwk":{"kty":"RSA","n":"AQAB","e":"AQAB"},"x5c":["…"]}"#;
    let token = parse(header, &said().to_string()).expect("a token");
    assert_eq!(token.compact().key_id(), "key-1");
}

#[test]
fn text_that_is_no_compact_token_is_refused() {
    let whole = token(HEADER, &said().to_string());
    let (signed, signature) = whole.rsplit_once('.').expect("three parts");
    let (header, claims) = signed.split_once('.').expect("two parts");
    for text in [
        "",
        ".",
        "..",
        "...",
        header,
        signed,
        &format!("{signed}."),
        &format!(".{claims}.{signature}"),
        &format!("{header}..{signature}"),
        &format!("{whole}.{signature}"),
        &format!("{whole}."),
    ] {
        assert_eq!(UnverifiedIdToken::parse(text).map(|_| ()), Err(InvalidIdToken::Shape), "{text}");
    }
    for text in [
        format!("{whole}="),
        format!("{whole}\n"),
        format!(" {whole}"),
        format!("Bearer {whole}"),
        format!("{header}=.{claims}.{signature}"),
        format!("{header}.{}.{signature}", STANDARD.encode(format!("{}??>>", said()))),
        format!("{header}.{claims}.{}+/", &signature[2..]),
        // The last character's spare bits are set: another spelling of the same bytes.
        format!("{}h", whole.strip_suffix('g').expect("256 bytes end with two bits")),
    ] {
        let parsed = UnverifiedIdToken::parse(&text).map(|_| ());
        assert!(matches!(parsed, Err(InvalidIdToken::Encoding(_))), "{parsed:?} {text}");
    }
}

#[test]
fn a_token_has_an_end() {
    let long = with("user_identities", "x".repeat(8 << 10).into());
    assert_eq!(parse(HEADER, &long.to_string()).map(|_| ()), Err(InvalidIdToken::TooLong));
    let some = with("user_identities", "x".repeat(3 << 10).into());
    assert!(parse(HEADER, &some.to_string()).is_ok());
}

#[test]
fn a_part_that_is_no_object_with_each_name_once_is_refused() {
    let usual = said().to_string();
    let twice = format!(r#"{{"project_id":"1001",{}"#, &usual[1..]);
    let escaped = format!(r#"{{"project\u005fid":"2002",{}"#, &usual[1..]);
    let unread = format!(r#"{{"sub":"x",{}"#, &usual[1..]);
    for claims in ["", "[]", "null", "\"x\"", "{", &twice, &escaped, &unread, &format!("{usual}{usual}")] {
        let parsed = parse(HEADER, claims).map(|_| ());
        // An empty part is not even the form of a token.
        assert!(matches!(parsed, Err(InvalidIdToken::Json { part: "claims", .. } | InvalidIdToken::Shape)), "{claims}");
    }
    for header in ["[]", r#"{"alg":"RS256","kid":"a","kid":"b"}"#, r#"{"alg":"RS256","alg":"none","kid":"a"}"#] {
        let parsed = parse(header, &usual).map(|_| ());
        assert!(matches!(parsed, Err(InvalidIdToken::Json { part: "header", .. })), "{header}");
    }
}

#[test]
fn a_claim_of_another_kind_is_refused_by_name() {
    for (claim, value) in [
        ("aud", json!(["https://slipway.example.com"])),
        ("aud", json!(["https://slipway.example.com", "https://other.example.com"])),
        ("aud", Value::Null),
        ("iss", Value::Null),
        ("iss", json!(["https://gitlab.example.com"])),
        ("exp", Value::Null),
        ("exp", json!("1795392000")),
        ("exp", json!(-1)),
        ("exp", json!(1.5e9)),
        ("iat", Value::Null),
        ("iat", json!(true)),
        ("nbf", json!("soon")),
        ("jti", Value::Null),
        ("project_id", Value::Null),
        ("project_id", json!(1001)),
        ("project_id", json!("")),
        ("project_id", json!("+1001")),
        ("project_id", json!(" 1001")),
        ("project_id", json!("1001.0")),
        ("project_id", json!("18446744073709551616")),
        ("namespace_id", Value::Null),
        ("job_project_id", json!("x")),
        ("user_id", Value::Null),
        ("pipeline_id", Value::Null),
        ("job_id", Value::Null),
        ("pipeline_source", Value::Null),
        ("ref", Value::Null),
        ("ref_protected", Value::Null),
        ("ref_protected", json!(true)),
        ("ref_protected", json!("True")),
        ("ref_protected", json!("yes")),
        ("environment", json!(["a", "b"])),
    ] {
        match claims(&with(claim, value.clone())) {
            Err(InvalidIdToken::Claim { name, .. }) => assert_eq!(name, claim, "{value}"),
            other => panic!("{claim} {value}: {other:?}"),
        }
    }
}

#[test]
fn claims_that_some_versions_leave_out_may_be_absent() {
    for claim in [
        "nbf",
        "sub",
        "job_project_id",
        "job_namespace_id",
        "user_access_level",
        "sha",
        "environment",
        "environment_protected",
        "ci_config_ref_uri",
    ] {
        assert_eq!(checked(&with(claim, Value::Null)), Ok(()), "{claim}");
        let mut null = said();
        null[claim] = Value::Null;
        assert_eq!(checked(&null), Ok(()), "{claim}: null");
    }
}

#[test]
fn a_fresh_token_of_the_configured_project_passes() {
    assert_eq!(checked(&said()), Ok(()));
}

#[test]
fn a_token_of_another_place_or_time_is_refused() {
    for (claim, value, refusal) in [
        ("iss", json!("https://gitlab.example.com/"), Some("made by `https://gitlab.example.com/`")),
        ("iss", json!("http://gitlab.example.com"), Some("made by")),
        ("iss", json!("https://GITLAB.example.com"), Some("made by")),
        ("iss", json!("https://gitlab.example.com.evil.test"), Some("made by")),
        ("aud", json!("https://slipway.example.com/"), Some("is for `https://slipway.example.com/`")),
        ("aud", json!("https://other.example.com"), Some("is for")),
        ("aud", json!(""), Some("is for")),
        ("exp", json!(NOW_S - 59), None),
        ("exp", json!(NOW_S - 60), Some("has expired")),
        ("exp", json!(0), Some("has expired")),
        ("exp", json!(u64::MAX), None),
        ("nbf", json!(NOW_S + 60), None),
        ("nbf", json!(NOW_S + 61), Some("not valid yet")),
        ("nbf", json!(u64::MAX), Some("not valid yet")),
        ("iat", json!(NOW_S + 60), None),
        ("iat", json!(NOW_S + 61), Some("made in the future")),
        ("iat", json!(NOW_S - 300), None),
        ("iat", json!(NOW_S - 301), Some("301 seconds old")),
        ("iat", json!(0), Some("seconds old")),
        ("project_id", json!("2002"), Some("is project 2002's")),
        ("namespace_id", json!("72"), Some("in namespace 72")),
        ("job_project_id", json!("2002"), Some("runs in project 2002")),
        ("job_namespace_id", json!("72"), Some("runs in namespace 72")),
        ("ref_protected", json!("false"), Some("for `v3.1.0`, which is not a protected branch or tag")),
        ("pipeline_source", json!("merge_request_event"), Some("merge request")),
        // A child of such a pipeline, which says that its parent has started it.
        (
            "ci_config_ref_uri",
            json!(format!("gitlab.example.com/harbour/tug//c.yml@{}", "a1".repeat(20))),
            Some("merge request"),
        ),
        (
            "ci_config_ref_uri",
            json!(format!("gitlab.example.com/harbour/tug//c.yml@{}", "a1".repeat(32))),
            Some("merge request"),
        ),
        (
            "ci_config_ref_uri",
            json!(format!("gitlab.example.com/harbour/tug//c.yml@refs/heads/{}", "a1".repeat(20))),
            None,
        ),
        ("pipeline_source", json!("parent_pipeline"), None),
        ("pipeline_source", json!("web"), None),
        // Paths, names and the subject give no right and take none.
        ("project_path", json!("evil/tug"), None),
        ("sub", json!("project_path:harbour/tug:ref_type:branch:ref:main"), None),
    ] {
        let answer = checked(&with(claim, value.clone())).map_err(|refusal| refusal.to_string());
        match refusal {
            None => assert_eq!(answer, Ok(()), "{claim} {value}"),
            Some(said) => assert!(answer.as_ref().is_err_and(|why| why.contains(said)), "{claim} {value}: {answer:?}"),
        }
    }
}
