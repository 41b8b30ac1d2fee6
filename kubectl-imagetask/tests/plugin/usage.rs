//! What cannot be carried out is one clear line; and kubectl finds the plugin.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use simulator::{Simulator, Task};
use tokio::process::Command;

use crate::it::world::{ControlPlane, World};
use crate::program::{PROGRAM, Running, environment, run, start, words};

#[tokio::test]
async fn kubectl_finds_the_plugin() {
    let world = World::new().await;
    world.cloud.put(Task::export("t-1", "image-1").succeeded());
    let _operator = world.operator().await;
    world.follow("t-1").await;
    let plane = ControlPlane::shared().await;
    let mut command = Command::new(&plane.kubectl);
    command.arg("imagetask").args(words(&world, "wait t-1 --timeout 1m")).env_clear().envs(environment(plane));
    command.env("PATH", Path::new(PROGRAM).parent().unwrap());
    let ended = Running::of(command).end().await;
    assert_eq!((ended.code, ended.lines().last().unwrap().as_str()), (0, "1 of 1 succeeded"), "{ended:?}");
}

#[tokio::test]
async fn what_is_not_there_is_named() {
    let world = World::new().await;
    let namespace = &world.namespace;
    for command in ["wait", "suspend", "resume", "refresh"] {
        let ended = run(&world, &format!("{command} t-1 t-2")).await;
        let told = format!(
            "kubectl imagetask: no ImageTask t-1, t-2 in namespace {namespace}: `kubectl get imagetasks -n {namespace}` lists them"
        );
        assert_eq!((ended.code, ended.err), (2, told));
    }
    let ended = run(&world, "wait --all").await;
    let told = format!(
        "kubectl imagetask: no ImageTask in namespace {namespace}: name one, or choose another namespace with -n"
    );
    assert_eq!((ended.code, ended.err), (2, told));
    let ended = run(&world, "wait -l a=(").await;
    assert_eq!((ended.code, ended.err.lines().count()), (2, 1), "{}", ended.err);
}

#[tokio::test]
async fn a_cluster_that_cannot_be_asked_is_one_line() {
    let plane = Box::leak(Box::new(ControlPlane::start().await));
    let world = World::on(plane, Simulator::start().await).await;
    let ended = start(plane, &world, "wait t-1").end().await;
    assert_eq!(ended.code, 2);
    assert!(
        ended.err.starts_with("kubectl imagetask: the cluster knows no ImageTasks: apply crds/imagetasks.yaml"),
        "{ended:?}"
    );
    let garbled = Path::new(env!("CARGO_TARGET_TMPDIR")).join("garbled.kubeconfig");
    std::fs::write(&garbled, "users: [{user: {token: secret-token").unwrap();
    let flags = ["--context nowhere", "--kubeconfig /nowhere", &format!("--kubeconfig {}", garbled.display())];
    for flags in flags {
        let ended = start(plane, &world, &format!("wait t-1 {flags}")).end().await;
        assert_eq!((ended.code, ended.err.lines().count()), (2, 1), "{ended:?}");
        assert!(ended.err.starts_with("kubectl imagetask: the kubeconfig cannot be used: "), "{ended:?}");
        assert!(!ended.err.contains("secret-token"), "{ended:?}");
    }
}

#[tokio::test]
async fn help_and_completion_need_no_cluster() {
    for (arguments, words) in
        [("--help", "Exit codes:"), ("wait --help", "--wait-all"), ("completion bash", "complete -F")]
    {
        let mut command = Command::new(PROGRAM);
        command.args(arguments.split_whitespace()).env_clear();
        let ended = Running::of(command).end().await;
        assert_eq!((ended.code, ended.err.as_str()), (0, ""), "{arguments}");
        assert!(ended.out.contains(words), "{arguments}: {}", ended.out);
    }
}

#[tokio::test]
async fn kubectl_completes_the_words_of_the_plugin() {
    let plane = ControlPlane::shared().await;
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("completion");
    std::fs::create_dir_all(&folder).unwrap();
    let mut command = Command::new(PROGRAM);
    command.args(["completion", "kubectl"]);
    let script = folder.join("kubectl_complete-imagetask");
    std::fs::write(&script, Running::of(command).end().await.out).unwrap();
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).unwrap();
    let mut command = Command::new(&plane.kubectl);
    command.args(["__complete", "imagetask", "wait", "--wait"]).env_clear().envs(environment(plane));
    let program = Path::new(PROGRAM).parent().unwrap();
    command.env("PATH", format!("{}:{}:/usr/bin:/bin", folder.display(), program.display()));
    let ended = Running::of(command).end().await;
    assert!(ended.out.starts_with("--wait-all\t"), "{ended:?}");
}
