//! The record's tables. A step is never changed after it was released: a later one changes what it made.

use crate::audit;

const FIRST: &[&str] = &[
    "CREATE TABLE project (id INTEGER PRIMARY KEY)",
    "CREATE TABLE tokens (
        id TEXT PRIMARY KEY,
        job_id INTEGER NOT NULL,
        ends_at INTEGER NOT NULL
    )",
    "CREATE TABLE releases (
        version TEXT PRIMARY KEY,
        created_at INTEGER NOT NULL,
        sequence INTEGER NOT NULL,
        policy TEXT NOT NULL
    )",
    "CREATE TABLE pipelines (
        version TEXT NOT NULL,
        id INTEGER NOT NULL,
        project_path TEXT NOT NULL,
        ref_name TEXT NOT NULL,
        sha TEXT NOT NULL,
        PRIMARY KEY (version, id)
    )",
    "CREATE TABLE packages (
        version TEXT NOT NULL,
        key TEXT NOT NULL,
        pipeline_id INTEGER NOT NULL,
        release_job TEXT NOT NULL,
        environment TEXT NOT NULL,
        staging_place TEXT NOT NULL,
        staging_repository TEXT NOT NULL,
        filename TEXT,
        digest TEXT,
        size INTEGER,
        PRIMARY KEY (version, key)
    )",
    "CREATE INDEX packages_by_job ON packages (pipeline_id, release_job)",
    "CREATE TABLE targets (
        version TEXT NOT NULL,
        key TEXT NOT NULL,
        distro TEXT NOT NULL,
        public_place TEXT NOT NULL,
        public_repository TEXT NOT NULL,
        state TEXT NOT NULL,
        since INTEGER NOT NULL,
        step TEXT,
        problem TEXT,
        approval INTEGER,
        PRIMARY KEY (version, key, distro)
    )",
    "CREATE TABLE approvals (
        id INTEGER PRIMARY KEY,
        version TEXT NOT NULL,
        key TEXT NOT NULL,
        digest TEXT NOT NULL,
        approved_by TEXT NOT NULL,
        via TEXT NOT NULL,
        job_id INTEGER NOT NULL,
        at INTEGER NOT NULL,
        policy TEXT NOT NULL
    )",
    "CREATE TABLE dispatches (
        approval INTEGER PRIMARY KEY,
        sent_order TEXT NOT NULL
    )",
    "CREATE TABLE refusals (
        job_id INTEGER NOT NULL,
        version TEXT NOT NULL,
        key TEXT NOT NULL,
        PRIMARY KEY (job_id, version, key)
    )",
    "CREATE TABLE hints (
        id INTEGER PRIMARY KEY,
        delivery TEXT NOT NULL UNIQUE,
        job_id INTEGER NOT NULL,
        received_at INTEGER NOT NULL,
        tries INTEGER NOT NULL,
        due_at INTEGER,
        outcome TEXT
    )",
];

/// Kinds and architectures of packages, routes that move, and a history for each target.
const MANY_TARGETS: &[&str] = &[
    "ALTER TABLE releases ADD COLUMN maturity TEXT NOT NULL DEFAULT 'final'",
    "ALTER TABLE packages ADD COLUMN kind TEXT NOT NULL DEFAULT 'deb'",
    "ALTER TABLE packages ADD COLUMN architecture TEXT",
    "ALTER TABLE targets ADD COLUMN how TEXT NOT NULL DEFAULT 'copy'",
    "ALTER TABLE targets ADD COLUMN outside INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE targets ADD COLUMN told_at INTEGER",
    "ALTER TABLE targets ADD COLUMN looked_at INTEGER",
    "ALTER TABLE targets ADD COLUMN absent_looks INTEGER NOT NULL DEFAULT 0",
    "CREATE TABLE attempts (
        version TEXT NOT NULL,
        key TEXT NOT NULL,
        distro TEXT NOT NULL,
        approval INTEGER NOT NULL,
        number INTEGER NOT NULL,
        attempt TEXT NOT NULL,
        PRIMARY KEY (version, key, distro, approval, number)
    )",
    "CREATE INDEX moving_targets ON targets (state) WHERE state IN ('approved', 'releasing')",
];

/// The files that gave way to others, which until then only the audit knew.
const REPLACED: &[&str] = &[
    "CREATE TABLE replaced (
        version TEXT NOT NULL,
        key TEXT NOT NULL,
        filename TEXT NOT NULL,
        digest TEXT NOT NULL,
        PRIMARY KEY (version, key, filename, digest)
    )",
    "INSERT OR IGNORE INTO replaced
     SELECT p.version, p.key, json_extract(a.details, '$.replaces.filename'), json_extract(a.details, '$.replaces.digest')
     FROM audit a JOIN packages p ON a.subject = p.version || '/' || p.key WHERE a.action = 'replaced'",
];

