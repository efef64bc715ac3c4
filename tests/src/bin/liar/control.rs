//! What it tells of its own, before it names its scopes.

use std::io;
use std::thread;

use sheaf::cell::protocol::{Call, Reply, Say, WaitWords};
use sheaf::clock::Timestamp;
use sheaf::sandbox::credentials::Refused;

use crate::serve::Cell;
use crate::steps::{encoded, frame, lie, wait, write};

/// So many lines are without end: nobody reads that many.
const ENDLESS: usize = 100_000;

pub(crate) fn tell(cell: &Cell) -> io::Result<()> {
    let line = |line: String| Say::Log { level: 2, is_guests: true, line };
    let (how, said) = cell.lie.split_once(':').unwrap_or((&cell.lie, ""));
    match how {
        // Lies that can be told at any step, by words that say nothing bad.
        "say" => {
            lie(cell, &cell.control, said, &encoded(&line("a line".into()))?)?;
            // It does not go on before it is found out.
            wait()
        }
        "log-endless" => {
            let say = frame(&encoded(&line("again".into()))?);
            let control = cell.control.try_clone()?;
            thread::spawn(move || (0..ENDLESS).try_for_each(|_| write(&control, &say)));
        }
        "log-large" => {
            let say = frame(&encoded(&line("y".repeat((4 << 20) - 16)))?);
            (0..20).try_for_each(|_| write(&cell.control, &say))?;
        }
        "log-odd" => {
            let text = "\u{1b}[2J\nerror: sheaf is broken".to_owned();
            let say = Say::Log { level: 200, is_guests: false, line: text };
            write(&cell.control, &frame(&encoded(&say)?))?;
        }
        "wait-large" => {
            let why = "z".repeat(1 << 20);
            let since = Timestamp::from_seconds(u64::MAX);
            let say = Say::Waits(Some(WaitWords { why, since }));
            write(&cell.control, &frame(&encoded(&say)?))?;
        }
        _ => {}
    }
    Ok(())
}

/// What came of a call.
pub(crate) fn called(cell: &Cell, what: &str) -> io::Result<String> {
    let (how, about) = what.split_once(' ').unwrap_or((what, ""));
    let name = about.to_owned();
    let call = match how {
        "dial" => Call::Dial { url: about.into() },
        "credential" => Call::Credential { name },
        "forget" => Call::Forget { name, sent: b"a\nb".to_vec(), refused: Refused::Invalid },
        _ => Call::Helped { name },
    };
    write(&cell.control, &frame(&encoded(&Say::Call { number: 7, call })?))?;
    let (number, reply, has_connection) = cell.reply()?;
    Ok(match reply {
        Reply::Dialled(Ok(())) => format!("{number}: dialled"),
        Reply::Dialled(Err(why)) => format!("{number}: {why:?}, {has_connection}"),
        Reply::Credential(Ok(value)) => format!("{number}: {} secret bytes", value.len()),
        Reply::Credential(Err(told)) => format!("{number}: {}", told.of_the_program().what),
        Reply::Forgot(forgot) => format!("{number}: forgot {forgot}"),
        Reply::Noted => format!("{number}: noted"),
        Reply::Certificates(_) => format!("{number}: certificates"),
    })
}

/// Calls whose replies, which are large, nobody reads.
pub(crate) fn unread(cell: &Cell) -> io::Result<()> {
    loop {
        let call = Say::Call { number: 0, call: Call::Certificates };
        write(&cell.control, &frame(&encoded(&call)?))?;
    }
}
