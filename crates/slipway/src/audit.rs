//! `slipway audit` writes a project's audit and its signed heads to files; `slipway verify --audit` checks such files, and asks
//! nobody.
//!
//! The rows prove their order and contents. What was cut off at the end, and a chain that was computed anew, is found by a head
//! that was kept elsewhere, so without one the answer says loudly what it does not prove.

use serde::Serialize;
use slipway_core::audit::{Broken, Check, Head, Passed};
use slipway_core::signing::TrustedKey;
use slipway_core::signing::note::Note;
use slipway_core::time::Timestamp;
use slipway_webcrypto::WebCrypto;

use crate::args;
use crate::edge::Edge;
use crate::exit::{Exit, Failure};
use crate::host;
use crate::say::Say;
use crate::settings::Settings;

/// How much of an export is in memory at a time.
const PIECE_BYTES: u32 = 4 << 20;

/// A head whose signature holds.
#[derive(Debug, Serialize)]
struct Believed {
    row: u64,
    at: String,
    edge: String,
    project: u64,
    signed_by: String,
}

/// How long the beginning is that every export has as lines of JSON, `{"sequence":`.
const FIRST_NAME_BYTES: usize = 12;

/// What was found to hold.
#[derive(Debug, Serialize)]
struct Report {
    audit: String,
    rows: u64,
    last_hash: String,
    /// The last row that a signed head proves. 0 where there is none.
    proven: u64,
    heads: Vec<Believed>,
}

/// `slipway verify --audit`.
pub(crate) async fn verify(options: &args::VerifyAudit, say: Say) -> Result<(), Failure> {
    let heads = heads(options).await?;
    let path = &options.audit;
    if let Some(project) = options.project
        && let Some((head, _)) = heads.iter().find(|(head, _)| head.project != project)
    {
        let why = format!("It is of project {} at {}, and not of project {project}.", head.project, head.edge.as_str());
        return Err(Failure::new(Exit::Differences, format!("the audit `{path}` is another project's"), [why]));
    }
    let started_ms = host::now_ms();
    let passed = match rows(path, heads.iter().map(|(head, _)| head)).await? {
        Ok(passed) => passed,
        Err(broken) => return Err(differs(path, &broken)),
    };
    let seconds = (host::now_ms() - started_ms) / 1000.0;
    let Passed { rows, hash, proven } = passed;
    say.line(&format!("{path}: {rows} rows, an unbroken chain from the first to the last ({seconds:.1} s)"));
    say.lines(&proofs(rows, proven, &heads));
    let heads = heads.into_iter().map(|(head, by)| Believed {
        row: head.sequence,
        at: head.at.to_string(),
        edge: head.edge.as_str().to_owned(),
        project: head.project,
        signed_by: by.to_string(),
    });
    say.answer(&Report { audit: path.clone(), rows, last_hash: hash.hex(), proven, heads: heads.collect() })
}

/// What differs. Where nothing at all reads as a row, another file was given more likely than the audit was forged, and it
/// is a difference all the same: nothing was proved.
fn differs(path: &str, broken: &Broken) -> Failure {
    let (doing, next) = match broken {
        Broken::Empty | Broken::Torn(1) | Broken::Form { row: 1, byte: 0..FIRST_NAME_BYTES } => (
            format!("`{path}` does not read as the export of an audit"),
            Some(
                "Is it a file that `slipway audit FILE` has written? The signed heads beside it, `FILE.heads`, go to `--head`.",
            ),
        ),
        _ => (format!("the audit `{path}` is not the one that was written"), None),
    };
    Failure::new(Exit::Differences, doing, std::iter::once(format!("{broken}.")).chain(next.map(str::to_owned)))
}

/// What the heads prove, and what is not proved.
fn proofs(rows: u64, proven: u64, heads: &[(Head, TrustedKey)]) -> Vec<String> {
    let Some((newest, by)) = heads.iter().max_by_key(|(head, _)| head.sequence) else {
        return vec![
            "NOT PROVED: that this is all. Rows may be missing at the end, and whoever can write the database could have computed \
             the whole chain anew."
                .to_owned(),
            "Give a head that was kept elsewhere, `--head FILE`, and the key it was signed with, `--key FILE`.".to_owned(),
        ];
    };
    let Head { edge, project, at, .. } = newest;
    let mut lines = vec![format!(
        "proved by {} signed by {by}: rows 1 to {proven} are those of project {project} at {}, as of {at}",
        if heads.len() == 1 { "the head".to_owned() } else { format!("{} heads, the newest", heads.len()) },
        edge.as_str(),
    )];
    if proven < rows {
        lines.push(format!(
            "not proved: rows {} to {rows} came after the newest head, so others may have followed them",
            proven + 1
        ));
    }
    lines
}

/// Reads an export through.
async fn rows<'a>(path: &str, heads: impl Iterator<Item = &'a Head>) -> Result<Result<Passed, Broken>, Failure> {
    let mut check = match Check::new(heads) {
        Ok(check) => check,
        Err(broken) => return Ok(Err(broken)),
    };
    let mut offset = 0;
    loop {
        let piece = host::read_at(path, offset, PIECE_BYTES).await.map_err(|why| unread(path, why))?;
        if piece.is_empty() {
            return Ok(check.end());
        }
        offset += piece.len() as u64;
        if let Err(broken) = check.read(&piece) {
            return Ok(Err(broken));
        }
    }
}

