//! A connection's cell, and the orders that it is given.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::mpsc;

use super::room::Room;
use super::world::{Calls, World};
use super::{guest, log};
use crate::cell::protocol::{
    MOST_CONTROL, Order, Say, Sender, Serving, WaitWords, most_calls, pair,
};
use crate::sandbox::egress::{Egress, Requests};

/// Lines and calls that wait to be said.
const SAYS: usize = 1_000;
/// How often it is said what requests wait for.
const LOOK: Duration = Duration::from_millis(500);

/// Until the program outside has enough of it.
pub(super) fn run(serving: Serving, code: File, socket: UnixStream) -> io::Result<()> {
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    // Guests have threads of their own.
    let runtime = runtime.worker_threads(1).enable_all().build()?;
    let ended = runtime.block_on(attend(serving, code, socket));
    // Guests may compute for long after that.
    runtime.shutdown_background();
    ended
}

async fn attend(serving: Serving, code: File, socket: UnixStream) -> io::Result<()> {
    let (sender, mut orders) = pair(socket, MOST_CONTROL)?;
    let (says, said) = mpsc::channel(SAYS);
    tokio::spawn(say(sender, said));
    let calls = Calls::default();
    let Serving { grants, guarded, level, traced } = serving;
    log::begin(&level, says.clone());
    let egress = grants.permit.clone().map(|permit| {
        let world = Arc::new(World::new(says.clone(), calls.clone(), most_calls(&grants.limits)));
        Arc::new(Egress::new(&grants.connection, permit, world))
    });
    if let Some(egress) = &egress {
        tokio::spawn(tell_waits(egress.clone(), says));
    }
    let room = Arc::new(Room::new(grants, guarded, egress, code, Handle::current()));
    while let Some(mut frame) = orders.next().await? {
        let beside = frame.files.pop();
        match frame.words()? {
            Order::Reply { call, reply } => calls.reply(call, reply, beside),
            Order::Guest { crawl } => {
                let usage = room.usage(crawl);
                let requests = Requests::wanted(traced);
                guest::begin(room.clone(), link(beside)?, usage, requests)?;
            }
            Order::Fit { schema } => {
                let (room, link) = (room.clone(), link(beside)?);
                std::thread::Builder::new()
                    .name("settings".into())
                    .spawn(move || room.runtime.clone().block_on(room.fit(&schema, link)))?;
            }
        }
    }
    Ok(())
}

fn link(beside: Option<OwnedFd>) -> io::Result<UnixStream> {
    beside.map(UnixStream::from).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

/// One after the other, so that none is cut by whoever gives up waiting.
async fn say(sender: Sender, mut said: mpsc::Receiver<Say>) {
    while let Some(words) = said.recv().await {
        if sender.send(&words, &[]).await.is_err() {
            return;
        }
    }
}

async fn tell_waits(egress: Arc<Egress>, says: mpsc::Sender<Say>) {
    let mut told = None;
    loop {
        tokio::time::sleep(LOOK).await;
        let waits = egress.waiting().map(|wait| WaitWords { why: wait.why, since: wait.since });
        if waits != told {
            told.clone_from(&waits);
            if says.send(Say::Waits(waits)).await.is_err() {
                return;
            }
        }
    }
}
