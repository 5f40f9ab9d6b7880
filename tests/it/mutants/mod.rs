//! Whether the suite can fail: each guard of the product is broken, alone, and a test has to turn red.
//!
//! The quick part runs with every suite: one named test for each guard. It prints the table of guards and what caught
//! each:
//!
//! `cargo nextest run --success-output final -E 'test(every_broken_guard_is_caught_by_its_test)'`
//!
//! The whole suite for each guard is a matter of
//! an hour and is run by name:
//!
//! `cargo test --test it -- --ignored --nocapture mutants::the_whole_suite_finds_every_broken_guard`
//!
//! Its children stop at the first test that fails; with `BURSAR_MUTANTS_ALL=1` they go on, and the table names all.

mod effects;
mod rules;

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bursar::base::guard::{COMPILED_IN, Guard, VARIABLE};

use crate::support::real_time::Patience;
use crate::support::report;

/// How long one test may take with a guard broken; one that hangs has noticed something too, but costs a minute.
const ONE_TEST_MAX: Duration = Duration::from_secs(60);
/// The same for the whole suite.
const SUITE_MAX: Duration = Duration::from_secs(15 * 60);

/// The test that has to fail when this guard is broken. A guard without one does not compile.
fn caught_by(guard: Guard) -> &'static str {
    match guard {
        Guard::IntentDurable => "mutants::effects::nothing_goes_out_before_its_intent_is_durable",
        Guard::KeyDerived => "mutants::effects::the_key_of_a_payment_follows_from_its_run_and_step",
        Guard::ResendDurable => "mutants::effects::nothing_goes_out_again_before_that_it_does_is_durable",
        Guard::KeyWindow => "mutants::effects::a_wall_clock_set_ahead_makes_a_young_key_old",
        Guard::KeyAge => "key_age::a_wall_clock_set_back_makes_no_old_key_young",
        Guard::KeyTheirTime => "key_age::a_clock_that_was_ahead_when_it_was_sent_makes_no_key_young",
        Guard::KeyAskedAgain => "key_age::a_machine_that_stood_still_with_both_its_clocks_has_no_young_key",
        Guard::KeyMargin => "mutants::effects::a_key_is_not_used_in_the_last_minutes_of_its_window",
        Guard::Exclusive => "once::exclusive::two_refunds_of_one_payment_do_not_take_each_other_for_their_own",
        Guard::Released => "store::conformance::sqlite::what_only_one_step_may_have_goes_with_its_end_and_not_before",
        Guard::ExclusiveRests => "once::exclusive::what_was_done_alone_is_seen_before_the_next_one_reads",
        Guard::RestsElapsed => "once::exclusive::a_clock_set_ahead_shows_nothing_earlier",
        Guard::ForgottenFirst => "once::exclusive::what_was_done_before_a_restore_is_not_told_as_impossible",
        Guard::AnewAfterRead => "once::exclusive::a_late_effect_is_not_taken_for_what_was_there_before",
        Guard::BeforeForgotten => "once::exclusive::after_a_restore_what_was_known_before_proves_nothing",
        Guard::FoundOnce => "connectors::lookup::matches::two_that_bear_our_mark_are_for_a_person",
        Guard::NaturalShown => "connectors::lookup::shown::an_item_that_does_not_say_whose_it_is_proves_no_absence",
        Guard::FreshUnlike => "connectors::lookup::shown::a_new_item_that_does_not_show_what_was_sent_may_be_ours",
        Guard::StateKnown => "connectors::lookup::matches::each_match_says_what_it_can_and_no_more",
        Guard::LookedFirst => "once::first::what_another_has_done_is_adopted_and_not_sent",
        Guard::KeyWindowMost => "connectors::keys::no_connection_trusts_a_key_for_longer_than_the_table_allows",
        Guard::KeyKept => {
            "providers::payments::a_failure_after_the_effect_that_is_lost_is_never_repeated_under_its_key"
        }
        Guard::InFlight => "once::keys::nothing_is_sent_beside_what_may_still_be_on_its_way",
        Guard::EchoSame => "once::keys::a_number_that_stands_for_another_amount_is_for_a_person",
        Guard::KeyAfterCommit => "key_age::a_key_that_lapses_while_the_disk_is_waited_for_is_not_sent",
        Guard::AnewLookedUp => "doubt::what_a_person_took_for_absent_and_is_there_when_it_is_to_go_out_again_does_not",
        Guard::SoughtSinceFirst => {
            "restore::decisions::what_was_sent_before_the_backup_is_seen_by_a_person_and_by_the_last_look"
        }
        Guard::DecisionFits => "reconcile::what_the_bank_shows_is_not_sent_again_whatever_is_said",
        Guard::FailureFits => "reconcile::what_the_bank_shows_is_not_called_failed_without_a_word",
        Guard::AdoptionSays => {
            "restore::decisions::what_a_forgotten_run_of_the_same_key_made_is_adopted_by_a_person_too"
        }
        Guard::AdoptedOnce => "reconcile::what_another_step_of_the_run_made_is_not_adopted_without_a_word",
        Guard::DecisionAfter => "doubt::what_was_decided_about_an_earlier_doubt_is_not_taken_for_a_later_one",
        Guard::RepeatAllowed => "accidents::an_endpoint_that_must_not_be_repeated_is_not",
        Guard::OnItsWay => "mutants::effects::what_was_on_its_way_when_the_process_died_is_not_taken_for_unsent",
        Guard::SentLate => "doubt::a_process_that_was_frozen_before_it_sent_has_not_sent_early",
        Guard::RefusalLookedUp => "mutants::effects::a_refusal_after_an_unknown_outcome_is_not_believed",
        Guard::ErrorUnknown => "connectors::reply::an_answer_the_table_does_not_know_is_classed_by_its_status",
        Guard::Contradiction => "engine::an_answer_about_another_amount_is_parked_not_believed",
        Guard::SameRequest => "mutants::effects::a_request_that_would_not_be_the_same_is_not_sent_in_its_place",
        Guard::OutcomeQueued => "mutants::effects::an_outcome_is_durable_while_the_script_goes_on",
        Guard::RetryAfter => "mutants::effects::a_provider_that_asks_for_a_pause_gets_it",
        Guard::CalendarCovers => "model::calendar::a_file_answers_for_the_days_it_covers_and_for_no_other",
        Guard::CutOff => {
            "schedules::business::a_slot_that_missed_its_cut_off_waits_for_the_next_business_day_or_does_not_run"
        }
        Guard::ClockAstray => "schedules::jumps::after_a_jump_of_more_than_three_hours_schedules_wait_for_a_person",
        Guard::JournalNeighbours => "store::flipped::no_bit_of_an_id_makes_a_run_forget_what_it_has_sent",
        Guard::RestoreUntraceable => {
            "restore::decisions::a_payment_whose_reference_nobody_knows_is_never_proved_absent"
        }
        Guard::KeyUsedBefore => {
            "connectors::lookup::what_a_run_of_the_same_key_made_before_the_backup_is_not_taken_for_ours"
        }
        Guard::RestoreContradicts => {
            "restore::engine::what_contradicts_the_word_of_a_person_is_told_and_not_overridden"
        }
        Guard::KeyNamesRun => "restore::keyed::what_a_request_with_a_key_paid_before_is_found_when_it_comes_again",
        Guard::ClockBehind => {
            "schedules::jumps::a_clock_that_shows_less_at_the_start_than_was_seen_before_waits_for_a_person"
        }
        Guard::ClocksTogether => "wrong_clock::nothing_is_sent_while_our_clock_is_far_from_the_providers",
        Guard::WaitsForClock => "wrong_clock::a_clock_set_ahead_ends_no_wait_until_somebody_says_that_it_is_right",
        Guard::ClockUnknown => {
            "schedules::jumps::what_is_new_before_anybody_says_what_time_it_is_begins_when_somebody_has"
        }
        Guard::FailuresPause => {
            "schedules::troubles::after_so_many_failures_in_a_row_schedules_are_paused_and_counted_anew_when_resumed"
        }
        Guard::SlotsSettled => {
            "schedules::troubles::a_slot_that_waits_for_the_next_business_day_is_not_lost_though_the_schedule_never_ran"
        }
        Guard::CalendarAwaited => "schedules::troubles::what_a_calendar_says_too_late_is_made_up_for",
        Guard::MovedUnknown => {
            "schedules::troubles::what_may_have_moved_here_from_before_a_calendar_begins_is_not_known"
        }
        Guard::JitterBound => {
            "schedules::troubles::jitter_is_drawn_once_for_each_slot_and_changes_neither_its_name_nor_the_order"
        }
        Guard::FirstPassOnly => "schedules::slots::a_fixed_time_happens_once_on_the_days_the_clocks_change",
        Guard::Backoff => "mutants::rules::a_pause_doubles_and_is_never_nothing_after_too_many_requests",
        Guard::AttemptsMax => "mutants::effects::attempts_come_to_an_end",
        Guard::HeaderNamed => "connectors::forms::headers_of_a_connection_are_sent_and_are_part_of_what_a_request_is",
        Guard::PartsSum => "connectors::parts::items_come_to_the_total_or_nothing_is_sent",
        Guard::SplitAccount => "providers::splits::what_would_pay_somebody_else_is_refused_before_anything_is_sent",
        Guard::RefundParts => "providers::refunds::what_one_part_gave_back_alone_is_no_part_of_it_any_more",
        Guard::SentBackOnce => "providers::send_back::a_deposit_is_sent_back_once_whoever_asks",
        Guard::ReturnOrSendBack => "providers::send_back::what_was_sent_back_is_not_returned_as_well",
        Guard::PaidIsPaid => "providers::send_back::what_was_paid_is_no_failure_because_the_list_cannot_be_read",
        Guard::ApartElapsed => "providers::meanwhile::a_clock_set_ahead_does_not_show_a_payment_earlier",
        Guard::HoldsStill => {
            "providers::meanwhile::a_deposit_that_was_returned_while_a_payment_waited_is_not_sent_back"
        }
        Guard::ApartRestored => {
            "restore::apart::a_deposit_that_a_forgotten_run_has_just_sent_back_does_not_go_back_again"
        }
        Guard::Apart => "providers::send_back::two_runs_at_once_send_back_once_though_the_list_lags",
        Guard::OneOf => "connectors::forms::what_lies_outside_is_refused_before_anything_is_sent",
        Guard::ListWhole => "connectors::paging::a_list_that_shifts_while_it_is_read_is_whole_or_is_said_not_to_be",
        Guard::Carried => "connectors::common::what_a_call_was_sent_for_is_carried_to_its_look_up",
        Guard::VisibilityLag => "connectors::lookup::a_clean_miss_is_absence_only_after_the_lists_delay",
        Guard::WindowCovered => "connectors::lookup::a_list_that_covers_only_a_part_proves_no_absence",
        Guard::EveryPage => "connectors::lookup::what_bears_our_mark_is_found_on_a_later_page",
        Guard::FoundFits => "connectors::lookup::our_mark_on_another_amount_is_never_sent_again",
        Guard::ListAge => "doubt::a_clock_set_ahead_while_a_list_lags_makes_it_no_more_complete",
        Guard::RestoreNoticed => "store::care::an_older_state_is_noticed_however_it_came_and_the_newest_is_not",
        Guard::WitnessOwn => "store::care::a_database_that_is_put_over_one_that_sent_nothing_is_noticed",
        Guard::LogFolded => "store::care::what_a_restore_replaces_is_whole_without_its_log",
        Guard::RestoreHeld => "restore::engine::nothing_is_sent_before_a_person_accepts_and_then_it_is",
        Guard::RestoreForgotten => "restore::engine::a_run_that_was_forgotten_and_comes_again_adopts_what_it_paid",
        Guard::RestoreStrays => "restore::forgotten::a_payment_of_the_same_run_at_another_step_is_not_made_again",
        Guard::RestoreOpen => "restore::engine::an_effect_that_was_open_in_the_backup_is_looked_up_and_not_sent_again",
        Guard::SameStep | Guard::EveryStepReached => {
            "replay::an_edited_script_is_found_out_at_the_step_where_it_differs"
        }
        Guard::RefusedKeyHolds => "pace::a_refused_key_parks_one_run_and_holds_the_others_until_it_works",
        Guard::InterruptSticks => "scripts::hosting::after_an_interrupt_no_effect_happens_and_nothing_else_is_told",
        Guard::RidingOrder => "mutants::effects::what_rides_is_written_in_order",
        Guard::NothingOpen => "mutants::effects::no_run_is_cancelled_over_a_payment_whose_outcome_nobody_knows",
        Guard::CancelBegins => "mutants::effects::a_run_that_is_to_end_begins_nothing_more",
        Guard::JournalOrder => "model::journal::a_dropped_doubled_or_swapped_record_is_refused",
        Guard::JournalEpoch | Guard::JournalAttempts => {
            "model::journal::a_record_is_accepted_exactly_when_the_rules_say_so"
        }
        Guard::JournalEnded => "model::journal::nothing_follows_below_a_step_that_ended_at_any_depth",
        Guard::WaitDeadline => "model::journal::waits_keep_the_deadline_of_their_first_entry",
        Guard::EventTakenOnce => "mutants::effects::an_event_ends_one_wait_of_a_run",
        Guard::DecidedOnce | Guard::DecisionBound | Guard::DecidedInTime | Guard::ApprovalByPerson => {
            "approvals::decisions::an_answer_is_taken_once_in_time_and_to_what_was_asked"
        }
        Guard::DecidedAlive => "approvals::decisions::an_answer_that_does_not_fit_changes_nothing",
        Guard::DecidedDriven => {
            "approvals::decisions::an_answer_given_while_a_worker_drives_the_run_stands_before_what_that_worker_writes"
        }
        Guard::DecidedBeforeClaim => {
            "approvals::decisions::who_took_a_run_after_its_time_to_decide_is_not_contradicted"
        }
        Guard::SeenHolds => "in_flight::sweeps_of_one_account_at_the_same_moment_move_its_money_once",
        Guard::ReservedReleased => "in_flight::what_was_reserved_for_a_payment_that_failed_is_not_the_next_ones",
        Guard::OpenEnds => "store::conformance::sqlite::what_is_on_its_way_is_shown_until_it_has_an_end",
        Guard::ForgottenBySeen => {
            "store::conformance::sqlite::a_clock_that_is_ahead_for_a_while_makes_nobody_forget_what_was_done"
        }
        Guard::AnswerAfterCommit => "store::file::after_a_failed_transaction_nothing_is_answered_any_more",
        Guard::Synchronous => "store::conformance::sqlite::counts_follow_the_runs",
        Guard::EventOnce => "store::conformance::sqlite::an_event_is_admitted_once",
        Guard::PrunedStays => "store::care::pruning_takes_what_ended_long_ago_and_nothing_else",
        Guard::UndatedKept => "store::care::an_event_that_would_be_new_if_it_came_again_stays_known",
        Guard::RanksKept => "events::ranks::what_was_told_of_an_order_before_it_was_pruned_is_told_again_in_vain",
        Guard::CauseOnce => "store::conformance::sqlite::one_cause_makes_one_run_of_a_workflow",
        Guard::Overlap => "store::conformance::sqlite::a_run_that_would_overlap_is_not_made_and_that_is_recorded",
        Guard::SlotName => "schedules::fires::a_slot_that_ran_does_not_run_again_when_its_calendar_is_corrected",
        Guard::BackfillClock => "webhooks::backfill::after_a_clock_that_was_ahead_nothing_is_left_out",
        Guard::BackfillWhole => "webhooks::backfill::a_list_that_breaks_off_is_read_again_from_where_it_began",
        Guard::OldNews => "events::ranks::what_is_told_again_or_too_late_of_an_order_starts_nothing",
        Guard::RoutingCursor => "store::conformance::sqlite::what_was_routed_is_not_routed_again",
        Guard::BrokenWaits => "events::broken::what_comes_while_a_workflow_does_not_load_is_its_own_when_it_does",
        Guard::GoneForgotten => "events::broken::what_waited_for_a_workflow_that_was_taken_away_waits_no_more",
        Guard::UnknownWaits => "events::broken::nothing_is_routed_while_nobody_knows_what_workflows_there_are",
        Guard::BrokenStays => "events::broken::a_folder_that_goes_away_meanwhile_loses_nothing",
        Guard::WakeSubject => "mutants::rules::a_filter_takes_only_what_it_names",
        Guard::WakeType => "store::conformance::sqlite::an_event_wakes_the_runs_that_wait_for_it",
        Guard::MarkStored => "store::file::what_comes_after_a_restart_reaches_a_run_that_was_made_after_repeats",
        Guard::EventBetween => "store::conformance::sqlite::an_event_between_looking_and_waiting_is_not_lost",
        Guard::LeaseFence => "store::conformance::sqlite::only_the_holder_of_the_lease_may_write",
        Guard::FenceRises => "mutants::rules::a_claim_of_the_same_worker_is_another_claim",
        Guard::LeaseHolds => "store::conformance::sqlite::a_lease_that_is_renewed_does_not_lapse",
        Guard::JournalPosition => "store::conformance::sqlite::a_gap_in_the_journal_is_refused_and_hinders_nobody",
        Guard::CancelRefusesIntent => "store::conformance::sqlite::no_effect_begins_once_the_end_was_asked_for",
        Guard::CancelOpenEffect => "store::conformance::sqlite::a_sent_effect_is_asked_after_before_the_run_ends",
        Guard::DoubtStays => "store::conformance::sqlite::decisions_that_do_not_fit_change_nothing",
        Guard::Reclaimed => "store::conformance::sqlite::a_restart_takes_every_run_back",
        Guard::Signature | Guard::SignatureAge => {
            "connectors::signature::what_is_not_exactly_what_was_signed_is_refused"
        }
        Guard::SecretValid => "webhooks::door::a_secret_outside_its_time_is_not_there",
        Guard::SenderListed => "webhooks::senders::a_connection_may_say_where_its_deliveries_come_from",
        Guard::BodySize => "webhooks::door::a_body_in_pieces_is_counted_as_it_comes",
        Guard::PolicyUses | Guard::PolicyPositive => {
            "mutants::rules::money_moves_only_on_connections_of_the_manifest_and_only_if_there_is_some"
        }
        Guard::ClearanceCovers => "connectors::client::a_clearance_is_for_one_step_alone",
        Guard::OneCurrency => "model::money::two_currencies_never_meet",
        Guard::RoundingMode => "mutants::rules::a_half_is_rounded_as_its_mode_says",
        Guard::AllocateWhole => "model::money::equal_ratios_share_in_written_order",
        Guard::AcceptedCounts => "in_flight::what_was_accepted_and_has_not_arrived_is_not_filled_up_a_second_time",
        Guard::OpenCounts => "in_flight::a_sweep_leaves_what_another_run_is_about_to_pay",
        Guard::SweepMinimum | Guard::SweepMultiple => {
            "model::sweep::a_buffer_stays_and_the_rest_moves_within_the_limits"
        }
        Guard::SweepUsable | Guard::SweepFunded => {
            "model::treasury::worked::sweeps_come_to_what_was_worked_out_by_hand"
        }
        Guard::GiveBackLeft => "model::treasury::worked::splits_come_to_what_was_worked_out_by_hand",
        Guard::QuoteExpiry => "model::treasury::worked::conversions_come_to_what_was_worked_out_by_hand",
        Guard::ConvertSlippage => "model::convert::a_rate_may_slip_up_to_the_limit_and_no_further",
        Guard::ConvertBalance => "model::convert::a_named_amount_is_sold_whole_or_not_at_all",
        Guard::OperationsBudget => "mutants::rules::operations_are_counted",
        Guard::MemoryBudget => "mutants::rules::memory_is_counted",
        Guard::ComputeBudget => "mutants::rules::computing_time_is_counted",
    }
}

