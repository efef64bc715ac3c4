//! What is done with a component: it is compiled, and asked what it is.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::unix::fs::FileExt as _;

use crate::cell::protocol::Said;
use crate::connector::{self, Compiler, Unloaded};
use crate::failure::Failure;

pub(super) fn compile(component: &File, mut code: File, guarded: bool) -> Result<Said, Unloaded> {
    let bytes = read(component)?;
    connector::inspect(&bytes).map_err(Unloaded::Refused)?;
    let compiler = Compiler::new(guarded).map_err(Unloaded::Later)?;
    let compiled = compiler.compile(&bytes)?;
    code.write_all(&compiled).map_err(|error| lost(&error))?;
    Ok(Said::Compiled)
}

pub(super) fn describe(component: &File, code: &File, guarded: bool) -> Result<Said, Unloaded> {
    let inspection = connector::inspect(&read(component)?).map_err(Unloaded::Refused)?;
    let compiler = Compiler::new(guarded).map_err(Unloaded::Later)?;
    let Some(loaded) = compiler.load(&read(code)?)? else { return Ok(Said::NoCode) };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| lost(&error))?;
    let description = runtime.block_on(compiler.describe(&loaded))?;
    Ok(Said::Connector { inspection: inspection.bounded(), description })
}

/// All of a file, from its beginning: others read it from where they are.
pub(super) fn read(file: &File) -> Result<Vec<u8>, Unloaded> {
    // The usual way asks by a call that takes names, too, which a cell may not.
    let length = rustix::fs::fstat(file).map_err(|error| lost(&error.into()))?.st_size;
    let mut bytes = vec![0; usize::try_from(length).unwrap_or_default()];
    file.read_exact_at(&mut bytes, 0).map_err(|error| lost(&error))?;
    Ok(bytes)
}

/// Nothing that the component has to do with.
fn lost(error: &io::Error) -> Unloaded {
    if error.kind() == io::ErrorKind::OutOfMemory {
        return Unloaded::NoMemory;
    }
    Unloaded::Later(Failure::internal(format!("a connector's cell cannot go on: {error}")))
}
