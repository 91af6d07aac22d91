//! The only writer of state.
//!
//! The core ([`decide`]) is `(state, input, now) -> (writes, actions)` without IO. Around it one
//! loop on a thread of its own takes requests and facts, commits what was decided, and only then
//! lets the actions be performed.

pub mod closing;
mod committed;
pub mod decide;
pub mod election;
pub mod event_loop;
pub mod input;
pub mod orchestrator;
pub mod perform;
pub mod prepare;
pub mod recovery;
mod room;
pub mod take_over;

#[cfg(test)]
pub(crate) mod simulate;
