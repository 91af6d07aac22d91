//! What turns an agent of the config into a process: its command, directory, environment, prompt
//! and secrets.

pub mod elsewhere;
pub mod environment;
pub mod process;
pub mod secret;
mod small_file;

pub use environment::{RunFacts, ServiceFacts};
pub use process::{AdapterError, ProcessStart};
pub use secret::{ConfiguredSecrets, Secret, SecretError, SecretSource};
