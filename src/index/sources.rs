//! Who uses which credentials: from a source to a lane, or waiting for the source.

use std::sync::Arc;
use std::time::Duration;

use super::entry::Seat;
use super::key::EntryKey;
use super::lane::Lane;
use super::looks::Due;
use super::read_schedule::ReadSchedule;
use super::source::{Own, REFRESH, SecretFault, SecretName, Source, State, UNREADABLE_GRACE, Unusable, explain};
use super::subject::{Follower, Known, SubjectId};
use super::{Index, Settings};
use crate::clock::Now;
use crate::credentials::Credentials;
use crate::ecs::ResourceId;
use crate::observation::{Failure, Look, Observation};
use crate::reason::Reason;
use crate::spec::Target;
use crate::status::Status;

impl Index {
    /// The sources that are to be read now, and when the next is.
    pub(super) fn due_reads(&mut self, now: Duration) -> Due {
        let mut due = Due::default();
        for (_, source) in &mut self.sources {
            match source.reads.next() {
                Some(at) if at <= now => {
                    source.reads.begin(now);
                    due.renew |= source.secret.is_none();
                    due.secrets.extend(source.secret.clone());
                }
                Some(at) => due.next = Some(due.next.map_or(at, |next| next.min(at))),
                None => {}
            }
        }
        due
    }

    /// A Secret was read.
    pub fn secret_read(&mut self, secret: SecretName, read: Result<Credentials, SecretFault>, now: Now) {
        let Some(&key) = self.source_of.get(&Some(secret)) else { return };
        match read {
            Ok(credentials) => self.credentials_known(key, credentials, now),
            Err(SecretFault::Unreadable) => self.secret_unreadable(key, now),
            Err(SecretFault::Unusable(fault)) => self.credentials_failed(key, &fault, now),
        }
    }

    /// An API server in trouble says nothing about a Secret: what is known of it stays good, and what was never known is
    /// told only when that lasts.
    fn secret_unreadable(&mut self, key: usize, now: Now) {
        let source = &mut self.sources[key];
        let since = *source.unread_since.get_or_insert(now.mono);
        let known = matches!(source.state, State::Known(_));
        if !known && now.mono.saturating_sub(since) >= UNREADABLE_GRACE {
            return self.credentials_failed(key, &Unusable::Unreadable, now);
        }
        source.reads.was_not_answered(now.mono);
    }

    /// The cloud refused the credentials of a lane: they are read anew in the next interval.
    pub(super) fn credentials_refused(&mut self, lane: usize, now: Duration) {
        self.sources_of(lane).for_each(|source| source.reads.refused(now));
    }

    /// The cloud accepts the credentials of a lane again.
    pub(super) fn credentials_accepted(&mut self, lane: usize) {
        self.sources_of(lane).for_each(|source| source.reads.accepted());
    }

    /// The sources that the credentials of a lane come from.
    fn sources_of(&mut self, lane: usize) -> impl Iterator<Item = &mut Source> {
        let used = self.lanes[lane].credentials.fingerprint();
        let all = self.sources.iter_mut().map(|(_, source)| source);
        all.filter(move |source| matches!(&source.state, State::Known(known) if known.fingerprint() == used))
    }

    /// Finds the entry a place where it is looked at, or where it waits for credentials.
    pub(super) fn take_seat(&mut self, key: EntryKey, due: Option<Duration>, now: Now) {
        let entry = &self.entries[key.slot as usize];
        let Ok(spec) = &entry.followed.spec else { return };
        let namespace = self.directory.namespace(entry.tenant).clone();
        let secret = spec.credentials.clone().map(|name| SecretName { namespace, name });
        let source = self.source(secret, now.mono);
        self.sources[source].users += 1;
        match &self.sources[source].state {
            State::Known(credentials) => {
                let credentials = credentials.clone();
                self.join_lane(key, source, &credentials, due, now);
            }
            State::Unread => self.wait(key, source),
            State::Failed(failure) => {
                let failure = failure.clone();
                self.wait(key, source);
                // What was read longer ago may have been corrected: the reading that is due now tells.
                let is_fresh = |begun: Duration| begun + self.settings.poll_interval > now.mono;
                if self.sources[source].reads.begun().is_some_and(is_fresh) {
                    self.judge(key, &Look { begun: now, seen: Observation::Failed(&failure) }, now);
                }
                self.sources[source].hurry(now.mono);
            }
        }
    }

    /// Takes the entry from where it waits, for good.
    pub(super) fn vacate(&mut self, key: EntryKey) {
        let left = self.rise(key);
        self.leave(left);
    }

