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

    #[test]
    fn a_list_of_empty_things_is_not_read_to_its_end() {
        let read = |text: &str, count: usize| {
            let sent = postcard::to_stdvec(&vec![text; count]).expect("it can be sent");
            let read = within(sent.len(), || postcard::from_bytes::<List<String>>(&sent));
            read.map(|List(read)| read.len()).ok()
        };
        assert_eq!(read("g12", 2_000_000), Some(2_000_000));
        assert_eq!(read("", 10_000), Some(10_000), "a few do no harm");
        assert_eq!(read("", 2_000_000), None);
        // Nobody counts where nobody has said how much there is.
        let sent = postcard::to_stdvec(&vec![""; 2_000_000]).expect("it can be sent");
        assert!(postcard::from_bytes::<List<String>>(&sent).is_ok());
    }
}
