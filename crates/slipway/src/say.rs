//! Where progress goes: to standard output, unless that is kept for JSON.

use serde::Serialize;

use crate::exit::{Exit, Failure};
use crate::host;

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
        host::print(&format!("{text}\n"));
        Ok(())
    }
}
