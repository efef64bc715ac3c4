//! What a cell says: frames on a socket, and the batches in its file.

use std::io::Write as _;
use std::os::unix::net::UnixStream;

use serde::de::DeserializeOwned;
use serde_json::Value;
use sheaf::cell::protocol::{Answer, Frame, Handed, Say, pair};
use sheaf::document::Scope;
use sheaf::lists::List;
use sheaf::wire::batch::Most;
use sheaf::wire::received;

/// What is on a socket when it ends. More than its buffer holds nobody would send here.
pub fn said(bytes: &[u8]) -> bool {
    let bytes = bytes.get(..64 << 10).unwrap_or(bytes);
    let (mut theirs, ours) = UnixStream::pair().expect("a pair");
    theirs.write_all(bytes).expect("room");
    drop(theirs);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build();
    runtime.expect("a runtime").block_on(async {
        let (_sender, mut receiver) = pair(ours, 1 << 20).expect("sockets");
        let mut read = false;
        while let Ok(Some(frame)) = receiver.next().await {
            read |= is::<Say>(&frame);
            read |= is::<Answer<Handed>>(&frame);
            read |= is::<Answer<List<Scope>>>(&frame);
            read |= is::<Answer<String>>(&frame);
        }
        read
    })
}

fn is<T: DeserializeOwned>(frame: &Frame) -> bool {
    frame.words::<T>().is_ok()
}

/// A batch: lines are its documents, and each is told by the id that `serde_json` finds in it. What is believed is one
/// list of JSON with as many documents, all of this datasource.
pub fn batch(bytes: &[u8]) -> bool {
    let mut encoded = bytes.to_vec();
    let mut ends: Vec<usize> = memchr::memchr_iter(b'\n', bytes).collect();
    for end in &ends {
        encoded[*end] = b',';
    }
    ends.push(encoded.len());
    let list = [b"[", &encoded[..], b"]"].concat();
    let found: Option<Vec<Value>> = serde_json::from_slice(&list).ok();
    let ids = found.iter().flatten().map(|one| one["id"].as_str().unwrap_or_default());
    let ids: Vec<String> = ids.map(str::to_owned).collect();
    let most = Most { bytes: usize::MAX, documents: 1_000, document_bytes: usize::MAX };
    let count = ends.len();
    let believed =
        received(encoded.into(), ends, "ds", most, ids.iter().map(String::as_str)).is_ok();
    if believed {
        let found = found.expect("what is believed is JSON");
        assert_eq!(found.len(), count, "none hides in another");
        assert!(found.iter().all(|one| one.is_object() && one["datasource"] == "ds"));
    }
    believed
}
