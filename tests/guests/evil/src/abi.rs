//! Lies about what lies where in memory, and misdeeds before there are settings.

#![allow(unsafe_code)]

use sheaf_sdk::{Document, Page};

/// A test writes the name of a misdeed over the dots, in the file.
static AT_START: [u8; 48] = *b"misdeed-at-start:...............................";

pub(crate) fn at_start() -> String {
    // SAFETY: it reads a static. Volatile, because the file is changed after it was compiled.
    let bytes = unsafe { std::ptr::read_volatile(&raw const AT_START) };
    String::from_utf8_lossy(&bytes["misdeed-at-start:".len()..]).trim_matches('.').to_owned()
}

/// Runs before anything else of the component.
extern "C" fn start() {
    if at_start() == "abort-in-start-up" {
        std::process::abort();
    }
}

#[used]
#[unsafe(link_section = ".init_array")]
static START: extern "C" fn() = start;

/// A title that claims to have a gigabyte.
pub(crate) fn long_title(mut document: Document) -> Document {
    let mut text = String::from("short");
    // SAFETY: none; the host is to find out. The text is never read or freed by this guest.
    document.title = Some(unsafe { String::from_raw_parts(text.as_mut_ptr(), 1 << 30, 1 << 30) });
    std::mem::forget(text);
    document
}

/// A title that is no UTF-8.
pub(crate) fn broken_title(mut document: Document) -> Document {
    // SAFETY: none; the host is to find out.
    document.title = Some(unsafe { String::from_utf8_unchecked(vec![0xff, 0xfe, 0xc0]) });
    document
}

/// A page whose list of documents goes on past the end of memory.
pub(crate) fn long_list(document: Document) -> Page {
    let mut documents = vec![document];
    let pointer = documents.as_mut_ptr();
    std::mem::forget(documents);
    // SAFETY: none; the host is to find out.
    let documents = unsafe { Vec::from_raw_parts(pointer, 10_000_000, 10_000_000) };
    Page::complete(documents, None)
}
