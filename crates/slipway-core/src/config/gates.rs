//! `[[gates]]` and `[approvals]`: what must be true before a package is released, and for how long a yes holds.
//!
//! Every gate that fits a package applies to it; unlike routes, none hides another. What a gate leaves out it does not
//! ask for, and one that asks for nothing is a mistake.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::Deserialize;
use slipway_package::Series;

use super::Config;
use crate::gate::GateKind;
use crate::release::{Key, Maturity, Version};
use crate::route::{Glob, any_maturity, anything};
use crate::time::Timestamp;

/// How long an approval holds that nothing has begun of, unless the file says otherwise.
const LAPSE: Duration = Duration::from_hours(4);

/// `[[gates]]`: what some packages need before they are released.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Gate {
    /// Names of projects.
    #[serde(default = "anything")]
    pub projects: Vec<Glob>,
    /// Versions.
    #[serde(default = "anything")]
    pub versions: Vec<Glob>,
    /// How near to everybody a version is.
    #[serde(default = "any_maturity")]
    pub maturities: Vec<Maturity>,
    /// Keys.
    #[serde(default = "anything")]
    pub keys: Vec<Glob>,
    /// Every package of the release is staged.
    #[serde(default)]
    pub staged: bool,
    /// The staged bytes are deployed to these environments.
    #[serde(default)]
    pub deployed: Vec<String>,
    /// These jobs of the package's pipeline have succeeded.
    #[serde(default)]
    pub jobs: Vec<String>,
    /// So much time has passed.
    #[serde(default, deserialize_with = "span")]
    pub soak: Option<Duration>,
    /// Since what.
    #[serde(default)]
    pub soak_after: SoakAfter,
    /// When nothing is released.
    #[serde(default)]
    pub freeze: Vec<Freeze>,
    /// Who plays the job is not who started the pipeline.
    #[serde(default)]
    pub second_person: bool,
    /// No higher version of the package is released, in the same series.
    pub newest: Option<Series>,
    /// GitLab's ids of the people who may open it for a package, with a reason.
    #[serde(default)]
    pub override_people: Vec<u64>,
}

/// Since when a package soaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SoakAfter {
    /// Since its bytes are in staging.
    #[default]
    Staged,
    /// Since they run in the last of the environments that the gate names.
    Deployed,
}

/// A time in which nothing is released.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Freeze {
    /// When it begins.
    #[serde(deserialize_with = "moment")]
    pub from: Timestamp,
    /// When it is over.
    #[serde(deserialize_with = "moment")]
    pub until: Timestamp,
    /// Why: people read it.
    pub why: String,
}

/// `[approvals]`.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Approvals {
    /// How long one holds of which nothing has begun.
    #[serde(default = "lapse", deserialize_with = "whole_span")]
    pub lapse: Duration,
}

impl Default for Approvals {
    fn default() -> Self {
        Self { lapse: LAPSE }
    }
}

fn lapse() -> Duration {
    LAPSE
}

pub(super) fn whole_span<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(deserializer)?;
    humantime::parse_duration(&text).map_err(|error| {
        serde::de::Error::custom(format!("`{text}` is no span of time such as `4h` or `30m`: {error}"))
    })
}

pub(super) fn span<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    whole_span(deserializer).map(Some)
}

fn moment<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Timestamp, D::Error> {
    // TOML has moments of its own, written without quotes.
    let text = match toml::Value::deserialize(deserializer)? {
        toml::Value::String(text) => text,
        toml::Value::Datetime(moment) => moment.to_string(),
        _ => return Err(serde::de::Error::custom("it must be a moment, such as `2026-12-20T00:00:00Z`")),
    };
    text.parse().map_err(serde::de::Error::custom)
}

impl Gate {
    /// Whether it applies to a package.
    fn fits(&self, project: &str, version: &Version, maturity: Maturity, key: &Key) -> bool {
        let any = |globs: &[Glob], text: &str| globs.iter().any(|glob| glob.fits(text));
        any(&self.projects, project)
            && any(&self.versions, version.as_str())
            && self.maturities.contains(&maturity)
            && any(&self.keys, key.as_str())
    }