    /// Takes the entry from where it waits, but keeps the place open: it may come back, and what is known of the lane
    /// and of the Secret must not be lost with it.
    pub(super) fn rise(&mut self, key: EntryKey) -> Seat {
        let Some(entry) = self.entry_mut(key) else { return Seat::None };
        let left = std::mem::replace(&mut entry.seat, Seat::None);
        match left {
            Seat::None => {}
            Seat::Waiting { source } => {
                self.sources[source.get()].waiting.remove(&key);
            }
            Seat::Taken { lane, subject, .. } => self.lanes[lane.get()].unfollow(subject, key),
        }
        left
    }

    /// Closes what was left if nobody is there any more.
    pub(super) fn leave(&mut self, left: Seat) {
        let source = match left {
            Seat::None => return,
            Seat::Waiting { source } => source.get(),
            Seat::Taken { source, lane, .. } => {
                self.lanes.close_if_empty(lane.get());
                source.get()
            }
        };
        let users = &mut self.sources[source].users;
        *users -= 1;
        if *users == 0 && !self.is_role(source) {
            let gone = self.sources.remove(source);
            self.source_of.remove(&gone.secret);
        }
    }

    /// The operator's role is kept even unused: taking it anew for every task that comes would be a call to STS each.
    fn is_role(&self, source: usize) -> bool {
        self.sources[source].secret.is_none() && matches!(self.settings.own_credentials, Some(Own::Role))
    }

    fn credentials_known(&mut self, key: usize, credentials: Credentials, now: Now) {
        let source = &mut self.sources[key];
        source.unread_since = None;
        let same = match &source.state {
            State::Known(known) => known.fingerprint() == credentials.fingerprint(),
            State::Unread | State::Failed(_) => false,
        };
        let routine = now.mono + REFRESH;
        if same {
            return source.reads.brought_the_same(routine, now.mono);
        }
        source.reads.brought_new(routine);
        let seated = self.leave_lanes(key);
        seated.into_iter().for_each(|entry| self.wait(entry, key));
        self.become_known(key, Arc::new(credentials), now);
    }

    /// Everyone who waits for a source joins the lane of its credentials: at once where other ones, or none, were known
    /// before, as these may be what heals them.
    pub(super) fn become_known(&mut self, key: usize, credentials: Arc<Credentials>, now: Now) {
        let before = std::mem::replace(&mut self.sources[key].state, State::Known(credentials.clone()));
        let is_first = matches!(before, State::Unread);
        let waiting: Vec<_> = self.sources[key].waiting.iter().copied().collect();
        for entry in waiting {
            self.sources[key].waiting.remove(&entry);
            let due = if is_first { self.due_when_seated(entry, now) } else { None };
            self.join_lane(entry, key, &credentials, due, now);
        }
    }

    fn credentials_failed(&mut self, key: usize, fault: &Unusable, now: Now) {
        let source = &self.sources[key];
        let (kind, text) = explain(source.secret.as_ref(), fault);
        let since = match &source.state {
            State::Failed(before) => before.since,
            State::Unread | State::Known(_) => now.mono,
        };
        self.source_failed(
            key,
            Failure { kind, of_task: false, since, text: text.into(), code: None, request_id: None },
            now,
        );
    }

    /// Everyone who uses a source waits for it, and is told why.
    pub(super) fn source_failed(&mut self, key: usize, failure: Failure, now: Now) {
        let source = &mut self.sources[key];
        source.state = State::Failed(failure.clone());
        source.reads.brought_nothing(now.mono);
        for entry in self.leave_lanes(key) {
            self.wait(entry, key);
            self.judge(entry, &Look { begun: now, seen: Observation::Failed(&failure) }, now);
        }
    }

    /// Takes everyone who uses a source out of the lanes; returns all of its users.
    fn leave_lanes(&mut self, source: usize) -> Vec<EntryKey> {
        let waiting: Vec<_> = self.sources[source].waiting.iter().copied().collect();
        if waiting.len() == self.sources[source].users {
            return waiting;
        }
        let seated = self.entries.iter().filter_map(|(slot, entry)| match entry.seat {
            Seat::Taken { source: used, lane, subject } if used.get() == source => {
                Some((super::key_of(slot, entry), lane.get(), subject))
            }
            Seat::Taken { .. } | Seat::Waiting { .. } | Seat::None => None,
        });
        let seated: Vec<_> = seated.collect();
        for &(key, lane, subject) in &seated {
            self.lanes[lane].unfollow(subject, key);
            self.lanes.close_if_empty(lane);
        }
        waiting.into_iter().chain(seated.into_iter().map(|(key, ..)| key)).collect()
    }

