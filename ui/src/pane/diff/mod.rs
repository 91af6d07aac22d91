//! What was changed: files above, the lines of those that are unfolded below.
//!
//! One cursor goes through both. Only what is in view is drawn, so thousands of files cost no more than a screen of
//! them; the lines of a file are asked for when it is unfolded.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use ratatui::layout::Rect;
use wharf_model::UnixMillis;

use crate::effect::{DiffOf, Effect, Question};
use crate::env::{Env, Outbox};
use crate::msg::Answer;
use crate::rows::{DiffHunks, DiffKind, DiffListing};

mod motion;
mod search;
mod tab;
#[cfg(test)]
mod tests;
mod view;

pub use tab::DiffTab;

use search::{Search, Typing};

/// Files whose lines are kept; the one that was unfolded first is folded for another.
const UNFOLDED_MAX: usize = 64;
/// Pause between two readings of what is being changed, and how many times longer than a reading it is at least.
const PACE_MS: i64 = 2_000;
const PACE_TIMES: i64 = 10;
/// Remarks that are told.
const REMARKS_MAX: usize = 2;

/// Where the cursor is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum At {
    /// On a file.
    File(usize),
    /// On a row below the files.
    Row(usize),
}

/// A row below the files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Row {
    /// Beginning of a hunk: file, hunk.
    Head(usize, usize),
    /// A line: file, hunk, line.
    Line(usize, usize, usize),
    /// What is to be said of a file's lines.
    Words(usize),
    /// Between two hunks.
    Blank,
}

/// Rows of the parts, as the area last was.
#[derive(Debug, Clone, Copy, Default)]
struct Room {
    head: u16,
    files: u16,
    rows: u16,
}

/// One comparison on the screen.
#[derive(Debug, Clone)]
pub struct DiffPane {
    of: DiffOf,
    listing: Option<Result<Arc<DiffListing>, String>>,
    asked_at: Option<UnixMillis>,
    /// Paths that are unfolded, in the order in which that was done.
    unfolded: Vec<String>,
    /// Lines by path, with the token of the file that they were read of.
    lines: HashMap<String, (String, Result<Arc<DiffHunks>, String>)>,
    rows: Vec<Row>,
    cursor: At,
    top_file: usize,
    top_row: usize,
    sideways: usize,
    room: Room,
    /// A file whose first hunk is to come into view once it is known.
    show: Option<String>,
    /// It was being changed when last looked at.
    live: bool,
    /// The first file has been unfolded by itself.
    begun: bool,
    search: Option<Search>,
    typing: Option<Typing>,
}

impl DiffPane {
    /// Of something that nobody has asked for yet.
    pub fn new(of: DiffOf) -> Self {
        Self {
            of,
            listing: None,
            asked_at: None,
            unfolded: Vec::new(),
            lines: HashMap::new(),
            rows: Vec::new(),
            cursor: At::File(0),
            top_file: 0,
            top_row: 0,
            sideways: 0,
            room: Room::default(),
            show: None,
            live: false,
            begun: false,
            search: None,
            typing: None,
        }
    }

    /// What is compared.
    pub const fn of(&self) -> DiffOf {
        self.of
    }

    /// What is shown, in words, once it is known.
    pub fn title(&self) -> Option<&str> {
        self.listed().map(|l| l.title.as_str())
    }

    fn listed(&self) -> Option<&DiffListing> {
        self.listing.as_ref()?.as_ref().ok().map(Arc::as_ref)
    }

    /// Reads again, unless that is under way.
    pub fn again(&mut self, env: &Env, out: &mut Outbox) {
        if self.listing.is_some() || self.asked_at.is_none() {
            self.asked_at = Some(env.now);
        }
        out.ask_once(Question::Diff(self.of));
    }

