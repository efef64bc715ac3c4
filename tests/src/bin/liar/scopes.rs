//! The scopes that it names.

use sheaf::document::Scope;

pub(crate) fn named(lie: &str) -> Vec<Scope> {
    let scope = |id: String| Scope { title: "All of it".into(), documents: Some(7), id };
    let all = || scope("all".into());
    match lie {
        "scopes-many" => (0..10_001).map(|number| scope(number.to_string())).collect(),
        "scopes-twice" => vec![all(), all()],
        "scopes-long" => vec![scope("x".repeat(1 << 20))],
        "scopes-none" => Vec::new(),
        "scopes-count" => vec![Scope { documents: Some(u64::MAX), ..all() }],
        "scopes-title" => vec![Scope { title: "\u{1b}[2J".repeat(1 << 20), ..all() }],
        _ => vec![all()],
    }
}
