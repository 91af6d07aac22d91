//! What a workspace changed: everything that differs from a base, committed or not, as one comparison.
//!
//! Nothing is executed and nothing is written: what git does not know of is hashed into memory only, as `git add`
//! would, and compared there. Hooks, filters of the config and textconv play no part; line ends and `ident` are
//! converted as the attributes say, since that is what git would commit.
//!
//! [`compare`] makes the list of files; [`Comparison::hunks`] and [`patch()`] are asked for one file at a
//! time. All is bounded by [`Limits`]; what is left out is said where it would be.

mod ends;
mod files;
mod hunks;
mod patch;
pub mod subject;
mod words;
mod worktree;

#[cfg(test)]
mod tests;

use std::path::Path;

use git2::{Diff, DiffOptions, Index, ObjectFormat, Oid, Repository, Tree};

use super::{WorkspaceError, inspect};

pub use ends::{Base, End};
pub use files::{Content, FileChange, Side, Status};
pub use hunks::{Hunk, Hunks, Line, LineKind};
pub use words::marks;

/// How much is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Files that are listed.
    pub files: usize,
    /// Bytes of a file that is compared.
    pub file_bytes: u64,
    /// Bytes of all files that no commit holds, together.
    pub total_bytes: u64,
    /// Bytes of files whose lines are counted for the list.
    pub counted_bytes: u64,
    /// Lines of a file that are shown.
    pub lines: usize,
    /// Bytes of a line that are shown.
    pub line_bytes: usize,
}

impl Limits {
    /// What fits a screen.
    pub const SCREEN: Self = Self {
        files: 20_000,
        file_bytes: 4 << 20,
        total_bytes: 128 << 20,
        counted_bytes: 64 << 20,
        lines: 20_000,
        line_bytes: 4096,
    };
    /// What a file or another program takes.
    pub const PATCH: Self = Self {
        files: 200_000,
        file_bytes: 256 << 20,
        total_bytes: 1 << 30,
        counted_bytes: u64::MAX,
        lines: usize::MAX,
        line_bytes: usize::MAX,
    };
}

/// What a comparison found, without the contents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listing {
    /// The base in words: `base main@4c1e0f2`.
    pub base: String,
    /// The other end in words: `worktree, 2 commits, 3 files not committed`.
    pub end: String,
    /// What the operator has to know to read it right.
    pub remarks: Vec<String>,
    /// Commit that is compared with; none when there is none yet.
    pub base_commit: Option<String>,
    /// Files that differ, by path.
    pub files: Vec<FileChange>,
    /// Some of what differs is not in `files`, or not compared: a patch of it would not be whole.
    pub incomplete: bool,
}

impl Listing {
    /// Lines added and removed in all files whose lines were counted, and whether that is all of them.
    pub fn totals(&self) -> (u64, u64, bool) {
        self.files.iter().fold((0, 0, true), |(added, removed, all), file| match file.counts {
            Some((a, r)) => (added + u64::from(a), removed + u64::from(r), all),
            None => (added, removed, all && file.content != Content::Text),
        })
    }
}

/// A comparison whose contents can be asked for.
pub struct Comparison {
    repo: Repository,
    limits: Limits,
    /// What was found.
    pub listing: Listing,
}

/// One end of a comparison.
enum Part<'r> {
    /// What `git add` of everything would make of a worktree.
    Index(Index),
    /// A commit; none for nothing at all.
    Tree(Option<Tree<'r>>),
}

/// Compares what is at or above a directory with its base.
///
/// # Errors
/// The directory is not there or no checkout, or git cannot read it.
pub fn compare(directory: &Path, base: &Base, end: &End, limits: Limits) -> Result<Comparison, WorkspaceError> {
    make(directory, base, end, limits, true, |_, _, _| Ok(())).map(|(comparison, ())| comparison)
}

/// The same as one patch, as `git diff --binary --full-index` would print it: git applies it to the base. Each file's
/// part is given to `sink`; of files whose path is not wanted there is no part. Copies are new files there, as with git.
///
/// # Errors
/// As [`compare`]; what the sink says comes back as it was.
pub fn patch<E>(
    directory: &Path,
    base: &Base,
    end: &End,
    limits: Limits,
    wanted: impl Fn(&FileChange) -> bool,
    mut sink: impl FnMut(&[u8]) -> Result<(), E>,
) -> Result<(Listing, Result<(), E>), WorkspaceError> {
    let (comparison, sunk) = make(directory, base, end, limits, false, |diff, order, listing| {
        patch::print(directory, diff, &listing.files, order, &wanted, &mut sink)
    })?;
    Ok((comparison.listing, sunk))
}

