//! The one table of commands. Hint row, help, palette and keymap are all made from it.
//!
//! Only commands that do something are listed. A command's places say where its keys count; its
//! `legal` says whether it can be done to what is selected now, and if not, why.

use crate::app::App;

/// Where keys are looked up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Place {
    /// On every screen.
    Everywhere,
    /// In every list.
    List,
    /// In every pane of text.
    Text,
    /// In output and logs.
    Stream,
    /// In what was changed.
    Diff,
    /// On the Ledger, in any pane.
    Ledger,
    /// In the Ledger's list.
    LedgerList,
    /// On Leases, in any pane.
    Leases,
    /// In the list of leases.
    LeasesList,
    /// On Services, in any pane.
    Services,
    /// In the list of services.
    ServicesList,
    /// On Environments, in any pane.
    Environments,
    /// In the list of environments.
    EnvironmentsList,
    /// On Workspaces, in any pane.
    Workspaces,
    /// In the list of workspaces.
    WorkspacesList,
    /// Among the operations of a workspace.
    Operations,
    /// On the port board.
    Ports,
    /// On Activity, in any pane.
    Activity,
    /// On Diagnostics, in any pane.
    Diagnostics,
    /// In the program's own log.
    OwnLog,
}

impl Place {
    /// Every place.
    pub const ALL: [Self; 20] = [
        Self::Everywhere,
        Self::List,
        Self::Text,
        Self::Stream,
        Self::Diff,
        Self::Ledger,
        Self::LedgerList,
        Self::Leases,
        Self::LeasesList,
        Self::Services,
        Self::ServicesList,
        Self::Environments,
        Self::EnvironmentsList,
        Self::Workspaces,
        Self::WorkspacesList,
        Self::Operations,
        Self::Ports,
        Self::Activity,
        Self::Diagnostics,
        Self::OwnLog,
    ];

    /// Its name in the keymap file.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Everywhere => "everywhere",
            Self::List => "list",
            Self::Text => "text",
            Self::Stream => "stream",
            Self::Diff => "diff",
            Self::Ledger => "ledger",
            Self::LedgerList => "ledger-list",
            Self::Leases => "leases",
            Self::LeasesList => "leases-list",
            Self::Services => "services",
            Self::ServicesList => "services-list",
            Self::Environments => "environments",
            Self::EnvironmentsList => "environments-list",
            Self::Workspaces => "workspaces",
            Self::WorkspacesList => "workspaces-list",
            Self::Operations => "operations",
            Self::Ports => "ports",
            Self::Activity => "activity",
            Self::Diagnostics => "diagnostics",
            Self::OwnLog => "own-log",
        }
    }

    /// Its heading in the help.
    pub const fn heading(self) -> &'static str {
        match self {
            Self::Everywhere => "EVERYWHERE",
            Self::List
            | Self::LedgerList
            | Self::LeasesList
            | Self::ServicesList
            | Self::EnvironmentsList
            | Self::WorkspacesList => "THIS LIST",
            Self::Text => "THIS TEXT",
            Self::Stream => "OUTPUT",
            Self::Diff => "THE DIFF",
            Self::Ledger => "THE RUN",
            Self::Leases => "THE LEASE",
            Self::Environments => "THE ENVIRONMENT",
            Self::Services => "THE SERVICE",
            Self::Workspaces => "THE WORKSPACE",
            Self::Operations => "THE OPERATIONS",
            Self::Ports => "THE PORTS",
            Self::Activity => "THE ENTRY",
            Self::Diagnostics => "THE STATE",
            Self::OwnLog => "OWN LOG",
        }
    }
}

