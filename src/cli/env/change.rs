//! `wharf env archive`, `restore` and `delete`: a preview, a question, and then exactly that.

use std::io::{BufRead as _, IsTerminal as _, Write as _};
use std::time::Duration;

use clap::Args;
use serde::Serialize;
use serde_json::{Value, json};
use wharf_model::rules::environment_change::{EnvironmentChange, EnvironmentEffect};
use wharf_model::{EnvironmentId, Kind, RequestRow};

use super::doc::EnvironmentDoc;
use super::preview::{Line, Preview, preview};
use super::{current, named};
use crate::cli::context::{Context, print, say};
use crate::cli::desk::{Ask, Desk};
use crate::cli::error::{CliError, Result, exit};
use crate::cli::table::tidy;

/// Time that clean-up before a deletion is waited for.
const LIMIT: Duration = Duration::from_secs(150);
/// Previews that may change under the operator before this gives up.
const PREVIEWS: usize = 5;

/// Options of `wharf env archive`.
#[derive(Debug, Clone, Args)]
pub struct ChangeArgs {
    /// Its name in the company, E-2, its id or a part of it
    #[arg(value_name = "ENVIRONMENT")]
    pub environment: String,
    /// Only say what it would do
    #[arg(long)]
    pub dry_run: bool,
    /// Do it without asking
    #[arg(long, short, conflicts_with = "dry_run")]
    pub yes: bool,
}

/// Options of `wharf env delete`.
#[derive(Debug, Clone, Args)]
pub struct DeleteArgs {
    #[command(flatten)]
    pub change: ChangeArgs,
    /// Clean up first what its leases still hold at the provider
    #[arg(long)]
    pub cleanup: bool,
}

#[derive(Serialize)]
struct Document<'a> {
    schema: &'static str,
    environment: &'a str,
    name: &'a str,
    change: &'static str,
    confirmed: bool,
    done: bool,
    lines: &'a [Line],
    effect: &'a EnvironmentEffect,
}

/// One change that is asked for.
struct Asked<'a> {
    context: &'a Context,
    args: &'a ChangeArgs,
    change: EnvironmentChange,
    cleanup: bool,
}

/// Archives an environment.
pub fn archive(context: &Context, args: &ChangeArgs) -> Result<u8> {
    Asked { context, args, change: EnvironmentChange::Archive, cleanup: false }.carry_out()
}

/// Deletes an environment.
pub fn delete(context: &Context, args: &DeleteArgs) -> Result<u8> {
    Asked { context, args: &args.change, change: EnvironmentChange::Delete, cleanup: args.cleanup }.carry_out()
}

