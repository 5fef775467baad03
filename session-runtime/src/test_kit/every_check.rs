//! The one list of all checks: for [`run`](super::run) and for [`conformance!`](crate::conformance).

use super::check::Check;

/// Hands all checks to another macro: `$then! { { arguments } part { check check } … }`.
#[doc(hidden)]
#[macro_export]
macro_rules! __every_check {
    ([$($then:tt)*] $($arguments:tt)*) => {
        $($then)* ! {
            { $($arguments)* }
            existence {
                a_session_that_was_never_created_is_gone
                a_created_session_is_found_as_it_was_created
                a_session_without_fields_or_limits_exists
                an_id_in_use_is_not_created_again
                a_destroyed_session_stays_gone
                a_destruction_ignores_the_rest_of_its_commit
                an_id_is_free_after_a_destruction
                an_id_is_free_after_the_session_ended_by_itself
                a_failed_creation_on_an_ended_session_leaves_none
                the_idle_timeout_ends_a_session
                the_lifetime_ends_a_session
                a_touch_moves_the_idle_end
                a_write_moves_the_idle_end
                a_load_does_not_move_the_idle_end
                a_refused_commit_does_not_move_the_idle_end
                nothing_moves_the_absolute_end
                timeouts_can_be_lengthened
                an_idle_timeout_can_be_shortened
                a_lifetime_below_the_age_ends_the_session
                the_settings_of_a_session_stay_until_they_are_changed
                a_session_outlives_its_fields
                the_longest_timeouts_are_no_error
                a_session_ends_at_the_millisecond
            }
            atomicity {
                a_refused_merge_undoes_the_changes_before_it
                a_refused_merge_undoes_the_changes_after_it
                a_conflict_changes_nothing
                a_wrong_token_changes_nothing
                a_refused_creation_creates_nothing
                a_refused_commit_is_not_remembered
                everything_changes_together
                changes_of_one_field_follow_each_other
                a_commit_of_hundreds_of_changes_is_whole
            }
            guards {
                another_token_changes_nothing
                the_guard_comes_before_the_conditions
                that_an_id_is_taken_comes_before_the_conditions
                the_conditions_come_before_the_changes
                a_rotation_replaces_the_token
                the_previous_token_works_within_its_grace
                the_previous_token_does_not_rotate
                a_rotation_may_admit_the_previous_token
                the_previous_token_dies_with_its_grace
                a_touch_does_not_prolong_a_grace
                only_the_last_token_before_has_a_grace
                a_rotation_may_change_fields_too
                a_condition_compares_a_field
                all_conditions_must_hold
                a_condition_alone_guards_a_touch
                an_ended_field_is_absent_for_conditions
                a_condition_compares_the_last_commit
                a_creation_can_have_conditions
                a_revocation_needs_no_token
                a_revocation_asks_its_conditions
                a_grace_can_be_ended
                the_end_of_a_grace_leaves_the_next_one
                the_time_of_the_last_rotation_is_told
            }
            once {
                a_write_that_arrives_twice_writes_once
                a_plain_write_that_arrives_twice_writes_once
                a_merge_that_arrives_twice_counts_once
                a_take_that_arrives_twice_answers_the_same
                a_take_that_arrives_twice_takes_no_later_value
                a_take_that_arrives_twice_answers_no_other_commits_value
                eight_taken_values_are_remembered
                a_take_that_arrives_far_too_late_answers_one_of_two_values
                another_take_finds_nothing
                a_rotation_that_arrives_twice_rotates_once
                a_rotation_that_arrives_twice_does_not_prolong_its_grace
                a_creation_that_arrives_twice_creates_once
                a_creation_that_arrives_far_too_late_changes_nothing
                a_repeated_commit_changes_nothing_at_all
                a_repeated_commit_is_applied_whatever_its_guards_say_now
                eight_commits_are_remembered
                commits_are_told_apart_by_their_whole_ids
                touches_and_refusals_do_not_make_a_store_forget
                sessions_remember_their_own_commits_only
            }
            deadlines {
                an_ended_field_is_absent
                a_field_ends_at_the_millisecond
                deadlines_are_told_if_and_only_if_asked
                an_ended_field_is_absent_for_changes
                renewing_never_revives
                nothing_but_a_new_write_brings_a_field_back
                a_write_to_an_ended_field_is_kept
                a_restarting_ttl_starts_with_each_write
                a_ttl_starts_with_a_write_by_either_token_of_a_grace
                a_fixed_ttl_starts_with_the_first_write_only
                a_fixed_window_ends_in_spite_of_writes
                a_fixed_ttl_bounds_a_field_that_had_no_deadline
                a_removal_ends_a_fixed_window
                a_write_without_ttl_lifts_the_deadline
                a_first_write_that_comes_second_leaves_the_deadline
                renewing_restarts_from_now
                renewing_follows_the_changes_before_it
                a_renewed_field_lives_on_and_ends
                a_time_to_live_of_zero_is_over_at_once
                changes_see_the_deadlines_of_those_before_them
                the_longest_time_to_live_is_no_error
                a_touch_and_a_rotation_leave_field_deadlines
            }
            restores {
                what_has_run_out_is_restored
                several_fields_are_restored_together
                a_present_value_is_never_replaced
                nothing_is_restored_after_another_commit
                what_was_removed_is_not_restored
                touches_do_not_keep_a_field_from_being_restored
                a_restore_that_arrives_twice_restores_once
            }
            time {
                the_store_tells_its_time
                seen_is_the_time_of_the_last_applied_commit
                created_is_the_time_of_the_creation
                loads_and_refusals_leave_seen
            }
            absence {
                a_load_of_no_session_is_none
                a_commit_to_no_session_is_gone
                removing_what_is_absent_is_applied
            }
            foreign_fields {
                fields_that_are_not_named_stay
                sessions_do_not_touch_each_other
            }
            merges {
                add_is_exact_over_the_whole_range
                max_and_min_are_exact_over_the_whole_range
                random_sums_are_exact
                an_absent_field_counts_as_the_initial_value
                the_range_bounds_the_result
                a_result_below_the_range_can_stop_at_its_end
                every_integer_is_one_when_it_is_stored
                a_stored_value_that_is_no_integer_counts_as_absent
                several_merges_of_one_field_build_on_each_other
                a_merge_under_a_condition_compares_the_value_before
            }
            fields {
                any_name_names_a_field_of_its_own
                a_name_may_be_long
                any_bytes_are_a_value
                any_bytes_can_be_a_condition
                an_empty_value_is_a_value
                a_value_may_have_64_kib
                a_load_answers_in_the_order_of_its_request
                a_load_may_name_a_field_twice
                a_load_may_name_no_field
                a_load_may_name_hundreds_of_fields
                a_removed_field_is_absent
                the_first_write_wins
                a_first_write_that_comes_second_answers_the_first_value
            }
            prefixes {
                a_prefix_finds_the_fields_that_begin_with_it
                a_load_asks_for_names_and_prefixes
                a_load_without_prefixes_finds_none
                an_ended_field_is_not_found_by_its_prefix
                a_prefix_tells_no_deadlines
                several_prefixes_find_each_field_once
                any_prefix_is_taken_as_it_is
                the_header_is_found_by_no_prefix
                hundreds_of_fields_are_found_by_their_prefix
                no_load_by_prefix_sees_half_a_commit
            }
            bounds {
                a_bound_that_holds_changes_nothing
                the_fields_that_end_soonest_are_evicted
                of_fields_that_end_together_the_first_by_name_are_evicted
                what_a_commit_writes_is_not_evicted
                a_bound_that_evicts_none_refuses
                a_commit_that_writes_too_many_is_refused
                a_bound_counts_living_fields
                a_bound_follows_the_changes_before_it
                each_bound_of_a_commit_must_hold
                a_creation_can_have_a_bound
                a_bound_that_arrives_twice_evicts_once
                simultaneous_insertions_keep_the_bound
            }
            links {
                a_link_opens_the_session
                a_load_tells_an_open_link
                a_link_closes_when_its_time_is_over
                a_link_closes_at_the_millisecond
                the_longest_link_is_no_error
                a_link_can_be_closed
                a_refused_commit_does_not_close_a_link
                a_link_is_no_previous_token
                one_of_many_rotations_by_link_wins
                a_creation_that_arrives_twice_prolongs_no_link
                a_link_ends_with_its_session
            }
            lists {
                a_session_is_listed_and_taken_off
                any_commit_can_change_lists
                principals_have_lists_of_their_own
                a_session_can_have_several_principals
                names_and_values_of_principals_do_not_run_together
                a_move_is_one_commit
                the_end_of_a_session_takes_it_off
                an_entry_needs_no_other_change
                a_refused_commit_lists_nothing
                a_refused_commit_takes_nothing_off
                a_commit_that_arrives_twice_lists_once
                a_commit_that_arrives_twice_meets_no_limit
                a_late_repetition_leaves_the_lists
                a_sign_in_that_arrives_far_too_late_leaves_the_list
                a_sign_in_removed_as_stale_is_gone_or_listed
                random_changes_leave_a_superset
            }
            list_entries {
                an_entry_is_replaced_with_a_new_mark
                only_the_same_mark_is_removed_as_stale
                what_has_arrived_since_is_not_removed_as_stale
                an_entry_goes_when_its_time_is_over
                an_entry_is_kept_anew_when_it_is_replaced
                the_longest_time_to_keep_is_no_error
            }
            list_limits {
                a_limit_counts_other_sessions
                a_reached_limit_changes_nothing
                a_dead_token_and_a_conflict_come_before_the_limit
                the_limits_of_all_principals_must_hold
                entries_that_went_make_room
                simultaneous_commits_keep_the_limit
                simultaneous_moves_keep_the_limit
            }
            principals {
                a_load_tells_the_principals
                a_field_names_one_principal
                only_the_pair_that_matches_is_removed
                principals_outlive_tokens_and_fields
                a_refused_commit_leaves_the_principals
                principals_end_with_their_session
                a_commit_that_arrives_twice_leaves_later_principals
                a_condition_compares_a_principal
                no_principal_is_listed_before_a_creation
            }
            housekeeping {
                living_sessions_are_counted
                a_sweep_takes_ended_sessions_only
            }
            races {
                concurrent_additions_sum_up
                concurrent_maxima_keep_the_largest
                one_of_a_thousand_takes_a_value
                one_of_two_rotations_wins
                one_of_many_creations_wins
                a_creation_sent_by_many_wins_or_loses_as_one
                the_first_of_many_writes_wins
                writers_of_different_fields_lose_nothing
                a_commit_sent_by_many_is_applied_once
                compare_and_write_loses_no_turn
                no_load_sees_half_a_commit
                nothing_is_written_after_a_destruction
                a_write_and_a_rotation_follow_each_other
            }
            sequences {
                random_commits_do_what_apply_does
            }
            histories {
                concurrent_histories_are_linearizable
            }
        }
    };
}

macro_rules! checks {
    ({} $($part:ident { $($check:ident)* })*) => {
        &[$($(
            Check {
                part: stringify!($part),
                name: stringify!($check),
                contract: super::$part::CONTRACT,
                body: |kit| Box::pin(super::$part::$check(kit)),
            },
        )*)*]
    };
}

/// Every check, in the order of the guarantees.
pub(super) const CHECKS: &[Check] = crate::__every_check!([checks]);
