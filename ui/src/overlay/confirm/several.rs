//! What is said when several things are confirmed together: one preview does not keep what another one stops.

use super::{Confirm, Item};
use crate::rows::{Preview, PreviewLine, PreviewVerb};

impl Confirm {
    /// Names of what all of it stops.
    fn stopped(&self) -> Vec<&str> {
        let stops = |p: &Preview| p.lines.iter().any(|l| l.verb == PreviewVerb::Stops);
        self.doable().filter(|(_, p)| stops(p)).map(|(i, _)| i.name.as_str()).collect()
    }

    /// Lines of one preview, as they are when all of it is done: what another one stops is not kept.
    pub(super) fn lines_of<'a>(&self, item: &Item, preview: &'a Preview) -> impl Iterator<Item = &'a PreviewLine> {
        let others: Vec<String> =
            self.stopped().into_iter().filter(|name| *name != item.name).map(str::to_owned).collect();
        let goes = move |line: &PreviewLine| {
            let name = line.what.split_whitespace().next().unwrap_or_default();
            line.verb == PreviewVerb::Keeps && others.iter().any(|o| o == name)
        };
        preview.lines.iter().filter(move |line| !goes(line))
    }

    /// What is said below the lines, each once; with names where it is not the same for all.
    pub(super) fn notes(&self) -> Vec<String> {
        let mut notes: Vec<(&str, Vec<&str>)> = Vec::new();
        for (item, preview) in self.doable().filter(|(_, p)| !p.note.is_empty()) {
            // Of whom nobody but those that stop as well was kept, there is nothing left to say.
            let kept = |line: &PreviewLine| line.verb == PreviewVerb::Keeps;
            if preview.lines.iter().any(kept) && !self.lines_of(item, preview).any(kept) {
                continue;
            }
            match notes.iter_mut().find(|(note, _)| *note == preview.note) {
                Some((_, names)) => names.push(&item.name),
                None => notes.push((&preview.note, vec![&item.name])),
            }
        }
        match notes.as_slice() {
            [(note, _)] => vec![(*note).to_owned()],
            many => many.iter().map(|(note, names)| format!("{}: {note}", names.join(", "))).collect(),
        }
    }
}
