//! What pages show beside a release. [`Activity`], [`Deployments`] and [`Against`] are answers of the API, too; a [`Glance`] and
//! a [`Standing`] are made for pages alone, of what the records of projects tell.

use serde::{Deserialize, Serialize};

use super::{Project, Stopped};
use crate::cargo::TargetName;
use crate::release::{Key, ReleaseState, TargetState, Version};
use slipway_wire::Digest;

/// A project at a glance: its newest releases, newest first, without their packages.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Glance {
    /// The project.
    pub project: Project,
    /// The time at which this was read.
    pub at: String,
    /// Why nothing of the project is published or deleted now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stopped: Option<Stopped>,
    /// Its newest releases.
    pub releases: Vec<GlanceRelease>,
}

/// A release at a glance. Counts are of packages.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GlanceRelease {
    /// The version.
    pub version: Version,
    /// The release as a whole.
    pub state: ReleaseState,
    /// The release in one sentence, the same words everywhere.
    pub verdict: String,
    /// How many of its packages are released.
    pub released: u32,
    /// How many there are, without those that are skipped.
    pub all: u32,
    /// How many are staged, and wait for their job to be played.
    pub ready: u32,
    /// When something of it changed last.
    pub changed_at: String,
    /// What needs a person; with it, what is staged and would be deleted within a day.
    pub needs: Vec<GlanceTarget>,
    /// What is being copied or is looked for in the public index.
    pub moving: Vec<GlanceTarget>,
}

/// A target at a glance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GlanceTarget {
    /// The release.
    pub version: Version,
    /// The package.
    pub key: Key,
    /// The distro version or the tag.
    pub target: TargetName,
    /// How far it is.
    pub state: TargetState,
    /// What is the matter, in one sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub what: Option<String>,
    /// Who acts next, and what to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
    /// When its staged copy is deleted at the earliest, where that is within a day.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<String>,
    /// Since when.
    pub since: String,
}

/// What runs where, as deployers have said: what runs now first, then newest first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deployments {
    /// The project.
    pub project: Project,
    /// The time at which this was read.
    pub at: String,
    /// At most 200 of them.
    pub rows: Vec<DeploymentRow>,
}

/// A deployment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeploymentRow {
    /// The environment.
    pub environment: String,
    /// What runs there, or ran.
    pub version: Version,
    /// When it was said.
    pub at: String,
    /// Whether it runs there now, as far as was said.
    pub is_current: bool,
    /// Who said it.
    pub by: String,
    /// Where a person can look at the pipeline that did it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pipeline_url: Option<String>,
}

/// Rows of the audit, newest first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Activity {
    /// The project.
    pub project: Project,
    /// The time at which this was read.
    pub at: String,
    /// At most 200 of them.
    pub rows: Vec<ActivityRow>,
    /// What to give as `before` for the rows before these. None when there are no more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub older: Option<u64>,
}

/// A row of the audit, as people read it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActivityRow {
    /// Its number.
    pub sequence: u64,
    /// When.
    pub at: String,
    /// Who.
    pub actor: String,
    /// What they did.
    pub action: String,
    /// To what: a release, `17.3.1`, or a package of it, `17.3.1/jammy-amd64`; of the project as a whole, a word such as
    /// `project`. Which target is meant is in the details.
    pub subject: String,
    /// What else there is to say: the row's details, as JSON.
    pub details: String,
}

/// What is staged, beside what is public of the newest earlier release.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Against {
    /// The project.
    pub project: Project,
    /// The release that is staged.
    pub version: Version,
    /// The newest earlier release of which something is public.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Version>,
    /// The time at which this was read.
    pub at: String,
    /// One a package of either.
    pub rows: Vec<AgainstRow>,
}

/// A package, before and after.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgainstRow {
    /// The package.
    pub key: Key,
    /// What is staged. None: the release has no such package, or it is not built.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub staged: Option<FileFact>,
    /// What is public. None: nothing of that key is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub public: Option<FileFact>,
    /// Why something is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

/// A file or an image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileFact {
    /// The release that it is of.
    pub version: Version,
    /// The file's name, or the image's repository.
    pub name: String,
    /// Its SHA-256.
    pub digest: Digest,
    /// Its size in bytes.
    pub size: u64,
    /// What it depends on, by the package server. None: nobody asked it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub depends: Option<Vec<Depends>>,
}

