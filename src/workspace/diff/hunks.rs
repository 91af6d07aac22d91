//! The lines of one file, as a screen shows them.

use std::ops::Range;

use git2::{DiffLineType, FileMode, Patch};

use super::files::{Content, FileChange, Side};
use super::{Comparison, words};
use crate::workspace::WorkspaceError;

/// Blanks that stand for a tab.
const TAB: &str = "    ";
/// The same where it would not be told from blanks, and what stands for a blank there.
const TAB_SHOWN: &str = "→\t";
const BLANK_SHOWN: &str = "·";
/// What stands for a carriage return before the line's end.
const RETURN: char = '␍';

/// Which end has a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LineKind {
    /// Both.
    Context,
    /// The other end.
    Added,
    /// The base.
    Removed,
}

/// A line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Which end has it.
    pub kind: LineKind,
    /// Its number in the base, from 1.
    pub old: Option<u32>,
    /// Its number at the other end.
    pub new: Option<u32>,
    /// Its text with tabs as blanks. What is no UTF-8 is replaced.
    pub text: String,
    /// Bytes of `text` that the line it replaces, or is replaced by, lacks.
    pub marks: Vec<Range<usize>>,
    /// The file ends with it, and without a line break.
    pub unended: bool,
}

/// Lines that differ with some around them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hunk {
    /// Lines of the base: first and how many.
    pub old: (u32, u32),
    /// Lines of the other end.
    pub new: (u32, u32),
    /// The line that git thinks it belongs to.
    pub within: String,
    /// Lines.
    pub lines: Vec<Line>,
}

/// All hunks of a file.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Hunks {
    /// In order.
    pub hunks: Vec<Hunk>,
    /// Why there are none, or not all.
    pub remark: Option<String>,
}

impl Comparison {
    /// The lines of one of its files.
    ///
    /// # Errors
    /// git cannot read the file, in words.
    pub fn hunks(&self, file: &FileChange) -> Result<Hunks, WorkspaceError> {
        match &file.content {
            Content::Unread(why) => return Ok(Hunks { remark: Some(why.clone()), ..Hunks::default() }),
            Content::Submodule => return Ok(submodule(file)),
            Content::Text | Content::Binary | Content::Symlink => {}
        }
        let place = self.repo.workdir().unwrap_or_else(|| self.repo.path());
        self.read(file).map_err(WorkspaceError::git("compare a file", place))
    }

    fn read(&self, file: &FileChange) -> Result<Hunks, git2::Error> {
        let blob = |side: &Option<Side>| {
            // The other end of a change of type is told by its own entry.
            let side = side.as_ref().filter(|s| s.mode != u32::from(FileMode::Commit));
            side.map(|s| self.repo.find_blob(s.id)).transpose()
        };
        let (old, new) = (blob(&file.old)?, blob(&file.new)?);
        let path = |side: &Option<Side>| {
            let path = side.as_ref().map(|s| s.path.clone());
            path.map(|p| std::path::PathBuf::from(<std::ffi::OsString as std::os::unix::ffi::OsStringExt>::from_vec(p)))
        };
        let (old_path, new_path) = (path(&file.old), path(&file.new));
        let mut options = super::options(&self.repo);
        options.show_binary(false);
        let patch = match (&old, &new) {
            (Some(old), Some(new)) => {
                Patch::from_blobs(old, old_path.as_deref(), new, new_path.as_deref(), Some(&mut options))?
            }
            (Some(old), None) => Patch::from_blob_and_buffer(old, old_path.as_deref(), &[], None, Some(&mut options))?,
            (None, Some(new)) => {
                Patch::from_buffers(&[], None, new.content(), new_path.as_deref(), Some(&mut options))?
            }
            (None, None) => return Ok(Hunks::default()),
        };
        if patch.delta().flags().is_binary() {
            let size = |b: &Option<git2::Blob<'_>>| {
                b.as_ref().map_or_else(|| "nothing".to_owned(), |b| wharf_ui::format::size(b.size() as u64))
            };
            let words = format!("binary, {} before and {} after", size(&old), size(&new));
            return Ok(Hunks { remark: Some(words), ..Hunks::default() });
        }
        let mut found = Hunks::default();
        let mut left = self.limits.lines;
        for h in 0..patch.num_hunks() {
            let (hunk, n) = patch.hunk(h)?;
            let header = String::from_utf8_lossy(hunk.header());
            let within = header.splitn(3, "@@").nth(2).unwrap_or_default().trim();
            let mut lines: Vec<Line> = Vec::new();
            let mut raw: Vec<&[u8]> = Vec::new();
            for l in 0..n {
                let line = patch.line_in_hunk(h, l)?;
                let kind = match line.origin_value() {
                    DiffLineType::Context => LineKind::Context,
                    DiffLineType::Addition => LineKind::Added,
                    DiffLineType::Deletion => LineKind::Removed,
                    // It is about the line before it.
                    _ => {
                        if let Some(last) = lines.last_mut() {
                            last.unended = true;
                        }
                        continue;
                    }
                };
                if left == 0 {
                    break;
                }
                left -= 1;
                let text = text(line.content(), self.limits.line_bytes, false);
                raw.push(line.content());
                let (old, new) = (line.old_lineno(), line.new_lineno());
                lines.push(Line { kind, old, new, text, marks: Vec::new(), unended: false });
            }
            mark(&mut lines, &raw, self.limits.line_bytes);
            let (old, new) = ((hunk.old_start(), hunk.old_lines()), (hunk.new_start(), hunk.new_lines()));
            let within = text_of(within, 200);
            found.hunks.push(Hunk { old, new, within, lines });
            if left == 0 {
                let shown = wharf_ui::format::count(self.limits.lines as u64);
                found.remark =
                    Some(format!("the first {shown} lines are shown; o opens the file, wharf diff prints all"));
                break;
            }
        }
        if found.hunks.is_empty() {
            found.remark = Some(match (file.modes(), file.old_path()) {
                (Some((old, new)), _) => format!("mode {old:06o} becomes {new:06o}; its content is the same"),
                (None, Some(_)) => "its content is the same".to_owned(),
                (None, None) => "it is empty".to_owned(),
            });
        }
        Ok(found)
    }
}

