//! Text for people, from strings that others wrote: names, times, sizes, addresses.
//!
//! All of it is loaded by phones. What the standard library does with any text, from searching to formatting, brings
//! kilobytes with it; the few lines that are needed of it are here.

/// Text in which nothing is invisible: control characters and those that turn the direction of writing are spelt out
/// (`[U+202E]`), since they can make one name look like another.
pub fn visible(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        if is_deceptive(character) {
            let code = u32::from(character);
            shown.push_str("[U+");
            // At least four digits, as Unicode writes them.
            write_hex(
                &mut shown,
                code.into(),
                if code > 0xf_ffff {
                    6
                } else if code > 0xffff {
                    5
                } else {
                    4
                },
            );
            shown.push(']');
        } else {
            shown.push(character);
        }
    }
    shown
}

/// Writes the last `digits` hexadecimal digits of a number, in capitals.
fn write_hex(text: &mut String, number: u64, digits: u32) {
    for place in (0..digits).rev() {
        let digit = u32::try_from((number >> (4 * place)) & 15).unwrap_or_default();
        text.push(char::from_digit(digit, 16).unwrap_or('0').to_ascii_uppercase());
    }
}

/// Where `needle` first occurs in a text, in bytes.
pub(crate) fn position(text: &str, needle: &str) -> Option<usize> {
    (0..=text.len()).find(|at| text.as_bytes().get(*at..).is_some_and(|rest| rest.starts_with(needle.as_bytes())))
}

/// Characters without a look of their own: controls, Unicode's directional and zero-width formatting, tags, fillers.
fn is_deceptive(character: char) -> bool {
    character.is_control()
        || matches!(character,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{2800}' | '\u{3164}'
            | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}'
            | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}

/// An address that a link may lead to: `http` or `https`, in printable ASCII. Anything else is shown as text or not at
/// all; `javascript:` is an address too.
pub fn link(address: &str) -> Option<&str> {
    let scheme_ends = position(address, "://")?;
    let scheme = address.get(..scheme_ends)?;
    let allowed = scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("https");
    (allowed && address.bytes().all(|byte| byte.is_ascii_graphic())).then_some(address)
}

/// Text as one segment of a path, or one value of a query: RFC 3986's unreserved characters stay as they are.
pub fn segment(text: &str) -> String {
    let mut written = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            written.push(char::from(byte));
        } else {
            written.push('%');
            write_hex(&mut written, byte.into(), 2);
        }
    }
    written
}

/// A value of a query as a person wrote it; `+` is a space there. What is no text when it is decoded stays as it was sent.
pub fn decoded(value: &str) -> String {
    let mut bytes = Vec::with_capacity(value.len());
    let mut rest = value.as_bytes();
    while let [first, after @ ..] = rest {
        rest = after;
        let digit = |place: usize| after.get(place).and_then(|byte| char::from(*byte).to_digit(16));
        bytes.push(match (first, digit(0), digit(1)) {
            (b'%', Some(high), Some(low)) => {
                rest = after.get(2..).unwrap_or_default();
                u8::try_from(high * 16 + low).unwrap_or_default()
            }
            (b'+', ..) => b' ',
            _ => *first,
        });
    }
    String::from_utf8(bytes).unwrap_or_else(|_| value.to_owned())
}

/// A number with its thousands apart: `2,434,011`.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// An RFC 3339 time in UTC, `2026-11-23T09:41:07.123Z`, taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment<'a> {
    text: &'a str,
    date: &'a str,
    clock: &'a str,
}

