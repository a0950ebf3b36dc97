//! Signed notes (<https://c2sp.org/signed-note>): a text, an empty line, and a line for each signature. They can be read by
//! people, copied by hand, and checked by programs that know nothing of Slipway.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::{KeyId, KeyName, Signature, Signer, SigningError, TrustedKey, Verifier};

/// What a line with a signature begins with: an em dash and a space.
const SIGNATURE: &str = "\u{2014} ";
/// A note is small. Somebody else's file need not be.
const SIGNATURES_MAX: usize = 16;

/// A text with signatures.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    text: String,
    signatures: Vec<Item>,
}

/// One signature, whoever made it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Item {
    name: KeyName,
    id: KeyId,
    /// By another kind of key it has another length.
    signature: Vec<u8>,
}

/// Text that is no note.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line} is not part of a signed note: {why}")]
pub struct InvalidNote {
    line: usize,
    why: &'static str,
}

/// Why a note is not believed.
#[derive(Debug, thiserror::Error)]
pub enum NotBelieved {
    /// No key is known that could have signed it.
    #[error("it is signed by {0}, and that is none of the keys that are trusted")]
    Unknown(String),
    /// It says it is signed by a key that has not signed it.
    #[error("its signature by {name}+{id} is wrong: it was not made by this key for this text")]
    Forged {
        /// Whose key.
        name: KeyName,
        /// Which.
        id: KeyId,
    },
    /// Nothing can be said.
    #[error(transparent)]
    Cryptography(#[from] SigningError),
}

impl Note {
    /// Signs a text. It must end with a line's end.
    pub async fn sign(text: String, name: &KeyName, signer: &impl Signer) -> Result<Self, SigningError> {
        let signature = signer.sign(text.as_bytes()).await?.as_bytes().to_vec();
        let id = KeyId::of(name, signer.public_key());
        Ok(Self { text, signatures: vec![Item { name: name.clone(), id, signature }] })
    }

    /// What was signed.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Finds the first key that is trusted and has signed it. Signatures by keys that nobody knows are passed over, and one
    /// wrong signature by a key that is known makes the note worth nothing, as signed notes have it.
    pub async fn signed_by(&self, keys: &[TrustedKey], verifier: &impl Verifier) -> Result<TrustedKey, NotBelieved> {
        let mut found = None;
        for Item { name, id, signature } in &self.signatures {
            let Some(key) = keys.iter().find(|key| key.is_called(name, *id)) else { continue };
            let signature: Option<[u8; 64]> = signature.as_slice().try_into().ok();
            let holds = match signature.map(Signature::from_bytes) {
                Some(signature) => verifier.verify(&key.key, self.text.as_bytes(), &signature).await?,
                None => false,
            };
            if !holds {
                return Err(NotBelieved::Forged { name: name.clone(), id: *id });
            }
            found.get_or_insert_with(|| TrustedKey { name: Some(name.clone()), key: key.key });
        }
        found.ok_or_else(|| {
            let names = self.signatures.iter().map(|Item { name, id, .. }| format!("`{name}+{id}`"));
            NotBelieved::Unknown(names.collect::<Vec<_>>().join(" and "))
        })
    }

    /// All notes of a text, in which they stand one after another, with or without empty lines between.
    pub fn all(text: &str) -> Result<Vec<Self>, InvalidNote> {
        let mut notes: Vec<Self> = Vec::new();
        let mut body = String::new();
        // Whether the empty line that ends a note's text was the last line.
        let mut ended = false;
        let mut number = 0;
        for line in text.split_inclusive('\n') {
            number += 1;
            let invalid = |why| InvalidNote { line: number, why };
            let Some(content) = line.strip_suffix('\n') else { return Err(invalid("it does not end")) };
            if content.chars().any(char::is_control) {
                return Err(invalid("it has control characters"));
            }
            match (content.strip_prefix(SIGNATURE), content.is_empty()) {
                (Some(item), _) => {
                    let item = Item::read(item).ok_or_else(|| invalid("it is no signature"))?;
                    if ended && !body.is_empty() {
                        notes.push(Self { text: std::mem::take(&mut body), signatures: Vec::new() });
                    }
                    let note = notes.last_mut().filter(|_| body.is_empty());
                    let note = note.ok_or_else(|| invalid("there is no text that it could sign"))?;
                    if note.signatures.len() == SIGNATURES_MAX {
                        return Err(invalid("there are too many signatures"));
                    }
                    note.signatures.push(item);
                    ended = false;
                }
                // Between two notes.
                (None, true) if body.is_empty() => {}
                (None, true) => {
                    if ended {
                        body.push('\n');
                    }
                    ended = true;
                }
                (None, false) => {
                    if ended {
                        body.push('\n');
                    }
                    ended = false;
                    body.push_str(line);
                }
            }
        }
        if body.is_empty() {
            Ok(notes)
        } else {
            Err(InvalidNote { line: number, why: "no signature follows the text" })
        }
    }
}

impl Item {
    fn read(text: &str) -> Option<Self> {
        let (name, signature) = text.split_once(' ')?;
        let bytes = STANDARD.decode(signature).ok()?;
        let (id, signature) = bytes.split_first_chunk::<4>()?;
        Some(Self { name: KeyName::read(name)?, id: KeyId::from_bytes(*id), signature: signature.to_vec() })
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.text)?;
        for Item { name, id, signature } in &self.signatures {
            let signature = STANDARD.encode([id.as_bytes(), signature.as_slice()].concat());
            writeln!(f, "{SIGNATURE}{name} {signature}")?;
        }
        Ok(())
    }
}
