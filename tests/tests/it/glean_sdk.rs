//! Glean's own Python SDK against the local Glean: what `tests/glean_sdk.py` asserts.

use std::process::{Command, Stdio};

use sheaf_local_glean::{LocalGlean, Options};
use sheaf_tests::root;

const PACKAGES: [&str; 2] = ["glean-indexing-sdk==1.2.1", "glean-api-client==0.13.0"];

fn run(program: &std::path::Path, arguments: &[&str]) {
    let status = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .status()
        .unwrap_or_else(|error| panic!("{} {arguments:?}: {error}", program.display()));
    assert!(status.success(), "{} {arguments:?}: {status}", program.display());
}

/// A Python that has the SDK: made once for these versions.
fn python() -> std::path::PathBuf {
    let venv = sheaf_tests::target().join("glean-sdk-1.2.1");
    let python = venv.join("bin/python");
    let is_whole = venv.join("is-whole");
    if !is_whole.is_file() {
        run("python3".as_ref(), &["-m", "venv", "--clear", &venv.display().to_string()]);
        let mut install = vec!["-m", "pip", "install", "--quiet", "--disable-pip-version-check"];
        install.extend(PACKAGES);
        run(&python, &install);
        std::fs::write(is_whole, "").expect("written");
    }
    python
}

#[tokio::test]
async fn every_method_of_gleans_own_sdk_works() {
    const TOKEN: &str = "token-of-the-test";
    let python = tokio::task::spawn_blocking(python).await.expect("a Python");
    let options = Options { token: Some(TOKEN.into()), ..Options::default() };
    let glean = LocalGlean::start(options).await.expect("a local Glean");
    let script = root().join("tests/glean_sdk.py");
    let url = glean.url();
    let ran = tokio::task::spawn_blocking(move || {
        Command::new(python)
            .arg(script)
            .env("GLEAN_SERVER_URL", url)
            .env("GLEAN_INDEXING_API_TOKEN", TOKEN)
            .stdin(Stdio::null())
            .output()
            .expect("Python runs")
    });
    let ran = ran.await.expect("it ends");
    let text = String::from_utf8_lossy(&ran.stderr);
    assert!(ran.status.success(), "{}{text}", String::from_utf8_lossy(&ran.stdout));
}
