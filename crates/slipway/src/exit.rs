//! How a command ends: a number for scripts, and sentences for people.

/// What the shell sees. The numbers are part of the contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Done.
    Done = 0,
    /// Not done; a sentence says why.
    Failed = 1,
    /// The command line, the environment or the plan is wrong; nothing was sent.
    Misused = 2,
    /// The same name with other contents.
    Conflict = 3,
    /// Not yet; what was awaited may still come.
    TimedOut = 4,
    /// What is served differs from what it should be; each difference is named.
    Differences = 5,
    /// Something is not as Slipway relies on; each finding is named.
    Findings = 6,
}

/// An end that is not the wished one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) exit: Exit,
    /// What was being done, to what.
    pub(crate) doing: String,
    /// Why it failed, and the next step. One sentence a line.
    pub(crate) lines: Vec<String>,
}

impl Failure {
    pub(crate) fn new(exit: Exit, doing: impl Into<String>, lines: impl IntoIterator<Item = String>) -> Self {
        Self { exit, doing: doing.into(), lines: lines.into_iter().collect() }
    }

    /// The same, with one more line.
    pub(crate) fn also(mut self, line: &str) -> Self {
        self.lines.push(line.to_owned());
        self
    }

    /// Both results, or what is wrong with either: nobody likes to be told of mistakes one at a time.
    pub(crate) fn both<A, B>(one: Result<A, Self>, other: Result<B, Self>) -> Result<(A, B), Self> {
        match (one, other) {
            (Ok(one), Ok(other)) => Ok((one, other)),
            (Err(failure), Ok(_)) | (Ok(_), Err(failure)) => Err(failure),
            (Err(mut failure), Err(other)) => {
                if failure.doing != other.doing {
                    failure.lines.push(other.doing);
                }
                failure.lines.extend(other.lines);
                Err(failure)
            }
        }
    }

    /// Several failures as one. A conflict outweighs what another try may mend.
    pub(crate) fn all(doing: impl Into<String>, failures: Vec<Self>) -> Self {
        let exits = || failures.iter().map(|failure| failure.exit);
        let exit =
            [Exit::Misused, Exit::Conflict, Exit::Failed].into_iter().find(|exit| exits().any(|own| own == *exit));
        let exit = exit.or_else(|| exits().next()).unwrap_or(Exit::Failed);
        let lines = failures.into_iter().flat_map(|failure| {
            std::iter::once(failure.doing).chain(failure.lines.into_iter().map(|line| format!("  {line}")))
        });
        Self::new(exit, doing, lines)
    }

    /// As it stands in a job's log.
    pub(crate) fn text(&self) -> String {
        let mut text = format!("slipway: {}\n", self.doing);
        for line in self.lines.iter().flat_map(|line| line.lines()) {
            text.push_str("  ");
            text.push_str(line);
            text.push('\n');
        }
        text
    }
}
