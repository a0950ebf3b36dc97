//! Clocks and counters for benchmarks: turns, medians, and what the kernel says of a process.

use std::time::Instant;

use anyhow::Context as _;

/// Runs every case once, then every case again: `rounds` values for each, in the order of the cases.
///
/// Odd rounds go backwards, so that no case always follows the same one.
pub(crate) fn interleaved<Case>(
    cases: &[Case],
    rounds: usize,
    mut run: impl FnMut(&Case) -> anyhow::Result<f64>,
) -> anyhow::Result<Vec<Vec<f64>>> {
    let mut values = vec![Vec::new(); cases.len()];
    for round in 0..rounds {
        let order: Vec<usize> =
            if round % 2 == 0 { (0..cases.len()).collect() } else { (0..cases.len()).rev().collect() };
        for index in order {
            values[index].push(run(&cases[index])?);
        }
    }
    Ok(values)
}

/// The middle one, or the mean of the two in the middle. `NaN` of none, which keeps no mark.
pub(crate) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => f64::NAN,
        length if length % 2 == 0 => f64::midpoint(sorted[middle - 1], sorted[middle]),
        _ => sorted[middle],
    }
}

/// How long it takes, in seconds.
pub(crate) fn timed(work: impl FnOnce() -> anyhow::Result<()>) -> anyhow::Result<f64> {
    let began = Instant::now();
    work()?;
    Ok(began.elapsed().as_secs_f64())
}

/// What the kernel says of a process.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Usage {
    /// User and system time of all its threads.
    pub(crate) cpu_seconds: f64,
    /// Memory now.
    pub(crate) rss_mib: f64,
    /// The most memory that it had.
    pub(crate) peak_mib: f64,
}

impl Usage {
    pub(crate) fn of(pid: u32) -> anyhow::Result<Self> {
        let read = |file: &str| {
            std::fs::read_to_string(format!("/proc/{pid}/{file}"))
                .with_context(|| format!("cannot read what process {pid} uses: is it gone?"))
        };
        let (stat, status) = (read("stat")?, read("status")?);
        Ok(Self {
            cpu_seconds: cpu_seconds(&stat).context("`/proc` has an unknown form")?,
            rss_mib: mib(&status, "VmRSS:").context("`/proc` has an unknown form")?,
            peak_mib: mib(&status, "VmHWM:").context("`/proc` has an unknown form")?,
        })
    }
}

/// The 14th and 15th field, in hundredths (`USER_HZ` is 100 on every Linux that Rust runs on). The second is the
/// program's name in parentheses, which may hold spaces.
fn cpu_seconds(stat: &str) -> Option<f64> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace().skip(11);
    let (user, system): (f64, f64) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    Some((user + system) / 100.0)
}

fn mib(status: &str, name: &str) -> Option<f64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    let kib: f64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kib / 1024.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_of_the_sorted_values() {
        for (values, expected) in [(vec![3.0, 1.0, 2.0], 2.0), (vec![4.0, 1.0, 3.0, 2.0], 2.5), (vec![7.0], 7.0)] {
            assert!((median(&values) - expected).abs() < f64::EPSILON, "{values:?}");
        }
        assert!(median(&[]).is_nan());
    }

    #[test]
    fn cases_take_turns_and_every_second_round_goes_backwards() {
        let mut order = Vec::new();
        let values = interleaved(&["a", "b"], 3, |case| {
            order.push(*case);
            Ok(f64::from(u32::try_from(order.len())?))
        });
        assert_eq!(order, ["a", "b", "b", "a", "a", "b"]);
        assert_eq!(values.expect("no case fails"), [[1.0, 4.0, 5.0], [2.0, 3.0, 6.0]]);
    }

    #[test]
    fn the_kernels_figures_are_read_in_seconds_and_mib() {
        // From proc(5): the name may hold spaces and parentheses; utime and stime are fields 14 and 15.
        let stat = "42 (a (b) c) S 1 42 42 0 -1 4194560 100 0 0 0 250 50 0 0 20 0 3 0 100 0 0";
        assert!((cpu_seconds(stat).expect("two numbers") - 3.0).abs() < 1e-9);
        let status = "Name:\tx\nVmHWM:\t    2048 kB\nVmRSS:\t    1024 kB\n";
        assert!((mib(status, "VmHWM:").expect("a number") - 2.0).abs() < 1e-9);
        assert!(Usage::of(std::process::id()).expect("this process is there").rss_mib > 0.0);
    }
}
