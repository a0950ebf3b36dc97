//! What must be true of all of it together.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde_json::Value;

use crate::{Audit, Entry, Image, Listed, Row};

/// How far two clocks may be apart.
const SKEW_MS: i64 = 2000;

/// What is judged.
#[derive(Clone, Debug, Default)]
pub struct Evidence {
    /// The audits of all projects that release into these repositories.
    pub audits: Vec<Audit>,
    /// What the package server accepted.
    pub journal: Vec<Entry>,
    /// The users of the package server that stand for Slipway. What others write is theirs to answer for.
    pub own_users: BTreeSet<String>,
    /// The public repositories of packages.
    pub public: BTreeSet<String>,
    /// What their indexes list.
    pub listed: Vec<Listed>,
    /// The tags of public registries, by what the audits released.
    pub images: Vec<Image>,
}

impl Evidence {
    /// The indexes to be read, by what was ever written into a public repository: repository, distro version, architecture, and
    /// whether it is one of rpms.
    pub fn indexes(&self) -> BTreeSet<(String, String, String, bool)> {
        let public = self.journal.iter().filter(|entry| self.public.contains(&entry.repository));
        let indexes = public.filter_map(|entry| {
            let (front, kind) = entry.filename.rsplit_once('.')?;
            let is_rpm = match kind {
                "deb" => false,
                "rpm" => true,
                _ => return None,
            };
            let (_, architecture) = front.rsplit_once(if is_rpm { '.' } else { '_' })?;
            // What is for every architecture is in the index of each.
            let architecture = match architecture {
                "all" => "amd64",
                "noarch" => "x86_64",
                other => other,
            };
            Some((entry.repository.clone(), entry.distro.clone(), architecture.to_owned(), is_rpm))
        });
        indexes.collect()
    }

    /// The tags that the audits call released.
    pub fn released_tags(&self) -> BTreeSet<String> {
        let released = self.audits.iter().flat_map(|audit| said(audit).1);
        released.filter(|said| said.filename.is_none()).map(|said| said.under).collect()
    }
}

/// Something that must not be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Which rule was broken, in one word.
    pub rule: &'static str,
    /// What was found.
    pub what: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.rule, self.what)
    }
}

/// A target, as a person approved it or the edge released it.
#[derive(Clone, Debug)]
struct Said {
    at_ms: i64,
    /// The file's name, or `None` of an image.
    filename: Option<String>,
    /// A distro version or a tag.
    under: String,
    /// 64 hex digits.
    digest: String,
    /// For people.
    whose: String,
    outside: bool,
}

fn hex(value: &Value) -> String {
    let text = value.as_str().unwrap_or_default();
    text.strip_prefix("sha256:").unwrap_or(text).to_owned()
}

/// The file that a row is about: declared under its subject before, with these bytes.
fn filename(rows: &[Row], row: &Row, digest: &str) -> Option<String> {
    let mut declared = rows.iter().rev().filter(|of| {
        of.sequence < row.sequence
            && of.subject == row.subject
            && ["declared", "replaced"].contains(&of.action.as_str())
            && hex(&of.details["digest"]) == digest
    });
    declared.next().and_then(|row| row.details["filename"].as_str()).map(str::to_owned)
}

fn texts(value: &Value) -> Vec<String> {
    value.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}

/// What an audit says was approved, and what it says was released.
fn said(audit: &Audit) -> (Vec<Said>, Vec<Said>) {
    let (mut approved, mut released) = (Vec::new(), Vec::new());
    for row in &audit.rows {
        let details = &row.details;
        let digest = hex(&details["digest"]);
        let whose = format!("{} {} (row {})", audit.project, row.subject, row.sequence);
        let outside = details["outside"] == true;
        let said = |under: String| Said {
            at_ms: row.at_ms,
            filename: filename(&audit.rows, row, &digest),
            under,
            digest: digest.clone(),
            whose: whose.clone(),
            outside,
        };
        let one = details["distro"].as_str().or(details["tag"].as_str()).map(str::to_owned);
        match row.action.as_str() {
            "approved" => {
                approved.extend(texts(&details["distros"]).into_iter().chain(texts(&details["tags"])).map(said));
            }
            "released" => released.extend(one.map(said)),
            // A whole repository is adopted, too, and then no target is meant.
            "adopted" if outside => released.extend(one.map(said)),
            _ => {}
        }
    }
    (approved, released)
}

/// Whether some row tells of a deletion of these bytes.
fn is_told_of(audits: &[Audit], actions: &[&str], digest: &str) -> bool {
    let rows = audits.iter().flat_map(|audit| &audit.rows);
    let mut told = rows.filter(|row| actions.iter().any(|action| row.action.starts_with(action)));
    told.any(|row| row.details.to_string().contains(digest))
}

/// Everything that must not be, in the order in which it is looked for.
pub fn judge(evidence: &Evidence) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut find = |rule, what: String| findings.push(Finding { rule, what });
    let (mut approved, mut released) = (Vec::new(), Vec::new());
    for audit in &evidence.audits {
        if let Some(broken) = &audit.broken {
            find("chain", format!("the audit of {}: {broken}", audit.project));
        }
        let (more_approved, more_released) = said(audit);
        approved.extend(more_approved);
        released.extend(more_released);
    }

    let there = judge_writes(evidence, &approved, &mut find);
    judge_listed(evidence, &there, &mut find);
    judge_claims(evidence, &released, &mut find);
    findings
}

/// Repository, distro version and file name.
type Name<'a> = (&'a str, &'a str, &'a str);