impl Asked<'_> {
    fn carry_out(&self) -> Result<u8> {
        let (context, args) = (self.context, self.args);
        let reader = context.reader_for(&args.environment)?;
        let (company, item) = named(context, &reader, &args.environment)?;
        let id = item.environment.id;
        let first = preview(&reader, id, self.change, self.cleanup)?;
        drop(reader);
        if args.dry_run {
            return self.show(&first, false, false).map(|()| exit::DONE);
        }
        if !args.yes {
            self.confirm(&first)?;
        }
        let mut desk = Desk::open(context)?;
        let done = self.ask(&mut desk, &company, id, first);
        desk.close();
        let last = done?;
        if context.global.json {
            self.show(&last, true, true)?;
        }
        let did = match self.change {
            EnvironmentChange::Archive => "archived",
            EnvironmentChange::Delete => "deleted",
        };
        context.remark(&format!("{did} {} {}", last.number, last.name));
        Ok(exit::DONE)
    }

    /// Asks until what was confirmed is what happens; gives the preview that held.
    fn ask(&self, desk: &mut Desk, company: &str, id: EnvironmentId, mut shown: Preview) -> Result<Preview> {
        for _ in 0..PREVIEWS {
            let asked = desk.ask(Ask {
                kind: match self.change {
                    EnvironmentChange::Archive => "environment.archive",
                    EnvironmentChange::Delete => "environment.delete",
                },
                target_type: "environment",
                target_id: Some(id.text()),
                args: json!({ "company": company, "cleanup": self.cleanup }),
                expect: serde_json::to_value(&shown.effect.judged).ok(),
            });
            let row = match asked {
                Err(error) if error.code == "changed_since_preview" => {
                    let fresh = preview(&desk.reader, id, self.change, self.cleanup)?;
                    // Versions rise with every sign of life; only another effect needs another answer.
                    let same = shown.effect.is_like(&fresh.effect);
                    shown = fresh;
                    if same {
                        continue;
                    }
                    if self.args.yes {
                        return Err(error.cause(format!("it would now do this:\n{}", shown.text().trim_end())));
                    }
                    self.context.remark("something has changed meanwhile");
                    self.confirm(&shown)?;
                    continue;
                }
                other => other?,
            };
            return self.finished(desk, &row, shown);
        }
        Err(CliError::new(
            exit::REFUSED,
            "changed_since_preview",
            format!("{} changes faster than it can be previewed", shown.number),
        )
        .next(format!("wharf env show {}", shown.number)))
    }

    fn finished(&self, desk: &mut Desk, row: &RequestRow, shown: Preview) -> Result<Preview> {
        let begun = shown.effect.cleans.len() + shown.effect.waits_for.len();
        if begun > 0 {
            self.context.remark(&format!("cleaning up {}", wharf_ui::format::plural(begun as u64, "lease")));
        }
        match desk.finished(row, LIMIT)? {
            Some(_) => Ok(shown),
            None => {
                Err(CliError::new(exit::NO_ANSWER, "timeout", format!("{} is still being cleaned up", shown.number))
                    .cause("it is deleted by itself once that is done")
                    .next(format!("wharf env show {}", shown.number)))
            }
        }
    }

    fn show(&self, preview: &Preview, confirmed: bool, done: bool) -> Result<()> {
        if self.context.global.json {
            return self.context.document(&Document {
                schema: "wharf.environment_change/1",
                environment: &preview.number,
                name: &preview.name,
                change: self.change.as_str(),
                confirmed,
                done,
                lines: &preview.lines,
                effect: &preview.effect,
            });
        }
        print(self.tidied(preview).as_bytes())
    }

    fn tidied(&self, preview: &Preview) -> String {
        preview.text().lines().map(|line| tidy(line, self.context.global.ascii) + "\n").collect()
    }

    /// Asks on a terminal; elsewhere says that `--yes` is needed.
    fn confirm(&self, preview: &Preview) -> Result<()> {
        let (number, word) = (&preview.number, self.change.as_str());
        let cleanup = if self.cleanup { " --cleanup" } else { "" };
        let error = |message: &str| {
            CliError::new(exit::NOT_CONFIRMED, "not_confirmed", format!("{number} {message}"))
                .entity(number.clone())
                .next(format!("wharf env {word} {number}{cleanup} --yes"))
        };
        if self.context.global.json {
            self.show(preview, false, false)?;
            return Err(error("stays as it is").cause("nobody confirmed what it does"));
        }
        say(self.tidied(preview).trim_end());
        if !std::io::stdin().is_terminal() || !std::io::stderr().is_terminal() {
            return Err(error("stays as it is").cause("there is no terminal to ask on"));
        }
        let mut err = std::io::stderr().lock();
        let verb = if self.change == EnvironmentChange::Archive { "Archive" } else { "Delete" };
        // A question that cannot be shown is answered with no.
        let asked = write!(err, "{verb} {number}? [y/N] ").and_then(|()| err.flush());
        drop(err);
        let mut answer = String::new();
        let read = asked.and_then(|()| std::io::stdin().lock().read_line(&mut answer));
        if read.is_ok() && matches!(answer.trim(), "y" | "Y" | "yes") {
            return Ok(());
        }
        Err(error("stays as it is").cause("the answer was no"))
    }
}

/// Takes an environment back into use.
pub fn restore(context: &Context, text: &str) -> Result<u8> {
    let reader = context.reader_for(text)?;
    let (company, item) = named(context, &reader, text)?;
    drop(reader);
    let id = item.environment.id;
    let mut desk = Desk::open(context)?;
    desk.ask(Ask {
        kind: "environment.restore",
        target_type: "environment",
        target_id: Some(id.text()),
        args: json!({ "company": company }),
        expect: None,
    })?;
    let item = current(&desk.reader, id)?;
    desk.close();
    if context.global.json {
        let document: Value = json!({ "schema": "wharf.environment/1", "environment": EnvironmentDoc::new(&item) });
        context.document(&document)?;
    }
    context.remark(&format!(
        "restored {} {}",
        Kind::Environment.number(item.environment.number),
        item.environment.name
    ));
    Ok(exit::DONE)
}
