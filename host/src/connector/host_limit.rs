//! Which limit on what a guest uses of the host is behind an error of wasmtime's.

use wasmtime::component::ResourceTableError;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HostLimit {
    /// Bytes that one call may hand over.
    HandedOver,
    /// Handles that are open at once: the guest's own, or the host's behind them.
    Handles,
}

/// Wasmtime has no public type for these two, so that only their texts tell. It counts what is handed over
/// since bytecodealliance/wasmtime#12652, and handles for #11552; neither asks for a type, nor does any
/// other issue that was found. The tests below bring about the real errors.
const TEXTS: [(&str, HostLimit); 2] = [
    ("fuel allocated for hostcalls has been exhausted", HostLimit::HandedOver),
    ("store handle limit exceeded", HostLimit::Handles),
];

impl HostLimit {
    pub(super) fn behind(error: &wasmtime::Error) -> Option<Self> {
        if let Some(ResourceTableError::Full) = error.downcast_ref() {
            return Some(Self::Handles);
        }
        let cause = error.root_cause().to_string();
        TEXTS.iter().find(|(text, _)| cause.contains(text)).map(|(_, limit)| *limit)
    }
}

#[cfg(test)]
mod tests {
    use wasmtime::component::{Component, Linker, ResourceTable};
    use wasmtime::{Engine, Store};

    use super::*;

    fn component(text: &str) -> Component {
        let bytes = wat::parse_str(text).expect("a component");
        Component::new(&Engine::default(), bytes).expect("compiles")
    }

    #[test]
    fn a_store_that_hands_out_no_more_handles_is_told_from_other_traps() {
        // It makes two handles while it is started.
        let component = component(
            r#"(component
                (type $thing (resource (rep i32)))
                (core func $new (canon resource.new $thing))
                (core module $twice
                    (import "" "new" (func $new (param i32) (result i32)))
                    (func $start (drop (call $new (i32.const 1))) (drop (call $new (i32.const 2))))
                    (start $start))
                (core instance (instantiate $twice
                    (with "" (instance (export "new" (func $new)))))))"#,
        );
        let error = |most| {
            let mut store = Store::new(component.engine(), ());
            store.set_max_component_handles(most);
            Linker::new(component.engine()).instantiate(&mut store, &component).err()
        };
        let told = error(1).map(|error| HostLimit::behind(&error));
        assert_eq!(told, Some(Some(HostLimit::Handles)));
        assert!(error(2).is_none(), "it may have two");
    }

    #[test]
    fn a_table_of_the_hosts_that_is_full_is_told_from_other_errors() {
        let mut table = ResourceTable::new();
        table.set_max_capacity(1);
        let first = table.push(()).expect("room");
        let full = wasmtime::Error::from(table.push(()).expect_err("full"));
        assert_eq!(HostLimit::behind(&full.context("in a call")), Some(HostLimit::Handles));
        table.delete(first).expect("there");
        let other = table.delete(wasmtime::component::Resource::<()>::new_own(7));
        assert_eq!(HostLimit::behind(&other.expect_err("not there").into()), None);
    }

    #[test]
    fn too_much_that_is_handed_over_is_told_from_other_traps() {
        // It hands over a text of a thousand bytes.
        let component = component(
            r#"(component
                (core module $text
                    (memory (export "memory") 1)
                    (func (export "text") (result i32)
                        (i32.store (i32.const 0) (i32.const 8))
                        (i32.store (i32.const 4) (i32.const 1000))
                        (i32.const 0)))
                (core instance $inner (instantiate $text))
                (func (export "text") (result string)
                    (canon lift (core func $inner "text") (memory $inner "memory"))))"#,
        );
        let call = |fuel| {
            let mut store = Store::new(component.engine(), ());
            store.set_hostcall_fuel(fuel);
            let linker = Linker::new(component.engine());
            let instance = linker.instantiate(&mut store, &component).expect("started");
            let text = instance.get_typed_func::<(), (String,)>(&mut store, "text");
            text.expect("a function").call(&mut store, ())
        };
        let error = call(100).expect_err("too much");
        assert_eq!(HostLimit::behind(&error), Some(HostLimit::HandedOver));
        assert_eq!(call(100_000).expect("a text").0.len(), 1000);
    }

    #[test]
    fn what_is_none_of_these_is_not_taken_for_one() {
        assert_eq!(HostLimit::behind(&wasmtime::Trap::StackOverflow.into()), None);
        assert_eq!(HostLimit::behind(&wasmtime::Error::msg("no page 7")), None);
    }
}