impl<'a> Moment<'a> {
    /// `None` when the text is no such time; it is then shown as it is.
    pub fn parse(text: &'a str) -> Option<Self> {
        let (date, rest) = text.strip_suffix('Z')?.split_once('T')?;
        let clock = rest.get(..8)?;
        let fraction = rest.get(8..)?;
        let like = |text: &str, pattern: &str| {
            text.len() == pattern.len()
                && text.bytes().zip(pattern.bytes()).all(|(byte, wanted)| match wanted {
                    b'0' => byte.is_ascii_digit(),
                    _ => byte == wanted,
                })
        };
        let fits = like(date, "0000-00-00")
            && like(clock, "00:00:00")
            && (fraction.is_empty()
                || fraction
                    .strip_prefix('.')
                    .is_some_and(|digits| !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())));
        fits.then_some(Self { text, date, clock })
    }

    /// As it was written, for `<time datetime>`.
    pub fn machine(&self) -> &'a str {
        self.text
    }

    /// `2026-11-23 09:41 UTC`.
    pub fn minute(&self) -> String {
        format!("{} {} UTC", self.date, self.clock.get(..5).unwrap_or(self.clock))
    }

    /// `2026-11-23 09:41:07 UTC`.
    pub fn second(&self) -> String {
        format!("{} {} UTC", self.date, self.clock)
    }

    /// `2026-11-23`.
    pub fn day(&self) -> &'a str {
        self.date
    }

    /// `09:41`.
    pub fn hour_and_minute(&self) -> &'a str {
        self.clock.get(..5).unwrap_or(self.clock)
    }

    /// `09:41:07 UTC`.
    pub fn clock(&self) -> String {
        format!("{} UTC", self.clock)
    }

    /// Seconds since 1970.
    pub fn seconds(&self) -> i64 {
        let number = |text: Option<&str>| text.and_then(|digits| digits.parse::<i64>().ok()).unwrap_or_default();
        let date = |place| number(self.date.get(place));
        let clock = |place| number(self.clock.get(place));
        let (year, month, day) = (date(0..4), date(5..7), date(8..10));
        let (hour, minute, second) = (clock(0..2), clock(3..5), clock(6..8));
        // Days since 1970-01-01, counted in years that begin in March, so that the leap day is a year's last.
        let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
        let days = 365 * year + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day - 1 - 719_468;
        ((days * 24 + hour) * 60 + minute) * 60 + second
    }
}

/// How long ago something was, or how far ahead it is, in one unit: `12 min ago`, `in 3 d`. `None` for what is better said
/// as a date: more than 30 days away.
pub fn ago(now_seconds: i64, then_seconds: i64) -> Option<String> {
    let seconds = now_seconds - then_seconds;
    match seconds {
        -120..10 => Some("just now".into()),
        10..60 => Some(format!("{seconds} s ago")),
        60..3_600 => Some(format!("{} min ago", seconds / 60)),
        3_600..86_400 => Some(format!("{} h ago", seconds / 3_600)),
        86_400..2_592_000 => Some(format!("{} d ago", seconds / 86_400)),
        // Two clocks may differ by two minutes.
        -3_600..-120 => Some(format!("in {} min", -seconds / 60)),
        -172_800..-3_600 => Some(format!("in {} h", -seconds / 3_600)),
        -2_592_000..-172_800 => Some(format!("in {} d", -seconds / 86_400)),
        _ => None,
    }
}

