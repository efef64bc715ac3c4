//! How an API says where its next page is, and that there is none.

mod pages;
mod place;
mod setting;
mod way;

pub(crate) use pages::Pages;
pub(crate) use place::{Next, Place, Said};
pub(crate) use setting::Paging;
