//! What operators, scripts and agents ask for, at random.

use serde_json::json;
use wharf_model::rules::release;
use wharf_model::{LeaseId, RunId, ServiceId};

use super::run::Sim;
use super::setup;
use super::world::Event;
use crate::dispatch::decide::release::facts;

impl Sim {
    /// Inserts one request and wakes the dispatcher, now or later.
    pub fn ask(&mut self) {
        if self.stop_a_job() {
            return;
        }
        if self.rng.permille(120) {
            return self.ask_of_workspace();
        }
        let rows = &self.disk.rows;
        let agents: Vec<_> = rows.agents.keys().copied().collect();
        let all_runs: Vec<RunId> = rows.runs.keys().copied().collect();
        let services: Vec<ServiceId> = rows.services.keys().copied().collect();
        let issues: Vec<_> = rows.issues.values().cloned().collect();
        let projects: Vec<_> = rows.projects.keys().copied().collect();
        let doubted: Vec<RunId> =
            rows.runs.values().filter(|r| r.observation == wharf_model::Observation::Unknown).map(|r| r.id).collect();
        let unknown = self.id();
        let open = self.open_runs();
        let dice = self.rng.below(100);
        match dice {
            0..=39 => {
                let Some(agent) = self.rng.pick(&agents) else { return };
                let project = self.disk.rows.agents.get(&agent).map(|a| a.project_id);
                let issue = if self.rng.permille(500) { self.rng.pick(&issues) } else { None };
                let issue = issue.filter(|i| self.rng.permille(100) || Some(i.project_id) == project);
                self.insert_request("run.start", |r| {
                    r.target_id = Some(agent.text());
                    if let Some(issue) = issue {
                        r.args = json!({ "issue": issue.identifier });
                    }
                });
            }
            40..=56 => {
                let from = if self.rng.permille(850) { open } else { all_runs };
                let run = self.rng.pick(&from).unwrap_or(RunId(unknown));
                let grace = self.rng.permille(300).then(|| self.rng.range(0, 20_000));
                let version = self.disk.rows.runs.get(&run).map(|r| r.version);
                let expects = self.rng.permille(300);
                self.insert_request("run.cancel", |r| {
                    r.target_id = Some(run.text());
                    r.args = json!({ "grace_ms": grace });
                    if expects {
                        r.expect = Some(json!([{ "id": run.text(), "version": version.unwrap_or(1) }]));
                    }
                });
            }
            57..=68 => {
                let open: Vec<LeaseId> =
                    self.disk.rows.leases.values().filter(|l| !l.status.is_terminal()).map(|l| l.id).collect();
                let all: Vec<LeaseId> = self.disk.rows.leases.keys().copied().collect();
                let from = if self.rng.permille(900) { open } else { all };
                let lease = self.rng.pick(&from).unwrap_or(LeaseId(unknown));
                if self.rng.permille(350) {
                    return self.ask_of_lease(lease);
                }
                // The preview is computed from the store, with the rule that the acceptance uses.
                let preview = facts(&self.disk.rows, lease).and_then(|f| release::effect(&f).ok());
                let expects = self.rng.permille(600);
                self.insert_request("lease.release", |r| {
                    r.target_id = Some(lease.text());
                    if let Some(preview) = preview.filter(|_| expects) {
                        r.expect = serde_json::to_value(&preview.judged).ok();
                    }
                });
            }
            69..=86 => {
                if self.rng.permille(250) {
                    return self.ask_of_services(&services);
                }
                let service = self.rng.pick(&services).unwrap_or(ServiceId(unknown));
                let kind =
                    self.rng.pick(&["service.start", "service.stop", "service.restart"]).unwrap_or("service.start");
                let dependents = self.rng.pick(&["stop", "leave", "leave", "ask"]).unwrap_or("leave");
                self.insert_request(kind, |r| {
                    r.target_id = Some(service.text());
                    r.args = json!({ "dependents": dependents });
                });
            }
            87..=92 => {
                let Some(project) = self.rng.pick(&projects) else { return };
                self.insert_request("issue.create", |r| {
                    r.target_id = Some(project.text());
                    r.args = json!({ "title": "something" });
                });
            }
            93 => {
                let from = if doubted.is_empty() { open } else { doubted };
                let run = self.rng.pick(&from).unwrap_or(RunId(unknown));
                let verdict = self.rng.pick(&["lost", "keep", "perhaps"]).unwrap_or("lost");
                self.insert_request("run.resolve", |r| {
                    r.target_id = Some(run.text());
                    r.args = json!({ "verdict": verdict });
                });
            }
            94..=95 => {
                let issue = self.rng.pick(&issues).map_or(unknown, |i| i.id.0);
                self.insert_request("issue.comment", |r| {
                    r.target_id = Some(issue.to_string());
                    r.args = json!({ "body": "a word" });
                });
            }
            96 => {
                let variant = self.rng.below(2 * setup::VARIANTS);
                // Half of them ask for what nobody knows.
                let kind = if variant < setup::VARIANTS { "config.accept" } else { "run.teleport" };
                self.insert_request(kind, |r| r.args = json!({ "variant": variant }));
            }
            97 => {
                self.insert_request("run.cancel", |r| r.target_id = Some("R-7".into()));
            }
            98 => {
                let now = self.now();
                self.insert_request("issue.create", |r| r.expires_at = now.plus(-1));
            }
            _ => {
                let past = self.now().plus(3);
                let Some(agent) = self.rng.pick(&agents) else { return };
                self.insert_request("run.start", |r| {
                    r.target_id = Some(agent.text());
                    r.expires_at = past;
                });
            }
        }
        let pause = if self.rng.permille(200) { self.rng.range(0, 40_000) } else { self.rng.range(0, 30) };
        self.after(pause, Event::Wake);
    }

    /// Where a service is meant to be, or all services of a workspace.
    fn ask_of_services(&mut self, services: &[ServiceId]) {
        if self.rng.permille(600) {
            let Some(service) = self.rng.pick(services) else { return };
            let desired = self.rng.pick(&["running", "stopped", "manual"]).unwrap_or("manual");
            self.insert_request("service.set_desired", |r| {
                r.target_id = Some(service.text());
                r.args = json!({ "desired": desired });
            });
        } else {
            let workspaces: Vec<_> = self.disk.rows.workspaces.keys().copied().collect();
            let Some(workspace) = self.rng.pick(&workspaces) else { return };
            let kind = self.rng.pick(&["service.start", "service.stop", "service.restart"]).unwrap_or("service.stop");
            self.insert_request(kind, |r| {
                r.target_type = Some("workspace".into());
                r.target_id = Some(workspace.text());
            });
        }
        self.after(10, Event::Wake);
    }

    /// One of the verbs on leases beside their release.
    fn ask_of_lease(&mut self, lease: LeaseId) {
        let until = self.now().plus(self.rng.range(1_000, 100_000)).0;
        let (kind, args) = match self.rng.below(6) {
            0 => ("lease.release", json!({ "force": true })),
            1 => ("lease.destroy", json!({})),
            2 => ("lease.extend", json!({ "by_ms": self.rng.range(1_000, 100_000) })),
            3 => ("lease.retain", json!({ "until": until })),
            4 => ("lease.retry_cleanup", json!({})),
            _ => ("lease.shell", json!({})),
        };
        self.books.saw("verb on a lease");
        self.insert_request(kind, |r| {
            r.target_id = Some(lease.text());
            r.args = args;
        });
        self.after(10, Event::Wake);
    }
}
