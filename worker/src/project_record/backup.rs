//! The record as it is exported, made of an export, and compared with the repositories.

use slipway_edge::compare::compare;
use slipway_ledger::{End, ExportHead, NotImported};

use super::ProjectRecord;
use crate::answer::{Answer, Problem, json};
use crate::backup::Begun;
use crate::clock;

impl ProjectRecord {
    pub(super) fn export(&self, project_id: u64, by: &str) -> Answer {
        self.know_id(project_id)?;
        let (head, lines) = self.record()?.export(by, clock::now())?;
        json(200, &Begun { head, lines })
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

    pub(super) async fn comparison(&self, project_id: u64, first: u64) -> Answer {
        self.know_id(project_id)?;
        json(200, &compare(self.record()?, &self.host(), first).await?)
    }

    /// While a record is being made of an export, nothing else may change it, and it is read by nobody.
    pub(super) fn is_whole(&self) -> std::result::Result<(), Problem> {
        if self.record()?.is_being_imported()? {
            let what = "This project's record is being imported. Try again when that has ended.";
            return Err(Problem::new(503, "importing", what));
        }
        Ok(())
    }

    /// A project that was imported is started when every target was compared.
    pub(super) fn may_start(&self) -> std::result::Result<(), Problem> {
        match self.record()?.imported()? {
            Some(imported) if !imported.is_whole => {
                Err(Problem::new(409, "not-imported", "Its import broke off; send the export again first."))
            }
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