    fn wait(&mut self, key: EntryKey, source: usize) {
        self.entries[key.slot as usize].seat = Seat::Waiting { source: source.into() };
        self.sources[source].waiting.insert(key);
    }

    fn join_lane(
        &mut self,
        key: EntryKey,
        source: usize,
        credentials: &Arc<Credentials>,
        due: Option<Duration>,
        now: Now,
    ) {
        let followed = &self.entries[key.slot as usize].followed;
        let (Ok(spec), Some(region)) = (&followed.spec, followed.region.clone()) else { return };
        let told = followed.status.reported.as_ref().map(|told| told.id.clone());
        let subject = match (&spec.target, told) {
            (Target::Task(task), _) => SubjectId::Task(task.clone()),
            (Target::Newest(_), Some(found)) => SubjectId::Task(found),
            (Target::Newest(newest), None) => SubjectId::Resource(ResourceId::clone(&newest.resource)),
        };
        let identity = self.sources[source].identity(credentials);
        let Settings { account_qps, poll_interval, .. } = self.settings;
        let open = || Lane::new(identity, region.clone(), credentials.clone(), account_qps, poll_interval);
        let lane = self.lanes.of(identity, &region, open);
        let tenant = self.entries[key.slot as usize].tenant;
        let known = known(&self.entries[key.slot as usize].followed.status);
        let subject = self.lanes[lane].follow(subject, Follower { entry: key, tenant }, due, known, now.mono);
        self.entries[key.slot as usize].seat = Seat::Taken { source: source.into(), lane: lane.into(), subject };
        // One who comes while the lane fails need not wait for the next probe to be told so.
        if let Some(trouble) = self.lanes[lane].trouble(tenant).cloned() {
            // Nor need its Secret, which may be the one that is corrected.
            if self.lanes[lane].is_refused() {
                self.sources[source].reads.refused(now.mono);
            }
            self.judge(key, &Look { begun: now, seen: Observation::Failed(&trouble) }, now);
        }
    }

    fn source(&mut self, secret: Option<SecretName>, now: Duration) -> usize {
        if let Some(&key) = self.source_of.get(&secret) {
            return key;
        }
        let source = match (&secret, &self.settings.own_credentials) {
            (None, Some(Own::Keys(keys))) => Source::own(keys.clone()),
            (Some(_), _) | (None, Some(Own::Role) | None) => {
                Source::of(secret.clone(), ReadSchedule::new(self.settings.poll_interval, now))
            }
        };
        let key = self.sources.insert(source);
        self.source_of.insert(secret, key);
        key
    }
}

