//! A lease's container from its first word to its removal: everything but what runs in it.

use std::collections::BTreeMap;

use super::super::bubblewrap::blocking;
use super::super::place::Place;
use super::super::{code, sources};
use super::engine::{is_absent, trouble};
use super::{Container, LABEL_OWNER, NAME, STOP_SECONDS, name, probe};
use crate::environment::driver::{AcquireAsk, Acquired, Answer, Held, Outcome, Resumed, Seen};

impl Container {
    pub(super) async fn obtain(&self, ask: &AcquireAsk) -> Answer<Acquired> {
        if self.engine.program().is_none() {
            return Answer::refused(code::ACQUIRE, self.engine.not_found());
        }
        match probe::image(self).await {
            Ok(Some(_)) => {}
            Ok(None) => return Answer::refused(code::ACQUIRE, self.no_image()),
            Err(why) => return Answer::unknown(why),
        }
        if let Err(why) = sources::binds(&self.config, &self.site) {
            return Answer::refused(code::ACQUIRE, why);
        }
        let (this, place) = (self.clone(), Place::of_lease(&self.site.data, ask.environment, ask.lease));
        blocking(move || match place.make() {
            Ok(()) => Answer::Done(Acquired::Held(this.got(&place))),
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
                Answer::refused(code::ACQUIRE, error.to_string())
            }
            Err(error) => Answer::unknown(format!("{} cannot be made: {error}", place.dir().display())),
        })
        .await
    }

    /// Whether the lease's place is there: its container, or its directory while no container was made yet.
    pub(super) async fn there(&self, place: &Place) -> Result<bool, String> {
        if let Some(known) = self.engine.look(&name(place)).await? {
            self.ours(place, &known)?;
            return Ok(true);
        }
        let waits = place.is_there().and_then(|there| Ok(there && !place.was_made()?));
        waits.map_err(|error| error.to_string())
    }

    pub(super) async fn look_again(&self, ask: &AcquireAsk, id: &str) -> Answer<Resumed> {
        let Some(place) = Place::of_provider_id(&self.site.data, ask.environment, &self.prefix(), id) else {
            return Answer::Done(Resumed::Gone);
        };
        match self.there(&place).await {
            Ok(true) => {}
            Ok(false) => return Answer::Done(Resumed::Gone),
            Err(why) => return Answer::unknown(why),
        }
        // A container without its directory: it was removed by hand, and what is in it is of use all the same.
        if let Err(error) = place.make() {
            return Answer::unknown(format!("{} cannot be made: {error}", place.dir().display()));
        }
        match self.start(&place).await {
            Ok(()) => Answer::Done(Resumed::Held(self.got(&place))),
            Err(why) => Answer::unknown(why),
        }
    }

    pub(super) async fn give_back(&self, held: &Held, outcome: Outcome) -> Answer<()> {
        let place = match self.place(held) {
            Ok(place) => place,
            Err(why) => return Answer::refused(code::RELEASE, why),
        };
        let name = name(&place);
        if self.engine.program().is_none() && (outcome != Outcome::Kept || place.was_made().unwrap_or(true)) {
            return Answer::unknown(self.engine.not_found());
        }
        match self.engine.look(&name).await {
            Ok(Some(known)) => {
                if let Err(why) = self.ours(&place, &known) {
                    return Answer::refused(code::RELEASE, why);
                }
                let words: &[&str] = if outcome == Outcome::Kept {
                    &["stop", "--time", STOP_SECONDS, &name]
                } else {
                    &["rm", "--force", "--volumes", &name]
                };
                match self.engine.change(words).await {
                    Ok(said) if said.ok() || is_absent(&said) => {}
                    Ok(said) => return Answer::unknown(trouble(&said)),
                    Err(why) => return Answer::unknown(why),
                }
            }
            Ok(None) => {}
            Err(why) => return Answer::unknown(why),
        }
        if outcome == Outcome::Kept {
            return Answer::Done(());
        }
        blocking(move || match place.remove() {
            Ok(()) => Answer::Done(()),
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
                Answer::refused(code::RELEASE, error.to_string())
            }
            Err(error) => Answer::unknown(format!("{} cannot be removed: {error}", place.dir().display())),
        })
        .await
    }

    pub(super) async fn look_at(&self, ids: &[String]) -> Answer<BTreeMap<String, Seen>> {
        let names = match self.engine.names(&format!("{LABEL_OWNER}={}", self.owner())).await {
            Ok(names) => names,
            Err(why) => return Answer::unknown(why),
        };
        let prefix = self.prefix();
        let mut seen = BTreeMap::new();
        for id in ids {
            let place = id.strip_prefix(&prefix).and_then(|name| uuid::Uuid::parse_str(name).ok());
            let held = match place {
                Some(place) if names.iter().any(|name| *name == format!("{NAME}{place}")) => Ok(true),
                Some(place) => Place::waits(&self.site.data, place),
                None => Ok(false),
            };
            // Of one that cannot be looked for nothing is known.
            let Ok(held) = held else { continue };
            seen.insert(id.clone(), if held { Seen::Held(None) } else { Seen::Gone });
        }
        Answer::Done(seen)
    }
}
