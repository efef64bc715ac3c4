//! `cargo run --release -p sheaf-bench`: what a crawl costs.
//!
//! Each measurement is a process of its own, so that CPU and peak memory are the host's alone; the
//! server that takes the uploads is another. The same pipeline is fed by the generator as a guest and
//! by the same code natively, in turn: their ratio holds when the machine's speed drifts.

mod measure;
mod sink;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use clap::{Parser, Subcommand};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

type Failure = Box<dyn std::error::Error + Send + Sync>;

#[derive(Parser)]
struct Cli {
    #[command(subcommand)]
    part: Option<Part>,
    /// Documents of each size that is measured.
    #[arg(long, value_delimiter = ',', default_values_t = [100_000, 1_000_000])]
    documents: Vec<u64>,
    /// Bytes of each document's body.
    #[arg(long, default_value_t = 2_000)]
    bytes: usize,
    /// How often each is measured; the median counts.
    #[arg(long, default_value_t = 3)]
    runs: usize,
    /// Writes the results here, as JSON.
    #[arg(long)]
    json: Option<PathBuf>,
    /// Measures only what the sandbox costs, and what a neighbour that loops does.
    #[arg(long)]
    safety: bool,
}

#[derive(Subcommand)]
enum Part {
    /// The server that takes the uploads.
    #[command(hide = true)]
    Sink,
    /// One crawl.
    #[command(hide = true)]
    Crawl(measure::Crawl),
    /// From the start of the process to the first document.
    #[command(hide = true)]
    Start(measure::Start),
}

/// What one crawl cost.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Cost {
    documents: u64,
    seconds: f64,
    cpu_seconds: f64,
    peak_memory_mib: f64,
}

impl Cost {
    #[allow(clippy::cast_precision_loss)]
    fn per_second(&self) -> f64 {
        self.documents as f64 / self.seconds
    }

    #[allow(clippy::cast_precision_loss)]
    fn cpu_per_100k(&self) -> f64 {
        self.cpu_seconds * 100_000.0 / self.documents as f64
    }
}

fn main() -> Result<ExitCode, Failure> {
    // The connectors that it loads have cells of their own, which are this program, too.
    if sheaf::cell::is_asked_for() {
        return Ok(sheaf::cell::main_of_a_cell());
    }
    run().map(|()| ExitCode::SUCCESS)
}

#[tokio::main]
async fn run() -> Result<(), Failure> {
    let cli = Cli::parse();
    match cli.part {
        Some(Part::Sink) => sink::serve().await,
        Some(Part::Crawl(crawl)) => {
            println!("{}", serde_json::to_string(&Box::pin(crawl.run()).await?)?);
            Ok(())
        }
        Some(Part::Start(start)) => {
            println!("{}", serde_json::to_string(&start.run().await?)?);
            Ok(())
        }
        None => all(&cli),
    }
}

fn all(cli: &Cli) -> Result<(), Failure> {
    let target =
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| PathBuf::from("target"), PathBuf::from);
    let built = Command::new("cargo")
        .args([
            "build",
            "--quiet",
            "--release",
            "--target",
            "wasm32-wasip2",
            "-p",
            "guest-generator",
        ])
        .args(["-p", "connector-rust", "-p", "guest-evil"])
        .status()?;
    if !built.success() {
        return Err("the guests were not built".into());
    }
    let wasm = target.join("wasm32-wasip2/release");
    let guest = wasm.join("guest_generator.wasm");
    let cache = tempfile::tempdir()?;
    let mut sink = sink::Sink::start()?;

    let bench = Bench { cli, guest: &guest, cache: cache.path(), sink: &sink.url };
    let safety = safety(&bench, &wasm.join("guest_evil.wasm"))?;
    if cli.safety {
        sink.stop();
        return Ok(());
    }
    let sizes = crawls(&bench)?;
    sink.stop();

    let starts = starts(&target, &wasm)?;
    if let Some(path) = &cli.json {
        let results = json!({ "crawls": sizes, "starts": starts, "safety": safety });
        std::fs::write(path, serde_json::to_string_pretty(&results)?)?;
    }
    Ok(())
}

/// What each crawl needs.
struct Bench<'a> {
    cli: &'a Cli,
    guest: &'a Path,
    cache: &'a Path,
    sink: &'a str,
}

impl Bench<'_> {
    /// One crawl, in a process of its own.
    fn crawl(&self, by: &str, documents: u64, more: &[&str]) -> Result<Cost, Failure> {
        let (documents, bytes) = (documents.to_string(), self.cli.bytes.to_string());
        let arguments = [
            "crawl",
            "--feed",
            by,
            "--documents",
            &documents,
            "--bytes",
            &bytes,
            "--sink",
            self.sink,
            "--guest",
            text(self.guest)?,
            "--cache",
            text(self.cache)?,
        ];
        Ok(serde_json::from_value(child(&[&arguments, more].concat())?)?)
    }
}

/// A guest that is watched against one that is not, and a guest beside others that loop for ever.
fn safety(bench: &Bench<'_>, evil: &Path) -> Result<Value, Failure> {
    let documents = 200_000;
    let evil = text(evil)?;
    let (mut costs, mut beside) = (Vec::new(), [Vec::new(), Vec::new()]);
    for run in 0..=bench.cli.runs {
        let free = bench.crawl("unguarded", documents, &[])?;
        let guarded = bench.crawl("guest", documents, &[])?;
        let mut ratios = Vec::new();
        for many in ["1", "4"] {
            let slow = bench.crawl("guest", documents, &["--evil", evil, "--beside", many])?;
            ratios.push(slow.seconds / guarded.seconds);
        }
        // The first warms the caches.
        if run > 0 {
            costs.push(guarded.cpu_seconds / free.cpu_seconds);
            for (all, ratio) in beside.iter_mut().zip(ratios) {
                all.push(ratio);
            }
        }
    }
    let cost = median(costs) - 1.0;
    let [one, four] = beside.map(median);
    println!("the sandbox's guards cost {:.1} % of CPU", cost * 100.0);
    println!(
        "beside one guest that loops for ever a crawl takes {one:.2} times as long, beside four {four:.2}\n"
    );
    Ok(json!({ "guards_overhead": cost, "beside_one": one, "beside_four": four }))
}

