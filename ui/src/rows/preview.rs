//! What a request would do, before it is made.

use wharf_model::UnixMillis;

/// What a line of a preview says will happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PreviewVerb {
    /// Ends something that runs.
    Stops,
    /// Takes something away.
    Removes,
    /// Leaves something as it is.
    Keeps,
    /// Leaves something out.
    Leaves,
    /// Lets others have something.
    Frees,
    /// Writes something down.
    Records,
    /// Puts another value in force.
    Changes,
    /// Goes on only after something else.
    Waits,
    /// Begins something that may fail.
    Tries,
    /// Starts a command.
    Runs,
    /// Brings something back.
    Restores,
    /// Goes on with the words of the row above.
    More,
}

impl PreviewVerb {
    /// The word in the first column.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Stops => "stops",
            Self::Removes => "removes",
            Self::Keeps => "keeps",
            Self::Leaves => "leaves",
            Self::Frees => "frees",
            Self::Records => "records",
            Self::Changes => "changes",
            Self::Waits => "waits",
            Self::Tries => "tries",
            Self::Runs => "runs",
            Self::Restores => "restores",
            Self::More => "",
        }
    }
}

/// One line of a preview.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PreviewLine {
    /// What happens.
    pub verb: PreviewVerb,
    /// To what.
    pub what: String,
    /// How, or why.
    pub how: String,
}

/// What a request would do, in the order in which it would happen.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Preview {
    /// Lines.
    pub lines: Vec<PreviewLine>,
    /// A sentence below: how it is recorded, whether it can be undone.
    pub note: String,
    /// Id and version of every row it was judged by.
    pub expect: Vec<Expect>,
    /// When it was computed.
    pub at: UnixMillis,
    /// Why it cannot be done at all; then nothing can be confirmed.
    pub refused: Option<String>,
    /// Arguments of the request that say what was shown.
    pub args: Vec<(&'static str, String)>,
}

/// A row that a request expects unchanged.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Expect {
    /// Id in its stored form.
    pub id: String,
    /// Version.
    pub version: i64,
}
