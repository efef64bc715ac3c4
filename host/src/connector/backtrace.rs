//! Where a guest was when it ended. Its names are its author's: they are shown as they are, and cut. To take them
//! apart as C++ does, or to look up lines in debug information, can take gigabytes of a stranger's making.

use wasmtime::WasmBacktrace;

use crate::text::bounded_str;

/// So much of a function's name is looked at.
const MOST_READ: usize = 400;
/// So much of it is shown.
const MOST_SHOWN: usize = 150;

/// The functions that a guest was in, the innermost first, and what ended it.
pub(super) fn told(error: &wasmtime::Error) -> String {
    let cause = error.root_cause().to_string();
    let mut told = bounded_str(&cause, 1_000).to_owned();
    let Some(backtrace) = error.downcast_ref::<WasmBacktrace>() else { return told };
    told.push_str("\n\nwasm backtrace:");
    for (number, frame) in backtrace.frames().iter().enumerate() {
        let module = frame.module().name().map_or_else(|| "<unknown>".to_owned(), plain);
        let function = match frame.func_name() {
            Some(name) => readable(name),
            None => format!("<function {}>", frame.func_index()),
        };
        let offset = frame.module_offset().unwrap_or_default();
        told.push_str(&format!("\n  {number:>3}: {offset:#8x} - {module}!{function}"));
    }
    told
}

/// A name on one line, whatever its author put into it.
fn plain(name: &str) -> String {
    let shown = bounded_str(name, MOST_SHOWN);
    let mut plain: String = shown.chars().map(|c| if c.is_control() { '?' } else { c }).collect();
    if shown.len() < name.len() {
        plain.push('…');
    }
    plain
}

/// A name of Rust's in the way that people write it, and any other as it is.
fn readable(name: &str) -> String {
    plain(&path(bounded_str(name, MOST_READ)).unwrap_or_else(|| name.to_owned()))
}

/// `core::panicking::panic` of `_ZN4core9panicking5panic17h0123456789abcdefE`: words with their lengths before
/// them, and a hash.
fn path(name: &str) -> Option<String> {
    let mut rest = name.strip_prefix("_ZN")?;
    let mut words = Vec::new();
    while !rest.starts_with('E') {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let length: usize = rest[..digits].parse().ok()?;
        words.push(rest.get(digits..digits.checked_add(length)?)?);
        rest = &rest[digits + length..];
    }
    let is_hash = |word: &&str| word.len() == 17 && word.starts_with('h');
    words.pop().filter(is_hash)?;
    let mut path = words.join("::").replace("..", "::");
    for (escaped, letter) in [
        ("$LT$", "<"),
        ("$GT$", ">"),
        ("$RF$", "&"),
        ("$BP$", "*"),
        ("$C$", ","),
        ("$LP$", "("),
        ("$RP$", ")"),
        ("$u20$", " "),
        ("$u7b$", "{"),
        ("$u7d$", "}"),
        ("$u5b$", "["),
        ("$u5d$", "]"),
        ("_<", "<"),
    ] {
        path = path.replace(escaped, letter);
    }
    Some(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_rust_are_read_and_others_are_shown_as_they_are() {
        for (name, shown) in [
            ("_ZN4core9panicking5panic17h0123456789abcdefE", "core::panicking::panic"),
            (
                "_ZN65_$LT$guest_odd..Pages$u20$as$u20$sheaf_sdk..connector..Cursor$GT$4next17hceca4e472e8988deE",
                "<guest_odd::Pages as sheaf_sdk::connector::Cursor>::next",
            ),
            ("_ZN4core9panicking5panicE", "_ZN4core9panicking5panicE"),
            ("_ZN99core17h0123456789abcdefE", "_ZN99core17h0123456789abcdefE"),
            ("_ZN99999999999999999999core", "_ZN99999999999999999999core"),
            ("_ZN4core", "_ZN4core"),
            ("_ZN3ü17h0123456789abcdefE", "_ZN3ü17h0123456789abcdefE"),
            ("_ZN1üE", "_ZN1üE"),
            ("_PyEval_EvalFrame", "_PyEval_EvalFrame"),
            ("two\nlines\u{1b}[2J", "two?lines?[2J"),
        ] {
            assert_eq!(readable(name), shown);
        }
        assert_eq!(readable(&"x".repeat(100_000)).chars().count(), MOST_SHOWN + 1);
        let long = format!("_ZN{}17h0123456789abcdefE", "4core".repeat(50));
        assert!(readable(&long).starts_with("core::core::"));
    }

    /// What C++ makes of such a name doubles with each of its pairs: one of 324 bytes took 8 GiB.
    #[test]
    fn a_trap_is_told_by_names_as_they_are() {
        let pairs = ('1'..='9').chain('A'..='R').map(|last| format!("S0_IS{last}_S{last}_E"));
        let name = format!("_Z1f1A1PIS_S_E{}", pairs.collect::<String>());
        let text = format!("(module (func ${name} (export \"f\") unreachable))");
        let bytes = wat::parse_str(text).expect("a module");
        let engine = wasmtime::Engine::default();
        let module = wasmtime::Module::new(&engine, bytes).expect("compiles");
        let mut store = wasmtime::Store::new(&engine, ());
        let instance = wasmtime::Instance::new(&mut store, &module, &[]).expect("started");
        let function = instance.get_typed_func::<(), ()>(&mut store, "f").expect("a function");
        let error = function.call(&mut store, ()).expect_err("a trap");
        let told = told(&error);
        assert!(told.starts_with("wasm trap: wasm `unreachable`"), "{told}");
        assert!(told.contains("wasm backtrace:\n    0: "), "{told}");
        assert!(told.ends_with(&format!("!{}…", &name[..MOST_SHOWN])), "{told}");
        // Whoever else prints the error does not take its names apart.
        assert!(format!("{error:?}").contains(&name), "{error:?}");
    }
}