/// Hints of more than jobs, what was read of GitLab, and what is told to others.
const HINTS_AND_NOTICES: &[&str] = &[
    "ALTER TABLE hints ADD COLUMN kind TEXT NOT NULL DEFAULT 'job'",
    "CREATE INDEX hints_by_subject ON hints (kind, job_id)",
    "CREATE INDEX open_hints ON hints (due_at) WHERE due_at IS NOT NULL",
    "CREATE INDEX settled_hints ON hints (received_at) WHERE due_at IS NULL",
    "CREATE INDEX approvals_by_package ON approvals (version, key, job_id)",
    "CREATE TABLE gitlab_reads (
        minute INTEGER PRIMARY KEY,
        count INTEGER NOT NULL
    )",
    "CREATE TABLE read_pipelines (
        id INTEGER PRIMARY KEY,
        at INTEGER NOT NULL
    )",
    "CREATE TABLE statuses (
        version TEXT NOT NULL,
        key TEXT NOT NULL,
        approved_by TEXT NOT NULL,
        sent TEXT,
        tries INTEGER NOT NULL,
        due_at INTEGER,
        PRIMARY KEY (version, key)
    )",
    "CREATE INDEX open_statuses ON statuses (due_at) WHERE due_at IS NOT NULL",
    "CREATE TABLE occurrences (
        id INTEGER PRIMARY KEY,
        name TEXT NOT NULL UNIQUE,
        kind TEXT NOT NULL,
        version TEXT NOT NULL,
        key TEXT,
        problem TEXT,
        at INTEGER NOT NULL,
        is_spread INTEGER NOT NULL
    )",
    "CREATE INDEX new_occurrences ON occurrences (id) WHERE is_spread = 0",
    "CREATE TABLE deliveries (
        occurrence INTEGER NOT NULL,
        receiver TEXT NOT NULL,
        tries INTEGER NOT NULL,
        due_at INTEGER,
        outcome TEXT,
        PRIMARY KEY (occurrence, receiver)
    )",
    "CREATE INDEX open_deliveries ON deliveries (due_at) WHERE due_at IS NOT NULL",
];

/// What gates ask for: since when bytes are staged, where they are deployed, what GitLab says of their pipeline, who holds
/// them and who has opened a gate; and of each target, whether an act was allowed to begin. What was approved before may
/// have begun.
const GATES: &[&str] = &[
    "ALTER TABLE releases ADD COLUMN closed_at INTEGER",
    "ALTER TABLE releases ADD COLUMN closed_by TEXT",
    "ALTER TABLE releases ADD COLUMN closed_why TEXT",
    "ALTER TABLE packages ADD COLUMN release_all_job TEXT",
    "ALTER TABLE packages ADD COLUMN release_all_environment TEXT",
    "ALTER TABLE packages ADD COLUMN first_staged_at INTEGER",
    "ALTER TABLE packages ADD COLUMN staged_at INTEGER",
    "UPDATE packages SET staged_at = t.since, first_staged_at = t.since FROM
        (SELECT version, key, MAX(since) AS since FROM targets WHERE state <> 'expected' GROUP BY version, key) t
     WHERE packages.version = t.version AND packages.key = t.key AND digest IS NOT NULL",
    "CREATE INDEX packages_by_all_job ON packages (pipeline_id, release_all_job)",
    "ALTER TABLE targets ADD COLUMN allowed_at INTEGER",
    "ALTER TABLE targets ADD COLUMN begun INTEGER NOT NULL DEFAULT 0",
    "UPDATE targets SET begun = 1 WHERE approval IS NOT NULL",
    "UPDATE targets SET allowed_at = since WHERE state IN ('approved', 'releasing')",
    "ALTER TABLE approvals ADD COLUMN by_id INTEGER",
    "CREATE TABLE holds (
        version TEXT NOT NULL,
        key TEXT NOT NULL,
        held_by TEXT NOT NULL,
        reason TEXT NOT NULL,
        at INTEGER NOT NULL,
        PRIMARY KEY (version, key)
    )",
    "CREATE TABLE overrides (
        version TEXT NOT NULL,
        key TEXT NOT NULL,
        digest TEXT NOT NULL,
        gate TEXT NOT NULL,
        by_id INTEGER NOT NULL,
        PRIMARY KEY (version, key, digest, gate, by_id)
    )",
    "CREATE TABLE deployments (
        version TEXT NOT NULL,
        environment TEXT NOT NULL,
        pipeline_id INTEGER NOT NULL,
        at INTEGER NOT NULL,
        PRIMARY KEY (version, environment, pipeline_id)
    )",
    "CREATE TABLE pipeline_facts (
        pipeline_id INTEGER PRIMARY KEY,
        facts TEXT NOT NULL,
        read_at INTEGER NOT NULL
    )",
];

