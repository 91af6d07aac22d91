//! Every fault with its tests. A fault that is in no row, or a test that is in none, fails the suite.

use super::ground::Note;
use super::{console, disk, kill_points, limits, output, slots, trees};

/// One fault.
struct Fault {
    number: usize,
    what: &'static str,
    /// Its tests; each takes its number as `fNN_` in its name.
    tests: &'static [(&'static str, fn())],
    /// What of its criterion is not shown yet, and why.
    not_yet: Option<&'static str>,
}

/// Tests of other programs that show a part of a fault at a lower level: fault, file, function.
const ELSEWHERE: &[(usize, &str, &str)] = &[
    (2, "src/dispatch/simulate/mod.rs", "every_history_keeps_the_rules"),
    (2, "tests/crash/leases.rs", "a_lease_of_this_machine_survives_a_death_at_each_of_its_steps"),
    (2, "tests/crash/leases.rs", "a_lease_of_a_sandbox_survives_a_death_at_each_of_its_steps"),
    (2, "tests/crash/leases.rs", "a_lease_of_a_host_survives_a_death_at_each_of_its_steps"),
    (2, "tests/crash/leases.rs", "a_lease_of_a_plugin_survives_a_death_at_each_of_its_steps"),
    (3, "src/dispatch/simulate/mod.rs", "what_was_found_once_stays_found"),
    (5, "tests/crash/take_over.rs", "a_stopped_holder_is_named_at_once_and_ended_on_request"),
    (5, "tests/crash/take_over.rs", "one_that_wakes_up_after_its_lock_file_was_deleted_is_refused_by_the_epoch"),
    (5, "tests/crash/take_over.rs", "the_lock_file_of_a_copied_directory_names_a_process_that_is_left_alone"),
    (5, "tests/console_reign.rs", "a_console_that_wakes_up_too_late_says_so_and_keeps_its_terminal"),
    (6, "tests/shim_control.rs", "welcome_and_status_say_what_is"),
    (9, "tests/crash/left.rs", "whoever_the_child_proves_is_stopped_without_a_tag"),
    (9, "tests/crash/left.rs", "without_the_child_they_are_named_and_left_alone"),
    (10, "tests/shim_crash.rs", "a_shim_that_dies_anywhere_is_recognised"),
    (12, "tests/shim_stop.rs", "a_tree_that_hides_and_ignores_is_gone_in_time"),
    (19, "tests/crash/bad_input.rs", "a_run_that_cannot_be_says_why_and_leaves_nothing"),
    (19, "tests/shim_run.rs", "what_cannot_be_started_is_told_apart"),
    (22, "store/tests/log_lines.rs", "a_line_of_a_hundred_megabytes_is_cut_and_measured"),
    (23, "tests/decoders.rs", "f23_any_bytes_are_a_line"),
    (24, "tests/decoders.rs", "f24_no_order_survives_the_line"),
    (24, "tests/decoders.rs", "an_order_of_ten_megabytes_costs_little"),
    (28, "tests/shim_disk.rs", "the_reserve_makes_room_for_the_exit_frame"),
    (29, "store/tests/disk_faults.rs", "a_full_disk_leaves_room_for_the_ledger_and_then_refuses_whole_batches"),
    (30, "store/tests/disk_faults.rs", "after_a_lost_sync_nothing_is_acknowledged_before_the_store_was_read_back"),
    (
        30,
        "tests/store_safety.rs",
        "after_a_lost_sync_the_orchestrator_ends_with_the_reason_and_the_next_one_reads_everything_back",
    ),
    (31, "store/tests/disk_faults.rs", "power_may_fail_at_any_write"),
    (32, "store/tests/damage.rs", "any_flipped_byte_in_a_committed_frame_is_noticed"),
    (32, "store/tests/damage.rs", "a_journal_cut_anywhere_is_noticed"),
    (32, "store/tests/damage.rs", "a_database_cut_behind_its_journal_is_noticed_at_once"),
    (33, "store/src/journal_test.rs", "a_reader_that_holds_on_is_stopped_and_the_journal_stays_bounded"),
    (36, "store/tests/backup.rs", "a_store_whose_making_is_killed_anywhere_is_made_by_the_next_start"),
    (37, "tests/console_reign.rs", "twenty_consoles_and_one_reigns_while_the_first_are_killed"),
    (40, "tests/crash/clock.rs", "a_step_and_a_sleep_move_the_deadlines_of_what_is_awake"),
    (40, "tests/crash/clock.rs", "a_time_out_still_comes_when_its_time_awake_is_over"),
    (32, "store/tests/hostile.rs", "damaged_files_are_refused_and_kept"),
    (32, "store/tests/log_frames.rs", "a_flipped_bit_is_always_found_and_costs_one_frame"),
    (34, "store/tests/hostile.rs", "a_held_store_is_locked_only_for_a_while"),
    (36, "store/tests/hostile.rs", "a_newer_store_is_left_alone"),
    (42, "tests/services/ready.rs", "an_endpoint_that_never_answers_well_ends_its_start_in_time"),
    (42, "tests/services/ports.rs", "a_stranger_on_the_port_is_named_and_left_alone"),
    (42, "tests/services/ports.rs", "a_port_that_a_stranger_was_faster_to_take_is_not_the_services"),
    (42, "tests/crash/bad_input.rs", "a_port_that_somebody_else_holds_is_named_with_its_holder"),
];

