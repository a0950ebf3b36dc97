//! Rows of the audit for a spreadsheet (RFC 4180).

use slipway_core::api::ActivityRow;

/// The rows with their names above. What a spreadsheet would take for a formula gets an apostrophe in front.
pub fn csv(rows: &[ActivityRow]) -> String {
    let mut text = String::from("sequence,at,actor,action,subject,details\r\n");
    for row in rows {
        let ActivityRow { sequence, at, actor, action, subject, details, .. } = row;
        let cells = [&sequence.to_string(), at, actor, action, subject, details].map(|cell| self::cell(cell));
        text.push_str(&cells.join(","));
        text.push_str("\r\n");
    }
    text
}

fn cell(text: &str) -> String {
    let is_formula = text.starts_with(['=', '+', '-', '@', '\t', '\r']);
    let text = if is_formula { format!("'{text}") } else { text.to_owned() };
    if text.contains([',', '"', '\r', '\n']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_is_quoted_where_it_must_be_and_is_never_a_formula() {
        for (text, written) in [
            ("mira", "mira"),
            ("a,b", "\"a,b\""),
            ("say \"no\"", "\"say \"\"no\"\"\""),
            ("two\r\nlines", "\"two\r\nlines\""),
            ("=1+1", "'=1+1"),
            ("+1", "'+1"),
            ("-1", "'-1"),
            ("@SUM(1,2)", "\"'@SUM(1,2)\""),
            ("\tx", "'\tx"),
            ("\rx", "\"'\rx\""),
            ("", ""),
        ] {
            assert_eq!(cell(text), written, "{text:?}");
        }
    }

    #[test]
    fn rows_have_their_names_above_and_end_as_the_standard_says() {
        let row = ActivityRow {
            sequence: 7,
            at: "2026-11-23T09:41:07.123Z".into(),
            actor: "mira".into(),
            action: "held".into(),
            subject: "1.2.0".into(),
            details: "{\"why\":\"a smell\"}".into(),
        };
        assert_eq!(
            csv(&[row]),
            "sequence,at,actor,action,subject,details\r\n\
             7,2026-11-23T09:41:07.123Z,mira,held,1.2.0,\"{\"\"why\"\":\"\"a smell\"\"}\"\r\n"
        );
    }
}
