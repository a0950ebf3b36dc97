//! The record as it is exported, made of an export, and compared with the repositories.

use futures_util::stream;
use slipway_edge::compare::compare;
use slipway_ledger::{End, ExportHead, LedgerError, NotImported};

use worker::Response;

use super::ProjectRecord;
use crate::answer::{Answer, Problem, json};
use crate::backup::{AUDIT_LINES, LINES};
use crate::clock;

impl ProjectRecord {
    pub(super) fn export(&self, project_id: u64, by: &str) -> Answer {
        self.know_id(project_id)?;
        self.has_started()?;
        let (head, pieces) = self.record()?.export(by, clock::now())?;
        let rows: u64 = head.tables.iter().filter(|table| table.name != "audit").map(|table| table.rows).sum();
        // What is read at one moment waits here once, until it is sent, and nowhere else.
        let pieces = stream::iter(pieces.into_iter().map(|piece| Ok::<_, worker::Error>(piece.into_bytes())));
        let response = Response::from_stream(pieces)?;
        response.headers().set(LINES, &(rows + 1).to_string())?;
        response.headers().set(AUDIT_LINES, &head.audit_rows.to_string())?;
        Ok(response)
    }

    pub(super) fn import(&self, project_id: u64, id: &str, head: &ExportHead, by: &str) -> Answer {
        self.know_id(project_id)?;
        self.record()?.import(head, id, by, clock::now()).map_err(not_imported)?;
        // The configuration that the export knows may be another than that of here.
        self.is_configured.set(false);
        json(200, &())
    }

    pub(super) async fn import_ends(&self, project_id: u64, id: &str, end: &End, by: &str) -> Answer {
        let versions = self.record()?.import_ends(id, end, by, clock::now()).map_err(not_imported)?;
        self.know_id(project_id)?;
        // Whoever follows the switch of everything is told anew, and what the record has is looked after.
        self.soon().await?;
        json(200, &versions)
    }

    pub(super) async fn import_fails(&self, id: &str, why: &str, by: &str) -> Answer {
        let is_given_up = self.record()?.give_up_import(id, by, why, clock::now())?;
        if is_given_up {
            self.is_configured.set(false);
            self.soon().await?;
        }
        json(200, &is_given_up)
    }

    pub(super) async fn comparison(&self, project_id: u64, first: u64) -> Answer {
        self.know_id(project_id)?;
        json(200, &compare(self.record()?, &self.host(), first).await?)
    }

    /// While a record is being made of an export, nothing else may change it, and it is read by nobody.
    pub(super) fn is_whole(&self) -> std::result::Result<(), Problem> {
        if self.record()?.is_being_imported()? {
            return Err(LedgerError::Importing.into());
        }
        Ok(())
    }

    /// An imported record that nobody has compared and started yet is not exported, since an export is signed, and knows of
    /// nothing what another project could go by.
    pub(super) fn has_started(&self) -> std::result::Result<(), Problem> {
        if self.record()?.awaits_start()? {
            let what = "This project's record was imported and not started yet; compare it with the repositories, then start it. \
                        Until then the file that was imported is its backup.";
            return Err(Problem::new(409, "not-started", what));
        }
        Ok(())
    }

    /// A project that was imported is started when every target was compared.
    pub(super) fn may_start(&self) -> std::result::Result<(), Problem> {
        match self.record()?.imported()? {
            Some(imported) if !imported.is_whole => Err(Problem::new(
                409,
                "not-imported",
                "Its import goes on or broke off; send the export again: if it fails again, the project is what it was before.",
            )),
            Some(imported) if !imported.is_compared => {
                let what = "It was imported and not compared with the repositories yet; read all pages of `…/comparison` first.";
                Err(Problem::new(409, "not-compared", what))
            }
            _ => Ok(()),
        }
    }
}

pub(super) fn not_imported(error: NotImported) -> Problem {
    match error {
        NotImported::Ledger(error) => error.into(),
        NotImported::Refused(why) => Problem::new(409, "not-imported", format!("The export is not imported: {why}.")),
    }
}
