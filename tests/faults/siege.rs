//! Tenants who share an account with honest ones, and what they store and do to be in their way.

use std::time::Duration;

use imagetask_operator::api::{CredentialsRef, ImageTaskSpec, RECONCILE_REQUESTED_AT};
use serde_json::json;
use simulator::{Fault, Simulator, Task};

use crate::scenario::{Act, Key, Keys, Scenario, TROUBLE};

/// The access key that all of them have, and nobody else: no fault strikes it as a whole.
pub(crate) const ACCOUNT: &str = "ak-shared";

/// Namespaces of honest ImageTasks.
pub(crate) const HONEST: [&str; 2] = ["honest-0", "honest-1"];

/// An honest namespace whose Secret is wrong at first.
const CORRECTED: &str = "corrected";

/// Namespaces of ImageTasks whose ids the cloud refuses, or whose Secrets are no good.
pub(crate) const LOUD: [&str; 4] = ["loud-0", "loud-1", "loud-2", "loud-3"];

/// The secret key of the account, and what stands in the Secrets that are wrong.
const SECRET: &str = "secret";
const WRONG: &str = "wrong";

/// How long it lasts: on after the trouble, so that nothing but the attackers is left that could delay anybody.
const END: u64 = 60_000;

/// Whether everything in a namespace is an attacker's.
pub(crate) fn is_loud(namespace: &str) -> bool {
    LOUD.iter().any(|loud| namespace.ends_with(loud))
}

/// Whether a namespace is one of honest ImageTasks whose account the attackers share.
pub(crate) fn is_honest(namespace: &str) -> bool {
    HONEST.iter().any(|honest| namespace.ends_with(honest))
}

impl Scenario {
    /// Lets everybody come, and the operator be stopped and started beside them.
    pub(crate) fn besiege(&mut self) {
        self.namespaces.extend(HONEST.into_iter().chain([CORRECTED]).chain(LOUD));
        self.accounts.push((ACCOUNT, SECRET));
        for namespace in HONEST.into_iter().chain(LOUD) {
            self.secrets.push(Keys::of(namespace, ACCOUNT, ACCOUNT, SECRET));
        }
        // Attackers come first, so that theirs are the oldest of all.
        self.come_and_go(LOUD[0]);
        self.refused(LOUD[0], "t", 20, 0);
        self.refused(LOUD[1], "t", 15, 10_000);
        let flood = self.dice().u64(5_000..45_000);
        self.refused(LOUD[1], "flood", 60, flood);
        self.broken(LOUD[2]);
        self.endless(LOUD[2]);
        self.no_good_secrets(LOUD[3]);
        self.poke(LOUD[0]);
        for namespace in HONEST {
            (0..20).for_each(|n| self.honest(namespace, &format!("t-{namespace}-{n:02}")));
            (0..2).for_each(|n| self.honest_image(namespace, &format!("image-{namespace}-{n}")));
        }
        self.corrected();
        self.stops();
    }

    fn honest(&mut self, namespace: &'static str, id: &str) {
        self.long(Task::export(id, &format!("image-of-{id}")));
        self.come(namespace, id, by_id(id), 20_000);
    }

    fn honest_image(&mut self, namespace: &'static str, image: &str) {
        let old = Task::copy(&format!("t-{image}-old"), image).created_at("2021-05-06T00:00:00+08:00");
        self.tasks.push(old.succeeded().account(ACCOUNT));
        self.long(Task::copy(&format!("t-{image}"), image));
        self.come(namespace, image, by_image(image), 20_000);
    }

    /// A Secret that is missing or wrong at first, and what is asked with it.
    fn corrected(&mut self) {
        if self.dice().bool() {
            self.secrets.push(Keys::of(CORRECTED, ACCOUNT, ACCOUNT, WRONG));
        }
        for n in 0..6 {
            let id = format!("t-{CORRECTED}-{n}");
            self.long(Task::export(&id, &format!("image-of-{id}")));
            self.come(CORRECTED, &id, by_id(&id), 2_000);
        }
        self.at(3_000, 15_000, Act::Secret(Keys::of(CORRECTED, ACCOUNT, ACCOUNT, SECRET)));
    }

    /// Ids that are refused as long as the siege lasts, in one of the ways in which the cloud refuses.
    fn refused(&mut self, namespace: &'static str, name: &str, count: usize, from: u64) {
        for n in 0..count {
            let id = format!("{name}-{namespace}-{n:02}");
            let refusals = [
                Fault::code("InvalidTask.Refused"),
                Fault::code("AccessDenied"),
                Fault::code_with_status("InvalidTask.NotFound", 404),
            ];
            let refusal = self.dice().choice(refusals).expect("there are some");
            self.stand(refusal.only_id(&id));
            self.at(from, from + 500, create(namespace, &id, by_id(&id)));
        }
    }

