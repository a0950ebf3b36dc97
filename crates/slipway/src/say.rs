//! Where progress goes: to standard output, unless that is kept for JSON.

use std::cell::Cell;

use serde::Serialize;
use serde_json::json;

use crate::exit::{Exit, Failure};
use crate::host;

thread_local! {
    /// Whether the answer's JSON is on standard output: there is one document of it.
    static IS_ANSWERED: Cell<bool> = const { Cell::new(false) };
}

/// How a command reports.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Say {
    /// Whether standard output is for the answer's JSON alone.
    pub(crate) json: bool,
    /// Whether nothing is drawn, since several things report at once.
    pub(crate) plain: bool,
}

impl Say {
    pub(crate) fn new(json: bool) -> Self {
        Self { json, plain: false }
    }

    /// A line of progress.
    pub(crate) fn line(self, line: &str) {
        let text = format!("{line}\n");
        if self.json { host::complain(&text) } else { host::print(&text) }
    }

    /// How wide the terminal is that progress may be drawn on. `None` in a log, and where standard output is for JSON.
    pub(crate) fn columns(self) -> Option<usize> {
        if self.json || self.plain { None } else { host::columns() }
    }

    /// Several lines of progress.
    pub(crate) fn lines(self, lines: &[String]) {
        for line in lines {
            self.line(line);
        }
    }

    /// The answer, for programs, if they were asked for.
    pub(crate) fn answer(self, answer: &impl Serialize) -> Result<(), Failure> {
        if !self.json {
            return Ok(());
        }
        let text = serde_json::to_string_pretty(answer);
        let text = text.map_err(|error| Failure::new(Exit::Failed, "cannot write JSON", [error.to_string()]))?;
        IS_ANSWERED.set(true);
        host::print(&format!("{text}\n"));
        Ok(())
    }

    /// What failed, for programs, unless an answer says it: a release that was not released, differences, findings.
    pub(crate) fn failure(self, failure: &Failure) {
        if IS_ANSWERED.get() {
            return;
        }
        let Failure { exit, doing, lines } = failure;
        let why: Vec<&str> = lines.iter().flat_map(|line| line.lines()).collect();
        let error = json!({ "error": { "exit": *exit as u8, "doing": doing, "why": why } });
        // A text of strings and one number can always be written.
        let _ = self.answer(&error);
    }
}
