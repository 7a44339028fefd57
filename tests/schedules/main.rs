//! The ledger under schedules that shuttle chooses: at random, and by PCT, which finds what needs few but well-placed switches.
//!
//!     RUSTFLAGS="--cfg shuttle" cargo test -p sigchain --test schedules
//!
//! `SIGCHAIN_SCHEDULES` is the number in all, `SIGCHAIN_SEED` begins other ones. A failure prints its schedule; put in a file that
//! `SIGCHAIN_REPLAY` names, it happens again (with the same test, and as many cores).
#![cfg(shuttle)]
#![expect(unreachable_pub, reason = "in a binary everything is reachable from nowhere")]
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "a test that meets the unexpected must stop, and says how much it has done"
)]

mod acts;
mod appends;
mod decisions;
mod ends;
mod gathers;
mod judge;
mod signers;
mod stores;
mod support;

/// One test for each, and how many there are.
macro_rules! scenarios {
    ($($module:ident::$name:ident),* $(,)?) => {
        const SCENARIOS: usize = [$(stringify!($name)),*].len();

        $(#[test]
        fn $name() {
            crate::support::every_schedule(stringify!($name), SCENARIOS, $module::$name);
        })*
    };
}

scenarios! {
    acts::nothing_is_done_unrecorded,
    acts::nothing_is_done_that_is_not_approved,
    appends::threads_append,
    appends::appends_and_tickets,
    appends::batches_among_appends,
    appends::the_queue_is_short,
    appends::one_id_from_many,
    appends::batches_that_share_ids,
    decisions::consent_is_not_overtaken,
    decisions::the_key_is_rotated,
    decisions::the_key_is_rotated_as_it_closes,
    decisions::a_lost_key_is_replaced_as_it_closes,
    ends::closed_among_appends,
    ends::closed_when_the_deadline_passes,
    ends::the_last_handle_goes,
    gathers::tickets_and_appends,
    gathers::nobody_waits,
    gathers::each_waits_for_its_own,
    gathers::there_is_little_room,
    gathers::their_signer_fails,
    gathers::their_signer_hangs,
    gathers::their_store_fails,
    gathers::closed_as_they_gather,
    gathers::the_key_is_rotated_as_they_gather,
    signers::one_in_the_process_fails,
    signers::one_outside_signs,
    signers::one_outside_fails,
    signers::one_outside_hangs,
    stores::one_refuses,
    stores::one_is_uncertain,
}
