//! Secrets: where they come from, and that they show themselves nowhere. Each is registered with
//! [`crate::redact`] as soon as it is read.

use std::fmt;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::de::{self, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use tokio::sync::Mutex;

use crate::failure::{Failure, Result};
use crate::redact;

/// A secret's value, which does not show itself.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Arc<str>);

impl Secret {
    pub fn new(value: &str) -> Self {
        let secret = Self(value.trim().into());
        redact::register(&secret.0);
        secret
    }

    /// One that somebody else gave, and may give again and again.
    pub fn fetched(value: &str) -> Self {
        let secret = Self(value.trim().into());
        redact::register_fetched(&secret.0);
        secret
    }

    /// For the one place that sends it.
    pub fn reveal(&self) -> Arc<str> {
        self.0.clone()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

/// Where a secret comes from. Its value never stands in `sheaf.toml`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    Env(String),
    File(PathBuf),
    /// A program and its arguments, which prints the secret: `["vault", "read", "-field=token", "…"]`.
    Command(Vec<String>),
}

const SOURCES: &str =
    "{ env = \"NAME\" }, { file = \"path\" } or { command = [\"program\", \"argument\"] }";

impl<'de> Deserialize<'de> for Source {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(SourceVisitor)
    }
}

/// Reads a source and repeats nothing of what it found: a secret may stand there itself.
struct SourceVisitor;

impl<'de> Visitor<'de> for SourceVisitor {
    type Value = Source;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(SOURCES)
    }

    fn visit_str<E: de::Error>(self, secret: &str) -> Result<Source, E> {
        // From now on it is taken out of whatever is said.
        Secret::new(secret);
        Err(E::custom(format!(
            "the secret itself must not stand here, only where it comes from: {SOURCES}"
        )))
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Source, M::Error> {
        let source = match map.next_key::<String>()?.as_deref() {
            Some("env") => Source::Env(map.next_value()?),
            Some("file") => Source::File(map.next_value()?),
            Some("command") => Source::Command(map.next_value()?),
            _ => return Err(de::Error::custom(format!("a secret's source is {SOURCES}"))),
        };
        match map.next_key::<de::IgnoredAny>()? {
            None => Ok(source),
            Some(_) => Err(de::Error::custom(format!("a secret's source is one of {SOURCES}"))),
        }
    }
}

/// Whether a text looks like a variable's name, and not like the secret that was meant to be in it.
fn is_variable(name: &str) -> bool {
    name.len() <= 64
        && name.contains('_')
        && name
            .bytes()
            .all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_')
}

/// How long a command may take to print a secret.
const COMMAND: Duration = Duration::from_secs(30);
/// No secret is longer than this.
const MOST_BYTES: u64 = 64 << 10;

impl Source {
    /// Reads it; paths are relative to `base`. Blocks on a command.
    pub fn read(&self, base: &Path, env: &dyn Fn(&str) -> Option<String>) -> Result<Secret> {
        let secret = match self {
            Self::Env(name) => env(name).map(|value| Secret::new(&value)).ok_or_else(|| {
                let name = if is_variable(name) { name } else { "that is named there" };
                Failure::settings(format!("the environment variable {name} is not set"))
                    .next("set it, or change where the secret comes from")
            }),
            Self::File(path) => {
                let read = std::fs::read_to_string(base.join(path));
                read.map(|value| Secret::new(&value)).map_err(|error| {
                    // The path is not shown: it may be the secret, in the wrong place.
                    Failure::settings(format!("cannot read the file of the secret: {error}"))
                        .next(format!(
                            "correct the path (a relative one begins at {}), or the file's permissions",
                            if base.as_os_str().is_empty() { Path::new(".") } else { base }.display()
                        ))
                })
            }
            Self::Command(words) => run(words, base),
        }?;
        if secret.0.is_empty() {
            return Err(Failure::settings(format!("the secret is empty ({self})"))
                .next("see that it is really there"));
        }
        Ok(secret)
    }
}

impl Source {
    /// Reads it without holding up other work.
    pub async fn ask(&self, base: &Path) -> Result<Secret> {
        let (source, base) = (self.clone(), base.to_owned());
        let read = move || source.read(&base, &|name| std::env::var(name).ok());
        tokio::task::spawn_blocking(read).await.unwrap_or_else(|error| {
            Err(Failure::internal(format!("a background task failed: {error}")))
        })
    }
}

/// A file or a command is asked again after this: secrets are rotated.
pub const FRESH: Duration = Duration::from_secs(300);

/// A source that fails is not asked for each request.
const AGAIN: Duration = Duration::from_secs(10);

/// A secret that may be another one tomorrow: its source is asked again when what it gave is old, or
/// was refused.
#[derive(Debug)]
pub struct Rotating {
    source: Source,
    base: PathBuf,
    kept: Mutex<Option<Kept>>,
}

#[derive(Debug)]
struct Kept {
    secret: Secret,
    /// When the source gave it.
    read: Instant,
    /// When the source is asked again.
    until: Instant,
}

impl Rotating {
    /// A secret that is read when it is needed first. Paths are relative to `base`.
    pub fn new(source: Source, base: &Path) -> Self {
        Self { source, base: base.to_owned(), kept: Mutex::default() }
    }

    /// One that was read just now.
    pub fn with(source: Source, base: &Path, secret: Secret) -> Self {
        let kept = Some(Kept::new(secret, Instant::now()));
        Self { source, base: base.to_owned(), kept: Mutex::new(kept) }
    }

    pub async fn get(&self) -> Result<Secret> {
        self.get_at(Instant::now()).await
    }

    async fn get_at(&self, now: Instant) -> Result<Secret> {
        let mut kept = self.kept.lock().await;
        if let Some(kept) = &*kept
            && (now < kept.until || matches!(self.source, Source::Env(_)))
        {
            return Ok(kept.secret.clone());
        }
        match (self.source.ask(&self.base).await, &mut *kept) {
            (Ok(secret), kept) => {
                *kept = Some(Kept::new(secret.clone(), now));
                Ok(secret)
            }
            // A vault that is away for a moment does not end what goes well with the old one.
            (Err(failure), Some(kept)) => {
                tracing::warn!("a secret could not be read again, the old one is used: {failure}");
                kept.until = now + AGAIN;
                Ok(kept.secret.clone())
            }
            (Err(failure), None) => Err(failure),
        }
    }

    /// It was refused: whether another one is to be had. What was read within `settled` is not read
    /// again.
    pub async fn renew(&self, refused: &Secret, settled: Duration) -> bool {
        let mut kept = self.kept.lock().await;
        match &*kept {
            // Somebody else has renewed it meanwhile.
            Some(kept) if kept.secret != *refused => return true,
            Some(kept) if kept.read.elapsed() < settled => return false,
            _ => {}
        }
        match self.source.ask(&self.base).await {
            Ok(secret) => {
                let other = secret != *refused;
                *kept = Some(Kept::new(secret, Instant::now()));
                other
            }
            Err(failure) => {
                tracing::warn!("a secret was refused, and cannot be read again: {failure}");
                false
            }
        }
    }
}

impl Kept {
    fn new(secret: Secret, now: Instant) -> Self {
        Self { secret, read: now, until: now + FRESH }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Env(name) if is_variable(name) => write!(f, "from the environment's {name}"),
            Self::Env(_) => f.write_str("from the environment"),
            Self::File(_) => f.write_str("from a file"),
            Self::Command(words) => {
                write!(f, "from the command {}", words.first().map_or("", String::as_str))
            }
        }
    }
}