    /// Asks for what is missing, and again for what is being changed; fits cursor and windows into the area.
    pub fn settle(&mut self, live: bool, env: &Env, out: &mut Outbox, area: Rect) {
        let due = match (&self.listing, self.asked_at) {
            // While it is open it is not asked once more, and it may have given way to another.
            (_, None) | (None, _) => true,
            (Some(known), Some(asked)) => {
                let took = known.as_ref().map_or(0, |l| l.took_ms);
                // Once more when that is over: what came last counts, too.
                let over = self.live && !live;
                over || live && asked.until(env.now) >= PACE_MS.max(took.saturating_mul(PACE_TIMES))
            }
        };
        self.live = live;
        if due {
            self.again(env, out);
        }
        if let (false, Some(first)) = (self.begun, self.listed().and_then(|l| l.files.first())) {
            let path = first.path.clone();
            self.begun = true;
            self.unfold(path);
        }
        if let Some(listing) = self.listed() {
            let wanted: BTreeSet<&String> = self.unfolded.iter().collect();
            for (i, file) in listing.files.iter().enumerate().filter(|(_, f)| wanted.contains(&f.path)) {
                let known = self.lines.get(&file.path).is_some_and(|(token, _)| *token == file.token);
                if !known {
                    out.ask_once(Question::DiffFile { of: self.of, stamp: listing.stamp, file: i as u32 });
                }
            }
        }
        self.fit(area);
    }

    /// Takes what answers a question of its own.
    pub fn answer(&mut self, question: &Question, answer: &Result<Answer, String>) {
        match (question, answer) {
            (Question::Diff(of), Ok(Answer::Diff(listing))) if *of == self.of => self.take(listing),
            (Question::Diff(of), Err(words)) if *of == self.of => {
                self.listing = Some(Err(words.clone()));
                self.rebuild();
            }
            (Question::DiffFile { of, stamp, file }, answer) if *of == self.of => {
                // Lines of another reading may stand elsewhere by now.
                let of_this = self.listed().filter(|l| l.stamp == *stamp);
                let Some(file) = of_this.and_then(|l| l.files.get(*file as usize)) else { return };
                let (path, token) = (file.path.clone(), file.token.clone());
                let lines = match answer {
                    Ok(Answer::DiffFile(hunks)) if hunks.stale => return,
                    Ok(Answer::DiffFile(hunks)) => Ok(Arc::clone(hunks)),
                    Ok(_) => return,
                    Err(words) => Err(words.clone()),
                };
                self.lines.insert(path, (token, lines));
                self.rebuild();
            }
            _ => {}
        }
    }

    fn take(&mut self, listing: &Arc<DiffListing>) {
        if let Some(words) = &listing.refused {
            self.listing = Some(Err(words.clone()));
            return self.rebuild();
        }
        let path = self.path().map(str::to_owned);
        let known: BTreeSet<&String> = listing.files.iter().map(|f| &f.path).collect();
        self.unfolded.retain(|p| known.contains(p));
        self.lines.retain(|p, _| known.contains(p));
        self.listing = Some(Ok(Arc::clone(listing)));
        // The cursor stays on its file, wherever that stands now.
        if let (At::File(_), Some(path)) = (self.cursor, path)
            && let Some(at) = self.listed().and_then(|l| l.files.iter().position(|f| f.path == path))
        {
            self.cursor = At::File(at);
        }
        self.rebuild();
    }

    /// Makes the rows below the files anew.
    fn rebuild(&mut self) {
        let mut rows = Vec::new();
        if let Some(listing) = self.listed() {
            let unfolded: BTreeSet<&String> = self.unfolded.iter().collect();
            for (f, file) in listing.files.iter().enumerate().filter(|(_, file)| unfolded.contains(&file.path)) {
                if !rows.is_empty() {
                    rows.push(Row::Blank);
                }
                let Some((_, Ok(lines))) = self.lines.get(&file.path) else {
                    rows.push(Row::Words(f));
                    continue;
                };
                for (h, hunk) in lines.hunks.iter().enumerate() {
                    if h > 0 {
                        rows.push(Row::Blank);
                    }
                    rows.push(Row::Head(f, h));
                    rows.extend((0..hunk.lines.len()).map(|l| Row::Line(f, h, l)));
                }
                if lines.remark.is_some() || lines.hunks.is_empty() {
                    rows.push(Row::Words(f));
                }
            }
        }
        self.rows = rows;
        self.find_hits();
    }

    /// The file that a row belongs to.
    const fn file_of(row: Row) -> Option<usize> {
        match row {
            Row::Head(f, _) | Row::Line(f, ..) | Row::Words(f) => Some(f),
            Row::Blank => None,
        }
    }

    fn file_at(&self) -> Option<usize> {
        match self.cursor {
            At::File(f) => Some(f),
            At::Row(r) => self.rows.get(..=r)?.iter().rev().find_map(|row| Self::file_of(*row)),
        }
    }