/// What a child process came to.
#[derive(Debug, Default)]
struct Outcome {
    /// Tests that were begun.
    begun: usize,
    /// Those that failed.
    failed: Vec<String>,
    /// It was ended because it hung, or ended itself by a crash.
    broken_off: bool,
}

impl Outcome {
    fn is_red(&self) -> bool {
        !self.failed.is_empty() || self.broken_off
    }
}

/// This binary once more, with a guard broken; `stop`: ends it at the first failure.
fn run_with(broken: &str, filter: &[&str], limit: Duration, stop: bool) -> Outcome {
    let program = std::env::current_exe().expect("this program");
    let mut child = Command::new(program)
        .args(filter)
        .env(VARIABLE, broken)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("this program starts");
    let output = child.stdout.take().expect("piped");
    let (told, heard) = std::sync::mpsc::channel();
    let reader = std::thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            if told.send(line).is_err() {
                return;
            }
        }
    });
    let patience = Patience::new(limit);
    let mut outcome = Outcome::default();
    loop {
        match heard.recv_timeout(Duration::from_millis(100)) {
            Ok(line) => {
                if let Some(test) = line.strip_prefix("test ") {
                    outcome.begun += usize::from(test.contains(" ... "));
                    if let Some(name) = test.strip_suffix(" ... FAILED") {
                        outcome.failed.push(name.trim_end_matches(" - should panic").to_owned());
                        if stop {
                            break;
                        }
                    }
                }
            }
            Err(std::sync::mpsc::RecvTimeoutError::Disconnected) => break,
            Err(std::sync::mpsc::RecvTimeoutError::Timeout) if patience.is_over() => {
                outcome.broken_off = true;
                break;
            }
            Err(std::sync::mpsc::RecvTimeoutError::Timeout) => {}
        }
    }
    if stop || outcome.broken_off {
        // It may have ended by itself meanwhile.
        drop(child.kill());
    }
    let ended = child.wait().expect("our own child");
    drop(heard);
    drop(reader.join());
    // A crash of the whole process tells of no test; 101 is the code of tests that failed.
    outcome.broken_off |= !stop && !matches!(ended.code(), Some(0 | 101));
    outcome
}

