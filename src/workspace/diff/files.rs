//! Files that differ, with how much.

use git2::{
    Delta, Diff, DiffDelta, DiffFile, DiffFindOptions, ErrorCode, FileMode, ObjectType, Oid, Patch, Repository,
};

use super::Limits;
use super::worktree::Seen;

/// Pairs of files that are tried for renames with changes; beyond that only files moved unchanged are found.
const PAIRS_MAX: usize = 40_000;
/// Pairs beyond which no renames are looked for at all.
const EXACT_PAIRS_MAX: usize = 25_000_000;

/// Said of a content that no object has.
const NOT_HERE: &str = "its content is not in this repository; where that is a partial clone, `git diff` fetches it";

/// How a file differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// It is new.
    Added,
    /// Its content or mode differs.
    Modified,
    /// It is gone.
    Deleted,
    /// It has another path, and perhaps changes.
    Renamed,
    /// It was made from another, which is still there.
    Copied,
}

impl Status {
    /// As git's short status has it.
    pub const fn letter(self) -> char {
        match self {
            Self::Added => 'A',
            Self::Modified => 'M',
            Self::Deleted => 'D',
            Self::Renamed => 'R',
            Self::Copied => 'C',
        }
    }

    /// In words.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Added => "added",
            Self::Modified => "modified",
            Self::Deleted => "deleted",
            Self::Renamed => "renamed",
            Self::Copied => "copied",
        }
    }
}

/// What is in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// Lines.
    Text,
    /// Something else.
    Binary,
    /// The path that a link names.
    Symlink,
    /// The commit of a submodule.
    Submodule,
    /// It was not looked at, and why.
    Unread(String),
}

impl Content {
    /// In one word.
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Binary => "binary",
            Self::Symlink => "symlink",
            Self::Submodule => "submodule",
            Self::Unread(_) => "unread",
        }
    }
}

/// A file at one end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Side {
    /// Its path below the checkout's root, as git has it.
    pub path: Vec<u8>,
    /// Id of its blob, or of a submodule's commit.
    pub id: Oid,
    /// git's mode: 0o100644.
    pub mode: u32,
}

/// A file that differs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileChange {
    /// How.
    pub status: Status,
    /// In the base.
    pub old: Option<Side>,
    /// At the other end.
    pub new: Option<Side>,
    /// What is in it.
    pub content: Content,
    /// git does not know it yet.
    pub untracked: bool,
    /// A merge left it open.
    pub conflicted: bool,
    /// Lines added and removed; none where lines mean nothing or were not counted.
    pub counts: Option<(u32, u32)>,
}

impl FileChange {
    /// Its path; at the other end, where it is there.
    pub fn path(&self) -> &[u8] {
        self.new.as_ref().or(self.old.as_ref()).map_or(&[], |side| &side.path)
    }

    /// Its path before, where that was another.
    pub fn old_path(&self) -> Option<&[u8]> {
        self.old.as_ref().map(|side| side.path.as_slice()).filter(|path| *path != self.path())
    }

    /// Both modes, where they differ.
    pub fn modes(&self) -> Option<(u32, u32)> {
        let (old, new) = (self.old.as_ref()?.mode, self.new.as_ref()?.mode);
        (old != new).then_some((old, new))
    }

    /// One letter for the list.
    pub const fn letter(&self) -> char {
        match (self.conflicted, self.untracked) {
            (true, _) => 'U',
            (false, true) => '?',
            (false, false) => self.status.letter(),
        }
    }
}

pub(super) struct Found<'r> {
    pub files: Vec<FileChange>,
    pub remarks: Vec<String>,
    pub incomplete: bool,
    pub diff: Diff<'r>,
    /// Where each of `files` stands in `diff`.
    pub order: Vec<usize>,
}

