//! The auditor at the end of a test: whatever the test was about, nothing wrong was published meanwhile.

use slipway_auditor::{Audit, Evidence, Finding, entries, judge, read_index};
use slipway_stack::Part;

use super::{World, send};

/// Files that are larger are not fetched once more at the end of a test: what they are was proven when they were served.
const BYTES_MAX: u64 = 32 * 1024 * 1024;

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
            ..Evidence::default()
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

    /// What the auditor says at the end of a test that has gone well.
    pub(super) fn judged(&mut self) -> Vec<String> {
        if !self.is_audited {
            return Vec::new();
        }
        for part in [Part::Depot, Part::Edge] {
            if self.stack.process(part).ended().is_some() {
                self.start_again(part);
            }
        }
        self.depot.heal();
        self.findings().iter().map(ToString::to_string).collect()
    }
}
