//! What the edge attests of a release: that these bytes became public at this place, by whose yes and under which policy.
//!
//! It is an in-toto statement (<https://github.com/in-toto/attestation/blob/main/spec/v1/statement.md>) in an envelope that
//! is signed (<https://github.com/secure-systems-lab/dsse/blob/master/protocol.md>). What is signed is the payload's own
//! bytes, with their type and both lengths in front; nobody has to write JSON in a canonical way, and whoever checks it
//! reads nothing that was not signed.
//!
//! Absent on purpose: certificates, and a log of signatures. The key is published by the edge; the audit is the log, and
//! the statement names its row.

use base64::alphabet;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, STANDARD};
use base64::engine::{DecodePaddingMode, Engine};
use serde::{Deserialize, Serialize};
use slipway_wire::Digest;

use crate::release::{Key, Version};
use crate::signing::{KeyId, KeyName, PublicKey, Signature, Signer, SigningError, Verifier};

/// The form of the statement.
pub const STATEMENT: &str = "https://in-toto.io/Statement/v1";
/// What its predicate means. `docs/attestation.md` says it to people; a form that means something else gets another number.
pub const PREDICATE: &str = "urn:slipway:release:v1";
/// The envelope's own word for what is in it.
pub const PAYLOAD: &str = "application/vnd.in-toto+json";
/// What an envelope is, to whoever downloads it or finds it beside an image.
pub const ENVELOPE: &str = "application/vnd.dsse.envelope.v1+json";

/// What is said of some bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Statement {
    /// Always [`STATEMENT`].
    #[serde(rename = "_type")]
    pub form: String,
    /// The bytes: one file, or one image.
    pub subject: Vec<Subject>,
    /// Always [`PREDICATE`].
    pub predicate_type: String,
    /// What is said of them.
    pub predicate: Release,
}

/// Some bytes, by their name and their digest. The digest is what counts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subject {
    /// A file's name, or an image's repository with its registry.
    pub name: String,
    /// Of an image, that of its manifest or index.
    pub digest: Sha256,
}

/// A digest as in-toto writes it: by its algorithm, in bare hex digits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sha256 {
    /// 64 hex digits.
    pub sha256: String,
}

impl From<&Digest> for Sha256 {
    fn from(digest: &Digest) -> Self {
        Self { sha256: digest.hex() }
    }
}

impl Sha256 {
    /// Whether it is this digest.
    pub fn is(&self, digest: &Digest) -> bool {
        self.sha256.parse::<Digest>().is_ok_and(|own| own == *digest)
    }
}

/// The release of one target. Addresses are those of the configuration when it was attested.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Release {
    /// Who says so.
    pub releaser: Releaser,
    /// The project.
    pub project: Project,
    /// The version that went out.
    pub version: Version,
    /// The package.
    pub key: Key,
    /// Where the bytes were taken from.
    pub source: Location,
    /// Where they became public. Nothing is said of any other place.
    pub destination: Location,
    /// Whose yes it was.
    pub approval: Approval,
    /// Where they were built.
    pub build: Build,
    /// When the public place was seen to serve them.
    pub released_at: String,
    /// Somebody else had brought the same bytes there before. Then this says that they were approved, and served; not who
    /// brought them.
    #[serde(default, skip_serializing_if = "is_false")]
    pub outside: bool,
    /// The `slipway.toml` under which it was approved.
    pub policy: Policy,
    /// The row of the project's audit that tells of it.
    pub audit: AuditRow,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_false(value: &bool) -> bool {
    !value
}

/// An edge.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Releaser {
    /// Its address.
    pub id: String,
}

/// A project at GitLab.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Project {
    /// GitLab's numeric id.
    pub id: u64,
    /// Its name in `slipway.toml`.
    pub name: String,
}

/// A file or an image at a place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Location {
    /// Its own address there, where its server has one.
    pub uri: String,
    /// The repository, by its server's address and its name.
    pub repository: String,
    /// The distro version of a file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub distro: Option<String>,
    /// The tag of an image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag: Option<String>,
}

