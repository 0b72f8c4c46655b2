//! Which calls a rate limiter lets through, and when the rejected ones are retried.

use super::*;

const A: Key = Some(Uuid::from_u128(1));
const B: Key = Some(Uuid::from_u128(2));

fn limiters() -> Arc<RateLimiters> {
    let rate = Rate { burst: 10, per_second: 10.0 };
    Arc::new(RateLimiters::new(Budget { reads: rate, writes: rate, deletes: rate }))
}

fn read(reservation: &Reservation, key: Key, now: Instant) -> Result<(), RateLimited> {
    reservation.acquire(key, Method::Get, now)
}

/// The milliseconds until the retry of a rejected call.
fn wait(rejected: Result<(), RateLimited>) -> u128 {
    match rejected {
        Err(RateLimited::Queued { wait }) => wait.as_millis(),
        other => panic!("{other:?}"),
    }
}

#[rstest::rstest]
#[case("/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/x?y=z", A)]
#[case("/SUBSCRIPTIONS/00000000-0000-0000-0000-000000000001?y=z", A)]
#[case("/providers/Microsoft.Management/managementGroups/x", None)]
#[case("/v1.0/servicePrincipals", None)]
fn the_subscription_in_a_path_is_the_key(#[case] path: &str, #[case] expected: Key) {
    assert_eq!(key(path), expected);
}

#[test]
fn a_reconcile_with_a_reservation_can_finish_and_others_get_staggered_retry_times() {
    let (limiters, now) = (limiters(), Instant::now());
    let (first, second) = (Reservation::empty(&limiters), Reservation::empty(&limiters));
    read(&first, A, now).unwrap();
    read(&second, A, now).unwrap();
    let waits: Vec<_> =
        (0..3).map(|_| wait(read(&Reservation::empty(&limiters), A, now))).collect();
    assert_eq!(waits, [500, 800, 1100]);
    for _ in 1..RESERVED_CALLS[0] {
        read(&first, A, now).unwrap();
    }
    first.acquire(A, Method::Put, now).unwrap();
    // This read goes beyond the reservation, and no token is free.
    wait(read(&first, A, now));
    read(&Reservation::empty(&limiters), B, now).unwrap();
}

#[test]
fn calls_that_are_not_needed_are_released() {
    let (limiters, now) = (limiters(), Instant::now());
    for made in 1..=6 {
        read(&Reservation::empty(&limiters), A, now).unwrap();
        let left = 10 - made;
        let wait = |calls| limiters.with(A, now, |it| it.buckets[0].wait_for(calls, now));
        assert_eq!((wait(left), wait(left + 1).is_zero()), (Duration::ZERO, false));
    }
    wait(read(&Reservation::empty(&limiters), A, now));
}

#[test]
fn a_subscription_is_paused_for_as_long_as_azure_asks() {
    let (limiters, now) = (limiters(), Instant::now());
    let reservation = Reservation::empty(&limiters);
    read(&reservation, A, now).unwrap();
    reservation.pause(A, Method::Put, Duration::from_secs(20), now);
    reservation.pause(A, Method::Put, Duration::from_secs(5), now);
    let later = now + Duration::from_secs(19);
    for reservation in [&reservation, &Reservation::empty(&limiters)] {
        let rejected = read(reservation, A, later);
        assert!(
            matches!(rejected, Err(RateLimited::Paused { wait, .. }) if wait.as_secs() == 1),
            "{rejected:?}"
        );
    }
    read(&reservation, B, later).unwrap();
    read(&reservation, A, now + Duration::from_secs(20)).unwrap();
}

#[test]
fn a_budget_smaller_than_a_reservation_lets_one_reconcile_through_at_a_time() {
    let rate = Rate { burst: 2, per_second: 1.0 };
    let limiters = Arc::new(RateLimiters::new(Budget { reads: rate, writes: rate, deletes: rate }));
    let now = Instant::now();
    let reservation = Reservation::empty(&limiters);
    read(&reservation, A, now).unwrap();
    assert_eq!(wait(read(&Reservation::empty(&limiters), A, now)), 2000);
}
