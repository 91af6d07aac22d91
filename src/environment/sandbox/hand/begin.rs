//! Before the command, inside: `begin [--scoped] [--free DIR]… [--processes N] [--data-bytes N] -- COMMAND`.

use std::path::{Path, PathBuf};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::{Outcome, become_program, cannot, split};
use crate::process::{dispositions, landlock, seccomp};

/// Fences itself in, caps itself, and turns into the command.
pub fn run(words: Vec<String>) -> Outcome {
    let (own, command) = split(words)?;
    let mut free: Vec<PathBuf> = std::env::var_os("WHARF_AGENT_HOME").map(PathBuf::from).into_iter().collect();
    let mut own = own.into_iter();
    let mut scoped = false;
    while let Some(word) = own.next() {
        if word == "--scoped" {
            scoped = true;
            continue;
        }
        let value = own.next().ok_or_else(|| cannot(format!("{word} needs a value")))?;
        match word.as_str() {
            "--free" => free.push(value.into()),
            "--processes" => cap(Resource::Nproc, &value)?,
            "--data-bytes" => cap(Resource::Data, &value)?,
            _ => return Err(cannot(format!("{word} is not known"))),
        }
    }
    // A link would free what it leads to.
    let plain = |dir: &&Path| dir.symlink_metadata().is_ok_and(|meta| meta.is_dir());
    let free: Vec<&Path> = free.iter().map(PathBuf::as_path).filter(plain).collect();
    // A kernel without it is told of by the probe of the environment, not by every command.
    landlock::special_files_only_below(&free)
        .map_err(|error| cannot(format!("the kernel refused the fence around git's directories: {error}")))?;
    if scoped {
        landlock::nothing_outside_by_abstract_names()
            .map_err(|error| cannot(format!("the kernel refused the fence around abstract sockets: {error}")))?;
    }
    // The terminal may be the operator's own: what was typed into it from here would run outside.
    seccomp::no_typing_into_terminals()
        .map_err(|error| cannot(format!("the kernel refused the filter that keeps terminals apart: {error}")))?;
    dispositions::restore_asking().map_err(|error| cannot(format!("signals cannot be restored: {error}")))?;
    become_program(&command)
}

/// Lowers a limit of this process and all that it starts.
fn cap(resource: Resource, value: &str) -> Result<(), (u8, String)> {
    let wanted: u64 = value.parse().map_err(|_| cannot(format!("{value} is no number")))?;
    let maximum = getrlimit(resource).maximum.map_or(wanted, |most| most.min(wanted));
    setrlimit(resource, Rlimit { current: Some(maximum), maximum: Some(maximum) })
        .map_err(|error| cannot(format!("a limit of {wanted} cannot be set: {error}")))
}
