//! The check of concurrent histories finds what it is there for: each deliberate defect of a store.

use session_runtime::test_kit::{Counterexample, ManualTime, check_histories};
use tests::defective::{Defect, DefectiveStore};

/// More histories than any defect here survives.
const HISTORIES: usize = 20_000;

const SEED: u64 = 6;

fn check(defect: Defect, histories: usize) -> Result<usize, Counterexample> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .build()
        .unwrap();
    let harness = ManualTime::new(move |clock| DefectiveStore::new(defect, clock));
    let harness = harness.with_atomic_lists();
    let checked = runtime.block_on(check_histories(harness, SEED, histories))?;
    Ok(checked.histories)
}

#[test]
fn the_store_without_a_defect_passes() {
    if let Err(counterexample) = check(Defect::None, 1_000) {
        panic!("{counterexample}");
    }
}

macro_rules! found {
    ($($test:ident: $defect:ident;)*) => {$(
        #[test]
        fn $test() {
            match check(Defect::$defect, HISTORIES) {
                Ok(histories) => panic!("not found in {histories} histories"),
                Err(counterexample) => println!("{counterexample}"),
            }
        }
    )*};
}

found! {
    a_removed_existence_guard_is_found: ExistenceGuardRemoved;
    a_removed_verifier_comparison_is_found: VerifierComparisonRemoved;
    a_grace_without_end_is_found: GraceWithoutEnd;
    a_ttl_that_is_not_applied_again_is_found: TtlNotAppliedAgain;
    a_fixed_ttl_that_restarts_is_found: FixedTtlRestarted;
    an_ended_field_that_is_seen_is_found: EndedFieldSeen;
    an_ignored_idle_timeout_is_found: IdleTimeoutIgnored;
    an_absolute_end_that_moves_is_found: AbsoluteEndMoves;
    a_broken_replace_is_found: ReplaceKeepsTheFirst;
    a_broken_add_is_found: AddNotAtomic;
    a_broken_max_is_found: MaxKeepsTheSmaller;
    a_broken_min_is_found: MinKeepsTheLarger;
    a_broken_first_is_found: FirstOverwritten;
    a_broken_reject_is_found: ConditionsIgnored;
    a_racy_reject_is_found: ConditionsNotAtomic;
    an_ignored_range_is_found: RangeIgnored;
    a_take_that_is_not_atomic_is_found: TakeNotAtomic;
    a_commit_id_that_is_not_remembered_is_found: CommitIdNotRemembered;
    a_refusal_that_is_half_applied_is_found: RefusalHalfApplied;
    a_commit_that_is_seen_half_is_found: CommitNotAtomic;
    stale_loads_are_found: StaleLoads;
    a_racy_limit_is_found: LimitNotAtomic;
    a_session_that_is_listed_late_is_found: ListedLate;
    a_repeated_change_of_a_list_is_found: ListedAgain;
    an_id_in_use_that_is_created_again_is_found: UsedIdOverwritten;
    a_racy_creation_is_found: CreationNotAtomic;
    a_previous_token_that_must_not_rotate_is_found: PreviousTokenRotates;
    a_previous_token_that_may_rotate_is_found: FromPreviousIgnored;
    a_restore_that_is_not_guarded_is_found: RestoreUnguarded;
    a_link_without_end_is_found: LinkWithoutEnd;
    a_link_that_stays_open_is_found: LinkStaysOpen;
    a_grace_for_a_link_is_found: LinkGetsTheGrace;
    principals_that_accumulate_are_found: PrincipalsAccumulate;
    an_ignored_condition_about_a_principal_is_found: PrincipalConditionIgnored;
    ended_fields_with_a_prefix_are_found: EndedFieldsFound;
    a_racy_bound_is_found: BoundNotAtomic;
    a_wrong_eviction_is_found: LastEndingEvicted;
    an_eviction_of_what_is_written_is_found: WrittenEvicted;
    ended_fields_that_count_are_found: EndedFieldsCounted;
}
