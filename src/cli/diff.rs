//! `wharf diff`: what a run or a workspace changed, as git would print it, or how two runs ended differently.

mod doc;
mod paint;

use std::io::Write as _;

use clap::Args;
use wharf_model::{Kind, Named, RunId, WorkspaceId};
use wharf_store::Reader;
use wharf_store::view::EntityKind;
use wharf_ui::format;

use super::context::{Context, output_error, print};
use super::error::{CliError, Result, exit};
use super::logs::parse_name;
use crate::workspace::diff::subject::{Asked, Subject, find};
use crate::workspace::diff::{self, Content, FileChange, Limits, Listing};

/// Options of `wharf diff`.
#[derive(Debug, Clone, Args)]
pub struct DiffArgs {
    /// Whose changes: R-12, W-7, an id or a part of one
    #[arg(value_name = "ID")]
    pub id: String,
    /// A second run, beside which the first is laid; then files and directories, if not all, from the checkout's root on
    #[arg(value_name = "RUN|FILE")]
    pub rest: Vec<String>,
    /// Only how much differs in which file
    #[arg(long, conflicts_with = "name_only")]
    pub stat: bool,
    /// Only which files differ
    #[arg(long)]
    pub name_only: bool,
}

/// Prints what was changed.
pub fn diff(context: &Context, args: &DiffArgs) -> Result<u8> {
    let reader = context.reader_for(&args.id)?;
    let (asked, files) = asked(&reader, args)?;
    let refused = |words: String| CliError::new(exit::REFUSED, "illegal_state", words).entity(args.id.clone());
    let subject = find(&reader, asked).map_err(refused)?;
    let wanted = |file: &FileChange| files.is_empty() || files.iter().any(|f| holds(f, file));
    if context.global.json || args.stat || args.name_only {
        let listing = subject.compare(Limits::PATCH).map_err(refused)?.listing;
        let shown: Vec<&FileChange> = listing.files.iter().filter(|f| wanted(f)).collect();
        if context.global.json {
            context.document(&doc::document(&subject.title, &listing, &shown))?;
            return Ok(exit::DONE);
        }
        head(context, &subject, &listing, shown.len());
        let text = if args.stat { paint::stat(&shown, context.colour()) } else { names(&shown) };
        print(text.as_bytes())?;
        return Ok(exit::DONE);
    }
    patch(context, &subject, wanted).map_err(|error| match error {
        Trouble::Words(words) => refused(words),
        Trouble::Output(error) => error,
    })
}

/// What is asked for, and of which files.
fn asked(reader: &Reader, args: &DiffArgs) -> Result<(Asked, Vec<Vec<u8>>)> {
    let run =
        |text: &str| -> Result<RunId> { Ok(RunId(reader.resolve(&parse_name(text)?, Some(EntityKind::Run))?.id)) };
    let named = parse_name(&args.id)?;
    let found = reader.resolve(&named, None)?;
    let mut rest = args.rest.as_slice();
    let asked = match found.kind {
        EntityKind::Workspace => {
            if let Some(second) = rest.first().filter(|t| matches!(t.parse(), Ok(Named::Number(..)))) {
                let words =
                    format!("{} can be laid beside nothing: only two runs can, and {second} is no file", args.id);
                return Err(
                    CliError::usage(words).next(format!("wharf diff {second}    wharf diff {} ./{second}", args.id))
                );
            }
            Asked::Workspace(WorkspaceId(found.id))
        }
        EntityKind::Run => match rest.split_first() {
            // A file of such a name is written ./R-2.
            Some((second, files)) if matches!(second.parse(), Ok(Named::Number(Kind::Run, _))) => {
                rest = files;
                Asked::Runs(RunId(found.id), run(second)?)
            }
            _ => Asked::Run(RunId(found.id)),
        },
        kind => {
            return Err(CliError::usage(format!("{} is no run and no workspace but a {kind}", found.label))
                .next("wharf runs    wharf workspaces")
                .entity(args.id.clone()));
        }
    };
    let files = rest.iter().map(|f| f.strip_prefix("./").unwrap_or(f).trim_end_matches('/').as_bytes().to_vec());
    Ok((asked, files.filter(|f| f != b".").collect()))
}

/// Whether a name is the file's, before or now, or a directory that it lies in.
fn holds(name: &[u8], file: &FileChange) -> bool {
    let below = |path: &[u8]| path.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"));
    below(file.path()) || file.old_path().is_some_and(below)
}

enum Trouble {
    Words(String),
    Output(CliError),
}

/// Prints the patch as it is made, so that a reader who has seen enough ends it.
fn patch(
    context: &Context,
    subject: &Subject,
    wanted: impl Fn(&FileChange) -> bool,
) -> std::result::Result<u8, Trouble> {
    let mut out = std::io::BufWriter::with_capacity(64 * 1024, std::io::stdout().lock());
    let paint = paint::Paint::new(context);
    let made = diff::patch(&subject.directory, &subject.base, &subject.end, Limits::PATCH, &wanted, |part| {
        paint.write(&mut out, part)
    });
    let (listing, written) = made.map_err(|e| Trouble::Words(e.to_string()))?;
    written.and_then(|()| out.flush()).map_err(|e| Trouble::Output(output_error(&e)))?;
    drop(out);
    head(context, subject, &listing, listing.files.iter().filter(|f| wanted(f)).count());
    let mut whole = true;
    for file in listing.files.iter().filter(|f| wanted(f)) {
        if let Content::Unread(why) = &file.content {
            whole = false;
            context.warn("diff_incomplete", &format!("left out: {}: {why}", paint::quoted(file.path())));
        }
    }
    Ok(if whole { exit::DONE } else { exit::THING_FAILED })
}

/// Says on stderr what is compared with what.
fn head(context: &Context, subject: &Subject, listing: &Listing, files: usize) {
    for remark in subject.remarks.iter().chain(listing.remarks.iter().filter(|r| !subject.remarks.contains(r))) {
        context.remark(&crate::config::harmless(remark));
    }
    let count = format!("{} file{}", format::count(files as u64), if files == 1 { "" } else { "s" });
    let words = format!("{}: {count}, {} against {}", subject.title, listing.end, listing.base);
    context.remark(&crate::config::harmless(&words));
}

fn names(files: &[&FileChange]) -> String {
    files.iter().map(|f| paint::quoted(f.path()) + "\n").collect()
}