/// HEAD of the checkout that a directory lies in; none before the first commit.
///
/// # Errors
/// It is no checkout, or git cannot read it.
pub fn head(directory: &Path) -> Result<Option<String>, WorkspaceError> {
    let repo = inspect::open_above(directory)?;
    Ok(ends::head(&repo, directory)?.map(|id| id.to_string()))
}

/// Opens the repository; what no commit holds lives in the memory of this handle alone.
fn open(directory: &Path) -> Result<Repository, WorkspaceError> {
    let repo = inspect::open_above(directory)?;
    repo.odb()
        .and_then(|odb| odb.add_new_mempack_backend(i32::MAX).map(drop))
        .map_err(WorkspaceError::git("open the objects", directory))?;
    Ok(repo)
}

fn make<T>(
    directory: &Path,
    base: &Base,
    end: &End,
    limits: Limits,
    copies: bool,
    and_then: impl FnOnce(&Diff<'_>, &[usize], &Listing) -> Result<T, WorkspaceError>,
) -> Result<(Comparison, T), WorkspaceError> {
    let repo = open(directory)?;
    let (listing, more) = look(&repo, directory, base, end, limits, copies, and_then)?;
    Ok((Comparison { repo, limits, listing }, more))
}

fn look<T>(
    repo: &Repository,
    directory: &Path,
    base: &Base,
    end: &End,
    limits: Limits,
    copies: bool,
    and_then: impl FnOnce(&Diff<'_>, &[usize], &Listing) -> Result<T, WorkspaceError>,
) -> Result<(Listing, T), WorkspaceError> {
    let fail = |what| WorkspaceError::git(what, directory);
    let ends = ends::find(repo, directory, base, end)?;
    let tree = |id: Oid| repo.find_commit(id).and_then(|c| c.tree()).map_err(fail("read a commit"));
    let old = match base {
        Base::Worktree { directory, .. } => Part::Index(worktree::read_into(repo, directory, limits)?),
        _ => Part::Tree(ends.base.map(&tree).transpose()?),
    };
    let mut uncommitted = None;
    let (new, seen) = match ends.commit {
        Some(commit) => (Part::Tree(Some(tree(commit)?)), worktree::Seen::default()),
        None => {
            let state = worktree::read(repo, directory, limits)?;
            if matches!(old, Part::Tree(_)) {
                let head = ends.head.map(&tree).transpose()?;
                let mut options = DiffOptions::new();
                options.include_typechange(true);
                let diff = repo.diff_tree_to_index(head.as_ref(), Some(&state.index), Some(&mut options));
                uncommitted = Some(diff.map_err(fail("compare with HEAD"))?.deltas().len());
            }
            (Part::Index(state.index), state.seen)
        }
    };
    let diff = diff(repo, &old, &new).map_err(fail("compare"))?;
    let found = files::list(repo, diff, &seen, limits, copies).map_err(fail("compare"))?;
    let mut remarks = ends.remarks;
    remarks.extend(found.remarks);
    let listing = Listing {
        base: ends.base_words,
        end: ends::end_words(&ends.end_words, ends.ahead, uncommitted),
        remarks,
        base_commit: ends.base.map(|id| id.to_string()),
        incomplete: found.incomplete,
        files: found.files,
    };
    let more = and_then(&found.diff, &found.order, &listing)?;
    Ok((listing, more))
}

fn diff<'r>(repo: &'r Repository, old: &Part<'_>, new: &Part<'_>) -> Result<Diff<'r>, git2::Error> {
    let mut options = options(repo);
    let options = Some(&mut options);
    match (old, new) {
        (Part::Tree(old), Part::Tree(new)) => repo.diff_tree_to_tree(old.as_ref(), new.as_ref(), options),
        (Part::Tree(old), Part::Index(new)) => repo.diff_tree_to_index(old.as_ref(), Some(new), options),
        (Part::Index(old), Part::Index(new)) => repo.diff_index_to_index(old, new, options),
        (Part::Index(old), Part::Tree(new)) => {
            let mut index = Index::new_ext(repo.object_format())?;
            if let Some(new) = new {
                index.read_tree(new)?;
            }
            repo.diff_index_to_index(old, &index, options)
        }
    }
}

/// As git prints by default, with whole names of objects, which it wants of binary files.
fn options(repo: &Repository) -> DiffOptions {
    let mut options = DiffOptions::new();
    let whole = if repo.object_format() == ObjectFormat::Sha256 { 64 } else { 40 };
    options.context_lines(3).id_abbrev(whole).show_binary(true).indent_heuristic(true);
    options
}
