//! `track`: creates the ImageTask of a task, or finds that it is there already.

use std::time::Duration;

use anyhow::{anyhow, bail};
use imagetask_operator::api::{CredentialsRef, ImageTask, ImageTaskSpec, ImageTaskView};
use imagetask_operator::clock::Second;
use imagetask_operator::spec::{InvalidSpec, Newest, Spec, Target};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::api::PostParams;
use kube::core::{ApiResource, DynamicObject};
use serde_json::json;

use crate::cli::Track;
use crate::cluster::Cluster;
use crate::name::Name;
use crate::span::exact;

/// What is asked for: the ImageTask, and its name.
pub struct Wish {
    name: Name,
    target: Target,
    flags: Track,
}

/// How it was met.
pub enum Met {
    /// It was created.
    Created(Box<DynamicObject>),
    /// It was there.
    Present(Box<DynamicObject>),
}

impl Wish {
    /// Reads the flags.
    ///
    /// # Errors
    ///
    /// When no name can be made of the id.
    pub fn of(flags: Track) -> anyhow::Result<Self> {
        let target = match (&flags.task, &flags.image, &flags.type_) {
            (Some(id), _, _) => Target::Task(id.clone()),
            (None, Some(resource), Some(type_)) => {
                let started_after = flags.started_after;
                Target::Newest(Box::new(Newest {
                    resource: resource.clone(),
                    type_: type_.as_str().into(),
                    started_after,
                }))
            }
            (None, _, _) => bail!("name a task: give TASK_ID, or --image and --type"),
        };
        let name = match &flags.name {
            Some(name) => name.clone(),
            None => Name::after(&target).map_err(|problem| anyhow!(problem))?,
        };
        Ok(Self { name, target, flags })
    }

    /// Name of the ImageTask.
    pub fn name(&self) -> &Name {
        &self.name
    }

    /// Creates it, unless it is there.
    ///
    /// # Errors
    ///
    /// When another is there under its name, or the cluster refuses it.
    pub async fn meet(&self, cluster: &Cluster) -> anyhow::Result<Met> {
        let kind = ApiResource::erase::<ImageTask>(&());
        let object = DynamicObject::new(self.name.as_str(), &kind).data(json!({"spec": self.spec()}));
        let tasks = cluster.whole_tasks();
        let created = async {
            match tasks.create(&PostParams::default(), &object).await {
                Err(kube::Error::Api(status)) if status.is_already_exists() => Ok(None),
                created => created.map(Some),
            }
        };
        if let Some(object) = cluster.ask(created).await? {
            return Ok(Met::Created(Box::new(object)));
        }
        let present = cluster.ask(tasks.get(self.name.as_str())).await?;
        self.accept(&present.clone().try_parse()?)?;
        Ok(Met::Present(Box::new(present)))
    }

    fn spec(&self) -> ImageTaskSpec {
        let Track { task, image, type_, started_after, region, credentials, timeout, .. } = &self.flags;
        ImageTaskSpec {
            task_id: task.as_ref().map(ToString::to_string),
            resource_id: image.as_ref().map(ToString::to_string),
            type_: type_.clone(),
            started_after: started_after.map(|moment| Time(moment.timestamp())),
            region: region.as_ref().map(ToString::to_string),
            credentials_ref: credentials.clone().map(|name| CredentialsRef { name }),
            suspend: None,
            timeout: timeout.map(exact),
        }
    }

    /// Whether the ImageTask of this name is what is asked for; a flag that is not given asks for nothing.
    fn accept(&self, present: &ImageTaskView) -> anyhow::Result<()> {
        let name = self.name.as_str();
        let spec = Spec::parse(&present.spec).map_err(|error| match error {
            InvalidSpec::BrokenRule(_) => anyhow!("{name} is there already, but {error}"),
            InvalidSpec::UnknownField(field) => {
                anyhow!(
                    "{name} is there already, with {field}, which this version does not know: upgrade kubectl imagetask"
                )
            }
        })?;
        let Track { started_after, region, credentials, timeout, .. } = &self.flags;
        if !is_same(&spec.target, &self.target) {
            let follows = target(&spec.target);
            bail!("{name} is there already and follows {follows}: choose another name with --name");
        }
        let differs = |wanted: bool, flag: &str, is: String| {
            if wanted {
                Err(anyhow!("{name} is there already, {is}: leave out {flag}, or delete it first"))
            } else {
                Ok(())
            }
        };
        let began = began(&spec.target);
        let others = started_after.is_some() && *started_after != began;
        let of_any_time = || "without startedAfter".to_owned();
        let since = began.map_or_else(of_any_time, |it| format!("with startedAfter {}", it.timestamp()));
        differs(others, "--started-after", since)?;
        let elsewhere = region.is_some() && *region != spec.region;
        differs(
            elsewhere,
            "--region",
            spec.region.map_or("with the operator's region".into(), |it| format!("in {it}")),
        )?;
        let others = credentials.is_some() && credentials.as_deref() != spec.credentials.as_deref();
        let keys =
            spec.credentials.map_or("with the operator's own keys".into(), |it| format!("with the keys of {it}"));
        differs(others, "--credentials", keys)?;
        let stored = spec.timeout.map(|it| it.duration().unsigned_abs());
        let longer = timeout.is_some() && *timeout != stored;
        let spent = |it: Duration| format!("with the timeout {}", exact(it));
        differs(longer, "--timeout", stored.map_or("without a timeout".into(), spent))
    }
}

