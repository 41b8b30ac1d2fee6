//! What one look at 100 tasks costs in this process: signing the request, and decoding the answer.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use imagetask_operator::credentials::Credentials;
use imagetask_operator::ecs::{Batch, Client, Endpoint, Ids, Region, TaskId, inside};
use k8s_openapi::jiff::Timestamp;
use serde_json::json;
use simulator::Simulator;

const TASKS: usize = 100;

fn name(number: usize) -> String {
    format!("t-ybnz9qci2sahiqdl{number:04}")
}

fn sign(criterion: &mut Criterion) {
    drop(rustls::crypto::ring::default_provider().install_default());
    let client =
        Client::new(Some(Endpoint::parse("http://127.0.0.1:1").expect("it is an address"))).expect("it builds");
    let keys = |name: &str| match name {
        "VOLCENGINE_ACCESS_KEY" => Some(Simulator::ACCESS_KEY.into()),
        "VOLCENGINE_SECRET_KEY" => Some(Simulator::SECRET_KEY.into()),
        _ => None,
    };
    let credentials = Credentials::from_pairs(keys).expect("the simulator's keys are good");
    let region = Region::parse(Simulator::REGION).expect("the simulator's region is good");
    let ids = (0..TASKS).map(|number| TaskId::parse(&name(number)).expect("it is an id")).collect();
    let batch = Batch::Tasks(Ids::new(ids).expect("as many as one call takes"));
    criterion.bench_function("sign a request for 100 tasks", |bencher| {
        bencher.iter(|| inside::sign(&client, &credentials, &region, black_box(&batch), Timestamp::UNIX_EPOCH));
    });
}

fn decode(criterion: &mut Criterion) {
    // As docs 6396/120437 show it.
    let task = |number: usize| {
        json!({
            "Id": name(number), "CreatedAt": "2022-05-06T00:01:00+08:00", "UpdatedAt": "2022-05-06T00:07:12+08:00",
            "EndAt": "", "ResourceId": format!("image-ybnz9qci2sahiqdl{number:04}"), "Type": "ExportImage",
            "Process": 40, "Status": "Running",
        })
    };
    let answer = json!({
        "ResponseMetadata": {
            "RequestId": "202106111445100102252431000052", "Action": "DescribeTasks", "Version": "2020-04-01",
            "Service": "ecs", "Region": "cn-beijing",
        },
        "Result": {"NextToken": "", "Tasks": (0..TASKS).map(task).collect::<Vec<_>>()},
    });
    let body = answer.to_string();
    assert_eq!(inside::decode(200, body.as_bytes()).map(|tasks| tasks.len()).ok(), Some(TASKS));
    criterion.bench_function("decode an answer of 100 tasks", |bencher| {
        bencher.iter(|| inside::decode(200, black_box(body.as_bytes())));
    });
}

criterion_group!(benches, sign, decode);
criterion_main!(benches);
