//! A lease's private directory from its making to its removal.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;

use super::super::place::Place;
use super::super::{code, limits, sources};
use super::{Bubblewrap, PREFIX, blocking, probe};
use crate::environment::driver::{AcquireAsk, Answer, Check, Held, Outcome, Place as Got, Resumed, Seen};

/// Time that what still runs in a sandbox has to end by itself when it is given back.
const GRACE: Duration = Duration::from_secs(5);

impl Bubblewrap {
    pub(super) async fn acquire(&self, ask: &AcquireAsk) -> Answer<Got> {
        if let Some(wrong) = probe::usable(self).await.into_iter().find(Check::is_error) {
            let hint = wrong.hint.map(|hint| format!("; {hint}")).unwrap_or_default();
            return Answer::refused(code::ACQUIRE, format!("{}{hint}", wrong.message));
        }
        if let Err(why) = sources::binds(&self.config, &self.site) {
            return Answer::refused(code::ACQUIRE, why);
        }
        let (this, place) = (self.clone(), Place::of_lease(&self.site.data, ask.environment, ask.lease));
        blocking(move || match place.make() {
            Ok(()) => Answer::Done(this.got(&place)),
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
                Answer::refused(code::ACQUIRE, error.to_string())
            }
            Err(error) => Answer::unknown(format!("{} cannot be made: {error}", place.dir().display())),
        })
        .await
    }

    pub(super) async fn resume(&self, ask: &AcquireAsk, id: &str) -> Answer<Resumed> {
        let Some(place) = Place::of_provider_id(&self.site.data, ask.environment, PREFIX, id) else {
            return Answer::Done(Resumed::Gone);
        };
        let this = self.clone();
        blocking(move || match place.is_there() {
            Ok(true) => Answer::Done(Resumed::Held(this.got(&place))),
            Ok(false) => Answer::Done(Resumed::Gone),
            Err(error) => Answer::unknown(error.to_string()),
        })
        .await
    }

    pub(super) fn give_back(&self, held: &Held, outcome: Outcome) -> Answer<()> {
        let place = match self.place(held) {
            Ok(place) => place,
            Err(why) => return Answer::refused(code::RELEASE, why),
        };
        let groups = known_groups(&held.facts);
        match limits::end(place.id(), GRACE, &groups) {
            Ok(left) if left.is_empty() => {}
            Ok(left) => return Answer::unknown(format!("{} still live in the sandbox", left.join(", "))),
            Err(error) => return Answer::unknown(format!("who lives in the sandbox cannot be read: {error}")),
        }
        limits::remove(place.id(), &groups);
        if outcome == Outcome::Kept {
            return Answer::Done(());
        }
        match place.remove() {
            Ok(()) => Answer::Done(()),
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
                Answer::refused(code::RELEASE, error.to_string())
            }
            Err(error) => Answer::unknown(format!("{} cannot be removed: {error}", place.dir().display())),
        }
    }

    pub(super) fn observe(&self, ids: &[String]) -> BTreeMap<String, Seen> {
        let mut seen = BTreeMap::new();
        for id in ids {
            // Which environment it belongs to is not told; no two places have the same name.
            let found = match id.strip_prefix(PREFIX).and_then(|name| uuid::Uuid::parse_str(name).ok()) {
                Some(name) => Place::exists(&self.site.data, name),
                None => Ok(false),
            };
            // Of one that cannot be looked for nothing is known.
            let Ok(found) = found else { continue };
            seen.insert(id.clone(), if found { Seen::Held(None) } else { Seen::Gone });
        }
        seen
    }
}

fn known_groups(facts: &Value) -> Vec<String> {
    let list = facts["groups"].as_array().map(Vec::as_slice).unwrap_or_default();
    list.iter().filter_map(|group| group.as_str().map(str::to_owned)).collect()
}
