//! Very many documents of one source: a worker's memory does not grow with them.
//!
//! `tools/scale-drill.sh` does it with ten million, once into a folder and once through a bucket that is far away.

use std::time::Instant;

use serde_json::Value;
use sheaf_tests::Site;
use sheaf_tests::bucket::Bucket;
use sheaf_tests::sink::Sink;
use sheaf_tests::temporal::{server, worker};
use tokio::process::Child;

/// What is told of a crawl so many times.
const PARTS: u64 = 10;

fn asked(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().expect("a number"))
}

/// Memory of a process that is in the machine's memory, in MiB: now, or the most that it ever was.
fn memory(worker: &Child, which: &str) -> u64 {
    let id = worker.id().expect("a worker");
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).expect("of Linux");
    let line = status.lines().find(|line| line.starts_with(which)).expect("a line");
    let kib: u64 = line.split_whitespace().nth(1).expect("KiB").parse().expect("a number");
    kib / 1024
}

/// What the end of a crawl takes: what is sorted, written and compared there has buffers of its own, in MiB.
const END: u64 = 24;

/// A full crawl of so many documents; how much memory the worker had in each part of it, and at most.
async fn crawl(site: &Site, sink: &Sink, worker: &Child, documents: u64) -> (Vec<u64>, u64) {
    sink.forget();
    let started = Instant::now();
    let mut sync = site.command(&["sync", "generated", "--json"]).spawn().expect("a crawl");
    let mut memories = Vec::new();
    let mut told = Instant::now();
    for part in 1..=PARTS {
        let part = documents * part / PARTS;
        tokio::select! {
            () = sink.has(part) => {}
            _ = sync.wait() => break,
        }
        let (now, seconds) = (memory(worker, "VmRSS"), told.elapsed().as_secs_f64());
        println!("{part:>9} documents, the last tenth in {seconds:.1} s; {now} MiB");
        memories.push(now);
        told = Instant::now();
    }
    let output = sync.wait_with_output().await.expect("an end");
    let json: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let result = &json["result"];
    assert_eq!(
        (&result["outcome"], &result["documents"]),
        (&"complete".into(), &documents.into()),
        "{json}"
    );
    let (distinct, uploaded) = sink.documents();
    assert_eq!(distinct, documents, "each is there");
    println!(
        "{documents} documents, {uploaded} uploaded, in {:.1} s, of which its end {:.1} s; at most {} MiB",
        started.elapsed().as_secs_f64(),
        told.elapsed().as_secs_f64(),
        memory(worker, "VmHWM")
    );
    (memories, memory(worker, "VmHWM"))
}

async fn memory_stays(bucket: Option<Bucket>, documents: u64) {
    let sink = Sink::start().await;
    let mut site = Site::new("").await.connector("guest_generator");
    let store = bucket.as_ref().map(|bucket| bucket.keeps(&mut site, "state")).unwrap_or_default();
    let bytes = asked("SHEAF_DRILL_BYTES").unwrap_or(500);
    let glean = format!("[glean]\nserver_url = \"{}\"\nrequests_per_second = 1000.0\n", sink.url);
    let settings = format!("settings = {{ documents = {documents}, bytes = {bytes} }}\n");
    let connection =
        "[connections.generated]\nconnector = \"generator\"\ndatasource = \"generated\"\n";
    site.write("sheaf.toml", &format!("{store}{glean}\n{connection}{settings}"));
    let server = server(&mut site).await;
    let worker = worker(&site).await;
    println!("{} MiB before any crawl", memory(&worker, "VmRSS"));
    let mut early = None;
    // The second compares with what the first left.
    for _ in 0..2 {
        let (memories, most) = crawl(&site, &sink, &worker, documents).await;
        let early = *early.get_or_insert(memories[1]);
        assert!(memories.iter().all(|now| *now <= early + 10), "{early}, then {memories:?} MiB");
        assert!(most <= early + END, "{early}, and at most {most} MiB");
        if let Some(bucket) = &bucket {
            println!("{} requests to the bucket", bucket.requests().len());
        }
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_s_memory_does_not_grow_with_the_documents() {
    memory_stays(None, asked("SHEAF_DRILL_DOCUMENTS").unwrap_or(200_000)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nor_does_it_where_they_are_kept_in_a_bucket() {
    let Some(bucket) = Bucket::start().await else { return };
    memory_stays(Some(bucket), asked("SHEAF_DRILL_DOCUMENTS").unwrap_or(200_000)).await;
}
