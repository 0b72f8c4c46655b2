//! When an object is written again, when it counts as contested, and when a contest ends.

use proptest::prelude::*;

use super::*;

fn entry() -> ManagedObject {
    let [namespace, account, secret] = ["apps", "default", "acr-pull"].map(str::to_owned);
    ManagedObject::Entry { namespace, account, secret }
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + seconds).unwrap()
}

fn denied() -> Problem {
    Problem::new(Cause::AdmissionDenied, "x")
}

fn undone_by(manager: &str) -> ObjectState {
    ObjectState::Undone(Some(manager.to_owned()))
}

/// Writes whenever the contest allows, against a writer that undoes each write after `stands`
/// seconds. Returns the seconds of all writes in that many days.
fn writes(stands: i64, days: i64) -> Vec<i64> {
    let (mut contests, mut written) = (Contests::default(), Vec::new());
    let mut now = 0;
    while now < days * 86_400 {
        if contests.blocks(&entry(), at(now)).is_none() {
            contests.record_write(entry(), at(now));
            written.push(now);
            now += stands;
            contests.observe(|_| undone_by("patcher"), at(now));
        } else {
            now += 30;
        }
    }
    written
}

#[test]
fn three_losses_are_mended_at_once_and_then_ever_later() {
    let waits: Vec<_> = writes(1, 3).windows(2).map(|it| it[1] - it[0] - 1).collect();
    assert_eq!(waits[..3], [0, 0, 0]);
    assert_eq!(waits[3..6], [60, 120, 240]);
    assert!(waits.iter().all(|it| *it <= 12 * 3_600 + 30), "{waits:?}");
    assert!(waits.len() < 20, "{waits:?}");
}

#[test]
fn a_writer_that_comes_minutes_apart_costs_few_writes() {
    assert!(writes(600, 1).len() < 20, "{:?}", writes(600, 1));
}

#[test]
fn a_writer_that_comes_once_a_day_is_recognised() {
    let mut contests = Contests::default();
    for day in 0..4 {
        contests.record_write(entry(), at(day * 86_400));
        contests.observe(|_| undone_by("terraform"), at(day * 86_400 + 86_000));
    }
    contests.record_write(entry(), at(4 * 86_400));
    assert!(contests.still_contested(&entry()).unwrap().message.contains("terraform"));
}

#[test]
fn a_contested_object_stays_contested_until_it_has_stood_for_long() {
    let mut contests = Contests::default();
    for n in 0..4 {
        contests.record_write(entry(), at(n * 600));
        assert_eq!(contests.still_contested(&entry()), None);
        contests.observe(|_| undone_by("kyverno"), at(n * 600 + 599));
    }
    assert!(contests.blocks(&entry(), at(2_399)).unwrap().message.contains("kyverno"));
    contests.record_write(entry(), at(2_500));
    let told = contests.still_contested(&entry()).unwrap();
    assert_eq!(told.cause, Cause::ExternallyManaged);
    assert!(told.message.contains("4 times"), "{told}");
    contests.observe(|_| ObjectState::AsWritten, at(2_500 + 3_599));
    assert!(contests.still_contested(&entry()).is_some());
    contests.observe(|_| ObjectState::AsWritten, at(2_500 + 3_600));
    assert_eq!(contests, Contests::default());
}

#[test]
fn what_others_put_right_is_no_contest() {
    let mut contests = Contests::default();
    contests.record_refusal(entry(), denied(), &Intervals::DEFAULT, at(0));
    assert!(contests.blocks(&entry(), at(9)).is_some());
    assert!(contests.blocks(&entry(), at(10)).is_none());
    contests.observe(|_| ObjectState::AsWritten, at(5));
    assert_eq!(contests, Contests::default());
}

#[test]
fn a_refusal_is_tried_again_after_ten_seconds_and_every_ten_minutes_in_the_end() {
    let mut contests = Contests::default();
    let waits: Vec<_> = (0..9)
        .map(|_| {
            contests.record_refusal(entry(), denied(), &Intervals::DEFAULT, at(0));
            contests.due().unwrap().duration_since(at(0)).as_secs()
        })
        .collect();
    assert_eq!(waits, [10, 20, 40, 80, 160, 320, 600, 600, 600]);
    contests.forget_losses();
    assert_eq!(contests.blocks(&entry(), at(0)), None);
}

#[test]
fn what_is_in_the_way_is_tried_again_every_two_minutes() {
    let mut contests = Contests::default();
    for _ in 0..9 {
        contests.record_refusal(
            entry(),
            Problem::new(Cause::NotOurs, "x"),
            &Intervals::DEFAULT,
            at(0),
        );
        assert_eq!(contests.due(), Some(at(120)));
    }
}

proptest! {
    #[test]
    fn whatever_others_do_the_writes_of_a_day_are_bounded(stands in 0i64..100_000) {
        prop_assert!(writes(stands, 1).len() < 25);
    }
}

/// The advice for a removal is the opposite of the advice for a write.
#[rstest::rstest]
#[case(
    entry(),
    "take acr-pull out of imagePullSecrets of service account default in namespace apps"
)]
#[case(
    ManagedObject::Secret { namespace: "apps".into(), name: "acr-pull".into() },
    "stop what keeps Secret acr-pull in namespace apps or makes it anew"
)]
fn what_comes_back_after_it_was_removed_is_told_as_that(
    #[case] object: ManagedObject,
    #[case] advice: &str,
) {
    let (mut contests, removal) = (Contests::default(), ManagedObject::Removal(Box::new(object)));
    for n in 0..4 {
        contests.record_write(removal.clone(), at(n));
        contests.observe(|_| ObjectState::Undone(None), at(n));
    }
    let told = &contests.blocks(&removal, at(3)).unwrap().message;
    assert!(told.starts_with(advice) && told.contains("4 times"), "{told}");
    assert!(!told.contains("field manager"), "nobody knows which: {told}");
}
