//! The ID token of a person (<https://docs.gitlab.com/integration/openid_connect_provider/>): GitLab's signed word on who
//! has just signed in there, for one application, as the answer to one question.
//!
//! It is signed with the same keys as the ID tokens of jobs, and a job may have one made for any audience. So neither is
//! ever read as the other: each is its own type, a job's subject is no number, and only a person's has the nonce.

use std::fmt;

use serde_json::Value;
use subtle::ConstantTimeEq as _;

use crate::id_token::{AGE_S_MAX, Compact, InvalidIdToken, LEEWAY_S, Members, optional, required, text, time};

/// A person's token that was read and not yet believed.
pub struct UnverifiedPersonToken {
    compact: Compact,
    claims: PersonClaims,
}

/// What the token says of a person. It can be had only of one whose signature was checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PersonClaims {
    /// Who made the token.
    pub iss: String,
    /// For which application. A token for several is refused.
    pub aud: String,
    /// The application that asked for it, where the token says so.
    pub azp: Option<String>,
    /// When it ends, in seconds since 1970.
    pub exp: u64,
    /// When it was made.
    pub iat: u64,
    /// What the question had in it.
    pub nonce: String,
    /// GitLab's id of the person, for life.
    pub user_id: u64,
    /// Their user name. Some versions of GitLab tell it elsewhere ([`GetUserInfo`](crate::GetUserInfo)).
    pub username: Option<String>,
}

impl UnverifiedPersonToken {
    /// Reads a token in its compact form.
    pub fn parse(token: &str) -> Result<Self, InvalidIdToken> {
        let (compact, members) = Compact::read(token)?;
        Ok(Self { claims: PersonClaims::read(&members)?, compact })
    }

    /// What its signature is checked with.
    pub fn compact(&self) -> &Compact {
        &self.compact
    }

    /// The claims, if the host found that the signature holds under the issuer's key of this name.
    pub fn claims_after(self, signature_holds: bool) -> Result<PersonClaims, InvalidIdToken> {
        if signature_holds { Ok(self.claims) } else { Err(InvalidIdToken::Signature) }
    }
}

/// Without the signature, which would make a token of it, and without claims that nobody has checked.
impl fmt::Debug for UnverifiedPersonToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "UnverifiedPersonToken(hidden, key {:?})", self.compact.key_id())
    }
}

impl PersonClaims {
    fn read(members: &Members) -> Result<Self, InvalidIdToken> {
        let named = |name| optional(members, name, text);
        // An empty name is none.
        let called = |name| Ok(named(name)?.filter(|name| !name.trim().is_empty()));
        Ok(Self {
            iss: required(members, "iss", text)?,
            aud: required(members, "aud", text)?,
            azp: named("azp")?,
            exp: required(members, "exp", time)?,
            iat: required(members, "iat", time)?,
            nonce: required(members, "nonce", text)?,
            user_id: required(members, "sub", person)?,
            username: called("preferred_username")?.or(called("nickname")?),
        })
    }
}

/// GitLab's id of a person, as the subject of a token: a number, written in one way. That of a job begins with a word.
fn person(value: &Value) -> Result<u64, &'static str> {
    let number = value.as_str().and_then(|text| text.parse::<u64>().ok().filter(|number| number.to_string() == text));
    number.filter(|number| *number > 0).ok_or("the number of a person, written as text")
}

/// What a person's token must say.
#[derive(Clone, Copy, Debug)]
pub struct ExpectedPerson<'a> {
    /// The configured GitLab: `https://gitlab.example.com`, without a slash at the end.
    pub issuer: &'a str,
    /// The application that they sign in with.
    pub application: &'a str,
    /// What was sent with the question. It ties the answer to the browser that asked.
    pub nonce: &'a str,
}

/// Why a token whose signature holds is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PersonRefusal {
    /// Made by another GitLab.
    #[error("GitLab's answer was made by `{0}`, not by the configured GitLab")]
    Issuer(String),
    /// Made for another application, whose operator could pass it on.
    #[error("GitLab's answer is for another application than the one that people sign in with here")]
    Application,
    /// Its time is over.
    #[error("GitLab's answer has expired")]
    Expired,
    /// Made in the future.
    #[error("GitLab's answer was made in the future; compare the clocks of GitLab and of this service")]
    FromTheFuture,
    /// Not fresh.
    #[error("GitLab's answer is {age_s} seconds old, and only {AGE_S_MAX} are allowed")]
    TooOld {
        /// Its age.
        age_s: u64,
    },
    /// The answer to another question.
    #[error("GitLab's answer belongs to another sign-in")]
    Nonce,
}

