//! What a person reads while a command works: one line a step, with the seconds since the start.

use std::io::IsTerminal as _;
use std::time::Instant;

/// The lines of one command.
pub(crate) struct Steps {
    began: Instant,
    standard_error: bool,
}

impl Steps {
    /// The clock starts now.
    pub(crate) fn begin() -> Self {
        Self { began: Instant::now(), standard_error: false }
    }

    /// Likewise, for a command whose standard output is read by a program.
    pub(crate) fn on_standard_error() -> Self {
        Self { standard_error: true, ..Self::begin() }
    }

    /// A step that is done, or begins.
    pub(crate) fn say(&self, what: &str) {
        let line = format!("{}  {what}", dim(&format!("{:>5} s", self.began.elapsed().as_secs())));
        if self.standard_error { eprintln!("{line}") } else { println!("{line}") }
    }
}

fn coloured() -> bool {
    std::io::stdout().is_terminal() && std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none()
}

fn painted(code: u8, text: &str) -> String {
    if coloured() { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
}

pub(crate) fn dim(text: &str) -> String {
    painted(2, text)
}

pub(crate) fn bold(text: &str) -> String {
    painted(1, text)
}

pub(crate) fn red(text: &str) -> String {
    painted(31, text)
}

pub(crate) fn green(text: &str) -> String {
    painted(32, text)
}
