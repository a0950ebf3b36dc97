//! Whether a transfer ends in time, seen from its own rate.
//!
//! A host that may work for a quarter of an hour should not spend it on a copy that needs an hour, and should not give
//! up one that stalls for a moment. So a rate is believed only after a warm-up, and the fastest stretch of the recent
//! past is what counts: a slow start or a short stall changes nothing, one that lasts is seen when the past has gone by.
//!
//! Absent on purpose: a clock. Every moment is an argument.

use std::collections::VecDeque;
use std::time::Duration;

/// What is waited for before a rate is believed, and how far back it is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// No rate counts before this time has passed.
    pub warm_up: Duration,
    /// Nor before this many bytes have passed, unless that takes four times as long.
    pub warm_up_bytes: u64,
    /// The shortest stretch that makes a rate.
    pub stretch: Duration,
    /// How far back stretches are looked at. A stall shorter than this, less one stretch, is forgiven.
    pub window: Duration,
}

/// A transfer that trickles would never reach the bytes of the warm-up.
const WARM_UPS_MAX: u32 = 4;

/// A transfer is given up when it would need more than this many quarters of the time that is left: rates vary, and one
/// that may just end in time is better tried than refused.
const QUARTERS_OF_TIME_LEFT_MAX: u128 = 5;

impl Default for Patience {
    /// For transfers over the internet.
    fn default() -> Self {
        Self {
            // It begins when storage has answered, so it covers TCP's slow start and storage's first reads.
            warm_up: Duration::from_secs(5),
            // TCP begins with about 14 KiB a round trip and doubles that each time: after 1 MiB its slow start is over,
            // which takes 7 round trips.
            warm_up_bytes: 1024 * 1024,
            // Several looks, which come about once a second.
            stretch: Duration::from_secs(5),
            // TCP sends a lost segment again after 1, 2, 4 and 8 s (RFC 6298): four losses in a row are 15 s. Twice
            // that is chosen, not measured.
            window: Duration::from_secs(30),
        }
    }
}

/// How far a transfer had come at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// Since its start.
    pub at: Duration,
    /// How many bytes had passed.
    pub bytes: u64,
}

/// Why a transfer was given up: it would not have ended in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "it is too slow: at {rate_bytes_per_second} bytes a second the rest needs {needed_seconds} s, \
     {bytes} bytes were copied and {left_seconds} s are left"
)]
pub struct TooSlow {
    /// How many bytes had passed.
    pub bytes: u64,
    /// The best rate that it had of late.
    pub rate_bytes_per_second: u64,
    /// How long the rest would take at that rate.
    pub needed_seconds: u64,
    /// How much time there was.
    pub left_seconds: u64,
}

/// Whether a transfer of `size` bytes, seen at `marks` (oldest first, the newest is now), ends within `left`.
pub fn fits_in_time(marks: &[Mark], size: u64, left: Duration, patience: &Patience) -> Result<(), TooSlow> {
    let Some(now) = marks.last() else { return Ok(()) };
    let too_slow = judged(marks, now, size, left, patience.stretch);
    if left.is_zero() {
        return if now.bytes >= size { Ok(()) } else { Err(too_slow) };
    }
    let warm = marks.iter().find(|mark| {
        let (warm_up, bytes) = (patience.warm_up, patience.warm_up_bytes);
        mark.at >= warm_up && (mark.bytes >= bytes || mark.at >= warm_up * WARM_UPS_MAX)
    });
    // One stretch more: its rate is the first to believe.
    if warm.is_none_or(|warm| now.at.saturating_sub(warm.at) < patience.stretch) {
        return Ok(());
    }
    let rest = u128::from(size.saturating_sub(now.bytes));
    let can = u128::from(too_slow.rate_bytes_per_second) * left.as_millis() * QUARTERS_OF_TIME_LEFT_MAX / 4_000;
    if rest > can { Err(too_slow) } else { Ok(()) }
}

fn judged(marks: &[Mark], now: &Mark, size: u64, left: Duration, stretch: Duration) -> TooSlow {
    // At least one byte a second, so that no rest takes for ever.
    let rate = fastest(marks, stretch).max(1);
    TooSlow {
        bytes: now.bytes,
        rate_bytes_per_second: rate,
        needed_seconds: size.saturating_sub(now.bytes).div_ceil(rate),
        left_seconds: left.as_secs(),
    }
}

/// The rate of the fastest stretch, in bytes a second. Of all that was seen, when that is no stretch yet.
fn fastest(marks: &[Mark], stretch: Duration) -> u64 {
    let rate = |from: &Mark, to: &Mark| {
        let millis = to.at.saturating_sub(from.at).as_millis().max(1);
        u64::try_from(u128::from(to.bytes.saturating_sub(from.bytes)) * 1000 / millis).unwrap_or(u64::MAX)
    };
    let stretches = marks.iter().enumerate().filter_map(|(index, from)| {
        let to = marks.iter().skip(index).find(|to| to.at.saturating_sub(from.at) >= stretch)?;
        Some(rate(from, to))
    });
    let all = marks.first().zip(marks.last()).map_or(0, |(first, last)| rate(first, last));
    stretches.max().unwrap_or(all)
}

/// The recent past of one transfer.
#[derive(Debug)]
pub struct Pace {
    size: u64,
    patience: Patience,
    marks: VecDeque<Mark>,
}

