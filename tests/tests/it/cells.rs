//! What looks at a stranger's bytes is a process of its own, and cannot do more than that.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

use sheaf::cell::{Candidate, CompileLimits, Loader, Program, misdeeds};
use sheaf::failure::{Failure, Kind};
use sheaf::sandbox::folders::FolderGrant;
use sheaf_tests::wait::until;
use sheaf_tests::{binary, guest};

/// The linker's own file system has no part in it: on Linux each wall is there, or the test fails.
#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn what_breaks_out_of_the_sandbox_opens_no_file_reaches_nobody_and_starts_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::create_dir(folder.path().join("granted")).expect("a folder");
    let grant = FolderGrant { guest: "/content".into(), host: folder.path().join("granted") };
    for folders in [&[][..], &[grant]] {
        let misdeeds = misdeeds(&Program::at(binary()), folders).await.expect("a cell");
        assert!(misdeeds.is_empty(), "{folders:?}: {misdeeds:?}");
    }
}

/// A program in place of a cell: what was taken over can say anything.
fn double(folder: &Path, script: &str) -> Program {
    let path = folder.join("double");
    std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).expect("written");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).expect("set");
    Program::at(path)
}

async fn refused(program: Program, limits: CompileLimits) -> Failure {
    refused_of("guest_generator", program, limits).await
}