fn run(words: &[String], base: &Path) -> Result<Secret> {
    let Some((program, arguments)) = words.split_first() else {
        return Err(Failure::settings("the secret's command is empty")
            .next("write a program and its arguments: [\"vault\", \"read\", …]"));
    };
    let failed = |what: String| {
        Failure::settings(format!("the secret's command `{program}` {what}"))
            .next("run it by hand, as the user who runs Sheaf")
    };
    let mut command = Command::new(program);
    command
        .args(arguments)
        .current_dir(if base.as_os_str().is_empty() { Path::new(".") } else { base })
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    // A group of its own: what it starts in turn ends with it.
    #[cfg(unix)]
    std::os::unix::process::CommandExt::process_group(&mut command, 0);
    let mut child =
        command.spawn().map_err(|error| failed(format!("cannot be started: {error}")))?;
    let mut output = child.stdout.take();
    let (sender, printed) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let mut text = String::new();
        let read = output.as_mut().map(|output| output.take(MOST_BYTES).read_to_string(&mut text));
        let _ = sender.send(read.transpose().map(|_| text));
    });
    // It has printed all when nobody holds its output any more.
    let Ok(text) = printed.recv_timeout(COMMAND) else {
        end(&mut child);
        return Err(failed(format!("did not end within {COMMAND:?}")));
    };
    let since = Instant::now();
    let status = loop {
        match child.try_wait() {
            Ok(Some(status)) => break status,
            Ok(None) if since.elapsed() < COMMAND => std::thread::sleep(Duration::from_millis(5)),
            _ => {
                end(&mut child);
                return Err(failed(format!("did not end within {COMMAND:?}")));
            }
        }
    };
    let text = text.map_err(|error| failed(format!("printed no text: {error}")))?;
    // What it says on stderr may hold what nobody should read.
    if !status.success() {
        return Err(failed(format!("failed: {status}")));
    }
    Ok(Secret::new(&text))
}

