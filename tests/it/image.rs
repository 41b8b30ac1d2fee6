//! The image as `make image` writes it. Building the program static takes a release build and is left to `make image`.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

fn scratch(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("image").join(name);
    let _none_before = fs::remove_dir_all(&path);
    fs::create_dir_all(&path).unwrap();
    path
}

fn write_layout(program: &Path, architecture: &str, directory: &Path) -> Output {
    let certificates = program.with_file_name("ca.crt");
    fs::write(&certificates, "certificates").unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/oci_layout.py");
    let mut python = Command::new("python3");
    python.arg(script).arg(program).arg(certificates).args([architecture, "1.2.3"]).arg(directory);
    python.output().unwrap()
}

/// A blob of the layout, whose name must be its digest.
fn blob(layout: &Path, descriptor: &Value) -> Vec<u8> {
    let digest = descriptor["digest"].as_str().unwrap().strip_prefix("sha256:").unwrap();
    let content = fs::read(layout.join("blobs/sha256").join(digest)).unwrap();
    assert_eq!(
        (hex::encode(Sha256::digest(&content)), json!(content.len())),
        (digest.to_owned(), descriptor["size"].clone())
    );
    content
}

fn files(layout: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut folders = vec![layout.to_owned()];
    while let Some(folder) = folders.pop() {
        for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                folders.push(path);
            } else {
                files.insert(path.strip_prefix(layout).unwrap().to_owned(), fs::read(&path).unwrap());
            }
        }
    }
    files
}

#[test]
fn the_image_is_the_program_and_certificates_as_nobody_and_the_same_every_time() {
    let directory = scratch("one");
    let program = directory.join("program");
    fs::write(&program, "a program").unwrap();
    let [first, second] = ["first", "second"].map(|name| {
        let layout = directory.join(name);
        let output = write_layout(&program, "arm64", &layout);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        // Its time must not matter.
        fs::File::options().append(true).open(&program).unwrap().set_modified(std::time::UNIX_EPOCH).unwrap();
        layout
    });
    assert_eq!(files(&first), files(&second));
    let index: Value = serde_json::from_slice(&fs::read(first.join("index.json")).unwrap()).unwrap();
    let image = &index["manifests"][0];
    assert_eq!(image["platform"], json!({"architecture": "arm64", "os": "linux"}));
    let manifest: Value = serde_json::from_slice(&blob(&first, image)).unwrap();
    let config: Value = serde_json::from_slice(&blob(&first, &manifest["config"])).unwrap();
    assert_eq!(config["config"]["User"], "65532:65532");
    assert_eq!(config["config"]["Entrypoint"], json!(["/imagetask-operator"]));
    let layer = directory.join("layer.tar.gz");
    fs::write(&layer, blob(&first, &manifest["layers"][0])).unwrap();
    let listed =
        Command::new("tar").args(["--list", "--verbose", "--numeric-owner", "--utc", "--file"]).arg(layer).output();
    let listed = String::from_utf8(listed.unwrap().stdout).unwrap();
    let words: Vec<Vec<_>> = listed.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(
        words,
        [
            ["drwxr-xr-x", "0/0", "0", "1970-01-01", "00:00", "etc/"],
            ["drwxr-xr-x", "0/0", "0", "1970-01-01", "00:00", "etc/ssl/"],
            ["drwxr-xr-x", "0/0", "0", "1970-01-01", "00:00", "etc/ssl/certs/"],
            ["-rw-r--r--", "0/0", "12", "1970-01-01", "00:00", "etc/ssl/certs/ca-certificates.crt"],
            ["-rwxr-xr-x", "0/0", "9", "1970-01-01", "00:00", "imagetask-operator"],
        ]
    );
}

fn join(layouts: &[&Path], directory: &Path) -> Output {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/oci_layout.py");
    Command::new("python3").arg(script).arg("join").arg(directory).args(layouts).output().unwrap()
}

