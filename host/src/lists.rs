//! Lists that another process has sent: a few bytes of theirs must not become many of ours.

use std::cell::Cell;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, Deserializer, Error as _, SeqAccess, Visitor};

thread_local! {
    /// Bytes that lists may still take on this thread.
    static LEFT: Cell<usize> = const { Cell::new(usize::MAX) };
}

/// Reads something of so many bytes: the elements of its lists may take sixteen times as much, which leaves room for
/// whatever is not made of empty things.
pub fn within<T>(bytes: usize, read: impl FnOnce() -> T) -> T {
    let before = LEFT.replace(bytes.saturating_mul(16).saturating_add(1 << 20));
    let read = read();
    LEFT.set(before);
    read
}

/// A list, each element of which is counted before the next is read.
pub fn counted<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Vec<T>, D::Error> {
    deserializer.deserialize_seq(Counted(PhantomData))
}

/// The same of lists within a list.
pub fn counted_twice<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Vec<Vec<T>>, D::Error> {
    let lists: Vec<List<T>> = counted(deserializer)?;
    Ok(lists.into_iter().map(|List(list)| list).collect())
}

/// One that comes alone.
pub struct List<T>(pub Vec<T>);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for List<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        counted(deserializer).map(Self)
    }
}

struct Counted<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for Counted<T> {
    type Value = Vec<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Vec<T>, A::Error> {
        let mut list = Vec::new();
        while let Some(element) = elements.next_element()? {
            let left = LEFT.get().checked_sub(size_of::<T>());
            let left = left.ok_or_else(|| A::Error::custom("a list with too many elements"))?;
            LEFT.set(left);
            list.push(element);
        }
        Ok(list)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(serde::Deserialize)]
    struct Lists(#[serde(deserialize_with = "counted")] Vec<[String; 4]>);

    #[test]
    fn a_list_of_empty_things_is_not_read_to_its_end() {
        let read = |text: &str| {
            within(text.len(), || serde_json::from_str::<Lists>(text)).map(|Lists(it)| it.len())
        };
        let honest = format!(
            "[{}]",
            vec![r#"["some text","some text","some text","some text"]"#; 9_000].join(",")
        );
        assert_eq!(read(&honest).ok(), Some(9_000));
        let empty = format!("[{}]", vec![r#"["","","",""]"#; 90_000].join(","));
        assert!(read(&empty).is_err());
        assert_eq!(serde_json::from_str(&empty).map(|Lists(it)| it.len()).ok(), Some(90_000));
    }
}
