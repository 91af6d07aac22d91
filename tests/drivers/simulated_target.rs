//! How commands run in a place of the simulated engine, and the flaws that it may have.

use std::collections::BTreeMap;
use std::path::Path;

use wharf::environment::driver::{CwdPass, EnvPass, Target};

/// What a broken engine does: the contract must notice each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flaw {
    /// Every acquire makes a place.
    NewPlaceEachTime,
    /// A release without an id removes nothing.
    NeedsTheId,
    /// What is not there cannot be given back.
    RefusesTwice,
    /// What is laid by is thrown away.
    ThrowsKeptAway,
    /// Says of what it does not know that it can be resumed.
    ResumesAnything,
    /// A lost controller means that everything is gone.
    LostIsGone,
    /// Carries commits only.
    ForgetsChanges,
    /// Brings nothing back.
    CollectsNothing,
    /// Hands values over in arguments.
    TellsValues,
    /// Lets the operator's identity travel, and says that it does not.
    LiesAboutIdentity,
    /// Sees no processes.
    SeesNothing,
    /// Stops nothing.
    StopsNothing,
    /// Puts all places into one directory.
    SharesPlaces,
    /// Leaves a process behind when a call is dropped.
    LeavesProcesses,
    /// Adds a line to what commands print.
    Talks,
    /// Loses how a command ended.
    LosesCodes,
    /// Takes arguments apart at spaces.
    SplitsWords,
    /// Says that a command can have a terminal.
    ClaimsTty,
    /// Says that it gives more time, and does not.
    ExtendsNothing,
    /// Says of what it does not know that it is held.
    SeesAll,
    /// Finds something wrong and does not say what to do.
    Hintless,
    /// Does not end what runs there when it is told to end.
    IgnoresTheEnd,
}

/// Runs a command in the directory after `-C`, in a session of its own; ends that when it is told to end, and ends
/// as it ended.
const CLIENT: &str = r#"
cd "$2" || exit 125
shift 2
ulimit -c 0
exec 3<&0
child= told=
trap 'told=1; [ -z "$child" ] || kill -TERM -$child' TERM INT
setsid "$@" <&3 3<&- &
child=$!
[ -z "$told" ] || kill -TERM -$child
while :; do
    wait $child
    code=$?
    kill -0 $child 2> /dev/null || break
done
trap - TERM INT
[ $code -gt 128 ] && [ $code -lt 192 ] && kill -$((code - 128)) $$
exit $code
"#;

/// The client of the engine.
pub fn client(place: &Path, flaw: Option<Flaw>) -> Target {
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    let tail = match flaw {
        Some(Flaw::Talks) => words(&["sh", "-c", "echo connected; exec \"$@\"", "sh"]),
        Some(Flaw::LosesCodes) => words(&["sh", "-c", "\"$@\" || exit 1", "sh"]),
        // The value stands in the arguments of the outer one for as long as it runs.
        Some(Flaw::TellsValues) => {
            words(&["sh", "-c", "sh -c 'shift; \"$@\"; exit $?' sh \"$PLAIN\" \"$@\"; exit $?", "sh"])
        }
        Some(Flaw::SplitsWords) => words(&["sh", "-c", "exec $*", "sh"]),
        _ => Vec::new(),
    };
    let path = std::env::var("PATH").unwrap_or_default();
    let mut own_env: BTreeMap<String, String> = BTreeMap::from([("PATH".into(), path)]);
    let client = match flaw {
        // The contract asks the target whether identity travels; this one says no and brings it in another way.
        Some(Flaw::LiesAboutIdentity) => CLIENT.replace("setsid", "HOME=$LC_CONTRACT/home setsid"),
        Some(Flaw::IgnoresTheEnd) => CLIENT.replace("setsid", "trap '' TERM INT\nsetsid"),
        _ => CLIENT.to_owned(),
    };
    own_env.insert("HOME".into(), place.display().to_string());
    Target {
        head: words(&["sh", "-c", &client, "sh"]),
        tail,
        tty: None,
        cwd: CwdPass::Flag("-C".into()),
        env: EnvPass::Inherited,
        keeps_identity: false,
        own_env,
        ..Target::default()
    }
}
