//! Holding the orchestrator's place while nobody may orchestrate: for what exchanges or mends the store's files.

use wharf_store::Restoring;

use super::context::Context;
use super::error::{CliError, Result, exit};
use crate::clock;
use crate::dispatch::election::{self, Elected, Election, Holder};

/// The lock, held. Dropping it lets others orchestrate again.
pub struct Vacant {
    _elected: Elected,
    epoch: i64,
}

impl Vacant {
    /// Who works on the store, and what is known of its last reign.
    pub fn restoring<'a>(&self, actor: &'a str) -> Restoring<'a> {
        Restoring { actor, now: clock::now(), epoch: self.epoch }
    }
}

/// Takes the place of the orchestrator, or says who has it.
pub fn hold(context: &Context, command: &str) -> Result<Vacant> {
    let path = election::path(&context.data);
    // What the last holder noted is gone once the lock is taken.
    let noted = std::fs::read(&path).ok().and_then(|text| serde_json::from_slice::<Holder>(&text).ok());
    let epoch = noted.map_or(0, |h| h.epoch);
    let fail = |e: std::io::Error| {
        CliError::new(exit::STORE, "store_locked", format!("{}: the lock cannot be taken", path.display()))
            .cause(e.to_string())
    };
    match election::stand(&context.data, clock::now().0).map_err(fail)? {
        Election::Won(mut elected) => {
            elected.begin(epoch).map_err(fail)?;
            Ok(Vacant { _elected: elected, epoch })
        }
        Election::Held(holder) => {
            let error = CliError::new(exit::REFUSED, "store_locked", "a process orchestrates this data directory");
            Err(match holder {
                Some(h) => error
                    .cause(format!("process {} holds it since {}", h.pid, wharf_model::UnixMillis(h.since).rfc3339()))
                    .next(format!("end it (kill {}; runs go on under their shims), then {command}", h.pid)),
                None => error.cause("it does not say who it is").next(format!("end it, then {command}")),
            })
        }
    }
}