/// The heads of the files, each with the key that signed it. All are of one audit.
async fn heads(options: &args::VerifyAudit) -> Result<Vec<(Head, TrustedKey)>, Failure> {
    let mut heads: Vec<(Head, TrustedKey)> = Vec::new();
    let Some(path) = &options.key else { return Ok(heads) };
    let keys = host::read_text(path).await.map_err(|why| unread(path, why))?;
    let keys = TrustedKey::all(&keys).map_err(|error| unread(path, error.to_string()))?;
    for path in &options.heads {
        let text = host::read_text(path).await.map_err(|why| unread(path, why))?;
        let notes = Note::all(&text).map_err(|error| unread(path, error.to_string()))?;
        if notes.is_empty() {
            return Err(unread(path, "there is no signed head in it".to_owned()));
        }
        for note in notes {
            let refused = |why: String| {
                Failure::new(
                    Exit::Differences,
                    format!("a head in `{path}` is not to be believed"),
                    [format!("{why}.")],
                )
            };
            let by = note.signed_by(&keys, &WebCrypto).await.map_err(|error| refused(error.to_string()))?;
            let head: Head = note
                .text()
                .parse()
                .map_err(|error: slipway_core::audit::head::InvalidHead| refused(error.to_string()))?;
            if let Some((first, _)) = heads.first()
                && (&first.edge, first.project) != (&head.edge, head.project)
            {
                let why = format!(
                    "It is of project {} at {}, and another one is of project {} at {}",
                    head.project,
                    head.edge.as_str(),
                    first.project,
                    first.edge.as_str()
                );
                return Err(refused(why));
            }
            heads.push((head, by));
        }
    }
    Ok(heads)
}

fn unread(path: &str, why: String) -> Failure {
    Failure::new(Exit::Misused, format!("cannot read `{path}`"), [why])
}

/// What `slipway audit` has written.
#[derive(Debug, Serialize)]
struct Exported {
    audit: String,
    rows: u64,
    heads: String,
    /// The newest head's row, and when it was signed.
    signed: Option<(u64, Timestamp)>,
}

/// `slipway audit FILE`: the rows to `FILE`, the heads beside them.
pub(crate) async fn export(options: &args::Audit, settings: &Settings, say: Say) -> Result<(), Failure> {
    let (edge, _) = Edge::open(settings, options.timeout_s).await?;
    let path = &options.file;
    let beside = format!("{path}.heads");
    let doing = format!("cannot export the audit of {}", settings.project);
    let unwritten = |path: &str, why: String| Failure::new(Exit::Failed, format!("cannot write `{path}`"), [why]);
    // The heads first: one that is signed from now on may be of a row that comes later.
    let (mut first, mut newest) = (1, None);
    host::write_text(&beside, "").await.map_err(|why| unwritten(&beside, why))?;
    loop {
        let page = edge.heads(first).await.map_err(|error| error.failure(&doing))?;
        host::append_text(&beside, &page.text).await.map_err(|why| unwritten(&beside, why))?;
        let last = Note::all(&page.text).ok().and_then(|notes| notes.last()?.text().parse::<Head>().ok());
        newest = last.as_ref().map(|head| (head.sequence, head.at)).or(newest);
        match last.filter(|_| page.goes_on) {
            Some(head) => first = head.sequence + 1,
            None => break,
        }
        host::append_text(&beside, "\n").await.map_err(|why| unwritten(&beside, why))?;
    }
    let mut rows = 0;
    host::write_text(path, "").await.map_err(|why| unwritten(path, why))?;
    loop {
        let page = edge.audit(rows + 1).await.map_err(|error| error.failure(&doing))?;
        host::append_text(path, &page.text).await.map_err(|why| unwritten(path, why))?;
        let read = page.text.lines().count() as u64;
        rows += read;
        if !page.goes_on || read == 0 {
            break;
        }
    }
    say.line(&format!("{rows} rows of {} in `{path}`", settings.project));
    say.line(&match newest {
        Some((row, at)) => format!("signed heads in `{beside}`, the newest of row {row}, of {at}"),
        None => format!(
            "no head is signed here, so `{beside}` is empty: `[edge] signing_key` in slipway.toml names the key"
        ),
    });
    say.answer(&Exported { audit: path.clone(), rows, heads: beside, signed: newest })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_head_it_is_said_loudly_what_is_not_proved() {
        let said = proofs(7, 0, &[]).join("\n");
        assert!(said.contains("NOT PROVED") && said.contains("--head FILE"), "{said}");
    }

    #[test]
    fn rows_after_the_newest_head_are_named() {
        let head = |sequence| Head {
            edge: "https://slipway.example.com".parse().expect("an address"),
            project: 1001,
            sequence,
            hash: slipway_core::audit::GENESIS,
            at: Timestamp(1_795_392_000_000),
        };
        let key = TrustedKey { name: None, key: slipway_core::signing::PublicKey::from_bytes([7; 32]) };
        let said = proofs(7, 5, &[(head(1), key.clone()), (head(5), key.clone())]).join("\n");
        assert!(said.contains("2 heads") && said.contains("rows 1 to 5") && said.contains("rows 6 to 7"), "{said}");
        let said = proofs(5, 5, &[(head(5), key)]).join("\n");
        assert!(said.contains("project 1001") && !said.contains("not proved"), "{said}");
    }
}
