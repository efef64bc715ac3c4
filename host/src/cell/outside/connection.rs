//! A connection's cell from outside: its guests are started in it, and what they need of the world is done here.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use prometheus::IntGauge;
use serde_json::Value;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};

use super::blocking::blocking;
use super::death::Death;
use super::lines::Lines;
use super::process::{Cell, Leash};
use super::program::Program;
use crate::cell::protocol::{
    self, Call, Frame, HEAVIEST, Job, MOST_CONTROL, Order, Receiver, Reply, Say, Sender, Serving,
    most_calls, most_of_a_guest,
};
use crate::cell::walls::Most;
use crate::clock::Timestamp;
use crate::connector::schema::Misfit;
use crate::failure::{Failure, Kind, Result};
use crate::lists::List;
use crate::metrics::metrics;
use crate::pace::Wait;
use crate::redact::redact;
use crate::sandbox::Limits;
use crate::sandbox::egress::{Broker, Outside as _};
use crate::sandbox::limits::over;
use crate::text::{bytes, short_line};

/// A cell enforces the limits of its guests' calls itself. One that has not answered so long after that is
/// beyond help.
const RESERVE: Duration = Duration::from_secs(30);
/// What is said of what requests wait for.
const MAX_WAIT: usize = 300;
/// Descriptors that a cell has besides its guests'.
const DESCRIPTORS: u64 = 256;

/// What is ordered, the file beside it, and what is given back when it was sent.
type Ordered = (Order, Option<OwnedFd>, Option<OwnedSemaphorePermit>);

/// A process that runs the guests of one connection. It ends when this is dropped.
pub struct ConnectionCell {
    orders: mpsc::UnboundedSender<Ordered>,
    shared: Arc<Shared>,
    limits: Limits,
    connection: String,
    /// Files for batches that no guest uses: a cell keeps what it was handed, so that each is used again.
    files: Mutex<Vec<File>>,
    _leash: Leash,
}

#[derive(Clone)]
struct Died {
    death: Death,
    /// Whether no more than one guest was in it.
    alone: bool,
}

struct Shared {
    /// Why it is no more; the first reason counts.
    died: watch::Sender<Option<Died>>,
    waits: Mutex<Option<Wait>>,
    /// Guests that run in it.
    guests: AtomicUsize,
    leash: Leash,
}

impl Shared {
    /// Ends it, unless it has ended.
    fn dies(&self, death: Death) {
        let alone = self.guests.load(Ordering::Relaxed) <= 1;
        self.died.send_if_modified(|died| {
            let is_first = died.is_none();
            if is_first {
                *died = Some(Died { death, alone });
            }
            is_first
        });
        self.leash.pull();
    }
}

impl ConnectionCell {
    /// `code`: what a cell has compiled of the connection's connector.
    pub(crate) async fn start(
        program: &Program,
        code: File,
        serving: Serving,
        broker: Option<Arc<Broker>>,
    ) -> Result<Self> {
        let (connection, limits) =
            (serving.grants.connection.clone(), serving.grants.limits.clone());
        let none = |error: &dyn std::fmt::Display| {
            Failure::internal(format!("no process can be started for a connector: {error}"))
                .at(connection.clone())
                .next("see the limits of this process; on Linux Sheaf needs /proc")
        };
        let asked = serving.grants.credentials.clone();
        let (program, job) =
            (program.clone(), Job::Serve { most: most(&limits), serving: Box::new(serving) });
        let told = blocking(move || {
            let (mut cell, leash) = Cell::start(&program)?;
            cell.tell(&job, &[code.as_fd()])?;
            let socket = cell.socket()?;
            Ok::<_, Death>((cell, socket, leash))
        });
        let (cell, socket, leash) = told.await?.map_err(|death| none(&death))?;
        let (sender, receiver) =
            protocol::pair(socket, MOST_CONTROL).map_err(|error| none(&error))?;
        let (orders, ordered) = mpsc::unbounded_channel();
        let shared = Arc::new(Shared {
            died: watch::Sender::default(),
            waits: Mutex::default(),
            guests: AtomicUsize::new(0),
            leash: leash.another().map_err(|error| none(&error))?,
        });
        tokio::spawn(give(sender, ordered, shared.clone()));
        // A cell has a reply a moment before it is known here that it was sent.
        let calls = most_calls(&limits) + 4 * HEAVIEST as usize;
        let attendance = Attendance {
            connection: connection.clone(),
            broker,
            asked: asked.into(),
            replies: orders.downgrade(),
            shared: shared.clone(),
            lines: Lines::new(&connection, &limits),
            turns: Arc::new(Semaphore::new(calls)),
        };
        tokio::spawn(attendance.attend(receiver, cell));
        let files = Mutex::default();
        Ok(Self { orders, shared, limits, connection, files, _leash: leash })
    }

