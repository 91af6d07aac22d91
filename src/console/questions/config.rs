//! A change of a project's config that waits to be accepted.

use std::collections::BTreeMap;
use std::path::Path;

use wharf_model::config::{ProjectConfig, executable_difference};
use wharf_model::{ProjectRow, UnixMillis};
use wharf_store::{Reader, StoreError};
use wharf_ui::rows::{ConfigChange, PendingConfig, Preview, PreviewLine, PreviewVerb};
use wharf_ui::text;

use crate::config::Remembered;
use crate::dispatch::input::Known;
use crate::dispatch::prepare;

/// Cells of a row of the preview that a value may take.
const VALUE_CELLS: usize = 58;

/// The change that waits, as the store knows it. A config that was never accepted waits for the first
/// verb, which accepts it: for no decision.
pub fn pending(project: &ProjectRow) -> Option<PendingConfig> {
    project.accepted_at?;
    let new: ProjectConfig = serde_json::from_value(project.pending_config.clone()?).ok()?;
    Some(PendingConfig { project: project.id.text(), changes: changes(project, &new) })
}

fn changes(project: &ProjectRow, new: &ProjectConfig) -> Vec<ConfigChange> {
    // One that an older version stored and that cannot be read any more is replaced as a whole.
    let old = project.config.clone().and_then(|c| serde_json::from_value::<ProjectConfig>(c).ok());
    let differ = old.map(|old| executable_difference(&old, new)).unwrap_or_default();
    differ.into_iter().map(|c| ConfigChange { place: c.path, old: c.old, new: c.new }).collect()
}

/// What accepting the file as it stands now would put in force. The request says which file that was,
/// so that nothing is accepted that was not shown.
pub fn accept(reader: &Reader, project: &Path, at: UnixMillis) -> Result<Preview, StoreError> {
    let refused = |why: String| Ok(Preview { refused: Some(why), at, ..Preview::default() });
    let Some(row) = reader.project_at(&project.display().to_string())? else {
        return refused("this project is not in the store any more".to_owned());
    };
    let known = BTreeMap::from([(row.id, Known::from(&row))]);
    let read = match prepare::read(&Remembered::default(), project, &known) {
        Ok(read) => read,
        Err((_, words)) => return refused(words),
    };
    let hash = read.executable_hash();
    if row.accepted_executable_hash.as_deref().is_some_and(|accepted| read.is_accepted_as(accepted)) {
        return refused("it says again what is in force; there is nothing to accept".to_owned());
    }
    let mut lines = Vec::new();
    for change in changes(&row, &read.in_force()) {
        let (old, new) = change.values();
        lines.push(line(PreviewVerb::Changes, change.place.clone()));
        value("is", old, &mut lines);
        value("to", new, &mut lines);
    }
    if lines.is_empty() {
        lines.push(line(PreviewVerb::Changes, "the whole config: the one in force cannot be compared".to_owned()));
    }
    let note = "Agents, services and environments run with these values from now on; what runs already goes on as it \
                was started. It is recorded who accepted them."
        .to_owned();
    Ok(Preview { lines, note, at, args: vec![("executable_hash", hash)], ..Preview::default() })
}

fn line(verb: PreviewVerb, what: String) -> PreviewLine {
    PreviewLine { verb, what, how: String::new() }
}

/// A value, whole: what is going to be executed is never cut.
fn value(label: &str, words: &str, lines: &mut Vec<PreviewLine>) {
    let mut label = label;
    for row in words.lines() {
        for (from, to) in text::wrap(row, VALUE_CELLS) {
            lines.push(line(PreviewVerb::More, format!("{label:<2} {}", &row[from..to])));
            label = "";
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_value_is_shown_whole() {
        let command = (0..60).map(|i| format!("word{i}")).collect::<Vec<_>>().join(" ");
        let mut lines = Vec::new();
        value("to", &command, &mut lines);
        assert!(lines.len() > 3 && lines[0].what.starts_with("to word0"), "{lines:?}");
        let rows: Vec<&str> = lines.iter().map(|l| l.what[3..].trim()).collect();
        assert_eq!(rows.join(" "), command);
    }
}
