//! Whoever gives tokens for registries, as GitLab and Docker Hub do: to a user for what it asks, to anybody for reading what
//! is public. It keeps what it was asked.
//!
//! The tokens are real: signed with a key of its own, and judged by the registry alone
//! (<https://distribution.github.io/distribution/spec/auth/jwt/>).

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use percent_encoding::percent_decode_str;
use rsa::pkcs8::DecodePrivateKey as _;
use rsa::{Pkcs1v15Sign, RsaPrivateKey};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use slipway_stack::registry::{Issuer, PASSWORD, USER};

/// The name that its tokens have in them.
const ISSUER: &str = "harbour-tokens";
/// How long distribution takes a token after it is over
/// (<https://github.com/distribution/distribution/blob/v2.8.2/registry/auth/token/token.go>).
const LEEWAY_S: i64 = 60;
/// How long a token is taken where a test does not say otherwise. GitLab's have five minutes.
const TAKEN_S: i64 = 300;

/// One request for a token.
#[derive(Clone, Debug)]
pub struct Asked {
    /// What it is for.
    pub service: String,
    /// What it is to allow, a repository each.
    pub scopes: Vec<String>,
    /// What came to prove who asks. Empty for anybody.
    pub authorization: String,
    /// The token that was given. Empty where none was.
    pub token: String,
}

/// A giver of tokens on loopback, for as long as its test runs.
#[derive(Clone)]
pub struct Tokens {
    realm: String,
    certificate: PathBuf,
    key: Arc<RsaPrivateKey>,
    asked: Arc<Mutex<Vec<Asked>>>,
    taken_s: Arc<AtomicI64>,
    given: Arc<AtomicU64>,
    /// What anybody may read.
    public: &'static str,
}

impl Tokens {
    /// Listens on a free port. Anybody may read the repository `public`, and the user of tests may do everything.
    pub fn start(folder: &Path, public: &'static str) -> Self {
        std::fs::create_dir_all(folder).expect("a folder");
        let (key, certificate) = (folder.join("tokens.key"), folder.join("tokens.crt"));
        let mut openssl = Command::new("openssl");
        openssl.args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj"]);
        openssl.arg(format!("/CN={ISSUER}")).arg("-keyout").arg(&key).arg("-out").arg(&certificate);
        let made = openssl.output().expect("openssl is here");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let this = Self {
            realm: format!("http://{}/token", listener.local_addr().expect("it is bound")),
            certificate,
            key: Arc::new(RsaPrivateKey::read_pkcs8_pem_file(&key).expect("openssl writes PKCS #8")),
            asked: Arc::default(),
            taken_s: Arc::new(AtomicI64::new(TAKEN_S)),
            given: Arc::default(),
            public,
        };
        let own = this.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let own = own.clone();
                std::thread::spawn(move || own.answer(stream));
            }
        });
        this
    }

    /// Where tokens are given.
    pub fn realm(&self) -> &str {
        &self.realm
    }

    /// As a registry names it that gives its tokens for `service`.
    pub fn issuer<'a>(&'a self, service: &'a str) -> Issuer<'a> {
        Issuer { realm: &self.realm, service, name: ISSUER, certificate: &self.certificate }
    }

    /// From now on tokens are taken for so long, and no longer.
    pub fn are_taken_for(&self, seconds: i64) {
        self.taken_s.store(seconds, Ordering::SeqCst);
    }

    /// Everything that was asked, the oldest first.
    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn answer(&self, mut stream: TcpStream) {
        let Ok(clone) = stream.try_clone() else { return };
        let mut lines = BufReader::new(clone).lines().map_while(Result::ok);
        let Some(first) = lines.next() else { return };
        let mut authorization = String::new();
        for line in lines.take_while(|line| !line.is_empty()) {
            if let Some((name, value)) = line.split_once(':')
                && name.eq_ignore_ascii_case("authorization")
            {
                value.trim().clone_into(&mut authorization);
            }
        }
        let target = first.split(' ').nth(1).unwrap_or_default();
        let (_, query) = target.split_once('?').unwrap_or_default();
        let (mut service, mut scopes) = (String::new(), Vec::new());
        for (name, value) in query.split('&').filter_map(|part| part.split_once('=')) {
            let value = percent_decode_str(value).decode_utf8_lossy().into_owned();
            match name {
                "service" => service = value,
                "scope" => scopes.push(value),
                _ => {}
            }
        }
        let is_user = authorization == format!("Basic {}", STANDARD.encode(format!("{USER}:{PASSWORD}")));
        let token =
            if is_user || authorization.is_empty() { self.token(&service, &scopes, is_user) } else { String::new() };
        let (status, body) = if token.is_empty() {
            ("401 Unauthorized", json!({"errors": [{"code": "UNAUTHORIZED", "message": "nobody knows this user"}]}))
        } else {
            ("200 OK", json!({ "token": token }))
        };
        let asked = Asked { service, scopes, authorization, token };
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).push(asked);
        let body = body.to_string();
        let length = body.len();
        let _ = write!(
            stream,
            "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
        );
    }

    /// A token for as much of what was asked as who asks may do: less, not an error.
    fn token(&self, service: &str, scopes: &[String], is_user: bool) -> String {
        let access: Vec<Value> = scopes
            .iter()
            .filter_map(|scope| {
                let (repository, actions) = scope.strip_prefix("repository:")?.rsplit_once(':')?;
                let may = |action: &&str| is_user || (*action == "pull" && repository == self.public);
                let actions: Vec<&str> = actions.split(',').filter(may).collect();
                (!actions.is_empty()).then(|| json!({"type": "repository", "name": repository, "actions": actions}))
            })
            .collect();
        #[expect(clippy::disallowed_methods, reason = "the registry compares with the clock of this machine")]
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("it is after 1970").as_secs();
        let now = i64::try_from(now).expect("it is before the end of time");
        let over = now + self.taken_s.load(Ordering::SeqCst) - LEEWAY_S;
        let pem = std::fs::read_to_string(&self.certificate).expect("it was made at the start");
        let der: String = pem.lines().filter(|line| !line.starts_with("-----")).collect();
        let header = json!({"typ": "JWT", "alg": "RS256", "x5c": [der]});
        let claims = json!({
            "iss": ISSUER, "sub": if is_user { USER } else { "" }, "aud": service, "exp": over,
            "nbf": now - LEEWAY_S, "iat": now, "jti": self.given.fetch_add(1, Ordering::SeqCst).to_string(),
            "access": access,
        });
        let signed = [header, claims].map(|part| URL_SAFE_NO_PAD.encode(part.to_string())).join(".");
        let digest = Sha256::digest(&signed);
        let signature = self.key.sign(Pkcs1v15Sign::new::<Sha256>(), &digest).expect("the key is long enough");
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}
