//! How many transfers a destination takes at a time, by what it said of those that ended.
//!
//! What lies further ahead than it can be was written when the clock was wrong, and does not count.

use std::time::Duration;

use slipway_core::time::Timestamp;
use slipway_core::trouble::Trouble;
use slipway_ledger::{Sql, SqlError};

use super::Ending;

/// For how long as many transfers as were too many are not tried again.
pub(super) const CEILING_LASTS: Duration = Duration::from_mins(5);
/// For how long a cut-off account is left alone, the first time; doubled each time, up to the longest.
pub(super) const CUT_OFF_FIRST: Duration = Duration::from_mins(15);
pub(super) const CUT_OFF_LONGEST: Duration = Duration::from_hours(2);

/// One account's pace. Limits are in thousandths of transfers, so that they can grow by less than one.
pub(super) struct Pace {
    limit_milli: u64,
    configured_milli: u64,
    lowered_at: Timestamp,
    ceiling: Option<u64>,
    ceiling_until: Timestamp,
    cut_off_until: Timestamp,
    cut_offs: u64,
    trouble: Option<Trouble>,
}

impl Pace {
    /// What the database has; at first, that `limit_milli` run at a time.
    pub(super) fn of(sql: &impl Sql, limit_milli: u64) -> Result<Self, SqlError> {
        let rows = sql.query(
            "SELECT limit_milli, configured_milli, lowered_at, ceiling, ceiling_until, cut_off_until, cut_offs, trouble FROM pace",
            &[],
        )?;
        let Some(row) = rows.first() else {
            let none = Timestamp(0);
            let pace = Self {
                limit_milli,
                configured_milli: limit_milli,
                lowered_at: none,
                ceiling: None,
                ceiling_until: none,
                cut_off_until: none,
                cut_offs: 0,
                trouble: None,
            };
            pace.keep(sql)?;
            return Ok(pace);
        };
        Ok(Self {
            limit_milli: row.natural(0)?,
            configured_milli: row.natural(1)?,
            lowered_at: Timestamp(row.integer(2)?),
            ceiling: row.natural_or_null(3)?,
            ceiling_until: Timestamp(row.integer(4)?),
            cut_off_until: Timestamp(row.integer(5)?),
            cut_offs: row.natural(6)?,
            trouble: row.text_or_null(7)?.and_then(|text| serde_json::from_str(text).ok()),
        })
    }

    /// Writes it down.
    pub(super) fn keep(&self, sql: &impl Sql) -> Result<(), SqlError> {
        let trouble = self.trouble.as_ref().and_then(|trouble| serde_json::to_string(trouble).ok());
        sql.query(
            "INSERT OR REPLACE INTO pace
             (one, limit_milli, configured_milli, lowered_at, ceiling, ceiling_until, cut_off_until, cut_offs, trouble)
             VALUES (1, ?, ?, ?, ?, ?, ?, ?, ?)",
            &[
                self.limit_milli.into(),
                self.configured_milli.into(),
                self.lowered_at.0.into(),
                self.ceiling.into(),
                self.ceiling_until.0.into(),
                self.cut_off_until.0.into(),
                self.cut_offs.into(),
                trouble.into(),
            ],
        )?;
        Ok(())
    }

    /// How many transfers may run now: one, to see, after a cut-off.
    pub(super) fn limit(&self) -> u64 {
        if self.cut_offs > 0 { 1 } else { (self.limit_milli / 1000).max(1) }
    }

    /// Heeds how many the place takes as configured. Whether that is new.
    pub(super) fn configure(&mut self, milli: u64) -> bool {
        if self.configured_milli == milli {
            return false;
        }
        // Where nothing has lowered it, the limit is what is configured; that includes an account that was only looked at
        // so far, of which nobody has said how much it takes.
        let is_lowered = self.limit_milli < self.configured_milli;
        self.limit_milli = if is_lowered { self.limit_milli.min(milli) } else { milli };
        self.configured_milli = milli;
        true
    }

    /// What the server said when it cut the account off, and until when the account is left alone.
    pub(super) fn cut_off(&self, now: Timestamp) -> Option<(&Trouble, Timestamp)> {
        let is_cut_off = self.cut_off_until > now && self.cut_off_until <= now + CUT_OFF_LONGEST;
        self.trouble.as_ref().filter(|_| is_cut_off).map(|trouble| (trouble, self.cut_off_until))
    }

    /// Leaves the account alone for a while, since the server has cut it off.
    pub(super) fn leave_alone(&mut self, trouble: &Trouble, now: Timestamp) {
        // All that ran together met the same cut-off.
        if self.cut_off(now).is_none() {
            let longer = u32::try_from(self.cut_offs.min(10)).unwrap_or(10);
            self.cut_offs += 1;
            self.cut_off_until = now + CUT_OFF_FIRST.saturating_mul(1 << longer).min(CUT_OFF_LONGEST);
        }
        self.trouble = Some(trouble.clone());
    }

    /// A transfer has ended that ran since `began_at`, with `at_once` at a time at the most.
    pub(super) fn after(&mut self, ending: &Ending, began_at: Timestamp, at_once: u64, now: Timestamp) {
        match ending {
            Ending::Sent => {
                self.cut_offs = 0;
                self.trouble = None;
                let lasts = now < self.ceiling_until && self.ceiling_until <= now + CEILING_LASTS;
                let ceiling = self.ceiling.filter(|_| lasts).map_or(u64::MAX, |ceiling| ceiling * 1000 - 1);
                // One more transfer at a time for each full round of successes.
                let more = 1_000_000 / self.limit_milli.max(1000);
                self.limit_milli =
                    self.limit_milli.saturating_add(more).min(ceiling.max(1000)).min(self.configured_milli);
            }
            // One lowering for all that ran together: those that began before it say nothing new.
            Ending::Busy if began_at >= self.lowered_at || self.lowered_at > now => {
                let fewer = (at_once.saturating_sub(1) * 1000).min(self.limit_milli * 3 / 4);
                self.limit_milli = fewer.max(1000);
                self.lowered_at = now;
                self.ceiling = Some(at_once.max(2));
                self.ceiling_until = now + CEILING_LASTS;
            }
            Ending::CutOff(trouble) => self.leave_alone(trouble, now),
            Ending::Busy | Ending::Other => {}
        }
    }
}
