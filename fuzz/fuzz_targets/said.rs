#![cfg_attr(fuzzing, no_main)]

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    sheaf_fuzz::said(bytes);
});

#[cfg(not(fuzzing))]
fn main() {}