/// A row whose criterion is shown whole.
macro_rules! fault {
    ($number:literal, $what:literal, [$($module:ident :: $test:ident),* $(,)?]) => {
        Fault { number: $number, what: $what, tests: &[$((stringify!($test), $module::$test)),*], not_yet: None }
    };
    ($number:literal, $what:literal, [$($module:ident :: $test:ident),* $(,)?], not_yet: $why:literal) => {
        Fault { number: $number, what: $what, tests: &[$((stringify!($test), $module::$test)),*], not_yet: Some($why) }
    };
}

const FAULTS: &[Fault] = &[
    fault!(1, "kill -9 while 20 runs write", [console::f01_a_kill_while_twenty_runs_write]),
    fault!(
        2,
        "kill -9 at every kill point",
        [
            kill_points::f02_a_whole_run_survives_a_death_between_any_two_durable_steps,
            kill_points::f02_a_stopped_run_survives_a_death_between_any_two_durable_steps,
            kill_points::f02_a_service_by_hand_survives_a_death_between_any_two_durable_steps,
            kill_points::f02_every_kill_point_is_visited,
        ]
    ),
    fault!(
        3,
        "kill -9 again during recovery",
        [
            console::f03_a_recovery_that_is_killed_again_and_again,
            kill_points::f03_a_recovery_that_is_cut_off_is_recovered_from_as_well,
        ]
    ),
    fault!(4, "dead while all runs finish", [console::f04_runs_end_while_nobody_is_there]),
    fault!(
        5,
        "a stopped holder, a second console",
        [
            console::f05_the_holder_is_named_also_while_it_is_stopped,
            console::f05_the_lock_file_is_deleted_under_the_one_that_reigns,
        ]
    ),
    fault!(6, "the program is replaced", [console::f06_the_program_is_replaced_while_runs_live],
        not_yet: "there is one version of the protocol so far; that versions are told and chosen is in tests/shim_control.rs"),
    fault!(7, "the terminal goes away", [console::f07_the_terminal_goes_away]),
    fault!(
        8,
        "a panic",
        [console::f08_a_panic_of_the_screen_ends_no_run, console::f08_an_orchestrator_that_aborts_ends_no_run]
    ),
    fault!(
        9,
        "kill -9 of a shim during output",
        [
            trees::f09_a_shim_that_is_killed_during_output,
            trees::f09_a_shim_that_is_killed_while_nobody_is_there,
            trees::f09_a_shim_that_is_stopped_is_not_taken_for_lost,
        ]
    ),
    fault!(
        10,
        "a shim dies between its steps",
        [trees::f10_a_shim_that_dies_between_two_of_its_steps, trees::f10_a_shim_that_dies_while_it_stops_its_child,]
    ),
    fault!(11, "a child ignores SIGTERM", [trees::f11_a_child_that_ignores_the_request]),
    fault!(12, "a tree that hides", [trees::f12_a_tree_that_hides_in_every_way]),
    fault!(13, "a bounded fork bomb", [trees::f13_a_bounded_fork_bomb_is_ended],
        not_yet: "the times of the console's frames meanwhile are figures, not tests: tests/bench"),
    fault!(14, "a grandchild holds the output", [trees::f14_a_grandchild_that_holds_the_output_open]),
    fault!(15, "a number that is used again", [trees::f15_a_number_that_a_stranger_has_now]),
    fault!(16, "another boot", [trees::f16_state_of_another_boot]),
    fault!(17, "memory runs out", [trees::f17_memory_runs_out]),
    fault!(
        18,
        "a child stops itself, is traced",
        [
            trees::f18_a_child_that_is_stopped_or_has_dead_children,
            trees::f18_a_child_that_is_stopped_or_traced_is_shown_so,
        ]
    ),
    fault!(19, "what cannot be started", [trees::f19_what_cannot_be_started]),
    fault!(20, "many starts and stops", [trees::f20_many_starts_and_stops_leave_nothing]),
    fault!(21, "floods", [output::f21_eight_floods_at_once],
        not_yet: "the figures of throughput and of frames are in tests/bench; what is judged here is N1 and the memory of the shims"),
    fault!(22, "an endless line, nothing but newlines", [output::f22_one_endless_line_and_nothing_but_newlines]),
    fault!(23, "bytes that are no text", [output::f23_bytes_that_are_no_text]),
    fault!(24, "orders to the terminal", [output::f24_orders_to_a_terminal_never_reach_the_operators]),
    fault!(25, "wide, joined and overwritten text", [output::f25_wide_joined_and_overwritten_text]),
    fault!(26, "the order of two streams", [output::f26_the_order_of_two_streams]),
    fault!(
        27,
        "a reader that stands still",
        [
            output::f27_a_reader_that_stands_still,
            output::f27_a_reader_that_holds_the_file_open_and_reads_a_byte_at_a_time,
        ]
    ),
    fault!(
        28,
        "a full disk below the logs",
        [disk::f28_the_disk_of_the_logs_is_full_for_a_while, disk::f28_a_shim_that_may_write_no_more_without_root,]
    ),
    fault!(
        29,
        "a full disk below the database",
        [disk::f29_the_disk_of_the_database_is_full, disk::f29_an_orchestrator_that_may_write_no_more_without_root,]
    ),
    fault!(30, "a failed write or sync", []),
    fault!(31, "power loss", []),
    fault!(
        32,
        "damaged files",
        [
            disk::f32_a_damaged_log_is_shown_with_its_gap_and_never_as_a_success,
            disk::f32_damaged_small_files_make_no_success_and_no_second_start,
        ]
    ),
    fault!(33, "a read that never ends", []),
    fault!(
        34,
        "somebody else holds the lock",
        [disk::f34_somebody_else_holds_the_write_lock, disk::f34_somebody_looks_into_the_database_with_another_program,]
    ),
    fault!(
        35,
        "directories that are none of ours",
        [disk::f35_directories_that_are_none_of_ours, disk::f35_any_name_of_a_directory_will_do,]
    ),
    fault!(36, "older and newer schemas", []),
    fault!(
        37,
        "many start at once",
        [
            limits::f37_many_start_at_once_and_the_first_is_killed,
            limits::f37_a_second_console_takes_over_from_a_killed_one,
        ]
    ),
    fault!(
        38,
        "inherited descriptors",
        [
            limits::f38_nothing_is_handed_on_that_would_hold_the_lock,
            limits::f38_a_stopped_copy_of_the_lock_frees_with_its_owner,
        ]
    ),
    fault!(
        39,
        "many contenders for three places",
        [limits::f39_many_contenders_for_three_places, slots::f39_many_contenders_for_three_slots_of_an_environment,]
    ),
    fault!(40, "clocks that step", []),
    fault!(41, "poor machines", [
        limits::f41_few_descriptors,
        limits::f41_no_watches_of_files,
        limits::f41_no_view_of_processes,
        limits::f41_terminals_that_can_do_little,
    ], not_yet: "kernels without pidfd or Landlock: pidfd is required and said so, nothing of Landlock is used; without groups of control limits are told as not enforced, in tests/shim_limits.rs"),
    fault!(
        42,
        "probes of what answers badly",
        [limits::f42_probes_of_what_answers_badly, limits::f42_a_probe_does_not_take_a_port_that_was_handed_over,]
    ),
];