    /// Whether it asks for something of a kind.
    pub fn asks_for(&self, kind: GateKind) -> bool {
        match kind {
            GateKind::Staged => self.staged,
            GateKind::Deployed => !self.deployed.is_empty(),
            GateKind::Jobs => !self.jobs.is_empty(),
            GateKind::Soak => self.soak.is_some(),
            GateKind::Freeze => !self.freeze.is_empty(),
            GateKind::SecondPerson => self.second_person,
            GateKind::Newest => self.newest.is_some(),
            GateKind::Hold => false,
        }
    }

    /// What is wrong with it.
    pub(super) fn problems(&self, index: usize) -> Vec<String> {
        let mut problems = Vec::new();
        if !GateKind::ALL.into_iter().any(|kind| self.asks_for(kind)) {
            problems.push(format!(
                "gates[{index}] asks for nothing: give it `staged`, `deployed`, `jobs`, `soak`, `freeze`, `second_person` or `newest`"
            ));
        }
        if self.soak.is_some_and(|soak| soak.is_zero()) {
            problems.push(format!("gates[{index}]: `soak` is no time at all; leave it out, or say how long: \"24h\""));
        }
        if self.soak_after == SoakAfter::Deployed && (self.soak.is_none() || self.deployed.is_empty()) {
            problems.push(format!("gates[{index}]: `soak_after = \"deployed\"` needs `soak` and `deployed`"));
        }
        for freeze in &self.freeze {
            if freeze.until <= freeze.from {
                problems
                    .push(format!("gates[{index}]: a freeze ends at {}, which is not after it begins", freeze.until));
            }
        }
        problems
    }
}

impl Config {
    /// The gates that a package of a project has to pass.
    pub fn gates(&self, project: &str, version: &Version, key: &Key) -> Vec<&Gate> {
        let maturity = self.versions.maturity(version);
        self.gates.iter().filter(|gate| gate.fits(project, version, maturity, key)).collect()
    }

    /// Whether any gate of a project asks whether something is deployed there: what nobody asks for is not kept.
    pub fn asks_for(&self, project: &str, environment: &str) -> bool {
        self.environments(project).contains(environment)
    }

