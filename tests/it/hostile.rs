//! Manifests of somebody who means harm (`tests/hostile/`): what the API server says to each, what the operator tells,
//! and that nobody else notices.

mod cases;
mod neighbours;

use std::collections::BTreeSet;

use futures::{StreamExt, stream};
use imagetask_operator::api::crd;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::JSONSchemaProps;
use kube::api::PostParams;
use kube::core::DynamicObject;
use kube::runtime::wait::await_condition;
use kube::{Api, Resource};
use serde_json::json;
use simulator::{Simulator, Task};

use crate::PROGRAM;
use crate::schema::{apply, changed, field};
use crate::world::chart::for_namespaces;
use crate::world::{ControlPlane, PATIENCE, Process, World, get};
use cases::{Case, Expected, Names};
use imagetask_operator::api::ImageTask;

/// Objects of the flood: with the rest more than one list page, and more ids than 20 calls hold.
const FLOOD: usize = 2_000;

/// Requests to the API server at once.
const AT_ONCE: usize = 16;

/// What belongs to another tenant, and must show nowhere.
const OF_THE_VICTIM: [&str; 3] = ["image-victim", "AKVICTIM", "victim-secret"];

/// The tenant who means harm, and the server that nobody may call.
struct Attack {
    world: World,
    trap: Simulator,
    names: Names,
}

#[tokio::test]
async fn hostile_manifests_harm_nobody() {
    let attack = Attack::begin().await;
    let stored: Vec<_> = cases::of(&["stored"]);
    attack.submit(&stored).await;
    apply(&attack.world, &crd()).await;
    let operator = attack.operator().await;
    attack.world.create("t-victim", cases::with_keys("t-victim", "victim-keys")).await;
    attack.until_told(&stored).await;

    let alone = neighbours::round(&attack.world, "alone").await;
    let cases = cases::of(&["ids", "regions", "credentials", "timeouts", "moments", "metadata", "shapes", "status"]);
    attack.submit(&cases).await;
    attack.flood().await;
    attack.forge(&cases).await;
    let beside = neighbours::round(&attack.world, "beside").await;
    attack.until_told(&cases).await;

    eprintln!("{} cases and {FLOOD} more; {alone:?} alone, {beside:?} beside them", stored.len() + cases.len());
    beside.is_as_good_as(alone);
    attack.asked_nothing_strange();
    attack.told_nothing_of_the_victim().await;
    is_healthy(&operator).await;
    // Told once is told for good: nothing that was let in heals or hurts with time.
    attack.until_told(&cases).await;
}

impl Attack {
    /// Two tenants on an API server whose CRD has no rules for the spec yet.
    async fn begin() -> Self {
        let plane = Box::leak(Box::new(ControlPlane::start().await));
        plane.install(&changed(|root| *field(root, "spec") = anything())).await;
        let world = World::on(plane, Simulator::start().await).await;
        world.cloud.add_account("AKVICTIM", "victim-secret");
        world.cloud.add_account("AKHOSTILE", "hostile-secret");
        world.cloud.put(Task::export("t-victim", "image-victim").account("AKVICTIM").running(30));
        world.cloud.put(Task::copy("t-running", "image-running").running(30));
        let keys = json!({"VOLCENGINE_ACCESS_KEY": "AKVICTIM", "VOLCENGINE_SECRET_KEY": "victim-secret"});
        world.secret("victim-keys", keys).await;
        let trap = Simulator::start().await;
        let host = trap.url().trim_start_matches("http://").to_owned();
        let own = format!("{}-hostile", world.namespace);
        world.create_namespace(&own).await;
        world.install(&for_namespaces(&world.namespace, &[&world.namespace, &own]).await).await;
        let names = Names { own, honest: world.namespace.clone(), trap: host };
        Self { world, trap, names }
    }

    /// The operator, which lends its own credentials to both tenants.
    async fn operator(&self) -> Process {
        let Names { own, honest, .. } = &self.names;
        let namespaces = format!("--namespace={honest},{own}");
        let lent = format!("--default-credentials-namespaces={honest},{own}");
        let beat = format!("--poll-interval={}s", neighbours::BEAT.as_secs());
        self.world.process(PROGRAM, &[&namespaces, &lent, &beat, "--region=cn-beijing"], &[]).await
    }

    fn tasks(&self) -> Api<DynamicObject> {
        let resource = kube::core::ApiResource::erase::<ImageTask>(&());
        Api::namespaced_with(self.world.client.clone(), &self.names.own, &resource)
    }

    /// Gives every case to the API server, and holds what it says against what stands beside the case.
    async fn submit(&self, cases: &[Case]) {
        let submitted = stream::iter(cases).map(|case| self.submit_one(case)).buffer_unordered(AT_ONCE);
        let wrong: Vec<String> = submitted.filter_map(async |wrong| wrong).collect().await;
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }

    async fn submit_one(&self, case: &Case) -> Option<String> {
        if let Some(data) = case.secret(&self.names) {
            let object = json!({"metadata": {"name": case.name()}, "stringData": data});
            let api: Api<Secret> = Api::namespaced(self.world.client.clone(), &self.names.own);
            api.create(&PostParams::default(), &serde_json::from_value(object).unwrap()).await.unwrap();
        }
        let request = http::Request::post(ImageTask::url_path(&(), Some(&self.names.own)))
            .header(http::header::CONTENT_TYPE, case.content_type())
            .body(case.body(&self.names))
            .unwrap();
        let answer = self.world.client.request_text(request).await.map_err(|error| error.to_string());
        case.contradiction(&answer)
    }