async fn refused_of(name: &str, program: Program, limits: CompileLimits) -> Failure {
    let cache = tempfile::tempdir().expect("a folder");
    let loader = Loader::limited(program, cache.path().join("compiled"), limits).expect("a loader");
    loader.load_file(&guest(name)).await.expect_err("nothing that can be started")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cell_that_lies_or_dies_is_told_with_what_became_of_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let usual = CompileLimits::default();
    let compiled = r#"printf '\012\0\0\0\0"Compiled"' >&0"#;
    for (script, what) in [
        ("exit 3".to_owned(), "exit code 3"),
        ("kill -SEGV $$".to_owned(), "a fault of memory"),
        ("echo what it said last >&2; kill -ABRT $$".to_owned(), "aborted: what it said last"),
        // Nothing that the component is to blame for.
        ("kill -KILL $$".to_owned(), "it was ended from outside"),
        ("exec 0<&-; exec sleep 60".to_owned(), "it closed its socket without an answer"),
        // A frame of four gigabytes, one that is no JSON, one with a file that is not there.
        (r"printf '\377\377\377\377\0' >&0; exec sleep 60".to_owned(), "makes no sense"),
        (r"printf '\001\0\0\0\0{' >&0; exec sleep 60".to_owned(), "makes no sense"),
        (r#"printf '\002\0\0\0\001""' >&0; exec sleep 60"#.to_owned(), "makes no sense"),
        (r"printf '\012\0\0\0\0half' >&0".to_owned(), "exit code 0"),
        // There is no code, whatever it says.
        (format!("{compiled}; exec sleep 60"), "it compiled what was compiled"),
    ] {
        let failure = refused(double(folder.path(), &script), usual).await;
        assert!(failure.what.contains(what), "{script}: {failure}");
        assert!(failure.next.is_some() && failure.at.is_some(), "{failure:?}");
    }
    // What it says of itself is not believed: a contract that nobody speaks, a name that is none.
    let said = |contract: &str, name: &str| {
        let inspection =
            format!(r#"{{"contract":"{contract}","imports":[],"exports":[],"producers":[]}}"#);
        let description = format!(
            r#"{{"name":"{name}","version":"","description":"","settings_schema":"","hosts":[],"credentials":[],"incremental":false,"folders":null}}"#
        );
        let said =
            format!(r#"{{"Connector":{{"inspection":{inspection},"description":{description}}}}}"#);
        let (low, high) = (said.len() % 256, said.len() / 256);
        format!(r"printf '\{low:03o}\{high:03o}\0\0\0%s' '{said}' >&0; exec sleep 60")
    };
    let failure = refused(double(folder.path(), &said("0.1.0", "a")), usual).await;
    assert!(failure.what.contains("it knows what has no code"), "{failure}");
    // The first cell compiles, and the second, which finds a file that the first left, says what it is.
    let mark = folder.path().join("compiled-once");
    for (contract, name, what) in
        [("9.9.9", "a", "speaks contract 9.9.9"), ("0.1.0", "A B", "its name must be lower-case")]
    {
        let _ = std::fs::remove_file(&mark);
        let second = said(contract, name);
        let mark = mark.display();
        let script = format!(
            "if [ -e {mark} ]; then {second}; fi; echo > {mark}; {compiled}; exec sleep 60"
        );
        let failure = refused(double(folder.path(), &script), usual).await;
        assert_eq!(failure.kind, Kind::Contract);
        assert!(failure.what.contains(what), "{failure}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cell_that_answers_byte_by_byte_has_no_more_time() {
    let folder = tempfile::tempdir().expect("a folder");
    let limits =
        CompileLimits { compile_time: Duration::from_millis(700), ..CompileLimits::default() };
    // A frame of a hundred bytes, one in a third of a second.
    let script = r#"printf '\144\0\0\0\0"' >&0; while sleep 0.3; do printf x >&0; done"#;
    let failure = refused(double(folder.path(), script), limits).await;
    assert_eq!(failure.kind, Kind::TimedOut, "{failure}");
    assert!(failure.what.contains("was not compiled within 700ms"), "{failure}");
}

#[tokio::test(flavor = "multi_thread")]
async fn code_that_was_damaged_is_made_again() {
    let cache = tempfile::tempdir().expect("a folder");
    let folder = cache.path().join("compiled");
    let load = async || {
        let loader = Loader::new(Program::at(binary()), &folder).expect("a loader");
        loader.load_file(&guest("guest_generator")).await.expect("a connector");
    };
    load().await;
    let code = std::fs::read_dir(&folder).expect("a folder").flatten().next().expect("code");
    let whole = std::fs::read(code.path()).expect("read");
    for damaged in [&b""[..], &b"no code"[..], &whole[..whole.len() / 2]] {
        std::fs::write(code.path(), damaged).expect("written");
        load().await;
        assert_eq!(std::fs::read(code.path()).expect("read").len(), whole.len());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_component_that_needs_too_much_memory_to_be_compiled_names_the_limit() {
    // An interpreter takes more than three times as much.
    let limits = CompileLimits { compile_memory: 100 << 20, ..CompileLimits::default() };
    let failure = refused_of("python_hello", Program::at(binary()), limits).await;
    assert_eq!(failure.kind, Kind::Limit, "{failure}");
    assert!(failure.what.contains("100.0 MiB"), "{failure}");
    assert!(failure.next.is_some_and(|next| next.contains("`compile_memory` in [connectors]")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cell_ends_with_whoever_waits_for_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let pid = folder.path().join("pid");
    let script = format!("echo $$ > {}.part; mv {0}.part {0}; cat > /dev/null <&0", pid.display());
    let program = double(folder.path(), &script);
    let cache = folder.path().join("compiled");
    let loader = Loader::new(program, cache).expect("a loader");
    let bytes = std::fs::read(guest("guest_generator")).expect("a component");
    let load = loader.load(Candidate::of("generator.wasm".into(), bytes));
    let started = until("the cell runs", async || pid.exists());
    tokio::select! {
        _ = load => panic!("it waits for an answer"),
        () = started => {}
    }
    let number = std::fs::read_to_string(&pid).expect("a number");
    let process = Path::new("/proc").join(number.trim());
    until("the cell is gone", async || !process.exists()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_took_too_long_is_not_tried_again_by_everybody_who_asks() {
    let folder = tempfile::tempdir().expect("a folder");
    let started = folder.path().join("started");
    let script = format!("echo once >> {}; exec sleep 60", started.display());
    let limits =
        CompileLimits { compile_time: Duration::from_millis(300), ..CompileLimits::default() };
    let program = double(folder.path(), &script);
    let loader =
        Loader::limited(program, folder.path().join("compiled"), limits).expect("a loader");
    for _ in 0..3 {
        let failure = loader.load_file(&guest("guest_generator")).await.expect_err("too late");
        assert_eq!(failure.kind, Kind::TimedOut, "{failure}");
    }
    assert_eq!(std::fs::read_to_string(started).expect("a mark"), "once\n");
}
