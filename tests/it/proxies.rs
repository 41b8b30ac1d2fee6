//! The way to the cloud: through the proxy of the environment or not, and never to another host.

use std::path::Path;
use std::sync::{Arc, Mutex};

use imagetask_operator::api::Phase;
use simulator::{Simulator, Task};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;
use tokio::sync::Notify;

use crate::PROGRAM;
use crate::world::{PATIENCE, World};

const CLOUD: &str = "--endpoint=https://ecs.example.test";

/// A server on this machine that keeps what it is sent, and gives everyone the same answer.
struct Server {
    url: String,
    heads: Arc<Mutex<Vec<String>>>,
    news: Arc<Notify>,
}

impl Server {
    async fn answering(answer: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (heads, news) = (Arc::<Mutex<Vec<String>>>::default(), Arc::<Notify>::default());
        let (kept, rings) = (heads.clone(), news.clone());
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let (read, mut write) = stream.split();
                let mut lines = BufReader::new(read).lines();
                let mut head = String::new();
                while let Ok(Some(line)) = lines.next_line().await {
                    if line.is_empty() {
                        break;
                    }
                    head = head + &line + "\n";
                }
                kept.lock().unwrap().push(head);
                rings.notify_one();
                drop(write.write_all(answer.as_bytes()).await);
            }
        });
        Self { url, heads, news }
    }

    fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap().clone()
    }

    /// Waits until somebody has asked; what was asked first.
    async fn first(&self) -> String {
        tokio::time::timeout(PATIENCE, self.news.notified()).await.expect("it is asked in time");
        self.heads()[0].clone()
    }
}

fn redirecting(status: &str, to: &Server) -> String {
    let target = &to.url;
    format!("HTTP/1.1 {status}\r\nlocation: {target}/\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
}

fn refusing() -> String {
    "HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\nconnection: close\r\n\r\n".to_owned()
}

#[tokio::test]
async fn the_cloud_is_asked_through_the_proxy_of_the_environment_and_the_api_server_is_not() {
    for variable in ["HTTPS_PROXY", "https_proxy", "ALL_PROXY"] {
        let world = World::new().await;
        let proxy = Server::answering(refusing()).await;
        let flags = [CLOUD, "--poll-interval=1s"];
        let operator = world.process(PROGRAM, &flags, &[(variable, &proxy.url)]).await;
        world.follow("t-1").await;
        let asked = proxy.first().await;
        assert!(asked.starts_with("CONNECT ecs.example.test:443 HTTP/1.1\n"), "{variable}: {asked}");
        operator.log_until("no answer").await;
        // What is signed goes through the tunnel or not at all; and whatever is asked is the cloud.
        for head in proxy.heads() {
            assert!(head.starts_with("CONNECT ecs.example.test:443 "), "{head}");
            assert!(!head.to_lowercase().contains("authorization") && !head.contains(Simulator::ACCESS_KEY), "{head}");
        }
    }
}

#[tokio::test]
async fn no_proxy_leads_past_the_proxy() {
    let world = World::new().await;
    let proxy = Server::answering(refusing()).await;
    let variables = [("HTTPS_PROXY", proxy.url.as_str()), ("NO_PROXY", ".example.test")];
    let operator = world.process(PROGRAM, &[CLOUD, "--poll-interval=1s"], &variables).await;
    world.follow("t-1").await;
    operator.log_until("no answer").await;
    assert_eq!(proxy.heads(), Vec::<String>::new());
}

#[tokio::test]
async fn no_proxy_stands_before_this_machine() {
    let world = World::new().await;
    world.cloud.put(Task::export("t-1", "image-1").succeeded());
    let proxy = Server::answering(refusing()).await;
    let variables = [("HTTP_PROXY", proxy.url.as_str()), ("HTTPS_PROXY", &proxy.url), ("ALL_PROXY", &proxy.url)];
    let _operator = world.process(PROGRAM, &["--poll-interval=1s"], &variables).await;
    world.follow("t-1").await;
    world.until_phase("t-1", Phase::Succeeded).await;
    assert_eq!(proxy.heads(), Vec::<String>::new());
}

#[tokio::test]
async fn a_redirect_leads_nowhere_and_no_signature_and_no_token_with_it() {
    let world = World::new().await;
    let elsewhere = Server::answering(refusing()).await;
    let token = Path::new(env!("CARGO_TARGET_TMPDIR")).join("redirected-token");
    std::fs::write(&token, "a.b.c").unwrap();
    world.follow("t-1").await;
    for status in ["301 Moved Permanently", "307 Temporary Redirect", "308 Permanent Redirect"] {
        let cloud = Server::answering(redirecting(status, &elsewhere)).await;
        let endpoint = format!("--endpoint={}", cloud.url);
        let operator = world.process(PROGRAM, &[&endpoint, "--poll-interval=1s"], &[]).await;
        assert!(cloud.first().await.contains("authorization: HMAC-SHA256"), "it is asked");
        operator.log_until("no answer").await;
        drop(operator);

        let sts = Server::answering(redirecting(status, &elsewhere)).await;
        let variables = [
            ("VOLCENGINE_OIDC_ROLE_TRN", "trn:iam::1:role/r"),
            ("VOLCENGINE_OIDC_TOKEN_FILE", token.to_str().unwrap()),
            ("VOLCENGINE_OIDC_STS_ENDPOINT", &sts.url),
        ];
        let operator = world.process_without_keys(PROGRAM, &["--poll-interval=1s"], &variables).await;
        assert!(sts.first().await.starts_with("POST /?Action=AssumeRoleWithOIDC"), "it is asked");
        operator.log_until("credentials are not renewed").await;
    }
    assert_eq!(elsewhere.heads(), Vec::<String>::new());
}