    /// What requests wait for now.
    pub fn waiting(&self) -> Option<Wait> {
        self.shared.waits.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub fn is_alive(&self) -> bool {
        self.shared.died.borrow().is_none()
    }

    /// Until it has ended.
    pub fn gone(&self) -> impl Future<Output = ()> + use<> {
        let mut died = self.shared.died.subscribe();
        async move { drop(died.wait_for(Option::is_some).await) }
    }

    /// What does not fit a schema of the connection's settings; or why that is no schema.
    pub async fn fit(&self, schema: &Value) -> Result<Result<Vec<Misfit>, String>> {
        let _counted = self.counted();
        let (_, mut receiver) = self.order(Order::Fit { schema: schema.to_string() }).await?;
        let answered = tokio::time::timeout(self.patience(), receiver.next()).await;
        let held: Result<List<Misfit>, String> = self.believe(answered).await?;
        Ok(held.map(|List(misfits)| misfits))
    }

    /// A socket for what is ordered.
    pub(super) async fn order(&self, order: Order) -> Result<(Sender, Receiver)> {
        let none = |error: io::Error| {
            Failure::internal(format!("no socket for a connector: {error}"))
                .at(self.connection.clone())
                .next("see the limit of open files of this process")
        };
        let (ours, theirs) = UnixStream::pair().map_err(none)?;
        let pair = protocol::pair(ours, most_of_a_guest(&self.limits)).map_err(none)?;
        if self.orders.send((order, Some(theirs.into()), None)).is_err() {
            return Err(self.why().await);
        }
        Ok(pair)
    }

    /// How long an answer may take.
    pub(super) fn patience(&self) -> Duration {
        self.limits.wall_per_call.saturating_add(RESERVE)
    }

    /// One guest more, until that is dropped.
    pub(super) fn counted(&self) -> Counted {
        self.shared.guests.fetch_add(1, Ordering::Relaxed);
        let running = metrics().guests.with_label_values(&[&self.connection]);
        running.inc();
        Counted(self.shared.clone(), running)
    }

    /// A file in memory for a guest's batches.
    pub(super) fn file(&self) -> Result<File> {
        let used = self.files.lock().unwrap_or_else(PoisonError::into_inner).pop();
        used.map_or_else(batches_file, Ok).map_err(|error| {
            Failure::internal(format!("no memory to share with a connector's process: {error}"))
        })
    }

    /// Takes it back.
    pub(super) fn has_used(&self, file: File) {
        self.files.lock().unwrap_or_else(PoisonError::into_inner).push(file);
    }

    pub(super) fn limits(&self) -> &Limits {
        &self.limits
    }

    pub(super) fn connection(&self) -> &str {
        &self.connection
    }

    /// What came, if it came in time and makes sense.
    pub(super) async fn believe<T: serde::de::DeserializeOwned>(
        &self,
        answered: Result<io::Result<Option<Frame>>, tokio::time::error::Elapsed>,
    ) -> Result<T> {
        let Ok(answered) = answered else {
            return Err(self.end(Death::Late).await);
        };
        let words = |frame: Frame| frame.alone()?.words();
        match answered.and_then(|frame| frame.map(words).transpose()) {
            Ok(Some(words)) => Ok(words),
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                Err(self.lied(&error.to_string()).await)
            }
            Ok(None) | Err(_) => Err(self.why().await),
        }
    }

    /// It said what cannot be: nothing more of it is believed.
    pub(super) async fn lied(&self, how: &str) -> Failure {
        self.end(Death::Other(format!("what it says makes no sense: {how}"))).await
    }

