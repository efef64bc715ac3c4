//! What requests need of the world: the program outside is asked for it.

use std::collections::HashMap;
use std::net::TcpStream;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use futures::future::BoxFuture;
use http::HeaderValue;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

use crate::cell::protocol::{Call, Reply, Say};
use crate::failure::{Failure, Result};
use crate::sandbox::credentials::Refused;
use crate::sandbox::egress::{Certificates, Outside, Undialled};

/// A reply, and the connection beside it.
type Replied = (Reply, Option<OwnedFd>);

/// Who waits for a reply, and the call's turn, which ends with the reply, even if nobody waits any more.
type Waiting = (oneshot::Sender<Replied>, OwnedSemaphorePermit);

/// The calls that wait for their replies.
#[derive(Clone, Default)]
pub(super) struct Calls(Arc<Mutex<HashMap<u32, Waiting>>>);

impl Calls {
    pub(super) fn reply(&self, number: u32, reply: Reply, beside: Option<OwnedFd>) {
        let waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&number);
        if let Some((waiting, _turn)) = waiting {
            // Whoever asked may have gone.
            let _ = waiting.send((reply, beside));
        }
    }
}

pub(super) struct World {
    says: mpsc::Sender<Say>,
    calls: Calls,
    next: AtomicU32,
    /// For calls that are under way.
    turns: Arc<Semaphore>,
}

impl World {
    pub(super) fn new(says: mpsc::Sender<Say>, calls: Calls, most: usize) -> Self {
        Self { says, calls, next: AtomicU32::new(0), turns: Arc::new(Semaphore::new(most)) }
    }

    async fn call(&self, call: Call) -> Option<Replied> {
        let turn = self.turns.clone().acquire_many_owned(call.weight()).await.ok()?;
        // Whoever gives up before there is room for it has asked nothing.
        let say = self.says.reserve().await.ok()?;
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let (sender, replied) = oneshot::channel();
        self.calls.0.lock().unwrap_or_else(PoisonError::into_inner).insert(number, (sender, turn));
        say.send(Say::Call { number, call });
        replied.await.ok()
    }
}

fn broken() -> Failure {
    Failure::internal("the program outside has not replied as it should")
}

impl Outside for World {
    fn dial<'a>(&'a self, url: &'a str) -> BoxFuture<'a, Result<TcpStream, Undialled>> {
        Box::pin(async move {
            match self.call(Call::Dial { url: url.to_owned() }).await {
                Some((Reply::Dialled(Ok(())), Some(connection))) => Ok(connection.into()),
                Some((Reply::Dialled(Err(why)), _)) => Err(why),
                _ => Err(Undialled::Other(broken().what)),
            }
        })
    }

    fn credential<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<HeaderValue>> {
        Box::pin(async move {
            let replied = self.call(Call::Credential { name: name.to_owned() }).await;
            let Some((Reply::Credential(value), _)) = replied else { return Err(broken()) };
            let value = value.map_err(crate::cell::protocol::Told::of_the_program)?;
            let mut value = HeaderValue::from_bytes(&value).map_err(|_| broken())?;
            value.set_sensitive(true);
            Ok(value)
        })
    }

    fn forget<'a>(
        &'a self,
        name: &'a str,
        sent: &'a HeaderValue,
        refused: Refused,
    ) -> BoxFuture<'a, bool> {
        Box::pin(async move {
            let (name, sent) = (name.to_owned(), sent.as_bytes().to_vec());
            let replied = self.call(Call::Forget { name, sent, refused }).await;
            matches!(replied, Some((Reply::Forgot(true), _)))
        })
    }

    fn helped<'a>(&'a self, name: &'a str) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            self.call(Call::Helped { name: name.to_owned() }).await;
        })
    }

    fn certificates(&self) -> BoxFuture<'_, Result<Certificates>> {
        Box::pin(async move {
            match self.call(Call::Certificates).await {
                Some((Reply::Certificates(Ok(certificates)), _)) => Ok(certificates),
                Some((Reply::Certificates(Err(told)), _)) => Err(told.of_the_program()),
                _ => Err(broken()),
            }
        })
    }
}