/// Ends a command, and what it started.
fn end(child: &mut std::process::Child) {
    #[cfg(unix)]
    if let Some(group) = i32::try_from(child.id()).ok().and_then(rustix::process::Pid::from_raw) {
        let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
    }
    let _ = child.kill();
    let _ = child.wait();
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use super::*;
    use crate::redact::redact;

    #[test]
    fn a_secret_that_was_read_is_taken_out_of_texts() {
        let secret = Secret::new("  marked-secret-7c1\n");
        assert_eq!(redact("a marked-secret-7c1 b"), "a [redacted] b");
        assert_eq!(format!("{secret:?}"), "Secret");
        assert!(matches!(redact("nothing here"), Cow::Borrowed(_)));
        let failure = Failure::settings("marked-secret-7c1!").at("marked-secret-7c1");
        assert_eq!(failure.to_string(), "[redacted]! ([redacted])");
    }

    #[tokio::test]
    async fn a_secret_is_asked_for_again_when_it_is_old_and_at_once_when_it_is_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let write =
            |text: &str| std::fs::write(folder.path().join("token"), text).expect("written");
        let rotating = Rotating::new(Source::File("token".into()), folder.path());
        assert!(rotating.get().await.is_err(), "it is not there yet");
        write("first-secret");
        let first = rotating.get().await.expect("read");
        write("second-secret");
        assert_eq!(rotating.get().await.expect("kept"), first);
        let later = Instant::now() + FRESH;
        let second = rotating.get_at(later).await.expect("read");
        assert_eq!(&*second.reveal(), "second-secret");
        // Refused, and there is no other one.
        assert!(!rotating.renew(&second, Duration::ZERO).await);
        write("third-secret");
        assert!(!rotating.renew(&second, FRESH).await, "it was read just now");
        assert!(rotating.renew(&second, Duration::ZERO).await);
        assert!(rotating.renew(&second, Duration::ZERO).await, "somebody else renewed it");
        assert_eq!(&*rotating.get().await.expect("kept").reveal(), "third-secret");
        // Its source is away for a moment: the old one still serves.
        std::fs::remove_file(folder.path().join("token")).expect("removed");
        let later = Instant::now() + FRESH;
        assert_eq!(&*rotating.get_at(later).await.expect("kept").reveal(), "third-secret");
        write("fourth-secret");
        assert_eq!(&*rotating.get_at(later).await.expect("kept").reveal(), "third-secret");
        let later = later + AGAIN;
        assert_eq!(&*rotating.get_at(later).await.expect("read").reveal(), "fourth-secret");
    }

    #[cfg(unix)]
    #[test]
    fn a_command_prints_a_secret_and_its_failure_is_told_without_its_words() {
        let source = |script: &str| Source::Command(vec!["sh".into(), "-c".into(), script.into()]);
        let read = |script| source(script).read(Path::new("."), &|_| None);
        assert_eq!(&*read("echo printed-secret").expect("read").reveal(), "printed-secret");
        let failure = read("echo hidden-words >&2; exit 3").expect_err("failed");
        assert!(failure.what.contains("exit status: 3"), "{failure}");
        assert!(!failure.to_string().contains("hidden-words"));
        // What it leaves behind does not hold anyone up for longer than it may take.
        assert!(read("echo left-behind; sleep 0.1 &").is_ok());
        assert!(read("true").expect_err("empty").what.contains("empty"));
        let missing = Source::Command(vec!["no-such-program".into()]);
        assert!(missing.read(Path::new("."), &|_| None).is_err());
    }
}