impl Pace {
    /// Of a transfer of `size` bytes that starts now.
    pub fn new(size: u64, patience: Patience) -> Self {
        Self { size, patience, marks: VecDeque::from([Mark { at: Duration::ZERO, bytes: 0 }]) }
    }

    /// How far it is now, and whether it ends in time. The caller looks about once a second.
    pub fn look(&mut self, now: Mark, left: Duration) -> Result<(), TooSlow> {
        self.marks.push_back(now);
        // The newest mark beyond the window stays: it begins the stretch that reaches into it.
        while self.marks.get(1).is_some_and(|second| now.at.saturating_sub(second.at) >= self.patience.window) {
            self.marks.pop_front();
        }
        fits_in_time(self.marks.make_contiguous(), self.size, left, &self.patience)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MB: u64 = 1_000_000;

    /// Looks once a second at a transfer of `size` MB that must end within `limit` seconds. `rates` are seconds and MB a
    /// second. The second at which it is given up, or at which it has ended.
    fn run(size: u64, limit: u64, rates: &[(u64, u64)]) -> Result<u64, (u64, TooSlow)> {
        let mut pace = Pace::new(size * MB, Patience::default());
        let (mut second, mut bytes) = (0, 0);
        for (seconds, rate) in rates {
            for _ in 0..*seconds {
                second += 1;
                bytes += rate * MB;
                if bytes >= size * MB {
                    return Ok(second);
                }
                let left = Duration::from_secs(limit - second);
                let look = pace.look(Mark { at: Duration::from_secs(second), bytes }, left);
                look.map_err(|too_slow| (second, too_slow))?;
            }
        }
        panic!("the rates end before the transfer does");
    }

    #[test]
    fn a_transfer_is_given_up_only_when_its_recent_rate_cannot_end_it_in_time() {
        for (what, size, limit, rates, expected) in [
            ("fast from the start", 1000, 100, vec![(100, 50)], Ok(20)),
            ("just fast enough", 1000, 100, vec![(100, 10)], Ok(100)),
            ("throttled: a warm-up and a stretch later", 1000, 100, vec![(100, 1)], Err(10)),
            // No byte in all, so the warm-up is 20 s.
            ("silent: four warm-ups and a stretch later", 1000, 100, vec![(100, 0)], Err(25)),
            ("a slow start", 1000, 100, vec![(9, 1), (91, 50)], Ok(29)),
            ("a silent start that leaves just enough time", 950, 100, vec![(5, 0), (95, 10)], Ok(100)),
            ("a slow start that leaves just enough time", 955, 100, vec![(5, 1), (95, 10)], Ok(100)),
            ("a stall of 20 s", 1000, 100, vec![(10, 30), (20, 0), (70, 30)], Ok(54)),
            // The last stretch with a fast second in it, 9 to 14, leaves the window with its beginning, 30 s later.
            ("a stall that lasts", 1000, 200, vec![(10, 30), (190, 0)], Err(40)),
            // 300 MB at second 10. The rest needs 700 s at 1 MB/s.
            ("a rate that drops for good", 1000, 200, vec![(10, 30), (190, 1)], Err(40)),
            // A ninth too slow: tried until the rest needs more than 5/4 of the time that is left, which 1000 - 9 s does
            // for the first time at s = 56, when 9 × 44 × 5/4 is 495 MB.
            ("a little too slow", 1000, 100, vec![(100, 9)], Err(56)),
        ] {
            let end = run(size, limit, &rates).map_err(|(second, _)| second);
            assert_eq!(end, expected, "{what}");
        }
    }

    #[test]
    fn what_is_too_slow_says_its_best_recent_rate_and_what_the_rest_needs() {
        let (_, too_slow) = run(1000, 100, &[(4, 1), (5, 2), (91, 1)]).expect_err("far too slow");
        // Second 10: 4 + 10 + 1 MB. The best five seconds gave 2 MB each.
        let expected = TooSlow { bytes: 15 * MB, rate_bytes_per_second: 2 * MB, needed_seconds: 493, left_seconds: 90 };
        assert_eq!(too_slow, expected);
        assert_eq!(
            too_slow.to_string(),
            "it is too slow: at 2000000 bytes a second the rest needs 493 s, 15000000 bytes were copied and 90 s are left"
        );
    }

    #[test]
    fn a_transfer_whose_time_is_over_is_given_up_even_in_its_warm_up() {
        let mut pace = Pace::new(MB, Patience::default());
        let half = Mark { at: Duration::from_secs(1), bytes: MB / 2 };
        assert!(pace.look(half, Duration::from_secs(1)).is_ok());
        let late = Mark { at: Duration::from_secs(2), bytes: MB / 2 };
        assert!(pace.look(late, Duration::ZERO).is_err());
        assert!(pace.look(Mark { bytes: MB, ..late }, Duration::ZERO).is_ok());
    }

    #[test]
    fn a_pace_remembers_no_more_than_its_window() {
        let mut pace = Pace::new(u64::MAX, Patience::default());
        for second in 1..10_000 {
            let _ = pace.look(Mark { at: Duration::from_secs(second), bytes: second }, Duration::MAX);
        }
        assert!(pace.marks.len() <= 32, "{}", pace.marks.len());
    }
}
