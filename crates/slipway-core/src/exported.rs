//! What is signed of an export of a project's record: how many lines it has, and their digest.
//!
//! The text has five lines, and is signed as a [note](crate::signing::note). It stands in the export's last line, so a file that
//! somebody has changed or made is told from one that an edge with this key has written.

use std::fmt;

use slipway_wire::{Base, Digest};

use crate::signing::note::{NotBelieved, Note};
use crate::signing::{KeyName, Signer, SigningError, TrustedKey, Verifier};

/// The first line, which keeps any other signed text from passing for an export.
const ORIGIN: &str = "slipway-export-v1";

/// An export, by its lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exported {
    /// The project, by GitLab's id.
    pub project: u64,
    /// How many lines stand before the last one.
    pub lines: u64,
    /// The SHA-256 of their bytes.
    pub sha256: Digest,
}

/// Why an export is not believed.
#[derive(Debug, thiserror::Error)]
pub enum NotGenuine {
    /// Nobody has signed it.
    #[error("it is not signed")]
    Unsigned,
    /// What is signed is something else.
    #[error("its signature is not one of these lines")]
    Other,
    /// It is signed by nobody who is trusted.
    #[error(transparent)]
    NotBelieved(#[from] NotBelieved),
}

impl Exported {
    /// What an edge signs of it.
    fn text(&self, edge: &str) -> String {
        let Self { project, lines, sha256 } = self;
        format!("{ORIGIN}\n{edge}\n{project}\n{lines}\n{}\n", sha256.hex())
    }

    /// The export as a signed note, under the edge's own name.
    pub async fn sign(&self, edge: &Base, signer: &impl Signer) -> Result<Note, SigningError> {
        Note::sign(self.text(edge.as_str()), &KeyName::of(edge), signer).await
    }

    /// Checks that a key that is trusted has signed exactly these lines. The edge may have had another address then.
    pub async fn check(
        &self,
        note: Option<&str>,
        keys: &[TrustedKey],
        verifier: &impl Verifier,
    ) -> Result<TrustedKey, NotGenuine> {
        let notes = Note::all(note.ok_or(NotGenuine::Unsigned)?).map_err(|_| NotGenuine::Other)?;
        let [note] = notes.as_slice() else { return Err(NotGenuine::Other) };
        let edge = note.text().lines().nth(1).unwrap_or_default();
        if note.text() != self.text(edge) {
            return Err(NotGenuine::Other);
        }
        Ok(note.signed_by(keys, verifier).await?)
    }
}

impl fmt::Display for Exported {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} lines of project {}, {}", self.lines, self.project, self.sha256)
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use super::*;
    use crate::audit::tests::signer::{self, Native};

    /// Nothing here waits.
    fn now<T>(future: impl Future<Output = T>) -> T {
        let Poll::Ready(value) = pin!(future).poll(&mut Context::from_waker(Waker::noop())) else {
            panic!("it waits");
        };
        value
    }

    fn export() -> Exported {
        Exported { project: 1001, lines: 12, sha256: Digest::of(b"lines") }
    }

    fn edge() -> Base {
        "https://slipway.example.com".parse().expect("an address")
    }

    fn signed(seed: u8) -> String {
        now(export().sign(&edge(), &signer::key([seed; 32]))).expect("a signature").to_string()
    }

    fn trusted(seeds: &[u8]) -> Vec<TrustedKey> {
        seeds.iter().map(|seed| TrustedKey { name: None, key: *signer::key([*seed; 32]).public_key() }).collect()
    }

    #[test]
    fn an_export_is_believed_that_one_of_the_keys_has_signed_the_present_one_or_a_former_one() {
        for keys in [&[1][..], &[2, 1]] {
            now(export().check(Some(&signed(1)), &trusted(keys), &Native)).expect("it is genuine");
        }
        assert!(matches!(
            now(export().check(Some(&signed(1)), &trusted(&[2]), &Native)),
            Err(NotGenuine::NotBelieved(NotBelieved::Unknown(_)))
        ));
    }

    #[test]
    fn an_export_that_nobody_signed_or_of_which_anything_was_changed_is_not_believed() {
        let check = |export: &Exported, note: Option<&str>| now(export.check(note, &trusted(&[1]), &Native));
        assert!(matches!(check(&export(), None), Err(NotGenuine::Unsigned)));
        let note = signed(1);
        for changed in [
            Exported { project: 1002, ..export() },
            Exported { lines: 13, ..export() },
            Exported { sha256: Digest::of(b"other lines"), ..export() },
        ] {
            assert!(matches!(check(&changed, Some(&note)), Err(NotGenuine::Other)), "{changed}");
            // The same with the text made to fit.
            let forged = note.replace(&export().text(edge().as_str()), &changed.text(edge().as_str()));
            let forged = check(&changed, Some(&forged));
            assert!(matches!(forged, Err(NotGenuine::NotBelieved(NotBelieved::Forged { .. }))), "{changed}");
        }
        for other in ["", "a word", &format!("{note}\n{note}"), &note.replace("export", "audit-head")] {
            assert!(matches!(check(&export(), Some(other)), Err(NotGenuine::Other)), "{other}");
        }
    }
}