/// What was written, in its order, and what is there at its end.
fn judge_writes<'a>(
    evidence: &'a Evidence,
    approved: &[Said],
    find: &mut impl FnMut(&'static str, String),
) -> BTreeMap<Name<'a>, &'a Entry> {
    let mut there: BTreeMap<Name<'_>, &Entry> = BTreeMap::new();
    let mut published: BTreeMap<Name<'_>, &Entry> = BTreeMap::new();
    for entry in &evidence.journal {
        let name = (entry.repository.as_str(), entry.distro.as_str(), entry.filename.as_str());
        let is_own = evidence.own_users.contains(&entry.user);
        let is_public = evidence.public.contains(&entry.repository);
        let shown = format!("{} {} {}", entry.repository, entry.distro, entry.filename);
        if !entry.adds {
            there.remove(&name);
            // A move takes the file from staging.
            let actions: &[&str] = if is_public { &["withdr"] } else { &["replaced", "delet", "approved"] };
            if is_own && !is_told_of(&evidence.audits, actions, &entry.sha256) {
                find("unspoken", format!("write {} deleted {shown}, and no audit says why", entry.seq));
            }
            continue;
        }
        if let Some(before) = there.insert(name, entry)
            && is_public
        {
            let how = if before.sha256 == entry.sha256 { "twice" } else { "overwritten" };
            find(how, format!("{shown}: write {} put {} over {}", entry.seq, entry.sha256, before.sha256));
        }
        if !is_public || !is_own {
            continue;
        }
        let fits = |said: &&Said| {
            said.filename.as_deref() == Some(entry.filename.as_str())
                && said.under == entry.distro
                && said.digest == entry.sha256
        };
        match approved.iter().filter(fits).map(|said| said.at_ms).min() {
            None => find(
                "unapproved",
                format!("{shown}: write {} published {}, which nobody approved", entry.seq, entry.sha256),
            ),
            Some(at_ms) if at_ms > entry.at_ms + SKEW_MS => {
                find("too-early", format!("{shown}: write {} published it before it was approved", entry.seq));
            }
            Some(_) => {}
        }
        if let Some(before) = published.insert(name, entry)
            && before.sha256 != entry.sha256
        {
            find("other-bytes", format!("{shown}: published as {}, and again as {}", before.sha256, entry.sha256));
        }
    }
    there
}

/// What anybody gets.
fn judge_listed(evidence: &Evidence, there: &BTreeMap<Name<'_>, &Entry>, find: &mut impl FnMut(&'static str, String)) {
    for listed in &evidence.listed {
        let name = (listed.repository.as_str(), listed.distro.as_str(), listed.filename.as_str());
        let shown = format!("{} {} {}", listed.repository, listed.distro, listed.filename);
        if listed.bytes.as_ref().is_some_and(|bytes| *bytes != listed.promised) {
            find("not-as-promised", format!("{shown}: its bytes have not the digest that the index promises"));
        }
        match there.get(&name) {
            None => find("from-nowhere", format!("{shown} is served, and no write brought it there")),
            Some(entry) if entry.sha256 != listed.promised => {
                find(
                    "other-than-written",
                    format!("{shown}: {} is served, {} was written", listed.promised, entry.sha256),
                );
            }
            Some(_) => {}
        }
    }
}

/// What the audits claim.
fn judge_claims(evidence: &Evidence, released: &[Said], find: &mut impl FnMut(&'static str, String)) {
    for said in released {
        let Some(filename) = &said.filename else {
            judge_image(evidence, said, find);
            continue;
        };
        let writes = evidence.journal.iter().filter(|entry| {
            entry.filename == *filename && entry.distro == said.under && evidence.public.contains(&entry.repository)
        });
        let writes: Vec<&Entry> = writes.collect();
        let what = format!("{}: `{filename}` for {}", said.whose, said.under);
        let was_there =
            writes.iter().any(|entry| entry.adds && entry.sha256 == said.digest && entry.at_ms <= said.at_ms + SKEW_MS);
        if !was_there {
            find("never-published", format!("{what} is called released, and nobody published it before"));
            continue;
        }
        let own = writes
            .iter()
            .any(|entry| entry.adds && evidence.own_users.contains(&entry.user) && entry.sha256 == said.digest);
        if !own && !said.outside {
            find("not-ours", format!("{what} is called released by Slipway, and somebody else published it"));
        }
        // Somebody may have taken it away since, and then it is not served.
        let is_there = writes.last().is_some_and(|entry| entry.adds && entry.sha256 == said.digest);
        let is_served = evidence.listed.iter().any(|listed| {
            listed.filename == *filename && listed.distro == said.under && listed.promised == said.digest
        });
        if is_there && !is_served {
            find("not-served", format!("{what} is called released, and no index serves it"));
        }
    }
}

/// A released image: its tag leads to it, unless the audit says that somebody changed that, and all of it is there.
fn judge_image(evidence: &Evidence, said: &Said, find: &mut impl FnMut(&'static str, String)) {
    let what = format!("{}: `{}`", said.whose, said.under);
    let images: Vec<&Image> = evidence.images.iter().filter(|image| image.tag == said.under).collect();
    if images.is_empty() || is_told_of(&evidence.audits, &["looked-again", "withdr"], &said.under) {
        return;
    }
    match images.iter().find(|image| image.digest == said.digest) {
        None => find("other-image", format!("{what} leads to another image than {}", said.digest)),
        Some(image) if !image.lacks.is_empty() => {
            find("not-whole", format!("{what} leads to what is not there: {}", image.lacks.join(", ")));
        }
        Some(_) => {}
    }
}
