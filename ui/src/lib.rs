//! The console's screens, pure: messages in, frames and effects out.
//!
//! Nothing here reads a clock, a file or a socket. The shell feeds [`App::update`] with [`Msg`] and
//! carries out the [`Effect`]s it returns; [`App::view`] draws what is known. Every question of the
//! screens ([`effect::Question`]) must be answered once with [`Msg::Rows`], an error included, because
//! each question is open at most once. A [`Msg::Tick`] with the present goes before any other message, so
//! that a dialog knows how long it could have been read.
//!
//! # Adding a screen
//!
//! 1. `rows/`: plain rows in the operator's words; `effect.rs`: a `Question`; `msg.rs`: an `Answer`.
//! 2. `screen/<name>.rs`: for a list with a detail pane a struct with a [`screen::browse::Base`] and an
//!    `impl Browse`: columns, tabs and facts are data, and focus, keys, mouse, stream and filter follow
//!    (`screen/leases.rs` is the shortest). Anything else is an `impl Screen` (`screen/diagnostics.rs`):
//!    `answer` takes only what is asked now, `settle` asks for what became visible, `view` draws.
//! 3. `screen/mod.rs`: a `ScreenId` with digit, title and the field that filters it by number. `app/mod.rs`: a field, an arm in `current` and
//!    `parts`; `app/answers.rs`: a line in `answer`.
//! 4. `command.rs`: its `Place`s and the sets in which they are active; `commands/<name>.rs`: its rows
//!    of the one command table, named in `TABLES`. Hint row, help, palette and keymap follow by
//!    themselves, and tests refuse clashes.
//!
//!    What stops something has [`command::Level::Preview`] and opens [`overlay::confirm::Confirm`] with the
//!    question of its preview; the dialog sends the request with the versions that were shown, and
//!    appears again when the answer is `changed_since_preview`. What cannot be brought back has
//!    [`command::Level::Typed`], and its dialog wants a number typed instead of `y`.
//! 5. Tests: `testing.rs` builds an app with rows and renders it to text.
#![warn(missing_docs)]

pub mod ansi;
pub mod app;
pub mod command;
mod commands;
#[cfg(test)]
mod copy_tests;
#[cfg(test)]
mod crowd_tests;
pub mod draw;
pub mod effect;
pub mod env;
#[cfg(test)]
mod fixtures;
pub mod format;
mod frame;
pub mod glyph;
pub mod history;
pub mod input;
#[cfg(test)]
mod issue_form_tests;
pub mod keymap;
pub mod layout;
pub mod msg;
#[cfg(test)]
mod operator_tests;
pub mod overlay;
pub mod pane;
#[cfg(test)]
mod place_tests;
pub mod rows;
pub mod screen;
#[cfg(test)]
mod screen_tests;
#[cfg(test)]
mod service_tests;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
pub mod text;
pub mod theme;
#[cfg(test)]
mod trust_tests;
#[cfg(test)]
mod workspace_tests;

pub use app::{App, Settings};
pub use effect::Effect;
pub use msg::Msg;
