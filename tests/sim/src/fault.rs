//! What can go wrong, and where: at each boundary, what fits it.
//!
//! A boundary is an outbound call or a commit. Its positions are: before it is sent; sent, and not applied; applied, and
//! the answer lost; answered, and nothing of it committed; committed.

/// What is done at a boundary.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A job asks the edge for its release.
    Ask,
    /// GitLab delivers a webhook.
    Webhook,
    /// The edge asks GitLab for a job.
    Job,
    /// It asks for the jobs of a pipeline, to find those whose webhook was lost.
    Pipeline,
    /// It tells somebody who listens what happened.
    Notice,
    /// An order goes to its package's object.
    HandOver,
    /// An account calls somebody who waits.
    Wake,
    /// A package asks for a transfer slot.
    Slot,
    /// It asks whether its act may begin.
    MayAct,
    /// It gives the slot back.
    SlotEnded,
    /// It lets the slot's lease last longer.
    Renew,
    /// It asks what a repository has.
    Find,
    /// It asks what an index serves.
    Served,
    /// It tells the record.
    Report,
    /// `search.json`.
    Search,
    /// A package in full.
    Show,
    /// `distributions.json`.
    Distributions,
    /// The redirect to a package's bytes.
    Download,
    /// The bytes from storage into a push.
    Relay,
    /// The server's own move.
    Promote,
    /// `InRelease`, `repomd.xml`.
    Head,
    /// `Packages`, `primary.xml`.
    List,
    /// `HEAD` of a manifest: what a tag leads to, or whether an image is there.
    ImageHead,
    /// A manifest.
    ImageRead,
    /// Whether a repository has a blob.
    BlobHead,
    /// An upload of a blob begins.
    BlobBegin,
    /// A blob is asked for from a repository beside.
    Mount,
    /// A blob's bytes from one registry into an upload at another.
    BlobSend,
    /// A manifest is stored under its digest.
    ManifestPut,
    /// A tag is set.
    TagPut,
    /// The tags of a repository.
    TagList,
    /// A commit to a project's record.
    RecordCommit,
    /// A commit to a package's work.
    PackageCommit,
    /// A commit to an account's tables.
    AccountCommit,
    /// An alarm goes off.
    Alarm,
    /// A person changes a release, or a build stages another file.
    Change,
    /// A staged package is deleted.
    Delete,
    /// A staged image is.
    ManifestDelete,
}

/// The sorts of boundaries that faults are chosen by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Sort {
    /// From outside into the edge.
    Arrival,
    /// To a server.
    Call,
    /// From one object of the edge to another.
    Message,
    /// Into SQL.
    Commit,
    /// An alarm.
    Alarm,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 38] = [
        Self::Ask,
        Self::Webhook,
        Self::Job,
        Self::Pipeline,
        Self::Notice,
        Self::HandOver,
        Self::Wake,
        Self::Slot,
        Self::MayAct,
        Self::SlotEnded,
        Self::Renew,
        Self::Find,
        Self::Served,
        Self::Report,
        Self::Search,
        Self::Show,
        Self::Distributions,
        Self::Download,
        Self::Relay,
        Self::Promote,
        Self::Head,
        Self::List,
        Self::ImageHead,
        Self::ImageRead,
        Self::BlobHead,
        Self::BlobBegin,
        Self::Mount,
        Self::BlobSend,
        Self::ManifestPut,
        Self::TagPut,
        Self::TagList,
        Self::RecordCommit,
        Self::PackageCommit,
        Self::AccountCommit,
        Self::Alarm,
        Self::Change,
        Self::Delete,
        Self::ManifestDelete,
    ];

    /// Its sort.
    pub fn sort(self) -> Sort {
        match self {
            Self::Ask | Self::Webhook | Self::Change => Sort::Arrival,
            Self::Job
            | Self::Pipeline
            | Self::Notice
            | Self::Search
            | Self::Show
            | Self::Distributions
            | Self::Download
            | Self::Relay
            | Self::Promote
            | Self::Head
            | Self::List
            | Self::ImageHead
            | Self::ImageRead
            | Self::BlobHead
            | Self::BlobBegin
            | Self::Mount
            | Self::BlobSend
            | Self::ManifestPut
            | Self::TagPut
            | Self::TagList
            | Self::Delete
            | Self::ManifestDelete => Sort::Call,
            Self::HandOver
            | Self::Wake
            | Self::Slot
            | Self::MayAct
            | Self::SlotEnded
            | Self::Renew
            | Self::Find
            | Self::Served
            | Self::Report => Sort::Message,
            Self::RecordCommit | Self::PackageCommit | Self::AccountCommit => Sort::Commit,
            Self::Alarm => Sort::Alarm,
        }
    }

    /// Whether it changes something at a package server or a registry.
    pub fn acts(self) -> bool {
        matches!(self, Self::Relay | Self::Promote) || self.writes() || self.deletes()
    }

    /// Whether it takes something away from staging.
    pub fn deletes(self) -> bool {
        matches!(self, Self::Delete | Self::ManifestDelete)
    }

    /// Whether it writes to a registry.
    pub fn writes(self) -> bool {
        matches!(self, Self::BlobBegin | Self::Mount | Self::BlobSend | Self::ManifestPut | Self::TagPut)
    }

    /// Whether its answer's body matters to whoever asks.
    fn has_a_body(self) -> bool {
        !matches!(self, Self::Download | Self::ImageHead | Self::BlobHead) && !self.writes() && !self.deletes()
    }
}