    /// What it was granted counts no longer.
    pub fn end_of_grants(&self) {
        self.shared.dies(Death::Granted);
    }

    async fn end(&self, death: Death) -> Failure {
        self.shared.dies(death);
        self.why().await
    }

    /// Why it says nothing any more.
    pub(super) async fn why(&self) -> Failure {
        let mut died = self.shared.died.subscribe();
        // It ends a moment after its socket does; a guest's socket can end alone.
        let died = tokio::time::timeout(Duration::from_secs(5), died.wait_for(Option::is_some));
        let death = died.await.ok().and_then(Result::ok).and_then(|death| death.clone());
        self.failure(death.as_ref())
    }

    fn failure(&self, died: Option<&Died>) -> Failure {
        let death = died.map(|died| &died.death);
        let failure = match death {
            Some(Death::Memory) => {
                let memory =
                    format!("{} of memory of its process", bytes(most(&self.limits).memory));
                let over = over(&self.connection, &memory, "host_memory");
                // Who of several has used it up nobody knows: each is tried again.
                return if died.is_some_and(|died| died.alone) {
                    over
                } else {
                    Failure { kind: Kind::Trap, ..over }
                };
            }
            Some(Death::Late) => {
                let what = "the process that runs the connector did not answer in time";
                Failure::new(Kind::TimedOut, what)
                    .next("see whether this machine is short of processors or memory")
            }
            Some(Death::Granted) => regranted(),
            Some(Death::Cpu | Death::Other(_)) => {
                let how = death.map(ToString::to_string).unwrap_or_default();
                let what = format!("the connector broke the process that runs it ({how})");
                Failure::new(Kind::Trap, what).next("report it with the connector")
            }
            Some(Death::Machine(_) | Death::Unborn(_)) => {
                let how = death.map(ToString::to_string).unwrap_or_default();
                let what = format!("the process that runs the connector has ended: {how}");
                Failure::internal(what).next(
                    "see whether this machine is short of memory or processes; the next crawl goes on from here",
                )
            }
            None => {
                Failure::new(Kind::Trap, "the process that runs the connector dropped its guest")
                    .next("report it with the connector")
            }
        };
        failure.at(self.connection.clone())
    }
}

/// What was granted counts no longer.
pub fn regranted() -> Failure {
    Failure::new(Kind::Regranted, "the grants of the connection have changed")
        .next("nothing: it goes on with those that stand in sheaf.toml now")
}

/// What a connection's cell may use.
fn most(limits: &Limits) -> Most {
    let guests = limits.guests as u64;
    let of_guests = (limits.memory as u64).saturating_mul(guests);
    Most {
        memory: of_guests.saturating_add(limits.host_memory as u64),
        // A call's and a crawl's computing have limits of their own, which are told by name. Some crawls share a cell.
        cpu_seconds: limits.cpu_per_crawl.as_secs().saturating_mul(2).saturating_add(3600),
        file_bytes: (limits.page_bytes_at_most() as u64).saturating_mul(8),
        descriptors: (limits.handles as u64).saturating_mul(guests).saturating_add(DESCRIPTORS),
    }
}

async fn give(sender: Sender, mut ordered: mpsc::UnboundedReceiver<Ordered>, shared: Arc<Shared>) {
    while let Some((order, beside, turn)) = ordered.recv().await {
        let files: Vec<_> = beside.iter().map(|file| file.as_fd()).collect();
        if let Err(error) = sender.send(&order, &files).await {
            if error.kind() == io::ErrorKind::InvalidData {
                shared.dies(Death::Unborn(format!("it cannot be told what it needs: {error}")));
            }
            // Or it has ended, which whoever attends to it finds out.
            shared.leash.pull();
            return;
        }
        drop(turn);
    }
}

/// A file in memory, which both sides write and read by position: nothing of it is mapped.
#[cfg(target_os = "linux")]
fn batches_file() -> io::Result<File> {
    let flags = rustix::fs::MemfdFlags::CLOEXEC;
    Ok(File::from(rustix::fs::memfd_create("sheaf-batches", flags)?))
}

