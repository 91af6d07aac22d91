//! Carries a worktree into a directory and back: history by git, files as they are.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use wharf::environment::driver::RealiseAsk;

/// Makes a clone of the worktree, with what nobody committed.
pub fn there(ask: &RealiseAsk, to: &Path, with_changes: bool) -> Result<(), String> {
    let (Some(root), Some(branch)) = (&ask.root, &ask.branch) else { return Err("it is no repository".into()) };
    if !to.join(".git").exists() {
        // One that was begun and not finished is begun anew.
        let _ = std::fs::remove_dir_all(to);
        git(root, &["clone", "-q", "--no-hardlinks", "--branch", branch, &root.display().to_string(), &text(to)])?;
    }
    if with_changes { mirror(root, to) } else { Ok(()) }
}

/// Brings commits and files back; says whether anything changed here.
pub fn back(ask: &RealiseAsk, from: &Path) -> Result<bool, String> {
    let root = ask.root.as_ref().ok_or("it is no repository")?;
    let before = state(root)?;
    git(root, &["fetch", "-q", &text(from), "HEAD"])?;
    git(root, &["reset", "-q", "--soft", "FETCH_HEAD"])?;
    git(root, &["reset", "-q"])?;
    mirror(from, root)?;
    Ok(state(root)? != before)
}

fn text(path: &Path) -> String {
    path.display().to_string()
}

fn state(root: &Path) -> Result<String, String> {
    Ok(git(root, &["rev-parse", "HEAD"])? + &git(root, &["status", "--porcelain", "-uall"])? + &git(root, &["diff"])?)
}

fn git(dir: &Path, args: &[&str]) -> Result<String, String> {
    let output = Command::new("git")
        .args(["-c", "core.hooksPath=/dev/null"])
        .args(args)
        .current_dir(dir)
        .output()
        .map_err(|e| e.to_string())?;
    let said = String::from_utf8_lossy(&output.stderr);
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    } else {
        Err(format!("git {args:?}: {said}"))
    }
}

/// Files that git does not ignore, relative to the root.
fn files(root: &Path) -> Result<BTreeSet<PathBuf>, String> {
    let listed = git(root, &["ls-files", "-z", "--cached", "--others", "--exclude-standard"])?;
    Ok(listed.split('\0').map(PathBuf::from).filter(|path| root.join(path).is_file()).collect())
}

/// Makes one tree like another, but for what git ignores.
fn mirror(from: &Path, to: &Path) -> Result<(), String> {
    let (wanted, there) = (files(from)?, files(to)?);
    let wrong = |e: std::io::Error| e.to_string();
    for gone in there.difference(&wanted) {
        std::fs::remove_file(to.join(gone)).map_err(wrong)?;
    }
    for file in &wanted {
        let at = to.join(file);
        std::fs::create_dir_all(at.parent().unwrap_or(to)).map_err(wrong)?;
        std::fs::copy(from.join(file), at).map_err(wrong)?;
    }
    Ok(())
}
