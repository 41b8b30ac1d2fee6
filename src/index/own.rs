//! The operator's own role: sessions that are renewed before they expire, under the feet of the lanes that use them.

use std::sync::Arc;

use super::Index;
use super::source::{Identity, State};
use crate::clock::Now;
use crate::ecs::{Error, ErrorKind, Session};
use crate::observation::{Failure, FailureKind};
use crate::role::{ROLE_TRN, RenewalFault, TokenError};
use crate::schedule::renewal;

impl Index {
    /// The operator's role was taken anew, or could not be.
    pub fn renewed(&mut self, renewed: Result<Session, RenewalFault>, now: Now) {
        let Some(&key) = self.source_of.get(&None) else { return };
        match renewed {
            Ok(session) => self.session_begins(key, session, now),
            Err(fault) => self.renewal_failed(key, &fault, now),
        }
    }

    fn session_begins(&mut self, key: usize, session: Session, now: Now) {
        let lanes = self.lanes.of_identity(Identity::Role);
        let refused = lanes.iter().any(|lane| self.lanes[*lane].is_refused());
        let source = &mut self.sources[key];
        let begun = source.reads.begun().unwrap_or(now.mono);
        source.good_until = Some(begun.saturating_add(session.lifetime));
        // One that is over as soon as it begins is not renewed in a circle.
        let routine = renewal(begun, session.lifetime).max(now.mono + self.settings.poll_interval);
        // While the cloud refuses what STS gives, asking STS again and again helps nobody.
        if refused {
            source.reads.brought_the_same(routine, now.mono);
        } else {
            source.reads.brought_new(routine);
        }
        let credentials = Arc::new(session.credentials);
        lanes.into_iter().for_each(|lane| self.lanes[lane].renew(credentials.clone(), now.mono));
        self.become_known(key, credentials, now);
    }

    /// As long as the last session is good nobody need know; then everyone who depends on it is told.
    fn renewal_failed(&mut self, key: usize, fault: &RenewalFault, now: Now) {
        let source = &mut self.sources[key];
        if let Some(until) = source.good_until.filter(|until| now.mono < *until) {
            source.reads.was_not_answered(now.mono);
            source.reads.no_later_than(until);
            return;
        }
        let (kind, text) = explain(fault);
        let (code, request_id) = match fault {
            RenewalFault::Token(_) => (None, None),
            RenewalFault::Sts(Error { code, request_id, .. }) => (code.clone(), request_id.clone()),
        };
        let since = match &source.state {
            State::Failed(before) if is_outage(before.kind) == is_outage(kind) => before.since,
            State::Unread | State::Known(_) | State::Failed(_) => now.mono,
        };
        self.source_failed(key, Failure { kind, of_task: false, since, text: text.into(), code, request_id }, now);
    }
}

fn is_outage(kind: FailureKind) -> bool {
    match kind {
        FailureKind::Throttled | FailureKind::Unavailable => true,
        FailureKind::CredentialsNotFound
        | FailureKind::CredentialsForbidden
        | FailureKind::CredentialsInvalid
        | FailureKind::AccessDenied
        | FailureKind::Rejected => false,
    }
}

/// Which row of the status table a fault is, and what can be done: mostly by the administrator, who finds more in the
/// log.
fn explain(fault: &RenewalFault) -> (FailureKind, String) {
    match fault {
        RenewalFault::Token(token) => {
            let kind = match token {
                TokenError::NotFound => FailureKind::CredentialsNotFound,
                TokenError::Unreadable(_) => FailureKind::CredentialsForbidden,
                TokenError::Empty | TokenError::Unprintable | TokenError::TooLong => FailureKind::CredentialsInvalid,
            };
            (kind, format!("the operator has no credentials of its own: {fault}"))
        }
        RenewalFault::Sts(error) => match error.kind {
            ErrorKind::Throttled { .. } => (FailureKind::Throttled, STS_UNAVAILABLE.into()),
            ErrorKind::Unreachable | ErrorKind::Unavailable | ErrorKind::Clock => {
                (FailureKind::Unavailable, STS_UNAVAILABLE.into())
            }
            ErrorKind::CredentialsInvalid | ErrorKind::AccessDenied | ErrorKind::Rejected => (
                FailureKind::CredentialsInvalid,
                format!("STS refuses the operator its role: the administrator checks {ROLE_TRN}, and {TRUST}"),
            ),
        },
    }
}

