//! `track`: an ImageTask of a task, whether it is there or not.

use serde_json::json;
use simulator::{Simulator, Task};

use crate::it::world::World;
use crate::program::run;

#[tokio::test]
async fn a_task_is_tracked_and_waited_for_and_tracked_again() {
    let world = World::new().await;
    world.cloud.put(Task::export("t_Upper", "image-1").succeeded());
    let _operator = world.operator().await;
    let track = format!("track t_Upper --region {} --timeout 1h --wait", Simulator::REGION);
    for (first, told) in [(true, "t-upper created"), (false, "t-upper is there already")] {
        let ended = run(&world, &track).await;
        let lines = ended.lines();
        assert_eq!(
            (ended.code, lines[0].as_str(), lines.last().unwrap().as_str()),
            (0, told, "1 of 1 succeeded"),
            "{first}"
        );
    }
    let stored = world.tasks().get("t-upper").await.unwrap();
    let spec = json!({"taskId": "t_Upper", "region": Simulator::REGION, "timeout": "1h"});
    assert_eq!(serde_json::to_value(stored.spec).unwrap(), spec);
}

#[tokio::test]
async fn a_copy_is_tracked_by_its_image() {
    let world = World::new().await;
    let ended =
        run(&world, "track --image image-1 --type CopyImage --region cn-shanghai --credentials keys -o json").await;
    let object = ended.json();
    let spec = json!({
        "resourceId": "image-1", "type": "CopyImage", "region": "cn-shanghai", "credentialsRef": {"name": "keys"},
    });
    assert_eq!((ended.code, &object["metadata"]["name"], &object["spec"]), (0, &json!("copy-image-1"), &spec));
}

#[tokio::test]
async fn a_task_of_an_image_is_tracked_from_a_moment_on() {
    let world = World::new().await;
    world.cloud.put(Task::of_type("PreheatImage", "t-old", "image-1").succeeded());
    let _operator = world.operator().await;
    let track = format!("track --image image-1 --type PreheatImage --region {} --wait", Simulator::REGION);
    let ended = run(&world, &format!("{track} --started-after 2022-05-06T00:01:00+08:00")).await;
    assert_eq!((ended.code, ended.lines()[0].as_str()), (0, "preheat-image-1 created"), "{ended:?}");
    let ended = run(&world, &format!("{track} --started-after 2022-05-06T00:02:00+08:00")).await;
    let told = "kubectl imagetask: preheat-image-1 is there already, with startedAfter 2022-05-05T16:01:00Z: leave out \
        --started-after, or delete it first";
    assert_eq!((ended.code, ended.err.as_str()), (2, told));
}

#[tokio::test]
async fn another_of_the_same_name_is_left_alone() {
    let world = World::new().await;
    world.follow("t-1").await;
    let ended = run(&world, "track T-1").await;
    let told = "kubectl imagetask: t-1 is there already and follows task t-1: choose another name with --name";
    assert_eq!((ended.code, ended.err.as_str()), (2, told));
    let ended = run(&world, "track T-1 --name upper").await;
    assert_eq!((ended.code, ended.out.as_str()), (0, "upper created"));
    let ended = run(&world, "track t-1_").await;
    assert_eq!(ended.code, 2);
    assert!(
        ended.err.starts_with("kubectl imagetask: no name can be made of t-1_, choose one with --name: "),
        "{ended:?}"
    );
}
