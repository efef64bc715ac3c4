//! What a component is made of, counted before wasmtime reads it: its compiler takes as much memory as there are
//! functions, and an instance as much as there are globals, whatever a guest's limit is.

use wasmparser::{
    BinaryReader, ComponentAlias, ComponentExternalKind, ComponentInstance,
    ComponentOuterAliasKind, ComponentTypeRef, Encoding, Instance, Parser, Payload, SectionLimited,
};

use super::nesting::{self, DEEPEST};
use crate::failure::{Failure, Kind, Result};
use crate::text::{bounded, grouped};

/// What is counted, over all modules and components together.
#[derive(Clone, Copy)]
enum Part {
    Functions,
    Globals,
    Memories,
    Tables,
    Types,
    ImportsAndExports,
    Segments,
    Modules,
    Instances,
}

/// How much there may be of each. Interpreters of Python and JavaScript have 14,000 functions, 900 globals, one
/// memory, two tables, 10,000 segments, 14 modules and 90 instances.
const MOST: [(&str, u64); 9] = [
    ("functions", 100_000),
    ("globals", 20_000),
    ("memories", 100),
    ("tables", 400),
    ("types", 100_000),
    ("imports and exports", 200_000),
    ("segments", 100_000),
    ("modules and components", 1_000),
    ("instances", 2_000),
];

/// The same of everything in all instances: a component may start others again and again, each of which does.
/// The interpreters come to 40,000.
const MOST_IN_INSTANCES: u64 = 1_000_000;

/// Bytes that say how the parts of a component fit together; the interpreters have 50,000. Read, they take fifty
/// times as much.
const MOST_WIRING: usize = 4 << 20;

/// Refuses what is damaged, too deep or too much, without going down and before anything is made of it.
pub(super) fn check(component: &[u8]) -> Result<()> {
    let mut outline = Outline::default();
    for payload in Parser::new(0).parse_all(component) {
        let payload = payload.map_err(|error| damaged(&error))?;
        outline.read(component, payload).map_err(Failure::from)?;
    }
    Ok(())
}

/// What is told of a component that cannot be read.
pub(super) fn damaged(error: &wasmparser::Error) -> Failure {
    let error = error.to_string();
    let words: Vec<_> = error.split_whitespace().collect();
    let what = format!("the component is damaged: {}", bounded(words.join(" "), 300));
    Failure::new(Kind::Contract, what).next("build or download it again")
}

/// Why a component is refused.
enum Wrong {
    Damaged(wasmparser::Error),
    Too(String),
}

impl From<wasmparser::Error> for Wrong {
    fn from(error: wasmparser::Error) -> Self {
        Self::Damaged(error)
    }
}

impl From<Wrong> for Failure {
    fn from(wrong: Wrong) -> Self {
        match wrong {
            Wrong::Damaged(error) => damaged(&error),
            Wrong::Too(what) => Self::new(Kind::Contract, format!("the component {what}"))
                .next("no toolchain makes such a component: see who made this one"),
        }
    }
}

/// A module or component that is being read.
#[derive(Default)]
struct Scope {
    is_component: bool,
    /// All that comes with one instance of it.
    comes_with: u64,
    /// The same of each of its modules, by the module's index.
    modules: Vec<u64>,
}

#[derive(Default)]
struct Outline {
    counts: [u64; MOST.len()],
    wiring: usize,
    /// From the file's own component to what is being read.
    scopes: Vec<Scope>,
    /// What comes with the largest module and component that were read to their end.
    largest_module: u64,
    largest_component: u64,
}

impl Outline {
    fn read(&mut self, component: &[u8], payload: Payload<'_>) -> Result<(), Wrong> {
        match payload {
            Payload::Version { encoding, .. } => self.begin(encoding),
            Payload::End(_) => {
                self.end();
                Ok(())
            }
            Payload::FunctionSection(section) => self.count(Part::Functions, &section),
            Payload::GlobalSection(section) => self.count(Part::Globals, &section),
            Payload::MemorySection(section) => self.count(Part::Memories, &section),
            Payload::TableSection(section) => self.count(Part::Tables, &section),
            Payload::TypeSection(section) => self.count(Part::Types, &section),
            Payload::ImportSection(section) => self.count(Part::ImportsAndExports, &section),
            Payload::ExportSection(section) => self.count(Part::ImportsAndExports, &section),
            Payload::ElementSection(section) => self.count(Part::Segments, &section),
            Payload::DataSection(section) => self.count(Part::Segments, &section),
            payload => self.fit(component, payload),
        }
    }

