//! Questions of the screens, answered beside them: rows by one thread, logs by another, searches by
//! a third, so that none waits for what the operator does not look at.

mod config;
mod detail;
mod diagnostics;
mod filter;
mod preview;
pub(crate) mod rows;

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::mem::discriminant;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, PoisonError};

use wharf_model::config::AgentConfig;
use wharf_model::filter::Filter;
use wharf_model::{AgentStatus, CompanyId, IssueStatus, Kind, RunId, RunStatus, UnixMillis};
use wharf_store::view::{
    ActivityQuery, IssueQuery, LeaseQuery, OperationQuery, RunCursor, RunFilter, RunQuery, ServiceQuery, WorkspaceQuery,
};
use wharf_store::{Reader, StoreError};
use wharf_ui::effect::Question;
use wharf_ui::format::Zone;
use wharf_ui::msg::Answer;
use wharf_ui::rows::{FormAgent, FormAgents, Header, IssueName, LeaseName, Page, RunLine};

use self::filter::{Facts, Moment, narrow, passes};
use super::checkouts::Checkouts;
use super::events::{Event, Sender};
use super::live::LiveRuns;
use super::output::Outputs;
use crate::clock;
use crate::once_there::once_there;

/// Rows looked at for one page of a filtered list, at most.
const LOOKED_AT: usize = 20_000;
/// Rows of one look.
const LOOK: usize = 500;
/// Names in the quit dialog.
const NAMED: usize = 12;
/// Issues and workspaces the new-run dialog offers.
const OFFERED: usize = 50;

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
}

impl Scope {
    /// What the console was opened with.
    pub fn new(
        data: &std::path::Path,
        project: &std::path::Path,
        zone: Zone,
        live: &LiveRuns,
        checkouts: &Checkouts,
    ) -> Self {
        Self {
            data: data.to_owned(),
            project: project.to_owned(),
            zone,
            live: live.clone(),
            checkouts: checkouts.clone(),
        }
    }
}

/// A line of questions for one thread.
#[derive(Default)]
struct Line {
    waiting: Mutex<VecDeque<Question>>,
    come: Condvar,
}

impl Line {
    /// Puts a question in the line. One of the same kind that waits for rows that nobody wants any
    /// more gives way, and is given back, since every question is answered.
    fn put(&self, question: Question) -> Option<Question> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let stale = replaceable(&question)
            .then(|| waiting.iter().position(|q| replaceable(q) && discriminant(q) == discriminant(&question)))
            .flatten()
            .and_then(|at| waiting.remove(at));
        waiting.push_back(question);
        self.come.notify_one();
        stale
    }

    fn take(&self) -> Question {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(question) = waiting.pop_front() {
                return question;
            }
            waiting = self.come.wait(waiting).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// Whether a newer question of this kind makes an older one that waits useless. Screens know which
/// answer they wait for; those to lists and details of before are left aside.
const fn replaceable(question: &Question) -> bool {
    matches!(
        question,
        Question::RunDetail(_)
            | Question::Search { .. }
            | Question::Runs { after: None, .. }
            | Question::Leases { after: None, .. }
            | Question::Services { after: None, .. }
            | Question::Workspaces { after: None, .. }
            | Question::Activity { after: None, .. }
    )
}

/// The threads that answer.
pub struct Questions {
    rows: Arc<Line>,
    logs: Arc<Line>,
    searches: Arc<Line>,
    events: Sender,
}

impl Questions {
    /// Begins; answers come as [`Event::Answer`].
    ///
    /// # Errors
    /// No thread could be had.
    pub fn start(scope: &Scope, outputs: &Outputs, events: Sender) -> std::io::Result<Self> {
        let questions = Self { rows: Arc::default(), logs: Arc::default(), searches: Arc::default(), events };
        let mut desk = Desk { scope: scope.clone(), reader: None };
        questions.serve("rows", &questions.rows, move |q| desk.answer(q))?;
        let mut logs = outputs.reader();
        questions.serve("logs", &questions.logs, move |q| logs.answer(q))?;
        let mut searches = outputs.reader();
        questions.serve("searches", &questions.searches, move |q| searches.answer(q))?;
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
            _ => self.rows.put(question),
        }
    }
}

/// Answers from the store.
struct Desk {
    scope: Scope,
    reader: Option<Reader>,
}