/// A short fingerprint (FNV-1a, folded to 32 bits) by which the browser sees that a section has changed. Not a protection.
pub(crate) fn mark(text: &str) -> String {
    let hash = text
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    let mut mark = String::with_capacity(8);
    write_hex(&mut mark, hash ^ (hash >> 32), 8);
    mark
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn characters_that_deceive_are_spelt_out() {
        assert_eq!(visible("tug_\u{202e}bed.exe"), "tug_[U+202E]bed.exe");
        assert_eq!(visible("a\u{200b}b\nc\u{7f}"), "a[U+200B]b[U+000A]c[U+007F]");
        assert_eq!(visible("\u{2800}\u{17b4}\u{180f}\u{1d173}"), "[U+2800][U+17B4][U+180F][U+1D173]");
        assert_eq!(visible("\u{e0041}\u{1}"), "[U+E0041][U+0001]");
        assert_eq!(visible("Grüße, 世界 🚢"), "Grüße, 世界 🚢");
    }

    #[test]
    fn what_is_put_into_an_address_comes_out_of_it_again() {
        for (text, written) in [
            ("", ""),
            ("tug-1.2.0_a~b", "tug-1.2.0_a~b"),
            ("el/9 arm64", "el%2F9%20arm64"),
            ("a+b%20&=?#", "a%2Bb%2520%26%3D%3F%23"),
            ("Grüße", "Gr%C3%BC%C3%9Fe"),
        ] {
            assert_eq!(segment(text), written);
            assert_eq!(decoded(written), text);
        }
        for (sent, text) in
            [("a+b", "a b"), ("%2f%2F", "//"), ("100%", "100%"), ("%4", "%4"), ("%zz", "%zz"), ("%ff", "%ff")]
        {
            assert_eq!(decoded(sent), text, "{sent}");
        }
    }

    #[test]
    fn a_mark_is_eight_digits_and_each_text_has_its_own() {
        // FNV-1a of nothing is its offset basis, cbf29ce484222325.
        assert_eq!(mark(""), "4FD0BFC1");
        assert_ne!(mark("a"), mark("b"));
    }

    #[test]
    fn a_text_is_found_where_it_first_stands() {
        for (text, needle, found) in [
            ("abcabc", "ca", Some(2)),
            ("abc", "", Some(0)),
            ("abc", "abcd", None),
            ("", "", Some(0)),
            ("aab", "ab", Some(1)),
        ] {
            assert_eq!(position(text, needle), found, "{text} {needle}");
        }
    }

    #[test]
    fn only_web_addresses_become_links() {
        for good in ["https://gitlab.example/x", "HTTP://127.0.0.1:1/x?y#z"] {
            assert_eq!(link(good), Some(good));
        }
        for bad in [
            "javascript:alert(1)",
            "javascript://x/%0aalert(1)",
            "data:text/html,x",
            "//x",
            "x",
            "",
            "http://a b",
            "https://a\u{202e}b",
            " https://a",
            "java\nscript://x",
        ] {
            assert_eq!(link(bad), None, "{bad}");
        }
    }

    #[test]
    fn thousands_are_apart() {
        for (number, shown) in [(0, "0"), (999, "999"), (1_000, "1,000"), (2_434_011, "2,434,011")] {
            assert_eq!(grouped(number), shown);
        }
    }

    #[test]
    fn a_moment_is_utc_and_nothing_else() {
        let moment = Moment::parse("2026-11-23T09:41:07.123Z").expect("RFC 3339 in UTC");
        assert_eq!(moment.minute(), "2026-11-23 09:41 UTC");
        assert_eq!(moment.second(), "2026-11-23 09:41:07 UTC");
        assert_eq!(moment.clock(), "09:41:07 UTC");
        assert_eq!(moment.seconds(), 1_795_426_867);
        for other in ["", "yesterday", "2026-11-23T09:41:07", "2026-11-23T09:41:07+01:00", "2026-11-23T09:41:07.Z", "é"]
        {
            assert_eq!(Moment::parse(other), None, "{other}");
        }
    }

    #[test]
    fn seconds_know_leap_days() {
        let seconds = |text| Moment::parse(text).expect("RFC 3339 in UTC").seconds();
        assert_eq!(seconds("1970-01-01T00:00:00Z"), 0);
        assert_eq!(seconds("2000-02-29T00:00:00Z"), 951_782_400);
        assert_eq!(seconds("2024-03-01T00:00:00Z") - seconds("2024-02-28T00:00:00Z"), 2 * 86_400);
        assert_eq!(seconds("2026-03-01T00:00:00Z") - seconds("2026-02-28T00:00:00Z"), 86_400);
    }

    #[test]
    fn what_is_long_ago_or_ahead_is_a_date() {
        assert_eq!(ago(1_000, 995).as_deref(), Some("just now"));
        assert_eq!(ago(1_000, 1_030).as_deref(), Some("just now"));
        assert_eq!(ago(1_000, 950).as_deref(), Some("50 s ago"));
        assert_eq!(ago(10_000, 9_000).as_deref(), Some("16 min ago"));
        assert_eq!(ago(100_000, 20_000).as_deref(), Some("22 h ago"));
        assert_eq!(ago(1_000_000, 0).as_deref(), Some("11 d ago"));
        assert_eq!(ago(10_000_000, 0), None);
        assert_eq!(ago(0, 500).as_deref(), Some("in 8 min"));
        assert_eq!(ago(0, 21 * 3_600).as_deref(), Some("in 21 h"));
        assert_eq!(ago(0, 6 * 86_400).as_deref(), Some("in 6 d"));
        assert_eq!(ago(0, 40 * 86_400), None);
    }
}