#[test]
fn images_of_several_platforms_are_joined_into_one_that_holds_them_as_they_were_in_any_order() {
    let directory = scratch("three");
    let [arm64, amd64] = ["arm64", "amd64"].map(|architecture| {
        let program = directory.join(architecture).join("program");
        fs::create_dir_all(program.parent().unwrap()).unwrap();
        fs::write(&program, architecture).unwrap();
        let layout = directory.join(architecture).join("layout");
        assert!(write_layout(&program, architecture, &layout).status.success());
        layout
    });
    let joined = directory.join("joined");
    let output = join(&[&arm64, &amd64], &joined);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let read =
        |layout: &Path| -> Value { serde_json::from_slice(&fs::read(layout.join("index.json")).unwrap()).unwrap() };
    let top = read(&joined)["manifests"][0].clone();
    assert_eq!(top["annotations"], json!({"org.opencontainers.image.ref.name": "1.2.3"}));
    assert_eq!(String::from_utf8(output.stdout).unwrap().trim(), top["digest"]);
    let index: Value = serde_json::from_slice(&blob(&joined, &top)).unwrap();
    let images = [&amd64, &arm64].map(|layout| {
        let image = read(layout)["manifests"][0].clone();
        let fields = ["mediaType", "digest", "size", "platform"].map(|field| (field.to_owned(), image[field].clone()));
        Value::Object(fields.into_iter().collect())
    });
    assert_eq!(index["manifests"], json!(images));
    for layout in [&amd64, &arm64] {
        let blobs = files(&layout.join("blobs"));
        let all = files(&joined.join("blobs"));
        assert!(blobs.iter().all(|(name, content)| all.get(name) == Some(content)));
    }
    let again = directory.join("again");
    assert!(join(&[&amd64, &arm64], &again).status.success());
    assert_eq!(files(&joined), files(&again));

    let refused = join(&[&amd64, &amd64], &directory.join("refused"));
    let told = String::from_utf8(refused.stderr).unwrap();
    assert!(
        refused.status.code() == Some(1) && told.contains("not images of one version for one platform each"),
        "{told}"
    );
}

#[test]
fn a_release_that_cannot_be_made_says_what_to_do() {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/release");
    for (image, told) in [
        (None, "release: say where the image will be: make release IMAGE=registry.example.com/imagetask-operator\n"),
        (Some("here:tag"), "release: IMAGE=here:tag is not REGISTRY/REPOSITORY, without a tag\n"),
    ] {
        let output =
            Command::new(&script).env_remove("IMAGE").envs(image.map(|image| ("IMAGE", image))).output().unwrap();
        assert_eq!((output.status.code(), &*String::from_utf8(output.stderr).unwrap()), (Some(1), told));
    }
}

#[test]
fn an_architecture_without_an_image_is_refused() {
    let directory = scratch("two");
    let program = directory.join("program");
    fs::write(&program, "a program").unwrap();
    let output = write_layout(&program, "riscv64", &directory.join("layout"));
    let told = String::from_utf8(output.stderr).unwrap();
    assert_eq!(
        (output.status.code(), told.as_str()),
        (Some(1), "oci_layout.py: no image for riscv64: give amd64 or arm64\n")
    );
}

#[test]
fn actions_of_the_workflows_are_pinned_by_hash() {
    let mut pinned = 0;
    for entry in fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(".github/workflows")).unwrap() {
        let text = fs::read_to_string(entry.unwrap().path()).unwrap();
        let _valid: Value = serde_saphyr::from_str(&text).unwrap();
        for used in text.lines().filter_map(|line| line.trim_start_matches([' ', '-']).strip_prefix("uses: ")) {
            if used.starts_with("./") {
                continue;
            }
            let hash =
                used.split_once('@').map(|(_, rest)| rest.split(' ').next().unwrap_or_default()).unwrap_or_default();
            assert!(hash.len() == 40 && hash.bytes().all(|byte| byte.is_ascii_hexdigit()), "{used}");
            pinned += 1;
        }
    }
    assert!(pinned > 5, "the workflows use actions");
}
