//! The project of the current directory, as its files say.

use std::path::PathBuf;

use super::context::Context;
use super::error::{CliError, Result, exit};
use crate::config::find::{FindError, Found, find};
use crate::config::{ConfigErrors, Loaded, LoadedUser, Overrides, Problem, harmless};
use crate::config::{load_project, load_user, user_config_path};

/// Problems of one file that programs are told of.
const PROBLEMS: usize = 50;

/// A project whose config was read.
pub struct Here {
    /// Where it is.
    pub found: Found,
    /// What its file says.
    pub loaded: Loaded,
}

impl Here {
    /// The directory that requests name.
    pub fn path(&self) -> String {
        self.found.root.display().to_string()
    }

    /// The hash that acceptance is about, as the orchestrator counts it.
    pub fn executable_hash(&self) -> String {
        self.loaded.config.executable_hash()
    }

    /// Names of its agents with the lines they stand at, for messages.
    pub fn agents(&self) -> String {
        let names: Vec<&str> = self.loaded.config.agents.iter().map(|a| a.name.as_str()).collect();
        if names.is_empty() {
            return format!("{} has no agent yet", self.loaded.path.display());
        }
        format!("this project has {} ({})", names.join(", "), self.loaded.path.display())
    }
}

/// Where the current project is.
pub fn find_here(context: &Context) -> Result<Found> {
    let directory = context.project_dir()?;
    find(&directory).map_err(|e| match e {
        FindError::Directory { .. } => CliError::new(exit::NOT_FOUND, "cwd_missing", e.to_string()),
        FindError::Bare(_) | FindError::NotText(_) | FindError::Unreadable { .. } => {
            let text = e.to_string();
            let (message, next) = text.split_once("; ").unwrap_or((&text, ""));
            CliError::new(exit::REFUSED, "illegal_state", message).next(next)
        }
    })
}

/// Reads the current project's config.
pub fn here(context: &Context) -> Result<Here> {
    let found = find_here(context)?;
    let path = found.config_path();
    let loaded = load_project(&path, &Overrides::default()).map_err(|e| config_error(path, &e))?;
    Ok(Here { found, loaded })
}

/// Reads the user's own config.
pub fn user() -> Result<LoadedUser> {
    let path = user_config_path(|name| std::env::var_os(name));
    load_user(path.as_deref(), &Overrides::default()).map_err(|e| config_error(path.unwrap_or_default(), &e))
}

/// A config that cannot be used, with the place marked.
pub fn config_error(path: PathBuf, errors: &ConfigErrors) -> CliError {
    let error = match errors {
        ConfigErrors::Missing { .. } if path.symlink_metadata().is_ok() => {
            return CliError::new(exit::CONFIG, "config_invalid", format!("{} is a link to nothing", path.display()))
                .cause("what it points to is not there")
                .next("put its target back, or remove the link, then wharf init")
                .entity(path.display().to_string());
        }
        ConfigErrors::Missing { .. } => {
            return CliError::new(exit::CONFIG, "config_invalid", format!("{} is not there", path.display()))
                .cause("this directory is no project of wharf yet")
                .next("wharf init")
                .entity(path.display().to_string());
        }
        other => CliError::new(
            exit::CONFIG,
            "config_invalid",
            match other.problems() {
                [] => other.to_string(),
                all => {
                    let line = |p: &Problem| format!("{}:{}: {}", p.file, p.line, harmless(&p.message));
                    all.iter().take(PROBLEMS).map(line).collect::<Vec<_>>().join("; ")
                }
            },
        ),
    };
    error.text(errors.render(None)).next("fix it, then wharf config check").entity(path.display().to_string())
}

/// The name nearest to what was typed, when it is near.
pub fn nearest<'a>(typed: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let near = |name: &&str| distance(typed, name) <= 1 + typed.chars().count() / 4;
    names.filter(near).min_by_key(|name| distance(typed, name))
}

/// Letters to change, add or remove to make one word of the other.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().take(128).collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().take(128).enumerate() {
        let mut before = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let here = (before + usize::from(x != *y)).min(row[j] + 1).min(row[j + 1] + 1);
            before = row[j + 1];
            row[j + 1] = here;
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_finds_its_name() {
        let names = ["docs", "fixer", "porter"];
        assert_eq!(nearest("fixr", names.into_iter()), Some("fixer"));
        assert_eq!(nearest("doc", names.into_iter()), Some("docs"));
        assert_eq!(nearest("zebra", names.into_iter()), None);
        assert_eq!(distance("", "abc"), 3);
    }
}