/// Crawls of each size: natively, by a guest, and by a guest with the ledger behind it.
fn crawls(bench: &Bench<'_>) -> Result<Vec<Value>, Failure> {
    let cli = bench.cli;
    let mut sizes = Vec::new();
    println!(
        "{:>9}  {:<6}  {:>11}  {:>14}  {:>8}",
        "documents", "fed by", "documents/s", "CPU-s per 100k", "peak MiB"
    );
    for documents in &cli.documents {
        let mut native = Vec::new();
        let mut guests = Vec::new();
        let mut kept = Vec::new();
        let ledger = tempfile::tempdir()?;
        for run in 0..=cli.runs {
            let fed = |by: &str, more: &[&str]| bench.crawl(by, *documents, more);
            let (by_native, by_guest) = (fed("native", &[])?, fed("guest", &[])?);
            let with_ledger = fed("guest", &["--ledger", text(ledger.path())?])?;
            // The first pair warms the caches.
            if run > 0 {
                native.push(by_native);
                guests.push(by_guest);
                kept.push(with_ledger);
            }
        }
        let ratios = native
            .iter()
            .zip(&guests)
            .map(|(native, guest)| guest.per_second() / native.per_second());
        let ratio = median(ratios.collect());
        let overheads =
            guests.iter().zip(&kept).map(|(guest, kept)| kept.cpu_seconds / guest.cpu_seconds);
        let overhead = median(overheads.collect()) - 1.0;
        let (native, guest, kept) = (middle(native), middle(guests), middle(kept));
        for (name, cost) in [("native", &native), ("guest", &guest), ("ledger", &kept)] {
            println!(
                "{documents:>9}  {name:<6}  {:>11.0}  {:>14.3}  {:>8.1}",
                cost.per_second(),
                cost.cpu_per_100k(),
                cost.peak_memory_mib
            );
        }
        println!(
            "{documents:>9}  a guest delivers {:.1} % of what native code delivers",
            ratio * 100.0
        );
        println!("{documents:>9}  the ledger costs {:.1} % more CPU", overhead * 100.0);
        sizes.push(json!({
            "documents": documents,
            "body_bytes": cli.bytes,
            "native": summary(&native),
            "guest": summary(&guest),
            "guest_with_ledger": summary(&kept),
            "guest_share_of_native": ratio,
            "ledger_overhead": overhead,
        }));
    }
    Ok(sizes)
}

/// From the start of a process to the first document, with compiled code in the cache and without.
fn starts(target: &Path, wasm: &Path) -> Result<Vec<Value>, Failure> {
    let mut starts = Vec::new();
    println!("\nfrom the start of the process to the first document, in seconds");
    for (language, file) in [
        ("Rust", wasm.join("connector_rust.wasm")),
        ("Python", target.join("guests/python_hello.wasm")),
    ] {
        if !file.is_file() {
            println!(
                "{language:<8} not measured: {} is not built (./test builds it)",
                file.display()
            );
            continue;
        }
        let cache = tempfile::tempdir()?;
        let start = || -> Result<measure::Began, Failure> {
            let answer =
                child(&["start", "--guest", text(&file)?, "--cache", text(cache.path())?])?;
            Ok(serde_json::from_value(answer)?)
        };
        let cold = start()?.seconds;
        let began = (0..5).map(|_| start()).collect::<Result<Vec<_>, _>>()?;
        let of = |what: fn(&measure::Began) -> f64| median(began.iter().map(what).collect());
        let warm = of(|began| began.seconds);
        let cell = of(|began| began.cell_seconds);
        let memory = of(|began| began.cell_memory_mib);
        println!(
            "{language:<8} cold {cold:.3}, warm {warm:.3}, of which the cell {cell:.3} with {memory:.1} MiB"
        );
        starts.push(json!({
            "language": language, "cold_seconds": cold, "warm_seconds": warm,
            "cell_seconds": cell, "cell_memory_mib": memory,
        }));
    }
    Ok(starts)
}

fn summary(cost: &Cost) -> Value {
    json!({
        "documents_per_second": cost.per_second(),
        "cpu_seconds_per_100k": cost.cpu_per_100k(),
        "peak_memory_mib": cost.peak_memory_mib,
    })
}

fn text(path: &Path) -> Result<&str, Failure> {
    path.to_str().ok_or_else(|| "a path is not UTF-8".into())
}

/// This program again, as a process of its own; what it printed.
fn child(arguments: &[&str]) -> Result<Value, Failure> {
    let output =
        Command::new(std::env::current_exe()?).args(arguments).stderr(Stdio::inherit()).output()?;
    if !output.status.success() {
        return Err(format!("{arguments:?} failed").into());
    }
    Ok(serde_json::from_slice(&output.stdout)?)
}

fn median(mut numbers: Vec<f64>) -> f64 {
    numbers.sort_by(f64::total_cmp);
    numbers.get(numbers.len() / 2).copied().unwrap_or(f64::NAN)
}

/// The run of the median CPU time.
fn middle(mut costs: Vec<Cost>) -> Cost {
    costs.sort_by(|a, b| a.cpu_seconds.total_cmp(&b.cpu_seconds));
    costs.swap_remove(costs.len() / 2)
}
