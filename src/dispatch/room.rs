//! What waits for room on the disk: which shims cannot write, and why the store cannot.

use std::collections::BTreeMap;

use wharf_model::Kind;
use wharf_model::state::State;

use super::election::DiskNeed;
use super::input::Fact;
use crate::clock;

/// Kept beside the rows: the disk that has no room may be that of the store.
#[derive(Debug, Default)]
pub struct Room {
    /// By kind and id, with the number.
    waiting: BTreeMap<(&'static str, String), String>,
    need: Option<DiskNeed>,
}

impl Room {
    /// Takes a fact; says whether it may have changed what waits. What has ended waits for nothing.
    pub fn heard(&mut self, fact: &Fact, state: &State) -> bool {
        let ended = match fact {
            Fact::DiskWaited { entity, id, waits: true } => {
                let number = number(state, entity, id).unwrap_or_else(|| (*entity).to_owned());
                return self.waiting.insert((*entity, id.clone()), number).is_none();
            }
            Fact::DiskWaited { entity, id, waits: false } => (*entity, id.clone()),
            // Most of the time nothing waits.
            _ if self.waiting.is_empty() => return false,
            Fact::RunEnded { run, .. } | Fact::RunLost { run, .. } => ("run", run.text()),
            Fact::ServiceEnded { service, .. } => ("service", service.text()),
            Fact::OperationEnded { operation, .. } => ("operation", operation.text()),
            _ => return false,
        };
        self.waiting.remove(&ended).is_some()
    }

    /// Puts together what is to be declared; says whether that is something else than before.
    pub fn changes(&mut self, store: Option<&str>) -> bool {
        let since = self.need.as_ref().map_or_else(|| clock::now().0, |need| need.since);
        let waiting: Vec<String> = self.waiting.values().cloned().collect();
        let need = DiskNeed::of(since, &waiting, store);
        let is_new = need != self.need;
        self.need = need;
        is_new
    }

    /// What was put together last; none when nothing waits.
    pub fn need(&self) -> Option<DiskNeed> {
        self.need.clone()
    }
}

fn number(state: &State, entity: &str, id: &str) -> Option<String> {
    match entity {
        "run" => state.runs.get(&id.parse().ok()?).map(|r| Kind::Run.number(r.number)),
        "service" => state.services.get(&id.parse().ok()?).map(|s| Kind::Service.number(s.number)),
        _ => state.operations.get(&id.parse().ok()?).map(|o| Kind::Operation.number(o.number)),
    }
}

#[cfg(test)]
mod tests {
    use wharf_model::RunId;

    use super::*;

    #[test]
    fn what_waits_is_told_once_and_over_when_it_ends_or_has_room() {
        let (mut room, state) = (Room::default(), State::default());
        let run = RunId(uuid::Uuid::from_u128(7));
        let disk = |waits| Fact::DiskWaited { entity: "run", id: run.text(), waits };
        let lost = Fact::RunLost {
            action: wharf_model::ActionId::NIL,
            run,
            attempt: 1,
            evidence: String::new(),
            output: crate::dispatch::input::RunOutput::default(),
            collected: None,
        };
        for over in [disk(false), lost] {
            assert!(!room.heard(&over, &state) && !room.changes(None), "nothing waits");
            assert!(room.heard(&disk(true), &state) && !room.heard(&disk(true), &state));
            assert!(room.changes(None) && !room.changes(None), "it is said once");
            let need = room.need().unwrap();
            assert_eq!((need.waiting, need.store), (vec!["run".to_owned()], None));
            assert!(room.changes(Some("no room")) && room.need().unwrap().store.is_some());
            assert!(room.heard(&over, &state));
            assert!(room.changes(Some("no room")) && room.need().unwrap().waiting.is_empty());
            assert!(room.changes(None) && room.need().is_none());
        }
    }
}
