//! The append-only file behind the stand-in: one line a change, each a JSON array of facts, synced before the answer.

use std::{
    fs::{File, OpenOptions},
    io::{self, Read, Seek, SeekFrom, Write},
    path::Path,
};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    delivery::{Delivery, Outcome},
    job::{Job, Pipeline},
    oauth::{Application, RefreshToken},
    outward::{CommitStatus, Triggered},
    protected::Protected,
    world::{ApiToken, Hook, Project, User},
};

/// Something that has happened. Facts carry the whole new state of their subject, so replaying needs no rules.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Fact {
    Project(Project),
    User(User),
    ApiToken(ApiToken),
    Application(Application),
    Hook(Hook),
    HookEnabled {
        hook_id: u64,
    },
    Pipeline(Pipeline),
    Job(Box<Job>),
    CommitStatus(Box<CommitStatus>),
    Triggered(Triggered),
    Protected(Protected),
    RefreshToken(RefreshToken),
    Queued(Box<Delivery>),
    Delivered {
        delivery_id: u64,
        outcome: Box<Outcome>,
    },
    /// A part of the seed was applied with this value; the same value again changes nothing.
    Seeded {
        part: String,
        value: Value,
    },
}

/// The open journal. Its lock keeps a second stand-in out of the folder.
pub(super) struct Journal {
    file: File,
}

impl Journal {
    /// Opens or creates the file and reads every fact in it.
    pub(super) fn open(path: &Path) -> io::Result<(Self, Vec<Fact>)> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        #[cfg(unix)]
        {
            use std::os::unix::fs::OpenOptionsExt;
            options.mode(0o600); // It holds the tokens of the hooks.
        }
        let mut file = options.open(path)?;
        file.try_lock().map_err(|_| io::Error::other("another stand-in is using it; end that one first"))?;
        let mut text = Vec::new();
        file.read_to_end(&mut text)?;
        // A kill in the middle of a write leaves a line without its end. Nothing was answered for it, so it goes.
        let whole = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        let mut facts = Vec::new();
        for (number, line) in
            text[..whole].split(|byte| *byte == b'\n').enumerate().filter(|(_, line)| !line.is_empty())
        {
            let change: Vec<Fact> = serde_json::from_slice(line)
                .map_err(|error| io::Error::other(format!("line {} is not a change: {error}", number + 1)))?;
            facts.extend(change);
        }
        let length = u64::try_from(whole).map_err(io::Error::other)?;
        file.set_len(length)?;
        file.seek(SeekFrom::End(0))?;
        Ok((Self { file }, facts))
    }

    /// Writes one change; after this returns, a kill cannot lose it.
    pub(super) fn append(&mut self, change: &[Fact]) -> io::Result<()> {
        let mut line = serde_json::to_vec(change)?;
        line.push(b'\n');
        self.file.write_all(&line)?;
        self.file.sync_data()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_a_kill_cut_off_is_dropped_and_the_next_change_follows_the_whole_ones() {
        let path = std::env::temp_dir().join(format!("slipway-journal-{}.ndjson", super::super::clock::uuid()));
        let enabled = |hook_id| [Fact::HookEnabled { hook_id }];
        let (mut journal, _) = Journal::open(&path).expect("the folder is writable");
        journal.append(&enabled(1)).expect("there is room");
        journal.file.write_all(br#"[{"hook_enabled":{"hook_"#).expect("there is room");
        drop(journal);
        let (mut journal, facts) = Journal::open(&path).expect("a torn end is no error");
        assert_eq!(facts.len(), 1);
        journal.append(&enabled(2)).expect("there is room");
        drop(journal);
        let (_, facts) = Journal::open(&path).expect("every line is whole");
        assert!(matches!(facts[..], [Fact::HookEnabled { hook_id: 1 }, Fact::HookEnabled { hook_id: 2 }]), "{facts:?}");
        std::fs::remove_file(&path).expect("it is there");
    }
}
