//! The suite passes on a store in memory, and its checks find the defects that are planted in it.
//!
//! The defects that only concurrent histories find are in `campaigns/histories`.

use std::panic::{AssertUnwindSafe, catch_unwind};

use session_runtime::test_kit::{__run_one as run_one, ManualTime, conformance};
use tests::defective::{Defect, DefectiveStore};

mod none {
    use super::*;

    conformance!(
        ManualTime::new(|clock| DefectiveStore::new(Defect::None, clock)).with_atomic_lists()
    );
}

macro_rules! found_by {
    ($($part:ident { $($check:ident: $($defect:ident)+;)* })*) => {$(
        mod $part {
            use super::*;
            $(
                #[test]
                fn $check() {
                    $(fails(stringify!($part), stringify!($check), Defect::$defect);)+
                }
            )*
        }
    )*};
}

/// The check fails where the store has this defect, if not at the first time, then at one of many.
fn fails(part: &str, check: &str, defect: Defect) {
    let harness = || {
        let harness = ManualTime::new(move |clock| DefectiveStore::new(defect, clock));
        harness.with_atomic_lists()
    };
    let passes = || catch_unwind(AssertUnwindSafe(|| run_one(part, check, harness))).is_ok();
    let always_passes = (0..50).all(|_| passes());
    assert!(!always_passes, "{part}::{check} does not find {defect:?}");
}

found_by! {
    guards {
        that_an_id_is_taken_comes_before_the_conditions: UsedIdIsGone UsedIdOverwritten;
        the_previous_token_does_not_rotate: PreviousTokenRotates;
        a_rotation_may_admit_the_previous_token: FromPreviousIgnored GraceWithoutEnd;
    }
    once {
        eight_taken_values_are_remembered: OneTakenValueRemembered;
        a_take_that_arrives_far_too_late_answers_one_of_two_values: TakeLeavesTheField;
        a_creation_that_arrives_far_too_late_changes_nothing: UsedIdOverwritten;
    }
    restores {
        what_has_run_out_is_restored: RestoreIgnored;
        several_fields_are_restored_together: RestoreIgnored TouchIsTheLastCommit;
        a_present_value_is_never_replaced: RestoreReplaces;
        nothing_is_restored_after_another_commit: RestoreUnguarded;
        what_was_removed_is_not_restored: RestoreUnguarded RestoreReplaces;
        touches_do_not_keep_a_field_from_being_restored: TouchIsTheLastCommit;
        a_restore_that_arrives_twice_restores_once: CommitIdNotRemembered;
    }
    prefixes {
        a_prefix_finds_the_fields_that_begin_with_it:
            PrefixesIgnored PrefixTooWide FieldsFoundBackwards;
        a_load_asks_for_names_and_prefixes: NamesHiddenFromPrefixes;
        a_load_without_prefixes_finds_none: FieldsFoundUnasked;
        an_ended_field_is_not_found_by_its_prefix: EndedFieldsFound;
        a_prefix_tells_no_deadlines: DeadlinesFound;
        several_prefixes_find_each_field_once: FieldsFoundTwice;
        any_prefix_is_taken_as_it_is: PrefixIsAPattern;
        the_header_is_found_by_no_prefix: HeaderFound;
        hundreds_of_fields_are_found_by_their_prefix: HundredFieldsFound;
        no_load_by_prefix_sees_half_a_commit: CommitNotAtomic;
    }
    bounds {
        a_bound_that_holds_changes_nothing: BoundTooLow;
        the_fields_that_end_soonest_are_evicted: LastEndingEvicted BoundIgnored;
        of_fields_that_end_together_the_first_by_name_are_evicted: LastNameEvicted;
        what_a_commit_writes_is_not_evicted: WrittenEvicted;
        a_bound_that_evicts_none_refuses: BoundAlwaysEvicts BoundIgnored;
        a_commit_that_writes_too_many_is_refused: BoundIgnored;
        a_bound_counts_living_fields: EndedFieldsCounted;
        a_bound_follows_the_changes_before_it: BoundComesFirst;
        each_bound_of_a_commit_must_hold: SecondBoundIgnored;
        a_creation_can_have_a_bound: BoundIgnoredInCreations;
        a_bound_that_arrives_twice_evicts_once: CommitIdNotRemembered;
        simultaneous_insertions_keep_the_bound: BoundNotAtomic;
    }
    links {
        a_link_opens_the_session: LinkIgnored VerifierComparisonRemoved;
        a_load_tells_an_open_link: LinkNotTold;
        a_link_closes_when_its_time_is_over: LinkWithoutEnd;
        a_link_closes_at_the_millisecond: LinkWithoutEnd;
        the_longest_link_is_no_error: LinkIgnored;
        a_link_can_be_closed: LinkStaysOpen;
        a_refused_commit_does_not_close_a_link: LinkClosedByRefusal;
        a_link_is_no_previous_token: LinkIsPrevious LinkGetsTheGrace;
        one_of_many_rotations_by_link_wins: ConditionsNotAtomic;
        a_creation_that_arrives_twice_prolongs_no_link: LinkProlonged;
        a_link_ends_with_its_session: HeaderOutlivesTheSession;
    }
    principals {
        a_load_tells_the_principals: PrincipalsNotTold;
        a_field_names_one_principal: PrincipalsAccumulate;
        only_the_pair_that_matches_is_removed: PrincipalRemovedByField;
        principals_outlive_tokens_and_fields: PrincipalsHiddenWithField PrincipalsLostByRotation;
        a_refused_commit_leaves_the_principals: PrincipalsChangedByRefusal;
        principals_end_with_their_session: HeaderOutlivesTheSession;
        a_commit_that_arrives_twice_leaves_later_principals: PrincipalsChangedAgain;
        a_condition_compares_a_principal: PrincipalConditionIgnored;
        no_principal_is_listed_before_a_creation: PrincipalConditionIgnored;
    }
    fields {
        a_first_write_that_comes_second_answers_the_first_value: KeptValueNotAnswered;
    }
    races {
        one_of_many_creations_wins: CreationNotAtomic UsedIdIsGone;
        a_creation_sent_by_many_wins_or_loses_as_one: CreationNotAtomic UsedIdIsGone;
    }
}
