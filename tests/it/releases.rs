//! Two releases as `make release` makes them (tests/release/build): installed, upgraded, rolled back and removed by the commands
//! of the README and of docs/install.md, with helm 4 and with helm 3.
//!
//! No kubelet runs here: the test does what one would, with the program out of the image that the Deployment names.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command as Started, Stdio};
use std::sync::LazyLock;

use imagetask_operator::api::{ImageTask, ImageTaskSpec, Phase};
use imagetask_operator::clock::Clock;
use k8s_openapi::api::apps::v1::Deployment;
use kube::api::{ListParams, Patch, PatchParams, PostParams};
use kube::runtime::wait::await_condition;
use kube::{Api, Client, ResourceExt};
use serde_json::{Value, json};
use simulator::{Simulator, Task};
use tokio::process::{Child, Command};

use crate::PROGRAM;
use crate::chart::play_kubelet;
use crate::docs::{ID, commands, page};
use crate::world::chart::{Account, built, flags, objects};
use crate::world::{ControlPlane, PATIENCE, Record, World, get, reason, repository, signal, status};

const NAMESPACE: &str = "imagetask-system";
const NAME: &str = "imagetask-operator";

/// The folder with the files of a release.
fn release(which: &str) -> PathBuf {
    let folder = repository().join("target/releases").join(which).join("target/dist");
    assert!(folder.exists(), "{} is missing: run `make releases`", folder.display());
    folder
}

/// The versions of helm that the README names.
const HELMS: [&str; 2] = ["helm", "helm3"];

/// The home of somebody with each of them, under the name that everybody types; for all tests, which run at once.
static HOMES: LazyLock<BTreeMap<&str, PathBuf>> = LazyLock::new(|| {
    let home = |helm| {
        let home = Path::new(env!("CARGO_TARGET_TMPDIR")).join("releases").join(helm);
        let _none_before = fs::remove_dir_all(&home);
        fs::create_dir_all(home.join(".local/bin")).unwrap();
        symlink(built(helm), home.join(".local/bin/helm")).unwrap();
        (helm, home)
    };
    HELMS.map(home).into_iter().collect()
});

/// The images of both releases, as the chart names them, and the programs in them; unpacked once for all tests.
static IMAGES: LazyLock<BTreeMap<String, PathBuf>> =
    LazyLock::new(|| ["older", "newer"].map(unpack).into_iter().collect());

/// Somebody who types commands in the folder of a release.
struct Shell<'a> {
    plane: &'a ControlPlane,
    home: &'static Path,
}

impl<'a> Shell<'a> {
    /// With one of the helms.
    fn new(plane: &'a ControlPlane, helm: &str) -> Self {
        Self { plane, home: &HOMES[helm] }
    }

    /// What a block of commands prints.
    async fn run(&self, which: &str, block: &str) -> String {
        self.try_run(which, block).await.unwrap_or_else(|why| panic!("{block}: {why}"))
    }

    /// What it prints, or why it fails.
    async fn try_run(&self, which: &str, block: &str) -> Result<String, String> {
        let kubectl = self.plane.kubectl.parent().unwrap();
        let path = format!("{}:{}:/usr/bin:/bin", self.home.join(".local/bin").display(), kubectl.display());
        let mut shell = Command::new("bash");
        shell.args(["-euo", "pipefail", "-c", block]).current_dir(release(which)).env_clear();
        shell.env("PATH", path).env("KUBECONFIG", &self.plane.kubeconfig).env("HOME", self.home);
        let ended = tokio::time::timeout(PATIENCE, shell.kill_on_drop(true).output()).await;
        let output = ended.unwrap_or_else(|_| panic!("it takes too long: {block}")).unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        match output.status.success() {
            true => Ok(text(output.stdout)),
            false => Err(text([output.stdout, output.stderr].concat())),
        }
    }
}

/// The program in the image of a release, and how the chart names that image.
fn unpack(which: &str) -> (String, PathBuf) {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("releases").join(which);
    let _none_before = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).unwrap();
    let mut files = fs::read_dir(release(which)).unwrap().map(|file| file.unwrap().path());
    let image = files.find(|path| path.to_str().unwrap().contains("-image-")).expect("a release has an image");
    let tar = |arguments: &[&str], from: &Path| {
        let mut tar = Started::new("tar");
        let done = tar.args(["--extract", "--file"]).arg(from).arg("--directory").arg(&folder).args(arguments).status();
        assert!(done.unwrap().success());
    };
    tar(&[], &image);
    let read = |path: PathBuf| -> Value { serde_json::from_slice(&fs::read(path).unwrap()).unwrap() };
    let blob = |descriptor: &Value| {
        folder.join("blobs/sha256").join(descriptor["digest"].as_str().unwrap().trim_start_matches("sha256:"))
    };
    let descriptor = read(folder.join("index.json"))["manifests"][0].clone();
    let manifest = read(blob(&descriptor));
    tar(&["--gzip", NAME], &blob(&manifest["layers"][0]));
    let digest = descriptor["digest"].as_str().unwrap();
    (format!("registry.example.com/imagetask/operator@{digest}"), folder.join(NAME))
}

