//! A short run of each target, the same each time: its seeds, and seeds changed at random.
//! `SHEAF_FUZZ=1000000` makes more of them, from the same seed of the generator.

use std::panic;
use std::path::Path;

/// Numbers that look random and are the same everywhere (xorshift64*).
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let number = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d);
        usize::try_from(number >> 33).expect("31 bits") % bound.max(1)
    }

    /// A part of some bytes.
    fn part<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        let from = self.below(bytes.len() + 1);
        &bytes[from..from + self.below((bytes.len() - from).min(32) + 1)]
    }

    fn byte(&mut self) -> u8 {
        u8::try_from(self.below(256)).expect("a byte")
    }
}

/// A seed with some changes; `other` is another seed, whose parts may find their way into it.
fn changed(seed: &[u8], other: &[u8], random: &mut Random) -> Vec<u8> {
    let mut bytes = seed.to_vec();
    for _ in 0..=random.below(4) {
        let at = random.below(bytes.len() + 1);
        let to = at + random.below((bytes.len() - at).min(16) + 1);
        let put = match random.below(7) {
            0 => Vec::new(),
            1 => vec![random.byte()],
            2 => bytes.get(at).map(|byte| byte ^ (1 << random.below(8))).into_iter().collect(),
            3 => bytes[at..to].repeat(2),
            4 => vec![[0, 0xff, 0x7f, b'.', b'{', b'['][random.below(6)]; 1 + random.below(4)],
            _ => random.part(other).to_vec(),
        };
        // In the place of as many bytes, so that lengths stay right; or of more, or of none.
        let to = match random.below(3) {
            0 => (at + put.len()).min(bytes.len()),
            1 => at,
            _ => to,
        };
        bytes.splice(at..to, put);
    }
    if random.below(16) == 0 {
        bytes.truncate(random.below(bytes.len()));
    }
    bytes
}

fn seeds(name: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(name);
    let files = std::fs::read_dir(folder).expect("a folder of seeds").flatten();
    let mut paths: Vec<_> = files.map(|file| file.path()).collect();
    paths.sort();
    paths.iter().map(|path| std::fs::read(path).expect("a seed")).collect()
}

fn run(name: &str, target: fn(&[u8]) -> bool) {
    let count = std::env::var("SHEAF_FUZZ").ok().and_then(|text| text.parse().ok());
    let count: usize = count.unwrap_or(5_000);
    let tried = |bytes: &[u8]| {
        panic::catch_unwind(|| target(bytes)).unwrap_or_else(|_| {
            panic!("{name}: put this among the seeds: b\"{}\"", bytes.escape_ascii())
        })
    };
    let seeds = seeds(name);
    let read = seeds.iter().filter(|seed| tried(seed)).count();
    assert!(read > seeds.len() / 2, "{read} of the {} seeds of {name} are read", seeds.len());
    let mut random = Random(0x5eaf);
    let mut read = 0;
    for _ in 0..count {
        let [seed, other] = [(); 2].map(|()| &seeds[random.below(seeds.len())]);
        read += usize::from(tried(&changed(seed, other, &mut random)));
    }
    eprintln!("{count} inputs for {name}, of which {read} were read");
    assert!(read > count / 20 && read < count, "{read} of {count} for {name}");
}

#[test]
fn records_changed_at_random_are_refused_or_read_again_as_they_are() {
    run("record", crate::record);
}

#[test]
fn journals_changed_at_random_lose_no_byte_before_the_change() {
    run("frames", crate::frames);
}

#[test]
fn urls_changed_at_random_are_refused_or_granted_as_they_are_shown() {
    run("url", crate::url);
}

#[test]
fn patterns_of_hosts_changed_at_random_grant_what_they_show() {
    run("host", crate::host);
}

#[test]
fn templates_changed_at_random_are_refused_or_filled() {
    run("template", crate::template);
}

#[test]
fn what_a_cell_says_changed_at_random_is_read_or_refused() {
    run("said", crate::said);
}

#[test]
fn batches_changed_at_random_are_believed_if_they_are_documents_of_their_datasource() {
    run("batch", crate::batch);
}

#[test]
fn documents_changed_at_random_are_written_as_serde_json_writes_them() {
    run("document", crate::document);
}