/// Why the job that a status tells of was refused. Until then a status told of approvals alone.
const REFUSED_STATUSES: &[&str] =
    &["ALTER TABLE statuses ADD COLUMN refused TEXT", "ALTER TABLE statuses ADD COLUMN refused_job INTEGER"];

/// When a release's gates open or close next by time alone, as seen at one of its sequence numbers and under one policy; and a
/// way to what other releases have of a key.
const TURNS: &[&str] = &[
    "CREATE TABLE turns (
        version TEXT PRIMARY KEY,
        sequence INTEGER NOT NULL,
        policy TEXT NOT NULL,
        at INTEGER
    )",
    "CREATE INDEX packages_by_key ON packages (key)",
];

/// Which job of a pipeline said what it expects. Of pipelines that were there before, nobody knows.
const PLANNERS: &[&str] = &["ALTER TABLE pipelines ADD COLUMN planned_by INTEGER"];

/// The highest number of a target's reports under its approval.
const NUMBERED_REPORTS: &[&str] = &["ALTER TABLE targets ADD COLUMN heard INTEGER NOT NULL DEFAULT 0"];

/// The switches that stop a project: its own, and that of the whole deployment as it was last told of.
const STOPS: &[&str] = &["CREATE TABLE stops (
    scope TEXT PRIMARY KEY,
    number INTEGER NOT NULL,
    stopped_by TEXT,
    why TEXT,
    at INTEGER NOT NULL
)"];

/// What is attested: due with the release that it tells of, and once it is signed the same for ever.
const ATTESTATIONS: &[&str] = &[
    "CREATE TABLE attestations (
        id INTEGER PRIMARY KEY,
        version TEXT NOT NULL,
        key TEXT NOT NULL,
        distro TEXT NOT NULL,
        approval INTEGER NOT NULL,
        released_at INTEGER NOT NULL,
        outside INTEGER NOT NULL,
        audit_sequence INTEGER NOT NULL,
        audit_hash TEXT NOT NULL,
        envelope TEXT,
        attached TEXT,
        tries INTEGER NOT NULL,
        due_at INTEGER,
        UNIQUE (version, key, distro, approval)
    )",
    "CREATE INDEX open_attestations ON attestations (due_at) WHERE due_at IS NOT NULL",
    "CREATE TRIGGER an_attestation_is_never_changed BEFORE UPDATE OF envelope ON attestations WHEN OLD.envelope IS NOT NULL
        BEGIN SELECT RAISE(ABORT, 'an attestation is signed once'); END",
];

/// Ways to what the record has of a name that a repository lists.
const SWEPT: &[&str] = &[
    "CREATE INDEX packages_by_filename ON packages (filename) WHERE filename IS NOT NULL",
    "CREATE INDEX packages_by_digest ON packages (digest) WHERE digest IS NOT NULL",
    "CREATE INDEX targets_by_public_name ON targets (public_repository, distro)",
];

/// What of staging is announced, marked and being deleted; who wants what kept until when; and the time that runs count.
const RETENTION: &[&str] = &[
    "ALTER TABLE packages ADD COLUMN declared_at INTEGER",
    "UPDATE packages SET declared_at = a.at FROM
        (SELECT subject, MAX(at) AS at FROM audit WHERE action IN ('declared', 'replaced') GROUP BY subject) a
     WHERE a.subject = packages.version || '/' || packages.key AND packages.digest IS NOT NULL",
    "CREATE INDEX packages_by_file ON packages (staging_place, staging_repository, filename)",
    "ALTER TABLE holds ADD COLUMN until INTEGER",
    "ALTER TABLE deployments ADD COLUMN done_at INTEGER",
    "CREATE TABLE retention_clock (
        id INTEGER PRIMARY KEY CHECK (id = 1),
        seen_at INTEGER NOT NULL,
        counted INTEGER NOT NULL
    )",
    "CREATE TABLE retention (
        version TEXT NOT NULL,
        key TEXT NOT NULL,
        digest TEXT NOT NULL,
        stage TEXT NOT NULL,
        cause TEXT NOT NULL,
        counted INTEGER NOT NULL,
        expires_at INTEGER NOT NULL,
        PRIMARY KEY (version, key)
    )",
    "CREATE TABLE extensions (
        version TEXT NOT NULL,
        key TEXT NOT NULL,
        until INTEGER NOT NULL,
        PRIMARY KEY (version, key)
    )",
    "CREATE TABLE removals (
        id INTEGER PRIMARY KEY,
        place TEXT NOT NULL,
        repository TEXT NOT NULL,
        cargo TEXT NOT NULL,
        digest TEXT NOT NULL,
        under TEXT NOT NULL,
        version TEXT,
        key TEXT,
        begun_at INTEGER NOT NULL,
        until INTEGER,
        stays INTEGER NOT NULL DEFAULT 0
    )",
];

