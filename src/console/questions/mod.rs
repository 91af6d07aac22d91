//! Questions of the screens, answered beside them: rows by one thread, logs by another, searches by
//! a third, looks into directories by a fourth, what was changed by a fifth, so that none waits for what the operator
//! does not look at.

mod config;
mod detail;
mod diagnostics;
mod diffs;
mod filter;
mod form;
mod issue_settings;
mod line;
mod lists;
pub(crate) mod places;
pub(crate) mod preview;
pub(crate) mod rows;
mod services;
pub(crate) mod workspaces;
mod written;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;

use wharf_model::{CompanyId, Kind, RunStatus, UnixMillis};
use wharf_store::view::{OperationQuery, RunFilter, RunQuery, ServiceQuery};
use wharf_store::{Reader, StoreError};
use wharf_ui::effect::Question;
use wharf_ui::format::Zone;
use wharf_ui::msg::Answer;
use wharf_ui::rows::{Header, Page};

use self::filter::Moment;
use self::line::Line;
use super::checkouts::Checkouts;
use super::events::{Event, Sender};
use super::live::LiveRuns;
use super::output::Outputs;
use super::service_looks::ServiceLooks;
use crate::clock;
use crate::once_there::once_there;
use crate::why;

/// Names in the quit dialog.
const NAMED: usize = 12;

/// What the answers depend on beside the store.
#[derive(Clone)]
pub struct Scope {
    /// Data directory.
    pub data: PathBuf,
    /// Root of the project that the console was opened in.
    pub project: PathBuf,
    /// Where moments are shown.
    pub zone: Zone,
    /// Live runs whose output is looked at.
    pub live: LiveRuns,
    /// Checkouts of the workspaces that are shown.
    pub checkouts: Checkouts,
    /// Processes and ports of the services that are shown.
    pub services: ServiceLooks,
    /// Process trees of silent runs, as they were seen before.
    pub trees: Arc<why::Trees>,
}

impl Scope {
    /// What the console was opened with.
    pub fn new(
        data: &std::path::Path,
        project: &std::path::Path,
        zone: Zone,
        live: &LiveRuns,
        (checkouts, services): (&Checkouts, &ServiceLooks),
    ) -> Self {
        Self {
            data: data.to_owned(),
            project: project.to_owned(),
            zone,
            live: live.clone(),
            checkouts: checkouts.clone(),
            services: services.clone(),
            trees: Arc::default(),
        }
    }
}

/// The threads that answer.
pub struct Questions {
    rows: Arc<Line>,
    logs: Arc<Line>,
    searches: Arc<Line>,
    diffs: Arc<Line>,
    /// Questions that look into directories.
    looks: Arc<Line>,
    events: Sender,
}

impl Questions {
    /// Begins; answers come as [`Event::Answer`].
    ///
    /// # Errors
    /// No thread could be had.
    pub fn start(scope: &Scope, outputs: &Outputs, events: Sender) -> std::io::Result<Self> {
        let line = Arc::<Line>::default;
        let questions = Self { rows: line(), logs: line(), searches: line(), looks: line(), diffs: line(), events };
        let mut desk = Desk { scope: scope.clone(), reader: None };
        questions.serve("rows", &questions.rows, move |q| desk.answer(q))?;
        let mut desk = Desk { scope: scope.clone(), reader: None };
        questions.serve("looks", &questions.looks, move |q| desk.answer(q))?;
        let mut logs = outputs.reader();
        questions.serve("logs", &questions.logs, move |q| logs.answer(q))?;
        let mut searches = outputs.reader();
        questions.serve("searches", &questions.searches, move |q| searches.answer(q))?;
        let mut diffs = diffs::Diffs::new(scope.data.clone());
        questions.serve("diffs", &questions.diffs, move |q| diffs.answer(q))?;
        Ok(questions)
    }

    fn serve(
        &self,
        name: &str,
        line: &Arc<Line>,
        mut answer: impl FnMut(&Question) -> Result<Answer, String> + Send + 'static,
    ) -> std::io::Result<()> {
        let (line, events) = (Arc::clone(line), self.events.clone());
        std::thread::Builder::new().name(name.to_owned()).spawn(move || {
            loop {
                let question = line.take();
                // A defect costs its answer, not all that follow.
                let answered = catch_unwind(AssertUnwindSafe(|| answer(&question))).unwrap_or_else(|_| {
                    Err("a defect of wharf kept this from being read; the log has its place".to_owned())
                });
                if events.send(Event::Answer(question, answered)).is_err() {
                    return;
                }
            }
        })?;
        Ok(())
    }