    /// What says how the parts of a component fit together.
    fn fit(&mut self, component: &[u8], payload: Payload<'_>) -> Result<(), Wrong> {
        match payload {
            Payload::ComponentTypeSection(section) => {
                self.wire(&section)?;
                let range = section.range();
                let types = component.get(range.clone()).unwrap_or_default();
                let is_flat = nesting::is_flat(BinaryReader::new(types, range.start))?;
                refuse_if(!is_flat, || format!("has types within types, more than {DEEPEST} deep"))
            }
            Payload::CoreTypeSection(section) => self.wire(&section),
            Payload::ComponentCanonicalSection(section) => self.wire(&section),
            Payload::InstanceSection(section) => {
                self.wire(&section)?;
                self.count(Part::Instances, &section)?;
                section.into_iter().try_for_each(|instance| self.core_instance(&instance?))
            }
            Payload::ComponentInstanceSection(section) => {
                self.wire(&section)?;
                self.count(Part::Instances, &section)?;
                section.into_iter().try_for_each(|instance| match instance? {
                    // Whatever it is, it was read to its end before.
                    ComponentInstance::Instantiate { .. } => self.brings(self.largest_component),
                    ComponentInstance::FromExports(_) => Ok(()),
                })
            }
            Payload::ComponentAliasSection(section) => {
                self.wire(&section)?;
                section.into_iter().try_for_each(|alias| {
                    self.alias(&alias?);
                    Ok(())
                })
            }
            Payload::ComponentImportSection(section) => {
                self.wire(&section)?;
                section.into_iter().try_for_each(|import| {
                    let code = matches!(
                        import?.ty,
                        ComponentTypeRef::Module(_) | ComponentTypeRef::Component(_)
                    );
                    refuse_if(code, || "imports modules or components".into())
                })
            }
            Payload::ComponentExportSection(section) => {
                self.wire(&section)?;
                section.into_iter().try_for_each(|export| {
                    let export = export?;
                    if export.kind == ComponentExternalKind::Module {
                        // It has another index from now on.
                        let again = self.module(0, export.index);
                        self.knows_module(again);
                    }
                    Ok(())
                })
            }
            _ => Ok(()),
        }
    }

    fn begin(&mut self, encoding: Encoding) -> Result<(), Wrong> {
        let is_component = encoding == Encoding::Component;
        self.scopes.push(Scope { is_component, ..Scope::default() });
        let too_deep = self.scopes.len() > DEEPEST;
        refuse_if(too_deep, || {
            format!("has components within components, more than {DEEPEST} deep")
        })?;
        self.add(Part::Modules, 1)
    }

    fn end(&mut self) {
        let Some(Scope { is_component, comes_with, .. }) = self.scopes.pop() else { return };
        if is_component {
            self.largest_component = self.largest_component.max(comes_with);
        } else {
            self.largest_module = self.largest_module.max(comes_with);
            self.knows_module(comes_with);
        }
    }

    fn count<T>(&mut self, part: Part, section: &SectionLimited<'_, T>) -> Result<(), Wrong> {
        self.add(part, section.count().into())
    }

    fn add(&mut self, part: Part, count: u64) -> Result<(), Wrong> {
        let (name, most) = MOST[part as usize];
        let all = &mut self.counts[part as usize];
        *all = all.saturating_add(count);
        let all = *all;
        refuse_if(all > most, || {
            format!("has {} {name}, and {} are the most", grouped(all), grouped(most))
        })?;
        self.brings(count)
    }

    /// So much more comes with an instance of what is being read.
    fn brings(&mut self, more: u64) -> Result<(), Wrong> {
        let Some(scope) = self.scopes.last_mut() else { return Ok(()) };
        scope.comes_with = scope.comes_with.saturating_add(more);
        let too_much = scope.comes_with > MOST_IN_INSTANCES;
        refuse_if(too_much, || {
            let most = grouped(MOST_IN_INSTANCES);
            format!("starts its modules so often that they have more than {most} parts in all")
        })
    }

    fn wire<T>(&mut self, section: &SectionLimited<'_, T>) -> Result<(), Wrong> {
        self.wiring = self.wiring.saturating_add(section.range().len());
        let too_much = self.wiring > MOST_WIRING;
        refuse_if(too_much, || "takes more than 4 MiB to say how its parts fit together".into())?;
        self.brings(section.count().into())
    }

    fn core_instance(&mut self, instance: &Instance<'_>) -> Result<(), Wrong> {
        match instance {
            Instance::Instantiate { module_index, .. } => {
                self.brings(self.module(0, *module_index).saturating_add(1))
            }
            Instance::FromExports(_) => Ok(()),
        }
    }