/// Checks the claims of a person's token whose signature holds. `now_s` is the time in seconds since 1970.
pub fn check_person(claims: &PersonClaims, expected: &ExpectedPerson<'_>, now_s: u64) -> Result<(), PersonRefusal> {
    if claims.iss != expected.issuer {
        return Err(PersonRefusal::Issuer(claims.iss.clone()));
    }
    if claims.aud != expected.application || claims.azp.as_ref().is_some_and(|azp| azp != expected.application) {
        return Err(PersonRefusal::Application);
    }
    if now_s >= claims.exp.saturating_add(LEEWAY_S) {
        return Err(PersonRefusal::Expired);
    }
    if claims.iat > now_s.saturating_add(LEEWAY_S) {
        return Err(PersonRefusal::FromTheFuture);
    }
    let age_s = now_s.saturating_sub(claims.iat);
    if age_s > AGE_S_MAX {
        return Err(PersonRefusal::TooOld { age_s });
    }
    if expected.nonce.is_empty() || !bool::from(claims.nonce.as_bytes().ct_eq(expected.nonce.as_bytes())) {
        return Err(PersonRefusal::Nonce);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use serde_json::json;

    use super::*;
    use crate::id_token::UnverifiedIdToken;

    const NOW_S: u64 = 1_795_392_000;
    const HEADER: &str = r#"{"typ":"JWT","kid":"key-1","alg":"RS256"}"#;
    const NONCE: &str = "n-0S6_WzA2MjQ1N2Q4ZTQxY2E5ZjM3YjBlZDQ2YTEyZg";

    /// What GitLab says of a person who has signed in, by its documentation.
    fn said() -> Value {
        json!({
            "iss": "https://gitlab.example.com", "sub": "7", "aud": "a1", "exp": NOW_S + 110, "iat": NOW_S - 10,
            "nonce": NONCE, "auth_time": NOW_S - 40_000, "sub_legacy": "aa", "name": "Mira Holt", "nickname": "mira",
            "preferred_username": "mira", "email": "mira@example.com", "email_verified": true,
            "groups_direct": ["harbour"],
        })
    }

    fn with(claim: &str, value: Value) -> Value {
        let mut claims = said();
        if value.is_null() {
            claims.as_object_mut().expect("claims are an object").remove(claim);
        } else {
            claims[claim] = value;
        }
        claims
    }

    fn token(header: &str, claims: &str) -> String {
        let part = |json: &str| URL_SAFE_NO_PAD.encode(json);
        format!("{}.{}.{}", part(header), part(claims), URL_SAFE_NO_PAD.encode([0x5a; 256]))
    }

    fn claims(said: &Value) -> Result<PersonClaims, InvalidIdToken> {
        UnverifiedPersonToken::parse(&token(HEADER, &said.to_string()))?.claims_after(true)
    }

    fn checked(said: &Value) -> Result<(), PersonRefusal> {
        let expected = ExpectedPerson { issuer: "https://gitlab.example.com", application: "a1", nonce: NONCE };
        check_person(&claims(said).expect("claims"), &expected, NOW_S)
    }

    #[test]
    fn a_fresh_token_for_the_application_says_who_has_signed_in() {
        let claims = claims(&said()).expect("claims");
        assert_eq!((claims.user_id, claims.username.as_deref()), (7, Some("mira")));
        assert_eq!(checked(&said()), Ok(()));
        assert_eq!(checked(&with("azp", json!("a1"))), Ok(()));
    }

    #[test]
    fn a_user_name_is_read_where_this_version_of_gitlab_tells_it() {
        for (taken, name) in [("preferred_username", Some("mira")), ("nickname", Some("mira"))] {
            assert_eq!(claims(&with(taken, Value::Null)).expect("claims").username.as_deref(), name, "without {taken}");
        }
        for (empty, name) in [("preferred_username", Some("mira")), ("nickname", Some("mira"))] {
            assert_eq!(claims(&with(empty, json!(""))).expect("claims").username.as_deref(), name, "{empty} is empty");
        }
        let mut neither = with("preferred_username", json!(" "));
        neither["nickname"] = json!("");
        assert_eq!(claims(&neither).expect("claims").username, None);
    }

    #[test]
    fn without_a_signature_that_holds_there_are_no_claims_and_nothing_is_printed() {
        let token = UnverifiedPersonToken::parse(&token(HEADER, &said().to_string())).expect("a token");
        assert_eq!(format!("{token:?}"), r#"UnverifiedPersonToken(hidden, key "key-1")"#);
        assert_eq!(token.compact().key_id(), "key-1");
        assert_eq!(token.claims_after(false), Err(InvalidIdToken::Signature));
    }

    #[test]
    fn a_token_that_is_not_signed_with_rs256_is_refused() {
        for header in [
            r#"{"kid":"key-1","alg":"none"}"#,
            r#"{"kid":"key-1","alg":"HS256"}"#,
            r#"{"kid":"key-1","alg":"ES256"}"#,
            r#"{"kid":"key-1"}"#,
        ] {
            let parsed = UnverifiedPersonToken::parse(&token(header, &said().to_string())).map(|_| ());
            assert_eq!(parsed, Err(InvalidIdToken::Algorithm), "{header}");
        }
    }

    #[test]
    fn a_claim_that_is_absent_or_of_another_kind_is_refused_by_name() {
        for (claim, value) in [
            ("iss", Value::Null),
            ("aud", Value::Null),
            ("aud", json!(["a1"])),
            ("aud", json!(["a1", "b2"])),
            ("azp", json!(["a1"])),
            ("exp", Value::Null),
            ("exp", json!("1795392000")),
            ("iat", Value::Null),
            ("iat", json!(1.5e9)),
            ("nonce", Value::Null),
            ("nonce", json!(7)),
            ("sub", Value::Null),
            ("sub", json!(7)),
            ("sub", json!("")),
            ("sub", json!("0")),
            ("sub", json!("07")),
            ("sub", json!("+7")),
            ("sub", json!("7 ")),
            ("sub", json!("mira")),
            ("sub", json!("18446744073709551616")),
            ("preferred_username", json!(["mira"])),
        ] {
            match claims(&with(claim, value.clone())) {
                Err(InvalidIdToken::Claim { name, .. }) => assert_eq!(name, claim, "{value}"),
                other => panic!("{claim} {value}: {other:?}"),
            }
        }
        let twice = format!(r#"{{"sub":"8",{}"#, &said().to_string()[1..]);
        let parsed = UnverifiedPersonToken::parse(&token(HEADER, &twice)).map(|_| ());
        assert!(matches!(parsed, Err(InvalidIdToken::Json { part: "claims", .. })), "{parsed:?}");
    }

    #[test]
    fn a_token_of_another_place_time_application_or_sign_in_is_refused() {
        for (claim, value, refusal) in [
            ("iss", json!("https://gitlab.example.com/"), Some("made by `https://gitlab.example.com/`")),
            ("iss", json!("https://gitlab.example.com.evil.test"), Some("made by")),
            ("aud", json!("b2"), Some("another application")),
            ("aud", json!("a1 "), Some("another application")),
            ("aud", json!(""), Some("another application")),
            ("azp", json!("b2"), Some("another application")),
            ("exp", json!(NOW_S - 59), None),
            ("exp", json!(NOW_S - 60), Some("has expired")),
            ("iat", json!(NOW_S + 60), None),
            ("iat", json!(NOW_S + 61), Some("made in the future")),
            ("iat", json!(NOW_S - 300), None),
            ("iat", json!(NOW_S - 301), Some("301 seconds old")),
            ("nonce", json!(""), Some("another sign-in")),
            ("nonce", json!(NONCE.to_lowercase()), Some("another sign-in")),
            ("nonce", json!(&NONCE[1..]), Some("another sign-in")),
            ("nonce", json!(format!("{NONCE}x")), Some("another sign-in")),
            // Names and addresses prove nothing and disprove nothing.
            ("email", json!("mallory@evil.test"), None),
            ("nickname", json!("mallory"), None),
        ] {
            let answer = checked(&with(claim, value.clone())).map_err(|refusal| refusal.to_string());
            match refusal {
                None => assert_eq!(answer, Ok(()), "{claim} {value}"),
                Some(said) => {
                    assert!(answer.as_ref().is_err_and(|why| why.contains(said)), "{claim} {value}: {answer:?}");
                }
            }
        }
        let nothing = ExpectedPerson { issuer: "https://gitlab.example.com", application: "a1", nonce: "" };
        let empty = claims(&with("nonce", json!(""))).expect("claims");
        assert_eq!(check_person(&empty, &nothing, NOW_S), Err(PersonRefusal::Nonce), "no nonce is no tie");
    }

    #[test]
    fn a_jobs_token_made_for_the_application_is_no_persons_and_a_persons_is_no_jobs() {
        let job = json!({
            "iss": "https://gitlab.example.com", "aud": "a1", "jti": "t", "exp": NOW_S + 3590, "iat": NOW_S - 10,
            "sub": "project_path:harbour/tug:ref_type:tag:ref:v1", "nonce": NONCE, "namespace_id": "71",
            "project_id": "1001", "project_path": "harbour/tug", "user_id": "7", "user_login": "mira",
            "pipeline_id": "1", "pipeline_source": "push", "job_id": "2", "ref": "v1", "ref_type": "tag",
            "ref_protected": "true", "preferred_username": "mira",
        });
        assert!(matches!(claims(&job), Err(InvalidIdToken::Claim { name: "sub", .. })));
        let persons = UnverifiedIdToken::parse(&token(HEADER, &said().to_string())).map(|_| ());
        assert!(matches!(persons, Err(InvalidIdToken::Claim { .. })), "{persons:?}");
    }
}
