//! The packages of a pnpm workspace, and which of them they need.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Instant;

use serde_json::Value;

/// Most bytes of a file that are read.
const MAX_FILE_BYTES: u64 = 1 << 20;
/// Most directories that are looked at, and how deep.
const MAX_DIRECTORIES: usize = 20_000;
const MAX_DEPTH: usize = 8;
/// Most patterns of a workspace file, and the longest, in bytes; others name nothing.
const MAX_PATTERNS: usize = 1_000;
const MAX_PATTERN_BYTES: usize = 256;
/// Directories that hold no package of the workspace.
const IGNORED: &[&str] = &[".git", ".wharf", "dist", "node_modules"];

/// A package of the workspace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Package {
    pub name: String,
    /// Absolute, without links.
    pub dir: PathBuf,
    /// Packages of the workspace that it names: name of the link, name of the package.
    pub needs: Vec<(String, String)>,
}

/// All packages below a root that has no links in its path; of two with one name the first.
pub(super) fn all(root: &Path, end: Instant) -> Result<Vec<Package>, String> {
    let file = read(&root.join(super::WORKSPACE_FILE))?.unwrap_or_default();
    let wanted = patterns(&file);
    let mut found: BTreeMap<String, Package> = BTreeMap::new();
    let mut waiting = vec![(root.to_owned(), 0)];
    let mut looked = 0;
    while let Some((dir, depth)) = waiting.pop() {
        looked += 1;
        if looked > MAX_DIRECTORIES || Instant::now() > end {
            return Err(format!("{} is too large to be looked through", root.display()));
        }
        let below = dir.strip_prefix(root).unwrap_or(&dir);
        let is_wanted = below.as_os_str().is_empty() || is_package(wanted.as_deref(), below);
        if let Some(package) = is_wanted.then(|| package(&dir)).flatten() {
            found.entry(package.name.clone()).or_insert(package);
        }
        if depth == MAX_DEPTH {
            continue;
        }
        let mut inside: Vec<PathBuf> = fs::read_dir(&dir)
            .into_iter()
            .flatten()
            .flatten()
            // A link is not followed: it may lead anywhere.
            .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
            .filter(|entry| !IGNORED.iter().any(|name| entry.file_name() == *name))
            .map(|entry| entry.path())
            .collect();
        inside.sort_unstable();
        waiting.extend(inside.into_iter().rev().map(|dir| (dir, depth + 1)));
    }
    Ok(found.into_values().collect())
}

fn read(path: &Path) -> Result<Option<String>, String> {
    // A pipe by that name would wait for a writer.
    let flags = i32::try_from(rustix::fs::OFlags::NONBLOCK.bits()).unwrap_or(0);
    let text = |file: fs::File| {
        let mut text = String::new();
        if file.metadata()?.is_file() {
            file.take(MAX_FILE_BYTES).read_to_string(&mut text)?;
        }
        Ok(text)
    };
    match fs::File::options().read(true).custom_flags(flags).open(path).and_then(text) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(format!("{}: {error}", path.display())),
    }
}

/// A package, if the directory is one whose description can be read; what cannot is the package manager's to tell.
fn package(dir: &Path) -> Option<Package> {
    let text = read(&dir.join("package.json")).ok().flatten()?;
    let json: Value = serde_json::from_str(&text).ok()?;
    let name = json.get("name").and_then(Value::as_str).unwrap_or_default().to_owned();
    let mut needs = Vec::new();
    for kind in ["dependencies", "devDependencies", "optionalDependencies"] {
        for (link, version) in json.get(kind).and_then(Value::as_object).into_iter().flatten() {
            if let Some(target) = version.as_str().and_then(|version| named(link, version))
                && is_name(link)
            {
                needs.push((link.clone(), target));
            }
        }
    }
    Some(Package { name, dir: dir.to_owned(), needs })
}

/// The package that a dependency means, if it is one of the workspace: `workspace:*` by the name of the dependency,
/// `workspace:other@*` by another one. A path says itself where it leads.
fn named(link: &str, version: &str) -> Option<String> {
    let rest = version.strip_prefix("workspace:")?;
    if rest.starts_with(['.', '/']) {
        return None;
    }
    match rest.char_indices().rev().find(|(at, c)| *c == '@' && *at > 0) {
        Some((at, _)) => Some(rest[..at].to_owned()),
        None => Some(link.to_owned()),
    }
}

/// Whether a name is one of a package, and so no path that leads elsewhere.
fn is_name(name: &str) -> bool {
    let parts: Vec<&str> = name.split('/').collect();
    let plain =
        |part: &str| !part.is_empty() && !part.starts_with('.') && part.chars().all(|c| !c.is_control() && c != '\\');
    match parts.as_slice() {
        [one] => plain(one),
        [scope, one] => scope.strip_prefix('@').is_some_and(plain) && plain(one),
        _ => false,
    }
}

/// The patterns of `packages:` in a workspace file, in their order; none when it has no such list, and then every
/// directory counts. The file is read as far as its list goes, which is plain in every one of them.
fn patterns(file: &str) -> Option<Vec<String>> {
    let mut lines = file.lines().map(|line| line.split(" #").next().unwrap_or(line).trim_end());
    let rest = lines.by_ref().find_map(|line| line.strip_prefix("packages:"))?.trim();
    let plain = |item: &str| item.trim().trim_matches(['"', '\'']).to_owned();
    let usable = |item: &String| !item.is_empty() && item.len() <= MAX_PATTERN_BYTES;
    if let Some(inline) = rest.strip_prefix('[') {
        let inside = inline.split(']').next().unwrap_or(inline);
        return Some(inside.split(',').map(plain).filter(usable).take(MAX_PATTERNS).collect());
    }
    let list = lines.map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let items = list.map_while(|line| line.strip_prefix('-'));
    Some(items.map(plain).filter(usable).take(MAX_PATTERNS).collect())
}

