//! What must be true of all of it together.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde_json::Value;

use crate::images::judge_images;
use crate::{Audit, Entry, Image, Listed, Push, Row, Tagged};

/// How far two clocks may be apart.
pub(crate) const SKEW_MS: i64 = 2000;

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
    /// The public repositories of images that were read.
    pub public_images: BTreeSet<String>,
    /// What anybody gets under their tags.
    pub images: Vec<Image>,
    /// What their tags have ever led to, as far as that is known.
    pub tagged: Vec<Tagged>,
    /// What was written to registries, as far as that is known.
    pub pushes: Vec<Push>,
    /// How the programs call themselves that stand for Slipway, as far as the first `/`.
    pub own_programs: BTreeSet<String>,
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

    pub(crate) fn is_own(&self, push: &Push) -> bool {
        push.program.split_once('/').is_some_and(|(name, _)| self.own_programs.contains(name))
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

/// A target, as a person approved it, the edge released it, or it was taken back.
#[derive(Clone, Debug)]
pub(crate) struct Said {
    pub(crate) at_ms: i64,
    /// The file's name, or `None` of an image.
    filename: Option<String>,
    pub(crate) is_image: bool,
    /// A distro version or a tag.
    pub(crate) under: String,
    /// 64 hex digits.
    pub(crate) digest: String,
    /// For people.
    pub(crate) whose: String,
    pub(crate) outside: bool,
}

/// What a row says of a floating tag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Floated {
    /// The package and its approval: what moved under it is said again by its later rows.
    whose: String,
    pub(crate) tag: String,
    /// Where it led, and where it leads since: 64 hex digits each, or nothing.
    pub(crate) digests: [String; 2],
}

/// What the audits say of targets.
#[derive(Clone, Debug, Default)]
pub(crate) struct Story {
    pub(crate) approved: Vec<Said>,
    pub(crate) released: Vec<Said>,
    pub(crate) withdrawn: Vec<Said>,
    /// What floating tags were set to, or taken away from, by their rows.
    pub(crate) floated: Vec<Floated>,
    /// How many images were released whose rows do not say whether a floating tag has followed: older ones never did.
    pub(crate) untold: usize,
    /// The digests of whatever was declared to be staged.
    pub(crate) declared: BTreeSet<String>,
}

impl Story {
    /// Whether an image was approved for this tag, or released under it.
    pub(crate) fn names_tag(&self, tag: &str) -> bool {
        self.approved.iter().chain(&self.released).any(|said| said.is_image && said.under == tag)
    }
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

/// What an audit says was approved, released and taken back.
fn tell(audit: &Audit, story: &mut Story) {
    for row in &audit.rows {
        let details = &row.details;
        let digest = hex(&details["digest"]);
        let whose = format!("{} {} (row {})", audit.project, row.subject, row.sequence);
        let outside = details["outside"] == true;
        let said = |is_image: bool, under: String| Said {
            at_ms: row.at_ms,
            filename: filename(&audit.rows, row, &digest),
            is_image,
            under,
            digest: digest.clone(),
            whose: whose.clone(),
            outside,
        };
        let distro = details["distro"].as_str().map(|distro| said(false, distro.to_owned()));
        let one = distro.or_else(|| details["tag"].as_str().map(|tag| said(true, tag.to_owned())));
        let floating = details["floating"].as_array();
        for floated in floating.into_iter().flatten() {
            let floated = Floated {
                whose: format!("{} {} {}", audit.project, row.subject, details["approval"]),
                tag: floated["tag"].as_str().unwrap_or_default().to_owned(),
                digests: [hex(&floated["before"]), hex(&floated["after"])],
            };
            if !story.floated.contains(&floated) {
                story.floated.push(floated);
            }
        }
        let is_untold = row.action == "released" && details["tag"].is_string() && floating.is_none() && !outside;
        story.untold += usize::from(is_untold);
        match row.action.as_str() {
            "approved" => {
                story.approved.extend(texts(&details["distros"]).into_iter().map(|distro| said(false, distro)));
                story.approved.extend(texts(&details["tags"]).into_iter().map(|tag| said(true, tag)));
            }
            "released" => story.released.extend(one),
            // A whole repository is adopted, too, and then no target is meant.
            "adopted" if outside => story.released.extend(one),
            "withdrawn" => story.withdrawn.extend(one),
            "declared" | "replaced" => drop(story.declared.insert(digest)),
            _ => {}
        }
    }
}

/// Whether some row of such an action tells of these bytes.
pub(crate) fn is_told_of(audits: &[Audit], actions: &[&str], digest: &str) -> bool {
    let rows = audits.iter().flat_map(|audit| &audit.rows);
    let mut told = rows.filter(|row| actions.iter().any(|action| row.action.starts_with(action)));
    told.any(|row| row.details.to_string().contains(digest))
}

/// Everything that must not be, in the order in which it is looked for.
pub fn judge(evidence: &Evidence) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut find = |rule, what: String| findings.push(Finding { rule, what });
    let mut story = Story::default();
    for audit in &evidence.audits {
        if let Some(broken) = &audit.broken {
            find("chain", format!("the audit of {}: {broken}", audit.project));
        }
        tell(audit, &mut story);
    }

    let there = judge_writes(evidence, &story, &mut find);
    judge_listed(evidence, &there, &mut find);
    judge_withdrawn(evidence, &there, &story, &mut find);
    judge_claims(evidence, &story, &mut find);
    judge_images(evidence, &story, &mut find);
    findings
}

/// Repository, distro version and file name.
type Name<'a> = (&'a str, &'a str, &'a str);

/// What was written, in its order, and what is there at its end.
fn judge_writes<'a>(
    evidence: &'a Evidence,
    story: &Story,
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
        match story.approved.iter().filter(fits).map(|said| said.at_ms).min() {
            None => find(
                "unapproved",
                format!("{shown}: write {} published {}, which nobody approved", entry.seq, entry.sha256),
            ),
            Some(at_ms) if at_ms > entry.at_ms + SKEW_MS => {
                find("too-early", format!("{shown}: write {} published it before it was approved", entry.seq));
            }
            Some(_) => {}
        }
        let withdrawn = story.withdrawn.iter().filter(fits).map(|gone| gone.at_ms).min();
        if withdrawn.is_some_and(|at_ms| entry.at_ms > at_ms + SKEW_MS) {
            find("again", format!("{shown}: write {} published what was withdrawn", entry.seq));
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

/// What was taken back is not served, unless somebody else has brought it again.
fn judge_withdrawn(
    evidence: &Evidence,
    there: &BTreeMap<Name<'_>, &Entry>,
    story: &Story,
    find: &mut impl FnMut(&'static str, String),
) {
    for gone in story.withdrawn.iter().filter(|gone| !gone.is_image) {
        let listed = evidence.listed.iter().filter(|listed| {
            gone.filename.as_deref() == Some(listed.filename.as_str())
                && listed.distro == gone.under
                && listed.promised == gone.digest
        });
        for listed in listed {
            let name = (listed.repository.as_str(), listed.distro.as_str(), listed.filename.as_str());
            if there.get(&name).is_none_or(|entry| evidence.own_users.contains(&entry.user)) {
                find("still-served", format!("{}: `{}` is served, and was withdrawn", gone.whose, listed.filename));
            }
        }
    }
}

/// What the audits claim.
fn judge_claims(evidence: &Evidence, story: &Story, find: &mut impl FnMut(&'static str, String)) {
    for said in story.released.iter().filter(|said| !said.is_image) {
        let Some(filename) = &said.filename else {
            find("never-declared", format!("{} is called released, and nobody declared its file", said.whose));
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
