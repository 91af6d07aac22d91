//! What was changed, read from the checkouts by a thread of its own: it may take long where much differs, and nothing
//! else on the screen waits for it.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use wharf_store::Reader;
use wharf_ui::effect::{DiffOf, Question};
use wharf_ui::msg::Answer;
use wharf_ui::rows::{DiffFile, DiffHunk, DiffHunks, DiffKind, DiffLine, DiffListing};

use crate::clock;
use crate::once_there::once_there;
use crate::workspace::diff::subject::{self, Asked};
use crate::workspace::diff::{Comparison, Content, FileChange, Hunks, Limits, LineKind};

/// Readings whose lines can be asked for.
const KEPT: usize = 2;

/// Answers what was changed.
pub struct Diffs {
    data: PathBuf,
    reader: Option<Reader>,
    kept: VecDeque<(DiffOf, u64, Comparison)>,
    stamp: u64,
}

impl Diffs {
    /// Over this store.
    pub fn new(data: PathBuf) -> Self {
        Self { data, reader: None, kept: VecDeque::new(), stamp: 0 }
    }

    /// Answers one question.
    ///
    /// # Errors
    /// It cannot be told, in words.
    pub fn answer(&mut self, question: &Question) -> Result<Answer, String> {
        match question {
            // That nothing can be compared is an answer, too.
            Question::Diff(of) => Ok(Answer::Diff(Arc::new(self.list(*of).unwrap_or_else(|words| DiffListing {
                refused: Some(words),
                read_at: clock::now(),
                ..DiffListing::default()
            })))),
            Question::DiffFile { of, stamp, file } => {
                self.lines(*of, *stamp, *file).map(|hunks| Answer::DiffFile(Arc::new(hunks)))
            }
            _ => Err("this is not read from a checkout".to_owned()),
        }
    }

    fn list(&mut self, of: DiffOf) -> Result<DiffListing, String> {
        if self.reader.is_none() {
            let data = self.data.clone();
            self.reader = Some(once_there(|| Reader::open(&data)).map_err(|e| e.to_string())?);
        }
        let Some(reader) = &self.reader else { return Err("the store is not open".to_owned()) };
        let began = Instant::now();
        let asked = match of {
            DiffOf::Workspace(id) => Asked::Workspace(id),
            DiffOf::Run(id) => Asked::Run(id),
            DiffOf::Runs(first, second) => Asked::Runs(first, second),
        };
        let subject = subject::find(reader, asked).inspect_err(|_| self.reader = None)?;
        let comparison = subject.compare(Limits::SCREEN)?;
        self.stamp += 1;
        let found = &comparison.listing;
        let listing = DiffListing {
            title: subject.title.clone(),
            base: found.base.clone(),
            end: found.end.clone(),
            remarks: found.remarks.clone(),
            stamp: self.stamp,
            read_at: clock::now(),
            took_ms: i64::try_from(began.elapsed().as_millis()).unwrap_or(i64::MAX),
            root: subject.worktree().map(|root| root.display().to_string().trim_end_matches('/').to_owned()),
            files: found.files.iter().map(file).collect(),
            refused: None,
        };
        // What was read of it before is asked for no more.
        self.kept.retain(|(kept, ..)| *kept != of);
        self.kept.truncate(KEPT - 1);
        self.kept.push_front((of, self.stamp, comparison));
        Ok(listing)
    }

    fn lines(&self, of: DiffOf, stamp: u64, file: u32) -> Result<DiffHunks, String> {
        let kept = self.kept.iter().find(|(kept, at, _)| *kept == of && *at == stamp);
        let Some((_, _, comparison)) = kept else {
            return Ok(DiffHunks { stale: true, ..DiffHunks::default() });
        };
        let file = comparison.listing.files.get(file as usize).ok_or_else(|| "there is no such file".to_owned())?;
        comparison.hunks(file).map(hunks).map_err(|e| e.to_string())
    }
}

fn file(change: &FileChange) -> DiffFile {
    let text = |path: &[u8]| String::from_utf8_lossy(path).into_owned();
    let id = |side: &Option<crate::workspace::diff::Side>| {
        side.as_ref().map_or_else(String::new, |s| format!("{} {:o}", s.id, s.mode))
    };
    let mut note = match &change.content {
        Content::Text => String::new(),
        Content::Unread(why) => why.clone(),
        content => content.word().to_owned(),
    };
    if let (Some((old, new)), true) = (change.modes(), change.content == Content::Text) {
        note = format!("mode {old:o} → {new:o}");
    }
    DiffFile {
        path: text(change.path()),
        old_path: change.old_path().map(text),
        letter: change.letter(),
        // A mode says more than that no line differs.
        counts: change.counts.filter(|counts| *counts != (0, 0) || note.is_empty()),
        note,
        token: format!("{} → {}", id(&change.old), id(&change.new)),
    }
}

fn hunks(found: Hunks) -> DiffHunks {
    let hunk = |hunk: crate::workspace::diff::Hunk| DiffHunk {
        old: hunk.old,
        new: hunk.new,
        within: hunk.within,
        lines: hunk
            .lines
            .into_iter()
            .map(|line| DiffLine {
                kind: match line.kind {
                    LineKind::Context => DiffKind::Context,
                    LineKind::Added => DiffKind::Added,
                    LineKind::Removed => DiffKind::Removed,
                },
                old: line.old,
                new: line.new,
                text: line.text,
                marks: line.marks,
                unended: line.unended,
            })
            .collect(),
    };
    DiffHunks { hunks: found.hunks.into_iter().map(hunk).collect(), remark: found.remark, stale: false }
}
