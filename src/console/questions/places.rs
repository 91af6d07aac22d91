//! Environments: their page, what is known of one, and what taking it out of use would do.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::Value;
use wharf_model::filter::Filter;
use wharf_model::{EnvironmentId, EnvironmentRow, EnvironmentStatus, Kind, LeaseStatus, Origin};
use wharf_store::StoreError;
use wharf_store::view::{ActivityQuery, EnvironmentItem, LeaseItem, LeaseQuery};
use wharf_ui::effect::EnvironmentVerb;
use wharf_ui::rows::{
    ActivityLine, EnvironmentDetail, EnvironmentLine, FactBlock, Page, Preview, PreviewLine, PreviewVerb, lease_state,
};

use super::filter::passes;
use super::{Asking, rows};
use crate::environment::{Site, registry};

/// Open leases of one environment that are shown.
const LEASES: usize = 200;
/// Entries of its trail that are shown.
const TRAIL: usize = 100;

impl Asking<'_> {
    /// All environments: they are few.
    pub(super) fn environments(&self, filter: &Filter) -> Result<Page<EnvironmentLine>, StoreError> {
        let all = self.reader.environments(self.company()?)?;
        let known = all.len();
        let shown: Vec<&EnvironmentItem> =
            all.iter().filter(|item| passes(filter, &rows::environment_facts(item), self.at)).collect();
        let mut lines = Vec::new();
        for item in &shown {
            let mut line = rows::environment(item);
            line.written = self.written(&item.environment)?;
            lines.push(line);
        }
        let hidden = (known - shown.len()) as u64;
        Ok(Page { total: lines.len() as u64, rows: lines, hidden, more: false })
    }

    /// File and line at which an environment is written.
    fn written(&self, row: &EnvironmentRow) -> Result<Option<(String, u64)>, StoreError> {
        if row.origin != Origin::Config {
            return Ok(None);
        }
        let project = match row.config["project"].as_str().and_then(|p| p.parse().ok()) {
            Some(project) => self.reader.project(project)?.map(|p| PathBuf::from(p.path)),
            None => None,
        };
        let base = project.or_else(|| row.config["base"].as_str().map(PathBuf::from));
        let file = base.map(|b| b.join("wharf.toml")).filter(|f| f.is_file());
        Ok(file.map(|f| (f.display().to_string(), line_of(&f, &row.name))))
    }

    pub(super) fn environment_detail(&self, id: EnvironmentId) -> Result<Option<EnvironmentDetail>, StoreError> {
        let Some(item) = self.reader.environments(None)?.into_iter().find(|e| e.environment.id == id) else {
            return Ok(None);
        };
        let row = &item.environment;
        let query = ActivityQuery { entity: Some(("environment".into(), id.text())), ..ActivityQuery::default() };
        let trail = self.reader.activity(&query, None, TRAIL)?.rows;
        let history: Vec<ActivityLine> = trail.iter().map(|row| rows::activity(0, row)).collect();
        let leases: Vec<_> = self.open_leases(id)?.iter().map(lease_fact).collect();
        Ok(Some(EnvironmentDetail {
            named_by: self.named_by(row)?,
            capabilities: capabilities(row, &self.scope.data),
            leases: vec![FactBlock { facts: leases }],
            config: rows::realisation(&without_secrets(&row.driver_config())),
            history,
        }))
    }

    fn open_leases(&self, id: EnvironmentId) -> Result<Vec<LeaseItem>, StoreError> {
        let query = LeaseQuery { open: Some(true), environment: Some(id), ..LeaseQuery::default() };
        Ok(self.reader.leases(&query, None, LEASES)?.rows)
    }

    /// Agents and projects that run there when nothing else is said.
    fn named_by(&self, row: &EnvironmentRow) -> Result<Vec<String>, StoreError> {
        let projects = self.reader.projects(Some(row.company_id))?;
        let is_it = |name: &Option<String>| name.as_deref() == Some(&row.name);
        let agents = self.reader.agents(None)?.into_iter().filter(|a| a.agent.company_id == row.company_id);
        let mut named: Vec<String> =
            agents.filter(|a| is_it(&a.agent.default_environment)).map(|a| format!("agent {}", a.agent.name)).collect();
        let projects = projects.iter().filter(|p| is_it(&p.default_environment));
        named.extend(projects.map(|p| format!("project {}", p.key)));
        Ok(named)
    }

    /// What archiving or deleting it does to its leases; the request itself is judged by its own rule.
    pub(super) fn environment_preview(&self, id: EnvironmentId, verb: EnvironmentVerb) -> Result<Preview, StoreError> {
        let refused = |why: &str| Preview { refused: Some(why.to_owned()), at: self.now, ..Preview::default() };
        let Some(item) = self.reader.environments(None)?.into_iter().find(|e| e.environment.id == id) else {
            return Ok(refused("there is no such environment any more"));
        };
        let (row, archive) = (&item.environment, verb == EnvironmentVerb::Archive);
        if archive && row.status == EnvironmentStatus::Archived {
            return Ok(refused("it is archived already"));
        }
        let mut lines = Vec::new();
        let mut add = |verb, what: String, how: &str| lines.push(PreviewLine { verb, what, how: how.to_owned() });
        for lease in self.open_leases(id)? {
            let run = lease.run_number.map_or_else(String::new, |n| format!(" of {}", Kind::Run.number(n)));
            let what = format!("{}{run}", Kind::Lease.number(lease.lease.number));
            match (lease.lease.status, archive) {
                (LeaseStatus::Waiting, _) => add(PreviewVerb::Stops, what, "it waits for a slot and fails"),
                (LeaseStatus::Acquiring | LeaseStatus::Active, true) => {
                    add(PreviewVerb::Keeps, what, "until its run ends")
                }
                (LeaseStatus::Acquiring | LeaseStatus::Active, false) => {
                    add(PreviewVerb::Waits, what, "it must end first")
                }
                (_, true) => add(PreviewVerb::Keeps, what, "as it is"),
                (_, false) => add(PreviewVerb::Removes, what, "cleaned up first, whatever it holds"),
            }
        }
        for name in self.named_by(row)? {
            add(PreviewVerb::Leaves, name, "names it, and fails with its next run");
        }
        let (verb, how) = if archive {
            (PreviewVerb::Records, "archived: no run starts there")
        } else {
            (PreviewVerb::Removes, "its settings; its runs stay in the ledger")
        };
        add(verb, format!("{} {}", Kind::Environment.number(row.number), row.name), how);
        let note = if archive { "R takes it into use again." } else { "This cannot be undone." };
        let args = Vec::new();
        Ok(Preview { lines, note: note.to_owned(), expect: Vec::new(), at: self.now, refused: None, args })
    }
}