/// Does something for each guard, several at a time; answers in the order of the guards.
fn for_each_guard(at_once: usize, work: impl Fn(Guard) -> Outcome + Sync) -> Vec<(Guard, Outcome)> {
    let next = AtomicUsize::new(0);
    let done = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..at_once {
            scope.spawn(|| {
                while let Some(guard) = Guard::ALL.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let outcome = work(*guard);
                    done.lock().expect("nobody panics with it").push((*guard, outcome));
                }
            });
        }
    });
    let mut done = done.into_inner().expect("nobody panics with it");
    done.sort_by_key(|(guard, _)| *guard);
    done
}

fn table(done: &[(Guard, Outcome)]) -> String {
    let line = |(guard, outcome): &(Guard, Outcome)| {
        let caught = match outcome.failed.as_slice() {
            [] if outcome.broken_off => "the end of the process, or a test that hangs".to_owned(),
            [] => format!("NOBODY ({} tests ran)", outcome.begun),
            names => names.join(", "),
        };
        format!("{:24} {caught}", guard.name())
    };
    done.iter().map(line).collect::<Vec<_>>().join("\n")
}

#[track_caller]
fn all_are_caught(done: &[(Guard, Outcome)]) {
    let missed: Vec<&str> = done
        .iter()
        .filter(|(_, outcome)| !outcome.is_red())
        .map(|(guard, _)| guard.name())
        .collect();
    assert!(missed.is_empty(), "nobody notices {missed:?}\n{}", table(done));
}

