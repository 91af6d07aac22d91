//! What of an entity is copied and only the store knows: its row as a document, what it was started with, where.

use uuid::Uuid;
use wharf_model::{OperationId, RunId, ServiceId};
use wharf_store::StoreError;
use wharf_store::view::EntityKind;
use wharf_ui::effect::Written;

use super::Asking;
use crate::cli::documents;
use crate::dispatch::perform::shim_dir;
use crate::environment::transport::script::quote;
use crate::process::shim_dir::read_spec;

impl Asking<'_> {
    pub(super) fn in_form(&self, kind: &str, id: &str, what: Written) -> Result<Result<String, String>, StoreError> {
        let named = EntityKind::parse(kind).zip(Uuid::parse_str(id).ok());
        let Some((kind, id)) = named else { return Ok(Err(format!("{kind} {id} names nothing"))) };
        let found = match what {
            Written::Json => documents::row(self.reader, &self.scope.data, kind, id, self.now)?
                .and_then(|row| serde_json::to_string_pretty(&row).ok()),
            Written::CommandLine => self.command_line(kind, id)?,
            Written::Path => {
                let detail = if kind == EntityKind::Run { self.reader.run_detail(RunId(id))? } else { None };
                detail.and_then(|d| d.workspace?.cwd)
            }
        };
        let missing = match what {
            Written::Json => "its row is not in the store any more",
            Written::CommandLine => "what it was started with is not known, or not any more",
            Written::Path => "it has no directory",
        };
        Ok(found.ok_or_else(|| missing.to_owned()))
    }

    /// As it was started; for what was not started yet, as it is meant to be.
    fn command_line(&self, kind: EntityKind, id: Uuid) -> Result<Option<String>, StoreError> {
        let text = id.as_hyphenated().to_string();
        let (word, attempt, meant) = match kind {
            EntityKind::Run => {
                let Some(line) = self.reader.run_line(RunId(id))? else { return Ok(None) };
                ("run", line.attempt, None)
            }
            EntityKind::Service => {
                let Some(item) = self.reader.service(ServiceId(id))? else { return Ok(None) };
                ("service", item.service.generation, Some(item.service.command))
            }
            EntityKind::Operation => {
                let item = self.reader.operation(OperationId(id))?;
                return Ok(item.and_then(|item| item.operation.command));
            }
            _ => return Ok(None),
        };
        let dir = shim_dir(word, &text, attempt).map(|dir| self.scope.data.join(dir));
        // With its wrapping, where it works elsewhere; secrets are in no command line, they are refused there.
        let spec = dir.and_then(|dir| read_spec(&dir).ok());
        let started = spec.map(|spec| match spec.argv.as_slice() {
            [script] if spec.shell => script.clone(),
            argv => argv.iter().map(|word| shown(word)).collect::<Vec<_>>().join(" "),
        });
        Ok(started.or(meant).filter(|words| !words.is_empty()))
    }
}

/// A word as it is typed into a shell: quoted where the shell would read it otherwise.
fn shown(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,@%+".contains(c);
    if !word.is_empty() && word.chars().all(plain) { word.to_owned() } else { quote(word) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_line_can_be_typed_again() {
        assert_eq!(
            ["npm", "run", "a b", "it's", "", "--port=$PORT"].map(shown).join(" "),
            r"npm run 'a b' 'it'\''s' '' '--port=$PORT'"
        );
    }
}