/// What is taken back after its release, and what was: its name is never given to other bytes.
const WITHDRAWALS: &[&str] = &[
    "CREATE TABLE withdrawals (
        id INTEGER PRIMARY KEY,
        version TEXT NOT NULL,
        key TEXT NOT NULL,
        distro TEXT NOT NULL,
        place TEXT NOT NULL,
        repository TEXT NOT NULL,
        filename TEXT NOT NULL,
        digest TEXT NOT NULL,
        sent_order TEXT NOT NULL,
        asked_by TEXT NOT NULL,
        reason TEXT NOT NULL,
        at INTEGER NOT NULL,
        users TEXT NOT NULL,
        is_given INTEGER NOT NULL DEFAULT 0,
        told_at INTEGER NOT NULL,
        heard INTEGER NOT NULL DEFAULT 0,
        state TEXT NOT NULL,
        notes TEXT NOT NULL,
        problem TEXT
    )",
    "CREATE INDEX withdrawals_by_target ON withdrawals (version, key, distro)",
    "CREATE INDEX withdrawals_by_name ON withdrawals (place, repository, distro, filename)",
    "CREATE INDEX open_withdrawals ON withdrawals (state) WHERE state = 'under_way'",
];

/// Where this record came from, when it was made of an export, and whether it was compared with the repositories since.
const IMPORTS: &[&str] = &["CREATE TABLE imports (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    head TEXT NOT NULL,
    began_by TEXT NOT NULL,
    began_at INTEGER NOT NULL,
    is_whole INTEGER NOT NULL,
    compare_from INTEGER NOT NULL DEFAULT 1,
    is_compared INTEGER NOT NULL
)"];

/// What staging no longer has, and since when it has not shown something; holds of whose end was told; and ways to what
/// rests the longest and to what runs where. What was moved away or is missing was kept in the books until then.
const STAGED_NO_MORE: &[&str] = &[
    "ALTER TABLE holds ADD COLUMN is_over INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE packages ADD COLUMN deleted_at INTEGER",
    "ALTER TABLE packages ADD COLUMN unshown_since INTEGER",
    "CREATE INDEX packages_by_age ON packages (staged_at, version, key) WHERE staged_at IS NOT NULL",
    "CREATE INDEX deployments_by_environment ON deployments (environment)",
    "UPDATE packages SET staged_at = NULL WHERE staged_at IS NOT NULL AND NOT EXISTS
        (SELECT 1 FROM targets t WHERE t.version = packages.version AND t.key = packages.key
         AND t.state NOT IN ('expected', 'missing')
         AND NOT (t.state IN ('released', 'withdrawn') AND t.how = 'move' AND t.outside = 0))",
];

/// Which import it is, where the audit ended that gave way to it, what ended with it, and when it was started.
const STARTED_IMPORTS: &[&str] = &[
    "ALTER TABLE imports ADD COLUMN id TEXT NOT NULL DEFAULT ''",
    "ALTER TABLE imports ADD COLUMN replaced TEXT",
    "ALTER TABLE imports ADD COLUMN ended TEXT NOT NULL DEFAULT '[]'",
    "ALTER TABLE imports ADD COLUMN started_at INTEGER",
    "UPDATE imports SET started_at = began_at WHERE is_compared = 1
     AND NOT EXISTS (SELECT 1 FROM stops WHERE scope = 'project' AND stopped_by IS NOT NULL)",
];