fn submodule(file: &FileChange) -> Hunks {
    let line = |kind, side: &Side| Line {
        kind,
        old: (kind == LineKind::Removed).then_some(1),
        new: (kind == LineKind::Added).then_some(1),
        text: format!("Subproject commit {}", side.id),
        marks: Vec::new(),
        unended: false,
    };
    let is = |side: &&Side| side.mode == u32::from(FileMode::Commit);
    let old = file.old.as_ref().filter(is).map(|s| line(LineKind::Removed, s));
    let new = file.new.as_ref().filter(is).map(|s| line(LineKind::Added, s));
    let count = |line: &Option<Line>| (u32::from(line.is_some()), u32::from(line.is_some()));
    let hunk =
        Hunk { old: count(&old), new: count(&new), within: String::new(), lines: old.into_iter().chain(new).collect() };
    Hunks { hunks: vec![hunk], remark: None }
}

/// Marks the words of lines that replace others: the first removed by the first added, and so on. Where only blanks
/// differ in a way that does not show, they are made visible.
fn mark(lines: &mut [Line], raw: &[&[u8]], max: usize) {
    let mut at = 0;
    while at < lines.len() {
        if lines[at].kind != LineKind::Removed {
            at += 1;
            continue;
        }
        let run = |from: usize, kind| lines[from..].iter().take_while(|l| l.kind == kind).count();
        let removed = run(at, LineKind::Removed);
        let added = run(at + removed, LineKind::Added);
        for i in 0..removed.min(added) {
            let (old, new) = (at + i, at + removed + i);
            if lines[old].text == lines[new].text {
                lines[old].text = text(raw[old], max, true);
                lines[new].text = text(raw[new], max, true);
            }
            if let Some((a, b)) = words::marks(&lines[old].text, &lines[new].text) {
                lines[old].marks = a;
                lines[new].marks = b;
            }
        }
        at += removed + added;
    }
}

fn text(bytes: &[u8], max: usize, visible: bool) -> String {
    let bytes = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    let (bytes, returned) = bytes.strip_suffix(b"\r").map_or((bytes, false), |rest| (rest, true));
    let cut = bytes.len() > max;
    let words = String::from_utf8_lossy(&bytes[..bytes.len().min(max)]);
    let words = if visible { words.replace('\t', TAB_SHOWN).replace(' ', BLANK_SHOWN) } else { words.into_owned() };
    let mut text = text_of(&words, usize::MAX);
    if cut {
        text.push('…');
    }
    if returned {
        text.push(RETURN);
    }
    text
}

fn text_of(words: &str, max: usize) -> String {
    words.replace('\t', TAB).chars().take(max).collect()
}