/// What somebody else does at a package server (F25).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outsider {
    /// Publishes other bytes under the name, where nothing is.
    PublishesOther,
    /// Publishes the approved bytes.
    PublishesSame,
    /// Deletes what is public.
    DeletesPublic,
    /// Deletes what is staged.
    DeletesStaged,
    /// Puts other bytes into staging under the name.
    ReplacesStaged,
    /// Moves the staged file by hand.
    MovesStaged,
    /// A blob of the staged image is lost.
    LosesBlob,
    /// The public registry collects the blobs that no manifest names (F24).
    CollectsBlobs,
    /// It collects everything that no tag leads to.
    CollectsUntagged,
}

/// How one boundary goes wrong. The number of the fault in the reliability reference stands beside each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// F16, before it is sent.
    KilledBefore,
    /// F16, when it is sent and before it is applied: what was sent is applied later all the same.
    KilledSent,
    /// F16, when it is applied and before the answer.
    KilledApplied,
    /// F16, when it is answered and nothing of that is committed.
    KilledAnswered,
    /// F16, when what follows is committed.
    KilledCommitted,
    /// F5, F6: no answer, nothing done.
    Lost,
    /// F4: done, no answer.
    AnswerLost,
    /// F4: no answer, and done half a minute later.
    DoneLate,
    /// F1, F2, F3: this status, nothing done.
    Status(u16),
    /// F4: done, and this status.
    DoneStatus(u16),
    /// F9: an HTML page with status 200, nothing done.
    Page,
    /// F9: status 200 and an empty body, nothing done.
    Empty,
    /// F6, F7: done, and half of the answer.
    Cut,
    /// F8: a bit of the answer's body is another.
    Flipped,
    /// F22: the list of before the last change.
    Stale,
    /// F22: a list that lacks everything.
    Bare,
    /// F22: listed, without digests.
    Unhashed,
    /// F10: `304` for what has changed.
    Unmodified,
    /// F8: another manifest's bytes under the name.
    OtherManifest,
    /// F23: a mount is answered with an upload.
    Unmounted,
    /// F1 of storage.
    Source(u16),
    /// F7 of storage: half of the bytes.
    SourceCut,
    /// F8 of storage: one bit is another.
    SourceFlipped,
    /// F8 of storage: the bytes of another package, of the same length.
    SourceOther,
    /// F8 of storage: a byte more.
    SourceLonger,
    /// F3: the destination answers an upload that has only begun.
    Early(u16),
    /// F11: too slow for an alarm's run.
    Slow,
    /// F18: the statement or the commit fails and is undone.
    SqlFails,
    /// F17: the alarm comes twice.
    Twice,
    /// F17: the alarm comes hours late.
    Late,
    /// F17: the alarm never comes.
    Never,
    /// F14: it comes an hour later.
    Delayed,
    /// F14: it comes twice.
    Doubled,
    /// F20: the clock jumps so many milliseconds.
    Clock(i64),
    /// F25.
    Somebody(Outsider),
}

