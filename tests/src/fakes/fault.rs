//! What can go wrong with one effect.

/// What an effect is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A word from one part of the host to another.
    Message,
    /// The host asks for a transfer slot.
    Slot,
    /// `distributions.json`.
    Distributions,
    /// `search.json`.
    Search,
    /// A package in full.
    Show,
    /// The redirect to a package's bytes.
    Download,
    /// The bytes from storage into a push.
    Relay,
    /// `InRelease` or `Release`.
    Release,
    /// `Packages.gz`.
    Packages,
    /// Anything else.
    Other,
}

/// How one effect goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The service says no, and has done nothing.
    Refuse(u16),
    /// No answer comes, and nothing is done.
    NoAnswer,
    /// A page for people comes with status 200, and nothing is done.
    Page,
    /// The list is older than what it lists: it is empty.
    Stale,
    /// The service does the work, and says that it failed.
    DoThenFail(u16),
    /// The service does the work, and its answer is lost.
    DoThenNoAnswer,
    /// The service does the work, and half of its answer comes.
    DoThenCut,
    /// Storage does not give the package.
    Storage(u16),
    /// The service answers an upload that has only begun.
    Early(u16),
    /// The host dies before the effect.
    CrashBefore,
    /// The host dies after it.
    CrashAfter,
}

impl Fault {
    /// One of every sort, and every status that packagecloud is known to give.
    pub const ALL: [Self; 22] = [
        Self::Refuse(401),
        Self::Refuse(402),
        Self::Refuse(404),
        Self::Refuse(408),
        Self::Refuse(422),
        Self::Refuse(429),
        Self::Refuse(500),
        Self::Refuse(502),
        Self::Refuse(503),
        Self::Refuse(504),
        Self::NoAnswer,
        Self::Page,
        Self::Stale,
        Self::DoThenFail(500),
        Self::DoThenFail(504),
        Self::DoThenNoAnswer,
        Self::DoThenCut,
        Self::Storage(403),
        Self::Storage(503),
        Self::Early(503),
        Self::CrashBefore,
        Self::CrashAfter,
    ];

    /// One of every sort alone, for what has many runs.
    pub const SORTS: [Self; 8] = [
        Self::Refuse(401),
        Self::Refuse(503),
        Self::Stale,
        Self::DoThenFail(504),
        Self::DoThenCut,
        Self::Storage(403),
        Self::CrashBefore,
        Self::CrashAfter,
    ];

    /// Whether this can happen to such an effect.
    pub fn fits(self, kind: Kind) -> bool {
        match self {
            Self::CrashBefore | Self::CrashAfter => true,
            Self::NoAnswer | Self::DoThenNoAnswer => kind != Kind::Slot,
            Self::Refuse(503) if kind == Kind::Slot => true,
            Self::Stale => kind == Kind::Search,
            Self::Storage(_) | Self::Early(_) => kind == Kind::Relay,
            _ => !matches!(kind, Kind::Message | Kind::Slot),
        }
    }

    /// Whether only a person, who plays the job again, takes the promotion further.
    pub fn stops(self) -> bool {
        match self {
            Self::Refuse(status) => status < 500 && status != 408,
            // A list without the staged file says what a list says whose file was deleted.
            Self::Stale => true,
            _ => false,
        }
    }
}
