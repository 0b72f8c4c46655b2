//! Leader election: when a candidate may take the Lease. The rules are those of client-go
//! (`k8s.io/client-go/tools/leaderelection`), whose candidates may compete for the same Lease.

use std::time::Duration;

use thiserror::Error;

/// The error of a write that was not sent, since this replica does not lead.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("nothing was written, since this replica does not lead (any more)")]
pub struct NotLeading;

/// The parameters of a leader election.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Election {
    /// The name of the Lease, in the operator's namespace.
    pub lease: String,
    /// How long candidates wait for a leader that does not renew.
    pub duration: Duration,
    /// How long after its last renewal a leader still leads. Shorter than `duration`, so that a leader
    /// stops before another begins.
    pub renew_deadline: Duration,
    /// The wait between two attempts to take or renew the Lease.
    pub retry_period: Duration,
}

impl Election {
    /// Checks that a leader stops before another begins, and that it can try to renew more than once.
    ///
    /// # Errors
    /// One sentence that names the wrong flag.
    pub fn checked(self) -> Result<Self, String> {
        if self.renew_deadline >= self.duration {
            return Err("--renew-deadline must be shorter than --lease-duration, so that a leader has stopped before another begins".to_owned());
        }
        if self.retry_period >= self.renew_deadline {
            return Err("--retry-period must be shorter than --renew-deadline, so that a leader can try to renew again".to_owned());
        }
        Ok(self)
    }

    /// The duration in whole seconds, rounded up, as a Lease holds it.
    #[must_use]
    pub fn duration_seconds(&self) -> i32 {
        let seconds = self.duration.as_secs() + u64::from(self.duration.subsec_nanos() > 0);
        i32::try_from(seconds).unwrap_or(i32::MAX)
    }
}

/// The fields of a Lease that decide an election.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LeaseRecord {
    /// The identity of the holder; empty if the Lease is free.
    pub holder: String,
    /// How long a candidate must have seen the Lease unchanged before it takes the Lease.
    pub duration: Duration,
    /// How often the holder has changed.
    pub transitions: i32,
}

/// What a candidate does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Take the Lease: it is free, or its holder did not renew in time.
    Take,
    /// Renew the Lease that the candidate holds.
    Renew,
    /// Wait: another candidate holds the Lease.
    Wait,
}

/// Decides what candidate `me` does about a record that it has seen unchanged for that long.
///
/// The candidate measures the time on its own clock, from when it first saw the record: clocks of
/// different machines are never compared.
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
    fn a_lease_is_taken_when_it_is_free_or_not_renewed_in_time(
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

    /// A candidate whose writes arrive late, and whose answers arrive later.
    #[derive(Clone, Default)]
    struct Candidate {
        /// The record that the candidate read last, its version, and when it first saw that version.
        seen: Option<(LeaseRecord, u64, u64)>,
        /// A write in flight: the record, the version it replaces, and when it is sent, arrives and is
        /// answered.
        writing: Option<(LeaseRecord, u64, u64, u64, u64)>,
        /// Whether the API server accepted the write.
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
        /// With any delays of writes and answers, and with candidates that are suspended for any time.
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
