//! Clients of `--listen` who mean harm: anybody in the cluster network may connect to it.

use std::time::Duration;

use futures::future::join_all;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::PROGRAM;
use crate::world::{PATIENCE, Process, World, get};

/// A connection on which something was said.
async fn connect(operator: &Process, said: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(&operator.address).await.unwrap();
    stream.write_all(said).await.unwrap();
    stream
}

/// What comes until the connection ends, within a time.
async fn rest(mut stream: TcpStream, within: Duration) -> Option<String> {
    let mut answer = Vec::new();
    // However it ends, it has ended.
    timeout(within, stream.read_to_end(&mut answer)).await.ok().map(drop)?;
    Some(String::from_utf8_lossy(&answer).into_owned())
}

#[tokio::test]
async fn who_holds_connections_open_keeps_no_probe_waiting_and_loses_them() {
    let world = World::new().await;
    let operator = world.process(PROGRAM, &[], &[]).await;
    let mut held = Vec::new();
    for _ in 0..200 {
        held.push(connect(&operator, b"GET /livez HTTP/1.1\r\nhost: x\r\nx-slow: ").await);
    }
    assert_eq!(get(&operator.address, "/livez").await, (200, "ok\n".into()));
    let last = held.split_off(130);
    let ends = join_all(held.into_iter().map(|stream| rest(stream, Duration::from_secs(2)))).await;
    assert!(ends.iter().all(Option::is_some), "the oldest were let go at once");
    let ends = join_all(last.into_iter().map(|stream| rest(stream, PATIENCE))).await;
    assert!(ends.iter().all(Option::is_some), "and the others when their time was over");
}

#[tokio::test]
async fn a_request_that_is_too_large_is_refused() {
    let world = World::new().await;
    let operator = world.process(PROGRAM, &[], &[]).await;
    let head = format!("GET /livez HTTP/1.1\r\nhost: x\r\nx-long: {}\r\n\r\n", "a".repeat(20_000));
    let answer = rest(connect(&operator, head.as_bytes()).await, PATIENCE).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
}
