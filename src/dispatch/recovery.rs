//! What a start finds of what was open: the verdict on each, put together from the facts as they come.

use std::collections::BTreeMap;
use std::time::Instant;

use wharf_model::state::State;
use wharf_model::{ActionId, ActionKind, Kind, OperationStatus, RunId, RunRow, ServiceId, ServiceRow};

use super::input::{Fact, Found, Recovery, Verdict};

/// A recovery under way.
pub struct Recovering {
    began: Instant,
    /// By its id.
    open: BTreeMap<String, Found>,
    /// Those that have been judged.
    judged: BTreeMap<String, Found>,
    /// Requests that were answered meanwhile.
    pub requests: u64,
}

impl Recovering {
    /// Notes what an earlier reign has left: runs whose adapter, services whose process, and operations
    /// whose command may live.
    pub fn begin(state: &State, open: impl Iterator<Item = ActionId>) -> Self {
        let mut found = BTreeMap::new();
        for id in open {
            let Some(action) = state.actions.get(&id) else { continue };
            let (entity, number) = match action.kind {
                ActionKind::SpawnShim => {
                    let run = action.entity_id.parse::<RunId>().ok().and_then(|r| state.get::<RunRow>(r));
                    ("run", run.map(|r| Kind::Run.number(r.number)))
                }
                ActionKind::StartService => {
                    let it = action.entity_id.parse::<ServiceId>().ok().and_then(|s| state.get::<ServiceRow>(s));
                    ("service", it.map(|s| Kind::Service.number(s.number)))
                }
                _ => continue,
            };
            let Some(number) = number else { continue };
            let words = "not judged yet".to_owned();
            let it = Found { entity, id: action.entity_id.clone(), number, verdict: Verdict::Unknown, words };
            found.insert(action.entity_id.clone(), it);
        }
        let mut judged = BTreeMap::new();
        for row in state.operations.values().filter(|o| o.status == OperationStatus::Running) {
            // A run's is looked at by whoever makes its workspace, another one by the action that it belongs to.
            let own = row.metadata.as_ref().and_then(|m| m["action"].as_str());
            let kept = state.actions.values().any(|a| {
                a.kind == ActionKind::RealiseWorkspace && row.run_id.is_some_and(|run| a.entity_id == run.text())
                    || own.is_some_and(|own| a.id.text() == own)
            });
            let words = if kept { "not judged yet" } else { "its run has ended: it ends with its deadline" };
            let (entity, id) = ("operation", row.id.text());
            let number = Kind::Operation.number(row.number);
            let it = Found { entity, id: id.clone(), number, verdict: Verdict::Unknown, words: words.to_owned() };
            if kept {
                found.insert(id, it)
            } else {
                judged.insert(id, it)
            };
        }
        Self { began: Instant::now(), open: found, judged, requests: 0 }
    }

    /// Whether each has been judged.
    pub fn is_settled(&self) -> bool {
        self.open.is_empty()
    }

    /// Takes a fact: the first word about each is its verdict.
    pub fn heard(&mut self, fact: &Fact) {
        let (of, verdict, words) = match fact {
            Fact::RunStarted { run, adopted: Some(byte), .. } => {
                (run.text(), Verdict::Adopted, format!("from byte {byte}"))
            }
            Fact::RunStarted { run, adopted: None, .. } => (run.text(), Verdict::Started, "started now".to_owned()),
            Fact::RunObserved { run, unknown: Some(why), .. } => (run.text(), Verdict::Unknown, why.clone()),
            Fact::RunEnded { run, exit, .. } => (run.text(), Verdict::Ended, how(exit)),
            Fact::RunNotStarted { run, message, .. } => (run.text(), Verdict::Ended, message.clone()),
            Fact::RunLost { run, evidence, .. } => (run.text(), Verdict::Lost, evidence.clone()),
            Fact::ServiceStarted { service, adopted, .. } => {
                let verdict = if *adopted { Verdict::Adopted } else { Verdict::Started };
                (service.text(), verdict, "still up".to_owned())
            }
            Fact::ServiceEnded { service, exit: Some(exit), .. } => (service.text(), Verdict::Ended, how(exit)),
            Fact::ServiceEnded { service, exit: None, message, .. } => {
                (service.text(), Verdict::Lost, message.clone().unwrap_or_else(|| "it is gone".to_owned()))
            }
            Fact::OperationObserved { operation, verdict, words } => (operation.text(), *verdict, words.clone()),
            Fact::OperationEnded { operation, end } => {
                let lost = end.status == OperationStatus::Lost;
                let how = || end.exit_code.map_or_else(|| "ended".to_owned(), |code| format!("exit {code}"));
                let words = end.error.clone().unwrap_or_else(how);
                (operation.text(), if lost { Verdict::Lost } else { Verdict::Ended }, words)
            }
            _ => return,
        };
        if let Some((id, found)) = self.open.remove_entry(&of) {
            self.judged.insert(id, Found { verdict, words, ..found });
        }
    }

    /// Ends it: what nobody has judged by now is unknown.
    pub fn end(&mut self) -> Recovery {
        let mut found: Vec<Found> = std::mem::take(&mut self.judged).into_values().collect();
        found.extend(std::mem::take(&mut self.open).into_values());
        found.sort_by(|a, b| (a.verdict, a.entity, &a.id).cmp(&(b.verdict, b.entity, &b.id)));
        let took_ms = i64::try_from(self.began.elapsed().as_millis()).unwrap_or(i64::MAX);
        Recovery { took_ms, found, requests: self.requests }
    }
}

/// How a child ended, in words.
fn how(exit: &wharf_model::shim::ExitFrame) -> String {
    match (&exit.spawn_error, &exit.signal, exit.code) {
        (Some(error), _, _) => error.message.clone(),
        (None, Some(signal), _) => format!("killed by {signal}"),
        (None, None, Some(code)) => format!("exit {code}"),
        (None, None, None) => "ended without an exit code".to_owned(),
    }
}
