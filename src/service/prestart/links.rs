//! Packages of a pnpm workspace whose links lead out of it: a checkout that shares its installed packages with another
//! one would run the other one's code.
//!
//! The rule: a dependency that a package names with `workspace:` is the package of that name in this workspace. A link
//! to it that leads out of the workspace, or nowhere, is set to it; so is one that is missing where others are
//! installed. What is no link, and what lies in a directory that is itself a link, is never changed: that would change
//! the other checkout. Links that lead to another place within the workspace are the package manager's own business.

mod packages;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use self::packages::Package;
use super::{Finding, Look, Relink};

/// File that makes a directory the root of a pnpm workspace.
const WORKSPACE_FILE: &str = "pnpm-workspace.yaml";
/// Most findings that are told of one workspace.
const MAX_FINDINGS: usize = 200;

/// Stale links between the packages of a pnpm workspace.
#[derive(Debug, Clone, Copy)]
pub struct WorkspaceLinks;

impl Look for WorkspaceLinks {
    fn about(&self) -> &'static str {
        "links between the packages of the pnpm workspace"
    }

    fn find(&self, cwd: &Path, end: Instant) -> Result<Vec<Finding>, String> {
        let Some(root) = root_of(cwd) else { return Ok(Vec::new()) };
        let all = packages::all(&root, end)?;
        let by_name: BTreeMap<&str, &Package> = all.iter().map(|p| (p.name.as_str(), p)).collect();
        let mut found: BTreeMap<PathBuf, Finding> = BTreeMap::new();
        for package in &all {
            for (link_name, target) in &package.needs {
                if Instant::now() > end || found.len() >= MAX_FINDINGS {
                    return Ok(found.into_values().collect());
                }
                let Some(target) = by_name.get(target.as_str()) else { continue };
                if let Some((link, finding)) = judge(&root, package, link_name, target) {
                    found.entry(link).or_insert(finding);
                }
            }
        }
        Ok(found.into_values().collect())
    }
}

/// The workspace that a directory belongs to: the nearest one above, within the same checkout. In its true place, so
/// that whatever is found below can be compared.
fn root_of(cwd: &Path) -> Option<PathBuf> {
    let cwd = fs::canonicalize(cwd).ok()?;
    for dir in cwd.ancestors() {
        if dir.join(WORKSPACE_FILE).is_file() {
            return Some(dir.to_owned());
        }
        // A worktree may lie inside another checkout, which is none of its business.
        if dir.join(".git").exists() {
            return None;
        }
    }
    None
}

/// What is wrong with the link of a package to another one; none when nothing is.
fn judge(root: &Path, package: &Package, link_name: &str, target: &Package) -> Option<(PathBuf, Finding)> {
    let own = package.dir.join("node_modules");
    // As node looks for it: the nearest one counts.
    let nearest = package
        .dir
        .ancestors()
        .take_while(|dir| dir.starts_with(root))
        .map(|dir| dir.join("node_modules").join(link_name))
        .find(|link| fs::symlink_metadata(link).is_ok());
    let (link, was) = match nearest {
        None if fs::symlink_metadata(&own).is_err() => return None, // Nothing is installed here.
        None => (own.join(link_name), "is missing".to_owned()),
        Some(link) => match fs::canonicalize(&link) {
            Ok(real) if real.starts_with(root) => return None,
            Ok(real) => (link, format!("leads to {}, which is outside of this checkout", real.display())),
            Err(_) => {
                let there = fs::read_link(&link).map_or_else(|_| "nowhere".to_owned(), |to| to.display().to_string());
                (link, format!("leads to {there}, which is not there"))
            }
        },
    };
    let shown = |path: &Path| path.strip_prefix(root).unwrap_or(path).display().to_string();
    let words = format!("{} {was} instead of {}", shown(&link), shown(&target.dir));
    let repair = repair(root, &link, &target.dir);
    Some((link, Finding { words, repair }))
}

/// How a link is put right, if that changes nothing outside of the workspace.
fn repair(root: &Path, link: &Path, target: &Path) -> Result<Relink, String> {
    let mut dir = link.parent().unwrap_or(root);
    // That of a scope may be made.
    if fs::symlink_metadata(dir).is_err() && dir.file_name().is_some_and(|name| name != "node_modules") {
        dir = dir.parent().unwrap_or(root);
    }
    let is_real = dir
        .ancestors()
        .take_while(|dir| dir.starts_with(root))
        .all(|dir| fs::symlink_metadata(dir).is_ok_and(|found| found.is_dir()));
    if !is_real {
        return Err(match fs::canonicalize(dir) {
            Ok(real) if real.starts_with(root) => {
                format!("it is in {}, which is a link; run `pnpm install` in this checkout", dir.display())
            }
            Ok(real) => format!(
                "it is in {}, which is itself a link to {}; changing it would change that checkout. Remove the link \
                 and run `pnpm install` in this checkout",
                dir.display(),
                real.display()
            ),
            Err(_) => format!("{} is not there; run `pnpm install` in this checkout", dir.display()),
        });
    }
    if fs::symlink_metadata(link).is_ok_and(|found| !found.file_type().is_symlink()) {
        return Err("it is no link, and stays as it is".to_owned());
    }
    Ok(Relink { link: link.to_owned(), target: relative(link.parent().unwrap_or(root), target) })
}

/// The way from one directory to another, both absolute and without links.
fn relative(from: &Path, to: &Path) -> PathBuf {
    let common = from.components().zip(to.components()).take_while(|(a, b)| a == b).count();
    let up = from.components().skip(common).map(|_| Path::new(".."));
    up.chain(to.components().skip(common).map(|part| Path::new(part.as_os_str()))).collect()
}

#[cfg(test)]
mod tests;
