//! How a run's environment was chosen: every rule that was looked at, with its row or line.

use std::path::Path;

use wharf_model::Step;
use wharf_model::rules::environment_choice::{Explanation, Rule};
use wharf_store::StoreError;
use wharf_store::view::RunDetail;

use super::{Around, Line};
use crate::config::{Layer, Overrides, PROJECT_FILE, load_project};

/// The choice as its step keeps it; none of a run that has not chosen yet, or did so before this was kept.
pub(super) fn choice(detail: &RunDetail) -> Option<Explanation> {
    let step = detail.steps.iter().find(|s| s.step == Step::Resolve)?;
    serde_json::from_value(step.detail.as_ref()?.get("choice")?.clone()).ok()
}

pub(super) fn lines(around: &Around<'_>, choice: Option<&Explanation>) -> Result<Vec<Line>, StoreError> {
    let Some(choice) = choice else { return Ok(Vec::new()) };
    let name = around.detail.line.environment.clone();
    let name = name.or_else(|| choice.environment.clone()).unwrap_or_else(|| "the company's default".to_owned());
    let mut out = vec![Line::new("ENVIRONMENT", name, format!("by {}", choice.rule.words()))];
    let config = accepted(around)?;
    for (looked, (who, said, verdict)) in choice.looked_at.iter().zip(choice.lines()) {
        let place = match looked.candidate.rule {
            Rule::Project | Rule::Agent => config.as_ref().and_then(|config| config.line(&looked.candidate.from)),
            Rule::Request | Rule::Workspace | Rule::Issue | Rule::Company => None,
        };
        let said = place.map_or(said.clone(), |place| format!("{said} ({place})"));
        out.push(Line::new(who, said, verdict));
    }
    Ok(out)
}

/// The file that is in force.
struct Accepted(crate::config::Loaded);

impl Accepted {
    /// The line at which a key stands, when it was written.
    fn line(&self, key: &str) -> Option<String> {
        let origin = self.0.where_from(key);
        (origin.layer == Layer::Project).then(|| format!("{PROJECT_FILE} line {}", origin.line))
    }
}

/// The project's file, where it still says what was accepted: lines of another text would mislead.
fn accepted(around: &Around<'_>) -> Result<Option<Accepted>, StoreError> {
    let Some(project) = around.reader.project(around.detail.run.project_id)? else { return Ok(None) };
    let loaded = load_project(&Path::new(&project.path).join(PROJECT_FILE), &Overrides::default());
    let same = |l: &crate::config::Loaded| Some(&l.executable_hash) == project.accepted_executable_hash.as_ref();
    Ok(loaded.ok().filter(same).map(Accepted))
}