#[test]
fn every_fault_has_its_tests_or_says_why_not() {
    let mut text = String::new();
    for (at, fault) in FAULTS.iter().enumerate() {
        assert_eq!(fault.number, at + 1, "the faults stand in order, none is missing: {}", fault.what);
        let elsewhere = ELSEWHERE.iter().any(|(number, ..)| *number == fault.number);
        let is_shown = elsewhere || !fault.tests.is_empty() || fault.not_yet.is_some_and(|why| why.len() > 20);
        assert!(is_shown, "F{}: no test, and no reason", fault.number);
        for (name, _) in fault.tests {
            assert!(name.starts_with(&format!("f{:02}_", fault.number)), "F{}: {name}", fault.number);
        }
        let last = Note::last(&format!("f{:02}", fault.number));
        let word = match (fault.tests.is_empty() && !elsewhere, fault.not_yet) {
            (true, _) => "NOT YET",
            (false, Some(_)) => "in part",
            (false, None) => "whole",
        };
        text.push_str(&format!("F{:<3} {:<40} {word}\n", fault.number, fault.what));
        for (name, _) in fault.tests {
            text.push_str(&format!("       {name}\n"));
        }
        for (_, file, name) in ELSEWHERE.iter().filter(|(number, ..)| *number == fault.number) {
            text.push_str(&format!("       {name} ({file})\n"));
        }
        if !last.is_empty() {
            text.push_str(&format!("       last: {}\n", last.join(", ")));
        }
        if let Some(why) = fault.not_yet {
            text.push_str(&format!("       not yet: {why}\n"));
        }
    }
    assert_eq!(FAULTS.len(), 42);
    eprintln!("{text}");
}