/// Does what controllers and kubelets would: lets the image run that the Deployment names.
struct Nodes<'a> {
    plane: &'a ControlPlane,
    cloud: String,
    running: Option<Child>,
    log: PathBuf,
}

impl<'a> Nodes<'a> {
    fn new(plane: &'a ControlPlane, cloud: &Simulator, helm: &str) -> Self {
        let log = Path::new(env!("CARGO_TARGET_TMPDIR")).join("releases").join(format!("{helm}.log"));
        Self { plane, cloud: cloud.url(), running: None, log }
    }

    /// Rolls the Deployment out, a new operator before the old one is stopped; the version that its pods are labelled with.
    async fn roll_out(&mut self) -> String {
        let deployments: Api<Deployment> = Api::namespaced(self.plane.client().await, NAMESPACE);
        let deployment = deployments.get(NAME).await.unwrap();
        let generation = deployment.metadata.generation;
        let object = serde_json::to_value(&deployment).unwrap();
        let pod = &object["spec"]["template"];
        let image = pod["spec"]["containers"][0]["image"].as_str().unwrap();
        let program = IMAGES.get(image).unwrap_or_else(|| panic!("no registry has {image}"));
        let account = Account::of(self.plane, NAMESPACE, NAME).await;
        let mut own = flags(&[json!({"kind": "Deployment", "spec": object["spec"]})]);
        own.retain(|flag| !flag.starts_with("--listen"));
        let mut command = Command::new(program);
        command.args(own).args(["--listen=127.0.0.1:0", "--leader-elect", "--lease-namespace", NAMESPACE]);
        command.args(["--poll-interval=1s", "--progress-interval=1s", "--lease-duration=3s"]);
        command.arg(format!("--endpoint={}", self.cloud));
        command.env_clear().env("KUBECONFIG", &account.kubeconfig);
        command.env("VOLCENGINE_ACCESS_KEY", Simulator::ACCESS_KEY);
        command.env("VOLCENGINE_SECRET_KEY", Simulator::SECRET_KEY);
        let log = File::options().create(true).append(true).open(&self.log).unwrap();
        let new = command.kill_on_drop(true).stderr(Stdio::from(log)).spawn().unwrap();
        if let Some(mut old) = self.running.replace(new) {
            signal(&old, "TERM").await;
            let ended = tokio::time::timeout(PATIENCE, old.wait()).await.expect("it ends in time").unwrap();
            assert_eq!(ended.code(), Some(0));
        }
        let rolled_out = json!({
            "observedGeneration": generation, "replicas": 2, "updatedReplicas": 2, "readyReplicas": 2, "availableReplicas": 2
        });
        let patch = Patch::Merge(json!({"status": rolled_out}));
        deployments.patch_status(NAME, &PatchParams::default(), &patch).await.unwrap();
        pod["metadata"]["labels"]["app.kubernetes.io/version"].as_str().unwrap().to_owned()
    }
}

/// ImageTasks of the namespace `default` whose tasks end while releases come and go.
struct Flock {
    record: Record,
    /// How each task ends.
    ends: BTreeMap<String, Phase>,
    running: Vec<String>,
}

impl Flock {
    async fn new(client: Client, cloud: &Simulator) -> Self {
        let tasks: Api<ImageTask> = Api::namespaced(client, "default");
        let record = Record::begin(tasks.clone(), Clock::start()).await;
        let running: Vec<_> = (0..70).map(|n| format!("t-{n:02}")).collect();
        cloud.put_all(running.iter().map(|id| Task::export(id, "image-1").running(10)));
        for id in &running {
            let spec = ImageTaskSpec { task_id: Some(id.clone()), ..ImageTaskSpec::default() };
            tasks.create(&PostParams::default(), &ImageTask::new(id, spec)).await.unwrap();
        }
        Self { record, ends: BTreeMap::new(), running }
    }

