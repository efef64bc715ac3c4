//! Components that were changed at random: each is refused in one sentence, or runs in its sandbox.
//! `SHEAF_FUZZ=100000` makes more of them, from the same seed.

use std::path::PathBuf;

use sheaf::cell::{Candidate, Loader, Program};
use sheaf_tests::{binary, guest};

/// A generator of the test's own, so that a seed means the same everywhere (xorshift64*).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, most: usize) -> usize {
        usize::try_from(self.next() % most.max(1) as u64).expect("below")
    }
}

/// Changed bytes, lost ones, doubled ones, an end that is missing.
fn mutated(original: &[u8], random: &mut Random) -> Vec<u8> {
    let mut bytes = original.to_vec();
    // The structure is at the beginning of each section: most changes are made near the file's.
    let near = if random.below(2) == 0 { 4096 } else { bytes.len() };
    for _ in 0..=random.below(8) {
        let at = random.below(near.min(bytes.len()));
        let some = 1 + random.below(64);
        match random.below(6) {
            0 => bytes[at] ^= 1 << random.below(8),
            1 => bytes[at] = u8::try_from(random.below(256)).expect("a byte"),
            2 => bytes.truncate(at.max(9)),
            3 => drop(bytes.drain(at..(at + some).min(bytes.len()))),
            4 => {
                let copied = bytes[at..(at + some).min(bytes.len())].to_vec();
                bytes.splice(at..at, copied);
            }
            // A length that is far too large.
            _ => drop(bytes.splice(at..(at + 1).min(bytes.len()), [0xff, 0xff, 0xff, 0xff, 0x0f])),
        }
        if bytes.is_empty() {
            break;
        }
    }
    bytes
}

#[tokio::test(flavor = "multi_thread")]
async fn a_component_that_was_changed_at_random_is_refused_in_one_sentence() {
    let count = std::env::var("SHEAF_FUZZ").ok().and_then(|text| text.parse().ok());
    let count: usize = count.unwrap_or(300);
    let original = std::fs::read(guest("guest_generator")).expect("a component");
    let cache = tempfile::tempdir().expect("a folder");
    let loader =
        Loader::new(Program::at(binary()), cache.path().join("compiled")).expect("a loader");
    let mut random = Random(0x5eaf);
    let (mut refused, mut ran) = (0, 0);
    for number in 0..count {
        let bytes = mutated(&original, &mut random);
        let candidate = Candidate::of(PathBuf::from(format!("{number}.wasm")), bytes);
        match loader.load(candidate).await {
            Ok(_) => ran += 1,
            Err(failure) => {
                one_sentence(&failure);
                refused += 1;
            }
        }
    }
    eprintln!("{count} changed components: {refused} refused, {ran} ran");
    assert!(refused > count / 4 && ran > 0, "{refused} {ran}");
}

fn one_sentence(failure: &sheaf::failure::Failure) {
    assert!(!failure.what.is_empty() && failure.what.lines().count() == 1, "{failure}");
    assert!(failure.what.len() < 700, "{failure}");
    // Its cell is the second wall, which none of them came to.
    assert!(!failure.what.contains("broke the process"), "{failure}");
    assert!(failure.next.is_some() && failure.at.is_some(), "{failure:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn native_code_in_disguise_is_refused() {
    let cache = tempfile::tempdir().expect("a folder");
    let folder = cache.path().join("compiled");
    let loader = Loader::new(Program::at(binary()), &folder).expect("a loader");
    loader.load_file(&guest("guest_generator")).await.expect("a connector");
    let compiled =
        std::fs::read_dir(&folder).expect("a folder").flatten().next().expect("compiled code");
    let disguised = cache.path().join("connector.wasm");
    std::fs::copy(compiled.path(), &disguised).expect("copied");
    let failure = loader.load_file(&disguised).await.expect_err("refused");
    assert!(failure.what.contains("native code"), "{failure}");
    // With the first bytes of a component before it, it is a damaged one.
    let mut bytes = b"\0asm\x0d\0\x01\0".to_vec();
    bytes.extend(std::fs::read(compiled.path()).expect("read"));
    let candidate = Candidate::of("connector.wasm".into(), bytes);
    let failure = loader.load(candidate).await.expect_err("refused");
    assert!(failure.what.contains("damaged"), "{failure}");
}
