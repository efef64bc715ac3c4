//! Times, as APIs write them.

use serde_json::Value;

/// Seconds since 1970 of what APIs call a time: RFC 3339 and its relatives, with any letter between
/// date and time, or a number of seconds or milliseconds. Without a zone it is UTC.
pub(crate) fn parse(value: &Value) -> Option<i64> {
    match value {
        Value::Number(number) => {
            let number = number.as_i64().or_else(|| number.as_f64().map(rounded))?;
            // A number of seconds of that size would be past the year 5000.
            Some(if number.unsigned_abs() > 100_000_000_000 { number / 1000 } else { number })
        }
        Value::String(text) => match text.trim().parse::<i64>() {
            Ok(number) if text.trim().len() > 8 => parse(&Value::from(number)),
            _ => parse_text(text.trim()),
        },
        _ => None,
    }
}

#[allow(clippy::cast_possible_truncation)]
fn rounded(number: f64) -> i64 {
    number as i64
}

fn parse_text(text: &str) -> Option<i64> {
    let number = |from: usize, to: usize| -> Option<i64> {
        let digits = text.get(from..to)?;
        digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok())?
    };
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    if text.as_bytes().get(4) != Some(&b'-')
        || !(1..=12).contains(&month)
        || !(1..=31).contains(&day)
    {
        return None;
    }
    let days = days(year, month, day);
    if text.len() == 10 {
        return Some(days * 86_400);
    }
    let (hour, minute) = (number(11, 13)?, number(14, 16)?);
    let second = number(17, 19).unwrap_or(0);
    let rest = text.get(if number(17, 19).is_some() { 19 } else { 16 }..)?;
    let zone =
        rest.trim_start_matches(|letter: char| letter == '.' || letter.is_ascii_digit()).trim();
    let offset = match zone.as_bytes() {
        [] | [b'Z' | b'z'] => 0,
        [sign @ (b'+' | b'-'), ..] => {
            let digits: String = zone.chars().filter(char::is_ascii_digit).collect();
            let hours: i64 = digits.get(..2)?.parse().ok()?;
            let minutes: i64 = digits.get(2..4).unwrap_or("0").parse().ok()?;
            (hours * 3600 + minutes * 60) * if *sign == b'-' { -1 } else { 1 }
        }
        _ if zone.eq_ignore_ascii_case("utc") || zone.eq_ignore_ascii_case("gmt") => 0,
        _ => return None,
    };
    let valid = hour < 25 && minute < 60 && second < 61;
    valid.then_some(days * 86_400 + hour * 3600 + minute * 60 + second - offset)
}

/// Days from 1970 to a date of the Gregorian calendar.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

/// A time in the form that a source wants: `unix`, `unix-ms`, or `%Y-%m-%dT%H:%M:%SZ` and the like.
pub(crate) fn format(seconds: i64, form: &str) -> String {
    match form {
        "unix" => return seconds.to_string(),
        "unix-ms" => return (seconds * 1000).to_string(),
        _ => {}
    }
    let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let of_era = shifted.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    form.replace("%Y", &format!("{year:04}"))
        .replace("%m", &format!("{month:02}"))
        .replace("%d", &format!("{day:02}"))
        .replace("%H", &format!("{:02}", second / 3600))
        .replace("%M", &format!("{:02}", second / 60 % 60))
        .replace("%S", &format!("{:02}", second % 60))
}

/// An HTTP date, such as a server's `Date`.
pub(crate) fn parse_http(text: &str) -> Option<i64> {
    let mut words = text.split([' ', ',']).filter(|word| !word.is_empty()).skip(1);
    let (day, month, year, clock) = (words.next()?, words.next()?, words.next()?, words.next()?);
    let months = "JanFebMarAprMayJunJulAugSepOctNovDec";
    let month = months.find(month)? / 3 + 1;
    parse_text(&format!("{year}-{month:02}-{day:0>2}T{clock}Z"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_way_to_write_a_time_is_read() {
        for text in [
            json!("2024-01-12T12:00:00Z"),
            json!("2024-01-12.12:00:00"),
            json!("2024-01-12 12:00:00"),
            json!("2024-01-12T12:00:00.123Z"),
            json!("2024-01-12T13:30:00+01:30"),
            json!("2024-01-12T08:00:00-0400"),
            json!("2024-01-12T12:00"),
            json!(1_705_060_800),
            json!(1_705_060_800_000i64),
            json!("1705060800"),
        ] {
            assert_eq!(parse(&text), Some(1_705_060_800), "{text}");
        }
        assert_eq!(parse(&json!("2024-01-12")), Some(1_705_017_600));
        assert_eq!(parse_http("Fri, 12 Jan 2024 12:00:00 GMT"), Some(1_705_060_800));
        for text in [json!("yesterday"), json!(null), json!("2024-13-12"), json!("2024-01-12Tnoon")]
        {
            assert_eq!(parse(&text), None, "{text}");
        }
    }

    #[test]
    fn a_number_that_is_no_time_does_no_harm() {
        for number in [json!(i64::MIN), json!(u64::MAX), json!(1e300), json!(-1e300)] {
            assert!(parse(&number).is_some(), "{number}");
        }
    }

    #[test]
    fn a_time_is_written_as_the_source_wants_it() {
        let at = 1_709_210_096; // 2024-02-29
        assert_eq!(format(at, "%Y-%m-%d.%H:%M:%S"), "2024-02-29.12:34:56");
        assert_eq!(format(at, "unix-ms"), "1709210096000");
        assert_eq!(parse(&json!(format(at, "%Y-%m-%dT%H:%M:%SZ"))), Some(at));
    }
}