    /// Ten tasks end now, whoever looks.
    fn ten_end(&mut self, cloud: &Simulator) {
        for (n, id) in self.running.drain(..10).enumerate() {
            let task = Task::export(&id, "image-1");
            let (task, phase) =
                if n % 3 == 0 { (task.failed(), Phase::Failed) } else { (task.succeeded(), Phase::Succeeded) };
            cloud.put(task);
            self.ends.insert(id, phase);
        }
    }

    /// Waits until all ends are told that there were.
    async fn until_told(&self) {
        let told = |history: &crate::world::History| {
            let ended =
                history.present().filter(|task| status(task).completion_time.is_some()).map(ResourceExt::name_any);
            let ended: Vec<_> = ended.collect();
            self.ends.keys().all(|id| ended.contains(id))
        };
        self.record.until(PATIENCE, told).await.expect("all ends are told in time");
    }

    /// Checks that each was told its own end, and never another.
    fn check(&self) {
        let history = self.record.history();
        for life in history.lives().filter(|life| self.ends.contains_key(&life.last().name_any())) {
            let name = life.last().name_any();
            let mut phases: Vec<_> = life.versions.iter().filter_map(|version| status(&version.object).phase).collect();
            phases.dedup();
            let allowed = [vec![Phase::Running, self.ends[&name]], vec![self.ends[&name]]];
            assert!(allowed.contains(&phases), "{name} was told {phases:?}");
        }
    }
}

/// Waits until an ImageTask tells a reason.
async fn until(tasks: &Api<ImageTask>, name: &str, told: &str) {
    let is_told = |task: Option<&ImageTask>| task.is_some_and(|task| reason(task) == Some(told));
    let seen = await_condition(tasks.clone(), name, is_told);
    tokio::time::timeout(PATIENCE, seen).await.unwrap_or_else(|_| panic!("{name} tells {told} in time")).unwrap();
}

async fn the_readme_works_from_install_to_uninstall(helm: &str) {
    let readme = fs::read_to_string(repository().join("README.md")).unwrap();
    let blocks = commands(&readme, "## Install\n", "## Status at a glance\n");
    let [install, check, first, operate, upgrade, rollback, uninstall] = &blocks[..] else { panic!("{blocks:?}") };
    let plane = ControlPlane::start().await;
    let (cloud, shell) = (Simulator::start().await, Shell::new(&plane, helm));
    let mut nodes = Nodes::new(&plane, &cloud, helm);
    let client = plane.client().await;
    cloud.put(Task::export(ID, "image-1").running(10));

    shell.run("older", install).await;
    assert_eq!(nodes.roll_out().await, "0.1.0");
    let pod = format!("{NAME}-helm-test");
    let (tested, ()) = tokio::join!(shell.run("older", check), play_kubelet(&plane, NAMESPACE, &pod));
    assert!(tested.contains("successfully rolled out") && tested.contains("Succeeded"), "{tested}");

    let tasks: Api<ImageTask> = Api::namespaced(client.clone(), "default");
    let (listed, ()) = tokio::join!(shell.run("older", first), async {
        until(&tasks, ID, "TaskRunning").await;
        cloud.put(Task::export(ID, "image-1").succeeded());
    });
    assert!(listed.contains("TaskSucceeded"), "{listed}");
    shell.run("older", operate).await;

    let mut flock = Flock::new(client.clone(), &cloud).await;
    flock.ten_end(&cloud);
    flock.until_told().await;
    flock.ten_end(&cloud);
    let notes = shell.run("newer", upgrade).await;
    assert!(notes.contains("imagetask-operator 0.2.0 is installed") && !notes.contains("This is not"), "{notes}");
    flock.ten_end(&cloud);
    assert_eq!(nodes.roll_out().await, "0.2.0");
    flock.until_told().await;
    flock.ten_end(&cloud);
    // A field of the newer release, which its CRD knows and its program heeds.
    cloud.put(Task::export("t-purpose", "image-1").running(10));
    let later = json!({"apiVersion": "ecs.volcengine.com/v1alpha1", "kind": "ImageTask", "metadata": {"name": "t-purpose"},
        "spec": {"taskId": "t-purpose", "purpose": "a release"}});
    shell.run("newer", &format!("kubectl create --filename - <<< '{later}'")).await;
    until(&tasks, "t-purpose", "TaskRunning").await;
    shell.run("newer", rollback).await;
    flock.ten_end(&cloud);
    assert_eq!(nodes.roll_out().await, "0.1.0");
    flock.until_told().await;
    flock.ten_end(&cloud);
    flock.until_told().await;
    flock.check();
    // The rolled back CRD has lost the field, and the older program knows all the same that there was one.
    until(&tasks, "t-purpose", "InvalidSpec").await;
    cloud.put(Task::export("t-purpose", "image-1").succeeded());
    flock.ten_end(&cloud);
    flock.until_told().await;
    assert_eq!(reason(&tasks.get("t-purpose").await.unwrap()), Some("InvalidSpec"));

    shell.run("older", uninstall).await;
    let gone = await_condition(tasks, ID, |task: Option<&ImageTask>| task.is_none());
    // The API server no longer knows the kind.
    drop(tokio::time::timeout(PATIENCE, gone).await.expect("it goes with its CRD in time"));
}

