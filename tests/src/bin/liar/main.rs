//! The whole program, whose cells can be taken over: one that serves a connection tells the lie that is called
//! `misdeed` in its settings. All others are honest.
//!
//! `serve` takes orders and `guest` is what is asked; both tell each answer by `steps`, which knows the lies that
//! can be told at any. `pages` are handed over, `scopes` come before them, `people` are who is
//! who, and `control` is told unasked.

mod control;
mod guest;
mod pages;
mod people;
mod scopes;
mod serve;
mod steps;

use std::process::ExitCode;

fn main() -> ExitCode {
    if sheaf::cell::is_asked_for() && serve::is_asked_for() {
        return serve::live();
    }
    sheaf::cli::main()
}
