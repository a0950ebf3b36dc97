//! A person in a browser: what it keeps for the edge, and which of its requests are the person's own.
//!
//! A browser sends a cookie with whatever any page has it send. So a cookie counts for what only reads, and for the rest only
//! where the browser says that a page of this very edge has asked. `SameSite` does not say that: another port and another
//! name of the same site are the same site.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use slipway_wire::{Base, Token};

use super::segments;
use crate::secret::{EdgeKey, NotSealed, knows};
use crate::time::Timestamp;

/// How long somebody may take to sign in at GitLab.
const SIGNING_IN: Duration = Duration::from_mins(10);
/// Where a sign-in leads back to is kept in a cookie, and so are filters, in the address.
const LANDING_BYTES_MAX: usize = 1024;

/// What a browser keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cookie {
    /// Who has signed in.
    Session,
    /// What GitLab's answer is compared with.
    SigningIn,
}

impl Cookie {
    /// Its name. Browsers take one with the prefix `__Host-` only over https, for this host alone and for all of its paths; no
    /// other host can have set it. On loopback without TLS, where one tries things out, not all of them take it.
    pub fn name(self, edge: &Base) -> &'static str {
        match (self, is_https(edge)) {
            (Self::Session, true) => "__Host-slipway",
            (Self::Session, false) => "slipway",
            (Self::SigningIn, true) => "__Host-slipway-signing",
            (Self::SigningIn, false) => "slipway-signing",
        }
    }

    /// The header that has the browser keep it. It comes along when GitLab sends the person back (`Lax`), and no script reads it.
    pub fn set(self, edge: &Base, value: &str, lives: Duration) -> String {
        let secure = if is_https(edge) { "; Secure" } else { "" };
        format!("{}={value}; Path=/; Max-Age={}; HttpOnly; SameSite=Lax{secure}", self.name(edge), lives.as_secs())
    }

    /// The header that has the browser forget it.
    pub fn unset(self, edge: &Base) -> String {
        self.set(edge, "", Duration::ZERO)
    }

    /// What a browser shows of it. Of two with one name, one was set by somebody else: neither counts.
    pub fn shown<'a>(self, edge: &Base, header: &'a str) -> Option<&'a str> {
        let mut own = header.split(';').filter_map(|pair| {
            let (name, value) = pair.trim().split_once('=')?;
            (name == self.name(edge) && !value.is_empty()).then_some(value)
        });
        let first = own.next();
        if own.next().is_some() { None } else { first }
    }
}

fn is_https(edge: &Base) -> bool {
    edge.as_str().get(..8).is_some_and(|scheme| scheme.eq_ignore_ascii_case("https://"))
}

/// What a browser says of a request beside the cookie.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sent<'a> {
    /// The method, as it was sent.
    pub method: &'a str,
    /// Whether it is to become a socket, which another site's page may open and read.
    pub upgrades: bool,
    /// `Origin`: the page that asks.
    pub origin: Option<&'a str>,
    /// `Sec-Fetch-Site`: how that page stands to this edge. Not every browser says it.
    pub fetch_site: Option<&'a str>,
}

/// Whether a request with a cookie was made by a page of this edge, or changes nothing whoever made it.
pub fn is_own(sent: &Sent<'_>, edge: &Base) -> bool {
    let only_reads = matches!(sent.method, "GET" | "HEAD") && !sent.upgrades;
    only_reads || is_of_own_page(sent, edge)
}

/// Whether a page of this edge has made a request.
pub fn is_of_own_page(sent: &Sent<'_>, edge: &Base) -> bool {
    sent.origin.is_some_and(|origin| edge.serves(origin)) && sent.fetch_site.is_none_or(|site| site == "same-origin")
}

/// Where somebody goes after they have signed in: a page of this edge, or the first one.
pub fn landing(to: &str) -> &str {
    let (path, _) = to.split_once('?').unwrap_or((to, ""));
    let is_plain =
        to.len() <= LANDING_BYTES_MAX && to.bytes().all(|byte| byte.is_ascii_graphic()) && !to.contains(['\\', '#']);
    let leads = segments(path).is_some_and(|segments| {
        // What signs in or out, and what programs ask, is no page to come back to.
        !segments.first().is_some_and(|first| matches!(first.as_str(), "sign-in" | "sign-out" | "api"))
    });
    if is_plain && leads { to } else { "/" }
}

/// Somebody is on their way to GitLab and back.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SigningIn {
    state: String,
    nonce: String,
    verifier: String,
    to: String,
    ends_at: Timestamp,
}

const PURPOSE: &str = "signing-in";

