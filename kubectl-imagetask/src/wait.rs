//! `wait`: follows the watch until the verdict falls, time is up, or the user has had enough.

use std::pin::pin;
use std::time::Duration;

use anyhow::Context as _;
use futures::{Stream, StreamExt};
use imagetask_operator::api::ImageTaskView;
use imagetask_operator::clock::{Clock, Now};
use imagetask_operator::telemetry::chain;
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, Config, Event, watcher};
use serde::Serialize;
use tokio::time::{MissedTickBehavior, interval, timeout};

use crate::choose;
use crate::cli::Output;
use crate::cluster::{Cluster, WATCH_SECONDS};
use crate::exit::Exit;
use crate::outage::Outage;
use crate::printed;
use crate::screen::Screen;
use crate::verdict::{Patience, verdict};
use crate::watched::Watched;
use crate::words;

/// Between two pictures; the seconds on them change.
const TICK: Duration = Duration::from_millis(200);

/// How long, and for what.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// How long a failure is borne.
    pub patience: Patience,
    /// Longest time to wait.
    pub timeout: Option<Duration>,
}

/// Waits for objects that are there.
pub async fn wait(
    cluster: &Cluster,
    objects: &[ImageTaskView],
    limits: Limits,
    output: Output,
    clock: Clock,
) -> anyhow::Result<Exit> {
    let names: Vec<&str> = objects.iter().map(choose::name).collect();
    let mut config = Config::default().timeout(WATCH_SECONDS);
    config.field_selector = choose::field(names.iter().copied());
    let events = watcher(cluster.tasks(), config).default_backoff();
    let mut waiting = Waiting {
        watched: Watched::new(objects, clock.now().mono),
        outage: Outage::default(),
        screen: Screen::of(output),
        patience: limits.patience,
        clock,
    };
    waiting.begin()?;
    let exit = tokio::select! {
        exit = waiting.until_verdict(events) => exit?,
        () = expiry(limits.timeout) => Exit::Timeout,
        interrupt = tokio::signal::ctrl_c() => interrupt.map(|()| Exit::Interrupted)?,
    };
    let Waiting { watched, screen, .. } = waiting;
    let now = clock.now();
    screen.close(&watched, &words::last(&watched, exit, limits.timeout), now).context(UNREAD)?;
    if output == Output::Json {
        printed::json(&Document::of(cluster, &watched, exit, now))?;
    }
    Ok(exit)
}

const UNREAD: &str = "the output cannot be written";

struct Waiting {
    watched: Watched,
    outage: Outage,
    screen: Screen,
    patience: Patience,
    clock: Clock,
}

impl Waiting {
    fn begin(&mut self) -> anyhow::Result<()> {
        let names: Vec<String> = self.watched.tasks().map(|(name, _)| name.to_owned()).collect();
        let now = self.clock.now();
        self.screen.news(&names, &self.watched, now).context(UNREAD)?;
        self.screen.tick(&self.watched, &self.outage, now);
        Ok(())
    }

    async fn until_verdict(
        &mut self,
        events: impl Stream<Item = watcher::Result<Event<ImageTaskView>>>,
    ) -> anyhow::Result<Exit> {
        let mut events = pin!(events);
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            if let Some(exit) = verdict(self.watched.tasks().map(|(_, task)| task.outlook()), self.patience) {
                return Ok(exit);
            }
            tokio::select! {
                event = events.next() => self.take_in(event.expect("kube's watcher goes on for ever")).context(UNREAD)?,
                _ = ticks.tick() => self.screen.tick(&self.watched, &self.outage, self.clock.now()),
            }
        }
    }

    fn take_in(&mut self, event: watcher::Result<Event<ImageTaskView>>) -> std::io::Result<()> {
        let now = self.clock.now();
        match event {
            Ok(event) => {
                // The beginning of a list tells nothing yet: it comes before the question is asked.
                if !matches!(event, Event::Init) {
                    self.outage.heard();
                }
                let news = self.watched.apply(&event, now.mono);
                self.screen.news(&news, &self.watched, now)
            }
            Err(error) => match self.outage.error(chain(&error), now.mono) {
                true => self.screen.outage(&self.outage, now),
                false => Ok(()),
            },
        }
    }
}

async fn expiry(after: Option<Duration>) {
    let never = std::future::pending::<()>();
    match after {
        // That it is over is all that it can tell.
        Some(after) => drop(timeout(after, never).await),
        None => never.await,
    }
}

/// What `-o json` prints.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Document<'a> {
    result: &'static str,
    exit_code: u8,
    image_tasks: Vec<Item<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Item<'a> {
    namespace: &'a str,
    name: &'a str,
    standing: &'static str,
    deleted: bool,
    phase: Option<&'a str>,
    process: Option<u8>,
    reason: Option<&'a str>,
    message: Option<&'a str>,
    elapsed_seconds: u64,
}

impl<'a> Document<'a> {
    fn of(cluster: &'a Cluster, watched: &'a Watched, exit: Exit, now: Now) -> Self {
        let items = watched.tasks().map(|(name, task)| Item {
            namespace: &cluster.namespace,
            name,
            standing: task.told.standing.word(),
            deleted: task.deleted,
            phase: task.told.phase.as_deref(),
            process: task.told.percent,
            reason: task.told.cause.as_ref().map(|cause| cause.reason.as_str()),
            message: task.told.cause.as_ref().map(|cause| cause.message.as_str()),
            elapsed_seconds: words::elapsed(&task.told, now.wall.shown()).as_secs(),
        });
        Self { result: exit.word(), exit_code: exit.code(), image_tasks: items.collect() }
    }
}