/// A day, in milliseconds.
const DAY: i64 = 86_400_000;
/// F20's jumps: a second, five minutes and a day, forth and back, and ten years.
pub const JUMPS: [i64; 7] = [1000, -1000, 300_000, -300_000, DAY, -DAY, 3650 * DAY];
/// Every act of somebody else.
pub const OUTSIDERS: [Outsider; 6] = [
    Outsider::PublishesOther,
    Outsider::PublishesSame,
    Outsider::DeletesPublic,
    Outsider::DeletesStaged,
    Outsider::ReplacesStaged,
    Outsider::MovesStaged,
];
/// What can happen where images are, and changes nothing where there are none. They stand apart, so that a world without
/// images is the world that it was.
pub const OF_IMAGES: [Fault; 5] = [
    Fault::OtherManifest,
    Fault::Unmounted,
    Fault::Somebody(Outsider::LosesBlob),
    Fault::Somebody(Outsider::CollectsBlobs),
    Fault::Somebody(Outsider::CollectsUntagged),
];
/// F1 and F2: what a server may refuse with.
const REFUSALS: [u16; 12] = [400, 401, 402, 403, 404, 405, 409, 410, 413, 415, 416, 422];
/// F3 and what is like it.
const TROUBLES: [u16; 6] = [408, 429, 500, 502, 503, 504];

impl Fault {
    /// Every fault of a world with images, or without.
    pub fn all_of(images: bool) -> Vec<Self> {
        let more: &[Self] = if images { &OF_IMAGES } else { &[] };
        [Self::all().as_slice(), more].concat()
    }

    /// Every fault of a world without images.
    pub fn all() -> Vec<Self> {
        let mut all = vec![
            Self::KilledBefore,
            Self::KilledSent,
            Self::KilledApplied,
            Self::KilledAnswered,
            Self::KilledCommitted,
            Self::Lost,
            Self::AnswerLost,
            Self::DoneLate,
            Self::DoneStatus(500),
            Self::DoneStatus(504),
            Self::Page,
            Self::Empty,
            Self::Cut,
            Self::Flipped,
            Self::Stale,
            Self::Bare,
            Self::Unhashed,
            Self::Unmodified,
            Self::Source(403),
            Self::Source(404),
            Self::Source(503),
            Self::SourceCut,
            Self::SourceFlipped,
            Self::SourceOther,
            Self::SourceLonger,
            Self::Early(413),
            Self::Early(503),
            Self::Slow,
            Self::SqlFails,
            Self::Twice,
            Self::Late,
            Self::Never,
            Self::Delayed,
            Self::Doubled,
        ];
        all.extend(REFUSALS.into_iter().chain(TROUBLES).map(Self::Status));
        all.extend(JUMPS.map(Self::Clock));
        all.extend(OUTSIDERS.map(Self::Somebody));
        all
    }

    /// The fault of its class that stands for it in pairs at such a boundary: the code tells them apart by one and the
    /// same question, and keeps the difference only to show it. A test has each of them go the way of the other.
    #[must_use]
    pub fn class(self, kind: Kind) -> Self {
        // An index may be closed to some, and a move may be; a missing one is another matter there. A job that GitLab does
        // not know is asked for less often than one that it does not show.
        let tells_access_apart = matches!(kind, Kind::Head | Kind::List | Kind::Promote | Kind::Job);
        match self {
            Self::Status(401 | 403) if tells_access_apart => Self::Status(403),
            Self::Status(401 | 403 | 404) => Self::Status(404),
            Self::Status(402 | 429) => Self::Status(429),
            Self::Status(408 | 500..=599) => Self::Status(503),
            Self::Status(_) => Self::Status(422),
            Self::DoneStatus(_) => Self::DoneStatus(504),
            Self::Page | Self::Empty | Self::Flipped
                if matches!(kind, Kind::Job | Kind::Search | Kind::Show | Kind::List) =>
            {
                Self::Cut
            }
            Self::Source(_) => Self::Source(403),
            Self::SourceCut | Self::SourceLonger => Self::SourceCut,
            Self::SourceFlipped | Self::SourceOther => Self::SourceFlipped,
            other => other,
        }
    }