const STS_UNAVAILABLE: &str = "STS, which gives the operator its own credentials, gives no usable answer: nothing to \
    do, the operator tries again";
const TRUST: &str = "that the role trusts the cluster's issuer, the audience sts.volcengine.com and the operator's \
    ServiceAccount";

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::time::Duration;

    use super::super::Own;
    use super::super::tests::{Sts, World, credentials, secs, settings};
    use crate::ecs::{Error, ErrorKind, Session};
    use crate::index::Settings;
    use crate::role::{RenewalFault, TokenError};

    /// A session of an hour whose key tells when it was opened.
    fn session(at: Duration) -> Result<Session, RenewalFault> {
        Ok(Session { credentials: credentials(&format!("AK{}", at.as_secs())), lifetime: secs(3_600) })
    }

    fn refused() -> Result<Session, RenewalFault> {
        Err(Error::of_kind(ErrorKind::AccessDenied).into())
    }

    fn world(sts: Sts) -> World {
        let mut world = World::with(Settings { own_credentials: Some(Own::Role), ..settings() });
        world.sts = sts;
        world
    }

    fn seconds(moments: &[Duration]) -> Vec<u64> {
        moments.iter().map(Duration::as_secs).collect()
    }

    /// The longest a task of the world went without a look after its first, within a window.
    fn longest_gap(world: &World, from: u64, to: u64) -> u64 {
        let ids: BTreeSet<_> = world.calls.iter().flat_map(|call| &call.ids).collect();
        let gaps = ids.iter().map(|id| {
            let looks = world.calls_between(from, to).into_iter().filter(|call| call.ids.contains(id));
            let looks: Vec<_> = looks.map(|call| call.at.as_secs()).collect();
            looks.windows(2).map(|pair| pair[1] - pair[0]).max().expect("it is looked at again and again")
        });
        gaps.max().expect("there are tasks")
    }

    #[test]
    fn a_session_is_renewed_in_time_and_no_task_is_looked_at_earlier_or_later_for_it() {
        let mut world = world(session);
        (0..350).for_each(|n| world.create(&format!("t-{n}")));
        world.run(secs(3_600));
        assert_eq!(seconds(&world.renewals), [0, 2_880]);
        let keys: BTreeSet<_> = world.calls_between(2_881, 3_600).into_iter().map(|call| call.key.as_str()).collect();
        assert_eq!(keys, ["AK2880"].into());
        let around = world.calls_between(2_860, 2_900).len();
        assert_eq!((around, longest_gap(&world, 2_840, 2_940)), (16, 10));
        assert!(world.told("t-7").iter().all(|reason| *reason == "TaskRunning"), "{:?}", world.told("t-7"));
    }

    #[test]
    fn a_throttled_lane_is_probed_no_sooner_for_a_renewal() {
        let mut world = world(session);
        (0..1_000).for_each(|n| world.create(&format!("t-{n}")));
        world.run(secs(2_700));
        world.cloud = Box::new(|_| Err(ErrorKind::Throttled { retry_after: None }));
        world.run(secs(250));
        assert_eq!(seconds(&world.renewals), [0, 2_880]);
        // The probes come after 10, 20, 40, 80 and 160 s.
        let probes = world.calls_between(2_720, 2_950).iter().map(|call| call.at.as_secs()).collect::<Vec<_>>();
        assert_eq!((probes.len(), world.calls_between(2_870, 2_950).len()), (3, 0), "{probes:?}");
    }

    #[test]
    fn a_renewal_that_fails_is_tried_again_and_told_to_nobody_while_the_session_is_good() {
        let mut world = world(|at| if (2_880..3_500).contains(&at.as_secs()) { refused() } else { session(at) });
        world.create("t-1");
        world.run(secs(3_600));
        assert_eq!(seconds(&world.renewals)[..7], [0, 2_880, 2_890, 2_910, 2_950, 3_010, 3_070]);
        let last = *world.renewals.last().expect("there were renewals");
        assert!((secs(3_500)..secs(3_561)).contains(&last), "{last:?}");
        assert_eq!(world.told("t-1"), ["TaskRunning"]);
    }

    #[test]
    fn a_session_that_expires_without_another_is_told_at_once_and_heals() {
        let mut world = world(|at| if (2_880..4_500).contains(&at.as_secs()) { refused() } else { session(at) });
        world.create("t-1");
        world.run(secs(3_599));
        assert_eq!(world.told("t-1"), ["TaskRunning"]);
        world.run(secs(2));
        assert_eq!(world.told("t-1").last(), Some(&"CredentialsInvalid"));
        assert_eq!(world.phase("t-1"), "Running");
        let asked = world.asked("t-1");
        world.run(secs(400));
        assert_eq!((world.phase("t-1"), world.asked("t-1")), ("Error", asked));
        world.run(secs(600));
        assert_eq!(world.told("t-1").last(), Some(&"TaskRunning"));
        assert_eq!(world.phase("t-1"), "Running");
    }

    #[test]
    fn what_keeps_the_role_from_being_taken_is_the_row_it_belongs_to() {
        let rows: [(Sts, &str); 5] = [
            (|_| Err(TokenError::NotFound.into()), "CredentialsNotFound"),
            (|_| Err(TokenError::Unreadable(std::io::ErrorKind::PermissionDenied).into()), "CredentialsForbidden"),
            (|_| Err(TokenError::Empty.into()), "CredentialsInvalid"),
            (|_| refused(), "CredentialsInvalid"),
            (|_| Err(Error::of_kind(ErrorKind::Unavailable).into()), "CloudUnavailable"),
        ];
        for (sts, reason) in rows {
            let mut world = world(sts);
            world.create("t-1");
            world.run(secs(5));
            let outage = reason == "CloudUnavailable";
            assert_eq!(world.told("t-1").is_empty(), outage, "{reason}");
            world.run(secs(400));
            assert_eq!(world.told("t-1").last(), Some(&reason));
            assert_eq!(world.phase("t-1"), if outage { "Pending" } else { "Error" }, "{reason}");
        }
    }

    #[test]
    fn sessions_that_the_cloud_refuses_are_renewed_ever_more_rarely() {
        let mut world = world(session);
        world.create("t-1");
        world.cloud = Box::new(|_| Err(ErrorKind::CredentialsInvalid));
        world.run(secs(600));
        assert!(world.renewals.len() <= 14, "{:?}", seconds(&world.renewals));
        assert!(world.calls.len() <= 28, "{} calls", world.calls.len());
        assert_eq!(world.phase("t-1"), "Error");
        world.cloud = Box::new(|_| Ok(()));
        world.run(secs(61));
        assert_eq!(world.phase("t-1"), "Running");
    }

    #[test]
    fn the_role_is_taken_once_however_tasks_come_and_go() {
        let mut world = world(session);
        for n in 0..20 {
            let id = format!("t-{n}");
            world.create(&id);
            world.run(secs(20));
            world.tasks.insert(id, "Succeeded");
            world.run(secs(20));
        }
        assert_eq!(seconds(&world.renewals), [0]);
        assert_eq!(world.index.entries.len(), 0);
    }

    #[test]
    fn a_session_that_is_good_is_not_renewed_for_whoever_asks_for_a_look() {
        let mut world = world(session);
        world.create("t-1");
        world.run(secs(60));
        for n in 0..60 {
            world.ask_for_a_look("t-1", &n.to_string());
            world.run(secs(1));
        }
        assert_eq!(seconds(&world.renewals), [0]);
        // What the cloud refuses is.
        world.cloud = Box::new(|_| Err(ErrorKind::CredentialsInvalid));
        world.run(secs(200));
        world.renewals.clear();
        world.ask_for_a_look("t-1", "now");
        world.run(secs(1));
        assert_eq!(world.renewals.len(), 1);
    }

    #[test]
    fn a_session_that_is_over_at_once_is_not_renewed_in_a_circle() {
        let mut world = world(|at| Ok(Session { lifetime: Duration::ZERO, ..session(at)? }));
        world.create("t-1");
        world.run(secs(60));
        assert_eq!(seconds(&world.renewals), [0, 10, 20, 30, 40, 50]);
    }
}
