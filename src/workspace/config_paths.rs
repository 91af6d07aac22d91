//! Files that a repository's config has git run or read, as far as they lie in the checkout.
//!
//! Whoever can write such a file decides what git runs the next time that anyone uses it.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

/// Entries that are looked at; a config has some dozens.
const ENTRIES_MAX: usize = 10_000;
/// Programs that run the file that is their first word.
const INTERPRETERS: [&str; 14] =
    ["sh", "bash", "dash", "zsh", "env", "exec", "node", "bun", "deno", "python", "python3", "perl", "ruby", "php"];
/// Entries whose value is a command line, by their end: whatever stands before it is a name.
const COMMANDS: [&str; 18] = [
    ".fsmonitor",
    ".sshcommand",
    ".pager",
    ".editor",
    ".askpass",
    ".gitproxy",
    ".external",
    ".command",
    ".cmd",
    ".textconv",
    ".driver",
    ".clean",
    ".smudge",
    ".process",
    ".helper",
    ".program",
    ".packobjectshook",
    ".difffilter",
];

/// A file or directory in a checkout that the config names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    /// The entry's name, as `core.hookspath`.
    pub key: String,
    /// Where it is, below the root; it need not exist.
    pub path: PathBuf,
}

/// What the config of the checkout at `root` names below it, once each. `root` has its links resolved.
///
/// # Errors
/// In words: why the config cannot be read.
pub fn below(root: &Path) -> Result<Vec<Named>, String> {
    let failed = |error: git2::Error| format!("git's config of {} cannot be read: {}", root.display(), error.message());
    let repository = super::opening::open(root).map_err(failed)?;
    let config = repository.config().and_then(|mut config| config.snapshot()).map_err(failed)?;
    // Paths of `include` start from the file that names them: git's own directory.
    let starts = [repository.commondir().to_owned(), repository.path().to_owned()];
    let home = std::env::var_os("HOME").map(PathBuf::from);
    let mut found = BTreeMap::new();
    let mut entries = config.entries(None).map_err(failed)?;
    let mut count = 0;
    while let Some(entry) = entries.next() {
        let entry = entry.map_err(failed)?;
        count += 1;
        if count > ENTRIES_MAX {
            return Err(format!("git's config of {} has more than {ENTRIES_MAX} entries", root.display()));
        }
        let (Ok(key), Ok(value)) = (entry.name(), entry.value()) else { continue };
        for path in paths(key, value, root, &starts, home.as_deref()) {
            found.entry(path).or_insert_with(|| key.to_owned());
        }
    }
    Ok(found.into_iter().map(|(path, key)| Named { key, path }).collect())
}

fn paths(key: &str, value: &str, root: &Path, starts: &[PathBuf], home: Option<&Path>) -> Vec<PathBuf> {
    let lower = key.to_ascii_lowercase();
    let from = |start: &Path, text: &str| {
        let path = match (text.strip_prefix("~/"), home) {
            (Some(rest), Some(home)) => home.join(rest),
            _ => start.join(text),
        };
        plain(&path).filter(|path| path.starts_with(root) && path != root && !path.starts_with(root.join(".git")))
    };
    if lower == "core.hookspath" {
        let mut all: Vec<PathBuf> = from(root, value).into_iter().collect();
        // husky's own scripts lie in `_`, and run those that lie beside it.
        let around = all.first().filter(|path| path.ends_with("_")).and_then(|path| path.parent());
        all.extend(around.filter(|dir| *dir != root).map(Path::to_owned));
        return all;
    }
    if lower == "include.path" || (lower.starts_with("includeif.") && lower.rsplit('.').next() == Some("path")) {
        return starts.iter().map(PathBuf::as_path).chain([root]).filter_map(|start| from(start, value)).collect();
    }
    let shell = |text: &str| program_words(text).iter().filter_map(|word| from(root, word)).collect();
    if lower.starts_with("alias.") || (lower.starts_with("submodule.") && lower.ends_with(".update")) {
        return value.strip_prefix('!').map(shell).unwrap_or_default();
    }
    if COMMANDS.iter().any(|end| lower.ends_with(end)) || lower.starts_with("pager.") {
        return shell(value.strip_prefix('!').unwrap_or(value));
    }
    Vec::new()
}

/// The words of a command line that name what is run: of each command in it the first, and what an interpreter is
/// given. What a shell would make of variables is not known.
fn program_words(text: &str) -> Vec<String> {
    let mut all = Vec::new();
    for command in text.split(['|', ';', '&', '\n', '(', ')', '{', '}', '`']) {
        let mut words = command
            .split_whitespace()
            .map(|word| word.trim_matches(['"', '\'']))
            .skip_while(|word| word.split_once('=').is_some_and(|(name, _)| !name.contains('/')));
        while let Some(word) = words.next() {
            let base = word.rsplit('/').next().unwrap_or(word);
            let interpreter = INTERPRETERS.contains(&base);
            if word.contains('/') || !interpreter {
                all.push(word.to_owned());
            }
            if !interpreter {
                break;
            }
            while words.clone().next().is_some_and(|next| next.starts_with('-') || next.contains('=')) {
                words.next();
            }
        }
    }
    all
}

/// The path without `.` and `..`; none where it leads above the top.
fn plain(path: &Path) -> Option<PathBuf> {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => {
                if !plain.pop() {
                    return None;
                }
            }
            other => plain.push(other),
        }
    }
    Some(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_config_names_in_the_checkout_is_found_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        let repository = git2::Repository::init(&root).unwrap();
        let mut config = repository.config().unwrap();
        let absolute = root.join("tools/merge").display().to_string();
        for (key, value) in [
            ("core.hooksPath", ".husky/_"),
            ("core.fsmonitor", "./watch --fast"),
            ("core.sshCommand", "ssh -i key"),
            ("diff.external", "env A=1 python3 -u tools/diff.py %f"),
            ("filter.own.clean", "'scripts/clean.sh' %f | sort"),
            ("filter.lfs.process", "git-lfs filter-process"),
            ("merge.own.driver", &format!("{absolute} %O %A %B")),
            ("alias.up", "!cd sub && ./up.sh"),
            ("alias.st", "status tools/x"),
            ("credential.helper", "!/usr/bin/gh auth"),
            ("user.name", "tools/x"),
            ("difftool.x.cmd", "../outside/x"),
            ("core.editor", "."),
        ] {
            config.set_str(key, value).unwrap();
        }
        // Written last: reading it, libgit2 looks for the file.
        let mut text = std::fs::read_to_string(root.join(".git/config")).unwrap();
        text.push_str("[include]\n\tpath = ../.gitconfig\n[includeIf \"gitdir:/x\"]\n\tpath = ../late\n");
        std::fs::write(root.join(".git/config"), text).unwrap();
        std::fs::write(root.join(".gitconfig"), "[core]\n\tpager = ./page\n").unwrap();
        let named = below(&root).unwrap();
        let has = |name: &str| named.iter().any(|named| named.path == root.join(name));
        for name in [
            ".gitconfig",
            ".husky",
            ".husky/_",
            "late",
            "page",
            "scripts/clean.sh",
            "tools/diff.py",
            "tools/merge",
            "up.sh",
            "watch",
        ] {
            assert!(has(name), "{name}: {named:?}");
        }
        for name in ["", "tools/x", "outside/x", "sub", "key", "tools"] {
            assert!(!has(name), "{name}: {named:?}");
        }
        assert!(named.iter().all(|named| named.path.starts_with(&root)), "{named:?}");
    }
}