    /// Why it is not tried in pairs at such a boundary, though it fits: what it leaves is what another one leaves, or as
    /// good as that, and it is proved alone.
    pub fn same_in_pairs(self, kind: Kind) -> Option<&'static str> {
        if self.class(kind) != self {
            return Some("another of its class stands for it, and it is proved alone");
        }
        match self {
            Self::Clock(_) if !matches!(kind, Kind::Alarm | Kind::Slot | Kind::MayAct) => Some(
                "the clock is read at the next alarm, slot or leave to act, where it jumps too, and it is proved alone",
            ),
            Self::Somebody(_) if kind.sort() != Sort::Call || matches!(kind, Kind::Job | Kind::List) => {
                Some("somebody acts at the next list, download, push or move too, and it is proved alone")
            }
            _ => None,
        }
    }

    /// Whether this can happen to such a boundary.
    pub fn fits(self, kind: Kind) -> bool {
        use Kind as K;
        let sort = kind.sort();
        match self {
            Self::KilledBefore => true,
            Self::KilledApplied | Self::KilledCommitted => sort != Sort::Alarm,
            Self::KilledAnswered => !matches!(sort, Sort::Commit | Sort::Alarm),
            // What is read and never arrives is as good as not sent.
            Self::KilledSent => kind.acts() || matches!(kind, K::HandOver | K::Report | K::SlotEnded),
            Self::Lost | Self::AnswerLost => matches!(sort, Sort::Call | Sort::Message | Sort::Arrival),
            Self::DoneLate => kind.acts() || matches!(kind, K::HandOver | K::Report | K::SlotEnded),
            Self::Status(_) => sort == Sort::Call,
            // Whoever answers a notice with success has it: what they do with it is theirs.
            Self::Page | Self::Empty => sort == Sort::Call && kind != K::Notice,
            Self::Cut => sort == Sort::Call && kind.has_a_body(),
            Self::DoneStatus(_) => kind.acts() || kind == K::Notice,
            // A digest or a number that is another would be believed: that is what TLS is for. Hashes cover these.
            Self::Flipped => matches!(kind, K::Head | K::List | K::ImageRead),
            Self::Stale => {
                let is_of_images = matches!(kind, K::ImageHead | K::ImageRead | K::BlobHead | K::TagList);
                matches!(kind, K::Search | K::Head | K::Job | K::Pipeline) || is_of_images
            }
            Self::Bare => matches!(kind, K::Search | K::TagList),
            Self::Unhashed => matches!(kind, K::Search | K::ImageHead),
            Self::OtherManifest => kind == K::ImageRead,
            Self::Unmounted => kind == K::Mount,
            Self::Unmodified => kind == K::Head,
            Self::Source(_)
            | Self::SourceCut
            | Self::SourceFlipped
            | Self::SourceOther
            | Self::SourceLonger
            | Self::Early(_)
            | Self::Slow => matches!(kind, K::Relay | K::BlobSend),
            Self::SqlFails => sort == Sort::Commit,
            Self::Twice | Self::Late | Self::Never => sort == Sort::Alarm,
            Self::Delayed | Self::Doubled => sort == Sort::Arrival,
            Self::Clock(_) => sort != Sort::Arrival,
            Self::Somebody(_) => matches!(sort, Sort::Call | Sort::Commit),
        }
    }

    /// Why it cannot happen to such a boundary, for the table of those that were left out.
    pub fn why_not(self, kind: Kind) -> &'static str {
        match (self, kind.sort()) {
            (Self::KilledApplied | Self::KilledAnswered | Self::KilledCommitted, _) => {
                "that position is another boundary's"
            }
            (Self::KilledSent | Self::DoneLate, _) => "it changes nothing when it arrives late",
            (Self::SqlFails, _) => "it is no commit",
            (Self::Twice | Self::Late | Self::Never, _) => "it is no alarm",
            (Self::Delayed | Self::Doubled, _) => "it does not come from outside",
            (Self::Stale | Self::Bare | Self::Unhashed | Self::Unmodified, _) => "it lists nothing",
            (Self::OtherManifest, _) => "it gives no manifest",
            (Self::Unmounted, _) => "it mounts nothing",
            (Self::Cut, Sort::Call) => "its answer has no body that counts",
            (Self::DoneStatus(_), _) => "it does no work that could be done and denied",
            (Self::Page | Self::Empty, Sort::Call) => "it is a success, whatever it says",
            (Self::Flipped, _) => "no digest covers its answer, so only TLS can",
            (
                Self::Source(_)
                | Self::SourceCut
                | Self::SourceFlipped
                | Self::SourceOther
                | Self::SourceLonger
                | Self::Early(_)
                | Self::Slow,
                _,
            ) => "no package bytes pass",
            (Self::Somebody(_), _) => "the moment is that of the next call or commit",
            (_, Sort::Commit) => "a commit has no answer from a server",
            (_, Sort::Alarm) => "an alarm has no answer",
            (_, Sort::Message) => "an object answers or does not; it has no statuses",
            _ => "what arrives has no such answer",
        }
    }
}