/// Somebody released it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Approval {
    /// Its number in the project's record.
    pub id: u64,
    /// The person's GitLab user name.
    pub by: String,
    /// How it reached the edge: `webhook` or `job`.
    pub via: String,
    /// When.
    pub at: String,
    /// The manual job that was played.
    pub job: Run,
}

/// A job or a pipeline at GitLab.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    /// GitLab's number.
    pub id: u64,
    /// Where a person can look at it.
    pub uri: String,
}

/// Where the bytes come from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Build {
    /// The commit.
    pub commit: String,
    /// The pipeline that declared the bytes.
    pub pipeline: Run,
}

/// A `slipway.toml`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    /// Of its text.
    pub digest: Sha256,
}

/// A row of the audit. It covers all rows before it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditRow {
    /// Its place, from 1.
    pub sequence: u64,
    /// Its hash.
    pub digest: Sha256,
}

impl Statement {
    /// That some bytes were released so.
    pub fn of(subject: &str, digest: &Digest, release: Release) -> Self {
        Self {
            form: STATEMENT.to_owned(),
            subject: vec![Subject { name: subject.to_owned(), digest: digest.into() }],
            predicate_type: PREDICATE.to_owned(),
            predicate: release,
        }
    }

    /// The bytes that are signed.
    pub fn payload(&self) -> serde_json::Result<Vec<u8>> {
        serde_json::to_vec(self)
    }
}

/// What a signature is over: a payload with its type, each behind its length, so that neither can pass for the other.
pub fn pre_authentication(payload_type: &str, payload: &[u8]) -> Vec<u8> {
    let mut bytes = format!("DSSEv1 {} {payload_type} {} ", payload_type.len(), payload.len()).into_bytes();
    bytes.extend_from_slice(payload);
    bytes
}

/// A payload with its signatures, as it is stored and sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Envelope {
    /// What the payload is.
    pub payload_type: String,
    /// Its bytes, in base64.
    pub payload: String,
    /// Each over [`pre_authentication`].
    pub signatures: Vec<Signed>,
}

/// One signature.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signed {
    /// Which key it is of: a hint, which proves nothing.
    #[serde(default)]
    pub keyid: String,
    /// Its bytes, in base64.
    pub sig: String,
}

/// Why an envelope is no attestation of a release.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAttested {
    /// It is not written as one.
    #[error("it is no envelope: {0}")]
    NoEnvelope(String),
    /// It holds something else.
    #[error("it holds `{0}`, and not an in-toto statement")]
    OtherPayload(String),
    /// None of the keys has signed it.
    #[error("none of the known keys has signed it")]
    NotSigned,
    /// It is signed, and says something that is not known here.
    #[error("it is signed, and is no statement of a release: {0}")]
    NoStatement(String),
    /// It is signed, and is of another kind.
    #[error("it is signed, and says `{0}`, not that something was released")]
    OtherPredicate(String),
    /// Signatures cannot be checked here.
    #[error("its signature cannot be checked: {0}")]
    Unchecked(String),
}

/// Standard or URL-safe, with padding or without: readers take both.
fn decoded(text: &str) -> Option<Vec<u8>> {
    let lenient = GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    let alphabet = if text.contains(['-', '_']) { &alphabet::URL_SAFE } else { &alphabet::STANDARD };
    GeneralPurpose::new(alphabet, lenient).decode(text).ok()
}

impl Envelope {
    /// A payload with one signature.
    pub fn of(payload: &[u8], keyid: String, signature: &[u8]) -> Self {
        Self {
            payload_type: PAYLOAD.to_owned(),
            payload: STANDARD.encode(payload),
            signatures: vec![Signed { keyid, sig: STANDARD.encode(signature) }],
        }
    }

    /// Reads one, without believing anything that it says.
    pub fn read(bytes: &[u8]) -> Result<Self, NotAttested> {
        serde_json::from_slice(bytes).map_err(|error| NotAttested::NoEnvelope(error.to_string()))
    }

