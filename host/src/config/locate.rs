//! Where a key stands in the file, and what is said of one that is wrong: never its value, which may be
//! a secret.

use std::path::Path;

use crate::connector::schema::nearest;
use crate::failure::Failure;

/// Finds the line of a key.
pub(super) struct Locate<'a> {
    pub(super) path: &'a Path,
    pub(super) text: &'a str,
}

impl Locate<'_> {
    pub(super) fn failure(&self, keys: &[&str], what: impl Into<String>) -> Failure {
        Failure::settings(what).at(self.place(keys))
    }

    pub(super) fn place(&self, keys: &[&str]) -> String {
        let path = self.path.display();
        let line = self.offset(keys).map_or(1, |offset| self.line(offset));
        format!("{path}:{line}, {}", keys.join("."))
    }

    fn line(&self, offset: usize) -> usize {
        self.text.bytes().take(offset).filter(|byte| *byte == b'\n').count() + 1
    }

    fn offset(&self, keys: &[&str]) -> Option<usize> {
        let table = toml::de::DeTable::parse(self.text).ok()?;
        let mut table = table.get_ref();
        let mut found = None;
        for key in keys {
            let Some((name, value)) =
                table.iter().find(|(name, _)| name.get_ref().as_ref() == *key)
            else {
                break;
            };
            found = Some(name.span().start);
            match value.get_ref() {
                toml::de::DeValue::Table(inner) => table = inner,
                _ => break,
            }
        }
        found
    }

    pub(super) fn parse_error(&self, error: &toml::de::Error) -> Failure {
        let path = self.path.display();
        let at = match error.span() {
            Some(span) => {
                let line = self.line(span.start);
                match self.text.lines().nth(line - 1).and_then(key_of) {
                    Some(key) => format!("{path}:{line}, `{key}`"),
                    None => format!("{path}:{line}"),
                }
            }
            None => path.to_string(),
        };
        let message = error.message().replace('\n', "; ");
        let next = match nearest_field(&message) {
            Some(near) => format!("did you mean `{near}`? The README describes each key"),
            None => "correct that line; the README describes each key".to_owned(),
        };
        Failure::settings(without_value(&message)).at(at).next(next)
    }
}

/// What a line sets, without the value: it may be a secret in the wrong place.
fn key_of(line: &str) -> Option<&str> {
    let line = line.trim();
    if line.starts_with('[') {
        // A table's name, and nothing that may follow it.
        return Some(line.find(']').map_or("[", |end| line[..=end].trim()));
    }
    line.split_once('=').map(|(key, _)| key.trim())
}

/// serde's message without the value that it found: it may be a secret in the wrong place.
fn without_value(message: &str) -> String {
    let of = ["invalid type: ", "invalid value: ", "invalid length "];
    if let (Some(start), Some(expected)) =
        (of.iter().find(|start| message.starts_with(**start)), message.rfind(", expected "))
    {
        let found = &message[start.len()..expected];
        // `string "…"`, `integer `7``, `map`: the sort of it is told.
        let sort = found.split(['"', '`']).next().unwrap_or_default().trim();
        return format!("{start}{sort}{}", &message[expected..]);
    }
    if let Some(rest) = message.strip_prefix("unknown variant `")
        && let Some(expected) = rest.rfind("`, expected ")
    {
        return format!("unknown value{}", &rest[expected + 1..]);
    }
    message.to_owned()
}

/// The known key that an unknown one may have been meant for.
fn nearest_field(message: &str) -> Option<String> {
    let (unknown, known) = message.strip_prefix("unknown field `")?.split_once("`, expected ")?;
    let known = known.split('`').skip(1).step_by(2);
    nearest(unknown, known).map(str::to_owned)
}