#[cfg(not(target_os = "linux"))]
fn batches_file() -> io::Result<File> {
    tempfile::tempfile()
}

/// A guest that runs.
pub(super) struct Counted(Arc<Shared>, IntGauge);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.guests.fetch_sub(1, Ordering::Relaxed);
        self.1.dec();
    }
}

/// Whoever listens to a cell.
struct Attendance {
    connection: String,
    broker: Option<Arc<Broker>>,
    /// The credentials that the connector asks for.
    asked: Arc<[String]>,
    replies: mpsc::WeakUnboundedSender<Ordered>,
    shared: Arc<Shared>,
    lines: Lines,
    turns: Arc<Semaphore>,
}

impl Attendance {
    async fn attend(mut self, mut receiver: Receiver, cell: Cell) {
        let mut waits = None;
        let ended = loop {
            let said = match receiver.next().await {
                Ok(Some(frame)) => frame.alone().and_then(|frame| frame.words()),
                Ok(None) => break io::ErrorKind::UnexpectedEof.into(),
                Err(error) => Err(error),
            };
            match said {
                Ok(Say::Call { number, call }) => {
                    if let Err(error) = self.have_done(number, call) {
                        break error;
                    }
                }
                Ok(Say::Log { level, is_guests, line }) => self.lines.tell(level, is_guests, &line),
                Ok(Say::Waits(wait)) => {
                    waits = wait.as_ref().map(|_| metrics().throttled_by_source(&self.connection));
                    let wait = wait.map(|wait| Wait {
                        why: short_line(&redact(&wait.why), MAX_WAIT),
                        since: wait.since.min(Timestamp::now()),
                    });
                    *self.shared.waits.lock().unwrap_or_else(PoisonError::into_inner) = wait;
                }
                Err(error) => break error,
            }
        };
        drop(waits);
        self.shared.leash.pull();
        // It waits until the process has ended, and ends it where it does not.
        let death = blocking(move || cell.end(&ended)).await;
        self.shared.dies(death.unwrap_or_else(|failure| Death::Unborn(failure.what)));
    }

    /// Begins to do something for it.
    fn have_done(&self, number: u32, call: Call) -> io::Result<()> {
        // They are counted inside: an honest one never has so many.
        let turn = self.turns.clone().try_acquire_many_owned(call.weight()).map_err(|_| {
            io::Error::new(io::ErrorKind::InvalidData, "it wants more at once than it may")
        })?;
        let (broker, replies) = (self.broker.clone(), self.replies.clone());
        let asked = self.asked.clone();
        tokio::spawn(async move {
            let (reply, beside) = answer(broker, &asked, call).await;
            if let Some(replies) = replies.upgrade() {
                let order = Order::Reply { call: number, reply };
                let _ = replies.send((order, beside, Some(turn)));
            }
        });
        Ok(())
    }
}

async fn answer(
    broker: Option<Arc<Broker>>,
    asked: &[String],
    call: Call,
) -> (Reply, Option<OwnedFd>) {
    let Some(broker) = broker else { return (Reply::Noted, None) };
    let reply = match call {
        Call::Credential { name } if !asked.contains(&name) => {
            let what = "a credential was asked for that the connector does not ask for";
            Reply::Credential(Err(Failure::new(Kind::Denied, what).into()))
        }
        Call::Dial { url } => match broker.dial(&url).await {
            Ok(connection) => return (Reply::Dialled(Ok(())), Some(connection.into())),
            Err(why) => Reply::Dialled(Err(why)),
        },
        Call::Credential { name } => {
            let value = broker.credential(&name).await;
            let value = value.map(|value| value.as_bytes().to_vec());
            Reply::Credential(value.map_err(Into::into))
        }
        Call::Forget { name, sent, refused } => match sent.as_slice().try_into() {
            Ok(sent) => Reply::Forgot(broker.forget(&name, &sent, refused).await),
            Err(_) => Reply::Forgot(false),
        },
        Call::Helped { name } => {
            broker.helped(&name).await;
            Reply::Noted
        }
        Call::Certificates => Reply::Certificates(broker.certificates().await.map_err(Into::into)),
    };
    (reply, None)
}
