//! The driver on top of a worker: calls of leases as calls of the protocol, answers as answers.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use wharf_model::UnixMillis;
use wharf_model::config::driver::PluginConfig;

use super::hello::{Hello, method};
use super::params::{self, joined};
use super::pool::Plugins;
use super::process::Launch;
use super::target::Block;
use super::worker::Worker;
use super::{facts, probe};
use crate::environment::Site;
use crate::environment::driver::{
    AcquireAsk, Acquired, Answer, Call, Capabilities, Check, Collected, Driver, Extended, Held, Outcome, PlaceProcess,
    RealiseAsk, Realised, Resumed, Seen, Target,
};
use crate::environment::target::{CwdPass, EnvPass};

/// An environment that a plugin provides.
#[derive(Debug)]
pub struct Plugin {
    pub(super) config: PluginConfig,
    pub(super) launch: Launch,
    pub(super) state: PathBuf,
    pub(super) worker: Arc<Worker>,
    pub(super) site: Site,
}

impl Plugin {
    /// The driver of these settings.
    pub fn new(config: PluginConfig, site: &Site) -> Self {
        let launch = Launch::new(&config.command, &site.base, &site.operator, &config.driver);
        let state = site.data.join("environments").join("plugin").join(&config.driver);
        let key = json!([launch, config.driver, config.config]).to_string();
        let plugins: &Plugins = &site.plugins;
        // What it can do follows from the program, not from who starts it with what.
        let program = json!([launch.command, launch.base, config.driver]).to_string();
        let name: String = Sha256::digest(&program)[..16].iter().map(|byte| format!("{byte:02x}")).collect();
        let memory = site.data.join("environments").join("plugin-memory").join(name + ".json");
        let worker = plugins.worker(&key, || Worker::new(launch.clone(), &config.driver, &state, &memory));
        Self { config, launch, state, worker, site: site.clone() }
    }
}

impl Plugin {
    /// Gives a place back by the first of these methods that the plugin has. One that has none of them has nothing to
    /// give back.
    async fn give_back(&self, held: &Held, outcome: Outcome, ways: &[&str]) -> Answer<()> {
        for name in ways {
            let mut params = json!({ "lease": params::held(held) });
            if *name == method::RELEASE {
                params = joined(params, json!({ "outcome": params::outcome(outcome) }));
            }
            match self.ask("lease_release_failed", name, params, self.timeout()).await {
                Answer::Done(Some(_)) => return Answer::Done(()),
                Answer::Done(None) if self.lists(name) => return Self::contradicts(name),
                Answer::Done(None) => {}
                Answer::Refused { code, hint } => return Answer::Refused { code, hint },
                Answer::Unknown { evidence } => return Answer::Unknown { evidence },
            }
        }
        Answer::Done(())
    }
}

impl Driver for Plugin {
    fn capabilities(&self) -> Capabilities {
        // Before it was ever asked nothing is promised but that commands can run there.
        self.worker.hello().map_or_else(
            || Capabilities { execute: true, ..Hello::default().capabilities(&self.config.driver) },
            |hello| hello.capabilities(&self.config.driver),
        )
    }

