//! One guest: asked over a socket of its own, and run on a thread of its own. It ends when the other side of
//! that socket does.

use std::fs::File;
use std::io;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::thread;

use serde::Serialize;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::pages::Pages;
use super::room::Room;
use crate::cell::protocol::{Answer, Ask, Frame, Receiver, Sender, Told, Used, pair};
use crate::connector::{Cursor, Guest, IdentityCursor};
use crate::failure::{Failure, Kind, Result};
use crate::intake::{Rules, judge};
use crate::sandbox::egress::Requests;
use crate::sandbox::limits::{Usage, priority};
use crate::text::bytes;

/// What it is at.
enum At {
    Beginning,
    Idle(Guest),
    Opened(Cursor, Rules),
    Reading(Box<Pages>),
    Identities(IdentityCursor),
    /// It has failed, or there is nothing more of it.
    Ended,
}

struct Life {
    room: Arc<Room>,
    usage: Arc<Usage>,
    requests: Arc<Requests>,
    sender: Sender,
    asks: mpsc::Receiver<Frame>,
    gone: CancellationToken,
    at: At,
}

/// Starts a guest, and says over the socket when it has.
pub(super) fn begin(
    room: Arc<Room>,
    socket: UnixStream,
    usage: Arc<Usage>,
    requests: Arc<Requests>,
) -> io::Result<()> {
    let (sender, receiver) = pair(socket, room.most())?;
    let (pass, asks) = mpsc::channel(1);
    let gone = CancellationToken::new();
    tokio::spawn(listen(receiver, pass, gone.clone()));
    run(Life { room, usage, requests, sender, asks, gone, at: At::Beginning })
}

async fn listen(mut receiver: Receiver, pass: mpsc::Sender<Frame>, gone: CancellationToken) {
    loop {
        let frame = tokio::select! {
            frame = receiver.next() => frame,
            // The guest is no more: the other side is to see that its socket has ended.
            () = pass.closed() => return,
        };
        let Ok(Some(frame)) = frame else { break };
        if pass.send(frame).await.is_err() {
            return;
        }
    }
    gone.cancel();
}

fn run(mut life: Life) -> io::Result<()> {
    let live = move || {
        priority::own_this_thread();
        let runtime = life.room.runtime.clone();
        while runtime.block_on(life.go_on()) {
            // A thread that was put behind others stays there, and so do those that it starts: what comes next gets
            // one from elsewhere.
            if priority::was_lowered() {
                runtime.spawn(async move { drop(run(life)) });
                return;
            }
        }
    };
    thread::Builder::new().name("guest".into()).spawn(live).map(drop)
}

impl Life {
    /// One step; whether there is another.
    async fn go_on(&mut self) -> bool {
        let gone = self.gone.clone();
        tokio::select! {
            // Whatever it computes or waits for is dropped where it is.
            biased;
            () = gone.cancelled() => false,
            step = self.step() => step.unwrap_or(false),
        }
    }

    async fn step(&mut self) -> io::Result<bool> {
        match std::mem::replace(&mut self.at, At::Ended) {
            At::Beginning => {
                let started = self.room.start(self.usage.clone(), self.requests.clone()).await;
                self.tell(started.as_ref().map(|_| ())).await?;
                if let Ok(guest) = started {
                    self.at = At::Idle(guest);
                }
            }
            At::Idle(guest) => return self.answer(guest).await,
            At::Opened(cursor, rules) => return self.opened(cursor, rules).await,
            At::Reading(mut pages) => {
                pages.read_ahead().await;
                let Some(Ask::Next) = self.ask().await?.map(|(ask, _)| ask) else {
                    return Ok(false);
                };
                let Some(handed) = pages.hand_over()? else { return Ok(false) };
                if self.tell(Ok::<_, &Failure>(handed)).await? {
                    self.at = At::Reading(pages);
                }
            }
            At::Identities(cursor) => return self.identities(cursor).await,
            // Until nobody wants anything of it.
            At::Ended => return Ok(self.asks.recv().await.is_some()),
        }
        Ok(true)
    }