#[tokio::test]
async fn with_helm_4_the_readme_works_from_install_to_uninstall() {
    the_readme_works_from_install_to_uninstall("helm").await;
}

#[tokio::test]
async fn with_helm_3_the_readme_works_from_install_to_uninstall() {
    the_readme_works_from_install_to_uninstall("helm3").await;
}

#[tokio::test]
async fn without_helm_install_yaml_runs_the_release_and_leaves_no_test_behind() {
    let blocks = commands(&page("install.md"), "## Without helm\n", "## The plugin\n");
    let [install, rendered] = &blocks[..] else { panic!("{blocks:?}") };
    let plane = ControlPlane::start().await;
    let (cloud, shell) = (Simulator::start().await, Shell::new(&plane, "helm"));
    let mut nodes = Nodes::new(&plane, &cloud, "install");
    cloud.put(Task::export(ID, "image-1").succeeded());
    shell.run("older", install).await;
    assert_eq!(nodes.roll_out().await, "0.1.0");
    let tasks: Api<ImageTask> = Api::namespaced(plane.client().await, "default");
    assert_eq!(tasks.list(&ListParams::default()).await.unwrap().items.len(), 0);
    let readme = fs::read_to_string(repository().join("README.md")).unwrap();
    let first = &commands(&readme, "## The first ImageTask\n", "## Gate on it\n")[0];
    assert!(shell.run("older", first).await.contains("TaskSucceeded"));
    // A newer release over it, with other values.
    shell.run("newer", rendered).await;
    assert_eq!(nodes.roll_out().await, "0.2.0");
}

#[tokio::test]
async fn the_checksums_are_right_and_the_plugin_is_installed_by_its_page() {
    let plane = ControlPlane::shared().await;
    let shell = Shell::new(plane, "helm");
    let install = page("install.md");
    let [checksums] = &commands(&install, "## Verify\n", "## Without helm\n")[..] else { panic!("one block") };
    let checked = shell.run("older", checksums).await;
    let files = fs::read_dir(release("older")).unwrap().count();
    assert_eq!(checked.lines().filter(|line| line.ends_with(": OK")).count(), files - 1, "{checked}");
    let [plugin] = &commands(&install, "## The plugin\n", "## Another registry\n")[..] else { panic!("one block") };
    let block = format!("cp kubectl-imagetask-*.tar.gz {0} && cd {0}\n{plugin}", shell.home.display());
    let told = shell.run("older", &block).await;
    assert!(told.contains("Usage: kubectl imagetask"));
}

/// The image of the operator and its version label, and the image of `helm test`, as a helm renders a released chart.
async fn rendered(shell: &Shell<'_>, values: &str) -> [String; 3] {
    let text = shell
        .run("older", &format!("helm template {NAME} imagetask-operator-*.tgz --kube-version 1.33 {values}"))
        .await;
    let all = objects(&text);
    let of = |kind: &str| all.iter().find(|object| object["kind"] == *kind).expect("the chart has it");
    let pod = &of("Deployment")["spec"]["template"];
    let image = &pod["spec"]["containers"][0]["image"];
    let label = &pod["metadata"]["labels"]["app.kubernetes.io/version"];
    [image, label, &of("Pod")["spec"]["containers"][0]["image"]].map(|text| text.as_str().unwrap().to_owned())
}