/// Rows of a list in which live ones come first.
struct Gathered<T> {
    rows: Vec<T>,
    more: bool,
    hidden: u64,
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
                let found = reader.run_detail(*id)?;
                Answer::RunDetail(found.map(|d| Box::new(detail::run(&d, &self.scope.data, now, self.scope.zone))))
            }
            Question::Leases { filter, after, limit } => {
                Answer::Leases(self.leases(filter, *after, *limit as usize)?)
            }
            Question::Services { filter, after, limit } => {
                Answer::Services(self.services(filter, *after, *limit as usize)?)
            }
            Question::Workspaces { filter, after, limit } => {
                Answer::Workspaces(self.workspaces(filter, *after, *limit as usize)?)
            }
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
            Question::ReleasePreview(id) => Answer::Preview(preview::release(reader, *id, now)?),
            Question::StopPreview(id) => Answer::Preview(preview::stop(reader, *id, now)?),
            Question::RestartPreview(id) => Answer::Preview(preview::restart(reader, *id, now)?),
            Question::AcceptPreview => Answer::Preview(config::accept(reader, &self.scope.project, now)?),
            Question::Diagnostics => Answer::Diagnostics(Box::new(diagnostics::all(reader, &self.scope.data)?)),
            Question::FormAgents => Answer::FormAgents(self.form()?),
            Question::Output { .. } | Question::Count { .. } | Question::Search { .. } => {
                return Err(StoreError::Internal {
                    path: self.scope.data.clone(),
                    cause: "output is not read from the store".to_owned(),
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

    fn runs(&self, filter: &Filter, after: Option<i64>, limit: usize) -> Result<Page<RunLine>, StoreError> {
        let reader = self.reader;
        let agents = reader.agents(None)?;
        let agent = |name: &str| {
            let mut named = agents.iter().filter(|a| a.agent.name == name);
            // A name that several projects have says too little for the database.
            named.next().filter(|_| named.next().is_none()).map(|a| a.agent.id)
        };
        let query = RunQuery { company: self.company()?, project: None, filter: narrow(filter, self.at, agent) };
        let mut cursor = after.map(|below| RunCursor { open: false, below });
        let mut found = Vec::new();
        let (mut ended, mut looked, mut hidden) = (0usize, 0usize, 0u64);
        let more = loop {
            let page = reader.runs(&query, cursor, LOOK.min(limit.max(50)))?;
            looked += page.rows.len().max(1);
            let mut full = false;
            for row in page.rows {
                if !passes(filter, &rows::run_facts(&row, self.now), self.at) {
                    hidden += 1;
                    continue;
                }
                if row.status.is_terminal() {
                    if ended == limit {
                        full = true;
                        break;
                    }
                    ended += 1;
                }
                found.push(row);
            }
            cursor = page.next;
            if full || cursor.is_none() || looked >= LOOKED_AT {
                break full || cursor.is_some();
            }
        };
        let counts = reader.run_counts(&query)?;
        let mut lines: Vec<RunLine> = found.iter().map(rows::run).collect();
        self.around(&found, &mut lines)?;
        let total = u64::try_from(counts.shown).unwrap_or(0).saturating_sub(hidden);
        let all = u64::try_from(counts.shown + counts.hidden).unwrap_or(0);
        Ok(Page { rows: lines, total, hidden: all.saturating_sub(total), more })
    }

    /// What live runs hold and use, when they last printed, and which of them stand still.
    fn around(&self, found: &[wharf_store::view::RunLine], lines: &mut [RunLine]) -> Result<(), StoreError> {
        if found.iter().all(|r| r.status.is_terminal()) {
            self.scope.live.show(&[]);
            return Ok(());
        }
        let leases = self.reader.leases(&LeaseQuery { open: Some(true), ..LeaseQuery::default() }, None, LOOK)?;
        let leases: HashMap<_, _> = leases
            .rows
            .iter()
            .map(|l| (l.lease.id, LeaseName { id: l.lease.id, number: l.lease.number, version: l.lease.version }))
            .collect();
        let mut services = self.services_of_runs()?;
        let running: Vec<(RunId, u32)> =
            found.iter().filter(|r| r.status == RunStatus::Running).map(|r| (r.id, r.attempt)).collect();
        let mut sights = self.scope.live.show(&running);
        for (row, line) in found.iter().zip(lines).filter(|(row, _)| !row.status.is_terminal()) {
            line.lease = row.lease_id.and_then(|id| leases.get(&id).copied());
            line.services = services.remove(&row.id).unwrap_or_default();
            let sight = sights.remove(&row.id).unwrap_or_default();
            line.last_output_at = sight.printed.max(line.last_output_at);
            line.halted = sight.halted.map(rows::halted_words);
            line.terminal = sight.terminal;
        }
        Ok(())
    }

    /// Live services by the runs that use them.
    fn services_of_runs(&self) -> Result<HashMap<RunId, Vec<String>>, StoreError> {
        let query = ServiceQuery { live_only: true, ..ServiceQuery::default() };
        let mut services: HashMap<RunId, Vec<String>> = HashMap::new();
        for item in self.reader.services(&query, None, LOOK)?.rows {
            let name = format!("{} {}", Kind::Service.number(item.service.number), item.service.name);
            for user in &item.users {
                services.entry(user.run_id).or_default().push(name.clone());
            }
        }
        Ok(services)
    }

    /// Gathers rows that pass: with no cursor all live ones and the newest ended ones, else ended
    /// ones below it. `page` gives live rows alone when asked so, else those of both kinds.
    fn gather<T>(
        &self,
        filter: &Filter,
        after: Option<i64>,
        limit: usize,
        mut page: impl FnMut(Option<i64>, bool) -> Result<(Vec<T>, Option<i64>), StoreError>,
        live: impl Fn(&T) -> bool,
        facts: impl Fn(&T) -> Facts,
    ) -> Result<Gathered<T>, StoreError> {
        let (mut open, mut ended, mut hidden) = (Vec::new(), Vec::new(), 0u64);
        // Live ones may stand below any number of ended ones.
        let (mut cursor, mut looked) = (None, 0usize);
        while after.is_none() && looked < LOOKED_AT {
            let (rows, next) = page(cursor, true)?;
            looked += rows.len().max(1);
            for row in rows {
                if passes(filter, &facts(&row), self.at) {
                    open.push(row);
                } else {
                    hidden += 1;
                }
            }
            cursor = next;
            if cursor.is_none() {
                break;
            }
        }
        let (mut cursor, mut looked) = (after, 0usize);
        let more = loop {
            let (rows, next) = page(cursor, false)?;
            looked += rows.len().max(1);
            for row in rows.into_iter().filter(|row| !live(row)) {
                if passes(filter, &facts(&row), self.at) {
                    ended.push(row);
                } else {
                    hidden += 1;
                }
            }
            cursor = next;
            if ended.len() > limit || cursor.is_none() || looked >= LOOKED_AT {
                break ended.len() > limit || cursor.is_some();
            }
        };
        ended.truncate(limit);
        open.extend(ended);
        Ok(Gathered { rows: open, more, hidden })
    }

    fn leases(
        &self,
        filter: &Filter,
        after: Option<i64>,
        limit: usize,
    ) -> Result<Page<wharf_ui::rows::LeaseLine>, StoreError> {
        let company = self.company()?;
        let query = |live: bool| LeaseQuery { company, open: live.then_some(true), ..LeaseQuery::default() };
        let gathered = self.gather(
            filter,
            after,
            limit,
            |below, live| self.reader.leases(&query(live), below, LOOK).map(|p| (p.rows, p.next)),
            |item| !item.lease.status.is_terminal(),
            |item| rows::lease_facts(item, self.now),
        )?;
        let mut page = finish(gathered, rows::lease);
        let services = self.services_of_runs()?;
        for line in page.rows.iter_mut().filter(|l| l.live) {
            line.services = line.run.and_then(|run| services.get(&run).cloned()).unwrap_or_default();
        }
        Ok(page)
    }

    fn services(
        &self,
        filter: &Filter,
        after: Option<i64>,
        limit: usize,
    ) -> Result<Page<wharf_ui::rows::ServiceLine>, StoreError> {
        let company = self.company()?;
        let query = |live_only: bool| ServiceQuery { company, live_only, ..ServiceQuery::default() };
        let gathered = self.gather(
            filter,
            after,
            limit,
            |below, live| self.reader.services(&query(live), below, LOOK).map(|p| (p.rows, p.next)),
            |item| item.service.status.is_live(),
            |item| rows::service_facts(item, self.now),
        )?;
        Ok(finish(gathered, rows::service))
    }

    fn workspaces(
        &self,
        filter: &Filter,
        after: Option<i64>,
        limit: usize,
    ) -> Result<Page<wharf_ui::rows::WorkspaceLine>, StoreError> {
        let company = self.company()?;
        let query = |live: bool| WorkspaceQuery { company, archived: !live, ..WorkspaceQuery::default() };
        let gathered = self.gather(
            filter,
            after,
            limit,
            |below, live| self.reader.workspaces(&query(live), below, LOOK).map(|p| (p.rows, p.next)),
            |item| item.workspace.status != wharf_model::WorkspaceStatus::Archived,
            |item| rows::workspace_facts(item, self.now),
        )?;
        let (numbers, checkouts): (Vec<i64>, Vec<_>) = gathered
            .rows
            .iter()
            .map(|item| &item.workspace)
            .filter(|row| row.status != wharf_model::WorkspaceStatus::Archived)
            .filter_map(|row| Some((row.number, (PathBuf::from(row.cwd.clone()?), row.base_commit.clone()))))
            .unzip();
        let mut page = finish(gathered, rows::workspace);
        if after.is_none() {
            let found: HashMap<_, _> = numbers.into_iter().zip(self.scope.checkouts.show(&checkouts)).collect();
            for line in page.rows.iter_mut().filter(|l| l.live) {
                let figures = found.get(&line.number).copied().flatten().unwrap_or_default();
                (line.dirty, line.untracked) = (figures.dirty, figures.untracked);
                (line.ahead, line.behind) = (figures.ahead, figures.behind);
            }
        }
        Ok(page)
    }

    fn activity(
        &self,
        filter: &Filter,
        after: Option<i64>,
        limit: usize,
    ) -> Result<Page<wharf_ui::rows::ActivityLine>, StoreError> {
        let narrowed = narrow(filter, self.at, |_| None);
        let query = ActivityQuery {
            company: self.company()?,
            since: narrowed.since,
            until: narrowed.until,
            ..ActivityQuery::default()
        };
        let (mut found, mut looked, mut hidden) = (Vec::new(), 0usize, 0u64);
        let mut cursor = after;
        let more = loop {
            // Never more than is still wanted, so that the last row given has its exact position.
            let page = self.reader.activity_placed(&query, cursor, limit.saturating_sub(found.len()).clamp(1, LOOK))?;
            looked += page.rows.len().max(1);
            for (position, row) in &page.rows {
                if passes(filter, &rows::activity_facts(row), self.at) {
                    found.push(rows::activity(*position, row));
                } else {
                    hidden += 1;
                }
            }
            cursor = page.next;
            if found.len() >= limit || cursor.is_none() || looked >= LOOKED_AT {
                break cursor.is_some();
            }
        };
        let total = found.len() as u64;
        Ok(Page { rows: found, total, hidden, more })
    }

    fn form(&self) -> Result<FormAgents, StoreError> {
        let reader = self.reader;
        let path = self.scope.project.display().to_string();
        let Some(project) = reader.project_at(&path)? else {
            return Ok(FormAgents::default());
        };
        let agents = reader.agents(Some(project.id))?;
        let slots = |n: i64| u32::try_from(n).unwrap_or(0);
        let agents = agents
            .iter()
            .map(|item| {
                let row = &item.agent;
                // The first run of a project accepts its config, and its agents with it.
                let fresh = project.accepted_at.is_none() && row.status == AgentStatus::PendingApproval;
                let why = row.status_reason.clone().map(|r| format!(": {r}")).unwrap_or_default();
                let config = serde_json::from_value::<AgentConfig>(row.config.clone()).ok();
                FormAgent {
                    no_prompt: config.and_then(|config| config.takes_no_prompt()).map(|why| why.cause().to_owned()),
                    name: row.name.clone(),
                    adapter: row.adapter_type.clone(),
                    slots: (slots(item.running), slots(row.concurrent_runs)),
                    environment: row.default_environment.clone().or_else(|| project.default_environment.clone()),
                    blocked: (!row.status.is_invokable() && !fresh).then(|| format!("it is {}{why}", row.status)),
                }
            })
            .collect();
        let query = IssueQuery { project: Some(project.id), open_only: true, ..IssueQuery::default() };
        let issues = reader.issues(&query, None, OFFERED)?;
        let closed = [IssueStatus::Done, IssueStatus::Cancelled];
        let issues = issues
            .rows
            .into_iter()
            .filter(|i| !closed.contains(&i.issue.status))
            .map(|i| IssueName { identifier: i.issue.identifier, title: i.issue.title })
            .collect();
        let environments: BTreeSet<String> = reader
            .environments(Some(project.company_id))?
            .into_iter()
            .filter(|e| e.environment.status == wharf_model::EnvironmentStatus::Active)
            .map(|e| e.environment.name)
            .collect();
        // A run goes on in the workspace of its issue by itself; choosing another one is not offered
        // as long as nothing carries it out.
        Ok(FormAgents { agents, issues, environments: environments.into_iter().collect() })
    }
}

fn finish<T, L>(gathered: Gathered<T>, line: impl Fn(&T) -> L) -> Page<L> {
    let rows: Vec<L> = gathered.rows.iter().map(line).collect();
    Page { total: rows.len() as u64, rows, hidden: gathered.hidden, more: gathered.more }
}