/// When a deletion is looked at again, and since when staging does not show what is deleted; and how far a run is.
const RUNS: &[&str] = &[
    "ALTER TABLE removals ADD COLUMN look_at INTEGER",
    "ALTER TABLE removals ADD COLUMN gone_at INTEGER",
    "CREATE TABLE retention_run (
        id INTEGER PRIMARY KEY CHECK (id = 1),
        ran_backwards INTEGER NOT NULL,
        staged_at INTEGER,
        version TEXT,
        key TEXT,
        files INTEGER NOT NULL,
        bytes INTEGER NOT NULL,
        is_full INTEGER NOT NULL
    )",
];

/// When what is announced is deleted at the earliest, as its event tells it; and of which run a deletion is.
const NUMBERED_RUNS: &[&str] = &[
    "ALTER TABLE occurrences ADD COLUMN expires_at INTEGER",
    "ALTER TABLE retention_clock ADD COLUMN runs INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE removals ADD COLUMN run INTEGER",
];

/// A way to the audit's rows that tell of deletions, which are counted.
const COUNTED: &[&str] =
    &["CREATE INDEX deletions_in_audit ON audit (action) WHERE action IN ('deleted', 'not-deleted')"];

/// What was to go with an image whose deletion is on its way.
const PARTS_OF_IMAGES: &[&str] = &["ALTER TABLE removals ADD COLUMN parts TEXT"];

/// Since when a file that gave way is looked for in staging, as long as nobody knows what became of it; when it was looked
/// for last, whether it was there, and since when it is not.
const SEEN_TO_GIVE_WAY: &[&str] = &[
    "ALTER TABLE replaced ADD COLUMN since INTEGER",
    "ALTER TABLE replaced ADD COLUMN looked_at INTEGER",
    "ALTER TABLE replaced ADD COLUMN was_there INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE replaced ADD COLUMN gone_at INTEGER",
];

/// The manual jobs that release packages, by their numbers in GitLab, as it listed them last; and which pipelines' jobs were
/// read for that, and which are said to have others since.
const MANUAL_JOBS: &[&str] = &[
    "CREATE TABLE manual_jobs (
        pipeline_id INTEGER NOT NULL,
        name TEXT NOT NULL,
        job_id INTEGER NOT NULL,
        PRIMARY KEY (pipeline_id, name)
    )",
    "CREATE TABLE listed_pipelines (
        id INTEGER PRIMARY KEY,
        at INTEGER NOT NULL,
        is_hinted INTEGER NOT NULL DEFAULT 0
    )",
];

/// What pages tell: which packages of a release gates keep back, as it was worked out last; who said that something runs
/// somewhere; and when what the record is made of answered last.
const GLANCES: &[&str] = &[
    "CREATE TABLE kept_back (
        version TEXT PRIMARY KEY,
        sequence INTEGER NOT NULL,
        policy TEXT NOT NULL,
        at INTEGER NOT NULL,
        until INTEGER,
        keys TEXT NOT NULL
    )",
    "ALTER TABLE deployments ADD COLUMN told_by TEXT",
    "UPDATE deployments SET told_by = a.actor FROM
        (SELECT subject, at, json_extract(details, '$.environment') AS environment, MIN(actor) AS actor FROM audit
         WHERE action = 'deployed' GROUP BY 1, 2, 3) a
     WHERE a.subject = deployments.version AND a.at = deployments.at AND a.environment = deployments.environment",
    "CREATE TABLE sources (
        kind TEXT NOT NULL,
        name TEXT NOT NULL,
        read_at INTEGER,
        tried_at INTEGER NOT NULL,
        trouble TEXT,
        PRIMARY KEY (kind, name)
    )",
];

/// When a job last declared the bytes of a package once more, and staged them with that.
const STAGED_AGAIN: &[&str] = &["ALTER TABLE packages ADD COLUMN declared_again_at INTEGER"];

pub(super) const STEPS: &[&[&str]] = &[
    FIRST,
    audit::SCHEMA,
    MANY_TARGETS,
    REPLACED,
    GATES,
    HINTS_AND_NOTICES,
    REFUSED_STATUSES,
    TURNS,
    PLANNERS,
    NUMBERED_REPORTS,
    STOPS,
    audit::HEADS,
    ATTESTATIONS,
    SWEPT,
    WITHDRAWALS,
    RETENTION,
    IMPORTS,
    STAGED_NO_MORE,
    STARTED_IMPORTS,
    RUNS,
    NUMBERED_RUNS,
    COUNTED,
    PARTS_OF_IMAGES,
    SEEN_TO_GIVE_WAY,
    MANUAL_JOBS,
    GLANCES,
    STAGED_AGAIN,
];
