//! Ports that services of this reign are promised: the kernel knows of a port only while somebody listens.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

static CLAIMED: Mutex<BTreeMap<u16, String>> = Mutex::new(BTreeMap::new());

/// A port that no other service of this process is given while this is held, whether somebody listens on it or not.
#[derive(Debug)]
pub struct Claim {
    port: u16,
}

impl Claim {
    /// Claims a port for `who`; the error says who has it.
    pub fn take(port: u16, who: &str) -> Result<Self, String> {
        let mut claimed = table();
        if let Some(other) = claimed.get(&port) {
            return Err(format!("{other} of wharf, which was given it and does not listen at this moment"));
        }
        claimed.insert(port, who.to_owned());
        Ok(Self { port })
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.port
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        table().remove(&self.port);
    }
}

fn table() -> MutexGuard<'static, BTreeMap<u16, String>> {
    // A panic elsewhere leaves the table as it was.
    CLAIMED.lock().unwrap_or_else(PoisonError::into_inner)
}
