//! What the operator finds when it starts, in lists of any size.

use futures::future::join_all;
use imagetask_operator::api::{ImageTask, Phase};
use kube::api::PostParams;
use simulator::Task;

use crate::PROGRAM;
use crate::world::{World, task};

/// A quarter of a MiB each, the most that the API server takes in annotations: more than the 16 MiB of a usual page.
const LARGE: usize = 70;

#[tokio::test]
async fn image_tasks_too_large_for_a_usual_page_are_found_in_smaller_ones() {
    let world = World::new().await;
    let ids: Vec<String> = (0..LARGE).map(|n| format!("t-{n:02}")).collect();
    world.cloud.put_all(ids.iter().map(|id| Task::export(id, "image-1").running(10)));
    let api = world.tasks();
    join_all(ids.iter().map(async |id| {
        let mut large = ImageTask::new(id, task(id));
        large.metadata.annotations = Some([("note".to_owned(), "x".repeat(255 * 1024))].into());
        api.create(&PostParams::default(), &large).await.expect("the API server takes annotations of 256 KiB");
    }))
    .await;

    let operator = world.process(PROGRAM, &["--poll-interval=1s", "--account-qps=10"], &[]).await;
    world.until_all_seen().await;
    assert_eq!(operator.logged("too large for pages of 500").len(), 1);
    world.cloud.put(Task::export("t-new", "image-1").running(10));
    world.follow("t-new").await;
    world.until_phase("t-new", Phase::Running).await;
}