/// Lists what differs.
pub(super) fn list<'r>(
    repo: &'r Repository,
    mut diff: Diff<'r>,
    seen: &Seen,
    limits: Limits,
    copies: bool,
) -> Result<Found<'r>, git2::Error> {
    let mut remarks = Vec::new();
    find_renames(&mut diff, copies, &mut remarks)?;
    let odb = repo.odb()?;
    let mut counted = 0u64;
    let mut files = Vec::new();
    let all = diff.deltas().len();
    let order = order(&diff, limits.files);
    for i in order.iter().copied() {
        let Some(delta) = diff.get_delta(i) else { continue };
        let mut file = change(&delta);
        let mut bytes = 0u64;
        for side in file.old.iter().chain(&file.new) {
            if side.mode == u32::from(FileMode::Commit) {
                continue;
            }
            match (seen.unread.get(&side.path), odb.read_header(side.id)) {
                (Some(why), _) if file.new.as_ref() == Some(side) => file.content = Content::Unread(why.clone()),
                (_, Ok((size, ObjectType::Blob))) if size as u64 <= limits.file_bytes => bytes += size as u64,
                (_, Ok((size, _))) => {
                    let words = format!("{}, too large to be compared here", wharf_ui::format::size(size as u64));
                    file.content = Content::Unread(words);
                }
                // A partial clone has not fetched it, or it is damaged: the rest can be told all the same.
                (_, Err(_)) => file.content = Content::Unread(NOT_HERE.to_owned()),
            }
        }
        file.untracked = seen.untracked.contains(file.path());
        file.conflicted = seen.conflicted.contains(file.path());
        if file.content == Content::Text && counted.saturating_add(bytes) <= limits.counted_bytes {
            counted += bytes;
            match Patch::from_diff(&diff, i)? {
                // Only now is it known whether it is text.
                Some(patch) if !patch.delta().flags().is_binary() => {
                    let (_, added, removed) = patch.line_stats()?;
                    file.counts = Some((added as u32, removed as u32));
                }
                _ => file.content = Content::Binary,
            }
        }
        files.push(file);
    }
    let left = all.saturating_sub(files.len()) + seen.beyond;
    if left > 0 {
        remarks.push(format!("{left} more files differ and are not listed"));
    }
    if !seen.nested.is_empty() {
        let names: Vec<_> = seen.nested.iter().take(3).map(|p| String::from_utf8_lossy(p).into_owned()).collect();
        let more = seen.nested.len().saturating_sub(names.len());
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        let words = "of its own, not looked into";
        remarks.push(format!("{}{more}: a repository {words}", names.join(", ")));
    }
    let unread = files.iter().any(|f| matches!(f.content, Content::Unread(_)));
    Ok(Found { incomplete: unread || left > 0 || !seen.nested.is_empty(), files, remarks, diff, order })
}

/// As git lists them: a file that takes the place of something else stands behind the end of that.
fn order(diff: &Diff<'_>, max: usize) -> Vec<usize> {
    let path = |d: &DiffDelta<'_>| d.new_file().path_bytes().or(d.old_file().path_bytes()).map(<[u8]>::to_vec);
    let mut order: Vec<(Option<Vec<u8>>, bool, usize)> =
        diff.deltas().enumerate().map(|(i, d)| (path(&d), d.status() != Delta::Deleted, i)).collect();
    order.sort();
    order.into_iter().take(max).map(|(_, _, i)| i).collect()
}

fn find_renames(diff: &mut Diff<'_>, copies: bool, remarks: &mut Vec<String>) -> Result<(), git2::Error> {
    let targets = diff.deltas().filter(|d| d.status() == Delta::Added).count();
    let sources = diff.deltas().len() - targets;
    let pairs = targets.saturating_mul(sources);
    if pairs == 0 || pairs > EXACT_PAIRS_MAX {
        return Ok(());
    }
    let mut options = DiffFindOptions::new();
    options.renames(true).copies(copies).rename_limit(1_000);
    if pairs > PAIRS_MAX {
        options.exact_match_only(true);
        remarks.push("so many files differ that only those moved unchanged are shown as renamed".to_owned());
    }
    match diff.find_similar(Some(&mut options)) {
        // A partial clone has not all of them.
        Err(e) if e.code() == ErrorCode::NotFound => {
            remarks.push("not every content is here, so what was renamed is shown as removed and added".to_owned());
            Ok(())
        }
        found => found,
    }
}

fn change(delta: &DiffDelta<'_>) -> FileChange {
    let status = match delta.status() {
        Delta::Added => Status::Added,
        Delta::Deleted => Status::Deleted,
        Delta::Renamed => Status::Renamed,
        Delta::Copied => Status::Copied,
        _ => Status::Modified,
    };
    let (old, new) = (delta.old_file(), delta.new_file());
    let old = (status != Status::Added).then(|| side(&old)).flatten();
    let new = (status != Status::Deleted).then(|| side(&new)).flatten();
    let mode = new.as_ref().or(old.as_ref()).map_or(0, |s| s.mode);
    let content = match mode {
        mode if mode == u32::from(FileMode::Commit) => Content::Submodule,
        mode if mode == u32::from(FileMode::Link) => Content::Symlink,
        _ => Content::Text,
    };
    FileChange { status, old, new, content, untracked: false, conflicted: false, counts: None }
}

fn side(file: &DiffFile<'_>) -> Option<Side> {
    Some(Side { path: file.path_bytes()?.to_vec(), id: file.id(), mode: u32::from(file.mode()) })
}
