//! The contract: every check, in its order, each on a project of its own. `WHARF_TEST_CHECK` leaves only those whose
//! names hold it.

use std::io::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::bench::Bench;
use super::subject::Subject;
use super::{check_commands, check_leases, check_processes, check_reach, check_workspaces};

/// One thing that a driver must do.
pub type Check = (&'static str, fn(&Bench));

macro_rules! checks {
    ($($module:ident :: $check:ident),* $(,)?) => { &[$((stringify!($check), $module::$check as fn(&Bench))),*] };
}

/// All of them.
pub const CHECKS: &[Check] = checks![
    check_leases::validation_and_probe_say_what_they_saw,
    check_leases::the_same_lease_has_the_same_place,
    check_leases::an_answer_that_was_lost_is_given_again,
    check_leases::what_was_given_back_is_gone_and_may_be_given_back_again,
    check_leases::what_nobody_was_told_of_is_removed,
    check_leases::what_was_destroyed_is_gone_and_may_be_destroyed_again,
    check_leases::what_was_kept_is_found_by_another_lease,
    check_leases::what_never_was_is_gone,
    check_leases::more_time_is_given_or_the_latest_end_is_told,
    check_leases::many_are_observed_in_one_call,
    check_leases::capabilities_are_what_happens,
    check_leases::a_call_that_is_dropped_leaves_nothing_here,
    check_workspaces::the_project_is_there_with_what_nobody_committed,
    check_workspaces::making_it_again_changes_nothing,
    check_workspaces::two_places_have_files_of_their_own,
    check_workspaces::what_was_made_there_is_brought_back,
    check_commands::a_command_works_in_its_directory_and_its_code_comes_back,
    check_commands::a_signal_that_ends_it_ends_what_waits_here,
    check_commands::words_arrive_as_they_are,
    check_commands::bytes_are_the_same_on_both_streams,
    check_commands::variables_arrive_and_stand_in_no_argument,
    check_commands::who_the_operator_is_stays_here,
    check_processes::a_tree_that_hides_is_listed_and_stopped,
    check_processes::ending_what_waits_here_ends_what_runs_there,
    check_processes::what_lost_its_keeper_can_still_be_stopped,
    check_reach::without_a_way_there_nothing_is_known_and_nothing_is_gone,
];

/// What a driver does not keep, in words; `Err` with the reason where it cannot be tried here.
pub fn broken(subject: &dyn Subject, checks: &[Check]) -> Result<Vec<String>, String> {
    let bench = Bench::new(subject)?;
    let mut broken = Vec::new();
    let wanted = std::env::var("WHARF_TEST_CHECK").unwrap_or_default();
    for (name, check) in checks.iter().filter(|(name, _)| name.contains(&wanted)) {
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| check(&bench))) {
            let text = panic.downcast_ref::<String>().cloned();
            let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
            broken.push(format!("{name}: {}", text.unwrap_or_default()));
        }
    }
    Ok(broken)
}

/// Holds that a driver keeps every part of the contract.
pub fn contract(subject: &dyn Subject) {
    let name = subject.name();
    // Past what the test harness keeps to itself of a test that passes.
    let say = |text: String| {
        let _ = writeln!(std::io::stderr(), "{text}");
    };
    match broken(subject, CHECKS) {
        Err(why) => say(format!("SKIPPED: driver {name}: {why}")),
        Ok(broken) => {
            let word = if broken.is_empty() { "keeps the contract" } else { "does not keep the contract" };
            say(format!("driver {name}: tried here, {word}"));
            assert!(broken.is_empty(), "driver {name} does not keep {}:\n{}", broken.len(), broken.join("\n"));
        }
    }
}