impl SigningIn {
    /// Begins with three times 32 random bytes.
    pub fn begin(state: [u8; 32], nonce: [u8; 32], verifier: [u8; 32], to: &str, now: Timestamp) -> Self {
        let [state, nonce, verifier] = [state, nonce, verifier].map(|bytes| URL_SAFE_NO_PAD.encode(bytes));
        Self { state, nonce, verifier, to: landing(to).to_owned(), ends_at: now + SIGNING_IN }
    }

    /// How long the browser keeps it.
    pub fn lives() -> Duration {
        SIGNING_IN
    }

    /// What comes back with the person.
    pub fn state(&self) -> &str {
        &self.state
    }

    /// What comes back signed.
    pub fn nonce(&self) -> &str {
        &self.nonce
    }

    /// What the code is worth something with.
    pub fn verifier(&self) -> Token {
        Token::new(&self.verifier)
    }

    /// What GitLab keeps of it meanwhile (RFC 7636, section 4.2).
    pub fn challenge(&self) -> String {
        URL_SAFE_NO_PAD.encode(Sha256::digest(&self.verifier))
    }

    /// Where they go afterwards.
    pub fn to(&self) -> &str {
        landing(&self.to)
    }

    /// Whether GitLab's answer belongs to it. The time taken tells nothing.
    pub fn is_answered_by(&self, state: &str) -> bool {
        knows(state, &Token::new(&self.state))
    }

    /// The text of the cookie.
    pub fn seal(&self, key: &EdgeKey) -> Result<String, serde_json::Error> {
        key.seal(PURPOSE, self)
    }

