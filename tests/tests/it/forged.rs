//! Files made to hurt whoever reads them, by the real program: each is refused in one sentence, by `inspect`
//! and in the folder of connectors, before anything is made of it.

use std::process::Command;

use sheaf_tests::{Ended, Site, guest};

/// A section of a component.
fn section(id: u8, content: &[u8]) -> Vec<u8> {
    let mut length = content.len();
    let mut bytes = vec![id];
    while length > 0x7f {
        bytes.push(u8::try_from(length & 0x7f).expect("seven bits") | 0x80);
        length >>= 7;
    }
    bytes.push(u8::try_from(length).expect("seven bits"));
    bytes.extend(content);
    bytes
}

/// A module with so many functions that do nothing.
fn functions(count: usize) -> Vec<u8> {
    // In three bytes, of which two say that another follows.
    let bits = |at: usize| u8::try_from(count >> (7 * at) & 0x7f).expect("seven bits");
    let number = [bits(0) | 0x80, bits(1) | 0x80, bits(2)];
    let all = |one: &[u8]| [&number[..], &one.repeat(count)].concat();
    [
        b"\0asm\x01\0\0\0".to_vec(),
        section(1, &[1, 0x60, 0, 0]),
        section(3, &all(&[0])),
        section(10, &all(&[2, 0, 0x0b])),
    ]
    .concat()
}

fn refused(ended: &Ended, what: &str) {
    assert!(matches!(ended.code, 1 | 2), "{ended:?}");
    let said = |start: &str| ended.stderr.lines().find(|line| line.trim_start().starts_with(start));
    assert!(said("error: ").is_some_and(|line| line.contains(what)), "{what}: {ended:?}");
    assert!(said("next: ").is_some(), "{ended:?}");
}

async fn is_refused(site: &Site, name: &str, what: &str) {
    refused(&site.sheaf(&["inspect", &format!("connectors/{name}")]).await, what);
    site.configure(&format!(
        "[connections.forged]\nconnector = \"{name}\"\ndatasource = \"forged\"\n"
    ));
    refused(&site.sheaf(&["sync", "forged", "--local"]).await, what);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_component_that_is_too_deep_or_too_large_is_refused_before_anything_is_made_of_it() {
    let site = Site::new("").await;
    let good = std::fs::read(guest("guest_generator")).expect("a component");
    let deep = [&[1][..], &[0x42, 0x01, 0x01].repeat(3_000), &[0x42, 0x00]].concat();
    let deep = section(7, &deep);
    let within = section(4, &[b"\0asm\x0d\0\x01\0", &deep[..]].concat());
    for (name, more, what) in [
        ("deep.wasm", deep, "the component has types within types, more than 30 deep"),
        ("within.wasm", within, "the component has types within types, more than 30 deep"),
        ("many.wasm", section(1, &functions(100_000)), "functions, and 100,000 are the most"),
    ] {
        let path = site.path("connectors").join(name);
        std::fs::write(&path, [&good[..], &more].concat()).expect("written");
        is_refused(&site, name, what).await;
        std::fs::remove_file(path).expect("removed");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_file_or_too_large_is_not_read() {
    let site = Site::new("").await;
    let path = |name: &str| site.path("connectors").join(name);
    let mkfifo = Command::new("mkfifo").arg(path("fifo.wasm")).status();
    assert!(mkfifo.expect("mkfifo runs").success());
    std::os::unix::fs::symlink("/dev/zero", path("zero.wasm")).expect("a link");
    let zeros = std::fs::File::create(path("zeros.wasm")).expect("a file");
    zeros.set_len(1 << 30).expect("a hole");
    for (name, what) in [
        ("fifo.wasm", "the connector is no file, but a FIFO"),
        ("zero.wasm", "the connector is no file, but a device"),
        ("zeros.wasm", "the component has 1.0 GiB, and the limit is 128.0 MiB"),
    ] {
        is_refused(&site, name, what).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn compiled_code_that_others_could_have_written_is_made_anew() {
    use std::os::unix::fs::PermissionsExt as _;
    let mut site = Site::new("").await.connector("guest_generator");
    let open = site.path("open");
    std::fs::create_dir(&open).expect("a folder");
    std::fs::set_permissions(&open, std::fs::Permissions::from_mode(0o777)).expect("set");
    let cache = open.join("cache").display().to_string();
    site.environment.push(("XDG_CACHE_HOME".into(), cache));
    let ended = site.sheaf(&["inspect", "connectors/guest_generator.wasm"]).await;
    assert_eq!(ended.code, 0, "{ended:?}");
    assert!(ended.stderr.contains("compiled code is not cached"), "{ended:?}");
    assert!(ended.stderr.contains(&format!("others can write to {}", open.display())), "{ended:?}");
    assert_eq!(std::fs::read_dir(open.join("cache/sheaf/compiled")).expect("there").count(), 0);
}
