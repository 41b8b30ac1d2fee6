//! The cases of `tests/hostile/`, whose README says what each part means.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use imagetask_operator::api::ImageTaskSpec;
use kube::core::DynamicObject;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use simulator::Simulator;

/// One case, as written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Case {
    tries: String,
    spec: Option<Value>,
    metadata: Option<Map<String, Value>>,
    status: Option<Value>,
    secret: Option<Value>,
    forged: Option<Value>,
    sent: Option<Value>,
    content_type: Option<String>,
    refused: Option<String>,
    told: Option<String>,
    untold: Option<String>,
    #[serde(default)]
    pub(super) breaks_rule: bool,
    /// File and place in it.
    #[serde(skip)]
    place: String,
}

/// What must come of a case.
pub(super) enum Expected<'a> {
    Refused(&'a str),
    Told(&'a str),
    Untold(&'a str),
}

/// What the words in capitals stand for.
pub(super) struct Names {
    pub(super) own: String,
    pub(super) honest: String,
    pub(super) trap: String,
}

/// The cases of some files.
pub(super) fn of(files: &[&str]) -> Vec<Case> {
    files.iter().flat_map(|file| read(file)).collect()
}

/// Phase and reason that an object tells.
pub(super) fn told(object: &DynamicObject) -> String {
    let status = &object.data["status"];
    let conditions: &[Value] = status["conditions"].as_array().map_or(&[], Vec::as_slice);
    let ready = conditions.iter().find(|condition| condition["type"] == "Ready");
    let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    format!("{}/{}", word(&status["phase"]), ready.map(|ready| word(&ready["reason"])).unwrap_or_default())
}

/// A spec that is asked with the keys of a Secret.
pub(super) fn with_keys(id: &str, secret: &str) -> ImageTaskSpec {
    serde_json::from_value(json!({
        "taskId": id, "region": Simulator::REGION, "credentialsRef": {"name": secret},
    }))
    .unwrap()
}

fn read(file: &str) -> Vec<Case> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/hostile").join(file).with_extension("yaml");
    let text = fs::read_to_string(&path).unwrap();
    let mut cases: Vec<Case> = serde_saphyr::from_str(&text).unwrap_or_else(|error| panic!("{file}: {error}"));
    for (n, case) in cases.iter_mut().enumerate() {
        case.place = format!("{file}-{n}");
        case.expected();
    }
    cases
}

impl Case {
    /// Name of its ImageTask: the place of the case unless the case says another.
    pub(super) fn name(&self) -> String {
        let sent = self.sent.as_ref().and_then(Value::as_str);
        let sent = sent.and_then(|sent| serde_json::from_str::<Value>(sent).ok());
        let name = sent.as_ref().and_then(|sent| sent["metadata"]["name"].as_str()).map(str::to_owned);
        let given = self.metadata.as_ref().and_then(|metadata| metadata.get("name")).map(blown_up);
        name.or_else(|| given.and_then(|name| name.as_str().map(str::to_owned))).unwrap_or_else(|| self.place.clone())
    }

    /// What must come of it.
    pub(super) fn expected(&self) -> Expected<'_> {
        match (&self.refused, &self.told, &self.untold) {
            (Some(words), None, None) => Expected::Refused(words),
            (None, Some(told), None) => Expected::Told(told),
            (None, None, Some(why)) => Expected::Untold(why),
            _ => panic!("{} ({}): one of refused, told and untold", self.place, self.tries),
        }
    }

    /// What is wrong with the answer of the API server; nothing if it is as expected.
    pub(super) fn contradiction(&self, answer: &Result<String, String>) -> Option<String> {
        let right = match (self.expected(), answer) {
            (Expected::Refused(words), Err(refusal)) => refusal.contains(words),
            (Expected::Told(_) | Expected::Untold(_), Ok(_)) => true,
            (Expected::Refused(_), Ok(_)) | (Expected::Told(_) | Expected::Untold(_), Err(_)) => false,
        };
        let short: String = format!("{answer:?}").chars().take(600).collect();
        (!right).then(|| format!("{} ({}): {short}", self.place, self.tries))
    }

    /// Data of the Secret beside it.
    pub(super) fn secret(&self, names: &Names) -> Option<Value> {
        self.secret.as_ref().map(|data| self.filled(data, names))
    }

    /// The status that is written to it afterwards.
    pub(super) fn forged(&self, names: &Names) -> Option<Value> {
        self.forged.as_ref().map(|status| self.filled(status, names))
    }

    /// The type of the body.
    pub(super) fn content_type(&self) -> &str {
        self.content_type.as_deref().unwrap_or("application/json")
    }

    /// The body of the request.
    pub(super) fn body(&self, names: &Names) -> Vec<u8> {
        if let Some(sent) = &self.sent {
            let sent = self.filled(sent, names);
            let byte = |c: char| u8::try_from(u32::from(c)).expect("each character of `sent` is one byte");
            return sent.as_str().unwrap().chars().map(byte).collect();
        }
        let mut metadata = Map::from_iter([("name".to_owned(), json!(self.place))]);
        metadata.extend(self.metadata.clone().unwrap_or_default());
        let mut object = json!({
            "apiVersion": "ecs.volcengine.com/v1alpha1", "kind": "ImageTask",
            "metadata": metadata, "spec": self.spec,
        });
        if let Some(status) = &self.status {
            object["status"] = status.clone();
        }
        serde_json::to_vec(&self.filled(&object, names)).unwrap()
    }

    fn filled(&self, value: &Value, names: &Names) -> Value {
        let words = BTreeMap::from([
            ("TRAP", names.trap.as_str()),
            ("HONEST", names.honest.as_str()),
            ("SECRET", self.place.as_str()),
        ]);
        fill(&blown_up(value), &words)
    }
}

/// With every shorthand for something long written out.
fn blown_up(value: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            let times = fields.get("times").and_then(Value::as_u64).map_or(0, |times| times as usize);
            match (&value["repeat"], &value["entries"], &value["nested"]) {
                (Value::String(text), _, _) => json!(text.repeat(times)),
                (_, Value::String(key), _) => (0..times).map(|n| (format!("{key}-{n}"), json!("v"))).collect(),
                (_, _, Value::Number(depth)) => {
                    (0..depth.as_u64().unwrap_or_default()).fold(json!([]), |inner, _| Value::Array(vec![inner]))
                }
                _ => fields.iter().map(|(key, value)| (key.clone(), blown_up(value))).collect(),
            }
        }
        Value::Array(items) => items.iter().map(blown_up).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.clone(),
    }
}

fn fill(value: &Value, words: &BTreeMap<&str, &str>) -> Value {
    match value {
        Value::String(text) => {
            json!(words.iter().fold(text.clone(), |text, (word, meaning)| text.replace(word, meaning)))
        }
        Value::Object(fields) => fields.iter().map(|(key, value)| (key.clone(), fill(value, words))).collect(),
        Value::Array(items) => items.iter().map(|item| fill(item, words)).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) => value.clone(),
    }
}
