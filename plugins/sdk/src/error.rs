//! What can go wrong, and what the host shall do about it.

use std::fmt;

use crate::bindings::sheaf::connector::base::{Fault, Remedy};

/// [`std::result::Result`], with the [`Error`] that a host can act on.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong, and what the host shall do about it.
///
/// `?` on any other error makes one to [retry](Self::retry), with its causes. A message is one sentence for the
/// operator: what failed, and what to do. The host quotes it, so it must hold no secrets.
///
/// ```
/// use sheaf_sdk::{Context, Error, Result};
///
/// fn size(setting: &str) -> Result<u32> {
///     let size: u32 = setting.parse().context("the page's size")?;
///     if size == 0 { Err(Error::fix_settings("`size` must be at least 1")) } else { Ok(size) }
/// }
/// assert_eq!(size("many").unwrap_err().to_string(), "the page's size: invalid digit found in string");
/// ```
#[derive(Debug, Clone)]
pub struct Error(Fault);

impl Error {
    fn new(remedy: Remedy, message: impl Into<String>) -> Self {
        Self(Fault { remedy, message: message.into(), retry_after: None })
    }

    /// The operator must change the settings or the grants. It is not retried.
    pub fn fix_settings(message: impl Into<String>) -> Self {
        Self::new(Remedy::FixSettings, message)
    }

    /// The operator must renew a credential. It is not retried.
    pub fn reauthenticate(message: impl Into<String>) -> Self {
        Self::new(Remedy::Reauthenticate, message)
    }

    /// Trying again from the last checkpoint may help. The host pauses before it does, longer each time.
    pub fn retry(message: impl Into<String>) -> Self {
        Self::new(Remedy::Retry, message)
    }

    /// The checkpoint or bookmark is no longer valid at the source: the host starts this scope again.
    pub fn start_over(message: impl Into<String>) -> Self {
        Self::new(Remedy::StartOver, message)
    }

    /// Nothing will help. It is not retried.
    pub fn give_up(message: impl Into<String>) -> Self {
        Self::new(Remedy::GiveUp, message)
    }

    /// How many seconds the source asked to be left alone, as HTTP does with `Retry-After`. The host's own pause is
    /// as long then, and at most an hour.
    #[must_use]
    pub fn after(mut self, seconds: u32) -> Self {
        self.0.retry_after = Some(seconds);
        self
    }

    /// Several as one: all their messages, and what the first asks the host for. `None` if there are none.
    pub fn all(errors: impl IntoIterator<Item = Self>) -> Option<Self> {
        errors.into_iter().reduce(|mut first, other| {
            first.0.message = format!("{}; {}", first.0.message, other.0.message);
            first
        })
    }

    fn within(mut self, what: impl fmt::Display) -> Self {
        self.0.message = format!("{what}: {}", self.0.message);
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl<E: std::error::Error> From<E> for Error {
    fn from(error: E) -> Self {
        let mut message = error.to_string();
        let mut cause = error.source();
        while let Some(inner) = cause {
            message.push_str(&format!(": {inner}"));
            cause = inner.source();
        }
        Self::retry(message)
    }
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        error.0
    }
}

/// Says what was being done when an error came up.
pub trait Context<T> {
    /// The same with `what` and a colon before the message. An [`Error`] still asks for the same; any other error
    /// becomes one to retry.
    fn context(self, what: impl fmt::Display) -> Result<T>;
}

impl<T, E: Into<Error>> Context<T> for Result<T, E> {
    fn context(self, what: impl fmt::Display) -> Result<T> {
        self.map_err(|error| error.into().within(what))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_error_becomes_a_fault_that_is_retried_with_its_causes() {
        fn fails() -> Result<()> {
            let number: Result<u8, _> = "x".parse::<u8>();
            number.context("the page's size")?;
            Ok(())
        }
        let fault = Fault::from(fails().expect_err("fails"));
        assert_eq!(fault.remedy, Remedy::Retry);
        assert_eq!(fault.message, "the page's size: invalid digit found in string");
    }

    #[test]
    fn a_fault_keeps_its_remedy_through_context() {
        let error: Result<()> = Err(Error::give_up("gone").after(3));
        let fault = Fault::from(error.context("wiki").expect_err("fails"));
        assert_eq!((fault.remedy, fault.retry_after), (Remedy::GiveUp, Some(3)));
        assert_eq!(fault.message, "wiki: gone");
    }
}
