//! The auditor at the end of a test: whatever the test was about, nothing wrong was published meanwhile.

use std::path::PathBuf;

use slipway_auditor::{Audit, Evidence, Finding, entries, judge, pushes, read_images, read_index, tagged};
use slipway_stack::Part;

use super::{World, send};

/// Files that are larger are not fetched once more at the end of a test: what they are was proven when they were served.
const BYTES_MAX: u64 = 32 * 1024 * 1024;

/// Where images are public, and what a registry keeps there of what was done to it.
pub(crate) struct PublicImages {
    pub(crate) url: String,
    pub(crate) repository: &'static str,
    /// The logs of its requests, and of those of the registry of staging.
    pub(crate) logs: Vec<PathBuf>,
    /// The folder with its repositories.
    pub(crate) storage: PathBuf,
}

impl World {
    /// Nothing is judged at the end of this test, for a reason that says what is done to the evidence.
    pub fn is_not_audited(&mut self, _why: &'static str) {
        self.is_audited = false;
    }

    /// Judges what has happened so far, as somebody would who only sees what everybody does.
    pub fn findings(&self) -> Vec<Finding> {
        judge(&self.evidence())
    }

    fn evidence(&self) -> Evidence {
        let journal = entries(&self.depot.journal()).expect("the depot's journal is legible");
        let images = self.public_images.as_ref().map(PublicImages::read).unwrap_or_default();
        let mut evidence = Evidence {
            audits: self
                .stack
                .projects()
                .map(|project| Audit::read(project.name, &self.exported(project.name)))
                .to_vec(),
            public: journal
                .iter()
                .filter(|entry| !entry.repository.starts_with("harbour-ci/"))
                .map(|entry| entry.repository.clone())
                .collect(),
            journal,
            own_users: ["harbour".to_owned(), "harbour-ci".to_owned()].into(),
            ..images
        };
        for (repository, distro, architecture, is_rpm) in evidence.indexes() {
            let listed = read_index(&self.depot.url, &repository, &distro, &architecture, is_rpm, BYTES_MAX);
            evidence.listed.extend(listed.unwrap_or_else(|error| panic!("the public index of {repository}: {error}")));
        }
        evidence
    }

    /// The whole audit of a project, page by page.
    fn exported(&self, project: &str) -> String {
        let operator = format!("Bearer {}", self.stack.secret("OPERATOR_TOKEN"));
        let mut all = String::new();
        loop {
            let first = all.lines().count() + 1;
            let path = self.edge(&format!("/api/v1/projects/{project}/audit?first={first}"));
            let page = send("GET", &path, &[("authorization", operator.as_str())], "").ok().text();
            if page.is_empty() {
                return all;
            }
            all.push_str(&page);
        }
    }

    /// Has the auditor judge, once, at the end of a test that has gone well.
    #[track_caller]
    pub(super) fn has_done_nothing_wrong(&mut self) {
        if !std::mem::take(&mut self.is_audited) {
            return;
        }
        for part in [Part::Depot, Part::Edge] {
            if self.stack.process(part).ended().is_some() {
                self.start_again(part);
            }
        }
        self.depot.heal();
        let found = || self.findings().iter().map(ToString::to_string).collect::<Vec<_>>();
        let mut findings = found();
        if !findings.is_empty() {
            // Writes, audit and indexes are read one after the other, and something may still be on its way: it is seen half then, and
            // never twice so.
            let again = found();
            findings.retain(|finding| again.contains(finding));
        }
        assert!(
            findings.is_empty(),
            "the auditor has found: {findings:#?}; state and logs stay in {}",
            self.folder.display()
        );
    }
}

impl PublicImages {
    fn read(&self) -> Evidence {
        let Self { url, repository, logs, storage } = self;
        let read = |log| std::fs::read_to_string(log).expect("a registry writes a log");
        let log: String = logs.iter().map(read).collect();
        let images = read_images(url, repository, BYTES_MAX);
        Evidence {
            public_images: [(*repository).to_owned()].into(),
            images: images.unwrap_or_else(|error| panic!("the public registry: {error}")),
            tagged: tagged(storage, repository).unwrap_or_else(|error| panic!("the public registry: {error}")),
            pushes: pushes(&log),
            own_programs: ["Slipway".to_owned()].into(),
            ..Evidence::default()
        }
    }
}
