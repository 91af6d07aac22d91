//! The contract proves itself: an engine with a flaw does not keep it, and the check that is about it says so.

use super::contract::{CHECKS, broken};
use super::here::Engine;
use super::simulated_target::Flaw;

const FLAWS: &[(Flaw, &str)] = &[
    (Flaw::NewPlaceEachTime, "the_same_lease_has_the_same_place"),
    (Flaw::NewPlaceEachTime, "an_answer_that_was_lost_is_given_again"),
    (Flaw::NeedsTheId, "what_nobody_was_told_of_is_removed"),
    (Flaw::RefusesTwice, "what_was_given_back_is_gone_and_may_be_given_back_again"),
    (Flaw::RefusesTwice, "what_was_destroyed_is_gone_and_may_be_destroyed_again"),
    (Flaw::ThrowsKeptAway, "what_was_kept_is_found_by_another_lease"),
    (Flaw::ResumesAnything, "what_never_was_is_gone"),
    (Flaw::LostIsGone, "without_a_way_there_nothing_is_known_and_nothing_is_gone"),
    (Flaw::ForgetsChanges, "the_project_is_there_with_what_nobody_committed"),
    (Flaw::ForgetsChanges, "making_it_again_changes_nothing"),
    (Flaw::CollectsNothing, "what_was_made_there_is_brought_back"),
    (Flaw::TellsValues, "variables_arrive_and_stand_in_no_argument"),
    (Flaw::LiesAboutIdentity, "who_the_operator_is_stays_here"),
    (Flaw::SeesNothing, "a_tree_that_hides_is_listed_and_stopped"),
    (Flaw::StopsNothing, "what_lost_its_keeper_can_still_be_stopped"),
    (Flaw::SharesPlaces, "two_places_have_files_of_their_own"),
    (Flaw::LeavesProcesses, "a_call_that_is_dropped_leaves_nothing_here"),
    (Flaw::Talks, "bytes_are_the_same_on_both_streams"),
    (Flaw::LosesCodes, "a_command_works_in_its_directory_and_its_code_comes_back"),
    (Flaw::LosesCodes, "a_signal_that_ends_it_ends_what_waits_here"),
    (Flaw::SplitsWords, "words_arrive_as_they_are"),
    (Flaw::ClaimsTty, "capabilities_are_what_happens"),
    (Flaw::ExtendsNothing, "more_time_is_given_or_the_latest_end_is_told"),
    (Flaw::SeesAll, "many_are_observed_in_one_call"),
    (Flaw::Hintless, "validation_and_probe_say_what_they_saw"),
    (Flaw::IgnoresTheEnd, "ending_what_waits_here_ends_what_runs_there"),
];

#[test]
fn every_check_notices_what_it_is_about() {
    let mut unnoticed = Vec::new();
    for (flaw, check) in FLAWS {
        let one: Vec<_> = CHECKS.iter().filter(|(name, _)| name == check).copied().collect();
        assert_eq!(one.len(), 1, "there is no check {check}");
        // Some flaws are a matter of moments: on a machine that is busy with other tests one look may miss them.
        let mut looks = (0..3).map(|_| broken(&Engine(Some(*flaw)), &one));
        if !looks.any(|seen| seen.is_ok_and(|broken| broken.len() == 1)) {
            unnoticed.push(format!("{flaw:?} by {check}"));
        }
    }
    assert!(unnoticed.is_empty(), "not noticed:\n{}", unnoticed.join("\n"));
    let idle: Vec<&str> =
        CHECKS.iter().map(|(name, _)| *name).filter(|name| FLAWS.iter().all(|(_, c)| c != name)).collect();
    assert!(idle.is_empty(), "no flaw shows that these can fail: {idle:?}");
}