#[test]
fn every_broken_guard_is_caught_by_its_test() {
    if !COMPILED_IN {
        report("this build has no guards that can be broken: 0 guards");
        return;
    }
    let at_once = std::thread::available_parallelism().map_or(2, |count| count.get() + 1);
    let done = for_each_guard(at_once, |guard| {
        let filter = ["--exact", caught_by(guard), "--test-threads", "1"];
        run_with(guard.name(), &filter, ONE_TEST_MAX, false)
    });
    all_are_caught(&done);
    let tests: usize = done.iter().map(|(_, outcome)| outcome.begun).sum();
    assert_eq!(tests, Guard::ALL.len(), "one test for each guard:\n{}", table(&done));
    report(&format!(
        "{}\n{} guards broken one at a time, {tests} tests red",
        table(&done),
        done.len()
    ));
}

#[test]
fn a_guard_that_is_not_broken_is_not_caught() {
    let test = "mutants::rules::a_half_is_rounded_as_its_mode_says";
    let outcome = run_with("no-such-guard", &["--exact", test], ONE_TEST_MAX, false);
    assert_eq!((outcome.begun, outcome.is_red()), (1, false), "{outcome:?}");
}

#[test]
fn every_guard_has_its_own_name_and_is_asked_for_somewhere() {
    let mut names: Vec<&str> = Guard::ALL.iter().map(|guard| guard.name()).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), Guard::ALL.len());
    let sources = crate::tidy::sources();
    for guard in Guard::ALL {
        let asked = format!("holds(Guard::{guard:?})");
        assert!(sources.contains(&asked), "no place asks {asked}");
    }
}

#[test]
#[ignore = "the whole suite once for each guard: about an hour"]
#[expect(
    clippy::disallowed_methods,
    reason = "a long test is told by its environment how much to look at"
)]
fn the_whole_suite_finds_every_broken_guard() {
    let all = std::env::var("BURSAR_MUTANTS_ALL").is_ok();
    let done = for_each_guard(1, |guard| {
        let filter = ["--skip", "mutants::every_broken", "--skip", "mutants::a_guard_that"];
        let outcome = run_with(guard.name(), &filter, SUITE_MAX, !all);
        report(&format!("{}: {} failed", guard.name(), outcome.failed.len()));
        outcome
    });
    report(&table(&done));
    all_are_caught(&done);
}