#[tokio::test]
async fn what_a_user_says_of_the_image_wins_over_what_the_release_says() {
    let plane = ControlPlane::shared().await;
    let released = IMAGES.iter().find(|(_, program)| program.parent().unwrap().ends_with("older")).unwrap().0.clone();
    let digest = format!("sha256:{}", "0123456789abcdef".repeat(4));
    let (own, kubectl) = ("registry.example.com/imagetask/operator", "registry.k8s.io/kubectl:v1.35.0");
    let there = "mirror.example.com:5000/imagetask/operator";
    let cases = [
        (String::new(), released, "0.1.0", kubectl),
        ("--set image.tag=0.1.1".into(), format!("{own}:0.1.1"), "0.1.1", kubectl),
        (format!("--set image.digest={digest}"), format!("{own}@{digest}"), "sha256-0123456789ab", kubectl),
        (format!("--set image.digest={digest},image.tag=v2"), format!("{own}:v2@{digest}"), "v2", kubectl),
        ("--set image.repository=e.com/x".into(), "e.com/x:0.1.0".into(), "0.1.0", kubectl),
        ("--set image.repository=e.com/x,image.tag=v3".into(), "e.com/x:v3".into(), "v3", kubectl),
        (
            "--set global.imageRegistry=mirror.example.com:5000".into(),
            format!("{there}:0.1.0"),
            "0.1.0",
            "mirror.example.com:5000/kubectl:v1.35.0",
        ),
        (
            format!("--set global.imageRegistry=mirror.example.com:5000/,image.digest={digest}"),
            format!("{there}@{digest}"),
            "sha256-0123456789ab",
            "mirror.example.com:5000/kubectl:v1.35.0",
        ),
    ];
    for helm in HELMS {
        let shell = Shell::new(plane, helm);
        for (values, image, label, test) in &cases {
            assert_eq!(rendered(&shell, values).await, [image, *label, *test], "{helm} {values}");
        }
    }
}

#[tokio::test]
async fn a_crd_that_another_release_or_nobody_owns_is_no_obstacle() {
    for helm in HELMS {
        let plane = ControlPlane::start().await;
        let shell = Shell::new(&plane, helm);
        let install = |name: &str, namespace: &str, more: &str| {
            format!("helm install {name} imagetask-operator-*.tgz --namespace {namespace} --create-namespace {more}")
        };
        let refused = async |block: String| {
            let why = shell.try_run("older", &block).await.expect_err("helm refuses");
            assert!(why.contains("invalid ownership metadata"), "{why}");
        };
        shell.run("older", &install("one", "a", "")).await;
        // The same name in another namespace, and another name in the same one.
        refused(install("one", "b", "")).await;
        shell.run("older", &install("one", "b", "--set crds.install=false")).await;
        shell.run("older", &install("two", "a", "--set crds.install=false")).await;
        shell.run("older", "helm uninstall one -n b; helm uninstall two -n a; helm uninstall one -n a").await;
        // The CRD is kept.
        shell.run("older", &install("one", "a", "")).await;
        shell.run("older", "helm uninstall one --namespace a").await;
        refused(install("three", "c", "")).await;
        shell.run("older", &install("three", "c", "--take-ownership")).await;
        shell.run("older", "helm uninstall three -n c; kubectl delete crd imagetasks.ecs.volcengine.com").await;
        shell.run("older", "kubectl apply --filename crd.yaml").await;
        refused(install("four", "d", "")).await;
        shell.run("older", &install("four", "d", "--take-ownership")).await;
    }
}

#[tokio::test]
async fn two_operators_that_write_the_same_image_tasks_say_so() {
    let world = World::new().await;
    // What each cloud says tells the statuses apart.
    let other = Simulator::start().await;
    world.cloud.put(Task::export("t-1", "image-1").running(10));
    other.put(Task::export("t-1", "image-1").running(20));
    world.follow("t-1").await;
    let namespace = format!("--lease-namespace={}", world.namespace);
    let start = async |lease: &str, cloud: &str| {
        let own = ["--leader-elect", "--lease-duration=2s", "--poll-interval=1s", "--progress-interval=1s"];
        world.process(PROGRAM, &[&own[..], &[&namespace, lease, cloud]].concat(), &[]).await
    };
    let operators = [
        start("--lease-name=one", &format!("--endpoint={}", world.cloud.url())).await,
        start("--lease-name=two", &format!("--endpoint={}", other.url())).await,
    ];
    for operator in &operators {
        let [line] = &operator.log_until("somebody else writes statuses").await[..] else { panic!("it is said once") };
        assert!(line.contains("t-1") && line.contains(&world.namespace), "{line}");
        let (_, metrics) = get(&operator.address, "/metrics").await;
        let counted = metrics.lines().find_map(|line| line.strip_prefix("imagetask_foreign_status_writes_total "));
        assert!(counted.unwrap().parse::<u32>().unwrap() >= 3, "{counted:?}");
    }
}