/// A URL without what may be a secret in it, for messages: a user's name and password, and the query.
pub(super) fn without_user(url: &str) -> String {
    let url = url.split_once('?').map_or(url, |(url, _)| url);
    let (scheme, rest) = url.split_once("://").map_or(("", url), |(scheme, rest)| (scheme, rest));
    match (scheme, rest.rsplit_once('@')) {
        (_, None) => url.to_owned(),
        ("", Some((_, host))) => format!("…@{host}"),
        (scheme, Some((_, host))) => format!("{scheme}://…@{host}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    /// What a hurried person writes where a secret's source belongs, or beside it.
    #[test]
    fn a_secret_in_the_wrong_place_is_never_repeated() {
        let secret = "s3cr3t-QkZ9";
        let connection = "[connections.a]\nconnector = \"x\"\ndatasource = \"a\"\n";
        let credential =
            |line: &str| format!("{connection}[connections.a.grants.credentials]\n{line}\n");
        let texts = [
            format!("[glean]\ntoken = \"{secret}\"\n"),
            format!("[glean]\ntoken = \"{secret}\n"),
            format!("[glean]\ntoken = '{secret}\n"),
            format!("[glean]\ntokn = \"{secret}\"\n"),
            format!("[glean]\ntoken = {secret}\n"),
            format!("[glean]\ntoken = {{ env = \"{secret}\" }}\n"),
            format!("[glean]\ntoken = {{ file = \"{secret}\" }}\n"),
            format!("[glean]\ntoken = {{ value = \"{secret}\" }}\n"),
            format!("[glean]\ntoken = {{ env = [\"{secret}\"] }}\n"),
            format!("[glean]\ntoken = [\"{secret}\"]\n"),
            format!("[glean]\nserver_url = \"https://me:{secret}@acme-be.glean.com\"\n"),
            format!("[glean]\nserver_url = \"https://me:{secret}@\"\n"),
            format!("[glean]\nattempts = \"{secret}\"\n"),
            format!("[glean]\ntimeout = \"{secret}\"\n"),
            format!("[temporal]\napi_key = \"{secret}\"\n"),
            format!("state_store = \"s3://key:{secret}@bucket\"\n"),
            format!("state_store = \"az://box/x?sig={secret}\"\n"),
            format!("{connection}[connections.a.grants]\nhosts = [\"http://u:{secret}@h/\"]\n"),
            format!("{connection}[connections.a.grants]\ncredentials = \"{secret}\"\n"),
            format!("{connection}[connections.a.schedules]\nfull = {{ mode = \"{secret}\" }}\n"),
            credential(&format!("api = \"{secret}\"")),
            credential(&format!("api = {{ bearer = \"{secret}\" }}")),
            credential(&format!("api = {{ baerer = \"{secret}\" }}")),
            credential(&format!("api = {{ basic = \"me:{secret}\" }}")),
            credential(&format!(
                "api = {{ basic = {{ username = \"a:{secret}\", password = {{ env = \"X\" }} }} }}"
            )),
            credential(&format!("api = {{ header = \"X-Key: {secret}\" }}")),
            credential(&format!(
                "api = {{ header = {{ name = \"X: {secret}\", value = {{ env = \"X\" }} }} }}"
            )),
            credential(&format!("api = {{ oauth = \"{secret}\" }}")),
            credential(&format!(
                "api = {{ oauth = {{ token_url = \"https://u:{secret}@h/\", client_id = \"x\", \
                 client_secret = {{ env = \"X\" }} }} }}"
            )),
            credential(&format!(
                "api = {{ oauth = {{ token_url = \"https://h/\", client_id = \"x\", \
                 client_secret = \"{secret}\" }} }}"
            )),
        ];
        for text in texts {
            let failure = Config::parse(Path::new("sheaf.toml"), &text, &|_| None);
            let failure = failure.expect_err(&text);
            let said = serde_json::to_string(&failure).expect("JSON");
            assert!(!said.contains(secret), "{text}\n{said}");
            // The place is named all the same.
            assert!(failure.at.as_deref().is_some_and(|at| at.contains("sheaf.toml:")), "{said}");
        }
    }

    #[test]
    fn an_unknown_key_is_answered_with_the_nearest_one() {
        let failure = Config::parse(Path::new("sheaf.toml"), "[glean]\ntokne = 1\n", &|_| None);
        let failure = failure.expect_err("unknown");
        assert_eq!(failure.at.as_deref(), Some("sheaf.toml:2, `tokne`"));
        assert!(failure.next.is_some_and(|next| next.contains("did you mean `token`?")));
    }
}