    /// The payload's bytes.
    pub fn payload(&self) -> Result<Vec<u8>, NotAttested> {
        decoded(&self.payload).ok_or_else(|| NotAttested::NoEnvelope("its payload is no base64".to_owned()))
    }

    /// The signatures that have the length of one.
    fn signatures(&self) -> impl Iterator<Item = Signature> {
        self.signatures.iter().filter_map(|signed| decoded(&signed.sig)?.try_into().ok().map(Signature::from_bytes))
    }
}

/// Signs a statement for the edge of that name. The same statement always gets the same envelope.
pub async fn signed(payload: &[u8], by: &KeyName, signer: &impl Signer) -> Result<Envelope, SigningError> {
    let signature = signer.sign(&pre_authentication(PAYLOAD, payload)).await?;
    Ok(Envelope::of(payload, KeyId::of(by, signer.public_key()).to_string(), signature.as_bytes()))
}

/// What an envelope says that one of these keys has signed. Its own hint at a key is not asked: it may be of anybody.
pub async fn checked(
    envelope: &Envelope,
    keys: &[PublicKey],
    verifier: &impl Verifier,
) -> Result<Statement, NotAttested> {
    if envelope.payload_type != PAYLOAD {
        return Err(NotAttested::OtherPayload(envelope.payload_type.chars().take(100).collect()));
    }
    let payload = envelope.payload()?;
    let message = pre_authentication(PAYLOAD, &payload);
    for signature in envelope.signatures() {
        for key in keys {
            let is_good = verifier.verify(key, &message, &signature).await;
            if is_good.map_err(|error| NotAttested::Unchecked(error.to_string()))? {
                return stated(&payload);
            }
        }
    }
    Err(NotAttested::NotSigned)
}

/// What a payload says whose signature is good.
fn stated(payload: &[u8]) -> Result<Statement, NotAttested> {
    /// What says how the rest is to be read.
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Kind {
        #[serde(rename = "_type")]
        form: String,
        predicate_type: String,
    }
    let kind: Kind = serde_json::from_slice(payload).map_err(|error| NotAttested::NoStatement(error.to_string()))?;
    if kind.form != STATEMENT {
        return Err(NotAttested::NoStatement(format!("its form is `{}`", kind.form)));
    }
    if kind.predicate_type != PREDICATE {
        return Err(NotAttested::OtherPredicate(kind.predicate_type));
    }
    serde_json::from_slice(payload).map_err(|error| NotAttested::NoStatement(error.to_string()))
}

/// What an attestation must say to be that of a target.
#[derive(Clone, Copy, Debug)]
pub struct Expected<'a> {
    /// The project's id.
    pub project_id: u64,
    /// The release.
    pub version: &'a Version,
    /// The package.
    pub key: &'a Key,
    /// Its bytes.
    pub digest: &'a Digest,
    /// The public repository, by its server's address and its name.
    pub repository: &'a str,
    /// The distro version of a file.
    pub distro: Option<&'a str>,
    /// The tag of an image.
    pub tag: Option<&'a str>,
}