/// What a stored status tells of an id: whoever was refused when it was written is asked alone, across restarts too.
fn known(status: &Status) -> Known {
    let refused = status.standing.as_ref().is_some_and(|standing| match standing.reason {
        Reason::RequestRejected | Reason::AccessDenied => true,
        Reason::TaskPending
        | Reason::TaskRunning
        | Reason::TaskStatusUnknown
        | Reason::TaskSucceeded
        | Reason::TaskFailed
        | Reason::TaskNotFound
        | Reason::TaskLost
        | Reason::CredentialsNotFound
        | Reason::CredentialsForbidden
        | Reason::CredentialsInvalid
        | Reason::Throttled
        | Reason::CloudUnavailable
        | Reason::Suspended
        | Reason::DeadlineExceeded
        | Reason::PolicyDenied
        | Reason::RegionUnknown
        | Reason::InvalidSpec => false,
    });
    Known { refused, answered: status.reported.is_some() }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::{Value, json};

    use super::super::tests::{World, credentials, secs, settings};
    use super::super::{SecretFault, Settings};
    use crate::credentials::Credentials;
    use crate::ecs::ErrorKind;

    type Secrets = fn(&str, Duration) -> Option<Result<Credentials, SecretFault>>;

    /// A world in which the cloud refuses one pair of keys for ever.
    fn refusing_wrong_keys(interval: u64, secrets: Secrets) -> World {
        let mut world = World::with(Settings { poll_interval: secs(interval), ..settings() });
        world.secrets = secrets;
        world.cloud = Box::new(|call| if call.key == "wrong" { Err(ErrorKind::CredentialsInvalid) } else { Ok(()) });
        world
    }

    /// Creates an ImageTask that names a Secret.
    fn create(world: &mut World, id: &str, secret: &str, region: &str) {
        world.tasks.insert(id.to_owned(), "Running");
        let spec = json!({"taskId": id, "region": region, "credentialsRef": {"name": secret}});
        world.store(id, spec, Value::Null);
    }

    /// The seconds at which a Secret was read.
    fn reads(world: &World, secret: &str) -> Vec<u64> {
        world.reads.iter().filter(|(_, read)| read == secret).map(|(at, _)| at.as_secs()).collect()
    }

    /// When the cloud was first asked with these keys.
    fn used(world: &World, key: &str) -> Duration {
        world.calls.iter().find(|call| call.key == key).expect("they were used").at
    }

    #[test]
    fn a_secret_that_is_corrected_soon_after_the_start_is_used_within_two_intervals_and_the_pause() {
        let corrected = 5;
        for (interval, pause, read) in [(1, 4, &[0, 1, 3, 7][..]), (10, 10, &[0, 10])] {
            let secrets: Secrets = |_, now| Some(Ok(credentials(if now < secs(5) { "wrong" } else { "right" })));
            let mut world = refusing_wrong_keys(interval, secrets);
            create(&mut world, "t-1", "keys", "cn-beijing");
            world.run(secs(200));
            let used = used(&world, "right");
            assert!(used <= secs(corrected + 2 * interval + pause), "every {interval} s: used at {used:?}");
            assert_eq!(reads(&world, "keys"), read);
            assert_eq!(world.told("t-1"), ["CredentialsInvalid", "TaskRunning"]);
        }
    }

    #[test]
    fn no_refusal_of_a_lane_postpones_a_reading_of_its_secret() {
        let mut world = refusing_wrong_keys(10, |_, _| Some(Ok(credentials("wrong"))));
        for n in 0..300 {
            // A new lane is refused every second, and every lane again and again.
            create(&mut world, &format!("t-{n}"), "keys", &format!("r-{n}"));
            world.run(secs(1));
        }
        assert_eq!(reads(&world, "keys"), [0, 10, 30, 70, 130, 190, 250]);
    }

    #[test]
    fn rotated_keys_are_used_at_once_though_the_next_probe_of_the_refused_ones_is_minutes_away() {
        let secrets: Secrets = |_, now| Some(Ok(credentials(if now < secs(1_000) { "wrong" } else { "right" })));
        let mut world = refusing_wrong_keys(10, secrets);
        create(&mut world, "t-1", "keys", "cn-beijing");
        world.run(secs(1_100));
        let probes: Vec<_> = world.calls.iter().filter(|call| call.key == "wrong").map(|call| call.at).collect();
        let last = probes.last().expect("there were probes");
        let (read, _) = world.reads.iter().find(|(at, _)| *at >= secs(1_000)).expect("it is read again");
        let used = used(&world, "right");
        assert!(*last < secs(1_000) && *read <= secs(1_060) && used < *last + secs(300), "{probes:?}");
        assert!(used - *read <= Duration::from_millis(250), "read at {read:?}, used at {used:?}");
    }

    #[test]
    fn keys_that_the_cloud_accepts_again_heal_with_a_probe_and_are_then_read_routinely() {
        let mut world = refusing_wrong_keys(10, |_, _| Some(Ok(credentials("wrong"))));
        create(&mut world, "t-1", "keys", "cn-beijing");
        world.run(secs(1_000));
        world.cloud = Box::new(|_| Ok(()));
        world.run(secs(301));
        assert_eq!(world.told("t-1").last(), Some(&"TaskRunning"));
        world.run(secs(60));
        world.reads.clear();
        world.run(secs(1_200));
        assert_eq!(reads(&world, "keys").len(), 4);
    }

    #[test]
    fn a_secret_with_keys_that_are_refused_already_is_read_again_in_the_next_interval() {
        let secrets: Secrets =
            |name, now| Some(Ok(credentials(if name == "late" && now >= secs(1_005) { "right" } else { "wrong" })));
        let mut world = refusing_wrong_keys(10, secrets);
        create(&mut world, "t-1", "keys", "cn-beijing");
        world.run(secs(1_000));
        create(&mut world, "t-2", "late", "cn-beijing");
        world.run(secs(15));
        assert_eq!(
            (reads(&world, "late"), world.told("t-2")),
            (vec![1_000, 1_010], vec!["CredentialsInvalid", "TaskRunning"])
        );
    }

    #[test]
    fn a_good_secret_is_read_no_more_often_once_the_api_server_answers_again() {
        let secrets: Secrets = |_, now| {
            let fails = (secs(300)..secs(400)).contains(&now);
            Some(if fails { Err(SecretFault::Unreadable) } else { Ok(credentials("right")) })
        };
        let mut world = refusing_wrong_keys(10, secrets);
        create(&mut world, "t-1", "keys", "cn-beijing");
        world.run(secs(1_500));
        assert_eq!(reads(&world, "keys"), [0, 300, 310, 330, 370, 430, 730, 1_030, 1_330]);
    }
}
