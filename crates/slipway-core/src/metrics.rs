//! Numbers for an operator's monitoring, in Prometheus' text form.
//!
//! What a label may say is closed, but for the names of `slipway.toml`: versions and keys come without end, and each would
//! be a series for ever. They are in the log.

use std::fmt::Write as _;

/// What a number is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It only grows, until its keeper begins anew.
    Counter,
    /// It is as it is now.
    Gauge,
}

/// One number, with what tells it from the others of its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sample {
    /// Name and value of each label.
    pub labels: Vec<(&'static str, String)>,
    /// The number.
    pub value: u64,
}

/// The numbers of one name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Family {
    name: &'static str,
    kind: Kind,
    help: &'static str,
    samples: Vec<Sample>,
}

impl Family {
    /// A name without numbers yet. A counter's ends with `_total`.
    pub fn new(name: &'static str, kind: Kind, help: &'static str) -> Self {
        Self { name, kind, help, samples: Vec::new() }
    }

    /// Adds a number.
    pub fn add(&mut self, labels: &[(&'static str, &str)], value: u64) {
        let labels = labels.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        self.samples.push(Sample { labels, value });
    }

    /// The same with a number, in one expression.
    #[must_use]
    pub fn with(mut self, labels: &[(&'static str, &str)], value: u64) -> Self {
        self.add(labels, value);
        self
    }
}

/// The text that Prometheus reads: version 0.0.4 of its form (<https://prometheus.io/docs/instrumenting/exposition_formats/>).
pub fn text(families: &[Family]) -> String {
    let mut text = String::new();
    for Family { name, kind, help, samples } in families {
        let kind = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
        };
        // Writing to a text does not fail.
        let _ = writeln!(text, "# HELP {name} {}\n# TYPE {name} {kind}", escaped(help, false));
        for Sample { labels, value } in samples {
            let labels: Vec<String> =
                labels.iter().map(|(name, value)| format!("{name}=\"{}\"", escaped(value, true))).collect();
            let labels = if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
            let _ = writeln!(text, "{name}{labels} {value}");
        }
    }
    text
}

/// The type of that text.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

fn escaped(text: &str, is_label: bool) -> String {
    let text = text.replace('\\', "\\\\").replace('\n', "\\n");
    if is_label { text.replace('"', "\\\"") } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The rules of the form's own page: a backslash, a quote and a line feed of a label's value are escaped, of a help text a
    /// backslash and a line feed.
    #[test]
    fn names_values_and_texts_are_written_as_the_form_wants_them() {
        let one = Family::new("slipway_things", Kind::Gauge, "Things \\ \"now\".\nAll of them.");
        let two = Family::new("slipway_done_total", Kind::Counter, "Done.");
        let one = one.with(&[("project", "a\"b\\c\nd"), ("state", "staged")], 3).with(&[], 0);
        let expected = "# HELP slipway_things Things \\\\ \"now\".\\nAll of them.\n\
                        # TYPE slipway_things gauge\n\
                        slipway_things{project=\"a\\\"b\\\\c\\nd\",state=\"staged\"} 3\n\
                        slipway_things 0\n\
                        # HELP slipway_done_total Done.\n\
                        # TYPE slipway_done_total counter\n";
        assert_eq!(text(&[one, two]), expected);
    }
}