    fn validate(&self) -> Call<'_, Vec<Check>> {
        Box::pin(probe::validate(self))
    }

    fn probe(&self) -> Call<'_, Vec<Check>> {
        Box::pin(probe::probe(self))
    }

    fn acquire<'a>(&'a self, ask: &'a AcquireAsk) -> Call<'a, Acquired> {
        let absent = |_| self.cannot(method::ACQUIRE, "provide anything");
        Box::pin(self.ask_read("lease_acquire_failed", method::ACQUIRE, params::asked(ask), absent, |value| {
            facts::acquired(value, &self.config.driver)
        }))
    }

    fn resume<'a>(&'a self, ask: &'a AcquireAsk, provider_lease_id: &'a str, facts: &'a Value) -> Call<'a, Resumed> {
        let earlier = json!({ "providerLeaseId": provider_lease_id, "metadata": facts["metadata"] });
        // It is not certain that what was kept is gone: nothing is lost by saying so.
        let absent =
            |_| self.cannot(method::RESUME, "find what an earlier lease held; give the environment another policy");
        let params = joined(params::asked(ask), earlier);
        Box::pin(self.ask_read("lease_acquire_failed", method::RESUME, params, absent, |value| {
            facts::resumed(value, &self.config.driver)
        }))
    }

    fn realise<'a>(&'a self, held: &'a Held, ask: &'a RealiseAsk) -> Call<'a, Realised> {
        let absent = |hello: Option<Arc<Hello>>| {
            let shares = hello.is_some_and(|h| h.capabilities(&self.config.driver).shared_files);
            let there = if shares { ask.cwd.to_str() } else { held.facts["metadata"]["remoteCwd"].as_str() };
            match there {
                Some(cwd) => Answer::Done(Realised { cwd: cwd.into(), sync: "none".into(), record: Value::Null }),
                None => self.cannot(method::REALISE, "make a workspace, and its lease names no remoteCwd"),
            }
        };
        let params = json!({ "lease": params::held(held), "workspace": params::workspace(ask) });
        Box::pin(self.ask_read("workspace_realization_failed", method::REALISE, params, absent, facts::realised))
    }

    fn target<'a>(&'a self, held: &'a Held, realised: Option<&'a Realised>) -> Call<'a, Target> {
        Box::pin(async move {
            let lease = params::held(held);
            let workspace = realised.map(params::realised);
            let params = json!({ "lease": lease, "workspace": workspace });
            let absent = |_| Answer::Done((Vec::new(), Value::Null));
            let asked =
                self.ask_read("transport_resolution_failed", method::TARGET, params, absent, facts::target).await;
            let (dirs, metadata) = match asked {
                Answer::Done(target) => target,
                Answer::Refused { code, hint } => return Answer::Refused { code, hint },
                Answer::Unknown { evidence } => return Answer::Unknown { evidence },
            };
            if !self.capabilities().execute {
                return self.cannot(method::EXECUTE, "run commands");
            }
            let secrets = match self.prepare().await {
                Ok(secrets) => secrets,
                Err(why) => return why.answer("transport_resolution_failed"),
            };
            let values: Vec<String> = secrets.values().map(str::to_owned).collect();
            let block = Block {
                launch: self.launch.clone(),
                driver: self.config.driver.clone(),
                config: secrets.config.clone(),
                secrets: values.clone(),
                state: self.state.clone(),
                lease,
                target: metadata,
                timeout_ms: self.config.timeout_ms,
            };
            Answer::Done(Target {
                head: vec![self.site.program.display().to_string(), "target".into(), "plugin".into()],
                tail: vec!["--".into()],
                tty: None,
                cwd: CwdPass::Flag("--cwd".into()),
                env: EnvPass::Stdin,
                dirs,
                keeps_identity: false,
                set: BTreeMap::new(),
                own_env: BTreeMap::new(),
                block: json!(block),
                redact: values,
            })
        })
    }

    fn list<'a>(&'a self, held: &'a Held, tag: &'a str) -> Call<'a, Vec<PlaceProcess>> {
        Box::pin(async move {
            let params = json!({ "lease": params::held(held), "tag": tag });
            // A refusal is taken for "it cannot say", so only a plugin that was reached may give one.
            let answer = match self.ask("probe_failed", method::LIST, params, self.timeout()).await {
                Answer::Refused { code, hint } => Answer::unknown(format!("{code}: {hint}")),
                answer => answer,
            };
            let absent = |_| self.cannot(method::LIST, "say what runs there");
            self.read(method::LIST, answer, absent, |value| facts::processes(value, "executions"))
        })
    }

    fn stop<'a>(&'a self, held: &'a Held, tag: &'a str, grace: Duration) -> Call<'a, Vec<PlaceProcess>> {
        Box::pin(async move {
            let params = json!({ "lease": params::held(held), "tag": tag, "graceMs": grace.as_millis() as u64 });
            let answer = self.ask("probe_failed", method::CANCEL, params, self.timeout() + grace).await;
            let absent = |_| self.cannot(method::CANCEL, "stop what runs there");
            self.read(method::CANCEL, answer, absent, |value| facts::processes(value, "remaining"))
        })
    }

    fn collect<'a>(&'a self, held: &'a Held, ask: &'a RealiseAsk, realised: &'a Realised) -> Call<'a, Collected> {
        let params = json!({
            "lease": params::held(held),
            "workspace": joined(params::workspace(ask), params::realised(realised)),
        });
        let absent = |_| Answer::Done(Collected::default());
        Box::pin(self.ask_read("workspace_realization_failed", method::COLLECT, params, absent, facts::collected))
    }

    fn extend<'a>(&'a self, held: &'a Held, until: UnixMillis) -> Call<'a, Extended> {
        // A place that has no end of its own needs no extension; another has the end that was told.
        let absent = move |_| {
            let end = held.facts["expires_at"].as_i64();
            Answer::Done(end.map_or(Extended::Until(until), |end| Extended::Refused { latest: UnixMillis(end) }))
        };
        let params = json!({ "lease": params::held(held), "until": until.rfc3339() });
        Box::pin(self.ask_read("lease_acquire_failed", method::EXTEND, params, absent, facts::extended))
    }

    fn release<'a>(&'a self, held: &'a Held, outcome: Outcome) -> Call<'a, ()> {
        // What is kept must not be destroyed for want of a way to lay it by.
        let ways: &[&str] = match outcome {
            Outcome::Kept => &[method::RELEASE],
            _ => &[method::RELEASE, method::DESTROY],
        };
        Box::pin(self.give_back(held, outcome, ways))
    }

    fn destroy<'a>(&'a self, held: &'a Held) -> Call<'a, ()> {
        Box::pin(self.give_back(held, Outcome::Released, &[method::DESTROY, method::RELEASE]))
    }

    fn observe<'a>(&'a self, provider_lease_ids: &'a [String]) -> Call<'a, BTreeMap<String, Seen>> {
        let absent = |_| Answer::Done(BTreeMap::new());
        let params = json!({ "providerLeaseIds": provider_lease_ids });
        Box::pin(self.ask_read("probe_failed", method::OBSERVE, params, absent, facts::observed))
    }
}