    /// Asks. Gives back a question that is not wanted any more, to be answered as such.
    #[must_use]
    pub fn ask(&self, question: Question) -> Option<Question> {
        match &question {
            Question::Output { .. } | Question::Count { .. } => self.logs.put(question),
            Question::Search { .. } => self.searches.put(question),
            Question::Diff(_) | Question::DiffFile { .. } => self.diffs.put(question),
            Question::CloseCheck(_) | Question::RestorePreview(..) | Question::ReapPreview => self.looks.put(question),
            _ => self.rows.put(question),
        }
    }
}

/// Answers from the store.
struct Desk {
    scope: Scope,
    reader: Option<Reader>,
}

impl Desk {
    fn answer(&mut self, question: &Question) -> Result<Answer, String> {
        if self.reader.is_none() {
            let data = self.scope.data.clone();
            self.reader = Some(once_there(|| Reader::open(&data)).map_err(|e| e.to_string())?);
        }
        let Some(reader) = &self.reader else { return Err("the store is not open".to_owned()) };
        let now = clock::now();
        let at = Moment { now, east_seconds: self.scope.zone.east_seconds };
        let answered = Asking { reader, scope: &self.scope, now, at }.answer(question);
        if let Err(StoreError::Internal { .. } | StoreError::Damaged { .. } | StoreError::Io { .. }) = &answered {
            self.reader = None;
        }
        answered.map_err(|e| e.to_string())
    }
}

struct Asking<'a> {
    reader: &'a Reader,
    scope: &'a Scope,
    now: UnixMillis,
    at: Moment,
}

