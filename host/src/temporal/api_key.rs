//! Temporal's API key while a process runs. It is asked for again like every other secret, and at once
//! when the server refuses it.
//!
//! The SDK takes a new key for a connection that stands, but tells nobody that one was refused: a
//! worker's polls are tried again by themselves for a minute, and then the worker ends. So the server is
//! asked, a few times within that minute, whether it still takes the key.

use std::sync::Arc;
use std::time::Duration;

use temporalio_client::Client;
use temporalio_client::tonic::{Code, Request};
use temporalio_common::protos::temporal::api::workflowservice::v1::DescribeNamespaceRequest;

use crate::secret::{Rotating, Secret};

const LOOK: Duration = Duration::from_secs(10);
/// A key that is refused is not asked for each time: a command may be dear.
const SETTLED: Duration = Duration::from_secs(30);

/// Gives the connection another key when there is one, for as long as the process runs.
pub async fn keep_fresh(client: Client, key: Arc<Rotating>, mut sent: Secret) {
    loop {
        tokio::time::sleep(LOOK).await;
        let set = |key: &Secret| client.connection().set_api_key(Some(key.reveal().to_string()));
        look(&key, &mut sent, is_refused(&client), SETTLED, set).await;
    }
}

/// Sets the key if it is another one, and asks for it again if the server refuses it.
async fn look(
    key: &Rotating,
    sent: &mut Secret,
    is_refused: impl Future<Output = bool>,
    settled: Duration,
    set: impl Fn(&Secret),
) {
    let renewed = async |sent: &mut Secret| match key.get().await {
        Ok(secret) if secret != *sent => {
            set(&secret);
            *sent = secret;
            tracing::info!("Temporal's API key is another one now");
        }
        Ok(_) => {}
        Err(failure) => tracing::warn!("Temporal's API key cannot be read: {failure}"),
    };
    renewed(sent).await;
    if is_refused.await && key.renew(sent, settled).await {
        renewed(sent).await;
    }
}

async fn is_refused(client: &Client) -> bool {
    let request = DescribeNamespaceRequest {
        namespace: client.options().namespace.clone(),
        ..DescribeNamespaceRequest::default()
    };
    let mut service = client.connection().workflow_service();
    let asked = service.describe_namespace(Request::new(request)).await;
    let refusals = [Code::Unauthenticated, Code::PermissionDenied];
    asked.is_err_and(|status| refusals.contains(&status.code()))
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;
    use crate::secret::Source;

    #[tokio::test]
    async fn a_key_that_the_server_refuses_is_replaced_at_once() {
        let folder = tempfile::tempdir().expect("a folder");
        let write = |text: &str| std::fs::write(folder.path().join("key"), text).expect("written");
        let key = Rotating::new(Source::File("key".into()), folder.path());
        write("first-api-key");
        let mut sent = key.get().await.expect("read");
        let given = RefCell::new(Vec::new());
        let set = |key: &Secret| given.borrow_mut().push(key.reveal().to_string());
        // Refused, and there is no other one yet.
        look(&key, &mut sent, async { true }, Duration::ZERO, set).await;
        write("second-api-key");
        look(&key, &mut sent, async { false }, Duration::ZERO, set).await;
        assert!(given.borrow().is_empty(), "nobody asked for another one");
        look(&key, &mut sent, async { true }, Duration::ZERO, set).await;
        look(&key, &mut sent, async { true }, Duration::ZERO, set).await;
        assert_eq!(*given.borrow(), ["second-api-key"]);
        // Somebody else noticed it, or it was old: it is set without a refusal.
        write("third-api-key");
        assert!(key.renew(&sent, Duration::ZERO).await);
        look(&key, &mut sent, async { false }, Duration::ZERO, set).await;
        assert_eq!(*given.borrow(), ["second-api-key", "third-api-key"]);
    }
}
