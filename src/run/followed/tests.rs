//! An end that nobody saw, or a command that was never started, is not taken for an exit code of the agent.

use wharf_model::shim::EndedBy;

use super::*;
use crate::dispatch::simulate::bench::exit;
use crate::run::scripted::Scripted;

fn venue(shared_files: bool) -> Venue {
    Venue::There(Box::new(Scripted { shared_files, ..Scripted::default() }.there().1))
}

fn coded(code: i32) -> Box<ExitFrame> {
    Box::new(exit(Some(code), None, EndedBy::Itself, None))
}

#[test]
fn the_words_are_those_that_the_target_says() {
    let source = include_str!("../../environment/transport/target.rs");
    for words in [NOT_STARTED, UNSEEN] {
        assert!(source.contains(&format!("\"{words}{{why}}\"")), "{words}");
    }
    assert!(source.contains("\"wharf: {why}\"") && source.contains("const NOT_RUN: u8 = 125;"));
}

#[test]
fn table_of_ends() {
    let not_started = "warned\nhalf a line wharf: the command was not started: no route to box-1\n";
    let Told::End(exit) = told(&venue(false), coded(125), Some(not_started)) else { panic!("it was started") };
    let error = exit.spawn_error.unwrap();
    assert_eq!((exit.code, error.code.as_str()), (None, "transport_resolution_failed"));
    assert_eq!(error.message, "the command was not started: no route to box-1");

    let unseen = "wharf: the command is over and its end was not seen: its keeper was killed\n";
    let words = "the command is over and its end was not seen: its keeper was killed".to_owned();
    assert_eq!(told(&venue(false), coded(125), Some(unseen)), Told::Unseen(words));

    // The agent's own code, other words, words that it said before, a place that nothing follows from here.
    let earlier = format!("{unseen}and more\n");
    for (venue, code, stderr) in [
        (venue(false), 1, Some(unseen)),
        (venue(false), 125, None),
        (venue(false), 125, Some("docker: no such image\n")),
        (venue(false), 125, Some(earlier.as_str())),
        (venue(true), 125, Some(not_started)),
        (Venue::Here, 125, Some(not_started)),
    ] {
        assert_eq!(told(&venue, coded(code), stderr), Told::End(coded(code)), "{stderr:?}");
    }
}

#[test]
fn only_a_signal_that_nobody_asked_for_may_have_ended_what_follows() {
    let killed = |stop| exit(None, Some("SIGKILL"), EndedBy::Itself, stop);
    assert!(unfollowed(&venue(false), &killed(None)).unwrap().contains("box-1 (ssh) that SIGKILL ended"));
    assert_eq!(unfollowed(&venue(false), &killed(Some(("operator", true)))), None);
    assert_eq!(unfollowed(&venue(false), &coded(3)), None);
    assert_eq!(unfollowed(&venue(true), &killed(None)), None);
}
