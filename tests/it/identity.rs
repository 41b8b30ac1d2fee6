//! The operator's own credentials from a role: a token file, STS, and sessions that expire.

use std::path::{Path, PathBuf};

use imagetask_operator::api::Phase;
use serde_json::json;
use simulator::{Call, Cloud, Fault, Role, Simulator, Task};

use crate::PROGRAM;
use crate::world::{Process, World, conditions, status};

const TRN: &str = "trn:iam::2100000001:role/imagetask-operator";
const STS: &str = "AssumeRoleWithOIDC";

/// A world with a role in place of keys.
struct Identity {
    world: World,
    token_file: PathBuf,
}

impl Identity {
    async fn new() -> Self {
        let world = World::with(Simulator::start().await).await;
        let token_file = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{}-token", world.namespace));
        let identity = Self { world, token_file };
        identity.mount("token.first");
        identity
    }

    /// Has the role trust this token alone, for sessions of so many seconds.
    fn trust(&self, token: &str, seconds: u32) {
        self.world.cloud.trust(Role::new(TRN, token, "demo").max_session_seconds(seconds));
    }

    /// Puts a token into the file, as a kubelet does.
    fn mount(&self, token: &str) {
        std::fs::write(&self.token_file, token).unwrap();
    }

    /// Starts the operator with the role and with no keys.
    async fn operator(&self, flags: &[&str]) -> Process {
        let (sts, file) = (self.world.cloud.url(), self.token_file.to_str().unwrap());
        let variables = [
            ("VOLCENGINE_OIDC_ROLE_TRN", TRN),
            ("VOLCENGINE_OIDC_TOKEN_FILE", file),
            ("VOLCENGINE_OIDC_STS_ENDPOINT", &sts),
        ];
        self.world.process_without_keys(PROGRAM, &[&["--poll-interval=1s"], flags].concat(), &variables).await
    }

    /// Waits until STS was asked so often.
    async fn until_renewed(&self, times: usize) {
        let taken = |call: &Call| call.action == STS && call.outcome.as_deref() == Some("OK");
        let often = |cloud: &Cloud| cloud.calls().iter().filter(|call| taken(call)).count();
        self.world.cloud.until("the role was taken again", |cloud| often(cloud) >= times).await;
    }

    fn outcomes(&self, action: &str) -> Vec<String> {
        let calls = self.world.cloud.calls().into_iter().filter(|call| call.action == action);
        let mut outcomes: Vec<_> = calls.filter_map(|call| call.outcome).collect();
        outcomes.dedup();
        outcomes
    }
}

#[tokio::test]
async fn an_operator_with_a_role_follows_a_task_to_its_end() {
    let identity = Identity::new().await;
    let world = &identity.world;
    identity.trust("token.first", 3_600);
    world.cloud.put(Task::export("t-1", "image-1").account("demo").running(10));
    let _operator = identity.operator(&[]).await;
    world.follow("t-1").await;
    world.until_phase("t-1", Phase::Running).await;
    world.cloud.change("t-1", &json!({"Status": "Succeeded", "Process": 100}));
    world.until_phase("t-1", Phase::Succeeded).await;
    assert_eq!((identity.outcomes(STS), identity.outcomes("DescribeTasks")), (vec!["OK".into()], vec!["OK".into()]));
}

#[tokio::test]
async fn sessions_are_renewed_with_the_token_that_the_file_holds_then_and_no_task_notices() {
    let identity = Identity::new().await;
    let world = &identity.world;
    identity.trust("token.first", 5);
    world.cloud.put(Task::export("t-1", "image-1").account("demo").running(10));
    let _operator = identity.operator(&[]).await;
    world.follow("t-1").await;
    let before = world.until_phase("t-1", Phase::Running).await;
    identity.mount("token.second");
    identity.trust("token.second", 5);
    identity.until_renewed(4).await;
    // Every session but the last has expired by now, and the cloud refuses what has expired.
    assert_eq!(identity.outcomes("DescribeTasks"), ["OK"]);
    let after = world.tasks().get("t-1").await.unwrap();
    assert_eq!(status(&before), status(&after));
}

#[tokio::test]
async fn a_role_that_is_refused_is_told_and_heals_when_it_is_trusted() {
    let identity = Identity::new().await;
    let world = &identity.world;
    world.cloud.put(Task::export("t-1", "image-1").account("demo").running(10));
    let operator = identity.operator(&[]).await;
    world.follow("t-1").await;
    let refused = world.until_reason("t-1", "CredentialsInvalid").await;
    let message = &status(&refused).conditions[0].message;
    for words in ["(AccessDenied)", "VOLCENGINE_OIDC_ROLE_TRN", "audience sts.volcengine.com", "[request "] {
        assert!(message.contains(words), "{message}");
    }
    let log = operator.log_until("credentials are not renewed").await;
    assert!(log[0].contains("AccessDenied") && !log[0].contains("token.first"), "{log:?}");
    identity.trust("token.first", 3_600);
    world.until_phase("t-1", Phase::Running).await;
}

#[tokio::test]
async fn an_sts_that_fails_while_the_session_is_good_troubles_no_task_and_expiry_is_told() {
    let identity = Identity::new().await;
    let world = &identity.world;
    identity.trust("token.first", 10);
    world.cloud.put(Task::export("t-1", "image-1").account("demo").running(10));
    let operator = identity.operator(&["--stuck-after=2s"]).await;
    world.follow("t-1").await;
    world.until_phase("t-1", Phase::Running).await;
    let fault = world.cloud.order(Fault::code("AccessDenied").only_action(STS));
    operator.log_until("credentials are not renewed").await;
    let told = world.tasks().get("t-1").await.unwrap();
    assert_eq!(conditions(&told)[0], "Ready=False/TaskRunning@1");
    world.until_phase("t-1", Phase::Error).await;
    world.cloud.clear(fault);
    world.until_phase("t-1", Phase::Running).await;
    assert_eq!(identity.outcomes("DescribeTasks"), ["OK"], "nothing is asked with what has expired");
}

#[tokio::test]
async fn a_token_file_that_is_missing_is_told_and_heals_when_it_is_mounted() {
    let identity = Identity::new().await;
    let world = &identity.world;
    identity.trust("token.late", 3_600);
    std::fs::remove_file(&identity.token_file).unwrap();
    world.cloud.put(Task::export("t-1", "image-1").account("demo").running(10));
    let _operator = identity.operator(&[]).await;
    world.follow("t-1").await;
    let missing = world.until_reason("t-1", "CredentialsNotFound").await;
    let message = &status(&missing).conditions[0].message;
    assert!(message.contains("VOLCENGINE_OIDC_TOKEN_FILE does not exist: mount"), "{message}");
    identity.mount("token.late\n");
    world.until_phase("t-1", Phase::Running).await;
}