    fn alias(&mut self, alias: &ComponentAlias<'_>) {
        match alias {
            ComponentAlias::Outer { kind: ComponentOuterAliasKind::CoreModule, count, index } => {
                self.knows_module(self.module(*count, *index));
            }
            ComponentAlias::InstanceExport { kind: ComponentExternalKind::Module, .. } => {
                self.knows_module(self.largest_module);
            }
            _ => {}
        }
    }

    /// The component that is being read has one more module.
    fn knows_module(&mut self, comes_with: u64) {
        if let Some(scope) = self.scopes.last_mut() {
            scope.modules.push(comes_with);
        }
    }

    /// What comes with a module of a component that is so many further out. One that is not there makes the
    /// component invalid, which wasmtime finds.
    fn module(&self, outer: u32, index: u32) -> u64 {
        let (outer, index) = (outer as usize, index as usize);
        let scope =
            self.scopes.len().checked_sub(outer.saturating_add(1)).map(|at| &self.scopes[at]);
        scope.and_then(|scope| scope.modules.get(index)).copied().unwrap_or(self.largest_module)
    }
}

fn refuse_if(wrong: bool, what: impl FnOnce() -> String) -> Result<(), Wrong> {
    if wrong { Err(Wrong::Too(what())) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(component: &[u8]) -> String {
        check(component).expect_err("refused").what
    }

    fn component(text: &str) -> Vec<u8> {
        wat::parse_str(format!("(component $root {text})")).expect("a component")
    }

    /// A section, and the length before it.
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

    /// Types within types, in a section of its own.
    fn deep_types(depth: usize) -> Vec<u8> {
        let types = [&[1][..], &[0x42, 0x01, 0x01].repeat(depth), &[0x42, 0x00]].concat();
        section(7, &types)
    }

    const EMPTY: &[u8] = b"\0asm\x0d\0\x01\0";

    #[test]
    fn what_is_nested_too_deep_is_refused_wherever_it_stands() {
        let deep = [EMPTY, &deep_types(3_000)].concat();
        assert_eq!(refused(&deep), "the component has types within types, more than 30 deep");
        assert!(refused(&[EMPTY, &section(4, &deep)].concat()).contains("types within types"));
        let mut within = EMPTY.to_vec();
        for _ in 0..100 {
            within = [EMPTY, &section(4, &within)].concat();
        }
        let what = "the component has components within components, more than 30 deep";
        assert_eq!(refused(&within), what);
        assert!(check(&[EMPTY, &deep_types(3)].concat()).is_ok());
    }

    #[test]
    fn what_is_too_much_is_counted_over_all_modules() {
        let many = |what: &str, count: usize| what.repeat(count);
        for (text, part) in [
            (many("(global i32 (i32.const 0))", 10_001), "20,002 globals, and 20,000 are"),
            (many("(func)", 50_001), "100,002 functions, and 100,000 are"),
            (many("(memory 1)", 51), "102 memories, and 100 are"),
            (many("(table 1 funcref)", 201), "402 tables, and 400 are"),
        ] {
            let once = component(&format!("(core module {text})"));
            assert!(check(&once).is_ok(), "{part}");
            let twice = component(&format!("(core module {text}) (core module {text})"));
            assert!(refused(&twice).contains(part), "{}", refused(&twice));
        }
        let most = "(core instance (instantiate $m))".repeat(2_001);
        assert!(refused(&component(&format!("(core module $m) {most}"))).contains("instances"));
    }

    #[test]
    fn what_is_started_again_and_again_is_counted_each_time() {
        // Each starts the one before it ten times.
        let mut text =
            "(component $c0 (core module $m (func)) (core instance (instantiate $m)))".to_owned();
        for level in 1..8 {
            let below = level - 1;
            let ten = "(instance (instantiate $below))".repeat(10);
            text.push_str(&format!(
                "(component $c{level} (alias outer $root $c{below} (component $below)) {ten})"
            ));
        }
        assert!(refused(&component(&text)).contains("more than 1,000,000 parts"));
        // A large module, started often; the component gets at it in each way that there is.
        let large = format!("(core module $m {})", "(func)".repeat(2_000));
        let often = "(core instance (instantiate $m))".repeat(600);
        for text in [
            format!("{large} {often}"),
            format!("{large} (component (alias outer $root $m (core module $m)) {often})"),
            format!(
                "(component $c {large} (export \"m\" (core module $m))) (instance $i (instantiate $c))
                 (alias export $i \"m\" (core module $m)) {often}"
            ),
        ] {
            assert!(refused(&component(&text)).contains("more than 1,000,000 parts"), "{text:.200}");
        }
        let imported = component("(component (import \"c\" (component)))");
        assert!(refused(&imported).contains("imports modules or components"));
    }
}
