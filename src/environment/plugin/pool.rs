//! The workers of this process: one for each set of settings.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use super::life::State;
use super::shared::lock;
use super::worker::Worker;

/// Workers kept at one time; beyond, those that are not needed go.
const WORKERS_MAX: usize = 64;

/// Every worker of this process. Dropped, their processes are killed.
#[derive(Debug, Default)]
pub struct Plugins {
    workers: Mutex<HashMap<String, Arc<Worker>>>,
}

impl Plugins {
    /// The worker of a key, made when there is none.
    pub fn worker(&self, key: &str, make: impl FnOnce() -> Arc<Worker>) -> Arc<Worker> {
        let mut workers = lock(&self.workers);
        if let Some(worker) = workers.get(key) {
            return Arc::clone(worker);
        }
        if workers.len() >= WORKERS_MAX {
            workers.retain(|_, worker| Arc::strong_count(worker) > 1 || worker.state() != State::Stopped);
        }
        if workers.len() >= WORKERS_MAX
            && let Some(oldest) = workers.iter().min_by_key(|(_, worker)| worker.used_at()).map(|(key, _)| key.clone())
        {
            // Whoever asks it just now holds it until the answer.
            workers.remove(&oldest);
        }
        let worker = make();
        workers.insert(key.to_owned(), Arc::clone(&worker));
        worker
    }

    /// The worker of a key, where there is one.
    pub fn known(&self, key: &str) -> Option<Arc<Worker>> {
        lock(&self.workers).get(key).cloned()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        lock(&self.workers).len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Ends all of them in order, at the same time.
    pub async fn close(&self) {
        let all: Vec<Arc<Worker>> = lock(&self.workers).drain().map(|(_, worker)| worker).collect();
        let ends: Vec<_> = all.into_iter().map(|worker| tokio::spawn(async move { worker.close().await })).collect();
        for end in ends {
            let _panicked = end.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::path::Path;

    use super::*;
    use crate::environment::plugin::process::Launch;

    #[test]
    fn one_for_each_key_and_no_more_than_so_many() {
        let plugins = Plugins::default();
        let launch = || Launch::new(&["p".into()], Path::new("/"), &BTreeMap::new(), "d");
        let make = || Worker::new(launch(), "d", Path::new("/"), Path::new("/no/memory"));
        let first = plugins.worker("0", make);
        assert!(Arc::ptr_eq(&first, &plugins.worker("0", make)));
        for n in 1..3 * WORKERS_MAX {
            plugins.worker(&n.to_string(), make);
        }
        assert!(plugins.len() <= WORKERS_MAX);
        assert!(plugins.known("0").is_some(), "what is in use stays");
    }
}