#[test]
fn no_test_of_a_fault_is_missing_from_the_table() {
    let dir = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/faults");
    let listed: Vec<&str> = FAULTS.iter().flat_map(|f| f.tests.iter().map(|(name, _)| *name)).collect();
    let mut found = 0;
    for entry in std::fs::read_dir(dir).unwrap().flatten() {
        let text = std::fs::read_to_string(entry.path()).unwrap();
        for line in text.lines() {
            let name =
                line.strip_prefix("pub fn f").and_then(|rest| rest.split_once('(')).map(|(name, _)| format!("f{name}"));
            let is_fault = |n: &String| n.as_bytes()[1..3].iter().all(u8::is_ascii_digit) && n.as_bytes()[3] == b'_';
            if let Some(name) = name.filter(|n| n.len() > 4 && is_fault(n)) {
                found += 1;
                assert!(listed.contains(&name.as_str()), "{name} is in no row of the table");
            }
        }
    }
    assert_eq!(found, listed.len(), "a test is listed twice or not found");
}

#[test]
fn what_is_shown_elsewhere_is_there() {
    for (number, file, name) in ELSEWHERE {
        let text = std::fs::read_to_string(std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).unwrap();
        assert!(text.contains(&format!("fn {name}(")), "F{number}: there is no {name} in {file}");
        assert!((1..=42).contains(number));
    }
}
