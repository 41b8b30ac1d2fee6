//! Whatever an ImageTask's spec and status hold: an object that is JSON is read, and parsing it never panics.
#![no_main]

use imagetask_operator::api::ImageTaskView;
use imagetask_operator::spec::Spec;
use imagetask_operator::status::Status;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(stored) = serde_json::from_slice::<serde_json::Value>(data) else { return };
    let object = serde_json::json!({"metadata": {"name": "x"}, "spec": stored["spec"], "status": stored["status"]});
    let view: ImageTaskView = serde_json::from_value(object).expect("no stored object fails the list it is in");
    drop(Spec::parse(&view.spec));
    let status = Status::parse(&view.status);
    // What was understood once is understood again.
    let rendered = serde_json::json!({"metadata": {"name": "x"}, "status": status.render()});
    let again: ImageTaskView = serde_json::from_value(rendered).expect("our own status can be read");
    assert_eq!(Status::parse(&again.status).render(), status.render());
});
