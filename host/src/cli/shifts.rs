//! Which groups get others, in words: who comes in, and who goes.

use crate::crawl::identities::{Few, GroupShift, GroupShifts, Objection};
use crate::text::{count, grouped, one_line};

/// So many groups of a kind are named, and of each so many names; with `-v` as many as are kept.
const GROUPS: usize = 5;
const NAMES: usize = 3;

/// Lines behind a plan, first of the groups that get wider.
pub(super) fn of_all(shifts: &GroupShifts, verbose: u8) -> String {
    let mut text = String::new();
    for (kind, what) in [
        (&shifts.wider, "wider"),
        (&shifts.both, "wider and narrower"),
        (&shifts.narrower, "narrower"),
    ] {
        if kind.count > 0 {
            let verb = if kind.count == 1 { "gets" } else { "get" };
            text.push_str(&format!("\n    {} {verb} {what}", count(kind.count, "group")));
            text.push_str(&lines(&kind.samples, kind.count, "\n      ", verbose));
        }
    }
    text
}

/// Lines behind what is held: whose names it does not have.
pub(super) fn of_held(objection: &Objection, before: &str, verbose: u8) -> String {
    match objection.groups.as_slice() {
        // Who goes is named already.
        [one] if one.comes_in.count == 0 => String::new(),
        groups => lines(groups, groups.len() as u64, before, verbose),
    }
}

fn lines(groups: &[GroupShift], of: u64, before: &str, verbose: u8) -> String {
    let most = if verbose > 0 { usize::MAX } else { GROUPS };
    let mut text = String::new();
    for one in groups.iter().take(most) {
        text.push_str(before);
        text.push_str(&line(one, verbose));
    }
    let more = of.saturating_sub(groups.len().min(most) as u64);
    if more > 0 {
        text.push_str(&format!("{before}… and {} more", grouped(more)));
    }
    text
}

/// `staff: ann@example.com comes in, bob@example.com and 3 more go`.
fn line(shift: &GroupShift, verbose: u8) -> String {
    let GroupShift { group, comes_in, goes } = shift;
    let parts = [(comes_in, "comes in", "come in"), (goes, "goes", "go")];
    let parts: Vec<_> = parts
        .into_iter()
        .filter(|(few, ..)| few.count > 0)
        .map(|(few, one, several)| {
            format!("{} {}", names(few, verbose), if few.count == 1 { one } else { several })
        })
        .collect();
    one_line(&format!("{group}: {}", parts.join(", "))).into_owned()
}

fn names(few: &Few, verbose: u8) -> String {
    let shown = if verbose > 0 { few.names.len() } else { few.names.len().min(NAMES) };
    let named = &few.names[..shown];
    let more = few.count.saturating_sub(shown as u64);
    match (named.split_last(), more) {
        (Some((last, [])), 0) => last.clone(),
        (Some((last, others)), 0) => format!("{} and {last}", others.join(", ")),
        _ => format!("{} and {} more", named.join(", "), grouped(more)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_comes_in_and_who_goes_is_named_as_far_as_it_may_be() {
        let few = |names: &[&str], count| Few {
            count,
            names: names.iter().map(|name| (*name).to_owned()).collect(),
        };
        let shift = |comes_in, goes| GroupShift { group: "staff".into(), comes_in, goes };
        for (comes_in, goes, text) in [
            (few(&["ann@x"], 1), few(&["bob@x"], 1), "staff: ann@x comes in, bob@x goes"),
            (
                few(&["ann@x", "the group hr"], 2),
                few(&[], 0),
                "staff: ann@x and the group hr come in",
            ),
            (few(&[], 0), few(&["a", "b", "c", "d"], 9), "staff: a, b, c and 6 more go"),
        ] {
            assert_eq!(line(&shift(comes_in, goes), 0), text);
        }
    }
}