    /// Where the gates of a project ask whether something is deployed.
    pub fn environments(&self, project: &str) -> BTreeSet<&str> {
        let concerned = self.gates.iter().filter(|gate| gate.projects.iter().any(|glob| glob.fits(project)));
        concerned.flat_map(|gate| &gate.deployed).map(String::as_str).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Deserialize)]
    struct File {
        gates: Vec<Gate>,
        #[serde(default)]
        approvals: Approvals,
    }

    fn gates(text: &str) -> Result<File, String> {
        toml::from_str(text).map_err(|error| error.to_string())
    }

    #[test]
    fn a_gate_is_read_as_people_write_it() {
        let file = gates(
            r#"
            [[gates]]
            keys = ["ee-*"]
            soak = "1h 30m"
            freeze = [{ from = "2026-12-20T00:00:00Z", until = 2026-12-27T00:00:00Z, why = "holidays" }]
            [approvals]
            lapse = "90s"
            "#,
        )
        .expect("a gate");
        let gate = &file.gates[0];
        assert_eq!(gate.soak, Some(Duration::from_mins(90)));
        // 2026-12-20 is 20,807 days after the epoch.
        assert_eq!(gate.freeze[0].from, Timestamp(20_807 * 86_400_000));
        assert_eq!(gate.freeze[0].until, Timestamp(20_814 * 86_400_000));
        assert_eq!(file.approvals.lapse, Duration::from_secs(90));
        let (version, ee, ce) = ("1".parse().expect("v"), "ee-deb".parse().expect("k"), "ce-deb".parse().expect("k"));
        assert!(gate.fits("tug", &version, Maturity::Final, &ee));
        assert!(!gate.fits("tug", &version, Maturity::Final, &ce));
        assert_eq!(Approvals::default().lapse, Duration::from_hours(4));
    }

    #[test]
    fn a_gate_applies_to_what_all_of_its_conditions_fit() {
        let narrow = "projects = [\"tug\"]\nversions = [\"1.*\"]\nmaturities = [\"final\"]\nkeys = [\"ee-*\"]";
        for (gate, project, version, maturity, key, fits) in [
            (narrow, "tug", "1.2.0", Maturity::Final, "ee-deb", true),
            (narrow, "buoy", "1.2.0", Maturity::Final, "ee-deb", false),
            (narrow, "tug", "2.0.0", Maturity::Final, "ee-deb", false),
            (narrow, "tug", "1.2.0", Maturity::Candidate, "ee-deb", false),
            (narrow, "tug", "1.2.0", Maturity::Nightly, "ee-deb", false),
            (narrow, "tug", "1.2.0", Maturity::Final, "ce-deb", false),
            ("", "buoy", "2.0.0", Maturity::Nightly, "ce-deb", true),
        ] {
            let file = gates(&format!("[[gates]]\nstaged = true\n{gate}")).expect("a gate");
            let (version_, key_) = (version.parse().expect("a version"), key.parse().expect("a key"));
            assert_eq!(file.gates[0].fits(project, &version_, maturity, &key_), fits, "{project} {version} {key}");
        }
    }

    #[test]
    fn a_gate_asks_for_what_it_names_and_for_nothing_else() {
        let window = "{ from = \"2026-12-20T00:00:00Z\", until = \"2026-12-27T00:00:00Z\", why = \"x\" }";
        let freeze = format!("freeze = [{window}]");
        for (text, kind) in [
            ("staged = true", GateKind::Staged),
            ("deployed = [\"production\"]", GateKind::Deployed),
            ("jobs = [\"qa\"]", GateKind::Jobs),
            ("soak = \"1h\"", GateKind::Soak),
            (freeze.as_str(), GateKind::Freeze),
            ("second_person = true", GateKind::SecondPerson),
            ("newest = \"minor\"", GateKind::Newest),
        ] {
            let file = gates(&format!("[[gates]]\n{text}\noverride_people = [7]")).expect("a gate");
            let asked: Vec<GateKind> = GateKind::ALL.into_iter().filter(|kind| file.gates[0].asks_for(*kind)).collect();
            assert_eq!(asked, [kind], "{text}");
        }
    }

    #[test]
    fn an_environment_is_asked_for_by_the_gates_of_its_own_project() {
        let text = "[edge]\nurl = \"https://slipway.example.com\"\n[gitlab]\nurl = \"https://gitlab.example.com\"\n\
                    token = \"T\"\n[places]\n[[projects]]\nid = 1\nnamespace_id = 2\nname = \"tug\"\nwebhook_token = \"W\"\n\
                    [[gates]]\nprojects = [\"tug\"]\ndeployed = [\"production\"]";
        let config = Config::parse(text).expect("a good file");
        assert!(config.asks_for("tug", "production"));
        assert!(!config.asks_for("tug", "staging"));
        assert!(!config.asks_for("buoy", "production"));
    }

    #[test]
    fn a_gate_that_cannot_be_meant_is_refused() {
        for (text, why) in [
            ("soak = 5", "string"),
            ("soak = \"soon\"", "span of time"),
            ("freeze = [{ from = \"yesterday\", until = \"2026-12-27T00:00:00Z\", why = \"\" }]", "no moment"),
            ("stagd = true", "unknown field"),
        ] {
            let error = gates(&format!("[[gates]]\n{text}")).err().unwrap_or_default();
            assert!(error.contains(why), "{text}: {error}");
        }
        for (text, why) in [
            ("override_people = [7]", "asks for nothing"),
            ("soak = \"1h\"\nsoak_after = \"deployed\"", "needs `soak` and `deployed`"),
            (
                "freeze = [{ from = \"2026-12-27T00:00:00Z\", until = \"2026-12-20T00:00:00Z\", why = \"x\" }]",
                "not after it begins",
            ),
        ] {
            let file = gates(&format!("[[gates]]\n{text}")).expect("a file");
            let problems = file.gates[0].problems(3).join("; ");
            assert!(problems.contains(why) && problems.contains("gates[3]"), "{text}: {problems}");
        }
    }
}
