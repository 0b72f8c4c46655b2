//! Leader election: when a candidate may take the lease. The rules are client-go's, whose candidates
//! share leases with ours (`k8s.io/client-go/tools/leaderelection`).

use std::time::Duration;

use thiserror::Error;

/// Nothing was written, since this replica does not lead.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("nothing was written, since this replica does not lead (any more)")]
pub struct NotLeading;

/// How an election goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Election {
    /// The name of the Lease, in the operator's namespace.
    pub lease: String,
    /// How long the others wait for a leader that says nothing more.
    pub duration: Duration,
    /// How long after its last renewal a leader still leads. Shorter than `duration`, so that it has
    /// stopped before another begins.
    pub renew_deadline: Duration,
    /// How long to wait between two attempts.
    pub retry_period: Duration,
}

impl Election {
    /// Checks that a leader stops before another begins, and tries more than once before.
    ///
    /// # Errors
    /// One sentence when it would not.
    pub fn checked(self) -> Result<Self, String> {
        if self.renew_deadline >= self.duration {
            return Err("--renew-deadline must be shorter than --lease-duration, so that a leader has stopped before another begins".to_owned());
        }
        if self.retry_period >= self.renew_deadline {
            return Err("--retry-period must be shorter than --renew-deadline, so that a leader can try to renew again".to_owned());
        }
        Ok(self)
    }

    /// The duration in whole seconds, as a Lease holds it, and never shorter.
    #[must_use]
    pub fn duration_seconds(&self) -> i32 {
        let seconds = self.duration.as_secs() + u64::from(self.duration.subsec_nanos() > 0);
        i32::try_from(seconds).unwrap_or(i32::MAX)
    }
}

/// What a Lease says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LeaseRecord {
    /// Who holds it. Nobody, if it is empty.
    pub holder: String,
    /// How long the others must have seen it unchanged before one of them takes it.
    pub duration: Duration,
    /// How often the holder has changed.
    pub transitions: i32,
}

/// What a candidate does about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Take it from nobody, or from a holder that said nothing for too long.
    Take,
    /// Go on holding it.
    Renew,
    /// Somebody else holds it.
    Wait,
}

/// What `me` does about a record that `me` has seen unchanged for so long.
///
/// The time is measured by the candidate's own clock from when it first saw the record: clocks of
/// other machines are never compared.
#[must_use]
pub fn decide(record: &LeaseRecord, me: &str, unchanged: Duration) -> Decision {
    match record.holder.as_str() {
        "" => Decision::Take,
        holder if holder == me => Decision::Renew,
        _ if unchanged >= record.duration => Decision::Take,
        _ => Decision::Wait,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn held_by(holder: &str) -> LeaseRecord {
        LeaseRecord { holder: holder.to_owned(), duration: 15 * SECOND, transitions: 0 }
    }

    #[rstest::rstest]
    #[case("", 0, Decision::Take)]
    #[case("me", 0, Decision::Renew)]
    #[case("me", 60, Decision::Renew)]
    #[case("other", 0, Decision::Wait)]
    #[case("other", 14, Decision::Wait)]
    #[case("other", 15, Decision::Take)]
    fn a_lease_is_taken_from_nobody_or_from_who_is_silent(
        #[case] holder: &str,
        #[case] unchanged: u32,
        #[case] expected: Decision,
    ) {
        assert_eq!(decide(&held_by(holder), "me", unchanged * SECOND), expected);
    }

    #[rstest::rstest]
    #[case(15, 10, 2, true)]
    #[case(10, 10, 2, false)]
    #[case(15, 10, 10, false)]
    fn a_leader_stops_before_another_begins(
        #[case] duration: u32,
        #[case] renew: u32,
        #[case] retry: u32,
        #[case] good: bool,
    ) {
        let election = Election {
            lease: "acr-attach".to_owned(),
            duration: duration * SECOND,
            renew_deadline: renew * SECOND,
            retry_period: retry * SECOND,
        };
        assert_eq!(election.checked().is_ok(), good);
    }

    #[test]
    fn a_lease_is_never_shorter_than_asked_for() {
        let election = Election {
            lease: String::new(),
            duration: Duration::from_millis(1500),
            renew_deadline: SECOND,
            retry_period: SECOND / 2,
        };
        assert_eq!(election.duration_seconds(), 2);
    }

    /// Milliseconds of a simulated clock.
    const DURATION: u64 = 1500;
    const RENEW_DEADLINE: u64 = 1000;

    /// A candidate with a clock of its own, whose reads and writes take their time.
    #[derive(Clone, Default)]
    struct Candidate {
        /// What it read, its version, and when it first saw it so.
        seen: Option<(LeaseRecord, u64, u64)>,
        /// A write that is on its way: what, over which version, sent when, arriving when, and when
        /// its answer is there.
        writing: Option<(LeaseRecord, u64, u64, u64, u64)>,
        /// Whether the write arrived, and was taken.
        taken: bool,
        leads_until: u64,
    }

    /// The API server: the record and its version.
    #[derive(Default)]
    struct Store(LeaseRecord, u64);

    fn step(me: &str, it: &mut Candidate, store: &mut Store, now: u64, delay: (u64, u64)) {
        if let Some((record, over, sent, arrives, answered)) = it.writing.clone() {
            if now == arrives {
                it.taken = store.1 == over;
                if it.taken {
                    *store = Store(record.clone(), over + 1);
                }
            }
            if now < answered {
                return;
            }
            if it.taken {
                it.leads_until = sent + RENEW_DEADLINE;
                it.seen = Some((record, over + 1, now));
            }
            it.writing = None;
            return;
        }
        let changed = it
            .seen
            .as_ref()
            .is_none_or(|(record, version, _)| *record != store.0 || *version != store.1);
        if changed {
            it.seen = Some((store.0.clone(), store.1, now));
        }
        let (record, version, since) = it.seen.clone().unwrap_or_default();
        let unchanged = Duration::from_millis(now - since);
        if decide(&record, me, unchanged) != Decision::Wait {
            let duration = Duration::from_millis(DURATION);
            let next = LeaseRecord { holder: me.to_owned(), duration, transitions: 0 };
            let arrives = now + 1 + delay.0;
            it.writing = Some((next, version, now, arrives, arrives + delay.1));
            it.taken = false;
        }
    }

    proptest! {
        /// However long writes and their answers take, and however long a candidate is stopped.
        #[test]
        fn never_do_two_lead_at_once(
            delays in prop::collection::vec((0_u64..2500, 0_u64..2500), 60),
            stops in prop::collection::vec((0_usize..3, 0_u64..12_000, 0_u64..4000), 6),
        ) {
            let names = ["a", "b", "c"];
            let mut candidates = [(); 3].map(|()| Candidate::default());
            let mut store = Store::default();
            let mut delays = delays.iter().cycle();
            for now in 1..15_000_u64 {
                for (index, it) in candidates.iter_mut().enumerate() {
                    let stopped = stops.iter().any(|(who, from, how_long)| {
                        *who == index && (*from..from + how_long).contains(&now)
                    });
                    let arriving = it.writing.as_ref().is_some_and(|it| it.3 == now);
                    if arriving || (!stopped && now % 20 == index as u64) || it.writing.is_some() && !stopped {
                        step(names[index], it, &mut store, now, *delays.next().unwrap());
                    }
                }
                let leading = candidates.iter().filter(|it| now < it.leads_until).count();
                prop_assert!(leading <= 1, "{leading} lead at {now}");
            }
        }
    }
}