fn lease_fact(item: &LeaseItem) -> wharf_ui::rows::Fact {
    let (class, word) = lease_state(item.lease.status);
    let names = [item.run_number.map(|n| Kind::Run.number(n)), item.agent.clone(), item.issue.clone()];
    let mut about: Vec<String> = names.into_iter().flatten().collect();
    about.extend(rows::waits(item));
    rows::fact(&Kind::Lease.number(item.lease.number), format!("{} {word}", class.glyph()), about.join(" "))
}

/// What its driver can do, in words; what is wrong with it where there is none.
fn capabilities(row: &EnvironmentRow, data: &Path) -> Vec<(String, String)> {
    let operator: BTreeMap<String, String> = std::env::vars().collect();
    let site = Site::of(data, &Arc::new(operator), row);
    let driver = match registry::driver(row.driver, &row.driver_config(), &site) {
        Ok(driver) => driver.capabilities(),
        Err(error) => return vec![("driver".into(), error.to_string())],
    };
    let yes = |label: &str, can: bool, with: &str, without: &str| {
        (label.to_owned(), if can { format!("yes{with}") } else { format!("no{without}") })
    };
    vec![
        yes("resume", driver.resume, ", what a lease held is found again", ""),
        yes("extend", driver.extend, "", ", a lease has the time that it was given"),
        yes("terminal", driver.tty, "", ", commands run there without one"),
        yes("list", driver.list, "", ", it cannot say what runs there"),
        yes("outlives", driver.persistent, ", what runs there outlives the console", ""),
        yes("files", driver.shared_files, ", those of this machine", ", they are carried there and back"),
    ]
}

/// Settings without a value that may be a secret: variables are told by their names.
pub(crate) fn without_secrets(config: &Value) -> Value {
    let Value::Object(map) = config else { return config.clone() };
    map.iter()
        .map(|(key, value)| {
            let value = match (key.as_str(), value) {
                ("env", Value::Object(env)) => Value::String(env.keys().cloned().collect::<Vec<_>>().join(", ")),
                _ => value.clone(),
            };
            (key.clone(), value)
        })
        .collect()
}

/// The line at which a file names an environment; its first where none does.
fn line_of(file: &Path, name: &str) -> u64 {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    let mut inside = false;
    for (i, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.starts_with('[') {
            inside = line.starts_with("[[environment]]");
        }
        let named = line.strip_prefix("name").map(str::trim_start).and_then(|l| l.strip_prefix('='));
        let quoted = named.map(|n| n.split('#').next().unwrap_or(n).trim().trim_matches(['"', '\'']));
        if inside && quoted == Some(name) {
            return i as u64 + 1;
        }
    }
    1
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_environment_is_found_at_its_line() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("wharf.toml");
        std::fs::write(&file, "[project]\nname = \"box\"\n\n[[environment]]\nname = 'box' # ours\n").unwrap();
        assert_eq!((line_of(&file, "box"), line_of(&file, "other")), (5, 1));
    }

    #[test]
    fn variables_are_told_by_their_names() {
        let config = json!({ "host": "a", "env": { "TOKEN": "hidden", "LANG": "C" } });
        assert_eq!(without_secrets(&config), json!({ "host": "a", "env": "LANG, TOKEN" }));
    }
}
