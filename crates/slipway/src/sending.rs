//! How far uploads are: a bar each on a terminal, and a line in ten seconds in a job's log.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::rc::Rc;

use slipway_core::amount::{part, percent, size};
use slipway_packagecloud::Distro;

use crate::host;
use crate::progress::bar;
use crate::stage::Voice;

/// How often it is looked.
const TICK_MS: f64 = 500.0;
/// How often a log is told.
const EVERY_MS: f64 = 10_000.0;

/// The uploads that are under way, by distro version.
#[derive(Default)]
pub(crate) struct Sending(RefCell<BTreeMap<String, Upload>>);

struct Upload {
    sent: Rc<Cell<u64>>,
    whole: u64,
    began_ms: f64,
    said_ms: f64,
}

impl Upload {
    fn words(&self, now_ms: f64) -> String {
        let (sent, elapsed_ms) = (self.sent.get(), now_ms - self.began_ms);
        let mut words = format!("{} ({} %)", part(sent, self.whole), percent(sent, self.whole));
        if elapsed_ms >= 1000.0 {
            #[allow(
                clippy::cast_precision_loss,
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "a rate is shown with three digits"
            )]
            let rate = (sent as f64 * 1000.0 / elapsed_ms) as u64;
            words.extend([", ", &size(rate), "/s"]);
        }
        words
    }
}

impl Sending {
    /// An upload begins; what is given grows with the bytes that have been sent.
    pub(crate) fn begin(&self, distro: &Distro, whole: u64) -> Rc<Cell<u64>> {
        let (sent, now) = (Rc::new(Cell::new(0)), host::now_ms());
        let upload = Upload { sent: sent.clone(), whole, began_ms: now, said_ms: now };
        self.0.borrow_mut().insert(distro.to_string(), upload);
        sent
    }

    /// It has ended, well or badly.
    pub(crate) fn end(&self, distro: &Distro) {
        self.0.borrow_mut().remove(&distro.to_string());
    }

    /// The lines that are due in a log at this moment.
    fn lines(&self, now_ms: f64) -> Vec<String> {
        let mut uploads = self.0.borrow_mut();
        let due = uploads.iter_mut().filter(|(_, upload)| now_ms - upload.said_ms >= EVERY_MS);
        due.map(|(distro, upload)| {
            upload.said_ms = now_ms;
            format!("{distro}: {}", upload.words(now_ms))
        })
        .collect()
    }

    fn bars(&self, now_ms: f64, columns: usize) -> Vec<String> {
        let line = |(distro, upload): (&String, &Upload)| {
            let line = format!("{} {distro}  {}", bar(upload.sent.get(), upload.whole), upload.words(now_ms));
            line.chars().take(columns.saturating_sub(1)).collect()
        };
        self.0.borrow().iter().map(line).collect()
    }

    /// Reports for as long as it is asked.
    pub(crate) async fn watch(&self, voice: Voice<'_>) -> Infallible {
        loop {
            host::tick_ms(TICK_MS).await;
            let now = host::now_ms();
            match voice.columns() {
                Some(columns) if !self.0.borrow().is_empty() => host::draw(&self.bars(now, columns)),
                Some(_) => {}
                None => voice.lines(&self.lines(now)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sending(sent: u64) -> Sending {
        let sending = Sending::default();
        let upload = Upload { sent: Rc::new(Cell::new(sent)), whole: 456_000_000, began_ms: 0.0, said_ms: 0.0 };
        sending.0.borrow_mut().insert("el/9".to_owned(), upload);
        sending
    }

    #[test]
    fn a_log_is_told_every_ten_seconds_and_no_more() {
        let sending = sending(45_600_000);
        assert!(sending.lines(9_999.0).is_empty());
        assert_eq!(sending.lines(10_000.0), ["el/9: 45.6 of 456.0 MB (10 %), 4.6 MB/s"]);
        assert!(sending.lines(19_999.0).is_empty());
        assert_eq!(sending.lines(20_000.0).len(), 1);
    }

    #[test]
    fn a_bar_fits_the_terminal() {
        assert_eq!(sending(228_000_000).bars(500.0, 80), ["██████████░░░░░░░░░░ el/9  228.0 of 456.0 MB (50 %)"]);
        assert_eq!(sending(228_000_000).bars(500.0, 26), ["██████████░░░░░░░░░░ el/9"]);
    }
}