impl Asking<'_> {
    fn answer(&self, question: &Question) -> Result<Answer, StoreError> {
        let (reader, now) = (self.reader, self.now);
        Ok(match question {
            Question::Header => Answer::Header(self.header()?),
            Question::Runs { filter, after, limit } => Answer::Runs(self.runs(filter, *after, *limit as usize)?),
            Question::RunDetail(id) => {
                let (data, zone) = (&self.scope.data, self.scope.zone);
                let found = reader.run_detail(*id)?;
                let why = found
                    .as_ref()
                    .map(|d| why::of(reader, data, &self.scope.trees, d))
                    .transpose()?
                    .unwrap_or_default();
                Answer::RunDetail(found.map(|d| Box::new(detail::run(&d, &why, data, now, zone))))
            }
            Question::Leases { filter, after, limit } => {
                Answer::Leases(self.leases(filter, *after, *limit as usize)?)
            }
            Question::LeaseDetail(id) => {
                let trail = reader.lease_trail(*id)?;
                Answer::LeaseDetail(trail.map(|t| Box::new(rows::lease_detail(&t, now, self.scope.zone))))
            }
            Question::Environments { filter, after: None, .. } => Answer::Environments(self.environments(filter)?),
            // All were given with the first page.
            Question::Environments { .. } => Answer::Environments(Page::default()),
            Question::EnvironmentDetail(id) => Answer::EnvironmentDetail(self.environment_detail(*id)?.map(Box::new)),
            Question::EnvironmentPreview(id, verb) => Answer::Preview(self.environment_preview(*id, *verb)?),
            Question::Services { filter, after, limit } => {
                Answer::Services(self.services(filter, *after, *limit as usize)?)
            }
            Question::ServiceDetail(id) => Answer::ServiceDetail(self.service_detail(*id)?.map(Box::new)),
            Question::ServiceFigures(shown) => Answer::ServiceFigures(self.scope.services.figures(shown)),
            Question::Ports => Answer::Ports(self.ports()?),
            Question::Workspaces { filter, after, limit } => {
                Answer::Workspaces(self.workspaces(filter, *after, *limit as usize)?)
            }
            Question::WorkspaceDetail(id) => Answer::WorkspaceDetail(self.workspace_detail(*id)?.map(Box::new)),
            Question::Snapshots { workspace, limit } => {
                let found = reader.snapshots(*workspace, *limit as usize)?;
                Answer::Snapshots(found.iter().map(rows::snapshot).collect())
            }
            Question::CloseCheck(id) => Answer::CloseCheck(Box::new(self.close_check(*id)?)),
            Question::RestorePreview(id, snapshot) => Answer::Preview(self.restore_preview(*id, *snapshot)?),
            Question::ReapPreview => Answer::Preview(self.reap_preview()?),
            Question::Operations { workspace, limit } => {
                let query = OperationQuery { workspace: Some(*workspace), run: None };
                let page = reader.operations(&query, None, *limit as usize)?;
                Answer::Operations(page.rows.iter().map(rows::operation).collect())
            }
            Question::Activity { filter, after, limit } => {
                Answer::Activity(self.activity(filter, *after, *limit as usize)?)
            }
            Question::CancelPreview(id) => Answer::Preview(preview::cancel(reader, *id, now)?),
            Question::ResolvePreview(id, verdict) => Answer::Preview(preview::resolve(reader, *id, *verdict, now)?),
            Question::LeasePreview(id, verb) => {
                Answer::Preview(preview::lease(reader, *id, *verb, now, self.scope.zone)?)
            }
            Question::StopJobPreview(id) => Answer::Preview(preview::stop_job(reader, *id, now)?),
            Question::StopPreview(id) => Answer::Preview(preview::stop(reader, *id, now)?),
            Question::StopAllPreview(id) => Answer::Preview(preview::stop_all(reader, *id, now)?),
            Question::RestartPreview(id) => Answer::Preview(preview::restart(reader, *id, now)?),
            Question::AcceptPreview => Answer::Preview(config::accept(reader, &self.scope.project, now)?),
            Question::Diagnostics => Answer::Diagnostics(Box::new(diagnostics::all(reader, &self.scope.data)?)),
            Question::FormAgents => Answer::FormAgents(self.form()?),
            Question::IssueSettings { issue, agent } => {
                Answer::IssueSettings(self.issue_settings(issue, agent.as_deref())?.map(Box::new))
            }
            Question::Written { kind, id, what } => Answer::Written(self.in_form(kind, id, *what)?),
            Question::Output { .. }
            | Question::Count { .. }
            | Question::Search { .. }
            | Question::Diff(_)
            | Question::DiffFile { .. } => {
                return Err(StoreError::Internal {
                    path: self.scope.data.clone(),
                    cause: "this is not read from the store".to_owned(),
                });
            }
        })
    }

    /// Screens show one company at a time: that of the project the console was opened in.
    fn company(&self) -> Result<Option<CompanyId>, StoreError> {
        Ok(self.reader.project_at(&self.scope.project.display().to_string())?.map(|p| p.company_id))
    }

    fn header(&self) -> Result<Header, StoreError> {
        let project = self.reader.project_at(&self.scope.project.display().to_string())?;
        let company = project.as_ref().map(|p| p.company_id);
        let counts = self.reader.header(company)?;
        // A config that was never accepted waits for the first verb, which accepts it: for no decision.
        let projects = self.reader.projects(company)?;
        let unused = projects.iter().filter(|p| p.pending_executable_hash.is_some() && p.accepted_at.is_none()).count();
        let count = |n: i64| u64::try_from(n).unwrap_or(0);
        let live_runs = if counts.running > 0 {
            let filter = RunFilter { statuses: vec![RunStatus::Running], ..RunFilter::default() };
            let query = RunQuery { company, project: None, filter };
            let page = self.reader.runs(&query, None, NAMED)?;
            page.rows
                .iter()
                .map(|r| {
                    let state = rows::run(r).state().1;
                    let name = Kind::Run.number(r.number);
                    if state == "running" { name } else { format!("{name} ({state})") }
                })
                .collect()
        } else {
            Vec::new()
        };
        let live_services = if counts.services > 0 {
            let query = ServiceQuery { company, project: None, live_only: true };
            let page = self.reader.services(&query, None, NAMED)?;
            page.rows.iter().map(|s| format!("{} {}", Kind::Service.number(s.service.number), s.service.name)).collect()
        } else {
            Vec::new()
        };
        let pending = project.as_ref().and_then(config::pending);
        Ok(Header {
            pending,
            project: project.map(|p| p.key).unwrap_or_default(),
            needs_person: count(counts.needs_you).saturating_sub(unused as u64),
            running: count(counts.running),
            queued: count(counts.queued),
            leases: count(counts.leases),
            services: count(counts.services),
            live_runs,
            live_services,
            orchestrator: None,
        })
    }
}