    /// Ids that are refused for a while, answered for a while, and so on.
    fn come_and_go(&mut self, namespace: &'static str) {
        for n in 0..4 {
            let id = format!("go-{namespace}-{n}");
            self.tasks.push(Task::export(&id, &format!("image-of-{id}")).running(10).account(ACCOUNT));
            self.at(0, 0, create(namespace, &id, by_id(&id)));
            let mut now = 0;
            while now < END {
                let lasts = self.dice().u64(500..6_000).min(END - now);
                self.order(now, lasts, Fault::code("InvalidTask.Refused").only_id(&id));
                now += lasts + self.dice().u64(500..6_000);
            }
        }
    }

    /// Ids of which each breaks the answer to whatever is asked with it.
    fn broken(&mut self, namespace: &'static str) {
        let page = "<html><body>a proxy on the way</body></html>";
        let mut breaks = vec![
            Fault::status(500),
            Fault::garbled(),
            Fault::oversized(2 << 20),
            Fault::text(200, page),
            Fault::text(403, page),
            Fault::text(404, page),
        ];
        self.dice().shuffle(&mut breaks);
        for (n, fault) in breaks.into_iter().take(3).enumerate() {
            let id = format!("t-{namespace}-{n}");
            self.tasks.push(Task::export(&id, &format!("image-of-{id}")).running(10).account(ACCOUNT));
            self.stand(fault.only_id(&id));
            self.come(namespace, &id, by_id(&id), 10_000);
        }
    }

    /// An image whose pages never end.
    fn endless(&mut self, namespace: &'static str) {
        let image = format!("image-{namespace}");
        self.tasks.push(Task::copy(&format!("t-{image}"), &image).running(10).account(ACCOUNT));
        self.stand(Fault::endless_pages().only_id(&image));
        self.come(namespace, &image, by_image(&image), 10_000);
    }

    /// Secrets that are missing, that name a key which nobody has, and that name the account's key with another secret.
    fn no_good_secrets(&mut self, namespace: &'static str) {
        self.secrets.push(Keys::of(namespace, "unknown", "ak-unknown", SECRET));
        self.secrets.push(Keys::of(namespace, "wrong", ACCOUNT, WRONG));
        for name in ["missing", "unknown", "wrong"] {
            for n in 0..4 {
                let id = format!("t-{namespace}-{name}-{n}");
                let credentials_ref = Some(CredentialsRef { name: name.to_owned() });
                self.come(namespace, &id, ImageTaskSpec { credentials_ref, ..by_id(&id) }, 10_000);
            }
        }
    }

    /// Changes the annotations of refused ImageTasks, again and again.
    fn poke(&mut self, namespace: &'static str) {
        let from = self.dice().u64(2_000..40_000);
        for (round, n) in (0..12_u64).flat_map(|round| (0..10).map(move |n| (round, n))) {
            let change = json!({"metadata": {"annotations": {RECONCILE_REQUESTED_AT: round.to_string()}}});
            let at = from + round * 700;
            self.at(at, at, Act::Change(Key::of(namespace, &format!("t-{namespace}-{n:02}")), change));
        }
    }

    /// Stops of the process, some of them about when it is killed; and a start when nothing but the attackers is left.
    fn stops(&mut self) {
        let calm = u64::try_from(TROUBLE.as_millis()).expect("it is short");
        for (from, to) in [(4_000, 20_000), (20_000, 34_000), (calm, 50_000)] {
            let lasts = self.dice().u64(500..6_000);
            let begun = self.at(from, to, Act::Stop);
            self.at(begun + lasts, begun + lasts, Act::Continue);
        }
        self.at(calm + 2_000, calm + 6_000, Act::Kill);
        self.at(END, END, Act::Continue);
    }

    /// A task of the account that goes on for most of the siege, or for ever.
    fn long(&mut self, task: Task) {
        let mut task = task.account(ACCOUNT);
        let mut now = 0;
        for percent in [20, 50, 80] {
            now += self.dice().u64(2_000..15_000);
            task = task.after(Duration::from_millis(now)).running(percent);
        }
        if self.dice().bool() {
            now += self.dice().u64(2_000..15_000);
            task = task.after(Duration::from_millis(now));
            task = if self.dice().bool() { task.succeeded() } else { task.failed() };
        }
        self.tasks.push(task);
    }

    /// An ImageTask that comes some time before `to`; every other is there from the start.
    fn come(&mut self, namespace: &'static str, name: &str, spec: ImageTaskSpec, to: u64) {
        let to = if self.dice().bool() { 0 } else { to };
        self.at(0, to, create(namespace, name, spec));
    }
}

fn create(namespace: &'static str, name: &str, spec: ImageTaskSpec) -> Act {
    Act::Create(Key::of(namespace, name), spec)
}

fn by_id(id: &str) -> ImageTaskSpec {
    ImageTaskSpec {
        task_id: Some(id.to_owned()),
        region: Some(Simulator::REGION.to_owned()),
        credentials_ref: Some(CredentialsRef { name: ACCOUNT.to_owned() }),
        ..ImageTaskSpec::default()
    }
}

fn by_image(image: &str) -> ImageTaskSpec {
    let type_ = Some("CopyImage".to_owned());
    ImageTaskSpec { task_id: None, resource_id: Some(image.to_owned()), type_, ..by_id(image) }
}
