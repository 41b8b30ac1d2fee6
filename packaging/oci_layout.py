#!/usr/bin/env python3
"""Writes the operator's image as an OCI layout: the program, CA certificates, and nothing else.

usage: oci_layout.py PROGRAM CERTIFICATES ARCHITECTURE VERSION DIRECTORY
       oci_layout.py join DIRECTORY LAYOUT...

The second joins the images of several platforms into one index. The same input gives the same digest, wherever and
whenever: files belong to root, their times are the beginning of 1970, and nothing else goes in. Prints the digest of the
image or the index. Needs Python alone.
"""

import gzip
import hashlib
import io
import json
import os
import sys
import tarfile

CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
REF_NAME = "org.opencontainers.image.ref.name"
NAME = "imagetask-operator"


def main(program, certificates, architecture, version, directory):
    if architecture not in ("amd64", "arm64"):
        sys.exit(f"oci_layout.py: no image for {architecture}: give amd64 or arm64")
    blobs = Blobs(directory)
    tar = layer(read(program), read(certificates))
    compressed = gzip.compress(tar, mtime=0)
    config = {
        "architecture": architecture,
        "os": "linux",
        "config": {"User": "65532:65532", "Entrypoint": [f"/{NAME}"], "Labels": labels(version)},
        "rootfs": {"type": "layers", "diff_ids": ["sha256:" + hashlib.sha256(tar).hexdigest()]},
    }
    manifest = blobs.json(
        MANIFEST,
        {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": blobs.json(CONFIG, config),
            "layers": [blobs.add(LAYER, compressed)],
        },
    )
    manifest["platform"] = {"architecture": architecture, "os": "linux"}
    finish(directory, manifest, version)


def join(directory, *layouts):
    blobs = Blobs(directory)
    images = {}
    for layout in layouts:
        for image in json.loads(read(os.path.join(layout, "index.json")))["manifests"]:
            version = image.pop("annotations")[REF_NAME]
            images[image["platform"]["architecture"]] = (version, image)
        held = os.path.join(layout, "blobs", "sha256")
        for blob in os.listdir(held):
            blobs.add("", read(os.path.join(held, blob)))
    versions = {version for version, _ in images.values()}
    if len(versions) != 1 or len(images) != len(layouts):
        sys.exit(f"oci_layout.py: {' '.join(layouts)} are not images of one version for one platform each")
    manifests = [image for _, (_, image) in sorted(images.items())]
    index = {"schemaVersion": 2, "mediaType": INDEX, "manifests": manifests}
    finish(directory, blobs.json(INDEX, index), versions.pop())


def finish(directory, content, version):
    """Says what the layout is of, and prints its digest."""
    content["annotations"] = {REF_NAME: version}
    write(directory, "index.json", dump({"schemaVersion": 2, "mediaType": INDEX, "manifests": [content]}))
    write(directory, "oci-layout", dump({"imageLayoutVersion": "1.0.0"}))
    print(content["digest"])


def labels(version):
    prefix = "org.opencontainers.image."
    return {prefix + "title": NAME, prefix + "version": version, prefix + "licenses": "Apache-2.0"}


def layer(program, certificates):
    """A tar of the files and the directories that they are in, in a fixed order."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name in ("etc", "etc/ssl", "etc/ssl/certs"):
            entry = tarfile.TarInfo(name)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o755
            tar.addfile(entry)
        for name, mode, content in (
            ("etc/ssl/certs/ca-certificates.crt", 0o644, certificates),
            (NAME, 0o755, program),
        ):
            entry = tarfile.TarInfo(name)
            entry.mode, entry.size = mode, len(content)
            tar.addfile(entry, io.BytesIO(content))
    return out.getvalue()


class Blobs:
    """The content of the layout, by its digest."""

    def __init__(self, directory):
        self.directory = directory

    def add(self, media_type, content):
        digest = hashlib.sha256(content).hexdigest()
        write(self.directory, os.path.join("blobs", "sha256", digest), content)
        return {"mediaType": media_type, "digest": "sha256:" + digest, "size": len(content)}

    def json(self, media_type, value):
        return self.add(media_type, dump(value))


def dump(value):
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def read(path):
    with open(path, "rb") as file:
        return file.read()


def write(directory, name, content):
    path = os.path.join(directory, name)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as file:
        file.write(content)


if __name__ == "__main__":
    if len(sys.argv) > 3 and sys.argv[1] == "join":
        join(*sys.argv[2:])
    elif len(sys.argv) == 6:
        main(*sys.argv[1:])
    else:
        sys.exit(__doc__)