fn target(target: &Target) -> String {
    match target {
        Target::Task(id) => format!("task {id}"),
        Target::Newest(newest) => format!("the newest {} of {}", newest.type_, newest.resource),
    }
}

/// Whether both name the same task, or the same type on the same image, whenever it began.
fn is_same(a: &Target, b: &Target) -> bool {
    match (a, b) {
        (Target::Newest(a), Target::Newest(b)) => (&a.resource, &a.type_) == (&b.resource, &b.type_),
        (Target::Task(_), _) | (_, Target::Task(_)) => a == b,
    }
}

/// Since when a task may have begun to be the one that is followed.
fn began(target: &Target) -> Option<Second> {
    match target {
        Target::Task(_) => None,
        Target::Newest(newest) => newest.started_after,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{Cli, Command};
    use clap::Parser;
    use serde_json::Value;

    fn wish(arguments: &str) -> Wish {
        let words = ["kubectl-imagetask", "track"].into_iter().chain(arguments.split_whitespace());
        let Command::Track(flags) = Cli::try_parse_from(words).unwrap().command else { panic!("track is track") };
        Wish::of(flags).unwrap()
    }

    fn present(spec: Value) -> ImageTaskView {
        serde_json::from_value(json!({"metadata": {"name": "t-1"}, "spec": spec})).unwrap()
    }

    #[test]
    fn every_flag_reaches_the_spec() {
        let wish = wish("t-1 --region cn-beijing --credentials keys --timeout 90m");
        let spec = json!({
            "taskId": "t-1", "region": "cn-beijing", "credentialsRef": {"name": "keys"}, "timeout": "1h30m",
        });
        assert_eq!(serde_json::to_value(wish.spec()).unwrap(), spec);
        let wish = self::wish("--image image-1 --type CopyImage --name copy");
        let spec = json!({"resourceId": "image-1", "type": "CopyImage"});
        assert_eq!((serde_json::to_value(wish.spec()).unwrap(), wish.name.as_str()), (spec, "copy"));
        let wish = self::wish("--image image-1 --type PreheatImage --started-after 2026-01-31T09:00:00.5+08:00");
        let spec = json!({"resourceId": "image-1", "type": "PreheatImage", "startedAfter": "2026-01-31T01:00:00Z"});
        assert_eq!(serde_json::to_value(wish.spec()).unwrap(), spec);
    }

    #[test]
    fn what_is_there_already_is_accepted_when_it_is_the_same() {
        let there = present(json!({
            "taskId": "t-1", "region": "cn-beijing", "credentialsRef": {"name": "keys"}, "timeout": "90m",
        }));
        for same in ["t-1", "t-1 --region cn-beijing --credentials keys --timeout 1h30m"] {
            assert!(wish(same).accept(&there).is_ok(), "{same}");
        }
        let refused = [
            ("t_1", "t-1 is there already and follows task t-1: choose another name with --name"),
            ("t-1 --region cn-shanghai", "t-1 is there already, in cn-beijing: leave out --region, or delete it first"),
            (
                "t-1 --credentials others",
                "t-1 is there already, with the keys of keys: leave out --credentials, or delete it first",
            ),
            (
                "t-1 --timeout 2h",
                "t-1 is there already, with the timeout 1h30m: leave out --timeout, or delete it first",
            ),
            (
                "--image image-1 --type CopyImage --name t-1",
                "t-1 is there already and follows task t-1: choose another name with --name",
            ),
        ];
        for (other, complaint) in refused {
            assert_eq!(wish(other).accept(&there).unwrap_err().to_string(), complaint);
        }
    }

    #[test]
    fn what_is_there_already_for_an_image_is_accepted_when_it_picks_from_the_same_moment_on() {
        let since = present(json!({"resourceId": "i", "type": "CopyImage", "startedAfter": "2026-01-31T09:00:00Z"}));
        let any = present(json!({"resourceId": "i", "type": "CopyImage"}));
        let track = |more: &str| wish(&format!("--image i --type CopyImage --name t-1 {more}"));
        let at_nine = "--started-after 2026-01-31T17:00:00+08:00";
        assert!(track("").accept(&any).is_ok() && track("").accept(&since).is_ok());
        assert!(track(at_nine).accept(&since).is_ok());
        let complaint = |wish: Wish, there: &ImageTaskView| wish.accept(there).unwrap_err().to_string();
        assert_eq!(
            complaint(track(at_nine), &any),
            "t-1 is there already, without startedAfter: leave out --started-after, or delete it first"
        );
        assert_eq!(
            complaint(track("--started-after 2026-01-31T09:00:01Z"), &since),
            "t-1 is there already, with startedAfter 2026-01-31T09:00:00Z: leave out --started-after, or delete it first"
        );
        let later = present(json!({"taskId": "t-1", "x": 1}));
        assert_eq!(
            complaint(wish("t-1"), &later),
            "t-1 is there already, with spec.x, which this version does not know: upgrade kubectl imagetask"
        );
    }
}
