//! What every route has.

use std::sync::Arc;

use axum::extract::State;

use super::look::Observer;
use super::settings::Settings;

pub(super) struct Served {
    pub(super) observer: Observer,
    pub(super) settings: Settings,
}

pub(super) type Shared = State<Arc<Served>>;