    /// Creates many objects whose ids do not exist.
    async fn flood(&self) {
        let api = self.tasks();
        let object = |n: usize| {
            let resource = kube::core::ApiResource::erase::<ImageTask>(&());
            let mut object = DynamicObject::new("", &resource).data(json!({"spec": {"taskId": format!("x-{n}")}}));
            object.metadata.name = None;
            object.metadata.generate_name = Some("flood-".into());
            object
        };
        let created = stream::iter(0..FLOOD).map(|n| {
            let (api, object) = (&api, object(n));
            async move { api.create(&PostParams::default(), &object).await }
        });
        let created = created.buffer_unordered(AT_ONCE);
        created.for_each(async |created| drop(created.unwrap())).await;
    }

    /// Writes the forged statuses, once the operator has told its own.
    async fn forge(&self, cases: &[Case]) {
        for case in cases {
            let Some(forged) = case.forged(&self.names) else { continue };
            self.until(&case.name(), "seen", |object| object.data["status"]["observedGeneration"] != json!(-1)).await;
            let forged = kube::api::Patch::Merge(json!({"status": forged}));
            self.tasks().patch_status(&case.name(), &kube::api::PatchParams::default(), &forged).await.unwrap();
        }
    }

    /// Waits until every case that was let in is told as it must be.
    async fn until_told(&self, cases: &[Case]) {
        let forgiven = self.world.forgives_broken_rules().await;
        for case in cases {
            match case.expected() {
                Expected::Told(_) if case.breaks_rule && !forgiven => {
                    self.is_untold(case, "this API server is old").await
                }
                Expected::Told(told) => self.until(&case.name(), told, |object| cases::told(object) == told).await,
                Expected::Untold(why) => self.is_untold(case, why).await,
                Expected::Refused(_) => {}
            }
        }
    }

    async fn is_untold(&self, case: &Case, why: &str) {
        let status = self.kubectl(&["get", "imagetask", &case.name(), "-o=jsonpath={.status}"]).await;
        assert_eq!(status, r#"{"observedGeneration":-1}"#, "{}, although {why}", case.name());
    }

    async fn until(&self, name: &str, what: &str, is: impl Fn(&DynamicObject) -> bool) {
        let reached = await_condition(self.tasks(), name, |object: Option<&DynamicObject>| object.is_some_and(&is));
        if tokio::time::timeout(PATIENCE, reached).await.is_err() {
            let object = self.tasks().get(name).await;
            panic!("{name} is not {what}: {:?}", object.map(|object| object.data.to_string()));
        }
    }

    /// Nothing but ids, regions and keys that look like what they are went out, and nothing to another host.
    fn asked_nothing_strange(&self) {
        let word = |text: &str| {
            let inner = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
            (1..=128).contains(&text.len())
                && text.starts_with(|c: char| c.is_ascii_alphanumeric())
                && text.chars().all(inner)
        };
        let region = |text: &str| text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-');
        // The cloud reads no key id out of one with a slash.
        let keys = BTreeSet::from([Simulator::ACCESS_KEY, "AKVICTIM", "AKHOSTILE", ""]);
        for call in self.world.cloud.calls() {
            assert!(call.task_ids.iter().chain(&call.resource_ids).all(|id| word(id)), "{call:?}");
            assert!(region(&call.region) && call.action == "DescribeTasks", "{call:?}");
            assert!(keys.contains(&*call.access_key), "{call:?}");
        }
        assert_eq!(self.trap.call_count(), 0, "{:?}", self.trap.calls());
    }

    /// No object of the tenant who means harm holds anything of another account.
    async fn told_nothing_of_the_victim(&self) {
        let statuses = r#"-o=jsonpath={range .items[*]}{.metadata.name}{"\t"}{.status}{"\n"}{end}"#;
        let told = self.kubectl(&["get", "imagetasks", statuses]).await;
        assert!(told.lines().count() > FLOOD);
        for line in told.lines() {
            assert!(!OF_THE_VICTIM.iter().any(|word| line.contains(word)), "{line}");
        }
    }

    /// What kubectl prints of the hostile namespace: it reads what is nested deeper than serde_json follows.
    async fn kubectl(&self, arguments: &[&str]) -> String {
        let namespace = format!("--namespace={}", self.names.own);
        self.world.kubectl(&[arguments, &[&namespace]].concat()).await
    }
}

/// Live, ready, small, and quiet: at most a few warnings, none of them an essay.
async fn is_healthy(operator: &Process) {
    for path in ["/livez", "/readyz"] {
        assert_eq!(get(&operator.address, path).await, (200, "ok\n".into()), "{path}");
    }
    let (_, metrics) = get(&operator.address, "/metrics").await;
    let resident = metrics.lines().find_map(|line| line.strip_prefix("process_resident_memory_bytes "));
    let resident: f64 = resident.unwrap().parse().unwrap();
    eprintln!("{:.0} MiB resident", resident / 1024.0 / 1024.0);
    assert!(resident < 128.0 * 1024.0 * 1024.0, "{resident} bytes resident");
    let log = operator.log();
    let level = |level: &str| log.iter().filter(|line| line.contains(&format!("\"level\":\"{level}\""))).count();
    eprintln!("{} lines of log", log.len());
    assert_eq!(level("ERROR"), 0, "{log:#?}");
    assert!(log.len() <= 100, "{} lines of log: {log:#?}", log.len());
    assert!(log.iter().all(|line| line.len() <= 2_000 && !line.contains(char::is_control)), "{log:#?}");
    assert!(!log.iter().any(|line| line.contains("panic") || line.contains("victim-secret")), "{log:#?}");
}

fn anything() -> JSONSchemaProps {
    JSONSchemaProps { type_: None, x_kubernetes_preserve_unknown_fields: Some(true), ..JSONSchemaProps::default() }
}
