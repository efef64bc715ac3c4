//! What a cell is started for.

use serde::{Deserialize, Serialize};

use crate::cell::walls::Most;
use crate::connector::{Description, Grants, Inspection, Unloaded};
use crate::sandbox::folders::FolderGrant;

/// What a cell is to do; it does one thing, and ends.
#[derive(Debug, Serialize, Deserialize)]
pub enum Job {
    /// Compile a component. Beside it lies the component's file, and one that the code goes into.
    Compile { most: Most, guarded: bool },
    /// Say what a component is. Beside it lies the component's file, and that of its code.
    Describe { most: Most, guarded: bool },
    /// Run the guests of a connection. Beside it lies the file of its connector's code.
    Serve { most: Most, serving: Box<Serving> },
    /// Try what a guest would that had got out of its sandbox, where it may read these folders.
    Probe { most: Most, port: u16, folders: Vec<FolderGrant> },
}

impl Job {
    pub fn most(&self) -> Most {
        match self {
            Self::Compile { most, .. }
            | Self::Describe { most, .. }
            | Self::Serve { most, .. }
            | Self::Probe { most, .. } => *most,
        }
    }

    /// Folders that it reads.
    pub fn folders(&self) -> &[FolderGrant] {
        match self {
            Self::Serve { serving, .. } => &serving.grants.folders,
            Self::Probe { folders, .. } => folders,
            _ => &[],
        }
    }
}

/// What came of a component.
#[derive(Debug, Serialize, Deserialize)]
pub enum Said {
    /// The file of code holds all of it.
    Compiled,
    Connector {
        inspection: Inspection,
        description: Description,
    },
    /// The file of code holds none that this program can run.
    NoCode,
    Not(Unloaded),
}

/// How guests are run.
#[derive(Debug, Serialize, Deserialize)]
pub struct Serving {
    pub grants: Grants,
    pub guarded: bool,
    /// Log lines that are told: the most verbose of them.
    pub level: String,
    /// Whether what becomes of requests is told.
    pub traced: bool,
}
