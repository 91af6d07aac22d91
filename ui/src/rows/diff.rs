//! What was changed: files, and the lines of each.

use std::ops::Range;

use wharf_model::UnixMillis;

/// A comparison without the lines.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DiffListing {
    /// What is shown: `R-1042`, `W-9 as it is now`, `R-3 beside R-2`.
    pub title: String,
    /// Base in words: `base main@4c1e0f2`.
    pub base: String,
    /// The other end in words: `worktree, not committed`.
    pub end: String,
    /// What has to be known to read it right.
    pub remarks: Vec<String>,
    /// Tells this reading from every other, to ask for its lines.
    pub stamp: u64,
    /// When it was read.
    pub read_at: UnixMillis,
    /// How long that took, in milliseconds.
    pub took_ms: i64,
    /// Where its files lie, to be opened; none when a commit is shown.
    pub root: Option<String>,
    /// Files that differ.
    pub files: Vec<DiffFile>,
    /// Why nothing can be compared, in words.
    pub refused: Option<String>,
}

/// A file that differs.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DiffFile {
    /// Its path below the root.
    pub path: String,
    /// Its path before, where that was another.
    pub old_path: Option<String>,
    /// `M`, `A`, `D`, `R`, `C`, `?` not known to git, `U` left open by a merge.
    pub letter: char,
    /// Lines added and removed, where lines are counted.
    pub counts: Option<(u32, u32)>,
    /// What it is when it has no lines: `binary`.
    pub note: String,
    /// Changes with its content.
    pub token: String,
}

/// The lines of a file.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DiffHunks {
    /// In order.
    pub hunks: Vec<DiffHunk>,
    /// Why there are none, or not all.
    pub remark: Option<String>,
    /// It was asked of a reading that is there no more: to be asked again.
    pub stale: bool,
}

/// Lines that differ with some around them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DiffHunk {
    /// First line and how many, in the base.
    pub old: (u32, u32),
    /// The same at the other end.
    pub new: (u32, u32),
    /// What it lies in.
    pub within: String,
    /// Lines.
    pub lines: Vec<DiffLine>,
}

/// Which end has a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DiffKind {
    /// Both.
    #[default]
    Context,
    /// The other end.
    Added,
    /// The base.
    Removed,
}

/// A line.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DiffLine {
    /// Which end has it.
    pub kind: DiffKind,
    /// Number in the base.
    pub old: Option<u32>,
    /// Number at the other end.
    pub new: Option<u32>,
    /// Text.
    pub text: String,
    /// Bytes of it that its counterpart lacks.
    pub marks: Vec<Range<usize>>,
    /// The file ends with it, without a line break.
    pub unended: bool,
}
