#!/usr/bin/env python3
"""Makes the tree in which it runs that of a later version: with a field of the spec more, and a value of the chart that its
templates need."""

import json
import os
import re
import subprocess

NEWER = "0.2.0"


def main():
    older = re.search(r'^version = "(.*)"$', read("Cargo.toml"), re.M)[1]
    change("Cargo.toml", f'version = "{older}"', f'version = "{NEWER}"')
    for field in ("version", "appVersion"):
        change("charts/imagetask-operator/Chart.yaml", f"\n{field}: {older}\n", f"\n{field}: {NEWER}\n")
    field = """    /// What the task is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub purpose: Option<String>,

"""
    change("src/api/mod.rs", "pub struct ImageTaskSpec {\n", "pub struct ImageTaskSpec {\n" + field)
    lists = "    // A release that adds fields adds a list.\n"
    change("src/api/unknown.rs", lists, '    &["purpose"],\n' + lists)
    change("src/api/view.rs", "pub struct SpecView {\n", "pub struct SpecView {\n    pub purpose: Lenient<Box<str>>,\n")
    change("kubectl-imagetask/src/track.rs", "        ImageTaskSpec {\n", "        ImageTaskSpec {\n            purpose: None,\n")
    subprocess.run(["cargo", "update", "--workspace", "--offline", "--quiet"], check=True)

    chart = "charts/imagetask-operator/"
    write(chart + "values.yaml", read(chart + "values.yaml") + '\nnewer:\n  # -- A value that older ones lack\n  note: "of 0.2.0"\n')
    schema = json.loads(read(chart + "values.schema.json"))
    schema["properties"]["newer"] = {"type": "object", "properties": {"note": {"type": "string"}}}
    write(chart + "values.schema.json", json.dumps(schema))
    default = "        kubectl.kubernetes.io/default-container: operator\n"
    note = "        imagetask.example.com/note: {{ .Values.newer.note | quote }}\n"
    change(chart + "templates/deployment.yaml", default, default + note)

    built = subprocess.run(["packaging/programs", "imagetask-operator"], check=True, stdout=subprocess.PIPE, text=True)
    program = os.path.join(built.stdout.split()[-1], "imagetask-operator")
    crd = subprocess.run([program, "crd"], check=True, stdout=subprocess.PIPE, text=True).stdout
    for path in ("crds/imagetasks.yaml", chart + "files/imagetasks.yaml"):
        write(path, crd)


def change(path, before, after):
    text = read(path)
    if text.count(before) != 1:
        raise SystemExit(f"newer.py: {path} does not hold {before!r} once: say here what the later version changes")
    write(path, text.replace(before, after))


def read(path):
    with open(path) as file:
        return file.read()


def write(path, text):
    with open(path, "w") as file:
        file.write(text)


if __name__ == "__main__":
    main()