/// Places that are active together, for checks of clashes. Every screen adds its own here.
pub fn active_sets() -> impl Iterator<Item = &'static [Place]> {
    use Place::{
        Activity, Diagnostics, Diff, Environments, EnvironmentsList, Everywhere, Leases, LeasesList, Ledger,
        LedgerList, List, Operations, OwnLog, Ports, Services, ServicesList, Stream, Text, Workspaces, WorkspacesList,
    };
    const SETS: &[&[Place]] = &[
        &[LedgerList, List, Ledger, Everywhere],
        &[Stream, Text, Ledger, Everywhere],
        &[Diff, Text, Ledger, Everywhere],
        &[Diff, Text, Workspaces, Everywhere],
        &[Text, Ledger, Everywhere],
        &[LeasesList, List, Leases, Everywhere],
        &[Text, Leases, Everywhere],
        &[ServicesList, List, Services, Everywhere],
        &[Stream, Text, Services, Everywhere],
        &[Text, Services, Everywhere],
        &[Ports, Text, Services, Everywhere],
        &[EnvironmentsList, List, Environments, Everywhere],
        &[Text, Environments, Everywhere],
        &[WorkspacesList, List, Workspaces, Everywhere],
        &[Stream, Text, Workspaces, Everywhere],
        &[Operations, Text, Workspaces, Everywhere],
        &[Text, Workspaces, Everywhere],
        &[List, Activity, Everywhere],
        &[Text, Activity, Everywhere],
        &[OwnLog, Text, Diagnostics, Everywhere],
        &[Text, Diagnostics, Everywhere],
    ];
    SETS.iter().copied()
}

/// How much is asked before it is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// Undoable or harmless.
    Free,
    /// Stops something: a preview, `y` does it.
    Preview,
    /// Removes what cannot be brought back: a preview, and its number is typed.
    Typed,
}

/// One command.
pub struct Command {
    /// Name in the keymap file: `run.cancel`.
    pub name: &'static str,
    /// In the palette; `{}` becomes the selected thing.
    pub title: &'static str,
    /// In help and which-key.
    pub help: &'static str,
    /// In the hint row; empty keeps it out.
    pub hint: &'static str,
    /// Where its keys count.
    pub places: &'static [Place],
    /// Default keys.
    pub keys: &'static [&'static str],
    /// What is asked before.
    pub level: Level,
    /// Whether it can be done now, or why not.
    pub legal: fn(&App) -> Result<(), String>,
    /// Does it.
    pub run: fn(&mut App),
}

impl std::fmt::Debug for Command {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

/// Always legal.
pub fn always(_: &App) -> Result<(), String> {
    Ok(())
}

/// Tables of commands, in the order of hints and help. Every screen adds its own here.
const TABLES: &[&[Command]] = &[
    crate::commands::diff::COMMANDS,
    crate::commands::ledger::COMMANDS,
    crate::commands::leases::COMMANDS,
    crate::commands::services::COMMANDS,
    crate::commands::environments::COMMANDS,
    crate::commands::workspaces::COMMANDS,
    crate::commands::activity::COMMANDS,
    crate::commands::diagnostics::COMMANDS,
    crate::commands::places::COMMANDS,
    crate::commands::panes::COMMANDS,
    crate::commands::everywhere::COMMANDS,
    crate::commands::copy::COMMANDS,
];

/// Every command.
pub fn all() -> impl Iterator<Item = &'static Command> {
    TABLES.iter().flat_map(|t| t.iter())
}

/// The command of this name.
pub fn named(name: &str) -> Option<&'static Command> {
    all().find(|c| c.name == name)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_are_unique_and_every_command_can_be_found() {
        let mut names = BTreeSet::new();
        for command in all() {
            assert!(names.insert(command.name), "{} stands twice", command.name);
            assert!(
                !command.title.is_empty() && !command.help.is_empty() && !command.places.is_empty(),
                "{}",
                command.name
            );
            assert!(!command.title.ends_with('.') && !command.title.contains('!'), "{}", command.title);
        }
    }

    #[test]
    fn every_place_is_active_somewhere() {
        for place in Place::ALL {
            assert!(active_sets().any(|set| set.contains(&place)), "{place:?}");
        }
    }
}