    /// What the text of a cookie stands for.
    pub fn open(text: &str, key: &EdgeKey, now: Timestamp) -> Result<Self, NotSealed> {
        let signing_in: Self = key.open(PURPOSE, text)?;
        if signing_in.ends_at <= now { Err(NotSealed::Ended(signing_in.ends_at)) } else { Ok(signing_in) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::{Caller, PersonSession};

    const NOW: Timestamp = Timestamp(1_795_392_000_000);

    fn edge() -> Base {
        "https://slipway.example.com".parse().expect("an address")
    }

    fn loopback() -> Base {
        "http://127.0.0.1:8787".parse().expect("an address")
    }

    fn key() -> EdgeKey {
        EdgeKey::parse(&Token::new("a".repeat(64))).expect("64 hex digits")
    }

    #[test]
    fn a_cookie_is_for_this_host_alone_over_https_alone_and_for_no_script() {
        assert_eq!(
            Cookie::Session.set(&edge(), "a.b", Duration::from_hours(8)),
            "__Host-slipway=a.b; Path=/; Max-Age=28800; HttpOnly; SameSite=Lax; Secure"
        );
        assert_eq!(
            Cookie::SigningIn.unset(&edge()),
            "__Host-slipway-signing=; Path=/; Max-Age=0; HttpOnly; SameSite=Lax; Secure"
        );
        assert_eq!(
            Cookie::Session.set(&loopback(), "a.b", Duration::from_mins(1)),
            "slipway=a.b; Path=/; Max-Age=60; HttpOnly; SameSite=Lax"
        );
    }

    #[test]
    fn a_cookie_is_found_among_others_by_its_whole_name_and_of_two_neither_counts() {
        for (header, expected) in [
            ("__Host-slipway=a.b", Some("a.b")),
            ("theme=dark; __Host-slipway=a.b; x=y=z", Some("a.b")),
            ("__Host-slipway=a==", Some("a==")),
            ("slipway=a.b", None),
            ("__Host-slipway-signing=a.b", None),
            ("x__Host-slipway=a.b", None),
            ("__host-slipway=a.b", None),
            ("__Host-slipway=", None),
            ("__Host-slipway", None),
            ("", None),
            ("__Host-slipway=a.b; __Host-slipway=c.d", None),
        ] {
            assert_eq!(Cookie::Session.shown(&edge(), header), expected, "{header}");
        }
        assert_eq!(Cookie::Session.shown(&loopback(), "slipway=a.b"), Some("a.b"));
        assert_eq!(Cookie::Session.shown(&loopback(), "__Host-slipway=a.b"), None);
    }

    #[test]
    fn what_writes_and_what_becomes_a_socket_is_asked_by_a_page_of_this_edge_or_not_at_all() {
        let own = "https://slipway.example.com";
        for (method, upgrades, origin, site, expected) in [
            // What only reads is shown to whoever has the cookie, and another site's page cannot see it.
            ("GET", false, None, None, true),
            ("HEAD", false, None, None, true),
            ("GET", false, Some("https://evil.test"), Some("cross-site"), true),
            ("POST", false, Some(own), None, true),
            ("POST", false, Some(own), Some("same-origin"), true),
            ("GET", true, Some(own), None, true),
            ("POST", false, None, None, false),
            ("POST", false, None, Some("same-origin"), false),
            ("POST", false, Some("null"), None, false),
            ("POST", false, Some(""), None, false),
            ("POST", false, Some("https://evil.test"), None, false),
            ("POST", false, Some("http://slipway.example.com"), None, false),
            ("POST", false, Some("https://slipway.example.com:8443"), None, false),
            ("POST", false, Some("https://other.example.com"), Some("same-site"), false),
            ("POST", false, Some("https://slipway.example.com.evil.test"), None, false),
            ("POST", false, Some("slipway.example.com"), None, false),
            ("POST", false, Some(own), Some("same-site"), false),
            ("POST", false, Some(own), Some("cross-site"), false),
            ("POST", false, Some(own), Some("none"), false),
            ("DELETE", false, None, None, false),
            ("PATCH", false, None, None, false),
            ("get", false, None, None, false),
            ("OPTIONS", false, None, None, false),
            ("GET", true, None, None, false),
            ("GET", true, Some("https://evil.test"), None, false),
        ] {
            let sent = Sent { method, upgrades, origin, fetch_site: site };
            assert_eq!(is_own(&sent, &edge()), expected, "{sent:?}");
        }
    }

    #[test]
    fn a_sign_in_leads_back_to_a_page_of_this_edge_and_nowhere_else() {
        for to in
            ["/", "/p/tug", "/p/tug/r/1.2.0%2Bb1?state=failed&q=el9", "/p/tug/r/1.2.0/hold?keys=rope", "/help/states"]
        {
            assert_eq!(landing(to), to);
        }
        let long = format!("/p/{}", "a".repeat(1024));
        for to in [
            "",
            "p/tug",
            "//evil.test",
            "///evil.test",
            "/\\evil.test",
            "\\\\evil.test",
            "https://evil.test/",
            "javascript:alert(1)",
            "/p/tug\r\nSet-Cookie: a=b",
            "/p/tug\t",
            "/ /evil.test",
            "/\t/evil.test",
            "/p//tug",
            "/p/tug/",
            "/p/%2F%2Fevil.test",
            "/p/tug#x",
            "/p/\u{e9}",
            "/sign-in",
            "/sign-in/return?code=c&state=s",
            "/sign-out",
            "/api/v1/projects",
            &long,
        ] {
            assert_eq!(landing(to), "/", "{to:?}");
        }
    }

    fn signing_in(to: &str) -> SigningIn {
        SigningIn::begin([1; 32], [2; 32], [3; 32], to, NOW)
    }

    #[test]
    fn a_sign_in_is_known_again_for_ten_minutes_by_its_cookie_and_its_state() {
        let began = signing_in("/p/tug");
        let text = began.seal(&key()).expect("JSON");
        let again = SigningIn::open(&text, &key(), NOW + Duration::from_secs(599)).expect("its own");
        assert_eq!((again.to(), again.nonce(), again.state()), ("/p/tug", began.nonce(), began.state()));
        assert!(again.is_answered_by(began.state()));
        for other in ["", &began.state()[1..], began.nonce(), "s"] {
            assert!(!again.is_answered_by(other), "{other}");
        }
        assert!(matches!(SigningIn::open(&text, &key(), NOW + Duration::from_mins(10)), Err(NotSealed::Ended(_))));
        let other = EdgeKey::parse(&Token::new("b".repeat(64))).expect("64 hex digits");
        assert!(matches!(SigningIn::open(&text, &other, NOW), Err(NotSealed::Forged)));
    }

    #[test]
    fn the_challenge_is_the_digest_of_the_verifier_and_each_of_the_three_is_its_own() {
        let began = signing_in("/");
        // `printf AwMD…AwM | openssl dgst -sha256 -binary | basenc --base64url`, of 32 bytes of 3.
        assert_eq!(began.verifier().expose(), "AwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwM");
        assert_eq!(began.challenge(), "g77gcvvTQj90gfwWOCFjatjPtz-u8N0FgfOXnqDHMbk");
        assert_eq!(began.state().len(), 43);
        assert_ne!(began.state(), began.nonce());
    }

    #[test]
    fn a_sign_in_that_is_under_way_is_no_session_and_a_session_is_no_sign_in() {
        let began = signing_in("/").seal(&key()).expect("JSON");
        assert!(matches!(Caller::open(&began, &key(), NOW), Err(NotSealed::Forged)));
        let person = PersonSession { user_id: 7, username: "mira".to_owned(), ends_at: PersonSession::end(NOW) };
        let session = person.seal(&key()).expect("JSON");
        assert!(matches!(SigningIn::open(&session, &key(), NOW), Err(NotSealed::Forged)));
    }
}
