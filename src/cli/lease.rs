//! `wharf lease …`: the operator's verbs on leases. A preview of what each does, a question where something is
//! stopped or removed, and then exactly that.

mod carry;
mod preview;
mod show;
mod time;

use clap::{Args, Subcommand};
use wharf_model::UnixMillis;
use wharf_model::rules::lease_verb::Verb;

use super::cancel::duration;
use super::context::Context;
use super::error::{CliError, Result};
use crate::clock;
use crate::console::lease_preview::LeaseVerb;

/// `wharf lease …`
#[derive(Debug, Clone, Subcommand)]
pub enum LeaseCommand {
    /// Release leases: stops their holders, gives back what they hold, frees their slots
    #[command(after_help = "Example:\n  wharf lease release L-88 --dry-run")]
    Release(ReleaseArgs),
    /// Release leases without waiting for their holders longer than their grace and a little more
    #[command(after_help = "Example:\n  wharf lease force-release L-79\n\n\
        A holder that cannot be judged is waited for until its lease expires; asked once more meanwhile, it is not.")]
    ForceRelease(Which),
    /// Remove what leases hold at their provider, whatever their policy
    #[command(after_help = "Example:\n  wharf lease destroy L-86")]
    Destroy(Which),
    /// Give leases more time
    #[command(after_help = "Example:\n  wharf lease extend L-86 --by 30m")]
    Extend(ExtendArgs),
    /// Keep leases until a moment, whatever their policy, also after their runs
    #[command(after_help = "Example:\n  wharf lease retain L-89 --for 2h")]
    Retain(RetainArgs),
    /// Try the clean-up of leases now
    #[command(after_help = "Example:\n  wharf lease retry-cleanup L-81")]
    RetryCleanup(Which),
}

/// Which leases, and how they are asked about.
#[derive(Debug, Clone, Args)]
pub struct Which {
    /// The leases: L-4, their ids or parts of them
    #[arg(required = true, value_name = "LEASE")]
    pub leases: Vec<String>,
    /// Only say what it would do
    #[arg(long)]
    pub dry_run: bool,
    /// Do it without asking
    #[arg(long, short, conflicts_with = "dry_run")]
    pub yes: bool,
}

/// Options of `wharf lease release`.
#[derive(Debug, Clone, Args)]
pub struct ReleaseArgs {
    #[command(flatten)]
    which: Which,
    /// The same as `wharf lease force-release`
    #[arg(long)]
    force: bool,
}

/// Options of `wharf lease extend`.
#[derive(Debug, Clone, Args)]
pub struct ExtendArgs {
    #[command(flatten)]
    which: Which,
    /// How much longer, such as 30m
    #[arg(long, value_name = "TIME", value_parser = duration)]
    by: i64,
}

/// Options of `wharf lease retain`.
#[derive(Debug, Clone, Args)]
#[command(group = clap::ArgGroup::new("end").required(true))]
pub struct RetainArgs {
    #[command(flatten)]
    which: Which,
    /// Until when: 18:30, 2026-11-30, 2026-11-30T18:30
    #[arg(long, value_name = "MOMENT", group = "end")]
    until: Option<String>,
    /// For how long, such as 2h
    #[arg(long = "for", value_name = "TIME", value_parser = duration, group = "end")]
    span: Option<i64>,
}

/// How a verb is told and asked for.
#[derive(Debug, Clone, Copy)]
struct Doing {
    verb: LeaseVerb,
    /// Kind of the request.
    kind: &'static str,
    /// Subcommand.
    name: &'static str,
    /// `Releasing`.
    noun: &'static str,
    /// `Release`.
    capital: &'static str,
    /// `released`.
    past: &'static str,
    /// What is asked before: nothing, yes or no, the number.
    asks: Asks,
}

/// How a verb is confirmed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asks {
    Nothing,
    YesOrNo,
    Number,
}

impl Doing {
    const fn release(force: bool) -> Self {
        Self {
            verb: LeaseVerb::Release { force },
            kind: "lease.release",
            name: if force { "force-release" } else { "release" },
            noun: "Releasing",
            capital: "Release",
            past: "released",
            asks: Asks::YesOrNo,
        }
    }

    /// Arguments of the request.
    fn args(&self) -> serde_json::Value {
        match self.verb {
            LeaseVerb::Release { force: true } => serde_json::json!({ "force": true }),
            LeaseVerb::Other(Verb::Extend(by)) => serde_json::json!({ "by_ms": by }),
            LeaseVerb::Other(Verb::Retain(until)) => serde_json::json!({ "until": until.0 }),
            _ => serde_json::json!({}),
        }
    }
}

/// Carries out one of them.
pub fn lease(context: &Context, command: &LeaseCommand) -> Result<u8> {
    let harmless = |verb, kind, name, noun, capital, past| Doing {
        verb: LeaseVerb::Other(verb),
        kind,
        name,
        noun,
        capital,
        past,
        asks: Asks::Nothing,
    };
    match command {
        LeaseCommand::Release(args) => carry::out(context, &args.which, Doing::release(args.force)),
        LeaseCommand::ForceRelease(which) => carry::out(context, which, Doing::release(true)),
        LeaseCommand::Destroy(which) => {
            let doing = harmless(Verb::Destroy, "lease.destroy", "destroy", "Destroying", "Destroy", "destroyed");
            carry::out(context, which, Doing { asks: Asks::Number, ..doing })
        }
        LeaseCommand::Extend(args) => {
            let verb = Verb::Extend(args.by);
            carry::out(
                context,
                &args.which,
                harmless(verb, "lease.extend", "extend", "Extending", "Extend", "extended"),
            )
        }
        LeaseCommand::Retain(args) => {
            let verb = Verb::Retain(until(context, args)?);
            carry::out(context, &args.which, harmless(verb, "lease.retain", "retain", "Keeping", "Keep", "kept"))
        }
        LeaseCommand::RetryCleanup(which) => {
            let words = ("lease.retry_cleanup", "retry-cleanup", "Cleaning up", "Clean up", "cleaned up");
            carry::out(context, which, harmless(Verb::RetryCleanup, words.0, words.1, words.2, words.3, words.4))
        }
    }
}

fn until(context: &Context, args: &RetainArgs) -> Result<UnixMillis> {
    let now = clock::now();
    match (&args.until, args.span) {
        (Some(text), _) => time::moment(text, now, context.zone()).ok_or_else(|| {
            CliError::usage(format!("{text:?} is no moment"))
                .cause("a moment is a time of day, a date, or both: 18:30, 2026-11-30, 2026-11-30T18:30")
                .next("wharf lease retain L-4 --for 2h")
        }),
        (None, span) => Ok(now.plus(span.unwrap_or(0))),
    }
}
