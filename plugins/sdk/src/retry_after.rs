//! `Retry-After`, the header by which a source asks to be left alone.

use std::time::SystemTime;

/// How many seconds that is: their number, or the time until a date.
pub(crate) fn seconds(text: &str, now: SystemTime) -> Option<u32> {
    let text = text.trim();
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Some(text.parse().unwrap_or(u32::MAX));
    }
    let date = httpdate::parse_http_date(text).ok()?;
    let pause = date.duration_since(now).unwrap_or_default();
    // Not before the date.
    let whole = pause.as_secs() + u64::from(pause.subsec_nanos() > 0);
    Some(u32::try_from(whole).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_pause_is_a_number_of_seconds_or_a_date_in_each_form_that_http_has() {
        // Sunday, 6 November 1994, half a second before 08:49:37.
        let now = SystemTime::UNIX_EPOCH + Duration::from_millis(784_111_776_500);
        for (text, pause) in [
            ("7", Some(7)),
            (" 0 ", Some(0)),
            ("99999999999", Some(u32::MAX)),
            ("Sun, 06 Nov 1994 08:49:37 GMT", Some(1)),
            ("Sun, 06 Nov 1994 09:49:37 GMT", Some(3601)),
            ("Sunday, 06-Nov-94 08:49:38 GMT", Some(2)),
            ("Sun Nov  6 08:49:38 1994", Some(2)),
            // It is over.
            ("Sat, 05 Nov 1994 08:49:37 GMT", Some(0)),
            ("Fri, 31 Dec 9999 23:59:59 GMT", Some(u32::MAX)),
            ("", None),
            ("-1", None),
            ("1.5", None),
            ("soon", None),
            ("Sun, 06 Nov 1994", None),
        ] {
            assert_eq!(seconds(text, now), pause, "{text}");
        }
    }
}