/// What a statement says otherwise than it must, each in a sentence: one that is good for another target is not for this.
pub fn differences(statement: &Statement, expected: &Expected<'_>) -> Vec<String> {
    let Statement { subject, predicate, .. } = statement;
    let mut differences = Vec::new();
    let mut differs = |what: &str, said: &str, wanted: &str| {
        if said != wanted {
            differences.push(format!("it is of the {what} `{said}`, not of `{wanted}`"));
        }
    };
    let nothing = "none";
    differs("project", &predicate.project.id.to_string(), &expected.project_id.to_string());
    differs("version", predicate.version.as_str(), expected.version.as_str());
    differs("package", predicate.key.as_str(), expected.key.as_str());
    let Location { repository, distro, tag, .. } = &predicate.destination;
    differs("repository", repository, expected.repository);
    differs("distro version", distro.as_deref().unwrap_or(nothing), expected.distro.unwrap_or(nothing));
    differs("tag", tag.as_deref().unwrap_or(nothing), expected.tag.unwrap_or(nothing));
    match subject.as_slice() {
        [one] if one.digest.is(expected.digest) => {}
        [one] => {
            differences.push(format!("it is of the bytes {}, not of {}", one.digest.sha256, expected.digest.hex()));
        }
        many => differences.push(format!("it is of {} subjects, not of one", many.len())),
    }
    differences
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn statement() -> Statement {
        let digest = Digest::of(b"package");
        let location = |repository: &str| Location {
            uri: format!("https://packages.example.com/{repository}/packages/ubuntu/jammy/tug_1.2.0_amd64.deb"),
            repository: format!("https://packages.example.com/{repository}"),
            distro: Some("ubuntu/jammy".to_owned()),
            tag: None,
        };
        let release = Release {
            releaser: Releaser { id: "https://slipway.example.com".to_owned() },
            project: Project { id: 1001, name: "tug".to_owned() },
            version: "1.2.0".parse().expect("a version"),
            key: "jammy-amd64".parse().expect("a key"),
            source: location("harbour-ci/pre-release"),
            destination: location("harbour/stable"),
            approval: Approval {
                id: 3,
                by: "mira".to_owned(),
                via: "job".to_owned(),
                at: "2026-11-23T10:04:11.000Z".to_owned(),
                job: Run { id: 81, uri: "https://gitlab.example.com/harbour/tug/-/jobs/81".to_owned() },
            },
            build: Build {
                commit: "0123456789012345678901234567890123456789".to_owned(),
                pipeline: Run { id: 7, uri: "https://gitlab.example.com/harbour/tug/-/pipelines/7".to_owned() },
            },
            released_at: "2026-11-23T10:05:00.000Z".to_owned(),
            outside: false,
            policy: Policy { digest: (&Digest::of(b"policy")).into() },
            audit: AuditRow { sequence: 12, digest: (&Digest::of(b"row")).into() },
        };
        Statement::of("tug_1.2.0_amd64.deb", &digest, release)
    }

    fn expected<'a>(version: &'a Version, key: &'a Key, digest: &'a Digest) -> Expected<'a> {
        Expected {
            project_id: 1001,
            version,
            key,
            digest,
            repository: "https://packages.example.com/harbour/stable",
            distro: Some("ubuntu/jammy"),
            tag: None,
        }
    }

    /// The example of DSSE's protocol, "Signature definition".
    #[test]
    fn what_is_signed_is_written_as_the_protocol_shows() {
        let signed = pre_authentication("http://example.com/HelloWorld", b"hello world");
        assert_eq!(signed, b"DSSEv1 29 http://example.com/HelloWorld 11 hello world");
    }

    #[test]
    fn a_type_cannot_flow_into_its_payload() {
        assert_ne!(pre_authentication("a", b"b 1 c"), pre_authentication("a 5 b", b"c"));
    }

    #[test]
    fn a_statement_has_the_fields_that_in_toto_names() {
        let payload = statement().payload().expect("JSON");
        let read: Value = serde_json::from_slice(&payload).expect("JSON");
        assert_eq!(read["_type"], "https://in-toto.io/Statement/v1");
        assert_eq!(read["predicateType"], "urn:slipway:release:v1");
        let subject = json!([{ "name": "tug_1.2.0_amd64.deb", "digest": { "sha256": Digest::of(b"package").hex() } }]);
        assert_eq!(read["subject"], subject);
        let predicate = &read["predicate"];
        assert_eq!(predicate["approval"]["by"], "mira");
        assert_eq!(predicate["approval"]["job"]["id"], 81);
        assert_eq!(predicate["build"]["commit"], "0123456789012345678901234567890123456789");
        assert_eq!(predicate["policy"]["digest"]["sha256"], Digest::of(b"policy").hex());
        assert_eq!(predicate["audit"], json!({ "sequence": 12, "digest": { "sha256": Digest::of(b"row").hex() } }));
        assert_eq!(predicate["destination"]["distro"], "ubuntu/jammy");
        assert_eq!((predicate.get("outside"), predicate["destination"].get("tag")), (None, None));
        assert_eq!(stated(&payload), Ok(statement()));
    }

    #[test]
    fn an_envelope_is_written_in_padded_base64_and_read_in_any() {
        let envelope = Envelope::of(b"\xfb\xff\xfe.", "key".to_owned(), &[0xff; 64]);
        let written = serde_json::to_value(&envelope).expect("JSON");
        assert_eq!(written["payloadType"], "application/vnd.in-toto+json");
        assert_eq!((&written["payload"], &written["signatures"][0]["keyid"]), (&json!("+//+Lg=="), &json!("key")));
        for payload in ["+//+Lg==", "+//+Lg", "-__-Lg==", "-__-Lg"] {
            let mut other = written.clone();
            other["payload"] = payload.into();
            let read = Envelope::read(other.to_string().as_bytes()).expect("an envelope");
            assert_eq!(read.payload().as_deref(), Ok(b"\xfb\xff\xfe.".as_slice()), "{payload}");
            let signatures: Vec<Signature> = read.signatures().collect();
            assert_eq!(signatures, [Signature::from_bytes([0xff; 64])]);
        }
    }

    #[test]
    fn what_is_no_envelope_of_a_statement_is_refused() {
        for text in ["", "[]", r#"{"payload":"","signatures":[]}"#] {
            let error = Envelope::read(text.as_bytes()).expect_err(text).to_string();
            assert!(error.contains("it is no envelope"), "{text}: {error}");
        }
        let (ours, by) =
            (Toy(PublicKey::from_bytes([1; 32])), KeyName::of(&"https://s.example.com".parse().expect("an address")));
        let mut other = now(signed(b"{}", &by, &ours)).expect("it signs");
        other.payload_type = "text/plain".to_owned();
        assert_eq!(now(checked(&other, &[ours.0], &ours)), Err(NotAttested::OtherPayload("text/plain".to_owned())));
        let envelope = r#"{"payloadType":"application/vnd.in-toto+json","payload":"!","signatures":[{"sig":"AA=="}]}"#;
        let envelope = Envelope::read(envelope.as_bytes()).expect("an envelope");
        assert!(envelope.payload().is_err() && envelope.signatures().next().is_none());
    }

    #[test]
    fn a_statement_of_another_kind_is_refused() {
        let read: Value = serde_json::from_slice(&statement().payload().expect("JSON")).expect("JSON");
        for (field, value, why) in [
            ("_type", "https://in-toto.io/Statement/v0.1", "its form is"),
            ("predicateType", "https://slsa.dev/provenance/v1", "https://slsa.dev/provenance/v1"),
            ("predicate", "", "no statement of a release"),
        ] {
            let mut other = read.clone();
            other[field] = value.into();
            let error = stated(other.to_string().as_bytes()).expect_err(field).to_string();
            assert!(error.contains(why), "{field}: {error}");
        }
        // What is added later is passed over.
        let mut more = read;
        more["predicate"]["more"] = json!({ "x": 1 });
        assert!(stated(more.to_string().as_bytes()).is_ok());
    }

    /// A key pair of no cryptography at all: a signature is the digest of the key and the message, twice.
    struct Toy(PublicKey);

    fn toy(key: &PublicKey, message: &[u8]) -> Signature {
        let half = Digest::of(&[key.as_bytes().as_slice(), message].concat()).hex();
        Signature::from_bytes(half.as_bytes().try_into().expect("64 hex digits"))
    }

    impl Signer for Toy {
        fn public_key(&self) -> &PublicKey {
            &self.0
        }

        async fn sign(&self, message: &[u8]) -> Result<Signature, SigningError> {
            Ok(toy(&self.0, message))
        }
    }

    impl Verifier for Toy {
        async fn verify(&self, key: &PublicKey, message: &[u8], signature: &Signature) -> Result<bool, SigningError> {
            Ok(toy(key, message) == *signature)
        }
    }

    fn now<T>(future: impl Future<Output = T>) -> T {
        match std::pin::pin!(future).poll(&mut std::task::Context::from_waker(std::task::Waker::noop())) {
            std::task::Poll::Ready(value) => value,
            std::task::Poll::Pending => panic!("nothing here waits"),
        }
    }

    #[test]
    fn what_one_of_the_known_keys_has_signed_is_believed_and_nothing_else() {
        let [ours, former, theirs] = [1, 2, 3].map(|byte| Toy(PublicKey::from_bytes([byte; 32])));
        let keys = [ours.0, former.0];
        let by = KeyName::of(&"https://slipway.example.com".parse().expect("an address"));
        let payload = statement().payload().expect("JSON");
        let check = |envelope: &Envelope| now(checked(envelope, &keys, &ours));
        for signer in [&ours, &former] {
            let envelope = now(signed(&payload, &by, signer)).expect("it signs");
            assert_eq!(envelope.signatures[0].keyid, KeyId::of(&by, &signer.0).to_string());
            assert_eq!(check(&envelope), Ok(statement()));
        }
        let strange = now(signed(&payload, &by, &theirs)).expect("it signs");
        assert_eq!(check(&strange), Err(NotAttested::NotSigned));
        // A hint at a known key changes nothing.
        let mut hinted = strange.clone();
        hinted.signatures[0].keyid = KeyId::of(&by, &ours.0).to_string();
        assert_eq!(check(&hinted), Err(NotAttested::NotSigned));
        let good = now(signed(&payload, &by, &ours)).expect("it signs");
        let mut both = strange;
        both.signatures.extend(good.signatures.clone());
        assert_eq!(check(&both), Ok(statement()));
        for index in 0..payload.len() {
            let mut changed = payload.clone();
            changed[index] ^= 1;
            let forged = Envelope { payload: STANDARD.encode(&changed), ..good.clone() };
            assert_eq!(check(&forged), Err(NotAttested::NotSigned), "byte {index}");
        }
        // The payload without its type.
        let bare = Envelope::of(&payload, String::new(), toy(&ours.0, &payload).as_bytes());
        assert_eq!(check(&bare), Err(NotAttested::NotSigned));
    }

    #[test]
    fn an_attestation_of_another_target_is_none_of_this_one() {
        let statement = statement();
        let (version, key): (Version, Key) =
            ("1.2.0".parse().expect("a version"), "jammy-amd64".parse().expect("a key"));
        let digest = Digest::of(b"package");
        let right = expected(&version, &key, &digest);
        assert_eq!(differences(&statement, &right), Vec::<String>::new());
        let (other_version, other_key) = ("1.2.1".parse().expect("a version"), "noble-amd64".parse().expect("a key"));
        let other_digest = Digest::of(b"other");
        for (other, why) in [
            (Expected { project_id: 1002, ..right }, "project `1001`"),
            (Expected { version: &other_version, ..right }, "version `1.2.0`"),
            (Expected { key: &other_key, ..right }, "package `jammy-amd64`"),
            (Expected { digest: &other_digest, ..right }, "of the bytes"),
            (Expected { repository: "https://packages.example.com/harbour/other", ..right }, "repository"),
            (Expected { distro: Some("ubuntu/noble"), ..right }, "distro version `ubuntu/jammy`"),
            (Expected { distro: None, tag: Some("1.2.0"), ..right }, "tag `none`"),
        ] {
            let differences = differences(&statement, &other).join("; ");
            assert!(differences.contains(why), "{why} is not in: {differences}");
        }
        let mut several = statement.clone();
        several.subject.extend(statement.subject);
        assert!(!differences(&several, &right).is_empty());
    }
}
