//! Whoever has shown the token once may act for a while: a cookie that each worker with the same token believes.

use ring::hmac;

use crate::clock::Timestamp;

pub(super) const COOKIE: &str = "sheaf-status";
/// A working day.
pub(super) const LASTS_SECONDS: u64 = 12 * 3600;

/// What proves it: until when, and that this was said by somebody who has the token.
pub(super) fn grant(token: &[u8], now: Timestamp) -> String {
    let until = now.seconds() + LASTS_SECONDS;
    let proof = hmac::sign(&key(token), &words(until));
    format!("{until}.{}", hex(proof.as_ref()))
}

pub(super) fn is_granted(token: &[u8], cookie: &str, now: Timestamp) -> bool {
    let Some((until, proof)) = cookie.split_once('.') else { return false };
    let (Ok(until), Some(proof)) = (until.parse::<u64>(), unhex(proof)) else { return false };
    now.seconds() < until && hmac::verify(&key(token), &words(until), &proof).is_ok()
}

/// Compared so that how long it takes says nothing.
pub(super) fn is_token(token: &[u8], shown: &[u8]) -> bool {
    let proof = hmac::sign(&key(token), shown);
    !token.is_empty() && hmac::verify(&key(token), token, proof.as_ref()).is_ok()
}

fn key(token: &[u8]) -> hmac::Key {
    hmac::Key::new(hmac::HMAC_SHA256, token)
}

fn words(until: u64) -> Vec<u8> {
    format!("the status page until {until}").into_bytes()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes();
    let pair = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    digits.len().is_multiple_of(2).then(|| digits.chunks(2).map(pair).collect())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_ends_and_is_believed_with_the_same_token_only() {
        let now = Timestamp::from_seconds(1_000_000);
        let granted = grant(b"one", now);
        let later = |seconds| Timestamp::from_seconds(1_000_000 + seconds);
        assert!(is_granted(b"one", &granted, later(LASTS_SECONDS - 1)));
        assert!(!is_granted(b"one", &granted, later(LASTS_SECONDS)));
        assert!(!is_granted(b"two", &granted, now));
        let (until, proof) = granted.split_once('.').expect("two parts");
        let longer = format!("{}.{proof}", until.parse::<u64>().expect("a number") + 1);
        for forged in [longer.as_str(), until, "", ".", "1.zz", "99999999999.00"] {
            assert!(!is_granted(b"one", forged, now), "{forged}");
        }
        assert!(is_token(b"one", b"one"));
        assert!(!is_token(b"one", b"onE") && !is_token(b"", b"") && !is_token(b"one", b""));
    }
}
