//! This machine, without a sandbox.

use std::collections::BTreeMap;
use std::future::ready;
use std::time::Duration;

use serde_json::{Value, json};
use wharf_model::UnixMillis;

use super::driver::{
    AcquireAsk, Acquired, Answer, Call, Capabilities, Check, Collected, Driver, Extended, Held, Outcome, Place,
    PlaceProcess, RealiseAsk, Realised, Resumed, Seen, Target,
};
use super::here;

/// The local driver: nothing is obtained and nothing has to be given back.
#[derive(Debug, Clone, Copy, Default)]
pub struct Local;

fn done<'a, T: Send + 'a>(value: T) -> Call<'a, T> {
    Box::pin(ready(Answer::Done(value)))
}

impl Driver for Local {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            execute: true,
            resume: false,
            extend: true,
            list: true,
            tty: true,
            persistent: true,
            shared_files: true,
        }
    }

    fn validate(&self) -> Call<'_, Vec<Check>> {
        done(Vec::new())
    }

    fn probe(&self) -> Call<'_, Vec<Check>> {
        done(vec![Check::ok("host", format!("this machine, {}", hostname()))])
    }

    fn acquire<'a>(&'a self, _ask: &'a AcquireAsk) -> Call<'a, Acquired> {
        let facts = json!({ "host": hostname() });
        done(Acquired::Held(Place { provider_lease_id: None, expires_at: None, facts }))
    }

    fn resume<'a>(&'a self, _ask: &'a AcquireAsk, _id: &'a str, _facts: &'a Value) -> Call<'a, Resumed> {
        done(Resumed::Gone)
    }

    fn realise<'a>(&'a self, _held: &'a Held, ask: &'a RealiseAsk) -> Call<'a, Realised> {
        let cwd = ask.cwd.display().to_string();
        done(Realised { cwd, sync: "none".into(), record: Value::Null })
    }

    fn target<'a>(&'a self, _held: &'a Held, _realised: Option<&'a Realised>) -> Call<'a, Target> {
        done(Target::default())
    }

    fn list<'a>(&'a self, _held: &'a Held, tag: &'a str) -> Call<'a, Vec<PlaceProcess>> {
        Box::pin(here::list(tag))
    }

    fn stop<'a>(&'a self, _held: &'a Held, tag: &'a str, grace: Duration) -> Call<'a, Vec<PlaceProcess>> {
        Box::pin(here::stop(tag, grace))
    }

    fn collect<'a>(&'a self, _: &'a Held, _: &'a RealiseAsk, _: &'a Realised) -> Call<'a, Collected> {
        done(Collected::default())
    }

    fn extend<'a>(&'a self, _held: &'a Held, until: UnixMillis) -> Call<'a, Extended> {
        done(Extended::Until(until))
    }

    fn release<'a>(&'a self, _held: &'a Held, _outcome: Outcome) -> Call<'a, ()> {
        done(())
    }

    fn destroy<'a>(&'a self, _held: &'a Held) -> Call<'a, ()> {
        done(())
    }

    fn observe<'a>(&'a self, provider_lease_ids: &'a [String]) -> Call<'a, BTreeMap<String, Seen>> {
        // It gives no ids, so one that is asked for is not of here.
        done(provider_lease_ids.iter().map(|id| (id.clone(), Seen::Gone)).collect())
    }
}

fn hostname() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}