/// What a package depends on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Depends {
    /// How, in the package server's word: `depends`, `conflicts`.
    pub context: String,
    /// On what.
    pub on: Vec<String>,
}

/// How Slipway itself is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    /// The version of Slipway.
    pub build: String,
    /// The time at which this was read.
    pub at: String,
    /// The projects that the reader may know of.
    pub projects: Vec<StandingProject>,
}

/// How the record of a project is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StandingProject {
    /// The project.
    pub project: Project,
    /// Why nothing of it is published or deleted now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stopped: Option<Stopped>,
    /// How many webhooks were taken and are not yet worked on.
    pub hints_open: u64,
    /// The oldest of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oldest_hint_at: Option<String>,
    /// When the last webhook came.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_webhook_at: Option<String>,
    /// How many pages are live.
    pub sockets: u64,
    /// What the record is read from: GitLab, and each place.
    pub sources: Vec<Source>,
}

/// Something that the record is read from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    /// The place, by its name in `slipway.toml`. None: GitLab.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<String>,
    /// When it answered last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub read_at: Option<String>,
    /// What is the matter with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
}

impl Activity {
    /// The rows as CSV (RFC 4180), for a spreadsheet: no text in it is one that a spreadsheet computes. An export of the audit is
    /// written otherwise, since that is checked by its bytes.
    pub fn csv(&self) -> String {
        let lines = self.rows.iter().map(|row| {
            let texts = [&row.actor, &row.action, &row.subject, &row.details].map(|text| cell(text));
            format!("{},{},{}\r\n", row.sequence, row.at, texts.join(","))
        });
        std::iter::once("sequence,at,actor,action,subject,details\r\n".to_owned()).chain(lines).collect()
    }
}

/// A text in quotes. What a spreadsheet would take for a formula has an apostrophe before it: at the beginning, and after whatever
/// may end a cell. Where people write a decimal comma, spreadsheets end a cell at a semicolon or a tab, and see the quotes of a comma
/// as part of the text.
fn cell(text: &str) -> String {
    let mut written = String::from("\"");
    let mut begins = true;
    for letter in text.chars() {
        if begins && matches!(letter, '=' | '+' | '-' | '@' | '\t' | '\r') {
            written.push('\'');
        }
        // What stands between the end of a cell and its formula is passed over.
        begins = matches!(letter, ';' | '\t' | '\r' | '\n') || (begins && matches!(letter, ' ' | '"'));
        if letter == '"' {
            written.push('"');
        }
        written.push(letter);
    }
    written.push('"');
    written
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_of_the_csv_is_one_that_a_spreadsheet_computes_or_that_ends_its_cell() {
        let row = |actor: &str, details: &str| ActivityRow {
            sequence: 7,
            at: "2026-11-23T10:00:00.000Z".to_owned(),
            actor: actor.to_owned(),
            action: "held".to_owned(),
            subject: "1.2.0".to_owned(),
            details: details.to_owned(),
        };
        let project = Project { id: 1001, name: "tug".to_owned() };
        let rows = vec![
            row("user:mira", r#"{"reason":"a, b"}"#),
            row("=HYPERLINK(\"x\")", "+1"),
            row("-1", "@x"),
            row("\t=1", "\r=1"),
            row("two\r\nlines", "a=1"),
            row("a;=1", r#"{"reason":"x;=1;y; -1;\"@x, =1;z"}"#),
        ];
        let csv = Activity { project, at: String::new(), rows, older: None }.csv();
        let begin = "7,2026-11-23T10:00:00.000Z";
        assert_eq!(
            csv,
            [
                "sequence,at,actor,action,subject,details\r\n".to_owned(),
                format!(r#"{begin},"user:mira","held","1.2.0","{{""reason"":""a, b""}}""#) + "\r\n",
                format!(r#"{begin},"'=HYPERLINK(""x"")","held","1.2.0","'+1""#) + "\r\n",
                format!(r#"{begin},"'-1","held","1.2.0","'@x""#) + "\r\n",
                format!("{begin},\"'\t'=1\",\"held\",\"1.2.0\",\"'\r'=1\"\r\n"),
                format!("{begin},\"two\r\nlines\",\"held\",\"1.2.0\",\"a=1\"\r\n"),
                format!(r#"{begin},"a;'=1","held","1.2.0","{{""reason"":""x;'=1;y; '-1;\""@x, =1;z""}}""#) + "\r\n",
            ]
            .concat()
        );
    }
}
