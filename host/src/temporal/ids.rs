//! What workflows and schedules are called.
//!
//! Several deployments may share a namespace, each with a task queue of its own; so the ids carry the
//! task queue. That of a `sheaf.toml` that names none is left out. An earlier version left out every
//! one: such ids are looked at too, and what is found is believed only after its task queue was read.

use super::settings::TASK_QUEUE;

/// A connection's crawl: one id a connection, so that Temporal itself keeps two crawls apart.
pub fn crawl(connection: &str, task_queue: &str) -> String {
    on(format!("sheaf-{connection}"), task_queue)
}

/// What waits for a person's word on a connection's deletions.
pub fn approval(connection: &str, task_queue: &str) -> String {
    on(format!("sheaf-{connection}.approval"), task_queue)
}

/// A connection's crawl of users and groups.
pub fn identities(connection: &str, task_queue: &str) -> String {
    on(format!("sheaf-{connection}.identities"), task_queue)
}

/// What a full crawl of a connection would do.
pub fn forecast(connection: &str, task_queue: &str) -> String {
    on(format!("sheaf-{connection}.plan"), task_queue)
}

/// The crawls of many connections.
pub fn all(task_queue: &str) -> String {
    on("sheaf.all".into(), task_queue)
}

pub fn schedule(connection: &str, schedule: &str, task_queue: &str) -> String {
    on(format!("sheaf-{connection}.{schedule}"), task_queue)
}

/// No connection or schedule has a dot or an `@` in its name.
fn on(id: String, task_queue: &str) -> String {
    if task_queue.is_empty() || task_queue == TASK_QUEUE {
        id
    } else {
        format!("{id}@{task_queue}")
    }
}

/// An id as an earlier version gave it.
pub fn earlier(id: &str) -> &str {
    id.split_once('@').map_or(id, |(id, _)| id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_task_queue_has_ids_of_its_own() {
        assert_eq!(crawl("docs", TASK_QUEUE), "sheaf-docs");
        assert_eq!(approval("docs", "staging"), "sheaf-docs.approval@staging");
        assert_eq!(all("a@b"), "sheaf.all@a@b");
        assert_eq!(schedule("docs", "full", "staging"), "sheaf-docs.full@staging");
        assert_eq!(earlier(&schedule("docs", "full", "a@b")), "sheaf-docs.full");
    }
}