    /// Path of the file under the cursor.
    pub fn path(&self) -> Option<&str> {
        self.listed()?.files.get(self.file_at()?).map(|f| f.path.as_str())
    }

    /// Path of the file under the cursor, whole where its root is known.
    pub fn full_path(&self) -> Option<String> {
        let path = self.path()?;
        Some(match &self.listed()?.root {
            Some(root) => format!("{root}/{path}"),
            None => path.to_owned(),
        })
    }

    /// Files, and the lines of those that are unfolded, as text: hunks in the form of a patch.
    pub fn text(&self) -> String {
        let listing = match &self.listing {
            Some(Ok(listing)) => listing,
            Some(Err(words)) => return words.clone(),
            None => return String::new(),
        };
        let mut out = format!("{}   {}   {}\n", listing.title, listing.base, listing.end);
        out.extend(listing.remarks.iter().map(|remark| format!("{remark}\n")));
        for (f, file) in listing.files.iter().enumerate() {
            let counts = file.counts.map_or_else(|| file.note.clone(), |(more, less)| format!("+{more} -{less}"));
            out.push_str(format!("{} {}   {counts}", file.letter, file.path).trim_end());
            out.push('\n');
            let hunks = self.hunks(f).filter(|_| self.is_unfolded(&file.path));
            for hunk in hunks.into_iter().flat_map(|h| &h.hunks) {
                let ((old, old_n), (new, new_n)) = (hunk.old, hunk.new);
                out.push_str(format!("@@ -{old},{old_n} +{new},{new_n} @@ {}", hunk.within).trim_end());
                out.push('\n');
                for line in &hunk.lines {
                    let sign = match line.kind {
                        DiffKind::Context => ' ',
                        DiffKind::Added => '+',
                        DiffKind::Removed => '-',
                    };
                    out.push_str(&format!("{sign}{}\n", line.text));
                }
            }
        }
        out
    }

    fn hunks(&self, file: usize) -> Option<&DiffHunks> {
        let path = &self.listed()?.files.get(file)?.path;
        self.lines.get(path).and_then(|(_, lines)| lines.as_ref().ok()).map(Arc::as_ref)
    }

    fn is_unfolded(&self, path: &str) -> bool {
        self.unfolded.iter().any(|p| p == path)
    }

    fn unfold(&mut self, path: String) {
        if self.unfolded.len() >= UNFOLDED_MAX {
            let first = self.unfolded.remove(0);
            self.lines.remove(&first);
        }
        self.show = Some(path.clone());
        self.unfolded.push(path);
        self.rebuild();
    }

    /// Folds or unfolds the file under the cursor.
    pub fn toggle(&mut self) {
        let Some(path) = self.path().map(str::to_owned) else { return };
        if let Some(at) = self.file_at() {
            self.cursor = At::File(at);
        }
        if self.is_unfolded(&path) {
            self.unfolded.retain(|p| *p != path);
            self.rebuild();
        } else {
            self.unfold(path);
        }
    }

    /// Opens the file under the cursor in the operator's editor, at the line under it.
    ///
    /// # Errors
    /// It is not there to be opened, in words.
    pub fn open(&self) -> Result<Effect, String> {
        let Some(listing) = self.listed() else { return Err("nothing is shown yet".to_owned()) };
        let Some(file) = self.file_at().and_then(|f| listing.files.get(f)) else {
            return Err("nothing differs".to_owned());
        };
        let Some(root) = &listing.root else {
            return Err("a commit is shown, which has no files to open".to_owned());
        };
        if file.letter == 'D' {
            return Err(format!("{} was deleted", file.path));
        }
        let line = match self.cursor {
            At::Row(r) => self.line_near(r),
            At::File(f) => self.hunks(f).and_then(|h| h.hunks.first()).map(|h| h.new.0.saturating_add(3)),
        };
        Ok(Effect::EditFile { path: format!("{root}/{}", file.path), line: u64::from(line.unwrap_or(1).max(1)) })
    }

    /// Number at the other end of the line under the cursor, or of the next one that has one.
    fn line_near(&self, row: usize) -> Option<u32> {
        self.rows.get(row..)?.iter().find_map(|row| match *row {
            Row::Line(f, h, l) => self.hunks(f)?.hunks.get(h)?.lines.get(l)?.new,
            Row::Head(f, h) => self.hunks(f)?.hunks.get(h).map(|h| h.new.0),
            _ => None,
        })
    }
}