    async fn answer(&mut self, mut guest: Guest) -> io::Result<bool> {
        let Some((ask, _)) = self.ask().await? else { return Ok(false) };
        match ask {
            Ask::Datasource => {
                let config = guest.datasource().await.map(|config| config.to_string());
                self.tell(config.as_ref()).await?;
            }
            Ask::Check => {
                let said = guest.check().await;
                self.tell(said.as_ref()).await?;
            }
            Ask::Scopes => {
                let scopes = guest.scopes().await;
                self.tell(scopes.as_ref()).await?;
            }
            Ask::Open { crawl, datasource } => {
                let rules = Rules::of(&serde_json::from_str(&datasource)?);
                let opened = guest.open(crawl).await;
                self.tell(opened.as_ref().map(|_| ())).await?;
                self.at = opened.map_or(At::Ended, |cursor| At::Opened(cursor, rules));
                return Ok(true);
            }
            Ask::OpenIdentities { resume } => {
                let opened = guest.open_identities(resume).await;
                self.tell(opened.as_ref().map(Option::is_some)).await?;
                self.at = opened.ok().flatten().map_or(At::Ended, At::Identities);
                return Ok(true);
            }
            Ask::Read(_) | Ask::Next | Ask::Look { .. } | Ask::Identities { .. } => {
                return Ok(false);
            }
        }
        self.at = At::Idle(guest);
        Ok(true)
    }

    async fn opened(&mut self, mut cursor: Cursor, rules: Rules) -> io::Result<bool> {
        let Some((ask, file)) = self.ask().await? else { return Ok(false) };
        match (ask, file) {
            (Ask::Read(reading), Some(file)) => {
                let pages = Pages::new(cursor, &reading, rules, file);
                self.at = At::Reading(Box::new(pages));
            }
            (Ask::Look { limits, datasource, document_bytes }, _) => {
                let page = cursor.next(limits).await;
                let seen = page.map(|page| judge::page(page, &rules, &datasource, document_bytes));
                self.tell(seen.as_ref()).await?;
                self.at = At::Opened(cursor, rules);
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    async fn identities(&mut self, mut cursor: IdentityCursor) -> io::Result<bool> {
        let Some(Ask::Identities { limit }) = self.ask().await?.map(|(ask, _)| ask) else {
            return Ok(false);
        };
        let page = cursor.next(limit).await;
        if self.tell(page.as_ref()).await? {
            self.at = At::Identities(cursor);
        }
        Ok(true)
    }

    /// The next thing that it is asked; nothing when nobody will ask any more.
    async fn ask(&mut self) -> io::Result<Option<(Ask, Option<File>)>> {
        let Some(mut frame) = self.asks.recv().await else { return Ok(None) };
        let file = frame.files.pop().map(File::from);
        Ok(Some((frame.words()?, file)))
    }

    /// Whether it was told so, and not that it is too much.
    async fn tell(&self, said: Result<impl Serialize, &Failure>) -> io::Result<bool> {
        let used = Used {
            memory: self.usage.memory(),
            cpu: nanoseconds(self.usage.cpu()),
            crawl: nanoseconds(self.usage.of_whole_crawl()),
        };
        let said = said.map_err(|failure| Told::from(failure.clone()));
        let mut answer = Answer { used, requests: self.requests.take(), said };
        let mut sent = self.sender.send(&answer, &[]).await;
        if sent.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::InvalidData) {
            // What became of its requests is no reason to fail.
            answer.requests.clear();
            sent = self.sender.send(&answer, &[]).await;
        }
        match sent {
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                let what = format!(
                    "what the connector delivers at once, besides its documents' texts, has more than {}",
                    bytes(self.room.most().into())
                );
                let failure = Failure::new(Kind::Limit, what)
                    .next("mend the connector: let it deliver smaller pages");
                let said: Result<(), Told> = Err(failure.into());
                self.sender.send(&Answer { used, requests: Vec::new(), said }, &[]).await?;
                Ok(false)
            }
            sent => sent.map(|()| true),
        }
    }
}

fn nanoseconds(time: std::time::Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
