//! The Grafana dashboard of the chart: each panel says what it shows, and draws something of a live scrape. No Grafana
//! runs; promtool evaluates what the panels ask.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::Path;

use imagetask_operator::api::Phase;
use serde_json::Value;
use simulator::Task;
use tokio::process::Command;

use crate::world::{World, chart};

/// More lines than that in one panel cannot be read.
const MOST_SERIES: usize = 8;

const SELECTOR: &str = r#"{namespace=~"$namespace",job=~"$job""#;

fn dashboard() -> Value {
    serde_json::from_str(&std::fs::read_to_string(chart::path().join("files/dashboard.json")).unwrap()).unwrap()
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

fn word(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// The cells of the grid that a panel takes.
fn cells(panel: &Value) -> impl Iterator<Item = (u64, u64)> {
    let [x, y, w, h] = ["x", "y", "w", "h"].map(|side| panel["gridPos"][side].as_u64().expect("it is a number"));
    (x..x + w).flat_map(move |column| (y..y + h).map(move |line| (column, line)))
}

#[test]
fn panels_say_what_they_show_and_fill_the_grid_without_overlap() {
    let dashboard = dashboard();
    let (mut taken, mut ids, mut lines) = (BTreeSet::new(), BTreeSet::new(), 0);
    for panel in list(&dashboard["panels"]) {
        let title = word(&panel["title"]);
        assert!(ids.insert(panel["id"].as_u64()), "the id of {title} is its own");
        for (column, line) in cells(panel) {
            assert!(column < 24 && taken.insert((column, line)), "{title} has its place for itself");
            lines = lines.max(line + 1);
        }
        if panel["type"] == "row" {
            continue;
        }
        let defaults = &panel["fieldConfig"]["defaults"];
        for said in [&panel["title"], &panel["description"], &defaults["unit"]] {
            assert!(!word(said).is_empty(), "{title} has a title, a description and a unit");
        }
        // Without any, Grafana colours what is above 80 red.
        assert!(panel["type"] != "stat" || defaults["color"].is_object(), "{title} says what its colours mean");
    }
    assert_eq!(taken.len(), usize::try_from(lines).unwrap() * 24, "the grid has no hole");
}

/// A series of a scrape, as Prometheus stores it of a pod.
struct Series {
    metric: String,
    labels: Vec<(String, String)>,
}

impl Series {
    fn of(line: &str) -> Self {
        let (name, _) = line.rsplit_once(' ').expect("a sample has a value");
        let (metric, labels) = name.split_once('{').unwrap_or((name, ""));
        let own = labels.trim_end_matches('}').split(',').filter_map(|label| label.split_once('='));
        let of_pod = [("namespace", "ops"), ("job", "op"), ("pod", "op-1")];
        let labels = own.map(|(name, value)| (name, value.trim_matches('"'))).chain(of_pod);
        let labels = labels.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        Self { metric: metric.to_owned(), labels }
    }

    fn text(&self) -> String {
        let labels: Vec<_> = self.labels.iter().map(|(name, value)| format!("{name}={value:?}")).collect();
        format!("{}{{{}}}", self.metric, labels.join(","))
    }

    /// What stands in the legend for it.
    fn legend(&self, format: &str) -> String {
        self.labels
            .iter()
            .fold(format.to_owned(), |text, (name, value)| text.replace(&format!("{{{{{name}}}}}"), value))
    }
}

async fn live_scrape() -> Vec<Series> {
    let world = World::new().await;
    world.cloud.put(Task::export("t-1", "image-1").succeeded());
    let operator = world.operator().await;
    world.follow("t-1").await;
    world.until_phase("t-1", Phase::Succeeded).await;
    let (_, scrape) = operator.get("/metrics").await;
    scrape.lines().filter(|line| !line.starts_with('#')).map(Series::of).collect()
}

/// Evaluates each expression over the series, each of which grows.
async fn promtool(expressions: &[String], series: &[Series]) {
    let mut test = "evaluation_interval: 30s\ntests:\n- interval: 30s\n  input_series:\n".to_owned();
    for series in series {
        writeln!(test, "  - {{series: '{}', values: '0+1x20'}}", series.text()).unwrap();
    }
    test += "  promql_expr_test:\n";
    for expression in expressions {
        let bounded = format!("count(({expression}) >= 0) <= bool {MOST_SERIES}");
        writeln!(test, "  - {{expr: '{bounded}', eval_time: 10m, exp_samples: [{{labels: '{{}}', value: 1}}]}}")
            .unwrap();
    }
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("dashboard_test.yaml");
    std::fs::write(&path, test).unwrap();
    let output = Command::new(chart::built("promtool")).args(["test", "rules"]).arg(path).output().await.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[tokio::test]
async fn every_panel_draws_something_of_a_live_scrape() {
    let (dashboard, series) = (dashboard(), live_scrape().await);
    let mut expressions = Vec::new();
    for panel in list(&dashboard["panels"]) {
        let mut drawn = BTreeSet::new();
        for target in list(&panel["targets"]) {
            let expression = word(&target["expr"]);
            let asked = expression.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
            let asked: Vec<_> =
                asked.filter(|word| word.starts_with("imagetask_") || word.starts_with("process_")).collect();
            let selected = expression.matches(SELECTOR).count();
            assert_eq!(asked.len(), selected, "{expression} selects by all variables");
            let legend = word(&target["legendFormat"]);
            drawn.extend(series.iter().filter(|it| asked.contains(&it.metric.as_str())).map(|it| it.legend(legend)));
            expressions
                .push(expression.replace("$namespace", ".*").replace("$job", "op").replace("$__rate_interval", "2m"));
        }
        for matcher in list(&panel["fieldConfig"]["overrides"]).iter().map(|it| &it["matcher"]) {
            let name = word(&matcher["options"]);
            assert!(matcher["id"] != "byName" || drawn.contains(name), "{name} is one of {drawn:?}");
        }
    }
    assert!(expressions.len() > 10);
    promtool(&expressions, &series).await;
}