/// Whether the patterns name a directory; a later `!pattern` takes out what others name.
fn is_package(patterns: Option<&[String]>, below: &Path) -> bool {
    let Some(patterns) = patterns else { return true };
    let parts: Vec<&str> = below.iter().filter_map(|part| part.to_str()).collect();
    let names = |pattern: &str| {
        let mut pattern: Vec<&str> = pattern.split('/').filter(|part| !matches!(*part, "" | ".")).collect();
        // One says as much as many, and leaves few ways to try.
        pattern.dedup_by(|a, b| *a == "**" && *b == "**");
        matches(&pattern, &parts)
    };
    patterns.iter().any(|p| !p.starts_with('!') && names(p))
        && !patterns.iter().filter_map(|p| p.strip_prefix('!')).any(names)
}

fn matches(pattern: &[&str], parts: &[&str]) -> bool {
    match (pattern, parts) {
        ([], []) => true,
        (["**", rest @ ..], _) => matches(rest, parts) || parts.split_first().is_some_and(|(_, p)| matches(pattern, p)),
        ([first, rest @ ..], [part, parts @ ..]) => part_matches(first, part) && matches(rest, parts),
        _ => false,
    }
}

/// `*` stands for any characters of one part.
fn part_matches(pattern: &str, part: &str) -> bool {
    let mut pieces = pattern.split('*');
    let first = pieces.next().unwrap_or_default();
    let Some(mut rest) = part.strip_prefix(first) else { return false };
    let mut pieces: Vec<&str> = pieces.collect();
    let Some(last) = pieces.pop() else { return rest.is_empty() };
    // The earliest place for each leaves the most for those behind it.
    for piece in pieces {
        let Some(at) = rest.find(piece) else { return false };
        rest = &rest[at + piece.len()..];
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_workspace_files_are_read() {
        let table: [(&str, Option<&[&str]>); 6] = [
            (
                "packages:\n  - 'packages/*'\n  - \"apps/web\" # the site\n\n  - '!**/test/**'\ncatalog:\n  - x\n",
                Some(&["packages/*", "apps/web", "!**/test/**"]),
            ),
            ("# first\npackages: [ 'a', \"b/*\" ]\n", Some(&["a", "b/*"])),
            ("packages:\n- a\n- b\n", Some(&["a", "b"])),
            ("packages:\n", Some(&[])),
            ("onlyBuiltDependencies:\n  - esbuild\n", None),
            ("", None),
        ];
        for (file, expected) in table {
            let expected = expected.map(|all| all.iter().map(|p| (*p).to_owned()).collect::<Vec<_>>());
            assert_eq!(patterns(file), expected, "{file}");
        }
    }

    #[test]
    fn patterns_name_directories() {
        let list = |all: &[&str]| Some(all.iter().map(|p| (*p).to_owned()).collect::<Vec<_>>());
        let table = [
            (list(&["packages/*"]), "packages/a", true),
            (list(&["packages/*"]), "packages/a/b", false),
            (list(&["./packages/**"]), "packages/a/b", true),
            (list(&["packages/**"]), "packages", true),
            (list(&["*-lib"]), "core-lib", true),
            (list(&["a*c*e"]), "abcde", true),
            (list(&["a*c*e"]), "abde", false),
            (list(&["ab*ba"]), "aba", false),
            (list(&["a*a"]), "aa", true),
            (list(&["*ä*"]), "xäy", true),
            (list(&["**", "!**/test/**"]), "a/test/b", false),
            (list(&[]), "a", false),
            (None, "a/b", true),
        ];
        for (patterns, dir, expected) in table {
            assert_eq!(is_package(patterns.as_deref(), Path::new(dir)), expected, "{patterns:?} {dir}");
        }
    }

    #[test]
    fn patterns_made_to_be_slow_are_not() {
        let many = format!("{}**/x", "**/a/".repeat(60));
        let stars = format!("{}b", "*a".repeat(120));
        let long = ["a"; 8].join("/");
        let wanted = Some(vec![many, stars]);
        let began = Instant::now();
        for _ in 0..100 {
            assert!(!is_package(wanted.as_deref(), Path::new(&long)));
            assert!(!is_package(wanted.as_deref(), Path::new(&"a".repeat(250))));
        }
        assert!(began.elapsed() < std::time::Duration::from_secs(5));
        let deep = format!("packages:\n  - '{}'\n  - ok\n", "**/".repeat(100_000));
        assert_eq!(patterns(&deep), Some(vec!["ok".to_owned()]));
    }

    #[test]
    fn what_is_no_file_is_not_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("package.json");
        let mode = rustix::fs::Mode::from_raw_mode(0o600);
        rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, mode, 0).unwrap();
        assert_eq!(package(dir.path()), None);
    }

    #[test]
    fn dependencies_mean_packages_of_the_workspace_or_others() {
        let table = [
            ("@a/db", "workspace:*", Some("@a/db")),
            ("db", "workspace:^1.0.0", Some("db")),
            ("alias", "workspace:@a/db@*", Some("@a/db")),
            ("alias", "workspace:db@^2", Some("db")),
            ("db", "workspace:../db", None),
            ("db", "^1.0.0", None),
            ("db", "link:../db", None),
        ];
        for (link, version, expected) in table {
            assert_eq!(named(link, version).as_deref(), expected, "{link} {version}");
        }
        for name in ["db", "@a/db", "db.js"] {
            assert!(is_name(name), "{name}");
        }
        for name in ["", "..", "../db", "@a/..", "a/b", "@/b", "@a/b/c", "/db", ".bin", "a\\b", "a\n"] {
            assert!(!is_name(name), "{name}");
        }
    }
}
