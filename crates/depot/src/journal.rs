//! The journal: every accepted write, one JSON object a line, appended and synced before the write is answered.
//!
//! It is all that the depot remembers about packages: the state is the journal, replayed. A last line without its
//! new line is a write that was cut off before it was answered, and is dropped. Anything else that cannot be read
//! stops the start: a hole in the middle would bring deleted packages back.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::names::{Distro, Repository};
use crate::package::Package;

/// What an accepted write did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Action {
    Push,
    Delete,
    Promote,
}

/// One accepted write.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Entry {
    /// 1 for the first write, and one more for each that follows.
    pub(crate) seq: u64,
    pub(crate) at: String,
    pub(crate) user: String,
    pub(crate) action: Action,
    pub(crate) repo: Repository,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) destination: Option<Repository>,
    pub(crate) distro: Distro,
    pub(crate) filename: String,
    pub(crate) sha256: String,
    pub(crate) size: u64,
    /// The status that says "accepted", also when a fault then hid it from the client.
    pub(crate) status: u16,
    /// All that is known of a pushed package.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) package: Option<Package>,
}

/// Why the journal cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The file cannot be read or written.
    #[error("cannot use the journal {}", path.display())]
    File {
        /// The journal's file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A line in it is not what was written there.
    #[error("line {line} of the journal {} is damaged: {why}; restore the file from a copy", path.display())]
    Damaged {
        /// The journal's file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong with it.
        why: String,
    },
}

/// The open journal.
#[derive(Debug)]
pub(crate) struct Journal {
    path: PathBuf,
    file: File,
    length: u64,
    /// All writes, without what only a start needs: the descriptions of packages.
    entries: Vec<Entry>,
}

impl Journal {
    /// Opens the journal, and gives the writes that are in it with all that they say.
    pub(crate) fn open(path: &Path) -> Result<(Self, Vec<Entry>), JournalError> {
        let failed = |source| JournalError::File { path: path.to_owned(), source };
        let mut file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path).map_err(failed)?;
        let mut text = Vec::new();
        file.read_to_end(&mut text).map_err(failed)?;
        let whole = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |last| last + 1);
        let mut entries: Vec<Entry> = Vec::new();
        for (index, line) in text[..whole].split_inclusive(|byte| *byte == b'\n').enumerate() {
            let damaged = |why: String| JournalError::Damaged { path: path.to_owned(), line: index + 1, why };
            let entry: Entry = serde_json::from_slice(line).map_err(|error| damaged(error.to_string()))?;
            let expected = entries.last().map_or(1, |last| last.seq + 1);
            if entry.seq != expected {
                return Err(damaged(format!("it has number {} where {expected} is next", entry.seq)));
            }
            entries.push(entry);
        }
        let length = u64::try_from(whole).expect("a file that was read into memory has a length");
        if whole < text.len() {
            file.set_len(length).and_then(|()| file.sync_data()).map_err(failed)?;
        }
        file.seek(SeekFrom::Start(length)).map_err(failed)?;
        let short = entries.iter().map(|entry| Entry { package: None, ..entry.clone() }).collect();
        Ok((Self { path: path.to_owned(), file, length, entries: short }, entries))
    }

    pub(crate) fn entries(&self) -> &[Entry] {
        &self.entries
    }

    pub(crate) fn next_seq(&self) -> u64 {
        self.entries.last().map_or(1, |last| last.seq + 1)
    }

    /// Makes a write last. When this fails, nothing of it is in the journal.
    pub(crate) fn append(&mut self, entry: Entry) -> Result<(), JournalError> {
        let mut line = serde_json::to_vec(&entry).expect("an entry has text and numbers only");
        line.push(b'\n');
        let length = u64::try_from(line.len()).expect("a line has a length");
        // An earlier failure may have left part of a line behind.
        let written = self
            .file
            .set_len(self.length)
            .and_then(|()| self.file.seek(SeekFrom::Start(self.length)))
            .and_then(|_| self.file.write_all(&line))
            .and_then(|()| self.file.sync_data());
        match written {
            Ok(()) => {
                self.length += length;
                self.entries.push(Entry { package: None, ..entry });
                Ok(())
            }
            Err(source) => {
                // Best effort now; the next append and the next start do it again.
                let _ = self.file.set_len(self.length);
                Err(JournalError::File { path: self.path.clone(), source })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(seq: u64) -> Entry {
        Entry {
            seq,
            at: "2026-11-02T09:14:05.000Z".to_owned(),
            user: "harbour".to_owned(),
            action: Action::Delete,
            repo: "harbour/tug".parse().expect("a legal repository"),
            destination: None,
            distro: "ubuntu/jammy".parse().expect("a legal distro version"),
            filename: format!("tug_{seq}_amd64.deb"),
            sha256: "00".repeat(32),
            size: 1,
            status: 200,
            package: None,
        }
    }

    #[test]
    fn a_write_cut_off_at_any_byte_is_dropped_and_the_ones_before_it_stay() {
        let folder = crate::folder::Scratch::new("journal");
        let path = folder.path().join("journal.ndjson");
        let (mut journal, _) = Journal::open(&path).expect("a new journal opens");
        for seq in 1..=2 {
            journal.append(entry(seq)).expect("it can be written");
        }
        let whole = std::fs::read(&path).expect("it was written");
        let second = whole.len() / 2;
        for cut in second..whole.len() {
            std::fs::write(&path, &whole[..cut]).expect("the folder is writable");
            let (mut journal, _) = Journal::open(&path).expect("a torn end is no damage");
            assert_eq!(journal.entries().len(), 1, "cut at byte {cut} of {}", whole.len());
            journal.append(entry(2)).expect("it goes on after the cut");
            assert_eq!(std::fs::read(&path).expect("it is there"), whole, "cut at byte {cut}");
        }
    }

    #[test]
    fn a_damaged_or_missing_line_in_the_middle_stops_the_start() {
        let folder = crate::folder::Scratch::new("journal-damage");
        let path = folder.path().join("journal.ndjson");
        let (mut journal, _) = Journal::open(&path).expect("a new journal opens");
        for seq in 1..=3 {
            journal.append(entry(seq)).expect("it can be written");
        }
        let text = std::fs::read_to_string(&path).expect("it was written");
        let lines: Vec<&str> = text.split_inclusive('\n').collect();
        for damaged in [[lines[0], "{}\n", lines[2]].concat(), [lines[0], lines[2]].concat()] {
            std::fs::write(&path, damaged).expect("the folder is writable");
            let said = Journal::open(&path).expect_err("the second line is wrong").to_string();
            assert!(said.contains("line 2"), "{said}");
        }
    }
}
